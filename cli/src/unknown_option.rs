//! What is said of an option that is none, where it is a key of the recipe: `--epochs 3` is `--set training.epochs=3`.

use clap::Command;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use millstream::recipes::Catalogs;
use millstream::schemas::recipe::Setting;
use millstream::schemas::shell_word;

/// The name of the option that changes a value of a recipe.
const SET: &str = "set";

/// The error of a command line, of `words` behind the program's name. Of a command that takes `--set`, an option that is a key of a recipe
/// is told with the change that it means, in place of what clap proposes: to take it for a path.
pub(crate) fn explained(mut error: Error, command: &Command, words: &[String]) -> Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return error };
    let Some(name) = option.strip_prefix("--").filter(|_| error.kind() == ErrorKind::UnknownArgument) else {
        return error;
    };
    if !takes_changes(command, words) {
        return error;
    }
    let name = name.split('=').next().unwrap_or(name).to_owned();
    let Some(setting) = meant(&name, &Catalogs::default().settings()) else {
        // no path begins with two dashes
        if error.get(ContextKind::SuggestedArg).is_none() {
            error.remove(ContextKind::Suggested);
        }
        return error;
    };
    let tip = tip(&setting, value(&name, words));
    error.remove(ContextKind::SuggestedArg);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    error
}

fn takes_changes(command: &Command, words: &[String]) -> bool {
    let mut inner = command;
    for word in words {
        inner = inner.find_subcommand(word).unwrap_or(inner);
    }
    inner.get_arguments().any(|argument| argument.get_long() == Some(SET))
}

/// The key that is called so: the one that lies the least deep, and the first of the recipe among equals, but for the optimizer that is
/// usual. A key that holds others stands for the path in it.
fn meant(name: &str, settings: &[Setting]) -> Option<Setting> {
    let name = name.replace('-', "_");
    let depth = |setting: &Setting| setting.place.matches('.').count();
    let is_called = |setting: &&Setting| setting.place.rsplit('.').next() == Some(name.as_str());
    // the least deep first, which keeps the order of equals
    let is_usual = |setting: &Setting| setting.place.split('.').any(|part| part == "adamw");
    let found = settings.iter().filter(is_called).min_by_key(|&setting| (depth(setting), !is_usual(setting)))?;
    let inside = format!("{}.", found.place);
    let holds_others = depth(found) == 0 && settings.iter().any(|other| other.place.starts_with(&inside));
    if !holds_others {
        return Some(found.clone());
    }
    settings.iter().find(|other| other.place == format!("{inside}path")).cloned()
}

/// What stands behind the option, if anything does.
fn value<'a>(name: &str, words: &'a [String]) -> Option<&'a str> {
    let option = format!("--{name}");
    let at = words.iter().position(|word| *word == option || word.starts_with(&format!("{option}=")))?;
    let own = words[at].strip_prefix(&option).and_then(|rest| rest.strip_prefix('='));
    own.or_else(|| words.get(at + 1).map(String::as_str).filter(|word| !word.starts_with('-')))
}

fn tip(setting: &Setting, value: Option<&str>) -> String {
    let is_switch = setting.values.iter().any(|word| word == "true");
    let value = value.unwrap_or(if is_switch { "true" } else { "VALUE" });
    let change = shell_word(&format!("{}={value}", setting.place));
    let otherwise = match setting.place.split('.').collect::<Vec<_>>().as_slice() {
        ["training", "optimizer", optimizer, _] => {
            format!("; `{optimizer}` there is the optimizer, and the recipe may name another")
        }
        _ => String::new(),
    };
    format!("it is a key of the recipe, which `--{SET} {change}` changes{otherwise}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::arguments::Arguments;

    fn said(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let command = Arguments::command();
        let error = command.clone().try_get_matches_from(std::iter::once("millstream".to_owned()).chain(words.clone()));
        explained(error.expect_err("the command line is wrong"), &command, &words).to_string()
    }

    #[test]
    fn an_option_that_is_a_key_of_the_recipe_is_told_with_its_change() {
        for (line, wanted) in [
            ("train odd.yaml --epochs 3", "--set training.epochs=3`"),
            ("train --epochs=3 odd.yaml", "--set training.epochs=3`"),
            ("train data/ model.onnx --batch 4", "--set data.batch=4`"),
            ("check odd.yaml --seed", "--set seed=VALUE`"),
            ("check odd.yaml --label kind", "--set data.label=kind`"),
            ("train odd.yaml --model m.onnx", "--set model.path=m.onnx`"),
            ("train odd.yaml --learning-rate 0.1", "--set training.optimizer.adamw.learning_rate=0.1`"),
            ("train odd.yaml --decay-all", "--set training.decay_all=true`"),
            ("search run odd.yaml --epochs 3", "--set training.epochs=3`"),
        ] {
            let said = said(line);
            assert!(said.contains(wanted) && !said.contains("as a value"), "{line}: {said}");
        }
    }

    #[test]
    fn of_an_option_that_is_no_key_nothing_is_made_up() {
        for line in ["train odd.yaml --zzzqq 3", "inspect data --epochs 3", "runs --seed"] {
            assert!(!said(line).contains("--set"), "{line}: {}", said(line));
        }
        assert!(!said("train odd.yaml --zzzqq 3").contains("tip"), "{}", said("train odd.yaml --zzzqq 3"));
        assert!(said("train odd.yaml --lable 3").contains("'--label'"));
    }

    #[test]
    fn every_last_part_of_a_key_finds_a_key_that_ends_with_it() {
        let settings = Catalogs::default().settings();
        for setting in settings.iter().filter(|setting| setting.place.contains('.') && !setting.place.contains('-')) {
            let name = setting.place.rsplit('.').next().unwrap();
            let found = meant(&name.replace('_', "-"), &settings);
            let is_of_whole = settings.iter().any(|other| other.place == name);
            assert!(is_of_whole || found.is_some_and(|found| found.place.ends_with(name)), "{}", setting.place);
        }
    }
}
