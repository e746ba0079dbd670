use millstream::recipes::{Catalogs, commented};
use millstream::schemas::Recipe;

use crate::arguments::Global;
use crate::{Outcome, editor_schema, output};

pub(crate) fn run(global: &Global, recipe: &Recipe) -> anyhow::Result<Outcome> {
    if global.json {
        output::print_json(recipe)?;
    } else {
        output::print(&editor_schema::with_line(&commented(recipe, &Catalogs::default())))?;
    }
    Ok(Outcome::Done)
}
