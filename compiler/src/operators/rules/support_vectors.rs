//! Support vector machines (`ai.onnx.ml`).

use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, Graph, Length, Node, ValueId};

/// The numbers of an attribute; none where it is left out.
pub(crate) fn floats<'a>(node: &'a Node, name: &str) -> &'a [f32] {
    match node.attributes.get(name) {
        Some(Attribute::Floats(values)) => values,
        _ => &[],
    }
}

/// What the kernel makes of each row of the input and each of `count` support vectors, `[rows, count]`; the rows themselves,
/// `[rows, features]`, where there are none: the machine is linear then.
pub(crate) fn compared(node: &mut Expansion<'_>, count: usize) -> Result<ValueId, CompilerError> {
    let known = node.input_type(0)?;
    if known.dtype != ElementType::F32 {
        return Err(node.no_gradient("gradients are computed in float32, and its input is of another type"));
    }
    if node.node.string("post_transform").is_some_and(|transform| transform != "NONE") {
        return Err(node.no_gradient("what it makes of its scores (post_transform) has none here; take NONE"));
    }
    let (rows, width) = match known.shape.as_slice() {
        [rows, width] => (rows.clone(), width.clone()),
        [width] => (1.into(), width.clone()),
        _ => return Err(node.error(format!("{known}, wanted rows of features"))),
    };
    let mut x = node.input(0)?;
    if known.shape.len() == 1 {
        x = node.graph.reshape(x, &[rows.clone(), width])?;
    }
    if count == 0 {
        return Ok(x);
    }
    let vectors = floats(&node.node, "support_vectors").to_vec();
    if vectors.is_empty() || !vectors.len().is_multiple_of(count) {
        return Err(node.error(format!("{} numbers for {count} support vectors", vectors.len())));
    }
    let features = vectors.len() / count;
    let parameters = match floats(&node.node, "kernel_params") {
        [] => [0.0; 3],
        [gamma, offset, degree] => [*gamma, *offset, *degree],
        other => return Err(node.error(format!("{} kernel_params, wanted gamma, coef0 and degree", other.len()))),
    };
    let kernel = node.node.string("kernel_type").unwrap_or("LINEAR").to_owned();
    let vectors = Vectors { values: vectors, count, features };
    match kernel.as_str() {
        "LINEAR" => vectors.products(node.graph, x),
        "POLY" | "SIGMOID" => vectors.curve(node.graph, x, parameters, kernel == "POLY"),
        "RBF" => vectors.nearness(node.graph, x, rows, parameters[0]),
        other => Err(node.error(format!("kernel_type {}", millstream_schemas::shown(other)))),
    }
}

/// v `[count, features]`.
struct Vectors {
    values: Vec<f32>,
    count: usize,
    features: usize,
}

impl Vectors {
    /// x · vᵀ, `[rows, count]`.
    fn products(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId, CompilerError> {
        let Self { values, count, features } = self;
        let mut columns: Vec<f32> = Vec::with_capacity(values.len());
        for feature in 0..*features {
            columns.extend(values.iter().skip(feature).step_by(*features));
        }
        let columns = graph.constant("vectors", Constant::f32([*features, *count], &columns));
        graph.add("MatMul", &[x, columns], &[])
    }

    /// (gamma · x · vᵀ + offset)^degree, or the tanh of it.
    fn curve(
        &self,
        graph: &mut Graph,
        x: ValueId,
        [gamma, offset, degree]: [f32; 3],
        is_power: bool,
    ) -> Result<ValueId, CompilerError> {
        let products = self.products(graph, x)?;
        let [gamma, offset] = [gamma, offset].map(|number| graph.scalar(number));
        let scaled = graph.times(products, gamma)?;
        let moved = graph.plus(scaled, offset)?;
        if is_power {
            let degree = graph.scalar(degree);
            return graph.add("Pow", &[moved, degree], &[]);
        }
        graph.add("Tanh", &[moved], &[])
    }

    /// e^(−gamma · |x − v|²). Differences are taken first, as the operator does: products of large numbers would cost digits.
    fn nearness(&self, graph: &mut Graph, x: ValueId, rows: Length, gamma: f32) -> Result<ValueId, CompilerError> {
        let apart = graph.reshape(x, &[rows, 1.into(), self.features.into()])?;
        let vectors = graph.constant("vectors", Constant::f32([self.count, self.features], &self.values));
        let differences = graph.minus(apart, vectors)?;
        let squares = graph.times(differences, differences)?;
        let distances = graph.reduce_sum(squares, &[2], false)?;
        let scale = graph.scalar(-gamma);
        let exponents = graph.times(distances, scale)?;
        graph.add("Exp", &[exponents], &[])
    }
}
