use millstream_schemas::{decimal, percent};
use serde::{Deserialize, Serialize};

use super::interval::{interval_in_words, with_interval};

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The higher, the better.
    Higher,
    /// The lower, the better.
    Lower,
}

/// How a figure is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share, 0 to 1.
    Share,
    /// Any number.
    Number,
}

/// What is known of a figure before it is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureKind {
    /// As in `metrics.json` and in a recipe.
    pub name: String,
    /// Which way it is better.
    pub better: Better,
    /// How it is counted.
    pub unit: Unit,
    /// Whether one constant answer, the most frequent class, brings that class's share of the rows.
    #[serde(default)]
    pub of_constant_answer: bool,
}

impl FigureKind {
    /// Name of the loss, which every evaluation has.
    pub const LOSS: &'static str = "loss";

    /// The loss: what the training graph computes.
    pub fn loss() -> Self {
        Self { name: Self::LOSS.into(), better: Better::Lower, unit: Unit::Number, of_constant_answer: false }
    }

    /// What a build that knew no other figures measured.
    pub(crate) fn of_older_builds() -> Vec<Self> {
        let share = |name: &str, of_constant_answer| Self {
            name: name.into(),
            better: Better::Higher,
            unit: Unit::Share,
            of_constant_answer,
        };
        vec![share("accuracy", true), share("top_5", false)]
    }

    /// Whether a value is better than another; a number is better than none.
    pub fn is_better(&self, value: Option<f64>, than: Option<f64>) -> bool {
        let number = |value: Option<f64>| value.filter(|value| !value.is_nan());
        match (number(value), number(than), self.better) {
            (Some(value), Some(than), Better::Higher) => value > than,
            (Some(value), Some(than), Better::Lower) => value < than,
            (Some(_), None, _) => true,
            (None, ..) => false,
        }
    }

    /// A value that is better than another by a distance.
    pub fn better_by(&self, than: f64, distance: f64) -> f64 {
        match self.better {
            Better::Higher => than + distance,
            Better::Lower => than - distance,
        }
    }

    /// The name as people read it: `top-5`.
    pub fn label(&self) -> String {
        self.name.replace('_', "-")
    }

    /// A value as people read it: `88.6 %`, `0.4012`; `–` for none.
    pub fn shown(&self, value: Option<f64>) -> String {
        match (value, self.unit) {
            (None, _) => "–".into(),
            (Some(value), Unit::Share) => percent(value),
            (Some(value), Unit::Number) => decimal(value),
        }
    }

    /// Where a value lies as people read it: `82.3 % to 92.9 %`.
    pub fn shown_interval(&self, interval: [f64; 2]) -> String {
        interval_in_words(interval, |end| self.shown(Some(end)))
    }

    /// A value as people read it, with its interval where it has one: `88.6 % (82.3 % to 92.9 %)`.
    pub fn shown_with_interval(&self, value: Option<f64>, interval: Option<[f64; 2]>) -> String {
        with_interval(self.shown(value), interval, |end| self.shown(Some(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_and_the_ends_of_its_interval_are_said_in_the_same_unit() {
        let share = FigureKind { name: "accuracy".into(), unit: Unit::Share, ..FigureKind::loss() };
        assert_eq!(share.shown_with_interval(Some(0.886), Some([0.823, 0.929])), "88.6 % (82.3 % to 92.9 %)");
        assert_eq!(share.shown_interval([0.823, 0.929]), "82.3 % to 92.9 %");
        assert_eq!(share.shown_with_interval(Some(0.886), None), "88.6 %");
        assert_eq!(share.shown_with_interval(None, None), "–");
        assert_eq!(
            FigureKind::loss().shown_with_interval(Some(0.4012), Some([0.25, 0.5])),
            "0.4012 (0.2500 to 0.5000)"
        );
    }
}
