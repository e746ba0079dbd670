use std::fmt;

/// Something that is wrong at one place of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Dotted path from the top of the recipe (`transforms.train[1].rotate`); empty for the recipe as a whole.
    pub place: String,
    /// Whether the key itself is wrong, and not what stands behind it.
    pub at_key: bool,
    /// What is wrong, with the place.
    pub message: String,
    /// What to do, often the lines to write; may have several lines.
    pub help: Option<String>,
}

impl Fault {
    /// What stands at `place` is wrong: `place: message`.
    pub fn value(place: impl Into<String>, message: impl fmt::Display) -> Self {
        let place = place.into();
        let named = if place.is_empty() { "the recipe" } else { &place };
        Self { message: format!("{named}: {message}"), at_key: false, help: None, place }
    }

    /// The key at `place` is wrong. The message names it already.
    pub fn key(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), at_key: true, message: message.into(), help: None }
    }

    /// Whether it is about this place, or about one that holds it.
    pub fn covers(&self, place: &str) -> bool {
        place.strip_prefix(&self.place).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }

    /// Whether it is about this place, one that holds it, or one within it.
    pub fn touches(&self, place: &str) -> bool {
        let is_within = |rest: &str| rest.starts_with(['.', '[']);
        self.covers(place) || self.place.strip_prefix(place).is_some_and(is_within)
    }

    /// With what to do.
    #[must_use]
    pub fn with_help(self, help: Option<String>) -> Self {
        Self { help: help.or(self.help), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n{help}"))
    }
}

/// The place of a key or list item inside another place.
#[cfg(feature = "yaml")]
pub(super) fn join(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}
