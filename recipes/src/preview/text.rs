use std::fmt;

use millstream_pipeline::Value;
use millstream_schemas::{escaped, shown};
use millstream_transforms::{TextDrawing, TextEdit};
use serde::Serialize;

use super::rows::row_id;
use super::{Drawing, DrawnPreview};
use crate::RecipeError;
use crate::row_source::RowSource;

/// Texts and what the transforms made of them.
#[derive(Clone, Debug, Serialize)]
pub struct TextPreview {
    /// One entry a row.
    pub rows: Vec<TextPreviewRow>,
}

/// One text and its variants.
#[derive(Clone, Debug, Serialize)]
pub struct TextPreviewRow {
    /// Which row.
    pub row: String,
    /// Name of its class, where it has one.
    pub label: Option<String>,
    /// As stored.
    pub original: String,
    /// One entry a draw.
    pub variants: Vec<TextVariant>,
}

/// One draw.
#[derive(Clone, Debug, Serialize)]
pub struct TextVariant {
    /// The text after the edits.
    pub text: String,
    /// The edits in the order in which they were made, those of one transform together.
    pub edits: Vec<String>,
}

pub(super) fn render(source: &RowSource, drawn: &DrawnPreview) -> Result<TextPreview, RecipeError> {
    let (column, _) = source.shown_column()?;
    let mut rows = Vec::new();
    for row in &drawn.rows {
        let id = row_id(row);
        let read = source.dataset.read_row(&id, std::slice::from_ref(&column))?;
        let Some(Value::Text(original)) = read.get(&column) else {
            return Err(RecipeError::Replay("the steps were drawn for text, the data holds images".into()));
        };
        let mut variants = Vec::new();
        for drawing in &row.draws {
            let Drawing::Text(drawing) = drawing else {
                return Err(RecipeError::Replay("the steps were drawn for images, the data holds text".into()));
            };
            variants.push(TextVariant { text: drawing.apply(original)?, edits: by_transform(drawing) });
        }
        rows.push(TextPreviewRow {
            row: id.to_string(),
            label: row.label.clone(),
            original: original.to_owned(),
            variants,
        });
    }
    Ok(TextPreview { rows })
}

/// `swap_words: 7..9 → "the", 1..3 → "of"`.
fn by_transform(drawing: &TextDrawing) -> Vec<String> {
    let runs = drawing.edits.chunk_by(|a, b| a.transform == b.transform);
    let line = |run: &[TextEdit]| {
        let edits: Vec<_> =
            run.iter().map(|edit| format!("{}..{} → {:?}", edit.start, edit.end, edit.replacement)).collect();
        format!("{}: {}", run[0].transform, edits.join(", "))
    };
    runs.map(line).collect()
}

/// The original, then each variant with its edits below it.
impl fmt::Display for TextPreview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let label = row.label.as_ref().map_or_else(String::new, |label| format!(" ({})", shown(label)));
            writeln!(f, "{}{label}", row.row)?;
            writeln!(f, "  original  {}", escaped(&row.original))?;
            for (epoch, variant) in (1..).zip(&row.variants) {
                writeln!(f, "  epoch {epoch:<3} {}", escaped(&variant.text))?;
                if !variant.edits.is_empty() {
                    writeln!(f, "            {}", variant.edits.join("; "))?;
                }
            }
        }
        Ok(())
    }
}
