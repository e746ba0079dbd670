use std::collections::BTreeMap;

use millstream_pipeline::Split;
use millstream_schemas::{GOLDEN, mix};

use super::import_options::SplitShare;

/// A row that is to be of a split.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The split that the source has it in.
    pub(super) split: Option<Split>,
    /// What rows are that are the same.
    pub(super) identity: u128,
    pub(super) class: Option<u32>,
}

/// A number that is always the same for the same content and seed, and else any.
pub(super) fn drawn(identity: u128, seed: u64) -> u64 {
    let start = mix(seed.wrapping_add(GOLDEN));
    mix((identity >> 64) as u64 ^ mix(identity as u64 ^ start))
}

/// The split of each row: what the source says, and of all others shares, class by class. Which rows of a class they are
/// depends on their content and the seed alone, and rows of the same class and content come into the same split; of every
/// class at least one stays to be trained on.
pub(super) fn divide(rows: &[Candidate], shares: &[SplitShare], seed: u64) -> Vec<Split> {
    let mut splits: Vec<Split> = rows.iter().map(|row| row.split.unwrap_or(Split::Train)).collect();
    let mut classes: BTreeMap<Option<u32>, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate().filter(|(at, _)| splits[*at] == Split::Train) {
        classes.entry(row.class).or_default().push(at);
    }
    for (class, mut members) in classes {
        members.sort_by_key(|at| (drawn(rows[*at].identity, seed), rows[*at].identity, *at));
        // where a share of a class is no whole number, it is drawn which way it is rounded
        let rounding = drawn(class.map_or(u128::MAX, u128::from), seed ^ GOLDEN) as f64 / 2_f64.powi(64);
        let (mut from, mut share) = (0, 0.0);
        for wanted in shares {
            share += wanted.share;
            let end = (members.len() as f64 * share + 1e-9 + rounding).floor() as usize;
            let mut end = end.min(members.len().saturating_sub(1)).max(from);
            while end > from && end < members.len() && rows[members[end]].identity == rows[members[end - 1]].identity {
                end += 1;
            }
            if end == members.len() {
                // the last rows are all one content: they stay
                end = end.saturating_sub(1).max(from);
                while end > from && rows[members[end]].identity == rows[members[end - 1]].identity {
                    end -= 1;
                }
            }
            members[from..end].iter().for_each(|at| splits[*at] = wanted.split);
            from = end;
        }
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(all: &[(Split, f64)]) -> Vec<SplitShare> {
        all.iter().map(|(split, share)| SplitShare { split: *split, share: *share }).collect()
    }

    fn rows(count: usize, classes: u32) -> Vec<Candidate> {
        let row = |at: usize| Candidate {
            split: None,
            identity: (u128::from(mix(at as u64)) << 64) | at as u128,
            class: Some(at as u32 % classes),
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn each_class_gives_its_share_whatever_the_order() {
        let all = rows(400, 4);
        let shares = shares(&[(Split::Test, 0.2), (Split::Validation, 0.1)]);
        let splits = divide(&all, &shares, 7);
        for class in 0..4 {
            let of = |split| (0..400).filter(|at| at % 4 == class && splits[*at] == split).count();
            assert_eq!((of(Split::Test), of(Split::Validation), of(Split::Train)), (20, 10, 70));
        }
        let mut turned = all.clone();
        turned.reverse();
        let mut again = divide(&turned, &shares, 7);
        again.reverse();
        assert_eq!(again, splits);
        assert_ne!(divide(&all, &shares, 8), splits);
    }

    #[test]
    fn small_classes_give_their_share_on_the_whole_and_keep_a_row() {
        let all = rows(2000, 1000);
        let splits = divide(&all, &shares(&[(Split::Test, 0.25)]), 0);
        let test = splits.iter().filter(|split| **split == Split::Test).count();
        assert!((440..560).contains(&test), "{test}");
        let single = divide(&rows(50, 50), &shares(&[(Split::Test, 0.9)]), 0);
        assert!(single.iter().all(|split| *split == Split::Train));
        assert!((0..1000).all(|class| [class, class + 1000].iter().any(|at| splits[*at] == Split::Train)));
    }

    #[test]
    fn a_class_of_equal_rows_is_trained_on() {
        for count in [2, 4] {
            let mut all = rows(count, 1);
            let same = all[0].identity;
            all.iter_mut().for_each(|row| row.identity = same);
            let splits = divide(&all, &shares(&[(Split::Test, 0.5), (Split::Validation, 0.2)]), 3);
            assert!(splits.iter().all(|split| *split == Split::Train), "{splits:?}");
        }
    }

    #[test]
    fn the_same_rows_stay_together_and_what_the_source_says_stays() {
        let mut all = rows(40, 1);
        let same = all[0].identity;
        (0..10).for_each(|at| all[at].identity = same);
        all[39].split = Some(Split::Validation);
        for seed in 0..50 {
            let splits = divide(&all, &shares(&[(Split::Test, 0.3)]), seed);
            assert!(splits[..10].iter().all(|split| *split == splits[0]), "{seed}");
            assert_eq!(splits[39], Split::Validation);
        }
    }
}
