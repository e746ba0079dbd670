//! What `--help`, the manual pages and the book say of each command behind its examples: what it writes, and how it ends.

use clap::Command;

use crate::terminal::{columns, wrapped};

/// Columns of examples and exit codes, which are laid out here: within those of the narrowest usual terminal.
const WIDEST: usize = 78;
/// In front of what is said of an example, and of what does not fit into its line.
const BELOW: &str = "\n      ";

/// What is said of a command.
struct CommandNote {
    /// As it is called, `search run` for example.
    command: &'static str,
    /// Where what it makes is to be found.
    writes: &'static str,
    /// Exit codes that mean more or something else than those of all commands.
    codes: &'static [(u8, &'static str)],
}

const NOTHING: &str = "Nothing but what it prints.";
const PRINTS: &str = "Its standard output alone; `>` makes a file of it.";
const OF_SEARCH: (u8, &str) = (1, "an error; or no trial is complete at the end");
const OF_ALL: [(u8, &str); 3] =
    [(0, "done"), (1, "an error, printed on the standard error output"), (2, "the command line is wrong")];

/// Of each command, in alphabetical order.
const NOTES: &[CommandNote] = &[
    CommandNote {
        command: "adapter convert",
        writes: "The adapter that `--output` names, and the model that `--base` names.",
        codes: &[],
    },
    CommandNote { command: "adapter extract", writes: "The adapter that `--output` names.", codes: &[] },
    CommandNote { command: "adapter list", writes: NOTHING, codes: &[] },
    CommandNote { command: "adapter merge", writes: "The model that `--output` names.", codes: &[] },
    CommandNote { command: "check", writes: NOTHING, codes: &[(1, "an error; or training could not start")] },
    CommandNote {
        command: "compare",
        writes: "The page that `--html` names; with `--predict` the file `predictions.parquet` in the folder of each run that has none.",
        codes: &[(3, "interrupted; nothing is compared")],
    },
    CommandNote {
        command: "compile",
        writes: "The five files above, into the folder that `--output` names.",
        codes: &[],
    },
    CommandNote { command: "completions", writes: PRINTS, codes: &[] },
    CommandNote { command: "config", writes: PRINTS, codes: &[] },
    CommandNote {
        command: "document",
        writes: "The files above, into `documents` in the run's folder or where `--output` says; `statements.yaml` in the run's folder, where it is not there yet.",
        codes: &[],
    },
    CommandNote { command: "ensemble evaluate", writes: NOTHING, codes: &[] },
    CommandNote {
        command: "ensemble export",
        writes: "`ensemble.onnx` in the ensemble's folder, or the file that `--output` names.",
        codes: &[],
    },
    CommandNote {
        command: "ensemble fit",
        writes: "`ensemble.json`, `ensemble.onnx`, `origin.json`, `report.html` and, of classes, `labels.txt` in the folder that `--output` names.",
        codes: &[],
    },
    CommandNote {
        command: "ensemble members",
        writes: "Into the folder that `--output` names: a run for each member (`fold-1`, `bag-1`, …), `predictions.parquet`, `model.onnx`, `labels.txt`, `recipe.yaml`, `members.json` and `rows`.",
        codes: &[(3, "interrupted; the same command goes on")],
    },
    CommandNote { command: "ensemble methods", writes: NOTHING, codes: &[] },
    CommandNote {
        command: "ensemble snapshots",
        writes: "A model for each state, `step-N.onnx`, and `snapshots.json`, into the folder that `--output` names.",
        codes: &[],
    },
    CommandNote {
        command: "errors",
        writes: "The page `errors.html` in the run's folder, or the one that `--html` names.",
        codes: &[],
    },
    CommandNote {
        command: "evaluate",
        writes: "The file that `--predictions` names; otherwise nothing but what it prints.",
        codes: &[],
    },
    CommandNote {
        command: "import",
        writes: "Parquet files called `NAME-SPLIT-00000-of-00001.parquet`, into the folder that `--output` names.",
        codes: &[(3, "interrupted; whole files stay, and the same command goes on")],
    },
    CommandNote {
        command: "init",
        writes: "The recipe, and `recipe.schema.json` beside it for editors. What is no Parquet is imported into the folder `.data` beside the folder of the results.",
        codes: &[],
    },
    CommandNote {
        command: "inspect",
        writes: NOTHING,
        codes: &[(1, "an error; or nothing fits a `--pattern` or the `--label`")],
    },
    CommandNote {
        command: "lr-find",
        writes: "The curve as a picture, `lr-find.svg` or what `--output` names.",
        codes: &[],
    },
    CommandNote {
        command: "man-pages",
        writes: "`millstream.1`, and `millstream-COMMAND.1` for each command, into the folder.",
        codes: &[],
    },
    CommandNote { command: "note", writes: "A line of `notes.jsonl` in the run's folder.", codes: &[] },
    CommandNote {
        command: "predict",
        writes: "The file that `--output` names, where there is one; a PNG for each picture into the folder that `--masks` names.",
        codes: &[(1, "an error; or no row could be used; or interrupted")],
    },
    CommandNote {
        command: "preview",
        writes: "The contact sheet, `preview.png` or what `--output` names. Texts are printed.",
        codes: &[],
    },
    CommandNote { command: "report", writes: "The page `report.html`, or the one that `--output` names.", codes: &[] },
    CommandNote {
        command: "reproduce",
        writes: "A run, into the folder that `--output` names.",
        codes: &[(1, "an error; or anything differs"), (3, "interrupted; `reproduce --overwrite` begins anew")],
    },
    CommandNote {
        command: "runs",
        writes: "The page `runs.html` in the folder, or the one that `--html` names; none with `--no-html`.",
        codes: &[],
    },
    CommandNote { command: "runtime doctor", writes: NOTHING, codes: &[(1, "no library that can be used was found")] },
    CommandNote {
        command: "runtime install",
        writes: "The library, into a folder of this user's data, which it prints.",
        codes: &[],
    },
    CommandNote {
        command: "schema",
        writes: "The file that `--output` names; otherwise nothing but what it prints.",
        codes: &[],
    },
    CommandNote {
        command: "search best",
        writes: "`best.yaml` in the study's folder, or the file that `--output` names; with `--refit` a run in the folder `refit`.",
        codes: &[(3, "interrupted and saved; `search best --refit` goes on")],
    },
    CommandNote { command: "search export", writes: "The files that are named.", codes: &[] },
    CommandNote {
        command: "search resume",
        writes: "The study's folder, as `search run` does.",
        codes: &[OF_SEARCH, (3, "interrupted and saved; `search resume` goes on")],
    },
    CommandNote { command: "search retry", writes: "Lines of the study's `journal.jsonl`.", codes: &[] },
    CommandNote {
        command: "search run",
        writes: "The study's folder: `journal.jsonl`, `recipe.yaml`, `study.json`, a run (or several) for each trial in `trials`, and the page `search.html`.",
        codes: &[OF_SEARCH, (3, "interrupted and saved; `search resume` goes on")],
    },
    CommandNote { command: "search status", writes: NOTHING, codes: &[] },
    CommandNote {
        command: "search worker",
        writes: "The study's folder, as `search run` does.",
        codes: &[OF_SEARCH, (3, "interrupted and saved; `search worker` goes on")],
    },
    CommandNote {
        command: "train",
        writes: "The files above; beside them `origin.json` and `fingerprints.json` (what the run was made of), and what the recipe's `output` asks for: logs, adapters, statistics.",
        codes: &[(3, "interrupted and saved; `train --resume` goes on")],
    },
    CommandNote { command: "transforms", writes: NOTHING, codes: &[] },
    CommandNote { command: "watch", writes: NOTHING, codes: &[] },
];

impl CommandNote {
    /// Behind the examples, if there are any.
    fn behind(&self, examples: &str) -> String {
        let own = |code: u8| self.codes.iter().find(|(other, _)| *other == code);
        let usual = OF_ALL.into_iter().map(|(code, means)| own(code).copied().unwrap_or((code, means)));
        let more = self.codes.iter().copied().filter(|(code, _)| OF_ALL.iter().all(|(usual, _)| usual != code));
        let line = |(code, means): (u8, &str)| {
            let start = format!("  {code}  ");
            let lines = wrapped(means, WIDEST - start.len());
            format!("{start}{}", lines.join(&format!("\n{}", " ".repeat(start.len()))))
        };
        let codes: Vec<String> = usual.chain(more).map(line).collect();
        let between = if examples.is_empty() { "" } else { "\n\n" };
        format!("{examples}{between}Writes:\n  {}\n\nExit codes:\n{}", self.writes, codes.join("\n"))
    }
}

/// Examples with each command on a line of its own, broken in front of options as a shell takes it where it is too long, and what is said of
/// it (behind four blanks in `examples`) below.
fn laid_out(examples: &str) -> String {
    let lines = examples.lines().map(|line| {
        let (command, means) = line.rsplit_once("    ").unwrap_or((line, ""));
        let means =
            if means.is_empty() { String::new() } else { format!("{BELOW}{}", wrapped(means, WIDEST - 6).join(BELOW)) };
        broken(command) + &means
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn broken(command: &str) -> String {
    let command = command.trim_end();
    if columns(command) <= WIDEST {
        return command.to_owned();
    }
    let parts = parts(command);
    let (mut text, mut used) = (String::new(), 0);
    for part in parts {
        // a blank and a backslash have to fit too
        if !text.is_empty() && used + columns(&part) + 3 > WIDEST {
            text.push_str(&format!(" \\{BELOW}"));
            used = BELOW.len() - 1;
        } else if !text.is_empty() {
            text.push(' ');
            used += 1;
        }
        used += columns(&part);
        text.push_str(&part);
    }
    text
}

/// A command up to each option, pipe or file that it writes; what stands in quotes is whole.
fn parts(command: &str) -> Vec<String> {
    let (mut parts, mut is_quoted) = (vec![String::new()], false);
    for word in command.split(' ') {
        let begins = !is_quoted && word.starts_with(['-', '>', '|']) && word != "-";
        match parts.last_mut() {
            Some(last) if !begins => {
                // the first of all begins with blanks
                last.push_str(word);
                last.push(' ');
            }
            _ => parts.push(format!("{word} ")),
        }
        is_quoted ^= word.matches('\'').count() % 2 == 1;
    }
    parts.iter().map(|part| part.trim_end().to_owned()).collect()
}

/// The command line with its notes.
pub(crate) fn noted(command: Command) -> Command {
    below(command, "")
}

fn below(command: Command, place: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let examples = laid_out(&command.get_after_help().map(ToString::to_string).unwrap_or_default());
    let command = match NOTES.iter().find(|note| note.command == place) {
        Some(note) => command.after_long_help(note.behind(&examples)),
        None => command,
    };
    // the help of all commands is laid out where it stands
    let has_examples = !examples.is_empty() && !place.is_empty();
    let command = if has_examples { command.after_help(examples) } else { command };
    names.iter().fold(command, |command, name| {
        let place = format!("{place} {name}").trim_start().to_owned();
        command.mut_subcommand(name, |command| below(command, &place))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::arguments::Arguments;

    /// Commands that do something by themselves, each with how it is called.
    fn commands(command: &Command, place: &str) -> Vec<(String, Command)> {
        let inner: Vec<&Command> = command.get_subcommands().filter(|command| command.get_name() != "help").collect();
        if inner.is_empty() {
            return vec![(place.to_owned(), command.clone())];
        }
        inner.iter().flat_map(|inner| commands(inner, format!("{place} {}", inner.get_name()).trim_start())).collect()
    }

    #[test]
    fn each_command_says_what_it_writes_and_how_it_ends() {
        let mut wanted: Vec<String> = commands(&Arguments::command(), "").into_iter().map(|(place, _)| place).collect();
        wanted.sort();
        assert_eq!(
            NOTES.iter().map(|note| note.command).collect::<Vec<_>>(),
            wanted,
            "the table in alphabetical order"
        );
        for (place, mut command) in commands(&noted(Arguments::command()), "") {
            let help = command.render_long_help().to_string();
            let own = NOTES.iter().find(|note| note.command == place).unwrap();
            for part in ["\nWrites:\n  ", "\nExit codes:\n  0  done\n  1  "] {
                assert!(help.contains(part), "{place}: wanted {part:?} in\n{help}");
            }
            // lines are broken where a terminal ends
            let one_line = help.split_whitespace().collect::<Vec<_>>().join(" ");
            let said = own.codes.iter().map(|(_, means)| *means).chain([own.writes]);
            said.into_iter().for_each(|part| assert!(one_line.contains(part), "{place}: wanted {part:?} in\n{help}"));
        }
    }

    #[test]
    fn help_fits_80_columns_and_common_options_come_last() {
        let mut whole = noted(Arguments::command());
        whole.build();
        let root = std::iter::once((String::new(), whole.clone()));
        for (place, command) in root.chain(commands(&whole, "")) {
            let help = command.term_width(80).render_long_help().to_string();
            let (options, behind) = help.split_once("\nCommon options:\n").unwrap_or_else(|| panic!("{place}: {help}"));
            for option in ["--json", "--runtime", "--quiet", "--verbose", "--color"] {
                let is_own = options.lines().any(|line| line.trim_start().starts_with(option));
                assert!(!is_own && behind.contains(option), "{place}: {option} in\n{help}");
            }
            // what is longer was broken by the terminal, and begins in the column of its line
            behind.lines().for_each(|line| assert!(columns(line) <= 80, "{place}: {line}"));
            let codes = behind.split_once("\nExit codes:\n").unwrap_or_else(|| panic!("{place}: {help}")).1;
            let codes = codes.lines().take_while(|line| !line.is_empty());
            let is_laid_out = |line: &str| {
                line.starts_with("     ") || line.trim_start().starts_with(|sign: char| sign.is_ascii_digit())
            };
            codes.for_each(|line| assert!(is_laid_out(line), "{place}: {line}"));
        }
    }

    #[test]
    fn an_example_is_a_command_and_below_it_what_is_said_of_it() {
        let long = "millstream evaluate recipe.yaml --model other.onnx --data 'data/a test-*.parquet' b";
        let text = laid_out(&format!("Examples:\n  millstream x a/    without a model\n  {long}"));
        let wanted = "Examples:\n  millstream x a/\n      without a model\n  millstream evaluate recipe.yaml --model other.onnx \\\n      \
                      --data 'data/a test-*.parquet' b";
        assert_eq!(text, wanted);
        for (place, command) in commands(&noted(Arguments::command()), "") {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            text.lines().for_each(|line| assert!(columns(line) <= 80, "{place}: {line}"));
        }
    }

    /// The words of an example as a shell makes them, up to a `>`, a `|` or what is said of it behind four blanks.
    fn words(example: &str) -> Vec<String> {
        let example = example.split("    ").next().unwrap_or_default();
        let (mut words, mut quote) = (vec![String::new()], None);
        for sign in example.chars() {
            match (sign, quote) {
                ('\'' | '"', None) => quote = Some(sign),
                (_, Some(mark)) if sign == mark => quote = None,
                ('>' | '|', None) => break,
                (' ', None) => words.push(String::new()),
                _ => words.last_mut().unwrap().push(sign),
            }
        }
        assert!(quote.is_none(), "{example}: a quotation does not end");
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn the_examples_of_each_help_are_commands_that_can_be_given() {
        let mut read = 0;
        for (place, command) in commands(&Arguments::command(), "") {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let part = help.split("\n\n").next().unwrap_or_default();
            let lines = part.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
            for line in lines {
                let example = line.split_once("| ").map_or(line, |(_, rest)| rest);
                let given = words(example);
                assert_eq!(given.first().map(String::as_str), Some("millstream"), "{place}: {line}");
                let parsed = Arguments::command().try_get_matches_from(&given);
                assert!(parsed.is_ok(), "{place}: {line}\n{}", parsed.unwrap_err());
                read += 1;
            }
        }
        assert!(read > 50, "{read}");
    }
}
