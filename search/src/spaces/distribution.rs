use libm::{exp, log};
use millstream_schemas::shown;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::SearchError;

/// Whole numbers beyond this are not all numbers that a double can hold.
const LARGEST: i64 = 1 << 53;
const KINDS: [&str; 4] = ["choose", "integer", "log_uniform", "uniform"];

/// What one parameter may be. Settings are kept as numbers: that of an alternative is its place in the list, from 0.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Distribution {
    /// One of these values, which are all different; written `{choose: [...]}`.
    Choose(Vec<Value>),
    /// A number, each as likely as the other; written `{uniform: [low, high]}`, with `step` where it takes steps.
    Uniform {
        /// The least.
        low: f64,
        /// The largest: a whole number of steps above the least, where there are steps.
        high: f64,
        /// Between neighbours, where it takes steps.
        step: Option<f64>,
    },
    /// A number above 0, each magnitude as likely as the other; written `{log_uniform: [low, high]}`.
    LogUniform {
        /// The least, above 0.
        low: f64,
        /// The largest.
        high: f64,
    },
    /// A whole number; written `{integer: [low, high]}`, with `step` or `log: true`.
    Integer {
        /// The least.
        low: i64,
        /// The largest: a whole number of steps above the least.
        high: i64,
        /// Between neighbours: 1 or more, and 1 where `log` is.
        step: i64,
        /// Whether each magnitude is as likely as the other; then the least is 1 or more.
        log: bool,
    },
}

/// The line on which the settings of a number lie evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The least setting.
    pub low: f64,
    /// The largest setting.
    pub high: f64,
    /// Between neighbours; 0 where there are all numbers between.
    pub step: f64,
    /// Whether they lie evenly as logarithms.
    pub log: bool,
}

impl Scale {
    /// The ends of the line: the least and the largest setting, half a step further out, as logarithms where they are.
    pub fn ends(&self) -> [f64; 2] {
        [self.on_line(self.low - self.step / 2.0), self.on_line(self.high + self.step / 2.0)]
    }

    /// Where a setting lies on the line.
    pub fn on_line(&self, setting: f64) -> f64 {
        if self.log { log(setting) } else { setting }
    }

    /// The ends of a setting's cell on the line, where there are steps.
    pub fn cell(&self, setting: f64) -> [f64; 2] {
        [self.on_line(setting - self.step / 2.0), self.on_line(setting + self.step / 2.0)]
    }

    /// The setting at a place on the line.
    pub fn setting(&self, place: f64) -> f64 {
        let value = if self.log { exp(place) } else { place };
        let steps = |value: f64| ((value - self.low) / self.step).round() * self.step + self.low;
        let value = if self.step > 0.0 { steps(value) } else { value };
        value.max(self.low).min(self.high)
    }

    /// How many settings there are; `None` where there are all numbers between.
    pub fn count(&self) -> Option<u64> {
        match () {
            () if self.low == self.high => Some(1),
            () if self.step > 0.0 => Some(((self.high - self.low) / self.step).round() as u64 + 1),
            () => None,
        }
    }
}

impl Distribution {
    /// Reads a distribution as a recipe writes it; `None` where the value is none.
    ///
    /// A mapping with one of the four names is one, unless it gives options by name or none: then it is something of that name.
    ///
    /// # Errors
    /// One that makes no sense.
    pub fn parse(value: &Value, place: &str) -> Result<Option<Self>, SearchError> {
        let Some(map) = value.as_object() else { return Ok(None) };
        let Some(kind) = KINDS.into_iter().find(|kind| map.contains_key(*kind)) else { return Ok(None) };
        let of = &map[kind];
        if of.is_object() || of.is_null() {
            return Ok(None);
        }
        let refused = |message: String| SearchError::space(place, message);
        let options: &[&str] = match kind {
            "integer" => &["step", "log"],
            "uniform" => &["step"],
            _ => &[],
        };
        if let Some(other) = map.keys().find(|key| *key != kind && !options.contains(&key.as_str())) {
            let known = if options.is_empty() { "nothing".into() } else { options.join(" and ") };
            return Err(refused(format!("`{}` stands beside `{kind}`; {known} may", shown(other))));
        }
        let parsed = match kind {
            "choose" => Self::choose(of),
            "integer" => Self::integer(of, map),
            "log_uniform" => numbers(kind, of).map(|[low, high]| Self::LogUniform { low, high }),
            _ => Self::uniform(of, map),
        };
        parsed.and_then(Self::checked).map(Some).map_err(refused)
    }

    fn choose(of: &Value) -> Result<Self, String> {
        let of = of.as_array().ok_or_else(|| format!("choose wants a list of values, got {}", told(of)))?;
        Ok(Self::Choose(of.clone()))
    }

    fn uniform(of: &Value, map: &Map<String, Value>) -> Result<Self, String> {
        let [low, high] = numbers("uniform", of)?;
        let number = |value: &Value| value.as_f64().ok_or_else(|| format!("step wants a number, got {}", told(value)));
        Ok(Self::Uniform { low, high, step: map.get("step").map(number).transpose()? })
    }

    fn integer(of: &Value, map: &Map<String, Value>) -> Result<Self, String> {
        let whole = |value: &Value| value.as_i64().or_else(|| value.as_f64().and_then(as_whole));
        let ends = of.as_array().filter(|ends| ends.len() == 2).map(|ends| [whole(&ends[0]), whole(&ends[1])]);
        let Some([Some(low), Some(high)]) = ends else {
            return Err(format!("integer wants [low, high] in whole numbers, got {}", told(of)));
        };
        let step = match map.get("step") {
            None => 1,
            Some(step) => whole(step).ok_or_else(|| format!("step wants a whole number, got {}", told(step)))?,
        };
        let log = match map.get("log") {
            None => false,
            Some(log) => log.as_bool().ok_or_else(|| format!("log wants true or false, got {}", told(log)))?,
        };
        Ok(Self::Integer { low, high, step, log })
    }

    fn checked(self) -> Result<Self, String> {
        match &self {
            Self::Choose(values) => {
                if values.is_empty() {
                    return Err("choose wants one value or more, got none".into());
                }
                for (number, value) in values.iter().enumerate() {
                    if let Some(same) = values[..number].iter().position(|other| other == value) {
                        return Err(format!(
                            "choose wants values that differ, got {} at {same} and {number}",
                            told(value)
                        ));
                    }
                }
            }
            Self::Uniform { low, high, step } => {
                ordered("uniform", *low, *high)?;
                if let Some(step) = *step {
                    if !(step.is_finite() && step > 0.0) {
                        return Err(format!("step is above 0, got {step}"));
                    }
                    let steps = (high - low) / step;
                    if (steps - steps.round()).abs() > 1e-9 * steps.max(1.0) {
                        let [below, above] = [steps.floor(), steps.ceil()].map(|steps| low + steps * step);
                        return Err(format!("high is low and a number of steps, {below} or {above}, got {high}"));
                    }
                    if steps > LARGEST as f64 {
                        return Err(format!("step makes more than 2⁵³ values, got {step}"));
                    }
                }
            }
            Self::LogUniform { low, high } => {
                ordered("log_uniform", *low, *high)?;
                if *low <= 0.0 {
                    return Err(format!("low is above 0 in log_uniform, got {low}"));
                }
            }
            Self::Integer { low, high, step, log } => {
                ordered("integer", *low as f64, *high as f64)?;
                if low.unsigned_abs().max(high.unsigned_abs()) > LARGEST as u64 {
                    return Err(format!("integer is within -2⁵³ and 2⁵³, got [{low}, {high}]"));
                }
                if *step < 1 {
                    return Err(format!("step is 1 or more, got {step}"));
                }
                if *log && (*low < 1 || *step != 1) {
                    return Err(format!("log wants low at 1 or more and no step, got low {low} and step {step}"));
                }
                let over = (high - low) % step;
                if over != 0 {
                    let (below, above) = (high - over, high - over + step);
                    return Err(format!("high is low and a number of steps, {below} or {above}, got {high}"));
                }
            }
        }
        Ok(self)
    }

    /// The alternatives, where it is a choice among values.
    pub fn alternatives(&self) -> Option<&[Value]> {
        if let Self::Choose(values) = self { Some(values) } else { None }
    }

    /// The line of its settings, where it is a number.
    pub fn scale(&self) -> Option<Scale> {
        match *self {
            Self::Choose(_) => None,
            Self::Uniform { low, high, step } => Some(Scale { low, high, step: step.unwrap_or(0.0), log: false }),
            Self::LogUniform { low, high } => Some(Scale { low, high, step: 0.0, log: true }),
            Self::Integer { low, high, step, log } => {
                Some(Scale { low: low as f64, high: high as f64, step: step as f64, log })
            }
        }
    }

    /// How many settings there are; `None` where there are all numbers between two.
    pub fn count(&self) -> Option<u64> {
        match self.scale() {
            None => self.alternatives().map(|values| values.len() as u64),
            Some(scale) => scale.count(),
        }
    }

    /// Whether this is a setting of it.
    pub fn holds(&self, setting: f64) -> bool {
        match (self, self.scale()) {
            (Self::Choose(values), _) => as_whole(setting).is_some_and(|at| (0..values.len() as i64).contains(&at)),
            (_, Some(scale)) => {
                let near = |other: f64| (setting - other).abs() <= 1e-9 * scale.step;
                (scale.low..=scale.high).contains(&setting) && (scale.step == 0.0 || near(on_grid(&scale, setting)))
            }
            _ => false,
        }
    }

    /// The setting at a place of the unit interval, in which settings lie evenly.
    pub fn at(&self, unit: f64) -> f64 {
        match (self, self.scale()) {
            (Self::Choose(values), _) => (unit * values.len() as f64).floor().clamp(0.0, values.len() as f64 - 1.0),
            (_, Some(scale)) => {
                let [low, high] = scale.ends();
                scale.setting(low + unit * (high - low))
            }
            _ => 0.0,
        }
    }

    /// Where a setting lies in the unit interval: the middle of its part, where there are parts.
    pub fn unit(&self, setting: f64) -> f64 {
        match (self, self.scale()) {
            (Self::Choose(values), _) => (setting + 0.5) / values.len() as f64,
            (_, Some(scale)) => {
                let [low, high] = scale.ends();
                if high > low { (scale.on_line(setting) - low) / (high - low) } else { 0.5 }
            }
            _ => 0.5,
        }
    }

    /// The value that a setting stands for, as it is written into a recipe.
    pub fn value(&self, setting: f64) -> Value {
        match self {
            Self::Choose(values) => values.get(setting as usize).cloned().unwrap_or_default(),
            Self::Integer { .. } => json!(setting.round() as i64),
            _ => json!(setting),
        }
    }

    /// The setting of a value, if it is one of these.
    pub fn setting(&self, value: &Value) -> Option<f64> {
        let same = |other: &Value| other == value || (other.is_number() && other.as_f64() == value.as_f64());
        match self {
            Self::Choose(values) => values.iter().position(same).map(|at| at as f64),
            _ => value.as_f64().filter(|setting| self.holds(*setting)),
        }
    }

    /// As a recipe writes it.
    pub fn written(&self) -> Value {
        match self {
            Self::Choose(values) => json!({ "choose": values }),
            Self::Uniform { low, high, step: None } => json!({"uniform": [low, high]}),
            Self::Uniform { low, high, step } => json!({"uniform": [low, high], "step": step}),
            Self::LogUniform { low, high } => json!({"log_uniform": [low, high]}),
            Self::Integer { low, high, log: true, .. } => json!({"integer": [low, high], "log": true}),
            Self::Integer { low, high, step: 1, .. } => json!({"integer": [low, high]}),
            Self::Integer { low, high, step, .. } => json!({"integer": [low, high], "step": step}),
        }
    }
}

/// The setting on the grid of steps that is nearest.
fn on_grid(scale: &Scale, setting: f64) -> f64 {
    ((setting - scale.low) / scale.step).round() * scale.step + scale.low
}

fn as_whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= LARGEST as f64).then_some(number as i64)
}

fn numbers(kind: &str, of: &Value) -> Result<[f64; 2], String> {
    let ends = of.as_array().filter(|ends| ends.len() == 2).map(|ends| [ends[0].as_f64(), ends[1].as_f64()]);
    let Some([Some(low), Some(high)]) = ends else {
        return Err(format!("{kind} wants [low, high] in numbers, got {}", told(of)));
    };
    Ok([low, high])
}

fn ordered(kind: &str, low: f64, high: f64) -> Result<(), String> {
    // The width is finite too, so that nothing overflows that is computed from it.
    if low <= high && (high - low).is_finite() {
        return Ok(());
    }
    Err(format!("{kind} wants [low, high] with low at most high, got [{low}, {high}]"))
}

/// A value in a message.
fn told(value: &Value) -> String {
    shown(value.to_string())
}

impl Serialize for Distribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let parsed = Self::parse(&value, "distribution").map_err(D::Error::custom)?;
        parsed.ok_or_else(|| D::Error::custom(format!("wanted one of {}, got {}", KINDS.join(", "), told(&value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: Value) -> Distribution {
        Distribution::parse(&value, "x").unwrap().unwrap()
    }

    fn rows() -> [Value; 9] {
        [
            json!({"choose": ["sgd", {"adam": {"beta": 0.9}}, null, 3]}),
            json!({"uniform": [-1.0, 3.0]}),
            json!({"uniform": [0.0, 0.5], "step": 0.1}),
            json!({"log_uniform": [1e-5, 0.1]}),
            json!({"integer": [1, 8]}),
            json!({"integer": [-4, 8], "step": 4}),
            json!({"integer": [1, 1000], "log": true}),
            json!({"uniform": [2.5, 2.5]}),
            json!({"integer": [7, 7]}),
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        for row in rows() {
            let distribution = parsed(row.clone());
            assert_eq!(distribution.written(), row);
            let text = serde_json::to_string(&distribution).unwrap();
            assert_eq!(serde_json::from_str::<Distribution>(&text).unwrap(), distribution);
        }
    }

    #[test]
    fn settings_go_to_the_unit_interval_and_back() {
        for row in rows() {
            let distribution = parsed(row);
            for step in 0..=1000 {
                let unit = f64::from(step) / 1000.0;
                let setting = distribution.at(unit);
                assert!(distribution.holds(setting), "{distribution:?} at {unit}: {setting}");
                let again = distribution.unit(setting);
                let parts = distribution.count().unwrap_or(1 << 40) as f64;
                let wide = matches!(distribution, Distribution::Integer { log: true, .. });
                assert!(
                    (again - unit).abs() <= 0.51 / parts || parts == 1.0 || wide,
                    "{distribution:?} {unit} {again}"
                );
                assert!((distribution.at(again) - setting).abs() < 1e-9, "{distribution:?}: {setting}");
                let value = distribution.value(setting);
                assert_eq!(distribution.setting(&value), Some(setting), "{value}");
            }
        }
    }

    #[test]
    fn settings_of_steps_are_all_as_likely() {
        for (row, count) in [
            (json!({"integer": [1, 8]}), 8),
            (json!({"integer": [-4, 8], "step": 4}), 4),
            (json!({"uniform": [0.0, 0.5], "step": 0.1}), 6),
            (json!({"choose": [1, 2, 3]}), 3),
        ] {
            let distribution = parsed(row);
            assert_eq!(distribution.count(), Some(count));
            let mut counts = std::collections::BTreeMap::<String, u32>::new();
            for step in 0..4800 {
                *counts
                    .entry(distribution.value(distribution.at((f64::from(step) + 0.5) / 4800.0)).to_string())
                    .or_default() += 1;
            }
            assert!(counts.values().all(|n| u64::from(*n) == 4800 / count), "{counts:?}");
        }
        assert_eq!(parsed(json!({"uniform": [0, 1]})).count(), None);
        assert_eq!(parsed(json!({"log_uniform": [2, 2]})).count(), Some(1));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_place() {
        for (row, message) in [
            (json!({"choose": []}), "choose wants one value or more, got none"),
            (json!({"choose": 3}), "choose wants a list of values, got 3"),
            (json!({"choose": [1, "a", 1]}), "choose wants values that differ, got 1 at 0 and 2"),
            (json!({"uniform": 1}), "uniform wants [low, high] in numbers, got 1"),
            (json!({"uniform": [1]}), "uniform wants [low, high] in numbers, got [1]"),
            (json!({"uniform": [1, "2"]}), "uniform wants [low, high] in numbers, got [1,\"2\"]"),
            (json!({"uniform": [2, 1]}), "uniform wants [low, high] with low at most high, got [2, 1]"),
            (json!({"uniform": [-1e308, 1e308]}), "uniform wants [low, high] with low at most high"),
            (json!({"uniform": [0, 1], "step": 0}), "step is above 0, got 0"),
            (
                json!({"uniform": [0, 1], "step": 0.3}),
                "high is low and a number of steps, 0.8999999999999999 or 1.2, got 1",
            ),
            (json!({"uniform": [0, 1], "step": 1e-300}), "step makes more than 2⁵³ values"),
            (json!({"uniform": [0, 1], "log": true}), "`log` stands beside `uniform`; step may"),
            (json!({"choose": [1], "step": 1}), "`step` stands beside `choose`; nothing may"),
            (json!({"log_uniform": [0, 1]}), "low is above 0 in log_uniform, got 0"),
            (json!({"integer": [1.5, 2]}), "integer wants [low, high] in whole numbers, got [1.5,2]"),
            (json!({"integer": [0, 9_007_199_254_740_994u64]}), "integer is within -2⁵³ and 2⁵³"),
            (json!({"integer": [0, 8], "step": 0}), "step is 1 or more, got 0"),
            (json!({"integer": [0, 8], "step": "2"}), "step wants a whole number, got \"2\""),
            (json!({"integer": [0, 8], "step": 3}), "high is low and a number of steps, 6 or 9, got 8"),
            (json!({"integer": [0, 8], "log": true}), "log wants low at 1 or more and no step, got low 0 and step 1"),
            (json!({"integer": [1, 8], "log": 1}), "log wants true or false, got 1"),
        ] {
            let error = Distribution::parse(&row, "training.rate").unwrap_err().to_string();
            assert!(error.starts_with(&format!("training.rate: {message}")), "{row}: {error}");
        }
    }

    #[test]
    fn a_mapping_that_gives_options_by_name_is_none() {
        for row in [json!({"uniform": {"low": 1}}), json!({"rate": 1}), json!([1]), json!(null), json!("choose")] {
            assert_eq!(Distribution::parse(&row, "x").unwrap(), None, "{row}");
        }
        assert!(serde_json::from_str::<Distribution>("{\"rate\": 1}").is_err());
    }

    #[test]
    fn settings_beside_the_grid_or_out_of_range_are_none() {
        for (row, settings) in [
            (json!({"choose": ["a", "b"]}), vec![-1.0, 2.0, 0.5, f64::NAN]),
            (json!({"integer": [0, 8], "step": 2}), vec![1.0, 9.0, 10.0, f64::INFINITY]),
            (json!({"uniform": [0.0, 1.0]}), vec![-0.1, 1.1, f64::NAN]),
        ] {
            let distribution = parsed(row);
            for setting in settings {
                assert!(!distribution.holds(setting), "{distribution:?}: {setting}");
            }
        }
        assert_eq!(parsed(json!({"choose": ["a", 2]})).setting(&json!("c")), None);
        assert_eq!(parsed(json!({"choose": ["a", 2]})).setting(&json!(2.0)), Some(1.0));
    }
}
