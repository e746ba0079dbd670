//! Where graphs run: asked for, tried, and said.

use std::fmt;
use std::str::FromStr;

use ort::ep::{CUDA, ExecutionProvider, ExecutionProviderDispatch, cuda::ConvAlgorithmSearch};
use serde::Serialize;

use crate::{NoCuda, Runtime, RuntimeError};

/// The device as asked for: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceRequest {
    /// CUDA where it can be had, or else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// This CUDA device (the first when not numbered), or an error.
    Cuda(Option<u32>),
}

impl FromStr for DeviceRequest {
    type Err = RuntimeError;

    fn from_str(text: &str) -> Result<Self, RuntimeError> {
        let wrong = || RuntimeError::DeviceName { name: text.to_owned() };
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(None)),
            other => {
                let number = other.strip_prefix("cuda:").ok_or_else(wrong)?;
                Ok(Self::Cuda(Some(number.parse().map_err(|_| wrong())?)))
            }
        }
    }
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(number)) => write!(f, "cuda:{number}"),
        }
    }
}

/// A device that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The CPU.
    Cpu,
    /// A CUDA device by its number.
    Cuda(u32),
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// The device that is used, and why it.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    /// Which.
    pub kind: DeviceKind,
    /// Why, in words: `asked for`, or what `auto` found.
    pub reason: String,
    #[serde(skip)]
    runtime: &'static Runtime,
    #[serde(skip)]
    shares_threads: bool,
    #[serde(skip)]
    uses_tf32: bool,
}

impl Device {
    /// Tries what is asked for.
    ///
    /// # Errors
    /// CUDA is asked for and cannot be had. `auto` never fails: it says what it took and why.
    pub fn resolve(request: DeviceRequest, runtime: &'static Runtime) -> Result<Self, RuntimeError> {
        let (kind, reason) = match request {
            DeviceRequest::Cpu => (DeviceKind::Cpu, "asked for".to_owned()),
            DeviceRequest::Cuda(number) => {
                let number = number.unwrap_or(0);
                try_cuda(runtime, number)
                    .map_err(|reason| RuntimeError::Device { asked: request.to_string(), reason })?;
                (DeviceKind::Cuda(number), "asked for".to_owned())
            }
            DeviceRequest::Auto => match try_cuda(runtime, 0) {
                Ok(()) => (DeviceKind::Cuda(0), "`auto` took CUDA: a session on device 0 could be made".to_owned()),
                Err(reason) => (DeviceKind::Cpu, format!("`auto` took the CPU: no CUDA, {reason}")),
            },
        };
        Ok(Self { kind, reason, runtime, shares_threads: false, uses_tf32: false })
    }

    /// The CPU.
    pub fn cpu(runtime: &'static Runtime) -> Self {
        Self { kind: DeviceKind::Cpu, reason: "asked for".into(), runtime, shares_threads: false, uses_tf32: false }
    }

    /// The same device, whose sessions share the threads of [`Runtime::shared_threads`] instead of having their own. With
    /// as many threads the results are the same to the bit.
    ///
    /// # Errors
    /// The library was loaded without such threads.
    pub fn sharing_threads(self) -> Result<Self, RuntimeError> {
        match self.runtime.shared_threads() {
            Some(_) => Ok(Self { shares_threads: true, ..self }),
            None => Err(RuntimeError::NoSharedThreads),
        }
    }

    /// The same device, whose products of 32-bit floats read the first 10 bits behind the point where its hardware can:
    /// TensorFloat-32 of NVIDIA's GPUs from Ampere on. The CPU computes as ever.
    #[must_use]
    pub fn using_tf32(self) -> Self {
        Self { uses_tf32: true, ..self }
    }

    /// Whether products of 32-bit floats may be made in TensorFloat-32.
    pub fn uses_tf32(&self) -> bool {
        self.uses_tf32
    }

    /// Whether sessions share the library's threads.
    pub fn shares_threads(&self) -> bool {
        self.shares_threads
    }

    /// The library that it belongs to.
    pub fn runtime(&self) -> &'static Runtime {
        self.runtime
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind, self.reason)
    }
}

/// The CUDA provider; a session that cannot have it fails instead of falling back to the CPU.
pub fn cuda_provider(number: u32, uses_tf32: bool) -> ExecutionProviderDispatch {
    CUDA::default()
        .with_device_id(i32::try_from(number).unwrap_or(i32::MAX))
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        .with_tf32(uses_tf32)
        .build()
        .error_on_failure()
}

/// A model with one Identity node on `float32 [1]`: the smallest session that proves a provider.
const IDENTITY: &[u8] = b"\x08\x08:7\n\x10\n\x01x\x12\x01y\"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r";

/// Makes a session on a CUDA device; why not, if it cannot be made.
pub(crate) fn try_cuda(runtime: &Runtime, number: u32) -> Result<(), NoCuda> {
    if !CUDA::is_available().unwrap_or(false) {
        return Err(NoCuda::NotBuilt { library: runtime.library().path.clone() });
    }
    let session = || -> ort::Result<ort::session::Session> {
        ort::session::Session::builder(&runtime.environment)?
            .with_execution_providers([cuda_provider(number, false)])?
            .commit_from_memory(IDENTITY)
    };
    session().map(drop).map_err(NoCuda::Session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_parse_and_print_alike() {
        for (text, request) in [
            ("auto", DeviceRequest::Auto),
            ("cpu", DeviceRequest::Cpu),
            ("cuda", DeviceRequest::Cuda(None)),
            ("cuda:3", DeviceRequest::Cuda(Some(3))),
        ] {
            assert_eq!(text.parse::<DeviceRequest>().unwrap(), request);
            assert_eq!(request.to_string(), text);
        }
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0"] {
            let message = wrong.parse::<DeviceRequest>().unwrap_err().to_string();
            assert!(message.contains("wanted `auto`, `cpu`, `cuda` or `cuda:N`"), "{message}");
        }
    }
}
