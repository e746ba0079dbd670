//! Columns of numbers side by side.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, Standardization, TensorRole, TensorSpec, count, shown, shown_up_to};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, ByHand, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use crate::PipelineError;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "number",
    summary: "Columns of numbers side by side.",
    documentation: "One tensor of floats `[batch, columns]`, the numbers as stored, or of one column with `as: scalar` `[batch]`, for what has \
        no axis of numbers: a model that gives one number a row so, or the targets of `cosine_embedding`. With `values: int64` it is of \
        whole numbers, and a row with another is damaged; a recipe with a model takes that from the model's input where \
        it is not stated. With `standardize` the model itself takes away the mean of each column and divides by its standard \
        deviation (of the population; 1 where it is 0), and with `missing: mean` the model itself puts the mean in place of what \
        is missing, which is handed to it as NaN: both are learned of the training rows and become a part of the trained model, \
        which takes raw numbers. A target is undone instead: the model answers \
        in the unit of the column. Missing is null and NaN; under `missing: damaged` it is a damaged row. An infinite number, and one \
        beyond what 32 bits hold, is a damaged row, and no part of what is learned. Where rows are mixed (`mix_up`), the mean is put in place of \
        what is missing before that. A target \
        that is missing has no weight in the loss.",
    samples: &[
        r#"{"column": "weight"}"#,
        r#"{"column": ["weight", "height"], "standardize": true, "missing": "mean"}"#,
        r#"{"column": "alike", "as": "scalar"}"#,
        r#"{"column": ["age", "visits"], "values": "int64"}"#,
    ],
    takes: &[Holds::Numbers],
    most_columns: 65_536,
    build: Build::of::<Number>(),
};

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Number {
    /// Have the model standardize each column, or undo it in its answer.
    standardize: bool,
    /// What happens to a number that is missing.
    missing: Missing,
    /// Whether there is an axis of columns.
    r#as: Form,
    /// What the numbers are; by itself as the model's input has them, without a model `float32`.
    #[serde(skip_serializing_if = "is_usual")]
    values: Values,
}

/// What numbers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Values {
    /// Any.
    #[default]
    Float32,
    /// Whole ones.
    Int64,
}

/// What is usual is left out: so streams are what they were before there was a choice.
fn is_usual(values: &Values) -> bool {
    *values == Values::default()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Form {
    /// Numbers side by side.
    #[default]
    Columns,
    /// One number.
    Scalar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Missing {
    /// The row is damaged.
    #[default]
    Damaged,
    /// The model puts the mean of the training rows in its place.
    Mean,
}

impl Options for Number {
    fn validate(&self) -> Result<(), String> {
        match self.values {
            Values::Int64 if self.standardize || self.missing == Missing::Mean => {
                let message = "`standardize` and `missing: mean` make fractions, and the numbers are whole (`values: int64`, as a model \
                               takes them whose input is of integers): leave them out";
                Err(message.into())
            }
            _ => Ok(()),
        }
    }
}

impl EncodingOptions for Number {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        if self.r#as == Form::Scalar && source.columns.len() != 1 {
            let reason = format!("a scalar is of one column, got {}", source.columns.len());
            return Err(PipelineError::Option { option: "as", reason });
        }
        let standardization = match source.learned {
            Some(learned) => read(learned, source.columns.len())
                .map_err(|reason| PipelineError::Learned { tensor: source.tensor.to_owned(), reason })?,
            None => self.learn(source)?,
        };
        let columns = source.columns.to_vec();
        let Self { missing, r#as: form, values, .. } = *self;
        Ok(Arc::new(NumberEncoder { columns, missing, form, values, standardization }))
    }

    fn by_hand(&self, columns: &[String], _: &Json) -> ByHand {
        let whole = self.values == Values::Int64;
        let are =
            if whole { "Whole numbers of 64 bits, as they are" } else { "Numbers as they are, as floats of 32 bits" };
        let scaled = match self.standardize {
            true => "; the model itself takes the mean of each column away and divides by its standard deviation",
            false => "; nothing is scaled",
        };
        let missing = match self.missing {
            Missing::Damaged => "A row in which one of them is missing is none that the model can take.",
            Missing::Mean => {
                "What is missing is handed over as NaN; the model itself puts the mean of the column in its place."
            }
        };
        let places = if self.r#as == Form::Columns { columns.to_vec() } else { Vec::new() };
        ByHand { said: vec![format!("{are}{scaled}."), missing.into()], places }
    }
}

/// What other rows have taught, of so many columns.
///
/// # Errors
/// It is something else, in words: it is not learned again of rows that are not those of the training.
fn read(learned: &Json, columns: usize) -> Result<Standardization, String> {
    let refused = |why: String| {
        let learned = shown_up_to(learned.to_string(), 200);
        format!(
            "what was learned in training of its columns is {learned}: {why}; take a whole copy of the model, or train it anew"
        )
    };
    let read: Standardization =
        serde_json::from_value(learned.clone()).map_err(|error| refused(shown_up_to(error.to_string(), 200)))?;
    let scale = read.scale.iter().flat_map(|(means, deviations)| [means, deviations]);
    let other = read.fill.iter().chain(scale).map(Vec::len).find(|numbers| *numbers != columns);
    match other {
        Some(other) => Err(refused(format!("it is of {}, not of {columns}", count(other, "column")))),
        None => Ok(read),
    }
}

impl Number {
    fn learn(&self, source: &Source<'_>) -> Result<Standardization, PipelineError> {
        let mut learned = Standardization::default();
        if !self.standardize && self.missing != Missing::Mean {
            return Ok(learned);
        }
        // Welford's running mean and sum of squares: one pass, and no large sums that cancel.
        let mut sums = vec![(0_u64, 0.0_f64, 0.0_f64); source.columns.len()];
        source.dataset.each_row(source.columns, |row| {
            for (column, (count, mean, squares)) in sums.iter_mut().enumerate() {
                // a row with any other number is damaged, and none of those that the model is trained on
                let Some(value) = number(row.get(column)).filter(|value| is_usable(*value)) else { continue };
                *count += 1;
                let before = value - *mean;
                *mean += before / *count as f64;
                *squares += before * (value - *mean);
            }
        })?;
        if let Some(empty) = sums.iter().position(|(count, ..)| *count == 0) {
            let (file, column) = (source.dataset.first().name.to_string(), shown(&source.columns[empty]));
            let reason = "has no number in any row, so its mean cannot be learned".into();
            return Err(PipelineError::Column { file, column, reason });
        }
        let means: Vec<f32> = sums.iter().map(|(_, mean, _)| *mean as f32).collect();
        if self.missing == Missing::Mean {
            learned.fill = Some(means.clone());
        }
        if self.standardize {
            let deviation = |(count, _, squares): &(u64, f64, f64)| match (squares / *count as f64).sqrt() as f32 {
                deviation if deviation > 0.0 => deviation,
                _ => 1.0,
            };
            learned.scale = Some((means, sums.iter().map(deviation).collect()));
        }
        Ok(learned)
    }
}

#[derive(Debug)]
struct NumberEncoder {
    columns: Vec<String>,
    missing: Missing,
    form: Form,
    values: Values,
    standardization: Standardization,
}

/// Whether a model can take it.
fn is_usable(number: f64) -> bool {
    (number as f32).is_finite()
}

/// `None` where it is missing.
fn number(value: Value<'_>) -> Option<f64> {
    let number = value.number()?;
    (!number.is_nan()).then_some(number)
}

/// `None` where it is missing.
///
/// # Errors
/// It is no whole number of 64 bits.
fn whole(value: Value<'_>) -> Result<Option<i64>, f64> {
    // 2⁶³, the first beyond
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    match value {
        Value::Signed(whole) => Ok(Some(whole)),
        Value::Unsigned(whole) => i64::try_from(whole).map(Some).map_err(|_| whole as f64),
        other => match number(other) {
            None => Ok(None),
            Some(whole) if whole.fract() == 0.0 && (-BEYOND..BEYOND).contains(&whole) => Ok(Some(whole as i64)),
            Some(other) => Err(other),
        },
    }
}

impl Encoder for NumberEncoder {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn learned(&self) -> Json {
        json!(self.standardization)
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        let element_type = match self.values {
            Values::Float32 => ElementType::F32,
            Values::Int64 => ElementType::I64,
        };
        Ok(vec![match self.form {
            Form::Columns => TensorSpec::fixed(name, element_type, &[self.columns.len()]),
            Form::Scalar => TensorSpec::fixed(name, element_type, &[]),
        }])
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { spec, values }] = out else { unreachable!("as `tensors` says") };
        match values {
            RowElements::F32(values) => self.floats(row, sample, spec.role, values),
            RowElements::I64(values) => self.whole(row, sample, spec.role, values),
            _ => unreachable!("as `tensors` says"),
        }
    }

    fn view(&self) -> View {
        View::Numbers
    }

    fn takes_null(&self) -> bool {
        self.missing == Missing::Mean
    }

    fn standardization(&self) -> Option<&Standardization> {
        (self.standardization != Standardization::default()).then_some(&self.standardization)
    }
}

impl NumberEncoder {
    fn damaged(&self, column: usize, reason: String) -> EncodeError {
        Damage::value(&self.columns[column], reason).into()
    }

    fn floats(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        role: TensorRole,
        out: &mut [f32],
    ) -> Result<(), EncodeError> {
        for (column, out) in out.iter_mut().enumerate() {
            *out = match number(row.get(column)) {
                Some(number) if !is_usable(number) => {
                    return Err(self.damaged(column, format!("is {number}, which is no number that a model can take")));
                }
                Some(number) => number as f32,
                None if role == TensorRole::Target => {
                    sample.without_target();
                    0.0
                }
                None if self.missing == Missing::Mean => f32::NAN,
                None => return Err(self.damaged(column, "is missing (null)".into())),
            };
        }
        Ok(())
    }

    fn whole(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        role: TensorRole,
        out: &mut [i64],
    ) -> Result<(), EncodeError> {
        for (column, out) in out.iter_mut().enumerate() {
            *out = match whole(row.get(column)) {
                Ok(Some(whole)) => whole,
                Ok(None) if role == TensorRole::Target => {
                    sample.without_target();
                    0
                }
                Ok(None) => return Err(self.damaged(column, "is missing (null)".into())),
                Err(other) => {
                    let reason = format!("is {other}, and whole numbers of 64 bits are wanted (`values: int64`)");
                    return Err(self.damaged(column, reason));
                }
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_taken_to_the_last_digit_and_fractions_are_none() {
        for (value, wanted) in [
            (Value::Signed(9_007_199_254_740_993), Ok(Some(9_007_199_254_740_993))),
            (Value::Unsigned(7), Ok(Some(7))),
            (Value::Unsigned(1 << 63), Err(9_223_372_036_854_775_808.0)),
            (Value::Float(-3.0), Ok(Some(-3))),
            (Value::Float(-9_223_372_036_854_775_808.0), Ok(Some(i64::MIN))),
            (Value::Float(9_223_372_036_854_775_808.0), Err(9_223_372_036_854_775_808.0)),
            (Value::Float(0.5), Err(0.5)),
            (Value::Float(f64::INFINITY), Err(f64::INFINITY)),
            (Value::Float(f64::NAN), Ok(None)),
            (Value::Null, Ok(None)),
        ] {
            assert_eq!(whole(value), wanted);
        }
    }

    #[test]
    fn numbers_that_are_whole_are_not_standardized() {
        let refused = Number { standardize: true, values: Values::Int64, ..Number::default() }.validate().unwrap_err();
        assert!(refused.contains("leave them out"), "{refused}");
        assert_eq!(Number { values: Values::Int64, ..Number::default() }.validate(), Ok(()));
        assert_eq!(
            serde_json::to_value(Number::default()).unwrap(),
            json!({"standardize": false, "missing": "damaged", "as": "columns"})
        );
    }
}
