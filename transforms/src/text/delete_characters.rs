//! Leaves characters out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::options::{Options, between};
use crate::random::Random;
use crate::target::Target;
use crate::text_transform::{Change, TextTransform};
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "delete_characters",
    summary: "Leaves characters out at random.",
    documentation: "Each character (Unicode scalar value, white space too) is left out with probability `fraction`: a slip \
        of the keyboard as in Belinkov and Bisk, \"Synthetic and Natural Noise Both Break Neural Machine Translation\" \
        (2018). A text is never emptied: where chance would take every character, one of them stays.",
    targets: Target::CHARACTERS,
    changes_label: None,
    samples: &[r#"{"fraction": 0.05}"#, r#"{"fraction": 0.5}"#],
    probability: None,
    build: Build::text::<DeleteCharacters>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteCharacters {
    /// Share of the characters that are left out (0 to 1).
    #[schemars(range(min = 0, max = 1))]
    fraction: f64,
}

impl Options for DeleteCharacters {
    fn validate(&self) -> Result<(), String> {
        between("fraction", self.fraction, 0.0, 1.0)
    }
}

impl TextTransform for DeleteCharacters {
    fn is_random(&self) -> bool {
        self.fraction > 0.0
    }

    fn draw(&self, text: &str, random: &mut Random) -> Vec<Change> {
        let mut left_out: Vec<bool> = text.chars().map(|_| random.bernoulli(self.fraction)).collect();
        if !left_out.is_empty() && left_out.iter().all(|gone| *gone) {
            let stays = random.below(u32::try_from(left_out.len()).unwrap_or(u32::MAX));
            left_out[stays as usize] = false;
        }
        let mut changes: Vec<Change> = Vec::new();
        for (start, _) in left_out.iter().enumerate().filter(|(_, gone)| **gone) {
            match changes.last_mut() {
                Some(last) if last.end == start => last.end = start + 1,
                _ => changes.push(Change { start, end: start + 1, replacement: String::new() }),
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DrawKey;
    use crate::text_drawing::apply;

    fn edited(fraction: f64, text: &str, row: u64) -> String {
        let options = DeleteCharacters { fraction };
        let changes = options.draw(text, &mut DrawKey { seed: 1, epoch: 0, row }.random("x", 0));
        let edits: Vec<_> = changes.into_iter().rev().map(|change| change.named("delete_characters")).collect();
        apply(&edits, text).unwrap()
    }

    #[test]
    fn as_many_go_as_stated_and_one_always_stays() {
        let text = "Größe 語, ".repeat(400);
        let left = edited(0.3, &text, 0).chars().count() as f64 / text.chars().count() as f64;
        assert!((left - 0.7).abs() < 0.03, "{left}");
        for text in ["語", "ab", "Größe"] {
            let stayed: std::collections::HashSet<String> = (0..200).map(|row| edited(1.0, text, row)).collect();
            assert_eq!(stayed.len(), text.chars().count(), "{stayed:?}");
            assert!(stayed.iter().all(|rest| rest.chars().count() == 1));
        }
        assert_eq!(edited(1.0, "", 0), "");
    }
}
