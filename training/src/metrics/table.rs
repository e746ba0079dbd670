use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::interval::{by_name, intervals_of};

/// What a metric finds that is more than a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Table {
    /// Counts by true class, then by predicted class; empty where there are too many to write down.
    Matrix(Vec<Vec<u64>>),
    /// A record for each class, in their order.
    Classes(Vec<Record>),
}

/// Cells of a class by the names of their columns, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Record(pub Vec<(String, Cell)>);

/// A cell of a [`Record`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A name.
    Text(String),
    /// How many.
    Count(u64),
    /// A share, 0 to 1; none where there is nothing that it is a share of.
    Share(Option<f64>),
    /// Where the shares of the class lie: no column of its own, it stands with these.
    Intervals(CellIntervals),
}

/// Intervals of shares, `[low, high]`, by the columns of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct CellIntervals(#[serde(serialize_with = "by_name")] pub Vec<(String, [f64; 2])>);

impl TryFrom<Map<String, Value>> for CellIntervals {
    type Error = String;

    fn try_from(written: Map<String, Value>) -> Result<Self, String> {
        intervals_of(written).map(Self)
    }
}

/// What intervals of a record are called.
const INTERVALS: &str = "intervals";

impl Record {
    /// The cell of this column.
    pub fn get(&self, column: &str) -> Option<&Cell> {
        self.0.iter().find(|(name, _)| name == column).map(|(_, cell)| cell)
    }

    /// The cells that are columns, in order: all but the intervals of others.
    pub fn cells(&self) -> impl Iterator<Item = &(String, Cell)> {
        self.0.iter().filter(|(_, cell)| !matches!(cell, Cell::Intervals(_)))
    }

    /// The interval of the share in this column.
    pub fn interval(&self, column: &str) -> Option<[f64; 2]> {
        let known = self.0.iter().filter_map(|(_, cell)| match cell {
            Cell::Intervals(CellIntervals(known)) => Some(known),
            Cell::Text(_) | Cell::Count(_) | Cell::Share(_) => None,
        });
        known.flatten().find(|(name, _)| name == column).map(|(_, ends)| *ends)
    }

    /// Adds the interval of the share in a column.
    pub(super) fn set_interval(&mut self, column: String, ends: [f64; 2]) {
        for (_, cell) in &mut self.0 {
            if let Cell::Intervals(CellIntervals(known)) = cell {
                known.push((column, ends));
                return;
            }
        }
        self.0.push((INTERVALS.to_owned(), Cell::Intervals(CellIntervals(vec![(column, ends)]))));
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, cell) in &self.0 {
            map.serialize_entry(name, cell)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cells;
        impl<'de> Visitor<'de> for Cells {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("cells by column")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut cells = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    cells.push(entry);
                }
                Ok(Record(cells))
            }
        }
        deserializer.deserialize_map(Cells)
    }
}
