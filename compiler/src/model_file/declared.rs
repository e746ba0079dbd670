//! The types that a file declares for its values.

use std::collections::{HashMap, HashSet};

use super::literals::is_made_up;
use super::onnx::{
    GraphProto, ModelProto, ValueInfoProto, tensor_shape_proto, tensor_shape_proto::dimension::Value as Dimension,
    type_proto,
};
use crate::finetuning::module_path::quoted;
use crate::graph::{ElementType, KIND, Length, Origin, PRODUCER, TensorType};
use millstream_schemas::shown;

/// What PyTorch's optimizer of graphs notes by this key of a constant: the names of what it was computed from, as a list of Python's.
const FOLDED_FROM: &str = "pkg.onnxscript.optimizer.folded_from";

/// What the first axis of an input is called where a file has a length of 0 there.
const ROWS: &str = "batch";

/// Lengths of a declared value's axes, `None` for symbolic ones; nothing when no shape is declared.
pub(crate) fn known_shape(value: &ValueInfoProto) -> Option<Vec<Option<usize>>> {
    let length = |dim: &tensor_shape_proto::Dimension| match &dim.value {
        Some(Dimension::DimValue(length)) => usize::try_from(*length).ok().filter(|length| *length > 0),
        _ => None,
    };
    let shape = tensor_of(value)?.shape.as_ref()?;
    Some(shape.dim.iter().map(length).collect())
}

/// What the elements of a declared value are.
pub(super) fn element_type(value: &ValueInfoProto) -> Option<ElementType> {
    ElementType::from_onnx(tensor_of(value)?.elem_type())
}

/// What a file notes of its constants, each with a word of ours or of torch.export.
fn noted(file: &GraphProto) -> Vec<(&str, Origin)> {
    let noted = file.value_info.iter().filter_map(|value| Some((value.name(), Origin::of(entry(value, KIND)?)?)));
    noted.collect()
}

fn entry<'a>(value: &'a ValueInfoProto, key: &str) -> Option<&'a str> {
    value.metadata_props.iter().find(|entry| entry.key() == key).map(|entry| entry.value())
}

/// What a file says that constants were in the source: those that torch.export had as inputs of a program, by their kind, and those
/// that its optimizer has folded from what were no parameters. A parameter that it has folded is not in the file, and its name not known.
/// A file that notes no parameter at all is of a module that keeps its weights as other tensors, and says nothing of which these are.
pub(super) fn origins(model: &ModelProto) -> Vec<(&str, Origin)> {
    let file = model.graph.as_ref().expect("the gate refuses a model without a graph");
    let mut told = noted(file);
    if lacks_parameters(model, &told) {
        return Vec::new();
    }
    let stored: HashSet<&str> = file.initializer.iter().map(|tensor| tensor.name()).collect();
    let origin_of: HashMap<&str, Origin> = told.iter().copied().collect();
    let made = file.node.iter().flat_map(|node| node.output.iter().map(String::as_str));
    let given = file.input.iter().map(|input| input.name()).filter(|name| !stored.contains(name));
    let others: HashSet<&str> = made.chain(given).collect();
    // a tensor without a note may be one that parameters were folded into
    let is_none = |name: &String| match origin_of.get(name.as_str()) {
        Some(origin) => matches!(origin, Origin::Buffer | Origin::Literal),
        None => is_made_up(name) || others.contains(name.as_str()),
    };
    let is_literal = |value: &&ValueInfoProto| {
        let names = entry(value, FOLDED_FROM).map(quoted).unwrap_or_default();
        stored.contains(value.name()) && !names.is_empty() && names.iter().all(is_none)
    };
    let folded = file.value_info.iter().filter(|value| !origin_of.contains_key(value.name())).filter(is_literal);
    let folded: Vec<(&str, Origin)> = folded.map(|value| (value.name(), Origin::Literal)).collect();
    told.extend(folded);
    told
}

/// How many tensors a file notes as buffers or constants of a program of which it notes no parameter.
pub(super) fn tensors_beside_no_parameter(model: &ModelProto) -> usize {
    let noted = model.graph.as_ref().map(noted).unwrap_or_default();
    if lacks_parameters(model, &noted) { noted.len() } else { 0 }
}

/// Whether a file notes no parameter, though it is none of ours, whose parameters may have been replaced.
fn lacks_parameters(model: &ModelProto, noted: &[(&str, Origin)]) -> bool {
    model.producer_name() != PRODUCER && !noted.iter().any(|(_, origin)| *origin == Origin::Parameter)
}

fn tensor_of(value: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor),
        // what may be left out is there: the data give all inputs
        type_proto::Value::OptionalType(optional) => match optional.elem_type.as_ref()?.value.as_ref()? {
            type_proto::Value::TensorType(tensor) => Some(tensor),
            _ => None,
        },
        _ => None,
    }
}

fn dimensions(value: &ValueInfoProto) -> Option<&[tensor_shape_proto::Dimension]> {
    Some(&tensor_of(value)?.shape.as_ref()?.dim)
}

/// What is wrong with the lengths that an input declares, if anything is.
pub(super) fn problem_of_lengths(input: &ValueInfoProto) -> Option<String> {
    let stated = |dim: &tensor_shape_proto::Dimension| match &dim.value {
        Some(Dimension::DimValue(length)) => Some(*length),
        _ => None,
    };
    let stated: Vec<i64> = dimensions(input)?.iter().filter_map(stated).collect();
    let name = shown(input.name());
    // some exporters write -1, as others 0, where any length will do
    if let Some(length) = stated.iter().find(|length| **length < -1) {
        return Some(format!(
            "input `{name}` declares an axis of length {length}; export the model with the length of this axis, or with a name for it"
        ));
    }
    let lengths: Vec<usize> = stated.iter().filter_map(|length| usize::try_from(*length).ok()).collect();
    let fits = TensorType::new(ElementType::F32, &lengths).fits_a_machine();
    (!fits).then(|| {
        format!(
            "input `{name}` declares axes of lengths {lengths:?}, which no machine holds; export the model with the lengths that it is \
             used with, or with names for them"
        )
    })
}

/// The type of an input, each axis of unknown length with a name.
pub(super) fn input_type(input: &ValueInfoProto, rank: Option<usize>, rows: &str) -> Option<TensorType> {
    let own = |axis: usize| Length::named(&format!("{}_axis_{axis}", input.name()));
    let shape = match dimensions(input) {
        Some(dims) => {
            dims.iter().enumerate().map(|(axis, dim)| length(dim, axis, rows).unwrap_or_else(|| own(axis))).collect()
        }
        // without a declared shape any will do, so the data's
        None => (0..rank?).map(own).collect(),
    };
    let declared = TensorType { dtype: element_type(input)?, shape };
    declared.fits_a_machine().then_some(declared)
}

/// The length of an axis as it is declared, or its name.
fn length(dim: &tensor_shape_proto::Dimension, axis: usize, rows: &str) -> Option<Length> {
    match &dim.value {
        // some exporters write a length of 0 where any will do
        Some(Dimension::DimValue(0)) if axis == 0 => Some(Length::named(rows)),
        Some(Dimension::DimValue(length)) => usize::try_from(*length).ok().filter(|length| *length > 0).map(Into::into),
        Some(Dimension::DimParam(name)) if !name.is_empty() => Some(Length::named(name)),
        _ => None,
    }
}

/// Types that the file declares for values that nodes make, where each of their axes has a length or a name.
pub(super) fn declared_types(file: &GraphProto, rows: &str) -> HashMap<String, TensorType> {
    let complete = |value: &ValueInfoProto| {
        let dims = dimensions(value)?.iter().enumerate();
        let shape = dims.map(|(axis, dim)| length(dim, axis, rows)).collect::<Option<Vec<Length>>>()?;
        let declared = TensorType { dtype: element_type(value)?, shape };
        declared.fits_a_machine().then(|| (value.name().to_owned(), declared))
    };
    file.value_info.iter().chain(&file.output).filter_map(complete).collect()
}

/// A name for the axis of rows that no other axis has.
pub(super) fn free_symbol(file: &GraphProto) -> String {
    let values = file.input.iter().chain(&file.output).chain(&file.value_info);
    let dims = values.filter_map(dimensions).flatten();
    let taken: HashSet<&str> = dims
        .filter_map(|dim| match &dim.value {
            Some(Dimension::DimParam(name)) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    free_length_name(&|name| taken.contains(name))
}

/// A name for the axis of rows that is not taken.
pub(crate) fn free_length_name(is_taken: &dyn Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{ROWS}.{number}"));
    let mut all = std::iter::once(ROWS.to_owned()).chain(numbered);
    all.find(|name| !is_taken(name)).expect("numbers do not run out")
}
