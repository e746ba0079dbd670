//! Losses of sequences, from the command line: the next token, and symbols along time.

use std::io::Cursor;

use arrow_array::ArrayRef;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::columns::{bytes, lists_of_lists, lists_of_whole, texts};
use crate::learning::{figure, learns, measured, noise, place, recipe};
use crate::losses_of_places::{of_tokens, sentence, tokenizer};
use crate::onnx::{model, node, tensor, weight, whole, with_list};
use crate::workplace::{Workplace, has_runtime};

const SONG: [&str; 6] = ["do", "re", "mi", "fa", "so", "la"];
const NOISE: [&str; 6] = ["ha", "he", "hi", "ho", "hu", "hm"];

/// From any word of the song on, some words of it.
fn song(row: usize) -> Vec<&'static str> {
    (0..3 + row % 7).map(|at| SONG[(row * 5 + at) % 6]).collect()
}

#[test]
fn the_next_token_is_learned_and_neither_padding_nor_a_prompt_is() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let rows = || first..first + count;
        let prompts = rows().map(|row| sentence(row, &NOISE).join(" "));
        vec![("prompt", texts(prompts)), ("song", texts(rows().map(|row| song(row).join(" "))))]
    };
    let words = [SONG, NOISE].concat();
    let place = place(columns, of_tokens(16, 16));
    tokenizer(&place.path("tokenizer.json"), &words);
    let of = |columns: Value, learn: &str| {
        let tokens = json!({"column": columns, "tokenizer": "tokenizer.json", "pad_to_multiple_of": 4});
        recipe(
            json!({"inputs": {"input_ids": {"token_ids": tokens}}, "targets": {"next": {"own_tokens": {"learn": learn}}}}),
            json!({"loss": "causal_language_modelling", "metrics": ["perplexity"], "epochs": 16}),
        )
    };
    // After [CLS] there may be any word, and after some words the end.
    let found = learns(&place, &of(json!("song"), "all"), 0.6);
    assert!(figure(&found, "perplexity") < 3.0, "{found}");
    assert!((figure(&found, "loss").exp() - figure(&found, "perplexity")).abs() < 1e-3, "{found}");
    let alone = measured(&place, &["data.batch=1", "data.inputs.input_ids.token_ids.pad_to_multiple_of=1"]);
    assert!((figure(&alone, "loss") - figure(&found, "loss")).abs() < 1e-5, "{alone}, in batches {found}");
    // What rows are made into is told where it is not what the model was trained with.
    std::fs::copy(place.path("tokenizer.json"), place.path("moved.json")).unwrap();
    tokenizer(&place.path("other.json"), &[NOISE, SONG].concat());
    for (change, wanted) in [
        ("pad_to_multiple_of=1", None),
        ("tokenizer=moved.json", None),
        ("max_length=5", Some("the model was trained with `max_length: 128`, this recipe has `max_length: 5`")),
    ] {
        let change = format!("data.inputs.input_ids.token_ids.{change}");
        let report = place.run(&["evaluate", "recipe.yaml", "--json", "--set", &change]).json();
        let told = report["warnings"].as_array().unwrap().iter().filter_map(Value::as_str);
        let told: Vec<&str> = told.filter(|warning| warning.contains("was trained with")).collect();
        assert_eq!(told.len(), usize::from(wanted.is_some()), "{change}: {told:?}");
        assert!(wanted.is_none_or(|wanted| told[0].contains(wanted)), "{change}: {told:?}");
    }
    let other = "data.inputs.input_ids.token_ids.tokenizer=other.json";
    let wanted = ["`input_ids` would be made otherwise than in training", "other.json", "put that one back"];
    place.run_with("evaluate", &[other]).failed_with(&wanted);
    std::fs::remove_dir_all(place.path("run")).unwrap();
    // Nothing tells what a prompt says, but all of it what follows.
    let found = learns(&place, &of(json!(["prompt", "song"]), "second_text"), 0.6);
    let with_prompt = measured(&place, &["data.targets.next={own_tokens: {learn: all}}"]);
    assert!(figure(&found, "perplexity") < 2.5 && figure(&with_prompt, "perplexity") > 5.0, "{found}, {with_prompt}");
}

const LETTERS: [char; 4] = [' ', 'a', 'b', 'c'];

/// Two words or three, of one or two letters.
fn transcript(row: usize) -> String {
    let letter = |at: usize| LETTERS[1 + ((noise(30 * row + at) + 1.0) * 1.4999) as usize];
    let word = |of: usize| (0..1 + (row + of) % 2).map(|at| letter(3 * of + at)).collect::<String>();
    (0..2 + row % 2).map(word).collect::<Vec<_>>().join(" ")
}

/// A sound of it: each letter for some time, and some silence behind it.
fn sound(row: usize) -> Vec<Vec<f32>> {
    let mut steps = Vec::new();
    for (place, letter) in transcript(row).chars().enumerate() {
        let (lasts, pauses) = (3 + (row + place) % 3, 2);
        for step in 0..lasts + pauses {
            let own = LETTERS.iter().map(|known| f32::from(u8::from(step < lasts && *known == letter)));
            let at = steps.len();
            steps.push(own.enumerate().map(|(of, x)| x + 0.15 * noise(4000 * row + 4 * at + of)).collect());
        }
    }
    steps
}

fn speech(first: usize, count: usize) -> Vec<(&'static str, ArrayRef)> {
    let rows = || first..first + count;
    // As numbers of symbols, the last of which is the blank; of some rows nobody wrote down what was said.
    let number = |letter: char| LETTERS.iter().position(|known| *known == letter).unwrap() as i64;
    let numbers = |row: usize| (row % 9 != 4).then(|| transcript(row).chars().map(number).collect());
    vec![
        ("sound", lists_of_lists(rows().map(sound))),
        ("transcript", texts(rows().map(transcript))),
        ("numbers", lists_of_whole(rows().map(numbers))),
    ]
}

/// `sound` [batch, time, 4] → convolution that halves the time → dense → `scores` [batch, half the time, 5].
fn listener() -> Vec<u8> {
    let convolution = node("Conv", &["channels", "conv.w", "conv.b"], "mixed", &[("pads", &[1, 1])]);
    let nodes = vec![
        node("Transpose", &["sound"], "channels", &[("perm", &[0, 2, 1])]),
        with_list(convolution, "strides", &[2]),
        node("Relu", &["mixed"], "bent", &[]),
        node("Transpose", &["bent"], "steps", &[("perm", &[0, 2, 1])]),
        node("MatMul", &["steps", "w"], "product", &[]),
        node("Add", &["product", "b"], "scores", &[]),
    ];
    let weights =
        vec![weight("conv.w", &[12, 4, 3]), weight("conv.b", &[12]), weight("w", &[12, 5]), weight("b", &[5])];
    let inputs = vec![tensor("sound", false, &["batch", "time", "4"])];
    model(nodes, weights, inputs, vec![tensor("scores", false, &["batch", "half", "5"])])
}

fn of_speech(symbols: Value, loss: Value, metrics: Value) -> Value {
    recipe(
        json!({
            "inputs": {"sound": {"sequence": {"column": "sound", "max_length": 128, "pad_to_multiple_of": 4}}},
            "targets": {"said": {"symbols": symbols}},
        }),
        json!({
            "loss": loss, "metrics": metrics, "best": "character_error_rate", "epochs": 60,
            "optimizer": {"adamw": {"learning_rate": 0.03}},
        }),
    )
}

/// Rows by themselves, without padding, have the loss and the errors that they have in batches.
#[track_caller]
fn padding_changes_nothing(place: &Workplace, found: &Value) {
    for changes in [
        ["data.batch=1", "data.inputs.sound.sequence.pad_to_multiple_of=1"],
        ["data.batch=30", "data.inputs.sound.sequence.pad_to_multiple_of=64"],
    ] {
        let again = measured(place, &changes);
        for name in ["loss", "character_error_rate"] {
            let (then, now) = (figure(found, name), figure(&again, name));
            assert!((then - now).abs() < 2e-5, "{changes:?}, {name}: {now}, and as trained {then}");
        }
    }
}

#[test]
fn letters_along_time_are_learned_from_sounds_and_transcripts_of_any_length() {
    if !has_runtime() {
        return;
    }
    let place = place(speech, listener());
    let metrics = json!(["character_error_rate", {"word_error_rate": {"separator": 1}}]);
    let recipe = of_speech(json!({"column": "transcript"}), json!("ctc"), metrics);
    let found = learns(&place, &recipe, 0.3);
    assert!(figure(&found, "character_error_rate") < 0.1 && figure(&found, "word_error_rate") < 0.3, "{found}");
    assert_eq!(place.read("run/labels.txt"), "<blank>\n\" \"\na\nb\nc\n".as_bytes());
    padding_changes_nothing(&place, &found);
    let said = place.run(&["compile", "recipe.yaml", "-o", "graphs"]).done();
    // cells of the table are broken at the width of the screen
    let words: Vec<&str> = said.split_whitespace().collect();
    assert!(words.join(" ").contains("lengths input: places of the int64"), "{said}");
    // Of rows that lack a letter the others are told by the numbers that the model has for them.
    let lacking: Vec<usize> = (1000..1100).filter(|row| !transcript(*row).contains('a')).collect();
    assert!(lacking.len() > 3, "{lacking:?}");
    let sounds = lists_of_lists(lacking.iter().map(|row| sound(*row)));
    let said = texts(lacking.iter().map(|row| transcript(*row)));
    let columns = [("sound", sounds), ("transcript", said)];
    crate::dataset::write_columns(&place.path("lacking.parquet"), &columns, false);
    let found = place.run(&["evaluate", "recipe.yaml", "--json", "--data", "lacking.parquet"]).json();
    assert!(figure(&found["evaluation"], "character_error_rate") < 0.15, "{found}");
    // A sound that is too short for what is said stops the run, or counts nothing.
    let short = |row: usize| if row == 1003 { sound(row)[..2].to_vec() } else { sound(row) };
    let mut columns = speech(1000, 30);
    columns[0].1 = lists_of_lists((1000..1030).map(short));
    crate::dataset::write_columns(&place.path("short.parquet"), &columns, false);
    let evaluate = |loss: &str| {
        let loss = format!("training.loss={loss}");
        place.run(&["evaluate", "recipe.yaml", "--json", "--data", "short.parquet", "--set", &loss])
    };
    let of = |loss: &str| evaluate(loss).json()["evaluation"].take();
    assert_eq!(of("ctc")["loss"], Value::Null, "infinite");
    assert!(figure(&of("{ctc: {zero_infinity: true}}"), "loss") < 1.0);
}

#[test]
fn symbols_by_their_numbers_with_the_blank_behind_them_are_learned() {
    if !has_runtime() {
        return;
    }
    let place = place(speech, listener());
    let metrics = json!([{"character_error_rate": {"blank": 4}}]);
    let symbols = json!({"column": "numbers", "symbols": [" ", "a", "b", "c", "_"], "blank": 4});
    let found = learns(&place, &of_speech(symbols, json!({"ctc": {"blank": 4}}), metrics), 0.3);
    assert!(figure(&found, "character_error_rate") < 0.1, "{found}");
    assert_eq!(found["rows"], (1000..1030).filter(|row| row % 9 != 4).count());
    padding_changes_nothing(&place, &found);
    for (change, wanted) in [
        ("data.targets.said.symbols.blank=0", "which is the blank"),
        ("data.targets.said.symbols.max_length=4", "and `max_length` is 4; raise it"),
        ("data.inputs.sound.sequence.max_length=16", "and `max_length` is 16; raise it"),
        ("data.targets.said.symbols.symbols=[a, b, c, d, _]", ""),
        (
            "data.targets.said={category: {column: transcript, as: index}}",
            "`ctc` wants targets of int64 [8, target_symbols]",
        ),
    ] {
        let ran = place.run(&[
            "train",
            "recipe.yaml",
            "--overwrite",
            "--quiet",
            "--set",
            "training.epochs=1",
            "--set",
            change,
        ]);
        if wanted.is_empty() {
            ran.done();
        } else {
            ran.failed_with(&[wanted]);
        }
    }
}

/// Four columns wide and five rows high.
const SHAPES: [(char, [u8; 5]); 3] = [
    ('a', [0b0110, 0b1001, 0b1111, 0b1001, 0b1001]),
    ('b', [0b1110, 0b1001, 0b1110, 0b1001, 0b1110]),
    ('c', [0b0111, 0b1000, 0b1000, 0b1000, 0b0111]),
];

/// Two letters to five, at some places of a picture of 40 × 12 pixels.
fn written(row: usize) -> (String, Vec<u8>) {
    let drawn = |at: usize, most: usize| ((noise(90 * row + at) + 1.0) * 0.4999 * most as f32) as usize;
    let mut pixels = RgbImage::from_fn(40, 12, |x, y| Rgb([drawn(1000 + 40 * y as usize + x as usize, 60) as u8; 3]));
    let (mut text, mut left) = (String::new(), drawn(0, 3));
    for at in 0..2 + drawn(1, 4) {
        let (letter, shape) = SHAPES[drawn(10 * at + 2, 3)];
        let (top, ink) = (1 + drawn(10 * at + 3, 5), 180 + drawn(10 * at + 4, 75) as u8);
        for (y, line) in shape.iter().enumerate() {
            for x in (0..4).filter(|x| line >> (3 - x) & 1 == 1) {
                pixels.put_pixel((left + x) as u32, (top + y) as u32, Rgb([ink; 3]));
            }
        }
        text.push(letter);
        left += 5 + drawn(10 * at + 5, 3);
    }
    let mut file = Cursor::new(Vec::new());
    pixels.write_to(&mut file, ImageFormat::Png).unwrap();
    (text, file.into_inner())
}

/// `image` [batch, 3, 12, 40] → convolutions, the last as high as what is left → dense along the width → `scores` [batch, 20, 4].
fn reader() -> Vec<u8> {
    let convolution =
        |name: &str, from: &str, to: &str| node("Conv", &[from, &format!("{name}.w"), &format!("{name}.b")], to, &[]);
    let nodes = vec![
        with_list(convolution("one", "image", "a"), "pads", &[1, 1, 1, 1]),
        node("Relu", &["a"], "b", &[]),
        with_list(with_list(convolution("two", "b", "c"), "pads", &[1, 1, 1, 1]), "strides", &[2, 2]),
        node("Relu", &["c"], "d", &[]),
        convolution("three", "d", "e"),
        node("Relu", &["e"], "f", &[]),
        node("Squeeze", &["f", "height"], "columns", &[]),
        node("Transpose", &["columns"], "places", &[("perm", &[0, 2, 1])]),
        node("MatMul", &["places", "w"], "product", &[]),
        node("Add", &["product", "b.last"], "scores", &[]),
    ];
    let shapes: [(&str, &[u64]); 3] = [("one", &[16, 3, 3, 3]), ("two", &[32, 16, 3, 3]), ("three", &[32, 32, 6, 1])];
    let mut weights = vec![weight("w", &[32, 4]), weight("b.last", &[4]), whole("height", &[2])];
    for (name, shape) in shapes {
        weights.extend([weight(&format!("{name}.w"), shape), weight(&format!("{name}.b"), &shape[..1])]);
    }
    let inputs = vec![tensor("image", false, &["batch", "3", "12", "40"])];
    model(nodes, weights, inputs, vec![tensor("scores", false, &["batch", "20", "4"])])
}

#[test]
fn letters_are_read_from_pictures_of_words() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let rows: Vec<(String, Vec<u8>)> = (first..first + count).map(written).collect();
        let pictures = bytes(rows.iter().map(|(_, picture)| Some(picture.clone())));
        vec![("image", pictures), ("text", texts(rows.into_iter().map(|(text, _)| text)))]
    };
    let place = place(columns, reader());
    let recipe = recipe(
        json!({
            "inputs": {"image": {"image": {"column": "image"}}}, "targets": {"written": {"symbols": {"column": "text"}}},
        }),
        json!({
            "loss": "ctc", "metrics": ["character_error_rate"], "best": "character_error_rate", "epochs": 60,
            "optimizer": {"adamw": {"learning_rate": 0.01}},
        }),
    );
    let found = learns(&place, &recipe, 0.1);
    assert!(figure(&found, "character_error_rate") < 0.15, "{found}");
    assert_eq!(place.read("run/labels.txt"), "<blank>\na\nb\nc\n".as_bytes());
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_model_has_embeddings_is_told_before_the_first_row() {
    let columns =
        |first: usize, count: usize| vec![("song", texts((first..first + count).map(|row| song(row).join(" "))))];
    let place = place(columns, of_tokens(9, 9));
    // ten tokens, and a table of nine
    tokenizer(&place.path("tokenizer.json"), &SONG);
    let tokens = json!({"column": "song", "tokenizer": "tokenizer.json"});
    let recipe = recipe(
        json!({"inputs": {"input_ids": {"token_ids": tokens}}, "targets": {"next": {"own_tokens": {"learn": "all"}}}}),
        json!({"loss": "causal_language_modelling", "metrics": ["perplexity"]}),
    );
    place.write("recipe.yaml", &recipe.to_string());
    let wanted = ["data.inputs", "tokens up to number 9", "`input_ids` reads has 9 rows"];
    for command in ["check", "train"] {
        place.run(&[command, "recipe.yaml"]).failed_with(&wanted);
    }
}
