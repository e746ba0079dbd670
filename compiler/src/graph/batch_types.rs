//! What batches hold of a model's inputs: 32-bit floats, 64-bit integers and bytes of pixels, whatever the model takes.

use std::ops::RangeInclusive;

use super::{ElementType, Graph, Node, TensorType};

/// Axes of a batch of images.
const IMAGE_AXES: usize = 4;

impl ElementType {
    /// What a batch holds of an input of these elements with so many axes, `None` where that is not known: floats are 32-bit ones, the
    /// integers of images bytes (but for those of 8 and 64 bits), and other integers and truth values 64-bit integers.
    pub(crate) fn in_batches(self, axes: Option<usize>) -> Self {
        match self {
            Self::F32 | Self::F64 | Self::F16 | Self::Bf16 => Self::F32,
            Self::U8 if axes.is_none() => Self::U8,
            // all of these hold 0 to 255
            Self::U8 | Self::I16 | Self::U16 | Self::I32 | Self::U32 | Self::U64 if axes == Some(IMAGE_AXES) => {
                Self::U8
            }
            _ => Self::I64,
        }
    }

    /// The least and the most that it holds of what 64-bit integers hold; nothing of floats.
    pub(crate) fn whole_numbers(self) -> Option<RangeInclusive<i64>> {
        Some(match self {
            Self::Bool => 0..=1,
            Self::I8 => i8::MIN.into()..=i8::MAX.into(),
            Self::I16 => i16::MIN.into()..=i16::MAX.into(),
            Self::I32 => i32::MIN.into()..=i32::MAX.into(),
            Self::I64 => i64::MIN..=i64::MAX,
            Self::U8 => 0..=u8::MAX.into(),
            Self::U16 => 0..=u16::MAX.into(),
            Self::U32 => 0..=u32::MAX.into(),
            Self::U64 => 0..=i64::MAX,
            Self::F32 | Self::F64 | Self::F16 | Self::Bf16 => return None,
        })
    }
}

impl Graph {
    /// Lets each input take what batches hold: where it is of another type, a `Cast` in front of all nodes makes that of what is
    /// given, under another name, and whatever read the input reads it. With `images`, integers of four axes are pixels. Graphs that
    /// are run are such; those that are exported are not.
    pub(crate) fn take_batches(&mut self, images: bool) {
        let mut casts = Vec::new();
        for at in 0..self.inputs.len() {
            let own = self.inputs[at];
            let value = &self.values[own.0 as usize];
            let (name, known) = (value.name.clone(), value.tensor_type.clone());
            let Some(dtype) = known.as_ref().map(|known| known.dtype).or(value.element_type) else { continue };
            let axes = known.as_ref().map(|known| if images { known.shape.len() } else { 0 });
            let given = dtype.in_batches(axes);
            if given == dtype {
                continue;
            }
            let inner = self.free_name(&format!("{name}.{}", dtype.name()));
            self.rename(own, &inner).expect("the name is free");
            let input = self.value(&name, known.map(|known| TensorType { dtype: given, ..known }));
            self.set_element_type(input, Some(given));
            self.inputs[at] = input;
            casts.push(Node {
                name: inner,
                operator: "Cast".into(),
                inputs: vec![Some(input)],
                outputs: vec![Some(own)],
                attributes: [("to".to_owned(), i64::from(dtype.to_onnx()).into())].into(),
                ..Node::default()
            });
        }
        if !casts.is_empty() {
            casts.append(&mut self.nodes);
            self.nodes = casts;
            self.note_makers(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Constant;
    use crate::operators::OperatorCatalog;

    #[test]
    fn batches_hold_three_types_and_inputs_say_which_of_their_numbers_fit() {
        use ElementType::{Bf16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        for (own, tokens, image, undeclared) in [
            (F32, F32, F32, F32),
            (F64, F32, F32, F32),
            (F16, F32, F32, F32),
            (Bf16, F32, F32, F32),
            (I64, I64, I64, I64),
            (I32, I64, U8, I64),
            (I16, I64, U8, I64),
            (I8, I64, I64, I64),
            (U8, I64, U8, U8),
            (U16, I64, U8, I64),
            (U32, I64, U8, I64),
            (U64, I64, U8, I64),
            (Bool, I64, I64, I64),
        ] {
            let found = [Some(2), Some(4), None].map(|axes| own.in_batches(axes));
            assert_eq!(found, [tokens, image, undeclared], "{own:?}");
            let numbers = own.whole_numbers();
            assert_eq!(numbers.is_none(), own.is_float(), "{own:?}");
            // pixels fit what they become
            assert!(image != U8 || numbers.is_some_and(|numbers| numbers.contains(&0) && numbers.contains(&255)));
        }
        assert_eq!(I32.whole_numbers(), Some(-2_147_483_648..=2_147_483_647));
    }

    #[test]
    fn an_input_of_int32_is_given_as_int64_and_read_as_before() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let table = graph.constant("table", Constant::f32([4, 2], &[0.5; 8]));
        let ids = graph.input("ids", TensorType::new(ElementType::I32, [3, 5]));
        let x = graph.input("x", TensorType::f32([3, 5, 2]));
        let words = graph.add("Gather", &[table, ids], &[]).unwrap();
        let y = graph.add("Add", &[words, x], &[]).unwrap();
        graph.set_outputs(&[y]);
        graph.take_batches(true);
        let inputs: Vec<String> = graph
            .inputs()
            .iter()
            .map(|input| format!("{} {}", graph.name(*input), graph.tensor_type(*input).unwrap()))
            .collect();
        assert_eq!(inputs, ["ids int64 [3, 5]", "x float32 [3, 5, 2]"]);
        assert_eq!((graph.name(ids), graph.nodes()[0].operator.as_str()), ("ids.int32", "Cast"));
        assert_eq!(graph.producer(ids).and_then(|node| node.input(0)), Some(graph.inputs()[0]));
        assert_eq!(graph.producer(words).and_then(|node| node.input(1)), Some(ids));
        let before = graph.to_onnx("twice");
        graph.take_batches(true);
        assert_eq!(graph.to_onnx("twice"), before);
    }
}
