use millstream::recipes::Catalogs;
use millstream::schemas::shown_path;

use crate::arguments::Schema;
use crate::{Outcome, editor_schema, kept_files, output};

pub(crate) fn run(arguments: &Schema) -> anyhow::Result<Outcome> {
    match &arguments.output {
        Some(path) => {
            kept_files::require_schema(path)?;
            editor_schema::write(path)?;
            output::print(&format!("written: {}\n", shown_path(path)))?;
        }
        None => output::print_json(&Catalogs::default().recipe_schema())?,
    }
    Ok(Outcome::Done)
}
