use libm::exp;

use super::acquisition::Acquisition;
use crate::Random;
use crate::numerics::{Ending, SobolSequence, minimize};

/// Points that are looked at before any is improved.
const CANDIDATES: u64 = 2048;
/// Points that are improved, those that are known to be good not counted.
const STARTS: usize = 9;
/// Settings of a coordinate that are all looked at.
const FEW: usize = 16;

/// What a coordinate of a point may be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Coordinate {
    /// A number from 0 to 1.
    Number,
    /// One of these numbers from 0 to 1, in order.
    Steps(Vec<f64>),
    /// A choice among so many, by number.
    Choice(usize),
}

impl Coordinate {
    fn at(&self, unit: f64) -> f64 {
        match self {
            Self::Number => unit,
            Self::Steps(steps) => steps[((unit * steps.len() as f64) as usize).min(steps.len() - 1)],
            Self::Choice(count) => (unit * *count as f64).floor().min(*count as f64 - 1.0),
        }
    }
}

/// The point with the largest value that is found: of evenly spread points the best, some drawn by their values and those that
/// are known are improved in turns, numbers by their gradient and the others one at a time.
pub(crate) fn maximize(
    acquisition: &Acquisition,
    coordinates: &[Coordinate],
    lengths: &[f64],
    known: &[Vec<f64>],
    random: &mut Random,
) -> Vec<f64> {
    let sequence = SobolSequence::new(coordinates.len(), random.next_u64());
    let candidates: Vec<(f64, Vec<f64>)> = (0..CANDIDATES)
        .map(|number| {
            let units = sequence.point(number);
            let point: Vec<f64> = coordinates.iter().zip(units).map(|(coordinate, unit)| coordinate.at(unit)).collect();
            (acquisition.value(&point), point)
        })
        .collect();
    let mut starts: Vec<(f64, Vec<f64>)> =
        known.iter().map(|point| (acquisition.value(point), point.clone())).collect();
    let highest = candidates.iter().map(|(value, _)| *value).fold(f64::NEG_INFINITY, f64::max);
    let mut shares: Vec<f64> = candidates.iter().map(|(value, _)| exp(value - highest)).collect();
    let mut next = candidates.iter().position(|(value, _)| *value == highest);
    while let Some(place) = next.filter(|_| starts.len() < STARTS + known.len()) {
        starts.push(candidates[place].clone());
        shares[place] = 0.0;
        next = shares.iter().any(|share| *share > 0.0).then(|| random.weighted(&shares));
    }
    let improved = starts.into_iter().map(|start| improve(acquisition, coordinates, lengths, start));
    let best = improved.reduce(|best, other| if other.0 > best.0 { other } else { best });
    // Only where nothing is a number there is no start.
    best.map_or_else(|| candidates[0].1.clone(), |(_, point)| point)
}

/// Improves a point until none of its coordinates can be.
fn improve(
    acquisition: &Acquisition,
    coordinates: &[Coordinate],
    lengths: &[f64],
    start: (f64, Vec<f64>),
) -> (f64, Vec<f64>) {
    let numbers: Vec<usize> = (0..coordinates.len()).filter(|at| coordinates[*at] == Coordinate::Number).collect();
    // The coordinate that was changed last; when it is its turn again, nothing can be improved.
    let mut last_changed = None;
    let mut best = start;
    for _ in 0..100 {
        if !numbers.is_empty() {
            if last_changed == Some(usize::MAX) {
                return best;
            }
            let found = climb(acquisition, &numbers, lengths, &best);
            if found.0 > best.0 + 1e-10 {
                (best, last_changed) = (found, Some(usize::MAX));
            }
        }
        for (at, coordinate) in coordinates.iter().enumerate() {
            if *coordinate == Coordinate::Number {
                continue;
            }
            if last_changed == Some(at) {
                return best;
            }
            let found = switch(acquisition, at, coordinate, &best);
            if found.0 > best.0 + 1e-10 {
                (best, last_changed) = (found, Some(at));
            }
        }
        if last_changed.is_none() || (last_changed == Some(usize::MAX) && numbers.len() == coordinates.len()) {
            return best;
        }
    }
    best
}

/// Follows the gradient in the coordinates that are numbers, each measured by its length.
fn climb(acquisition: &Acquisition, numbers: &[usize], lengths: &[f64], from: &(f64, Vec<f64>)) -> (f64, Vec<f64>) {
    let mut point = from.1.clone();
    let mut whole = vec![0.0; point.len()];
    let mut fall = |scaled: &[f64], slopes: &mut [f64]| {
        for (at, value) in numbers.iter().zip(scaled) {
            point[*at] = value * lengths[*at];
        }
        let value = acquisition.value_and_gradient(&point, &mut whole);
        for (at, slope) in numbers.iter().zip(slopes) {
            *slope = -whole[*at] * lengths[*at];
        }
        -value
    };
    let start: Vec<f64> = numbers.iter().map(|at| from.1[*at] / lengths[*at]).collect();
    let bounds: Vec<[f64; 2]> = numbers.iter().map(|at| [0.0, 1.0 / lengths[*at]]).collect();
    let found = minimize(&mut fall, &start, &bounds, Ending { gradient: 1e-2, steps: 200 });
    let mut point = from.1.clone();
    for (at, value) in numbers.iter().zip(found.point) {
        point[*at] = (value * lengths[*at]).clamp(0.0, 1.0);
    }
    (-found.value, point)
}

/// The best setting of one coordinate: of all where they are few, otherwise of some that lie ever closer around the best.
fn switch(acquisition: &Acquisition, at: usize, coordinate: &Coordinate, from: &(f64, Vec<f64>)) -> (f64, Vec<f64>) {
    let mut best = from.clone();
    let mut consider = |setting: f64| {
        if setting == best.1[at] {
            return;
        }
        let mut point = best.1.clone();
        point[at] = setting;
        let value = acquisition.value(&point);
        if value > best.0 {
            best = (value, point);
        }
    };
    match coordinate {
        Coordinate::Number => {}
        Coordinate::Choice(count) => (0..*count).for_each(|choice| consider(choice as f64)),
        Coordinate::Steps(steps) if steps.len() <= FEW => steps.iter().for_each(|step| consider(*step)),
        Coordinate::Steps(steps) => {
            let mut width = steps.len() / FEW;
            (0..=FEW).for_each(|part| consider(steps[(part * (steps.len() - 1)) / FEW]));
            while width > 0 {
                let middle = steps.partition_point(|step| *step < best.1[at]);
                for place in [middle.saturating_sub(width), (middle + width).min(steps.len() - 1)] {
                    let mut point = best.1.clone();
                    point[at] = steps[place];
                    let value = acquisition.value(&point);
                    if value > best.0 {
                        best = (value, point);
                    }
                }
                width /= 2;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::regression::{Kernel, Regression};
    use super::*;

    #[test]
    fn the_largest_value_is_found_among_numbers_steps_and_choices() {
        let mut random = Random::of(4, 0, "points");
        let steps: Vec<f64> = (0..40).map(|step| (f64::from(step) + 0.5) / 40.0).collect();
        let coordinates = [Coordinate::Number, Coordinate::Steps(steps), Coordinate::Choice(3)];
        let points: Vec<Vec<f64>> =
            (0..20).map(|_| coordinates.iter().map(|coordinate| coordinate.at(random.uniform())).collect()).collect();
        let value = |point: &Vec<f64>| {
            -(point[0] - 0.37).powi(2) - (point[1] - 0.71).powi(2) + 0.2 * f64::from(u8::from(point[2] == 2.0))
        };
        let values: Vec<f64> = points.iter().map(value).collect();
        let kernel = Kernel {
            is_choice: vec![false, false, true],
            inverse_squares: vec![4.0, 4.0, 1.0],
            scale: 1.0,
            noise: 1e-6,
        };
        let regression = Regression::new(kernel, points.clone()).unwrap();
        let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let acquisition = Acquisition::new(regression, &points, &values, Some(best), &[], 0).unwrap();
        let found = maximize(&acquisition, &coordinates, &[0.5, 0.5, 1.0], &[], &mut random);
        // A slow twin: all there are, on a fine grid.
        let mut highest = f64::NEG_INFINITY;
        for number in 0..=400 {
            for step in 0..40 {
                for choice in 0..3 {
                    let point = [f64::from(number) / 400.0, (f64::from(step) + 0.5) / 40.0, f64::from(choice)];
                    highest = highest.max(acquisition.value(&point));
                }
            }
        }
        assert!(
            acquisition.value(&found) > highest - 1e-3,
            "{found:?}: {}, wanted {highest}",
            acquisition.value(&found)
        );
    }
}
