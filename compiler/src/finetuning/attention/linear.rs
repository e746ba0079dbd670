use std::collections::HashMap;

use super::integer_product::IntegerProduct;
use crate::graph::{Graph, Node, ValueId};

/// A linear layer as one node computes it, or one behind what reads its integers: a product with a constant matrix, or a
/// convolution of kernel 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Index of the node that multiplies; where it multiplies integers, of the one that makes floats of the product.
    pub node: usize,
    /// The matrix, in the form that it is stored in, floats or integers.
    pub weight: ValueId,
    /// The bias, whether the node adds it or the next one.
    pub bias: Option<ValueId>,
    /// Numbers that it reads.
    pub inputs: usize,
    /// Numbers that it makes.
    pub outputs: usize,
    /// What it reads, in floats.
    pub input: ValueId,
    /// What its node makes.
    pub product: ValueId,
    /// What it makes with its bias.
    pub result: ValueId,
    /// Whether its node attends as well, as `com.microsoft.Attention` does: what it makes of its weight alone is no value.
    pub is_inside: bool,
}

/// Where the values of a graph come from and go to.
pub(crate) struct Edges<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) producers: HashMap<ValueId, usize>,
    pub(crate) readers: HashMap<ValueId, Vec<usize>>,
    /// Products with matrices of integers and convolutions, by the node that gives the floats.
    integers: HashMap<usize, IntegerProduct>,
}

impl<'a> Edges<'a> {
    pub(crate) fn new(graph: &'a Graph) -> Self {
        let mut edges = Self { graph, producers: HashMap::new(), readers: HashMap::new(), integers: HashMap::new() };
        for (index, node) in graph.nodes().iter().enumerate() {
            edges.producers.extend(node.outputs.iter().flatten().map(|made| (*made, index)));
            for value in node.inputs.iter().flatten() {
                edges.readers.entry(*value).or_default().push(index);
            }
        }
        for index in 0..graph.nodes().len() {
            let product = IntegerProduct::of(graph, (&edges.producers, &edges.readers), index);
            edges.integers.extend(product.map(|product| (product.end, product)));
        }
        edges
    }

    /// Products with matrices of integers, and convolutions with such kernels, that are not behind a `DequantizeLinear`, in no order.
    pub(crate) fn integers(&self) -> impl Iterator<Item = &IntegerProduct> {
        self.integers.values()
    }

    pub(super) fn producer(&self, value: ValueId) -> Option<&'a Node> {
        self.producers.get(&value).map(|index| &self.graph.nodes()[*index])
    }

    /// The constant that a value is or hands on, transposed or not, floats or integers that floats are made of.
    pub(crate) fn stored(&self, mut value: ValueId) -> Option<ValueId> {
        let hands_on =
            |node: &&Node| node.is("Identity") || node.is("Transpose") || node.operator == "DequantizeLinear";
        while let Some(node) = self.producer(value).filter(hands_on) {
            value = node.input(0)?;
        }
        self.graph.constant_of(value).map(|_| value)
    }

    /// The linear layer that the node `index` computes, if it is one.
    pub(crate) fn linear(&self, index: usize) -> Option<Linear> {
        let node = &self.graph.nodes()[index];
        let product = node.outputs.first().copied().flatten()?;
        if let Some(IntegerProduct { packed, input, inputs, outputs, bias, groups: None, .. }) =
            self.integers.get(&index)
        {
            let behind = if bias.is_none() { self.added(product, *outputs) } else { None };
            let (bias, result) = behind.map_or((*bias, product), |(bias, result)| (Some(bias), result));
            let (weight, inputs, outputs, input) = (*packed, *inputs, *outputs, *input);
            return Some(Linear {
                node: index,
                weight,
                bias,
                inputs,
                outputs,
                input,
                product,
                result,
                is_inside: false,
            });
        }
        let (input, read) = (node.input(0)?, node.input(1)?);
        let weight = self.stored(read)?;
        let shape = self.graph.tensor_type(read)?.fixed_shape()?;
        let turned = |name: &str| node.int(name).unwrap_or(0) != 0;
        let (inputs, outputs) = match (node.domain.as_str(), node.operator.as_str(), shape.as_slice()) {
            ("", "MatMul", [rows, columns]) => (*rows, *columns),
            ("", "Gemm", [rows, columns]) | ("com.microsoft", "FusedGemm" | "FusedMatMul", [rows, columns]) => {
                if turned("transB") { (*columns, *rows) } else { (*rows, *columns) }
            }
            ("", "Conv", [outputs, inputs, kernel @ ..])
                if !kernel.is_empty()
                    && kernel.iter().all(|length| *length == 1)
                    && node.int("group").unwrap_or(1) == 1 =>
            {
                (*inputs, *outputs)
            }
            _ => return None,
        };
        let (bias, result) = match node.operator.as_str() {
            "MatMul" | "FusedMatMul" => match self.added(product, outputs) {
                Some((bias, result)) => (Some(bias), result),
                None => (None, product),
            },
            _ => (node.input(2), product),
        };
        Some(Linear { node: index, weight, bias, inputs, outputs, input, product, result, is_inside: false })
    }

    /// The vector of `length` numbers that is added to a value, by the only node that reads it, and the sum.
    pub(crate) fn added(&self, value: ValueId, length: usize) -> Option<(ValueId, ValueId)> {
        let [reader] = self.readers.get(&value)?.as_slice() else { return None };
        let node = &self.graph.nodes()[*reader];
        if !node.is("Add") || self.graph.outputs().contains(&value) {
            return None;
        }
        let other = node.inputs.iter().flatten().copied().find(|input| *input != value)?;
        let shape = &self.graph.float_constant(other)?.shape;
        let is_vector = shape.last() == Some(&length) && shape.iter().product::<usize>() == length;
        Some((other, node.outputs.first().copied().flatten()?)).filter(|_| is_vector)
    }
}
