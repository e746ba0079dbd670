//! What `prefix_tuning` is made of: which attentions a prefix goes into and the keys and values of each (`parts`), the network that makes
//! them (`encoder`), and how they are put in. In front of a softmax by how the axes stand (`axes`): apart, as equations name them
//! (`einsum`), or with the heads in the axis of rows (`of_rows`). In an attention that is one node as keys and values that it reads
//! (`in_node`), or in front of its softmax once it is written out (`written_out`). Where a cache of keys would be, as in PEFT (`cached`).

mod axes;
mod cached;
mod einsum;
mod encoder;
mod in_node;
mod of_rows;
mod parts;
mod written_out;

pub(super) use axes::Axes;
pub(super) use cached::CachedPrefix;
pub(super) use encoder::PrefixEncoder;
pub(super) use in_node::place_in_node;
pub(super) use parts::{for_queries, is_written_out, numbers_of, part_of, prefixed_attentions, shapes, trained};
pub(super) use written_out::{Openings, write_out};
