use millstream::recipes::Catalogs;
use millstream::recipes::documents::document;
use millstream::schemas::{count, shown_path};

use crate::arguments::{self, Global};
use crate::{Outcome, messages, missing_place, output};

pub(crate) fn run(global: &Global, arguments: &arguments::Document) -> anyhow::Result<Outcome> {
    missing_place::require_run(&arguments.run)?;
    let report = document(&arguments.run, arguments.output.as_deref(), &Catalogs::default())?;
    if global.json {
        output::print_json(&report)?;
        return Ok(Outcome::Done);
    }
    report.notes.iter().filter(|_| !global.quiet).for_each(|note| messages::warn(note));
    let mut text: String =
        report.files.iter().map(|name| format!("{}\n", shown_path(report.folder.join(name)))).collect();
    text += &match report.not_stated.len() {
        0 => "all that only people know is stated".to_owned(),
        open => {
            format!("{} not stated yet; fill them in: {}", count(open as u64, "thing"), shown_path(&report.statements))
        }
    };
    output::print(&text)?;
    Ok(Outcome::Done)
}
