use crate::batch_drawing::BatchStep;
use crate::random::Random;

/// A transform of batches with its options.
pub trait BatchTransform: Send + Sync {
    /// Whether two draws can differ.
    fn is_random(&self) -> bool;

    /// Whether, with these options, it can do to the label what its row states.
    fn changes_label(&self) -> bool {
        false
    }

    /// What happens to a batch in which these slots take part.
    fn draw(&self, taking_part: &[bool], random: &mut Random) -> Option<BatchStep>;
}
