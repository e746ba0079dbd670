use crate::Random;

/// Depth beyond which a tree is not divided further.
const DEEPEST: usize = 64;

/// What a feature may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Domain {
    /// A number from 0 to 1.
    Unit,
    /// One of so many, by number.
    Choices(usize),
}

/// The values of which other features a feature is there with: each a choice, those that depend on others behind these.
pub(super) type Conditions = Vec<(usize, usize)>;

/// A part of the space, as a part of each feature's domain.
#[derive(Clone, Debug)]
pub(super) struct Region(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Interval(f64, f64),
    Choices(Vec<bool>),
}

/// A part of the space in which a tree predicts one value.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) region: Region,
    pub(super) value: f64,
}

impl Region {
    fn whole(domains: &[Domain]) -> Self {
        let part = |domain: &Domain| match domain {
            Domain::Unit => Part::Interval(0.0, 1.0),
            Domain::Choices(count) => Part::Choices(vec![true; *count]),
        };
        Self(domains.iter().map(part).collect())
    }

    /// Its share of the space, or of the space without one feature.
    pub(super) fn volume(&self, without: Option<usize>) -> f64 {
        let size = |part: &Part| match part {
            Part::Interval(low, high) => high - low,
            Part::Choices(there) => there.iter().filter(|there| **there).count() as f64 / there.len() as f64,
        };
        let parts = self.0.iter().enumerate().filter(|(feature, _)| Some(*feature) != without);
        parts.map(|(_, part)| size(part)).product()
    }

    /// Whether it reaches over a value of a feature.
    pub(super) fn holds(&self, feature: usize, value: f64) -> bool {
        match &self.0[feature] {
            Part::Interval(low, high) => (*low..*high).contains(&value),
            Part::Choices(there) => there.get(value as usize).copied().unwrap_or(false),
        }
    }

    /// A feature's domain in parts that no region divides: the middle and the size of each.
    pub(super) fn parts<'a>(regions: impl Iterator<Item = &'a Self>, feature: usize) -> Vec<(f64, f64)> {
        let mut cuts = vec![0.0, 1.0];
        for region in regions {
            match &region.0[feature] {
                Part::Interval(low, high) => cuts.extend([*low, *high]),
                Part::Choices(there) => {
                    return (0..there.len()).map(|choice| (choice as f64, 1.0 / there.len() as f64)).collect();
                }
            }
        }
        cuts.sort_by(f64::total_cmp);
        cuts.dedup();
        cuts.windows(2).map(|ends| (0.5 * (ends[0] + ends[1]), ends[1] - ends[0])).collect()
    }

    /// Whether one of a feature's choices is the only one in it.
    fn is_within(&self, feature: usize, choice: usize) -> bool {
        match &self.0[feature] {
            Part::Choices(there) => there.iter().enumerate().all(|(at, there)| *there == (at == choice)),
            Part::Interval(..) => false,
        }
    }

    /// The part of it on each side of a cut.
    fn divided(&self, cut: Cut) -> [Self; 2] {
        let mut sides = [self.clone(), self.clone()];
        match (cut, &self.0[cut.feature()]) {
            (Cut::Below(feature, limit), Part::Interval(low, high)) => {
                sides[0].0[feature] = Part::Interval(*low, limit);
                sides[1].0[feature] = Part::Interval(limit, *high);
            }
            (Cut::Is(feature, choice), Part::Choices(there)) => {
                let side =
                    |is: bool| there.iter().enumerate().map(|(at, there)| *there && (at == choice) == is).collect();
                sides[0].0[feature] = Part::Choices(side(true));
                sides[1].0[feature] = Part::Choices(side(false));
            }
            _ => {}
        }
        sides
    }
}

/// A question that divides rows.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Below(usize, f64),
    Is(usize, usize),
}

impl Cut {
    fn feature(self) -> usize {
        let (Self::Below(feature, _) | Self::Is(feature, _)) = self;
        feature
    }

    fn is_first(self, row: &[f64]) -> bool {
        match self {
            Self::Below(feature, limit) => row[feature] < limit,
            Self::Is(feature, choice) => row[feature] as usize == choice,
        }
    }
}

/// The leaves of one tree of a random forest (Breiman 2001): grown on as many rows as there are, drawn with replacement, until
/// no rows that differ are together. Where a feature is not there, which rows say by what is no number, nothing is divided by it.
pub(super) fn grow(
    domains: &[Domain],
    conditions: &[Conditions],
    rows: &[Vec<f64>],
    values: &[f64],
    random: &mut Random,
) -> Vec<Leaf> {
    let drawn: Vec<usize> = (0..rows.len()).map(|_| random.below(rows.len())).collect();
    let mut leaves = Vec::new();
    let mut open = vec![(drawn, Region::whole(domains), 0)];
    while let Some((members, mut region, depth)) = open.pop() {
        let value = members.iter().map(|row| values[*row]).sum::<f64>() / members.len() as f64;
        let cut = if depth < DEEPEST { best_cut(domains, rows, values, &members, random) } else { None };
        let Some(cut) = cut else {
            leaves.push(Leaf { region, value });
            continue;
        };
        // Beside where a feature is there nothing depends on it, and no member lies.
        for (feature, choice) in &conditions[cut.feature()] {
            if !region.is_within(*feature, *choice) {
                let [inside, outside] = region.divided(Cut::Is(*feature, *choice));
                leaves.push(Leaf { region: outside, value });
                region = inside;
            }
        }
        let (first, second): (Vec<usize>, Vec<usize>) = members.iter().partition(|row| cut.is_first(&rows[**row]));
        let [left, right] = region.divided(cut);
        open.extend([(second, right, depth + 1), (first, left, depth + 1)]);
    }
    leaves
}

/// The cut after which the values differ least from the means of their sides; of equally good ones a random one.
fn best_cut(
    domains: &[Domain],
    rows: &[Vec<f64>],
    values: &[f64],
    members: &[usize],
    random: &mut Random,
) -> Option<Cut> {
    let first = values[*members.first()?];
    if members.iter().all(|row| values[*row] == first) {
        return None;
    }
    let total: f64 = members.iter().map(|row| values[*row]).sum();
    // The larger the sum of squared sums by counts is, the less is left within the sides.
    let gain = |sum: f64, count: usize| {
        let (rest, others) = (total - sum, members.len() - count);
        sum * sum / count as f64 + rest * rest / others as f64
    };
    let mut best: Option<(f64, Cut)> = None;
    let mut consider = |gain: f64, cut: Cut| {
        if best.is_none_or(|(other, _)| gain > other) {
            best = Some((gain, cut));
        }
    };
    let mut features: Vec<usize> = (0..domains.len()).collect();
    random.shuffle(&mut features);
    let is_there = |feature: &usize| members.iter().all(|row| !rows[*row][*feature].is_nan());
    for feature in features.into_iter().filter(is_there) {
        match domains[feature] {
            Domain::Unit => {
                let mut sorted: Vec<(f64, f64)> =
                    members.iter().map(|row| (rows[*row][feature], values[*row])).collect();
                sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
                let mut sum = 0.0;
                for count in 1..sorted.len() {
                    sum += sorted[count - 1].1;
                    let (before, behind) = (sorted[count - 1].0, sorted[count].0);
                    let middle = 0.5 * (before + behind);
                    // Neighbours can be so near that there is nothing between.
                    if before < middle {
                        consider(gain(sum, count), Cut::Below(feature, middle));
                    }
                }
            }
            Domain::Choices(choices) => {
                for choice in 0..choices {
                    let chosen = members.iter().filter(|row| rows[**row][feature] as usize == choice);
                    let (sum, count) = chosen.fold((0.0, 0), |(sum, count), row| (sum + values[*row], count + 1));
                    if count > 0 && count < members.len() {
                        consider(gain(sum, count), Cut::Is(feature, choice));
                    }
                }
            }
        }
    }
    best.map(|(_, cut)| cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_the_whole_space_and_predict_what_was_seen() {
        let domains = [Domain::Unit, Domain::Choices(3)];
        let mut random = Random::of(2, 0, "rows");
        let rows: Vec<Vec<f64>> = (0..80).map(|_| vec![random.uniform(), random.below(3) as f64]).collect();
        let values: Vec<f64> = rows.iter().map(|row| row[0] * 3.0 + row[1]).collect();
        let leaves = grow(&domains, &[vec![], vec![]], &rows, &values, &mut random);
        assert!((leaves.iter().map(|leaf| leaf.region.volume(None)).sum::<f64>() - 1.0).abs() < 1e-12);
        let mut errors = 0.0;
        for (row, value) in rows.iter().zip(&values) {
            let there: Vec<&Leaf> =
                leaves.iter().filter(|leaf| (0..2).all(|at| leaf.region.holds(at, row[at]))).collect();
            assert_eq!(there.len(), 1);
            errors += (there[0].value - value).abs() / 80.0;
        }
        assert!(errors < 0.2, "{errors}");
    }

    #[test]
    fn rows_that_do_not_differ_are_one_leaf() {
        let rows = [vec![0.5], vec![0.5]];
        let leaves = grow(&[Domain::Unit], &[vec![]], &rows, &[1.0, 3.0], &mut Random::of(0, 0, ""));
        assert_eq!(leaves.len(), 1);
    }

    #[test]
    fn what_is_not_there_divides_nothing_and_the_leaves_are_the_whole_space_all_the_same() {
        let domains = [Domain::Choices(2), Domain::Unit];
        let conditions = [vec![], vec![(0, 1)]];
        let mut random = Random::of(4, 0, "rows");
        for share in [0.5, 1.0] {
            let row = |random: &mut Random| match random.uniform() < share {
                true => vec![1.0, random.uniform()],
                false => vec![0.0, f64::NAN],
            };
            let rows: Vec<Vec<f64>> = (0..40).map(|_| row(&mut random)).collect();
            let values: Vec<f64> = rows.iter().map(|row| if row[0] == 1.0 { row[1] } else { 5.0 }).collect();
            let leaves = grow(&domains, &conditions, &rows, &values, &mut random);
            assert!((leaves.iter().map(|leaf| leaf.region.volume(None)).sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(leaves.len() > 5);
            let without: Vec<&Leaf> = leaves.iter().filter(|leaf| leaf.region.holds(0, 0.0)).collect();
            assert_eq!(without.len(), 1, "beside where it is there is one leaf");
        }
    }
}
