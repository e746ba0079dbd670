use std::path::Path;

use crate::TrainingError;

/// What a checkpoint has otherwise than a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Differing {
    /// What it is, in words.
    pub(crate) name: String,
    pub(crate) saved: String,
    pub(crate) now: String,
}

/// What of two lists of names and values differs; what is in one alone is `nothing` in the other.
pub(crate) fn differing(saved: &[(String, String)], now: &[(String, String)]) -> Vec<Differing> {
    let of = |list: &[(String, String)], name: &str| {
        list.iter().find(|(known, _)| known == name).map_or_else(|| "nothing".to_owned(), |(_, value)| value.clone())
    };
    let gone = saved.iter().filter(|(name, _)| now.iter().all(|(known, _)| known != name));
    let names = now.iter().chain(gone).map(|(name, _)| name);
    let both = names.map(|name| Differing { name: name.clone(), saved: of(saved, name), now: of(now, name) });
    both.filter(|differing| differing.saved != differing.now).collect()
}

/// Refuses to resume a checkpoint of something else.
pub(crate) fn require_same(path: &Path, what: &str, saved: &str, now: &str) -> Result<(), TrainingError> {
    if saved == now {
        return Ok(());
    }
    let shown = |text: &str| if is_fingerprint(text) { text[..12].to_owned() } else { text.to_owned() };
    let (saved, now) = (shown(saved), shown(now));
    Err(TrainingError::ResumeMismatch { path: path.to_owned(), what: what.to_owned(), saved, now })
}

fn is_fingerprint(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
