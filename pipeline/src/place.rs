/// A row by its row group's place in file order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) group: usize,
    pub(crate) row: u32,
    /// How often it has come in the epoch before, where rows come several times.
    pub(crate) turn: u32,
}
