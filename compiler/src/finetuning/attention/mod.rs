//! Attention in a graph, and the linear layers around each by what they do: found by how values flow, not by names.

mod block;
mod columns;
mod feed_forward;
mod finder;
mod flow;
mod integer_product;
mod linear;

pub use block::{Attention, Attentions, LeftOut, Projection, Role};
pub use feed_forward::FeedForward;
pub use finder::find_attentions;
pub(crate) use linear::Edges;
pub use linear::Linear;

#[cfg(test)]
mod tests;
