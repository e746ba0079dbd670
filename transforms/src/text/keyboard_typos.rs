//! Types neighbouring keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::options::{Options, between};
use crate::random::Random;
use crate::target::Target;
use crate::text_transform::{Change, TextTransform};
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "keyboard_typos",
    summary: "Replaces letters by neighbours on the keyboard.",
    documentation: "Each letter a–z and each digit is replaced, with probability `fraction`, by a key beside it on a \
        US QWERTY keyboard. Upper case stays upper case; all other characters stay as they are.",
    targets: Target::CHARACTERS,
    changes_label: None,
    samples: &[r#"{"fraction": 0.05}"#, r#"{"fraction": 0.5}"#],
    probability: None,
    build: Build::text::<KeyboardTypos>(),
};

/// Rows of keys, each shifted by about half a key against the one above.
const KEYS: [&str; 4] = ["1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"];

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyboardTypos {
    /// Share of the letters and digits that are replaced (0 to 1).
    #[schemars(range(min = 0, max = 1))]
    fraction: f64,
}

impl Options for KeyboardTypos {
    fn validate(&self) -> Result<(), String> {
        between("fraction", self.fraction, 0.0, 1.0)
    }
}

/// The keys that touch this one.
fn neighbours(key: char) -> impl Iterator<Item = char> {
    let found = KEYS.iter().enumerate().find_map(|(row, keys)| Some((row, keys.find(key)?)));
    found.into_iter().flat_map(|(row, column)| {
        let at = |row: usize, column: usize| KEYS.get(row).and_then(|keys| keys.as_bytes().get(column)).copied();
        let above = row.checked_sub(1);
        [
            column.checked_sub(1).and_then(|column| at(row, column)),
            at(row, column + 1),
            above.and_then(|row| at(row, column)),
            above.and_then(|row| at(row, column + 1)),
            column.checked_sub(1).and_then(|column| at(row + 1, column)),
            at(row + 1, column),
        ]
        .into_iter()
        .flatten()
        .map(char::from)
    })
}

impl TextTransform for KeyboardTypos {
    fn is_random(&self) -> bool {
        self.fraction > 0.0
    }

    fn draw(&self, text: &str, random: &mut Random) -> Vec<Change> {
        let mut changes = Vec::new();
        for (start, character) in text.chars().enumerate() {
            if !character.is_ascii_alphanumeric() || !random.bernoulli(self.fraction) {
                continue;
            }
            let key = character.to_ascii_lowercase();
            let choice = random.below(neighbours(key).count() as u32) as usize;
            let typed = neighbours(key).nth(choice).unwrap_or(key);
            let typed = if character.is_ascii_uppercase() { typed.to_ascii_uppercase() } else { typed };
            changes.push(Change { start, end: start + 1, replacement: typed.to_string() });
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DrawKey;

    #[test]
    fn keys_have_their_neighbours() {
        for (key, wanted) in [('g', "fhtyvb"), ('q', "w12a"), ('m', "njk"), ('p', "o0l"), ('l', "kop")] {
            let mut got: Vec<char> = neighbours(key).collect();
            let mut wanted: Vec<char> = wanted.chars().collect();
            got.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(got, wanted, "{key}");
        }
        for key in ('a'..='z').chain('0'..='9') {
            assert!(neighbours(key).all(|other| neighbours(other).any(|back| back == key)), "{key}");
            assert!(neighbours(key).count() >= 2);
        }
    }

    #[test]
    fn other_characters_stay() {
        let options = KeyboardTypos { fraction: 1.0 };
        let text = "Größe 語 A-z!";
        let changes = options.draw(text, &mut DrawKey { seed: 0, epoch: 0, row: 0 }.random("x", 0));
        let places: Vec<usize> = changes.iter().map(|change| change.start).collect();
        assert_eq!(places, [0, 1, 4, 8, 10]);
        assert!(changes[0].replacement.chars().all(|c| c.is_uppercase() || c.is_numeric()));
    }
}
