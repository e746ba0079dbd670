use millstream::recipes::Catalogs;
use millstream::recipes::adapters::{
    AdapterReport, ConvertOptions, MergeOptions, WrittenAdapters, convert, extract, list, merge,
};
use millstream::schemas::{count, grouped, shown, shown_path};

use crate::arguments::{Adapter, AdapterCommand, Global};
use crate::messages::harmless;
use crate::table::Table;
use crate::{Outcome, commands, output};

pub(crate) fn run(global: &Global, arguments: &Adapter) -> anyhow::Result<Outcome> {
    let catalogs = Catalogs::default();
    let path = |path: &std::path::PathBuf| commands::argument_path(path.as_os_str());
    let written = match &arguments.command {
        AdapterCommand::List { path: given } => {
            let reports = list(&path(given)?)?;
            if global.json {
                output::print_json(&reports)?;
            } else {
                output::print(&reports.iter().map(describe).collect::<Vec<_>>().join("\n"))?;
            }
            return Ok(Outcome::Done);
        }
        AdapterCommand::Extract { run, output } => {
            extract(&path(run)?, &path(output)?, &catalogs, global.runtime.clone())?
        }
        AdapterCommand::Merge { model, adapters, weights, skip, output } => {
            anyhow::ensure!(
                weights.is_empty() || weights.len() == adapters.len(),
                "{} adapters and {} weights: give one `--weight` for each `--adapter`, or none",
                adapters.len(),
                weights.len()
            );
            anyhow::ensure!(weights.iter().all(|weight| weight.is_finite()), "a weight is no finite number");
            let weights = weights.iter().copied().chain(std::iter::repeat(1.0));
            let adapters = adapters.iter().zip(weights).map(|(adapter, weight)| Ok((path(adapter)?, weight)));
            let options = MergeOptions {
                model: path(model)?,
                adapters: adapters.collect::<anyhow::Result<_>>()?,
                skip: skip.clone(),
                output: path(output)?,
            };
            merge(&options, &catalogs.operators)?
        }
        AdapterCommand::Convert { from, output, model, base, skip, cut } => {
            anyhow::ensure!(
                from.len() == output.len(),
                "{} and {}: give one `--output` for each adapter, in the same order",
                count(from.len(), "adapter"),
                count(output.len(), "output")
            );
            let adapters = from.iter().zip(output).map(|(from, to)| Ok((path(from)?, path(to)?)));
            let options = ConvertOptions {
                adapters: adapters.collect::<anyhow::Result<_>>()?,
                model: model.as_ref().map(path).transpose()?,
                base: base.as_ref().map(path).transpose()?,
                skip: skip.clone(),
                cut: cut.clone(),
            };
            convert(&options, &catalogs.operators)?
        }
    };
    if global.json {
        output::print_json(&written)?;
    } else {
        output::print(&told(&written))?;
    }
    Ok(Outcome::Done)
}

fn told(done: &WrittenAdapters) -> String {
    let mut text = String::new();
    for summary in &done.summaries {
        text.push_str(&output::prose(&harmless(summary)));
    }
    for path in &done.written {
        text.push_str(&format!("written: {}\n", shown_path(path)));
    }
    for note in &done.notes {
        text.push_str(&output::prose(&format!("note: {}", harmless(note))));
    }
    text
}

fn describe(report: &AdapterReport) -> String {
    let mut text = format!("{}: {}\n", shown_path(&report.path), harmless(&report.summary));
    let mut modules = Table::new(&["module", ">rank", ">alpha", ">numbers"]);
    let number = |number: Option<String>| number.unwrap_or_else(|| "–".into());
    for module in &report.modules {
        modules.row([
            shown(&module.module),
            number(module.rank.map(|rank| rank.to_string())),
            number(module.alpha.map(|alpha| alpha.to_string())),
            grouped(module.numbers as u64),
        ]);
    }
    text.push_str(&modules.render());
    if !report.whole.is_empty() {
        let mut whole = Table::new(&["held whole", ">numbers"]);
        report.whole.iter().for_each(|(name, numbers)| whole.row([shown(name), grouped(*numbers as u64)]));
        text.push('\n');
        text.push_str(&whole.render());
    }
    text
}
