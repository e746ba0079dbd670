//! `docs/recipe.md`: every key of a recipe, from `millstream schema`.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::schema_text::{CATALOGS, anchor, bare, default, meaning, referred, shape, table};

const HEAD: &str = "\
# The recipe

<!-- Written by `cargo xtask docs` from `millstream schema`. -->

Every key, its values, and what it is unless it is said. What is chosen by name (losses, optimizers, transforms, …) stands with its options in [Catalogs](catalogs.md). Any value
may be left open for a search ([Search](search.md#what-is-left-open)). An editor completes and checks recipes with

```console
$ millstream schema -o recipe.schema.json    # first line of a recipe: # yaml-language-server: $schema=recipe.schema.json
$ millstream config recipe.yaml              # a recipe with every default filled in
```

`init` writes that line and the file; editors take the key `$schema: recipe.schema.json` as well, in JSON recipes too. Both are read without a network. In a shell with its completions (`millstream
completions`) `--set training.opt` is completed to the keys, and `--set training.schedule=` to the words that can stand there.

Relative paths count from the recipe's folder, and `${NAME}` in a path is the environment's variable. `--set training.epochs=3` changes a value for one command.
";

/// The parts of a recipe in the order in which they are written.
const PARTS: [&str; 10] =
    ["$schema", "version", "seed", "model", "data", "transforms", "training", "evaluation", "output", "search"];

pub(super) fn page(schema: &Value) -> Result<String, String> {
    let top = schema["properties"].as_object().ok_or("the schema has no properties")?;
    if let Some(new) = top.keys().find(|name| !PARTS.contains(&name.as_str())) {
        return Err(format!("`{new}` is a part of a recipe that PARTS in xtask/src/docs/recipe_page.rs lacks"));
    }
    let places = places(schema);
    let link = |name: &str| linked(schema, &places, name);
    let mut text = String::from(HEAD);
    text.push_str("\n| part | meaning |\n|---|---|\n");
    for part in PARTS {
        let linked = referred(bare(&top[part])).map_or_else(|| format!("`{part}`"), |_| format!("[`{part}`](#{part})"));
        text.push_str(&format!("| {linked} | {} |\n", meaning(&top[part])));
    }
    for part in PARTS {
        let mut within: Vec<(&String, &String)> =
            places.iter().filter(|(_, place)| place.split(['.', '[']).next() == Some(part)).collect();
        within.sort_by_key(|(_, place)| (place.matches('.').count() > 0, place.as_str()));
        for (name, place) in within {
            let definition = &schema["$defs"][name.as_str()];
            if is_inline(definition) {
                continue;
            }
            let level = if place == part { "##" } else { "###" };
            text.push_str(&format!("\n{level} `{place}`\n\n"));
            let about = meaning(definition);
            if !about.is_empty() {
                text.push_str(&format!("{about}\n\n"));
            }
            text.push_str(&if definition["properties"].is_object() {
                table(definition, &link)
            } else {
                alternatives(definition, &link)
            });
        }
    }
    Ok(text)
}

/// Where each definition is used first, from the recipe's root inwards.
fn places(schema: &Value) -> BTreeMap<String, String> {
    let mut places = BTreeMap::new();
    let mut next = VecDeque::from([(schema, String::new())]);
    while let Some((part, place)) = next.pop_front() {
        if let Some(name) = referred(part) {
            let is_new = name != "Open" && !CATALOGS.iter().any(|(catalog, _)| *catalog == name);
            if is_new && !places.contains_key(name) {
                places.insert(name.to_owned(), place.clone());
                next.push_back((&schema["$defs"][name], place));
            }
            continue;
        }
        for list in ["anyOf", "oneOf"] {
            next.extend(part[list].as_array().into_iter().flatten().map(|part| (part, place.clone())));
        }
        for (name, option) in part["properties"].as_object().into_iter().flatten() {
            let inner = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            next.push_back((option, inner));
        }
        for items in ["items", "additionalProperties"] {
            if part[items].is_object() {
                next.push_back((&part[items], place.clone()));
            }
        }
    }
    places
}

/// A definition that is said where it is used.
fn is_inline(definition: &Value) -> bool {
    let is_text = definition["type"] == "string" && definition["const"].is_null();
    is_text || definition["anyOf"].is_array()
}

fn linked(schema: &Value, places: &BTreeMap<String, String>, name: &str) -> Option<String> {
    if let Some((_, heading)) = CATALOGS.iter().find(|(catalog, _)| *catalog == name) {
        return Some(format!("[{}](catalogs.md#{})", heading.to_lowercase(), anchor(heading)));
    }
    let definition = &schema["$defs"][name];
    match name {
        "ByteSize" => return Some("size, such as `512 MiB`".into()),
        "TimeSpan" => return Some("time, such as `30 min`".into()),
        "Patterns" => return Some("file, folder or pattern, or a list of them".into()),
        _ => {}
    }
    if is_inline(definition) {
        return Some(shape(definition, &|name| linked(schema, places, name)));
    }
    let place = places.get(name)?;
    Some(format!("[`{}`](#{})", place.rsplit('.').next().unwrap_or(place), anchor(place)))
}

/// One row for each way to write a value; a word and a mapping of that name are one.
fn alternatives(definition: &Value, link: &dyn Fn(&str) -> Option<String>) -> String {
    let mut rows: Vec<(String, String, String)> = Vec::new();
    for way in definition["oneOf"].as_array().into_iter().flatten() {
        let properties = way["properties"].as_object();
        let (key, written) = match (way["const"].as_str(), properties) {
            (Some(word), _) => (word.to_owned(), format!("`{word}`")),
            (None, Some(map)) if map.len() == 1 => {
                let (name, option) = map.iter().next().expect("it has one key");
                (name.clone(), format!("{{`{name}`: {}}}", inner(option, link)))
            }
            (None, _) => (shape(way, link), shape(way, link)),
        };
        match rows.iter_mut().find(|(other, ..)| *other == key) {
            Some((_, ways, _)) => ways.push_str(&format!(" or {written}")),
            None => rows.push((key, written, meaning(way))),
        }
    }
    let mut text = String::from("| written | means |\n|---|---|\n");
    for (_, written, about) in rows {
        text.push_str(&format!("| {} | {} |\n", written.replace('|', "\\|"), about.replace('|', "\\|")));
    }
    text
}

/// Options with their values and defaults, in one line.
fn inner(option: &Value, link: &dyn Fn(&str) -> Option<String>) -> String {
    let option = bare(option);
    let Some(map) = option["properties"].as_object().filter(|map| !map.is_empty()) else { return shape(option, link) };
    let parts = map.iter().map(|(name, part)| {
        let default = default(part);
        let default = if default.is_empty() { String::new() } else { format!(" ({})", default.trim_matches('`')) };
        format!("`{name}`: {}{default}", shape(part, link))
    });
    format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
}
