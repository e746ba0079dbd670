use super::{Gradient, Operator, TypeRuleInput, bodies};
use crate::CompilerError;
use crate::graph::{Graph, Length, TensorType, ValueId};

/// `Loop` whose number of turns the data decide: it runs as it is. One whose number is known is written out turn by turn, and
/// has the gradients of its nodes.
///
/// Its graph knows types, so its examples are models: `compiler/tests/forms/kept.rs`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Loop",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Refused(
        "the data decide how often it goes round, so that its turns are not written out; export the model with fixed \
         lengths, or train layers behind it",
    ),
    samples: Vec::new,
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (body, graph) = bodies::body(rule, "body")?;
    let [turn, goes_on] =
        [0, 1].map(|input| graph.inputs().get(input).and_then(|input| graph.tensor_type(*input)).cloned());
    let given = bodies::given(rule, 2);
    let all: Vec<Option<TensorType>> = [turn, goes_on].into_iter().chain(given.iter().cloned()).collect();
    let made = bodies::made(rule, graph, &all)?;
    let states = given.len().saturating_sub(body.outer());
    let (Some(made_states), Some(entries)) = (made.get(1..1 + states), made.get(1 + states..)) else {
        return Err(rule.error(format!("its graph makes {} values for {states} states", made.len())));
    };
    let mut types = bodies::states(rule, &given[..states], made_states)?;
    let turns = turns(rule, graph);
    for entry in entries {
        let Some(mut entry) = entry.clone() else {
            return Err(bodies::not_known(rule, "its turns make values of any shape"));
        };
        entry.shape.insert(0, turns.clone());
        types.push(entry);
    }
    Ok(types)
}

/// How many turns there are: as many as are asked for, unless one before may be the last; else a length of its own.
fn turns(rule: &TypeRuleInput<'_>, body: &Graph) -> Length {
    let asked = rule.node.input(0).and_then(|most| rule.graph.lengths_of(most));
    let is_true =
        |graph: &Graph, value: ValueId| graph.lengths_of(value).is_some_and(|truth| truth == [Length::from(1)]);
    let begins = rule.node.input(1).is_none_or(|condition| is_true(rule.graph, condition));
    let hands_on = |made: ValueId| {
        let maker = body.producer(made).filter(|maker| maker.is("Identity")).and_then(|maker| maker.input(0));
        maker.is_some() && maker == body.inputs().get(1).copied()
    };
    let goes_on = body.outputs().first().is_some_and(|made| is_true(body, *made) || hands_on(*made));
    match asked.as_deref() {
        Some([asked]) if begins && goes_on => asked.clone(),
        _ => Length::named(&format!("{} turns", rule.graph.label(rule.node))),
    }
}
