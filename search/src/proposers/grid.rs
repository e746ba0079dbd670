//! Every combination of settings once.

use std::collections::BTreeSet;

use millstream_schemas::choice::{Options, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::proposer_function::{Proposal, ProposerFunction, Request};
use super::proposer_kind::{Build, ProposerKind};
use crate::spaces::{Assignment, Condition, Distribution, Parameter, Size};
use crate::{Objective, Random, Space};

pub(super) const PROPOSER: ProposerKind = ProposerKind {
    name: "grid",
    summary: "Every combination of settings once, and then nothing more.",
    documentation: "The last parameter changes fastest. A parameter that can be anything between two numbers takes `points` \
        settings, the first and the last at its ends, evenly (as logarithms in `log_uniform`); an integer or a parameter with \
        steps takes all of its settings. What depends on an alternative is combined with that alternative alone. With `shuffle` \
        the combinations come in an order that the seed draws, so that a part of the grid is spread over all of it.",
    samples: &["{}", r#"{"points": 5}"#, r#"{"points": 2, "shuffle": true}"#],
    build: Build::of::<Grid>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Grid {
    /// Settings of a parameter that can be anything between two numbers; without it there may be none such.
    #[schemars(range(min = 2, max = 1000))]
    points: Option<u32>,
    /// Whether the combinations come in an order that the seed draws.
    shuffle: bool,
}

impl Options for Grid {
    fn validate(&self) -> Result<(), String> {
        self.points.map_or(Ok(()), |points| between("points", points, 2, 1000))
    }
}

impl ProposerFunction for Grid {
    fn check(&self, space: &Space, _: &[Objective]) -> Result<(), String> {
        let count = |parameter: &&Parameter| self.count(parameter);
        if let Some(Parameter { name, .. }) = space.parameters().iter().find(|parameter| count(parameter).is_none()) {
            return Err(format!(
                "grid needs `points`, the number of settings that `{name}` takes; it can be any number in its range"
            ));
        }
        match self.size(space, None) {
            Size::Finite(size) if size <= u128::from(u64::MAX) => Ok(()),
            _ => Err("grid has more combinations than can be counted; another proposer is needed".into()),
        }
    }

    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        let Size::Finite(size) = self.size(request.space, None) else { return None };
        let size = u64::try_from(size).ok()?;
        let cells = request.history.trials.iter().filter_map(|trial| trial.note.get("cell")?.as_u64());
        let next = cells.max().map_or(0, |last| last + 1);
        // somebody may have asked for some of them
        let space = request.space;
        let tried: BTreeSet<_> = request.history.trials.iter().map(|trial| space.places(&trial.assignment)).collect();
        let mut left = (next..size).map(|cell| (cell, self.at(space, self.place(cell, size, request.seed).into())));
        let (cell, assignment) = left.find(|(_, assignment)| !tried.contains(&space.places(assignment)))?;
        Some(Proposal { assignment, note: json!({ "cell": cell }) })
    }

    fn learns(&self) -> bool {
        false
    }
}

/// The combination at this place of all that a space has, which can be counted; each place below their number has another.
pub(crate) fn combination(space: &Space, place: u128) -> Assignment {
    Grid::default().at(space, place)
}

impl Grid {
    fn count(&self, parameter: &Parameter) -> Option<u64> {
        parameter.distribution.count().or(self.points.map(u64::from))
    }

    fn size(&self, space: &Space, when: Option<&Condition>) -> Size {
        space.size_where(when, &|parameter| self.count(parameter))
    }

    fn at(&self, space: &Space, place: u128) -> Assignment {
        let mut assignment = Assignment::default();
        self.fill(space, None, place, &mut assignment);
        assignment
    }

    /// Which combination comes at this place of the order.
    fn place(&self, cell: u64, size: u64, seed: u64) -> u64 {
        if !self.shuffle {
            return cell;
        }
        // A permutation of the least power of four that holds them all, walked until it is one of them (Black and Rogaway 2002).
        let half = (u64::BITS - (size - 1).leading_zeros()).div_ceil(2).max(1);
        let mask = (1u64 << half) - 1;
        let mut place = cell;
        loop {
            let (mut left, mut right) = (place >> half, place & mask);
            for round in 0..6 {
                let turned = Random::of(seed, right, ["a", "b", "c", "d", "e", "f"][round]).next_u64();
                (left, right) = (right, (left ^ turned) & mask);
            }
            place = left << half | right;
            if place < size {
                return place;
            }
        }
    }

    /// Sets what has this condition, and all that depends on it, to a combination: a number whose digits are settings.
    fn fill(&self, space: &Space, when: Option<&Condition>, mut combination: u128, assignment: &mut Assignment) {
        let members: Vec<&Parameter> =
            space.parameters().iter().filter(|parameter| parameter.when.as_ref() == when).collect();
        for parameter in members.into_iter().rev() {
            let Size::Finite(size) = space.size_of(parameter, &|parameter| self.count(parameter)) else { return };
            let mut digit = combination % size.max(1);
            combination /= size.max(1);
            if parameter.distribution.alternatives().is_none() {
                assignment.set(&parameter.name, self.setting(&parameter.distribution, digit as u64));
                continue;
            }
            for alternative in 0.. {
                let when = Condition { parameter: parameter.name.clone(), alternative };
                let Size::Finite(below) = self.size(space, Some(&when)) else { return };
                if digit < below {
                    assignment.set(&parameter.name, f64::from(alternative));
                    self.fill(space, Some(&when), digit, assignment);
                    break;
                }
                digit -= below;
            }
        }
    }

    fn setting(&self, distribution: &Distribution, digit: u64) -> f64 {
        match (distribution.scale(), distribution.count(), self.points) {
            // The ends are met to the bit.
            (Some(scale), None, Some(_)) if digit == 0 => scale.low,
            (Some(scale), None, Some(points)) if digit + 1 == u64::from(points) => scale.high,
            (Some(scale), None, Some(points)) => {
                let [low, high] = scale.ends();
                scale.setting(low + (high - low) * digit as f64 / f64::from(points - 1))
            }
            // the last is the largest, however steps are rounded
            (Some(scale), ..) => (scale.low + digit as f64 * scale.step).min(scale.high),
            (None, ..) => digit as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{History, Template, Trial};

    fn space() -> (Space, Template) {
        Space::extract(&json!({
            "a": {"integer": [0, 6], "step": 3},
            "b": {"choose": ["x", {"y": {"log_uniform": [1e-3, 1e-1]}, "z": {"choose": [1, 2]}}, {"w": {"uniform": [0.0, 1.0], "step": 0.5}}]},
        }))
        .unwrap()
    }

    fn all(grid: Grid) -> Vec<Value> {
        let (space, template) = space();
        grid.check(&space, &[]).unwrap();
        let mut trials = Vec::new();
        let mut values = Vec::new();
        loop {
            let history = History { trials: &trials, finished: &[], objectives: &[] };
            let request = Request { space: &space, seed: 4, number: trials.len() as u64, history };
            let Some(proposal) = grid.propose(&request) else { return values };
            space.check(&proposal.assignment).unwrap();
            values.push(template.filled(&proposal.assignment).unwrap());
            trials.push(Trial { note: proposal.note, ..Trial::waiting(request.number, proposal.assignment) });
        }
    }

    #[test]
    fn every_combination_comes_once() {
        let plain = all(Grid { points: Some(3), shuffle: false });
        assert_eq!(plain.len(), 3 * (1 + 3 * 2 + 3));
        assert_eq!(plain[0], json!({"a": 0, "b": "x"}));
        assert_eq!(plain[1], json!({"a": 0, "b": {"y": 1e-3, "z": 1}}));
        assert_eq!(plain[2], json!({"a": 0, "b": {"y": 1e-3, "z": 2}}));
        assert_eq!(plain[29], json!({"a": 6, "b": {"w": 1.0}}));
        let texts = |values: &[Value]| values.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(texts(&plain).len(), 30);
        let shuffled = all(Grid { points: Some(3), shuffle: true });
        assert_ne!(shuffled, plain);
        assert_eq!(texts(&shuffled), texts(&plain));
    }

    #[test]
    fn a_range_without_points_is_refused_by_name() {
        let error = Grid::default().check(&space().0, &[]).unwrap_err();
        assert!(error.starts_with("grid needs `points`, the number of settings that `b.y` takes"), "{error}");
        let large = Space::extract(&json!(vec![json!({"integer": [0, 999_999]}); 4])).unwrap().0;
        assert!(Grid::default().check(&large, &[]).unwrap_err().contains("more combinations"));
    }
}
