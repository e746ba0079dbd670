use std::{fmt, io};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Makes the fingerprint of bytes that are written piece by piece.
#[derive(Debug, Default)]
pub struct FingerprintWriter(Sha256);

impl FingerprintWriter {
    /// Of all bytes written.
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl io::Write for FingerprintWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A SHA-256 in lower-case hexadecimal, to tell whether data or settings changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// Of some bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut all = FingerprintWriter::default();
        all.0.update(bytes);
        all.finish()
    }

    /// Of a value's JSON text; the order of struct fields and list items counts.
    pub fn of<T: Serialize>(value: &T) -> Self {
        Self::of_bytes(&serde_json::to_vec(value).expect("our own types have string keys, so they always serialize"))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
