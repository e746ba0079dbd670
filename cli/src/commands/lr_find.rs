use millstream::recipes::{
    Catalogs, LrFindOptions, LrFindReport, Stop, import_rows_of, lr_find, require_no_input, require_no_source,
};
use millstream::schemas::{Recipe, count, decimal, shown, shown_path};
use millstream::training::range_test::{RangeEnding, RatePoint};

use crate::arguments::{Global, LrFind};
use crate::colour::Meaning;
use crate::table::Table;
use crate::{Outcome, commands, messages, output, progress, terminal};

/// Lines of the table: each tells of as many steps as there are to a line.
const MOST_LINES: usize = 20;
const WIDEST_BAR: usize = 40;
/// What stands beside the bars.
const COLUMNS_OF_NUMBERS: usize = 36;

pub(crate) fn run(global: &Global, arguments: &LrFind, recipe: &Recipe) -> anyhow::Result<Outcome> {
    let picture = commands::argument_path(arguments.output.as_os_str())?;
    require_no_input(&picture, [arguments.recipe.recipe.as_path()])?;
    require_no_source(&picture, recipe)?;
    let options = LrFindOptions {
        from: arguments.from,
        to: arguments.to,
        steps: arguments.steps,
        picture: Some(picture),
        library: global.runtime.clone(),
        catalogs: Catalogs::default(),
    };
    progress::imports(global, |events, stop| import_rows_of(recipe, events, stop))?;
    let mut progress = if global.json { Box::new(millstream::recipes::Silent) } else { progress::choose(global) };
    // Nothing is saved: a signal may end it at once.
    let report = lr_find(recipe, &options, progress.as_mut(), &Stop::default());
    drop(progress);
    let report = report?;
    if global.json {
        output::print_json(&report)?;
    } else {
        output::print(&describe(&report, global.verbose > 0))?;
    }
    Ok(Outcome::Done)
}

fn describe(report: &LrFindReport, verbose: bool) -> String {
    let mut text = curve(&report.points);
    let steps = count(report.points.len() as u64, "step");
    let ended = match report.ending {
        RangeEnding::Finished => format!("{steps}; the loss did not grow away up to the last rate"),
        RangeEnding::Diverged => format!("{steps}; then the loss grew away"),
        RangeEnding::Stopped => format!("{steps}; then it was stopped"),
    };
    text.push_str(&output::prose(&format!("\n{ended}")));
    match report.suggestion {
        Some(suggested) => {
            text.push_str(&Meaning::Good.output(&format!("suggestion: {:.1e}", suggested.steepest)));
            text.push_str(", where the loss falls fastest\n");
            text.push_str(&output::prose(&format!(
                "a tenth of the rate at which it is lowest: {:.1e}; the recipe has {:e} for `{}`",
                suggested.tenth_of_minimum,
                report.learning_rate,
                shown(&report.optimizer)
            )));
            text.push_str(&output::prose(&format!(
                "to train with it:  --set training.optimizer.{}.learning_rate={:.1e}",
                report.optimizer, suggested.steepest
            )));
        }
        None => text.push_str(&output::prose(
            "no suggestion: the loss never fell; begin with a lower rate (`--from`), or make more steps (`--steps`)",
        )),
    }
    for note in &report.notes {
        text.push_str(&output::prose(&format!("\nnote: {}", messages::harmless(note))));
    }
    if let Some(picture) = &report.picture {
        text.push_str(&format!("\npicture: {}\n", shown_path(picture)));
    }
    let device = output::device(&report.device, &report.device_reason, verbose);
    text + &format!("on {device}, {:.1} s\n", report.seconds)
}

/// Rates with their smoothed losses, and bars as long as these.
fn curve(points: &[RatePoint]) -> String {
    let mut table = Table::new(&[">learning rate", ">smoothed loss", ""]);
    let per_line = points.len().div_ceil(MOST_LINES).max(1);
    let shown: Vec<&RatePoint> = points.chunks(per_line).filter_map(|chunk| chunk.last()).collect();
    let losses = || shown.iter().map(|point| point.smoothed_loss);
    let (low, high) = (losses().fold(f64::INFINITY, f64::min), losses().fold(f64::NEG_INFINITY, f64::max));
    let room = terminal::output_width().saturating_sub(COLUMNS_OF_NUMBERS).clamp(8, WIDEST_BAR);
    for point in &shown {
        let share = if high > low { (point.smoothed_loss - low) / (high - low) } else { 0.0 };
        let bar = "▪".repeat(1 + (share * (room - 1) as f64).round() as usize);
        table.row([format!("{:.1e}", point.learning_rate), decimal(point.smoothed_loss), bar]);
    }
    if shown.is_empty() { String::new() } else { table.render() }
}
