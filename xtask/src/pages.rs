//! `cargo xtask pages`: the book as web pages, with what it links to in the repository as pages of their own.
//!
//! The pages of `docs/` lead to recipes, programs and sources as they lie in the repository. mdBook knows only what is below its folder, so the book
//! is put together in `target/book-source`, where each of those files is a page, and every link is followed once it is built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{program, root, run, target};

/// Part of the summary and folder of what does not lie in `docs/`.
const BESIDE: &str = "repository";
const SUMMARY: &str = "docs/SUMMARY.md";

/// Puts the book together, builds it by mdBook (`--mdbook FILE`, or the one on the `PATH`) into `target/book`, and follows its links.
pub(crate) fn pages(arguments: &[&str]) -> Result<(), String> {
    let mdbook = match *arguments {
        [] => "mdbook",
        ["--mdbook", file] => file,
        _ => return Err("usage: cargo xtask pages [--mdbook FILE]".into()),
    };
    let (source, built) = (target()?.join("book-source"), target()?.join("book"));
    for folder in [&source, &built] {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(folder, error)),
            _ => {}
        }
    }
    let files = reached(SUMMARY)?;
    for file in &files {
        let path = source.join(place(file));
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| at(&path, error))?;
        if is_copied(file) {
            fs::copy(root().join(file), &path).map_err(|error| at(&path, error))?;
        } else {
            fs::write(&path, page(file, &text(file)?, &files)).map_err(|error| at(&path, error))?;
        }
    }
    fs::copy(root().join("docs/book.toml"), source.join("book.toml")).map_err(|error| at(&source, error))?;
    run(program(mdbook, &["build"]).arg(&source).arg("--dest-dir").arg(&built))
        .map_err(|problem| format!("{problem}; mdBook is installed by `cargo install mdbook`"))?;
    let links = follow(&built)?;
    println!("{}: {} files, {links} links lead somewhere", built.join("index.html").display(), files.len());
    Ok(())
}

fn at(path: &Path, error: std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn text(file: &str) -> Result<String, String> {
    fs::read_to_string(root().join(file)).map_err(|error| format!("{file}: {error}"))
}

/// All files that can be come to from one by links, itself among them, as paths from the root of the repository.
fn reached(first: &str) -> Result<BTreeSet<String>, String> {
    let (mut found, mut next) = (BTreeSet::new(), vec![first.to_owned()]);
    while let Some(file) = next.pop() {
        if !found.insert(file.clone()) || !file.ends_with(".md") {
            continue;
        }
        for link in links(&text(&file)?).filter_map(|(_, target)| inside(&file, target)) {
            if !root().join(&link.0).is_file() {
                return Err(format!("{file}: `{}` is no file; the book can only link to files", link.0));
            }
            next.push(link.0);
        }
    }
    Ok(found)
}

/// Where a file lies in the book's source.
fn place(file: &str) -> String {
    let beside = match file.strip_prefix("docs/") {
        Some(page) => page.to_owned(),
        // what is called README becomes the index of its folder, which links do not follow
        None => format!("{BESIDE}/{}", file.replace("README.md", "about.md")),
    };
    if is_copied(file) || file.ends_with(".md") { beside } else { format!("{beside}.md") }
}

fn is_copied(file: &str) -> bool {
    ["png", "svg", "jpg"].iter().any(|end| file.ends_with(&format!(".{end}")))
}

/// What the book has for a file: a page as it is, with links to where things lie in the book, or a block of code.
fn page(file: &str, text: &str, files: &BTreeSet<String>) -> String {
    if !file.ends_with(".md") {
        let fence = "`".repeat(text.split(|sign| sign != '`').map(str::len).max().unwrap_or(0).max(2) + 1);
        // by `rust` mdBook would hide lines and offer to run what is left
        let language = file.rsplit('.').next().unwrap_or_default();
        return format!("# {file}\n\n{fence}{language}\n{}\n{fence}\n", text.trim_end());
    }
    let own = place(file);
    let (mut made, mut done) = (String::new(), 0);
    for (start, target) in links(text) {
        if let Some((path, anchor)) = inside(file, target) {
            made += &text[done..start];
            made += &relative(&own, &place(&path));
            made += anchor;
            done = start + target.len();
        }
    }
    made += &text[done..];
    if file == SUMMARY {
        made += &beside(files);
    }
    made
}

/// The part of the summary with what lies beside `docs/`.
fn beside(files: &BTreeSet<String>) -> String {
    let beside = files.iter().filter(|file| !file.starts_with("docs/") || !is_copied(file) && !file.ends_with(".md"));
    let (pages, sources): (Vec<&String>, Vec<&String>) = beside.partition(|file| file.ends_with(".md"));
    let mut part = String::from("\n# In the repository\n\n");
    pages.iter().filter(|file| !is_copied(file)).for_each(|file| part += &format!("- [{file}]({})\n", place(file)));
    part += "- [Files that pages name]()\n";
    sources.iter().filter(|file| !is_copied(file)).for_each(|file| part += &format!("  - [{file}]({})\n", place(file)));
    part
}

/// Targets of `[…](target)` outside of code, with where they stand in the text.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut start, mut is_code) = (0, false);
    let lines = text.split_inclusive('\n').filter_map(move |line| {
        let at = start;
        start += line.len();
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((at, line))
    });
    lines.flat_map(|(start, line)| {
        let found = line.match_indices("](").filter(|(at, _)| line[..*at].matches('`').count() % 2 == 0);
        found.filter_map(move |(at, _)| Some((start + at + 2, line[at + 2..].split([')', ' ']).next()?)))
    })
}

/// The path from the root and the anchor of what a link leads to, where that is another file of the repository.
fn inside<'a>(from: &str, target: &'a str) -> Option<(String, &'a str)> {
    let (file, anchor) = target.split_at(target.find('#').unwrap_or(target.len()));
    if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
        return None;
    }
    Some((joined(from, file), anchor))
}

/// What a file calls by a relative path, from the root.
fn joined(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// How one file calls another.
fn relative(from: &str, to: &str) -> String {
    let (from, to): (Vec<&str>, Vec<&str>) = (from.split('/').collect(), to.split('/').collect());
    let shared = from.iter().zip(&to).take(from.len() - 1).take_while(|(from, to)| from == to).count();
    "../".repeat(from.len() - 1 - shared) + &to[shared..].join("/")
}

/// Follows the links between built pages and their anchors; how many there are.
fn follow(built: &Path) -> Result<usize, String> {
    let mut pages = BTreeMap::new();
    read_pages(built, built, &mut pages)?;
    let (mut count, mut faults) = (0, Vec::new());
    for (page, text) in
        pages.iter().filter(|(page, _)| !["404.html", "print.html", "toc.html"].contains(&page.as_str()))
    {
        for target in attributes(text, "href").chain(attributes(text, "src")) {
            let target = target.replace("%20", " ");
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            if file.contains(':') {
                continue;
            }
            count += 1;
            let path = if file.is_empty() { page.clone() } else { joined(page, file) };
            let is_there = match pages.get(&path) {
                Some(text) => anchor.is_empty() || attributes(text, "id").any(|id| id == anchor),
                None => built.join(&path).is_file(),
            };
            if !is_there {
                faults.push(format!("{page}: `{target}`"));
            }
        }
    }
    if faults.is_empty() { Ok(count) } else { Err(format!("links that lead nowhere:\n{}", faults.join("\n"))) }
}

fn read_pages(folder: &Path, built: &Path, pages: &mut BTreeMap<String, String>) -> Result<(), String> {
    let entries =
        fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| at(folder, error))?;
    for path in entries.into_iter().map(|entry| entry.path()) {
        if path.is_dir() {
            read_pages(&path, built, pages)?;
        } else if path.extension().is_some_and(|end| end == "html") {
            let name: PathBuf = path.strip_prefix(built).unwrap_or(&path).into();
            let name = name.to_string_lossy().replace('\\', "/");
            pages.insert(name, fs::read_to_string(&path).map_err(|error| at(&path, error))?);
        }
    }
    Ok(())
}

/// Values of an attribute in a page.
fn attributes<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let opening = format!(" {name}=\"");
    let length = opening.len();
    let starts: Vec<usize> = text.match_indices(&opening).map(|(at, _)| at + length).collect();
    starts.into_iter().filter_map(|start| text[start..].split('"').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_where_files_lie_in_the_book() {
        let files = BTreeSet::new();
        let text = "[a](../../examples/x.yaml) and [b](../losses.md#one), [c](#here) `[d](e.md)`\n```\n[f](g.md)\n```\n[h](https://x.org)";
        let made = page("docs/tasks/images.md", text, &files);
        let changed = text.replace("../../examples/x.yaml", "../repository/examples/x.yaml.md");
        assert_eq!(made, changed);
        assert!(page("ARCHITECTURE.md", "[a](docs/how-it-works.md#b)", &files).contains("](../how-it-works.md#b)"));
        assert_eq!(relative("repository/a/b.md", "repository/a/about.md"), "about.md");
    }

    #[test]
    fn a_file_with_fences_in_it_is_one_block_of_code() {
        let made = page("a.rs", "//! ```\n//! ````x\n", &BTreeSet::new());
        assert_eq!(made, "# a.rs\n\n`````rs\n//! ```\n//! ````x\n`````\n");
    }

    #[test]
    fn every_link_of_the_book_is_to_a_file() {
        let files = reached(SUMMARY).unwrap();
        assert!(files.contains("examples/own_loop.rs") && files.contains("docs/losses.md"), "{files:?}");
    }

    #[test]
    fn a_link_of_a_built_page_that_leads_nowhere_is_told() {
        let folder = target().unwrap().join("tmp").join(format!("pages-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.html"), "<h1 id=\"one\">x</h1><a href=\"b.html#two\">y</a>").unwrap();
        fs::write(folder.join("b.html"), "<a class=\"z\" href=\"a.html#one\">y</a><h2 id=\"two\">x</h2>").unwrap();
        assert_eq!(follow(&folder), Ok(2));
        fs::write(folder.join("b.html"), "<a href=\"a.html#three\">y</a>").unwrap();
        let message = follow(&folder).unwrap_err();
        fs::remove_dir_all(&folder).unwrap();
        assert!(message.contains("a.html: `b.html#two`") && message.contains("b.html: `a.html#three`"), "{message}");
    }
}
