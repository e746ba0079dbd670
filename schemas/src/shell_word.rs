use std::path::Path;

use crate::escaped;

/// A word of a command as a shell takes it, for a message: in quotes where it has letters that mean something to the shell.
///
/// ```
/// use millstream_schemas::shell_word;
/// assert_eq!(["a/b.yaml", "my run"].map(shell_word), ["a/b.yaml", "'my run'"]);
/// ```
pub fn shell_word(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./=:,+@%".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", escaped(word).replace('\'', r"'\''")),
    }
}

/// A path in a command as a shell takes it, whole, as [`shell_word`].
///
/// ```
/// use millstream_schemas::shell_path;
/// assert_eq!(shell_path("runs/my run (2)"), "'runs/my run (2)'");
/// ```
pub fn shell_path(path: impl AsRef<Path>) -> String {
    shell_word(&path.as_ref().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for (word, wanted) in [
            ("a/b.yaml", "a/b.yaml"),
            ("my run", "'my run'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("$HOME", "'$HOME'"),
            ("a\u{1b}[31m", r"'a\u{1b}[31m'"),
        ] {
            assert_eq!(shell_word(word), wanted);
        }
    }
}
