//! Models that can be trained where all batches are of one length, and not where each has its own.

use std::collections::BTreeMap;

use millstream_compiler::{
    CompilerError, FineTuning, Model, OperatorCatalog, TracedLength, TrainingProgram, compile, traced_lengths,
};
use millstream_schemas::{AxisLength, BatchSpec, TensorRole, shown};

use crate::RecipeError;
use crate::model_inputs::closed;

/// Compiles a model for batches of this kind.
///
/// # Errors
/// As of [`compile`]; where it can be compiled for one length of all batches, the error says which settings of the recipe make
/// that. A node asks one length of an axis whose length the recipe leaves open.
pub(crate) fn compile_for(
    model: &Model,
    spec: &BatchSpec,
    wanted: &FineTuning,
    operators: &OperatorCatalog,
) -> Result<TrainingProgram, RecipeError> {
    let program = compile(model, wanted, operators).map_err(|error| advised(model, spec, wanted, operators, error))?;
    match program.traced_lengths.iter().find(|traced| axis_of(wanted, traced).is_some()) {
        Some(traced) => Err(OneLength { model, wanted, operators }.refused(traced)),
        None => Ok(program),
    }
}

/// An error of compiling, with the settings that were tried to help where batches have lengths of their own.
pub(crate) fn advised(
    model: &Model,
    spec: &BatchSpec,
    wanted: &FineTuning,
    operators: &OperatorCatalog,
    error: CompilerError,
) -> RecipeError {
    let is_of_a_node = matches!(
        error,
        CompilerError::Node { .. }
            | CompilerError::NotKnown { .. }
            | CompilerError::MissingGradient { .. }
            | CompilerError::Unsupported { .. }
    );
    let open = |name: &String| wanted.inputs.get(name).is_some_and(|shape| shape.iter().skip(1).any(is_open));
    let rows = spec.of_role(TensorRole::Input).filter(|tensor| open(&tensor.name) && closed(tensor).is_none());
    let longest: BTreeMap<&str, usize> = rows.filter_map(|rows| Some((rows.name.as_str(), rows.longest()?))).collect();
    if !is_of_a_node || longest.is_empty() {
        return error.into();
    }
    let one = OneLength { model, wanted, operators };
    let traced = traced_lengths(model, wanted, operators).unwrap_or_default();
    if let Some(traced) = traced.iter().find(|traced| axis_of(wanted, traced).is_some()) {
        return one.refused(traced);
    }
    let mut lengths: Vec<(&str, &AxisLength, usize)> = Vec::new();
    for (name, length) in &longest {
        let axis =
            wanted.inputs[*name].iter().skip(1).find(|length| is_open(length)).expect("it is among the open ones");
        if lengths.iter().all(|(_, other, _)| *other != axis) {
            lengths.push((name, axis, *length));
        }
    }
    let fixed: Vec<(&AxisLength, usize)> = lengths.iter().map(|(_, axis, length)| (*axis, *length)).collect();
    if !one.compiles(&fixed) {
        return error.into();
    }
    let settings: Vec<String> = lengths.iter().map(|(name, _, length)| setting(name, *length)).collect();
    let message = format!("{error}. It can be trained where all batches are of one length: {}", settings.join(", "));
    RecipeError::mismatch(place(lengths[0].0), message)
}

fn is_open(length: &AxisLength) -> bool {
    length.fixed().is_none()
}

/// The axis of the recipe that a node asks a length of, where it is open.
fn axis_of<'a>(wanted: &'a FineTuning, traced: &TracedLength) -> Option<&'a AxisLength> {
    wanted.inputs.get(&traced.input)?.get(traced.axis).filter(|length| is_open(length))
}

fn place(input: &str) -> String {
    format!("data.inputs.{input}")
}

fn setting(input: &str, length: usize) -> String {
    format!("`max_length: {length}, pad_to_multiple_of: {length}` of `{}`", shown(place(input)))
}

struct OneLength<'a> {
    model: &'a Model,
    wanted: &'a FineTuning,
    operators: &'a OperatorCatalog,
}

impl OneLength<'_> {
    /// Whether the model can be trained with these lengths.
    fn compiles(&self, lengths: &[(&AxisLength, usize)]) -> bool {
        let mut wanted = self.wanted.clone();
        for own in wanted.inputs.values_mut().flatten() {
            if let Some((_, length)) = lengths.iter().find(|(axis, _)| *axis == own) {
                *own = AxisLength::Fixed(*length);
            }
        }
        compile(self.model, &wanted, self.operators).is_ok()
    }

    fn refused(&self, traced: &TracedLength) -> RecipeError {
        let axis = axis_of(self.wanted, traced).expect("it is open");
        let helps = if self.compiles(&[(axis, traced.length)]) {
            format!("make all batches so long: {}, or ", setting(&traced.input, traced.length))
        } else {
            String::new()
        };
        let message = format!("{traced}; {helps}export the model in a way that keeps the length open");
        RecipeError::mismatch(place(&traced.input), message)
    }
}
