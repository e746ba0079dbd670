//! What files in the folder of a run are called.

/// The recipe as it was used, by its name in the folder of a run, of members on parts of the rows, and, as it was given, of a search.
pub const RECIPE_FILE: &str = "recipe.yaml";

/// What was measured, in a run's folder.
pub const METRICS_FILE: &str = "metrics.json";

/// What a run is made of, in its folder: the first file that it writes.
pub const FINGERPRINTS_FILE: &str = "fingerprints.json";
