//! The command line of `search`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::recipe_arguments::RecipeArguments;

/// Look for good values of what a recipe leaves open
///
/// Any value of a recipe may be `{choose: [a, b]}`, `{uniform: [0, 1]}`, `{log_uniform: [1e-5, 1e-1]}` or `{integer: [1, 8]}`; its part
/// `search` says what is looked for, what is tried next, and when a trial ends early. Each trial is an ordinary run. The recipe's
/// output folder is that of the study: `journal.jsonl`, `recipe.yaml`, `trials/` and the page `search.html`.
#[derive(Debug, Args)]
pub(crate) struct Search {
    #[command(subcommand)]
    pub(crate) command: SearchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SearchCommand {
    /// Begin a study, and work on it until its trials are done
    ///
    /// Ctrl-C saves the trials that run and says how to go on. What is finished is never lost, whatever ends the process.
    #[command(
        after_help = "Examples:\n  millstream search run recipe.yaml\n  millstream search run recipe.yaml --trials 20 \
        --parallel 2 -o runs/rates"
    )]
    Run {
        #[command(flatten)]
        recipe: RecipeArguments,
        /// The folder of the study, instead of the recipe's `output.folder`
        #[arg(short, long, value_name = "FOLDER")]
        output: Option<PathBuf>,
        #[command(flatten)]
        how: SearchHow,
    },
    /// Go on with a study that was interrupted, or that is to have more trials
    #[command(
        after_help = "Examples:\n  millstream search resume runs/rates\n  millstream search resume runs/rates --trials 100"
    )]
    Resume {
        #[command(flatten)]
        study: StudyArguments,
        #[command(flatten)]
        how: SearchHow,
    },
    /// Work on a study beside other processes, on this machine or others that see its folder
    ///
    /// The study has begun by `search run`, and its data lie under the same paths.
    /// Trials whose process died are gone on with from their checkpoints: at once on the same machine, elsewhere when nothing was
    /// heard of it for as long as `--lost-after` says.
    #[command(after_help = "Example:\n  millstream search worker /shared/runs/rates")]
    Worker {
        #[command(flatten)]
        study: StudyArguments,
        #[command(flatten)]
        how: SearchHow,
    },
    /// Say how far a study is: its trials with their values and figures, why trials failed, and the best so far
    ///
    /// Of many trials the last and the best ones, and of many failures the first five; `--json` has all.
    #[command(after_help = "Example:\n  millstream search status runs/rates")]
    Status {
        #[command(flatten)]
        study: StudyArguments,
    },
    /// Write the recipe of the best trial, with nothing left open
    #[command(
        after_help = "Examples:\n  millstream search best runs/rates -o good.yaml\n  millstream search best runs/rates --refit    \
        train it on all rows"
    )]
    Best {
        #[command(flatten)]
        study: StudyArguments,
        /// The recipe to write, instead of `best.yaml` in the study's folder
        #[arg(short, long, value_name = "FILE.yaml")]
        output: Option<PathBuf>,
        /// Train it on all rows, those to evaluate on among them, into the folder `refit` of the study. Nothing is left to measure on: the
        /// weights of the last step are exported, and what of the recipe looks at evaluations is left out
        #[arg(long)]
        refit: bool,
    },
    /// Queue trials that have failed, to be tried again
    ///
    /// Without numbers those that were given up since their processes were lost again and again, and where none was, all that have failed.
    /// A trial goes on from what it saved last, as often as a new one may; whoever works on the study has it next, `millstream search
    /// resume` for example.
    #[command(
        after_help = "Examples:\n  millstream search retry runs/rates\n  millstream search retry runs/rates 7 12"
    )]
    Retry {
        #[command(flatten)]
        study: StudyArguments,
        /// Numbers of trials that have failed
        #[arg(value_name = "TRIAL")]
        trials: Vec<u64>,
    },
    /// Write a study for other programs
    #[command(
        after_help = "Examples:\n  millstream search export runs/rates --csv trials.csv\n  millstream search export runs/rates \
        --optuna trials.log    for Optuna's JournalStorage and its dashboard"
    )]
    #[command(group = clap::ArgGroup::new("form").required(true).multiple(true).args(["optuna", "csv"]))]
    Export {
        #[command(flatten)]
        study: StudyArguments,
        /// A journal that Optuna's `JournalStorage` opens
        #[arg(long, value_name = "FILE")]
        optuna: Option<PathBuf>,
        /// A table of trials
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
    },
}

/// A study that has begun.
#[derive(Clone, Debug, Args)]
pub(crate) struct StudyArguments {
    /// The folder of a study, or the recipe that it was begun with
    #[arg(value_name = "STUDY")]
    pub(crate) study: PathBuf,
}

/// How a process works on a study.
#[derive(Clone, Debug, Args)]
pub(crate) struct SearchHow {
    /// Trials of the whole study, instead of the recipe's `search.trials`
    #[arg(long, value_name = "TRIALS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) trials: Option<u64>,
    /// Trials at a time in this process, instead of the recipe's `search.parallel`
    #[arg(long, value_name = "TRIALS", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) parallel: Option<u64>,
    /// A process on another machine is taken for lost when nothing was heard of it for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) lost_after: u64,
}
