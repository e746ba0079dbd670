//! The tokens of the row's text, as what is to be learned.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{TensorRole, TensorSpec, count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use super::token_ids;
use super::tokenized_text::Token;
use crate::PipelineError;
use crate::sources::RowValues;

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "own_tokens",
    summary: "The tokens of the row's own text, as what is to be learned.",
    documentation: "One tensor of int64 `[batch, length]`, the tokens of the one input `token_ids`, as transforms and its options make them, and −100 where \
        that has padding: the target of `causal_language_modelling`, which compares each token's scores with the token behind it. With \
        `learn: second_text` the tokens in front of the second of two texts, a prompt, are −100 too, so that the answer alone is learned. \
        No column is read but those of the input.",
    samples: &["{}", r#"{"learn": "second_text"}"#],
    takes: &[],
    most_columns: 0,
    build: Build::of::<OwnTokens>(),
};

/// The number of tokens that are not to be learned.
const IGNORED: i64 = -100;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OwnTokens {
    /// Which tokens are to be learned.
    learn: Learned,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Learned {
    /// Each.
    #[default]
    All,
    /// From the first of the second text on.
    SecondText,
}

impl Options for OwnTokens {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl EncodingOptions for OwnTokens {
    fn open(&self, _: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        Ok(Arc::new(OwnTokenEncoder { options: *self }))
    }
}

#[derive(Debug)]
struct OwnTokenEncoder {
    options: OwnTokens,
}

fn no_tokens(reason: String) -> PipelineError {
    PipelineError::Option { option: "data.targets", reason }
}

impl Encoder for OwnTokenEncoder {
    fn columns(&self) -> &[String] {
        &[]
    }

    fn learned(&self) -> Json {
        json!({})
    }

    fn tensors(&self, name: &str, stream: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        self.tensors_beside(name, stream, &[])
    }

    fn tensors_beside(
        &self,
        name: &str,
        _: &StreamFacts<'_>,
        inputs: &[TensorSpec],
    ) -> Result<Vec<TensorSpec>, PipelineError> {
        let tokens: Vec<&TensorSpec> = inputs.iter().filter(|input| token_ids::are_tokens(input)).collect();
        let [tokens] = tokens.as_slice() else {
            let got = count(tokens.len(), "such input");
            return Err(no_tokens(format!("own_tokens are of one input that is `token_ids`, got {got}")));
        };
        Ok(vec![TensorSpec {
            name: name.into(),
            role: TensorRole::Target,
            padding: IGNORED,
            as_long_as: Some(tokens.name.clone()),
            ..(*tokens).clone()
        }])
    }

    fn encode(&self, _: RowValues<'_>, sample: &mut Sample<'_>, out: &mut [RowTensor<'_>]) -> Result<(), EncodeError> {
        let [RowTensor { values: RowElements::AnyLengthI64(values), .. }] = out else {
            unreachable!("as `tensors` says")
        };
        let Some(text) = sample.tokenized() else {
            let reason = "own_tokens are those of the row's text, and no input is `token_ids`".into();
            return Err(EncodeError::Fatal(no_tokens(reason)));
        };
        values.extend(learned(&text.tokens, self.options.learn));
        if values.iter().all(|token| *token == IGNORED) {
            sample.without_target();
        }
        Ok(())
    }

    fn view(&self) -> View {
        View::Text
    }

    fn follows_input(&self) -> bool {
        true
    }

    fn reads_tokens(&self) -> bool {
        true
    }
}

/// Of each token what is to be learned there.
fn learned(tokens: &[Token], learn: Learned) -> impl Iterator<Item = i64> {
    let first = match learn {
        Learned::All => 0,
        Learned::SecondText => tokens.iter().position(|token| token.text == Some(1)).unwrap_or(tokens.len()),
    };
    tokens.iter().enumerate().map(move |(place, token)| if place < first { IGNORED } else { token.id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_prompt_and_its_answer_the_answer_alone_is_learned() {
        let token = |(id, text)| Token { id, text, place: None };
        // [CLS] a b [SEP] c d [SEP]
        let pair = [(1, None), (7, Some(0)), (8, Some(0)), (2, None), (9, Some(1)), (7, Some(1)), (2, None)].map(token);
        let found = |tokens: &[Token], learn| learned(tokens, learn).collect::<Vec<_>>();
        assert_eq!(found(&pair, Learned::All), [1, 7, 8, 2, 9, 7, 2]);
        assert_eq!(found(&pair, Learned::SecondText), [-100, -100, -100, -100, 9, 7, 2]);
        // A prompt that was cut before its answer begins teaches nothing.
        assert_eq!(found(&pair[..4], Learned::SecondText), [-100; 4]);
    }
}
