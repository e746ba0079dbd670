//! Text as numbers of tokens, by the tokenizer that a model was trained with.

use std::path::PathBuf;
use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, Fingerprint, TensorSpec, count, grouped, shown, shown_up_to};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokenizers::{EncodeInput, Encoding, PostProcessor, Tokenizer, TruncationParams};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, ByHand, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use super::text::require_text_chain;
use super::tokenized_text::{Token, TokenPlace};
use crate::PipelineError;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "token_ids",
    summary: "Text as numbers of tokens, by the tokenizer that a model was trained with.",
    documentation: "Up to three tensors of int64 `[batch, length]`: the tokens under the name that the recipe gives, 1 for each token and 0 \
        for padding as `attention_mask`, and 0 or 1 for the first and second text as `token_type_ids`; the last two only where \
        the model takes inputs of those names, or of others that the options say, as where two inputs are texts by themselves. One column, or two whose texts become a pair. `tokenizer` is a `tokenizer.json` of the \
        `tokenizers` library, whose own truncation and padding are left aside: texts are cut to `max_length` tokens, special \
        ones included, which must be fewer (of a pair, the longer text first), and rows are padded to the longest of their batch. Transforms act on the text before \
        it is tokenized. Null is a damaged row.",
    samples: &[
        r#"{"tokenizer": "tokenizer.json"}"#,
        r#"{"tokenizer": "tokenizer.json", "max_length": 64, "pad_to_multiple_of": 1, "column": ["question", "answer"]}"#,
    ],
    takes: &[Holds::Text],
    most_columns: 2,
    build: Build::of::<TokenIds>(),
};

/// The longest texts that are taken for meant.
const LONGEST: usize = 1 << 20;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenIds {
    /// The tokenizer's file, `tokenizer.json`.
    #[schemars(extend("format" = "path"))]
    tokenizer: PathBuf,
    /// The most tokens of a row, special ones included.
    #[serde(default = "max_length")]
    #[schemars(range(min = 1, max = LONGEST))]
    max_length: usize,
    /// Batches are as long as their longest row, rounded up to a multiple of this, at most `max_length`.
    #[serde(default = "pad_to_multiple_of")]
    #[schemars(range(min = 1))]
    pad_to_multiple_of: usize,
    /// Add the special tokens that the tokenizer's file asks for.
    #[serde(default = "yes")]
    special_tokens: bool,
    /// The model's input that says which places are tokens.
    #[serde(default = "mask")]
    attention_mask: String,
    /// The model's input that says which text a token is of.
    #[serde(default = "types")]
    token_type_ids: String,
}

fn max_length() -> usize {
    128
}
fn pad_to_multiple_of() -> usize {
    8
}
fn yes() -> bool {
    true
}
fn mask() -> String {
    "attention_mask".into()
}
fn types() -> String {
    "token_type_ids".into()
}

impl Options for TokenIds {
    fn validate(&self) -> Result<(), String> {
        match (self.max_length, self.pad_to_multiple_of) {
            (0, _) => Err("max_length is 1 or more, got 0".into()),
            (longest, _) if longest > LONGEST => Err(format!("max_length is at most {LONGEST}, got {longest}")),
            (_, 0) => Err("pad_to_multiple_of is 1 or more, got 0".into()),
            _ if self.attention_mask == self.token_type_ids => {
                Err(format!("attention_mask and token_type_ids are both `{}`", shown(&self.attention_mask)))
            }
            _ => Ok(()),
        }
    }
}

impl EncodingOptions for TokenIds {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        let text = std::fs::read(&self.tokenizer)
            .map_err(|source| PipelineError::Io { path: self.tokenizer.clone(), source })?;
        let tokenizer = self.read_tokenizer(&text, source.columns.len() > 1)?;
        let padding = padding_token(&text, &tokenizer);
        Ok(Arc::new(TokenEncoder {
            columns: source.columns.to_vec(),
            tokenizer,
            fingerprint: Fingerprint::of_bytes(&text),
            padding,
            options: self.clone(),
            tensors: source.inputs.to_vec(),
        }))
    }

    fn by_hand(&self, columns: &[String], learned: &Json) -> ByHand {
        let file = self.tokenizer.file_name().unwrap_or_default().to_string_lossy();
        let hash = learned.get("tokenizer").and_then(Json::as_str);
        let hash = hash.map_or_else(String::new, |hash| format!(" (SHA-256 {})", shown(hash)));
        let texts = match columns.len() {
            0 | 1 => "The text".to_owned(),
            _ => format!("The texts of {}, as a pair", columns.iter().map(shown).collect::<Vec<_>>().join(" and ")),
        };
        let special = match self.special_tokens {
            true => "with the special tokens that the file asks for",
            false => "without special tokens",
        };
        let longest = grouped(self.max_length as u64);
        let said = vec![
            format!(
                "{texts} as numbers of tokens, by the tokenizer in the file {}{hash} for the library `tokenizers`, {special}; its own \
                 truncation and padding are left aside.",
                shown(file)
            ),
            format!(
                "At most {longest} tokens, special ones included; longer texts are cut at the end, of a pair the longer text first. Rows \
                 are filled up with the tokenizer's padding token to the longest of their batch, and its length to a multiple of {}, up to \
                 {longest}.",
                self.pad_to_multiple_of
            ),
            format!(
                "Where the model takes them, `{}` has 1 for each token and 0 for padding, and `{}` has 0 for tokens of the first text and 1 \
                 for those of the second.",
                shown(&self.attention_mask),
                shown(&self.token_type_ids)
            ),
            "A row without a text is none that the model can take.".into(),
        ];
        ByHand { said, places: Vec::new() }
    }
}

impl TokenIds {
    /// The tokenizer of the file's text, which cuts texts, or pairs of them, as these options say.
    fn read_tokenizer(&self, text: &[u8], is_pair: bool) -> Result<Tokenizer, PipelineError> {
        let refused = |reason: String| PipelineError::Entry { path: self.tokenizer.clone(), reason };
        let mut tokenizer = Tokenizer::from_bytes(text).map_err(|error| {
            refused(format!(
                "no tokenizer that can be read (wanted a `tokenizer.json`): {}",
                shown_up_to(error.to_string(), 200)
            ))
        })?;
        let longest = self.max_length;
        let added = |is_pair| tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(is_pair));
        let (special, of_one) = (added(is_pair), added(false));
        if self.special_tokens && special >= longest {
            let each = if is_pair { "pair of texts" } else { "text" };
            let reason = format!(
                "it is {longest}, and the tokenizer adds {} to each {each}, so that no other would be left; raise it, or leave them \
                 out by `special_tokens: false`",
                count(special, "special token")
            );
            return Err(PipelineError::Option { option: "max_length", reason });
        }
        // The library takes the special tokens of one text away from the length, whether they are added or not.
        let truncation = TruncationParams { max_length: longest.saturating_add(of_one), ..TruncationParams::default() };
        tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(|error| {
            refused(format!("texts cannot be cut to {longest} tokens: {}", shown_up_to(error.to_string(), 200)))
        })?;
        if let Some(truncation) = tokenizer.get_truncation_mut() {
            truncation.max_length = longest;
        }
        Ok(tokenizer)
    }
}

#[derive(Debug)]
struct TokenEncoder {
    columns: Vec<String>,
    tokenizer: Tokenizer,
    /// Of the tokenizer's file.
    fingerprint: Fingerprint,
    padding: i64,
    options: TokenIds,
    /// The inputs that the model takes; empty where any are taken.
    tensors: Vec<String>,
}

/// Whether a tensor is the one with the tokens.
pub(super) fn are_tokens(spec: &TensorSpec) -> bool {
    spec.element_type == ElementType::I64 && spec.shape == [None] && spec.as_long_as.is_none()
}

/// What is told of tokens beside their numbers.
#[derive(Clone, Copy)]
enum Beside {
    Mask,
    Types,
}

/// The token that rows are filled up with: the one that the file pads with, or else the one that is called so.
fn padding_token(text: &[u8], tokenizer: &Tokenizer) -> i64 {
    let file: Json = serde_json::from_slice(text).unwrap_or_default();
    let stated = file.pointer("/padding/pad_id").and_then(Json::as_i64);
    let called = ["[PAD]", "<pad>", "<|endoftext|>"].iter().find_map(|name| tokenizer.token_to_id(name));
    stated.or(called.map(i64::from)).unwrap_or(0)
}

/// What targets are told of the tokens.
fn tokens(encoded: &Encoding) -> Vec<Token> {
    let texts = encoded.get_special_tokens_mask().iter().zip(encoded.get_sequence_ids());
    let texts = texts.map(|(special, text)| text.filter(|_| *special == 0));
    let places = encoded.get_offsets().iter().zip(encoded.get_word_ids());
    let place =
        |((start, end), word): (&(usize, usize), &Option<u32>)| TokenPlace { characters: *start..*end, word: *word };
    let tokens = encoded.get_ids().iter().zip(texts).zip(places);
    let token = |((id, text), found): ((&u32, Option<usize>), _)| {
        let place = (text == Some(0)).then(|| place(found));
        Token { id: i64::from(*id), text, place }
    };
    tokens.map(token).collect()
}

impl TokenEncoder {
    /// Which of mask and types are made, and their names.
    fn others(&self) -> impl Iterator<Item = (Beside, &str)> {
        let names =
            [(Beside::Mask, &*self.options.attention_mask), (Beside::Types, &*self.options.token_type_ids)].into_iter();
        names.filter(|(_, name)| self.tensors.is_empty() || self.tensors.iter().any(|tensor| tensor == name))
    }
}

impl Encoder for TokenEncoder {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn learned(&self) -> Json {
        json!({ "tokenizer": self.fingerprint })
    }

    fn vocabulary(&self) -> Option<usize> {
        self.tokenizer.get_vocab(true).into_values().max().map(|largest| largest as usize + 1)
    }

    fn tensors(&self, name: &str, stream: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        require_text_chain(stream)?;
        let tokens = TensorSpec {
            shape: vec![None],
            most_elements: self.options.max_length,
            padding: self.padding,
            multiple_of: self.options.pad_to_multiple_of,
            ..TensorSpec::fixed(name, ElementType::I64, &[])
        };
        let beside = |(_, other): (Beside, &str)| TensorSpec {
            name: other.into(),
            padding: 0,
            as_long_as: Some(name.into()),
            ..tokens.clone()
        };
        Ok(std::iter::once(tokens.clone()).chain(self.others().map(beside)).collect())
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let mut texts = Vec::with_capacity(row.len());
        for column in 0..row.len() {
            let Value::Text(text) = row.get(column) else { return Err(Damage::NullInput.into()) };
            texts.push(match column {
                0 => sample.text_of_tokens(text)?,
                part => sample.text(text, part as u64)?,
            });
        }
        let input = match <[String; 2]>::try_from(texts) {
            Ok([first, second]) => EncodeInput::Dual(first.into(), second.into()),
            Err(mut texts) => EncodeInput::Single(texts.pop().unwrap_or_default().into()),
        };
        let encoded = match sample.tokens_are_read() {
            true => self.tokenizer.encode_char_offsets(input, self.options.special_tokens),
            false => self.tokenizer.encode_fast(input, self.options.special_tokens),
        };
        let encoded = encoded.map_err(|error| Damage::Value {
            column: shown(self.columns.join(", ")),
            reason: format!("cannot be tokenized: {}", shown_up_to(error.to_string(), 200)),
        })?;
        if encoded.is_empty() {
            let reason = "has no token".into();
            return Err(Damage::Value { column: shown(self.columns.join(", ")), reason }.into());
        }
        if sample.tokens_are_read() {
            sample.set_tokens(tokens(&encoded));
        }
        let others = self.others().map(|(beside, _)| match beside {
            Beside::Mask => encoded.get_attention_mask(),
            Beside::Types => encoded.get_type_ids(),
        });
        for (from, tensor) in std::iter::once(encoded.get_ids()).chain(others).zip(out) {
            let RowElements::AnyLengthI64(values) = &mut tensor.values else { unreachable!("as `tensors` says") };
            values.extend(from.iter().map(|value| i64::from(*value)));
        }
        Ok(())
    }

    fn makes_tokens(&self) -> bool {
        true
    }

    fn tokens(&self, text: &str) -> Result<Option<Vec<i64>>, String> {
        let encoded = self.tokenizer.encode_fast(text, self.options.special_tokens);
        let encoded = encoded.map_err(|error| shown_up_to(error.to_string(), 200))?;
        Ok(Some(encoded.get_ids().iter().map(|token| i64::from(*token)).collect()))
    }

    fn measures(&self) -> bool {
        true
    }

    fn length(&self, row: RowValues<'_>) -> Option<u32> {
        let text = |column| if let Value::Text(text) = row.get(column) { text } else { "" };
        let input = match row.len() {
            2 => EncodeInput::Dual(text(0).into(), text(1).into()),
            _ => EncodeInput::Single(text(0).into()),
        };
        let encoded = self.tokenizer.encode_fast(input, self.options.special_tokens);
        encoded.ok().map(|encoded| encoded.len() as u32)
    }

    fn view(&self) -> View {
        View::Text
    }
}
