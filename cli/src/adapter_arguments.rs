//! The command line of `adapter`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Look into adapters (LoRA and its like), merge them into a model, change their form
///
/// An adapter is a folder of Hugging Face's PEFT (`adapter_config.json` and `adapter_model.safetensors`, made here or elsewhere) or ONNX
/// Runtime's `.onnx_adapter`. `train` writes one with `output.adapter_files`; `model.methods: [{peft: {folder: …}}]` trains one on.
#[derive(Debug, Args)]
pub(crate) struct Adapter {
    #[command(subcommand)]
    pub(crate) command: AdapterCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdapterCommand {
    /// Say what an adapter holds: method, modules, ranks, how many numbers
    #[command(after_help = "Example:\n  millstream adapter list runs/lora/adapter")]
    List {
        /// A PEFT folder, an .onnx_adapter file, the output folder of a run that wrote one, or a model with `adapters: unmerged` of `lora`
        /// (without `start: pissa`), `ia3`, `oft` or `boft`; models of other methods do not say where in them the adapter is
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// Write what a finished run has trained as an adapter
    ///
    /// Takes the best weights of the run's newest checkpoint. The data and the model of the run must still be where they were; for a
    /// model that was exported with `output.adapters: unmerged` they need not.
    #[command(
        after_help = "Examples:\n  millstream adapter extract runs/lora -o adapters/mine\n  millstream adapter extract \
        runs/lora -o mine.onnx_adapter"
    )]
    Extract {
        /// The output folder of the run, or a model with `adapters: unmerged` of `lora` (without `start: pissa`), `ia3`, `oft` or `boft`
        #[arg(value_name = "RUN")]
        run: PathBuf,
        /// A folder for PEFT, or a file whose name ends with .onnx_adapter
        #[arg(short, long, value_name = "PATH")]
        output: PathBuf,
    },
    /// Merge one or several adapters into a model
    ///
    /// Modules of an adapter are found among the layers of the model by their names: one part in front of all may be cut and another put
    /// there, as where the model was exported through a wrapper. Where that is not clear, both lists are told.
    #[command(
        after_help = "Examples:\n  millstream adapter merge model.onnx --adapter adapters/mine -o merged.onnx\n  millstream \
        adapter merge model.onnx --adapter a --weight 0.7 --adapter b --weight 0.3 -o both.onnx"
    )]
    Merge {
        /// The model, an .onnx file
        #[arg(value_name = "MODEL")]
        model: PathBuf,
        /// A PEFT folder or an .onnx_adapter file; may be given several times
        #[arg(short, long = "adapter", value_name = "PATH", required = true)]
        adapters: Vec<PathBuf>,
        /// What the adapter is multiplied by, one for each in the same order; 1 where none is given
        #[arg(short, long = "weight", value_name = "NUMBER", allow_negative_numbers = true)]
        weights: Vec<f64>,
        /// Leave out modules that this pattern matches (`*` any run, `?` one character), of any of the adapters, a head for example; may
        /// be given several times
        #[arg(long, value_name = "PATTERN")]
        skip: Vec<String>,
        /// The model to write
        #[arg(short, long, value_name = "FILE.onnx")]
        output: PathBuf,
    },
    /// Write adapters in the other form
    ///
    /// Of several adapters of one method, on any layers and of any ranks, `--base` is one model that takes each of them.
    #[command(
        after_help = "Examples:\n  millstream adapter convert adapters/mine -o mine.onnx_adapter --model model.onnx --base \
        base.onnx\n  millstream adapter convert a b -o a.onnx_adapter -o b.onnx_adapter --model model.onnx --base base.onnx\n  \
        millstream adapter convert mine.onnx_adapter -o adapters/mine --model model.onnx"
    )]
    Convert {
        /// A PEFT folder or an .onnx_adapter file; may be several
        #[arg(value_name = "PATH", required = true)]
        from: Vec<PathBuf>,
        /// A folder for PEFT, or a file whose name ends with .onnx_adapter; one for each PATH, in the same order
        #[arg(short, long, value_name = "PATH", required = true)]
        output: Vec<PathBuf>,
        /// The model that it is for: an .onnx_adapter takes the names of inputs from its layers, a folder leaves out what all of them begin with
        #[arg(short, long, value_name = "MODEL")]
        model: Option<PathBuf>,
        /// Write the model that takes each .onnx_adapter, and others for the same layers; without one it computes what MODEL does
        #[arg(long, value_name = "FILE.onnx", requires = "model")]
        base: Option<PathBuf>,
        /// Leave out modules that this pattern matches, of any of the adapters; may be given several times
        #[arg(long, value_name = "PATTERN")]
        skip: Vec<String>,
        /// Leave this out in front of the names of modules in a folder
        #[arg(long, value_name = "FRONT")]
        cut: Option<String>,
    },
}
