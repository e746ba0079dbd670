use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use millstream_schemas::recipe::DamagedPolicy;
use millstream_schemas::{Batch, Fingerprint, ResumePoint, RowId};

use crate::joint_stream::{Handed, JointStream, PATIENCE, Place, Taken};
use crate::monitor::Taken as Counts;
use crate::shared_resources::TakenPart;
use crate::stages::damage::LeftOut;
use crate::stream_plan::start;
use crate::{Batches, Beside, Dataset, Monitor, PipelineError, SharedResources, StreamCounters, StreamOptions};

/// Batches that are kept for those that are behind, at most.
const WINDOW: u64 = 12;

/// Streams of one process that are equal in rows, transforms, seed, order, batch and place of beginning are one while they run at the same
/// time: each batch is drawn and rendered once. One of fewer epochs takes part in one of more for as long as it lasts, and those that
/// go on behind its end are one again. Clones are the same.
#[derive(Clone)]
pub struct JointStreams(Arc<Inner>);

struct Inner {
    /// By what decides their batches.
    known: Mutex<Vec<(Fingerprint, Weak<JointStream>)>>,
    /// How long one that is behind is waited for, at least.
    patience: Duration,
    opened: AtomicU64,
    joined: AtomicU64,
    left: AtomicU64,
}

/// How streams were had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct JointCounts {
    /// Streams that were opened.
    pub opened: u64,
    /// Those that took part in one of them instead.
    pub joined: u64,
    /// Of these, and of those that opened one, how many went on by themselves: too far behind, or after another met an error.
    pub left: u64,
}

impl fmt::Debug for JointStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JointStreams").field(&self.counts()).finish()
    }
}

impl Default for JointStreams {
    /// One that is behind is waited for five seconds at least.
    fn default() -> Self {
        Self::with_patience(PATIENCE)
    }
}

impl JointStreams {
    /// No streams yet, where one that stands still in front of its next batch is waited for at least so long, and longer where pauses
    /// between batches were seen to be long.
    pub fn with_patience(patience: Duration) -> Self {
        let [opened, joined, left] = [const { AtomicU64::new(0) }; 3];
        Self(Arc::new(Inner { known: Mutex::default(), patience, opened, joined, left }))
    }

    /// How streams were had so far.
    pub fn counts(&self) -> JointCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        JointCounts { opened: count(&self.0.opened), joined: count(&self.0.joined), left: count(&self.0.left) }
    }

    /// A place in a stream that is there and at its beginning, or a new one.
    fn source(
        &self,
        dataset: &Dataset,
        options: &StreamOptions,
        from: Option<&ResumePoint>,
    ) -> Result<Source, PipelineError> {
        let key = key(dataset, options, from)?;
        // opened under the lock, so that two that want the same have it
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, stream)| stream.strong_count() > 0);
        let same = known.iter().filter(|(other, _)| *other == key).filter_map(|(_, stream)| stream.upgrade());
        for stream in same.collect::<Vec<_>>() {
            if let Some(place) = stream.join() {
                self.0.joined.fetch_add(1, Ordering::Relaxed);
                return Ok(Source::Joint(place));
            }
        }
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        let wide = Batches::open_keeping(dataset, options.clone(), from, WINDOW);
        // where there is no room for more, it is as it would be alone
        let (source, window) = wide.or_else(|_| Batches::open_keeping(dataset, options.clone(), from, 0))?;
        if window == 0 {
            return Ok(Source::Alone(Box::new(source)));
        }
        let stream = JointStream::new(source, window, options.epochs, self.0.patience);
        let place = stream.join().expect("nothing was taken of it yet");
        known.push((key, Arc::downgrade(&stream)));
        Ok(Source::Joint(place))
    }
}

/// Of all that decides the batches of a stream, and which of them come first.
fn key(dataset: &Dataset, options: &StreamOptions, from: Option<&ResumePoint>) -> Result<Fingerprint, PipelineError> {
    let start = start(dataset, options, from)?;
    let beside = match options.beside {
        Beside::Nothing => None,
        Beside::Later(least) => Some(Some(least)),
        Beside::Stream(_) => Some(None),
    };
    let fails = options.damaged == DamagedPolicy::Fail;
    let of_memory = (options.memory, options.images_beside, beside);
    // files of one name may lie in two folders
    let files: Vec<_> = dataset.files().iter().map(|file| &file.path).collect();
    Ok(Fingerprint::of(&(start, fails, of_memory, files)))
}

/// Batches as [`Batches`] gives them, drawn and rendered once for all that run through equal streams at the same time.
///
/// Each batch is a taker's own. A taker waits for others only where it is more than some batches ahead, and for a bounded time: one that
/// stands still streams the rest by itself, to the same bits. Dropping one leaves the others alone. What was left out is noted by each as
/// if it were alone, in its own quarantine file.
#[derive(Debug)]
pub struct JointBatches {
    source: Source,
    joint: Option<JointStreams>,
    dataset: Dataset,
    /// As they are where it goes on by itself.
    options: StreamOptions,
    from: Option<ResumePoint>,
    left_out: LeftOut,
    taken: Arc<Counts>,
    ended: bool,
    /// Of what is shared.
    _part: Option<TakenPart>,
}

#[derive(Debug)]
enum Source {
    Alone(Box<Batches>),
    Joint(Place),
}

impl JointBatches {
    /// Starts a stream at its beginning, or where `from` says, or takes part in an equal one; without `joint` it is alone.
    ///
    /// # Errors
    /// As [`Batches::open`].
    pub fn open(
        joint: Option<&JointStreams>,
        dataset: &Dataset,
        options: StreamOptions,
        from: Option<&ResumePoint>,
    ) -> Result<Self, PipelineError> {
        let left_out = LeftOut::new(&options.damaged, dataset)?;
        let is_second = matches!(options.beside, Beside::Stream(_));
        let part = options.shared.as_ref().filter(|_| !is_second).map(SharedResources::take).transpose()?;
        // who takes the batches notes what was left out of them
        let damaged = match &options.damaged {
            DamagedPolicy::Fail => DamagedPolicy::Fail,
            _ => DamagedPolicy::Skip,
        };
        let options = StreamOptions { damaged, ..options };
        let source = match joint {
            Some(joint) => joint.source(dataset, &options, from)?,
            None => Source::Alone(Box::new(Batches::open_keeping(dataset, options.clone(), from, 0)?.0)),
        };
        Ok(Self {
            source,
            joint: joint.cloned(),
            dataset: dataset.clone(),
            options,
            from: from.cloned(),
            left_out,
            taken: Arc::default(),
            ended: false,
            _part: part,
        })
    }

    /// What was done so far: batches and rows are this one's, times and bytes those of the stream that it takes part in.
    pub fn counters(&self) -> StreamCounters {
        self.monitor().counters()
    }

    /// A handle that outlives it; of the stream that it has now.
    pub fn monitor(&self) -> Monitor {
        let monitor = match &self.source {
            Source::Alone(batches) => batches.monitor(),
            Source::Joint(place) => place.monitor(),
        };
        Monitor { taken: Arc::clone(&self.taken), ..monitor }
    }

    /// The first row that was left out because its image or text cannot be used, and why.
    pub fn first_unreadable(&self) -> Option<&(RowId, String)> {
        self.left_out.first_unreadable()
    }

    /// Whether its batches may be others' too.
    pub fn is_joint(&self) -> bool {
        matches!(self.source, Source::Joint(_))
    }

    fn take(&mut self) -> Option<Result<Handed, PipelineError>> {
        loop {
            let epoch = self.from.as_ref().map_or(0, |from| from.epoch);
            match &mut self.source {
                Source::Alone(batches) => {
                    let finished = batches.next_finished()?;
                    let damaged = finished.damaged;
                    return Some(finished.batch.map(|batch| Handed { batch, damaged }));
                }
                // others go on for more epochs
                Source::Joint(place) if epoch >= self.options.epochs => {
                    place.leave();
                    return None;
                }
                Source::Joint(place) => match place.next() {
                    Taken::Batch(handed) => return Some(Ok(*handed)),
                    // others were there for fewer
                    Taken::End if place.epochs() < self.options.epochs && epoch >= place.epochs() => {
                        let joint = self.joint.as_ref().expect("there is a place in one of these");
                        match joint.source(&self.dataset, &self.options, self.from.as_ref()) {
                            Ok(source) => self.source = source,
                            Err(error) => return Some(Err(error)),
                        }
                        continue;
                    }
                    Taken::End => return None,
                    Taken::Failed(error) => return Some(Err(error)),
                    Taken::Left => {}
                },
            }
            if let Some(joint) = &self.joint {
                joint.0.left.fetch_add(1, Ordering::Relaxed);
            }
            match Batches::open_keeping(&self.dataset, self.options.clone(), self.from.as_ref(), 0) {
                Ok((batches, _)) => self.source = Source::Alone(Box::new(batches)),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn note(&mut self, handed: Handed) -> Result<Batch, PipelineError> {
        let Handed { batch, damaged } = handed;
        let skipped = damaged.len() as u64;
        let new = self.left_out.note(damaged)?;
        self.taken.note(&batch, skipped, new);
        self.from = Some(batch.resume.clone());
        Ok(batch)
    }
}

impl Iterator for JointBatches {
    type Item = Result<Batch, PipelineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let began = Instant::now();
        let taken = self.take();
        self.taken.waited(began);
        let batch = taken.map(|taken| match taken {
            Ok(handed) => self.note(handed),
            Err(error) => Err(self.left_out.explained(error)),
        });
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }
}
