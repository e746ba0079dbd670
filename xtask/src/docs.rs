//! `cargo xtask docs`: the pages of the book that say what the program says itself, and whether they are current.

mod asked;
mod catalogs_page;
mod commands_page;
mod documentation;
mod gallery_page;
mod operators_page;
mod recipe_page;
mod schema_text;

use std::fs;
use std::path::PathBuf;

use asked::Asked;

use crate::command::{built, cargo, root, run};

/// Writes the pages from what the debug build of the program prints, or with `--check` says which of them are out of date.
/// `--program FILE` takes another build, and builds none.
pub(crate) fn docs(arguments: &[&str]) -> Result<(), String> {
    let (is_check, program) = match *arguments {
        [] => (false, None),
        ["--check"] => (true, None),
        ["--program", file] => (false, Some(PathBuf::from(file))),
        ["--check", "--program", file] | ["--program", file, "--check"] => (true, Some(PathBuf::from(file))),
        _ => return Err("usage: cargo xtask docs [--check] [--program FILE]".into()),
    };
    let program = match program {
        Some(file) => file,
        None => {
            run(&mut cargo(&["build", "--workspace", "--bin", "millstream", "--locked"]))?;
            built("debug", "millstream")?
        }
    };
    let asked = Asked::new(program);
    let pages = pages(&asked)?;
    if !is_check {
        gallery_page::pictures(&asked)?;
        for (path, text) in &pages {
            let path = root().join(path);
            fs::write(&path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        }
        return Ok(());
    }
    current(&pages)?;
    gallery_page::check(&asked)
}

/// Whether the pages are those that a program of this build would make.
pub(crate) fn check(program: PathBuf) -> Result<(), String> {
    let asked = Asked::new(program);
    current(&pages(&asked)?)?;
    gallery_page::check(&asked)
}

fn current(pages: &[(&str, String)]) -> Result<(), String> {
    let is_old = |(path, text): &&(&str, String)| fs::read_to_string(root().join(path)).ok().as_ref() != Some(text);
    let old: Vec<&str> = pages.iter().filter(is_old).map(|(path, _)| *path).collect();
    if old.is_empty() {
        Ok(())
    } else {
        Err(format!("out of date: {}; `cargo xtask docs` writes them", old.join(", ")))
    }
}

fn pages(asked: &Asked) -> Result<Vec<(&'static str, String)>, String> {
    let schema = asked.json(&["schema"])?;
    Ok(vec![
        ("docs/recipe.md", recipe_page::page(&schema)?),
        ("docs/catalogs.md", catalogs_page::page(&schema, asked)?),
        ("docs/commands.md", commands_page::page(asked)?),
        ("docs/gallery.md", gallery_page::page(asked)?),
        ("docs/operators.md", operators_page::page(asked)?),
    ])
}
