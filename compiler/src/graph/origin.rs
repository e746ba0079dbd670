//! What a file says that a constant was in the source.

/// What torch.export notes by this key of each input of a program, parameters among them.
pub(crate) const KIND: &str = "pkg.torch.export.graph_signature.InputSpec.kind";

/// Who files are said to be of that this compiler has written. Their notes are what it has found already.
pub(crate) const PRODUCER: &str = "millstream";

/// What a constant was in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Parameter,
    Buffer,
    /// A tensor that is no part of a module's state: written where it is used, or computed of such.
    Literal,
    /// A tensor with the name of a literal, in a file whose names do not tell literals from parameters.
    Untold,
}

/// Each by the word of torch.export; the last is a word of ours, so that a file that was tuned is read as the one that it was made of.
const WORDS: [(Origin, &str); 4] = [
    (Origin::Parameter, "PARAMETER"),
    (Origin::Buffer, "BUFFER"),
    (Origin::Literal, "CONSTANT_TENSOR"),
    (Origin::Untold, "UNTOLD"),
];

impl Origin {
    /// The one that a word means.
    pub(crate) fn of(word: &str) -> Option<Self> {
        WORDS.iter().find(|(_, known)| *known == word).map(|(origin, _)| *origin)
    }

    /// What files call it.
    pub(crate) fn word(self) -> &'static str {
        WORDS.iter().find(|(origin, _)| *origin == self).expect("each has a row").1
    }
}
