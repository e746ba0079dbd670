//! Settings drawn from a normal distribution that follows what was good.

use millstream_schemas::choice::{Options, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::proposer_function::{Proposal, ProposerFunction, Request, one_objective};
use super::proposer_kind::{Build, ProposerKind};
use crate::evolution::Evolution;
use crate::parzen::ParzenSearch;
use crate::spaces::{Group, Parameter, Scale};
use crate::trials::ranking;
use crate::{Assignment, Objective, Space};

/// Trials whose alternatives are spread evenly before anything is learned of them, as by `tpe`.
const STARTUP_TRIALS: usize = 8;

pub(super) const PROPOSER: ProposerKind = ProposerKind {
    name: "cma_es",
    summary: "Numbers drawn from a normal distribution that follows what was good; for some hundred quick trials.",
    documentation: "Covariance matrix adaptation (Hansen, 2016) with active updates, in the unit cube, around its middle at first with \
        the deviation `sigma`. A generation has `population` trials, 4 + ⌊3 ln n⌋ for n numbers unless it is given, and is learned \
        from when so many of it are known; until then more of it are drawn. Only the order counts: trials that ended early rank behind \
        complete ones, those that break constraints last. In a parameter with steps the deviation does not fall below a fifth of a step. \
        Alternatives, and what depends on them, are those of a scrambled Sobol sequence in the first 8 trials, and proposed as `tpe` does from \
        then on, apart from the numbers.",
    samples: &["{}", r#"{"population": 12, "sigma": 0.3}"#],
    build: Build::of::<CmaEs>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CmaEs {
    /// Trials of a generation; without it 4 + ⌊3 ln n⌋ for n numbers.
    #[schemars(range(min = 4, max = 1000))]
    population: Option<usize>,
    /// Deviation of the first generation, as a share of each range.
    #[schemars(range(min = 0.001, max = 1))]
    sigma: f64,
}

impl Default for CmaEs {
    fn default() -> Self {
        Self { population: None, sigma: 1.0 / 6.0 }
    }
}

impl Options for CmaEs {
    fn validate(&self) -> Result<(), String> {
        self.population.map_or(Ok(()), |population| between("population", population, 4, 1000))?;
        between("sigma", self.sigma, 0.001, 1.0)
    }
}

impl ProposerFunction for CmaEs {
    fn check(&self, space: &Space, objectives: &[Objective]) -> Result<(), String> {
        one_objective("cma_es", objectives)?;
        if numbers(space).is_empty() {
            return Err("cma_es needs a number that is open in every trial; tpe does without".into());
        }
        Ok(())
    }

    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        let numbers = numbers(request.space);
        let dimensions = numbers.len();
        let population = self.population.unwrap_or(4 + (3.0 * libm::log(dimensions as f64)).floor() as usize);
        let mut evolution = Evolution::new(dimensions, population, self.sigma);
        let mut generation = 0;
        while let Some(points) = generation_of(request, generation, population, dimensions) {
            evolution.learn(&points);
            generation += 1;
        }
        let least: Vec<f64> =
            numbers.iter().map(|(_, scale)| scale.count().map_or(0.0, |count| 0.2 / count as f64)).collect();
        let point = evolution.draw(&least, &mut request.random("cma_es"));
        let places: Vec<usize> = numbers.iter().map(|(place, _)| *place).collect();
        let mut assignment = others(request, &places);
        for (place, coordinate) in places.iter().zip(&point) {
            let Parameter { name, distribution, .. } = &request.space.parameters()[*place];
            assignment.set(name, distribution.at(*coordinate));
        }
        Some(Proposal { assignment, note: json!({"generation": generation, "point": point}) })
    }
}

/// Settings of what the normal distribution does not propose. It decides over these numbers alone, so they tell nothing of the others:
/// drawn along with them, an alternative would stay the one that the best trial has.
fn others(request: &Request<'_>, numbers: &[usize]) -> Assignment {
    if ranking(&request.history).len() < STARTUP_TRIALS {
        return request.spread();
    }
    let (search, mut random) = (ParzenSearch::default(), request.random("cma_es, alternatives"));
    request.space.filled_by(|group, _| {
        let left = group.members.iter().copied().filter(|member| !numbers.contains(member)).collect();
        let left = Group { when: group.when.clone(), members: left };
        let found = search.settings(request.space, &left, &request.history, &mut random);
        // the numbers are set afterwards
        let setting =
            |member: &usize| left.members.iter().position(|other| other == member).map_or(0.0, |at| found[at]);
        group.members.iter().map(setting).collect()
    })
}

/// The numbers that are open in every trial.
fn numbers(space: &Space) -> Vec<(usize, Scale)> {
    let parameters = space.parameters().iter().enumerate().filter(|(_, parameter)| parameter.when.is_none());
    let numbers = parameters.filter_map(|(at, parameter)| Some((at, parameter.distribution.scale()?)));
    numbers.filter(|(_, scale)| scale.count() != Some(1)).collect()
}

/// The points of the first `population` trials of a generation of which something is known, best first; `None` where there
/// are fewer.
fn generation_of(
    request: &Request<'_>,
    generation: u64,
    population: usize,
    dimensions: usize,
) -> Option<Vec<Vec<f64>>> {
    let history = &request.history;
    let finished = |number: u64| history.finished.iter().position(|other| *other == number).unwrap_or(usize::MAX);
    let mut members: Vec<(usize, usize, Vec<f64>)> = ranking(history)
        .iter()
        .enumerate()
        .filter(|(_, ranked)| {
            ranked.trial.note.get("generation").and_then(serde_json::Value::as_u64) == Some(generation)
        })
        .filter_map(|(rank, ranked)| {
            let point = ranked
                .trial
                .note
                .get("point")?
                .as_array()?
                .iter()
                .map(serde_json::Value::as_f64)
                .collect::<Option<Vec<_>>>()?;
            (point.len() == dimensions).then_some((finished(ranked.trial.number), rank, point))
        })
        .collect();
    if members.len() < population {
        return None;
    }
    members.sort_by_key(|(finished, rank, _)| (*finished, *rank));
    members.truncate(population);
    members.sort_by_key(|(_, rank, _)| *rank);
    Some(members.into_iter().map(|(.., point)| point).collect())
}
