//! The command line of what is done with finished runs.

use std::ffi::OsString;
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

/// Show the page of a run while it goes on
///
/// Serves one page to this machine alone (127.0.0.1) and prints its address. The run is one of another process, which may have
/// to begin yet or have ended; it is followed by its log `jsonl`: `millstream train --watch`, or `output.logs: [jsonl]` in the
/// recipe. The page draws itself anew when something has happened. Ctrl-C takes it down.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  millstream watch runs/head\n  millstream watch runs/head --port 7878 --until-end")]
pub(crate) struct Watch {
    /// Output folder of a run
    #[arg(value_name = "FOLDER")]
    pub(crate) run: PathBuf,
    /// The port; 0 for any that is free
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// End when the run has ended
    #[arg(long)]
    pub(crate) until_end: bool,
}

/// Write what is to be known of a run: model card, datasheet, bill of materials
///
/// Into the run's folder `documents`: `README.md` (a model card as Hugging Face reads it), `datasheet.md`, both as HTML too,
/// `model.cdx.json` (CycloneDX), `croissant.json` (Croissant) and `ledger.json`, which has all that the others say. Data and
/// base model are read again, for their hashes. What only people know is asked for in `statements.yaml` beside the run;
/// until it is filled in, the documents say that it is not stated. Of an ensemble and of members on folds or bags a card, a bill of
/// materials and a ledger are written, of a search a card and a ledger. Beside them lies `sbom.cdx.json` (CycloneDX), the crates that this
/// program is made of; `--sbom` prints it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  millstream document runs/head\n  millstream document --sbom > sbom.cdx.json")]
pub(crate) struct Document {
    /// Output folder of a run, a study, an ensemble, or members on folds or bags
    #[arg(value_name = "FOLDER", required_unless_present = "sbom")]
    pub(crate) run: Option<PathBuf>,
    /// The folder to write into, instead of the run's `documents`
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// Print the bill of the crates that this program is made of, and document nothing
    #[arg(long, conflicts_with_all = ["run", "output"])]
    pub(crate) sbom: bool,
}

/// Hold runs against each other: what was set otherwise, what came out, and whether chance explains the difference
///
/// The first run is the one that the others are held against. Figures are those that each run has measured, with their intervals. Where
/// the models' answers for the same rows are kept (`--predict` keeps them), the runs are compared row by row: McNemar's exact test of
/// right and wrong, and for every figure the interval of its difference over rows drawn again, the same for both. Trials of a search are
/// runs: `STUDY/trials/0003`.
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
    /// Seed of the draws
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Write the comparison as an HTML page, too
    #[arg(long, value_name = "FILE.html")]
    pub(crate) html: Option<PathBuf>,
}

/// Look for what a model's errors depend on
///
/// The model's answers for the evaluation rows are joined with the columns of the data, sizes of images and lengths of texts, and, with
/// `--augmented`, with what the transforms of training draw for these rows (a pass of the model over the rows for each draw). Of each of
/// them the division that tells errors apart best is found on one half of the rows and tested on the other; chances are corrected for
/// the number of them. Writes a page with tables and pictures into the run's folder.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream errors runs/head\n  millstream errors runs/head --augmented 5\n  millstream errors \
    runs/head --data 'field/*.parquet' --html field.html"
)]
pub(crate) struct Errors {
    /// Output folder of a run
    #[arg(value_name = "FOLDER")]
    pub(crate) run: PathBuf,
    /// Look at so many draws of each row with the transforms of training, too
    #[arg(long, value_name = "DRAWS", num_args = 0..=1, default_value_t = 0, default_missing_value = "3",
        value_parser = clap::value_parser!(u64).range(..=1000))]
    pub(crate) augmented: u64,
    /// The rows to look at, instead of the recipe's `data.evaluate`: files, folders or patterns
    #[arg(short, long, value_name = "PARQUET", num_args = 1..)]
    pub(crate) data: Vec<OsString>,
    /// Read numbers of tables in `--data` whose decimals have a comma (`0,5`, `1.234,5`)
    #[arg(long)]
    pub(crate) decimal_comma: bool,
    /// Change a value of the recipe, `transforms.train` for example, to see what errors depend on under other draws than those of training;
    /// may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Seed of the draws and of the halves, instead of the recipe's
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The page to write, instead of the run's `errors.html`
    #[arg(long, value_name = "FILE.html")]
    pub(crate) html: Option<PathBuf>,
}

/// Note a decision: appends a text with its time to what is known of a run
///
/// `document`, `report` and `runs` show it. A run that is under way can be noted of, too.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millstream note runs/head \"kept 5 epochs: the sixth was better by one row\"")]
pub(crate) struct Note {
    /// Output folder of a run, a study, an ensemble, or members on folds or bags
    #[arg(value_name = "FOLDER")]
    pub(crate) run: PathBuf,
    /// What is to be noted
    #[arg(value_name = "TEXT")]
    pub(crate) text: String,
}

/// Make a run again, and say whether all of it is the same
///
/// Takes the recipe as the run used it. Data and base model are held against what the run began with before the first step. Then models,
/// losses and figures are compared bit by bit; where they differ, it says first what it ran on then and now, then by how much parameters
/// and figures differ. Ends with exit code 1 where anything differs.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream reproduce runs/head\n  millstream reproduce runs/head -o /tmp/again --set \
    data.train=elsewhere/train.parquet"
)]
pub(crate) struct Reproduce {
    /// Output folder of a finished run
    #[arg(value_name = "FOLDER")]
    pub(crate) run: PathBuf,
    /// The folder to make it again in; beside the run, or the study that it is of, with `-again` behind the name where it is not given
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// Where data, model and other files lie now, for example `model.path=model.onnx`, and nothing else; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Replace the run that is in that folder
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// List the runs of a folder, and write one page of them for a team
///
/// Runs and ensembles are looked for in the folder and those within it: figures with intervals, how they were made, what was noted, and
/// what came from what, by the hashes of models. The page needs nothing else and no network.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millstream runs experiments")]
pub(crate) struct Runs {
    /// The folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// The page to write, instead of the folder's `runs.html`; its links start from that folder
    #[arg(long, value_name = "FILE.html")]
    pub(crate) html: Option<PathBuf>,
    /// Write no page
    #[arg(long, conflicts_with = "html")]
    pub(crate) no_html: bool,
}
