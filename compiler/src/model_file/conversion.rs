//! Operators of older versions as those of the version that a graph follows, where their meaning is kept. What changed when is
//! said by ONNX's [changelog](https://github.com/onnx/onnx/blob/main/docs/Changelog.md).

use super::scope::Names;
use crate::CompilerError;
use crate::graph::{Attribute, Constant, ElementType, Graph, Node, ValueId};

/// The oldest version of the standard operators that is read.
pub(super) const OLDEST_OPSET: i64 = 7;
/// What is older is read as [`READ_AS`], and exported again so; this and newer ones stay as they are.
pub(crate) const OLDEST_KEPT: i64 = 13;
/// Gradients need operators that came until then.
pub(crate) const READ_AS: i64 = 17;

/// The version that a file of this version is read as.
pub(super) fn read_as(opset: i64) -> i64 {
    if opset < OLDEST_KEPT { READ_AS } else { opset }
}

/// The operators whose older versions are rewritten.
pub(super) fn rewritten() -> impl Iterator<Item = &'static str> {
    CHANGES.iter().chain([&UPSAMPLE]).map(|(name, ..)| *name)
}

/// The operators that are written as others in every version.
pub(super) fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

type Convert = fn(&mut Conversion<'_, '_>) -> Result<(), CompilerError>;

/// The version from which on `Clip`, `Max` and `Min` take integers.
const FLOATS_ALONE_BEFORE: i64 = 12;

/// An operator, the version from which it is as it is now, and what makes an older one so; an operator that has changed twice
/// stands twice, in order.
const CHANGES: [(&str, i64, Convert); 32] = [
    ("BatchNormalization", 14, batch_normalization),
    ("Clip", 11, clip),
    ("Clip", FLOATS_ALONE_BEFORE, all_floats),
    ("DFT", 20, dft),
    ("Dropout", 12, dropout),
    ("GridSample", 20, grid_sample),
    ("GroupNormalization", 21, refuse),
    ("Hardmax", 13, flattened),
    ("LogSoftmax", 13, flattened),
    ("Max", FLOATS_ALONE_BEFORE, all_floats),
    ("Min", FLOATS_ALONE_BEFORE, all_floats),
    ("Pad", 11, pad),
    ("ReduceL1", 18, axes),
    ("ReduceL2", 18, axes),
    ("ReduceLogSum", 18, axes),
    ("ReduceLogSumExp", 18, axes),
    ("ReduceMax", 18, axes),
    ("ReduceMean", 18, axes),
    ("ReduceMin", 18, axes),
    ("ReduceProd", 18, axes),
    ("ReduceSum", 13, axes),
    ("ReduceSumSquare", 18, axes),
    ("Resize", 11, resize),
    ("RoiAlign", 16, roi_align),
    ("Scatter", 11, scatter),
    ("Slice", 10, slice),
    ("Softmax", 13, flattened),
    ("Split", 13, split),
    ("Split", 18, split_equally),
    ("Squeeze", 13, axes),
    ("TopK", 10, top_k),
    ("Unsqueeze", 13, axes),
];
/// As a row of [`CHANGES`]: from this version on there is `Resize` in its place.
const UPSAMPLE: (&str, i64, Convert) = ("Upsample", 10, upsample);

/// Operators that ONNX defines by others, of which ONNX Runtime has no kernel: what they are in terms of those.
const FUNCTIONS: [(&str, Convert); 1] = [("Swish", swish)];

/// Lets a node that follows version `from` of the standard operators follow that of the graph. What it reads is in the graph;
/// what it is made to read besides is added to it.
///
/// # Errors
/// Its older meaning cannot be said in the newer version.
pub(super) fn convert(
    graph: &mut Graph,
    names: &Names<'_>,
    node: &mut Node,
    outputs: &mut Vec<String>,
    from: i64,
) -> Result<(), CompilerError> {
    if !node.domain.is_empty() {
        return Ok(());
    }
    if let Some((_, written)) = FUNCTIONS.iter().find(|(name, _)| *name == node.operator) {
        return written(&mut Conversion { graph, names, node, outputs, from });
    }
    if from >= graph.opset {
        return Ok(());
    }
    let rows = CHANGES.iter().chain([&UPSAMPLE]);
    let rows = rows.filter(|(name, since, _)| *name == node.operator && from < *since && *since <= graph.opset);
    for (_, _, change) in rows.collect::<Vec<_>>() {
        change(&mut Conversion { graph, names, node, outputs, from })?;
    }
    Ok(())
}

struct Conversion<'a, 'n> {
    graph: &'a mut Graph,
    names: &'a Names<'n>,
    node: &'a mut Node,
    /// What its outputs are called.
    outputs: &'a mut Vec<String>,
    from: i64,
}

impl Conversion<'_, '_> {
    fn error(&self, message: impl Into<String>) -> CompilerError {
        let operator = format!("{}, opset {}", self.node.operator, self.from);
        CompilerError::Node { node: self.graph.label(self.node), operator, message: message.into() }
    }

    fn name(&self, part: &str) -> String {
        self.names.free(self.graph, &format!("{}.{part}", self.node.name))
    }

    fn constant(&mut self, part: &str, constant: Constant) -> ValueId {
        let name = self.name(part);
        self.graph.constant(&name, constant)
    }

    /// Lets an input be `value`; those in front of it that are not there are left out.
    fn set_input(&mut self, at: usize, value: Option<ValueId>) {
        let inputs = &mut self.node.inputs;
        inputs.resize(inputs.len().max(at + 1), None);
        inputs[at] = value;
    }

    /// Turns an attribute of integers into an input; nothing where it is not given.
    fn integers_to_input(&mut self, name: &str, at: usize) {
        if let Some(Attribute::Ints(values)) = self.node.attributes.remove(name) {
            let value = self.constant(name, Constant::i64([values.len()], &values));
            self.set_input(at, Some(value));
        }
    }

    /// A number of the type of the first input.
    fn number_like_first(&mut self, part: &str, value: f32) -> ValueId {
        let known = self.node.input(0).and_then(|input| self.graph.tensor_type(input));
        let dtype = known.map_or(ElementType::F32, |known| known.dtype);
        // with a slash it is the name of a number of a formula, and no parameter's
        let name = self.names.free(self.graph, &format!("{}/{part}", self.node.name));
        self.graph.constant(&name, Constant::number(dtype, value))
    }
}

/// Up to version 8 an attribute asked for statistics of each place of an image; up to version 13 further outputs asked for those
/// of the batch.
fn batch_normalization(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    if matches!(c.node.attributes.remove("spatial"), Some(Attribute::Int(0))) {
        return Err(c.error("statistics of each place (spatial = 0) are not read"));
    }
    if c.outputs.iter().skip(1).any(|name| !name.is_empty()) {
        // what it saved for a gradient of its own has no name in newer versions, and what reads it finds nothing
        c.node.attributes.insert("training_mode".into(), Attribute::Int(1));
        c.outputs.truncate(3);
    }
    Ok(())
}

fn clip(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    for (at, name) in [(1, "min"), (2, "max")] {
        if let Some(Attribute::Float(bound)) = c.node.attributes.remove(name) {
            let bound = c.number_like_first(name, bound);
            c.set_input(at, Some(bound));
        }
    }
    Ok(())
}

/// Up to version 11 they took floats alone. torch.onnx casts what a program has as integers for them, and what they make back; but it
/// forgets values whose lengths it does not know, and then bounds integers by floats.
fn all_floats(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    let type_of = |value: &ValueId| c.graph.tensor_type(*value).map(|known| known.dtype);
    let given: Vec<(usize, ValueId, ElementType)> = c
        .node
        .inputs
        .iter()
        .enumerate()
        .filter_map(|(at, value)| {
            let value = (*value)?;
            Some((at, value, type_of(&value)?))
        })
        .collect();
    let Some(float) = given.iter().map(|(.., dtype)| *dtype).find(|dtype| dtype.is_float()) else { return Ok(()) };
    for (at, value, dtype) in given {
        if !dtype.is_float() && dtype != ElementType::Bool {
            let name = c.name("floats");
            let cast = c.graph.append("Cast", &[value], &[("to", i64::from(float.to_onnx()).into())], &name)?;
            c.set_input(at, Some(cast));
        }
    }
    Ok(())
}

/// Up to version 19 the axis was an attribute, the second one unless another was said.
fn dft(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    let axis = match c.node.attributes.remove("axis") {
        Some(Attribute::Int(axis)) => axis,
        _ => 1,
    };
    let axis = c.constant("axis", Constant::i64([], &[axis]));
    c.set_input(2, Some(axis));
    Ok(())
}

fn dropout(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    let ratio = match c.node.attributes.remove("ratio") {
        Some(Attribute::Float(ratio)) => ratio,
        _ => 0.5,
    };
    let ratio = c.constant("ratio", Constant::f32([], &[ratio]));
    c.set_input(1, Some(ratio));
    Ok(())
}

/// Up to version 19 it knew images alone, and its modes had their names.
fn grid_sample(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    let renamed = match c.node.string("mode") {
        Some("bilinear") => "linear",
        Some("bicubic") => "cubic",
        _ => return Ok(()),
    };
    c.node.attributes.insert("mode".into(), renamed.into());
    Ok(())
}

fn refuse(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    let opset = c.graph.opset;
    Err(c.error(format!(
        "it means something else in opset {opset}, which the model is of; export its functions in that one"
    )))
}

/// Up to version 12 they took all axes from one on as a single one. Where only that axis is longer than one it is the same;
/// else the tensor is made a matrix and back.
fn flattened(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    let axis = c.node.int("axis").unwrap_or(1);
    let input = c.node.input(0).ok_or_else(|| c.error("input 0 is missing"))?;
    if let Some(known) = c.graph.tensor_type(input) {
        let rank = known.shape.len() as i64;
        let first = if axis < 0 { axis.saturating_add(rank) } else { axis };
        if !(0..rank.max(1)).contains(&first) {
            return Err(c.error(format!("axis {axis} of {rank} axes")));
        }
        if known.shape.iter().skip(first as usize + 1).all(|length| *length == 1) {
            c.node.attributes.insert("axis".into(), first.into());
            return Ok(());
        }
    }
    let (flat, bent, shape) = (c.name("flat"), c.name("of_rows"), c.name("shape"));
    let flat = c.graph.append("Flatten", &[input], &[("axis", axis.into())], &flat)?;
    let operator = std::mem::replace(&mut c.node.operator, "Reshape".into());
    let bent = c.graph.append(&operator, &[flat], &[("axis", 1.into())], &bent)?;
    let shape = c.graph.append("Shape", &[input], &[], &shape)?;
    c.node.attributes.clear();
    c.node.inputs = vec![Some(bent), Some(shape)];
    Ok(())
}

fn pad(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    c.integers_to_input("pads", 1);
    match c.node.attributes.remove("value") {
        Some(Attribute::Float(value)) if value != 0.0 => {
            let value = c.number_like_first("value", value);
            c.set_input(2, Some(value));
        }
        _ => {}
    }
    Ok(())
}

fn axes(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    c.integers_to_input("axes", 1);
    Ok(())
}

/// Version 10 knew scales alone, from the corner, and took the element in front; where it made an axis shorter, the one behind.
fn resize(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    let scales = c.node.input(1);
    let known = scales.and_then(|scales| c.graph.constant_of(scales)).and_then(Constant::to_f32);
    let is_nearest = c.node.string("mode").unwrap_or("nearest") == "nearest";
    let rounding = match known {
        _ if !is_nearest => "floor",
        Some(scales) if scales.iter().all(|scale| *scale >= 1.0) => "floor",
        Some(scales) if scales.iter().all(|scale| *scale <= 1.0) => "ceil",
        Some(_) => return Err(c.error("one axis longer and another shorter, by the nearest element, is not read")),
        None => return Err(c.error("its scales are computed; convert the model to opset 11 or newer")),
    };
    from_the_corner(c, scales, rounding)
}

fn from_the_corner(c: &mut Conversion<'_, '_>, scales: Option<ValueId>, rounding: &str) -> Result<(), CompilerError> {
    let scales = scales.ok_or_else(|| c.error("it has no scales"))?;
    c.node.inputs.truncate(1);
    c.set_input(2, Some(scales));
    c.node.attributes.insert("coordinate_transformation_mode".into(), "asymmetric".into());
    if c.node.string("mode").unwrap_or("nearest") == "nearest" {
        c.node.attributes.insert("nearest_mode".into(), rounding.into());
    }
    Ok(())
}

/// It makes no axis shorter.
fn upsample(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    let scales = match c.node.attributes.remove("scales") {
        Some(Attribute::Floats(scales)) => Some(c.constant("scales", Constant::f32([scales.len()], &scales))),
        _ => c.node.input(1),
    };
    c.node.operator = "Resize".into();
    from_the_corner(c, scales, "floor")
}

fn roi_align(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    c.node.attributes.insert("coordinate_transformation_mode".into(), "output_half_pixel".into());
    Ok(())
}

fn scatter(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    c.node.operator = "ScatterElements".into();
    Ok(())
}

fn slice(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    for (at, name) in [(1, "starts"), (2, "ends"), (3, "axes")] {
        c.integers_to_input(name, at);
    }
    Ok(())
}

fn split(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    c.integers_to_input("split", 1);
    Ok(())
}

/// From version 18 on a node without lengths says how many parts there are.
fn split_equally(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    if c.node.input(1).is_none() {
        let parts = c.outputs.len() as i64;
        c.node.attributes.insert("num_outputs".into(), parts.into());
    }
    Ok(())
}

/// y = x · sigmoid(α · x).
fn swish(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    let x = c.node.input(0).ok_or_else(|| c.error("input 0 is missing"))?;
    let alpha = c.node.float("alpha").unwrap_or(1.0);
    c.node.attributes.remove("alpha");
    let mut scaled = x;
    if alpha != 1.0 {
        let number = c.number_like_first("alpha", alpha);
        let name = c.name("scaled");
        scaled = c.graph.append("Mul", &[x, number], &[], &name)?;
    }
    let name = c.name("gate");
    let gate = c.graph.append("Sigmoid", &[scaled], &[], &name)?;
    c.node.operator = "Mul".into();
    c.set_input(1, Some(gate));
    Ok(())
}

fn top_k(c: &mut Conversion<'_, '_>) -> Result<(), CompilerError> {
    if let Some(Attribute::Int(count)) = c.node.attributes.remove("k") {
        let count = c.constant("k", Constant::i64([1], &[count]));
        c.set_input(1, Some(count));
    }
    Ok(())
}
