use std::path::Path;

use crate::TrainingError;

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
