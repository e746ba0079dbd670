//! Named tensors of floats or bytes as safetensors.

use std::borrow::Cow;

use safetensors::{Dtype, SafeTensors, View};

use super::fault::TensorsFault;
use crate::optimizers::{BYTES, FLOATS, StateValues};

/// A tensor to write: name, shape, elements.
pub(super) type Named<'a> = (String, &'a [usize], Elements<'a>);

/// Elements to write.
#[derive(Clone, Copy)]
pub(super) enum Elements<'a> {
    F32(&'a [f32]),
    U8(&'a [u8]),
}

impl Elements<'_> {
    fn len(self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }
}

impl<'a> From<&'a StateValues> for Elements<'a> {
    fn from(values: &'a StateValues) -> Self {
        match values {
            StateValues::F32(values) => Self::F32(values),
            StateValues::U8(values) => Self::U8(values),
        }
    }
}

/// Writes tensors; names must differ.
pub(super) fn write(tensors: &[Named<'_>]) -> Result<Vec<u8>, TensorsFault> {
    for (name, shape, values) in tensors {
        if shape.iter().product::<usize>() != values.len() {
            let (name, shape) = (name.clone(), shape.to_vec());
            return Err(TensorsFault::Values { name, values: values.len(), shape });
        }
    }
    let views = tensors.iter().map(|(name, shape, values)| (name, Values { shape, values: *values }));
    Ok(safetensors::serialize(views, None)?)
}

/// A tensor whose bytes are made when they are asked for, so that never all of them are there twice.
struct Values<'a> {
    shape: &'a [usize],
    values: Elements<'a>,
}

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        match self.values {
            Elements::F32(_) => Dtype::F32,
            Elements::U8(_) => Dtype::U8,
        }
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.values {
            Elements::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into(),
            Elements::U8(values) => values.into(),
        }
    }

    fn data_len(&self) -> usize {
        match self.values {
            Elements::F32(values) => size_of_val(values),
            Elements::U8(values) => values.len(),
        }
    }
}

/// Reads tensors of floats in the order in which they are asked for; each must be there with this shape, and no other.
pub(super) fn read(bytes: &[u8], wanted: &[(String, &[usize])]) -> Result<Vec<Vec<f32>>, TensorsFault> {
    let file = deserialized(bytes, wanted.len())?;
    wanted.iter().map(|(name, shape)| Ok(as_floats(data(&file, name, shape, Dtype::F32)?))).collect()
}

/// As [`read`], of tensors with a type each.
pub(super) fn read_state(bytes: &[u8], wanted: &[(String, &[usize], &str)]) -> Result<Vec<StateValues>, TensorsFault> {
    let file = deserialized(bytes, wanted.len())?;
    let read = |(name, shape, dtype): &(String, &[usize], &str)| match *dtype {
        FLOATS => Ok(StateValues::F32(as_floats(data(&file, name, shape, Dtype::F32)?))),
        BYTES => Ok(StateValues::U8(data(&file, name, shape, Dtype::U8)?.to_vec())),
        _ => Err(TensorsFault::Type { name: name.clone(), dtype: (*dtype).to_owned() }),
    };
    wanted.iter().map(read).collect()
}

fn deserialized(bytes: &[u8], wanted: usize) -> Result<SafeTensors<'_>, TensorsFault> {
    let file = SafeTensors::deserialize(bytes)?;
    if file.len() != wanted {
        return Err(TensorsFault::Count { wanted, got: file.len() });
    }
    Ok(file)
}

/// The bytes of a tensor, which must have this type and shape.
fn data<'a>(
    file: &SafeTensors<'a>,
    name: &str,
    shape: &[usize],
    wanted_dtype: Dtype,
) -> Result<&'a [u8], TensorsFault> {
    let view = file.tensor(name).map_err(|reason| TensorsFault::Missing { name: name.to_owned(), reason })?;
    if view.dtype() != wanted_dtype || view.shape() != shape {
        let (name, dtype, got) = (name.to_owned(), view.dtype(), view.shape().to_vec());
        return Err(TensorsFault::Shape { name, dtype, got, wanted_dtype, wanted: shape.to_vec() });
    }
    Ok(view.data())
}

fn as_floats(bytes: &[u8]) -> Vec<f32> {
    let chunks = bytes.chunks_exact(4);
    chunks.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of 4"))).collect()
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
        let (all, first) = (Elements::F32(&values), Elements::F32(&values[..1]));
        let bytes = write(&[("b".into(), &[2, 2], all), ("a".into(), &[], first)]).unwrap();
        let back = read(&bytes, &[("a".into(), &[]), ("b".into(), &[2, 2])]).unwrap();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&back[0]), bits(&back[1])), (bits(&values[..1]), bits(&values)));
    }

    #[test]
    fn state_of_floats_and_bytes_comes_back_and_another_type_is_an_error() {
        let state = [StateValues::U8(vec![0, 127, 255]), StateValues::F32(vec![-0.5])];
        let bytes = write(&[("codes".into(), &[3], (&state[0]).into()), ("scale".into(), &[1], (&state[1]).into())]);
        let bytes = bytes.unwrap();
        let read = |codes, scale| read_state(&bytes, &[("codes".into(), &[3], codes), ("scale".into(), &[1], scale)]);
        assert_eq!(read("uint8", "float32").unwrap(), state);
        assert!(matches!(read("float32", "float32"), Err(TensorsFault::Shape { .. })));
        assert!(matches!(read("uint8", "uint8"), Err(TensorsFault::Shape { .. })));
        assert!(matches!(read("uint8", "text"), Err(TensorsFault::Type { .. })));
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
