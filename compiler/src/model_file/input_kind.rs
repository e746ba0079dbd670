/// What an input says of the tokens of another. What it is for is told by its name, here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// Of which kind each is, the first or the second text for example.
    Kinds,
    /// Which are tokens, and which padding.
    Mask,
    /// At which place each is.
    Places,
}

impl InputKind {
    /// What masks are usually called that hold 1 for each token.
    pub(crate) const USUAL_MASKS: [&str; 3] = ["attention_mask", "input_mask", "mask"];

    /// By the name of the input.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        match () {
            () if has(name, &["position"]) => Some(Self::Places),
            () if has(name, &["mask"]) => Some(Self::Mask),
            () if has(name, &["segment", "type"]) => Some(Self::Kinds),
            () => None,
        }
    }

    /// Whether a mask of this name may hold 1 for padding, and not for tokens.
    pub(crate) fn may_mark_padding(name: &str) -> bool {
        has(name, &["padding"])
    }

    /// Whether an input of this name may hold how many tokens each row has.
    pub(crate) fn may_be_lengths(name: &str) -> bool {
        has(name, &["length"])
    }

    /// Whether whole numbers of this name are tokens, or something of tokens.
    pub(crate) fn is_of_text(name: &str) -> bool {
        has(name, &["ids", "mask", "token"])
    }
}

/// Whether one of these parts is in a name, in small letters or large ones.
fn has(name: &str, parts: &[&str]) -> bool {
    let name = name.to_lowercase();
    parts.iter().any(|part| name.contains(part))
}
