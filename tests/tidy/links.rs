//! Links of the documents lead somewhere, and the book's summary lists its pages.

use super::Faults;
use super::tree::Tree;

const SUMMARY: &str = "docs/SUMMARY.md";

/// Every link within the repository, and every anchor in it, is there; each page below `docs/` is in the summary.
pub(super) fn links(tree: &Tree) -> Faults {
    let mut faults = Faults::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (line, target) in targets(text) {
            if let Some(fault) = fault(tree, path, target) {
                faults.push(format!("{path}:{line}: `{target}` {fault}"));
            }
        }
        let page = path.strip_prefix("docs/").filter(|_| path != SUMMARY);
        let summary = tree.files.get(SUMMARY).map_or("", String::as_str);
        if let Some(page) = page.filter(|page| targets(summary).all(|(_, target)| target != *page)) {
            faults.push(format!("{path}: add it to {SUMMARY}: `[…]({page})`"));
        }
    }
    faults
}

/// Why a link leads nowhere; those to the web are not followed.
fn fault(tree: &Tree, from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { from.to_owned() } else { resolved(from, file) };
    if !tree.has(&path) {
        return Some(format!("leads nowhere: there is no {path}"));
    }
    let text = tree.files.get(&path).filter(|_| path.ends_with(".md"))?;
    let anchor = anchor.filter(|anchor| !anchors(text).iter().any(|other| other == anchor))?;
    Some(format!("leads nowhere: no heading of {path} has the anchor `{anchor}`"))
}

/// The path from the root of what a file calls by a relative one.
fn resolved(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Lines of prose with their numbers, without blocks of code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((number + 1, line))
    })
}

/// What the links of a text lead to: `target` of `[…](target)`, outside of code.
fn targets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(number, line)| {
        let is_code = |at: usize| line[..at].matches('`').count() % 2 == 1;
        let found = line.match_indices("](").filter(move |(at, _)| !is_code(*at));
        found.filter_map(move |(at, _)| Some((number, line[at + 2..].split(')').next()?.split(' ').next()?)))
    })
}

/// The anchors of a text's headings, as the pages of a repository and mdBook make them.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().chars().filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_'));
        let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let before = anchors.iter().filter(|other| **other == anchor).count();
        anchors.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
    }
    anchors
}
