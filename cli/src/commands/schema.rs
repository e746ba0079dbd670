use millstream::recipes::recipe_schema;

use crate::{Outcome, output};

pub(crate) fn run() -> anyhow::Result<Outcome> {
    output::print_json(&recipe_schema())?;
    Ok(Outcome::Done)
}
