/// An image stored without gaps, and followed by padding.
#[derive(Clone, Copy)]
pub(super) struct Sampled<'a> {
    pub(super) bytes: &'a [u8],
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

/// Linear between the four pixels around a point that is counted from the centre of the first; edges continue outwards.
#[inline(always)]
pub(super) fn interpolate(image: &Sampled<'_>, u: f32, v: f32) -> [f32; 3] {
    let (left, top) = (u.floor(), v.floor());
    let (x, y) = (u - left, v - top);
    let (last_column, last_row) = (image.width as i32 - 1, image.height as i32 - 1);
    let column = |offset: i32| (left as i32).saturating_add(offset).clamp(0, last_column) as usize;
    let row = |offset: i32| (top as i32).saturating_add(offset).clamp(0, last_row) as usize * image.width as usize;
    let (here, right, above, below) = (column(0), column(1), row(0), row(1));
    let at = |pixel: usize| &image.bytes[pixel * 3..pixel * 3 + 3];
    let pixels = [at(above + here), at(above + right), at(below + here), at(below + right)];
    [0, 1, 2].map(|channel| {
        let [a, b, c, d] = pixels.map(|pixel| f32::from(pixel[channel]));
        let (high, low) = (a + x * (b - a), c + x * (d - c));
        (high + y * (low - high)) * (1.0 / 255.0)
    })
}
