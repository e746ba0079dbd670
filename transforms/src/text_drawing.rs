use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::error::TransformError;

/// A range of characters (Unicode scalar values, not bytes) and what takes its place.
///
/// The range counts in the text as the edits before it left it. Each transform's edits run from the end of the text to
/// its beginning, so that none of them moves the ranges of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextEdit {
    /// Registered name of the transform.
    pub transform: Cow<'static, str>,
    /// First character replaced, from 0.
    pub start: usize,
    /// One past the last character replaced; `start` for an insertion.
    pub end: usize,
    /// What takes its place.
    pub replacement: String,
}

impl std::fmt::Display for TextEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}..{} → {:?}", self.transform, self.start, self.end, self.replacement)
    }
}

/// Everything that happens to one text. JSON and back is exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextDrawing {
    /// In the order in which they are carried out.
    pub edits: Vec<TextEdit>,
}

impl TextDrawing {
    /// Carries the edits out.
    ///
    /// # Errors
    /// An edit whose range is not in the text: the drawing was made for another text.
    pub fn apply(&self, text: &str) -> Result<String, TransformError> {
        apply(&self.edits, text)
    }

    /// Where the character at this position went; `None` if it was replaced.
    pub fn project_position(&self, position: usize) -> Option<usize> {
        self.edits.iter().try_fold(position, |position, edit| {
            if position < edit.start {
                Some(position)
            } else if position < edit.end {
                None
            } else {
                Some(position - (edit.end - edit.start) + edit.replacement.chars().count())
            }
        })
    }
}

/// Carries edits out, each run that goes from right to left in one pass.
pub(crate) fn apply(edits: &[TextEdit], text: &str) -> Result<String, TransformError> {
    let mut now = text.to_owned();
    let mut done = 0;
    while done < edits.len() {
        let rest = &edits[done..];
        let run = 1 + rest.windows(2).take_while(|pair| pair[1].end <= pair[0].start).count();
        now = apply_run(&rest[..run], done, &now)?;
        done += run;
    }
    Ok(now)
}

fn apply_run(run: &[TextEdit], before: usize, text: &str) -> Result<String, TransformError> {
    let starts: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
    let length = starts.len() - 1;
    let mut result = String::with_capacity(text.len());
    let mut copied = 0;
    for (index, edit) in run.iter().enumerate().rev() {
        let TextEdit { start, end, .. } = *edit;
        if start > end || end > length {
            let transform = edit.transform.to_string();
            return Err(TransformError::Edit { index: before + index, transform, start, end, length });
        }
        result.push_str(&text[copied..starts[start]]);
        result.push_str(&edit.replacement);
        copied = starts[end];
    }
    result.push_str(&text[copied..]);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(start: usize, end: usize, replacement: &str) -> TextEdit {
        TextEdit { transform: "test".into(), start, end, replacement: replacement.into() }
    }

    #[test]
    fn edits_count_characters_and_follow_each_other() {
        let drawing = TextDrawing { edits: vec![edit(5, 6, "ß"), edit(0, 2, "xyz"), edit(0, 1, ""), edit(5, 5, "!")] };
        // 0123456        after the first run: xyz語 wßz → yz語 wßz → yz語 w!ßz
        assert_eq!(drawing.apply("äö語 wéz").unwrap(), "yz語 w!ßz");
        assert_eq!(drawing.project_position(2), Some(2));
        assert_eq!(drawing.project_position(0), None);
        assert_eq!(drawing.project_position(6), Some(7));
        let back: TextDrawing = serde_json::from_str(&serde_json::to_string(&drawing).unwrap()).unwrap();
        assert_eq!(back, drawing);
    }

    #[test]
    fn a_drawing_of_another_text_is_refused() {
        for bad in [edit(3, 9, "x"), edit(2, 1, "x"), edit(9, 9, "")] {
            let drawing = TextDrawing { edits: vec![bad] };
            assert!(matches!(drawing.apply("äbc"), Err(TransformError::Edit { index: 0, length: 3, .. })));
        }
    }
}
