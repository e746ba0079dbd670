//! The tree-structured Parzen estimator (Bergstra et al. 2011; in the form of Watanabe 2023 and Optuna 5): kernels around what was
//! tried, of the better trials and of the others, and the settings that the former make likelier than the latter.

use libm::{exp, log};

use crate::numerics::normal;
use crate::spaces::{Distribution, Group, Scale};
use crate::trials::{History, Ranked, Trial, TrialState, ranking};
use crate::{Random, Space};

/// How the estimator is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParzenSearch {
    /// Share of the trials that count as the better ones, rounded up; 25 of them at most.
    pub(crate) better_share: f64,
    /// Settings that are drawn from the better trials' kernels, and of which the best is taken.
    pub(crate) candidates: usize,
    /// Whether parameters that are there together are looked at together.
    pub(crate) multivariate: bool,
    /// Whether trials that are not finished count among the worse, so that others keep away from them.
    pub(crate) constant_liar: bool,
}

impl Default for ParzenSearch {
    fn default() -> Self {
        Self { better_share: 0.15, candidates: 32, multivariate: true, constant_liar: true }
    }
}

impl ParzenSearch {
    /// Settings for the members of a group.
    pub(crate) fn settings(
        &self,
        space: &Space,
        group: &Group,
        history: &History<'_>,
        random: &mut Random,
    ) -> Vec<f64> {
        let (better, worse) = self.split(history);
        let mut search = |members: &[usize]| {
            let parameters = || members.iter().map(|member| &space.parameters()[*member]);
            let distributions: Vec<&Distribution> = parameters().map(|parameter| &parameter.distribution).collect();
            let observed = |trials: &[&Trial]| -> Vec<Vec<f64>> {
                let names = || parameters().map(|parameter| parameter.name.as_str());
                trials.iter().filter_map(|trial| trial.assignment.settings(names())).collect()
            };
            let better = Parzen::new(&distributions, &observed(&better));
            let worse = Parzen::new(&distributions, &observed(&worse));
            let mut best = (f64::NEG_INFINITY, Vec::new());
            for _ in 0..self.candidates.max(1) {
                let settings = better.sample(random);
                let gain = better.log_density(&settings) - worse.log_density(&settings);
                if gain > best.0 || best.1.is_empty() {
                    best = (gain, settings);
                }
            }
            best.1
        };
        if self.multivariate {
            search(&group.members)
        } else {
            group.members.iter().flat_map(|member| search(&[*member])).collect()
        }
    }

    /// The better trials, at most 25, and the others, each by number.
    fn split<'a>(&self, history: &History<'a>) -> (Vec<&'a Trial>, Vec<&'a Trial>) {
        let ranked = ranking(history);
        // What rounding puts above a whole number is not one more.
        let count = (self.better_share * ranked.len() as f64 - 1e-9).ceil().max(1.0) as usize;
        let count = count.min(25).min(ranked.len());
        let trials = |ranked: &[Ranked<'a>]| -> Vec<&'a Trial> { ranked.iter().map(|ranked| ranked.trial).collect() };
        let (mut better, mut worse) = (trials(&ranked[..count]), trials(&ranked[count..]));
        if self.constant_liar {
            worse.extend(
                [TrialState::Running, TrialState::Waiting].into_iter().flat_map(|state| history.in_state(state)),
            );
        }
        better.sort_by_key(|trial| trial.number);
        worse.sort_by_key(|trial| trial.number);
        (better, worse)
    }
}

/// A mixture of kernels, each the product over the parameters of one around what was observed; the last is that of nothing known.
struct Parzen {
    weights: Vec<f64>,
    log_weights: Vec<f64>,
    columns: Vec<Column>,
}

/// The kernels of one parameter.
enum Column {
    /// The only setting there is.
    Fixed(f64),
    /// For each kernel the probability of each value.
    Choices(Vec<Vec<f64>>),
    Numbers(Numbers),
}

/// Truncated normal kernels.
struct Numbers {
    scale: Scale,
    ends: [f64; 2],
    means: Vec<f64>,
    deviations: Vec<f64>,
    /// Logarithm of what a kernel would have within the ends if it were not truncated, and of its deviation where densities count.
    log_norms: Vec<f64>,
}

impl Parzen {
    /// Of observations, each a setting for each parameter, oldest first.
    fn new(distributions: &[&Distribution], observations: &[Vec<f64>]) -> Self {
        let mut weights = weights(observations.len());
        weights.push(1.0);
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let column = |(at, distribution): (usize, &&Distribution)| {
            let observed: Vec<f64> = observations.iter().map(|settings| settings[at]).collect();
            match (distribution.count(), distribution.alternatives(), distribution.scale()) {
                (Some(1), ..) => Column::Fixed(distribution.at(0.5)),
                (_, Some(values), _) => Column::Choices(choices(values.len(), &observed)),
                (_, _, Some(scale)) => Column::Numbers(Numbers::new(scale, &observed)),
                (_, None, None) => Column::Fixed(0.0),
            }
        };
        let columns = distributions.iter().enumerate().map(column).collect();
        Self { log_weights: weights.iter().map(|weight| log(*weight)).collect(), weights, columns }
    }

    fn sample(&self, random: &mut Random) -> Vec<f64> {
        let kernel = random.weighted(&self.weights);
        let mut setting = |column: &Column| match column {
            Column::Fixed(setting) => *setting,
            Column::Choices(probabilities) => random.weighted(&probabilities[kernel]) as f64,
            Column::Numbers(numbers) => numbers.sample(kernel, random.uniform()),
        };
        self.columns.iter().map(&mut setting).collect()
    }

    /// Logarithm of the density, up to what is the same for every mixture over these parameters.
    fn log_density(&self, settings: &[f64]) -> f64 {
        let mut logs = self.log_weights.clone();
        for (column, setting) in self.columns.iter().zip(settings) {
            match column {
                Column::Fixed(_) => {}
                Column::Choices(probabilities) => {
                    for (sum, probabilities) in logs.iter_mut().zip(probabilities) {
                        *sum += log(probabilities[*setting as usize]);
                    }
                }
                Column::Numbers(numbers) => numbers.add_log_densities(*setting, &mut logs),
            }
        }
        let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if highest == f64::NEG_INFINITY {
            return highest;
        }
        highest + log(logs.iter().map(|value| exp(value - highest)).sum())
    }
}

impl Numbers {
    fn new(scale: Scale, observed: &[f64]) -> Self {
        let ends = scale.ends();
        let [low, high] = ends;
        let width = high - low;
        let mut means: Vec<f64> = observed.iter().map(|setting| scale.on_line(*setting)).collect();
        let mut order: Vec<usize> = (0..means.len()).collect();
        order.sort_by(|a, b| means[*a].total_cmp(&means[*b]));
        // The narrowest kernels become narrower while there are few.
        let narrowest = width / 100f64.min(2.0 + means.len() as f64);
        let mut deviations = vec![0.0; means.len()];
        for (place, at) in order.iter().enumerate() {
            let before = place.checked_sub(1).map(|before| means[order[before]]);
            let behind = order.get(place + 1).map(|behind| means[*behind]);
            // The ends are neighbours, but of an outermost observation only where it has no other.
            let gap = match (before, behind) {
                (Some(before), Some(behind)) => (means[*at] - before).max(behind - means[*at]),
                (Some(before), None) => means[*at] - before,
                (None, Some(behind)) => behind - means[*at],
                (None, None) => (means[*at] - low).max(high - means[*at]),
            };
            deviations[*at] = gap.max(narrowest).min(width);
        }
        means.push(0.5 * (low + high));
        deviations.push(width);
        let norm = |(mean, deviation): (&f64, &f64)| {
            let mass = normal::log_mass((low - mean) / deviation, (high - mean) / deviation);
            if scale.step > 0.0 { mass } else { mass + log(*deviation) }
        };
        let log_norms = means.iter().zip(&deviations).map(norm).collect();
        Self { scale, ends, means, deviations, log_norms }
    }

    fn sample(&self, kernel: usize, share: f64) -> f64 {
        let (mean, deviation) = (self.means[kernel], self.deviations[kernel]);
        let [low, high] = self.ends.map(|end| (end - mean) / deviation);
        self.scale.setting(mean + deviation * normal::truncated_quantile(share, low, high))
    }

    fn add_log_densities(&self, setting: f64, logs: &mut [f64]) {
        let kernels = self.means.iter().zip(&self.deviations).zip(&self.log_norms);
        if self.scale.step > 0.0 {
            let [left, right] = self.scale.cell(setting);
            for (sum, ((mean, deviation), norm)) in logs.iter_mut().zip(kernels) {
                *sum += normal::log_mass((left - mean) / deviation, (right - mean) / deviation) - norm;
            }
        } else {
            let place = self.scale.on_line(setting);
            for (sum, ((mean, deviation), norm)) in logs.iter_mut().zip(kernels) {
                *sum += normal::log_density((place - mean) / deviation) - norm;
            }
        }
    }
}

/// One for each observation; from 25 on, those before the last 25 rise in a straight line.
fn weights(count: usize) -> Vec<f64> {
    let old = count.saturating_sub(25);
    let first = 1.0 / count.max(1) as f64;
    let ramp = |at: usize| if old == 1 { first } else { first + (1.0 - first) * at as f64 / (old - 1) as f64 };
    (0..count).map(|at| if at < old { ramp(at) } else { 1.0 }).collect()
}

fn choices(count: usize, observed: &[f64]) -> Vec<Vec<f64>> {
    let spread = 1.0 / (observed.len() + 1) as f64;
    let kernel = |setting: &f64| -> Vec<f64> {
        let weight = |value: usize| spread + f64::from(u8::from(value == *setting as usize));
        (0..count).map(|value| weight(value) / (1.0 + spread * count as f64)).collect()
    };
    observed.iter().map(kernel).chain([vec![1.0 / count as f64; count]]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Objective;

    fn distribution(value: serde_json::Value) -> Distribution {
        Distribution::parse(&value, "x").unwrap().unwrap()
    }

    #[test]
    fn weights_are_those_of_optuna() {
        assert_eq!(weights(0), [] as [f64; 0]);
        assert_eq!(weights(3), [1.0; 3]);
        assert_eq!(weights(26)[..2], [1.0 / 26.0, 1.0]);
        let many = weights(30);
        assert_eq!(many[5..], [1.0; 25]);
        assert!((many[0] - 1.0 / 30.0).abs() < 1e-15 && (many[4] - 1.0).abs() < 1e-15);
        assert!((many[2] - (1.0 / 30.0 + 1.0) / 2.0).abs() < 1e-15);
    }

    /// Densities of Optuna 5.0.0's `_ParzenEstimator(..., multivariate)`, `log_pdf`, for the same observations.
    #[test]
    fn densities_are_those_of_optuna() {
        let distributions = [
            distribution(json!({"uniform": [-5, 10]})),
            distribution(json!({"log_uniform": [1e-5, 1]})),
            distribution(json!({"integer": [1, 8]})),
            distribution(json!({"integer": [1, 100], "log": true})),
            distribution(json!({"uniform": [0.0, 0.5], "step": 0.1})),
            distribution(json!({"choose": ["sgd", "adam", "lion"]})),
        ];
        let all: Vec<&Distribution> = distributions.iter().collect();
        let observations = [
            vec![-4.0, 1e-4, 2.0, 5.0, 0.1, 0.0],
            vec![0.5, 3e-3, 8.0, 90.0, 0.5, 2.0],
            vec![9.5, 0.7, 4.0, 1.0, 0.0, 2.0],
        ];
        let queries = [
            vec![0.0, 1e-3, 3.0, 10.0, 0.2, 1.0],
            vec![-5.0, 1.0, 8.0, 100.0, 0.5, 2.0],
            vec![10.0, 1e-5, 1.0, 1.0, 0.0, 0.0],
        ];
        for (count, wanted) in OPTUNA {
            let parzen = Parzen::new(&all, &observations[..count]);
            for (query, wanted) in queries.iter().zip(wanted) {
                let got = parzen.log_density(query);
                assert!((got - wanted).abs() < 1e-9, "{count} observations: {got}, wanted {wanted}");
            }
        }
    }

    /// Equal settings are taken in the order of their trials, as NumPy's stable sorts have it.
    #[test]
    fn densities_of_equal_settings_are_those_of_optuna() {
        let distributions = [
            distribution(json!({"integer": [1, 8]})),
            distribution(json!({"choose": ["sgd", "adam", "lion"]})),
            distribution(json!({"uniform": [-5, 10]})),
        ];
        let all: Vec<&Distribution> = distributions.iter().collect();
        let observed = [[4.0, 0.0, -4.0], [8.0, 2.0, 0.5], [4.0, 2.0, 9.5], [4.0, 1.0, 2.0]].map(Vec::from);
        let parzen = Parzen::new(&all, &observed);
        for (query, wanted) in [
            ([3.0, 1.0, 0.0], -5.729_080_894_025_153),
            ([8.0, 2.0, -5.0], -6.212_293_677_200_862),
            ([4.0, 0.0, 10.0], -6.465_237_314_297_941),
        ] {
            let got = parzen.log_density(&query);
            assert!((got - wanted).abs() < 1e-9, "{query:?}: {got}, wanted {wanted}");
        }
    }

    const OPTUNA: [(usize, [f64; 3]); 3] = [
        (0, [-13.93034619687762, -16.748457184060936, -12.0047997383327]),
        (1, [-14.009473876353525, -17.207944733132376, -11.528998966776431]),
        (3, [-14.110511711198887, -16.2129895048916, -12.688236135630124]),
    ];

    #[test]
    fn samples_follow_the_density() {
        let distributions = [distribution(json!({"integer": [1, 6]})), distribution(json!({"choose": ["a", "b"]}))];
        let all: Vec<&Distribution> = distributions.iter().collect();
        let parzen = Parzen::new(&all, &[vec![2.0, 0.0], vec![6.0, 1.0]]);
        let mut random = Random::of(1, 2, "samples");
        let mut counts = [[0.0; 2]; 6];
        let n = 40_000;
        for _ in 0..n {
            let settings = parzen.sample(&mut random);
            counts[settings[0] as usize - 1][settings[1] as usize] += 1.0 / f64::from(n);
        }
        let mut total = 0.0;
        for (number, counts) in counts.iter().enumerate() {
            for (choice, count) in counts.iter().enumerate() {
                let probability = parzen.log_density(&[number as f64 + 1.0, choice as f64]).exp();
                total += probability;
                assert!((count - probability).abs() < 0.012, "{number} {choice}: {count}, wanted {probability}");
            }
        }
        assert!((total - 1.0).abs() < 1e-9, "{total}");
    }

    #[test]
    fn the_better_are_a_share_and_the_unfinished_are_among_the_worse() {
        let trials: Vec<Trial> = (0..30)
            .map(|number| {
                let state = if number % 10 == 9 { TrialState::Running } else { TrialState::Complete };
                Trial { state, values: vec![-(number as f64)], ..Trial::waiting(number, crate::Assignment::default()) }
            })
            .collect();
        let history = History { trials: &trials, finished: &[], objectives: &[Objective::minimize("loss")] };
        let numbers = |liar: bool, better_share: f64| {
            let search = ParzenSearch { constant_liar: liar, better_share, ..ParzenSearch::default() };
            let (better, worse) = search.split(&history);
            let better: Vec<u64> = better.iter().map(|trial| trial.number).collect();
            (better, worse.len())
        };
        assert_eq!(numbers(true, 0.1), (vec![26, 27, 28], 27));
        assert_eq!(numbers(false, 0.1), (vec![26, 27, 28], 24));
        assert_eq!(numbers(false, 0.15), (vec![24, 25, 26, 27, 28], 22));
        // a third of 27 is 9, whichever way it is rounded
        assert_eq!(numbers(false, 1.0 / 3.0).0.len(), 9);
        assert_eq!(numbers(false, 1.0).0.len(), 25);
    }
}
