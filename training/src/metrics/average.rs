//! Figures that each class has, as one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_counts::{ClassCount, ClassCounts, share};
use super::measured_batch::MeasuredBatch;
use super::metric_function::Meter;

/// How figures of classes become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Average {
    /// The mean over the classes, each alike; those that are neither among the targets nor the answers are left out.
    #[default]
    Macro,
    /// Of all classes' counts together; of labels, all labels'.
    Micro,
    /// The mean over the classes, each by its targets.
    Weighted,
    /// Of the second of two classes alone.
    Binary,
}

impl Average {
    /// `f1`, and `f1_micro` where it is not the usual average.
    pub(super) fn figure_name(self, metric: &str) -> String {
        match self {
            Self::Macro => metric.into(),
            Self::Micro => format!("{metric}_micro"),
            Self::Weighted => format!("{metric}_weighted"),
            Self::Binary => format!("{metric}_binary"),
        }
    }

    /// Begins to count, for a figure that is one count of a class by another.
    pub(super) fn start(self, classes: &[String], parts: Parts) -> Result<Box<dyn Meter>, String> {
        if self == Self::Binary && classes.is_empty() {
            return Err("`average: binary` is for two classes, and the loss is one of labels".into());
        }
        if self == Self::Binary && classes.len() != 2 {
            return Err(format!("`average: binary` is for two classes, and there are {}", classes.len()));
        }
        Ok(Box::new(Averaged { counts: ClassCounts::new(classes), average: self, parts }))
    }
}

/// Numerator and denominator of a class; a class with denominator 0 has 0.
pub(super) type Parts = fn(&ClassCount) -> (u64, u64);

struct Averaged {
    counts: ClassCounts,
    average: Average,
    parts: Parts,
}

impl Meter for Averaged {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        self.counts.add(batch);
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let of_class = |class: &ClassCount| {
            let (part, whole) = (self.parts)(class);
            share(part, whole).unwrap_or(0.0)
        };
        let mean = |weight: fn(&ClassCount) -> u64| {
            let weights: u64 = self.counts.present().map(weight).sum();
            let sum: f64 = self.counts.present().map(|class| weight(class) as f64 * of_class(class)).sum();
            (weights > 0).then(|| sum / weights as f64)
        };
        vec![match self.average {
            Average::Macro => mean(|_| 1),
            Average::Weighted => mean(|class| class.rows),
            Average::Micro => {
                let parts = self.counts.present().map(self.parts);
                let (part, whole) = parts.fold((0, 0), |(part, whole), (a, b)| (part + a, whole + b));
                share(part, whole)
            }
            Average::Binary => self.counts.0.get(1).map(of_class),
        }]
    }
}
