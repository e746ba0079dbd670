//! Where the keys and values of a recipe stand in its text, and what is wrong with the text as YAML.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, Span, StructureStyle};

use super::fault::join;
use super::syntax;

/// Where a key and what stands behind it are, in bytes of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) key: Option<Range<usize>>,
    pub(super) value: Option<Range<usize>>,
}

/// The spots of a text by dotted path.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(HashMap<String, Spot>);

/// Something that makes a text no YAML, or YAML that no recipe is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadText {
    pub(super) at: Range<usize>,
    pub(super) message: String,
}

/// What is open at one moment of the walk.
enum Open {
    Mapping { place: String, key: Option<(String, Range<usize>)> },
    List { place: String, length: usize },
}

impl Places {
    /// Walks through the text once. Of several mistakes in the text, keys that stand twice are all told, and the first
    /// that ends the walk.
    pub(super) fn of(text: &str) -> (Self, Vec<BadText>) {
        let (mut places, mut bad, mut open, mut documents) = (Self::default(), Vec::new(), Vec::new(), 0);
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    let start = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
                    bad.push(BadText { at: start..start, message: syntax::in_words(error.kind()) });
                    break;
                }
            };
            if matches!(event, Event::DocumentStart(..)) {
                documents += 1;
                if documents > 1 {
                    let message = "a second document starts here (`---`); a recipe is one".into();
                    bad.push(BadText { at: range(&span), message });
                    break;
                }
            }
            places.take(&event, &span, &mut open, &mut bad);
        }
        (places, bad)
    }

    fn take(&mut self, event: &Event<'_>, span: &Span, open: &mut Vec<Open>, bad: &mut Vec<BadText>) {
        let (block, list) = match event {
            Event::MappingStart(style, ..) => (*style == StructureStyle::Block, Some(false)),
            Event::SequenceStart(style, ..) => (*style == StructureStyle::Block, Some(true)),
            Event::Scalar(..) | Event::Alias(_) => (false, None),
            Event::MappingEnd | Event::SequenceEnd => {
                self.close(open.pop(), span);
                return;
            }
            _ => return,
        };
        // A block has no mark of its own at its start: the key before it, or the first key in it, stands for it.
        let value = (!block).then(|| range(span)).filter(|range| !range.is_empty());
        let place = match open.last_mut() {
            None => String::new(),
            Some(Open::Mapping { place, key: key @ None }) if list.is_none() => {
                let name = match event {
                    Event::Scalar(name, ..) => name.to_string(),
                    _ => String::new(),
                };
                let inner = join(place, &name);
                if self.0.contains_key(&inner) && name != "<<" {
                    bad.push(BadText { at: range(span), message: twice(&name, place) });
                }
                self.0.entry(place.clone()).or_default().value.get_or_insert_with(|| range(span));
                *key = Some((name, range(span)));
                return;
            }
            Some(Open::Mapping { place, key }) => {
                let Some((name, at)) = key.take() else {
                    // A key that is a list or a mapping itself: no key of ours.
                    *key = Some((String::new(), range(span)));
                    let place = place.clone();
                    self.enter(list, place, open);
                    return;
                };
                let inner = join(place, &name);
                self.0.insert(inner.clone(), Spot { key: Some(at), value });
                inner
            }
            Some(Open::List { place, length }) => {
                let inner = format!("{place}[{length}]");
                *length += 1;
                self.0.insert(inner.clone(), Spot { key: None, value });
                inner
            }
        };
        self.enter(list, place, open);
    }

    fn enter(&mut self, list: Option<bool>, place: String, open: &mut Vec<Open>) {
        match list {
            None => {}
            Some(true) => open.push(Open::List { place, length: 0 }),
            Some(false) => open.push(Open::Mapping { place, key: None }),
        }
    }

    /// A flow mapping or list spans from its bracket to the closing one.
    fn close(&mut self, closed: Option<Open>, span: &Span) {
        let (Some(Open::Mapping { place, .. }) | Some(Open::List { place, .. })) = closed else { return };
        let end = range(span).end;
        if span.is_empty() {
            return;
        }
        if let Some(Spot { value: Some(value), .. }) = self.0.get_mut(&place) {
            value.end = value.end.max(end);
        }
    }

    /// The spot of a place, or of the nearest place around it that the text has.
    pub(super) fn nearest(&self, place: &str) -> Option<(&str, &Spot)> {
        let mut place = place;
        loop {
            if let Some((place, spot)) = self.0.get_key_value(place) {
                return Some((place, spot));
            }
            place = around(place)?;
        }
    }
}

/// The place that holds this one.
pub(super) fn around(place: &str) -> Option<&str> {
    let end = place.rfind(['.', '['])?;
    Some(&place[..end])
}

fn twice(name: &str, place: &str) -> String {
    let within = if place.is_empty() { "the recipe" } else { place };
    format!("the key `{}` stands twice in {}; leave one of them", crate::shown(name), crate::shown(within))
}

fn range(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
a: 1
b:
  c: {d: [x, y], 'e f': ~}
  g:
    - h: 2
      i: \"ü\"
    - [3,
       4]
j:
k: &here {l: 5}
m: *here
";

    #[test]
    fn each_place_is_where_it_stands() {
        let (places, bad) = Places::of(TEXT);
        assert_eq!(bad, []);
        for (place, key, value) in [
            ("a", "a", "1"),
            ("b", "b", "c"),
            ("b.c", "c", "{d: [x, y], 'e f': ~}"),
            ("b.c.d", "d", "[x, y]"),
            ("b.c.d[1]", "", "y"),
            ("b.c.e f", "'e f'", "~"),
            ("b.g", "g", ""),
            ("b.g[0]", "", "h"),
            ("b.g[0].i", "i", "\"ü\""),
            ("b.g[1]", "", "[3,\n       4]"),
            ("j", "j", ""),
            ("k.l", "l", "5"),
            ("m", "m", "*here"),
        ] {
            let Spot { key: found, value: written } = &places.0[place];
            let text = |range: &Option<Range<usize>>| range.clone().map_or("", |range| &TEXT[range]);
            assert_eq!((text(found), text(written)), (key, value), "{place}");
        }
        assert_eq!(places.nearest("b.g[0].none[7].such").map(|(place, _)| place), Some("b.g[0]"));
        assert_eq!(places.nearest("zebra").map(|(place, _)| place), None);
    }

    #[test]
    fn json_is_walked_alike() {
        let text = "{\"a\": {\"b\": [1, {\"c\": null}]}}";
        let (places, bad) = Places::of(text);
        assert_eq!(bad, []);
        let spot = &places.0["a.b[1].c"];
        assert_eq!((&text[spot.key.clone().unwrap()], &text[spot.value.clone().unwrap()]), ("\"c\"", "null"));
    }

    #[test]
    fn keys_that_stand_twice_are_all_told() {
        let (_, bad) = Places::of("a: 1\nb: {c: 1, c: 2}\na: 3\n");
        let messages: Vec<_> = bad.iter().map(|bad| (bad.at.start, bad.message.as_str())).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].1.contains("`c` stands twice in b") && messages[1].1.contains("`a` stands twice"));
    }
}
