use std::sync::Arc;

use super::tokenized_text::TokenizedText;

/// What a person is shown of an encoded target, on the picture or the text that the model gets. It is read back from the
/// tensors, so that what is shown is what is trained on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Mark {
    /// The class of each pixel.
    Regions {
        /// Pixels across.
        width: usize,
        /// Row by row from the top left; `None` where a pixel does not count.
        classes: Vec<Option<u16>>,
        /// Names of the classes.
        names: Arc<[String]>,
    },
    /// A box, in pixels of the picture.
    Box {
        /// From the left of the picture.
        left: f32,
        /// From its top.
        top: f32,
        /// From its left.
        right: f32,
        /// From its top.
        bottom: f32,
        /// Number and name of its class, where it has one.
        class: Option<(usize, String)>,
    },
    /// A point, in pixels of the picture; the centre of the first is ½.
    Point {
        /// From the left of the picture.
        x: f32,
        /// From its top.
        y: f32,
        /// Which of the row's points, from 0.
        number: usize,
        /// Its name, where points have names.
        name: Option<String>,
    },
    /// Characters of the text.
    Span {
        /// The first, from 0.
        start: usize,
        /// One past the last.
        end: usize,
        /// Name of its class.
        class: String,
    },
}

/// What a person sees of a row, where [`Mark`]s are to be placed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Seen<'a> {
    /// A picture of this width and height.
    Picture((u32, u32)),
    /// A text, as the model gets it.
    Text(&'a TokenizedText),
}
