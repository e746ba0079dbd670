//! What a page says of a run beside its record: how it came about, its recipe, and rows that it was wrong about.

use std::fmt::Write as _;

use millstream_schemas::{count, percent, shown, shown_up_to};
use serde::Serialize;

/// What a page says of a run beside its record.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// When, where, with which software and of which data it was made: names and values.
    pub facts: Vec<(String, String)>,
    /// The recipe with every default, as YAML.
    pub recipe: Option<String>,
    /// Rows that it was most wrong about, the worst first.
    pub mistakes: Vec<WrongRow>,
    /// Pictures in which a detector was most wrong, the worst first.
    pub pictures: Vec<WrongPicture>,
    /// Pictures of which a model of masks told most as another class, the worst first.
    pub masks: Vec<WrongMask>,
    /// Names of the classes in these, each with the red, green and blue that it is tinted with.
    pub mask_classes: Vec<(String, [u8; 3])>,
}

/// A picture of which places were told as another class, with what is true and with what was told.
#[derive(Clone, Debug)]
pub struct WrongMask {
    /// It with its mask, small, as the bytes of a JPEG file.
    pub truth: Vec<u8>,
    /// It with what was told, likewise.
    pub told: Vec<u8>,
    /// Share of the places that count which were told as another class, 0 to 1.
    pub wrong: f64,
    /// Where it lies.
    pub row: String,
}

/// A picture in which a detector missed boxes, or told what is not there.
#[derive(Clone, Debug)]
pub struct WrongPicture {
    /// It, small, as the bytes of a JPEG file.
    pub jpeg: Vec<u8>,
    /// Width and height of that in pixels.
    pub size: [u32; 2],
    /// What is there and what was told.
    pub boxes: Vec<ShownBox>,
    /// Boxes that were not found.
    pub missed: u64,
    /// Things that were told and are not there.
    pub wrong: u64,
    /// Where it lies.
    pub row: String,
}

/// A box that is drawn in a picture.
#[derive(Clone, Debug)]
pub struct ShownBox {
    /// How it is drawn.
    pub look: BoxLook,
    /// What is said of it where a pointer rests on its edge.
    pub label: String,
    /// Left, top, right and bottom, in pixels of the picture.
    pub bounds: [f64; 4],
}

/// How a box is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxLook {
    /// As what is there.
    There,
    /// As what was told and is there.
    Right,
    /// As what was told and is not there.
    Wrong,
    /// As what does not count.
    Ignored,
}

/// A row that a model of classes was wrong about.
#[derive(Clone, Debug)]
pub struct WrongRow {
    /// What it holds.
    pub example: Example,
    /// Name of its class.
    pub truth: String,
    /// Name of the class that it was taken for.
    pub predicted: String,
    /// What the model gave that class, 0 to 1.
    pub probability: f64,
    /// What it gave the row's own class, 0 to 1.
    pub probability_of_truth: f64,
    /// Where it lies.
    pub row: String,
}

/// What a row holds, for people.
#[derive(Clone, Debug)]
pub enum Example {
    /// A small picture, as the bytes of a JPEG file.
    Jpeg(Vec<u8>),
    /// A text.
    Text(String),
}

/// Letters that a text is cut to.
const LONGEST_TEXT: usize = 400;
/// Letters that the recipe is cut to.
const LONGEST_RECIPE: usize = 100_000;

/// As the template takes it: all text is escaped, and a last time by the template.
#[derive(Default, Serialize)]
pub(super) struct ShownAbout {
    facts: Vec<(String, String)>,
    recipe: Option<String>,
    mistakes: Vec<ShownMistake>,
    pictures: Vec<ShownPicture>,
    masks: Vec<ShownMask>,
    mask_classes: Vec<ShownClass>,
}

#[derive(Serialize)]
struct ShownMask {
    /// In Base64.
    truth: String,
    told: String,
    wrong: String,
    row: String,
}

#[derive(Serialize)]
struct ShownClass {
    name: String,
    /// As a style sheet has it.
    colour: String,
}

#[derive(Serialize)]
struct ShownPicture {
    /// In Base64.
    jpeg: String,
    width: u32,
    height: u32,
    boxes: Vec<DrawnBox>,
    about: String,
    row: String,
}

#[derive(Serialize)]
struct DrawnBox {
    /// Classes of the style sheet.
    style: &'static str,
    label: String,
    x: String,
    y: String,
    width: String,
    height: String,
}

#[derive(Serialize)]
struct ShownMistake {
    /// In Base64.
    jpeg: Option<String>,
    text: Option<String>,
    truth: String,
    predicted: String,
    probability: String,
    probability_of_truth: String,
    row: String,
}

impl ShownAbout {
    pub(super) fn new(about: &About) -> Self {
        let fact = |(name, value): &(String, String)| (shown(name), shown_up_to(value, 400));
        let class = |(name, [red, green, blue]): &(String, [u8; 3])| ShownClass {
            name: shown(name),
            colour: format!("rgb({red} {green} {blue})"),
        };
        Self {
            facts: about.facts.iter().map(fact).collect(),
            recipe: about.recipe.as_ref().map(|text| lines(text)),
            mistakes: about.mistakes.iter().map(ShownMistake::new).collect(),
            pictures: about.pictures.iter().map(ShownPicture::new).collect(),
            masks: about.masks.iter().map(ShownMask::new).collect(),
            mask_classes: about.mask_classes.iter().map(class).collect(),
        }
    }
}

impl ShownPicture {
    fn new(picture: &WrongPicture) -> Self {
        let [width, height] = picture.size;
        let missed = (picture.missed > 0).then(|| format!("{} not found", count(picture.missed, "box")));
        let wrong = (picture.wrong > 0).then(|| format!("{} told in vain", picture.wrong));
        Self {
            jpeg: base64(&picture.jpeg),
            width,
            height,
            boxes: picture.boxes.iter().map(DrawnBox::new).collect(),
            about: missed.into_iter().chain(wrong).collect::<Vec<_>>().join(", "),
            row: shown(&picture.row),
        }
    }
}

impl ShownMask {
    fn new(mask: &WrongMask) -> Self {
        Self { truth: base64(&mask.truth), told: base64(&mask.told), wrong: percent(mask.wrong), row: shown(&mask.row) }
    }
}

impl DrawnBox {
    fn new(one: &ShownBox) -> Self {
        let [left, top, right, bottom] = one.bounds;
        let pixels = |length: f64| format!("{length:.1}");
        Self {
            style: match one.look {
                BoxLook::There => "s2",
                BoxLook::Right => "s0",
                BoxLook::Wrong => "s1 d6",
                BoxLook::Ignored => "s6 d2",
            },
            label: shown(&one.label),
            x: pixels(left),
            y: pixels(top),
            width: pixels((right - left).max(0.0)),
            height: pixels((bottom - top).max(0.0)),
        }
    }
}

impl ShownMistake {
    fn new(row: &WrongRow) -> Self {
        let (jpeg, text) = match &row.example {
            Example::Jpeg(bytes) => (Some(base64(bytes)), None),
            Example::Text(text) => (None, Some(shown_up_to(text, LONGEST_TEXT))),
        };
        Self {
            jpeg,
            text,
            truth: shown(&row.truth),
            predicted: shown(&row.predicted),
            probability: percent(row.probability),
            probability_of_truth: percent(row.probability_of_truth),
            row: shown(&row.row),
        }
    }
}

/// A text of several lines, each escaped.
fn lines(text: &str) -> String {
    let mut shown_text = String::new();
    for line in text.lines() {
        if shown_text.len() > LONGEST_RECIPE {
            shown_text.push_str("…\n");
            break;
        }
        // a line begins with spaces that mean something
        let body = line.trim_start_matches(' ');
        let _ = writeln!(shown_text, "{}{}", &line[..line.len() - body.len()], shown_up_to(body, 2000));
    }
    shown_text
}

/// Bytes in the alphabet of RFC 4648, section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0u32, |word, (index, byte)| word | u32::from(*byte) << (16 - 8 * index));
        for index in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * index)) as usize & 63];
            text.push(if index <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 4648, section 10.
    #[test]
    fn bytes_are_written_as_the_standard_says() {
        for (bytes, wanted) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), wanted);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfb]), "//77");
    }

    #[test]
    fn a_recipe_keeps_its_lines_and_nothing_in_it_moves_a_terminal() {
        assert_eq!(lines("a: 1\n  b: \u{1b}[31m\n"), "a: 1\n  b: \\u{1b}[31m\n");
    }
}
