use millstream::recipes::note;
use millstream::schemas::shown_path;

use crate::arguments::{self, Global};
use crate::{Outcome, missing_place, output};

pub(crate) fn run(global: &Global, arguments: &arguments::Note) -> anyhow::Result<Outcome> {
    missing_place::require_run(&arguments.run)?;
    let noted = note(&arguments.run, &arguments.text)?;
    if global.json {
        output::print_json(&noted)?;
    } else {
        output::print(&format!("noted of {}", shown_path(&arguments.run)))?;
    }
    Ok(Outcome::Done)
}
