//! Learned keys and values that every query sees.

use std::sync::Arc;

use millstream_schemas::choice::{Options, above};
use millstream_schemas::count;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapter_form::{AdapterForm, PromptForm, PromptRule, tensor};
use super::method_function::{Added, MethodFunction, MethodModel};
use super::method_kind::{Build, MethodKind};
use super::prefix::{
    Axes, CachedPrefix, Openings, PrefixEncoder, for_queries, is_written_out, numbers_of, part_of, place_in_node,
    prefixed_attentions, shapes, trained, write_out,
};
use crate::CompilerError;
use crate::adapter_files::AdapterMethod;
use crate::finetuning::attention::Attention;
use crate::graph::{Constant, ValueId};
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
        softmax. With `moves_places: true` it is as PEFT gives it to a model, so that PEFT's folders can be written: the tokens of the row move on by `length` \
        places, so that tables of places need as many more, keys are scaled as those of tokens, and rows are longer inside by virtual tokens whose keys and values \
        are those of the prefix, which costs their time in all layers; what reads rows as a whole, such as a pooler or a mean, reads the tokens of the data. The \
        prefix stays beside the model in the exported file. In an attention that is one node (`Attention` of opset 23) the keys and values stand in front of \
        those that it reads, and its mask is as much longer; where the node orders, counts or keeps keys itself (`is_causal`, earlier keys), and for \
        those of `com.microsoft` (`Attention`, `MultiHeadAttention`, `GroupQueryAttention`), it is written out in plain operators first, also in the exported \
        file, and what it hides of the keys of the row stays hidden. Also where products are written as \
        `Einsum` (XLNet): P_k is multiplied with the queries that keys are, and has no relative place; and where heads lie in the axis \
        of rows (DeBERTa), those of a row one behind the other. With `moves_places` in none of these.",
    samples: &[
        "{}",
        r#"{"length": 3, "standard_deviation": 0.5}"#,
        r#"{"length": 3, "projection": true, "hidden_size": 5}"#,
        r#"{"length": 2, "moves_places": true}"#,
    ],
    build: Build::of::<PrefixTuning>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PrefixTuning {
    /// Keys and values in each attention.
    #[schemars(range(min = 1, max = MOST_LENGTH))]
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
    /// Whether it is as PEFT's: the tokens of the row move on by `length` places, and keys are scaled.
    moves_places: bool,
}

impl Default for PrefixTuning {
    fn default() -> Self {
        Self { length: 20, standard_deviation: 0.02, projection: false, hidden_size: None, moves_places: false }
    }
}

impl PrefixTuning {
    /// As PEFT's, so long.
    pub(super) fn as_in_peft(length: usize) -> Self {
        Self { length, moves_places: true, ..Self::default() }
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
        let places = prefixed_attentions(model)?;
        if self.moves_places {
            return self.add_as_in_peft(model, &places);
        }
        let mut added = Added { is_apart: true, ..Added::default() };
        let written_out = places.iter().filter(|(attention, _)| is_written_out(model.base, attention)).count();
        if written_out > 0 {
            let attentions = count(written_out, "attention");
            added.notes.push(format!("written out in plain operators, since one node takes no prefix: {attentions}"));
        }
        added.file.refusal =
            Some("files of PEFT hold prefixes that move the places of tokens; train with `moves_places: true`".into());
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
            "{length} keys and values in front of those of {} stay beside the model when it is exported",
            count(added.adapted.len(), "attention")
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
    fn project(&self, model: &mut MethodModel<'_>, places: &[(Attention, String)]) -> Result<Projected, CompilerError> {
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

    /// Keys and values where a cache has them, in the form of PEFT's files: one matrix, for each layer a key and a value.
    fn add_as_in_peft(
        &self,
        model: &mut MethodModel<'_>,
        places: &[(Attention, String)],
    ) -> Result<Added, CompilerError> {
        let form = |attention: &Attention| {
            if !model.base.nodes()[attention.node].is("Softmax") {
                return Some("is one node,".to_owned());
            }
            match Axes::of(model.base, attention) {
                Ok(Axes::Apart) => None,
                Ok(Axes::Merged) => Some("has its heads in the axis of rows,".to_owned()),
                Ok(Axes::Named(_)) => Some("is written as `Einsum`, as in models without a cache of keys,".to_owned()),
                Err(problem) => Some(format!("is of another form ({problem}),")),
            }
        };
        if let Some((attention, is)) = places.iter().find_map(|(attention, _)| Some((attention, form(attention)?))) {
            let node = model.base.label(&model.base.nodes()[attention.node]);
            let message = format!(
                "the attention of `{node}` {is} which a prefix with `moves_places` does not go into; leave that out"
            );
            return Err(CompilerError::setting("", message));
        }
        let first = places.first().map(|(_, layer)| layer.clone()).unwrap_or_default();
        let made = self.projection.then(|| self.project(model, places)).transpose()?;
        let all = match &made {
            Some((_, _, all)) => *all,
            None => {
                let name = model.graph.free_name("prompt_embeddings");
                let width: usize = places.iter().flat_map(|(attention, _)| numbers_of(attention)).sum();
                let mut random = WeightRandom::new(model.seed, &name);
                let values = random.normals(self.length * width, self.standard_deviation);
                model.graph.constant(&name, Constant::f32([self.length, width], &values))
            }
        };
        let mut notes = CachedPrefix { attentions: places, length: self.length }.put(model, all)?;
        let (layers, folded, own, rule): (_, _, _, PromptRule) = match made {
            Some((encoder, own, all)) => {
                notes.push("merged, what the network of the prefix makes is a constant of the model".into());
                let folded = encoder.folded(&own, all);
                let in_file = folded.rule.clone();
                let rule: PromptRule = Arc::new(move |own: &[&Constant]| tensor(&in_file(own)));
                (encoder.layers(model.graph, &own, &first), vec![folded], own, rule)
            }
            None => {
                let rule: PromptRule = Arc::new(|own: &[&Constant]| tensor(own[0]));
                (vec![trained(model.graph, all, &first)], Vec::new(), vec![all], rule)
            }
        };
        let mut forms = places.iter().map(|(attention, _)| (attention.key_heads(), numbers_of(attention)));
        let form = forms.next().unwrap_or_default();
        let is_even = form.1[0] == form.1[1] && forms.all(|other| other == form);
        let refusal = (!is_even).then(|| "files of PEFT hold keys and values of one size in all layers".to_owned());
        let file = AdapterForm {
            method: Some(AdapterMethod::PrefixTuning { layers: places.len(), heads: form.0 }),
            prompt: Some(PromptForm { trained: own, rule }),
            refusal,
            ..AdapterForm::default()
        };
        let adapted = places.iter().map(|(_, layer)| layer.clone()).collect();
        Ok(Added { layers, folded, adapted, file, notes, is_apart: true, ..Added::default() })
    }

    fn place(
        &self,
        model: &mut MethodModel<'_>,
        attention: &Attention,
        layer: &str,
        own: [ValueId; 2],
    ) -> Result<(), CompilerError> {
        let (base, graph, length) = (model.base, &mut *model.graph, self.length);
        let node = &base.nodes()[attention.node];
        let openings = if node.is("Softmax") {
            let scores = node.input(0).expect("a softmax reads scores");
            let axes = Axes::of(base, attention).map_err(|problem| CompilerError::setting("", problem))?;
            Openings { queries: attention.queries, scores, mixed: attention.mixed, axes }
        } else if is_written_out(base, attention) {
            write_out(graph, attention, model.operators)?
        } else {
            return place_in_node(graph, attention, layer, own, length);
        };
        let Openings { queries, scores, mixed, axes } = openings;
        let reads = |node: &crate::graph::Node| node.is("Softmax") && node.input(0) == Some(scores);
        let Some(at) = graph.nodes().iter().position(reads) else {
            return Err(CompilerError::setting("", "prefix_tuning goes into a model once; take a longer one"));
        };
        let shapes = shapes(attention, length);
        // as heads of queries have them
        let for_heads = shapes.map(|[_, a, b]| [attention.heads, a, b]);
        let part = |part: &str| format!("{layer}.{part}");

        let before = graph.nodes().len();
        let joined = graph.in_front_of(at, |graph| {
            let keys = for_queries(graph, own[0], shapes[0], attention.heads, &part("prefix_keys"))?;
            let made = axes.scores(graph, (queries, keys), (scores, for_heads[0]), &part("prefix_scores"))?;
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
        let makes = |node: &crate::graph::Node| node.outputs.first().copied().flatten() == Some(mixed);
        let at = graph.nodes().iter().position(makes).expect("what heads give keeps its name");
        graph.replace_result(at, &part("base_heads"), |graph, mixed| {
            let values = for_queries(graph, own[1], shapes[1], attention.heads, &part("prefix_values"))?;
            let made = axes.heads(graph, (weights, values), (mixed, for_heads[1]), &part("prefix_heads"))?;
            graph.append("Add", &[mixed, made], &[], &part("heads"))
        })?;
        Ok(())
    }
}
