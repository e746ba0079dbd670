/// Some pixels of a larger image: where they begin, and what is known of the whole.
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a, S> {
    pub(super) values: &'a [S],
    pub(super) channels: usize,
    /// Pixels from one row to the next.
    pub(super) stride: usize,
    pub(super) left: u32,
    pub(super) top: u32,
}

impl<'a, S> Pixels<'a, S> {
    /// The first `columns` pixels of a row.
    pub(super) fn row(&self, row: usize, columns: usize) -> &'a [S] {
        let start = ((self.top as usize + row) * self.stride + self.left as usize) * self.channels;
        &self.values[start..start + columns * self.channels]
    }
}
