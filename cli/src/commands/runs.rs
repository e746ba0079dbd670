use anyhow::Context;
use millstream::recipes::runs::{self, EntryFigure, EntryKind, Origin, RunEntry, RunsReport, Through, runs};
use millstream::schemas::files::replace_file;
use millstream::schemas::{decimal, grouped, shown_path};

use crate::arguments::{self, Global};
use crate::table::Table;
use crate::{Outcome, kept_files, messages, output};

pub(crate) fn run(global: &Global, arguments: &arguments::Runs) -> anyhow::Result<Outcome> {
    let report = runs(&arguments.folder)?;
    let file = arguments.html.clone().unwrap_or_else(|| arguments.folder.join("runs.html"));
    // a page of nothing is written where it is asked for alone
    let writes = !arguments.no_html && (arguments.html.is_some() || !report.runs.is_empty());
    if writes {
        kept_files::require_page(&file, std::slice::from_ref(&arguments.folder))?;
        replace_file(&file, runs::page(&report).as_bytes())
            .with_context(|| format!("cannot write {}", shown_path(&file)))?;
    }
    if global.json {
        output::print_json(&report)?;
        return Ok(Outcome::Done);
    }
    report.notes.iter().filter(|_| !global.quiet).for_each(|note| messages::warn(note));
    let mut text = describe(&report);
    if writes {
        text += &format!("\n{}\n", shown_path(&file));
    }
    output::print(&text)?;
    Ok(Outcome::Done)
}

fn describe(report: &RunsReport) -> String {
    if report.runs.is_empty() {
        return format!("no run lies in {}\n", shown_path(&report.folder));
    }
    let mut table = Table::new(&["run", ">figure", ">loss", ">steps", "=ended", "from", "how"]);
    for (at, run) in report.runs.iter().enumerate() {
        let when = run.ended.as_ref().or(run.began.as_ref());
        table.row([
            name(run),
            run.decides.as_ref().map_or_else(String::new, EntryFigure::in_words),
            run.loss.map_or_else(String::new, decimal),
            run.steps.map_or_else(String::new, grouped),
            when.map_or_else(String::new, |when| when.get(..16).unwrap_or(when).replace('T', " ")),
            from(report, at).join(", "),
            run.how.clone(),
        ]);
    }
    table.render_in_lines()
}

fn name(run: &RunEntry) -> String {
    match (run.kind, run.ending.as_str()) {
        (EntryKind::Study, "finished") => format!("{} (search)", run.name),
        (EntryKind::Study, ending) => format!("{} (search, {ending})", run.name),
        (_, "finished") => run.name.clone(),
        (_, ending) => format!("{} ({ending})", run.name),
    }
}

/// What it came from, the members of an ensemble left out: they are many.
fn from(report: &RunsReport, run: usize) -> Vec<String> {
    let own = report.lineage.iter().filter(|descent| descent.to == run && descent.through != Through::Member);
    own.map(|descent| match descent.from {
        Origin::Run(at) => report.runs[at].name.clone(),
        Origin::Model(at) => report.models[at].name.clone(),
    })
    .collect()
}
