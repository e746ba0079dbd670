use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::word_embeddings::WordEmbeddings;
use crate::CompilerError;
use crate::graph::Graph;
use crate::initializers::WeightRandom;

/// What virtual tokens begin as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Start {
    /// Normal, with `standard_deviation`.
    Random,
    /// Vectors of tokens that are drawn from the whole vocabulary.
    #[default]
    Vocabulary,
    /// Vectors of the tokens of a text, with those that the tokenizer of the data adds, cut or repeated to `length`.
    Text(#[schemars(length(min = 1))] String),
    /// Vectors of these tokens, cut or repeated to `length`.
    Tokens(#[schemars(length(min = 1), inner(range(min = 0)))] Vec<i64>),
}

impl Start {
    /// Refuses what holds nothing.
    pub(in super::super) fn validate(&self) -> Result<(), String> {
        match self {
            Self::Text(text) if text.trim().is_empty() => Err("start.text: there is no word in it".into()),
            Self::Tokens(tokens) if tokens.is_empty() => Err("start.tokens: no token; name one or more".into()),
            Self::Tokens(tokens) => match tokens.iter().find(|token| **token < 0) {
                Some(token) => Err(format!("start.tokens are 0 or more, got {token}")),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// So many vectors, one after another; `tokens` are those of the text.
    ///
    /// # Errors
    /// A token is none of the model's, or nobody knows the tokens of the text.
    pub(in super::super) fn vectors(
        &self,
        graph: &Graph,
        words: &WordEmbeddings,
        (length, deviation): (usize, f64),
        tokens: Option<&[i64]>,
        mut random: WeightRandom,
    ) -> Result<Vec<f32>, CompilerError> {
        let refuse = |message: String| Err(CompilerError::setting("", message));
        let drawn: Vec<i64>;
        let rows = match self {
            Self::Random => return Ok(random.normals(length * words.width, deviation)),
            Self::Vocabulary => {
                let share = |random: &mut WeightRandom| f64::midpoint(random.symmetric(), 1.0);
                let row = |_| ((share(&mut random) * words.rows as f64) as i64).min(words.rows as i64 - 1);
                drawn = (0..length).map(row).collect();
                &drawn
            }
            Self::Tokens(tokens) => tokens.as_slice(),
            Self::Text(text) => match tokens {
                Some([]) => return refuse(format!("start.text: the tokenizer makes no token of `{}`", shown(text))),
                Some(tokens) => tokens,
                None => {
                    return refuse(
                        "start.text: nobody has told its tokens; a recipe whose `data.inputs` have `token_ids` does, else say \
                         them by `start: {tokens: […]}`"
                            .into(),
                    );
                }
            },
        };
        let mut vectors = Vec::with_capacity(length * words.width);
        for token in rows.iter().cycle().take(length) {
            let at = usize::try_from(*token).ok().filter(|at| *at < words.rows);
            let Some(at) = at else {
                return refuse(format!(
                    "start: token {token} is none of the {} that `{}` has",
                    words.rows,
                    shown(&words.layer)
                ));
            };
            vectors.extend(words.vector(graph, at));
        }
        Ok(vectors)
    }
}
