use millstream::recipes::Catalogs;

use crate::{Outcome, output};

pub(crate) fn run() -> anyhow::Result<Outcome> {
    output::print_json(&Catalogs::default().recipe_schema())?;
    Ok(Outcome::Done)
}
