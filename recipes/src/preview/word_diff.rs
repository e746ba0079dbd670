//! Which words of a text became others, in the order in which they are read.

use serde::Serialize;

/// What became of some words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TextChange {
    /// They stand in both texts.
    Kept,
    /// They stand in the new text alone.
    Added,
    /// They stood in the old text alone.
    Removed,
}

/// Words one after the other, with the blanks between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextPiece {
    /// As they stand.
    pub text: String,
    /// What became of them.
    pub change: TextChange,
}

/// Texts with more pairs of words than this are held against each other from both ends alone.
const MOST_PAIRS: usize = 4_000_000;

/// The old text and the new one in pieces, by a longest common subsequence of their words (Wagner and Fischer 1974);
/// where words were replaced, the old ones come first.
pub(super) fn word_diff(old: &str, new: &str) -> Vec<TextPiece> {
    let (old, new) = (words(old), words(new));
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let head = same(&mut old.iter().zip(&new));
    let tail = same(&mut old[head..].iter().rev().zip(new[head..].iter().rev()));
    let (old_middle, new_middle) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut pieces = Pieces::default();
    old[..head].iter().for_each(|word| pieces.add(word, TextChange::Kept));
    if old_middle.len().saturating_mul(new_middle.len()) <= MOST_PAIRS {
        common(old_middle, new_middle, &mut pieces);
    } else {
        old_middle.iter().for_each(|word| pieces.add(word, TextChange::Removed));
        new_middle.iter().for_each(|word| pieces.add(word, TextChange::Added));
    }
    old[old.len() - tail..].iter().for_each(|word| pieces.add(word, TextChange::Kept));
    pieces.0
}

/// Words, each with the blanks behind it.
fn words(text: &str) -> Vec<&str> {
    text.split_inclusive(char::is_whitespace).collect()
}

fn common(old: &[&str], new: &[&str], pieces: &mut Pieces) {
    let width = new.len() + 1;
    // of what is left of both texts from a pair on
    let mut lengths = vec![0u32; (old.len() + 1) * width];
    for row in (0..old.len()).rev() {
        for column in (0..new.len()).rev() {
            let at = row * width + column;
            lengths[at] = match old[row].trim_end() == new[column].trim_end() {
                true => lengths[at + width + 1] + 1,
                false => lengths[at + width].max(lengths[at + 1]),
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    while row < old.len() || column < new.len() {
        let at = row * width + column;
        let both = row < old.len() && column < new.len();
        if both && old[row].trim_end() == new[column].trim_end() {
            pieces.add(new[column], TextChange::Kept);
            (row, column) = (row + 1, column + 1);
        } else if row < old.len() && (!both || lengths[at + width] >= lengths[at + 1]) {
            pieces.add(old[row], TextChange::Removed);
            row += 1;
        } else {
            pieces.add(new[column], TextChange::Added);
            column += 1;
        }
    }
}

#[derive(Default)]
struct Pieces(Vec<TextPiece>);

impl Pieces {
    /// Adds a word to the last piece of its kind; an added one in between joins those that stand right before it.
    fn add(&mut self, word: &str, change: TextChange) {
        let last = self.0.len();
        // removed words between added ones move in front of them
        let is_behind = change == TextChange::Removed
            && self.0.last().is_some_and(|piece| piece.change == TextChange::Added)
            && last >= 2
            && self.0[last - 2].change == TextChange::Removed;
        let place = if is_behind { last - 2 } else { last.wrapping_sub(1) };
        match self.0.get_mut(place).filter(|piece| piece.change == change) {
            Some(piece) => {
                if !piece.text.ends_with(char::is_whitespace) {
                    piece.text.push(' ');
                }
                piece.text.push_str(word);
            }
            None => self.0.push(TextPiece { text: word.to_owned(), change }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TextChange::{Added, Kept, Removed};
    use super::*;

    #[test]
    fn changes_are_in_reading_order_and_both_texts_are_in_them() {
        for (old, new, wanted) in [
            ("a b c", "a b c", vec![("a b c", Kept)]),
            ("a b c", "a x c", vec![("a ", Kept), ("b ", Removed), ("x ", Added), ("c", Kept)]),
            ("a b c d", "a x y d", vec![("a ", Kept), ("b c ", Removed), ("x y ", Added), ("d", Kept)]),
            ("", "new", vec![("new", Added)]),
            ("gone", "", vec![("gone", Removed)]),
            ("a b", "a", vec![("a", Kept), ("b", Removed)]),
            ("", "", vec![]),
        ] {
            let got = word_diff(old, new);
            let got: Vec<_> = got.iter().map(|piece| (piece.text.as_str(), piece.change)).collect();
            assert_eq!(got, wanted, "{old:?} {new:?}");
        }
    }

    #[test]
    fn long_texts_take_no_more_memory_than_is_there() {
        let old: String = (0..9000).map(|index| format!("a{index} ")).collect();
        let new: String = (0..9000).map(|index| format!("b{index} ")).collect();
        let pieces = word_diff(&old, &new);
        assert_eq!(pieces.iter().map(|piece| piece.change).collect::<Vec<_>>(), [Removed, Added]);
    }
}
