use std::path::PathBuf;

use serde::Serialize;

/// What a model says of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PredictedRow {
    /// Which row: a path, a path with its line (`rows.csv:3`), or the place in a Parquet file.
    pub input: String,
    /// What the model says.
    #[serde(flatten)]
    pub answer: RowAnswer,
}

/// What a model says of a row, by what it predicts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum RowAnswer {
    /// One of several classes.
    Class {
        /// The most likely; of two classes with a fitted threshold the one that it says.
        class: String,
        /// Its place among the classes, from 0.
        index: usize,
        /// Its probability.
        probability: f32,
        /// The most likely classes, the first of them first.
        top: Vec<ClassProbability>,
        /// Of all classes, in the order of the scores.
        #[serde(skip)]
        probabilities: Vec<f32>,
    },
    /// Labels that may hold together.
    Labels {
        /// Those that hold: their probability is above their threshold, one half where none was fitted.
        labels: Vec<String>,
        /// The most likely labels, the first of them first.
        top: Vec<ClassProbability>,
        /// Of all labels, in the order of the scores.
        #[serde(skip)]
        probabilities: Vec<f32>,
    },
    /// Numbers, as the model gives them.
    Numbers {
        /// Row-major.
        values: Vec<f32>,
    },
    /// Where the thing in a picture is.
    Box {
        /// Left, top, right and bottom in pixels of the picture, which is counted as it is seen; cut at its edges.
        r#box: [f32; 4],
        /// What it is, where the model has learned boxes of one class, or has another output with scores of its named classes.
        #[serde(skip_serializing_if = "Option::is_none")]
        class: Option<String>,
    },
    /// Where things in a picture are.
    Boxes {
        /// As [`Self::Box`] has one, in the order in which the model gives them.
        boxes: Vec<[f32; 4]>,
        /// What they are, where the model has learned boxes of one class.
        #[serde(skip_serializing_if = "Option::is_none")]
        class: Option<String>,
    },
    /// What is in a picture, and where.
    Things {
        /// The likeliest first.
        things: Vec<PredictedThing>,
    },
    /// A class for each token.
    Tokens {
        /// In their order.
        classes: Vec<String>,
    },
    /// A class for each pixel.
    Mask {
        /// A grey PNG file with the number of the class of each pixel, where masks are written.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[serde(serialize_with = "millstream_schemas::written_path_if_any")]
        mask: Option<PathBuf>,
        /// Width and height in pixels: those of the picture, or, where its preparation is no map of one point to one, those of what the model
        /// gives.
        size: [usize; 2],
        /// Which share of the pixels that the model has seen is of which class; those that occur, the largest first.
        shares: Vec<ClassShare>,
        /// The class of each pixel, row by row, until it is written; none of what was cut off before the model saw it.
        #[serde(skip)]
        pixels: Vec<Option<u16>>,
    },
    /// The row cannot be used.
    Unusable {
        /// Why.
        error: String,
    },
}

/// A thing in a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PredictedThing {
    /// What it is; the number of its class where that has no name.
    pub class: String,
    /// How likely it is to be there, from 0 to 1.
    pub probability: f32,
    /// Left, top, right and bottom in pixels of the picture, as [`RowAnswer::Box`] has them.
    pub r#box: [f32; 4],
}

/// A class and how likely it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassProbability {
    /// Its name; its number where it has none.
    pub class: String,
    /// From 0 to 1.
    pub probability: f32,
}

/// A class and how much of a picture is of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassShare {
    /// Its name; its number where it has none.
    pub class: String,
    /// From 0 to 1.
    pub share: f64,
}
