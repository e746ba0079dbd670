use millstream_schemas::RowId;

use crate::PipelineError;
use crate::error::Damage;

/// Why a row is not encoded.
#[derive(Debug)]
pub enum EncodeError {
    /// The row cannot be used: the policy for damaged rows decides.
    Damaged(Damage),
    /// The stream cannot go on.
    Fatal(PipelineError),
}

impl From<Damage> for EncodeError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl EncodeError {
    /// As an error about a row.
    pub fn of_row(self, row: &RowId) -> PipelineError {
        match self {
            Self::Damaged(damage) => PipelineError::Damaged { row: row.clone(), image: None, damage },
            Self::Fatal(error) => error,
        }
    }
}
