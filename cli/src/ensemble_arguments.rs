//! The command line of `ensemble`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use millstream::schemas::recipe::ByteSize;

use crate::offered;
use crate::recipe_arguments::{RecipeArguments, size, whole_number};

/// Make one model of several
///
/// Members are the folders of runs, .onnx files or folders of `ensemble members` that take the same inputs and know the same classes, with
/// what each gives for the same labelled rows, as `evaluate --predictions` writes it. Nothing is run again, but for means of weights
/// (`uniform_soup`, `greedy_soup`).
#[derive(Debug, Args)]
pub(crate) struct Ensemble {
    #[command(subcommand)]
    pub(crate) command: EnsembleCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnsembleCommand {
    Fit(EnsembleFit),
    /// Write a fitted ensemble as one model again
    #[command(after_help = "Example:\n  millstream ensemble export ensembles/all -o mirrored.onnx --flips")]
    Export {
        /// The folder of the ensemble
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        /// The file to write, instead of `ensemble.onnx` in the folder
        #[arg(short, long, value_name = "FILE.onnx")]
        output: Option<PathBuf>,
        /// Each member also sees images mirrored, and gives the mean of both
        #[arg(long)]
        flips: bool,
    },
    /// Measure a fitted ensemble and its members on other rows
    ///
    /// By what the members gave for these rows. A mean of weights has to be run: `millstream evaluate RECIPE --model FOLDER/ensemble.onnx`.
    #[command(
        after_help = "Example:\n  millstream ensemble evaluate ensembles/all --predictions a-test.parquet b-test.parquet"
    )]
    Evaluate {
        /// The folder of the ensemble
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        /// A file of predictions for each member, in their order
        #[arg(short, long, value_name = "FILE.parquet", num_args = 1.., required = true)]
        predictions: Vec<PathBuf>,
        #[command(flatten)]
        measure: MeasureArguments,
    },
    Members(EnsembleMembers),
    /// Write states of one run as models, to be members
    ///
    /// Those that `training.average: {last: 5}` (or `best`) has kept, or else those of its checkpoints. With `schedule: cosine_restarts` they are the
    /// members of a snapshot ensemble (Huang 2017). The data and the model of the run must still be where they were.
    #[command(after_help = "Example:\n  millstream ensemble snapshots runs/cyclic -o members")]
    Snapshots {
        /// The output folder of the run
        #[arg(value_name = "RUN")]
        run: PathBuf,
        /// The folder to write into
        #[arg(short, long, value_name = "FOLDER")]
        output: PathBuf,
    },
    /// List the ways to make one model of several, or explain one
    #[command(after_help = "Examples:\n  millstream ensemble methods\n  millstream ensemble methods stacking")]
    Methods {
        /// The one to explain
        #[arg(value_name = "NAME", value_parser = offered::ensemble_method(), hide_possible_values = true)]
        name: Option<String>,
    },
}

/// Fit an ensemble, measure it, write it as one model
///
/// A part of the rows is fitted to, the rest is measured on: the members, the mean of their figures, and the ensemble. Writes into a folder
/// `ensemble.json`, `ensemble.onnx` (inputs shared, equal weights once, what members do alike run once), `origin.json`, `labels.txt` and
/// `report.html`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream evaluate runs/a/recipe.yaml --predictions runs/a/predictions.parquet\n  millstream ensemble fit runs/a \
    runs/b runs/c -o ensembles/all\n  millstream ensemble fit runs/a runs/b --method stacking --option l2=0.01 -o ensembles/two\n  millstream \
    ensemble fit a.onnx b.onnx -p a.parquet b.parquet -o ensembles/two\n  millstream ensemble methods"
)]
pub(crate) struct EnsembleFit {
    /// Folders of runs, .onnx files, or folders that `ensemble members` has made: the mean of what their runs answer, and in a mean of
    /// weights these runs
    #[arg(value_name = "MEMBER", required = true)]
    pub(crate) members: Vec<PathBuf>,
    /// What each member gives for rows, in the same order; `predictions.parquet` in the folder of a run, or `NAME.predictions.parquet` beside
    /// NAME.onnx, where it is not said
    #[arg(short, long, value_name = "FILE.parquet", num_args = 1..)]
    pub(crate) predictions: Vec<PathBuf>,
    /// How they are made one; `ensemble methods` lists them
    #[arg(long, value_name = "NAME", default_value = "weighted", value_parser = offered::ensemble_method(), hide_possible_values = true)]
    pub(crate) method: String,
    /// An option of the method, for example `l2=0.01`; may be given several times
    #[arg(long = "option", value_name = "KEY=VALUE")]
    pub(crate) options: Vec<String>,
    /// The share of rows that is measured on and not fitted to; 0 fits to all, and measures on the same
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    pub(crate) holdout: f64,
    #[command(flatten)]
    pub(crate) measure: MeasureArguments,
    /// Each member of the model also sees images mirrored, and gives the mean of both
    #[arg(long)]
    pub(crate) flips: bool,
    /// The output with the scores, of members that have several
    #[arg(long, value_name = "NAME")]
    pub(crate) output_name: Option<String>,
    /// The recipe whose evaluation rows means of weights are run on, instead of that of the first run
    #[arg(long, value_name = "RECIPE")]
    pub(crate) recipe: Option<PathBuf>,
    /// The folder to write into
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
    /// Replace the ensemble that is in the folder
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// Train members on parts of the rows of a recipe
///
/// With `--folds`, each on all folds but one, as in cross-validation; with `--bags`, each on as many rows as there are, drawn with replacement.
/// Each answers for the rows that it was not trained on: `predictions.parquet` in the folder holds these answers, by which `ensemble fit
/// --method stacking` combines several such folders without having seen a row twice, and `model.onnx` is the mean of the members. The folder of
/// each member is an ordinary run, with its own predictions for the recipe's evaluation rows. What is finished stays when it is run again.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream ensemble members recipe.yaml --folds 5 --stratify label -o members/small\n  millstream ensemble members \
    other.yaml --folds 5 --stratify label -o members/large\n  millstream ensemble fit members/small members/large --method stacking -o \
    ensembles/stacked\n  millstream ensemble members recipe.yaml --bags 10 -o members/bagged"
)]
pub(crate) struct EnsembleMembers {
    #[command(flatten)]
    pub(crate) recipe: RecipeArguments,
    /// Folds, and as many members
    #[arg(long, value_name = "COUNT", required_unless_present = "bags", conflicts_with = "bags")]
    pub(crate) folds: Option<usize>,
    /// Members that are trained on rows drawn with replacement
    #[arg(long, value_name = "COUNT")]
    pub(crate) bags: Option<usize>,
    /// A column whose values are as frequent in each fold as in all rows
    #[arg(long, value_name = "COLUMN", requires = "folds")]
    pub(crate) stratify: Option<String>,
    /// A column whose rows of one value stay in one fold
    #[arg(long, value_name = "COLUMN", requires = "folds")]
    pub(crate) group: Option<String>,
    /// Seed of which rows each member has
    #[arg(long, default_value_t = 0, value_parser = whole_number::<u64>)]
    pub(crate) seed: u64,
    /// Draws of rows for intervals of figures that are no shares of rows; 0 for none
    #[arg(long, value_name = "DRAWS", default_value_t = 1000)]
    pub(crate) bootstrap: u32,
    /// What is held of all predictions, at most
    #[arg(long, value_name = "SIZE", default_value = "2 GiB", value_parser = size)]
    pub(crate) memory: ByteSize,
    /// The folder to write into
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
}

/// What is measured of an ensemble.
#[derive(Clone, Debug, Args)]
pub(crate) struct MeasureArguments {
    /// A metric, as in `training.metrics`; may be given several times
    #[arg(long = "metric", value_name = "NAME", value_parser = offered::metric(), hide_possible_values = true)]
    pub(crate) metrics: Vec<String>,
    /// The figure that decides which member is the best: one of the metrics' or `loss`
    #[arg(long, value_name = "FIGURE")]
    pub(crate) best: Option<String>,
    /// Draws of rows for intervals of figures that are no shares of rows; 0 for none
    #[arg(long, value_name = "DRAWS", default_value_t = 1000)]
    pub(crate) bootstrap: u32,
    /// Seed of all that is drawn
    #[arg(long, default_value_t = 0, value_parser = whole_number::<u64>)]
    pub(crate) seed: u64,
    /// What is held of all predictions, at most
    #[arg(long, value_name = "SIZE", default_value = "2 GiB", value_parser = size)]
    pub(crate) memory: ByteSize,
}
