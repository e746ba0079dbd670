use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_integers, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Constant, ElementType, Graph, Length, TensorType, ValueId};

/// `com.microsoft.RelativePositionBias` (T5: Raffel 2019), as ONNX Runtime's optimizer writes it for CUDA: a bias of scores
/// `[1, heads, queries, keys]`, of each head one for a bucket of distances. Near distances have buckets of their own, far ones share them
/// by their logarithm. The table is stated as `[buckets, heads]`, and its numbers are those of `[heads, buckets]`.
/// As sums, a logarithm and `Gather`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "RelativePositionBias",
    opsets: 1..=1,
    weights: &[0],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let inputs = |length: i64| vec![varied(&[8, 2]), fixed_integers(&[length]), fixed_integers(&[length])];
        let far = || ("max_distance", 9.into());
        vec![
            Sample::new("both ways", inputs(12), vec![far(), ("is_bidirectional", 1.into())]).since(16),
            Sample::new("backwards", inputs(12), vec![far()]).since(16),
        ]
    },
};

/// Number of queries or of keys.
fn count(lengths: &[Length]) -> Option<Length> {
    if let [only] = lengths { Some(only.clone()) } else { None }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let table = rule.input(0)?;
    let [_, heads] = table.shape.as_slice() else { return Err(rule.error(format!("a table {table}"))) };
    let counts = [1, 2].map(|index| {
        let lengths = rule.known_lengths(index)?;
        count(&lengths).ok_or_else(|| rule.error(format!("input {index} holds {} lengths", lengths.len())))
    });
    let [queries, keys] = counts;
    Ok(vec![TensorType::new(table.dtype, [1.into(), heads.clone(), queries?, keys?])])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let of = |index: usize| node.node.input(index).and_then(|id| node.graph.lengths_of(id)).and_then(|all| count(&all));
    let (Some(queries), Some(keys)) = (of(1), of(2)) else {
        return Err(node.no_gradient("its lengths are computed from data"));
    };
    let table = node.input(0)?;
    let [buckets, heads] = [0, 1].map(|axis| node.graph.shape(table).map(|shape| shape[axis].clone()));
    let (buckets, heads) = (buckets?, heads?);
    let number = buckets.fixed().filter(|count| (2..1 << 16).contains(count));
    let number = number.ok_or_else(|| {
        node.no_gradient(format!("a table of {buckets} buckets; export the model with fixed lengths for what is open"))
    })?;
    let both = node.node.int("is_bidirectional").unwrap_or(0) != 0;
    let of_a_side = if both { number / 2 } else { number } as i64;
    let near = of_a_side / 2;
    let farthest = node.node.int("max_distance").unwrap_or(128);
    if near == 0 || farthest <= near {
        return Err(node.error(format!("max_distance {farthest} of {number} buckets")));
    }
    let graph = &mut *node.graph;
    let whole = |graph: &mut Graph, number: i64| graph.constant("whole", Constant::i64([], &[number]));
    let rows = graph.positions(&queries)?;
    let rows = graph.reshape(rows, &[queries.clone(), 1.into()])?;
    let columns = graph.positions(&keys)?;
    let behind = graph.minus(columns, rows)?;
    let zero = whole(graph, 0);
    let (distance, side) = if both {
        let is_behind = graph.add("Greater", &[behind, zero], &[])?;
        let side = whole(graph, of_a_side);
        (graph.add("Abs", &[behind], &[])?, Some(graph.add("Where", &[is_behind, side, zero], &[])?))
    } else {
        let before = graph.add("Neg", &[behind], &[])?;
        (graph.add("Max", &[before, zero], &[])?, None)
    };
    let [near_count, one, last] = [near, 1, of_a_side - 1].map(|number| whole(graph, number));
    let is_near = graph.add("Less", &[distance, near_count], &[])?;
    let counted = graph.add("Max", &[distance, one], &[])?;
    let counted = graph.cast(counted, ElementType::F32)?;
    // in the order in which T5 and the kernel compute it, so that rounding chooses the same bucket
    let [scale, reach, steps] = [near as f32, (farthest as f32 / near as f32).ln(), (of_a_side - near) as f32]
        .map(|number| graph.scalar(number));
    let share = graph.divided_by(counted, scale)?;
    let share = graph.add("Log", &[share], &[])?;
    let share = graph.divided_by(share, reach)?;
    let step = graph.times(share, steps)?;
    let step = graph.cast(step, ElementType::I64)?;
    let far = graph.plus(step, near_count)?;
    let far = graph.add("Min", &[far, last], &[])?;
    let mut bucket = graph.add("Where", &[is_near, distance, far], &[])?;
    if let Some(side) = side {
        bucket = graph.plus(bucket, side)?;
    }
    let table = graph.reshape(table, &[&heads, &buckets])?;
    let bias = graph.add("Gather", &[table, bucket], &[("axis", 1.into())])?;
    Ok(vec![graph.reshape(bias, &[1.into(), heads, queries, keys])?])
}
