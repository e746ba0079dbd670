//! Learned keys and values that every query sees.

use millstream_schemas::choice::{Options, above};
use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method_function::{Added, MethodFunction, MethodModel};
use super::method_kind::{Build, MethodKind};
use super::prefix_encoder::{PrefixEncoder, keys_or_values_of};
use super::quantized_weights::quantized_weights;
use crate::CompilerError;
use crate::finetuning::attention::Attention;
use crate::finetuning::{Layer, Weight, find_attentions};
use crate::graph::{Constant, Graph, ValueId};
use crate::initializers::WeightRandom;
use crate::model_file::MOST_ENCODED;

pub(super) const METHOD: MethodKind = MethodKind {
    name: "prefix_tuning",
    summary: "Learned keys and values in every attention; the model's own weights stay frozen.",
    documentation: "X. L. Li and P. Liang, \"Prefix-Tuning: Optimizing Continuous Prompts for Generation\" (2021): each attention is softmax([q·P_k, scores])·[P_v, V], P_k `[heads, size, length]` and P_v `[heads, length, size]` of \
        the keys' heads, normal with `standard_deviation`. With `projection: true`, as in the paper and in PEFT's `prefix_projection`, one network makes all of \
        them of E `[length, width]`, normal with a standard deviation of 1: linear, tanh, linear, weights and biases uniform in ±1/√inputs; it \
        is computed once and left out of the exported file, unless adapters are exported unmerged. All tokens see the prefix whatever the mask. The scores of P_k are not scaled by \
        1/√size as those of keys are, since P_k learns that itself. The first step is not that of the model itself: the prefix takes its part of the \
        softmax. The prefix stays beside the model in the exported file. Not for attention that is one node, or whose heads lie in the axis of rows.",
    samples: &[
        "{}",
        r#"{"length": 3, "standard_deviation": 0.5}"#,
        r#"{"length": 3, "projection": true, "hidden_size": 5}"#,
    ],
    build: Build::of::<PrefixTuning>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct PrefixTuning {
    /// Keys and values in each attention.
    #[schemars(range(min = 1))]
    length: usize,
    /// Standard deviation of their first values, above 0, without `projection`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    standard_deviation: f64,
    /// Whether a network makes them of trained vectors.
    projection: bool,
    /// Numbers between its layers, 1 or more; as many as the first attention reads where it is not said.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden_size: Option<usize>,
}

impl Default for PrefixTuning {
    fn default() -> Self {
        Self { length: 20, standard_deviation: 0.02, projection: false, hidden_size: None }
    }
}

/// Longer than any sequence that a prefix helps.
const MOST_LENGTH: usize = 1 << 14;

impl Options for PrefixTuning {
    fn validate(&self) -> Result<(), String> {
        if self.length == 0 {
            return Err("length is 1 or more, got 0".into());
        }
        if self.length > MOST_LENGTH {
            return Err(format!("length is at most {MOST_LENGTH}, got {}", self.length));
        }
        match (self.hidden_size, self.projection) {
            (Some(0), _) => return Err("hidden_size is 1 or more, got 0".into()),
            (Some(_), false) => {
                return Err("hidden_size is that of `projection: true`; leave it out, or say that".into());
            }
            _ => {}
        }
        above("standard_deviation", self.standard_deviation)
    }
}

impl MethodFunction for PrefixTuning {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let attentions = find_attentions(model.base);
        let refuse = |message: String| Err(CompilerError::setting("", message));
        if attentions.found.is_empty() || !attentions.left_out.is_empty() {
            return refuse(format!("a prefix goes into every attention, and {}", attentions.summary()));
        }
        let mut added = Added { is_apart: true, ..Added::default() };
        let quantized = quantized_weights(model.base, model.prediction);
        let mut places: Vec<(&Attention, String)> = Vec::new();
        for attention in &attentions.found {
            let weight = attention.query.linear.weight;
            let of = |layer: &&Layer| layer.weights.iter().any(|own| own.value == weight);
            let whole = || quantized.iter().find(|own| own.value == weight).map(|own| own.layer.clone());
            let layer = model.layers.iter().find(of).map(|layer| layer.name.clone()).or_else(whole);
            let Some(layer) = layer else { continue };
            if let Err(obstacle) = fits(model.base, attention) {
                let node = model.base.label(&model.base.nodes()[attention.node]);
                return refuse(format!("no prefix can go into the attention of `{node}`: {obstacle}"));
            }
            places.push((attention, layer));
        }
        if places.is_empty() {
            return refuse("no attention leads to the prediction, so a prefix would do nothing".into());
        }
        let made = self.projection.then(|| self.project(model, &places)).transpose()?;
        let mut start = 0;
        for (attention, layer) in &places {
            let own = match &made {
                None => self.draw(model, attention, layer),
                Some((_, _, all)) => {
                    let own = part_of(model.graph, (*all, start), attention, layer)?;
                    start += numbers_of(attention).iter().sum::<usize>();
                    own
                }
            };
            self.place(model, attention, layer, own)?;
            if made.is_none() {
                let of_layer = own.into_iter().map(|value| trained(model.graph, value, layer));
                added.layers.extend(of_layer);
            }
            added.adapted.push(layer.clone());
        }
        if let (Some((encoder, own, all)), Some((_, first))) = (made, places.first()) {
            added.layers.extend(encoder.layers(model.graph, &own, first));
            added.folded.push(encoder.folded(&own, all));
            added.notes.push("merged, what the network of the prefix makes is a constant of the model".into());
        }
        let length = self.length;
        added.notes.push(format!(
            "{length} keys and values in front of those of {} attention(s) stay beside the model when it is exported",
            added.adapted.len()
        ));
        Ok(added)
    }
}

/// A network of all prefixes, its weights, and what it makes.
type Projected = (PrefixEncoder, Vec<ValueId>, ValueId);

impl PrefixTuning {
    /// Keys and values of an attention.
    fn draw(&self, model: &mut MethodModel<'_>, attention: &Attention, layer: &str) -> [ValueId; 2] {
        let [keys, values] = shapes(attention, self.length);
        [("prefix_keys", keys), ("prefix_values", values)].map(|(part, shape)| {
            let name = model.graph.free_name(&format!("{layer}.{part}"));
            let values = WeightRandom::new(model.seed, &name).normals(shape.iter().product(), self.standard_deviation);
            model.graph.constant(&name, Constant::f32(shape, &values))
        })
    }

    /// The network that makes those of all attentions.
    fn project(
        &self,
        model: &mut MethodModel<'_>,
        places: &[(&Attention, String)],
    ) -> Result<Projected, CompilerError> {
        let width = places.first().map_or(1, |(attention, _)| attention.query.linear.inputs);
        let made = places.iter().flat_map(|(attention, _)| numbers_of(attention)).sum();
        let hidden = self.hidden_size.unwrap_or(width);
        let encoder = PrefixEncoder { length: self.length, width, hidden, made };
        let bytes = encoder.numbers().saturating_mul(size_of::<f32>());
        if bytes > MOST_ENCODED {
            let message = format!(
                "a network with a hidden_size of {hidden} holds {bytes} bytes, at most {MOST_ENCODED}; take a smaller one"
            );
            return Err(CompilerError::setting("", message));
        }
        let (own, all) = encoder.add(model.graph, model.seed)?;
        Ok((encoder, own, all))
    }

    fn place(
        &self,
        model: &mut MethodModel<'_>,
        attention: &Attention,
        layer: &str,
        own: [ValueId; 2],
    ) -> Result<(), CompilerError> {
        let (base, graph, length) = (model.base, &mut *model.graph, self.length);
        let scores = base.nodes()[attention.node].input(0).expect("a softmax reads scores");
        let reads = |node: &crate::graph::Node| node.is("Softmax") && node.input(0) == Some(scores);
        let Some(at) = graph.nodes().iter().position(reads) else {
            return Err(CompilerError::setting("", "prefix_tuning goes into a model once; take a longer one"));
        };
        let shapes = shapes(attention, length);
        let part = |part: &str| format!("{layer}.{part}");

        let before = graph.nodes().len();
        let joined = graph.in_front_of(at, |graph| {
            let keys = for_queries(graph, own[0], shapes[0], attention.heads, &part("prefix_keys"))?;
            let made = graph.append("MatMul", &[attention.queries, keys], &[], &part("prefix_scores"))?;
            graph.append("Concat", &[made, scores], &[("axis", (-1).into())], &part("joined_scores"))
        })?;
        let at = at + graph.nodes().len() - before;
        graph.set_input(at, 0, joined);
        let mut weights = None;
        graph.replace_result(at, &part("joined_weights"), |graph, all| {
            // wider by the prefix than what it stands for
            graph.set_type(all, graph.tensor_type(joined).cloned());
            let mut numbers = |values: i64| graph.named_constant(&part("prefix_place"), Constant::i64([1], &[values]));
            let (zero, end, last, whole) = (numbers(0), numbers(length as i64), numbers(-1), numbers(i64::MAX));
            weights = Some(graph.append("Slice", &[all, zero, end, last], &[], &part("prefix_weights"))?);
            graph.append("Slice", &[all, end, whole, last], &[], &part("weights"))
        })?;
        let weights = weights.expect("just made");
        let makes = |node: &crate::graph::Node| node.outputs.first().copied().flatten() == Some(attention.mixed);
        let at = graph.nodes().iter().position(makes).expect("what heads give keeps its name");
        graph.replace_result(at, &part("base_heads"), |graph, mixed| {
            let values = for_queries(graph, own[1], shapes[1], attention.heads, &part("prefix_values"))?;
            let made = graph.append("MatMul", &[weights, values], &[], &part("prefix_heads"))?;
            graph.append("Add", &[mixed, made], &[], &part("heads"))
        })?;
        Ok(())
    }
}

/// Lengths of the axes of its keys and values.
fn shapes(attention: &Attention, length: usize) -> [[usize; 3]; 2] {
    let heads = attention.key_heads();
    [[heads, attention.head_size, length], [heads, length, attention.value_size()]]
}

/// Numbers of a key and of a value of all heads.
fn numbers_of(attention: &Attention) -> [usize; 2] {
    let heads = attention.key_heads();
    [heads * attention.head_size, heads * attention.value_size()]
}

/// The keys and values of an attention, of what a network makes for all.
fn part_of(
    graph: &mut Graph,
    (all, start): (ValueId, usize),
    attention: &Attention,
    layer: &str,
) -> Result<[ValueId; 2], CompilerError> {
    let makes = |node: &crate::graph::Node| node.outputs.first().copied().flatten() == Some(all);
    let behind = graph.nodes().iter().position(makes).map_or(0, |at| at + 1);
    let (heads, keys) = (attention.key_heads(), numbers_of(attention)[0]);
    let names = ["prefix_keys", "prefix_values"].map(|part| format!("{layer}.{part}"));
    let of_keys = [heads, attention.head_size];
    let of_values = [heads, attention.value_size()];
    Ok([
        keys_or_values_of(graph, (all, start), of_keys, true, (behind, &names[0]))?,
        keys_or_values_of(graph, (all, start + keys), of_values, false, (behind, &names[1]))?,
    ])
}

/// A layer of a constant that is trained.
fn trained(graph: &Graph, value: ValueId, beside: &str) -> Layer {
    let reader = graph.nodes().iter().enumerate().find_map(|(node, reader)| {
        let input = reader.inputs.iter().position(|input| *input == Some(value))?;
        Some((node, input, reader.operator.clone()))
    });
    let (node, input, operator) = reader.unwrap_or_default();
    let shape = graph.constant_of(value).map(|constant| constant.shape.clone()).unwrap_or_default();
    let weights = vec![Weight { value, shape, node, input }];
    let (name, beside) = (graph.name(value).to_owned(), Some(beside.to_owned()));
    Layer { name, operator, weights, learning_rate_multiplier: 1.0, beside }
}

/// Why no prefix can go into an attention.
fn fits(base: &Graph, attention: &Attention) -> Result<(), String> {
    let node = &base.nodes()[attention.node];
    if !node.is("Softmax") {
        return Err(format!("{} is one node", node.qualified_operator()));
    }
    let makes = |node: &&crate::graph::Node| node.outputs.first().copied().flatten() == Some(attention.mixed);
    if base.nodes().iter().find(makes).is_some_and(|node| node.is("Einsum")) {
        return Err("its values are weighed by an Einsum, whose axes stand in an order of its own".into());
    }
    let scores = node.input(0).and_then(|scores| base.tensor_type(scores));
    let queries = base.tensor_type(attention.queries);
    let (Some(scores), Some(queries)) = (scores, queries) else { return Err("its shapes are not known".into()) };
    match (queries.shape.as_slice(), scores.shape.as_slice()) {
        ([rows, heads, tokens, size], [of_rows, of_heads, of_tokens, _])
            if (rows, heads, tokens) == (of_rows, of_heads, of_tokens)
                && heads.fixed() == Some(attention.heads)
                && size.fixed() == Some(attention.head_size) =>
        {
            Ok(())
        }
        _ => Err(format!(
            "queries {} and scores {} are not both rows, heads and tokens",
            shown(queries.to_string()),
            shown(scores.to_string())
        )),
    }
}

/// A prefix of the keys' heads, repeated for the queries of each.
fn for_queries(
    graph: &mut Graph,
    own: ValueId,
    shape: [usize; 3],
    heads: usize,
    name: &str,
) -> Result<ValueId, CompilerError> {
    let [of_keys, a, b] = shape.map(|length| length as i64);
    let heads = heads as i64;
    if of_keys == heads {
        return Ok(own);
    }
    let numbers = |graph: &mut Graph, values: &[i64]| {
        graph.named_constant(&format!("{name}.shape"), Constant::i64([values.len()], values))
    };
    let (apart, wide, together) = (
        numbers(graph, &[of_keys, 1, a, b]),
        numbers(graph, &[of_keys, heads / of_keys, a, b]),
        numbers(graph, &[heads, a, b]),
    );
    let apart = graph.append("Reshape", &[own, apart], &[], &format!("{name}.apart"))?;
    let wide = graph.append("Expand", &[apart, wide], &[], &format!("{name}.repeated"))?;
    graph.append("Reshape", &[wide, together], &[], &format!("{name}.of_queries"))
}
