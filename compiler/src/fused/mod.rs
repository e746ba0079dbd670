//! One model out of several.
//!
//! [`fuse`] joins their graphs: inputs of one name and type are one, byte-equal weights are stored once, and nodes that do the same to the
//! same values run once, so that members with a common frozen part cost that part once. What the members give is combined by nodes, as a
//! [`Combination`] says. [`average_weights`] makes one model of the size of one member: the mean of their weights.

mod combination;
mod combining;
mod fuse;
mod joined;
mod log_space;
mod mirrored;
mod ranks;
mod shared_inputs;
mod soup;

pub use combination::{Combination, LinearFeatures};
pub use fuse::{FuseOptions, FusedModel, MOST_MEMBERS, Member, fuse};
pub use ranks::RankTable;
pub use soup::{AveragedWeights, average_weights};
