use std::path::PathBuf;

use millstream_schemas::Recipe;

use crate::Catalogs;

/// What to predict with, and how.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// An ONNX file, or the folder of a run that has made one.
    pub model: PathBuf,
    /// How rows are prepared and what scores mean, of a model whose file does not say it.
    pub recipe: Option<Recipe>,
    /// Rows that are run together. By itself [`PredictOptions::BATCH`], or as many as the model was made for; another number than that is
    /// refused.
    pub batch: Option<usize>,
    /// How many classes of each row are named, the most likely first; 0 names all. It is refused for models that tell no class and no
    /// labels of each row. By itself [`PredictOptions::TOP`].
    pub top: Option<usize>,
    /// Things in pictures are told that are so likely or more, of models that find several; it is refused for others. By itself
    /// [`Detecting::LEAST_TOLD`](millstream_training::metrics::Detecting::LEAST_TOLD).
    pub least_probability: Option<f32>,
    /// Where masks are written, of models that have a class for each pixel.
    pub masks: Option<PathBuf>,
    /// The file that the caller writes what is predicted into: it is refused where it is one of the inputs.
    pub output: Option<PathBuf>,
    /// Reads numbers of tables whose decimals have a comma (`0,5`, `1.234,5`).
    pub decimal_comma: bool,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Threads of ONNX Runtime; 0 takes one for each core.
    pub threads: usize,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// What encodings and transforms are taken from.
    pub catalogs: Catalogs,
}

impl PredictOptions {
    /// Rows that are run together, unless it is said.
    pub const BATCH: usize = 32;
    /// Classes of each row that are named, unless it is said.
    pub const TOP: usize = 5;

    /// The five most likely classes, things from a probability of 0.3 on, 32 rows at a time, on whatever device is there.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            recipe: None,
            batch: None,
            top: None,
            least_probability: None,
            masks: None,
            output: None,
            decimal_comma: false,
            device: "auto".into(),
            threads: 0,
            library: None,
            catalogs: Catalogs::default(),
        }
    }
}
