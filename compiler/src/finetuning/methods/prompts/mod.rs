//! What methods with virtual tokens share: where a model looks its tokens up, how rows are lengthened, and what is trained in
//! front of them.

mod cut;
mod encoder;
mod filled_inputs;
mod folded_encoder;
mod last_token;
mod place;
mod pooled;
mod rounding;
mod start;
mod virtual_tokens;
mod word_embeddings;

pub(super) use encoder::{EncoderKind, Part, PromptEncoder};
pub(super) use folded_encoder::{Linear, wide};
pub(super) use last_token::note_of_padding;
pub(super) use place::Place;
pub(super) use start::Start;
pub(super) use virtual_tokens::VirtualTokens;
pub(super) use word_embeddings::WordEmbeddings;

/// More than any row has room for.
pub(super) const MOST_TOKENS: usize = 1 << 14;

/// Refuses a number of virtual tokens that makes no sense.
pub(super) fn require_length(length: usize) -> Result<(), String> {
    match length {
        0 => Err("length is 1 or more, got 0".into()),
        length if length > MOST_TOKENS => Err(format!("length is at most {MOST_TOKENS}, got {length}")),
        _ => Ok(()),
    }
}
