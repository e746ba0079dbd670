//! Squares of pixels that become channels, and channels that become squares of pixels.

use crate::CompilerError;
use crate::graph::{Length, Node};
use crate::operators::TypeRuleInput;

/// Larger blocks cannot be real, and their squares would overflow.
const LARGEST: i64 = 1 << 15;

/// The side of a block.
pub(crate) fn size_of(node: &Node) -> Result<usize, String> {
    let size = node.int("blocksize").ok_or("no attribute `blocksize`")?;
    if (1..LARGEST).contains(&size) { Ok(size as usize) } else { Err(format!("a blocksize of {size}")) }
}

/// The side of a block.
pub(crate) fn size(rule: &TypeRuleInput<'_>) -> Result<usize, CompilerError> {
    size_of(rule.node).map_err(|message| rule.error(message))
}

/// The lengths `[N, C, H, W]` of the input.
pub(crate) fn image(rule: &TypeRuleInput<'_>) -> Result<[Length; 4], CompilerError> {
    let x = rule.input(0)?;
    let lengths = <[Length; 4]>::try_from(x.shape.clone());
    lengths.map_err(|_| rule.error(format!("{x} has no axes batch, channels, rows and columns")))
}

/// Why a length is not cut into blocks.
pub(crate) fn misfit(rule: &TypeRuleInput<'_>, length: &Length, by: usize) -> CompilerError {
    let advice =
        if length.as_number().is_none() { "; export the model with fixed lengths for what is open" } else { "" };
    rule.error(format!("a length of {length} is no multiple of {by}{advice}"))
}
