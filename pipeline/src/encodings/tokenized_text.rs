use std::ops::Range;

use millstream_transforms::TextDrawing;

/// The tokens of a row's text, of a pair of its first, where it is needed which characters they are of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenizedText {
    /// Characters of the text as stored.
    pub stored: usize,
    /// What was drawn for it.
    pub drawing: TextDrawing,
    /// The text as transforms made it.
    pub text: String,
    /// The tokens of the row, special ones and those of a second text among them.
    pub tokens: Vec<Token>,
}

/// A token of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its number.
    pub id: i64,
    /// The text that it is of, 0 or 1; `None` for a special one.
    pub text: Option<usize>,
    /// Its place in the first text; `None` for special ones, and those of the second.
    pub place: Option<TokenPlace>,
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
    /// Some neighbouring tokens, with the characters of all of them; nothing where one of them has no place.
    pub fn piece(&self, tokens: Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
        let tokens_of_it = self.tokens.get(tokens.clone())?;
        let places: Option<Vec<&TokenPlace>> = tokens_of_it.iter().map(|token| token.place.as_ref()).collect();
        let places = places?;
        let end = places.iter().map(|place| place.characters.end).max()?;
        Some((tokens, places.first()?.characters.start..end))
    }

    /// The tokens in words: ranges of places in `tokens`, each with the characters of all of them.
    pub fn words(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let mut words: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        let mut last = None;
        for (index, token) in self.tokens.iter().enumerate() {
            let Some(TokenPlace { characters, word }) = &token.place else {
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
