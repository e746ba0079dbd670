use crate::image_facts::ImageFacts;
use crate::random::Random;
use crate::steps::ImageStep;

/// A transform of images with its options.
pub trait ImageTransform: Send + Sync {
    /// Whether two draws can differ.
    fn is_random(&self) -> bool;

    /// Whether, with these options, it can do to the label what its row states.
    fn changes_label(&self) -> bool {
        false
    }

    /// Appends what happens to an image of this size; nothing, if it is left alone this time.
    fn draw(&self, facts: &ImageFacts, random: &mut Random, steps: &mut Vec<ImageStep>);

    /// The size afterwards, where it follows from the size before.
    fn output_size(&self, input: Option<ImageFacts>) -> Option<ImageFacts> {
        input
    }

    /// Refuses images of so many channels, where it has no meaning for them, with what was wanted and what was got.
    ///
    /// # Errors
    /// Options for another number of channels.
    fn check_channels(&self, channels: u32) -> Result<(), String> {
        let _ = channels;
        Ok(())
    }

    /// Whether what it returns is no image any more.
    fn must_be_last(&self) -> bool {
        false
    }
}

/// What a transform draws for a row's image of this size.
#[cfg(test)]
pub(crate) fn draw(transform: &dyn ImageTransform, width: u32, height: u32, row: u64) -> Vec<ImageStep> {
    let mut steps = Vec::new();
    let mut random = crate::DrawKey { seed: 11, epoch: 0, row }.random("test", 0);
    transform.draw(&ImageFacts::new(width, height), &mut random, &mut steps);
    steps
}
