//! Vector-based random matrix adaptation: beside each weight, two random matrices that all layers share, and two trained vectors.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapted::AdaptedLayers;
use super::adapter_form::{AdapterForm, ModuleForm, tensor};
use super::dense::Dense;
use super::linear_weight::LinearWeight;
use super::low_rank::floats;
use super::method_function::{Added, MergedWeight, MethodFunction, MethodModel};
use super::method_kind::{Build, MethodKind};
use crate::CompilerError;
use crate::adapter_files::{AdapterMethod, ModuleAdapter, Tensor, vera_projections};
use crate::finetuning::{Layer, Weight};
use crate::graph::{Constant, Graph, ValueId};
use crate::initializers::WeightRandom;

pub(super) const METHOD: MethodKind = MethodKind {
    name: "vera",
    summary: "Beside each weight, two frozen random matrices that all layers share, and two trained vectors.",
    documentation: "D. Kopiczko, T. Blankevoort and Y. Asano, \"VeRA: Vector-based Random Matrix Adaptation\" (2024): \
        y = x·W + ((x·A)∘d)·B∘b, d `[rank]` beginning at `d_initial` and b `[outputs]` at zero, so that the first step is that of the \
        model itself. A `[most inputs, rank]` and B `[rank, most outputs]` are frozen and drawn once for all layers, uniform in \
        ±√(6/inputs) and ±√(6/rank) (K. He et al., 2015), by `seed` alone; a layer of fewer inputs or outputs reads the first rows or \
        columns. Merged, W becomes W + A·diag(d)·B·diag(b). For linear layers.",
    samples: &[r#"{"rank": 24}"#, r#"{"rank": 8, "d_initial": 0.5, "seed": 3, "layers": {"match": ["t*", "plain"]}}"#],
    build: Build::of::<Vera>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Vera {
    /// Columns of A and rows of B.
    #[schemars(range(min = 1, max = MOST_RANK))]
    pub(super) rank: usize,
    /// What d begins with, not 0.
    #[schemars(extend("not" = {"const": 0}))]
    pub(super) d_initial: f32,
    /// Seed of the random matrices: the same models draw the same ones.
    pub(super) seed: u64,
    /// Which layers it goes to; linear ones.
    pub(super) layers: AdaptedLayers,
    /// Where the random matrices come from.
    #[serde(skip)]
    pub(super) projections: Projections,
}

/// The two random matrices.
#[derive(Clone, Debug, Default)]
pub(super) enum Projections {
    /// Drawn by the seed.
    #[default]
    Drawn,
    /// `[inputs, rank]` and `[rank, outputs]`.
    Given([Tensor; 2]),
    /// Drawn as PEFT draws them by this key.
    OfPeft(i64),
}

/// The projections are drawn whole; larger ones hold more than the models they are for.
const MOST_RANK: usize = 1 << 14;

impl Default for Vera {
    fn default() -> Self {
        Self { rank: 256, d_initial: 0.1, seed: 0, layers: AdaptedLayers::default(), projections: Projections::Drawn }
    }
}

impl Options for Vera {
    fn validate(&self) -> Result<(), String> {
        if self.rank == 0 {
            return Err("rank is 1 or more, got 0".into());
        }
        if self.rank > MOST_RANK {
            return Err(format!("rank is at most {MOST_RANK}, got {}", self.rank));
        }
        if !self.d_initial.is_normal() {
            return Err(format!("d_initial is a finite number other than 0, got {}", self.d_initial));
        }
        self.layers.validate()
    }
}

impl MethodFunction for Vera {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let weights = self.layers.weights_of_any_form(model)?;
        let lengths = weights.iter().map(|weight| Dense::of(weight, "vera")).collect::<Result<Vec<_>, _>>()?;
        let most = |length: fn(&Dense) -> usize| lengths.iter().map(length).max().unwrap_or(0);
        let (mut inputs, mut outputs) = (most(|dense| dense.inputs), most(|dense| dense.outputs));
        let given = match &self.projections {
            Projections::Drawn => None,
            Projections::Given(both) => Some(both.clone()),
            Projections::OfPeft(key) => {
                Some(vera_projections(*key, [self.rank, inputs, outputs]).map(|matrix| matrix.turned()))
            }
        };
        if let Some([a, b]) = &given {
            let given = [a.shape()[0], b.shape()[1]];
            if given[0] < inputs || given[1] < outputs {
                return Err(CompilerError::setting(
                    "",
                    format!(
                        "vera_A and vera_B are for {given:?} inputs and outputs, and layers have [{inputs}, {outputs}]"
                    ),
                ));
            }
            [inputs, outputs] = given;
        }
        let mut projections = InGraph::add(model.graph, self, given.as_ref(), [inputs, outputs]);
        let shared =
            [("vera_A", &projections.a.1, [inputs, self.rank]), ("vera_B", &projections.b.1, [self.rank, outputs])];
        let shared = shared
            .into_iter()
            .filter_map(|(name, values, shape)| Some((name.to_owned(), Tensor::new(shape, values.to_vec())?.turned())));
        let (method, shared) = (Some(AdapterMethod::Vera { key: None }), shared.collect());
        let shared_values = vec![(projections.a.0, 1), (projections.b.0, 0)];
        let file = AdapterForm { method, shared, shared_values, ..AdapterForm::default() };
        let mut added = Added { merged: Some(Vec::new()), file, ..Added::default() };
        added.notes.extend(self.layers.note_of_fused(model, "vera"));
        let (mut shared, mut quantized) = (None, Vec::new());
        for (weight, dense) in weights.into_iter().zip(lengths) {
            self.add_beside(model.graph, &weight, dense, &mut projections, &mut added)?;
            quantized.extend(weight.is_quantized.then(|| weight.layer.clone()));
            shared = shared.or(weight.is_shared.then_some(weight.layer));
        }
        added.stays_beside_quantized(&quantized, "vera");
        if let Some(layer) = shared {
            added.stays_beside(&format!("something else reads the weight of `{}` too", shown(&layer)), "vera");
        }
        Ok(added)
    }
}

/// The random matrices in a graph, whole and in parts.
struct InGraph {
    a: (ValueId, Arc<[f32]>),
    b: (ValueId, Arc<[f32]>),
    rank: usize,
    /// Inputs and outputs of the whole.
    whole: [usize; 2],
    /// Rows of A and columns of B that layers of fewer inputs or outputs read, by axis and length.
    parts: BTreeMap<(usize, usize), ValueId>,
}

impl InGraph {
    fn add(graph: &mut Graph, vera: &Vera, given: Option<&[Tensor; 2]>, [inputs, outputs]: [usize; 2]) -> Self {
        let mut draw = |name: &str, shape: [usize; 2], fan: usize, given: Option<&Tensor>| {
            let bound = (6.0 / fan.max(1) as f64).sqrt();
            let values = match given {
                Some(given) => given.values().to_vec(),
                None => WeightRandom::new(vera.seed, name).uniforms(shape[0] * shape[1], bound),
            };
            (graph.named_constant(name, Constant::f32(shape, &values)), Arc::from(values))
        };
        let a = draw("vera_A", [inputs, vera.rank], inputs, given.map(|[a, _]| a));
        let b = draw("vera_B", [vera.rank, outputs], vera.rank, given.map(|[_, b]| b));
        Self { a, b, rank: vera.rank, whole: [inputs, outputs], parts: BTreeMap::new() }
    }

    /// The first rows of A (axis 0), or columns of B (axis 1).
    fn part(&mut self, graph: &mut Graph, axis: usize, length: usize) -> Result<ValueId, CompilerError> {
        let (whole, name) = if axis == 0 { (self.a.0, "vera_A") } else { (self.b.0, "vera_B") };
        if length == self.whole[axis] {
            return Ok(whole);
        }
        if let Some(part) = self.parts.get(&(axis, length)) {
            return Ok(*part);
        }
        let [start, end, axes] = [0, length as i64, axis as i64]
            .map(|number| graph.named_constant(&format!("{name}.bounds"), Constant::i64([1], &[number])));
        // in front of everything, so that any layer may read it
        let part = graph.in_front_of(0, |graph| {
            graph.append("Slice", &[whole, start, end, axes], &[], &format!("{name}.first_{length}"))
        })?;
        self.parts.insert((axis, length), part);
        Ok(part)
    }
}

impl Vera {
    fn add_beside(
        &self,
        graph: &mut Graph,
        weight: &LinearWeight,
        dense: Dense,
        projections: &mut InGraph,
        added: &mut Added,
    ) -> Result<(), CompilerError> {
        let named = |part: &str| format!("{}.{part}", weight.layer);
        let a = projections.part(graph, 0, dense.inputs)?;
        let b = projections.part(graph, 1, dense.outputs)?;
        let first = Constant::f32([self.rank], &vec![self.d_initial; self.rank]);
        let of_rank = graph.named_constant(&named("vera_lambda_d"), first);
        let zeros = Constant::f32([dense.outputs], &vec![0.0; dense.outputs]);
        let of_outputs = graph.named_constant(&named("vera_lambda_b"), zeros);
        // from the last on, so that the places of the others stay
        for at in weight.readers(graph).into_iter().rev() {
            let node = graph.nodes()[at].clone();
            let x = LinearWeight::float_input_at(graph, at).expect("what reads a weight reads an input beside it");
            graph.replace_result(at, &named("base_output"), |graph, own| {
                let is_turned = node.is("Gemm") && node.int("transA").unwrap_or(0) != 0;
                let x = if is_turned {
                    graph.append("Transpose", &[x], &[("perm", vec![1, 0].into())], &named("vera_input"))?
                } else {
                    x
                };
                let reduced = graph.append("MatMul", &[x, a], &[], &named("vera_A.output"))?;
                let reduced = graph.append("Mul", &[reduced, of_rank], &[], &named("vera_A.scaled"))?;
                let made = graph.append("MatMul", &[reduced, b], &[], &named("vera_B.output"))?;
                let made = graph.append("Mul", &[made, of_outputs], &[], &named("vera_B.scaled"))?;
                graph.append("Add", &[own, made], &[], &named("adapted_output"))
            })?;
        }
        for (part, value, length) in
            [("vera_lambda_d", of_rank, self.rank), ("vera_lambda_b", of_outputs, dense.outputs)]
        {
            let (own, operator) = Weight::added(graph, value, vec![length]);
            added.layers.push(Layer {
                name: named(part),
                operator,
                weights: vec![own],
                learning_rate_multiplier: 1.0,
                beside: Some(weight.layer.clone()),
            });
        }
        added.adapted.push(weight.layer.clone());
        let in_file = Arc::new(|trained: &[&Constant]| ModuleAdapter::Vectors {
            of_rank: tensor(trained[0]),
            of_outputs: tensor(trained[1]),
        });
        let (layer, trained) = (weight.layer.clone(), vec![of_rank, of_outputs]);
        added.file.modules.push(ModuleForm { layer, trained, rule: in_file });
        let (a, b, rank, whole) =
            (projections.a.1.clone(), projections.b.1.clone(), projections.rank, projections.whole);
        let rule = Arc::new(move |own: &Constant, trained: &[&Constant]| {
            merged(dense, (rank, whole[1]), own, [&a, &b], [trained[0], trained[1]])
        });
        added.merged.get_or_insert_default().push(MergedWeight {
            weight: weight.value,
            trained: vec![of_rank, of_outputs],
            rule,
        });
        Ok(())
    }
}

/// W + A·diag(d)·B·diag(b), in float64, in the form that W is stored in.
fn merged(
    dense: Dense,
    (rank, width): (usize, usize),
    own: &Constant,
    [a, b]: [&[f32]; 2],
    trained: [&Constant; 2],
) -> Constant {
    let (mut values, [of_rank, of_outputs]) = (floats(own), trained.map(floats));
    // rows of B are read one after another: a column is far apart in memory
    let rows: Vec<Vec<f64>> = b
        .chunks(width.max(1))
        .take(rank)
        .map(|row| row.iter().take(dense.outputs).copied().map(f64::from).collect())
        .collect();
    let mut products = vec![0.0_f64; dense.outputs];
    for input in 0..dense.inputs {
        products.fill(0.0);
        for (k, row) in rows.iter().enumerate() {
            let scaled = f64::from(a[input * rank + k]) * f64::from(of_rank[k]);
            products.iter_mut().zip(row).for_each(|(product, b)| *product += scaled * b);
        }
        for (output, product) in products.iter().enumerate() {
            let difference = product * f64::from(of_outputs[output]) / f64::from(dense.factor);
            let at = dense.at(input, output);
            values[at] = (f64::from(values[at]) + difference) as f32;
        }
    }
    Constant::f32(own.shape.clone(), &values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetuning::methods::linear_weight::LinearMap;

    /// As the formula is written, number by number.
    fn slowly(
        dense: Dense,
        (rank, width): (usize, usize),
        own: &Constant,
        [a, b]: [&[f32]; 2],
        [d, e]: [&[f32]; 2],
    ) -> Vec<f32> {
        let mut values = floats(own);
        for (input, output) in (0..dense.inputs).flat_map(|input| (0..dense.outputs).map(move |output| (input, output)))
        {
            let scaled = |k: usize| f64::from(a[input * rank + k]) * f64::from(d[k]);
            let product = (0..rank).fold(0.0, |sum, k| sum + scaled(k) * f64::from(b[k * width + output]));
            let difference = product * f64::from(e[output]) / f64::from(dense.factor);
            let at = dense.at(input, output);
            values[at] = (f64::from(values[at]) + difference) as f32;
        }
        values
    }

    #[test]
    fn merging_row_by_row_gives_the_bits_of_the_formula() {
        let numbers = |count: usize, seed: usize| -> Vec<f32> {
            (0..count).map(|at| ((at * 7919 + seed) % 2003) as f32 / 1001.0 - 1.0).collect()
        };
        let (inputs, outputs, rank, width) = (7, 11, 5, 13);
        let [a, b, d, e] = [numbers(9 * rank, 1), numbers(rank * width, 2), numbers(rank, 3), numbers(outputs, 4)];
        for (is_transposed, factor) in [(false, 1.0), (true, 1.0), (false, 0.3)] {
            let shape = if is_transposed { vec![outputs, inputs] } else { vec![inputs, outputs] };
            let own = Constant::f32(shape.clone(), &numbers(inputs * outputs, 5));
            let weight = LinearWeight {
                layer: "fc".into(),
                value: ValueId(0),
                shape,
                reads: Vec::new(),
                map: LinearMap::Dense { inputs, outputs, is_transposed, factor },
                is_shared: false,
                is_quantized: false,
            };
            let dense = Dense::of(&weight, "vera").unwrap();
            let [of_rank, of_outputs] = [Constant::f32([rank], &d), Constant::f32([outputs], &e)];
            let found = merged(dense, (rank, width), &own, [&a, &b], [&of_rank, &of_outputs]);
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
            let wanted = slowly(dense, (rank, width), &own, [&a, &b], [&d, &e]);
            assert_eq!(bits(floats(&found)), bits(wanted), "{is_transposed} {factor}");
        }
    }
}
