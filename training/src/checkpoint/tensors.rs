//! Named `float32` tensors as safetensors bytes.

use std::borrow::Cow;

use safetensors::{Dtype, SafeTensors, View};

use super::fault::TensorsFault;

/// A tensor to write: name, shape, elements.
pub(super) type Named<'a> = (String, &'a [usize], &'a [f32]);

/// Writes tensors; names must differ.
pub(super) fn write(tensors: &[Named<'_>]) -> Result<Vec<u8>, TensorsFault> {
    for (name, shape, values) in tensors {
        if shape.iter().product::<usize>() != values.len() {
            let (name, shape) = (name.clone(), shape.to_vec());
            return Err(TensorsFault::Values { name, values: values.len(), shape });
        }
    }
    let views = tensors.iter().map(|(name, shape, values)| (name, Values { shape, values }));
    Ok(safetensors::serialize(views, None)?)
}

/// A tensor whose bytes are made when they are asked for, so that never all of them are there twice.
struct Values<'a> {
    shape: &'a [usize],
    values: &'a [f32],
}

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}

/// Reads tensors in the order in which they are asked for; each must be there with this shape, and no other.
pub(super) fn read(bytes: &[u8], wanted: &[(String, &[usize])]) -> Result<Vec<Vec<f32>>, TensorsFault> {
    let file = SafeTensors::deserialize(bytes)?;
    if file.len() != wanted.len() {
        return Err(TensorsFault::Count { wanted: wanted.len(), got: file.len() });
    }
    let read = |(name, shape): &(String, &[usize])| {
        let view = file.tensor(name).map_err(|reason| TensorsFault::Missing { name: name.clone(), reason })?;
        if view.dtype() != Dtype::F32 || view.shape() != *shape {
            let (name, dtype, got) = (name.clone(), view.dtype(), view.shape().to_vec());
            return Err(TensorsFault::Shape { name, dtype, got, wanted: shape.to_vec() });
        }
        let chunks = view.data().chunks_exact(4);
        Ok(chunks.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of 4"))).collect())
    };
    wanted.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_header(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; data]);
        bytes
    }

    #[test]
    fn tensors_come_back_to_the_bit() {
        let values = [1.0_f32, -0.0, f32::MIN_POSITIVE / 2.0, 3.4e38];
        let bytes = write(&[("b".into(), &[2, 2], &values), ("a".into(), &[], &values[..1])]).unwrap();
        let back = read(&bytes, &[("a".into(), &[]), ("b".into(), &[2, 2])]).unwrap();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&back[0]), bits(&back[1])), (bits(&values[..1]), bits(&values)));
    }

    #[test]
    fn hostile_headers_are_errors() {
        let rows = [
            ("empty", Vec::new()),
            ("header longer than the file", [u64::MAX.to_le_bytes().as_slice(), b"{}"].concat()),
            ("no JSON", with_header("{{{{", 4)),
            ("offsets outside", with_header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,400]}}"#, 4)),
            ("offsets backwards", with_header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4)),
            (
                "shape overflows",
                with_header(
                    r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}"#,
                    4,
                ),
            ),
            ("another type", with_header(r#"{"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}"#, 4)),
            ("another name", with_header(r#"{"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4)),
            ("another shape", with_header(r#"{"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}"#, 4)),
            ("a hole at the end", with_header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 8)),
        ];
        for (name, bytes) in rows {
            assert!(read(&bytes, &[("a".into(), &[1])]).is_err(), "{name}");
        }
    }
}
