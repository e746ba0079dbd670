//! What two model files do not have in common, tensor by tensor.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::Model;
use super::aside::is_text;
use super::onnx::TensorProto;
use super::tensor::constant_of;
use crate::graph::{Constant, ElementType, bf16_to_f32, f16_to_f32};

/// What two model files do not have in common; nothing of it where they are the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelDifferences {
    /// Keys of the metadata with both values; none where a file does not have the key.
    pub metadata: Vec<(String, Option<String>, Option<String>)>,
    /// Tensors of one name, type and shape whose numbers or texts differ, in the order of the first file.
    pub tensors: Vec<TensorDifference>,
    /// Names of tensors that one file alone has, or that are of another type or shape there.
    pub others: Vec<String>,
    /// Whether the nodes, or the versions of their operators, are others.
    pub nodes: bool,
    /// Tensors that both have, the same ones included.
    pub compared: usize,
}

/// How far two tensors are from each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorDifference {
    /// Its name.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Its numbers, or texts.
    pub numbers: u64,
    /// Those that differ, in any bit.
    pub differing: u64,
    /// Whether it holds texts, which have no distance.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_text: bool,
    /// The largest distance; none where numbers differ that are not finite.
    pub largest: Option<f64>,
    /// That, divided by the largest number of the first tensor, where that is not 0.
    pub relative: Option<f64>,
}

impl ModelDifferences {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.metadata.is_empty() && self.tensors.is_empty() && self.others.is_empty() && !self.nodes
    }
}

impl Model {
    /// What this file and another do not have in common: metadata, tensors, nodes. Names of axes and other remarks are not looked at.
    pub fn differences(&self, other: &Self) -> ModelDifferences {
        let (graph, others) = (self.file_graph(), other.file_graph());
        let mut found = ModelDifferences {
            metadata: self.metadata_differences(other),
            nodes: graph.node != others.node || self.proto.opset_import != other.proto.opset_import,
            ..ModelDifferences::default()
        };
        let theirs: HashMap<&str, &TensorProto> =
            others.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
        for tensor in &graph.initializer {
            let other = theirs.get(tensor.name()).copied();
            let is_alike = |other: &&TensorProto| is_text(tensor) && is_text(other) && tensor.dims == other.dims;
            if let Some(other) = other.filter(is_alike) {
                found.compared += 1;
                found.tensors.extend(text_difference(tensor, other));
                continue;
            }
            let both = other.and_then(|other| constant_of(tensor).ok().zip(constant_of(other).ok()));
            match both.filter(|(one, other)| (one.dtype, &one.shape) == (other.dtype, &other.shape)) {
                None => found.others.push(tensor.name().to_owned()),
                Some((one, other)) => {
                    found.compared += 1;
                    if one.bytes != other.bytes {
                        found.tensors.push(difference(tensor.name(), &one, &other));
                    }
                }
            }
        }
        let ours: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
        let new = others.initializer.iter().filter(|tensor| !ours.contains(tensor.name()));
        found.others.extend(new.map(|tensor| tensor.name().to_owned()));
        found
    }

    fn metadata_differences(&self, other: &Self) -> Vec<(String, Option<String>, Option<String>)> {
        let of = |model: &Self| -> BTreeMap<String, String> {
            model.proto.metadata_props.iter().map(|entry| (entry.key().to_owned(), entry.value().to_owned())).collect()
        };
        let (one, other) = (of(self), of(other));
        let mut keys: Vec<&String> = one.keys().chain(other.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let both = keys.into_iter().map(|key| (key.clone(), one.get(key).cloned(), other.get(key).cloned()));
        both.filter(|(_, one, other)| one != other).collect()
    }
}

/// What two tensors of texts, as many in each, do not have in common; nothing where they are the same.
fn text_difference(one: &TensorProto, other: &TensorProto) -> Option<TensorDifference> {
    let pairs = one.string_data.iter().zip(&other.string_data);
    let differing = pairs.filter(|(one, other)| one != other).count();
    let left = one.string_data.len().abs_diff(other.string_data.len());
    (differing + left > 0).then(|| TensorDifference {
        name: one.name().to_owned(),
        shape: one.dims.iter().map(|length| usize::try_from(*length).unwrap_or(0)).collect(),
        numbers: one.string_data.len() as u64,
        differing: (differing + left) as u64,
        is_text: true,
        largest: None,
        relative: None,
    })
}

fn difference(name: &str, one: &Constant, other: &Constant) -> TensorDifference {
    let width = one.dtype.bytes().max(1);
    let pairs = one.bytes.chunks_exact(width).zip(other.bytes.chunks_exact(width));
    let (mut differing, mut largest, mut scale) = (0, Some(0.0_f64), 0.0_f64);
    for (one_bytes, other_bytes) in pairs {
        let number = value(one.dtype, one_bytes);
        if number.is_finite() {
            scale = scale.max(number.abs());
        }
        if one_bytes != other_bytes {
            differing += 1;
            let distance = (number - value(one.dtype, other_bytes)).abs();
            largest = largest.filter(|_| distance.is_finite()).map(|largest| largest.max(distance));
        }
    }
    TensorDifference {
        name: name.to_owned(),
        shape: one.shape.clone(),
        numbers: (one.bytes.len() / width) as u64,
        differing,
        is_text: false,
        largest,
        relative: largest.filter(|_| scale > 0.0).map(|largest| largest / scale),
    }
}

/// A number from its bytes, little-endian.
fn value(dtype: ElementType, bytes: &[u8]) -> f64 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let unsigned = u64::from_le_bytes(wide);
    let shift = 64 - 8 * bytes.len() as u32;
    match dtype {
        ElementType::F32 => f64::from(f32::from_bits(unsigned as u32)),
        ElementType::F64 => f64::from_bits(unsigned),
        ElementType::F16 => f64::from(f16_to_f32(unsigned as u16)),
        ElementType::Bf16 => f64::from(bf16_to_f32(unsigned as u16)),
        ElementType::I8 | ElementType::I16 | ElementType::I32 | ElementType::I64 => {
            (((unsigned << shift) as i64) >> shift) as f64
        }
        ElementType::U8 | ElementType::U16 | ElementType::U32 | ElementType::U64 | ElementType::Bool => unsigned as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_of_texts_are_compared_text_by_text() {
        use crate::handmade::{graph, model, node, value, weight};
        let file = |texts: &[&str], length: i64| {
            let labels = TensorProto {
                name: Some("labels".into()),
                dims: vec![length],
                data_type: Some(8),
                string_data: texts.iter().map(|text| text.as_bytes().to_vec().into()).collect(),
                ..TensorProto::default()
            };
            let nodes = vec![node("MatMul", &["x", "w"], &["y"])];
            model(graph(nodes, vec![weight("w", &[3, 2]), labels], vec![value("x", &[3])], vec![value("y", &[2])]))
        };
        let one = file(&["cat", "dog"], 2);
        let found = one.differences(&file(&["cat", "dog"], 2));
        assert_eq!((found.is_none(), found.compared), (true, 2));
        let found = one.differences(&file(&["cat", "hog"], 2));
        assert_eq!((found.compared, found.others.len(), found.tensors.len()), (2, 0, 1));
        let labels = &found.tensors[0];
        assert_eq!((labels.name.as_str(), labels.numbers, labels.differing), ("labels", 2, 1));
        assert_eq!((labels.is_text, labels.largest, labels.shape.as_slice()), (true, None, [2].as_slice()));
        // of another shape
        assert_eq!(one.differences(&file(&["cat"], 1)).others, ["labels"]);
    }

    #[test]
    fn numbers_that_differ_are_counted_with_their_distance() {
        let (one, other) = (Constant::f32([4], &[1.0, -2.0, 3.0, 0.0]), Constant::f32([4], &[1.0, -2.5, 3.0, -0.0]));
        let found = difference("w", &one, &other);
        // −0 and 0 are different bits, at no distance
        assert_eq!((found.numbers, found.differing, found.largest), (4, 2, Some(0.5)));
        assert_eq!(found.relative, Some(0.5 / 3.0));
        let broken = difference("w", &one, &Constant::f32([4], &[f32::NAN, -2.0, 3.0, 0.0]));
        assert_eq!((broken.differing, broken.largest, broken.relative), (1, None, None));
        let whole = difference("n", &Constant::i64([2], &[-3, 7]), &Constant::i64([2], &[-5, 7]));
        assert_eq!((whole.differing, whole.largest), (1, Some(2.0)));
    }
}
