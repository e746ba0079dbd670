use millstream::recipes::{Catalogs, commented};
use millstream::schemas::Recipe;

use crate::arguments::Global;
use crate::{Outcome, output};

pub(crate) fn run(global: &Global, recipe: &Recipe) -> anyhow::Result<Outcome> {
    if global.json {
        output::print_json(recipe)?;
    } else {
        output::print(&commented(recipe, &Catalogs::default()))?;
    }
    Ok(Outcome::Done)
}
