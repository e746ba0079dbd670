//! Sources that are patterns.

use std::fs;
use std::path::{Path, PathBuf};

use millstream_schemas::{count, shown, shown_path};

use crate::RecipeError;

/// Sources that a pattern may stand for.
const MOST: usize = 100_000;

/// The sources that were named: what is there by its name as it is, and of others what `{a,b}`, `{000..012}`, `*` and `?` stand for.
///
/// # Errors
/// A pattern stands for nothing, or for too much.
pub(crate) fn expanded(sources: &[PathBuf]) -> Result<Vec<PathBuf>, RecipeError> {
    let mut all = Vec::new();
    for source in sources {
        match source.to_str().filter(|text| !source.exists() && is_pattern(text)) {
            None => all.push(source.clone()),
            Some(pattern) => {
                let refused = |message: String| RecipeError::mismatch(shown_path(source), message);
                for one in alternatives(pattern).map_err(refused)? {
                    let mut found = matching(&one);
                    if found.is_empty() {
                        let of = if one == pattern { String::new() } else { format!(" (as `{}`)", shown(&one)) };
                        return Err(refused(format!("there is no such file or folder{of}")));
                    }
                    all.append(&mut found);
                }
            }
        }
    }
    Ok(all)
}

pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '{'])
}

/// What braces stand for: several words, or whole numbers from one to another with as many digits.
fn alternatives(pattern: &str) -> Result<Vec<String>, String> {
    let too_many = || format!("braces stand for more than {}", count(MOST as u64, "source"));
    let (mut done, mut open) = (Vec::new(), vec![pattern.to_owned()]);
    while let Some(text) = open.pop() {
        let parts = text.find('{').and_then(|start| text[start..].find('}').map(|end| (start, start + end)));
        let Some((start, end)) = parts else {
            done.push(text);
            continue;
        };
        let inner = &text[start + 1..end];
        let words: Vec<String> = match inner.split_once("..") {
            Some((first, last)) => {
                let wrong = || format!("`{{{}}}` are not whole numbers from one to a larger one", shown(inner));
                let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
                let (from, to) = (number(first)?, number(last)?);
                if from > to {
                    return Err(wrong());
                }
                if to - from >= MOST as u64 {
                    return Err(too_many());
                }
                (from..=to).map(|number| format!("{number:0width$}", width = first.len())).collect()
            }
            None => inner.split(',').map(str::to_owned).collect(),
        };
        if done.len() + open.len() + words.len() > MOST {
            return Err(too_many());
        }
        open.extend(words.iter().rev().map(|word| format!("{}{word}{}", &text[..start], &text[end + 1..])));
    }
    Ok(done)
}

/// What is there by a name whose last part may be a pattern, sorted.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let own = path.file_name().and_then(|own| own.to_str()).unwrap_or_default();
    if !own.contains(['*', '?']) {
        return if path.exists() { vec![path.to_owned()] } else { Vec::new() };
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.') && matches(own, name)).collect();
    names.sort();
    names.into_iter().map(|name| folder.map_or_else(|| PathBuf::from(&name), |folder| folder.join(&name))).collect()
}

/// Whether a name is of a pattern, in which `*` is any letters and `?` is one.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // where to go on after the last `*` took one more letter
    let mut again: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(of) {
            Some('*') => {
                again = Some((of + 1, at));
                of += 1;
            }
            Some(letter) if *letter == '?' || *letter == name[at] => {
                at += 1;
                of += 1;
            }
            _ => match again {
                Some((star, taken)) => {
                    again = Some((star, taken + 1));
                    (of, at) = (star, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_words_or_numbers() {
        assert_eq!(alternatives("a-{008..011}.tar").unwrap(), ["a-008.tar", "a-009.tar", "a-010.tar", "a-011.tar"]);
        assert_eq!(alternatives("{a,b}{1..2}").unwrap(), ["a1", "a2", "b1", "b2"]);
        assert_eq!(alternatives("plain").unwrap(), ["plain"]);
        for wrong in ["{3..1}", "{a..b}", "{0..999999999}"] {
            assert!(alternatives(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn stars_are_any_letters() {
        for (pattern, name, wanted) in [
            ("*.tar", "a.tar", true),
            ("a*b*c", "aXbYbc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("a*", "b", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
