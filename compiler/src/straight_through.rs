//! What a training step rounds to integers, and multiplies as such: constant between steps, so that no gradient would come to
//! what lies in front. Here it is given the gradient of what it stands for, as if nothing was rounded (straight through:
//! Bengio, Léonard and Courville 2013). What is computed stays the same.

use std::collections::HashSet;

use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, ElementType, Graph, Length, Node, ValueId};
use crate::operators::{Gradient, OperatorCatalog};

/// Products of integers of one node that is written out first.
const WHOLE: [&str; 2] = ["DynamicQuantizeMatMul", "MatMulIntegerToFloat"];

/// Lets gradients pass the products of integers and the roundings between `trained` and what is computed of it.
///
/// # Errors
/// The shape of what is rounded is not known.
pub(crate) fn let_gradients_pass(
    graph: &mut Graph,
    trained: &[ValueId],
    catalog: &OperatorCatalog,
) -> Result<(), CompilerError> {
    let rounds = |node: &Node| {
        node.is("DynamicQuantizeLinear") || node.operator == "QuantizeLinear" || WHOLE.contains(&node.operator.as_str())
    };
    if !graph.nodes().iter().any(rounds) {
        return Ok(());
    }
    let reached = reached(graph, trained);
    let is_reached = |value: Option<ValueId>| value.is_some_and(|value| reached.contains(&value));
    let whole = |node: &Node| node.domain == "com.microsoft" && WHOLE.contains(&node.operator.as_str());
    for at in places(graph, |node| whole(node) && is_reached(node.input(0))) {
        let node = &graph.nodes()[at];
        let Ok(Gradient::Expand(rule)) =
            catalog.gradient_of(&node.domain, &node.operator, graph.opset_of(&node.domain))
        else {
            continue;
        };
        graph.replace_node(at, |graph, node| rule(&mut Expansion { graph, node }))?;
    }
    let reached = self::reached(graph, trained);
    let is_reached = |value: Option<ValueId>| value.is_some_and(|value| reached.contains(&value));
    products(graph, &is_reached)?;
    let floats = |node: &Node| node.operator == "DequantizeLinear" && is_reached(node.input(0));
    for at in places(graph, floats) {
        let back = graph.nodes()[at].clone();
        let Some(rounding) = back.input(0).and_then(|bytes| graph.producer(bytes)).cloned() else { continue };
        if rounding.operator != "QuantizeLinear" && !rounding.is("DynamicQuantizeLinear") {
            continue;
        }
        let Some(x) = rounding.input(0) else { continue };
        let name = graph.name(x).to_owned();
        let range = (rounding.operator == "QuantizeLinear").then(|| range(graph, &rounding)).flatten();
        graph.replace_result(at, &format!("{name}.rounded"), |graph, rounded| {
            let x = match range {
                // what does not fit into the integers has no slope either
                Some(range) => {
                    let [low, high] = range.map(|bound| graph.scalar(bound));
                    graph.add("Clip", &[x, low, high], &[])?
                }
                None => x,
            };
            straight(graph, rounded, x)
        })?;
    }
    Ok(())
}

/// `rounded`, with the gradient of `plain`.
fn straight(graph: &mut Graph, rounded: ValueId, plain: ValueId) -> Result<ValueId, CompilerError> {
    let rounding = graph.minus(rounded, plain)?;
    graph.stop_gradient(rounding);
    graph.plus(plain, rounding)
}

/// Puts products of floats in the place of products of integers that are then made floats, where those read what
/// `DynamicQuantizeLinear` has rounded. The floats are whole numbers: the input over its scale, and the matrix.
fn products(graph: &mut Graph, is_reached: &dyn Fn(Option<ValueId>) -> bool) -> Result<(), CompilerError> {
    let multiplies = |node: &Node| (node.is("MatMulInteger") || node.is("ConvInteger")) && is_reached(node.input(0));
    let made: Vec<(ValueId, Node)> = graph
        .nodes()
        .iter()
        .filter(|node| multiplies(node))
        .filter_map(|node| Some((node.outputs.first().copied().flatten()?, node.clone())))
        .collect();
    let mut plain: Vec<(ValueId, ValueId)> = Vec::new();
    let rounded: HashSet<ValueId> = made.iter().filter_map(|(_, node)| node.input(0)).collect();
    let rounds =
        |node: &Node| node.is("DynamicQuantizeLinear") && node.outputs[0].is_some_and(|bytes| rounded.contains(&bytes));
    for at in places(graph, rounds) {
        let node = graph.nodes()[at].clone();
        let [Some(bytes), Some(scale), Some(zero)] = *node.outputs.as_slice() else { continue };
        let Some(x) = node.input(0) else { continue };
        let whole = graph.in_front_of(at + 1, |graph| {
            let [bytes, zero] = [bytes, zero].map(|value| graph.cast(value, ElementType::F32));
            let whole = graph.minus(bytes?, zero?)?;
            let x = graph.divided_by(x, scale)?;
            straight(graph, whole, x)
        })?;
        plain.push((bytes, whole));
    }
    for at in places(graph, |node| node.is("Cast")) {
        let product = made.iter().find(|(made, _)| graph.nodes()[at].input(0) == Some(*made));
        let Some((_, product)) = product else { continue };
        let x = plain.iter().find(|(bytes, _)| product.input(0) == Some(*bytes)).map(|(_, whole)| *whole);
        let (Some(x), Some(matrix)) = (x, product.input(1)) else { continue };
        graph.replace_node(at, |graph, cast| {
            let is_convolution = product.is("ConvInteger");
            let mut matrix_of = graph.cast(matrix, ElementType::F32)?;
            if let Some(zero) = product.input(3) {
                let mut zero = graph.cast(zero, ElementType::F32)?;
                let shape = graph.shape(zero)?.to_vec();
                if is_convolution && shape.len() == 1 {
                    let rank = graph.shape(matrix)?.len();
                    let along = [shape, vec![Length::from(1); rank - 1]].concat();
                    zero = graph.reshape(zero, &along)?;
                }
                matrix_of = graph.minus(matrix_of, zero)?;
            }
            let attributes: Vec<(&str, Attribute)> =
                product.attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            let operator = if is_convolution { "Conv" } else { "MatMul" };
            let made = graph.add(operator, &[x, matrix_of], &attributes)?;
            let dtype = cast.outputs[0].and_then(|value| graph.tensor_type(value)).map(|known| known.dtype);
            Ok(vec![match dtype {
                Some(dtype) if dtype != ElementType::F32 => graph.cast(made, dtype)?,
                _ => made,
            }])
        })?;
    }
    Ok(())
}

/// The least and the largest number that a `QuantizeLinear` does not cut, where it has one scale that is known.
fn range(graph: &Graph, rounding: &Node) -> Option<[f32; 2]> {
    let bytes = rounding.outputs.first().copied().flatten()?;
    let [least, most] = match graph.tensor_type(bytes)?.dtype {
        ElementType::U8 => [0.0, 255.0],
        ElementType::I8 => [-128.0, 127.0],
        _ => return None,
    };
    let scale = graph.constant_of(rounding.input(1)?)?.to_f32()?;
    let [scale] = *scale.as_slice() else { return None };
    let zero = match rounding.input(2) {
        None => 0.0,
        Some(zero) => {
            let zero = graph.constant_of(zero)?;
            let [byte] = *zero.bytes.as_ref() else { return None };
            if zero.dtype == ElementType::I8 { f32::from(i8::from_le_bytes([byte])) } else { f32::from(byte) }
        }
    };
    Some([(least - zero) * scale, (most - zero) * scale])
}

/// The nodes that fit, the last first, so that the places of the others stay when one is replaced.
fn places(graph: &Graph, fits: impl Fn(&Node) -> bool) -> Vec<usize> {
    let nodes = graph.nodes().iter().enumerate().rev();
    nodes.filter(|(_, node)| fits(node)).map(|(at, _)| at).collect()
}

/// What depends on these values, integers too; lengths do not.
fn reached(graph: &Graph, from: &[ValueId]) -> HashSet<ValueId> {
    let mut reached: HashSet<ValueId> = from.iter().copied().collect();
    for node in graph.nodes() {
        let is_length = node.is("Shape") || node.is("Size");
        if !is_length && node.inputs.iter().flatten().any(|input| reached.contains(input)) {
            reached.extend(node.outputs.iter().flatten());
        }
    }
    reached
}
