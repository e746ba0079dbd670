use millstream_schemas::shown;

use super::place::Place;
use super::word_embeddings::WordEmbeddings;
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Length, TensorType, ValueId};
use crate::model_file::InputKind;

/// What an input that is as long as the tokens has at virtual ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Filling {
    /// A token.
    Token(i64),
    /// One number: masks have 1, kinds of tokens 0.
    Number(u8),
    /// Places: those of virtual tokens are counted, the others are moved on.
    Places,
}

/// All inputs that are as long as the tokens, these first.
///
/// # Errors
/// It cannot be told what one of them is for, or where in it virtual tokens are.
pub(super) fn filled_inputs(base: &Graph, words: &WordEmbeddings) -> Result<Vec<(ValueId, Filling)>, CompilerError> {
    let tokens = base.known_type(words.tokens)?;
    let [_, sequence] = tokens.shape.as_slice() else {
        return Err(CompilerError::setting(
            "",
            format!(
                "virtual tokens go into rows of tokens, `[batch, sequence]`, and input `{}` is {}",
                shown(base.name(words.tokens)),
                shown(tokens.to_string())
            ),
        ));
    };
    let mut filled = vec![(words.tokens, Filling::Token(words.filler(base)))];
    for input in base.inputs().iter().filter(|input| **input != words.tokens) {
        let name = base.name(*input);
        let refuse = |message: &str| {
            let of =
                base.tensor_type(*input).map_or_else(String::new, |known| format!(" ({})", shown(known.to_string())));
            let message = format!("virtual tokens lengthen all rows: input `{}`{of} {message}", shown(name));
            Err(CompilerError::setting("", message))
        };
        let kind = InputKind::of_name(name);
        let Some(known) = base.tensor_type(*input) else {
            match kind {
                None => continue,
                Some(_) => return refuse("has no declared shape; export the model with the shapes of its inputs"),
            }
        };
        match (kind, known.shape.as_slice()) {
            (Some(InputKind::Mask), _) if InputKind::may_mark_padding(name) => {
                return refuse(
                    "may hold 1 for padding, and virtual tokens are none; export the model with an `attention_mask`, 1 for \
                     each token",
                );
            }
            (Some(kind), [_, length]) if is_as_long(length, sequence) => filled.push((*input, Filling::of(kind))),
            (_, [_]) if InputKind::may_be_lengths(name) && !known.dtype.is_float() => {
                return refuse("may hold the lengths of rows; export the model with an `attention_mask` in its place");
            }
            _ if has_axis(known, sequence) => {
                return refuse(
                    "is as long as the tokens, and it cannot be told what it has at virtual ones: `[batch, sequence]` named \
                     with `mask`, with `type` or `segment`, or with `position` is understood; export the model so, or use \
                     another method",
                );
            }
            _ => {}
        }
    }
    Ok(filled)
}

/// Whether axes that a file gives two names, or one, have one length.
fn is_as_long(length: &Length, sequence: &Length) -> bool {
    length == sequence || length.as_number().is_none() && sequence.as_number().is_none()
}

/// Whether one of the axes behind the first has the length of rows. A number may be that of something else, unless it counts
/// places in rows of integers.
fn has_axis(known: &TensorType, sequence: &Length) -> bool {
    let is_named = sequence.as_number().is_none();
    let may_be_rows = is_named || known.shape.len() == 2 && !known.dtype.is_float();
    may_be_rows && known.shape.iter().skip(1).any(|length| length == sequence)
}

impl Filling {
    fn of(kind: InputKind) -> Self {
        match kind {
            InputKind::Kinds => Self::Number(0),
            InputKind::Mask => Self::Number(1),
            InputKind::Places => Self::Places,
        }
    }

    /// An input with virtual tokens in it; `places` holds the lengths of what is put in, `[batch, count]`.
    pub(super) fn put(
        self,
        graph: &mut Graph,
        input: ValueId,
        (place, count, places): (Place, usize, ValueId),
    ) -> Result<ValueId, CompilerError> {
        let name = graph.name(input).to_owned();
        let part = |part: &str| format!("{name}.{part}");
        let dtype = graph.known_type(input)?.dtype;
        let (before, mut rest) = place.parts(graph, input, (0, 1), &name)?;
        let own = match self {
            Self::Token(token) => number(graph, dtype, &[token], &part("virtual"))?,
            Self::Number(value) => graph.named_constant(&part("virtual"), Constant::number(dtype, value.into())),
            Self::Places => {
                let moved = number(graph, dtype, &[count as i64], &part("moved_by"))?;
                rest = graph.append("Add", &[rest, moved], &[], &part("moved"))?;
                let first = place.tokens_before() as i64;
                let all: Vec<i64> = (first..first + count as i64).collect();
                number(graph, dtype, &all, &part("virtual"))?
            }
        };
        let own = graph.append("Expand", &[own, places], &[], &part("of_rows"))?;
        let parts: Vec<ValueId> = before.into_iter().chain([own, rest]).collect();
        graph.append("Concat", &parts, &[("axis", 1.into())], &part("lengthened"))
    }
}

/// Whole numbers `[1, count]` of an input's type.
fn number(graph: &mut Graph, dtype: ElementType, values: &[i64], name: &str) -> Result<ValueId, CompilerError> {
    let own = graph.named_constant(name, Constant::i64([1, values.len()], values));
    match dtype {
        ElementType::I64 => Ok(own),
        other => graph.append("Cast", &[own], &[("to", i64::from(other.to_onnx()).into())], &format!("{name}.cast")),
    }
}
