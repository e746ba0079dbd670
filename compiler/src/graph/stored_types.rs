//! Floats of 16 bits: computed with as 32-bit floats here, stored as the file has them again.

use std::collections::HashMap;

use super::half_precision::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use super::{Attribute, Constant, ElementType, Graph, Node, ValueId};
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
    /// Lets all floats of 16 bits be 32-bit floats; [`Graph::as_stored`] undoes it. Says whether there were any. What the rules
    /// know of a graph has to be stated anew then.
    pub(crate) fn widen(&mut self) -> bool {
        let dtype = |value: &super::Value| value.tensor_type.as_ref().map(|known| known.dtype).or(value.element_type);
        if !self.values.iter().filter_map(dtype).any(is_narrow) {
            return false;
        }
        for value in &mut self.values {
            value.stored = dtype(value).filter(|dtype| dtype.is_float());
            if value.stored.is_none_or(|stored| !is_narrow(stored)) {
                continue;
            }
            value.element_type = Some(ElementType::F32);
            if let Some(known) = &mut value.tensor_type {
                known.dtype = ElementType::F32;
            }
            value.constant = value.constant.take().map(|constant| widened(&constant));
        }
        let values = &self.values;
        for node in &mut self.nodes {
            let stored = |value: Option<ValueId>| value.and_then(|value| values[value.0 as usize].stored);
            let [from, to] = [node.input(0), node.outputs.first().copied().flatten()].map(stored);
            let between = |dtype: Option<ElementType>| dtype.is_some_and(|t| is_narrow(t) || t == ElementType::F32);
            if node.is("Cast") && between(from) && between(to) && from != to {
                node.operator = "Identity".into();
                node.attributes.clear();
            }
            for (name, attribute) in &mut node.attributes {
                match attribute {
                    Attribute::Tensor(constant) if is_narrow(constant.dtype) => *constant = widened(constant),
                    Attribute::Body(body) => {
                        let wide = body.map(|graph| {
                            let mut wide = graph.clone();
                            wide.widen();
                            Ok::<Self, std::convert::Infallible>(wide)
                        });
                        let Ok(wide) = wide;
                        *body = wide;
                    }
                    Attribute::Int(number) if RESULT_TYPES.contains(&name.as_str()) => {
                        let stated = i32::try_from(*number).ok().and_then(ElementType::from_onnx);
                        if stated.is_some_and(is_narrow) {
                            *number = i64::from(ElementType::F32.to_onnx());
                        }
                    }
                    _ => {}
                }
            }
        }
        true
    }

    /// What a file stores the elements of a value as, where they are floats of 16 bits in it.
    pub(crate) fn narrow_type(&self) -> Option<ElementType> {
        self.values.iter().filter_map(|value| value.stored).find(|stored| is_narrow(*stored))
    }

    /// The graph with floats as the file stores them. What has been added since is of the type of what it reads.
    ///
    /// # Errors
    /// A weight has become too large for 16 bits.
    pub(crate) fn as_stored(&self) -> Result<Self, CompilerError> {
        let mut graph = self.clone();
        if self.narrow_type().is_none() {
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
            let Some(stored) = value.stored.filter(|stored| is_narrow(*stored)) else { continue };
            let constant = match &value.constant {
                Some(constant) if constant.dtype == ElementType::F32 => {
                    Some(narrowed(constant, stored).map_err(|number| too_large(&value.name, number, stored))?)
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
        let Some(stored) = made.and_then(|made| self.stored(made)).filter(|stored| is_narrow(*stored)) else { return };
        for (name, attribute) in &mut node.attributes {
            match attribute {
                Attribute::Int(number) if RESULT_TYPES.contains(&name.as_str()) => {
                    *number = i64::from(stored.to_onnx());
                }
                Attribute::Tensor(constant) if constant.dtype == ElementType::F32 => {
                    if let Ok(narrow) = narrowed(constant, stored) {
                        *constant = narrow;
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

/// The constant as 32-bit floats.
fn widened(constant: &Constant) -> Constant {
    let convert = if constant.dtype == ElementType::F16 { f16_to_f32 } else { bf16_to_f32 };
    let bits = constant.bytes.chunks_exact(2).map(|bytes| u16::from_le_bytes(bytes.try_into().expect("chunks of 2")));
    let bytes: Vec<u8> = bits.flat_map(|bits| convert(bits).to_le_bytes()).collect();
    Constant { dtype: ElementType::F32, shape: constant.shape.clone(), bytes: bytes.into() }
}

/// A constant of 32-bit floats as 16-bit ones, or the number in it that these cannot hold.
pub(crate) fn narrowed(constant: &Constant, dtype: ElementType) -> Result<Constant, f32> {
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
        assert!(graph.widen());
        assert_eq!(graph.constant_of(scale), Some(&Constant::f32([2], &[1.0, 1.0])));
        assert_eq!(graph.as_stored().unwrap().to_onnx("one"), before);
        graph.set_constant(scale, Constant::f32([2], &[1.0, 7e4]));
        let error = graph.as_stored().unwrap_err().to_string();
        assert!(error.contains("weight `scale` has become 70000, and the model stores it as float16"), "{error}");
    }
}
