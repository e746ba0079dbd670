use millstream_schemas::count;
use serde::Serialize;

/// One run of a trial that has several, for folds or seeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrialRun {
    /// The name of its folder in that of the trial: `fold-2-seed-1`.
    pub name: String,
    /// The fold that it is measured on, from 1; none without folds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Its seed.
    pub seed: u64,
}

impl TrialRun {
    /// The runs of a trial, in order: `6 runs, folds 1 to 3, seeds 7 to 8`; empty where there are none.
    pub fn in_words(runs: &[Self]) -> String {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return String::new() };
        let between = |what: &str, from: String, to: String| match from == to {
            true => format!("{what} {from}"),
            false => format!("{what}s {from} to {to}"),
        };
        let folds = first.fold.zip(last.fold).map(|(from, to)| between("fold", from.to_string(), to.to_string()));
        let seeds = between("seed", first.seed.to_string(), last.seed.to_string());
        let parts: Vec<String> = folds.into_iter().chain([seeds]).collect();
        format!("{}, {}", count(runs.len(), "run"), parts.join(", "))
    }
}
