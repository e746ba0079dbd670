//! What the inputs of a split are like: sizes of images, lengths of texts, and rows whose input cannot be read.

use millstream_pipeline::encodings::View;
use millstream_pipeline::{Dataset, RowValues, Value, decode};
use millstream_schemas::recipe::TransparencyPolicy;
use serde::{Deserialize, Serialize};

use crate::{RecipeError, RowSource};

/// Bytes of inputs that are looked at; the rest of a larger split is not.
const MOST_BYTES: u64 = 1 << 30;

/// What the inputs of a split are like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Nulls by column.
type Nulls = Vec<(String, u64)>;

impl InputFacts {
    /// Of the column that people see of a split, none where the inputs are numbers; and of the columns `uncounted` the nulls, where all
    /// rows were looked at and hold what can be read.
    ///
    /// # Errors
    /// A row group cannot be read.
    pub(crate) fn of(
        source: &RowSource,
        transparency: TransparencyPolicy,
        uncounted: &[String],
    ) -> Result<(Option<Self>, Nulls), RecipeError> {
        let dataset = &source.dataset;
        match source.encoders.shown_input() {
            Some((column, View::Image)) => {
                let size = |value: Value<'_>| image_size(value, transparency);
                let (facts, nulls) = measured(dataset, (column, "image"), ["width", "height"], uncounted, size)?;
                Ok((Some(facts), nulls))
            }
            Some((column, View::Text)) => {
                let names = ["characters", "words"];
                let (facts, nulls) = measured(dataset, (column, "text"), names, uncounted, text_length)?;
                Ok((Some(facts), nulls))
            }
            _ => Ok((None, Nulls::new())),
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
    (column, kind): (&str, &str),
    names: [&str; 2],
    uncounted: &[String],
    measure: impl Fn(Value<'_>) -> Result<[u64; 2], String>,
) -> Result<(InputFacts, Nulls), RecipeError> {
    // of the others those whose type the reader takes, in the same pass
    let is_read = |other: &String| dataset.find_row(std::slice::from_ref(other), |_| Some(())).is_ok();
    let others = uncounted.iter().filter(|other| other.as_str() != column).filter(|other| is_read(other)).cloned();
    let columns: Vec<String> = [column.to_owned()].into_iter().chain(others).collect();
    let (facts, mut nulls) = match looked_at(dataset, &columns, kind, names, &measure) {
        // what cannot be counted in all files is not said
        Err(_) if columns.len() > 1 => looked_at(dataset, &columns[..1], kind, names, &measure)?,
        found => found?,
    };
    nulls.retain(|(name, _)| uncounted.contains(name));
    Ok((facts, nulls))
}

/// One pass over rows, whose first column is measured; the nulls of each column where it came to the end.
fn looked_at(
    dataset: &Dataset,
    columns: &[String],
    kind: &str,
    names: [&str; 2],
    measure: impl Fn(Value<'_>) -> Result<[u64; 2], String>,
) -> Result<(InputFacts, Nulls), RecipeError> {
    let (mut rows, mut damaged, mut first_damaged, mut bytes) = (0, 0, None, 0_u64);
    let mut found: [Vec<u64>; 2] = Default::default();
    let mut nulls = vec![0_u64; columns.len()];
    dataset.find_row(columns, |row: RowValues<'_>| {
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
        for (at, count) in nulls.iter_mut().enumerate() {
            *count += u64::from(matches!(row.get(at), Value::Null));
        }
        rows += 1;
        (bytes > MOST_BYTES).then_some(())
    })?;
    let quantities = names.into_iter().zip(found).filter_map(|(name, all)| quantity(name, all));
    let facts = InputFacts {
        column: columns[0].clone(),
        kind: kind.to_owned(),
        looked_at: rows,
        damaged,
        first_damaged,
        quantities: quantities.collect(),
    };
    let counted = columns.iter().cloned().zip(nulls).filter(|_| rows == dataset.rows());
    Ok((facts, counted.collect()))
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
