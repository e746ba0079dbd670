use std::collections::HashMap;

use bytes::Bytes;

use crate::graph::{Attribute, Constant, ElementType, Graph, Node, ValueId, in_float_type};

/// The largest number of bfloat16.
const LARGEST_OF_BRAIN: f32 = 3.389_531_4e38;
/// The largest number of float16, and the least that it holds with all of its bits.
const LARGEST_OF_HALF: f32 = 65504.0;
const LEAST_OF_HALF: f32 = 6.103_515_6e-5;

/// Constants of 32 bits as they are in 16 bits, each once for all graphs.
#[derive(Default)]
pub(crate) struct NarrowConstants {
    /// By where the elements lie in memory, which graphs share.
    made: HashMap<(usize, usize), Bytes>,
}

impl NarrowConstants {
    /// The constant that a value is, in this format; nothing where it is none, or holds what the format cannot.
    pub(super) fn of(&mut self, graph: &Graph, format: ElementType, value: ValueId) -> Option<Constant> {
        let constant = graph.constant_of(value).filter(|constant| constant.dtype == ElementType::F32)?;
        let key = (constant.bytes.as_ptr().addr(), constant.bytes.len());
        let shape = constant.shape.clone();
        if let Some(bytes) = self.made.get(&key).filter(|_| !constant.bytes.is_empty()) {
            return Some(Constant { dtype: format, shape, bytes: bytes.clone() });
        }
        let made = in_float_type(constant, format).ok()?;
        self.made.insert(key, made.bytes.clone());
        Some(made)
    }

    /// Whether a value can be given in this format: any that is computed, and constants without a number beyond its range.
    pub(super) fn can_hold(&self, graph: &Graph, format: ElementType, value: ValueId) -> bool {
        let Some(constant) = graph.constant_of(value) else { return true };
        let key = (constant.bytes.as_ptr().addr(), constant.bytes.len());
        let largest = if format == ElementType::F16 { LARGEST_OF_HALF } else { LARGEST_OF_BRAIN };
        // large weights are not copied to be looked at
        let fits = |bytes: &[u8]| {
            let value = f32::from_le_bytes(bytes.try_into().expect("chunks of 4"));
            value.abs() <= largest || !value.is_finite()
        };
        let is_f32 = constant.dtype == ElementType::F32;
        self.made.contains_key(&key) || is_f32 && constant.bytes.chunks_exact(4).all(fits)
    }

    /// Whether all numbers of a constant keep the precision of the format: none is beyond its range or, of float16, next to 0.
    pub(super) fn is_in_range(constant: &Constant, format: ElementType) -> bool {
        let fits = |value: &f32| {
            let size = value.abs();
            match format {
                ElementType::F16 => size == 0.0 || (LEAST_OF_HALF..=LARGEST_OF_HALF).contains(&size),
                _ => size <= LARGEST_OF_BRAIN || !size.is_finite(),
            }
        };
        constant.to_f32().is_some_and(|values| values.iter().all(fits))
    }

    /// The number that a `ConstantOfShape` fills with, in this format.
    pub(super) fn filling(node: &Node, format: ElementType) -> Constant {
        let value = match node.attributes.get("value") {
            Some(Attribute::Tensor(value)) => value.to_f32().and_then(|values| values.first().copied()).unwrap_or(0.0),
            _ => 0.0,
        };
        Constant { shape: vec![1], ..Constant::number(format, value) }
    }
}
