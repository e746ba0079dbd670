//! What happens to rows that cannot be used.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

use millstream_schemas::RowId;
use millstream_schemas::recipe::DamagedPolicy;

use crate::PipelineError;
use crate::error::Damage;

/// The policy, with its file opened.
#[derive(Debug)]
pub(crate) enum DamagedRows {
    Fail,
    Skip,
    Quarantine { path: PathBuf, file: Mutex<File> },
}

impl DamagedRows {
    pub(crate) fn new(policy: &DamagedPolicy) -> Result<Self, PipelineError> {
        Ok(match policy {
            DamagedPolicy::Fail => Self::Fail,
            DamagedPolicy::Skip => Self::Skip,
            DamagedPolicy::Quarantine(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                let file = file.map_err(|source| PipelineError::Quarantine { path: path.clone(), source })?;
                Self::Quarantine { path: path.clone(), file: Mutex::new(file) }
            }
        })
    }

    /// Leaves the row out, or says why that is not allowed.
    pub(crate) fn leave_out(&self, row: &RowId, damage: Damage) -> Result<(), PipelineError> {
        match self {
            Self::Fail => Err(PipelineError::Damaged { row: row.clone(), damage }),
            Self::Skip => {
                tracing::warn!(%row, %damage, "row left out");
                Ok(())
            }
            Self::Quarantine { path, file } => {
                let entry = serde_json::json!({
                    "file": &*row.file,
                    "row_group": row.row_group,
                    "row": row.row,
                    "reason": damage.to_string(),
                });
                // One write a line: lines of several threads do not mix.
                let line = format!("{entry}\n");
                let written = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
                written.map_err(|source| PipelineError::Quarantine { path: path.clone(), source })
            }
        }
    }
}
