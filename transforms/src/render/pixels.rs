/// Some pixels of a larger image: where they begin, and what is known of the whole.
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a> {
    pub(super) bytes: &'a [u8],
    /// Pixels from one row to the next.
    pub(super) stride: usize,
    pub(super) left: u32,
    pub(super) top: u32,
}

impl<'a> Pixels<'a> {
    /// The first `columns` pixels of a row.
    pub(super) fn row(&self, row: usize, columns: usize) -> &'a [u8] {
        let start = ((self.top as usize + row) * self.stride + self.left as usize) * 3;
        &self.bytes[start..start + columns * 3]
    }
}
