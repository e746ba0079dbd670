use std::collections::BTreeMap;

use millstream_schemas::{nearest, shown};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::assignment::Assignment;
use super::distribution::Distribution;
use crate::{Random, SearchError};

/// A parameter of a space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name: its place in the recipe.
    pub name: String,
    /// What it may be.
    pub distribution: Distribution,
    /// Where it is there at all; everywhere if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
}

/// What another parameter must have chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The name of that parameter, a choice among values that stands earlier.
    pub parameter: String,
    /// The place of the value in its list, from 0.
    pub alternative: u32,
}

/// Parameters that are there together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Where they are there.
    pub when: Option<Condition>,
    /// Their places among the parameters.
    pub members: Vec<usize>,
}

/// Parameters, each with what it may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Space {
    parameters: Vec<Parameter>,
    #[serde(skip)]
    groups: Vec<Group>,
}

impl Space {
    /// A space of these parameters.
    ///
    /// # Errors
    /// Two of one name, or a condition on something that is no choice among values that stands before it.
    pub fn new(parameters: Vec<Parameter>) -> Result<Self, SearchError> {
        let mut alternatives = BTreeMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for (place, Parameter { name, distribution, when }) in parameters.iter().enumerate() {
            if let Some(Condition { parameter, alternative }) = when {
                let Some(Some(count)) = alternatives.get(parameter.as_str()) else {
                    let message =
                        format!("it depends on `{}`, which is no choice among values before it", shown(parameter));
                    return Err(SearchError::assignment(name, message));
                };
                if alternative >= count {
                    let message =
                        format!("it depends on value {alternative} of `{}`, which has {count}", shown(parameter));
                    return Err(SearchError::assignment(name, message));
                }
            }
            let count = distribution.alternatives().map(|values| values.len() as u32);
            if alternatives.insert(name.as_str(), count).is_some() {
                return Err(SearchError::assignment(name, "there are two of this name"));
            }
            match groups.iter_mut().find(|group| group.when == *when) {
                Some(group) => group.members.push(place),
                None => groups.push(Group { when: when.clone(), members: vec![place] }),
            }
        }
        Ok(Self { parameters, groups })
    }

    /// All parameters; what one depends on stands before it.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameters by where they are there; what a group depends on is in an earlier one.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// Whether what has this condition is there.
    pub fn is_there(when: Option<&Condition>, assignment: &Assignment) -> bool {
        when.is_none_or(|when| assignment.get(&when.parameter) == Some(f64::from(when.alternative)))
    }

    /// An assignment that is filled group by group: `fill` is given the group and writes one setting for each of its members.
    pub fn filled_by(&self, mut fill: impl FnMut(&Group, &Assignment) -> Vec<f64>) -> Assignment {
        let mut assignment = Assignment::default();
        for group in &self.groups {
            if Self::is_there(group.when.as_ref(), &assignment) {
                let settings = fill(group, &assignment);
                for (member, setting) in group.members.iter().zip(settings) {
                    assignment.set(&self.parameters[*member].name, setting);
                }
            }
        }
        assignment
    }

    /// An assignment that is drawn at random: a parameter's setting depends on the seed, the trial and its own name alone.
    pub fn drawn(&self, seed: u64, number: u64) -> Assignment {
        self.filled_by(|group, _| self.drawn_group(group, seed, number))
    }

    /// As [`Space::drawn`], the settings of one group.
    pub(crate) fn drawn_group(&self, group: &Group, seed: u64, number: u64) -> Vec<f64> {
        let members = group.members.iter().map(|member| &self.parameters[*member]);
        members
            .map(|Parameter { name, distribution, .. }| distribution.at(Random::of(seed, number, name).uniform()))
            .collect()
    }

    /// Refuses an assignment that lacks a parameter, has one too many, or a setting that is none.
    ///
    /// # Errors
    /// Which parameter, and why.
    pub fn check(&self, assignment: &Assignment) -> Result<(), SearchError> {
        for Parameter { name, distribution, when } in &self.parameters {
            match (Self::is_there(when.as_ref(), assignment), assignment.get(name)) {
                (true, None) => return Err(SearchError::assignment(name, "it has no setting")),
                (true, Some(setting)) if !distribution.holds(setting) => {
                    let message = format!("wanted {}, got {setting}", shown(distribution.written().to_string()));
                    return Err(SearchError::assignment(name, message));
                }
                (false, Some(_)) => return Err(SearchError::assignment(name, "it is set where it is not there")),
                _ => {}
            }
        }
        match assignment.iter().find(|(name, _)| self.get(name).is_none()) {
            Some((name, _)) => Err(self.unknown(name)),
            None => Ok(()),
        }
    }

    /// The assignment that gives parameters these values, as a recipe writes them: of a choice one of its values, or its place.
    ///
    /// # Errors
    /// An unknown name, a value that is none, or a parameter that is left out.
    pub fn assignment(&self, values: &Map<String, Value>) -> Result<Assignment, SearchError> {
        let mut assignment = Assignment::default();
        for (name, value) in values {
            let parameter = self.get(name).ok_or_else(|| self.unknown(name))?;
            let setting = parameter.distribution.setting(value).ok_or_else(|| {
                let wanted = shown(parameter.distribution.written().to_string());
                SearchError::assignment(name, format!("wanted {wanted}, got {}", shown(value.to_string())))
            })?;
            assignment.set(name, setting);
        }
        self.check(&assignment)?;
        Ok(assignment)
    }

    /// Which settings an assignment has, parameter by parameter; the same of two that mean the same: of settings with steps their places
    /// from 0, of others their bits.
    pub(crate) fn places(&self, assignment: &Assignment) -> Vec<Option<u64>> {
        let place = |Parameter { name, distribution, .. }: &Parameter| {
            let setting = assignment.get(name)?;
            Some(match distribution.scale() {
                Some(scale) if scale.low == scale.high => 0,
                Some(scale) if scale.step > 0.0 => ((setting - scale.low) / scale.step).round() as u64,
                // 0 and −0 are one
                Some(_) => (setting + 0.0).to_bits(),
                None => setting as u64,
            })
        };
        self.parameters.iter().map(place).collect()
    }

    fn unknown(&self, name: &str) -> SearchError {
        let near = nearest(name, self.parameters.iter().map(|parameter| parameter.name.as_str()));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{}`?", shown(near)));
        SearchError::assignment(&shown(name), format!("there is none of this name{near}"))
    }

    /// The values that an assignment stands for, by the parameters' names.
    pub fn values(&self, assignment: &Assignment) -> Vec<(&str, Value)> {
        let setting = |parameter: &Parameter| Some((assignment.get(&parameter.name)?, parameter.distribution.clone()));
        let value = |parameter| setting(parameter).map(|(setting, distribution)| distribution.value(setting));
        self.parameters.iter().filter_map(|parameter| Some((parameter.name.as_str(), value(parameter)?))).collect()
    }
}

impl<'de> Deserialize<'de> for Space {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conditional() -> Space {
        let value = json!({
            "optimizer": {"choose": [
                "sgd",
                {"adam": {"beta": {"uniform": [0.8, 0.99]}, "kind": {"choose": [{"plain": {}}, {"fused": {"integer": [1, 3]}}]}}},
            ]},
            "rate": {"log_uniform": [1e-5, 1.0]},
        });
        Space::extract(&value).unwrap().0
    }

    #[test]
    fn groups_are_those_that_are_there_together() {
        let space = conditional();
        let names = |group: &Group| -> Vec<&str> {
            group.members.iter().map(|at| space.parameters()[*at].name.as_str()).collect()
        };
        let groups: Vec<Vec<&str>> = space.groups().iter().map(names).collect();
        let inner = vec!["optimizer.adam.beta", "optimizer.adam.kind"];
        assert_eq!(groups, [vec!["optimizer", "rate"], inner, vec!["optimizer.adam.kind.fused"]]);
    }

    #[test]
    fn what_is_drawn_holds_and_depends_on_the_name_alone() {
        let space = conditional();
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..200 {
            let assignment = space.drawn(3, number);
            space.check(&assignment).unwrap();
            seen.insert(assignment.iter().count());
            let alone = Space::new(vec![space.get("rate").unwrap().clone()]).unwrap();
            assert_eq!(alone.drawn(3, number).get("rate"), assignment.get("rate"));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [2, 4, 5]);
    }

    #[test]
    fn settings_that_are_none_are_refused_by_name() {
        let space = conditional();
        let all =
            |settings: &[(&str, f64)]| settings.iter().map(|(name, setting)| ((*name).to_owned(), *setting)).collect();
        for (settings, message) in [
            (&[("optimizer", 0.0)][..], "parameter `rate`: it has no setting"),
            (&[("optimizer", 1.0), ("rate", 0.1)], "parameter `optimizer.adam.beta`: it has no setting"),
            (&[("optimizer", 2.0), ("rate", 0.1)], "parameter `optimizer`: wanted {\"choose\":"),
            (
                &[("optimizer", 0.0), ("rate", f64::NAN)],
                "parameter `rate`: wanted {\"log_uniform\":[0.00001,1.0]}, got NaN",
            ),
            (
                &[("optimizer", 0.0), ("rate", 0.1), ("optimizer.adam.beta", 0.9)],
                "parameter `optimizer.adam.beta`: it is set where it is not there",
            ),
            (
                &[("optimizer", 0.0), ("rate", 0.1), ("rat", 1.0)],
                "parameter `rat`: there is none of this name; did you mean `rate`?",
            ),
        ] {
            let error = space.check(&all(settings)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn values_give_an_assignment_and_come_from_it() {
        let space = conditional();
        let given = json!({"optimizer": "sgd", "rate": 0.01});
        let assignment = space.assignment(given.as_object().unwrap()).unwrap();
        assert_eq!(space.values(&assignment), [("optimizer", json!("sgd")), ("rate", json!(0.01))]);
        let wrong = json!({"optimizer": "sdg", "rate": 0.01});
        let error = space.assignment(wrong.as_object().unwrap()).unwrap_err().to_string();
        assert!(error.contains("got \"sdg\""), "{error}");
    }

    #[test]
    fn a_space_is_written_and_read_again_and_a_damaged_one_is_refused() {
        let space = conditional();
        let text = serde_json::to_string(&space).unwrap();
        assert_eq!(serde_json::from_str::<Space>(&text).unwrap(), space);
        let uniform = json!({"uniform": [0, 1]});
        for (parameters, message) in [
            (
                json!([{"name": "a", "distribution": uniform}, {"name": "a", "distribution": uniform}]),
                "two of this name",
            ),
            (
                json!([{"name": "a", "distribution": uniform, "when": {"parameter": "b", "alternative": 0}}]),
                "depends on `b`",
            ),
            (
                json!([{"name": "a", "distribution": {"choose": [1]}},
                    {"name": "b", "distribution": uniform, "when": {"parameter": "a", "alternative": 1}}]),
                "depends on value 1 of `a`, which has 1",
            ),
            (json!([{"name": "a", "distribution": {"rate": 1}}]), "wanted one of"),
        ] {
            let error = serde_json::from_value::<Space>(parameters).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
