//! Whether the tensors of a batch are what a model takes.

use std::collections::BTreeMap;

use millstream_compiler::Model;
use millstream_schemas::{AxisLength, BatchSpec, TensorRole, TensorSpec, shown};

use crate::RecipeError;

/// The names of a model's inputs.
///
/// # Errors
/// There are several, and the recipe does not say what they are made of (`named`).
pub(crate) fn input_names(model: &Model, named: bool) -> Result<Vec<String>, RecipeError> {
    let names: Vec<String> = model.inputs().into_iter().map(|(name, _)| name).collect();
    if let ([first, _, ..], false) = (names.as_slice(), named) {
        let shown_names: Vec<_> = names.iter().take(8).map(|name| format!("`{}`", shown(name))).collect();
        let (first, list) = (shown(first), shown_names.join(", "));
        let message = format!(
            "the model has {} inputs ({list}); say what they are made of, for example `inputs: {{{first}: {{token_ids: \
             {{tokenizer: tokenizer.json}}}}}}`",
            names.len()
        );
        return Err(RecipeError::mismatch("data.inputs", message));
    }
    Ok(names)
}

/// Whether a model's only input takes images of one channel.
pub(crate) fn takes_grey(model: &Model) -> bool {
    matches!(model.inputs().as_slice(), [(_, shape)] if matches!(shape[..], [_, Some(1), _, _]))
}

/// Refuses batches that a model cannot take: each of its inputs must be among the tensors, of its type and shape.
/// `place` is where the recipe says what happens to the rows.
///
/// # Errors
/// A tensor is missing, or of another type or shape.
pub(crate) fn require_inputs(model: &Model, spec: &BatchSpec, place: &str) -> Result<(), RecipeError> {
    let inputs = model.inputs();
    for (name, shape) in &inputs {
        let Some(tensor) = spec.get(name).filter(|tensor| tensor.role == TensorRole::Input) else {
            let made: Vec<_> =
                spec.of_role(TensorRole::Input).map(|tensor| format!("`{}`", shown(&tensor.name))).collect();
            return Err(RecipeError::mismatch(
                "data.inputs",
                format!("the model takes an input `{}`, and the data make {}", shown(name), made.join(", ")),
            ));
        };
        let wanted = model.input_type(name).unwrap_or_default();
        if wanted != tensor.element_type.name() {
            let got = tensor.element_type.name();
            let hint = match got {
                "string" => {
                    "; the column holds text, which models take as numbers: `data.inputs` with `token_ids` makes them"
                }
                _ => "",
            };
            let place = if got == "string" { "data.input" } else { "data.inputs" };
            let message = format!("the model's input `{}` takes {wanted}, and the data make {got}{hint}", shown(name));
            return Err(RecipeError::mismatch(place, message));
        }
        require_shape(name, shape, tensor, place)?;
    }
    for tensor in spec.of_role(TensorRole::Input) {
        if !inputs.iter().any(|(name, _)| *name == tensor.name) {
            let names: Vec<_> = inputs.iter().map(|(name, _)| format!("`{}`", shown(name))).collect();
            return Err(RecipeError::mismatch(
                "data.inputs",
                format!("the model has no input `{}`, it has {}", shown(&tensor.name), names.join(", ")),
            ));
        }
    }
    Ok(())
}

fn require_shape(name: &str, shape: &[Option<usize>], tensor: &TensorSpec, place: &str) -> Result<(), RecipeError> {
    // Without a declared shape any will do.
    let Some(rest) = shape.get(1..) else { return Ok(()) };
    let fits =
        |(wanted, got): (&Option<usize>, &Option<usize>)| wanted.zip(*got).is_none_or(|(wanted, got)| wanted == got);
    if rest.len() == tensor.shape.len() && rest.iter().zip(&tensor.shape).all(fits) {
        return Ok(());
    }
    let input = shown(name);
    let image = match tensor.shape[..] {
        [Some(channels), Some(height), Some(width)] => Some((channels, height, width)),
        _ => None,
    };
    let channels_fit = |channels| rest.first().is_some_and(|wanted| wanted.is_none_or(|wanted| wanted == channels));
    if let (Some((_, got_height, got_width)), [_, height, width]) =
        (image.filter(|(channels, ..)| channels_fit(*channels)), rest)
    {
        let (height, width) = (height.unwrap_or(got_height), width.unwrap_or(got_width));
        return Err(RecipeError::mismatch(
            place,
            format!(
                "images end at {got_width}×{got_height} pixels, and the model's input `{input}` takes {width}×{height}; end \
                 with `resize`, `center_crop` or `random_resized_crop` to that size"
            ),
        ));
    }
    let wanted = show_shape(shape);
    if let Some((channels, ..)) = image {
        let message = format!(
            "input `{input}` has the shape {wanted}; images are [batch, {channels}, height, width] (of 1 or 3 channels, which \
             `data.inputs` with `image: {{channels: …}}` says)"
        );
        return Err(RecipeError::mismatch("model.path", message));
    }
    let got = show_shape(&std::iter::once(None).chain(tensor.shape.iter().copied()).collect::<Vec<_>>());
    let message = format!("the model's input `{input}` takes {wanted}, and the data make {got}");
    Err(RecipeError::mismatch("data.inputs", message))
}

fn show_shape(shape: &[Option<usize>]) -> String {
    let axes: Vec<_> = shape.iter().map(|axis| axis.map_or("?".into(), |length| length.to_string())).collect();
    format!("[{}]", axes.join(", "))
}

/// What the compiler calls the length of rows that have lengths of their own.
pub(crate) const SEQUENCE: &str = "sequence";

/// Shapes of the inputs that the data decide, with so many rows, for the compiler.
pub(crate) fn shapes(spec: &BatchSpec, rows: &AxisLength) -> BTreeMap<String, Vec<AxisLength>> {
    // Rows of any length are as long in all tensors of a batch: they are made of the same texts.
    let length = |length: &Option<usize>| length.map_or_else(|| AxisLength::from(SEQUENCE), AxisLength::from);
    let shape = |tensor: &TensorSpec| std::iter::once(rows.clone()).chain(tensor.shape.iter().map(length)).collect();
    spec.of_role(TensorRole::Input).map(|tensor| (tensor.name.clone(), shape(tensor))).collect()
}

/// The longest that rows can be, by what the compiler calls it.
pub(crate) fn longest(spec: &BatchSpec) -> BTreeMap<String, usize> {
    let any_length = spec.tensors.iter().filter(|tensor| tensor.shape.contains(&None));
    any_length.map(|tensor| (SEQUENCE.to_owned(), tensor.most_elements)).collect()
}
