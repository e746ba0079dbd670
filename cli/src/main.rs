//! The `millstream` command.

mod adapter_arguments;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator;
mod arguments;
mod colour;
mod command_notes;
mod commands;
mod editor_schema;
mod ensemble_arguments;
mod excerpt;
mod import_arguments;
mod inspect_arguments;
mod kept_files;
mod messages;
mod missing_place;
mod offered;
mod outcome;
mod output;
mod progress;
mod recipe_arguments;
mod run_arguments;
mod screen;
mod search_arguments;
mod search_progress;
mod setting_completions;
mod signals;
mod status;
mod study_table;
mod table;
mod terminal;
mod unknown_option;
mod version;

use millstream::recipes::{Catalogs, load};
use std::process::ExitCode;

use crate::arguments::{Arguments, Command, Global};
use crate::outcome::Outcome;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    allocator::start();
    colour::start(std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()));
    let Arguments { global, command } = arguments::read();
    messages::start(&global);
    match run(&global, command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::from(1),
        Ok(Outcome::Interrupted) => signals::leave(3),
        Err(error) => {
            messages::print_error(&error, &global);
            ExitCode::from(1)
        }
    }
}

fn run(global: &Global, command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Train(arguments) => {
            let elsewhere: &[&str] = if arguments.output.is_some() { &["output.folder"] } else { &[] };
            let work = |recipe| commands::train::run(global, &arguments, recipe);
            match &arguments.model {
                Some(model) => {
                    commands::with_text(&commands::init::of_data(global, &arguments, model)?, elsewhere, |text| {
                        work(load(text, &Catalogs::default())?)
                    })
                }
                None => commands::with_recipe(&arguments.recipe, elsewhere, work),
            }
        }
        Command::Check(arguments) => {
            commands::with_text(&commands::text_of(&arguments.recipe)?, &[], |text| commands::check::run(global, text))
        }
        Command::Compile(arguments) => {
            commands::with_recipe(&arguments.recipe, &[], |recipe| commands::compile::run(global, &arguments, &recipe))
        }
        Command::Evaluate(arguments) => {
            // The model that is measured is the recipe's result or an argument, never what the recipe trains.
            commands::with_recipe(&arguments.recipe, &["model.path"], |recipe| {
                commands::evaluate::run(global, &arguments, &recipe)
            })
        }
        Command::Predict(arguments) => commands::predict::run(global, &arguments),
        Command::Import(arguments) => commands::import::run(global, &arguments),
        Command::Preview(arguments) => {
            commands::with_recipe(&arguments.recipe, &[], |recipe| commands::preview::run(global, &arguments, &recipe))
        }
        Command::LrFind(arguments) => {
            // Nothing is written there.
            commands::with_recipe(&arguments.recipe, &["output.folder"], |recipe| {
                commands::lr_find::run(global, &arguments, &recipe)
            })
        }
        Command::Init(arguments) => commands::init::run(global, &arguments),
        Command::Inspect(arguments) => commands::inspect::run(global, &arguments),
        Command::Search(arguments) => commands::search::run(global, &arguments),
        Command::Report(arguments) => commands::report::run(global, &arguments),
        Command::Watch(arguments) => commands::watch::run(global, &arguments),
        Command::Compare(arguments) => commands::compare::run(global, &arguments),
        Command::Errors(arguments) => commands::errors::run(global, &arguments),
        Command::Note(arguments) => commands::note::run(global, &arguments),
        Command::Reproduce(arguments) => commands::reproduce::run(global, &arguments),
        Command::Runs(arguments) => commands::runs::run(global, &arguments),
        Command::Document(arguments) => commands::document::run(global, &arguments),
        Command::Schema(arguments) => commands::schema::run(&arguments),
        Command::Config(arguments) => {
            commands::with_recipe(&arguments.recipe, &[], |recipe| commands::config::run(global, &recipe))
        }
        Command::Completions(arguments) => commands::completions::completions(&arguments),
        Command::ManPages(arguments) => commands::completions::man_pages(&arguments),
        Command::Transforms(arguments) => commands::transforms::run(global, &arguments),
        Command::Ensemble(arguments) => commands::ensemble::run(global, &arguments),
        Command::Adapter(arguments) => commands::adapter::run(global, &arguments),
        Command::Runtime(arguments) => commands::runtime::run(global, &arguments),
    }
}
