use std::collections::{BTreeMap, BTreeSet};

use super::{Gradient, Operator, Sample, TypeRuleInput, element_types, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Graph, Length, Node, TensorType, ValueId};
use millstream_schemas::shown;

/// `Einsum`: sums of products by the names that an equation gives to axes (Einstein's convention), as ReduceSum, Transpose,
/// MatMul and Mul: operands are joined from the first on; names of both that nothing behind needs are contracted by MatMul.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Einsum",
    opsets: 13..=25,
    weights: &[0, 1, 2],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let sample = |equation: &'static str, shapes: &[&[usize]]| {
            Sample::new(
                equation,
                shapes.iter().map(|shape| varied(shape)).collect(),
                vec![("equation", equation.into())],
            )
        };
        vec![
            sample("ij,jk->ik", &[&[2, 3], &[3, 4]]),
            sample("ij,jk", &[&[2, 3], &[3, 4]]),
            sample("ba", &[&[2, 3]]),
            sample("bhid,bhjd->bhij", &[&[2, 2, 3, 4], &[2, 2, 5, 4]]),
            sample("bqhd,bkhd->bhqk", &[&[2, 3, 2, 4], &[2, 5, 2, 4]]),
            sample("bhqk,bkhd->bqhd", &[&[2, 2, 3, 5], &[2, 5, 2, 4]]),
            sample("bth,hnd->btnd", &[&[2, 3, 4], &[4, 2, 5]]),
            sample(" i , j -> i j ", &[&[3], &[4]]),
            sample("ij->", &[&[2, 3]]),
            sample("ijk->kj", &[&[2, 3, 4]]),
            sample("bij,bj->bi", &[&[2, 3, 4], &[2, 4]]),
            sample("bi,bi->b", &[&[2, 3], &[2, 3]]),
            sample("bi,bi->bi", &[&[2, 3], &[2, 3]]),
            sample("ijk,lm->jm", &[&[2, 3, 4], &[5, 2]]),
            sample("ij,jk,kl->il", &[&[2, 3], &[3, 4], &[4, 2]]),
            sample("...ij,...jk->...ik", &[&[2, 1, 2, 3], &[1, 3, 3, 4]]),
            sample("...ij,jk", &[&[2, 2, 3], &[3, 4]]),
            sample("i...,i...->...", &[&[2, 3, 4], &[2, 1, 4]]),
            sample("ij,ij->ij", &[&[2, 1], &[2, 3]]),
        ]
    },
};

/// The name of an axis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Label {
    Letter(char),
    /// An axis that `...` stands for, counted from the last of them.
    Unnamed(usize),
}

/// Labels of the operands' axes and of the output's.
struct Equation {
    operands: Vec<Vec<Label>>,
    output: Vec<Label>,
}

impl Equation {
    fn of(node: &Node, ranks: &[usize]) -> Result<Self, String> {
        let text: String = node.string("equation").ok_or("no attribute `equation`")?.split_whitespace().collect();
        let wrong = |why: &str| format!("equation `{}`: {why}", shown(&text));
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (text.as_str(), None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != ranks.len() {
            return Err(wrong(&format!("{} operands, and the node has {}", terms.len(), ranks.len())));
        }
        let operand = |(term, rank): (&&str, &usize)| {
            let unnamed = rank.checked_sub(letters_in(term));
            let unnamed = unnamed.filter(|count| *count == 0 || term.contains("..."));
            let unnamed = unnamed.ok_or_else(|| format!("`{}` for {rank} axes", shown(term)))?;
            labels(term, unnamed)
        };
        let operands =
            terms.iter().zip(ranks).map(operand).collect::<Result<Vec<_>, String>>().map_err(|e| wrong(&e))?;
        let unnamed = operands.iter().flatten().filter_map(|label| match label {
            Label::Unnamed(at) => Some(at + 1),
            Label::Letter(_) => None,
        });
        let unnamed = unnamed.max().unwrap_or(0);
        let output = match right {
            Some(term) => labels(term, if term.contains("...") { unnamed } else { 0 }).map_err(|e| wrong(&e))?,
            None => implied(&operands, unnamed),
        };
        let all: BTreeSet<&Label> = operands.iter().flatten().collect();
        let distinct: BTreeSet<&Label> = output.iter().collect();
        if distinct.len() != output.len() || !distinct.is_subset(&all) {
            return Err(wrong("the output names an axis twice, or one that no operand has"));
        }
        if (0..unnamed).any(|at| !distinct.contains(&Label::Unnamed(at))) {
            return Err(wrong("operands have `...` and the output has none"));
        }
        Ok(Self { operands, output })
    }

    /// The length of each label. Axes of length one are repeated.
    fn lengths(&self, shapes: &[Vec<Length>]) -> Result<BTreeMap<Label, Length>, String> {
        let mut lengths: BTreeMap<Label, Length> = BTreeMap::new();
        for (labels, shape) in self.operands.iter().zip(shapes) {
            for (label, length) in labels.iter().zip(shape) {
                let joined = match lengths.get(label) {
                    None => length,
                    Some(known) if known.agrees_with(length) || *length == 1 => known,
                    Some(known) if *known == 1 => length,
                    Some(known) => {
                        let open = known.as_number().is_none() || length.as_number().is_none();
                        let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
                        return Err(format!("{label:?} is {known} in one operand and {length} in another{advice}"));
                    }
                };
                lengths.insert(*label, joined.clone());
            }
        }
        Ok(lengths)
    }
}

fn letters_in(term: &str) -> usize {
    term.chars().filter(|letter| *letter != '.').count()
}

/// The labels of a term, of whose axes so many are unnamed.
fn labels(term: &str, unnamed: usize) -> Result<Vec<Label>, String> {
    let (before, after) = term.split_once("...").unwrap_or((term, ""));
    let letter = |letter: char| {
        let is_name = letter.is_ascii_alphabetic();
        is_name.then_some(Label::Letter(letter)).ok_or_else(|| format!("`{}` names axes", shown(term)))
    };
    let mut labels = before.chars().map(letter).collect::<Result<Vec<_>, String>>()?;
    labels.extend((0..unnamed).rev().map(Label::Unnamed));
    for after in after.chars() {
        labels.push(letter(after)?);
    }
    Ok(labels)
}

/// The output where the equation names none: the unnamed axes, and letters that stand once, in alphabetical order.
fn implied(operands: &[Vec<Label>], unnamed: usize) -> Vec<Label> {
    let mut counts: BTreeMap<Label, usize> = BTreeMap::new();
    for label in operands.iter().flatten().filter(|label| matches!(label, Label::Letter(_))) {
        *counts.entry(*label).or_default() += 1;
    }
    let once = counts.into_iter().filter(|(_, count)| *count == 1).map(|(label, _)| label);
    (0..unnamed).rev().map(Label::Unnamed).chain(once).collect()
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let first = element_types::numbers(rule, 0)?;
    let mut shapes = Vec::with_capacity(rule.node.inputs.len());
    for index in 0..rule.node.inputs.len() {
        let operand = rule.input(index)?;
        if operand.dtype != first.dtype {
            return Err(rule.types_differ(first, operand));
        }
        shapes.push(operand.shape.clone());
    }
    let ranks: Vec<usize> = shapes.iter().map(Vec::len).collect();
    let equation = Equation::of(rule.node, &ranks).map_err(|message| rule.error(message))?;
    let lengths = equation.lengths(&shapes).map_err(|message| rule.error(message))?;
    let shape = equation.output.iter().map(|label| lengths[label].clone()).collect();
    Ok(vec![TensorType { dtype: first.dtype, shape }])
}

/// A value whose axes have labels, none twice.
struct Term {
    value: ValueId,
    labels: Vec<Label>,
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let count = node.node.inputs.len();
    let shapes =
        (0..count).map(|index| Ok(node.input_type(index)?.shape)).collect::<Result<Vec<_>, CompilerError>>()?;
    let ranks: Vec<usize> = shapes.iter().map(Vec::len).collect();
    let equation = Equation::of(&node.node, &ranks).map_err(|message| node.error(message))?;
    let lengths = equation.lengths(&shapes).map_err(|message| node.error(message))?;
    if equation.operands.iter().any(|labels| labels.iter().collect::<BTreeSet<_>>().len() < labels.len()) {
        return Err(node.no_gradient("an operand names two axes alike: a diagonal"));
    }
    let mut terms = Vec::with_capacity(count);
    for (index, labels) in equation.operands.iter().enumerate() {
        let axes = labels.iter().zip(&shapes[index]);
        // repeated along an axis is as good as without it
        let repeats = |(label, length): &(&Label, &Length)| **length == 1 && lengths[label] != 1;
        let (labels, shape): (Vec<Label>, Vec<Length>) =
            axes.filter(|axis| !repeats(axis)).map(|(label, length)| (*label, length.clone())).unzip();
        let value = node.input(index)?;
        terms.push(Term { value: node.graph.reshape(value, &shape)?, labels });
    }
    let mut joined = None;
    for (index, term) in terms.into_iter().enumerate() {
        let behind = equation.operands[index + 1..].iter().flatten().chain(&equation.output);
        let needed: BTreeSet<Label> = behind.copied().collect();
        joined = Some(match joined {
            None => summed(node.graph, term, |label| needed.contains(&label))?,
            Some(before) => product(node.graph, before, term, &needed)?,
        });
    }
    let all = joined.ok_or_else(|| node.error("no operands"))?;
    let result = arranged(node.graph, &all, &equation.output)?;
    // a name that stands for nothing else keeps what the type rule says
    let shape: Vec<Length> = equation.output.iter().map(|label| lengths[label].clone()).collect();
    Ok(vec![node.graph.reshape(result, &shape)?])
}

/// Without the axes that nothing needs.
fn summed(graph: &mut Graph, term: Term, needed: impl Fn(Label) -> bool) -> Result<Term, CompilerError> {
    let axes = term.labels.iter().enumerate().filter(|(_, label)| !needed(**label));
    let axes: Vec<i64> = axes.map(|(axis, _)| axis as i64).collect();
    if axes.is_empty() {
        return Ok(term);
    }
    let value = graph.reduce_sum(term.value, &axes, false)?;
    Ok(Term { value, labels: term.labels.into_iter().filter(|label| needed(*label)).collect() })
}

/// Axes in the order of labels, which are all of the term's.
fn arranged(graph: &mut Graph, term: &Term, labels: &[Label]) -> Result<ValueId, CompilerError> {
    if term.labels == labels {
        return Ok(term.value);
    }
    let axis = |label: &Label| term.labels.iter().position(|own| own == label).map(|axis| axis as i64);
    let order = labels.iter().map(axis).collect::<Option<Vec<i64>>>().expect("labels are those of the term");
    graph.transpose(term.value, &order)
}

/// The product of two terms, summed over what nothing behind needs.
fn product(graph: &mut Graph, a: Term, b: Term, needed: &BTreeSet<Label>) -> Result<Term, CompilerError> {
    let (of_a, of_b) = (a.labels.clone(), b.labels.clone());
    let a = summed(graph, a, |label| needed.contains(&label) || of_b.contains(&label))?;
    let b = summed(graph, b, |label| needed.contains(&label) || of_a.contains(&label))?;
    let (shared, left): (Vec<Label>, Vec<Label>) = a.labels.iter().partition(|label| b.labels.contains(label));
    let (batch, contracted): (Vec<Label>, Vec<Label>) = shared.into_iter().partition(|label| needed.contains(label));
    let right: Vec<Label> = b.labels.iter().filter(|label| !a.labels.contains(label)).copied().collect();
    let first = arranged(graph, &a, &[batch.as_slice(), &left, &contracted].concat())?;
    let second = arranged(graph, &b, &[batch.as_slice(), &contracted, &right].concat())?;
    let (first_shape, second_shape) = (graph.shape(first)?.to_vec(), graph.shape(second)?.to_vec());
    let (batch_shape, left_shape) = first_shape[..batch.len() + left.len()].split_at(batch.len());
    let right_shape = &second_shape[batch.len() + contracted.len()..];
    let shape = [batch_shape, left_shape, right_shape].concat();
    let ones = |count: usize| vec![Length::from(1); count];
    let value = if contracted.is_empty() {
        let first = graph.reshape(first, &[batch_shape, left_shape, &ones(right.len())].concat())?;
        let second = graph.reshape(second, &[batch_shape, &ones(left.len()), right_shape].concat())?;
        graph.times(first, second)?
    } else {
        let inner: Length = first_shape[batch.len() + left.len()..].iter().product();
        let [rows, columns] = [left_shape, right_shape].map(|lengths| lengths.iter().product::<Length>());
        let first = graph.reshape(first, &[batch_shape, &[rows, inner.clone()]].concat())?;
        let second = graph.reshape(second, &[batch_shape, &[inner, columns]].concat())?;
        let product = graph.add("MatMul", &[first, second], &[])?;
        graph.reshape(product, &shape)?
    };
    Ok(Term { value, labels: [batch, left, right].concat() })
}
