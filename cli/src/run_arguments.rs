//! The command line of what is done with finished runs.

use std::path::PathBuf;

use clap::Args;

/// Write one HTML page that compares runs
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millstream report runs/head runs/all -o compare.html")]
pub(crate) struct Report {
    /// Output folders of runs
    #[arg(value_name = "FOLDER", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// The page to write
    #[arg(short, long, value_name = "FILE.html", default_value = "report.html")]
    pub(crate) output: PathBuf,
}

/// Write what is to be known of a run: model card, datasheet, bill of materials
///
/// Into the run's folder `documents`: `README.md` (a model card as Hugging Face reads it), `datasheet.md`, both as HTML too,
/// `model.cdx.json` (CycloneDX), `croissant.json` (Croissant) and `ledger.json`, which has all that the others say. Data and
/// base model are read again, for their hashes. What only people know is asked for in `statements.yaml` beside the run;
/// until it is filled in, the documents say that it is not stated.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millstream document runs/head")]
pub(crate) struct Document {
    /// Output folder of a run
    #[arg(value_name = "FOLDER")]
    pub(crate) run: PathBuf,
    /// The folder to write into, instead of the run's `documents`
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
}

/// Hold runs against each other: what was set otherwise, what came out, and whether chance explains the difference
///
/// The first run is the one that the others are held against. Figures are those that each run has measured, with their intervals. Where
/// the models' answers for the same rows are kept (`--predict` keeps them), the runs are compared row by row: McNemar's exact test of
/// right and wrong, and for every figure the interval of its difference over rows drawn again, the same for both.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream compare runs/head runs/all\n  millstream compare runs/head runs/all --predict \
    --html compare.html"
)]
pub(crate) struct Compare {
    /// Output folders of runs, two or more
    #[arg(value_name = "FOLDER", required = true, num_args = 2..)]
    pub(crate) runs: Vec<PathBuf>,
    /// Evaluate the models whose answers are not kept, and keep them in `predictions.parquet` of the run
    #[arg(long)]
    pub(crate) predict: bool,
    /// Draws of rows behind the interval of each difference; 0 for none
    #[arg(long, value_name = "DRAWS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) resamples: u32,
    /// Of the draws
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Write the comparison as an HTML page, too
    #[arg(long, value_name = "FILE.html")]
    pub(crate) html: Option<PathBuf>,
}
