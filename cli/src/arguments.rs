//! The command line as clap sees it. Help texts are written for somebody who has never trained a model.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use millstream::recipes::init::USUAL_FILE;
use millstream::recipes::predict::RowFormat;
use millstream::schemas::recipe::LARGEST_BATCH;
use millstream::training::range_test::RangeTest;

pub(crate) use crate::adapter_arguments::{Adapter, AdapterCommand};
use crate::colour::Color;
use crate::command_notes::noted;
pub(crate) use crate::ensemble_arguments::{Ensemble, EnsembleCommand, EnsembleFit, EnsembleMembers, MeasureArguments};
pub(crate) use crate::import_arguments::Import;
pub(crate) use crate::inspect_arguments::Inspect;
pub(crate) use crate::recipe_arguments::RecipeArguments;
use crate::recipe_arguments::whole_number;
pub(crate) use crate::run_arguments::{Compare, Document, Errors, Note, Report, Reproduce, Runs, Watch};
pub(crate) use crate::search_arguments::{Search, SearchCommand, SearchHow, StudyArguments};
use crate::{offered, terminal, unknown_option, version};

const AFTER_HELP: &str = "\
Examples:
  millstream init data/ model.onnx
      write a recipe that trains this model on these rows
  millstream check recipe.yaml
      what would be trained, and whether it can be
  millstream import photos/ -o data
      a folder of pictures, or a table, as Parquet
  millstream preview recipe.yaml
      what the transforms do to real rows
  millstream lr-find recipe.yaml
      look for a learning rate, before training
  millstream train recipe.yaml
      train; the result is a plain ONNX model
  millstream search run recipe.yaml
      look for good values of what it leaves open
  millstream evaluate recipe.yaml
      measure the trained model
  millstream predict runs/a photos/
      what the trained model says of new images or texts
  millstream compile recipe.yaml -o step
      the training step, for a loop of your own
  millstream inspect data/
      rows, columns and classes of a dataset
  millstream inspect model.onnx
      layers of a model

Exit codes:
  0    done
  1    an error, printed on the standard error output; a report of `check`
       or `runtime doctor` that says no; or a search of which no trial is
       complete
  2    the command line is wrong
  3    interrupted by Ctrl-C or SIGTERM: `train` and `search` have saved, and
       go on with `train --resume` and `search resume`; others say in their
       help what stays
  130  ended at once by a second Ctrl-C (143 by a second SIGTERM); the last
       checkpoint is whole

Numbers:
  Epochs, steps and files count from 1. Row groups, rows in them and class
  numbers are those of the data: they count from 0.";

/// Of the options of every command, which stand behind a command's own.
const COMMON: &str = "Common options";

/// Longer lines of help are hard to read.
const WIDEST_HELP: usize = 110;

/// Reads the command line; help and usage errors end the process here.
pub(crate) fn read() -> Arguments {
    static VERSION: LazyLock<String> =
        LazyLock::new(|| version::version(&std::env::args_os().skip(1).collect::<Vec<OsString>>()));
    let command = noted(Arguments::command()).long_version(VERSION.as_str());
    let mut command = command.term_width(terminal::output_width().min(WIDEST_HELP));
    let matches = command.try_get_matches_from_mut(std::env::args_os()).unwrap_or_else(|error| {
        let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
        let words: Vec<String> = words.collect();
        unknown_option::explained(error, &command, &words).exit()
    });
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Fine-tune pretrained ONNX models on Parquet data.
///
/// One recipe (a YAML file) names the model, the data, the transforms and how long to train. The result is a plain ONNX
/// model that any ONNX Runtime opens. Nothing but this program and the ONNX Runtime library is needed.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Print results as JSON, for other programs (`train`: one JSON object a line)
    #[arg(long, global = true, help_heading = COMMON)]
    pub(crate) json: bool,
    /// The ONNX Runtime library to use, instead of the one that would be found
    #[arg(long, global = true, help_heading = COMMON, value_name = "FILE")]
    pub(crate) runtime: Option<PathBuf>,
    /// Say less: no progress, no warnings (how to go on with an interrupted run is always said)
    #[arg(short, long, global = true, help_heading = COMMON, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more (why this device was taken, for example); twice for everything
    #[arg(short, long, global = true, help_heading = COMMON, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colour; `auto` respects NO_COLOR and CLICOLOR_FORCE
    #[arg(
        long,
        global = true,
        help_heading = COMMON,
        value_name = "auto|always|never",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    pub(crate) color: Color,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(Init),
    Train(Train),
    Check(Check),
    Compile(Compile),
    Evaluate(Evaluate),
    Predict(Predict),
    Import(Import),
    Preview(Preview),
    LrFind(LrFind),
    Inspect(Inspect),
    Search(Search),
    Watch(Watch),
    Report(Report),
    Compare(Compare),
    Errors(Errors),
    Document(Document),
    Note(Note),
    Reproduce(Reproduce),
    Runs(Runs),
    Schema(Schema),
    Transforms(Transforms),
    Config(Config),
    Completions(Completions),
    ManPages(ManPages),
    Adapter(Adapter),
    Ensemble(Ensemble),
    Runtime(Runtime),
}

/// Print the JSON Schema of recipes
///
/// Editors complete and check recipes with it, without a network. Put `# yaml-language-server: $schema=recipe.schema.json` into the first
/// line of a recipe, as `init` does, which writes the file too; or the key `$schema` with the same value.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  millstream schema -o recipe.schema.json")]
pub(crate) struct Schema {
    /// The file to write, instead of printing it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Write a recipe that trains a model on data
///
/// Looks at both: what is told and of what, the size of images and how they are normalized (from a file beside the model, where
/// there is one), the last layer, rates, rows to evaluate on. The recipe is commented, and known to train: the training step was
/// compiled.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream init flowers/ mobilenet_v2.onnx\n  millstream init flowers/    without a model yet\n  millstream init 'reviews-train-*.parquet' bert/model.onnx --evaluate \
    'reviews-test-*.parquet' -o reviews.yaml"
)]
pub(crate) struct Init {
    /// The rows to train on: Parquet (a file, a folder of them, or a pattern), or a folder of images, an archive or a table as `import` reads
    /// it
    #[arg(value_name = "DATA")]
    pub(crate) data: PathBuf,
    /// The pretrained model; without it the recipe says what is known of the data, enough for `preview`, and where the model is to stand
    #[arg(value_name = "MODEL.onnx")]
    pub(crate) model: Option<PathBuf>,
    /// The rows to evaluate on; without it those of another split in the same folder, or a part of what is no Parquet
    #[arg(long, value_name = "DATA")]
    pub(crate) evaluate: Vec<PathBuf>,
    /// The column that is to be told
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    /// The recipe to write; `-` prints it
    #[arg(short, long, value_name = "FILE", default_value = USUAL_FILE)]
    pub(crate) output: PathBuf,
    /// The folder that the recipe's results go to [default: runs/ and the name of the recipe]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) run: Option<PathBuf>,
    /// Replace the recipe that is there
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// Train a model as a recipe says
///
/// Writes into the recipe's output folder: `model.onnx` (the best weights by `training.best` on the evaluation rows), `labels.txt`,
/// `metrics.json`, `report.html`, `recipe.yaml` (as it was used) and `checkpoints/`. Ctrl-C finishes the running step,
/// saves a checkpoint and says how to go on; a second one ends at once.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream train recipe.yaml\n  millstream train flowers/ mobilenet_v2.onnx\n  millstream train recipe.yaml --set training.epochs=3 \
    --output runs/short\n  millstream train recipe.yaml --dry-run\n  millstream train recipe.yaml --resume"
)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) recipe: RecipeArguments,
    /// The pretrained model, where the argument before it is data (Parquet, or a folder, archive or table that `import` reads): a recipe is
    /// made of both, as `init` does
    #[arg(value_name = "MODEL.onnx")]
    pub(crate) model: Option<PathBuf>,
    /// With data and a model: the column that is to be told
    #[arg(long, value_name = "COLUMN", requires = "model")]
    pub(crate) label: Option<String>,
    /// Go on from the newest checkpoint in the output folder
    #[arg(long, conflicts_with = "overwrite")]
    pub(crate) resume: bool,
    /// Replace the run that is in the output folder
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// The output folder, instead of the recipe's `output.folder`
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// Write the compiled training step as well, as `compile` does, to look at or to run elsewhere
    #[arg(long)]
    pub(crate) keep_graph: bool,
    /// Serve the run's page while it goes on, to this machine alone, and say where; it writes the log `jsonl` for that
    #[arg(long)]
    pub(crate) watch: bool,
    /// Put one batch through everything (reading, a step, evaluation, export) and leave nothing behind
    #[arg(long, conflicts_with_all = ["resume", "overwrite", "keep_graph", "watch"])]
    pub(crate) dry_run: bool,
}

/// Say what a recipe would do, without doing it
///
/// Opens the data and the model and prints the columns and classes found, the layers with what is trained and what stays
/// frozen, which operators have gradients, the number of steps, an estimate of the memory, and the device.
/// Ends with exit code 1 if training could not start.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millstream check recipe.yaml --set model.train=all")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) recipe: RecipeArguments,
}

/// Write the training step as plain ONNX, for a training loop of one's own
///
/// Writes into a folder: `training_step.onnx` (loss, prediction and a gradient for each parameter), `evaluation.onnx`,
/// `weights.bin` (what is frozen, once for both), `parameters.safetensors` (what is trained, as it begins) and `manifest.json`, which says
/// what each input and output is. Any ONNX Runtime runs them. Batches may have any number of rows, unless one is given.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream compile recipe.yaml -o step\n  millstream compile recipe.yaml -o step --batch 32"
)]
pub(crate) struct Compile {
    #[command(flatten)]
    pub(crate) recipe: RecipeArguments,
    /// The folder to write into: a new or an empty one
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
    /// Always so many rows in a batch, for devices and models that want to know
    #[arg(long, value_name = "ROWS", value_parser = rows)]
    pub(crate) batch: Option<usize>,
    /// Replace the compiled training step that is in the folder
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// Measure a model: the loss of its training, accuracy, top-5, confusion matrix, or what `training.metrics` says
///
/// Takes the trained model of the recipe's output folder and the recipe's evaluation rows, its `evaluation.sets` too, and
/// transforms; any other model of the same input and classes, and any other rows, can be named.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  millstream evaluate recipe.yaml\n  millstream evaluate recipe.yaml --model \
    other.onnx --data 'data/test-*.parquet'")]
pub(crate) struct Evaluate {
    #[command(flatten)]
    pub(crate) recipe: RecipeArguments,
    /// The model to measure, instead of the recipe's result
    #[arg(short, long, value_name = "FILE.onnx")]
    pub(crate) model: Option<PathBuf>,
    /// The rows to measure on, instead of the recipe's `data.evaluate`: files, folders or patterns
    #[arg(short, long, value_name = "PARQUET", num_args = 1..)]
    pub(crate) data: Vec<OsString>,
    /// Read numbers of tables in `--data` whose decimals have a comma (`0,5`, `1.234,5`)
    #[arg(long)]
    pub(crate) decimal_comma: bool,
    /// Measure the mean over so many views of each row, drawn by the recipe's `evaluation.test_time_augmentation` or else by its
    /// `transforms.train`
    #[arg(long, value_name = "VIEWS", value_parser = views)]
    pub(crate) tta: Option<u64>,
    /// Write what the model gives for each row, with the row's place and label, for `ensemble fit`
    #[arg(long, value_name = "FILE.parquet")]
    pub(crate) predictions: Option<PathBuf>,
}

/// Say what a trained model makes of new rows
///
/// Rows are images, texts, or whatever the model was trained on; they are prepared as the model's file says, which `train`
/// writes into it. A row that cannot be used is told with its reason and stops nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream predict runs/flowers photos/\n  millstream predict model.onnx a.jpg b.png -o predictions.csv\n  \
    millstream predict runs/reviews --text 'worth a second look'\n  cat reviews.txt | millstream predict runs/reviews - --json\n  \
    millstream predict runs/flowers 'data/flowers-test-*.parquet' -o predictions.parquet"
)]
pub(crate) struct Predict {
    /// The model: an ONNX file, or the folder of a run or an ensemble
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// Images, files of text (a row a line), CSV, JSON Lines or Parquet, folders or archives of these; `-` is the standard input: lines of
    /// text (or JSON Lines, where the first is an object with the model's column), an image, or CSV or JSON Lines, whichever the model takes.
    /// A table has the columns that the model was trained on; images in it are paths
    #[arg(value_name = "INPUT", required_unless_present = "texts")]
    pub(crate) inputs: Vec<PathBuf>,
    /// A text to predict; may be given several times
    #[arg(long = "text", value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    /// How the standard input is written, instead of what its first line and the model say: lines of text, or a table
    #[arg(long, value_name = "text|csv|tsv|jsonl", value_parser = offered::row_format(), hide_possible_values = true)]
    pub(crate) format: Option<RowFormat>,
    /// Write to a file, as its name ends: `.jsonl`, `.csv` or `.parquet` (which have the probabilities of all classes, but for
    /// `.jsonl`, which has the most likely)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Read numbers of tables whose decimals have a comma (`0,5`, `1.234,5`)
    #[arg(long)]
    pub(crate) decimal_comma: bool,
    /// The recipe that says how rows are prepared and what the scores are, for a model whose file does not
    #[arg(long, value_name = "RECIPE")]
    pub(crate) recipe: Option<PathBuf>,
    /// Name so many of the most likely classes of each row; 0 names all [default: 5]
    #[arg(long, value_name = "CLASSES")]
    pub(crate) top: Option<usize>,
    /// Tell things in pictures that are so likely or more, of a model that finds several [default: 0.3]
    #[arg(long, value_name = "SHARE", value_parser = probability)]
    pub(crate) least_probability: Option<f32>,
    /// The folder for masks as large as the pictures, of a model that has a class for each pixel; without it their shares are told
    #[arg(long, value_name = "FOLDER")]
    pub(crate) masks: Option<PathBuf>,
    /// Rows that are run together [default: 32]
    #[arg(long, value_name = "ROWS", value_parser = batch)]
    pub(crate) batch: Option<usize>,
    /// Where to run: `auto`, `cpu`, `cuda` or `cuda:N`
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = offered::device(), hide_possible_values = true)]
    pub(crate) device: String,
    /// Threads of ONNX Runtime; 0 takes one for each core
    #[arg(long, value_name = "THREADS", default_value_t = 0)]
    pub(crate) threads: usize,
}

fn probability(text: &str) -> Result<f32, &'static str> {
    let probability = text.parse().ok().filter(|probability| (0.0..=1.0).contains(probability));
    probability.ok_or("wanted a number from 0 to 1")
}

fn batch(text: &str) -> Result<usize, String> {
    let batch: usize = text.parse().map_err(|error: std::num::ParseIntError| error.to_string())?;
    if (1..=LARGEST_BATCH).contains(&batch) { Ok(batch) } else { Err(format!("a batch has 1 to {LARGEST_BATCH} rows")) }
}

fn views(text: &str) -> Result<u64, &'static str> {
    let views = text.parse().ok().filter(|views| (1..=1000).contains(views));
    views.ok_or("wanted a whole number from 1 to 1000")
}

/// Look for a learning rate: a range test
///
/// Trains a copy of the weights with a rate that grows by the same factor from step to step (Smith 2017), until the loss grows
/// away or the last rate is reached, and says where the loss fell fastest. Rows, transforms, optimizer and what is trained are
/// those of the recipe. Nothing in its output folder is touched.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream lr-find recipe.yaml\n  millstream lr-find recipe.yaml --from 1e-5 --to 0.1 \
    --steps 200 -o rates.svg\n  millstream lr-find recipe.yaml --json    each step, and the suggestion"
)]
pub(crate) struct LrFind {
    #[command(flatten)]
    pub(crate) recipe: RecipeArguments,
    /// The first learning rate
    #[arg(long, value_name = "RATE", default_value_t = 1e-7, value_parser = learning_rate)]
    pub(crate) from: f64,
    /// The last learning rate
    #[arg(long, value_name = "RATE", default_value_t = 1.0, value_parser = learning_rate)]
    pub(crate) to: f64,
    /// Steps between them, 10 or more
    #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(RangeTest::FEWEST..))]
    pub(crate) steps: u64,
    /// The picture to write
    #[arg(short, long, value_name = "FILE.svg", default_value = "lr-find.svg")]
    pub(crate) output: PathBuf,
}

fn learning_rate(text: &str) -> Result<f64, &'static str> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or("wanted a number above 0")
}

fn rows(text: &str) -> Result<usize, String> {
    let rows = text.parse().ok().filter(|rows| (1..=LARGEST_BATCH).contains(rows));
    rows.ok_or_else(|| format!("wanted a whole number from 1 to {LARGEST_BATCH}"))
}

/// Show what the transforms do to real rows
///
/// Images: writes a contact sheet, a PNG with the original in the first column and one column for each epoch, with the
/// drawn steps under each picture. They are the very pictures that training with this seed would see; only transforms of
/// whole batches, such as `mix_up`, are not shown. Texts are printed with their variants. No model is needed. `--json` tells
/// the drawn steps, and `--replay` renders exactly those.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream preview recipe.yaml -o sheet.png --rows 6 --draws 4\n  millstream preview \
    recipe.yaml -o sheet.png --json > steps.json\n  millstream preview recipe.yaml -o again.png \
    --replay steps.json"
)]
pub(crate) struct Preview {
    #[command(flatten)]
    pub(crate) recipe: RecipeArguments,
    /// How many rows of the training data
    #[arg(short = 'n', long, default_value_t = 6, value_parser = whole_number::<usize>)]
    pub(crate) rows: usize,
    /// How many draws of each row
    #[arg(short = 'k', long, default_value_t = 4, value_parser = whole_number::<usize>)]
    pub(crate) draws: usize,
    /// Seed of the draws, instead of the recipe's
    #[arg(long, value_parser = whole_number::<u64>)]
    pub(crate) seed: Option<u64>,
    /// The PNG to write
    #[arg(short, long, value_name = "FILE.png|.jpg", default_value = "preview.png")]
    pub(crate) output: PathBuf,
    /// Render the steps that an earlier `preview --json` printed
    #[arg(long, value_name = "STEPS.json", conflicts_with_all = ["rows", "draws", "seed"])]
    pub(crate) replay: Option<PathBuf>,
}

/// Print a recipe with every default filled in
///
/// Each value stands under what it means; what is not said and has no default is a comment. What is printed is a recipe itself. With
/// `--json` the bare values.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millstream config recipe.yaml > whole.yaml")]
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) recipe: RecipeArguments,
}

/// Print a script that completes commands and options in a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream completions bash > ~/.local/share/bash-completion/completions/millstream\n  \
    millstream completions zsh > ~/.zfunc/_millstream\n  millstream completions fish > ~/.config/fish/completions/millstream.fish"
)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Write manual pages, one for each command
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millstream man-pages ~/.local/share/man/man1")]
pub(crate) struct ManPages {
    /// The folder to write into
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

/// List the transforms, or explain one
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  millstream transforms\n  millstream transforms rotate")]
pub(crate) struct Transforms {
    /// The one to explain
    #[arg(value_name = "NAME", value_parser = offered::transform(), hide_possible_values = true)]
    pub(crate) name: Option<String>,
}

/// Install or examine ONNX Runtime, the library that does the arithmetic
#[derive(Debug, Args)]
pub(crate) struct Runtime {
    #[command(subcommand)]
    pub(crate) command: RuntimeCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RuntimeCommand {
    /// Fetch the pinned library through pip, checked by its hash, into our data folder
    #[command(
        after_help = "Examples:\n  millstream runtime install\n  millstream runtime install --from onnxruntime-1.31.1-*.whl"
    )]
    Install {
        /// The build with CUDA; the CUDA and cuDNN libraries themselves must be on the machine
        #[arg(long)]
        cuda: bool,
        /// Take this wheel instead of fetching one
        #[arg(long, value_name = "FILE.whl")]
        from: Option<PathBuf>,
    },
    /// Say which library is used, where it was looked for, and whether CUDA can be used
    Doctor,
}
