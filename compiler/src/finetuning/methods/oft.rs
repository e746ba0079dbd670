//! Orthogonal fine-tuning: what a layer reads is turned, block by block, and its weight stays frozen.

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
use super::rotation::{before_readers, cayley, cayley_of, identity_at, in_blocks, product};
use crate::CompilerError;
use crate::adapter_files::{AdapterMethod, ModuleAdapter};
use crate::finetuning::{Layer, Weight};
use crate::graph::{Constant, Graph, ValueId};

pub(super) const METHOD: MethodKind = MethodKind {
    name: "oft",
    summary: "Turns what each layer reads by trained rotations of blocks; the weight itself stays frozen.",
    documentation: "Z. Qiu et al., \"Controlling Text-to-Image Diffusion by Orthogonal Finetuning\" (2023), in the form of \"Orthogonal \
        Finetuning Made Scalable\" (2025): y = (x·R)·W, R of blocks of `block_size` on its diagonal, each by Cayley's formula \
        (I + Q)·(I − Q)⁻¹ of a skew matrix Q, whose upper triangle is trained: `[blocks, block_size·(block_size − 1)/2]`, zero at the \
        start, so that the first step is that of the model itself. The inverse is Neumann's series to five terms, as is PEFT's \
        default: R = I + 2Q + 2Q² + 2Q³ + Q⁴, which is orthogonal as long as Q is small. `exact: true` turns by (I − Q)·(I + Q)⁻¹ instead, as PEFT does without its series \
        (`use_cayley_neumann=False`), which is orthogonal for any Q: the inverse is found by Newton's iteration, to the precision of floats \
        while the numbers of Q have a root mean square below 0.3 or ‖Q‖² is below some 800. Merged, \
        W becomes R·W with the same R. For linear layers, whose inputs `block_size` must divide. No other method goes to the same layers.",
    samples: &[
        r#"{"block_size": 8}"#,
        r#"{"block_size": 8, "exact": true}"#,
        r#"{"block_size": 20, "layers": {"match": ["columns", "tied"]}}"#,
    ],
    build: Build::of::<Oft>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Oft {
    /// Inputs that are turned together.
    #[schemars(range(min = 2, max = 1024))]
    pub(super) block_size: usize,
    /// Turns by the exact inverse in the place of its series.
    pub(super) exact: bool,
    /// Which layers it goes to; linear ones.
    pub(super) layers: AdaptedLayers,
}

impl Default for Oft {
    fn default() -> Self {
        Self { block_size: 32, exact: false, layers: AdaptedLayers::default() }
    }
}

impl Options for Oft {
    fn validate(&self) -> Result<(), String> {
        // the list of places in a block has its square
        if !(2..=1024).contains(&self.block_size) {
            return Err(format!("block_size is between 2 and 1024, got {}", self.block_size));
        }
        self.layers.validate()
    }
}

impl MethodFunction for Oft {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let file = AdapterForm { method: Some(AdapterMethod::Oft { is_exact: self.exact }), ..AdapterForm::default() };
        let mut added = Added { merged: Some(Vec::new()), is_alone: true, file, ..Added::default() };
        added.notes.extend(self.layers.note_of_fused(model, "oft"));
        let weights = self.layers.weights(model)?;
        let lengths = weights.iter().map(|weight| Dense::of(weight, "oft")).collect::<Result<Vec<_>, _>>()?;
        let whole = lengths.iter().fold(0, |all, dense| common_divisor(all, dense.inputs));
        for (weight, Dense { inputs, .. }) in weights.iter().zip(&lengths) {
            if inputs % self.block_size != 0 {
                let layer = shown(&weight.layer);
                let advice = match (2..=whole.min(self.block_size)).rev().find(|size| whole % size == 0) {
                    Some(size) => format!("take {size}, which divides those of all its layers"),
                    None => "let it go to other layers".to_owned(),
                };
                return Err(CompilerError::setting(
                    "",
                    format!(
                        "block_size {} does not divide the {inputs} inputs of `{layer}`; {advice}",
                        self.block_size
                    ),
                ));
            }
        }
        let places = Places::add(model.graph, self.block_size);
        for (weight, dense) in weights.iter().zip(lengths) {
            self.add_before(model.graph, (weight, dense), places, &mut added)?;
        }
        if let Some(shared) = weights.iter().find(|weight| weight.is_shared) {
            added.stays_beside(&format!("something else reads the weight of `{}` too", shown(&shared.layer)), "oft");
        }
        Ok(added)
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Constants that the nodes of all layers read.
#[derive(Clone, Copy)]
struct Places {
    /// For each place of a block, where its number stands in the trained vector; behind its end on and under the diagonal.
    upper: ValueId,
    identity: ValueId,
    two: ValueId,
}

impl Places {
    fn add(graph: &mut Graph, size: usize) -> Self {
        let end = size * (size - 1) / 2;
        let at = |place: usize| upper_at(place / size, place % size, size).unwrap_or(end) as i64;
        let upper: Vec<i64> = (0..size * size).map(at).collect();
        let diagonal: Vec<f32> = (0..size * size).map(|place| identity_at(place, size) as f32).collect();
        Self {
            upper: graph.named_constant("oft_places", Constant::i64([size, size], &upper)),
            identity: graph.named_constant("oft_identity", Constant::f32([size, size], &diagonal)),
            two: graph.named_constant("oft_two", Constant::f32([], &[2.0])),
        }
    }
}

/// Where the number of a place above the diagonal stands, row by row.
fn upper_at(row: usize, column: usize, size: usize) -> Option<usize> {
    (row < column).then(|| row * (2 * size - row - 1) / 2 + column - row - 1)
}

impl Oft {
    fn add_before(
        &self,
        graph: &mut Graph,
        (weight, dense): (&LinearWeight, Dense),
        places: Places,
        added: &mut Added,
    ) -> Result<(), CompilerError> {
        let (size, blocks) = (self.block_size, dense.inputs / self.block_size);
        let named = |part: &str| format!("{}.{part}", weight.layer);
        let shape = vec![blocks, size * (size - 1) / 2];
        let zeros = Constant::f32(shape.clone(), &vec![0.0; shape.iter().product()]);
        let trained = graph.named_constant(&named("oft_R.weight"), zeros);
        let Some(first) = weight.readers(graph).first().copied() else { return Ok(()) };
        let rotation = graph.in_front_of(first, |graph| {
            let skew = skew(graph, trained, blocks, places, &named)?;
            if self.exact {
                cayley(graph, skew, (places.identity, size, [1, 2]), &|part| named(&format!("oft_R.{part}")))
            } else {
                series(graph, skew, places, &named)
            }
        })?;
        before_readers(graph, weight, |graph, x| in_blocks(graph, x, [blocks, size], rotation, &named))?;
        let node = graph.nodes().iter().position(|node| node.input(0) == Some(trained)).unwrap_or(0);
        added.layers.push(Layer {
            name: named("oft_R"),
            operator: "Concat".into(),
            weights: vec![Weight { value: trained, shape, node, input: 0 }],
            learning_rate_multiplier: 1.0,
            beside: Some(weight.layer.clone()),
        });
        added.adapted.push(weight.layer.clone());
        let in_file = Arc::new(|trained: &[&Constant]| ModuleAdapter::Rotations { triangles: tensor(trained[0]) });
        let form = ModuleForm { layer: weight.layer.clone(), trained: vec![trained], rule: in_file };
        added.file.modules.push(form);
        let exact = self.exact;
        let rule = Arc::new(move |own: &Constant, trained: &[&Constant]| merged(dense, (size, exact), own, trained[0]));
        added.merged.get_or_insert_default().push(MergedWeight { weight: weight.value, trained: vec![trained], rule });
        Ok(())
    }
}

/// Q of each block, `[blocks, size, size]`, of the trained upper triangles.
fn skew(
    graph: &mut Graph,
    trained: ValueId,
    blocks: usize,
    places: Places,
    named: &dyn Fn(&str) -> String,
) -> Result<ValueId, CompilerError> {
    let zeros = graph.named_constant(&named("oft_R.zeros"), Constant::f32([blocks, 1], &vec![0.0; blocks]));
    let ended = graph.append("Concat", &[trained, zeros], &[("axis", 1.into())], &named("oft_R.ended"))?;
    let upper = graph.append("Gather", &[ended, places.upper], &[("axis", 1.into())], &named("oft_R.upper"))?;
    let lower = graph.append("Transpose", &[upper], &[("perm", vec![0, 2, 1].into())], &named("oft_R.lower"))?;
    graph.append("Sub", &[upper, lower], &[], &named("oft_R.skew"))
}

/// R = I + 2Q + 2Q² + 2Q³ + Q⁴.
fn series(
    graph: &mut Graph,
    skew: ValueId,
    places: Places,
    named: &dyn Fn(&str) -> String,
) -> Result<ValueId, CompilerError> {
    let square = graph.append("MatMul", &[skew, skew], &[], &named("oft_R.square"))?;
    let cube = graph.append("MatMul", &[square, skew], &[], &named("oft_R.cube"))?;
    let fourth = graph.append("MatMul", &[cube, skew], &[], &named("oft_R.fourth"))?;
    let sum = graph.append("Add", &[skew, square], &[], &named("oft_R.two_powers"))?;
    let sum = graph.append("Add", &[sum, cube], &[], &named("oft_R.three_powers"))?;
    let doubled = graph.append("Mul", &[sum, places.two], &[], &named("oft_R.doubled"))?;
    let series = graph.append("Add", &[doubled, fourth], &[], &named("oft_R.powers"))?;
    graph.append("Add", &[series, places.identity], &[], &named("oft_R.rotations"))
}

/// R·W, in float64, in the form that W is stored in.
fn merged(dense: Dense, (size, is_exact): (usize, bool), own: &Constant, trained: &Constant) -> Constant {
    let (stored, trained) = (floats(own), floats(trained));
    let mut values = stored.clone();
    let numbers = size * (size - 1) / 2;
    for block in 0..dense.inputs / size {
        let rotation = rotation(&trained[block * numbers..(block + 1) * numbers], size, is_exact);
        for output in 0..dense.outputs {
            for row in 0..size {
                let parts = (0..size).map(|column| {
                    rotation[row * size + column] * f64::from(stored[dense.at(block * size + column, output)])
                });
                values[dense.at(block * size + row, output)] = parts.sum::<f64>() as f32;
            }
        }
    }
    Constant::f32(own.shape.clone(), &values)
}

/// R of one block, row by row.
fn rotation(upper: &[f32], size: usize, is_exact: bool) -> Vec<f64> {
    let number = |row, column| upper_at(row, column, size).map_or(0.0, |at| f64::from(upper[at]));
    let skew: Vec<f64> =
        (0..size * size).map(|at| number(at / size, at % size) - number(at % size, at / size)).collect();
    if is_exact {
        return cayley_of(&skew, size);
    }
    let square = product(&skew, &skew, size);
    let cube = product(&square, &skew, size);
    let fourth = product(&cube, &skew, size);
    let two = |at: usize| 2.0 * (skew[at] + square[at] + cube[at]);
    (0..size * size).map(|at| identity_at(at, size) + two(at) + fourth[at]).collect()
}
