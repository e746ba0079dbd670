use std::fs;

use anyhow::Context;
use millstream::recipes::compare_runs;

use crate::arguments::{self, Global};
use crate::{Outcome, kept_files, missing_place, output};
use millstream::schemas::{count, shown_path};

pub(crate) fn run(global: &Global, arguments: &arguments::Report) -> anyhow::Result<Outcome> {
    arguments.runs.iter().try_for_each(|run| missing_place::require_one_run(run))?;
    let file = &arguments.output;
    kept_files::require_page(file, &arguments.runs)?;
    let page = compare_runs(&arguments.runs)?;
    fs::write(file, page).with_context(|| format!("cannot write {}", shown_path(file)))?;
    if global.json {
        let runs: Vec<_> = arguments.runs.iter().map(|run| run.to_string_lossy()).collect();
        output::print_json(&serde_json::json!({ "report": file.to_string_lossy(), "runs": runs }))?;
    } else {
        let runs = count(arguments.runs.len() as u64, "run");
        output::print(&format!("{}: {runs}", shown_path(file)))?;
    }
    Ok(Outcome::Done)
}
