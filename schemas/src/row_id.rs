use std::fmt;
use std::sync::Arc;

use crate::shown_path;

/// Which row of which file: printed in every error, kept in every batch, enough to read that row again.
///
/// Randomness is keyed by [`RowId::key`], which depends on the file's name inside the dataset and not on the folder
/// the dataset lies in, so that a moved dataset gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowId {
    /// The file's path relative to the folder that all files of the dataset share; unique within the dataset.
    pub file: Arc<str>,
    /// Row group within the file, from 0.
    pub row_group: u32,
    /// Row within the row group, from 0.
    pub row: u32,
}

impl RowId {
    /// A 64-bit key of the row's identity (FNV-1a over the file's name, the row group and the row).
    pub fn key(&self) -> u64 {
        let numbers = [self.row_group.to_le_bytes(), self.row.to_le_bytes()];
        let bytes = self.file.bytes().chain([0xff]).chain(numbers.into_iter().flatten());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, row group {}, row {}", shown_path(&*self.file), self.row_group, self.row)
    }
}
