//! A sample of an operator as a graph of one node, with values for its inputs.

use millstream_compiler::backward::gradients;
use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, Known, Node, TensorType, ValueId};
use millstream_compiler::operators::{Operator, Sample, SampleInput, TypeRuleInput};
use millstream_compiler::{CompilerError, OperatorCatalog};
use ort::value::{DynValue, PrimitiveTensorElementType, ValueType};

use crate::onnx_runtime::{floats, session};

/// Inputs of at most this many elements hold no value twice: windows then have one maximum.
const DISTINCT: usize = 128;
/// Standard operators all of whose outputs have gradients.
const THROUGH_ALL: [&str; 5] = ["Attention", "GRU", "LSTM", "RNN", "Split"];
/// Operators that ONNX Runtime has no kernel for on the CPU: what is run is what they expand to.
const ON_CUDA_ALONE: &str = "BiasAdd BiasDropout BiasSoftmax BiasSplitGelu DecoderMaskedSelfAttention DequantizeWithOrder FusedMatMulActivation \
    GatedRelativePositionBias GemmFastGelu GroupNorm LongformerAttention NhwcConv NhwcFusedConv PackedAttention PackedMultiHeadAttention \
    QOrderedAttention QOrderedGelu QOrderedLayerNormalization QOrderedLongformerAttention QOrderedMatMul QuantizeWithOrder \
    RelativePositionBias RemovePadding RestorePadding SkipGroupNorm";

/// A graph with one node, made from a sample.
pub(crate) struct Built {
    pub(crate) graph: Graph,
    /// Inputs whose gradient is checked, with their values.
    pub(crate) varied: Vec<(ValueId, Vec<f32>)>,
    /// Size of a step that crosses no kink: values lie between the marks of a grid, and kinks on them.
    pub(crate) step: f32,
    pub(crate) outputs: Vec<ValueId>,
    /// Whether there is a kernel to run it.
    pub(crate) runs: bool,
}

impl Built {
    pub(crate) fn new(row: &Operator, sample: &Sample, opset: i64) -> Result<Self, String> {
        let mut graph = Graph::new(opset, OperatorCatalog::standard());
        if !row.domain.is_empty() {
            graph.other_opsets.insert(row.domain.to_owned(), *row.opsets.start());
        }
        let (mut varied, mut inputs) = (vec![], vec![]);
        let mut step = f32::INFINITY;
        for (index, input) in sample.inputs.iter().enumerate() {
            inputs.push(match input {
                SampleInput::Varied { shape, range } => {
                    let id = graph.input(&format!("input_{index}"), TensorType::f32(shape.clone()));
                    let (values, mark) = between_marks(shape.iter().product(), *range, index as u32);
                    step = step.min(mark / 10.0);
                    varied.push((id, values));
                    Some(id)
                }
                SampleInput::Fixed(constant) => Some(graph.constant(&format!("fixed_{index}"), constant.clone())),
                SampleInput::Absent => None,
            });
        }
        let attributes: Vec<(&str, Attribute)> = sample.attributes.clone();
        let outputs = graph.add_in(row.domain, row.name, &inputs, &attributes, sample.outputs);
        let outputs = outputs.map_err(|error| error.to_string())?;
        let runs = ON_CUDA_ALONE.split_whitespace().all(|name| name != row.name) || is_on_cuda();
        Ok(Self { graph, varied, step, outputs, runs })
    }

    /// What is run for the node: itself, or what it expands to.
    pub(crate) fn forward(&self) -> Graph {
        if self.runs { self.graph.clone() } else { self.expanded().expect("its samples expand") }
    }

    /// With what the node expands to.
    pub(crate) fn expanded(&self) -> Result<Graph, CompilerError> {
        let mut expanded = self.graph.clone();
        let wanted: Vec<ValueId> = self.varied.iter().map(|(id, _)| *id).collect();
        let loss = sum(&mut expanded, self.outputs[0])?;
        gradients(&mut expanded, loss, &wanted, &OperatorCatalog::standard())?;
        Ok(expanded)
    }

    /// All outputs, or the first where further ones are statistics.
    pub(crate) fn differentiable(&self) -> Vec<ValueId> {
        let is_through_all = |node: &Node| node.domain.is_empty() && THROUGH_ALL.contains(&node.operator.as_str());
        let through_all = self.graph.nodes().last().is_some_and(is_through_all);
        if through_all { self.outputs.clone() } else { self.outputs[..1].to_vec() }
    }

    pub(crate) fn shape(&self, value: ValueId) -> Vec<usize> {
        let known = self.graph.known_type(value).expect("the table knows the operator");
        known.fixed_shape().expect("samples have fixed lengths")
    }

    pub(crate) fn inputs(&self, graph: &Graph, values: &[Vec<f32>]) -> Vec<(String, DynValue)> {
        let named = self.varied.iter().zip(values);
        named.map(|((id, _), values)| (graph.name(*id).to_owned(), floats(&self.shape(*id), values))).collect()
    }

    pub(crate) fn values(&self) -> Vec<Vec<f32>> {
        self.varied.iter().map(|(_, values)| values.clone()).collect()
    }

    pub(crate) fn folded(&self, row: &Operator, output: usize) -> Result<Option<Constant>, String> {
        let Some(fold) = row.fold else { return Ok(None) };
        let node = self.graph.nodes().last().expect("a node was added");
        let folded = fold(&TypeRuleInput { graph: &self.graph, node, outputs: self.outputs.len(), output });
        match folded.map_err(|error| error.to_string())? {
            Some(Known::Constant(constant)) => Ok(Some(constant)),
            Some(Known::Integers(integers)) => Err(format!("{integers:?} of fixed lengths")),
            None => Ok(None),
        }
    }

    /// What ONNX Runtime computes.
    pub(crate) fn run(&self) -> Vec<Constant> {
        let mut graph = self.forward();
        for output in &self.outputs {
            graph.output(*output);
        }
        let mut session = session(&graph.to_onnx("sample"));
        let outputs = session.run(self.inputs(&graph, &self.values())).expect("the sample runs");
        self.outputs.iter().map(|output| constant_of(&outputs[graph.name(*output)])).collect()
    }
}

pub(crate) fn is_on_cuda() -> bool {
    std::env::var("MILLSTREAM_TEST_DEVICE").is_ok_and(|device| device == "cuda")
}

fn constant_of(value: &DynValue) -> Constant {
    use ort::value::TensorElementType as Element;
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else { panic!("not a tensor") };
    let (dtype, bytes) = match ty {
        Element::Float32 => (ElementType::F32, bytes(value, f32::to_le_bytes)),
        Element::Int64 => (ElementType::I64, bytes(value, i64::to_le_bytes)),
        Element::Int32 => (ElementType::I32, bytes(value, i32::to_le_bytes)),
        Element::Uint8 => (ElementType::U8, bytes(value, u8::to_le_bytes)),
        Element::Bool => (ElementType::Bool, bytes(value, |truth: bool| [u8::from(truth)])),
        Element::Int8 => (ElementType::I8, bytes(value, i8::to_le_bytes)),
        other => panic!("an output of type {other:?}"),
    };
    Constant { dtype, shape: shape.iter().map(|length| *length as usize).collect(), bytes: bytes.into() }
}

fn bytes<T: PrimitiveTensorElementType + Copy, const N: usize>(value: &DynValue, each: fn(T) -> [u8; N]) -> Vec<u8> {
    let values = value.try_extract_tensor::<T>().expect("its type was asked for").1;
    values.iter().flat_map(|value| each(*value)).collect()
}

/// Values from a range, each in the middle between two of at least 64 evenly spaced marks, or a quarter beside it for
/// every second input, so that two inputs are never equal. Also the distance of marks.
pub(crate) fn between_marks(count: usize, (low, high): (f32, f32), seed: u32) -> (Vec<f32>, f32) {
    let mut random = Random(0x9e37_79b9 ^ seed.wrapping_mul(0x85eb_ca6b));
    let marks = if count <= DISTINCT { (2 * count).next_power_of_two().max(64) } else { 64 };
    let mut places: Vec<usize> = (0..marks).collect();
    for last in (1..marks).rev() {
        places.swap(last, random.below(last + 1));
    }
    let distance = (high - low) / marks as f32;
    let beside = if seed % 2 == 1 { 0.75 } else { 0.5 };
    let place = |at: usize, random: &mut Random| if at < marks { places[at] } else { random.below(marks) };
    let values = (0..count).map(|at| low + distance * (place(at, &mut random) as f32 + beside)).collect();
    (values, distance)
}

/// A small generator (xorshift), the same each time.
pub(crate) struct Random(pub(crate) u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.next() as usize % count
    }

    pub(crate) fn signed(&mut self) -> f32 {
        self.below(2001) as f32 / 1000.0 - 1.0
    }
}

/// The sum of all elements.
pub(crate) fn sum(graph: &mut Graph, value: ValueId) -> Result<ValueId, CompilerError> {
    let axes: Vec<i64> = (0..graph.shape(value)?.len() as i64).collect();
    if axes.is_empty() { Ok(value) } else { graph.reduce_sum(value, &axes, false) }
}
