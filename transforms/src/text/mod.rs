//! Transforms of text: edits of ranges of characters.

mod delete_characters;
mod keyboard_typos;
mod swap_words;

use crate::transform::Transform;

pub(crate) const TABLE: &[Transform] =
    &[delete_characters::TRANSFORM, keyboard_typos::TRANSFORM, swap_words::TRANSFORM];
