use std::collections::{BTreeMap, BTreeSet};

use millstream_schemas::{nearest, shown};

use crate::CompilerError;
use crate::finetuning::pattern_matches;

/// The value of the pattern that matches a layer, or else the usual one.
pub(in super::super) fn by_pattern<T: Copy + PartialEq>(
    option: &str,
    patterns: &BTreeMap<String, T>,
    layer: &str,
    otherwise: T,
) -> Result<T, CompilerError> {
    let mut found = patterns.iter().filter(|(pattern, _)| pattern_matches(pattern, layer));
    let Some((first, value)) = found.next() else { return Ok(otherwise) };
    match found.find(|(_, other)| *other != value) {
        None => Ok(*value),
        Some((second, _)) => Err(CompilerError::setting(
            "",
            format!(
                "{option}: `{}` and `{}` both match `{}` and say different values; let one of them match it",
                shown(first),
                shown(second),
                shown(layer)
            ),
        )),
    }
}

/// Layers of rank 0, of `all` that were chosen.
pub(in super::super) fn note_of_unwanted(layers: &[&str], all: usize) -> Result<Option<String>, CompilerError> {
    let Some(first) = layers.first() else { return Ok(None) };
    if layers.len() == all {
        let message =
            "rank_patterns: every layer has the rank 0, and nothing is adapted; give one of them a higher one";
        return Err(CompilerError::setting("", message));
    }
    let count = layers.len();
    Ok(Some(format!("lora leaves {count} layer(s) as they are, `{}` first: their rank is 0", shown(first))))
}

/// Refuses patterns that none of the layers matches.
pub(in super::super) fn require_matches<'a>(
    option: &str,
    patterns: impl Iterator<Item = &'a String>,
    layers: &[&str],
) -> Result<(), CompilerError> {
    let names: BTreeSet<&str> = layers.iter().copied().collect();
    for pattern in patterns {
        if !names.iter().any(|name| pattern_matches(pattern, name)) {
            let hint = nearest(pattern, names.iter().copied())
                .map_or_else(String::new, |name| format!("; did you mean `{}`?", shown(name)));
            let pattern = shown(pattern);
            return Err(CompilerError::setting(
                "",
                format!("{option}: no layer that `lora` goes to matches `{pattern}`{hint}"),
            ));
        }
    }
    Ok(())
}
