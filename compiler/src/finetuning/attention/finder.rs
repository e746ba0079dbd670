use std::collections::BTreeSet;

use super::block::{Attention, Attentions, LeftOut, Projection};
use super::columns::columns;
use super::feed_forward::FeedForward;
use super::flow::{ACTIVATIONS, ARITHMETIC, Flow, NORMALIZATIONS, VIEWS};
use super::linear::Linear;
use crate::graph::{Graph, Length, Node, ValueId};

/// Between the softmax and the product with the values.
const BEHIND_SOFTMAX: &[&str] =
    &["Cast", "DequantizeLinear", "Dropout", "Identity", "QuantizeLinear", "Reshape", "Squeeze", "Unsqueeze", "Where"];
/// Between the product of queries and keys and the softmax.
const SCORES: &[&str] = &[
    "Add",
    "Cast",
    "Clip",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Expand",
    "Flatten",
    "Identity",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "QuantizeLinear",
    "Reshape",
    "Slice",
    "Squeeze",
    "Sub",
    "Tanh",
    "Unsqueeze",
    "Where",
];
/// Between a layer and the queries, keys or values that it makes.
const PROJECTED: &[&[&str]] = &[VIEWS, ARITHMETIC, NORMALIZATIONS, POOLED];
/// What makes one token of several, as Hiera's queries.
const POOLED: &[&str] = &["ReduceMax"];
/// Between the heads and the layer that reads them.
const MIXED: &[&[&str]] = &[VIEWS, ARITHMETIC, NORMALIZATIONS, ACTIVATIONS];

/// Finds each attention of a graph, from the input to the output: a softmax of the product of queries and keys that weighs
/// values, or a node that is all of it; and the linear layers around it. An attention is left out unless its queries, keys
/// and values each come from one linear layer, whose numbers are as many as heads of their size take.
///
/// A part of a block that is not found for certain is not there: the layer behind the heads has as many inputs as they give,
/// and feed-forward layers stand between two sums with the same stream.
pub fn find_attentions(graph: &Graph) -> Attentions {
    let flow = Flow::new(graph);
    let mut attentions = Attentions::default();
    for (index, node) in graph.nodes().iter().enumerate() {
        let found = match core(&flow, index, node) {
            None => continue,
            Some(core) => core.and_then(|core| attention(&flow, &core)),
        };
        match found {
            Ok(attention) => attentions.found.push(attention),
            Err(reason) => attentions.left_out.push(LeftOut { node: graph.label(node), reason }),
        }
    }
    let of_projections: BTreeSet<usize> = attentions
        .found
        .iter()
        .flat_map(|found| [&found.query, &found.key, &found.value])
        .map(|projection| projection.linear.node)
        .collect();
    let mut taken = of_projections;
    for attention in &mut attentions.found {
        attention.output = output(&flow, attention).filter(|output| !taken.contains(&output.node));
        taken.extend(attention.output.as_ref().map(|output| output.node));
    }
    for attention in &mut attentions.found {
        let Some(output) = &attention.output else { continue };
        attention.feed_forward = FeedForward::behind(&flow, output, &attention.query.linear, &mut taken);
    }
    attentions
}

/// The middle of an attention.
struct Core {
    node: usize,
    query: ValueId,
    key: ValueId,
    value: ValueId,
    /// What the heads give.
    mixed: ValueId,
    /// Heads of the queries: where the graph does not say it, as many as the queries have room for, and one of these lengths.
    heads: Result<usize, Vec<Length>>,
    /// Numbers of a head: of its queries and keys, and of its values.
    sizes: [usize; 2],
    /// The layer that is inside of the node, with how many numbers are queries, keys and values.
    inside: Option<(Linear, [usize; 3])>,
    /// Where the queries have the keys and values behind them: how many numbers are which.
    packed: Option<[usize; 3]>,
}

fn core(flow: &Flow<'_>, index: usize, node: &Node) -> Option<Result<Core, String>> {
    match (node.domain.as_str(), node.operator.as_str()) {
        ("", "Softmax") => of_softmax(flow, index, node),
        ("", "Attention") => {
            let [query, key, value] = [node.input(0)?, node.input(1)?, node.input(2)?];
            let shape = |value: ValueId| flow.graph().tensor_type(value).map(|known| known.shape.clone());
            let attribute = |name: &str| usize::try_from(node.int(name)?).ok();
            let of_heads = || {
                let (q, v) = (shape(query)?, shape(value)?);
                let last = |shape: &[Length]| shape.last()?.fixed();
                match q.len() {
                    4 => Some((q[1].fixed()?, [last(&q)?, last(&v)?])),
                    _ => {
                        let (heads, of_keys) = (attribute("q_num_heads")?, attribute("kv_num_heads")?);
                        Some((heads, [last(&q)?.checked_div(heads)?, last(&v)?.checked_div(of_keys)?]))
                    }
                }
            };
            let mixed = node.outputs.first().copied().flatten()?;
            let core = of_heads().map(|(heads, sizes)| Core {
                node: index,
                query,
                key,
                value,
                mixed,
                heads: Ok(heads),
                sizes,
                inside: None,
                packed: None,
            });
            Some(core.ok_or_else(|| "the lengths of its heads are not known".to_owned()))
        }
        ("com.microsoft", "Attention") => {
            let (input, weight, mixed) = (node.input(0)?, node.input(1)?, node.outputs.first().copied().flatten()?);
            let whole = || {
                let [inputs, outputs] = flow.graph().constant_of(weight)?.shape.as_slice() else { return None };
                let heads = usize::try_from(node.int("num_heads")?).ok().filter(|heads| *heads > 0)?;
                let parts = match node.ints("qkv_hidden_sizes") {
                    Some([q, k, v]) => [*q, *k, *v].map(|part| usize::try_from(part).unwrap_or(0)),
                    _ => [outputs / 3; 3],
                };
                let (bias, product, result) = (node.input(2), mixed, mixed);
                let (inputs, outputs) = (*inputs, *outputs);
                let linear =
                    Linear { node: index, weight, bias, inputs, outputs, input, product, result, is_inside: true };
                let sizes = [parts[0] / heads, parts[2] / heads];
                let fits = parts.iter().try_fold(0, |sum: usize, part| sum.checked_add(*part)) == Some(outputs);
                let heads = Ok(heads);
                fits.then_some(Core {
                    node: index,
                    query: input,
                    key: input,
                    value: input,
                    mixed,
                    heads,
                    sizes,
                    inside: Some((linear, parts)),
                    packed: None,
                })
            };
            Some(whole().ok_or_else(|| "its weights are not constant, or not as many as its heads take".to_owned()))
        }
        ("com.microsoft", "MultiHeadAttention") => {
            let (Some(query), Some(key), Some(value)) = (node.input(0), node.input(1), node.input(2)) else {
                return Some(Err("its queries, keys and values are packed".to_owned()));
            };
            let heads = usize::try_from(node.int("num_heads")?).ok().filter(|heads| *heads > 0)?;
            let size = |value: ValueId| match flow.graph().tensor_type(value)?.shape.as_slice() {
                [_, _, hidden] => Some(hidden.fixed()? / heads),
                // keys and values of another sequence
                [_, _, _, size] if value != query => size.fixed(),
                _ => None,
            };
            let mixed = node.outputs.first().copied().flatten()?;
            let sizes = size(query).zip(size(value)).map(|(query, value)| [query, value]);
            let core = sizes.map(|sizes| Core {
                node: index,
                query,
                key,
                value,
                mixed,
                heads: Ok(heads),
                sizes,
                inside: None,
                packed: None,
            });
            Some(core.ok_or_else(|| "the lengths of its heads are not known".to_owned()))
        }
        ("com.microsoft", "GroupQueryAttention") => {
            let (query, mixed) = (node.input(0)?, node.outputs.first().copied().flatten()?);
            let attribute = |name: &str| usize::try_from(node.int(name)?).ok().filter(|heads| *heads > 0);
            let (heads, of_keys) = (attribute("num_heads")?, attribute("kv_num_heads")?);
            let hidden = flow.graph().tensor_type(query).and_then(|known| known.shape.last()?.fixed());
            let separate = node.input(1).zip(node.input(2));
            let in_queries = if separate.is_some() { heads } else { of_keys.checked_mul(2)?.checked_add(heads)? };
            let (key, value) = separate.unwrap_or((query, query));
            let core = hidden.map(|hidden| hidden / in_queries).map(|size| Core {
                node: index,
                query,
                key,
                value,
                mixed,
                heads: Ok(heads),
                sizes: [size, size],
                inside: None,
                packed: separate.is_none().then(|| [heads * size, of_keys * size, of_keys * size]),
            });
            Some(core.ok_or_else(|| "the lengths of its heads are not known".to_owned()))
        }
        _ => None,
    }
}

/// A softmax over the last axis that weighs computed values.
fn of_softmax(flow: &Flow<'_>, index: usize, node: &Node) -> Option<Result<Core, String>> {
    let graph = flow.graph();
    let (input, weights) = (node.input(0)?, node.outputs.first().copied().flatten()?);
    let rank = graph.tensor_type(input).map(|known| known.shape.len() as i64);
    let axis = node.int("axis").unwrap_or(-1);
    if axis != -1 && rank.is_none_or(|rank| axis != rank - 1) {
        return None;
    }
    let reached = flow.reach(&[weights], &[BEHIND_SOFTMAX]);
    let weighs = |node: &&Node| {
        flow.is_product(node)
            && node.input(0).is_some_and(|value| reached.contains(&value))
            && node.input(1).is_some_and(|value| !reached.contains(&value))
    };
    let mut products = graph.nodes()[index..].iter().filter(weighs);
    let product = products.next()?;
    Some(scored(flow, index, input, product).and_then(|core| match products.next() {
        Some(_) => Err("its weights are used twice".to_owned()),
        None => Ok(core),
    }))
}

/// The queries and keys whose product a softmax reads, and the values that it weighs.
fn scored(flow: &Flow<'_>, node: usize, input: ValueId, weighing: &Node) -> Result<Core, String> {
    let graph = flow.graph();
    let operands = |node: &Node| node.input(0).zip(node.input(1));
    let is_projected = |value: ValueId| !flow.linears_behind(value, PROJECTED).is_empty();
    let candidates = flow.products_behind(input, &[SCORES]);
    let mut scores = candidates
        .into_iter()
        .map(|at| &graph.nodes()[at])
        .filter(|product| operands(product).is_some_and(|(a, b)| is_projected(a) && is_projected(b)));
    let product = match (scores.next(), scores.next()) {
        (Some(only), None) => only,
        (None, _) => return Err("no product of queries and keys leads to it".into()),
        _ => return Err("several products of queries and keys lead to it".into()),
    };
    let (query, key) = operands(product).expect("a product has two operands");
    let value = weighing.input(1).expect("a product has two operands");
    let mixed = weighing.outputs.first().copied().flatten().ok_or("nothing reads it")?;
    let turned = |name: &str| product.int(name).unwrap_or(0) != 0;
    let from_end = |value: ValueId, place: usize| {
        let shape = &graph.tensor_type(value)?.shape;
        shape.len().checked_sub(place).and_then(|at| shape[at].fixed())
    };
    let not_known = || "the lengths of its heads are not known".to_owned();
    let size = from_end(query, if turned("transA") { 2 } else { 1 }).ok_or_else(not_known)?;
    let of_values = from_end(value, 1).ok_or_else(not_known)?;
    let made = product.outputs.first().copied().flatten().and_then(|made| graph.tensor_type(made));
    // the axes between rows and tokens; where there is none, rows and heads share one
    let between = made.map_or([].as_slice(), |made| made.shape.get(1..made.shape.len().max(3) - 2).unwrap_or(&[]));
    let (heads, sizes) = (Err(between.to_vec()), [size, of_values]);
    Ok(Core { node, query, key, value, mixed, heads, sizes, inside: None, packed: None })
}

fn attention(flow: &Flow<'_>, core: &Core) -> Result<Attention, String> {
    let [query, key, value] = match (&core.inside, core.packed) {
        (Some((linear, parts)), _) => side_by_side(linear, *parts),
        (None, Some(parts)) => {
            let behind = flow.linears_behind(core.query, &[]);
            let only = behind.first().map(|only| flow.linear(*only)).filter(|_| behind.len() == 1);
            let packed = only.filter(|linear| linear.outputs == parts.iter().sum::<usize>());
            let packed = packed.ok_or("its packed queries, keys and values are not what one linear layer makes")?;
            side_by_side(packed, parts)
        }
        (None, None) => projections(flow, core)?,
    };
    let [size, value_size] = core.sizes;
    let columns = [&query, &key, &value].map(|projection| projection.columns.len());
    let (heads, is_among) = match &core.heads {
        Ok(heads) => (*heads, true),
        Err(lengths) => {
            let heads = columns[0] / size.max(1);
            let may_be = |length: &Length| length.fixed().is_none_or(|length| length == heads);
            (heads, lengths.is_empty() || lengths.iter().any(may_be))
        }
    };
    let of_keys = columns[1] / size.max(1);
    let fits = is_among
        && heads > 0
        && of_keys > 0
        && columns == [heads * size, of_keys * size, of_keys * value_size]
        && heads.is_multiple_of(of_keys);
    if !fits {
        let [q, k, v] = columns;
        return Err(format!(
            "its layers make {q}, {k} and {v} numbers of queries, keys and values, which are no heads of {size} and {value_size}"
        ));
    }
    Ok(Attention {
        node: core.node,
        heads,
        head_size: size,
        queries: core.query,
        mixed: core.mixed,
        query,
        key,
        value,
        output: None,
        feed_forward: Vec::new(),
    })
}

/// Queries, keys and values that a layer makes one behind the other.
fn side_by_side(linear: &Linear, parts: [usize; 3]) -> [Projection; 3] {
    let starts = [0, parts[0], parts[0] + parts[1]];
    [0, 1, 2].map(|at| Projection { linear: linear.clone(), columns: (starts[at]..starts[at] + parts[at]).collect() })
}

fn projections(flow: &Flow<'_>, core: &Core) -> Result<[Projection; 3], String> {
    let values = [core.query, core.key, core.value];
    let mut nodes = [0; 3];
    for (at, what) in ["queries", "keys", "values"].into_iter().enumerate() {
        let behind = flow.linears_behind(values[at], PROJECTED);
        nodes[at] = match (behind.first(), behind.len()) {
            (Some(only), 1) => *only,
            (_, count) => return Err(format!("{count} linear layers make its {what}, wanted one")),
        };
    }
    let upstream = |a: usize, b: usize| a != b && flow.linears_behind(flow.linear(b).input, MIXED).contains(&a);
    let pairs = [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)];
    if pairs.into_iter().any(|(a, b)| upstream(nodes[a], nodes[b])) {
        return Err("one of its queries, keys and values is made of another".into());
    }
    let projection = |at: usize| {
        let linear = flow.linear(nodes[at]).clone();
        let sharing: Vec<usize> = (0..3).filter(|other| nodes[*other] == nodes[at]).collect();
        if sharing.len() == 1 {
            let columns = (0..linear.outputs).collect();
            return Ok(Projection { linear, columns });
        }
        let shared: Vec<ValueId> = sharing.iter().map(|other| values[*other]).collect();
        let parts = columns(flow, &linear, &shared);
        let mut taken = vec![0; linear.outputs];
        parts.iter().flatten().for_each(|column| taken[*column] += 1);
        if taken.iter().any(|count| *count != 1) {
            let label = flow.graph().label(&flow.graph().nodes()[linear.node]);
            return Err(format!(
                "`{label}` makes several of its queries, keys and values, and which is which is not known"
            ));
        }
        let own = sharing.iter().position(|other| *other == at).expect("a projection shares with itself");
        Ok(Projection { columns: parts[own].clone(), linear })
    };
    Ok([projection(0)?, projection(1)?, projection(2)?])
}

/// The one linear layer that reads the heads: nothing else, or as in ConvBERT what stands beside them as well.
fn output(flow: &Flow<'_>, attention: &Attention) -> Option<Linear> {
    let given = attention.heads * attention.value_size();
    let heads = flow.reach(&[attention.mixed], MIXED);
    match flow.linears_ahead(&heads).as_slice() {
        [only] => Some(flow.linear(*only)).filter(|linear| linear.inputs == given).cloned(),
        [] => {
            let joins = |node: &&Node| {
                node.is("Concat") && flow.data(node).iter().any(|value| heads.contains(value)) && {
                    let made = node.outputs.first().copied().flatten();
                    made.is_some_and(|made| !heads.contains(&made))
                }
            };
            let mut joined = flow.graph().nodes().iter().filter(joins);
            let (Some(only), None) = (joined.next(), joined.next()) else { return None };
            let made = only.outputs.first().copied().flatten()?;
            match flow.linears_ahead(&flow.reach(&[made], MIXED)).as_slice() {
                [only] => Some(flow.linear(*only)).filter(|linear| linear.inputs > given).cloned(),
                _ => None,
            }
        }
        _ => None,
    }
}
