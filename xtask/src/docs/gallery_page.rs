//! `docs/gallery.md`: what each transform of rows does, seen. Pictures are written with the page; whether they are current is not asked, since
//! JPEG files of one picture differ with the program that writes them.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::asked::Asked;
use super::mixed_picture::{Labelled, holds, svg};
use super::schema_text::anchor;
use crate::command::root;

const HEAD: &str = "\
# Transform gallery

<!-- Written by `cargo xtask docs` from `millstream transforms --json` and `millstream preview`. -->

Each transform by itself: a row as it is, and as three epochs see it. The numbers that were drawn are below each picture; [`millstream preview`](commands/preview.md) makes such
sheets of your own rows and chain. All options are in [Catalogs](catalogs.md#transforms).
";

/// How each transform is shown: what stands in a recipe.
const SHOWN: &[(&str, &str)] = &[
    ("center_crop", "{center_crop: {size: 96}}"),
    ("color_jitter", "{color_jitter: {brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1}}"),
    ("delete_characters", "{delete_characters: {fraction: 0.1}}"),
    ("elastic", "{elastic: {alpha: 60, sigma: 6, border: reflect}}"),
    ("equalize", "{equalize: {probability: 1}}"),
    ("gaussian_blur", "{gaussian_blur: {sigma: [0.5, 4]}}"),
    ("gaussian_noise", "{gaussian_noise: {sigma: 0.1}}"),
    ("horizontal_flip", "horizontal_flip"),
    ("keyboard_typos", "{keyboard_typos: {fraction: 0.1}}"),
    ("normalize", "{normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}"),
    ("one_of", "{one_of: [horizontal_flip, {rotate: {degrees: 30}}, {gaussian_noise: {sigma: 0.1}}]}"),
    ("random_resized_crop", "{random_resized_crop: {size: 128, area: [0.2, 1.0]}}"),
    ("resize", "{resize: {size: 32}}"),
    ("rotate", "{rotate: {degrees: 30}}"),
    ("sequence", "{sequence: [horizontal_flip, {rotate: {degrees: 30}}]}"),
    ("sometimes", "{sometimes: {probability: 0.5, apply: {rotate: {degrees: 30}}}}"),
    ("swap_words", "{swap_words: {count: 1}}"),
    ("translate", "{translate: {fraction: [0.2, 0.2], border: wrap}}"),
    ("vertical_flip", "vertical_flip"),
];

/// The same of what works on whole batches and mixes two rows of them.
const SHOWN_MIXED: &[(&str, &str)] = &[("mix_up", "{mix_up: {alpha: 0.4}}")];
/// What is mixed, and the share of a row's own: one of those that are drawn.
const MIXED: [Labelled; 2] = [
    Labelled { file: "docs/images/gallery/cat/chelsea.jpg", label: "cat" },
    Labelled { file: "docs/images/gallery/coffee/coffee.jpg", label: "coffee" },
];
const WEIGHT: f64 = 0.7;

/// What may be seen beyond a picture's edges, and what that is.
const BORDERS: [(&str, &str); 5] = [
    ("picture", "what a crop in front of it has left out, and where that ends the colour `fill`; the default"),
    ("fill", "the colour `fill`, black unless it is said"),
    ("edge", "the nearest pixel of the edge"),
    ("reflect", "the picture in a mirror at its edge"),
    ("wrap", "the picture again, from its other side"),
];

const RECIPE: &str = "docs/images/gallery/gallery.yaml";

/// The transforms of rows with how each is shown.
///
/// # Errors
/// `SHOWN` lacks one, or has one that there is not.
fn shown(transforms: &Value) -> Result<Vec<(&Value, &'static str)>, String> {
    // what works on whole batches is not in previews
    examples(transforms, false, ("SHOWN", SHOWN))
}

/// The transforms of whole batches with how each is shown.
///
/// # Errors
/// As [`shown`].
fn shown_mixed(transforms: &Value) -> Result<Vec<(&Value, &'static str)>, String> {
    examples(transforms, true, ("SHOWN_MIXED", SHOWN_MIXED))
}

fn examples<'a>(
    transforms: &'a Value,
    of_batches: bool,
    (called, table): (&str, &[(&str, &'static str)]),
) -> Result<Vec<(&'a Value, &'static str)>, String> {
    let rows = transforms.as_array().into_iter().flatten();
    let rows: Vec<&Value> = rows.filter(|row| (row["kind"] == "batch") == of_batches).collect();
    let known = |name: &str| rows.iter().any(|row| row["name"] == name);
    if let Some((name, _)) = table.iter().find(|(name, _)| !known(name)) {
        return Err(format!(
            "{called} in xtask/src/docs/gallery_page.rs has `{name}`, which is no transform of this kind"
        ));
    }
    let example = |row: &Value| table.iter().find(|(name, _)| row["name"] == *name).map(|(_, chain)| *chain);
    let lacks = |row: &Value| format!("{called} in xtask/src/docs/gallery_page.rs lacks {}", row["name"]);
    rows.iter().map(|row| Ok((*row, example(row).ok_or_else(|| lacks(row))?))).collect()
}

/// The page. Texts are printed as they come, and pictures have to be there.
pub(super) fn page(asked: &Asked) -> Result<String, String> {
    let transforms = asked.json(&["transforms", "--json"])?;
    let mut text = String::from(HEAD);
    for (row, chain) in shown(&transforms)? {
        let name = row["name"].as_str().unwrap_or_default();
        text += &section(row, chain);
        text += &match row["kind"] == "text" {
            true => format!("\n```text\n{}\n```\n", asked.text(&preview(chain, &texts()))?.trim_end()),
            false => format!("\n![a cat as it is, and by `{name}` in three epochs]({})\n", picture(name)),
        };
    }
    for (row, chain) in shown_mixed(&transforms)? {
        let name = row["name"].as_str().unwrap_or_default();
        let [first, second] = MIXED.map(|picture| picture.label);
        text += &section(row, chain);
        text += &format!(
            "\nTwo rows of a batch, and what they become where a share of {WEIGHT} was drawn for a row's own: the labels are mixed as the \
             pictures are. `preview`, which shows rows, does not show it.\n\n![a {first}, a {second}, and both mixed by `{name}` with the \
             shares of their labels]({})\n",
            mixed(name)
        );
    }
    text += "\n## Borders\n\nWhat `border` shows where a turn, a shift or a crop looks beyond the picture, each with the same turns.\n";
    for (border, meaning) in BORDERS {
        let file = picture(&border_name(border));
        text += &format!(
            "\n### `{border}`\n\n{meaning}.\n\n```yaml\ntransforms: {{train: [{}]}}\n```\n\n\
             ![a cat as it is, and turned with `border: {border}` in three epochs]({file})\n",
            turned(border)
        );
    }
    Ok(text)
}

/// What is said of a transform in front of its picture.
fn section(row: &Value, chain: &str) -> String {
    let [name, summary] = ["name", "summary"].map(|key| row[key].as_str().unwrap_or_default());
    format!(
        "\n## `{name}`\n\n{summary} [Options](catalogs.md#{}).\n\n```yaml\ntransforms: {{train: [{chain}]}}\n```\n",
        anchor(name)
    )
}

/// A turn of a cropped picture with one border.
fn turned(border: &str) -> String {
    format!("{{center_crop: {{size: 112}}}}, {{rotate: {{degrees: 40, border: {border}}}}}")
}

fn border_name(border: &str) -> String {
    format!("border_{border}")
}

/// Writes a picture for each transform of images and for each border.
pub(super) fn pictures(asked: &Asked) -> Result<(), String> {
    let transforms = asked.json(&["transforms", "--json"])?;
    for (row, chain) in shown(&transforms)?.into_iter().filter(|(row, _)| row["kind"] != "text") {
        let file = path(row["name"].as_str().unwrap_or_default());
        asked.text(&preview(chain, &["-o".into(), file.to_string_lossy().into_owned()]))?;
    }
    for (border, _) in BORDERS {
        let file = path(&border_name(border));
        asked.text(&preview(&turned(border), &["-o".into(), file.to_string_lossy().into_owned()]))?;
    }
    for (row, _) in shown_mixed(&transforms)? {
        let file = mixed_path(row["name"].as_str().unwrap_or_default());
        fs::write(&file, svg(MIXED, WEIGHT)?).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// Which transforms and borders have no picture.
pub(super) fn check(asked: &Asked) -> Result<(), String> {
    let transforms = asked.json(&["transforms", "--json"])?;
    let lost = |row: &Value| {
        let file = path(row["name"].as_str().unwrap_or_default());
        (row["kind"] != "text" && fs::metadata(&file).is_err()).then(|| file.display().to_string())
    };
    let mut lost: Vec<String> = shown(&transforms)?.into_iter().filter_map(|(row, _)| lost(row)).collect();
    let borders = BORDERS.iter().map(|(border, _)| path(&border_name(border)));
    lost.extend(borders.filter(|file| fs::metadata(file).is_err()).map(|file| file.display().to_string()));
    let mix = svg(MIXED, WEIGHT)?;
    let mixes =
        shown_mixed(&transforms)?.into_iter().map(|(row, _)| mixed_path(row["name"].as_str().unwrap_or_default()));
    lost.extend(
        mixes.filter(|file| !holds(file, &mix)).map(|file| format!("{} as it would be made now", file.display())),
    );
    match lost.is_empty() {
        true => Ok(()),
        false => Err(format!("not there: {}; `cargo xtask docs` writes them", lost.join(", "))),
    }
}

fn preview(chain: &str, more: &[String]) -> Vec<String> {
    let chain = format!("transforms.train=[{chain}]");
    let line = ["preview", RECIPE, "--quiet", "-n", "1", "-k", "3", "--set", &chain];
    line.iter().map(ToString::to_string).chain(more.iter().cloned()).collect()
}

fn texts() -> [String; 2] {
    ["--set".into(), "data.train=docs/images/gallery/reviews.jsonl".into()]
}

fn picture(name: &str) -> String {
    format!("images/gallery/{name}.jpg")
}

fn mixed(name: &str) -> String {
    format!("images/gallery/{name}.svg")
}

fn mixed_path(name: &str) -> PathBuf {
    root().join("docs").join(mixed(name))
}

fn path(name: &str) -> PathBuf {
    root().join("docs").join(picture(name))
}
