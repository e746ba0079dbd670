use std::fmt;

use millstream_pipeline::encodings::{Mark, StreamFacts};
use millstream_pipeline::{Drawn, MarkReader, PipelineError, Value};
use millstream_schemas::recipe::{DamagedPolicy, DataRecipe};
use millstream_schemas::{escaped, shown};
use millstream_transforms::{TextDrawing, TextEdit};
use serde::Serialize;

use super::rows::row_id;
use super::{Drawing, DrawnPreview, DrawnRow};
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
    /// What is marked in it, by its targets, read back from the tensors that training would see; in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<TextSpan>,
    /// The edits in the order in which they were made, those of one transform together.
    pub edits: Vec<String>,
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextSpan {
    /// Its first character, from 0.
    pub start: usize,
    /// One past its last.
    pub end: usize,
    /// Name of its class.
    pub class: String,
}

pub(super) fn render(source: &RowSource, data: &DataRecipe, drawn: &DrawnPreview) -> Result<TextPreview, RecipeError> {
    let stream = StreamFacts { dataset: &source.dataset, chain: &source.chain, seed: drawn.seed };
    let reader = MarkReader::new(&source.encoders, &stream)?;
    let mut rows = Vec::new();
    for row in &drawn.rows {
        match render_row(source, &reader, row) {
            Ok(row) => rows.push(row),
            Err(RecipeError::Pipeline(PipelineError::Damaged { row, damage }))
                if data.damaged != DamagedPolicy::Fail =>
            {
                tracing::warn!(%row, %damage, "row left out");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(TextPreview { rows })
}

fn render_row(source: &RowSource, reader: &MarkReader<'_>, row: &DrawnRow) -> Result<TextPreviewRow, RecipeError> {
    let (column, _) = source.shown_column()?;
    let id = row_id(row);
    let read = source.dataset.read_row(&id, source.encoders.columns())?;
    let Some(Value::Text(original)) = read.get(&column) else {
        return Err(RecipeError::ReplayKind { drawn: "text", data: "images" });
    };
    let mut variants = Vec::new();
    for drawing in &row.draws {
        let Drawing::Text(drawing) = drawing else {
            return Err(RecipeError::ReplayKind { drawn: "images", data: "text" });
        };
        let marks = reader.marks(&read, Drawn::Text(drawing))?;
        variants.push(TextVariant {
            text: drawing.apply(original)?,
            spans: marks.into_iter().filter_map(span).collect(),
            edits: by_transform(drawing),
        });
    }
    Ok(TextPreviewRow { row: id.to_string(), label: row.label.clone(), original: original.to_owned(), variants })
}

fn span(mark: Mark) -> Option<TextSpan> {
    match mark {
        Mark::Span { start, end, class } => Some(TextSpan { start, end, class }),
        _ => None,
    }
}

impl TextVariant {
    /// The text with brackets around what is marked: `[Ada Lovelace](person) was born in [London](place)`.
    fn bracketed(&self) -> String {
        let letters: Vec<char> = self.text.chars().collect();
        let part = |from: usize, until: usize| {
            let text: String = letters.get(from..until).unwrap_or_default().iter().collect();
            escaped(&text).into_owned()
        };
        let (mut out, mut from) = (String::new(), 0);
        for TextSpan { start, end, class } in &self.spans {
            out += &format!("{}[{}]({})", part(from, *start), part(*start, *end), shown(class));
            from = *end;
        }
        out + &part(from, letters.len())
    }
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
                writeln!(f, "  epoch {epoch:<3} {}", variant.bracketed())?;
                if !variant.edits.is_empty() {
                    writeln!(f, "            {}", variant.edits.join("; "))?;
                }
            }
        }
        Ok(())
    }
}
