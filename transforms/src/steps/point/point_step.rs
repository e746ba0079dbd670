use crate::steps::step::Step;

/// A step that is a function of one pixel and its place in the image. Neighbouring ones are one pass over the values.
///
/// Values are 0 (black) to 1 (white), one slice a channel.
pub trait PointStep: Step {
    /// Changes some pixels of one row.
    fn apply(&self, place: &RowPlace, row: &mut [&mut [f32]]);

    /// Whether values afterwards are for models alone, not between black and white.
    fn leaves_range(&self) -> bool {
        false
    }

    /// The slow and obvious twin: changes one pixel, which lies in this column.
    #[cfg(test)]
    fn twin(&self, place: &RowPlace, column: u32, pixel: &mut [f32]);
}

/// Where some pixels of a row lie in their image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPlace {
    /// Column of the first.
    pub left: u32,
    /// The row.
    pub y: u32,
    /// Of the whole image, in pixels.
    pub width: u32,
    /// Of the whole image, in pixels.
    pub height: u32,
}
