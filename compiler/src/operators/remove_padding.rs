use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, packed_rows, varied};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Length, Node, TensorType};

/// `com.microsoft.RemovePadding`, as ONNX Runtime's conversion to packing mode writes it: of rows `[rows, length, hidden]` padded behind
/// their tokens, the tokens alone, behind each other. Also where each of them, and then each of the padding, lay in the batch
/// `[rows, length]`; where each row begins `[rows + 1]`; the most tokens of a row `[1]`. How many tokens there are is known before
/// the run where those of each row are. As `Gather`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "RemovePadding",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(|node| {
        let found = counts(node.graph, &node.node).map_err(|message| node.error(message))?;
        let (counts, length) = found.ok_or_else(|| node.no_gradient(packed_rows::ADVICE))?;
        let whole = |shape: &[usize], values: &[i64]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| (*value as i32).to_le_bytes()).collect();
            Constant { dtype: ElementType::I32, shape: shape.to_vec(), bytes: bytes.into() }
        };
        let places =
            (0..counts.len() * length).partition::<Vec<usize>, _>(|at| ((at % length) as i64) < counts[at / length]);
        let offsets: Vec<i64> = [places.0, places.1].concat().into_iter().map(|at| at as i64).collect();
        let mut begins = vec![0];
        for count in &counts {
            begins.push(begins[begins.len() - 1] + count);
        }
        let most = counts.iter().copied().max().unwrap_or(0);
        let tokens = Length::number(begins[begins.len() - 1]);
        let x = node.input(0)?;
        let graph = &mut *node.graph;
        let offsets = graph.constant("offsets", whole(&[counts.len(), length], &offsets));
        let begins = graph.constant("begins", whole(&[begins.len()], &begins));
        let most = graph.constant("most", whole(&[1], &[most]));
        Ok(vec![packed_rows::packed(graph, x, offsets, &tokens)?, offsets, begins, most])
    }),
    samples: || {
        vec![
            Sample::new("two rows", vec![varied(&[2, 3, 4]), fixed(&[2], &[1, 3])], vec![]).with_outputs(4).since(16),
            Sample::new("no padding", vec![varied(&[2, 3, 4]), fixed(&[2], &[3, 3])], vec![]).with_outputs(4).since(16),
        ]
    },
};

/// No batch has more tokens and padding.
const MOST_PLACES: usize = 1 << 24;

/// Short integers.
pub(super) fn fixed(shape: &[usize], values: &[i32]) -> SampleInput {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    SampleInput::Fixed(Constant { dtype: ElementType::I32, shape: shape.to_vec(), bytes: bytes.into() })
}

/// The tokens of each row, and the length of a padded row, where they are known.
fn counts(graph: &Graph, node: &Node) -> Result<Option<(Vec<i64>, usize)>, String> {
    let of = |index: usize| node.input(index).ok_or_else(|| format!("input {index} is missing"));
    let (x, counts) = (of(0)?, of(1)?);
    let Some(counts) = graph.constant_of(counts).and_then(Constant::to_i64) else { return Ok(None) };
    let Some(shape) = graph.tensor_type(x).map(|known| known.shape.clone()) else { return Ok(None) };
    let [rows, length, _] = shape.as_slice() else { return Err(format!("an input {shape:?}, wanted three axes")) };
    let (Some(rows), Some(length)) = (rows.fixed(), length.fixed()) else {
        return Err(format!(
            "{counts:?} tokens of {rows} rows of {length}; export the model with fixed lengths for what is open"
        ));
    };
    if rows != counts.len() || length == 0 || counts.iter().any(|count| *count < 0 || *count > length as i64) {
        return Err(format!("{counts:?} tokens of {rows} rows of {length}"));
    }
    if rows.checked_mul(length).is_none_or(|places| places > MOST_PLACES) {
        return Err(format!("{rows} rows of {length} are too many places"));
    }
    Ok(Some((counts, length)))
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let [rows, length, hidden] = x.shape.as_slice() else { return Err(rule.error(format!("{x}, wanted three axes"))) };
    let known = counts(rule.graph, rule.node).map_err(|message| rule.error(message))?;
    let (counts, _) = known.ok_or_else(|| CompilerError::NotKnown {
        node: rule.graph.label(rule.node),
        operator: rule.node.operator.clone(),
        message: packed_rows::ADVICE.into(),
    })?;
    let whole = |shape: Vec<Length>| TensorType::new(ElementType::I32, shape);
    Ok(vec![
        TensorType::new(x.dtype, [Length::number(counts.iter().sum()), hidden.clone()]),
        whole(vec![rows.clone(), length.clone()]),
        whole(vec![rows + 1]),
        whole(vec![1.into()]),
    ])
}
