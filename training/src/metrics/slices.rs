//! Figures of rows apart, by the values of a column.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::figure_kind::FigureKind;
use super::figures::Figures;
use super::interval::{by_name, intervals_of};

/// The figures of the rows of each value of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlicedColumn {
    /// The column.
    pub column: String,
    /// One for each value, those of the most rows first; behind them rows without a value, and all other values together.
    pub slices: Vec<Slice>,
}

impl SlicedColumn {
    /// Whether a slice has a figure of this kind, and none an interval of it, as of what is no share of rows without a bootstrap.
    pub fn lacks_interval(&self, kind: &FigureKind) -> bool {
        let has_figure = |slice: &Slice| slice.figures.get(&kind.name).is_some();
        self.slices.iter().any(has_figure) && self.slices.iter().all(|slice| slice.interval(&kind.name).is_none())
    }

    /// What stands above a figure in a table of the slices: `f1`, or `f1 (no interval)`.
    pub fn heading(&self, kind: &FigureKind) -> String {
        if self.lacks_interval(kind) { format!("{} (no interval)", kind.label()) } else { kind.label() }
    }
}

/// The figures of the rows of one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Slice {
    /// Which rows they are.
    #[serde(flatten)]
    pub name: SliceName,
    /// Rows with a target.
    pub rows: u64,
    /// The figures of the whole evaluation, of these rows alone; no loss, which is a mean over whole batches.
    pub figures: Figures,
    /// Intervals of the figures that have one, `[low, high]`.
    #[serde(serialize_with = "by_name", skip_serializing_if = "Vec::is_empty")]
    pub intervals: Vec<(String, [f64; 2])>,
}

/// Which rows a slice is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SliceName {
    /// Those of this value.
    Value(String),
    /// Those without a value. In JSON `"missing": true`.
    Missing(bool),
    /// Those of all other values, so many.
    OtherValues(u64),
}

impl fmt::Display for SliceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => f.write_str(value),
            Self::Missing(_) => f.write_str("(no value)"),
            Self::OtherValues(1) => f.write_str("(1 other value)"),
            Self::OtherValues(values) => write!(f, "({values} other values)"),
        }
    }
}

impl Slice {
    /// The interval of the figure of this name.
    pub fn interval(&self, name: &str) -> Option<[f64; 2]> {
        self.intervals.iter().find(|(known, _)| known == name).map(|(_, interval)| *interval)
    }
}

/// The slices of a column that rows are told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSlices {
    /// The column.
    pub column: String,
    /// What its slices are of, by their numbers.
    pub slices: Vec<SliceName>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(flatten)]
    name: SliceName,
    rows: u64,
    figures: Figures,
    #[serde(default)]
    intervals: Map<String, Value>,
}

impl TryFrom<Written> for Slice {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { name, rows, figures, intervals } = written;
        Ok(Self { name, rows, figures, intervals: intervals_of(intervals)? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_figure_of_which_no_slice_has_an_interval_is_told_as_such() {
        let slice = |intervals: &[&str]| Slice {
            name: SliceName::Value("day".into()),
            rows: 3,
            figures: [("accuracy", Some(0.5)), ("f1", Some(0.25)), ("top_5", None)].into_iter().collect(),
            intervals: intervals.iter().map(|name| ((*name).to_owned(), [0.0, 1.0])).collect(),
        };
        let kind = |name: &str| FigureKind { name: name.into(), ..FigureKind::loss() };
        let headings = |slices: Vec<Slice>| {
            let column = SlicedColumn { column: "light".into(), slices };
            ["accuracy", "f1", "top_5"].map(|name| column.heading(&kind(name)))
        };
        assert_eq!(headings(vec![slice(&["accuracy"]), slice(&[])]), ["accuracy", "f1 (no interval)", "top-5"]);
        assert_eq!(headings(vec![slice(&[]), slice(&["accuracy", "f1"])]), ["accuracy", "f1", "top-5"]);
    }

    #[test]
    fn slices_stand_in_a_file_and_are_read_again() {
        for (name, wanted, shown) in [
            (SliceName::Value("day".into()), json!({"value": "day"}), "day"),
            (SliceName::Missing(true), json!({"missing": true}), "(no value)"),
            (SliceName::OtherValues(37), json!({"other_values": 37}), "(37 other values)"),
        ] {
            let slice = Slice {
                name,
                rows: 3,
                figures: [("accuracy", Some(0.5)), ("top_5", None)].into_iter().collect(),
                intervals: vec![("accuracy".into(), [0.25, 0.75])],
            };
            let written = serde_json::to_value(&slice).unwrap();
            let mut whole = wanted.as_object().unwrap().clone();
            whole.insert("rows".into(), json!(3));
            whole.insert("figures".into(), json!({"accuracy": 0.5, "top_5": null}));
            whole.insert("intervals".into(), json!({"accuracy": [0.25, 0.75]}));
            assert_eq!(written, Value::Object(whole));
            assert_eq!(serde_json::from_value::<Slice>(written).unwrap(), slice);
            assert_eq!(slice.name.to_string(), shown);
        }
    }
}
