//! Low-rank adaptation: beside a frozen weight, a product of two small ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millstream_schemas::choice::{Options, above, share};
use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapted::AdaptedLayers;
use super::adapter_form::AdapterForm;
use super::layer_biases::{Bias, biases, distinct, obstacle_to_sums};
use super::linear_weight::{LinearMap, LinearWeight};
use super::low_rank::{
    Branch, Factors, FileParts, GAIN_FLOOR, Magnitude, TrainedBiases, by_pattern, floats, in_file, note_of_folded,
    note_of_unwanted, principal, require_matches, table_readers, tables, why_not_in_peft,
};
use super::method_function::{Added, MergeRule, MergedWeight, MethodFunction, MethodModel};
use super::method_kind::{Build, MethodKind};
use crate::CompilerError;
use crate::adapter_files::{AdapterMethod, Biases};
use crate::finetuning::attention::Edges;
use crate::finetuning::{Layer, Weight, pattern_matches};
use crate::graph::{Constant, Graph, ValueId};
use crate::initializers::WeightRandom;

pub(super) const METHOD: MethodKind = MethodKind {
    name: "lora",
    summary: "Beside each weight, a product of two small ones; the weight itself stays frozen.",
    documentation: "E. Hu et al., \"LoRA: Low-Rank Adaptation of Large Language Models\" (2021): y = x·W + s·(x·A)·B, A `[inputs, rank]` \
        uniform in ±1/√inputs, B `[rank, outputs]` zero, so that the first step is that of the model itself; s = `alpha`/`rank`, \
        or `alpha`/√`rank` with `rank_stabilized` (D. Kalajdzievski, 2023). Of a convolution, A is one of the same kernel, stride and \
        padding to `rank` channels (in each group), and B one of kernel 1. `dropout` acts on what A reads. B learns `b_learning_rate_ratio` times as fast as A \
        (S. Hayou et al., \"LoRA+\", 2024). Merged, W becomes W + s·A·B. Layers whose A and B together hold no fewer numbers than \
        W, depthwise convolutions for example, are left out and told.\n\n\
        `start: gaussian` draws A from a normal distribution of standard deviation 1/`rank`. `start: pissa` (F. Meng et al., \
        \"PiSSA\", 2024): s·A·B begins as the part of W with the `rank` largest singular values, A and B with a root of those each, \
        and the frozen weight becomes what is left, so that the first step is the model's own within rounding. Merged, \
        nothing of that is seen. Unmerged, the model holds the weight that is left; files of PEFT are for the model as it was, and have \
        twice the rank, `[A, A₀]` and `[B, −B₀]`. The values are exact within \
        rounding, by one-sided Jacobi; where both sides are longer than 128, in the range of random vectors that go through the weight as \
        often as that takes.\n\n\
        `lora_bias: true` adds s·b behind B, b `[outputs]`, to linear layers; merged, the layer's bias becomes its own and s·b, and \
        where a layer has none of its own, what is added stays beside the model.\n\n\
        `dora: true` (S. Liu et al., \"DoRA: Weight-Decomposed Low-Rank Adaptation\", 2024): y = (x·W + s·(x·A)·B)·m/‖W + s·A·B‖ + b, the \
        norm that of each output's weights, m `[outputs]` trained and ‖W‖ at the start. As in section 4.3 of the paper the norm \
        is a constant for the gradient. Merged, W becomes (W + s·A·B)·m/‖W + s·A·B‖. No other method goes to the same layers.\n\n\
        Weights that are quantized (products and convolutions of integers behind `DynamicQuantizeLinear`, weights behind `DequantizeLinear`, `MatMulNBits`, \
        `MatMulBnb4`) stay as they are to the byte: A and B go beside, read what is not rounded yet, and stay there when the model is \
        exported, since a sum would have to be rounded anew; `dora` and `pissa` are not for them. Gradients pass what is rounded \
        as if it was not.\n\n\
        Where one layer makes queries, keys and values (GPT-2, GPT-NeoX, BLOOM, Falcon, Phi-3, ModernBERT), any of these roles means the whole \
        layer, as `c_attn` does in PEFT: A and B go to all that it makes, and `check` says so.\n\n\
        A table of embeddings is adapted where `layers: {match: […]}` names it: A `[rows, rank]` is zero and B normal with a standard \
        deviation of 1; `start` leaves it so, and `pissa` is not for tables. With `dora` each number of a row has its magnitude, and the \
        norm is over all rows of the table, as in PEFT.",
    samples: &[
        "{}",
        r#"{"rank": 4, "alpha": 16, "layers": "all"}"#,
        r#"{"rank": 2, "rank_stabilized": true, "b_learning_rate_ratio": 16, "layers": {"match": ["encoder.*"]}}"#,
        r#"{"rank": 2, "alpha": 3, "dora": true, "bias": "lora_only", "layers": "all"}"#,
        r#"{"rank": 2, "start": "gaussian", "bias": "all", "rank_patterns": {"t*": 4}, "alpha_patterns": {"plain": 2}}"#,
        r#"{"rank": 2, "alpha": 4, "start": "pissa", "layers": "all"}"#,
        r#"{"rank": 2, "dropout": 0.1, "layers": "all"}"#,
        r#"{"rank": 2, "alpha": 3, "lora_bias": true}"#,
    ],
    build: Build::of::<Lora>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lora {
    /// Columns of A and rows of B.
    #[schemars(range(min = 1))]
    pub(super) rank: usize,
    /// What the scale is made of, above 0; usually `rank` or twice that.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(super) alpha: f64,
    /// Other ranks, by patterns of the names of layers (`*` any run, `?` one character); 0 leaves a layer as it is.
    pub(super) rank_patterns: BTreeMap<String, usize>,
    /// Other values of `alpha`, by patterns of the names of layers, above 0.
    #[schemars(extend("additionalProperties" = {"type": "number", "exclusiveMinimum": 0}))]
    pub(super) alpha_patterns: BTreeMap<String, f64>,
    /// Divides `alpha` by the root of the rank instead of the rank.
    pub(super) rank_stabilized: bool,
    /// Learning rate of B over that of A, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(super) b_learning_rate_ratio: f32,
    /// Where A and B begin.
    pub(super) start: Start,
    /// Trains the magnitude of each output's weights apart from their direction.
    pub(super) dora: bool,
    /// Share of the numbers in front of A that training leaves out at random, 0 to below 1. The model's own weight reads all.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub(super) dropout: f32,
    /// Trains a bias behind B as well, `[outputs]` and zero at first.
    pub(super) lora_bias: bool,
    /// Biases of the model that are trained as well.
    pub(super) bias: TrainedBiases,
    /// Which layers it goes to.
    pub(super) layers: AdaptedLayers,
    /// Whether layers that it makes no smaller are adapted too.
    #[serde(skip)]
    pub(super) leaves_none_out: bool,
    /// By layer, the shapes of an A and a B that take the place of those drawn.
    #[serde(skip)]
    pub(super) given: BTreeMap<String, [Vec<usize>; 2]>,
}

/// Where A and B begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Start {
    /// A uniform in ±1/√inputs, B zero.
    #[default]
    Default,
    /// A normal with a standard deviation of 1/rank, B zero.
    Gaussian,
    /// The largest singular values of the weight, which is left without them.
    Pissa,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 8.0,
            rank_patterns: BTreeMap::new(),
            alpha_patterns: BTreeMap::new(),
            rank_stabilized: false,
            b_learning_rate_ratio: 1.0,
            start: Start::default(),
            dora: false,
            dropout: 0.0,
            lora_bias: false,
            bias: TrainedBiases::default(),
            layers: AdaptedLayers::default(),
            leaves_none_out: false,
            given: BTreeMap::new(),
        }
    }
}

impl Options for Lora {
    fn validate(&self) -> Result<(), String> {
        if self.rank == 0 {
            return Err("rank is 1 or more, got 0".into());
        }
        let is_empty = |(layer, rank): &(&String, &usize)| **rank == 0 && self.given.contains_key(*layer);
        if let Some((layer, _)) = self.rank_patterns.iter().find(is_empty) {
            return Err(format!("rank_patterns.{} is 1 or more for an adapter that is there, got 0", shown(layer)));
        }
        above("alpha", self.alpha)?;
        for (pattern, alpha) in &self.alpha_patterns {
            above(&format!("alpha_patterns.{}", shown(pattern)), *alpha)?;
        }
        for alpha in self.alpha_patterns.values().chain([&self.alpha]) {
            for rank in self.rank_patterns.values().filter(|rank| **rank > 0).chain([&self.rank]) {
                if !(self.scale(*alpha, *rank) as f32).is_normal() {
                    return Err(format!(
                        "alpha of {alpha} over a rank of {rank} is no usual 32-bit float; take another"
                    ));
                }
            }
        }
        above("b_learning_rate_ratio", self.b_learning_rate_ratio.into())?;
        share("dropout", self.dropout.into())?;
        if self.dora && self.lora_bias {
            return Err("lora_bias is false beside `dora`, whose magnitude is of the weights alone, got both".into());
        }
        if self.dora && self.dropout > 0.0 {
            return Err("dropout is 0 beside `dora`, whose magnitude is of all that is read, got both".into());
        }
        self.layers.validate()
    }
}

/// A weight that is adapted, and where its factors begin.
struct Adapted {
    weight: LinearWeight,
    is_table: bool,
}

impl MethodFunction for Lora {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let mut added = Added { merged: Some(Vec::new()), is_alone: self.dora, file: self.file(), ..Added::default() };
        added.notes.extend(self.layers.note_of_fused(model, "lora"));
        let (mut left_out, mut shared, mut quantized) = (Vec::new(), Vec::new(), Vec::new());
        let mut unwanted = Vec::new();
        let (mut scales, mut apart) = (HashMap::new(), None);
        let chosen = self.chosen(model)?;
        let base = model.base;
        let edges = self.lora_bias.then(|| Edges::new(base));
        let names: Vec<&str> = chosen.iter().map(|adapted| adapted.weight.layer.as_str()).collect();
        require_matches("rank_patterns", self.rank_patterns.keys(), &names)?;
        require_matches("alpha_patterns", self.alpha_patterns.keys(), &names)?;
        for adapted in &chosen {
            let weight = &adapted.weight;
            let rank = by_pattern("rank_patterns", &self.rank_patterns, &weight.layer, self.rank)?;
            if rank == 0 {
                unwanted.push(weight.layer.as_str());
                continue;
            }
            let alpha = by_pattern("alpha_patterns", &self.alpha_patterns, &weight.layer, self.alpha)?;
            let factors = Factors { map: weight.map.clone(), rank, scale: self.scale(alpha, rank) };
            self.require_given(&weight.layer, &factors.shapes())?;
            let alpha = self.alpha_in_files(alpha, &weight.map);
            let numbers =
                |shape: &[usize]| shape.iter().fold(1, |product: usize, length| product.saturating_mul(*length));
            let [a, b] = factors.shapes().map(|shape| numbers(&shape));
            if a.saturating_add(b) >= numbers(&weight.shape) && !self.leaves_none_out {
                left_out.push((weight.layer.clone(), rank));
                continue;
            }
            let biases = edges.as_ref().map(|edges| biases(edges, weight)).unwrap_or_default();
            self.add_beside(model, adapted, (factors, alpha), &biases, (&mut scales, &mut added))?;
            let reason = why_not_in_peft(base, weight, self.dora).map(|reason| (weight.layer.clone(), reason));
            added.file.not_in_peft.extend(reason);
            if added.file.peft_notes.is_empty() {
                added.file.peft_notes.extend(note_of_folded(base, weight));
            }
            if self.lora_bias && !weight.is_quantized && apart.is_none() {
                apart = obstacle_to_sums(base, weight, &biases);
            }
            shared.extend(weight.is_shared.then(|| weight.layer.clone()));
            quantized.extend(weight.is_quantized.then(|| weight.layer.clone()));
        }
        added.stays_beside_quantized(&quantized, "lora");
        if let Some(obstacle) = apart {
            added.stays_beside(&obstacle, "lora");
        }
        if let Some(first) = shared.first() {
            added.stays_beside(&format!("something else reads the weight of `{}` too", shown(first)), "lora");
        }
        added.notes.extend(note_of_unwanted(&unwanted, chosen.len())?);
        if let Some((first, rank)) = left_out.first() {
            if added.layers.is_empty() {
                return Err(CompilerError::setting(
                    "",
                    format!(
                        "rank {rank} holds no fewer numbers than the weights themselves (`{}`); take a lower one",
                        shown(first)
                    ),
                ));
            }
            let count = left_out.len();
            added.notes.push(format!(
                "lora leaves {count} layer(s) as they are, `{}` first: rank {rank} holds no fewer numbers than their weights",
                shown(first)
            ));
        }
        let biases = self.bias.layers(model.base, model.layers, &added.adapted);
        if self.bias != TrainedBiases::None {
            let trained = biases.iter().map(Layer::parameters).sum::<usize>();
            added.notes.push(format!("`lora` trains the biases of {} layer(s), {trained} numbers", biases.len()));
        }
        added.layers.extend(biases);
        Ok(added)
    }
}

impl Lora {
    fn scale(&self, alpha: f64, rank: usize) -> f64 {
        let rank = rank as f64;
        alpha / if self.rank_stabilized { rank.sqrt() } else { rank }
    }

    fn file(&self) -> AdapterForm {
        let (is_principal, is_rank_stabilized) = (self.start == Start::Pissa, self.rank_stabilized);
        AdapterForm {
            method: Some(AdapterMethod::Lora { is_rank_stabilized, dropout: self.dropout, is_principal }),
            biases: match self.bias {
                TrainedBiases::None => Biases::None,
                TrainedBiases::All => Biases::All,
                TrainedBiases::LoraOnly => Biases::OfModules,
            },
            ..AdapterForm::default()
        }
    }

    /// Refuses what is given in other shapes, before as many numbers are drawn as it has ranks.
    fn require_given(&self, layer: &str, wanted: &[Vec<usize>; 2]) -> Result<(), CompilerError> {
        let Some(given) = self.given.get(layer) else { return Ok(()) };
        let mut both = ["A", "B"].into_iter().zip(given.iter().zip(wanted));
        match both.find(|(_, (given, wanted))| given != wanted) {
            None => Ok(()),
            Some((name, (given, wanted))) => Err(CompilerError::setting(
                "",
                format!(
                    "the adapter at layer `{}`: {name} has the shape {given:?}, and the layer takes {wanted:?}",
                    shown(layer)
                ),
            )),
        }
    }

    /// Refuses to compute with the numbers of a weight that is quantized.
    fn require_floats(&self, weight: &LinearWeight) -> Result<(), CompilerError> {
        let option = match (self.dora, self.start) {
            (true, _) => "dora: true",
            (false, Start::Pissa) => "start: pissa",
            _ => return Ok(()),
        };
        if !weight.is_quantized {
            return Ok(());
        }
        let layer = shown(&weight.layer);
        let message =
            format!("`{option}` computes with the weights of `{layer}`, which are quantized; leave it out for them");
        Err(CompilerError::setting("", message))
    }

    /// Files count the ranks of all groups of a convolution together.
    fn alpha_in_files(&self, alpha: f64, map: &LinearMap) -> f64 {
        let groups = match map {
            LinearMap::Dense { .. } => 1.0,
            LinearMap::Convolution { groups, .. } => *groups as f64,
        };
        alpha * if self.rank_stabilized { groups.sqrt() } else { groups }
    }

    /// The weights of the chosen layers; tables of embeddings, which only names choose, first.
    fn chosen(&self, model: &MethodModel<'_>) -> Result<Vec<Adapted>, CompilerError> {
        let AdaptedLayers::Match(patterns) = &self.layers else {
            let weights = self.layers.weights_of_any_form(model)?;
            return Ok(weights.into_iter().map(|weight| Adapted { weight, is_table: false }).collect());
        };
        let matched = |weight: &LinearWeight| patterns.iter().any(|pattern| pattern_matches(pattern, &weight.layer));
        let tables: Vec<LinearWeight> = tables(model).into_iter().filter(matched).collect();
        if let Some(first) = tables.first().filter(|_| self.start == Start::Pissa) {
            return Err(CompilerError::setting(
                "",
                format!(
                    "`start: pissa` is not for tables of embeddings, and `layers.match` names `{}`; adapt it by a second `lora`",
                    shown(&first.layer)
                ),
            ));
        }
        // a pattern of tables alone is none of linear layers
        let is_of_tables = |pattern: &String| {
            tables.iter().any(|table| pattern_matches(pattern, &table.layer))
                && AdaptedLayers::Match(vec![pattern.clone()]).weights_of_any_form(model).is_err()
        };
        let linear: Vec<String> = patterns.iter().filter(|pattern| !is_of_tables(pattern)).cloned().collect();
        let weights =
            if linear.is_empty() { Vec::new() } else { AdaptedLayers::Match(linear).weights_of_any_form(model)? };
        let weights = weights.into_iter().map(|weight| Adapted { weight, is_table: false });
        Ok(tables.into_iter().map(|weight| Adapted { weight, is_table: true }).chain(weights).collect())
    }

    fn add_beside(
        &self,
        model: &mut MethodModel<'_>,
        adapted: &Adapted,
        (factors, alpha): (Factors, f64),
        biases: &[Bias],
        (scales, added): (&mut HashMap<u32, ValueId>, &mut Added),
    ) -> Result<(), CompilerError> {
        let weight = &adapted.weight;
        let graph = &mut *model.graph;
        // what PEFT calls them
        let (parts, end) = if adapted.is_table {
            (["lora_embedding_A", "lora_embedding_B"], "")
        } else {
            (["lora_A", "lora_B"], ".weight")
        };
        let layer_names = parts.map(|part| format!("{}.{part}", weight.layer));
        let names = layer_names.clone().map(|name| graph.free_name(&format!("{name}{end}")));
        let shapes = factors.shapes();
        let own = graph.constant_of(weight.value).expect("weights are constants").clone();
        self.require_floats(weight)?;
        let first = self.first_values(adapted, &factors, &own, (model.seed, &names))?;
        let is_pissa = self.start == Start::Pissa;
        let frozen = if is_pissa { factors.without(&own, [&first[0], &first[1]]) } else { own };
        if is_pissa {
            graph.set_constant(weight.value, frozen.clone());
        }
        let [a, b] = [0, 1].map(|at| graph.constant(&names[at], Constant::f32(shapes[at].clone(), &first[at])));
        let scale = factors.scale as f32;
        // a factor of one is not written
        let scale = (scale != 1.0).then(|| {
            let constant = || graph.named_constant("lora_scale", Constant::f32([], &[scale]));
            *scales.entry(scale.to_bits()).or_insert_with(constant)
        });
        let readers = |graph: &Graph| {
            if adapted.is_table { table_readers(graph, weight) } else { weight.readers(graph) }
        };
        let mut magnitude = None;
        let magnitude_name = format!("{}.lora_magnitude_vector", weight.layer);
        if let (true, Some(reader)) = (self.dora, readers(graph).first()) {
            let numbers = floats(&frozen);
            let norms: Vec<f32> = (0..factors.outputs())
                .map(|output| length(&factors.row(&numbers, [&first[0], &first[1]], output)) as f32)
                .collect();
            let value = graph.named_constant(&magnitude_name, Constant::f32([norms.len()], &norms));
            let gain = Magnitude::add(graph, *reader, &factors, (weight, [a, b], scale), value)?;
            magnitude = Some((value, gain));
        }
        let (gain, dropout, name) = (magnitude.map(|(_, gain)| gain), self.dropout, weight.layer.as_str());
        let bias_name = format!("{}.lora_B.bias", weight.layer);
        let bias = self.bias_of_b(adapted)?.map(|outputs| {
            let value = graph.named_constant(&bias_name, Constant::f32([outputs], &vec![0.0; outputs]));
            (value, outputs)
        });
        let bias_value = bias.map(|(value, _)| value);
        let branch = Branch { factors: &factors, a, b, bias: bias_value, scale, magnitude: gain, dropout, name };
        // from the last on, so that the places of the others stay
        for at in readers(graph).into_iter().rev() {
            added.dropped.extend(branch.add(graph, at)?);
        }
        let layer = |name: &str, value: ValueId, learning_rate_multiplier: f32| {
            let shape = graph.constant_of(value).expect("it was just added").shape.clone();
            let (own, operator) = Weight::added(graph, value, shape);
            let (weights, beside) = (vec![own], Some(weight.layer.clone()));
            Layer { name: name.to_owned(), operator, weights, learning_rate_multiplier, beside }
        };
        added.layers.push(layer(&layer_names[0], a, 1.0));
        added.layers.push(layer(&layer_names[1], b, self.b_learning_rate_ratio));
        added.layers.extend(magnitude.map(|(value, _)| layer(&magnitude_name, value, 1.0)));
        added.layers.extend(bias_value.map(|value| layer(&bias_name, value, 1.0)));
        added.adapted.push(weight.layer.clone());
        let magnitude = magnitude.map(|(value, _)| value);
        let trained: Vec<ValueId> = [Some(a), Some(b), magnitude, bias_value].into_iter().flatten().collect();
        let taken = is_pissa.then(|| first.map(Arc::<[f32]>::from));
        let parts = FileParts {
            alpha,
            taken,
            has_magnitude: magnitude.is_some(),
            is_rank_stabilized: self.rank_stabilized,
            is_table: adapted.is_table,
        };
        added.file.modules.push(in_file(weight.layer.clone(), trained.clone(), parts));
        if let (true, LinearMap::Convolution { groups: 2.., .. }) = (is_pissa, &factors.map) {
            added.file.refusal = Some(format!(
                "`start: pissa` takes a part out of the weight of `{}`, which is of a convolution in groups, and files have no place for that",
                shown(&weight.layer)
            ));
        }
        let scale = factors.scale;
        let rule = merge_rule(factors);
        let of_weight = [Some(a), Some(b), magnitude].into_iter().flatten().collect();
        let merged = added.merged.get_or_insert_default();
        merged.push(MergedWeight { weight: weight.value, trained: of_weight, rule });
        if let Some(bias) = bias_value {
            for own in distinct(biases) {
                let rule = Arc::new(move |own: &Constant, trained: &[&Constant]| {
                    let sums = floats(own).into_iter().zip(floats(trained[0]));
                    let sums = sums.map(|(own, bias)| (f64::from(own) + scale * f64::from(bias)) as f32);
                    Constant::f32(own.shape.clone(), &sums.collect::<Vec<f32>>())
                });
                merged.push(MergedWeight { weight: own, trained: vec![bias], rule });
            }
        }
        Ok(())
    }

    /// How many numbers the bias behind B has, where there is one.
    fn bias_of_b(&self, adapted: &Adapted) -> Result<Option<usize>, CompilerError> {
        match (&adapted.weight.map, self.lora_bias) {
            (_, false) => Ok(None),
            (LinearMap::Dense { outputs, .. }, true) if !adapted.is_table => Ok(Some(*outputs)),
            _ => Err(CompilerError::setting(
                "",
                format!(
                    "`lora_bias` is for linear layers, and `{}` is none; adapt it by a second `lora`",
                    shown(&adapted.weight.layer)
                ),
            )),
        }
    }

    /// What A and B begin with.
    fn first_values(
        &self,
        adapted: &Adapted,
        factors: &Factors,
        own: &Constant,
        (seed, names): (u64, &[String; 2]),
    ) -> Result<[Vec<f32>; 2], CompilerError> {
        let [a, b] = factors.shapes().map(|shape| shape.iter().product::<usize>());
        let mut random = WeightRandom::new(seed, &names[usize::from(adapted.is_table)]);
        if adapted.is_table {
            return Ok([vec![0.0; a], random.normals(b, 1.0)]);
        }
        match self.start {
            Start::Default => {
                let bound = 1.0 / (factors.columns().max(1) as f64).sqrt();
                Ok([random.uniforms(a, bound), vec![0.0; b]])
            }
            Start::Gaussian => Ok([random.normals(a, 1.0 / factors.rank as f64), vec![0.0; b]]),
            Start::Pissa => {
                let layer = shown(&adapted.weight.layer);
                let refuse = |message: String| Err(CompilerError::setting("", message));
                if adapted.weight.is_shared {
                    return refuse(format!(
                        "`start: pissa` changes the weight of `{layer}`, which something else reads too; take another start for it"
                    ));
                }
                match principal(factors, own, &mut random) {
                    Some(first) => Ok(first),
                    None => refuse(format!(
                        "`start: pissa` finds nothing in the weight of `{layer}`, which is zero throughout; take another start for it"
                    )),
                }
            }
        }
    }
}

/// W + s·A·B, times m/‖·‖ where m is trained.
fn merge_rule(factors: Factors) -> MergeRule {
    Arc::new(move |own: &Constant, trained: &[&Constant]| {
        let (a, b) = (floats(trained[0]), floats(trained[1]));
        let magnitude = trained.get(2).map(|magnitude| floats(magnitude));
        factors.merged(own, [&a, &b], |output, row| match &magnitude {
            Some(magnitude) => f64::from(magnitude[output]) / length(row).max(f64::from(GAIN_FLOOR)),
            None => 1.0,
        })
    })
}

fn length(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum::<f64>().sqrt()
}
