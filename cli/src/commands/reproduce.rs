use std::path::{Path, PathBuf};

use millstream::recipes::reproduction::{ReproduceOptions, ReproductionReport, reproduce};
use millstream::recipes::{Catalogs, Stop, StudyPart};
use millstream::schemas::{count, decimal, grouped, shown, shown_path};

use crate::arguments::{self, Global};
use crate::table::Table;
use crate::{Outcome, messages, missing_place, output, progress, signals};

/// Parameters that are told; `--json` has them all.
const MOST: usize = 12;

pub(crate) fn run(global: &Global, arguments: &arguments::Reproduce) -> anyhow::Result<Outcome> {
    missing_place::require_run(&arguments.run)?;
    let again = || {
        let run = std::path::absolute(&arguments.run).unwrap_or_else(|_| arguments.run.clone());
        let name = |folder: &Path| folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // what lies in a study is taken for a part of it
        match StudyPart::of(&run).map(|part| std::path::absolute(&part.study).unwrap_or(part.study)) {
            Some(study) => study.with_file_name(format!("{}-{}-again", name(&study), name(&run))),
            None => run.with_file_name(format!("{}-again", name(&run))),
        }
    };
    let output: PathBuf = match &arguments.output {
        Some(folder) => super::argument_path(folder.as_os_str())?,
        None => again(),
    };
    anyhow::ensure!(output.to_str().is_some(), "{}: the name is no UTF-8; choose another", shown_path(&output));
    let options = ReproduceOptions {
        run: arguments.run.clone(),
        output,
        overrides: arguments.overrides.clone(),
        overwrite: arguments.overwrite,
        library: global.runtime.clone(),
        catalogs: Catalogs::default(),
    };
    let stop = Stop::default();
    signals::listen(&stop)?;
    let mut progress = if global.json { Box::new(millstream::recipes::Silent) } else { progress::choose(global) };
    let report = reproduce(&options, progress.as_mut(), &stop);
    drop(progress);
    if stop.is_requested() {
        signals::answer();
    }
    let Some(report) = report? else {
        let folder = shown_path(&options.output);
        messages::tell(&format!("interrupted; `reproduce --overwrite` begins anew what lies in {folder}"));
        return Ok(Outcome::Interrupted);
    };
    if global.json {
        output::print_json(&report)?;
    } else {
        report.notes.iter().filter(|_| !global.quiet).for_each(|note| messages::warn(note));
        output::print(&describe(&report))?;
    }
    Ok(if report.same { Outcome::Done } else { Outcome::Refused })
}

fn describe(report: &ReproductionReport) -> String {
    let files: Vec<String> = report.files.iter().filter(|file| file.is_same()).map(|file| shown(&file.name)).collect();
    let mut text = String::new();
    if report.same {
        text += &output::prose(&format!(
            "the same, bit by bit: {}, the loss of every step, and {}",
            files.join(", "),
            count(report.figures.len() as u64, "figure")
        ));
    } else {
        text += &output::prose("not the same, from the same recipe, data and base model");
    }
    if !report.surroundings.is_empty() {
        let mut table = Table::new(&["it ran on", "then", "now"]);
        for part in &report.surroundings {
            let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "not noted".into());
            table.row([part.what.clone(), said(&part.then), said(&part.now)]);
        }
        text += &format!("\n{}", table.render());
    }
    if report.same {
        return text + &format!("\n{}\n", shown_path(&report.folder));
    }
    if report.surroundings.iter().all(|part| part.then.is_none()) {
        text +=
            &output::prose("\nsoftware, library, device and machine are the same, as far as the run has noted them");
    }
    if let Some(course) = &report.course {
        let within = match course.steps_per_point {
            1 => format!("step {}", grouped(course.step)),
            steps => format!("the {} up to step {}", count(steps, "step"), grouped(course.step)),
        };
        let loss = |loss: Option<f64>| loss.map_or_else(|| "none".to_owned(), |loss| format!("{loss:?}"));
        text += &output::prose(&format!(
            "\nthe losses part at {within}: then {}, now {}",
            loss(course.then),
            loss(course.now)
        ));
    }
    for file in report.files.iter().filter(|file| !file.is_same()) {
        let what = match (&file.then, &file.now) {
            (Some(_), Some(_)) => "is another file",
            (Some(_), None) => "is not there now",
            (None, _) => "was not there then",
        };
        text += &format!("{} {what}\n", shown(&file.name));
    }
    let model = &report.model;
    if !model.tensors.is_empty() {
        let differing = model.tensors.len();
        text += &output::prose(&format!(
            "\n{} of {} differ:",
            grouped(differing as u64),
            count(model.compared as u64, "tensor")
        ));
        let mut tensors: Vec<_> = model.tensors.iter().collect();
        tensors.sort_by(|a, b| b.relative.unwrap_or(f64::INFINITY).total_cmp(&a.relative.unwrap_or(f64::INFINITY)));
        let mut table = Table::new(&["tensor", ">numbers", ">differ", ">by at most", ">of the largest"]);
        for tensor in tensors.iter().take(MOST) {
            table.row([
                tensor.name.clone(),
                grouped(tensor.numbers),
                grouped(tensor.differing),
                match tensor.largest {
                    Some(largest) => format!("{largest:.3e}"),
                    None if tensor.is_text => "texts".into(),
                    None => "not finite".into(),
                },
                tensor.relative.map_or_else(|| "–".into(), |relative| format!("{relative:.3e}")),
            ]);
        }
        text += &table.render();
        if differing > MOST {
            text += &format!("  and {} more (`--json` has them)\n", grouped((differing - MOST) as u64));
        }
    }
    for (key, then, now) in &model.metadata {
        let said = |value: &Option<String>| value.as_ref().map_or_else(|| "nothing".to_owned(), shown);
        text += &format!("metadata {}: then {}, now {}\n", shown(key), said(then), said(now));
    }
    if model.nodes {
        text += "the nodes of the graphs are others\n";
    }
    let mut table = Table::new(&["", ">then", ">now", ">difference"]);
    for figure in &report.figures {
        let value = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), decimal);
        let difference = figure.difference.map_or_else(|| "–".to_owned(), |difference| format!("{difference:+.3e}"));
        table.row([figure.name.clone(), value(figure.then), value(figure.now), difference]);
    }
    text + &format!("\n{}\n{}\n", table.render(), shown_path(&report.folder))
}
