//! One of a few values as a row of zeros with a single 1.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, TensorSpec, shown, shown_up_to};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use crate::PipelineError;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "category",
    summary: "One of a few values as a row of zeros with a single 1, or as its number; or of many as a number of its group.",
    documentation: "One tensor: of floats `[batch, values]`, 1 for the row's value and 0 for all others; or with `as: index` of int64 `[batch]`, \
        the value's place among all values. The values are the distinct ones of the training rows, sorted (strings by their \
        bytes, whole numbers by size); null is none of them. A row whose value is missing, or none of these, is damaged, or with \
        `unknown: zeros` all zeros. With `as: group` int64 `[batch]`, equal for equal values and else different, whatever values \
        other rows have: nothing is learned of the training rows, and there may be any number of groups; as `triplet` and `info_nce` \
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
        let learned = source.learned.and_then(|learned| learned.get("values")?.as_array());
        let values = match learned {
            _ if self.r#as == Form::Group => Vec::new(),
            Some(values) => values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect(),
            None => read(source)?,
        };
        let index = values.iter().enumerate().map(|(index, value)| (value.clone(), index)).collect();
        Ok(Arc::new(CategoryEncoder { column: [source.columns[0].clone()], options: self.clone(), values, index }))
    }
}

#[derive(Debug)]
struct CategoryEncoder {
    column: [String; 1],
    options: Category,
    values: Vec<String>,
    index: HashMap<String, usize>,
}

/// A value as text; `None` where it is missing. Fractions are no categories.
fn value(value: Value<'_>) -> Result<Option<std::borrow::Cow<'_, str>>, f64> {
    Ok(match value {
        Value::Text(text) => Some(text.into()),
        Value::Signed(number) => Some(number.to_string().into()),
        Value::Unsigned(number) => Some(number.to_string().into()),
        Value::Float(number) if number.is_nan() => None,
        // −0 is 0
        Value::Float(number) if number.fract() == 0.0 => Some(format!("{:.0}", number + 0.0).into()),
        Value::Float(number) => return Err(number),
        Value::Null | Value::Bytes(_) | Value::List(_) | Value::Struct(_) => None,
    })
}

/// The first 8 bytes of its SHA-256: no two values of any data set have one in common by chance.
fn group(value: &str) -> i64 {
    let digest = Sha256::digest(value.as_bytes());
    i64::from_le_bytes(std::array::from_fn(|at| digest[at]))
}

fn read(source: &Source<'_>) -> Result<Vec<String>, PipelineError> {
    let (mut values, mut fraction) = (BTreeSet::new(), None);
    let (mut numbers, mut fitting, mut fractions) = (true, 0_u64, 0_u64);
    source.dataset.each_row(source.columns, |row| match value(row.get(0)) {
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
        values.sort_by_key(|value| value.parse::<i128>().unwrap_or(i128::MAX));
    }
    Ok(values)
}

impl Encoder for CategoryEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        json!({ "values": self.values })
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        Ok(vec![match self.options.r#as {
            Form::OneHot => TensorSpec::fixed(name, ElementType::F32, &[self.values.len()]),
            Form::Index | Form::Group => TensorSpec::fixed(name, ElementType::I64, &[]),
        }])
    }

    fn encode(&self, row: RowValues<'_>, _: &mut Sample<'_>, out: &mut [RowTensor<'_>]) -> Result<(), EncodeError> {
        let damaged = |reason: String| Damage::value(&self.column[0], reason);
        let value = value(row.get(0)).map_err(|number| damaged(format!("is {number}, which is no category")))?;
        if let (Form::Group, Some(value), RowElements::I64(values)) =
            (self.options.r#as, value.as_deref(), &mut out[0].values)
        {
            values[0] = group(value);
            return Ok(());
        }
        let index = value.as_ref().and_then(|value| self.index.get(&**value)).copied();
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
