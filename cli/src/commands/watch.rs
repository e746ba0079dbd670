//! The page of a run that goes on.

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream::recipes::runs::is_run_folder;
use millstream::recipes::watch::{Watch, WatchEnd, WatchOptions};
use millstream::recipes::{RecipeError, Stop};
use millstream::schemas::Choice;
use millstream::schemas::{Recipe, shown_path};

use crate::arguments::{self, Global};
use crate::{Outcome, messages, missing_place, output, signals};

pub(crate) fn run(global: &Global, arguments: &arguments::Watch) -> anyhow::Result<Outcome> {
    let folder = super::argument_path(arguments.run.as_os_str())?;
    anyhow::ensure!(
        !folder.is_file(),
        "{} is a file; watched is the output folder of a run, which need not be there yet",
        shown_path(&folder)
    );
    missing_place::require_not_several(&folder)?;
    let watch = Watch::open(&folder, WatchOptions { port: arguments.port, until_end: arguments.until_end })
        .with_context(|| match arguments.port {
            0 => "no port can be had for the page".to_owned(),
            port => format!("port {port} cannot be had; leave `--port` out, and any that is free is taken"),
        })?;
    let address = format!("http://{}/", watch.address());
    let has_begun = is_run_folder(&folder);
    if global.json {
        let run = folder.to_string_lossy();
        let line = serde_json::json!({ "event": "watching", "run": run, "address": address, "has_begun": has_begun });
        output::print_json_line(&line)?;
    } else {
        let yet = match (has_begun, missing_place::runs_inside(&folder)) {
            (true, _) => String::new(),
            (false, None) => "no run there yet; the page shows it as soon as one begins in this folder\n".into(),
            (false, Some(inside)) => format!("no run there itself; {inside}: name one of them\n"),
        };
        output::print(&format!("{}: {address}\n{yet}", shown_path(&folder)))?;
    }
    let stop = Stop::default();
    signals::listen_and_answer(&stop, "the page is taken down")?;
    let end = watch.serve(&stop)?;
    if end == WatchEnd::RunEnded && !global.json {
        output::print("the run has ended\n")?;
    }
    Ok(Outcome::Done)
}

/// A page beside a training in this process.
pub(crate) struct Beside {
    thread: JoinHandle<Result<WatchEnd, RecipeError>>,
    stop: Stop,
}

impl Beside {
    /// Serves the page of the recipe's run, and lets it write the log that is followed.
    pub(crate) fn begin(recipe: &mut Recipe) -> anyhow::Result<Self> {
        if !recipe.output.logs.iter().any(|log| log.name == "jsonl") {
            recipe.output.logs.push(Choice::new("jsonl", serde_json::json!({})));
        }
        let folder: &Path = &recipe.output.folder;
        let watch = Watch::open(folder, WatchOptions { port: 0, until_end: false })?;
        messages::tell(&format!("the run's page: http://{}/", watch.address()));
        let stop = Stop::default();
        let until = stop.clone();
        let thread = thread::Builder::new().name("watch".into()).spawn(move || watch.serve(&until));
        Ok(Self { thread: thread.context("no thread can be had for the page")?, stop })
    }

    /// Lets those who look at the page see the end, and takes it down.
    pub(crate) fn end(self) {
        const LAST_LOOK: Duration = Duration::from_millis(1500);
        let until = Instant::now() + LAST_LOOK;
        while !self.thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(50));
        }
        self.stop.request();
        match self.thread.join() {
            Ok(Err(error)) => messages::warn(&format!("the run's page: {error}")),
            Ok(Ok(_)) => {}
            Err(_) => messages::warn("the run's page was taken down by a mistake in this program"),
        }
    }
}
