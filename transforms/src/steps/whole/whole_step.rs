use crate::steps::step::Step;

/// A step whose result at any pixel depends on the whole image.
///
/// Values are 0 (black) to 1 (white), one slice a channel, row by row.
pub trait WholeStep: Step {
    /// Changes the image.
    fn apply(&self, channels: &mut [&mut [f32]]);

    /// The slow and obvious twin.
    #[cfg(test)]
    fn twin(&self, channels: &mut [Vec<f32>]);
}
