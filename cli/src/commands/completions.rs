use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;
use millstream::schemas::shown_path;

use crate::arguments::{Arguments, Completions, ManPages};
use crate::command_notes::noted;
use crate::{Outcome, output, setting_completions};

pub(crate) fn completions(arguments: &Completions) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "millstream", &mut script);
    let script = String::from_utf8(script).context("the script is no UTF-8")?;
    output::print(&setting_completions::added_to(script, arguments.shell))?;
    Ok(Outcome::Done)
}

pub(crate) fn man_pages(arguments: &ManPages) -> anyhow::Result<Outcome> {
    let folder: &PathBuf = &arguments.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", shown_path(folder)))?;
    clap_mangen::generate_to(noted(Arguments::command()), folder)
        .with_context(|| format!("cannot write into {}", shown_path(folder)))?;
    output::print(&format!("written: {}", shown_path(folder)))?;
    Ok(Outcome::Done)
}
