use std::fmt;

use millstream_pipeline::encodings::{Mark, StreamFacts};
use millstream_pipeline::{Drawn, MarkReader, Value};
use millstream_schemas::recipe::DataRecipe;
use millstream_schemas::{count, escaped, shown};
use millstream_transforms::{TextDrawing, TextEdit};
use serde::Serialize;

use super::rows::{row_id, unless_left_out};
use super::word_diff::{TextChange, TextPiece, word_diff};
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
    /// The original and the text after the edits, in the order in which they are read.
    pub pieces: Vec<TextPiece>,
    /// How many edits each transform made, in the order in which they were made.
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
        rows.extend(unless_left_out(source, data, render_row(source, &reader, row))?);
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
        let text = drawing.apply(original)?;
        variants.push(TextVariant {
            pieces: word_diff(original, &text),
            text,
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

/// `swap_words: 2 edits`.
fn by_transform(drawing: &TextDrawing) -> Vec<String> {
    let runs = drawing.edits.chunk_by(|a, b| a.transform == b.transform);
    let line = |run: &[TextEdit]| format!("{}: {}", run[0].transform, count(run.len() as u64, "edit"));
    runs.map(line).collect()
}

impl TextPreview {
    /// The original, then each variant with what was taken out of it and put into it, which `paint` makes to be seen; foreign text
    /// is escaped before.
    pub fn painted(&self, paint: &dyn Fn(TextChange, &str) -> String) -> String {
        let mut out = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            let label = row.label.as_ref().map_or_else(String::new, |label| format!("{}: ", shown(label)));
            out += &format!("{label}{}\n  original  {}\n", row.row, escaped(&row.original));
            for (epoch, variant) in (1..).zip(&row.variants) {
                let piece = |TextPiece { text, change }: &TextPiece| {
                    // what is between two pieces is of neither
                    let body = text.trim_end();
                    format!("{}{}", paint(*change, &escaped(body)), if body.len() < text.len() { " " } else { "" })
                };
                let pieces: String = variant.pieces.iter().map(piece).collect();
                out += &format!("  epoch {epoch:<3} {pieces}\n");
                if !variant.spans.is_empty() {
                    out += &format!("  marked    {}\n", variant.bracketed());
                }
                if !variant.edits.is_empty() {
                    out += &format!("            {}\n", variant.edits.join(", "));
                }
            }
        }
        out
    }
}

/// As [`painted`](TextPreview::painted), what was taken out as `[-so-]` and what was put in as `{+so+}`.
impl fmt::Display for TextPreview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.painted(&|change, text| match change {
            TextChange::Kept => text.to_owned(),
            TextChange::Added => format!("{{+{text}+}}"),
            TextChange::Removed => format!("[-{text}-]"),
        }))
    }
}
