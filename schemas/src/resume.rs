use serde::{Deserialize, Serialize};

use crate::Fingerprint;

/// Where a stream of batches stands: small, versioned, and of constant size however large the dataset is.
///
/// The order is a pure function of seed, epoch and position, so continuing is arithmetic: no buffer is refilled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumePoint {
    /// Version of this format; 1.
    pub version: u32,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Epoch of the next row, from 0.
    pub epoch: u64,
    /// Position of the next row within the epoch's order, from 0.
    pub position: u64,
    /// Of the files that were read: names, sizes, footers, and the labels.
    pub dataset: Fingerprint,
    /// Of what decides order and bytes: columns, transforms, order, batch size.
    pub recipe: Fingerprint,
}

impl ResumePoint {
    /// The version that this build writes and reads.
    pub const VERSION: u32 = 1;
}
