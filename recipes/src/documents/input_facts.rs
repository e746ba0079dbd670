//! What the inputs of a split are like: sizes of images, lengths of texts, and rows whose input cannot be read.

use millstream_pipeline::encodings::View;
use millstream_pipeline::{Dataset, RowValues, Value, decode};
use millstream_schemas::recipe::TransparencyPolicy;
use serde::Serialize;

use crate::{RecipeError, RowSource};

/// Bytes of inputs that are looked at; the rest of a larger split is not.
const MOST_BYTES: u64 = 1 << 30;

/// What the inputs of a split are like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputFacts {
    /// The column.
    pub column: String,
    /// `image` or `text`.
    pub kind: String,
    /// Rows that were looked at: all, or the first of them.
    pub looked_at: u64,
    /// Those whose input is missing or cannot be decoded.
    pub damaged: u64,
    /// The first of them, and what is wrong with it.
    pub first_damaged: Option<String>,
    /// Of images `width` and `height` in pixels, of texts `characters` and `words`.
    pub quantities: Vec<Quantity>,
}

/// How large something is, over rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quantity {
    /// What.
    pub name: String,
    /// The least.
    pub least: u64,
    /// What one in twenty is below.
    pub low: u64,
    /// The median.
    pub median: u64,
    /// What one in twenty is above.
    pub high: u64,
    /// The largest.
    pub most: u64,
}

impl InputFacts {
    /// Of the column that people see of a split; none where the inputs are numbers.
    ///
    /// # Errors
    /// A row group cannot be read.
    pub(super) fn of(source: &RowSource, transparency: TransparencyPolicy) -> Result<Option<Self>, RecipeError> {
        match source.encoders.shown_input() {
            Some((column, View::Image)) => {
                let size = |value: Value<'_>| image_size(value, transparency);
                measured(&source.dataset, column, "image", ["width", "height"], size).map(Some)
            }
            Some((column, View::Text)) => {
                measured(&source.dataset, column, "text", ["characters", "words"], text_length).map(Some)
            }
            _ => Ok(None),
        }
    }
}

fn image_size(value: Value<'_>, transparency: TransparencyPolicy) -> Result<[u64; 2], String> {
    let Value::Bytes(bytes) = value else { return Err("there is no image".into()) };
    let image = decode::decode(bytes, transparency).map_err(|error| error.to_string())?;
    Ok([image.width, image.height].map(u64::from))
}

fn text_length(value: Value<'_>) -> Result<[u64; 2], String> {
    let Value::Text(text) = value else { return Err("there is no text".into()) };
    Ok([text.chars().count(), text.split_whitespace().count()].map(|length| length as u64))
}

fn measured(
    dataset: &Dataset,
    column: &str,
    kind: &str,
    names: [&str; 2],
    measure: impl Fn(Value<'_>) -> Result<[u64; 2], String>,
) -> Result<InputFacts, RecipeError> {
    let (mut rows, mut damaged, mut first_damaged, mut bytes) = (0, 0, None, 0_u64);
    let mut found: [Vec<u64>; 2] = Default::default();
    dataset.find_row(&[column.to_owned()], |row: RowValues<'_>| {
        let value = row.get(0);
        bytes += match value {
            Value::Bytes(value) => value.len() as u64,
            Value::Text(text) => text.len() as u64,
            _ => 0,
        };
        match measure(value) {
            Ok(sizes) => found.iter_mut().zip(sizes).for_each(|(all, size)| all.push(size)),
            Err(reason) => {
                damaged += 1;
                first_damaged.get_or_insert_with(|| format!("{}: {reason}", dataset.row_at(rows)));
            }
        }
        rows += 1;
        (bytes > MOST_BYTES).then_some(())
    })?;
    let quantities = names.into_iter().zip(found).filter_map(|(name, all)| quantity(name, all));
    Ok(InputFacts {
        column: column.to_owned(),
        kind: kind.to_owned(),
        looked_at: rows,
        damaged,
        first_damaged,
        quantities: quantities.collect(),
    })
}

fn quantity(name: &str, mut all: Vec<u64>) -> Option<Quantity> {
    all.sort_unstable();
    let at = |share: f64| all[(share * (all.len() - 1) as f64).round() as usize];
    let name = name.to_owned();
    (!all.is_empty()).then(|| Quantity {
        name,
        least: at(0.0),
        low: at(0.05),
        median: at(0.5),
        high: at(0.95),
        most: at(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_the_sorted_values() {
        let found = quantity("width", (1..=101).rev().collect()).unwrap();
        assert_eq!([found.least, found.low, found.median, found.high, found.most], [1, 6, 51, 96, 101]);
        assert_eq!(quantity("width", Vec::new()), None);
        assert_eq!(text_length(Value::Text("two  wörds\n")), Ok([11, 2]));
        assert!(text_length(Value::Null).is_err());
        assert!(image_size(Value::Bytes(b"no image"), TransparencyPolicy::default()).is_err());
    }
}
