//! `cargo xtask book`: the commands on the pages of the book, carried out in the order of the summary, as a reader would.
//!
//! A line `<!-- not run: REASON -->` right above commands leaves them out, `<!-- file: NAME -->` above another block writes it into a
//! file, and `<!-- page not run: REASON -->` leaves out a page. One with `<!-- page on request: REASON -->` is carried out where it is named alone;
//! `<!-- python of: VARIABLE -->` above a block takes another Python. Everything else that stands behind a `$` is run, and has to succeed; where a
//! page shows what a command prints, it has to print that (`printed.rs` says what may differ), unless `<!-- not compared: REASON -->` stands above it.

mod networks;
pub(crate) mod page;
mod printed;
mod stand_ins;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use page::{Block, Command, Page};

use crate::command::{Stream, built, cargo, program, root, run, watch};
use crate::runtime;
use crate::stages::Stages;

/// What is written by `cargo xtask docs` from what the program says.
const GENERATED: [&str; 5] =
    ["docs/catalogs.md", "docs/commands.md", "docs/gallery.md", "docs/operators.md", "docs/recipe.md"];
/// The folder of more of these.
const GENERATED_BELOW: &str = "docs/commands/";
/// Packages that Python code on the pages imports before a page installs any.
const PACKAGES: [&str; 2] = ["pillow", "pyarrow"];

/// Where the pages are carried out, and with what.
struct Reader {
    folder: PathBuf,
    /// In front of all others of the `PATH`.
    tools: PathBuf,
    /// A folder with `examples` in it.
    builds: PathBuf,
}

/// Builds the program and its examples for release and runs the book. `--program FILE` and `--builds FOLDER` take what is built
/// already, `--venv FOLDER` a Python environment with the packages; names of pages run these alone, `--list` only says what is left out.
pub(crate) fn book(arguments: &[&str]) -> Result<(), String> {
    let Asked { program, builds, venv, wanted, is_list } = Asked::read(arguments)?;
    let pages = pages(&wanted)?;
    if is_list {
        let on_request = pages.iter().filter_map(|page| Some((page.name.as_str(), page.on_request.as_deref()?)));
        on_request.for_each(|(page, reason)| println!("{page}: on request, `cargo xtask book {page}`: {reason}"));
        pages.iter().flat_map(Page::left_out).for_each(|(place, reason)| println!("{place}: {reason}"));
        let not_compared = pages.iter().flat_map(|page| &page.not_compared);
        not_compared.for_each(|(place, reason)| println!("{place}: run, and what it prints is not compared: {reason}"));
        return Ok(());
    }
    let pages: Vec<Page> =
        pages.into_iter().filter(|page| page.on_request.is_none() || wanted.contains(page.name.as_str())).collect();
    let mut stages = Stages::new(pages.len() + 1);
    let made = stages.run("what the pages need", || Ok((Reader::new(program, builds, venv)?, String::new())));
    let Some(reader) = made else { return stages.sum_up() };
    for page in &pages {
        stages.run(&page.name, || Ok(((), reader.read(page)?)));
    }
    stages.sum_up()
}

/// What the command line asks for.
#[derive(Default)]
struct Asked<'a> {
    program: Option<PathBuf>,
    builds: Option<PathBuf>,
    venv: Option<PathBuf>,
    /// Names of pages; all where there is none.
    wanted: BTreeSet<&'a str>,
    is_list: bool,
}

impl<'a> Asked<'a> {
    /// Paths are made absolute, since commands of the pages are run in another folder.
    fn read(arguments: &[&'a str]) -> Result<Self, String> {
        let mut asked = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || match rest.next() {
                Some(path) => std::path::absolute(path).map_err(|error| format!("{argument} {path}: {error}")),
                None => Err(format!("{argument} wants a path")),
            };
            match *argument {
                "--program" => asked.program = Some(value()?),
                "--builds" => asked.builds = Some(value()?),
                "--venv" => asked.venv = Some(value()?),
                "--list" => asked.is_list = true,
                page if page.ends_with(".md") => drop(asked.wanted.insert(page)),
                _ => {
                    return Err(
                        "usage: cargo xtask book [--list] [--program FILE] [--builds FOLDER] [--venv FOLDER] [PAGE.md …]"
                            .into(),
                    );
                }
            }
        }
        Ok(asked)
    }
}

/// Whether `cargo xtask docs` writes a page, which is called by its path from the root.
pub(crate) fn is_generated(page: &str) -> bool {
    GENERATED.contains(&page) || page.starts_with(GENERATED_BELOW)
}

/// The pages in the order of the summary, and in front of them the one that everybody sees first.
fn pages(wanted: &BTreeSet<&str>) -> Result<Vec<Page>, String> {
    let read = |name: &str| fs::read_to_string(root().join(name)).map_err(|error| format!("{name}: {error}"));
    let summary = read("docs/SUMMARY.md")?;
    let links = summary.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut names: Vec<String> = links.map(|link| format!("docs/{link}")).collect();
    names.push("README.md".into());
    names.retain(|name| !is_generated(name));
    if let Some(unknown) = wanted.iter().find(|wanted| !names.iter().any(|name| name == *wanted)) {
        return Err(format!("no page `{unknown}` with commands; there are {}", names.join(", ")));
    }
    names.retain(|name| wanted.is_empty() || wanted.contains(name.as_str()));
    names.iter().map(|name| Page::of(name, &read(name)?)).collect()
}

impl Reader {
    fn new(millstream: Option<PathBuf>, builds: Option<PathBuf>, venv: Option<PathBuf>) -> Result<Self, String> {
        if millstream.is_none() || builds.is_none() {
            run(&mut cargo(&["build", "--release", "--locked", "--workspace", "--bin", "millstream", "--examples"]))?;
        }
        let own = built("release", "millstream")?;
        let builds = builds.unwrap_or_else(|| own.parent().unwrap_or(Path::new(".")).to_owned());
        let millstream = millstream.unwrap_or(own);
        runtime::get(&millstream)?;
        let folder = crate::command::target()?.join("book-run");
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        let tools = folder.join(".tools");
        fs::create_dir_all(&tools).map_err(failed)?;
        fs::copy(&millstream, tools.join("millstream")).map_err(failed)?;
        let venv = match venv {
            Some(venv) => venv,
            None => {
                let venv = folder.join(".venv");
                run(program("python3", &["-m", "venv"]).arg(&venv))?;
                run(program(venv.join("bin/python"), &["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
                venv
            }
        };
        for tool in ["python", "python3", "pip"] {
            let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", venv.join("bin").join(tool).display());
            fs::write(tools.join(tool), script).map_err(failed)?;
        }
        run(program("chmod", &["+x"]).args(["python", "python3", "pip"].map(|tool| tools.join(tool))))?;
        run(program("cp", &["-R", "examples"]).arg(folder.join("examples")))?;
        let reader = Self { folder, tools, builds };
        reader.carry_out("cargo run --release --example digits_network -- .digits.onnx")?;
        stand_ins::make(&reader.folder, &reader.folder.join(".digits.onnx"))?;
        stand_ins::ARCHIVES.iter().try_for_each(|command| reader.carry_out(command))?;
        Ok(reader)
    }

    /// Carries out a page; what is to be said of it. What is printed otherwise than the page says is told at its end, all of it.
    fn read(&self, page: &Page) -> Result<String, String> {
        if page.on_request.is_some() {
            let file = self.folder.join("stand_ins.py");
            fs::write(&file, stand_ins::PYTHON).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        let (mut done, mut left, mut stale, mut code) = (0, Vec::new(), Vec::new(), String::new());
        for (place, block) in &page.blocks {
            let (block, python) = match block {
                Block::With { variable, block } => match std::env::var_os(variable) {
                    Some(python) => {
                        let python = std::path::absolute(python).map_err(|error| format!("{variable}: {error}"))?;
                        (&**block, Some(python))
                    }
                    None => {
                        left.push(format!("{variable} is not set"));
                        continue;
                    }
                },
                block => (block, None),
            };
            let carry_out = |line: &str| {
                self.carry_out_with(line, python.as_deref()).map_err(|problem| format!("{place}: {problem}"))
            };
            match block {
                Block::File { name, text } => {
                    let path = self.folder.join(name);
                    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| format!("{name}: {error}"))?;
                    fs::write(&path, text).map_err(|error| format!("{name}: {error}"))?;
                }
                Block::NotRun(_) | Block::With { .. } => left.push("with a reason".to_owned()),
                Block::Commands(commands) => {
                    self.make_room(commands)?;
                    for command in commands {
                        if command.printed.is_empty() || !page.is_compared(place) {
                            carry_out(&command.line)?;
                        } else {
                            let said = self.said(&command.line, python.as_deref());
                            let said = said.map_err(|problem| format!("{place}: {problem}"))?;
                            let first = command.line.lines().next().unwrap_or_default();
                            let difference = printed::difference(&command.printed, &said);
                            stale.extend(difference.map(|difference| format!("{place}: `{first}`: {difference}")));
                        }
                        done += 1;
                    }
                }
                Block::Python(part) => {
                    // what begins with no import goes on from the part before it
                    if part.starts_with("import ") || part.starts_with("from ") {
                        code =
                            if page.on_request.is_some() { "from stand_ins import *\n".into() } else { String::new() };
                    }
                    code += part;
                    let file = self.folder.join(".page.py");
                    fs::write(&file, &code).map_err(|error| format!("{place}: {error}"))?;
                    carry_out("python .page.py")?;
                    done += 1;
                }
            }
        }
        if !stale.is_empty() {
            return Err(stale.join("\n"));
        }
        left.sort();
        left.dedup();
        Ok(match left.is_empty() {
            true => format!("{done} run"),
            false => format!("{done} run; blocks that are not: {}", left.join(", ")),
        })
    }

    /// A page may make anew what an earlier one has made.
    fn make_room(&self, commands: &[Command]) -> Result<(), String> {
        for made in commands.iter().filter_map(|command| page::made_by(&command.line)) {
            let path = self.folder.join(&made);
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match gone {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(format!("{made}: {error}")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Carries out a line as a shell does.
    fn carry_out(&self, line: &str) -> Result<(), String> {
        self.carry_out_with(line, None)
    }

    /// As [`Self::carry_out`], with another Python.
    fn carry_out_with(&self, line: &str, python: Option<&Path>) -> Result<(), String> {
        run(&mut self.shell(&page::runnable(line, &self.builds), python)?)
    }

    /// As [`Self::carry_out_with`]; what it printed on both its outputs.
    fn said(&self, line: &str, python: Option<&Path>) -> Result<String, String> {
        let line = format!("exec 2>&1\n{}", page::runnable(line, &self.builds));
        let mut said = String::new();
        watch(&mut self.shell(&line, python)?, Stream::Output, |line| {
            said.push_str(line);
            said.push('\n');
        })?;
        Ok(said)
    }

    fn shell(&self, line: &str, python: Option<&Path>) -> Result<std::process::Command, String> {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let first = python.and_then(Path::parent).map(Path::to_owned).into_iter().chain([self.tools.clone()]);
        let path = std::env::join_paths(first.chain(std::env::split_paths(&old)));
        let path = path.map_err(|error| error.to_string())?;
        let mut shell = program("bash", &["-o", "pipefail", "-c", line]);
        shell.current_dir(&self.folder).env("PATH", path).env_remove("MILLSTREAM_CORPUS");
        Ok(shell)
    }
}

/// Whether every block of the book is run or says why it is not.
pub(crate) fn check() -> Result<(), String> {
    pages(&BTreeSet::new()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_named_from_here_are_found_from_the_folder_that_pages_are_run_in() {
        let here = std::env::current_dir().unwrap();
        for option in ["--program", "--builds", "--venv"] {
            let asked = Asked::read(&[option, "target/python/torch", "README.md"]).unwrap();
            let found = [asked.program, asked.builds, asked.venv].into_iter().flatten().collect::<Vec<_>>();
            assert_eq!(found, [here.join("target/python/torch")], "{option}");
            assert_eq!(asked.wanted, BTreeSet::from(["README.md"]));
        }
        assert!(Asked::read(&["--venv"]).is_err_and(|message| message == "--venv wants a path"));
    }

    #[test]
    fn a_page_that_there_is_not_is_told_and_not_passed_over() {
        let message = pages(&BTreeSet::from(["README.md", "docs/typo.md"])).unwrap_err();
        assert!(message.starts_with("no page `docs/typo.md`") && message.contains("docs/search.md"), "{message}");
        let one = pages(&BTreeSet::from(["docs/search.md"])).unwrap();
        assert_eq!(one.iter().map(|page| page.name.as_str()).collect::<Vec<_>>(), ["docs/search.md"]);
    }
}
