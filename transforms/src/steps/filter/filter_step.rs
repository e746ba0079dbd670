use crate::steps::step::Step;

/// A step whose result at a pixel depends on the pixels within a radius, channel by channel.
///
/// Values are 0 (black) to 1 (white). Beyond its edges the image is mirrored about the outermost pixels.
pub trait FilterStep: Step {
    /// How far it looks each way, in pixels.
    fn radius(&self) -> u32;

    /// The result in a window (left, top, width, height) of the image, row by row.
    fn filter(&self, input: &Neighbours<'_>, window: [u32; 4], out: &mut [f32]);

    /// The slow and obvious twin: the result at one pixel, from the values so many columns to the right and rows below.
    #[cfg(test)]
    fn twin(&self, at: &dyn Fn(i64, i64) -> f64) -> f64;
}

/// One channel of an image, or the part of it that a window and its radius need.
#[derive(Clone, Copy, Debug)]
pub struct Neighbours<'a> {
    /// Row by row.
    pub(crate) values: &'a [f32],
    /// Left, top, width and height of the part.
    pub(crate) part: [u32; 4],
    /// Of the whole image.
    pub(crate) size: [u32; 2],
}

impl<'a> Neighbours<'a> {
    /// Of a row of the image, which may lie beyond its edges, the columns that the part has.
    pub(crate) fn row(&self, y: i64) -> &'a [f32] {
        let [_, top, width, _] = self.part;
        let start = (mirrored(y, self.size[1]) - top) as usize * width as usize;
        &self.values[start..start + width as usize]
    }

    /// Where a column of the image, which may lie beyond its edges, is within a row.
    pub(crate) fn column(&self, x: i64) -> usize {
        (mirrored(x, self.size[0]) - self.part[0]) as usize
    }
}

/// The place within a length where a place beyond it is mirrored to, about the outermost pixels.
pub(crate) fn mirrored(place: i64, length: u32) -> u32 {
    let last = i64::from(length) - 1;
    if last <= 0 {
        return 0;
    }
    let place = place.rem_euclid(2 * last);
    place.min(2 * last - place) as u32
}
