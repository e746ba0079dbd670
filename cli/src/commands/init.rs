use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use millstream::recipes::init::{InitOptions, InitReport, NO_USUAL_LAYER, import_data, init};
use millstream::recipes::{Catalogs, Silent, Stop, require_no_input};
use millstream::schemas::recipe::RecipeText;
use millstream::schemas::{files, shell_word, shown, shown_path};

use crate::arguments::{self, Global};
use crate::commands::is_model;
use crate::messages::{self, harmless};
use crate::{Outcome, editor_schema, output, progress};

pub(crate) fn run(global: &Global, arguments: &arguments::Init) -> anyhow::Result<Outcome> {
    in_order(&arguments.data, arguments.model.as_deref())?;
    let here = std::env::current_dir().context("the working directory cannot be read")?;
    let is_printed = arguments.output.as_os_str() == "-";
    let path = here.join(&arguments.output);
    if !is_printed && !arguments.overwrite && path.exists() {
        anyhow::bail!(
            "{} is there already; choose another name by `--output`, or replace it by `--overwrite`",
            shown_path(&arguments.output)
        );
    }
    if !is_printed {
        let model = arguments.model.as_deref();
        let evaluate = arguments.evaluate.iter().map(PathBuf::as_path);
        require_no_input(&path, [arguments.data.as_path()].into_iter().chain(model).chain(evaluate))?;
    }
    let folder = if is_printed { here.clone() } else { path.parent().unwrap_or(Path::new("/")).to_owned() };
    let stem = if is_printed { "run".into() } else { path.file_stem().unwrap_or_default().to_owned() };
    let run = arguments.run.as_ref().map_or_else(|| folder.join("runs").join(stem), |run| here.join(run));
    let mut report = made(global, &options(arguments, &here, folder, run)?)?;
    report.text = editor_schema::with_line(&report.text);
    if !is_printed {
        files::replace_file(&path, report.text.as_bytes())
            .with_context(|| format!("cannot write {}", shown_path(&path)))?;
        editor_schema::write_beside(&path)?;
    }
    if global.json {
        output::print_json(&report)?;
    } else if is_printed {
        output::print(&report.text)?;
    } else {
        output::print(&told(&report, arguments))?;
    }
    Ok(Outcome::Done)
}

/// What is no Parquet is imported first, in sight.
fn made(global: &Global, options: &InitOptions) -> anyhow::Result<InitReport> {
    let mut progress = if global.json { Box::new(Silent) } else { progress::choose(global) };
    let imported = import_data(options, progress.as_mut(), &Stop::default());
    drop(progress);
    imported?;
    Ok(init(options)?)
}

/// The recipe that is made of data and a model, for `train`.
pub(crate) fn of_data(global: &Global, arguments: &arguments::Train, model: &Path) -> anyhow::Result<RecipeText> {
    let here = std::env::current_dir().context("the working directory cannot be read")?;
    let data = &arguments.recipe.recipe;
    in_order(data, Some(model))?;
    let extension = data.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    anyhow::ensure!(
        !matches!(extension.as_str(), "yaml" | "yml" | "json"),
        "{} is a recipe, and names its model itself (`model.path`)",
        shown_path(data)
    );
    // of a pattern the folder that its files lie in
    let is_pattern = |path: &Path| path.to_string_lossy().contains(['*', '?', '[', '{']);
    let named = data.ancestors().find(|path| !is_pattern(path)).and_then(Path::file_stem);
    // of `x.tar.gz` too
    let named = named.map(|stem| stem.to_str().and_then(|stem| stem.strip_suffix(".tar")).map_or(stem, OsStr::new));
    // of a pattern without a folder what stands before it, or else the working directory
    let beginning = data.to_string_lossy();
    let beginning = beginning.split(['*', '?', '[', '{']).next().unwrap_or_default();
    let beginning = beginning.trim_end_matches(['-', '_', '.']);
    let beginning = (!beginning.is_empty()).then(|| OsStr::new(beginning));
    let stem = named.or(beginning).or_else(|| here.file_name());
    let stem = stem.context("the data have no name; choose a folder for the results by `--output`")?;
    let output = arguments.output.as_ref().map_or_else(|| here.join("runs").join(stem), |output| here.join(output));
    let changed = in_overrides(&arguments.recipe.overrides);
    if let (Some(label), Some(changed)) = (&arguments.label, &changed) {
        anyhow::ensure!(
            label == changed,
            "`--label {}` and `--set data.label={}` name two columns; leave one of them out",
            shown(label),
            shown(changed)
        );
    }
    let wanted = arguments::Init {
        data: data.clone(),
        model: Some(model.to_owned()),
        evaluate: Vec::new(),
        label: arguments.label.clone().or(changed),
        output: PathBuf::from("-"),
        run: None,
        overwrite: false,
    };
    let report = made(global, &options(&wanted, &here, here.clone(), output)?)?;
    // what was imported is told when it is trained on
    let decisions = report.decisions.iter().filter(|decision| !report.imported.contains(decision));
    for decision in
        decisions.filter_map(|decision| as_changed(decision, report.last_layer, &arguments.recipe.overrides))
    {
        messages::tell(&harmless(decision));
    }
    // a column of numbers, masks or boxes is told by another word of the recipe
    let overrides = arguments.recipe.overrides.iter().filter(|change| label_of(change).is_none());
    let overrides: Vec<String> = overrides.cloned().collect();
    Ok(RecipeText::new(&report.text, Path::new("the recipe of data and model"), &here, &overrides)?)
}

/// What is left of a decision behind the changes of a recipe that was made: not how many parameters are trained where one may change that,
/// which the run says as it begins, and neither a last layer nor why it is not the usual one where another is asked for.
fn as_changed<'a>(decision: &'a str, last_layer: &'a str, overrides: &[String]) -> Option<&'a str> {
    let is_reason = decision.starts_with(NO_USUAL_LAYER);
    if !is_reason && (last_layer.is_empty() || !decision.starts_with(last_layer)) {
        return Some(decision);
    }
    let keys = || overrides.iter().filter_map(|change| Some(change.split_once('=')?.0.trim()));
    let is_in = |key: &str, place: &str| {
        key.strip_prefix(place).is_some_and(|rest| matches!(rest.chars().next(), None | Some('.' | '[')))
    };
    if keys().any(|key| key == "model" || is_in(key, "model.head")) {
        return None;
    }
    if is_reason {
        return Some(decision);
    }
    let parts = ["model", "training.head_first", "training.unfreeze", "training.freeze", "training.groups"];
    let is_changed = keys().any(|key| key == "training" || parts.iter().any(|part| is_in(key, part)));
    Some(if is_changed { last_layer } else { decision })
}

/// The column that is to be told, where a change of the recipe names it.
fn in_overrides(overrides: &[String]) -> Option<String> {
    overrides.iter().rev().find_map(|change| label_of(change)).map(str::to_owned)
}

fn label_of(change: &str) -> Option<&str> {
    let (key, value) = change.split_once('=')?;
    let value = value.trim();
    let quoted = |mark: char| value.strip_prefix(mark)?.strip_suffix(mark);
    (key.trim() == "data.label").then(|| quoted('"').or_else(|| quoted('\'')).unwrap_or(value))
}

fn options(arguments: &arguments::Init, here: &Path, folder: PathBuf, output: PathBuf) -> anyhow::Result<InitOptions> {
    // as the recipe is to name them: from its own folder, where they lie below it
    let named = |path: &PathBuf| -> anyhow::Result<String> {
        let whole = here.join(path);
        let named = whole.strip_prefix(&folder).unwrap_or(&whole);
        let text = named.to_str().with_context(|| format!("{}: the name is no UTF-8", shown_path(path)))?;
        Ok(if text.is_empty() { ".".into() } else { text.to_owned() })
    };
    Ok(InitOptions {
        data: vec![named(&arguments.data)?],
        evaluate: arguments.evaluate.iter().map(named).collect::<anyhow::Result<_>>()?,
        model: arguments.model.as_ref().map(|model| here.join(model)),
        label: arguments.label.clone(),
        folder: folder.clone(),
        output,
        catalogs: Catalogs::default(),
    })
}

/// The data come first. What was exchanged is told with the command turned round.
fn in_order(data: &Path, model: Option<&Path>) -> anyhow::Result<()> {
    if !is_model(data) {
        return Ok(());
    }
    let Some(other) = model.filter(|other| !is_model(other)) else {
        anyhow::bail!("{} is a model; name the data in front of it", shown_path(data));
    };
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let turned = turned(words, &data.to_string_lossy(), &other.to_string_lossy());
    anyhow::bail!("{} is a model, and the data come first:  millstream {turned}", shown_path(data));
}

/// The words of a command with the first of two exchanged.
fn turned(words: impl Iterator<Item = String>, one: &str, other: &str) -> String {
    let (mut is_first, mut is_second) = (true, true);
    let words = words.map(|word| match word {
        word if word == one && std::mem::take(&mut is_first) => shell_word(other),
        word if word == other && std::mem::take(&mut is_second) => shell_word(one),
        word => shell_word(&word),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn told(report: &InitReport, arguments: &arguments::Init) -> String {
    let (mut text, path) = (String::new(), shown_path(&arguments.output));
    for decision in &report.decisions {
        text.push_str(&output::prose(&harmless(decision)));
    }
    text.push_str(&format!("written: {path}\n"));
    let recipe = shell_word(&arguments.output.to_string_lossy());
    text.push_str(&match (&arguments.model, report.can_be_previewed) {
        (Some(_), _) => format!("next: millstream train {recipe}\n"),
        (None, true) => format!("next: millstream preview {recipe}\n"),
        (None, false) => format!("next: millstream {}\n", with_a_model(arguments)),
    });
    text
}

/// The same command with a model, for data of which there is nothing to be shown.
fn with_a_model(arguments: &arguments::Init) -> String {
    let mut words = vec!["init".to_owned(), shell_word(&arguments.data.to_string_lossy()), "MODEL.onnx".to_owned()];
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), shell_word(value)]);
    arguments.evaluate.iter().for_each(|data| option("--evaluate", &data.to_string_lossy()));
    arguments.label.iter().for_each(|label| option("--label", label));
    arguments.run.iter().for_each(|run| option("--run", &run.to_string_lossy()));
    option("-o", &arguments.output.to_string_lossy());
    words.push("--overwrite".into());
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_trained_is_not_told_by_a_recipe_that_was_changed() {
        let (head, whole) = (
            "a new last layer stands behind the model",
            "a new last layer stands behind the model; all 7 parameters are trained",
        );
        for (changes, wanted) in [
            (&[][..], Some(whole)),
            (&["training.epochs=3", "data.batch=2"], Some(whole)),
            (&["model.train=head"], Some(head)),
            (&["training.epochs=3", "model.methods=[lora]"], Some(head)),
            (&["training.head_first={epochs: 1}"], Some(head)),
            (&["model.head=keep"], None),
            (&["model.head.pooled=mean"], None),
            (&["model={path: a.onnx}"], None),
        ] {
            let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
            assert_eq!(as_changed(whole, head, &changes), wanted, "{changes:?}");
            assert_eq!(as_changed("the model sees images", head, &changes), Some("the model sees images"));
            // why the layer is not the usual one goes with the layer
            let reason = format!("{NO_USUAL_LAYER}it has none");
            assert_eq!(as_changed(&reason, head, &changes), wanted.map(|_| reason.as_str()), "{changes:?}");
        }
    }

    #[test]
    fn a_command_is_turned_round_with_all_else_in_place() {
        let words = ["train", "a.onnx", "my data", "--set", "x=a.onnx", "--label", "my data"].map(str::to_owned);
        let wanted = "train 'my data' a.onnx --set x=a.onnx --label 'my data'";
        assert_eq!(turned(words.into_iter(), "a.onnx", "my data"), wanted);
    }
}
