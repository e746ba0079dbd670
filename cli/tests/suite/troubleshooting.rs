//! The messages that docs/troubleshooting.md quotes are those of the program.

use std::fs;
use std::path::{Path, PathBuf};

/// Fragments of fewer characters are found anywhere, and say nothing.
const LEAST: usize = 12;
/// The crates whose literals are looked through.
const CRATES: [&str; 10] = [
    "src",
    "cli/src",
    "compiler/src",
    "pipeline/src",
    "recipes/src",
    "runtime/src",
    "schemas/src",
    "search/src",
    "training/src",
    "transforms/src",
];
/// Messages of others: ONNX Runtime's own.
const OTHERS: [&str; 1] = ["indices element out of data bounds, idx=9988"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Messages of a page, each with its line: what stands between backticks in the first cell of a row.
fn messages(page: &str) -> Vec<(usize, &str)> {
    let rows = page.lines().enumerate().filter(|(_, line)| line.starts_with("| "));
    rows.flat_map(|(at, line)| {
        let cell = line.split(" | ").next().unwrap_or_default();
        cell.split('`').skip(1).step_by(2).map(move |message| (at + 1, message))
    })
    .collect()
}

/// What stands between a message's placeholders: `…`, numbers, and names in quotation marks.
fn fragments(message: &str) -> Vec<String> {
    let letters: Vec<char> = message.chars().collect();
    let is_word = |at: usize| letters.get(at).is_some_and(|letter| letter.is_alphanumeric());
    let (mut found, mut at) = (vec![String::new()], 0);
    while at < letters.len() {
        let end = match letters[at] {
            '\'' if at == 0 || !is_word(at - 1) => {
                (at + 1..letters.len()).find(|end| letters[*end] == '\'' && !is_word(end + 1))
            }
            '…' => Some(at),
            digit if digit.is_ascii_digit() => Some(at),
            _ => None,
        };
        match (end, found.last_mut()) {
            (Some(end), _) => {
                found.push(String::new());
                at = end;
            }
            (None, Some(last)) => last.push(letters[at]),
            (None, None) => {}
        }
        at += 1;
    }
    found
}

/// The source without the breaks within its literals, and with their quotation marks as they are printed.
fn as_printed(source: &str) -> String {
    let mut parts = source.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| whole + part.trim_start()).replace("\\\"", "\"")
}

/// Whether a fragment is in the sources as a whole, or each part of it where another message may begin.
fn is_there(fragment: &str, sources: &str) -> bool {
    let fragment = fragment.trim_matches(|letter: char| " ,;:()".contains(letter));
    fragment.chars().count() < LEAST
        || sources.contains(fragment)
        || [": ", ", ", "; ", "? ", " ("].iter().any(|joint| {
            fragment.match_indices(joint).any(|(at, joint)| {
                is_there(&fragment[..at], sources) && is_there(&fragment[at + joint.len()..], sources)
            })
        })
}

fn read_below(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_below(&path, text);
        } else if path.extension().is_some_and(|end| end == "rs") {
            text.push_str(&as_printed(&fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn messages_that_troubleshooting_quotes_are_said_by_the_program() {
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let mut sources = String::new();
    for name in CRATES {
        read_below(&root().join(name), &mut sources);
    }
    let messages = messages(&page);
    assert!(messages.len() > 50, "{}", messages.len());
    let mut stale = Vec::new();
    for (line, message) in messages.into_iter().filter(|(_, message)| !OTHERS.contains(message)) {
        let lost = fragments(message).into_iter().filter(|fragment| !is_there(fragment, &sources));
        stale.extend(
            lost.map(|fragment| format!("docs/troubleshooting.md:{line}: `{message}`: nothing says `{fragment}`")),
        );
    }
    assert!(stale.is_empty(), "{}\nwrite … for what differs from one message to another", stale.join("\n"));
}

#[test]
fn a_message_that_nothing_says_any_more_is_found() {
    let sources = as_printed("\"{folder} holds a run \\\n        already ({found})\"; \"cannot read {path}\"");
    for (message, wanted) in [
        ("… holds a run already (recipe.yaml)", true),
        ("runs/9 holds two runs already", false),
        ("'flowers' holds a run already", true),
        ("… holds a study already", false),
    ] {
        assert_eq!(fragments(message).iter().all(|fragment| is_there(fragment, &sources)), wanted, "{message}");
    }
    assert_eq!(fragments("the model's 'x' takes 16×16"), ["the model's ", " takes ", "", "×", "", ""]);
    assert_eq!(messages("| message | do |\n| `a`, `b` | `c` |\n"), [(2, "a"), (2, "b")]);
}
