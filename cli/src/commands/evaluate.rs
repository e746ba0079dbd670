use std::path::Path;

use anyhow::Context;
use millstream::recipes::{EvaluateOptions, EvaluationReport, Stop, evaluate};
use millstream::training::Evaluation;

use crate::arguments::{self, Global};
use crate::output::{self, Table, grouped, percent};
use crate::{Outcome, commands, messages, progress};
use millstream::schemas::{shown_path, shown_up_to};

/// Larger matrices do not fit on a screen; `--json` has them.
const MOST_CLASSES: usize = 20;

pub(crate) fn run(global: &Global, arguments: &arguments::Evaluate) -> anyhow::Result<Outcome> {
    let recipe = commands::load(&arguments.recipe)?;
    let base = std::env::current_dir().context("the working directory cannot be read")?;
    let options = EvaluateOptions {
        model: arguments.model.clone(),
        data: arguments.data.as_ref().map(|data| base.join(Path::new(data)).to_string_lossy().into_owned().into()),
        library: global.runtime.clone(),
    };
    let mut progress = if global.json { Box::new(millstream::recipes::Silent) } else { progress::choose(global) };
    let report = evaluate(&recipe, &options, progress.as_mut(), &Stop::default());
    drop(progress);
    let report = report?.context("the evaluation was stopped")?;
    if global.json {
        output::print_json(&report)?
    } else {
        for warning in &report.warnings {
            messages::tell(&format!("warning: {}", shown_up_to(warning, 2000)));
        }
        for note in report.notes.iter().filter(|_| global.verbose > 0) {
            messages::tell(&format!("note: {note}"));
        }
        output::print(&describe(&report))?
    }
    Ok(Outcome::Done)
}

/// `accuracy 88.6 % of 140 rows, top-5 99.0 %, loss 0.4012`.
pub(crate) fn figures(evaluation: &Evaluation) -> String {
    let top_5 = evaluation.top_5.map_or_else(String::new, |share| format!(", top-5 {}", percent(share)));
    let rows = grouped(evaluation.rows);
    format!("accuracy {} of {rows} rows{top_5}, loss {:.4}", percent(evaluation.accuracy), evaluation.loss)
}

fn describe(report: &EvaluationReport) -> String {
    let mut text = format!("{}\n", figures(&report.evaluation));
    let share = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), percent);
    let mut classes = Table::new(&["class", ">rows", ">precision", ">recall"]);
    for class in &report.evaluation.per_class {
        classes.row([class.name.clone(), grouped(class.rows), share(class.precision), share(class.recall)]);
    }
    text.push_str(&format!("\n{}", classes.render()));
    let matrix = report.evaluation.confusion_matrix.rows();
    if (1..=MOST_CLASSES).contains(&matrix.len()) {
        let numbers: Vec<_> = (0..matrix.len()).map(|index| format!(">{index}")).collect();
        let headings: Vec<&str> = ["true class"].into_iter().chain(numbers.iter().map(String::as_str)).collect();
        let mut table = Table::new(&headings);
        for (index, (name, counts)) in report.classes.iter().zip(matrix).enumerate() {
            table.row([format!("{index} {name}")].into_iter().chain(counts.iter().map(ToString::to_string)));
        }
        text.push_str(&format!("\nconfusion matrix (columns: predicted class):\n{}", table.render()));
    }
    if report.evaluation.not_finite > 0 {
        let rows = grouped(report.evaluation.not_finite);
        text.push_str(&format!("\n{rows} rows have scores that are no numbers, and count as wrong\n"));
    }
    for note in &report.notes {
        text.push_str(&format!("\nnote: {note}\n"));
    }
    if report.skipped > 0 {
        text.push_str(&format!("\n{} damaged rows were left out\n", grouped(report.skipped)));
    }
    text.push_str(&format!("\n{} on {}, {:.1} s\n", shown_path(&report.model), report.device, report.seconds));
    text
}
