//! `docs/commands.md` and a page for each command below it, from what `--help` says and the pages that show commands.

use super::asked::Asked;
use super::help::{Entry, Help};
use super::in_book::{InBook, Shown};
use super::schema_text::{anchor, escaped};

const OVERVIEW: &str = "docs/commands.md";
/// Of the pages.
pub(super) const FOLDER: &str = "docs/commands";

const HEAD: &str = "\
# Commands

<!-- Written by `cargo xtask docs` from `millstream COMMAND --help`. -->

Each has a page: what it does, its options, what it writes, how it ends, examples, and where the book shows it. A terminal has the same by `millstream COMMAND --help`, and by the
manual pages that [`millstream man-pages`](commands/man-pages.md) writes.
";

const HEAD_OF_PAGE: &str = "\
<!-- Written by `cargo xtask docs` from `millstream COMMAND --help`, cli/src/command_notes.rs and the pages of the book. -->
";

/// The overview, then the pages, each with its path.
///
/// # Errors
/// The program does not say its help, or no page that people write names a command.
pub(super) fn pages(asked: &Asked) -> Result<Vec<(String, String)>, String> {
    let whole = help(asked, &[])?;
    let common: Vec<Entry> = whole.options();
    let book = InBook::read()?;
    let (mut rows, mut pages) = (String::new(), Vec::new());
    for Entry { name, .. } in whole.commands() {
        let own = help(asked, &[&name])?;
        rows += &row(&name, &format!("commands/{name}.md"), &own);
        let mut page = format!("# `{name}`\n\n{HEAD_OF_PAGE}");
        let inner = own.commands();
        if inner.is_empty() {
            page += &section(&name, &own, &common, &book, "##")?;
        } else {
            page += &about(&own);
            page += "\n| command | |\n|---|---|\n";
            let mut sections = String::new();
            for Entry { name: inner, .. } in inner {
                let called = format!("{name} {inner}");
                let own = help(asked, &[&name, &inner])?;
                rows += &row(&called, &format!("commands/{name}.md#{}", anchor(&called)), &own);
                page += &row(&called, &format!("#{}", anchor(&called)), &own);
                sections += &format!("\n## `{called}`\n{}", section(&called, &own, &common, &book, "###")?);
            }
            page += &sections;
        }
        pages.push((format!("{FOLDER}/{name}.md"), page));
    }
    let mut text = format!("{HEAD}\n| command | |\n|---|---|\n{rows}\n## Options of all commands\n");
    text += &table("option", &common);
    text += &format!("\n## Exit codes\n{}", table("code", &whole.codes()));
    text += &format!("\n## Numbers\n\n{}\n", escaped(&whole.said_of("Numbers")));
    pages.insert(0, (OVERVIEW.to_owned(), text));
    Ok(pages)
}

/// The summary of the book with a line for each of these pages below that of the overview.
///
/// # Errors
/// It has no line for the overview.
pub(super) fn summary(old: &str, pages: &[(String, String)]) -> Result<String, String> {
    let overview = "- [Commands](commands.md)\n";
    let (before, rest) = old.split_once(overview).ok_or("docs/SUMMARY.md has no line `- [Commands](commands.md)`")?;
    let rest: String = rest.split_inclusive('\n').skip_while(|line| line.starts_with("  - ")).collect();
    let inner = pages.iter().filter_map(|(path, _)| path.strip_prefix("docs/commands/")?.strip_suffix(".md"));
    let lines: String = inner.map(|name| format!("  - [{name}](commands/{name}.md)\n")).collect();
    Ok(format!("{before}{overview}{lines}{rest}"))
}

fn help(asked: &Asked, command: &[&str]) -> Result<Help, String> {
    Ok(Help::read(&asked.text(&[command, &["--help"]].concat())?))
}

fn row(name: &str, link: &str, help: &Help) -> String {
    let summary = help.about.first().map_or("", String::as_str);
    format!("| [`{name}`]({link}) | {} |\n", cell(summary))
}

fn cell(text: &str) -> String {
    escaped(text).replace('|', "\\|")
}

fn about(help: &Help) -> String {
    let mut paragraphs = help.about.iter();
    let first = paragraphs.next().map_or(String::new(), |first| format!("\n{}.\n", escaped(first)));
    first + &paragraphs.map(|paragraph| format!("\n{}\n", escaped(paragraph))).collect::<String>()
}

/// A command by itself, below its heading.
fn section(name: &str, help: &Help, common: &[Entry], book: &InBook, level: &str) -> Result<String, String> {
    let mut text = about(help);
    text += &format!("\n{level} Usage\n\n```text\n{}\n```\n", help.usage);
    text += &table("argument", &help.arguments());
    let is_own = |option: &Entry| common.iter().all(|other| other.key() != option.key());
    let own: Vec<Entry> = help.options().into_iter().filter(is_own).collect();
    text += &table("option", &own);
    let more = if own.is_empty() { "Its options are those" } else { "Beside these there are those" };
    text += &format!("\n{more} [of all commands](../commands.md#options-of-all-commands).\n");
    text += &format!("\n{level} What it writes\n\n{}\n", escaped(&help.said_of("Writes")));
    text += &format!("\n{level} Exit codes\n{}", table("code", &help.codes()));
    let examples: String = help.examples().iter().map(example).collect();
    let shown = book.shown(name);
    if !examples.is_empty() || shown.is_some() {
        text += &format!("\n{level} Examples\n");
    }
    if !examples.is_empty() {
        text += &format!("\n```console\n{examples}```\n");
    }
    if let Some(Shown { link, command }) = shown {
        text +=
            &format!("\nAs it is run on the page {link}:\n\n```console\n$ {}\n{}```\n", command.line, command.printed);
    }
    let links = book.links(name);
    if links.is_empty() {
        return Err(format!("no page below docs/ that people write names `millstream {name}`"));
    }
    text += &format!("\n{level} In the book\n\n{}\n", links.join(", "));
    Ok(text)
}

fn example(example: &Entry) -> String {
    let comment = if example.means.is_empty() { String::new() } else { format!("   # {}", example.means) };
    format!("$ {}{comment}\n", example.name)
}

/// What is named and what it means, with its default; nothing of nothing.
fn table(heading: &str, entries: &[Entry]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let mut text = format!("\n| {heading} | |\n|---|---|\n");
    for entry in entries {
        let name: Vec<String> = entry.name.split(", ").map(|name| format!("`{}`", name.replace('|', "\\|"))).collect();
        let (means, default) = entry.with_default();
        let default =
            default.map_or(String::new(), |default| match default.contains(' ') && !default.starts_with('"') {
                true => format!(". Default: {}", cell(default)),
                false => format!(". Default: `{default}`"),
            });
        text += &format!("| {} | {}{default} |\n", name.join(", "), cell(means));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_lists_the_pages_of_commands_and_no_others() {
        let old =
            "- [Gallery](gallery.md)\n- [Commands](commands.md)\n  - [gone](commands/gone.md)\n- [Next](next.md)\n";
        let pages = ["docs/commands.md", "docs/commands/a.md", "docs/commands/b.md"]
            .map(|path| (path.to_owned(), String::new()));
        let wanted = "- [Gallery](gallery.md)\n- [Commands](commands.md)\n  - [a](commands/a.md)\n  - [b](commands/b.md)\n- [Next](next.md)\n";
        assert_eq!(summary(old, &pages).unwrap(), wanted);
        assert_eq!(summary(wanted, &pages).unwrap(), wanted);
        assert!(summary("- [Next](next.md)\n", &pages).is_err());
    }

    #[test]
    fn tables_have_defaults_and_no_broken_cells() {
        let entry = |name: &str, means: &str| Entry { name: name.into(), means: means.into() };
        let text = table("option", &[entry("-o, --output <A|B>", "One <x> | two [default: 5]")]);
        assert_eq!(
            text,
            "\n| option | |\n|---|---|\n| `-o`, `--output <A\\|B>` | One &lt;x> \\| two. Default: `5` |\n"
        );
    }
}
