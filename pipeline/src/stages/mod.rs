//! The stages of a stream: rows are fed in order, worked on by threads, collected into batches, handed out in order.

pub(crate) mod batches;
mod blocks;
pub(crate) mod damage;
pub(crate) mod feeder;
mod feeding;
pub(crate) mod reorder_buffer;
pub(crate) mod tensor_parts;
pub(crate) mod worker;
pub(crate) mod workers;
