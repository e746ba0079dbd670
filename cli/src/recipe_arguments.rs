use std::path::PathBuf;

use clap::Args;
use millstream::schemas::recipe::ByteSize;

/// A recipe, and what is changed of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct RecipeArguments {
    /// The recipe, a YAML or JSON file; or the folder of a run or a study, whose recipe it is
    #[arg(value_name = "RECIPE")]
    pub(crate) recipe: PathBuf,
    /// Change a value of the recipe, for example `training.epochs=3`; may be given several times. Paths count from the
    /// working directory (those inside a recipe from the recipe's folder)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

pub(crate) fn whole_number<T: std::str::FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "wanted a whole number of 0 or more")
}

pub(crate) fn size(text: &str) -> Result<ByteSize, String> {
    text.parse()
}
