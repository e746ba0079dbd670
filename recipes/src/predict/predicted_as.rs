use serde::Serialize;

/// What a model says of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictedAs {
    /// A class: of the row, or, as the prediction's shape tells, of each token or pixel.
    Classes,
    /// Labels that may hold together.
    Labels,
    /// Numbers.
    Numbers,
    /// Where the thing in a picture is.
    Box,
    /// Where things in a picture are.
    Boxes,
    /// Where things in a picture are, what each is, and how likely it is to be there.
    Things,
}
