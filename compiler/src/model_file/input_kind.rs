/// What an input says of the tokens of another.
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
    /// By the name of the input.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        match () {
            () if has(&["position"]) => Some(Self::Places),
            () if has(&["mask"]) => Some(Self::Mask),
            () if has(&["segment", "type"]) => Some(Self::Kinds),
            () => None,
        }
    }
}
