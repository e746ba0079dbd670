use crate::random::Random;
use crate::text_drawing::TextEdit;

/// A transform of text with its options.
pub trait TextTransform: Send + Sync {
    /// Whether two draws can differ.
    fn is_random(&self) -> bool;

    /// Whether, with these options, it can do to the label what its row states.
    fn changes_label(&self) -> bool {
        false
    }

    /// What changes in this text: ranges that do not overlap, in ascending order.
    fn draw(&self, text: &str, random: &mut Random) -> Vec<Change>;
}

/// Characters `start..end` become `replacement`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// First character replaced, from 0.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// What takes their place.
    pub replacement: String,
}

impl Change {
    pub(crate) fn named(self, transform: &'static str) -> TextEdit {
        let Self { start, end, replacement } = self;
        TextEdit { transform: transform.into(), start, end, replacement }
    }
}
