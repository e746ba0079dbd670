use super::trial::Trial;

/// Whether the first of two lists of losses is nowhere worse and somewhere better.
pub(crate) fn dominates(left: &[f64], right: &[f64]) -> bool {
    let mut pairs = left.iter().zip(right);
    pairs.clone().all(|(left, right)| left <= right) && pairs.any(|(left, right)| left < right)
}

/// As [`dominates`] where constraints may be broken (Deb et al. 2002): whoever breaks none comes first, then whoever breaks
/// them less.
pub(crate) fn constrained_dominates(left: (&Trial, &[f64]), right: (&Trial, &[f64])) -> bool {
    match (left.0.violation(), right.0.violation()) {
        (0.0, 0.0) => dominates(left.1, right.1),
        (left, right) => left < right,
    }
}

/// Places of items, front by front: the first front is dominated by none, the next by those of the first alone, and so on.
pub(crate) fn fronts(count: usize, dominates: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = (0..count).collect();
    let mut fronts = Vec::new();
    while !left.is_empty() {
        let is_free = |one: &usize| !left.iter().any(|other| dominates(*other, *one));
        let (front, rest): (Vec<usize>, Vec<usize>) = left.iter().partition(|one| is_free(one));
        // Only what is no number could dominate in a circle.
        if front.is_empty() {
            fronts.push(rest);
            break;
        }
        fronts.push(front);
        left = rest;
    }
    fronts
}

/// How far the neighbours of each item are apart, summed over the losses as shares of their ranges; those at an end are
/// infinitely far (Deb et al. 2002).
pub(crate) fn crowding(losses: &[Vec<f64>]) -> Vec<f64> {
    let mut distances = vec![0.0; losses.len()];
    for figure in 0..losses.first().map_or(0, Vec::len) {
        let mut order: Vec<usize> = (0..losses.len()).collect();
        order.sort_by(|a, b| losses[*a][figure].total_cmp(&losses[*b][figure]));
        let value = |place: usize| losses[order[place]][figure];
        let (first, last) = (value(0), value(losses.len() - 1));
        if first == last {
            continue;
        }
        let range = if (last - first).is_finite() { last - first } else { 1.0 };
        for place in 0..losses.len() {
            let is_end = place == 0 || place + 1 == losses.len();
            let gap = if is_end { f64::INFINITY } else { (value(place + 1) - value(place - 1)) / range };
            distances[order[place]] += if gap.is_nan() { 0.0 } else { gap };
        }
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Assignment;

    #[test]
    fn fronts_lie_behind_each_other() {
        let points = [[1.0, 4.0], [2.0, 2.0], [4.0, 1.0], [3.0, 3.0], [4.0, 4.0], [2.0, 2.0]];
        let found = fronts(points.len(), |a, b| dominates(&points[a], &points[b]));
        assert_eq!(found, [vec![0, 1, 2, 5], vec![3], vec![4]]);
        assert!(fronts(0, |_, _| false).is_empty());
        assert_eq!(fronts(2, |_, _| true), [vec![0, 1]]);
    }

    #[test]
    fn who_breaks_no_constraint_comes_first() {
        let trial =
            |constraint: f64| Trial { constraints: vec![constraint, -1.0], ..Trial::waiting(0, Assignment::default()) };
        let (holds, breaks, worse) = (trial(0.0), trial(1.0), trial(2.0));
        assert!(constrained_dominates((&holds, &[9.0]), (&breaks, &[0.0])));
        assert!(constrained_dominates((&breaks, &[9.0]), (&worse, &[0.0])));
        assert!(constrained_dominates((&holds, &[0.0]), (&holds, &[1.0])));
        assert!(!constrained_dominates((&holds, &[1.0]), (&holds, &[1.0])));
    }

    #[test]
    fn ends_are_infinitely_far_and_a_crowd_is_near() {
        let losses: Vec<Vec<f64>> = [[0.0, 4.0], [1.0, 3.0], [1.5, 2.9], [4.0, 0.0]].map(Vec::from).into();
        let distances = crowding(&losses);
        assert!(distances[0].is_infinite() && distances[3].is_infinite());
        assert!((distances[1] - (1.5 / 4.0 + 1.1 / 4.0)).abs() < 1e-12);
        assert!(distances[2] > distances[1]);
        assert_eq!(crowding(&[vec![1.0], vec![1.0]]), [0.0, 0.0]);
    }
}
