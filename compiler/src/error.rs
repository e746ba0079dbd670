use millstream_schemas::shown_path;
use std::path::PathBuf;

/// Why a model cannot be read or compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompilerError {
    /// The model's file, or a file with its weights, could not be read.
    #[error("cannot read {}", shown_path(.path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model: truncated, damaged or something else.
    #[error("{} is not a whole ONNX model: {message}", shown_path(.path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A file of an adapter is damaged, or of a kind that is not read.
    #[error("{}: {message}", shown_path(.path))]
    AdapterFile {
        /// The file, or its folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
    /// Weights lie in a file that the model may not name.
    #[error("tensor `{tensor}` keeps its data in `{location}`, which is refused: {reason}")]
    ExternalData {
        /// The tensor.
        tensor: String,
        /// The location as written in the model.
        location: String,
        /// Why: outside the model's folder, a link to there, too short.
        reason: String,
    },
    /// Something valid ONNX that this compiler does not take.
    #[error("{what} is not supported: {advice}")]
    Unsupported {
        /// The thing, with its name.
        what: String,
        /// What to do about it.
        advice: String,
    },
    /// A weight, or a statistic of a normalization, holds what is no number.
    #[error(
        "{numbers} of the {of} numbers of `{tensor}` are NaN or infinite, the first at {first:?}; nothing can be trained or computed with \
         them: the file is damaged, or made of a training that diverged; export the model again from an earlier checkpoint"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// How many of its numbers.
        numbers: usize,
        /// How many it has.
        of: usize,
        /// Place of the first of them on each axis.
        first: Vec<usize>,
    },
    /// An operator breaks its own rules: a wrong number of inputs, shapes that do not fit.
    #[error("node `{node}` ({operator}): {message}")]
    Node {
        /// The node's name, or its first output's.
        node: String,
        /// The operator.
        operator: String,
        /// Wanted and got.
        message: String,
    },
    /// A shape that is needed before the run is not known: an operator that the table does not hold makes it, or it
    /// depends on data.
    #[error("node `{node}` ({operator}): {message}")]
    NotKnown {
        /// The node that makes the value.
        node: String,
        /// The operator.
        operator: String,
        /// Which value, and what to do.
        message: String,
    },
    /// Training needs the gradient of an operator that has none here.
    #[error(
        "no gradient for operator {operator} (opset {opset}), node `{node}`: {reason}; it lies between the loss and \
         the trained layers: {path}{}", what_can_be_trained(*.trainable)
    )]
    MissingGradient {
        /// The operator, with its domain unless it is a standard one.
        operator: String,
        /// Version of its domain, in this model.
        opset: i64,
        /// The node.
        node: String,
        /// No such operator, or none for this form of it.
        reason: String,
        /// Nodes from the loss down to this one.
        path: String,
        /// How many of the last layers can be trained, of how many; `None` where that was not tried.
        trainable: Option<(usize, usize)>,
    },
    /// The selection of layers or the head does not fit the model.
    #[error("{0}")]
    Selection(String),
    /// What a recipe says at a place does not fit the model.
    #[error("{message}")]
    Setting {
        /// Dotted path in the recipe.
        place: String,
        /// What does not fit, and what to do.
        message: String,
    },
}

fn what_can_be_trained(trainable: Option<(usize, usize)>) -> String {
    match trainable {
        None => String::new(),
        Some((0, _)) => ". No layer behind it could be trained".into(),
        Some((1, layers)) => format!(". The last of {layers} layers can be trained: `train: {{last: 1}}`"),
        Some((last, layers)) => {
            format!(". The last {last} of {layers} layers can be trained: `train: {{last: {last}}}`")
        }
    }
}

impl CompilerError {
    pub(crate) fn setting(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Setting { place: place.into(), message: message.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), advice: advice.into() }
    }
}
