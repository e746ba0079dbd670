//! What to write instead: the line for a word of another tool, a key at the wrong level, a value in another form.

use serde_json::Value;

use super::fault::{Fault, join};
use super::flow::{self, lines};
use super::foreign_words::{ForeignKey, INSIDE, KEYS, VALUES};
use super::places::around;
use super::shape::Shape;
use super::text::at;
use crate::nearest;

/// Lines of a recipe stand this far right in a message.
const INDENT: usize = 4;
/// More keys are not listed.
const MOST_KEYS: usize = 16;
/// Places that one key at the wrong level is shown at.
const MOST_PLACES: usize = 3;

/// Adds to each fault of a recipe what to write instead, where that is known.
pub(super) fn advise(faults: Vec<Fault>, recipe: &Value, shape: &Shape) -> Vec<Fault> {
    let advise = |fault: Fault| {
        let value = at(recipe, &fault.place);
        let help = match (fault.at_key, value) {
            (true, Some(value)) => unknown_key(&fault, value, recipe, shape),
            (true, None) => None,
            (false, value) => wrong_value(&fault.place, value, shape).or_else(|| missing_key(&fault)),
        };
        fault.with_help(help)
    };
    faults.into_iter().map(advise).collect()
}

fn unknown_key(fault: &Fault, value: &Value, recipe: &Value, shape: &Shape) -> Option<String> {
    let parent = around(&fault.place).unwrap_or_default();
    let key = fault.place[parent.len()..].trim_start_matches('.');
    let word = normal(key);
    let inside = INSIDE.iter().find(|(place, row)| *place == parent && row.words.contains(&word.as_str()));
    // A single letter may be short for anything: what stands behind it says whether it is the other tool's word.
    let is_meant = |row: &&ForeignKey| word.chars().count() > 1 || shape.allows(row.place, value);
    let of_others = KEYS.iter().find(|row| row.words.contains(&word.as_str())).filter(is_meant);
    let row = inside.map(|(_, row)| row).or(of_others);
    if let Some(row) = row {
        return Some(foreign(row, value, recipe, shape));
    }
    let places = best(shape.places_of(key), value, recipe, shape);
    match places.as_slice() {
        [] => keys_here(key, parent, shape),
        [place] => Some(format!("write\n{}", lines(place, &flow::flow(value), INDENT))),
        several => {
            let blocks: Vec<_> = several.iter().map(|place| lines(place, &flow::flow(value), INDENT)).collect();
            Some(format!("write\n{}", blocks.join("\n  or\n")))
        }
    }
}

/// Which keys there are, where none of them is near.
fn keys_here(key: &str, parent: &str, shape: &Shape) -> Option<String> {
    let known = shape.keys_at(parent);
    if known.is_empty() || nearest(key, known.iter().copied()).is_some() {
        return None;
    }
    let all = "`millstream config RECIPE` prints a recipe with all keys";
    if known.len() > MOST_KEYS {
        return Some(all.into());
    }
    let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
    Some(format!("keys here are {}; {all}", known.join(", ")))
}

fn foreign(row: &ForeignKey, value: &Value, recipe: &Value, shape: &Shape) -> String {
    if row.place.is_empty() {
        return row.remark.into();
    }
    // Other optimizers have the same options.
    let other = chosen_optimizer(recipe).map(|name| row.place.replace(".adamw.", &format!(".{name}.")));
    let place = other.as_deref().filter(|other| !shape_lacks(shape, other)).unwrap_or(row.place);
    let own = flow::flow(value);
    let fits = !value.is_null() && !value.is_boolean() && shape.allows(place, value) && same_sense(row, value);
    let written = if fits { &own } else { row.example };
    let remark = if row.remark.is_empty() { String::new() } else { format!("{}; ", row.remark) };
    format!("{remark}write\n{}", lines(place, written, INDENT))
}

/// Whether a person's own value still means the same at the place of the row. Where a remark says that the place is
/// different, it does not; and any text would do for a path.
fn same_sense(row: &ForeignKey, value: &Value) -> bool {
    let free = ["data.train", "data.evaluate", "model.path", "output.folder", "data.label", "data.input"];
    (row.remark.is_empty() || free.contains(&row.place)) && !(row.place == "training.device" && value.is_string())
}

fn shape_lacks(shape: &Shape, place: &str) -> bool {
    let key = place.rsplit('.').next().unwrap_or_default();
    !shape.places_of(key).iter().any(|known| known == place)
}

/// The name of the optimizer, alone or with its options.
fn chosen_optimizer(recipe: &Value) -> Option<&str> {
    chosen(recipe, "training.optimizer")
}

/// What is chosen at a place, alone or with its options.
fn chosen<'a>(recipe: &'a Value, place: &str) -> Option<&'a str> {
    match at(recipe, place)? {
        Value::String(name) => Some(name),
        Value::Object(map) if map.len() == 1 => map.keys().next().map(String::as_str),
        _ => None,
    }
}

/// Of the places that a key can stand at, those where this value could, and that fit what else the recipe says.
fn best(places: Vec<String>, value: &Value, recipe: &Value, shape: &Shape) -> Vec<String> {
    let fitting: Vec<String> = places.into_iter().filter(|place| shape.allows(place, value)).collect();
    let depth = |place: &str| {
        let mut around_it = around(place);
        while let Some(place) = around_it {
            if at(recipe, place).is_some() {
                return place.len();
            }
            around_it = around(place);
        }
        0
    };
    let deepest = fitting.iter().map(|place| depth(place)).max().unwrap_or(0);
    let mut fitting: Vec<String> = fitting.into_iter().filter(|place| depth(place) == deepest).collect();
    for (choice, usual) in [("training.optimizer", "adamw"), ("training.schedule", "cosine")] {
        let preferred = chosen(recipe, choice).or_else(|| at(recipe, choice).is_none().then_some(usual));
        let of_all = |place: &str| place.strip_prefix(choice).is_some_and(|rest| rest.starts_with('.'));
        if let Some(of_one) = preferred.map(|name| format!("{choice}.{name}."))
            && fitting.iter().any(|place| place.starts_with(&of_one))
        {
            fitting.retain(|place| !of_all(place) || place.starts_with(&of_one));
        }
    }
    // `epochs` by itself is the length of a run, and seldom that of an interval
    let is_seldom = |place: &String| ["evaluation.every.", "training.average."].iter().any(|of| place.starts_with(of));
    if !fitting.iter().all(is_seldom) {
        fitting.retain(|place| !is_seldom(place));
    }
    fitting.truncate(MOST_PLACES);
    fitting
}

fn wrong_value(place: &str, value: Option<&Value>, shape: &Shape) -> Option<String> {
    let value = value?;
    let word = match value {
        Value::String(text) => normal(text),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ => String::new(),
    };
    let of_list = place.strip_prefix("model.train[").and_then(|rest| rest.strip_suffix(']'));
    let place = if of_list.is_some() { "model.train" } else { place };
    let row = VALUES.iter().find(|(at, words, ..)| *at == place && words.contains(&word.as_str()));
    if let Some((_, _, instead, remark)) = row {
        let remark = if remark.is_empty() { String::new() } else { format!("{remark}; ") };
        return Some(format!("{remark}write\n{}", lines(place, instead, INDENT)));
    }
    let instead = other_form(place, value)?;
    shape.allows(place, &instead).then(|| format!("write\n{}", lines(place, &flow::flow(&instead), INDENT)))
}

/// The same in the form that is wanted: a number that was quoted, one layer's count, a list of patterns, bytes.
fn other_form(place: &str, value: &Value) -> Option<Value> {
    use serde_json::json;
    Some(match (place, value) {
        ("model.train", Value::Number(count)) => json!({"last": count}),
        ("model.train", Value::String(pattern)) if pattern.contains(['*', '?', '.']) => json!([{"match": pattern}]),
        ("model.train.match", Value::String(pattern)) => json!([pattern]),
        ("model", Value::String(path)) => json!({"path": path}),
        ("data", Value::String(path)) => json!({"train": path}),
        ("output", Value::String(folder)) => json!({"folder": folder}),
        ("data.memory", Value::Number(number)) => json!(format!("{number} MiB")),
        ("training.max_time", Value::Number(number)) => json!(format!("{number} min")),
        ("training.average", Value::Number(count)) => json!({"last": count}),
        ("model.stochastic_depth", Value::Number(probability)) => json!({"probability": probability}),
        ("evaluation.every", Value::Number(steps)) => json!({"steps": steps}),
        (place, Value::Number(warmup))
            if place.starts_with("training.schedule.") && place.matches('.').count() == 2 =>
        {
            json!({"warmup": warmup})
        }
        (place, Value::Number(rate)) if place.starts_with("training.optimizer.") && place.matches('.').count() == 2 => {
            json!({"learning_rate": rate})
        }
        ("transforms", Value::Array(list)) => json!({"train": list}),
        ("transforms.train" | "transforms.evaluate", one @ (Value::String(_) | Value::Object(_))) => match one {
            Value::Object(map) => Value::Array(map.iter().map(|(name, options)| json!({name: options})).collect()),
            one => json!([one]),
        },
        ("training.learning_rate_multipliers", Value::Object(map)) => {
            let entries = map.iter().map(|(pattern, factor)| json!({"match": pattern, "multiplier": factor}));
            Value::Array(entries.collect())
        }
        (_, Value::String(text)) => match text.trim().to_lowercase().as_str() {
            "yes" | "on" | "true" => json!(true),
            "no" | "off" | "false" => json!(false),
            number => serde_json::from_str::<serde_json::Number>(number).map(Value::Number).ok()?,
        },
        (_, Value::Number(number)) => {
            let number = number.as_f64().filter(|number| number.fract() == 0.0 && (0.0..1e15).contains(number))?;
            json!(number as u64)
        }
        _ => return None,
    })
}

/// Lines for what a recipe cannot do without.
fn missing_key(fault: &Fault) -> Option<String> {
    let key = fault.message.split_once("missing key `")?.1.strip_suffix('`')?;
    let place = join(&fault.place, key);
    let example = match place.as_str() {
        "data" => return Some(format!("write\n{}", lines("data.train", "photos/train-*.parquet", INDENT))),
        "data.train" => "photos/train-*.parquet",
        "model.path" => "model.onnx",
        _ => return None,
    };
    Some(format!("write\n{}", lines(&place, example, INDENT)))
}

/// `LR-Scheduler` and `lrScheduler` are `lr_scheduler`.
fn normal(word: &str) -> String {
    let mut normal = String::with_capacity(word.len() + 4);
    let mut lower = false;
    for letter in word.trim().chars() {
        if letter.is_uppercase() && lower {
            normal.push('_');
        }
        lower = letter.is_lowercase();
        normal.extend(letter.to_lowercase().map(|letter| if matches!(letter, '-' | ' ') { '_' } else { letter }));
    }
    normal
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::recipe::{Definitions, RecipeText};

    const SMALL: &str = "version: 1\nmodel:\n  path: m.onnx\ndata:\n  train: a.parquet\n";

    fn help(text: &str) -> String {
        let text = RecipeText::new(text, Path::new("r.yaml"), Path::new("/"), &[]).unwrap();
        let (_, faults) = text.examine(&Definitions::example());
        let help: Vec<_> = faults.iter().map(|fault| fault.help.clone().unwrap_or_default()).collect();
        help.join("\n")
    }

    #[test]
    fn every_line_that_is_shown_for_a_foreign_word_is_accepted() {
        let keys = KEYS.iter().chain(INSIDE.iter().map(|(_, row)| row));
        let keys = keys.filter(|row| !row.place.is_empty()).map(|row| (row.place, row.example));
        let definitions = Definitions::example_with(
            &[
                "adafactor",
                "adagrad",
                "adam",
                "adam_8bit",
                "adamw_8bit",
                "lamb",
                "lion_8bit",
                "muon",
                "nadam",
                "radam",
                "rmsprop",
                "schedule_free_adamw",
                "sgd_8bit",
            ],
            &[
                "cosine_restarts",
                "exponential",
                "inverse_square_root",
                "linear",
                "multi_step",
                "one_cycle",
                "polynomial",
                "reduce_on_plateau",
                "step",
                "warmup_stable_decay",
            ],
        );
        for (place, example) in keys.chain(VALUES.iter().map(|(place, _, instead, _)| (*place, *instead))) {
            let text = RecipeText::new(SMALL, Path::new("r.yaml"), Path::new("/"), &[format!("{place}={example}")]);
            let (_, faults) = text.unwrap().examine(&definitions);
            assert!(faults.is_empty(), "{place}: {example}: {faults:?}");
            let written: Value = serde_saphyr::from_str(&lines(place, example, 0)).unwrap();
            let value: Value = serde_saphyr::from_str(example).unwrap();
            assert_eq!(at(&written, place), Some(&value), "{place}");
        }
    }

    #[test]
    fn foreign_words_are_in_the_table_once_and_are_no_words_of_ours() {
        let shape = Shape::new(&Definitions::example());
        let mut seen = std::collections::HashSet::new();
        for word in KEYS.iter().flat_map(|row| row.words) {
            assert!(seen.insert(word), "{word} stands twice");
            assert_eq!(normal(word), **word);
            assert!(!help(&format!("{SMALL}{word}: 1\n")).is_empty() || !shape.places_of(word).is_empty(), "{word}");
        }
    }

    #[test]
    fn a_letter_is_no_word_of_another_tool_unless_its_value_fits() {
        assert!(help(&format!("{SMALL}x: pixels\n")).contains("data:\n      input: pixels"));
        for text in ["x: 1", "y: [3]", "zzzz: 1"] {
            let said = help(&format!("{SMALL}{text}\n"));
            assert!(said.starts_with("keys here are `") && said.contains("`data`, "), "{text}: {said}");
            assert!(said.ends_with("; `millstream config RECIPE` prints a recipe with all keys"), "{text}: {said}");
        }
        // what is near was said with the fault
        assert_eq!(help(&format!("{SMALL}traininng: {{}}\n")), "");
    }

    #[test]
    fn keys_of_other_tools_and_at_other_levels_are_answered_by_the_line_to_write() {
        for (text, wanted) in [
            ("training: {lr: 0.01}", "training:\n      optimizer:\n        adamw:\n          learning_rate: 0.01"),
            ("training: {lr: 0.01, optimizer: sgd}", "sgd:\n          learning_rate: 0.01"),
            ("training: {learning_rate: 3}", "adamw:\n          learning_rate: 3"),
            ("training: {optimizer: {sgd: {}}, learning_rate: 3}", "sgd:\n          learning_rate: 3"),
            ("training: {momentum: 0.9}", "sgd:\n          momentum: 0.9"),
            ("training: {maxEpochs: 7}", "training:\n      epochs: 7"),
            ("epochs: 3", "training:\n      epochs: 3"),
            ("training: {batch_size: 32}", "data:\n      batch: 32"),
            ("batch: 32", "data:\n      batch: 32"),
            ("optimizer: adamw", "training:\n      optimizer: adamw"),
            ("training: {optimizer: {name: adamw, lr: 0.1}}", "adamw:\n          learning_rate: 0.1"),
            ("training: {optimizer: lars}", "optimizer: lamb"),
            ("training: {epochs: '3'}", "epochs: 3"),
            ("training: {warmup_steps: 100}", "warmup: 0.1"),
            ("checkpoint: {keep: 3}", "output:\n      checkpoint: {keep: 3}"),
            ("fp16: true", "precision: bfloat16"),
            ("val: b.parquet", "data:\n      evaluate: b.parquet"),
            ("transforms: {val: [horizontal_flip]}", "transforms:\n      evaluate: [horizontal_flip]"),
            ("transforms: [horizontal_flip]", "transforms: {train: [horizontal_flip]}"),
            ("freeze: backbone", "model:\n      train: head"),
            ("training: {device: gpu}", "device: cuda"),
            ("training: {criterion: 1}", "training:\n      loss: cross_entropy"),
            ("loss: focal", "training:\n      loss: focal"),
        ] {
            let said = help(&format!("{SMALL}{text}\n"));
            assert!(said.contains(wanted), "{text}\nwanted: {wanted}\n   got: {said}");
        }
        for (train, wanted) in [
            ("bitfit", "train: biases"),
            ("[norms, layer_norm]", "train: norms"),
            ("'layer4.*'", "train: [{match: layer4.*}]"),
            ("[norms, 'layer4.*']", "train: [{match: layer4.*}]"),
            ("{kind: norms}", "train: [{kind: norms, last: 3}]"),
            ("3", "train: {last: 3}"),
        ] {
            let said = help(&SMALL.replace("m.onnx", &format!("m.onnx\n  train: {train}")));
            assert!(said.contains(&format!("model:\n      {wanted}")), "{train}\nwanted: {wanted}\n   got: {said}");
        }
    }
}
