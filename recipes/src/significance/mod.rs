//! Whether what was counted could be chance: exact tests of small tables, and what becomes of them when many are made.

mod fisher;
mod holm;
mod ln_factorial;
mod mantel_haenszel;
mod mcnemar;

pub(crate) use fisher::fisher;
pub(crate) use holm::holm;
pub(crate) use mantel_haenszel::mantel_haenszel;
pub(crate) use mcnemar::mcnemar;
