use std::collections::BTreeMap;

use millstream::recipes::import::{ClassRows, ImportOptions, ImportReport, LeftOut, import};
use millstream::recipes::{Silent, Stop};
use millstream::schemas::recipe::ByteSize;
use millstream::schemas::{count, grouped, shown, shown_path};

use crate::arguments::{self, Global};
use crate::table::Table;
use crate::{Outcome, messages, output, progress, signals};

/// Classes that are listed, and files that are named for each reason.
const CLASSES: usize = 50;
const NAMED: usize = 3;

pub(crate) fn run(global: &Global, arguments: &arguments::Import) -> anyhow::Result<Outcome> {
    let options = ImportOptions {
        label: arguments.label.clone(),
        images: arguments.images.clone(),
        decimal_comma: arguments.decimal_comma,
        boxes: arguments.boxes,
        splits: arguments.splits.clone(),
        seed: arguments.seed,
        name: arguments.name.clone(),
        shard_bytes: arguments.shard_size.0,
        overwrite: arguments.overwrite,
        ..ImportOptions::new(arguments.sources.clone(), arguments.output.clone())
    };
    let stop = Stop::default();
    signals::listen_and_answer(&stop, "stopping: whole files stay; a second signal ends at once")?;
    let mut progress = if global.json { Box::new(Silent) } else { progress::choose(global) };
    let report = import(&options, progress.as_mut(), &stop);
    drop(progress);
    let report = report?;
    match global.json {
        true => output::print_json(&report)?,
        false => output::print(&told(&report))?,
    }
    if report.stopped {
        signals::answer();
        messages::tell("stopped; the same command goes on where it was");
        return Ok(Outcome::Interrupted);
    }
    Ok(Outcome::Done)
}

fn told(report: &ImportReport) -> String {
    let folder = shown_path(&report.folder);
    let mut text = format!("{}, {}, in {folder}\n", count(report.rows, "row"), ByteSize(report.bytes));
    let mut columns = Table::new(&["column", "holds"]);
    report.columns.iter().for_each(|column| columns.row([column.name.clone(), column.holds.clone()]));
    text += &format!("\n{}\n", columns.render());
    let mut files = Table::new(&["file", ">rows", ">size", ""]);
    for file in report.splits.iter().flat_map(|split| &split.files) {
        let size = file.bytes.map_or_else(|| "not written".to_owned(), |bytes| ByteSize(bytes).to_string());
        let kept = if file.kept { "was there already" } else { "" };
        files.row([file.file.clone(), grouped(file.rows), size, kept.into()]);
    }
    text += &format!("{}\n", files.render());
    if !report.classes.is_empty() {
        text += &format!("{}\n", classes(report));
    }
    text += &left_out(report);
    let same = &report.duplicates;
    if same.rows > 0 {
        text += &format!("{} the same as one before", are(same.rows));
        let first =
            |set: &Vec<String>| set.iter().take(NAMED).map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>();
        text += &same.first.first().map_or_else(String::new, |set| format!(", for example {}", first(set).join(", ")));
        text += "\n";
        for (rows, what) in [(same.across_splits, "splits"), (same.across_classes, "classes")] {
            if rows > 0 {
                text += &format!("{} the same as one of other {what}\n", are(rows));
            }
        }
    }
    report.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
    text
}

fn are(rows: u64) -> String {
    format!("{} {}", count(rows, "row"), if rows == 1 { "is" } else { "are" })
}

fn classes(report: &ImportReport) -> String {
    let headings: Vec<String> = report.splits.iter().map(|split| format!(">{}", split.split)).collect();
    let headings: Vec<&str> = ["class"].into_iter().chain(headings.iter().map(String::as_str)).collect();
    let mut table = Table::new(&headings);
    let rows = |of: &[ClassRows], class: Option<&str>| {
        of.iter().find(|known| known.class.as_deref() == class).map_or(0, |known| known.rows)
    };
    let none = report.splits.iter().any(|split| rows(&split.classes, None) > 0);
    let named = report.classes.iter().map(|class| Some(class.as_str())).take(CLASSES);
    for class in named.chain([None].into_iter().filter(|_| none)) {
        let name = class.map_or_else(|| "(without a class)".to_owned(), str::to_owned);
        let counts = report.splits.iter().map(|split| grouped(rows(&split.classes, class)));
        table.row([name].into_iter().chain(counts));
    }
    let more = report.classes.len().saturating_sub(CLASSES);
    let more =
        if more > 0 { format!("  and {} more (`--json` has them all)\n", grouped(more as u64)) } else { String::new() };
    table.render() + &more
}

fn left_out(report: &ImportReport) -> String {
    if report.left_out.count == 0 {
        return String::new();
    }
    let mut reasons: BTreeMap<&str, Vec<&LeftOut>> = BTreeMap::new();
    report.left_out.first.iter().for_each(|one| reasons.entry(&one.reason).or_default().push(one));
    let mut text = format!("left out: {}\n", grouped(report.left_out.count));
    for (reason, of) in reasons {
        let names: Vec<String> = of.iter().take(NAMED).map(|one| format!("`{}`", shown(&one.name))).collect();
        let more =
            if of.len() > NAMED { format!(" and {} more", grouped((of.len() - NAMED) as u64)) } else { String::new() };
        text += &format!("  {reason}: {}{more}\n", names.join(", "));
    }
    text
}
