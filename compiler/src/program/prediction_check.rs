//! Whether what a model predicts is what the loss reads.

use millstream_schemas::shown;

use crate::CompilerError;
use crate::binding::length_of;
use crate::finetuning::{FineTuning, Head};
use crate::graph::{ElementType, Graph, Length, ValueId};
use crate::losses::PredictionKind;

/// Scores are as many as the data has classes; numbers as many as are wanted for a row.
pub(super) fn check_prediction(
    graph: &Graph,
    prediction: ValueId,
    wanted: &FineTuning,
    head: Option<&Head>,
) -> Result<(), CompilerError> {
    let (found, reads) = (graph.known_type(prediction)?, wanted.loss.reads());
    let is_numbers = reads == PredictionKind::Numbers;
    let in_a_row: Option<Length> = match (reads, found.shape.as_slice()) {
        (PredictionKind::ClassScores | PredictionKind::LabelScores, [_, classes, ..])
        | (PredictionKind::Boxes, [_, classes, _, _]) => Some(classes.clone()),
        (PredictionKind::Numbers, [_, further @ ..]) => Some(further.iter().product()),
        _ => None,
    };
    let of_rows = found.shape.first() == Some(&length_of(&wanted.batch));
    let outputs = reads.outputs(wanted.classes);
    let fits = outputs.is_none_or(|outputs| in_a_row == Some(outputs.into()));
    if found.dtype == ElementType::F32 && of_rows && fits {
        return Ok(());
    }
    let name = shown(graph.name(prediction));
    let Some(outputs) = outputs else {
        let axes = if reads == PredictionKind::SequenceScores { "sequence, symbols" } else { "…" };
        let message = format!(
            "output `{name}` is {found}, wanted float32 [{}, {axes}]: export the model with the rows of the batch first",
            wanted.batch
        );
        return Err(CompilerError::Selection(message));
    };
    let advice = match head {
        _ if reads == PredictionKind::Boxes => {
            "; that is a score of each class and four distances at each place of a map: use `head: boxes`".to_owned()
        }
        Some(head) if head.classes != wanted.classes && !is_numbers => {
            format!("; the head has {} outputs and the data {} classes: use `head: new`", head.classes, wanted.classes)
        }
        Some(head) if head.classes != wanted.classes => {
            format!("; the head has {} outputs and a row {} targets: use `head: new`", head.classes, wanted.classes)
        }
        _ => String::new(),
    };
    let (further, axes) = match reads {
        PredictionKind::Numbers => ("", "(batch, numbers)"),
        PredictionKind::Boxes => (", height, width", "(batch, classes + 4, height, width)"),
        _ => ("", "(batch, classes)"),
    };
    Err(CompilerError::Selection(format!(
        "output `{name}` is {found}, wanted float32 [{}, {}{further}] {axes}{advice}",
        wanted.batch, outputs
    )))
}
