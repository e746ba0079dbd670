/// Values behind the last pixel that a warp may read and never uses.
pub(super) const PADDING: usize = 4;

/// What one value of an image is stored as.
pub(super) trait Sample: Copy + Default + Send + Sync + 'static {
    /// What makes 0 to 1 of the raw value.
    const UNIT: f32;

    /// As a float, in its own range.
    fn raw(self) -> f32;
}

impl Sample for u8 {
    const UNIT: f32 = 1.0 / 255.0;

    #[inline(always)]
    fn raw(self) -> f32 {
        f32::from(self)
    }
}

impl Sample for f32 {
    const UNIT: f32 = 1.0;

    #[inline(always)]
    fn raw(self) -> f32 {
        self
    }
}

/// An image stored without gaps, and followed by padding.
#[derive(Clone, Copy)]
pub(super) struct Sampled<'a, S> {
    pub(super) values: &'a [S],
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Where the samples of a row lie: column `x` of the output is at (`u + x·du`, `v + x·dv`), counted from the centre of
/// the first pixel.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) u: f32,
    pub(super) v: f32,
    pub(super) du: f32,
    pub(super) dv: f32,
}

/// Where the four pixels around a point begin among the values, and how far the point is between them.
#[inline(always)]
pub(super) fn around<S>(image: &Sampled<'_, S>, channels: usize, u: f32, v: f32) -> ([usize; 4], f32, f32) {
    let (left, top) = (u.floor(), v.floor());
    let (last_column, last_row) = (image.width as i32 - 1, image.height as i32 - 1);
    let column = |offset: i32| (left as i32).saturating_add(offset).clamp(0, last_column) as usize;
    let row = |offset: i32| (top as i32).saturating_add(offset).clamp(0, last_row) as usize * image.width as usize;
    let (here, right, above, below) = (column(0), column(1), row(0), row(1));
    let starts = [above + here, above + right, below + here, below + right].map(|pixel| pixel * channels);
    (starts, u - left, v - top)
}

/// Between four values, of which two lie above and two below.
#[inline(always)]
pub(super) fn between<S: Sample>(values: [S; 4], x: f32, y: f32) -> f32 {
    let [a, b, c, d] = values.map(S::raw);
    let (high, low) = (a + x * (b - a), c + x * (d - c));
    (high + y * (low - high)) * S::UNIT
}

/// Linear between the four pixels around a point that is counted from the centre of the first; edges continue outwards.
#[inline(always)]
pub(super) fn interpolate<S: Sample, const C: usize>(image: &Sampled<'_, S>, u: f32, v: f32) -> [f32; C] {
    let (starts, x, y) = around(image, C, u, v);
    let pixels = starts.map(|start| &image.values[start..start + C]);
    std::array::from_fn(|channel| between(pixels.map(|pixel| pixel[channel]), x, y))
}
