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
    for at in places(graph, |node| whole(node) && (is_reached(node.input(0)) || is_reached(node.input(1)))) {
        let node = &graph.nodes()[at];
        let Ok(Gradient::Expand(rule)) =
            catalog.gradient_of(&node.domain, &node.operator, graph.opset_of(&node.domain))
        else {
            continue;
        };
        graph.replace_node(at, |graph, node| rule(&mut Expansion::new(graph, node)))?;
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

/// What a `DynamicQuantizeLinear` makes.
struct Rounded {
    bytes: ValueId,
    zero: ValueId,
    /// What it reads, over the scale.
    plain: ValueId,
    /// The bytes less `zero` as floats, with the gradient of `plain`.
    whole: ValueId,
}

/// Puts products of floats in the place of products of integers that are then made floats, where those read what
/// `DynamicQuantizeLinear` has rounded, as one operand or as both. The floats are whole numbers.
fn products(graph: &mut Graph, is_reached: &dyn Fn(Option<ValueId>) -> bool) -> Result<(), CompilerError> {
    let multiplies = |node: &Node| {
        (node.is("MatMulInteger") || node.is("ConvInteger")) && (is_reached(node.input(0)) || is_reached(node.input(1)))
    };
    let made: Vec<(ValueId, Node)> = graph
        .nodes()
        .iter()
        .filter(|node| multiplies(node))
        .filter_map(|node| Some((node.outputs.first().copied().flatten()?, node.clone())))
        .collect();
    let mut rounded: Vec<Rounded> = Vec::new();
    let read: HashSet<ValueId> = made.iter().flat_map(|(_, node)| [node.input(0), node.input(1)]).flatten().collect();
    let rounds =
        |node: &Node| node.is("DynamicQuantizeLinear") && node.outputs[0].is_some_and(|bytes| read.contains(&bytes));
    for at in places(graph, rounds) {
        let node = graph.nodes()[at].clone();
        let [Some(bytes), Some(scale), Some(zero)] = *node.outputs.as_slice() else { continue };
        let Some(x) = node.input(0) else { continue };
        let (plain, whole) = graph.in_front_of(at + 1, |graph| {
            let [own, own_zero] = [bytes, zero].map(|value| graph.cast(value, ElementType::F32));
            let own = graph.minus(own?, own_zero?)?;
            let plain = graph.divided_by(x, scale)?;
            Ok((plain, straight(graph, own, plain)?))
        })?;
        rounded.push(Rounded { bytes, zero, plain, whole });
    }
    for at in places(graph, |node| node.is("Cast")) {
        let product = made.iter().find(|(made, _)| graph.nodes()[at].input(0) == Some(*made));
        let Some((_, product)) = product else { continue };
        let [first, second] = [0, 1].map(|index| rounded.iter().find(|own| product.input(index) == Some(own.bytes)));
        if first.is_none() && second.is_none() {
            continue;
        }
        graph.replace_node(at, |graph, cast| {
            let operands = [operand(graph, product, 0, first)?, operand(graph, product, 1, second)?];
            let attributes: Vec<(&str, Attribute)> =
                product.attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            let operator = if product.is("ConvInteger") { "Conv" } else { "MatMul" };
            let made = graph.add(operator, &operands, &attributes)?;
            let dtype = cast.outputs[0].and_then(|value| graph.tensor_type(value)).map(|known| known.dtype);
            Ok(vec![match dtype {
                Some(dtype) if dtype != ElementType::F32 => graph.cast(made, dtype)?,
                _ => made,
            }])
        })?;
    }
    Ok(())
}

/// An operand of a product of integers as floats, less the zero point that the product names for it, if it does.
fn operand(
    graph: &mut Graph,
    product: &Node,
    index: usize,
    rounded: Option<&Rounded>,
) -> Result<ValueId, CompilerError> {
    let zero = product.input(index + 2);
    if let Some(own) = rounded.filter(|own| zero == Some(own.zero)) {
        return Ok(own.whole);
    }
    let bytes = product.input(index).ok_or_else(|| {
        CompilerError::unsupported(format!("{} without two operands", product.operator), "name both operands")
    })?;
    let mut whole = graph.cast(bytes, ElementType::F32)?;
    if let Some(zero) = zero {
        let mut zero = graph.cast(zero, ElementType::F32)?;
        let (shape, rank) = (graph.shape(zero)?.to_vec(), graph.shape(whole)?.len());
        // of a matrix on the left one for each row, of one on the right for each column, of kernels for each of them
        let behind = match (product.is("ConvInteger"), index) {
            (true, 1) => rank.saturating_sub(1),
            (false, 0) if rank > 1 => 1,
            _ => 0,
        };
        if shape.len() == 1 && behind > 0 {
            zero = graph.reshape(zero, &[shape, vec![Length::from(1); behind]].concat())?;
        }
        whole = graph.minus(whole, zero)?;
    }
    match rounded {
        Some(own) => straight(graph, whole, own.plain),
        None => Ok(whole),
    }
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
