//! Trained vectors in the place of those of tokens, in every row.

use std::sync::Arc;

use millstream_schemas::choice::{Options, above};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapter_form::{PromptForm, PromptRule, tensor};
use super::method_function::{Added, MethodFunction, MethodModel};
use super::method_kind::{Build, MethodKind};
use super::prompts::{MOST_TOKENS, Place, Start, VirtualTokens, WordEmbeddings, note_of_padding, require_length};
use crate::CompilerError;
use crate::adapter_files::AdapterMethod;
use crate::finetuning::{Layer, Weight};
use crate::graph::{Constant, Node};
use crate::initializers::WeightRandom;

pub(super) const METHOD: MethodKind = MethodKind {
    name: "prompt_tuning",
    summary: "Virtual tokens in every row whose vectors are trained; the model's own weights stay frozen.",
    documentation: "B. Lester, R. Al-Rfou and N. Constant, \"The Power of Scale for Parameter-Efficient Prompt Tuning\" (2021): rows begin with \
        `length` virtual tokens, P `[length, width]` in the place of vectors from the table of embeddings. As in PEFT, masks have 1 for \
        them, kinds of tokens (`token_type_ids`) 0, and places are counted from the first of them, so that the tokens of the row move on by \
        `length`; a head that reads the first place, as a pooler of BERT does, reads the first virtual token, and a mean over tokens counts \
        them. `place: after_first` puts them behind the first token (`[CLS]`) instead. What the model gives for each token is cut \
        to those of the row. P begins as vectors of drawn tokens (`start: vocabulary`), of the tokens of a text, or normal (`random`, PEFT's \
        own start, with a standard deviation of 1). The first step is not that of the model itself. Rows need room: tables of places must \
        have `length` more than the longest row. The virtual tokens stay in the exported file. A table of bytes, \
        in front of a `DequantizeLinear` or behind it, stays as it is. Not where a file fixes the length \
        of rows inside, and once in a model.",
    samples: &[
        "{}",
        r#"{"length": 3, "start": "random", "standard_deviation": 0.5}"#,
        r#"{"length": 5, "start": {"tokens": [3, 1, 4]}, "place": "after_first"}"#,
    ],
    build: Build::of::<PromptTuning>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PromptTuning {
    /// Virtual tokens in each row.
    #[schemars(range(min = 1, max = MOST_TOKENS))]
    length: usize,
    /// What they begin as.
    start: Start,
    /// Standard deviation of `start: random`, above 0; 1 where it is not said.
    #[schemars(extend("exclusiveMinimum" = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    standard_deviation: Option<f64>,
    /// Where in a row they stand.
    place: Place,
    /// The model's input with the tokens, where several are looked up in tables of embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
}

impl Default for PromptTuning {
    fn default() -> Self {
        Self { length: 20, start: Start::default(), standard_deviation: None, place: Place::default(), input: None }
    }
}

impl PromptTuning {
    /// So many in front of each row.
    pub(super) fn of_length(length: usize) -> Self {
        Self { length, ..Self::default() }
    }
}

impl Options for PromptTuning {
    fn validate(&self) -> Result<(), String> {
        require_length(self.length)?;
        self.start.validate()?;
        match (self.standard_deviation, &self.start) {
            (None, _) => Ok(()),
            (Some(deviation), Start::Random) => above("standard_deviation", deviation),
            (Some(_), _) => Err("standard_deviation is that of `start: random`; leave it out, or start so".into()),
        }
    }
}

impl MethodFunction for PromptTuning {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let words = WordEmbeddings::find(model, self.input.as_deref())?;
        let name = model.graph.free_name("prompt_embeddings");
        let random = WeightRandom::new(model.seed, &name);
        let drawn = (self.length, self.standard_deviation.unwrap_or(1.0));
        let first = self.start.vectors(model.base, &words, drawn, model.tokens, random)?;
        let shape = vec![self.length, words.width];
        let value = model.graph.constant(&name, Constant::f32(shape.clone(), &first));
        let virtual_tokens = VirtualTokens { words: &words, count: self.length, place: self.place, seen_by: None };
        let notes = virtual_tokens.put(model, |_| Ok(value))?;
        let reads = |node: &Node| node.inputs.first() == Some(&Some(value));
        let node = model.graph.nodes().iter().position(reads).unwrap_or_default();
        let layer = Layer {
            name,
            operator: "Expand".into(),
            weights: vec![Weight { value, shape, node, input: 0 }],
            learning_rate_multiplier: 1.0,
            beside: Some(words.layer.clone()),
        };
        let rule: PromptRule = Arc::new(|trained: &[&Constant]| tensor(trained[0]));
        let prompt = PromptForm { trained: vec![value], rule };
        let mut file = self.place.in_files(AdapterMethod::PromptTuning, prompt);
        file.peft_notes.extend(note_of_padding(model.base, words.tokens));
        Ok(Added { layers: vec![layer], adapted: vec![words.layer], is_apart: true, file, notes, ..Added::default() })
    }

    fn text(&self) -> Option<&str> {
        match &self.start {
            Start::Text(text) => Some(text),
            _ => None,
        }
    }
}
