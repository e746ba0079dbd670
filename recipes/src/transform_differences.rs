//! How two lists of transforms differ, in words.

use millstream_schemas::{Choice, shown, shown_up_to};
use millstream_transforms::Chain;

/// Steps that change the values themselves, in training and in evaluation of one recipe: where they differ, the model is
/// measured on other numbers than it learns from.
pub(crate) fn between_splits(train: &[Choice], evaluate: &[Choice]) -> Vec<String> {
    let values =
        |specs: &[Choice]| -> Vec<Choice> { specs.iter().filter(|spec| spec.name == "normalize").cloned().collect() };
    chain_differences(&values(train), &values(evaluate), "`transforms.train` has", "`transforms.evaluate` has")
}

/// Transforms of one list that the other lacks, by what they do and not by how they are written.
pub(crate) fn chain_differences(a: &[Choice], b: &[Choice], with_a: &str, with_b: &str) -> Vec<String> {
    let meaning = |spec: &Choice| match Chain::parse(std::slice::from_ref(spec)) {
        Ok(chain) => chain.fingerprint().to_string(),
        Err(_) => caption(spec), // known to another version; compared as it is written
    };
    let mut rest: Vec<(&Choice, String)> = b.iter().map(|spec| (spec, meaning(spec))).collect();
    let mut missing = Vec::new();
    let mut places = Vec::new();
    for spec in a {
        let own = meaning(spec);
        match rest.iter().position(|(_, other)| *other == own) {
            Some(at) => {
                let (spec, _) = rest.remove(at);
                places.push(b.iter().position(|other| std::ptr::eq(other, spec)));
            }
            None => missing.push(spec),
        }
    }
    let mut found = Vec::new();
    for spec in missing {
        let changed = rest.iter().position(|(other, _)| other.name == spec.name).map(|at| rest.remove(at).0);
        found.push(match changed {
            Some(other) => format!("{with_a} `{}`, {with_b} `{}`", caption(spec), caption(other)),
            None => format!("{with_a} `{}`, {with_b} no `{}`", caption(spec), shown(&spec.name)),
        });
    }
    found.extend(
        rest.iter().map(|(spec, _)| format!("{with_b} `{}`, {with_a} no `{}`", caption(spec), shown(&spec.name))),
    );
    if found.is_empty() && !places.is_sorted() {
        let names = |specs: &[Choice]| specs.iter().map(|spec| shown(&spec.name)).collect::<Vec<_>>().join(", ");
        found.push(format!("{with_a} `{}`, {with_b} the same in another order: `{}`", names(a), names(b)));
    }
    found
}

/// `normalize: {"mean":[0.5,0.5,0.5]}`.
fn caption(spec: &Choice) -> String {
    let bare = spec.options.as_object().is_some_and(serde_json::Map::is_empty);
    let text = if bare { spec.name.clone() } else { format!("{}: {}", spec.name, spec.options) };
    shown_up_to(text, 300)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn chains_are_compared_by_what_they_do() {
        let resize = || Choice::new("resize", json!({"size": 16}));
        let normalize = |mean: f64| Choice::new("normalize", json!({"mean": [mean, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}));
        let turned = || Choice::new("normalize", json!({"std": [0.5, 0.5, 0.5], "mean": [0.5, 0.5, 0.5]}));
        let flip = || Choice::new("vertical_flip", json!({"probability": 1.0}));
        let rows: Vec<(Vec<Choice>, Vec<Choice>, &[&str])> = vec![
            (vec![], vec![], &[]),
            (vec![resize(), normalize(0.5)], vec![resize(), turned()], &[]),
            (vec![resize(), normalize(0.5)], vec![resize()], &["A `normalize: {", "B no `normalize`"]),
            (vec![resize()], vec![resize(), normalize(0.5)], &["B `normalize: {", "A no `normalize`"]),
            (
                vec![normalize(0.5)],
                vec![normalize(0.25)],
                &["A `normalize: {\"mean\":[0.5,", "B `normalize: {\"mean\":[0.25,"],
            ),
            (vec![resize(), flip()], vec![flip(), resize()], &["in another order"]),
        ];
        for (a, b, wanted) in rows {
            let found = chain_differences(&a, &b, "A", "B");
            assert_eq!(found.len(), usize::from(!wanted.is_empty()), "{found:?}");
            assert!(wanted.iter().all(|part| found[0].contains(part)), "{found:?}");
        }
    }
}
