//! Images with boxes in text files of their names, as YOLO has them.

use std::collections::BTreeMap;

use millstream_pipeline::Split;
use millstream_schemas::{count, shown, yaml};
use serde_json::Value as Json;

use super::column::{Column, Kind};
use super::import_options::ImportOptions;
use super::layout::{Cell, Layout};
use super::objects::ObjectsKind;
use super::source_files::SourceFiles;
use super::yolo_lines::class_of;
use crate::folder_files::is_image;
use crate::{RecipeError, Stop};

/// Files of a line for each class.
const NAMES: [&str; 4] = ["classes.names", "classes.txt", "obj.names", "labels.names"];

fn own_name(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, own)| own)
}

/// Where the boxes of an image are: in the folder `labels` for its nearest `images`, or beside it.
fn labels_of(image: &str) -> [String; 2] {
    let stem = image.rsplit_once('.').map_or(image, |(stem, _)| stem);
    let mut parts: Vec<&str> = stem.split('/').collect();
    let folders = parts.len() - 1;
    if let Some(at) = parts[..folders].iter().rposition(|part| part.eq_ignore_ascii_case("images")) {
        parts[at] = "labels";
    }
    [format!("{}.txt", parts.join("/")), format!("{stem}.txt")]
}

fn found_labels(files: &SourceFiles, image: &str) -> Option<u32> {
    labels_of(image).iter().find_map(|name| files.find(name))
}

/// Whether images have files of boxes: in folders `labels`, or beside them where a file says which classes there are.
pub(super) fn has_boxes(files: &SourceFiles) -> bool {
    let says_classes = || files.files().iter().any(|file| NAMES.contains(&own_name(&file.name)) || is_yaml(&file.name));
    let folder = |name: &str| name.rsplit_once('/').map_or(0, |(folder, _)| folder.len());
    let first = files.files().iter().filter(|file| is_image(&file.name)).find_map(|file| {
        let labels = found_labels(files, &file.name)?;
        let name = &files.files()[labels as usize].name;
        let beside = name[..folder(name)] == file.name[..folder(&file.name)];
        is_of_boxes(&files.text(labels).unwrap_or_default()).then_some(beside)
    });
    first.is_some_and(|beside| !beside || says_classes())
}

/// Whether a text is lines of numbers, the first of them whole.
fn is_of_boxes(text: &str) -> bool {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        class_of(words.next()).is_some() && words.clone().count() >= 4 && words.all(|word| word.parse::<f64>().is_ok())
    };
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
    lines.peek().is_some() && lines.take(100).all(line)
}

fn is_yaml(name: &str) -> bool {
    [".yaml", ".yml"].iter().any(|end| name.to_ascii_lowercase().ends_with(end))
}

/// What the `data.yaml` of a dataset says.
#[derive(Default)]
struct Described {
    names: Vec<String>,
    key_points: bool,
    /// Folders of splits.
    splits: Vec<(String, Split)>,
}

impl Described {
    fn of(files: &SourceFiles) -> Result<(Self, Vec<u32>), RecipeError> {
        let mut used = Vec::new();
        let mut described = Self::default();
        for (at, file) in files.files().iter().enumerate() {
            let at = at as u32;
            let failed = |reason: String| RecipeError::mismatch(shown(&file.name), reason);
            if is_yaml(&file.name) {
                let value = files.text(at).and_then(|text| yaml::value(&text)).map_err(failed)?;
                let Some(names) = value.get("names") else { continue };
                described.names = names_of(names).ok_or_else(|| {
                    failed("`names` is neither a list of names nor one under the numbers 0, 1, 2, …".into())
                })?;
                described.key_points = value.get("kpt_shape").is_some();
                described.splits = splits_of(&value);
                used.push(at);
            } else if NAMES.contains(&own_name(&file.name)) && described.names.is_empty() {
                let text = files.text(at).map_err(failed)?;
                described.names =
                    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
                used.push(at);
            }
        }
        Ok((described, used))
    }
}

/// A list, or names under numbers.
fn names_of(names: &Json) -> Option<Vec<String>> {
    let text = |name: &Json| match name {
        Json::String(text) => Some(text.clone()),
        Json::Number(_) | Json::Bool(_) => Some(name.to_string()),
        _ => None,
    };
    match names {
        Json::Array(names) => names.iter().map(text).collect(),
        Json::Object(names) => {
            let numbered: Option<BTreeMap<usize, String>> =
                names.iter().map(|(number, name)| Some((number.parse().ok()?, text(name)?))).collect();
            let numbered = numbered?;
            let whole = numbered.keys().copied().eq(0..numbered.len());
            whole.then(|| numbered.into_values().collect())
        }
        _ => None,
    }
}

fn splits_of(value: &Json) -> Vec<(String, Split)> {
    let mut splits = Vec::new();
    for (key, split) in [("train", Split::Train), ("val", Split::Validation), ("test", Split::Test)] {
        let folders = match value.get(key) {
            Some(Json::String(folder)) => vec![folder.as_str()],
            Some(Json::Array(folders)) => folders.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        };
        for folder in folders {
            // such files are moved about, so that their paths lead anywhere
            let parts = folder.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
            splits.push((parts.collect::<Vec<_>>().join("/"), split));
        }
    }
    splits
}

/// Rows of images with the boxes in them; what there is so far where it is stopped.
///
/// # Errors
/// The options are those of tables, or what says the classes cannot be read.
pub(super) fn read(files: &SourceFiles, options: &ImportOptions, stop: &Stop) -> Result<Layout, RecipeError> {
    if options.label.is_some() || !options.images.is_empty() {
        let message = "it holds images with boxes, which have no label and no table: leave out `--label` and `--image`";
        return Err(RecipeError::mismatch(options.sources_in_words(), message));
    }
    let mut layout = Layout { name: "yolo", mixed: true, ..Layout::default() };
    let (described, described_in) = Described::of(files)?;
    let mut used = vec![false; files.files().len()];
    described_in.iter().for_each(|at| used[*at as usize] = true);
    let mut without = 0_u64;
    let mut largest = None;
    for (at, file) in files.files().iter().enumerate().filter(|(_, file)| is_image(&file.name)) {
        if stop.is_requested() {
            return Ok(layout);
        }
        used[at] = true;
        let labels = found_labels(files, &file.name);
        match labels {
            Some(labels) => used[labels as usize] = true,
            None => without += 1,
        }
        if described.names.is_empty()
            && let Some(labels) = labels
        {
            let text = files.text(labels).unwrap_or_default();
            largest = largest.max(text.lines().filter_map(|line| class_of(line.split_whitespace().next())).max());
        }
        let folder = file.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let below =
            |within: &str| folder == within || folder.strip_prefix(within).is_some_and(|rest| rest.starts_with('/'));
        let said = described.splits.iter().find(|(within, _)| below(within) || folder.ends_with(&format!("/{within}")));
        let split = file.split_of_folders().or(said.map(|(_, split)| *split));
        layout.make(split, vec![Cell::Image { file: at as u32, size: None }, Cell::BoxesIn(labels)]);
    }
    for (file, _) in files.files().iter().zip(&used).filter(|(_, used)| !**used) {
        let is_text = file.name.to_ascii_lowercase().ends_with(".txt");
        let reason = if is_text { "there is no image of its name" } else { "it is of a kind that is not read" };
        layout.leave_out(&file.name, reason);
    }
    let names = match (described.names.is_empty(), largest) {
        (false, _) => described.names,
        (true, largest) => {
            layout
                .notes
                .push("no `data.yaml` and no `classes.txt` names the classes: they are called by their numbers".into());
            (0..=largest.unwrap_or(0)).map(|class| class.to_string()).collect()
        }
    };
    if without > 0 {
        layout.notes.push(format!("{} without a file of boxes: there is nothing in them", count(without, "image")));
    }
    layout.key_points = described.key_points;
    if described.key_points {
        layout.notes.push("key points behind the boxes are left aside".into());
    }
    let kind = ObjectsKind { names, annotated: false };
    layout.columns = vec![Column::new("image", Kind::Image), Column::new("objects", Kind::Objects(kind))];
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_lie_where_they_are_looked_for() {
        assert_eq!(labels_of("a/images/train/1.jpg")[0], "a/labels/train/1.txt");
        assert_eq!(labels_of("train/images/1.jpg")[0], "train/labels/1.txt");
        assert_eq!(labels_of("1.jpg"), ["1.txt", "1.txt"]);
        assert!(is_of_boxes("0 0.5 0.5 1 1\n\n3 0.1 0.1 0.2 0.2 0.1 0.3\n"));
        assert!(!is_of_boxes("a red flower\n") && !is_of_boxes("") && !is_of_boxes("2024 was good\n"));
    }

    #[test]
    fn names_are_lists_or_numbered() {
        let names = |text: &str| names_of(&serde_json::from_str(text).unwrap());
        assert_eq!(names(r#"["a", 1]"#).unwrap(), ["a", "1"]);
        assert_eq!(names(r#"{"1": "b", "0": "a", "2": "c"}"#).unwrap(), ["a", "b", "c"]);
        assert_eq!(names(r#"{"1": "b"}"#), None);
    }
}
