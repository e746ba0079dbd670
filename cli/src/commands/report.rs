use std::fs;

use anyhow::Context;
use millstream::recipes::compare_runs;

use crate::arguments::{self, Global};
use crate::{Outcome, output};

pub(crate) fn run(global: &Global, arguments: &arguments::Report) -> anyhow::Result<Outcome> {
    let page = compare_runs(&arguments.runs)?;
    let file = &arguments.output;
    fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))?;
    if global.json {
        output::print_json(&serde_json::json!({ "report": file, "runs": arguments.runs }))?;
    } else {
        output::print(&format!("{}: {} run(s)", file.display(), arguments.runs.len()))?;
    }
    Ok(Outcome::Done)
}
