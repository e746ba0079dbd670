/// Rows that are looked at to find out what a column holds, at most.
pub(super) const MOST_ROWS: usize = 2000;
