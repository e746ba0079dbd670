//! What the JSON Schema of recipes says of a value: keys, kinds, choices and ranges, so that every place is covered, and
//! all faults at once.

use serde_json::{Map, Value};

use super::fault::{Fault, join};
use super::{ByteSize, Definitions, flow, got};
use crate::{nearest, shown};

/// The schema of recipes.
pub(super) struct Shape {
    root: Value,
    definitions: Map<String, Value>,
}

type Properties = Map<String, Value>;

impl Shape {
    pub(super) fn new(definitions: &Definitions) -> Self {
        let root = definitions.recipe_schema();
        let definitions = root.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
        Self { root, definitions }
    }

    /// Everything in a recipe that the schema does not allow.
    pub(super) fn faults(&self, recipe: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.check(recipe, &self.root, "", &mut faults);
        faults
    }

    /// Whether a value may stand at a place.
    pub(super) fn allows(&self, place: &str, value: &Value) -> bool {
        let mut faults = Vec::new();
        let schemas = self.at(place);
        let Some(schema) = schemas.first() else { return false };
        self.check(value, schema, place, &mut faults);
        faults.is_empty()
    }

    /// The keys that can stand below a place that is in no list; empty for the whole recipe.
    pub(super) fn keys_at(&self, place: &str) -> Vec<&str> {
        let schemas = if place.is_empty() { vec![&self.root] } else { self.at(place) };
        let leaves = schemas.into_iter().flat_map(|schema| self.leaves(schema));
        leaves.filter_map(properties).flat_map(|properties| properties.keys().map(String::as_str)).collect()
    }

    /// Every place that a key can stand at, as dotted paths; not those inside lists.
    pub(super) fn places_of(&self, key: &str) -> Vec<String> {
        let mut found = Vec::new();
        self.search(key, &self.root, "", &mut found);
        found
    }

    fn search(&self, key: &str, schema: &Value, place: &str, found: &mut Vec<String>) {
        for properties in self.leaves(schema).into_iter().filter_map(properties) {
            for (name, schema) in properties {
                let inner = join(place, name);
                if name == key {
                    found.push(inner.clone());
                }
                self.search(key, schema, &inner, found);
            }
        }
    }

    fn at(&self, place: &str) -> Vec<&Value> {
        let mut schemas = vec![&self.root];
        for key in place.split('.') {
            let leaves = schemas.iter().flat_map(|schema| self.leaves(schema));
            schemas = leaves.filter_map(|leaf| properties(leaf)?.get(key)).collect();
        }
        schemas
    }

    fn check(&self, value: &Value, schema: &Value, place: &str, faults: &mut Vec<Fault>) {
        let leaves = self.leaves(schema);
        if leaves.is_empty() || leaves.iter().any(|leaf| leaf.get("type").is_none()) {
            return;
        }
        let fits: Vec<&Value> = leaves.iter().copied().filter(|leaf| is_kind(leaf, value)).collect();
        let choice = leaves.iter().filter(|leaf| !kinds(leaf).contains(&"null")).count() > 1;
        if fits.is_empty() || matches!(value, Value::String(text) if !fits.iter().any(|leaf| says(leaf, text))) {
            faults.push(Fault::value(place, self.unfit(value, &leaves)));
            return;
        }
        match value {
            Value::Object(map) => self.check_mapping(map, &fits, choice.then_some(&leaves), place, faults),
            Value::Array(items) => {
                if let Some(least) = fits[0].get("minItems").and_then(Value::as_u64)
                    && (items.len() as u64) < least
                {
                    faults.push(Fault::value(place, format!("wanted {}, got an empty list", self.wanted(&leaves))));
                }
                if let Some(schema) = fits[0].get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.check(item, schema, &format!("{place}[{index}]"), faults);
                    }
                }
            }
            Value::Number(number) => {
                let broken = number.as_f64().and_then(|number| broken_bound(fits[0], number));
                faults.extend(broken.map(|wanted| Fault::value(place, format!("wanted {wanted}, got {number}"))));
            }
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    /// `choice` has all alternatives where there are several, of which one is to be written.
    fn check_mapping(
        &self,
        map: &Map<String, Value>,
        fits: &[&Value],
        choice: Option<&Vec<&Value>>,
        place: &str,
        faults: &mut Vec<Fault>,
    ) {
        let known: Vec<&Properties> = fits.iter().filter_map(|leaf| properties(leaf)).collect();
        // A transform, whose options are read elsewhere.
        if known.is_empty() {
            return;
        }
        let mut written = Vec::new();
        for (key, value) in map {
            match known.iter().find_map(|properties| properties.get(key)) {
                Some(schema) => {
                    written.push(key.as_str());
                    self.check(value, schema, &join(place, key), faults);
                }
                None => faults.push(unknown(key, place, &known)),
            }
        }
        let one_of_several = choice.filter(|_| known.iter().all(|properties| properties.len() == 1));
        match (one_of_several, written.as_slice()) {
            (Some(leaves), []) if map.is_empty() => {
                faults.push(Fault::value(place, format!("wanted {}, got {{}}", self.wanted(leaves))));
            }
            (Some(_), [first, second, ..]) => {
                let message = format!("`{first}` and `{second}` exclude each other; write one of them");
                faults.push(Fault::value(place, message));
            }
            (Some(_), _) => {}
            (None, written) => {
                let required = fits[0].get("required").and_then(Value::as_array).into_iter().flatten();
                for key in required.filter_map(Value::as_str).filter(|key| !written.contains(key)) {
                    faults.push(Fault::value(place, format!("missing key `{key}`")));
                }
            }
        }
    }

    fn unfit(&self, value: &Value, leaves: &[&Value]) -> String {
        let names = leaves.iter().flat_map(|leaf| names(leaf));
        let near = value.as_str().and_then(|text| nearest(text, names));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        match value {
            Value::Null => format!("nothing stands behind the key; wanted {}", self.wanted(leaves)),
            // A number of bytes says itself what it lacks.
            Value::Number(number) if leaves.iter().any(|leaf| leaf.get("pattern").is_some()) => {
                number.to_string().parse::<ByteSize>().err().unwrap_or_default()
            }
            value => format!("wanted {}, got {}{hint}", self.wanted(leaves), got(value)),
        }
    }

    /// What may be written, in words.
    fn wanted(&self, leaves: &[&Value]) -> String {
        let mut phrases: Vec<String> = Vec::new();
        for phrase in leaves.iter().filter_map(|leaf| self.phrase(leaf)) {
            if !phrases.contains(&phrase) {
                phrases.push(phrase);
            }
        }
        match phrases.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => "nothing".into(),
        }
    }

    fn phrase(&self, leaf: &Value) -> Option<String> {
        if let Some(choice) = leaf.get("const") {
            return Some(format!("`{}`", flow(choice)));
        }
        // A text of a special form says itself what it is.
        let described = || {
            let text = leaf.get("description")?.as_str()?.trim_end_matches('.');
            let mut letters = text.chars();
            Some(letters.next()?.to_lowercase().chain(letters).collect::<String>())
        };
        match *kinds(leaf).iter().find(|kind| **kind != "null")? {
            "integer" if leaf.get("minimum").and_then(Value::as_f64) == Some(1.0) => {
                Some("a whole number of 1 or more".into())
            }
            "integer" => Some("a whole number of 0 or more".into()),
            "number" => Some("a number".into()),
            "boolean" => Some("`true` or `false`".into()),
            "array" => Some("a list".into()),
            "string" if leaf.get("pattern").is_some() => described(),
            "string" => Some("text".into()),
            _ => match properties(leaf).map(|properties| properties.keys().collect::<Vec<_>>()).as_deref() {
                Some([key]) => Some(format!("`{{{key}: …}}`")),
                Some(keys) if !keys.is_empty() => {
                    let keys: Vec<_> = keys.iter().take(4).map(|key| format!("`{key}`")).collect();
                    Some(format!("a mapping with keys such as {}", keys.join(", ")))
                }
                _ => Some("a mapping".into()),
            },
        }
    }

    /// What a schema stands for once references are followed and choices are laid side by side.
    fn leaves<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let definition = reference.strip_prefix("#/$defs/").and_then(|name| self.definitions.get(name));
            return definition.map(|definition| self.leaves(definition)).unwrap_or_default();
        }
        let choices = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(key)?.as_array());
        match choices {
            Some(choices) => choices.iter().flat_map(|choice| self.leaves(choice)).collect(),
            None => vec![schema],
        }
    }
}

fn properties(leaf: &Value) -> Option<&Properties> {
    leaf.get("properties")?.as_object()
}

fn kinds(leaf: &Value) -> Vec<&str> {
    match leaf.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_kind(leaf: &Value, value: &Value) -> bool {
    kinds(leaf).iter().any(|kind| match *kind {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    })
}

/// Whether a schema of text allows this one.
fn says(leaf: &Value, text: &str) -> bool {
    leaf.get("const").is_none_or(|choice| choice == text)
}

/// What can be written by name: choices, and choices that take options.
fn names(leaf: &Value) -> Vec<&str> {
    let constant = leaf.get("const").and_then(Value::as_str);
    let keys = properties(leaf).filter(|properties| properties.len() == 1);
    constant.into_iter().chain(keys.into_iter().flat_map(|keys| keys.keys().map(String::as_str))).collect()
}

/// The bounds in words, if the number is outside of them.
fn broken_bound(leaf: &Value, number: f64) -> Option<String> {
    let bound = |key: &str| leaf.get(key).and_then(Value::as_f64);
    let (least, above) = (bound("minimum"), bound("exclusiveMinimum"));
    let (most, below) = (bound("maximum"), bound("exclusiveMaximum"));
    let low = least.is_some_and(|least| number < least) || above.is_some_and(|above| number <= above);
    let high = most.is_some_and(|most| number > most) || below.is_some_and(|below| number >= below);
    let whole = kinds(leaf).contains(&"integer");
    match (low || high, least, above, most, below) {
        (false, ..) => None,
        (_, Some(least), _, Some(most), _) if !whole => Some(format!("{least} to {most}")),
        (_, Some(least), _, _, Some(below)) => Some(format!("{least} to below {below}")),
        (_, _, Some(above), _, Some(below)) => Some(format!("above {above} and below {below}")),
        (_, _, Some(above), Some(most), _) => Some(format!("above {above} and at most {most}")),
        (_, _, _, Some(most), _) if high => Some(format!("at most {most}")),
        (_, Some(least), ..) => Some(format!("{least} or more")),
        (_, _, Some(above), ..) => Some(format!("above {above}")),
        (_, _, _, _, Some(below)) => Some(format!("below {below}")),
        (_, _, _, most, _) => most.map(|most| format!("at most {most}")),
    }
}

fn unknown(key: &str, place: &str, known: &[&Properties]) -> Fault {
    let names = known.iter().flat_map(|properties| properties.keys().map(String::as_str));
    let hint = nearest(key, names).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    let within = if place.is_empty() { "the recipe" } else { place };
    Fault::key(join(place, key), format!("unknown key `{}` in {}{hint}", shown(key), shown(within)))
}
