//! Support vector machines (`ai.onnx.ml`).

use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, Graph, Length, Node, ValueId};

/// So many numbers in vectors are many: 64 KiB of differences from each row.
const FEWEST_BY_PRODUCTS: usize = 1 << 14;
/// As far from their middle as vectors may lie, as gamma · |v|², for distances to be told by products.
const FARTHEST: f64 = 16.0;

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

    /// e^(−gamma · |x − v|²). Differences are taken first, as the operator does: products of large numbers would cost digits. Where they
    /// cost none, and rows × vectors × features numbers would be many, |x|² + |v|² − 2 x · v is taken.
    fn nearness(&self, graph: &mut Graph, x: ValueId, rows: Length, gamma: f32) -> Result<ValueId, CompilerError> {
        let distances = match self.around_middle(gamma) {
            Some((middle, vectors)) => vectors.distances_by_products(graph, x, &middle)?,
            None => {
                let apart = graph.reshape(x, &[rows, 1.into(), self.features.into()])?;
                let vectors = graph.constant("vectors", Constant::f32([self.count, self.features], &self.values));
                let differences = graph.minus(apart, vectors)?;
                let squares = graph.times(differences, differences)?;
                graph.reduce_sum(squares, &[2], false)?
            }
        };
        let scale = graph.scalar(-gamma);
        let exponents = graph.times(distances, scale)?;
        graph.add("Exp", &[exponents], &[])
    }

    /// Their middle, and what they are from there; none where they are few, or so far from it that products would cost digits.
    ///
    /// What products lose is gamma · (|x|² + |v|²) units in the last place of an exponent, and |x| is |v| + |x − v| at most. Where
    /// gamma · |v|² is below `FARTHEST`, e^(−gamma · |x − v|²) loses 50 units of 2⁻²⁴ wherever x is.
    fn around_middle(&self, gamma: f32) -> Option<(Vec<f32>, Self)> {
        let Self { values, count, features } = self;
        if values.len() < FEWEST_BY_PRODUCTS {
            return None;
        }
        let mut sums = vec![0.0_f64; *features];
        for vector in values.chunks_exact(*features) {
            sums.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let middle: Vec<f32> = sums.iter().map(|sum| (sum / *count as f64) as f32).collect();
        let moved = values.chunks_exact(*features).flat_map(|vector| vector.iter().zip(&middle));
        let moved: Vec<f32> = moved.map(|(value, middle)| value - middle).collect();
        let farthest = moved.chunks_exact(*features).map(square).fold(0.0, f64::max);
        let is_near = gamma >= 0.0 && f64::from(gamma) * farthest <= FARTHEST;
        is_near.then_some((middle, Self { values: moved, count: *count, features: *features }))
    }

    /// |x − v|², `[rows, count]`, of x as it is and v from a middle.
    fn distances_by_products(&self, graph: &mut Graph, x: ValueId, middle: &[f32]) -> Result<ValueId, CompilerError> {
        let middle = graph.constant("middle", Constant::f32([self.features], middle));
        let moved = graph.minus(x, middle)?;
        let squares = graph.times(moved, moved)?;
        let own = graph.reduce_sum(squares, &[1], true)?;
        let theirs: Vec<f32> = self.values.chunks_exact(self.features).map(|vector| square(vector) as f32).collect();
        let theirs = graph.constant("squares", Constant::f32([self.count], &theirs));
        let both = graph.plus(own, theirs)?;
        let products = self.products(graph, moved)?;
        let two = graph.scalar(2.0);
        let doubled = graph.times(products, two)?;
        graph.minus(both, doubled)
    }
}

/// |v|².
fn square(vector: &[f32]) -> f64 {
    vector.iter().map(|value| f64::from(*value) * f64::from(*value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_many_vectors_are_taken_by_products_where_that_costs_no_digits() {
        let vectors = |count: usize, offset: f32| {
            let values = (0..count * 64).map(|at| offset + ((at * 37) % 101) as f32 / 101.0);
            Vectors { values: values.collect(), count, features: 64 }
        };
        for (count, offset, gamma, is_by_products) in [
            (256, 0.0, 0.1, true),
            // far from zero, and near to each other
            (256, 1000.0, 0.1, true),
            (255, 0.0, 0.1, false),
            (256, 0.0, 100.0, false),
            (256, 0.0, -0.1, false),
        ] {
            let found = vectors(count, offset).around_middle(gamma);
            assert_eq!(found.is_some(), is_by_products, "{count} vectors around {offset}, gamma {gamma}");
            if let Some((middle, vectors)) = found {
                assert!((middle[0] - offset - 0.5).abs() < 0.1, "{}", middle[0]);
                assert!(vectors.values.iter().all(|value| value.abs() < 0.6));
            }
        }
    }
}
