use std::ffi::OsString;

use clap::Args;

/// Look into a Parquet dataset or an ONNX model
///
/// Of a dataset: columns and what they mean, files, rows, row groups, sizes, rows of each class. Of a model: inputs, outputs,
/// its layers in order with the number of their parameters, its operators, and what an unfreeze pattern would match.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millstream inspect data/flowers\n  millstream inspect 'data/train-*.parquet' --label \
    species\n  millstream inspect model.onnx --pattern 'layer4.*' --pattern head\n  millstream inspect --operators"
)]
pub(crate) struct Inspect {
    /// Parquet: files, folders or patterns, looked at as one dataset; or one .onnx file
    #[arg(value_name = "PATH", required_unless_present = "operators")]
    pub(crate) paths: Vec<OsString>,
    /// Layers that this pattern of names would unfreeze (`*` any run, `?` one character); may be given several times
    #[arg(short, long = "pattern", value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// Column that holds the class; without it `label`, or the one that `init` tells
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    /// List the operators that models may have, and how a gradient goes through each
    #[arg(long, conflicts_with_all = ["paths", "patterns", "label"])]
    pub(crate) operators: bool,
}
