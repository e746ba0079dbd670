use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context;
use millstream::recipes::predict::{
    PredictInput, PredictOptions, PredictReport, PredictedAs, PredictedBy, PredictedRow, PredictedThing,
    PredictionFormat, PredictionRows, Predictions, RowAnswer,
};
use millstream::recipes::runs::is_run_folder;
use millstream::recipes::{Event, Events, RecipeError, Stop, load};
use millstream::schemas::recipe::RecipeText;
use millstream::schemas::{decimal, shell_path, shown_path};

use crate::arguments::{self, Global};
use crate::table::Table;
use crate::{Outcome, messages, missing_place, output, progress, signals};

/// Rows whose columns are made as wide as each other.
const ROWS_A_TABLE: usize = 256;

pub(crate) fn run(global: &Global, arguments: &arguments::Predict) -> anyhow::Result<Outcome> {
    missing_place::require(&arguments.model)?;
    let model = arguments.inputs.iter().find(|path| super::is_model(path));
    if let Some(model) = model.filter(|_| !super::is_model(&arguments.model) && !is_run_folder(&arguments.model)) {
        let (model, input) = (shell_path(model), shell_path(&arguments.model));
        anyhow::bail!(
            "the model comes first, and what it is to tell of behind it: `millstream predict {model} {input}`"
        );
    }
    let mut options = PredictOptions {
        batch: arguments.batch,
        top: arguments.top,
        least_probability: arguments.least_probability,
        masks: arguments.masks.clone(),
        output: arguments.output.clone(),
        decimal_comma: arguments.decimal_comma,
        device: arguments.device.clone(),
        threads: arguments.threads,
        library: global.runtime.clone(),
        ..PredictOptions::new(arguments.model.clone())
    };
    if let Some(recipe) = &arguments.recipe {
        options.recipe = Some(load(&RecipeText::read(recipe, &[])?, &options.catalogs)?);
    }
    let is_piped = arguments.inputs.iter().any(|path| path.as_os_str() == "-");
    anyhow::ensure!(
        is_piped || arguments.format.is_none(),
        "`--format` says how the standard input is written, and `-` is none of the inputs; of files their names say it"
    );
    if let Some(path) = &arguments.output {
        // before anything is run
        let format = PredictionFormat::of(path)?;
        anyhow::ensure!(
            arguments.top.is_none() || format == PredictionFormat::JsonLines,
            "`--top` says how many classes the terminal and JSON Lines name, and {} has the probabilities of all; leave it out",
            shown_path(path)
        );
    }
    let stop = Stop::default();
    signals::listen(&stop)?;
    let mut predictions = Predictions::open(&options)?;
    predictions.by().warnings.iter().filter(|_| !global.quiet).for_each(|warning| messages::warn(warning));
    let (report, done) = match &arguments.output {
        Some(path) => into_file(global, arguments, &mut predictions, path, &stop)?,
        None => shown(global, arguments, &mut predictions, &stop)?,
    };
    if !global.quiet {
        report.notes.iter().for_each(|note| messages::warn(note));
        let written =
            if done { arguments.output.as_deref().map_or_else(String::new, written_to) } else { String::new() };
        messages::tell(&format!("{}{written}", report.in_words()));
    }
    if report.stopped {
        anyhow::bail!("stopped after {} rows", report.rows + report.unusable);
    }
    anyhow::ensure!(
        report.rows > 0 || report.unusable == 0,
        "none of the {} rows could be used; each says why",
        report.unusable
    );
    Ok(Outcome::Done)
}

fn written_to(path: &Path) -> String {
    format!("; written to {}", shown_path(path))
}

fn inputs(arguments: &arguments::Predict) -> Vec<PredictInput> {
    let path = |path: &PathBuf| match (path.as_os_str() == "-", arguments.format) {
        (true, None) => PredictInput::Read(Box::new(BufReader::new(io::stdin()))),
        (true, Some(format)) => PredictInput::ReadAs(Box::new(BufReader::new(io::stdin())), format),
        (false, _) => PredictInput::Path(path.clone()),
    };
    let texts = arguments.texts.iter().cloned().map(PredictInput::Text);
    texts.chain(arguments.inputs.iter().map(path)).collect()
}

/// Warnings and nothing else of what happens, where predictions are what is printed.
fn warnings(is_quiet: bool) -> Box<dyn Events> {
    Box::new(move |event: &Event| {
        if let (Event::Warning { message }, false) = (event, is_quiet) {
            messages::warn(message);
        }
    })
}

/// What was done, and whether the file is there.
fn into_file(
    global: &Global,
    arguments: &arguments::Predict,
    predictions: &mut Predictions,
    path: &Path,
    stop: &Stop,
) -> anyhow::Result<(PredictReport, bool)> {
    let mut rows = PredictionRows::create(path, predictions.by())?;
    let mut progress = if global.json { warnings(global.quiet) } else { progress::choose(global) };
    let report = predictions.predict(inputs(arguments), &mut |row| rows.add(&row), progress.as_mut(), stop);
    drop(progress);
    let report = report?;
    if report.stopped {
        return Ok((report, false));
    }
    rows.finish()?;
    Ok((report, true))
}

fn shown(
    global: &Global,
    arguments: &arguments::Predict,
    predictions: &mut Predictions,
    stop: &Stop,
) -> anyhow::Result<(PredictReport, bool)> {
    let (by, is_top_said) = (predictions.by().clone(), arguments.top.is_some());
    let mut waiting: Vec<PredictedRow> = Vec::new();
    let mut failed = None;
    let mut take = |row: PredictedRow| -> Result<(), RecipeError> {
        let printed = if global.json {
            output::print_json_line(&row)
        } else {
            waiting.push(row);
            if waiting.len() < ROWS_A_TABLE {
                Ok(())
            } else {
                print_table(&by, is_top_said, std::mem::take(&mut waiting))
            }
        };
        if let Err(error) = printed {
            failed.get_or_insert(error);
            // nobody reads any more
            stop.request();
        }
        Ok(())
    };
    let report = predictions.predict(inputs(arguments), &mut take, warnings(global.quiet).as_mut(), stop)?;
    if !waiting.is_empty() {
        print_table(&by, is_top_said, waiting)?;
    }
    failed.map_or(Ok((report, false)), Err).context("the predictions cannot be printed")
}

fn print_table(by: &PredictedBy, is_top_said: bool, rows: Vec<PredictedRow>) -> anyhow::Result<()> {
    let is = |wanted: fn(&RowAnswer) -> bool| rows.iter().any(|row| wanted(&row.answer));
    let headings: &[&str] = match by.predicts {
        PredictedAs::Classes if is(|answer| matches!(answer, RowAnswer::Mask { mask: Some(_), .. })) => {
            &["input", "classes", "mask"]
        }
        PredictedAs::Classes if is(|answer| matches!(answer, RowAnswer::Mask { .. })) => &["input", "classes"],
        PredictedAs::Classes if is(|answer| matches!(answer, RowAnswer::Tokens { .. })) => &["input", "classes"],
        PredictedAs::Classes => &["input", "class", ">probability", "then"],
        PredictedAs::Labels => &["input", "labels", "most likely"],
        PredictedAs::Numbers => &["input", "values"],
        PredictedAs::Box => &["input", ">left", ">top", ">right", ">bottom", "class"],
        PredictedAs::Boxes => &["input", "boxes (left, top, right, bottom)", "class"],
        PredictedAs::Things => &["input", "class, probability (left, top, right, bottom)"],
    };
    // of models that tell one
    let headings = match headings {
        [others @ .., "class"] if by.classes.is_empty() && by.predicts != PredictedAs::Classes => others,
        all => all,
    };
    let mut headings = headings.to_vec();
    // a sentence among numbers would make their column as wide as itself
    let are_apart = by.predicts == PredictedAs::Box && is(|answer| matches!(answer, RowAnswer::Unusable { .. }));
    headings.extend(are_apart.then_some("not usable"));
    let mut table = Table::new(&headings);
    for PredictedRow { input, answer } in rows {
        let mut cells = vec![input];
        match answer {
            RowAnswer::Unusable { error } if are_apart => {
                cells.resize(headings.len() - 1, String::new());
                cells.push(error);
            }
            answer => cells.extend(told(answer, is_top_said)),
        }
        cells.truncate(headings.len());
        cells.resize(headings.len(), String::new());
        table.row(cells);
    }
    output::print(&table.render())
}

/// A name among others; in quotation marks, as JSON has it, where it could be taken for several.
fn quoted(name: &str, separator: char) -> String {
    if name.contains([separator, '"']) { serde_json::Value::from(name).to_string() } else { name.to_owned() }
}

/// The cells of a row behind its name; of the most likely classes a few, unless it was said how many there are to be.
fn told(answer: RowAnswer, is_top_said: bool) -> Vec<String> {
    let most = |few: usize| if is_top_said { usize::MAX } else { few };
    let percent = |probability: f32| format!("{:.1} %", 100.0 * probability);
    match answer {
        RowAnswer::Class { class, probability, top, .. } => {
            let others = top.iter().filter(|other| other.class != class).take(most(2));
            let others: Vec<String> =
                others.map(|other| format!("{} {}", quoted(&other.class, ','), percent(other.probability))).collect();
            vec![class, percent(probability), others.join(", ")]
        }
        RowAnswer::Labels { labels, top, .. } => {
            let top = top
                .iter()
                .take(most(3))
                .map(|label| format!("{} {}", quoted(&label.class, ','), percent(label.probability)));
            let labels: Vec<String> = labels.iter().map(|label| quoted(label, ',')).collect();
            vec![labels.join(", "), top.collect::<Vec<_>>().join(", ")]
        }
        RowAnswer::Numbers { values } => {
            let first: Vec<String> = values.iter().take(8).map(|value| decimal(f64::from(*value))).collect();
            let more = if values.len() > 8 { format!(" … ({} values)", values.len()) } else { String::new() };
            vec![first.join(", ") + &more]
        }
        RowAnswer::Box { r#box, class } => {
            let sides = r#box.iter().map(|side| format!("{side:.1}"));
            sides.chain(class).collect()
        }
        RowAnswer::Boxes { boxes, class } => {
            let one = |own: &[f32; 4]| own.map(|side| format!("{side:.1}")).join(", ");
            let first: Vec<String> = boxes.iter().take(4).map(one).collect();
            let more = if boxes.len() > 4 { format!("; … ({} boxes)", boxes.len()) } else { String::new() };
            std::iter::once(first.join("; ") + &more).chain(class).collect()
        }
        RowAnswer::Things { things } if things.is_empty() => vec!["nothing".to_owned()],
        RowAnswer::Things { things } => {
            let one = |thing: &PredictedThing| {
                let sides = thing.r#box.map(|side| format!("{side:.0}")).join(", ");
                format!("{} {} ({sides})", quoted(&thing.class, ';'), percent(thing.probability))
            };
            let first: Vec<String> = things.iter().take(4).map(one).collect();
            let more = if things.len() > 4 { format!("; … ({} things)", things.len()) } else { String::new() };
            vec![first.join("; ") + &more]
        }
        RowAnswer::Tokens { classes } => {
            let classes: Vec<String> = classes.iter().map(|class| quoted(class, ' ')).collect();
            vec![classes.join(" ")]
        }
        RowAnswer::Mask { mask, shares, .. } => {
            let shares: Vec<String> = shares
                .iter()
                .take(3)
                .map(|own| format!("{} {:.1} %", quoted(&own.class, ','), 100.0 * own.share))
                .collect();
            let mask = mask.map(|mask| mask.display().to_string());
            std::iter::once(shares.join(", ")).chain(mask).collect()
        }
        RowAnswer::Unusable { error } => vec![format!("not usable: {error}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_the_separator_are_quoted_in_tables() {
        let labels = ["cat", "black cat", "cat, dog"].map(str::to_owned).to_vec();
        let answer = RowAnswer::Labels { labels: labels.clone(), top: Vec::new(), probabilities: Vec::new() };
        assert_eq!(told(answer, false)[0], r#"cat, black cat, "cat, dog""#);
        assert_eq!(told(RowAnswer::Tokens { classes: labels }, false)[0], r#"cat "black cat" "cat, dog""#);
    }
}
