//! Where the pages that people write show a command, and what it printed there.

use std::fs;

use crate::book::is_generated;
use crate::book::page::{Block, Command, Page};
use crate::command::root;

const SUMMARY: &str = "docs/SUMMARY.md";

/// The pages that people write, in the order of the summary.
pub(super) struct InBook {
    pages: Vec<WrittenPage>,
}

struct WrittenPage {
    title: String,
    /// From `docs/`.
    file: String,
    text: String,
    page: Page,
}

/// A command as a page has it, and `cargo xtask book` runs it.
pub(super) struct Shown<'a> {
    /// The link to the page.
    pub(super) link: String,
    pub(super) command: &'a Command,
}

impl InBook {
    /// # Errors
    /// A page cannot be read.
    pub(super) fn read() -> Result<Self, String> {
        let read = |name: &str| fs::read_to_string(root().join(name)).map_err(|error| format!("{name}: {error}"));
        let summary = read(SUMMARY)?;
        let links =
            summary.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix('[')?.split_once("]("));
        let mut pages = Vec::new();
        for (title, file) in links {
            let file = file.trim_end_matches(')').to_owned();
            let name = format!("docs/{file}");
            if is_generated(&name) {
                continue;
            }
            let text = read(&name)?;
            let page = Page::of(&name, &text)?;
            pages.push(WrittenPage { title: title.to_owned(), file, text, page });
        }
        Ok(Self { pages })
    }

    /// Links to the pages that name a command, from a folder below `docs/`.
    pub(super) fn links(&self, command: &str) -> Vec<String> {
        let mut wanted = vec![format!("millstream {command}")];
        if command.contains([' ', '-']) {
            // no other word of a recipe
            wanted.push(format!("`{command}"));
        }
        let is_named = |text: &str, wanted: &str| {
            let mut behind = text.match_indices(wanted).map(|(at, _)| &text[at + wanted.len()..]);
            behind.any(|rest| !rest.starts_with(|sign: char| sign.is_alphanumeric() || sign == '-'))
        };
        let names_it = |page: &&WrittenPage| wanted.iter().any(|wanted| is_named(&page.text, wanted));
        self.pages.iter().filter(names_it).map(WrittenPage::link).collect()
    }

    /// The first place where it is run, one with what it prints before others.
    pub(super) fn shown(&self, command: &str) -> Option<Shown<'_>> {
        let wanted = ["millstream"].into_iter().chain(command.split(' '));
        let is_it = |own: &Command| own.line.split_whitespace().take(1 + command.split(' ').count()).eq(wanted.clone());
        let all = self.pages.iter().flat_map(|page| {
            let blocks = page.page.blocks.iter().filter_map(|(_, block)| match block {
                Block::Commands(commands) => Some(commands),
                _ => None,
            });
            blocks.flatten().map(move |command| (page, command))
        });
        let found: Vec<_> = all.filter(|(_, command)| is_it(command)).collect();
        let best = found.iter().find(|(_, command)| !command.printed.is_empty()).or(found.first());
        best.map(|(page, command)| Shown { link: page.link(), command })
    }
}

impl WrittenPage {
    fn link(&self) -> String {
        format!("[{}](../{})", self.title, self.file)
    }
}
