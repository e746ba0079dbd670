//! Exchanges words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::options::{Options, between};
use crate::random::Random;
use crate::target::Target;
use crate::text_transform::{Change, TextTransform};
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "swap_words",
    summary: "Exchanges words of the text at random.",
    documentation: "Two words change places, again and again: the random swap of Wei and Zou, \"EDA: Easy Data \
        Augmentation\" (2019). Give `fraction` (exchanges as a share of the words, at least one) or `count` (exchanges). \
        Words are what stands between white space, and the white space stays as it is. Texts of one word stay too.",
    // a span would stay where it is, and mark another word
    targets: &[Target::Text],
    changes_label: Some("\"not bad, good\" and \"not good, bad\" are the same words"),
    samples: &[r#"{"fraction": 0.1}"#, r#"{"count": 2}"#],
    probability: None,
    build: Build::text::<SwapWords>(),
};

const MOST_SWAPS: u32 = 10_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SwapWords {
    /// Exchanges as a share of the number of words (0 to 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    fraction: Option<f64>,
    /// Number of exchanges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = MOST_SWAPS))]
    count: Option<u32>,
}

impl Options for SwapWords {
    fn validate(&self) -> Result<(), String> {
        match (self.fraction, self.count) {
            (Some(fraction), None) => between("fraction", fraction, 0.0, 1.0),
            (None, Some(count)) => between("count", count, 0, MOST_SWAPS),
            (None, None) => Err("give fraction or count".into()),
            (Some(_), Some(_)) => Err("give only one of fraction and count".into()),
        }
    }
}

/// The words of a text, each with the index of its first character.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    for (index, (byte, character)) in text.char_indices().enumerate() {
        match (open, character.is_whitespace()) {
            (Some((start, from)), true) => {
                words.push((start, &text[from..byte]));
                open = None;
            }
            (None, false) => open = Some((index, byte)),
            _ => {}
        }
    }
    words.extend(open.map(|(start, from)| (start, &text[from..])));
    words
}

impl TextTransform for SwapWords {
    fn is_random(&self) -> bool {
        self.fraction.is_none_or(|fraction| fraction > 0.0) && self.count != Some(0)
    }

    fn changes_label(&self) -> bool {
        self.is_random()
    }

    fn draw(&self, text: &str, random: &mut Random) -> Vec<Change> {
        let words = words(text);
        if words.len() < 2 || !self.is_random() {
            return Vec::new();
        }
        let share = |fraction: f64| ((fraction * words.len() as f64).round() as u32).max(1);
        let swaps = self.count.or(self.fraction.map(share)).unwrap_or(0);
        let mut order: Vec<usize> = (0..words.len()).collect();
        for _ in 0..swaps {
            let first = random.below(words.len() as u32);
            let second = (first + 1 + random.below(words.len() as u32 - 1)) % words.len() as u32;
            order.swap(first as usize, second as usize);
        }
        let moved = words.iter().zip(&order).filter(|((_, word), from)| words[**from].1 != *word);
        let change = |((start, word), from): (&(usize, &str), &usize)| Change {
            start: *start,
            end: start + word.chars().count(),
            replacement: words[*from].1.to_owned(),
        };
        moved.map(change).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DrawKey;
    use crate::text_drawing::apply;

    #[test]
    fn words_are_exchanged_and_white_space_stays() {
        let text = " Der  Ärger,\tmit 語 und\u{a0}so ";
        let options = SwapWords { count: Some(1), ..SwapWords::default() };
        for row in 0..50 {
            let changes = options.draw(text, &mut DrawKey { seed: 0, epoch: 0, row }.random("x", 0));
            assert_eq!(changes.len(), 2);
            let edits: Vec<_> = changes.into_iter().rev().map(|c| c.named("swap_words")).collect();
            let result = apply(&edits, text).unwrap();
            let sorted = |text: &str| {
                let mut all: Vec<String> = text.split_whitespace().map(String::from).collect();
                all.sort();
                all
            };
            assert_eq!(sorted(&result), sorted(text));
            let blanks = |text: &str| text.chars().filter(|c| c.is_whitespace()).collect::<String>();
            assert_eq!(blanks(&result), blanks(text));
        }
    }

    #[test]
    fn short_texts_stay() {
        let options = SwapWords { fraction: Some(1.0), ..SwapWords::default() };
        for text in ["", "  ", "one", " eins "] {
            assert!(options.draw(text, &mut DrawKey { seed: 0, epoch: 0, row: 0 }.random("x", 0)).is_empty());
        }
        assert!(SwapWords::default().validate().is_err());
    }
}
