//! Whether the tensors of a batch are what a model takes.

use std::collections::BTreeMap;

use millstream_compiler::Model;
use millstream_pipeline::encodings::Encoders;
use millstream_schemas::{AxisLength, BatchSpec, ImageLayout, TensorEntry, TensorRole, TensorSpec, shown};

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

/// Refuses batches that a model cannot take: each of its inputs must be among the tensors, of its type and shape.
/// `place` is where the recipe says what happens to the rows.
///
/// # Errors
/// A tensor is missing, or of another type or shape.
pub(crate) fn require_inputs(model: &Model, spec: &BatchSpec, place: &str) -> Result<(), RecipeError> {
    let (inputs, stored) = (model.inputs(), model.element_types());
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
            let hint = other_type(wanted, got);
            let place = if got == "string" && wanted.starts_with("int") { "data.input" } else { "data.inputs" };
            let (name, takes) = (shown(name), stored.get(name).copied().unwrap_or(wanted));
            let message = format!("the model's input `{name}` takes {takes}, and the data make {got}{hint}");
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

/// What to do where batches are to hold another type for a model than the data make.
fn other_type(wanted: &str, got: &str) -> &'static str {
    match (wanted, got) {
        (_, "uint8") => "; `data.inputs` with `image: {values: …}` says which pixels are made",
        ("float32", "string") => {
            "; the column holds text: `data.inputs` with `number: {column: […]}` makes an input of columns of numbers, and `data.input` names a \
             column of images"
        }
        (_, "string") => {
            "; the column holds text, which models take as numbers: `data.inputs` with `token_ids` makes them"
        }
        ("int64", "float32") => {
            "; `number` with `values: int64`, `category` with `as: index` and `token_ids` make whole numbers"
        }
        _ => "",
    }
}

/// Refuses a tokenizer that has tokens for which the model has no embedding: ONNX Runtime would end at the first row with one.
///
/// # Errors
/// A table that tokens pick rows of has fewer than there are tokens.
pub(crate) fn require_embeddings(model: &Model, encoders: &Encoders) -> Result<(), RecipeError> {
    for (name, tokens) in encoders.vocabularies() {
        let Some(rows) = model.table_rows(name).filter(|rows| *rows < tokens) else { continue };
        let message = format!(
            "the tokenizer has tokens up to number {}, and the table that the model's input `{}` reads has {rows} rows: take the \
             tokenizer that the model was trained with, or remove the tokens that were added to it",
            tokens - 1,
            shown(name)
        );
        return Err(RecipeError::mismatch("data.inputs", message));
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
    let image = ImageLayout::of_row(&tensor.shape);
    let of_image = image.and_then(|(layout, got)| Some((layout.read(<[_; 3]>::try_from(rest).ok()?), got)));
    if let Some(([wanted, height, width], [channels, got_height, got_width])) = of_image
        && wanted.is_none_or(|wanted| wanted == channels)
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
    let wanted = shown_shape(shape);
    if let Some((layout, [channels, ..])) = image {
        let axes = layout.axes().replace("channels", &channels.to_string());
        let message = format!(
            "input `{input}` has the shape {wanted}; images are {axes} (of 1 or 3 channels, and the other order of axes, \
             where `data.inputs` with `image: {{channels: …, layout: …}}` says so)"
        );
        return Err(RecipeError::mismatch("model.path", message));
    }
    let got = shown_shape(&std::iter::once(None).chain(tensor.shape.iter().copied()).collect::<Vec<_>>());
    let message = format!("the model's input `{input}` takes {wanted}, and the data make {got}");
    Err(RecipeError::mismatch("data.inputs", message))
}

/// `[?, 3, 224, 224]`.
pub(crate) fn shown_shape(shape: &[Option<usize>]) -> String {
    let axes: Vec<_> = shape.iter().map(|axis| axis.map_or("?".into(), |length| length.to_string())).collect();
    format!("[{}]", axes.join(", "))
}

/// What the compiler calls the length of rows that have lengths of their own, in the first input that has such and those as long.
pub(crate) const SEQUENCE: &str = "sequence";

/// The length that all batches have along the axis that is filled up, where that is always to the longest that rows can be.
pub(crate) fn closed(tensor: &TensorSpec) -> Option<usize> {
    tensor.longest().filter(|longest| tensor.multiple_of >= *longest)
}

/// What the compiler calls the lengths of rows, by the tensors whose batches have lengths of their own. Those of one encoding are as
/// long; those of two are not.
fn axes(spec: &BatchSpec) -> BTreeMap<String, String> {
    let first = |tensor: &TensorSpec| tensor.as_long_as.clone().unwrap_or_else(|| tensor.name.clone());
    let of_inputs =
        spec.of_role(TensorRole::Input).filter(|tensor| tensor.shape.contains(&None) && closed(tensor).is_none());
    let mut named: Vec<String> = Vec::new();
    let mut axes = BTreeMap::new();
    for tensor in of_inputs {
        let whose = first(tensor);
        if !named.contains(&whose) {
            named.push(whose.clone());
        }
        let axis = if named[0] == whose { SEQUENCE.to_owned() } else { format!("{SEQUENCE}_of_{whose}") };
        axes.insert(tensor.name.clone(), axis);
    }
    axes
}

/// The number of rows that a model's file fixes, if it does.
pub(crate) fn fixed_batch(model: &Model) -> Option<usize> {
    let inputs = model.inputs();
    let first = inputs.first().and_then(|(_, shape)| shape.first().copied().flatten());
    first.filter(|rows| *rows > 0)
}

/// Shapes of the inputs that the data decide, with so many rows, for the compiler.
pub(crate) fn shapes(spec: &BatchSpec, rows: &AxisLength) -> BTreeMap<String, Vec<AxisLength>> {
    let axes = axes(spec);
    let shape = |tensor: &TensorSpec| {
        let own = || AxisLength::from(axes.get(&tensor.name).map_or(SEQUENCE, String::as_str));
        let open = || closed(tensor).map_or_else(own, AxisLength::from);
        let length = |length: &Option<usize>| length.map_or_else(open, AxisLength::from);
        std::iter::once(rows.clone()).chain(tensor.shape.iter().map(length)).collect()
    };
    spec.of_role(TensorRole::Input).map(|tensor| (tensor.name.clone(), shape(tensor))).collect()
}

/// The longest that rows can be, by what the compiler calls it; `targets` are those of the compiled loss.
pub(crate) fn longest(spec: &BatchSpec, targets: &[TensorEntry]) -> BTreeMap<String, usize> {
    let axes = axes(spec);
    let mut longest = BTreeMap::new();
    for tensor in &spec.tensors {
        let Some(most) = tensor.longest().filter(|_| closed(tensor).is_none()) else { continue };
        let of_target = || {
            let target = targets.iter().find(|target| target.name == tensor.name)?;
            let open = tensor.shape.iter().position(Option::is_none)?;
            match target.shape.get(open + 1)? {
                AxisLength::Named(name) => Some(name.clone()),
                AxisLength::Fixed(_) => None,
            }
        };
        if let Some(axis) = axes.get(&tensor.name).cloned().or_else(of_target) {
            longest.entry(axis).or_insert(most);
        }
    }
    // axes that a loss leaves open, and the data do not
    for target in targets {
        let Some(tensor) = spec.get(&target.name) else { continue };
        for (length, axis) in tensor.shape.iter().zip(target.shape.iter().skip(1)) {
            if let (Some(length), AxisLength::Named(name)) = (length.or_else(|| closed(tensor)), axis) {
                longest.entry(name.clone()).or_insert(length);
            }
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use millstream_schemas::{ElementType, TARGETS};

    use super::*;

    #[test]
    fn a_model_of_another_type_is_refused_with_what_makes_it() {
        for (wanted, got, advice) in [
            ("int64", "float32", "`values: int64`"),
            ("float32", "uint8", "image: {values: …}"),
            ("int64", "string", "`token_ids`"),
            ("float32", "string", "`number: {column: […]}`"),
        ] {
            assert!(other_type(wanted, got).contains(advice), "{wanted} {got}");
        }
        assert_eq!(other_type("float32", "int64"), "");
    }

    #[test]
    fn rows_of_two_inputs_have_lengths_of_their_own_and_a_mask_has_that_of_its_tokens() {
        let any_length = |name: &str, as_long_as: Option<&str>, role, most_elements| TensorSpec {
            role,
            most_elements,
            shape: vec![None],
            as_long_as: as_long_as.map(str::to_owned),
            ..TensorSpec::fixed(name, ElementType::I64, &[])
        };
        let (input, target) = (TensorRole::Input, TensorRole::Target);
        let sound = TensorSpec {
            shape: vec![None, Some(4)],
            most_elements: 400,
            ..TensorSpec::fixed("sound", ElementType::F32, &[])
        };
        let full = TensorSpec { multiple_of: 16, ..any_length("title", None, input, 16) };
        let tensors = vec![
            full,
            any_length("question", None, input, 64),
            any_length("question_mask", Some("question"), input, 64),
            TensorSpec::fixed("age", ElementType::F32, &[1]),
            sound,
            any_length(TARGETS, None, target, 30),
        ];
        let spec = BatchSpec { capacity: 2, tensors };
        let shapes: Vec<(String, String)> =
            shapes(&spec, &2.into()).into_iter().map(|(name, shape)| (name, format!("{shape:?}"))).collect();
        let wanted = [
            ("age", "[2, 1]"),
            ("question", "[2, sequence]"),
            ("question_mask", "[2, sequence]"),
            ("sound", "[2, sequence_of_sound, 4]"),
            ("title", "[2, 16]"),
        ];
        assert_eq!(shapes, wanted.map(|(name, shape)| (name.to_owned(), shape.to_owned())));
        let entry =
            TensorEntry { name: TARGETS.into(), dtype: "int64".into(), shape: vec![2.into(), "symbols".into()] };
        let wanted = [("sequence", 64), ("sequence_of_sound", 100), ("symbols", 30)];
        assert_eq!(longest(&spec, &[entry]), wanted.map(|(name, most)| (name.to_owned(), most)).into());
        // boxes, of which all rows have as many
        let boxes = TensorSpec { role: target, ..TensorSpec::fixed(TARGETS, ElementType::F32, &[20, 5]) };
        let shape = vec![2.into(), "target_boxes".into(), 5.into()];
        let entry = TensorEntry { name: TARGETS.into(), dtype: "float32".into(), shape };
        let spec = BatchSpec { capacity: 2, tensors: vec![boxes] };
        assert_eq!(longest(&spec, &[entry]), [("target_boxes".to_owned(), 20)].into());
    }
}
