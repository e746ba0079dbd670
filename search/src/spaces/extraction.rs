use std::collections::BTreeMap;

use serde_json::Value;

use super::distribution::Distribution;
use super::template::{Node, Template};
use super::{Condition, Parameter, Space};
use crate::SearchError;

impl Space {
    /// What is left open in a value, and the value with holes in it.
    ///
    /// Any value anywhere may be `{choose: [...]}`, `{uniform: [low, high]}`, `{log_uniform: [low, high]}` or
    /// `{integer: [low, high]}`; beside `uniform` and `integer` may stand a `step`, beside `integer` also `log: true`. What
    /// stands in an alternative of a `choose` is chosen only where that alternative is. A parameter is named by its place,
    /// `training.optimizer.learning_rate`; where two alternatives have the same one, the alternatives' numbers are in the
    /// names: `training.optimizer<0>.learning_rate`.
    ///
    /// # Errors
    /// A distribution that makes no sense, with its place.
    pub fn extract(value: &Value) -> Result<(Self, Template), SearchError> {
        let mut extraction = Extraction::default();
        let mut root = extraction.node(value, &Place::default(), None)?;
        let names = extraction.names();
        rename(&mut root, &names);
        let named = |(at, open): (usize, &Open)| Parameter {
            name: names[at].clone(),
            distribution: open.distribution.clone(),
            when: open.when.map(|(at, alternative)| Condition { parameter: names[at].clone(), alternative }),
        };
        let space = Self::new(extraction.open.iter().enumerate().map(named).collect())?;
        Ok((space, Template { root }))
    }
}

/// Where a value stands: in the filled recipe, and with the alternatives on the way.
#[derive(Clone, Default)]
struct Place {
    short: String,
    whole: String,
}

impl Place {
    fn key(&self, key: &str) -> Self {
        let below = |path: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        Self { short: below(&self.short), whole: below(&self.whole) }
    }

    fn item(&self, at: usize) -> Self {
        Self { short: format!("{}[{at}]", self.short), whole: format!("{}[{at}]", self.whole) }
    }

    fn alternative(&self, at: usize) -> Self {
        Self { short: self.short.clone(), whole: format!("{}<{at}>", self.whole) }
    }
}

struct Open {
    place: Place,
    distribution: Distribution,
    /// The parameter that it depends on, by number, and the alternative.
    when: Option<(usize, u32)>,
}

#[derive(Default)]
struct Extraction {
    open: Vec<Open>,
}

impl Extraction {
    /// A value as a part of a template, in which parameters are named by their numbers for now.
    fn node(&mut self, value: &Value, place: &Place, when: Option<(usize, u32)>) -> Result<Node, SearchError> {
        let shown = if place.short.is_empty() { "the value" } else { place.short.as_str() };
        if let Some(distribution) = Distribution::parse(value, shown)? {
            let number = self.open.len();
            self.open.push(Open { place: place.clone(), distribution: distribution.clone(), when });
            let values = distribution.alternatives().unwrap_or_default().iter().enumerate();
            let alternatives =
                values.map(|(at, value)| self.node(value, &place.alternative(at), Some((number, at as u32))));
            let alternatives = alternatives.collect::<Result<_, _>>()?;
            return Ok(Node::Open { parameter: number.to_string(), distribution, alternatives });
        }
        let before = self.open.len();
        let node = match value {
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(at, item)| self.node(item, &place.item(at), when));
                Node::List(items.collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let entries =
                    map.iter().map(|(key, value)| Ok((key.clone(), self.node(value, &place.key(key), when)?)));
                Node::Map(entries.collect::<Result<_, SearchError>>()?)
            }
            _ => Node::Fixed(value.clone()),
        };
        Ok(if self.open.len() == before { Node::Fixed(value.clone()) } else { node })
    }

    /// The parameters' names: the short place, or the whole one where the short one is another's too.
    fn names(&self) -> Vec<String> {
        let mut counts = BTreeMap::<&str, usize>::new();
        for open in &self.open {
            *counts.entry(&open.place.short).or_default() += 1;
        }
        let name = |open: &Open| {
            let name = if counts[open.place.short.as_str()] > 1 { &open.place.whole } else { &open.place.short };
            if name.is_empty() { "value".to_owned() } else { name.clone() }
        };
        self.open.iter().map(name).collect()
    }
}

fn rename(node: &mut Node, names: &[String]) {
    match node {
        Node::Fixed(_) => {}
        Node::List(items) => items.iter_mut().for_each(|item| rename(item, names)),
        Node::Map(entries) => entries.iter_mut().for_each(|(_, node)| rename(node, names)),
        Node::Open { parameter, alternatives, .. } => {
            let number: usize = parameter.parse().expect("the extraction named it by its number");
            parameter.clone_from(&names[number]);
            alternatives.iter_mut().for_each(|alternative| rename(alternative, names));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Assignment;

    fn names(space: &Space) -> Vec<&str> {
        space.parameters().iter().map(|parameter| parameter.name.as_str()).collect()
    }

    #[test]
    fn any_value_anywhere_may_be_open_and_the_rest_stays() {
        let recipe = json!({
            "model": "m.onnx",
            "training": {"batch": {"choose": [16, 32]}, "rate": {"log_uniform": [1e-4, 1e-1]}, "epochs": 3},
            "transforms": ["flip", {"rotate": {"degrees": {"integer": [0, 30], "step": 10}}}, {"choose": ["none", {"blur": {}}]}],
        });
        let (space, template) = Space::extract(&recipe).unwrap();
        assert_eq!(names(&space), ["training.batch", "training.rate", "transforms[1].rotate.degrees", "transforms[2]"]);
        let settings = [
            ("training.batch", 1.0),
            ("training.rate", 0.01),
            ("transforms[1].rotate.degrees", 20.0),
            ("transforms[2]", 1.0),
        ];
        let assignment: Assignment = settings.into_iter().map(|(name, setting)| (name.to_owned(), setting)).collect();
        let wanted = json!({
            "model": "m.onnx",
            "training": {"batch": 32, "rate": 0.01, "epochs": 3},
            "transforms": ["flip", {"rotate": {"degrees": 20}}, {"blur": {}}],
        });
        let filled = template.filled(&assignment).unwrap();
        assert_eq!(filled, wanted);
        // The order of keys is that of the recipe, and integers stay integers.
        assert_eq!(filled.to_string(), wanted.to_string());
    }

    #[test]
    fn nothing_open_is_a_space_without_parameters() {
        let recipe = json!({"a": [1, {"uniform": {"low": 0}}]});
        let (space, template) = Space::extract(&recipe).unwrap();
        assert!(space.parameters().is_empty());
        assert_eq!(template.filled(&Assignment::default()).unwrap(), recipe);
    }

    #[test]
    fn alternatives_with_the_same_place_are_told_apart() {
        let recipe = json!({"head": {"choose": [
            {"kind": "a", "width": {"integer": [1, 4]}},
            {"kind": "b", "width": {"integer": [8, 16]}, "depth": {"integer": [1, 2]}},
        ]}});
        let (space, template) = Space::extract(&recipe).unwrap();
        assert_eq!(names(&space), ["head", "head<0>.width", "head<1>.width", "head.depth"]);
        for number in 0..50 {
            let assignment = space.drawn(1, number);
            let head = &template.filled(&assignment).unwrap()["head"];
            let width = head["width"].as_i64().unwrap();
            assert_eq!(head["kind"] == "a", (1..=4).contains(&width) && head.get("depth").is_none());
        }
    }

    #[test]
    fn choices_within_choices_and_at_the_top() {
        let recipe = json!({"choose": [1, {"choose": [{"x": {"uniform": [0, 1]}}, 3]}]});
        let (space, template) = Space::extract(&recipe).unwrap();
        assert_eq!(names(&space), ["value", "<1>", "x"]);
        let drawn: Vec<Value> = (0..60).map(|number| template.filled(&space.drawn(0, number)).unwrap()).collect();
        assert!(
            drawn.contains(&json!(1))
                && drawn.contains(&json!(3))
                && drawn.iter().any(|value| value.get("x").is_some())
        );
    }

    #[test]
    fn errors_name_the_place() {
        for (recipe, message) in [
            (json!({"a": {"b": [0, {"uniform": [2, 1]}]}}), "a.b[1]: uniform wants"),
            (json!({"a": {"choose": [1, {"b": {"integer": [0]}}]}}), "a.b: integer wants"),
            (json!({"uniform": 3}), "the value: uniform wants"),
        ] {
            let error = Space::extract(&recipe).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let (_, template) = Space::extract(&json!({"a": {"integer": [0, 3]}})).unwrap();
        let with = |setting: f64| template.filled(&[("a".to_owned(), setting)].into_iter().collect());
        assert!(with(2.0).is_ok());
        assert_eq!(with(4.0).unwrap_err().to_string(), "parameter `a`: wanted {\"integer\":[0,3]}, got 4");
        let lacking = template.filled(&Assignment::default()).unwrap_err().to_string();
        assert_eq!(lacking, "parameter `a`: it has no setting");
    }
}
