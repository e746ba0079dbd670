//! Floats of 16 bits, and of 64 where inputs or outputs are such: computed with as 32-bit floats here, stored as the file has them again.

use std::collections::HashMap;

use bytes::Bytes;

use super::half_precision::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use super::{Attribute, Constant, ElementType, Graph, Node, Value, ValueId};
use crate::CompilerError;
use millstream_schemas::shown;

/// Attributes that say what the elements of a result are.
const RESULT_TYPES: [&str; 4] = ["dtype", "output_datatype", "output_dtype", "to"];

/// Operators whose floats are all of one type, results included.
const OF_ONE_TYPE: [&str; 24] = [
    "Add",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Div",
    "Einsum",
    "GRU",
    "Gather",
    "Gemm",
    "GroupNormalization",
    "Identity",
    "InstanceNormalization",
    "LSTM",
    "MatMul",
    "Max",
    "Min",
    "Mul",
    "PRelu",
    "RNN",
    "Relu",
    "Sub",
    "Sum",
    "Transpose",
    "Where",
];

fn is_narrow(dtype: ElementType) -> bool {
    matches!(dtype, ElementType::F16 | ElementType::Bf16)
}

impl Graph {
    /// Lets all floats of 16 bits be 32-bit floats, and those of 64 in a model that takes or gives such; [`Graph::as_stored`] undoes it.
    /// Models of 32-bit floats that compute something in 64 within go on so. Says whether there were any. What the rules know of a
    /// graph has to be stated anew then.
    pub(crate) fn let_floats_be_32(&mut self) -> bool {
        let is_double = |value: &ValueId| dtype_of(&self.values[value.0 as usize]) == Some(ElementType::F64);
        let doubles = self.inputs.iter().chain(&self.outputs).any(is_double);
        self.let_be_32(doubles)
    }

    fn let_be_32(&mut self, doubles: bool) -> bool {
        let is_other = |dtype: ElementType| is_narrow(dtype) || doubles && dtype == ElementType::F64;
        if !self.values.iter().filter_map(dtype_of).any(is_other) {
            return false;
        }
        let mut kept = HashMap::new();
        for value in &mut self.values {
            value.stored = dtype_of(value).filter(|dtype| dtype.is_float());
            if value.stored.is_none_or(|stored| !is_other(stored)) {
                continue;
            }
            value.element_type = Some(ElementType::F32);
            if let Some(known) = &mut value.tensor_type {
                known.dtype = ElementType::F32;
            }
            value.constant = value.constant.take().map(|constant| in_32_bits(constant, &mut kept));
        }
        let values = &self.values;
        for node in &mut self.nodes {
            let stored = |value: Option<ValueId>| value.and_then(|value| values[value.0 as usize].stored);
            let [from, to] = [node.input(0), node.outputs.first().copied().flatten()].map(stored);
            let between = |dtype: Option<ElementType>| dtype.is_some_and(|t| is_other(t) || t == ElementType::F32);
            if node.is("Cast") && between(from) && between(to) && from != to {
                node.operator = "Identity".into();
                node.attributes.clear();
            }
            for (name, attribute) in &mut node.attributes {
                match attribute {
                    Attribute::Tensor(constant) if is_other(constant.dtype) => {
                        *constant = in_32_bits(constant.clone(), &mut kept);
                    }
                    Attribute::Body(body) => {
                        let wide = body.map(|graph| {
                            let mut wide = graph.clone();
                            wide.let_be_32(doubles);
                            Ok::<Self, std::convert::Infallible>(wide)
                        });
                        let Ok(wide) = wide;
                        *body = wide;
                    }
                    Attribute::Int(number) if RESULT_TYPES.contains(&name.as_str()) => {
                        let stated = i32::try_from(*number).ok().and_then(ElementType::from_onnx);
                        if stated.is_some_and(is_other) {
                            *number = i64::from(ElementType::F32.to_onnx());
                        }
                    }
                    _ => {}
                }
            }
        }
        self.doubles = doubles.then_some(kept);
        true
    }

    /// Whether floats that a file stores so are computed with as 32-bit ones.
    fn is_other(&self, stored: ElementType) -> bool {
        is_narrow(stored) || self.doubles.is_some() && stored == ElementType::F64
    }

    /// The type that a file stores floats in which are computed with as 32-bit ones; `None` of a file of 32-bit floats.
    pub(crate) fn float_type_of_file(&self) -> Option<ElementType> {
        self.values.iter().filter_map(|value| value.stored).find(|stored| self.is_other(*stored))
    }

    /// The graph with floats as the file stores them. What has been added since is of the type of what it reads.
    ///
    /// # Errors
    /// A weight has become too large for 16 bits.
    pub(crate) fn as_stored(&self) -> Result<Self, CompilerError> {
        let mut graph = self.clone();
        if self.float_type_of_file().is_none() {
            return Ok(graph);
        }
        let nodes = std::mem::take(&mut graph.nodes);
        let mut casts = HashMap::new();
        for mut node in nodes {
            for attribute in node.attributes.values_mut() {
                if let Attribute::Body(body) = attribute {
                    *body = body.map(Self::as_stored)?;
                }
            }
            graph.store_node(node, &mut casts);
        }
        for index in 0..graph.values.len() {
            let value = &graph.values[index];
            let Some(stored) = value.stored.filter(|stored| graph.is_other(*stored)) else { continue };
            let constant = match &value.constant {
                Some(constant) if constant.dtype == ElementType::F32 => {
                    Some(graph.stored_constant(constant, stored).map_err(|n| too_large(&value.name, n, stored))?)
                }
                other => other.clone(),
            };
            let value = &mut graph.values[index];
            value.constant = constant;
            value.element_type = Some(stored);
            if let Some(known) = &mut value.tensor_type {
                known.dtype = stored;
            }
        }
        Ok(graph)
    }

    /// A constant of 32-bit floats as the file stores it: one that is as it was read to the bit, or else the number in it that is too
    /// large.
    fn stored_constant(&self, constant: &Constant, stored: ElementType) -> Result<Constant, f32> {
        match self.doubles_of(constant).filter(|_| stored == ElementType::F64) {
            Some(own) => Ok(own),
            None => in_float_type(constant, stored),
        }
    }

    /// The doubles of the file that a constant of 32-bit floats was made of, where nothing has changed it since: all of them, or the first
    /// where it is a part that begins there, as one row of many.
    pub(crate) fn doubles_of(&self, constant: &Constant) -> Option<Constant> {
        let (narrower, own) = self.doubles.as_ref()?.get(&place_of(&constant.bytes))?;
        let length = constant.bytes.len();
        let bytes = (length <= narrower.len()).then(|| own.bytes.slice(..2 * length))?;
        Some(Constant { dtype: own.dtype, shape: constant.shape.clone(), bytes })
    }

    /// Whether the file stores two values as different types.
    pub(crate) fn are_stored_apart(&self, a: ValueId, b: ValueId) -> bool {
        self.stored(a) != self.stored(b)
    }

    fn stored(&self, value: ValueId) -> Option<ElementType> {
        self.values[value.0 as usize].stored
    }

    /// Whether a value is of floats, as far as that is known.
    fn is_float(&self, value: ValueId) -> bool {
        let value = &self.values[value.0 as usize];
        let known = value.tensor_type.as_ref().map(|known| known.dtype).or(value.element_type);
        value.stored.is_some() || known.is_some_and(ElementType::is_float)
    }

    /// Adds a node as it is stored, with casts where it reads or makes another type than its own.
    fn store_node(&mut self, mut node: Node, casts: &mut HashMap<(ValueId, ElementType), ValueId>) {
        let floats = |values: &[Option<ValueId>]| {
            let all = values.iter().flatten().copied();
            all.filter(|value| self.is_float(*value)).collect::<Vec<ValueId>>()
        };
        let (inputs, outputs) = (floats(&node.inputs), floats(&node.outputs));
        let is_new = |value: &ValueId| self.stored(*value).is_none();
        if node.is("Cast") {
            for value in inputs.iter().chain(&outputs).copied().filter(is_new).collect::<Vec<_>>() {
                self.values[value.0 as usize].stored = Some(self.own_type(value));
            }
            self.restore(&mut node);
            self.push_node(node);
            return;
        }
        let is_added = inputs.iter().chain(&outputs).any(is_new);
        let is_computed = |value: &&ValueId| self.constant_of(**value).is_none();
        let mut candidates = inputs.iter().filter(is_computed).chain(&outputs).chain(&inputs);
        let own = candidates.find_map(|value| self.stored(*value)).unwrap_or(ElementType::F32);
        for value in inputs.iter().chain(&outputs).copied().filter(is_new).collect::<Vec<_>>() {
            self.values[value.0 as usize].stored = Some(own);
        }
        if node.is("Identity") && inputs.len() == 1 && outputs.len() == 1 {
            let to = self.stored(outputs[0]).expect("just stated");
            if self.stored(inputs[0]) != Some(to) {
                node.operator = "Cast".into();
                node.attributes.insert("to".into(), i64::from(to.to_onnx()).into());
            }
            self.push_node(node);
            return;
        }
        self.restore(&mut node);
        let is_checked = is_added || node.domain.is_empty() && OF_ONE_TYPE.contains(&node.operator.as_str());
        if !is_checked {
            self.push_node(node);
            return;
        }
        for input in node.inputs.iter_mut().flatten() {
            if inputs.contains(input) && self.stored(*input) != Some(own) {
                *input = self.stored_as(*input, own, casts);
            }
        }
        let mut behind = Vec::new();
        for output in node.outputs.iter_mut().flatten() {
            let stored = self.stored(*output);
            if outputs.contains(output) && stored != Some(own) {
                let name = format!("{}.{}", self.name(*output), own.name());
                let inner = self.like(&name, *output);
                self.values[inner.0 as usize].stored = Some(own);
                behind.push((inner, *output));
                *output = inner;
            }
        }
        self.push_node(node);
        for (from, to) in behind {
            self.push_cast(from, to);
        }
    }

    /// What a value is where no file says it.
    fn own_type(&self, value: ValueId) -> ElementType {
        self.tensor_type(value).map_or(ElementType::F32, |known| known.dtype)
    }

    /// What a node says of its result, as that is stored.
    fn restore(&self, node: &mut Node) {
        let made = node.outputs.first().copied().flatten();
        let stored = made.and_then(|made| self.stored(made)).filter(|stored| self.is_other(*stored));
        let Some(stored) = stored else { return };
        for (name, attribute) in &mut node.attributes {
            match attribute {
                Attribute::Int(number) if RESULT_TYPES.contains(&name.as_str()) => {
                    *number = i64::from(stored.to_onnx());
                }
                Attribute::Tensor(constant) if constant.dtype == ElementType::F32 => {
                    if let Ok(own) = self.stored_constant(constant, stored) {
                        *constant = own;
                    }
                }
                _ => {}
            }
        }
    }

    fn stored_as(
        &mut self,
        value: ValueId,
        dtype: ElementType,
        casts: &mut HashMap<(ValueId, ElementType), ValueId>,
    ) -> ValueId {
        if let Some(known) = casts.get(&(value, dtype)) {
            return *known;
        }
        let name = format!("{}.{}", self.name(value), dtype.name());
        let made = self.like(&name, value);
        self.values[made.0 as usize].stored = Some(dtype);
        casts.insert((value, dtype), made);
        self.push_cast(value, made);
        made
    }

    fn push_cast(&mut self, from: ValueId, to: ValueId) {
        let dtype = self.stored(to).unwrap_or(ElementType::F32);
        self.push_node(Node {
            name: self.name(to).to_owned(),
            operator: "Cast".into(),
            inputs: vec![Some(from)],
            outputs: vec![Some(to)],
            attributes: [("to".to_owned(), i64::from(dtype.to_onnx()).into())].into(),
            ..Node::default()
        });
    }
}

fn too_large(name: &str, number: f32, stored: ElementType) -> CompilerError {
    CompilerError::Selection(format!(
        "weight `{}` has become {number}, and the model stores it as {}, which ends below that; train with a lower learning rate",
        shown(name),
        stored.name()
    ))
}

/// What the elements of a value are, as far as that is known.
fn dtype_of(value: &Value) -> Option<ElementType> {
    value.tensor_type.as_ref().map(|known| known.dtype).or(value.element_type)
}

/// Where bytes lie in memory.
fn place_of(bytes: &Bytes) -> usize {
    bytes.as_ptr() as usize
}

/// The constant as 32-bit floats; one of 64 bits, which loses digits, is kept beside it. Its numbers that 32 bits do not hold, such as
/// stand for the lowest of all, become the largest or the lowest that these hold.
fn in_32_bits(constant: Constant, kept: &mut HashMap<usize, (Bytes, Constant)>) -> Constant {
    let (dtype, shape) = (ElementType::F32, constant.shape.clone());
    if constant.dtype == ElementType::F64 {
        let numbers = constant.bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("chunks of 8")));
        let rounded = numbers.map(|number| match number as f32 {
            beyond if beyond.is_infinite() && number.is_finite() => f32::MAX.copysign(beyond),
            number => number,
        });
        let bytes: Bytes = rounded.flat_map(f32::to_le_bytes).collect::<Vec<u8>>().into();
        // an empty one has no place of its own
        if !bytes.is_empty() {
            kept.insert(place_of(&bytes), (bytes.clone(), constant));
        }
        return Constant { dtype, shape, bytes };
    }
    let convert = if constant.dtype == ElementType::F16 { f16_to_f32 } else { bf16_to_f32 };
    let bits = constant.bytes.chunks_exact(2).map(|bytes| u16::from_le_bytes(bytes.try_into().expect("chunks of 2")));
    let bytes: Vec<u8> = bits.flat_map(|bits| convert(bits).to_le_bytes()).collect();
    Constant { dtype, shape, bytes: bytes.into() }
}

/// A constant of 32-bit floats as one of another width, or the number in it that this cannot hold.
pub(crate) fn in_float_type(constant: &Constant, dtype: ElementType) -> Result<Constant, f32> {
    if dtype == ElementType::F64 {
        let numbers = constant.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("chunks of 4")));
        let bytes: Vec<u8> = numbers.flat_map(|number| f64::from(number).to_le_bytes()).collect();
        return Ok(Constant { dtype, shape: constant.shape.clone(), bytes: bytes.into() });
    }
    let convert = if dtype == ElementType::F16 { f32_to_f16 } else { f32_to_bf16 };
    let infinite = if dtype == ElementType::F16 { 0x7c00 } else { 0x7f80 };
    let mut bytes = Vec::with_capacity(constant.bytes.len() / 2);
    for chunk in constant.bytes.chunks_exact(4) {
        let value = f32::from_le_bytes(chunk.try_into().expect("chunks of 4"));
        let bits = convert(value);
        if bits & 0x7fff == infinite && value.is_finite() {
            return Err(value);
        }
        bytes.extend(bits.to_le_bytes());
    }
    Ok(Constant { dtype, shape: constant.shape.clone(), bytes: bytes.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;
    use crate::operators::OperatorCatalog;

    #[test]
    fn a_weight_that_outgrows_16_bits_is_refused_by_name() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::new(ElementType::F16, [2, 2]));
        let ones = Constant { dtype: ElementType::F16, shape: vec![2], bytes: vec![0, 0x3c, 0, 0x3c].into() };
        let scale = graph.constant("scale", ones.clone());
        let y = graph.add("Mul", &[x, scale], &[]).unwrap();
        graph.set_outputs(&[y]);
        let before = graph.to_onnx("one");
        assert!(graph.let_floats_be_32());
        assert_eq!(graph.constant_of(scale), Some(&Constant::f32([2], &[1.0, 1.0])));
        assert_eq!(graph.as_stored().unwrap().to_onnx("one"), before);
        graph.set_constant(scale, Constant::f32([2], &[1.0, 7e4]));
        let error = graph.as_stored().unwrap_err().to_string();
        assert!(error.contains("weight `scale` has become 70000, and the model stores it as float16"), "{error}");
    }

    #[test]
    fn doubles_that_nothing_changes_are_stored_with_all_their_digits() {
        let bytes =
            |numbers: &[f64]| -> Bytes { numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>().into() };
        let double = |numbers: &[f64]| Constant { dtype: ElementType::F64, shape: vec![2], bytes: bytes(numbers) };
        let network = |ends: ElementType| {
            let mut graph = Graph::new(17, OperatorCatalog::standard());
            let x = graph.input("x", TensorType::new(ends, [2, 2]));
            let to = ("to", i64::from(ElementType::F64.to_onnx()).into());
            let wide = if ends == ElementType::F64 { x } else { graph.add("Cast", &[x], &[to]).unwrap() };
            let shift = graph.constant("shift", double(&[0.1, f64::MIN]));
            let scale = graph.constant("scale", double(&[1.0 / 3.0, 2.0]));
            let shifted = graph.add("Add", &[wide, shift], &[]).unwrap();
            let scaled = graph.add("Mul", &[shifted, scale], &[]).unwrap();
            let y = match ends {
                ElementType::F64 => scaled,
                other => graph.add("Cast", &[scaled], &[("to", i64::from(other.to_onnx()).into())]).unwrap(),
            };
            graph.set_outputs(&[y]);
            (graph, shift, scale)
        };
        let (mut graph, shift, scale) = network(ElementType::F64);
        let before = graph.to_onnx("one");
        assert!(graph.let_floats_be_32());
        assert_eq!(graph.float_type_of_file(), Some(ElementType::F64));
        assert_eq!(graph.constant_of(shift), Some(&Constant::f32([2], &[0.1, f32::MIN])));
        assert_eq!(graph.as_stored().unwrap().to_onnx("one"), before);
        graph.set_constant(scale, Constant::f32([2], &[0.25, 3.0]));
        let stored = graph.as_stored().unwrap();
        assert_eq!(stored.constant_of(scale), Some(&double(&[0.25, 3.0])));
        assert_eq!(stored.constant_of(shift), Some(&double(&[0.1, f64::MIN])));
        // what computes in 64 bits between ends of 32 goes on so
        let (mut within, shift, _) = network(ElementType::F32);
        assert!(!within.let_floats_be_32());
        assert_eq!(within.constant_of(shift), Some(&double(&[0.1, f64::MIN])));
    }
}
