use anyhow::Context;
use millstream::recipes::Catalogs;
use millstream::recipes::documents::document;
use millstream::schemas::{count, files, shown_path};

use crate::arguments::{self, Global};
use crate::{Outcome, messages, missing_place, output};

/// The crates that this program is made of, as CycloneDX: `build.rs` makes it of `Cargo.lock`.
const BILL: &str = include_str!(concat!(env!("OUT_DIR"), "/sbom.cdx.json"));
/// Its file beside the documents of a run.
const BILL_FILE: &str = "sbom.cdx.json";

pub(crate) fn run(global: &Global, arguments: &arguments::Document) -> anyhow::Result<Outcome> {
    let Some(run) = arguments.run.as_deref().filter(|_| !arguments.sbom) else {
        output::print(BILL)?;
        return Ok(Outcome::Done);
    };
    missing_place::require_run(run)?;
    let mut report = document(run, arguments.output.as_deref(), &Catalogs::default())?;
    let bill = report.folder.join(BILL_FILE);
    files::replace_file(&bill, BILL.as_bytes()).with_context(|| format!("cannot write {}", shown_path(&bill)))?;
    report.files.push(BILL_FILE.to_owned());
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
