use crate::error::TransformError;
use crate::image_facts::{ImageFacts, LARGEST_SIDE, MOST_CHANNELS};

/// Refuses images without pixels, and larger ones than can be rendered.
pub(crate) fn check_size(facts: &ImageFacts) -> Result<(), TransformError> {
    let ImageFacts { width, height, channels, .. } = *facts;
    let sides = 1..=LARGEST_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(TransformError::ImageSize { width, height, limit: LARGEST_SIDE });
    }
    if (1..=MOST_CHANNELS).contains(&channels) {
        return Ok(());
    }
    Err(TransformError::ChannelCount { channels, limit: MOST_CHANNELS })
}
