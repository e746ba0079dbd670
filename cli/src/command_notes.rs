//! What `--help`, the manual pages and the book say of each command behind its examples: what it writes, and how it ends.

use clap::Command;

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
        let codes: Vec<String> = usual.chain(more).map(|(code, means)| format!("  {code}  {means}")).collect();
        let between = if examples.is_empty() { "" } else { "\n\n" };
        format!("{examples}{between}Writes:\n  {}\n\nExit codes:\n{}", self.writes, codes.join("\n"))
    }
}

/// The command line with its notes.
pub(crate) fn noted(command: Command) -> Command {
    below(command, "")
}

fn below(command: Command, place: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let command = match NOTES.iter().find(|note| note.command == place) {
        Some(note) => command.after_long_help(note.behind(&examples)),
        None => command,
    };
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
