use std::path::Path;

use millstream_pipeline::{Columns, Dataset, InputKind, PipelineError, SplitRole};
use millstream_schemas::SchemaError;
use millstream_schemas::recipe::{DataRecipe, Patterns};
use millstream_transforms::Chain;

use crate::RecipeError;

/// Rows of one split and what happens to them.
#[derive(Clone, Debug)]
pub struct RowSource {
    /// Where they lie.
    pub dataset: Dataset,
    /// Which columns are read.
    pub columns: Columns,
    /// What happens to each row.
    pub chain: Chain,
}

impl RowSource {
    pub(crate) fn open(
        data: &DataRecipe,
        place: &str,
        patterns: &Patterns,
        role: SplitRole,
        chain: Chain,
    ) -> Result<Self, RecipeError> {
        let dataset = Dataset::open_split(patterns, Path::new("/"), role).map_err(RecipeError::at(place))?;
        let columns = dataset.resolve_columns(data.input.as_deref(), &data.label);
        let columns = columns.map_err(|error| match column_of(&error) {
            Some(column) if data.input.as_deref() == Some(column) => RecipeError::at("data.input")(error),
            Some(column) if data.label == column => RecipeError::at("data.label")(error),
            _ => RecipeError::at(place)(error),
        })?;
        Ok(Self { dataset, columns, chain })
    }

    /// Width and height that the images end at: as the transforms say, or, where they leave the size alone, that of the
    /// first image that can be used. (A row of another size is refused when it is read.)
    pub(crate) fn image_size(&self, place: &str, seed: u64) -> Result<(u32, u32), RecipeError> {
        if self.columns.kind != InputKind::Image {
            let message = format!(
                "column `{}` holds text; models of text need a tokenizer, which is not there yet, so only `preview` takes it",
                self.columns.input
            );
            return Err(RecipeError::mismatch("data.input", message));
        }
        self.dataset.image_size(&self.columns, &self.chain, seed).map_err(|error| match error {
            PipelineError::Damaged { row, damage } => {
                let message = format!("the first image decides the size of all, and none can be used; {row}: {damage}");
                RecipeError::mismatch(place, message)
            }
            error => error.into(),
        })
    }
}

/// The column that an error is about.
fn column_of(error: &PipelineError) -> Option<&str> {
    match error {
        PipelineError::Schema(SchemaError::MissingColumn { column, .. } | SchemaError::ColumnType { column, .. }) => {
            Some(column)
        }
        _ => None,
    }
}
