use serde::{Deserialize, Serialize};

use crate::text_drawing::{TextDrawing, TextEdit};

/// A range of characters (Unicode scalar values, not bytes) of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The first character, from 0.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// What it marks; goes with it.
    pub label: i64,
}

impl Span {
    /// Where it is after the edits; none where nothing is left of it. What takes the place of a part of it belongs to it,
    /// what is inserted before or behind it does not.
    pub(super) fn moved(&self, drawing: &TextDrawing) -> Option<Self> {
        let moved = drawing.edits.iter().fold(*self, |span, edit| span.edited(edit));
        (moved.start < moved.end).then_some(moved)
    }

    fn edited(self, edit: &TextEdit) -> Self {
        let added = edit.replacement.chars().count();
        let behind = |place: usize| place - (edit.end - edit.start) + added;
        let start = match self.start {
            start if start >= edit.end => behind(start),
            start => start.min(edit.start),
        };
        let end = match self.end {
            end if end <= edit.start => end,
            end if end >= edit.end => behind(end),
            _ => edit.start + added,
        };
        Self { start, end: end.max(start), label: self.label }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The range `[…]` of a text, an edit, and the range afterwards.
    #[test]
    fn spans_follow_edits() {
        for (before, start, end, replacement, after) in [
            ("ab[cde]f", 0, 1, "", Some("b[cde]f")),
            ("ab[cde]f", 3, 4, "", Some("ab[ce]f")),
            ("ab[cde]f", 2, 3, "xyz", Some("ab[xyzde]f")),
            ("ab[cde]f", 4, 5, "x", Some("ab[cdx]f")),
            ("ab[cde]f", 5, 6, "", Some("ab[cde]")),
            ("ab[cde]f", 1, 3, "x", Some("a[xde]f")),
            ("ab[cde]f", 4, 6, "xy", Some("ab[cdxy]")),
            ("ab[cde]f", 2, 5, "x", Some("ab[x]f")),
            ("ab[cde]f", 2, 5, "", None),
            ("ab[cde]f", 1, 6, "", None),
            ("ab[cde]f", 2, 2, "x", Some("abx[cde]f")),
            ("ab[cde]f", 5, 5, "x", Some("ab[cde]xf")),
            ("ab[cde]f", 3, 3, "xy", Some("ab[cxyde]f")),
            ("ä語[cde]f", 0, 1, "", Some("語[cde]f")),
        ] {
            let place = |text: &str, mark: char| text.chars().position(|c| c == mark).unwrap();
            let parse = |text: &str| Span { start: place(text, '['), end: place(text, ']') - 1, label: 4 };
            let edit = TextEdit { transform: "test".into(), start, end, replacement: replacement.into() };
            let drawing = TextDrawing { edits: vec![edit] };
            assert_eq!(parse(before).moved(&drawing), after.map(parse), "{before} {drawing:?}");
            if let Some(after) = after {
                let plain = |text: &str| text.replace(['[', ']'], "");
                assert_eq!(drawing.apply(&plain(before)).unwrap(), plain(after));
            }
        }
    }
}
