//! What is known of rows as they are: columns of the data, sizes of images, lengths of texts.

use std::collections::HashMap;

use millstream_pipeline::arrow_schema::DataType;
use millstream_pipeline::encodings::View;
use millstream_pipeline::{Holds, Value, decode};
use millstream_schemas::{Feature, RowId};

use super::factor::Factor;
use super::report::FactorOf;
use crate::{RecipeError, RowSource};

/// Letters of a name; longer texts are told apart by their length alone.
const LONGEST_NAME: usize = 60;

/// How a column is read.
enum Reading {
    Numbers,
    Names(Option<Vec<String>>),
    Text,
    Image,
}

/// Every factor of these rows, in their order.
///
/// # Errors
/// A column cannot be read.
pub(super) fn factors(source: &RowSource, rows: &[RowId]) -> Result<Vec<Factor>, RecipeError> {
    let dataset = &source.dataset;
    let image = source.shown_column().ok().filter(|(_, view)| *view != View::Text).map(|(column, _)| column);
    let (mut columns, mut readings) = (Vec::new(), Vec::new());
    for field in dataset.arrow_schema().fields() {
        let data_type = match field.data_type() {
            DataType::Dictionary(_, value) => value,
            other => other,
        };
        let reading = match (Holds::of(field.data_type()), dataset.features().get(field.name())) {
            (Some(Holds::Numbers), Some(Feature::ClassLabel { names })) => Reading::Names(Some(names.clone())),
            (Some(Holds::Numbers), _) if *data_type == DataType::Boolean => Reading::Names(None),
            (Some(Holds::Numbers), _) => Reading::Numbers,
            (Some(Holds::Text), _) => Reading::Text,
            (Some(Holds::Bytes), _) if image.as_ref() == Some(field.name()) => Reading::Image,
            _ => continue,
        };
        columns.push(field.name().clone());
        readings.push(reading);
    }
    let places: HashMap<&RowId, usize> = rows.iter().enumerate().map(|(at, row)| (row, at)).collect();
    let mut gathered: Vec<Gathered> = readings.iter().map(|reading| Gathered::new(reading, rows.len())).collect();
    let mut index = 0;
    dataset.each_row(&columns, |values| {
        if let Some(at) = places.get(&dataset.row_at(index)) {
            for (column, (reading, gathered)) in readings.iter().zip(&mut gathered).enumerate() {
                gathered.take(reading, *at, values.get(column));
            }
        }
        index += 1;
    })?;
    Ok(columns.iter().zip(gathered).flat_map(|(name, gathered)| gathered.factors(name)).collect())
}

/// Of each row what was found in a column.
struct Gathered {
    names: Vec<Option<String>>,
    /// Lists of numbers, each with what it is of.
    numbers: Vec<(&'static str, Vec<Option<f64>>)>,
    has_names: bool,
}

impl Gathered {
    fn new(reading: &Reading, rows: usize) -> Self {
        let (has_names, lists): (bool, &[&str]) = match reading {
            Reading::Numbers => (false, &[""]),
            Reading::Names(_) => (true, &[]),
            Reading::Text => (true, &["letters", "words"]),
            Reading::Image => (false, &["width", "height", "width / height", "bytes a pixel"]),
        };
        let names = if has_names { vec![None; rows] } else { Vec::new() };
        Self { names, has_names, numbers: lists.iter().map(|what| (*what, vec![None; rows])).collect() }
    }

    fn take(&mut self, reading: &Reading, row: usize, value: Value<'_>) {
        match (reading, value) {
            (Reading::Numbers, value) => self.numbers[0].1[row] = value.number(),
            (Reading::Names(Some(names)), value) => {
                let number = value.number().filter(|number| *number >= 0.0);
                self.names[row] =
                    number.map(|number| names.get(number as usize).cloned().unwrap_or_else(|| number.to_string()));
            }
            (Reading::Names(None), value) => {
                self.names[row] = value.number().map(|number| (number != 0.0).to_string());
            }
            (Reading::Text, Value::Text(text)) => {
                let letters = text.chars().count();
                if letters > LONGEST_NAME {
                    self.has_names = false;
                }
                self.names[row] = self.has_names.then(|| text.to_owned());
                self.numbers[0].1[row] = Some(letters as f64);
                self.numbers[1].1[row] = Some(text.split_whitespace().count() as f64);
            }
            (Reading::Image, Value::Bytes(bytes)) => {
                let Ok(header) = decode::header(bytes) else { return };
                let (width, height) = (f64::from(header.facts.width), f64::from(header.facts.height));
                let facts = [width, height, width / height, bytes.len() as f64 / (width * height)];
                self.numbers.iter_mut().zip(facts).for_each(|((_, numbers), fact)| numbers[row] = Some(fact));
            }
            _ => {}
        }
    }

    fn factors(self, column: &str) -> Vec<Factor> {
        let shown = millstream_schemas::shown(column);
        if self.has_names
            && let Some(factor) = Factor::names(shown.clone(), FactorOf::Column, self.names)
        {
            return vec![factor];
        }
        let of = |what: &str| if what.is_empty() { FactorOf::Column } else { FactorOf::Input };
        let name = |what: &str| if what.is_empty() { shown.clone() } else { format!("{shown}: {what}") };
        self.numbers.into_iter().map(|(what, numbers)| Factor::numbers(name(what), of(what), numbers)).collect()
    }
}
