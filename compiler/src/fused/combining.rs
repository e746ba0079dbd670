//! A [`Combination`] as nodes.

use super::combination::{Combination, LEAST_SHARE, LinearFeatures};
use super::ranks::RankTable;
use crate::CompilerError;
use crate::graph::{Attribute, Constant, ElementType, Graph, ValueId, axes_input_since};
use crate::losses::PredictionKind;

type Emitted = Result<ValueId, CompilerError>;

/// Adds the nodes of a combination of these scores, each `[batch, columns, …]` of 32-bit floats. Members without weight are read by none.
///
/// # Errors
/// A rule refuses the scores.
pub(super) fn combine(
    graph: &mut Graph,
    combination: &Combination,
    reads: PredictionKind,
    columns: usize,
    scores: &[ValueId],
) -> Emitted {
    Combining { graph, reads, columns }.scores(combination, scores)
}

struct Combining<'a> {
    graph: &'a mut Graph,
    reads: PredictionKind,
    columns: usize,
}

impl Combining<'_> {
    fn of_labels(&self) -> bool {
        self.reads == PredictionKind::LabelScores
    }

    fn scores(&mut self, combination: &Combination, scores: &[ValueId]) -> Emitted {
        let weighted = |weights: &[f64]| -> Vec<(usize, f64)> {
            weights.iter().copied().enumerate().filter(|(_, weight)| *weight > 0.0).collect()
        };
        match combination {
            Combination::Linear { features, coefficients, intercepts } => {
                self.linear(*features, coefficients, intercepts, scores)
            }
            Combination::Median {} => self.median(scores),
            Combination::Probabilities { weights } => {
                let weighted = weighted(weights);
                match weighted[..] {
                    [(only, _)] => Ok(scores[only]),
                    _ if self.of_labels() => {
                        let for_it = self.mean_probability(scores, &weighted, true)?;
                        let against_it = self.mean_probability(scores, &weighted, false)?;
                        self.graph.append("Sub", &[for_it, against_it], &[], "ensemble.log_odds")
                    }
                    _ => self.mean_probability(scores, &weighted, true),
                }
            }
            Combination::Ranks { weights, tables } => {
                let weighted = weighted(weights);
                let ranks = weighted.iter().map(|(at, _)| self.ranks(scores[*at], &tables[*at]));
                let ranks = ranks.collect::<Result<Vec<ValueId>, CompilerError>>()?;
                let mean = self.mean(&ranks, &weighted)?;
                self.handed_on(mean)
            }
            Combination::Scores { weights } => {
                let weighted = weighted(weights);
                let read: Vec<ValueId> = weighted.iter().map(|(at, _)| scores[*at]).collect();
                self.mean(&read, &weighted)
            }
            Combination::Votes { weights } => {
                let weighted = weighted(weights);
                let votes = weighted.iter().map(|(at, _)| self.votes(scores[*at]));
                let votes = votes.collect::<Result<Vec<ValueId>, CompilerError>>()?;
                let mean = self.mean(&votes, &weighted)?;
                self.handed_on(mean)
            }
        }
    }

    /// Σ weight · value.
    fn mean(&mut self, values: &[ValueId], weighted: &[(usize, f64)]) -> Emitted {
        let mut parts = Vec::with_capacity(values.len());
        for (value, (_, weight)) in values.iter().zip(weighted) {
            parts.push(if *weight == 1.0 { *value } else { self.scaled(*value, *weight)? });
        }
        match parts[..] {
            [only] => Ok(only),
            _ => self.graph.append("Sum", &parts, &[], "ensemble.mean"),
        }
    }

    fn scaled(&mut self, value: ValueId, factor: f64) -> Emitted {
        let factor = self.number("ensemble.weight", factor as f32);
        self.graph.append("Mul", &[value, factor], &[], "ensemble.weighted")
    }

    fn number(&mut self, name: &str, value: f32) -> ValueId {
        self.graph.named_constant(name, Constant::f32([], &[value]))
    }

    /// ln Σ weight · probability, of labels that they hold or that they do not.
    fn mean_probability(&mut self, scores: &[ValueId], weighted: &[(usize, f64)], holds: bool) -> Emitted {
        let first = self.graph.named_constant("ensemble.members", Constant::i64([1], &[0]));
        let mut terms = Vec::with_capacity(weighted.len());
        for (at, weight) in weighted {
            let log = match self.of_labels() {
                true => self.log_sigmoid(scores[*at], holds)?,
                false => self.log_softmax(scores[*at])?,
            };
            let weight = self.number("ensemble.log_weight", weight.ln() as f32);
            let term = self.graph.append("Add", &[log, weight], &[], "ensemble.term")?;
            terms.push(self.graph.append("Unsqueeze", &[term, first], &[], "ensemble.term_of_member")?);
        }
        let terms = self.graph.append("Concat", &terms, &[("axis", 0.into())], "ensemble.terms")?;
        self.reduce("ReduceLogSumExp", terms, 0, "ensemble.log_probabilities")
    }

    /// A reduction over one axis, which goes.
    fn reduce(&mut self, operator: &str, value: ValueId, axis: i64, name: &str) -> Emitted {
        let keep = ("keepdims", Attribute::Int(0));
        if self.graph.opset < axes_input_since(operator) {
            return self.graph.append(operator, &[value], &[("axes", vec![axis].into()), keep], name);
        }
        let axes = self.graph.named_constant("ensemble.axes", Constant::i64([1], &[axis]));
        self.graph.append(operator, &[value, axes], &[keep], name)
    }

    fn log_softmax(&mut self, scores: ValueId) -> Emitted {
        self.graph.append("LogSoftmax", &[scores], &[("axis", 1.into())], "ensemble.log_softmax")
    }

    /// ln sigmoid(x) = −softplus(−x), or ln(1 − sigmoid(x)) = −softplus(x).
    fn log_sigmoid(&mut self, scores: ValueId, holds: bool) -> Emitted {
        let turned = if holds { self.graph.append("Neg", &[scores], &[], "ensemble.turned")? } else { scores };
        let softplus = self.graph.append("Softplus", &[turned], &[], "ensemble.softplus")?;
        self.graph.append("Neg", &[softplus], &[], "ensemble.log_sigmoid")
    }

    /// One for what a member votes for, zero for the rest.
    fn votes(&mut self, scores: ValueId) -> Emitted {
        let voted = if self.of_labels() {
            let zero = self.number("ensemble.zero", 0.0);
            self.graph.append("Greater", &[scores, zero], &[], "ensemble.voted")?
        } else {
            let most_likely = self.graph.append("ArgMax", &[scores], &[("axis", 1.into())], "ensemble.most_likely")?;
            let numbers = self.class_numbers(scores)?;
            self.graph.append("Equal", &[most_likely, numbers], &[], "ensemble.voted")?
        };
        let float = i64::from(ElementType::F32.to_onnx());
        self.graph.append("Cast", &[voted], &[("to", float.into())], "ensemble.votes")
    }

    /// The numbers of the classes along the second axis.
    fn class_numbers(&mut self, scores: ValueId) -> Emitted {
        let axes = self.graph.shape(scores)?.len();
        let mut shape = vec![1; axes];
        shape[1] = self.columns;
        let numbers: Vec<i64> = (0..self.columns as i64).collect();
        Ok(self.graph.named_constant("ensemble.classes", Constant::i64(shape, &numbers)))
    }

    /// Each class's or label's rank by the tables of a member.
    fn ranks(&mut self, scores: ValueId, tables: &[RankTable]) -> Emitted {
        let ranked = if self.of_labels() { scores } else { self.log_softmax(scores)? };
        let steps = tables.iter().map(|table| table.places.len() - 1).max().unwrap_or(0).max(1);
        let shape = [tables.len(), steps];
        let (mut from, mut slopes, mut heights, mut least) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for table in tables {
            // shorter tables end in steps of no height
            let last = table.places[table.places.len() - 1];
            let places = table.places.windows(2).map(|pair| (pair[0], 1.0 / (f64::from(pair[1]) - f64::from(pair[0]))));
            let rises = table.ranks.windows(2).map(|pair| (pair[1] - pair[0]) as f32);
            let (places, rises): (Vec<(f32, f64)>, Vec<f32>) = (places.collect(), rises.collect());
            from.extend((0..steps).map(|at| places.get(at).map_or(last, |(place, _)| *place)));
            slopes.extend((0..steps).map(|at| places.get(at).map_or(1.0, |(_, slope)| *slope as f32)));
            heights.extend((0..steps).map(|at| rises.get(at).copied().unwrap_or(0.0)));
            least.push(table.ranks[0] as f32);
        }
        let graph = &mut *self.graph;
        let behind = graph.named_constant("ensemble.behind", Constant::i64([1], &[2]));
        let from = graph.named_constant("ensemble.rank_places", Constant::f32(shape, &from));
        let slopes = graph.named_constant("ensemble.rank_slopes", Constant::f32(shape, &slopes));
        let heights = graph.named_constant("ensemble.rank_heights", Constant::f32(shape, &heights));
        let least = graph.named_constant("ensemble.least_ranks", Constant::f32([tables.len()], &least));
        let (zero, one) = (self.number("ensemble.zero", 0.0), self.number("ensemble.one", 1.0));
        let graph = &mut *self.graph;
        let ranked = graph.append("Unsqueeze", &[ranked, behind], &[], "ensemble.ranked")?;
        let beyond = graph.append("Sub", &[ranked, from], &[], "ensemble.beyond")?;
        let passed = graph.append("Mul", &[beyond, slopes], &[], "ensemble.passed")?;
        let passed = graph.append("Clip", &[passed, zero, one], &[], "ensemble.passed_share")?;
        let risen = graph.append("Mul", &[passed, heights], &[], "ensemble.risen")?;
        let risen = self.reduce("ReduceSum", risen, 2, "ensemble.risen_sum")?;
        self.graph.append("Add", &[risen, least], &[], "ensemble.rank")
    }

    fn linear(
        &mut self,
        features: LinearFeatures,
        coefficients: &[Vec<f64>],
        intercepts: &[f64],
        scores: &[ValueId],
    ) -> Emitted {
        let axis = [("axis", Attribute::Int(1))];
        let mut read = Vec::with_capacity(scores.len());
        for value in scores {
            read.push(match features {
                LinearFeatures::LogProbabilities => self.log_softmax(*value)?,
                LinearFeatures::Probabilities => self.graph.append("Softmax", &[*value], &axis, "ensemble.softmax")?,
                LinearFeatures::Scores => *value,
            });
        }
        let read = match read[..] {
            [only] => only,
            _ => self.graph.append("Concat", &read, &axis, "ensemble.features")?,
        };
        let weight = Constant::f32([coefficients.len(), self.columns], &narrowed(coefficients.iter().flatten()));
        let weight = self.graph.named_constant("ensemble.coefficients", weight);
        let bias = Constant::f32([self.columns], &narrowed(intercepts.iter()));
        let bias = self.graph.named_constant("ensemble.intercepts", bias);
        self.graph.append("Gemm", &[read, weight, bias], &[], "ensemble.scores")
    }

    /// Of the values sorted over the members the one in the middle, or the mean of the two there.
    fn median(&mut self, scores: &[ValueId]) -> Emitted {
        let mut values = Vec::with_capacity(scores.len());
        for value in scores {
            let is_of_classes = self.reads == PredictionKind::ClassScores;
            values.push(if is_of_classes { self.log_softmax(*value)? } else { *value });
        }
        if let [only] = values[..] {
            return Ok(only);
        }
        let (half, is_even) = (values.len() / 2, values.len().is_multiple_of(2));
        let first = self.graph.named_constant("ensemble.members", Constant::i64([1], &[0]));
        for value in &mut values {
            *value = self.graph.append("Unsqueeze", &[*value, first], &[], "ensemble.value_of_member")?;
        }
        let graph = &mut *self.graph;
        let axis = ("axis", Attribute::Int(0));
        let all = graph.append("Concat", &values, std::slice::from_ref(&axis), "ensemble.values")?;
        let count = graph.named_constant("ensemble.lower_half", Constant::i64([1], &[half as i64 + 1]));
        let smallest = [axis.clone(), ("largest", Attribute::Int(0)), ("sorted", Attribute::Int(1))];
        let lower = graph.append("TopK", &[all, count], &smallest, "ensemble.lower_values")?;
        // the operator has no fewer outputs than two
        graph.add_output(lower, 1)?;
        if !is_even {
            let middle = graph.named_constant("ensemble.middle", Constant::i64([], &[half as i64]));
            return graph.append("Gather", &[lower, middle], &[axis], "ensemble.median");
        }
        let middle = graph.named_constant("ensemble.middle", Constant::i64([2], &[half as i64 - 1, half as i64]));
        let middle = graph.append("Gather", &[lower, middle], &[axis], "ensemble.middle_values")?;
        self.reduce("ReduceMean", middle, 0, "ensemble.median")
    }

    /// Shares as scores.
    fn handed_on(&mut self, shares: ValueId) -> Emitted {
        let least = self.number("ensemble.least_share", LEAST_SHARE as f32);
        let of_labels = self.of_labels();
        let most = if of_labels { 1.0 - LEAST_SHARE as f32 } else { 1.0 };
        let (one, most) = (self.number("ensemble.one", 1.0), self.number("ensemble.most_share", most));
        let graph = &mut *self.graph;
        let shares = graph.append("Clip", &[shares, least, most], &[], "ensemble.shares")?;
        let log = graph.append("Log", &[shares], &[], "ensemble.log_shares")?;
        if !of_labels {
            return Ok(log);
        }
        let rest = graph.append("Sub", &[one, shares], &[], "ensemble.rest")?;
        let rest = graph.append("Log", &[rest], &[], "ensemble.log_rest")?;
        graph.append("Sub", &[log, rest], &[], "ensemble.log_odds")
    }
}

fn narrowed<'a>(values: impl Iterator<Item = &'a f64>) -> Vec<f32> {
    values.map(|value| *value as f32).collect()
}
