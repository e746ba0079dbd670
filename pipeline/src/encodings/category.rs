//! One of a few values as a row of zeros with a single 1.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use millstream_schemas::cells::{bool_of, is_missing, whole_number};
use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, TensorSpec, shown, shown_up_to};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::class_names;
use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, ByHand, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use crate::PipelineError;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "category",
    summary: "One of a few values as a row of zeros with a single 1, or as its number; or of many as a number of its group.",
    documentation: "One tensor: of floats `[batch, values]`, 1 for the row's value and 0 for all others; or with `as: index` of int64 `[batch]`, \
        the value's place among all values. The values are the distinct ones of the training rows, sorted (strings by their \
        bytes, whole numbers by size, numbers of classes as their names in that order); null is none of them. Where all values are numbers \
        or truth values, texts that write the same numbers are the same, such as `1`, `1.0` and `True`. A row whose value is missing, or \
        none of these, is damaged, or with `unknown: zeros` all zeros. With `as: group` int64 `[batch]`, equal for equal values and else \
        different, whatever values other rows have: nothing is learned of the training rows, and there may be any number of groups; as `triplet` and `info_nce` \
        take them. A row whose value is missing is damaged.",
    samples: &[
        r#"{"column": "island"}"#,
        r#"{"column": "sex", "unknown": "zeros"}"#,
        r#"{"column": "island", "as": "index"}"#,
        r#"{"column": "product", "as": "group"}"#,
    ],
    takes: &[Holds::Text, Holds::Numbers],
    most_columns: 1,
    build: Build::of::<Category>(),
};

/// More values than this are no categories.
const MOST_VALUES: usize = 65_536;

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Category {
    /// How the value is written.
    r#as: Form,
    /// What happens to a row without a value, or with one that no training row has.
    unknown: Unknown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Form {
    /// A float for each value, 1 for that of the row.
    #[default]
    OneHot,
    /// The place of the value among all.
    Index,
    /// A number that no other value has: a hash of it.
    Group,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Unknown {
    /// The row is damaged.
    #[default]
    Damaged,
    /// All zeros.
    Zeros,
}

impl Options for Category {
    fn validate(&self) -> Result<(), String> {
        match (self.r#as, self.unknown) {
            (Form::Index, Unknown::Zeros) => {
                Err("unknown: zeros is for `as: one_hot`; an index of 0 is a value".into())
            }
            (Form::Group, Unknown::Zeros) => {
                Err("unknown: zeros is for `as: one_hot`; as a group every value is known".into())
            }
            _ => Ok(()),
        }
    }
}

impl EncodingOptions for Category {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        let learned = class_names::learned(source.learned, "values");
        let names = names(source, learned.as_deref())?;
        let values = match learned {
            _ if self.r#as == Form::Group => Vec::new(),
            Some(values) => values,
            None => read(source, &names)?,
        };
        let numbers: Option<HashMap<i64, usize>> =
            values.iter().enumerate().map(|(place, value)| Some((number_of(value)?, place))).collect();
        Ok(Arc::new(CategoryEncoder {
            column: [source.columns[0].clone()],
            options: self.clone(),
            by_text: values.iter().enumerate().map(|(place, value)| (value.clone(), place)).collect(),
            by_number: numbers.filter(|numbers| numbers.len() == values.len()).unwrap_or_default(),
            values,
            learned_names: match source.learned {
                Some(_) => class_names::learned(source.learned, "names").unwrap_or_default(),
                None => names.clone(),
            },
            names,
        }))
    }

    fn by_hand(&self, _: &[String], learned: &Json) -> ByHand {
        let places = class_names::learned(Some(learned), "values").unwrap_or_default();
        let (is, other) = match self.r#as {
            Form::OneHot => (
                "A float for each value of the column, in this order: 1 for the value of the row, 0 for all others.",
                match self.unknown {
                    Unknown::Zeros => "A row whose value is missing, or none of these, is all zeros.",
                    Unknown::Damaged => {
                        "A row whose value is missing, or none of these, is none that the model can take."
                    }
                },
            ),
            Form::Index => (
                "The place of the value of the column among these, from 0.",
                "A row whose value is missing, or none of these, is none that the model can take.",
            ),
            Form::Group => (
                "Any whole number, equal for rows that have one value and different for others.",
                "A row whose value is missing is none that the model can take.",
            ),
        };
        ByHand { said: vec![is.into(), other.into()], places }
    }
}

#[derive(Debug)]
struct CategoryEncoder {
    column: [String; 1],
    options: Category,
    values: Vec<String>,
    /// What the classes are called whose numbers a column has; empty of other columns.
    names: Vec<String>,
    /// The same of the training rows: each file may number its classes in an order of its own.
    learned_names: Vec<String>,
    by_text: HashMap<String, usize>,
    /// Places by the numbers that the values write; empty unless each writes another.
    by_number: HashMap<i64, usize>,
}

impl CategoryEncoder {
    /// The place of what a row has. Other rows than the training ones may write it otherwise: tables have texts where Parquet has numbers.
    fn place(&self, text: &str) -> Option<usize> {
        let place = self.by_text.get(text).copied();
        place.or_else(|| match self.by_number.is_empty() {
            false => self.by_number.get(&number_of(text)?).copied(),
            true => {
                let class = usize::try_from(whole_number(text)?).ok()?;
                self.by_text.get(self.names.get(class)?).copied()
            }
        })
    }
}

/// The number that a text writes, 0 or 1 of a truth value.
fn number_of(text: &str) -> Option<i64> {
    whole_number(text).or_else(|| bool_of(text.trim()).map(i64::from))
}

/// A value as text, of a number of a class its name; `None` where it is missing. Fractions are no categories.
fn value<'a>(value: Value<'a>, names: &'a [String]) -> Result<Option<Cow<'a, str>>, f64> {
    /// Up to here every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    Ok(match value {
        Value::Text(text) => Some(text.into()),
        Value::Signed(number) => Some(of_whole(number, names)),
        Value::Unsigned(number) => match i64::try_from(number) {
            Ok(number) => Some(of_whole(number, names)),
            Err(_) => Some(number.to_string().into()),
        },
        Value::Float(number) if number.is_nan() => None,
        Value::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT => Some(of_whole(number as i64, names)),
        Value::Float(number) if number.fract() == 0.0 => Some(format!("{number:.0}").into()),
        Value::Float(number) => return Err(number),
        Value::Null | Value::Bytes(_) | Value::List(_) | Value::Struct(_) => None,
    })
}

fn of_whole(number: i64, names: &[String]) -> Cow<'_, str> {
    match usize::try_from(number).ok().and_then(|class| names.get(class)) {
        Some(name) => name.as_str().into(),
        None => number.to_string().into(),
    }
}

/// What the classes are called whose numbers a column has: as its files say, or else those did from which the values were learned.
fn names(source: &Source<'_>, values: Option<&[String]>) -> Result<Vec<String>, PipelineError> {
    let column = &source.columns[0];
    let known = class_names::learned(source.learned, "names");
    // before names were noted, the numbers themselves were learned
    let are_numbers = |values: &[String]| values.iter().all(|value| value.parse::<i128>().is_ok());
    if known.is_none() && values.is_some_and(are_numbers) {
        return Ok(Vec::new());
    }
    let declared = match source.dataset.holds(column, "a category", ENCODING.takes)? {
        Holds::Text => None,
        _ => class_names::declared(source.dataset, column, None)?,
    };
    Ok(declared.or(known).unwrap_or_default())
}

/// The first 8 bytes of its SHA-256: no two values of any data set have one in common by chance.
fn group(value: &str) -> i64 {
    let digest = Sha256::digest(value.as_bytes());
    i64::from_le_bytes(std::array::from_fn(|at| digest[at]))
}

fn read(source: &Source<'_>, names: &[String]) -> Result<Vec<String>, PipelineError> {
    let (mut values, mut fraction) = (BTreeSet::new(), None);
    let (mut numbers, mut fitting, mut fractions) = (true, 0_u64, 0_u64);
    source.dataset.each_row(source.columns, |row| match value(row.get(0), names) {
        Ok(None) => {}
        Ok(Some(value)) => {
            fitting += 1;
            numbers &= !matches!(row.get(0), Value::Text(_));
            if values.len() <= MOST_VALUES && !values.contains(&*value) {
                values.insert(value.into_owned());
            }
        }
        Err(number) => {
            fractions += 1;
            fraction = fraction.or(Some(number));
        }
    })?;
    let refused = |reason: String| {
        let (file, column) = (source.dataset.first().name.to_string(), shown(&source.columns[0]));
        Err(PipelineError::Column { file, column, reason })
    };
    // A few fractions are damaged rows, each told when it is met; where most are, these are no categories at all.
    if let Some(number) = fraction.filter(|_| fractions > fitting) {
        return refused(format!("holds fractions such as {number}, which are no categories; `number` takes them"));
    }
    if values.len() > MOST_VALUES {
        return refused(format!("has more than {MOST_VALUES} different values; these are no categories"));
    }
    if values.is_empty() {
        return refused("has no value in any row".into());
    }
    let mut values: Vec<String> = values.into_iter().collect();
    if numbers {
        let classes: HashMap<&str, usize> =
            names.iter().enumerate().map(|(class, name)| (name.as_str(), class)).collect();
        let number = |value: &String| value.parse::<i128>().unwrap_or(i128::MAX);
        values.sort_by_key(|value| (classes.get(value.as_str()).copied(), number(value)));
    }
    Ok(values)
}

impl Encoder for CategoryEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        match self.learned_names.as_slice() {
            [] => json!({ "values": self.values }),
            names => json!({ "values": self.values, "names": names }),
        }
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        Ok(vec![match self.options.r#as {
            Form::OneHot => TensorSpec::fixed(name, ElementType::F32, &[self.values.len()]),
            Form::Index | Form::Group => TensorSpec::fixed(name, ElementType::I64, &[]),
        }])
    }

    fn encode(&self, row: RowValues<'_>, _: &mut Sample<'_>, out: &mut [RowTensor<'_>]) -> Result<(), EncodeError> {
        let damaged = |reason: String| Damage::value(&self.column[0], reason);
        let value =
            value(row.get(0), &self.names).map_err(|number| damaged(format!("is {number}, which is no category")))?;
        if let (Form::Group, Some(value), RowElements::I64(values)) =
            (self.options.r#as, value.as_deref(), &mut out[0].values)
        {
            values[0] = group(value);
            return Ok(());
        }
        // beside numbers such texts say that there is none
        let value = value.filter(|text| self.by_number.is_empty() || !is_missing(text));
        let index = value.as_ref().and_then(|value| self.place(value));
        if index.is_none() && self.options.unknown == Unknown::Damaged {
            return Err(match value {
                None => damaged("is missing (null)".into()),
                Some(value) => damaged(format!(
                    "is `{}`, which no training row has; `unknown: zeros` takes such rows",
                    shown_up_to(&*value, 100)
                )),
            }
            .into());
        }
        match &mut out[0].values {
            RowElements::F32(values) => {
                values.fill(0.0);
                if let Some(index) = index {
                    values[index] = 1.0;
                }
            }
            RowElements::I64(values) => values[0] = index.expect("an index is never unknown") as i64,
            _ => unreachable!("as `tensors` says"),
        }
        Ok(())
    }

    fn takes_null(&self) -> bool {
        self.options.unknown == Unknown::Zeros
    }

    fn view(&self) -> View {
        View::Numbers
    }
}
