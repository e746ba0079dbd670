//! How often what is of a class scores higher than what is not.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::held_scores::HeldScores;
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::ranking::{RankedAverage, area_under_curve, mean_by_weight};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "roc_auc",
    summary: "The area under the curve of true over false positives.",
    documentation: "The share of pairs of a row of a class and one of another in which the first has the higher probability of \
        the class, equal ones by half: ½ for guesses (Hanley and McNeil, \"The meaning and use of the area under a ROC curve\", \
        1982). Of two classes it is that of the second. Of more, `one_vs_rest` compares the rows of a class with all others, \
        and `average` says how the classes become one; `one_vs_one` takes each pair of classes by itself, both ways, and \
        averages over the pairs, each alike or `weighted` by its rows (Hand and Till 2001). Of labels that may hold together \
        each is compared by itself. Classes and labels that all rows have, or none, are left out; where nothing is left there \
        is no figure. As scikit-learn's `roc_auc_score`, but ranked by log-odds, which tells apart what a softmax rounds to 1. \
        A score that is no number ranks as wrong as it can. The figure is called `roc_auc`, with `roc_auc_micro`, \
        `roc_auc_weighted`, `roc_auc_one_vs_one` and `roc_auc_one_vs_one_weighted` for other choices. It holds the scores of all rows until the evaluation ends: 4 bytes for each score and each row, and while it is \
        computed 32 more for each row, under \
        `average: micro` 16 for each score.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 2],
            prediction: &[0.0, 0.1, 0.0, 0.4, 0.0, 0.35, 0.0, 0.8],
            targets: &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0],
            wanted: r#"{"roc_auc": 0.75}"#,
        },
        Worked {
            options: "{}",
            shape: &[6, 3],
            prediction: &[2.0, 0.5, 0.0, 0.0, 1.0, 0.5, 1.5, 0.25, 1.0, 0.0, 0.5, 2.0, 0.75, 1.0, 0.0, 0.25, 0.0, 0.5],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"roc_auc": 0.875}"#,
        },
        Worked {
            options: r#"{"average": "micro"}"#,
            shape: &[6, 3],
            prediction: &[2.0, 0.5, 0.0, 0.0, 1.0, 0.5, 1.5, 0.25, 1.0, 0.0, 0.5, 2.0, 0.75, 1.0, 0.0, 0.25, 0.0, 0.5],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"roc_auc_micro": 0.8194444444444444}"#,
        },
        Worked {
            options: r#"{"average": "weighted"}"#,
            shape: &[6, 3],
            prediction: &[2.0, 0.5, 0.0, 0.0, 1.0, 0.5, 1.5, 0.25, 1.0, 0.0, 0.5, 2.0, 0.75, 1.0, 0.0, 0.25, 0.0, 0.5],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"roc_auc_weighted": 0.875}"#,
        },
        Worked {
            options: r#"{"multi_class": "one_vs_one"}"#,
            shape: &[6, 3],
            prediction: &[2.0, 0.5, 0.0, 0.0, 1.0, 0.5, 1.5, 0.25, 1.0, 0.0, 0.5, 2.0, 0.75, 1.0, 0.0, 0.25, 0.0, 0.5],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"roc_auc_one_vs_one": 0.875}"#,
        },
        Worked {
            options: r#"{"multi_class": "one_vs_one", "average": "weighted"}"#,
            shape: &[6, 3],
            prediction: &[2.0, 0.5, 0.0, 0.0, 1.0, 0.5, 1.5, 0.25, 1.0, 0.0, 0.5, 2.0, 0.75, 1.0, 0.0, 0.25, 0.0, 0.5],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"roc_auc_one_vs_one_weighted": 0.8749999999999999}"#,
        },
        Worked {
            options: "{}",
            shape: &[2, 2],
            prediction: &[0.0, 1.0, 1.0, 0.0],
            targets: &[0.0, 1.0, 0.0, 1.0],
            wanted: r#"{"roc_auc": null}"#,
        },
    ],
    build: Build::of::<RocAuc>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RocAuc {
    /// What a class is compared with, where there are more than two.
    multi_class: MultiClass,
    /// How the figures of the classes, labels or pairs become one.
    average: RankedAverage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MultiClass {
    /// All others.
    #[default]
    OneVsRest,
    /// Each other one by itself.
    OneVsOne,
}

impl Options for RocAuc {
    fn validate(&self) -> Result<(), String> {
        if self.multi_class == MultiClass::OneVsOne && self.average == RankedAverage::Micro {
            return Err("`one_vs_one` has the averages `macro` and `weighted`".into());
        }
        Ok(())
    }
}

impl MetricFunction for RocAuc {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn reads_also(&self) -> &'static [PredictionKind] {
        &[PredictionKind::LabelScores]
    }

    fn figure_names(&self) -> Vec<String> {
        let name = match self.multi_class {
            MultiClass::OneVsRest => "roc_auc",
            MultiClass::OneVsOne => "roc_auc_one_vs_one",
        };
        vec![self.average.figure_name(name)]
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        if self.multi_class == MultiClass::OneVsOne && classes.is_empty() {
            return Err("`multi_class: one_vs_one` is for classes, and the loss is one of labels".into());
        }
        Ok(Box::new(Area { options: *self, held: HeldScores::default() }))
    }
}

struct Area {
    options: RocAuc,
    held: HeldScores,
}

impl Meter for Area {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        self.held.add(batch);
    }

    fn bytes_held(&self) -> u64 {
        self.held.bytes()
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let RocAuc { multi_class, average } = self.options;
        vec![match multi_class {
            MultiClass::OneVsRest => average.of(self.held.one_vs_rest(), area_under_curve),
            MultiClass::OneVsOne => mean_by_weight(self.held.one_vs_one().filter_map(|[first, second]| {
                let weight = if average == RankedAverage::Weighted { first.len() as f64 } else { 1.0 };
                let areas = area_under_curve(first).zip(area_under_curve(second));
                areas.map(|(first, second)| (0.5 * (first + second), weight))
            })),
        }]
    }
}
