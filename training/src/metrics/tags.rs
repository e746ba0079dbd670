//! Entities of tokens from tags with a prefix: `B-person`, `I-person`, `O`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which runs of tags are entities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entities {
    /// As `conlleval`, and seqeval by itself: a tag that goes on where nothing is open begins an entity.
    #[default]
    Lenient,
    /// As seqeval's mode `strict` with the scheme IOB2: an entity begins with `B-` alone.
    Strict,
}

/// Where in an entity a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Begins,
    Inside,
    Ends,
    Alone,
}

/// A place and the number of the entity's type; none for `O`.
pub(super) type Tag = Option<(Place, usize)>;

/// Type, first token and last token.
pub(super) type Entity = (usize, usize, usize);

/// Tags of class names, and how many types there are.
///
/// # Errors
/// A name is no tag; in words.
pub(super) fn read(names: &[String]) -> Result<(Vec<Tag>, usize), String> {
    let mut types: Vec<&str> = Vec::new();
    let mut tags = Vec::new();
    for (class, name) in names.iter().enumerate() {
        if name == "O" {
            tags.push(None);
            continue;
        }
        let parts = name.chars().next().map(|prefix| (prefix, &name[prefix.len_utf8()..]));
        let place = match parts {
            Some(('B', _)) => Some(Place::Begins),
            Some(('I', _)) => Some(Place::Inside),
            Some(('E', _)) => Some(Place::Ends),
            Some(('S', _)) => Some(Place::Alone),
            _ => None,
        };
        let of_type = parts.and_then(|(_, rest)| if rest.is_empty() { Some("") } else { rest.strip_prefix('-') });
        let Some((place, of_type)) = place.zip(of_type) else {
            let shown = millstream_schemas::shown(name);
            return Err(format!(
                "class {class} is called `{shown}`, and tags are `O`, `B-person`, `I-person`; state `tags`"
            ));
        };
        let known = types.iter().position(|known| *known == of_type);
        tags.push(Some((place, known.unwrap_or(types.len()))));
        if known.is_none() {
            types.push(of_type);
        }
    }
    Ok((tags, types.len()))
}

/// Whether no tag is of the end of an entity or of one token.
pub(super) fn are_begin_inside(tags: &[Tag]) -> bool {
    tags.iter().flatten().all(|(place, _)| matches!(place, Place::Begins | Place::Inside))
}

impl Entities {
    /// The entities of a sequence, in order.
    pub(super) fn of(self, tags: &[Tag]) -> Vec<Entity> {
        match self {
            Self::Lenient => lenient(tags),
            Self::Strict => strict(tags),
        }
    }
}

fn lenient(tags: &[Tag]) -> Vec<Entity> {
    let mut found = Vec::new();
    let (mut before, mut begin): (Tag, usize) = (None, 0);
    for (token, tag) in tags.iter().copied().chain([None]).enumerate() {
        let is_same = before.map(|(_, of_type)| of_type) == tag.map(|(_, of_type)| of_type);
        let is_closed = before.is_none_or(|(place, _)| matches!(place, Place::Ends | Place::Alone));
        let opens = tag.is_some_and(|(place, _)| matches!(place, Place::Begins | Place::Alone));
        if let Some((_, of_type)) = before.filter(|_| is_closed || opens || !is_same) {
            found.push((of_type, begin, token - 1));
        }
        if tag.is_some() && (opens || is_closed || !is_same) {
            begin = token;
        }
        before = tag;
    }
    found
}

fn strict(tags: &[Tag]) -> Vec<Entity> {
    let mut found: Vec<Entity> = Vec::new();
    for (token, tag) in tags.iter().enumerate() {
        match *tag {
            Some((Place::Begins, of_type)) => found.push((of_type, token, token)),
            Some((Place::Inside, of_type)) => {
                if let Some(open) = found.last_mut().filter(|open| open.0 == of_type && open.2 + 1 == token) {
                    open.2 = token;
                }
            }
            Some((Place::Ends | Place::Alone, _)) | None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn runs_of_tags_are_entities() {
        for (names, loose, tight) in [
            (vec!["B-a", "I-a", "O", "B-b"], vec![(0, 0, 1), (1, 3, 3)], vec![(0, 0, 1), (1, 3, 3)]),
            (
                vec!["I-a", "I-a", "I-b", "B-b", "I-a"],
                vec![(0, 0, 1), (1, 2, 2), (1, 3, 3), (0, 4, 4)],
                vec![(1, 3, 3)],
            ),
            (vec!["B-a", "O", "I-a"], vec![(0, 0, 0), (0, 2, 2)], vec![(0, 0, 0)]),
            (vec!["B", "I", "I-x-y"], vec![(0, 0, 1), (1, 2, 2)], vec![(0, 0, 1)]),
            (vec!["O", "O"], vec![], vec![]),
        ] {
            let (tags, _) = read(&named(&names)).unwrap();
            assert_eq!(Entities::Lenient.of(&tags), loose, "{names:?}");
            assert_eq!(Entities::Strict.of(&tags), tight, "{names:?}");
        }
        // seqeval.metrics.sequence_labeling.get_entities of the same tags
        let (tags, types) = read(&named(&["B-a", "E-a", "E-a", "S-b", "I-b", "E-b"])).unwrap();
        assert_eq!((Entities::Lenient.of(&tags), types), (vec![(0, 0, 1), (0, 2, 2), (1, 3, 3), (1, 4, 5)], 2));
    }

    #[test]
    fn names_that_are_no_tags_are_refused() {
        for name in ["person", "Ba", "", "X-person"] {
            let message = read(&named(&["O", name])).unwrap_err();
            assert!(message.starts_with(&format!("class 1 is called `{name}`")), "{message}");
        }
    }
}
