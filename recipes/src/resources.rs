use std::path::PathBuf;

use millstream_pipeline::{JointStreams, SharedResources};
use millstream_runtime::{Device, DeviceRequest, Runtime};
use millstream_schemas::Recipe;
use millstream_schemas::recipe::{ByteSize, MOST_THREADS};

use crate::RecipeError;
use crate::frozen_prefix::PrefixStore;
use crate::runs_memory::RunsMemory;

/// What several runs of one process are to share.
#[derive(Clone, Debug)]
pub struct ResourceOptions {
    /// Ceiling on the bytes that the streams of all runs hold together; at least the largest `data.memory` of their recipes.
    pub memory: ByteSize,
    /// Runs that are open at a time; each has an equal part of the memory.
    pub runs: usize,
    /// Threads that decode and transform, for all of them; 0 takes one for each core.
    pub workers: usize,
    /// Threads of ONNX Runtime, for all of them; 0 takes one for each core.
    pub threads: usize,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
}

impl Default for ResourceOptions {
    /// Two runs, 1 GiB, as many threads as cores.
    fn default() -> Self {
        Self { memory: ByteSize::default(), runs: 2, workers: 0, threads: 0, library: None }
    }
}

/// Memory, workers and threads of ONNX Runtime that several runs share. Clones are the same.
///
/// A run that shares gives the same bits as one alone with as many threads of ONNX Runtime.
#[derive(Clone, Debug)]
pub struct Resources {
    streams: SharedResources,
    joint: JointStreams,
    prefixes: PrefixStore,
    memory: RunsMemory,
    runtime: &'static Runtime,
    /// Whether each run has as many threads of ONNX Runtime of its own as its recipe says.
    has_own_threads: bool,
}

impl Resources {
    /// Starts the threads and loads ONNX Runtime.
    ///
    /// # Errors
    /// There is no run or there are too many threads to share for; no thread can be started; the library is not found, or this
    /// process has loaded it already without threads to share.
    pub fn open(options: &ResourceOptions) -> Result<Self, RecipeError> {
        Self::of(options, false)
    }

    /// The same for runs of different numbers of threads of ONNX Runtime: each has its own, as it has alone.
    pub(crate) fn open_with_own_threads(options: &ResourceOptions) -> Result<Self, RecipeError> {
        Self::of(options, true)
    }

    fn of(options: &ResourceOptions, has_own_threads: bool) -> Result<Self, RecipeError> {
        let ResourceOptions { memory, runs, workers, threads, library } = options;
        if *threads > MOST_THREADS {
            return Err(RecipeError::TooManyThreads { asked: *threads });
        }
        // What may refuse comes first: a library that is loaded stays, with its threads.
        let streams = SharedResources::new(*memory, *runs, *workers)?;
        let runtime = match has_own_threads {
            true => millstream_runtime::ready(library.as_deref())?,
            false => millstream_runtime::ready_with_threads(library.as_deref(), *threads)?,
        };
        let (joint, prefixes) = (JointStreams::default(), PrefixStore::new(memory.0 / 4));
        Ok(Self { streams, joint, prefixes, memory: RunsMemory::new(*runs), runtime, has_own_threads })
    }

    /// The ceiling on memory, and what is held under it.
    pub fn streams(&self) -> &SharedResources {
        &self.streams
    }

    /// Streams that are one where they are equal, as long as they run at the same time: each batch is drawn and rendered once.
    pub fn joint(&self) -> &JointStreams {
        &self.joint
    }

    /// The same for runs that come one after the other: files of what is kept of frozen parts, other than those in a recipe's own folder,
    /// lie in this one, and are gone with the last clone. In memory all of them together have what a recipe gives to one.
    pub(crate) fn with_activations_in(self, folder: PathBuf) -> Self {
        // as much in memory as one of them may keep
        Self { prefixes: PrefixStore::with_files_in(0, folder), ..self }
    }

    /// Bytes that streams held at their fullest, bytes of what is kept of frozen parts at its fullest, and as many as both may hold together.
    pub(crate) fn bytes(&self) -> [u64; 3] {
        let (streams, kept) = (&self.streams, &self.prefixes);
        [streams.bytes_peak(), kept.held().peak(), streams.memory().0.saturating_add(kept.most())]
    }

    /// What the frozen parts of models give.
    pub(crate) fn prefixes(&self) -> &PrefixStore {
        &self.prefixes
    }

    /// What the runs hold together.
    pub(crate) fn memory(&self) -> &RunsMemory {
        &self.memory
    }

    /// Threads of ONNX Runtime.
    pub fn threads(&self) -> usize {
        self.runtime.shared_threads().unwrap_or(1)
    }

    /// The device that a recipe asks for, with the shared threads or those of its own.
    pub(crate) fn device(&self, recipe: &Recipe) -> Result<Device, RecipeError> {
        if self.has_own_threads {
            return Ok(Device::resolve(recipe.training.device.parse::<DeviceRequest>()?, self.runtime)?);
        }
        let (asked, shared) = (recipe.training.threads, self.threads());
        if asked != 0 && asked != shared {
            let message =
                format!("{asked}, and the run shares {shared} threads with others; leave it out, or share as many");
            return Err(RecipeError::mismatch("training.threads", message));
        }
        let device = Device::resolve(recipe.training.device.parse::<DeviceRequest>()?, self.runtime)?;
        Ok(device.sharing_threads()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_shared_is_refused_before_the_library_is_loaded() {
        let of = |runs, workers, threads| ResourceOptions {
            runs,
            workers,
            threads,
            library: Some("/no/library".into()),
            ..ResourceOptions::default()
        };
        for (options, wanted) in [
            (of(0, 1, 1), "shared by at least one stream"),
            (of(1, 1, MOST_THREADS + 1), "4097 threads of ONNX Runtime cannot be shared; at most 4096"),
            (of(1, 1, MOST_THREADS), "/no/library"),
        ] {
            let message = Resources::open(&options).unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
        }
    }
}
