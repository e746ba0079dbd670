//! What the pages name and readers have of their own: folders of pictures, boxes, texts, pretrained models. Small ones take their place.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::networks;

const CLASSES: [&str; 5] = ["daisy", "dandelion", "roses", "sunflowers", "tulips"];
/// Pictures of each class.
const PICTURES: usize = 12;
const SIDE: usize = 48;
/// The words of the tokenizer, behind its four special tokens.
const WORDS: &str = "a again and anna bad berlin cairo day dull film fine from good in is it lima lives long met of omar oslo paul \
                     prize rosa story the this to visits was win worth";
/// Rows of the tables of embeddings.
const TOKENS: u64 = 64;

/// What Python code on pages that are carried out on request imports before all else.
pub(super) const PYTHON: &str = include_str!("stand_ins.py");

/// Puts them into the folder; `network` is a model of small pictures of five classes.
///
/// # Errors
/// They cannot be written.
pub(super) fn make(folder: &Path, network: &Path) -> Result<(), String> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| format!("{name}: {error}"))?;
        fs::write(&path, bytes).map_err(|error| format!("{name}: {error}"))
    };
    for (class, name) in CLASSES.iter().enumerate() {
        for picture in 0..PICTURES {
            write(&format!("flowers/{name}/{picture:04}.bmp"), &bitmap(class, picture))?;
        }
    }
    for (at, name) in ["photos/1.bmp", "photos/2.bmp", "photo.png", "a.jpg", "b.png"].iter().enumerate() {
        write(name, &bitmap(at, 100 + at))?;
    }
    let message = |at: usize| {
        let (text, label) = [("a good day", "fine"), ("win a prize now", "spam")][at % 2];
        format!("{{\"text\": \"{text} {at}\", \"label\": \"{label}\"}}\n")
    };
    importable(&write)?;
    write("messages.jsonl", (0..24).map(message).collect::<String>().as_bytes())?;
    let network = fs::read(network).map_err(|error| format!("{}: {error}", network.display()))?;
    for name in ["mobilenet_v2.onnx", "mobilenet_v1_0.25_128/model.onnx", "model.onnx"] {
        write(name, &network)?;
    }
    for (name, model) in [("encoder", networks::encoder(TOKENS)), ("writer", networks::writer(TOKENS))] {
        write(&format!("{name}/model.onnx"), &model)?;
        write(&format!("{name}/tokenizer.json"), tokenizer().to_string().as_bytes())?;
    }
    write("pairs.onnx", &networks::pairs(TOKENS))?;
    write("listener.onnx", &networks::listener())?;
    write("points.onnx", &networks::pointer())?;
    write("reviews/reviews.jsonl", (0..80).map(review).collect::<String>().as_bytes())?;
    write("reviews.txt", b"a good film\na dull story\n")?;
    let (mut images, mut boxes) = (Vec::new(), Vec::new());
    for at in 0..20 {
        write(&format!("coco/train2017/{at}.bmp"), &bitmap(at % CLASSES.len(), at))?;
        images.push(format!("{{\"id\": {at}, \"file_name\": \"{at}.bmp\", \"width\": {SIDE}, \"height\": {SIDE}}}"));
        let [left, top, side] = square(at);
        boxes.push(format!(
            "{{\"id\": {at}, \"image_id\": {at}, \"category_id\": 1, \"bbox\": [{left}, {top}, {side}, {side}]}}"
        ));
    }
    let annotations = format!(
        "{{\"images\": [{}], \"annotations\": [{}], \"categories\": [{{\"id\": 1, \"name\": \"square\"}}]}}",
        images.join(", "),
        boxes.join(", ")
    );
    write("coco/annotations/instances_train2017.json", annotations.as_bytes())
}

/// Commands that make archives of what [`make`] puts into the folder.
pub(super) const ARCHIVES: [&str; 2] = [
    "python -m zipfile -c photos.zip flowers/daisy flowers/roses",
    "for shard in 0 1 2; do (cd samples/$shard && tar -cf ../../shard-00$shard.tar *); done",
];

/// Writes a file of this name into the folder.
type Write<'a> = dyn Fn(&str, &[u8]) -> Result<(), String> + 'a;

/// What the page about imports names: folders with splits and with tables, tables alone, samples of a WebDataset.
fn importable(write: &Write<'_>) -> Result<(), String> {
    let (mut birds, mut list) = (String::from("file_name,species\n"), String::from("path,species\n"));
    for at in 0..20 {
        let (class, species) = [(0, "finch"), (3, "heron")][at % 2];
        write(&format!("birds/{at}.bmp"), &bitmap(class, at))?;
        birds += &format!("{at}.bmp,{species}\n");
        list += &format!("birds/{at}.bmp,{species}\n");
        let split = if at < 14 { "train" } else { "test" };
        let pet = ["cat", "dog"][at % 2];
        write(&format!("pets/{split}/{pet}/{at}.bmp"), &bitmap(class, at))?;
        let sample = format!("samples/{}/{at:04}", at % 3);
        write(&format!("{sample}.bmp"), &bitmap(class, at))?;
        write(&format!("{sample}.txt"), format!("a {species} in front of a wall").as_bytes())?;
    }
    write("birds/metadata.csv", birds.as_bytes())?;
    write("list.csv", list.as_bytes())?;
    let prices = |from: usize, rows: usize| {
        let row = |at: usize| format!("{},{:.1}\n", 30 + at * 7 % 90, 100.5 + (at * 37 % 400) as f64);
        let rows: String = (from..from + rows).map(row).collect();
        format!("area,price\n{rows}")
    };
    write("train.csv", prices(0, 24).as_bytes())?;
    write("test.csv", prices(24, 8).as_bytes())
}

/// A line of JSON with a text and what it says.
fn review(at: usize) -> String {
    let (label, words) = [("bad", ["bad", "dull"]), ("good", ["good", "fine"])][at % 2];
    let word = words[at / 2 % 2];
    let text = [
        format!("this film is {word}"),
        format!("the story was {word} and the film is {word}"),
        format!("it is {word} again"),
    ];
    format!("{}\n", json!({"text": text[at % 3], "label": label}))
}

/// Words between white space and signs, in small letters, as the file of Hugging Face's `tokenizers`.
fn tokenizer() -> Value {
    let special = |name: &str, text: u32| json!({"SpecialToken": {"id": name, "type_id": text}});
    let words = |id: &str, text: u32| json!({"Sequence": {"id": id, "type_id": text}});
    let all = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].into_iter().chain(WORDS.split_whitespace());
    let vocabulary: serde_json::Map<String, Value> =
        all.zip(0_u64..).map(|(word, id)| (word.to_owned(), id.into())).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]", 0), words("A", 0), special("[SEP]", 0)],
            "pair": [
                special("[CLS]", 0), words("A", 0), special("[SEP]", 0), words("B", 1), special("[SEP]", 1)
            ],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocabulary},
    })
}

/// Where the bright square of a picture is: left, top and side.
fn square(picture: usize) -> [usize; 3] {
    [4 + picture * 7 % 18, 4 + picture * 5 % 18, 12 + picture * 3 % 10]
}

/// A square on a ground of the class's colour, as an uncompressed bitmap of 24 bits.
fn bitmap(class: usize, picture: usize) -> Vec<u8> {
    const HEADER: usize = 54;
    let length = HEADER + SIDE * SIDE * 3;
    let mut bytes = b"BM".to_vec();
    for number in [length as u32, 0, HEADER as u32, 40, SIDE as u32, SIDE as u32, 1 | 24 << 16, 0, 0, 2835, 2835, 0, 0]
    {
        bytes.extend(number.to_le_bytes());
    }
    let [left, top, side] = square(picture);
    for y in 0..SIDE {
        for x in 0..SIDE {
            // rows stand from the lowest up
            let is_inside = (left..left + side).contains(&x) && (top..top + side).contains(&(SIDE - 1 - y));
            let grain = (x * 7 + y * 13 + picture * 29) % 23;
            let channel = |channel: usize| match is_inside {
                true => 230,
                false => (40 + (class * 53 + channel * 91) % 150 + grain) as u8,
            };
            bytes.extend([channel(0), channel(1), channel(2)]);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_tokenizer_has_a_row_in_the_tables() {
        let file = tokenizer();
        let vocabulary = file["model"]["vocab"].as_object().unwrap();
        assert!(vocabulary.len() as u64 <= TOKENS && vocabulary["worth"].as_u64() == Some(37), "{vocabulary:?}");
    }

    #[test]
    fn bitmaps_are_as_long_as_they_say() {
        let bytes = bitmap(2, 7);
        assert_eq!(bytes.len() as u32, u32::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]));
        assert_ne!(bitmap(1, 7), bytes);
    }
}
