//! The `millstream` command.
#![forbid(unsafe_code)]

mod arguments;
mod colour;
mod commands;
mod messages;
mod output;
mod progress;
mod screen;
mod signals;
mod status;
mod table;
mod terminal;

use std::process::ExitCode;

use crate::arguments::{Arguments, Command, Global};

/// How a command ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All was done.
    Done,
    /// A report that says no: printed already, and yet exit code 1.
    Refused,
    /// Interrupted; the state is saved.
    Interrupted,
}

fn main() -> ExitCode {
    colour::start(std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()));
    let Arguments { global, command } = arguments::read();
    messages::start(&global);
    match run(&global, command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::from(1),
        Ok(Outcome::Interrupted) => ExitCode::from(3),
        Err(error) => {
            messages::print_error(&error);
            ExitCode::from(1)
        }
    }
}

fn run(global: &Global, command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Train(arguments) => commands::train::run(global, &arguments),
        Command::Check(arguments) => commands::check::run(global, &arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(global, &arguments),
        Command::Preview(arguments) => commands::preview::run(global, &arguments),
        Command::Inspect(arguments) => commands::inspect::run(global, &arguments),
        Command::Report(arguments) => commands::report::run(global, &arguments),
        Command::Schema => commands::schema::run(),
        Command::Transforms(arguments) => commands::transforms::run(global, &arguments),
        Command::Runtime(arguments) => commands::runtime::run(global, &arguments),
    }
}
