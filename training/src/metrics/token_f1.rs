//! Entities of tokens that are found.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::average::Average;
use super::class_counts::{ClassCount, share};
use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::tags::{self, Entities, Entity, Tag};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "token_f1",
    summary: "F1, precision and recall of the entities that the tags of the tokens make.",
    documentation: "The classes of tokens are tags, by the names of the classes or by `tags`: `O`, `B-person` where an entity begins, \
        `I-person` where it goes on, and `E-` and `S-` for the end and for one token. An entity is right where type, first and last \
        token are. As seqeval's `f1_score`, `precision_score` and `recall_score`: over all entities together, or over their types as \
        `average` says, a type without an answer or without a target with 0; there is none where no entity is among targets or \
        answers. By itself a tag that goes on where nothing is open begins an entity, as `conlleval` has it; `entities: strict` \
        takes those alone that begin with `B-`, as seqeval's mode `strict` with IOB2. Tokens without a class, as padding and the \
        rest of a word, are left out before; each row is a sequence. A token with scores that are no numbers is in no entity. The \
        figures are called `token_f1`, `token_precision` and `token_recall`, and after another average `token_f1_macro` and so on.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: r#"{"tags": ["O", "B-a", "I-a", "B-b", "I-b"]}"#,
            shape: &[3, 5, 4],
            prediction: &[
                0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
                1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
                1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            ],
            targets: &[
                0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0,
                1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0,
                1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            ],
            wanted: r#"{"token_f1": 0.3333333333333333, "token_precision": 0.3333333333333333, "token_recall": 0.3333333333333333}"#,
        },
        Worked {
            options: r#"{"average": "macro", "tags": ["O", "B-a", "I-a", "B-b", "I-b"]}"#,
            shape: &[3, 5, 4],
            prediction: &[
                0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
                1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
                1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            ],
            targets: &[
                0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0,
                1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0,
                1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            ],
            wanted: r#"{"token_f1_macro": 0.3333333333333333, "token_precision_macro": 0.25, "token_recall_macro": 0.5}"#,
        },
        Worked {
            options: r#"{"average": "weighted", "tags": ["O", "B-a", "I-a", "B-b", "I-b"]}"#,
            shape: &[3, 5, 4],
            prediction: &[
                0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
                1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
                1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            ],
            targets: &[
                0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0,
                1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0,
                1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            ],
            wanted: r#"{"token_f1_weighted": 0.2222222222222222, "token_precision_weighted": 0.16666666666666666, "token_recall_weighted": 0.3333333333333333}"#,
        },
        Worked {
            options: r#"{"entities": "strict", "tags": ["O", "B-a", "I-a", "B-b", "I-b"]}"#,
            shape: &[1, 5, 3],
            prediction: &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            targets: &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            wanted: r#"{"token_f1": 0.0, "token_precision": 0.0, "token_recall": 0.0}"#,
        },
        Worked {
            options: r#"{"tags": ["O", "B-a", "I-a", "B-b", "I-b"]}"#,
            shape: &[1, 5, 3],
            prediction: &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            targets: &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            wanted: r#"{"token_f1": null, "token_precision": null, "token_recall": null}"#,
        },
    ],
    build: Build::of::<TokenF1>(),
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TokenF1 {
    /// How the figures of the types become one: `micro`, `macro` or `weighted`.
    average: Average,
    /// Which runs of tags are entities.
    entities: Entities,
    /// The tag of each class, where the names of the classes are none.
    tags: Vec<String>,
}

impl Default for TokenF1 {
    fn default() -> Self {
        Self { average: Average::Micro, entities: Entities::Lenient, tags: Vec::new() }
    }
}

impl Options for TokenF1 {
    fn validate(&self) -> Result<(), String> {
        if self.average == Average::Binary {
            return Err("average is `micro`, `macro` or `weighted`: entities have types, not two classes".into());
        }
        tags::read(&self.tags).map(drop)
    }
}

impl MetricFunction for TokenF1 {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        let suffix = match self.average {
            Average::Micro | Average::Binary => "",
            Average::Macro => "_macro",
            Average::Weighted => "_weighted",
        };
        ["token_f1", "token_precision", "token_recall"].map(|name| format!("{name}{suffix}")).to_vec()
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        let names = if self.tags.is_empty() { classes } else { &self.tags };
        if names.len() != classes.len() {
            return Err(format!("`tags` are {}, and there are {} classes", names.len(), classes.len()));
        }
        let (tags, types) = tags::read(names)?;
        if self.entities == Entities::Strict && !tags::are_begin_inside(&tags) {
            return Err("`entities: strict` is for the tags `O`, `B-` and `I-`".into());
        }
        Ok(Box::new(Found {
            entities: self.entities,
            average: self.average,
            tags,
            counts: vec![ClassCount::default(); types],
            row: None,
            sequences: [Vec::new(), Vec::new()],
        }))
    }
}

struct Found {
    entities: Entities,
    average: Average,
    tags: Vec<Tag>,
    /// By type.
    counts: Vec<ClassCount>,
    row: Option<usize>,
    /// True and predicted tags of the row that is under way.
    sequences: [Vec<Tag>; 2],
}

impl Found {
    fn close(&mut self) {
        let [wanted, found] = [0, 1].map(|side| self.entities.of(&self.sequences[side]));
        wanted.iter().for_each(|(of_type, ..)| self.counts[*of_type].rows += 1);
        found.iter().for_each(|(of_type, ..)| self.counts[*of_type].taken += 1);
        // Both are in the order of their first tokens, and no two of a side begin at one.
        let right = |entity: &&Entity| {
            wanted.binary_search_by_key(&entity.1, |(_, first, _)| *first).is_ok_and(|at| wanted[at] == **entity)
        };
        found.iter().filter(right).for_each(|(of_type, ..)| self.counts[*of_type].right += 1);
        self.sequences.iter_mut().for_each(Vec::clear);
        self.row = None;
    }

    fn figure(&self, parts: fn(&ClassCount) -> (u64, u64)) -> Option<f64> {
        let present: Vec<&ClassCount> = self.counts.iter().filter(|count| count.rows + count.taken > 0).collect();
        let (part, whole) = present.iter().fold((0, 0), |(part, whole), count| {
            let (a, b) = parts(count);
            (part + a, whole + b)
        });
        let of_type = |count: &ClassCount| {
            let (part, whole) = parts(count);
            share(part, whole).unwrap_or(0.0)
        };
        let mean = |weight: fn(&ClassCount) -> u64| {
            let weights: u64 = present.iter().map(|count| weight(count)).sum();
            let sum: f64 = present.iter().map(|count| weight(count) as f64 * of_type(count)).sum();
            if weights > 0 { sum / weights as f64 } else { 0.0 }
        };
        (!present.is_empty()).then(|| match self.average {
            Average::Micro | Average::Binary => share(part, whole).unwrap_or(0.0),
            Average::Macro => mean(|_| 1),
            Average::Weighted => mean(|count| count.rows),
        })
    }
}

impl Meter for Found {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        batch.each_answer(|answer| {
            if self.row.is_some_and(|row| row != answer.row) {
                self.close();
            }
            self.row = Some(answer.row);
            self.sequences[0].push(self.tags[answer.truth]);
            self.sequences[1].push(answer.predicted.and_then(|predicted| self.tags[predicted]));
        });
        self.close();
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![
            self.figure(|count| (2 * count.right, count.taken + count.rows)),
            self.figure(|count| (count.right, count.taken)),
            self.figure(|count| (count.right, count.rows)),
        ]
    }
}
