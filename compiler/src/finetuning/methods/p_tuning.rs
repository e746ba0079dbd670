//! Virtual tokens that a small network makes of trained vectors.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapter_form::{PromptForm, PromptRule, tensor};
use super::method_function::{Added, FoldedValue, MethodFunction, MethodModel};
use super::method_kind::{Build, MethodKind};
use super::prompts::{
    EncoderKind, MOST_TOKENS, Place, PromptEncoder, VirtualTokens, WordEmbeddings, note_of_padding, require_length,
};
use crate::CompilerError;
use crate::adapter_files::AdapterMethod;
use crate::graph::Constant;
use crate::model_file::MOST_ENCODED;

pub(super) const METHOD: MethodKind = MethodKind {
    name: "p_tuning",
    summary: "Virtual tokens in every row that an encoder makes of trained vectors; the model's own weights stay frozen.",
    documentation: "X. Liu et al., \"GPT Understands, Too\" (2021, P-tuning), with the encoders of PEFT: E `[length, width]`, normal with a standard deviation \
        of 1, goes through `mlp`, linear, max(0, x), linear, max(0, x), linear, or through `lstm`, two LSTMs in both directions along the virtual \
        tokens, then linear, max(0, x), linear. `hidden_size` is the width of the model unless it is said; of an LSTM it is that of one \
        direction. Weights and biases are uniform in ±1/√inputs, of LSTMs in ±1/√`hidden_size`. What comes out stands in rows as that of \
        `prompt_tuning` does, which says how masks, places and heads follow. In the exported file it is a constant: the encoder is \
        computed once and left out, unless adapters are exported unmerged.",
    samples: &[
        "{}",
        r#"{"length": 3, "hidden_size": 5, "place": "after_first"}"#,
        r#"{"length": 4, "encoder": "lstm", "hidden_size": 3}"#,
    ],
    build: Build::of::<PTuning>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct PTuning {
    /// Virtual tokens in each row.
    #[schemars(range(min = 1, max = MOST_TOKENS))]
    length: usize,
    /// What makes them of trained vectors.
    encoder: EncoderKind,
    /// Numbers between the layers of the encoder, 1 or more.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden_size: Option<usize>,
    /// Where in a row they stand.
    place: Place,
    /// The model's input with the tokens, where several are looked up in tables of embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
}

impl Default for PTuning {
    fn default() -> Self {
        let (encoder, place) = (EncoderKind::default(), Place::default());
        Self { length: 20, encoder, hidden_size: None, place, input: None }
    }
}

impl Options for PTuning {
    fn validate(&self) -> Result<(), String> {
        require_length(self.length)?;
        match self.hidden_size {
            Some(0) => Err("hidden_size is 1 or more, got 0".into()),
            _ => Ok(()),
        }
    }
}

impl MethodFunction for PTuning {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let words = WordEmbeddings::find(model, self.input.as_deref())?;
        let hidden = self.hidden_size.unwrap_or(words.width);
        let encoder = PromptEncoder { kind: self.encoder, length: self.length, width: words.width, hidden };
        let bytes = encoder.numbers().saturating_mul(size_of::<f32>());
        if bytes > MOST_ENCODED {
            return Err(CompilerError::setting(
                "",
                format!(
                    "an encoder with a hidden_size of {hidden} holds {bytes} bytes, at most {MOST_ENCODED}; take a smaller one"
                ),
            ));
        }
        let (seed, mut own, mut made) = (model.seed, Vec::new(), None);
        let virtual_tokens = VirtualTokens { words: &words, count: self.length, place: self.place, seen_by: None };
        let mut notes = virtual_tokens.put(model, |graph| {
            own = encoder.draw(graph, seed);
            let value = encoder.nodes(graph, &own, "prompt_embeddings")?;
            made = Some(value);
            Ok(value)
        })?;
        notes.push("merged, what the encoder makes is a constant of the model".into());
        let rule = Arc::new(move |own: &[&Constant]| encoder.folded(own));
        let folded = made.map(|value| FoldedValue { value, trained: own.clone(), rule });
        let in_file: PromptRule = Arc::new(move |own: &[&Constant]| tensor(&encoder.folded(own)));
        let prompt = PromptForm { trained: own.clone(), rule: in_file };
        let mut file = self.place.in_files(AdapterMethod::PTuning, prompt);
        file.peft_notes.extend(note_of_padding(model.base, words.tokens));
        Ok(Added {
            file,
            layers: encoder.layers(model.graph, &own, &words.layer),
            folded: folded.into_iter().collect(),
            adapted: vec![words.layer],
            is_apart: true,
            notes,
            ..Added::default()
        })
    }
}
