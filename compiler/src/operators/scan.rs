use super::{Gradient, Operator, TypeRuleInput, bodies};
use crate::CompilerError;
use crate::graph::{Length, TensorType};

/// `Scan` along an axis whose length the data decide: it runs as it is. One along an axis of known length is written out step by
/// step, and has the gradients of its nodes.
///
/// Its graph knows types, so its examples are models: `compiler/tests/forms/kept.rs`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Scan",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Refused(
        "the data decide how long the axis is that it goes along, so that its steps are not written out; export the model \
         with fixed lengths, or train layers behind it",
    ),
    samples: Vec::new,
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (body, graph) = bodies::body(rule, "body")?;
    let given = bodies::given(rule, 0);
    let scanned = rule.node.int("num_scan_inputs").and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let own = given.len().saturating_sub(body.outer());
    let Some(states) = own.checked_sub(scanned).filter(|_| scanned > 0) else {
        return Err(rule.error(format!("{own} inputs, of which it scans {scanned}")));
    };
    let axis = |name: &str, at: usize| rule.node.ints(name).and_then(|axes| axes.get(at).copied()).unwrap_or(0);
    let (mut all, mut steps) = (given.clone(), None::<Length>);
    for at in 0..scanned {
        let Some(sequence) = &mut all[states + at] else {
            return Err(bodies::not_known(rule, "what it scans is not known"));
        };
        let axis = rule.axis(axis("scan_input_axes", at), sequence.shape.len())?;
        steps = Some(sequence.shape.remove(axis));
    }
    let made = bodies::made(rule, graph, &all)?;
    let (Some(made_states), Some(entries)) = (made.get(..states), made.get(states..)) else {
        return Err(rule.error(format!("its graph makes {} values for {states} states", made.len())));
    };
    let mut types = bodies::states(rule, &given[..states], made_states)?;
    for (at, entry) in entries.iter().enumerate() {
        let Some(mut entry) = entry.clone() else {
            return Err(bodies::not_known(rule, "its steps make values of any shape"));
        };
        let axis = rule.axis(axis("scan_output_axes", at), entry.shape.len() + 1)?;
        entry.shape.insert(axis, steps.clone().unwrap_or_else(|| 1.into()));
        types.push(entry);
    }
    Ok(types)
}
