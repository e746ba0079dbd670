//! `cargo xtask docs`: the pages of the book that say what the program says itself, and whether they are current.

mod asked;
mod catalogs_page;
mod command_pages;
mod documentation;
mod gallery_page;
mod help;
mod in_book;
mod mixed_picture;
mod operators_page;
mod recipe_page;
mod schema_text;

use std::fs;
use std::path::PathBuf;

use asked::Asked;

use crate::command::{built, cargo, root, run};

const SUMMARY: &str = "docs/SUMMARY.md";

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
        let cannot = |path: &PathBuf, error: std::io::Error| format!("{} cannot be written: {error}", path.display());
        for (path, text) in &pages {
            let path = root().join(path);
            path.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| cannot(&path, error))?;
            fs::write(&path, text).map_err(|error| cannot(&path, error))?;
        }
        return left_over(&pages)?
            .iter()
            .map(|name| root().join(name))
            .try_for_each(|path| fs::remove_file(&path).map_err(|error| cannot(&path, error)));
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

fn current(pages: &[(String, String)]) -> Result<(), String> {
    let is_old = |(path, text): &&(String, String)| fs::read_to_string(root().join(path)).ok().as_ref() != Some(text);
    let mut old: Vec<String> = pages.iter().filter(is_old).map(|(path, _)| path.clone()).collect();
    old.extend(left_over(pages)?);
    if old.is_empty() {
        Ok(())
    } else {
        Err(format!("out of date: {}; `cargo xtask docs` writes them", old.join(", ")))
    }
}

/// Pages of commands that there are no more.
fn left_over(pages: &[(String, String)]) -> Result<Vec<String>, String> {
    let Ok(files) = fs::read_dir(root().join(command_pages::FOLDER)) else { return Ok(Vec::new()) };
    let names = files.map(|file| Ok(format!("{}/{}", command_pages::FOLDER, file?.file_name().to_string_lossy())));
    let names: Result<Vec<String>, std::io::Error> = names.collect();
    let mut names = names.map_err(|error| format!("{}: {error}", command_pages::FOLDER))?;
    names.retain(|name| pages.iter().all(|(path, _)| path != name));
    names.sort();
    Ok(names)
}

fn pages(asked: &Asked) -> Result<Vec<(String, String)>, String> {
    let schema = asked.json(&["schema"])?;
    let mut pages = vec![
        ("docs/recipe.md".to_owned(), recipe_page::page(&schema)?),
        ("docs/catalogs.md".to_owned(), catalogs_page::page(&schema, asked)?),
        ("docs/gallery.md".to_owned(), gallery_page::page(asked)?),
        ("docs/operators.md".to_owned(), operators_page::page(asked)?),
    ];
    let of_commands = command_pages::pages(asked)?;
    let old = fs::read_to_string(root().join(SUMMARY)).map_err(|error| format!("{SUMMARY}: {error}"))?;
    pages.push((SUMMARY.to_owned(), command_pages::summary(&old, &of_commands)?));
    pages.extend(of_commands);
    Ok(pages)
}
