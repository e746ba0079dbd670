//! What was fitted to a tuned model on the evaluation rows, as its file carries it.

use millstream_compiler::Model;
use millstream_schemas::{decimal, shown, shown_path};
use millstream_training::calibration::{Temperature, Threshold};
use serde::Serialize;

use crate::RecipeError;

/// Under these keys in an ONNX file's metadata.
const TEMPERATURE: &str = "millstream.temperature";
pub(crate) const THRESHOLDS: &str = "millstream.thresholds";
const LOG_ODDS: &str = "millstream.threshold_log_odds";

/// What was fitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calibrated {
    /// What the scores in the file are divided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Temperature>,
    /// From where on each label, or the second of two classes, is said to hold. The file only notes it; `evaluate` follows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Threshold>,
}

impl Calibrated {
    /// Whether nothing was fitted.
    pub fn is_nothing(&self) -> bool {
        self.temperature.is_none() && self.thresholds.is_empty()
    }

    /// Keys and values for the metadata of an ONNX file.
    pub(crate) fn metadata(&self) -> Vec<(String, String)> {
        let json = |values: Vec<f64>| serde_json::to_string(&values.into_iter().map(Finite::of).collect::<Vec<_>>());
        let json = |values| json(values).expect("lists of numbers and texts always serialize");
        let mut metadata = Vec::new();
        if let Some(fitted) = self.temperature {
            metadata.push((TEMPERATURE.to_owned(), fitted.temperature.to_string()));
        }
        if !self.thresholds.is_empty() {
            let all = |value: fn(&Threshold) -> f64| json(self.thresholds.iter().map(value).collect());
            metadata.push((THRESHOLDS.to_owned(), all(|threshold| threshold.probability)));
            metadata.push((LOG_ODDS.to_owned(), all(|threshold| threshold.log_odds)));
        }
        metadata
    }

    /// What was fitted, in words, one for each thing.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(Temperature { temperature, before, after }) = self.temperature {
            notes.push(format!(
                "the exported model divides its scores by a temperature of {}, fitted on the evaluation rows: their mean negative \
                 log-likelihood went from {} to {}",
                decimal(f64::from(temperature)),
                decimal(before),
                decimal(after)
            ));
        }
        if !self.thresholds.is_empty() {
            let probabilities: Vec<String> =
                self.thresholds.iter().map(|threshold| decimal(threshold.probability)).collect();
            let list = probabilities.join(", ");
            let (what, is) =
                if self.thresholds.len() == 1 { ("the threshold", "is") } else { ("the thresholds", "are") };
            notes.push(format!(
                "{what} of the exported model, fitted on the evaluation rows, {is} {list}: `evaluate` follows what its file notes"
            ));
        }
        if !notes.is_empty() {
            notes.push("figures on the rows that it was fitted to are a little better than on others".into());
        }
        notes
    }
}

/// The log-odds of the thresholds that a model's file notes; none where it notes none.
///
/// # Errors
/// What is noted is no list of numbers.
pub(crate) fn thresholds_of(model: &Model) -> Result<Vec<f64>, RecipeError> {
    let Some(text) = model.metadata(LOG_ODDS) else { return Ok(Vec::new()) };
    let read: Option<Vec<f64>> = serde_json::from_str::<Vec<Finite>>(text)
        .ok()
        .and_then(|values| values.into_iter().map(Finite::number).collect());
    read.ok_or_else(|| {
        let (path, text) = (shown_path(model.path()), shown(text));
        let message = format!("{path} notes thresholds ({LOG_ODDS}) that are no list of numbers: {text}");
        RecipeError::mismatch("model.path", message)
    })
}

/// JSON has no infinite numbers.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Finite {
    Number(f64),
    Word(String),
}

impl Finite {
    fn of(value: f64) -> Self {
        if value.is_finite() { Self::Number(value) } else { Self::Word(value.to_string()) }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(value),
            Self::Word(word) => match word.as_str() {
                "inf" => Some(f64::INFINITY),
                "-inf" => Some(f64::NEG_INFINITY),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_noted_to_the_bit_and_what_is_infinite_by_a_word() {
        let values = [0.1 + 0.2, -2.558_568_500_680_849, f64::INFINITY, f64::NEG_INFINITY];
        let threshold = |log_odds| Threshold { log_odds, probability: 0.5, precision: None, recall: Some(1.0) };
        let fitted = Calibrated { temperature: None, thresholds: values.map(threshold).to_vec() };
        let noted = fitted.metadata();
        let text = &noted.iter().find(|(key, _)| key == LOG_ODDS).unwrap().1;
        assert_eq!(text, r#"[0.30000000000000004,-2.558568500680849,"inf","-inf"]"#);
        let read: Vec<Finite> = serde_json::from_str(text).unwrap();
        assert_eq!(read.into_iter().map(|value| value.number().unwrap()).collect::<Vec<_>>(), values);
        assert_eq!(Finite::Word("high".into()).number(), None);
        assert!(Calibrated::default().metadata().is_empty() && Calibrated::default().notes().is_empty());
    }
}
