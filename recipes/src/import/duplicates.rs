use std::collections::HashMap;

use millstream_pipeline::Split;

use super::import_report::DuplicateReport;

/// Sets of rows that are named, and rows of a set that are named.
const NAMED: usize = 20;

/// A row, as far as it matters here.
pub(super) struct Known {
    pub(super) identity: u128,
    pub(super) split: Split,
    pub(super) class: Option<u32>,
}

/// Finds the rows that are the same as others.
pub(super) fn find(rows: &[Known], name: impl Fn(usize) -> String) -> DuplicateReport {
    let mut sets: HashMap<u128, Vec<usize>> = HashMap::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        sets.entry(row.identity).or_default().push(at);
    }
    let mut sets: Vec<Vec<usize>> = sets.into_values().filter(|set| set.len() > 1).collect();
    sets.sort();
    let mut report = DuplicateReport::default();
    for set in &sets {
        report.rows += set.len() as u64 - 1;
        let first = &rows[set[0]];
        if set.iter().any(|at| rows[*at].split != first.split) {
            report.across_splits += set.len() as u64;
        }
        if set.iter().any(|at| rows[*at].class != first.class) {
            report.across_classes += set.len() as u64;
        }
    }
    // those that matter most come first
    sets.sort_by_key(|set| {
        let first = &rows[set[0]];
        let across = |differs: &dyn Fn(&Known) -> bool| set.iter().any(|at| differs(&rows[*at]));
        (!across(&|row| row.split != first.split), !across(&|row| row.class != first.class), set[0])
    });
    let named = |set: &Vec<usize>| set.iter().take(NAMED).map(|at| name(*at)).collect();
    report.first = sets.iter().take(NAMED).map(named).collect();
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_the_same_are_counted_and_the_worst_named_first() {
        let row = |identity, split, class| Known { identity, split, class: Some(class) };
        let rows = [
            row(1, Split::Train, 0),
            row(1, Split::Train, 0),
            row(2, Split::Train, 0),
            row(3, Split::Train, 1),
            row(3, Split::Test, 2),
            row(3, Split::Train, 1),
        ];
        let report = find(&rows, |at| at.to_string());
        assert_eq!((report.rows, report.across_splits, report.across_classes), (3, 3, 3));
        assert_eq!(report.first, [vec!["3", "4", "5"], vec!["0", "1"]]);
    }
}
