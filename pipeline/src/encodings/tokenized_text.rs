use std::ops::Range;

use millstream_transforms::TextDrawing;

/// The tokens of a row's first text, where it is needed which characters they are of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenizedText {
    /// Characters of the text as stored.
    pub stored: usize,
    /// What was drawn for it.
    pub drawing: TextDrawing,
    /// Of each token of the row its place; `None` for special ones, and those of a second text.
    pub tokens: Vec<Option<TokenPlace>>,
}

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPlace {
    /// Characters in the text as transforms made it.
    pub characters: Range<usize>,
    /// Number of its word in the text, as the tokenizer divides it; of tokens that follow each other and have one number, the
    /// first is the word's first.
    pub word: Option<u32>,
}

impl TokenizedText {
    /// The tokens in words: ranges of places in `tokens`, each with the characters of all of them.
    pub fn words(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let mut words: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        let mut last = None;
        for (index, place) in self.tokens.iter().enumerate() {
            let Some(TokenPlace { characters, word }) = place else {
                last = None;
                continue;
            };
            match words.last_mut() {
                Some((tokens, all)) if last.is_some() && *word == last => {
                    tokens.end = index + 1;
                    all.end = all.end.max(characters.end);
                }
                _ => words.push((index..index + 1, characters.clone())),
            }
            last = *word;
        }
        words
    }
}
