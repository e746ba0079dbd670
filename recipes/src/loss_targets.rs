//! Whether the targets of a batch are what a loss takes.

use millstream_compiler::Loss;
use millstream_compiler::graph::TensorType;
use millstream_compiler::losses::PredictionKind;
use millstream_schemas::{AxisLength, BatchSpec, ElementType, TensorEntry, TensorRole};

use crate::{RecipeError, RowSource};

/// The shape that the model's output must have for these targets: as theirs, with an axis of classes where they are numbers of
/// classes.
pub(crate) fn presumed_prediction(source: &RowSource, spec: &BatchSpec) -> Vec<usize> {
    let Some(target) = spec.of_role(TensorRole::Target).next() else { return Vec::new() };
    let longest = target.longest().unwrap_or(1);
    let lengths = target.shape.iter().map(|length| length.unwrap_or(longest));
    let mut shape: Vec<usize> = std::iter::once(spec.capacity).chain(lengths).collect();
    if target.element_type == ElementType::I64 {
        shape.insert(1, source.classes().len());
    }
    shape
}

/// How many axes the model's output must have for these targets, where the loss compares them one to one.
pub(crate) fn prediction_axes(loss: &Loss, source: &RowSource, spec: &BatchSpec) -> Option<usize> {
    let axes = presumed_prediction(source, spec).len();
    (loss.reads().are_counted() && axes > 0).then_some(axes)
}

/// What targets say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    Classes,
    Labels,
    Numbers,
}

/// The loss must be one of such targets.
pub(crate) fn require_targets(loss: &Loss, source: &RowSource, spec: &BatchSpec) -> Result<(), RecipeError> {
    let Some(target) = spec.of_role(TensorRole::Target).next() else { return Ok(()) };
    if loss.reads() == PredictionKind::Boxes && source.classes().is_empty() {
        let message = format!(
            "the loss `{}` wants boxes with their classes, and the data give other targets; the encoding is `boxes` with `as: classed`",
            loss.choice().name
        );
        return Err(RecipeError::mismatch("data.targets", message));
    }
    // What others are compared with depends on what the model gives: it is checked when that is known.
    if !loss.reads().are_counted() {
        return Ok(());
    }
    let wanted = loss.target(&TensorType::f32(presumed_prediction(source, spec)))?;
    let given = match (source.classes().is_empty(), source.encoders.classes_hold_together()) {
        (true, _) => Given::Numbers,
        (false, true) => Given::Labels,
        (false, false) => Given::Classes,
    };
    let is_meant = match loss.reads() {
        PredictionKind::ClassScores => given == Given::Classes,
        PredictionKind::LabelScores => given != Given::Classes,
        _ => given == Given::Numbers,
    };
    let fits = wanted.dtype.name() == target.element_type.name();
    if fits && is_meant {
        return Ok(());
    }
    let what = match loss.reads() {
        _ if !fits => format!("targets of {wanted}"),
        PredictionKind::ClassScores => "probabilities of classes".to_owned(),
        PredictionKind::LabelScores => "a number from 0 to 1 for each label".to_owned(),
        _ => "numbers".to_owned(),
    };
    // what one score for each place is trained by elsewhere
    let of_one_score = match (given, target.element_type, loss.reads(), source.classes().len()) {
        (Given::Classes, ElementType::I64, PredictionKind::LabelScores, 2) => {
            "; of a model that gives one score for each place, that of the second class, it is the same by `model.head: keep`".to_owned()
        }
        (Given::Classes, ElementType::I64, PredictionKind::LabelScores, classes) => format!(
            "; that takes {classes} scores for each place: a model that gives one has a last layer of {classes} by \
             `model.head: {{new_with: zeros}}`"
        ),
        _ => String::new(),
    };
    let given = match (given, target.element_type) {
        (Given::Classes, ElementType::I64) => {
            "the data give the number of a class for each place; choose a loss of such classes, `sparse_cross_entropy`"
        }
        (Given::Classes, _) => {
            "the labels give probabilities of classes; choose a loss of classes, such as `cross_entropy`"
        }
        (Given::Labels, _) => {
            "the data give labels that may hold together; choose a loss of labels, such as `binary_cross_entropy`"
        }
        (Given::Numbers, _) => "the data give numbers; choose a loss of numbers, such as `mse`",
    };
    let message = format!("the loss `{}` wants {what}, and {given}{of_one_score}", loss.choice().name);
    Err(RecipeError::mismatch("training.loss", message))
}

/// The data must give the targets that the loss, as compiled, compares a prediction with.
pub(crate) fn require_compared(loss: &Loss, wanted: &TensorEntry, spec: &BatchSpec) -> Result<(), RecipeError> {
    let Some(given) = spec.of_role(TensorRole::Target).next() else { return Ok(()) };
    let lengths = given.shape.iter().map(|length| length.map_or(AxisLength::Named("?".into()), AxisLength::Fixed));
    let lengths: Vec<AxisLength> = std::iter::once(spec.capacity.into()).chain(lengths).collect();
    let fits = |(wanted, given): (&AxisLength, &AxisLength)| {
        wanted.fixed().zip(given.fixed()).is_none_or(|(wanted, given)| wanted == given)
    };
    let same_type = wanted.dtype == given.element_type.name();
    if same_type && wanted.shape.len() == lengths.len() && wanted.shape.iter().zip(&lengths).all(fits) {
        return Ok(());
    }
    let (loss, given) = (&loss.choice().name, given.element_type.name());
    let message = format!(
        "the loss `{loss}` wants targets of {} {:?}, and the data give {given} {lengths:?}",
        wanted.dtype, wanted.shape
    );
    Err(RecipeError::mismatch("data.targets", message))
}
