//! Settings bred from those that no other beats in every figure.

use libm::pow;
use millstream_schemas::choice::{Options, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::proposer_function::{Proposal, ProposerFunction, Request};
use super::proposer_kind::{Build, ProposerKind};
use crate::spaces::{Assignment, Parameter};
use crate::trials::{constrained_dominates, crowding, fronts};
use crate::{Objective, Random, Space, Trial, TrialState};

pub(super) const PROPOSER: ProposerKind = ProposerKind {
    name: "nsga_ii",
    summary: "Settings bred from those that no other beats in every figure; for several figures and some hundred trials.",
    documentation: "The elitist genetic algorithm of Deb et al. (2002). The first `population` trials are drawn at random. From then on the \
        best of the last generation and its parents, front by front and in the last front the least crowded, are parents of the next. Two \
        that win tournaments of two have a child (with the probability `crossover`, otherwise one alone): half of its numbers are those of \
        one of them, half lie around both (simulated binary crossover of index 15), and each is changed with the probability `mutation`, \
        one in the number of parameters unless it is given (polynomial mutation of index 20). Alternatives, and numbers of at most 16 \
        settings, are taken from either and drawn anew instead. Trials that break constraints come behind those that do not.",
    samples: &["{}", r#"{"population": 20, "crossover": 0.8, "mutation": 0.1}"#],
    build: Build::of::<NsgaTwo>(),
};

/// Children that are thrown away because they were tried already.
const TRIES: usize = 10;
/// Settings up to which a number is treated as a choice.
const COARSE: u64 = 16;
/// How near children are to their parents: the larger, the nearer.
const CROSSOVER_INDEX: f64 = 15.0;
const MUTATION_INDEX: f64 = 20.0;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NsgaTwo {
    /// Trials of a generation.
    #[schemars(range(min = 2, max = 10_000))]
    population: usize,
    /// Probability that a child has two parents.
    #[schemars(range(min = 0, max = 1))]
    crossover: f64,
    /// Probability that a setting is drawn anew; without it one in the number of parameters.
    #[schemars(range(min = 0, max = 1))]
    mutation: Option<f64>,
}

impl Default for NsgaTwo {
    fn default() -> Self {
        Self { population: 50, crossover: 0.9, mutation: None }
    }
}

impl Options for NsgaTwo {
    fn validate(&self) -> Result<(), String> {
        between("population", self.population, 2, 10_000)?;
        between("crossover", self.crossover, 0.0, 1.0)?;
        self.mutation.map_or(Ok(()), |mutation| between("mutation", mutation, 0.0, 1.0))
    }
}

impl ProposerFunction for NsgaTwo {
    fn check(&self, _: &Space, _: &[Objective]) -> Result<(), String> {
        Ok(())
    }

    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        let mut parents: Vec<Parent<'_>> = Vec::new();
        let mut generation = 0;
        loop {
            // What was asked for by somebody belongs to the first generation.
            let of = |trial: &Trial| trial.note.get("generation").and_then(Value::as_u64).unwrap_or(0);
            let complete = request.history.in_state(TrialState::Complete);
            let members: Vec<&Trial> = complete.filter(|trial| of(trial) == generation).collect();
            if members.len() < self.population {
                break;
            }
            let all = parents.iter().map(|parent| parent.trial).chain(members).collect();
            parents = self.select(all, request);
            generation += 1;
        }
        let note = json!({ "generation": generation });
        if parents.is_empty() {
            return Some(Proposal { assignment: request.drawn(), note });
        }
        let mut random = request.random("nsga_ii");
        let mut child = self.child(request, &parents, &mut random);
        for _ in 1..TRIES {
            if request.history.trials.iter().all(|trial| trial.assignment != child) {
                break;
            }
            child = self.child(request, &parents, &mut random);
        }
        Some(Proposal { assignment: child, note })
    }
}

/// A trial that children are bred from.
struct Parent<'a> {
    trial: &'a Trial,
    front: usize,
    distance: f64,
}

impl NsgaTwo {
    /// The best of some trials: front by front, and in the last front the least crowded.
    fn select<'a>(&self, trials: Vec<&'a Trial>, request: &Request<'_>) -> Vec<Parent<'a>> {
        let losses: Vec<Vec<f64>> = trials.iter().map(|trial| request.history.losses(trial)).collect();
        let dominates = |a: usize, b: usize| constrained_dominates((trials[a], &losses[a]), (trials[b], &losses[b]));
        let mut parents = Vec::new();
        for (front, members) in fronts(trials.len(), dominates).into_iter().enumerate() {
            let of_front: Vec<Vec<f64>> = members.iter().map(|member| losses[*member].clone()).collect();
            let distances = crowding(&of_front);
            let mut found: Vec<Parent<'a>> = members
                .iter()
                .zip(distances)
                .map(|(member, distance)| Parent { trial: trials[*member], front, distance })
                .collect();
            found.sort_by(|a, b| b.distance.total_cmp(&a.distance).then(a.trial.number.cmp(&b.trial.number)));
            found.truncate(self.population - parents.len());
            parents.extend(found);
            if parents.len() >= self.population {
                break;
            }
        }
        parents
    }

    fn child(&self, request: &Request<'_>, parents: &[Parent<'_>], random: &mut Random) -> Assignment {
        let first = tournament(parents, random);
        let second = if random.uniform() < self.crossover { tournament(parents, random) } else { first };
        let count = first.assignment.iter().count().max(1);
        let mutation = self.mutation.unwrap_or(1.0 / count as f64);
        request.space.filled_by(|group, _| {
            let member = |member: &usize| {
                let Parameter { name, distribution, .. } = &request.space.parameters()[*member];
                let (chosen, other) = if random.uniform() < 0.5 { (first, second) } else { (second, first) };
                let inherited = (chosen.assignment.get(name), other.assignment.get(name));
                let is_mutated = random.uniform() < mutation;
                let is_coarse = distribution.count().is_some_and(|count| count <= COARSE);
                let (Some(one), other) = (inherited.0.or(inherited.1), inherited.1) else {
                    // Neither parent has it.
                    return distribution.at(random.uniform());
                };
                if is_coarse {
                    return if is_mutated { distribution.at(random.uniform()) } else { one };
                }
                let mut unit = distribution.unit(one);
                if let Some(other) = other.filter(|_| random.uniform() < 0.5) {
                    unit = crossed(unit, distribution.unit(other), random);
                }
                if is_mutated {
                    unit = mutated(unit, random);
                }
                // What is not changed keeps its bits.
                if unit == distribution.unit(one) { one } else { distribution.at(unit.clamp(0.0, 1.0)) }
            };
            group.members.iter().map(member).collect()
        })
    }
}

/// A number around two others from 0 to 1: simulated binary crossover within bounds (Deb and Agrawal 1995).
fn crossed(one: f64, other: f64, random: &mut Random) -> f64 {
    let (low, high) = (one.min(other), one.max(other));
    let width = high - low;
    if width < 1e-14 {
        return one;
    }
    let share = random.uniform();
    let spread = |room: f64| {
        let alpha = 2.0 - pow(1.0 + 2.0 * room / width, -(CROSSOVER_INDEX + 1.0));
        let ratio = if share * alpha <= 1.0 { share * alpha } else { 1.0 / (2.0 - share * alpha) };
        pow(ratio, 1.0 / (CROSSOVER_INDEX + 1.0))
    };
    // On the side of the one that comes first.
    let middle = 0.5 * (low + high);
    if one < other { middle - 0.5 * spread(low) * width } else { middle + 0.5 * spread(1.0 - high) * width }
}

/// A number near another from 0 to 1: polynomial mutation within bounds (Deb and Goyal 1996).
fn mutated(unit: f64, random: &mut Random) -> f64 {
    let share = random.uniform();
    let root = |value: f64| pow(value, 1.0 / (MUTATION_INDEX + 1.0));
    let room = |room: f64| pow(1.0 - room, MUTATION_INDEX + 1.0);
    if share < 0.5 {
        unit + root(2.0 * share + (1.0 - 2.0 * share) * room(unit)) - 1.0
    } else {
        unit + 1.0 - root(2.0 * (1.0 - share) + (2.0 * share - 1.0) * room(1.0 - unit))
    }
}

/// The better of two by chance: of an earlier front, or else of a less crowded place.
fn tournament<'a>(parents: &[Parent<'a>], random: &mut Random) -> &'a Trial {
    let [one, other] = [(); 2].map(|()| &parents[random.below(parents.len())]);
    let wins = (other.front, -other.distance) < (one.front, -one.distance);
    if wins { other.trial } else { one.trial }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Asked, Catalogs, Outcome, Study, StudySettings};
    use millstream_schemas::Choice;

    fn study(recipe: Value, population: usize) -> Study {
        let space = Space::extract(&recipe).unwrap().0;
        let objectives = vec![Objective::minimize("time"), Objective::maximize("accuracy")];
        let mut settings = StudySettings::new("s", space, objectives);
        settings.proposer = Choice::new("nsga_ii", json!({ "population": population }));
        Study::new(settings, &Catalogs::default()).unwrap()
    }

    #[test]
    fn the_front_of_two_figures_is_found() {
        // Schaffer's first problem: both figures are best for x from 0 to 2, within ±100, whatever y is.
        let recipe = json!({"x": {"uniform": [-100, 100]}, "y": {"choose": [0, {"z": {"uniform": [0, 1]}}]}});
        let mut study = study(recipe, 20);
        for _ in 0..400 {
            let Asked::Trial(trial) = study.ask().unwrap() else { panic!("there is always another") };
            let x = trial.assignment.get("x").unwrap();
            let penalty = trial.assignment.get("y.z").map_or(0.0, |z| z);
            let values = vec![x * x + penalty, -(x - 2.0) * (x - 2.0) - penalty];
            // The right half of the front is forbidden.
            study.tell(trial.number, Outcome::with(values, vec![x - 1.0])).unwrap();
        }
        let front = study.front();
        let xs: Vec<f64> = front.iter().map(|trial| trial.assignment.get("x").unwrap()).collect();
        assert!(front.len() >= 5 && xs.iter().all(|x| (-0.5..=1.0).contains(x)), "{xs:?}");
        assert!(front.iter().all(|trial| trial.violation() == 0.0));
        let generations: Vec<u64> =
            study.trials().iter().map(|trial| trial.note["generation"].as_u64().unwrap()).collect();
        assert_eq!([generations[19], generations[20], generations[399]], [0, 1, 19]);
    }

    #[test]
    fn children_are_near_their_parents_and_within_bounds() {
        let mut random = Random::of(3, 0, "children");
        for (one, other) in [(0.3, 0.5), (0.5, 0.3), (0.0, 1.0), (1.0, 1.0), (0.999, 0.2)] {
            let children: Vec<f64> = (0..2000).map(|_| crossed(one, other, &mut random)).collect();
            assert!(children.iter().all(|child| (-1e-12..=1.0 + 1e-12).contains(child)));
            let mean = children.iter().sum::<f64>() / 2000.0;
            assert!((mean - one).abs() < 0.06, "{one} {other}: {mean}");
            let changed: Vec<f64> = (0..2000).map(|_| mutated(one, &mut random)).collect();
            assert!(changed.iter().all(|child| (-1e-12..=1.0 + 1e-12).contains(child)));
            let far = changed.iter().filter(|child| (*child - one).abs() > 0.2).count();
            assert!(far < 100 && changed.iter().any(|child| (child - one).abs() > 0.02), "{one}: {far}");
        }
    }

    #[test]
    fn the_last_front_gives_its_least_crowded() {
        let space = Space::extract(&json!({})).unwrap().0;
        let objectives = [Objective::minimize("a"), Objective::minimize("b")];
        let trials: Vec<Trial> = [[5.0, 5.0], [0.0, 4.0], [1.9, 2.1], [2.0, 2.0], [4.0, 0.0]]
            .into_iter()
            .enumerate()
            .map(|(number, values)| Trial {
                state: TrialState::Complete,
                values: values.into(),
                ..Trial::waiting(number as u64, Assignment::default())
            })
            .collect();
        let history = crate::History { trials: &trials, finished: &[], objectives: &objectives };
        let request = Request { space: &space, seed: 0, number: 5, history };
        let selected = NsgaTwo { population: 3, ..NsgaTwo::default() }.select(trials.iter().collect(), &request);
        let mut numbers: Vec<u64> = selected.iter().map(|parent| parent.trial.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 3, 4]);
    }
}
