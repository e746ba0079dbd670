use anyhow::Context;
use millstream::recipes::error_analysis::{self, ErrorOptions, ErrorPart, ErrorReport, Rate, Seen, errors};
use millstream::recipes::{Catalogs, Stop};
use millstream::schemas::files::replace_file;
use millstream::schemas::{count, grouped, percent, shown, shown_path};
use millstream::training::metrics::with_interval;

use crate::arguments::{self, Global};
use crate::table::Table;
use crate::{Outcome, commands, kept_files, messages, missing_place, output, progress};

/// Factors that are told; the page and `--json` have them all.
const MOST: usize = 10;

pub(crate) fn run(global: &Global, arguments: &arguments::Errors) -> anyhow::Result<Outcome> {
    missing_place::require_one_run(&arguments.run)?;
    let file = arguments.html.clone().unwrap_or_else(|| arguments.run.join("errors.html"));
    kept_files::require_page(&file, std::slice::from_ref(&arguments.run))?;
    let options = ErrorOptions {
        run: arguments.run.clone(),
        overrides: arguments.overrides.clone(),
        data: match arguments.data.as_slice() {
            [] => None,
            paths => Some(commands::argument_paths(paths)?.try_into().expect("there is a path")),
        },
        decimal_comma: arguments.decimal_comma,
        draws: arguments.augmented,
        seed: arguments.seed,
        library: global.runtime.clone(),
        catalogs: Catalogs::default(),
    };
    let mut progress = if global.json { Box::new(millstream::recipes::Silent) } else { progress::choose(global) };
    let report = errors(&options, progress.as_mut(), &Stop::default());
    drop(progress);
    let report = report?.context("it was stopped")?;
    replace_file(&file, error_analysis::page(&report).as_bytes())
        .with_context(|| format!("cannot write {}", shown_path(&file)))?;
    if global.json {
        output::print_json(&report)?;
        return Ok(Outcome::Done);
    }
    report.notes.iter().filter(|_| !global.quiet).for_each(|note| messages::warn(note));
    output::print(&(describe(&report) + &format!("\n{}\n", shown_path(&file))))?;
    Ok(Outcome::Done)
}

fn describe(report: &ErrorReport) -> String {
    let mut text = output::prose(&report.erring);
    report.parts.iter().for_each(|part| text += &of_part(part));
    text
}

fn of_part(part: &ErrorPart) -> String {
    let seen = match part.seen {
        Seen::AsTheyAre => "rows as they are".to_owned(),
        Seen::AsDrawn => format!("rows as training draws them, {} of each", count(part.draws, "draw")),
    };
    let mut text = format!(
        "\n{seen}: {} of {} err, {}\n",
        grouped(part.errors),
        count(part.answers, "answer"),
        with_interval(percent(part.rate.share.unwrap_or(0.0)), part.rate.interval, percent)
    );
    let splits: Vec<_> = part.factors.iter().filter_map(|factor| Some((factor, factor.split.as_ref()?))).collect();
    if splits.is_empty() {
        return text + "nothing tells enough answers apart to be looked into\n";
    }
    let confirmed: Vec<_> = splits.iter().filter(|(_, split)| split.confirmed).collect();
    for (factor, split) in &confirmed {
        let [there, elsewhere] = split.tested.map(|rate| percent(rate.share.unwrap_or(0.0)));
        text += &output::prose(&format!(
            "more err where {} {}: {there} against {elsewhere}",
            shown(&factor.name),
            shown(&split.rule)
        ));
    }
    if confirmed.is_empty() {
        text += &output::prose(&format!(
            "of {} none was confirmed: what was found on one half of the rows could be chance on the other",
            count(splits.len() as u64, "factor")
        ));
    }
    let mut table = Table::new(&["factor", "more err where it", ">there", ">elsewhere", ">p", ">p, all", "confirmed"]);
    for (factor, split) in splits.iter().take(MOST) {
        let [there, elsewhere] = split.tested.map(brief);
        table.row([
            factor.name.clone(),
            split.rule.clone(),
            there,
            elsewhere,
            chance(split.p),
            chance(split.p_adjusted),
            if split.confirmed { "yes" } else { "no" }.to_owned(),
        ]);
    }
    text += &table.render();
    if splits.len() > MOST {
        text += &format!("  and {} more on the page\n", splits.len() - MOST);
    }
    let test = if part.draws > 1 { "Mantel and Haenszel's test within rows" } else { "Fisher's exact test" };
    text + &output::prose(&format!(
        "each found on one half of the rows; shares and p ({test}) of the other half, the last p after Holm over all of them"
    ))
}

fn brief(rate: Rate) -> String {
    format!("{} of {}", percent(rate.share.unwrap_or(0.0)), grouped(rate.of))
}

fn chance(p: f64) -> String {
    if p < 1e-4 { "<0.0001".into() } else { format!("{p:.4}") }
}
