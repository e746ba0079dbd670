//! Orthogonal fine-tuning by butterflies: what a layer reads is turned by a few sparse rotations, whose blocks are mixed between.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapted::AdaptedLayers;
use super::adapter_form::{ModuleForm, tensor};
use super::dense::Dense;
use super::linear_weight::LinearWeight;
use super::low_rank::{Magnitude, floats};
use super::method_function::{Added, MergedWeight, MethodFunction, MethodModel};
use super::method_kind::{Build, MethodKind};
use super::rotation::{before_readers, cayley, cayley_of, identity_at, in_blocks, product};
use crate::CompilerError;
use crate::adapter_files::{AdapterMethod, ModuleAdapter};
use crate::finetuning::{Layer, Weight};
use crate::graph::{Constant, Graph, ValueId};

pub(super) const METHOD: MethodKind = MethodKind {
    name: "boft",
    summary: "Turns what each layer reads by a product of sparse trained rotations, and scales its outputs.",
    documentation: "W. Liu et al., \"Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization\" (2024): \
        y = ((x·R)·W)∘s + b, R = Rₘ·…·R₁ with `factors` rotations, each of blocks of `block_size` between two orders of the inputs: the \
        later a rotation, the farther apart are the inputs that it turns together. A block is (I − S)·(I + S)⁻¹, S the skew half \
        of a trained matrix: `[factors, blocks, block_size, block_size]`, zero at the start; s `[outputs]` is one, so that the first step \
        is that of the model itself. The inverse is exact: of blocks up to 4 it is (I − S)·((1 + p)·I + S²)/(1 + p + q) with p = ‖S‖²/2 and \
        q = p²/2 − ‖S²‖²/4, by the theorem of Cayley and Hamilton; of larger ones it is found by Newton's iteration, to the precision of floats \
        while the trained numbers have a root mean square below 0.3 or ‖S‖² is below some 800. Blocks of an odd size have one factor. \
        Merged, W becomes R·W·diag(s). For linear layers, whose inputs `block_size`·2^(`factors` − 1) must divide. No other method \
        goes to the same layers.",
    samples: &[
        "{}",
        r#"{"block_size": 2, "factors": 3, "layers": {"match": ["columns", "tied", "turned"]}}"#,
        r#"{"block_size": 8, "layers": {"match": ["columns", "tied", "turned"]}}"#,
    ],
    build: Build::of::<Boft>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Boft {
    /// Inputs that are turned together; an even number where there are several factors.
    #[schemars(range(min = 2, max = 1024))]
    pub(super) block_size: usize,
    /// Rotations, one behind the other.
    #[schemars(range(min = 1, max = 16))]
    pub(super) factors: usize,
    /// Which layers it goes to; linear ones.
    pub(super) layers: AdaptedLayers,
}

impl Default for Boft {
    fn default() -> Self {
        Self { block_size: 4, factors: 1, layers: AdaptedLayers::default() }
    }
}

impl Options for Boft {
    fn validate(&self) -> Result<(), String> {
        if !(2..=1024).contains(&self.block_size) {
            return Err(format!("block_size is between 2 and 1024, got {}", self.block_size));
        }
        if !(1..=16).contains(&self.factors) {
            return Err(format!("factors is between 1 and 16, got {}", self.factors));
        }
        self.layers.validate()
    }
}

impl MethodFunction for Boft {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let mut added = Added { merged: Some(Vec::new()), is_alone: true, ..Added::default() };
        added.file.method = Some(AdapterMethod::Boft);
        if self.factors > 1 {
            added.file.peft_notes.push(format!(
                "`boft` has {} factors; PEFT takes several only where its CUDA extension is built, and elsewhere refuses the folder, \
                 which `peft` and `adapter merge` read; `factors: 1` loads everywhere",
                self.factors
            ));
        }
        if self.factors > 1 && !self.block_size.is_multiple_of(2) {
            return Err(CompilerError::setting(
                "",
                format!(
                    "block_size is even where there are several factors, which exchange halves of blocks, got {} with {} factors",
                    self.block_size, self.factors
                ),
            ));
        }
        added.notes.extend(self.layers.note_of_fused(model, "boft"));
        let weights = self.layers.weights(model)?;
        let lengths = weights.iter().map(|weight| Dense::of(weight, "boft")).collect::<Result<Vec<_>, _>>()?;
        let reach = self.block_size << (self.factors - 1);
        if let Some((weight, dense)) = weights.iter().zip(&lengths).find(|(_, dense)| dense.inputs % reach != 0) {
            let (size, factors, layer) = (self.block_size, self.factors, shown(&weight.layer));
            return Err(CompilerError::setting(
                "",
                format!(
                    "block_size {size} with {factors} factor(s) turns {reach} inputs together, which do not divide the {} inputs of \
                     `{layer}`; take fewer factors or smaller blocks, or let it go to other layers",
                    dense.inputs
                ),
            ));
        }
        // all layers read it
        let size = self.block_size;
        let diagonal: Vec<f32> = (0..size * size).map(|place| identity_at(place, size) as f32).collect();
        let identity = model.graph.named_constant("boft_identity", Constant::f32([size, size], &diagonal));
        for (weight, dense) in weights.iter().zip(lengths) {
            self.add_before(model.graph, (weight, dense), identity, &mut added)?;
        }
        if let Some(shared) = weights.iter().find(|weight| weight.is_shared) {
            added.stays_beside(&format!("something else reads the weight of `{}` too", shown(&shared.layer)), "boft");
        }
        Ok(added)
    }
}

impl Boft {
    fn add_before(
        &self,
        graph: &mut Graph,
        (weight, dense): (&LinearWeight, Dense),
        identity: ValueId,
        added: &mut Added,
    ) -> Result<(), CompilerError> {
        let (size, factors) = (self.block_size, self.factors);
        let blocks = dense.inputs / size;
        let named = |part: &str| format!("{}.{part}", weight.layer);
        let shape = vec![factors, blocks, size, size];
        let zeros = Constant::f32(shape.clone(), &vec![0.0; shape.iter().product()]);
        let trained = graph.named_constant(&named("boft_R"), zeros);
        let scale = graph.named_constant(&named("boft_s"), Constant::f32([dense.outputs], &vec![1.0; dense.outputs]));
        let Some(first) = weight.readers(graph).first().copied() else { return Ok(()) };
        let rotations = graph.in_front_of(first, |graph| rotations(graph, (trained, identity), &shape, &named))?;
        before_readers(graph, weight, |graph, x| {
            let mut rows = x;
            for (factor, rotation) in rotations.iter().enumerate().rev() {
                let order = order(dense.inputs, size, factor);
                rows = reordered(graph, rows, &inverse(&order), &named)?;
                rows = in_blocks(graph, rows, [blocks, size], *rotation, &named)?;
                rows = reordered(graph, rows, &order, &named)?;
            }
            Ok(rows)
        })?;
        // from the last on, so that the places of the others stay
        for at in weight.readers(graph).into_iter().rev() {
            let node = graph.nodes()[at].clone();
            graph.replace_result(at, &named("base_output"), |graph, own| {
                Magnitude { gain: scale }.apply(graph, &node, own, &weight.map, &named)
            })?;
        }
        for (part, value, shape) in [("boft_R", trained, shape), ("boft_s", scale, vec![dense.outputs])] {
            let (own, operator) = Weight::added(graph, value, shape);
            added.layers.push(Layer {
                name: named(part),
                operator,
                weights: vec![own],
                learning_rate_multiplier: 1.0,
                beside: Some(weight.layer.clone()),
            });
        }
        added.adapted.push(weight.layer.clone());
        let in_file = Arc::new(|trained: &[&Constant]| ModuleAdapter::Butterflies {
            blocks: tensor(trained[0]),
            scales: tensor(trained[1]),
        });
        let layer = weight.layer.clone();
        added.file.modules.push(ModuleForm { layer, trained: vec![trained, scale], rule: in_file });
        let rule = Arc::new(move |own: &Constant, trained: &[&Constant]| {
            merged(dense, (size, factors), own, [trained[0], trained[1]])
        });
        added.merged.get_or_insert_default().push(MergedWeight {
            weight: weight.value,
            trained: vec![trained, scale],
            rule,
        });
        Ok(())
    }
}

/// The order of the inputs in which the rotation `factor` turns neighbours: within runs of `size`·2^`factor`, halves of blocks at
/// even places come before those at odd ones.
fn order(inputs: usize, size: usize, factor: usize) -> Vec<usize> {
    if factor == 0 {
        // a block of an odd size has no halves
        return (0..inputs).collect();
    }
    let (half, run) = (size / 2, size << factor);
    let halves = run / half;
    let of_run = (0..halves).step_by(2).chain((1..halves).step_by(2));
    let of_run: Vec<usize> = of_run.flat_map(|at| at * half..(at + 1) * half).collect();
    (0..inputs).step_by(run).flat_map(|start| of_run.iter().map(move |at| start + at)).collect()
}

fn inverse(order: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; order.len()];
    order.iter().enumerate().for_each(|(at, from)| inverse[*from] = at);
    inverse
}

fn reordered(
    graph: &mut Graph,
    x: ValueId,
    order: &[usize],
    named: &dyn Fn(&str) -> String,
) -> Result<ValueId, CompilerError> {
    if order.is_sorted() {
        return Ok(x);
    }
    let places: Vec<i64> = order.iter().map(|at| *at as i64).collect();
    let places = graph.named_constant(&named("boft_order"), Constant::i64([places.len()], &places));
    graph.append("Gather", &[x, places], &[("axis", (-1).into())], &named("reordered_input"))
}

/// Blocks up to this size are inverted by a formula.
const LARGEST_OF_FORMULA: usize = 4;

/// The blocks `[blocks, size, size]` of each rotation, of the trained matrices. `identity`: `[size, size]`.
fn rotations(
    graph: &mut Graph,
    (trained, identity): (ValueId, ValueId),
    shape: &[usize],
    named: &dyn Fn(&str) -> String,
) -> Result<Vec<ValueId>, CompilerError> {
    let size = shape[3];
    let half = graph.named_constant(&named("half"), Constant::f32([], &[0.5]));
    let r = |part: &str| named(&format!("boft_R.{part}"));
    let turned = graph.append("Transpose", &[trained], &[("perm", vec![0, 1, 3, 2].into())], &r("turned"))?;
    let twice = graph.append("Sub", &[trained, turned], &[], &r("twice_skew"))?;
    let skew = graph.append("Mul", &[twice, half], &[], &r("skew"))?;
    let all = if size > LARGEST_OF_FORMULA {
        cayley(graph, skew, (identity, size, [2, 3]), &r)?
    } else {
        by_formula(graph, skew, [identity, half], named)?
    };
    (0..shape[0])
        .map(|factor| {
            let at = graph.named_constant(&r("factor"), Constant::i64([], &[factor as i64]));
            graph.append("Gather", &[all, at], &[], &r(&format!("rotation_{factor}")))
        })
        .collect()
}

/// (I − S)²·((1 + p)·I + S²)/(1 + p + q) of blocks S up to [`LARGEST_OF_FORMULA`].
fn by_formula(
    graph: &mut Graph,
    skew: ValueId,
    [identity, half]: [ValueId; 2],
    named: &dyn Fn(&str) -> String,
) -> Result<ValueId, CompilerError> {
    let [one, quarter] = [("one", 1.0), ("quarter", 0.25)]
        .map(|(name, value)| graph.named_constant(&named(name), Constant::f32([], &[value])));
    let axes = graph.named_constant(&named("boft_axes"), Constant::i64([2], &[2, 3]));
    let r = |part: &str| named(&format!("boft_R.{part}"));
    let square = graph.append("MatMul", &[skew, skew], &[], &r("square"))?;
    let norm = |graph: &mut Graph, value: ValueId, name: &str| {
        let squares = graph.append("Mul", &[value, value], &[], &r(&format!("{name}.squares")))?;
        graph.append("ReduceSum", &[squares, axes], &[], &r(&format!("{name}.norm")))
    };
    let [first, second] = [norm(graph, skew, "skew")?, norm(graph, square, "square")?];
    let p = graph.append("Mul", &[first, half], &[], &r("p"))?;
    let p_square = graph.append("Mul", &[p, p], &[], &r("p_square"))?;
    let half_square = graph.append("Mul", &[p_square, half], &[], &r("half_p_square"))?;
    let quarter_norm = graph.append("Mul", &[second, quarter], &[], &r("quarter_norm"))?;
    let q = graph.append("Sub", &[half_square, quarter_norm], &[], &r("q"))?;
    let with_p = graph.append("Add", &[p, one], &[], &r("one_and_p"))?;
    let divisor = graph.append("Add", &[with_p, q], &[], &r("divisor"))?;
    let scaled = graph.append("Mul", &[identity, with_p], &[], &r("scaled_identity"))?;
    let adjugate = graph.append("Add", &[scaled, square], &[], &r("adjugate"))?;
    let less = graph.append("Sub", &[identity, skew], &[], &r("less"))?;
    let squared = graph.append("MatMul", &[less, less], &[], &r("less_squared"))?;
    let whole = graph.append("MatMul", &[squared, adjugate], &[], &r("undivided"))?;
    graph.append("Div", &[whole, divisor], &[], &r("rotations"))
}

/// R·W·diag(s), in float64, in the form that W is stored in.
fn merged(dense: Dense, (size, factors): (usize, usize), own: &Constant, trained: [&Constant; 2]) -> Constant {
    let (stored, [blocks, scale]) = (floats(own), trained.map(floats));
    let mut values = stored.clone();
    let in_a_factor = dense.inputs * size;
    let rotations: Vec<(Vec<usize>, Vec<Vec<f64>>)> = (0..factors)
        .map(|factor| {
            let of_factor = &blocks[factor * in_a_factor..(factor + 1) * in_a_factor];
            let blocks = of_factor.chunks_exact(size * size).map(|block| rotation(block, size)).collect();
            (order(dense.inputs, size, factor), blocks)
        })
        .collect();
    for output in 0..dense.outputs {
        let mut column: Vec<f64> = (0..dense.inputs).map(|input| f64::from(stored[dense.at(input, output)])).collect();
        for (order, blocks) in &rotations {
            // P·R·Pᵀ of a column: Pᵀ puts at order[k] what stands at k
            let mut ordered = vec![0.0; column.len()];
            order.iter().enumerate().for_each(|(at, to)| ordered[*to] = column[at]);
            let turned: Vec<f64> = (0..column.len())
                .map(|row| {
                    let (block, within) = (row / size, row % size);
                    let parts = (0..size).map(|k| blocks[block][within * size + k] * ordered[block * size + k]);
                    parts.sum()
                })
                .collect();
            column = order.iter().map(|from| turned[*from]).collect();
        }
        for (input, value) in column.iter().enumerate() {
            values[dense.at(input, output)] = (value * f64::from(scale[output])) as f32;
        }
    }
    Constant::f32(own.shape.clone(), &values)
}

/// One block, row by row, of a trained matrix.
fn rotation(trained: &[f32], size: usize) -> Vec<f64> {
    let places = || 0..size * size;
    let number = |row: usize, column: usize| f64::from(trained[row * size + column]);
    let skew: Vec<f64> =
        places().map(|at| 0.5 * (number(at / size, at % size) - number(at % size, at / size))).collect();
    if size > LARGEST_OF_FORMULA {
        return cayley_of(&skew, size);
    }
    let square = product(&skew, &skew, size);
    let norm = |matrix: &[f64]| matrix.iter().map(|value| value * value).sum::<f64>();
    let p = norm(&skew) / 2.0;
    let q = p * p / 2.0 - norm(&square) / 4.0;
    let adjugate: Vec<f64> = places().map(|at| (1.0 + p) * identity_at(at, size) + square[at]).collect();
    let less: Vec<f64> = places().map(|at| identity_at(at, size) - skew[at]).collect();
    let whole = product(&product(&less, &less, size), &adjugate, size);
    whole.into_iter().map(|value| value / (1.0 + p + q)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetuning::methods::linear_weight::LinearMap;

    #[test]
    fn blocks_are_rotations_and_the_formula_of_cayley() {
        for size in [2, 3, 4, 5, 6, 8, 16] {
            let trained: Vec<f32> = (0..size * size).map(|at| ((at * 7 + 3) % 11) as f32 / 4.0 - 1.0).collect();
            let found = rotation(&trained, size);
            let turned: Vec<f64> = (0..size * size).map(|at| found[at % size * size + at / size]).collect();
            let whole = product(&found, &turned, size);
            for (at, value) in whole.iter().enumerate() {
                assert!((value - identity_at(at, size)).abs() < 1e-12, "size {size}: {whole:?}");
            }
            // R·(I + S) = I − S
            let skew: Vec<f64> = (0..size * size)
                .map(|at| f64::from(trained[at] - trained[at % size * size + at / size]) / 2.0)
                .collect();
            let more: Vec<f64> = (0..size * size).map(|at| identity_at(at, size) + skew[at]).collect();
            for (at, value) in product(&found, &more, size).iter().enumerate() {
                assert!((value - (identity_at(at, size) - skew[at])).abs() < 1e-12, "size {size}");
            }
        }
    }

    /// R = P₂·D₂·P₂ᵀ·P₁·D₁·P₁ᵀ with blocks of 8 on the diagonals of D, as PEFT multiplies whole matrices.
    #[test]
    fn two_factors_of_blocks_of_eight_merge_by_the_formula() {
        let (inputs, outputs, size, factors) = (32, 3, 8, 2);
        let numbers = |count: usize, seed: usize| -> Vec<f32> {
            (0..count).map(|at| ((at * 7919 + seed) % 2003) as f32 / 1001.0 - 1.0).collect()
        };
        let (own, blocks, scale) =
            (numbers(inputs * outputs, 1), numbers(factors * inputs * size, 2), numbers(outputs, 3));
        let mut whole: Vec<f64> = (0..inputs * inputs).map(|at| identity_at(at, inputs)).collect();
        for (factor, of_factor) in blocks.chunks_exact(inputs * size).enumerate() {
            let rotations: Vec<Vec<f64>> = of_factor.chunks_exact(size * size).map(|own| rotation(own, size)).collect();
            let diagonal = |at: usize| {
                let (row, column) = (at / inputs, at % inputs);
                let is_within = row / size == column / size;
                if is_within { rotations[row / size][row % size * size + column % size] } else { 0.0 }
            };
            let diagonal: Vec<f64> = (0..inputs * inputs).map(diagonal).collect();
            // row k of P has its one at order[k]
            let order = order(inputs, size, factor);
            let at = |at: usize| f64::from(u8::from(order[at / inputs] == at % inputs));
            let permutation: Vec<f64> = (0..inputs * inputs).map(at).collect();
            let turned: Vec<f64> =
                (0..inputs * inputs).map(|at| permutation[at % inputs * inputs + at / inputs]).collect();
            let mixed = product(&product(&permutation, &diagonal, inputs), &turned, inputs);
            whole = product(&mixed, &whole, inputs);
        }
        let weight = LinearWeight {
            layer: "fc".into(),
            value: ValueId(0),
            shape: vec![inputs, outputs],
            reads: Vec::new(),
            map: LinearMap::Dense { inputs, outputs, is_transposed: false, factor: 1.0 },
            is_shared: false,
            is_quantized: false,
        };
        let dense = Dense::of(&weight, "boft").unwrap();
        let trained = [Constant::f32([factors, inputs / size, size, size], &blocks), Constant::f32([outputs], &scale)];
        let own = Constant::f32([inputs, outputs], &own);
        let found = floats(&merged(dense, (size, factors), &own, [&trained[0], &trained[1]]));
        let own = floats(&own);
        for (at, found) in found.iter().enumerate() {
            let (input, output) = (at / outputs, at % outputs);
            let parts = (0..inputs).map(|k| whole[input * inputs + k] * f64::from(own[k * outputs + output]));
            let wanted = parts.sum::<f64>() * f64::from(scale[output]);
            assert!((f64::from(*found) - wanted).abs() < 1e-6, "{at}: {found}, wanted {wanted}");
        }
    }

    #[test]
    fn later_rotations_turn_inputs_that_lie_farther_apart() {
        for size in [2, 3, 4, 5, 8] {
            assert_eq!(order(3 * size, size, 0), (0..3 * size).collect::<Vec<usize>>(), "neighbours first");
        }
        assert_eq!(order(8, 4, 1), [0, 1, 4, 5, 2, 3, 6, 7]);
        assert_eq!(order(8, 2, 1), [0, 2, 1, 3, 4, 6, 5, 7]);
        let order = order(8, 2, 2);
        assert_eq!(order, [0, 2, 4, 6, 1, 3, 5, 7]);
        assert!(inverse(&order).iter().enumerate().all(|(at, to)| order[*to] == at));
    }
}
