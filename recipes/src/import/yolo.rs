//! Images with boxes in text files of their names, as YOLO has them.

use std::collections::{BTreeMap, HashMap};

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

/// Files that describe a dataset by their names.
const DESCRIPTIONS: [&str; 4] = ["data.yaml", "data.yml", "dataset.yaml", "dataset.yml"];

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

/// A folder that a `data.yaml` says the split of.
struct SplitFolder {
    /// Where the file lies.
    base: String,
    folder: String,
    split: Split,
}

/// What the `data.yaml` of a dataset says, or those of several that lie together.
#[derive(Default)]
struct Described {
    names: Vec<String>,
    key_points: bool,
    /// Those of the files that lie deepest first.
    splits: Vec<SplitFolder>,
    used: Vec<u32>,
    /// Files that are called so and say nothing of classes, and why.
    passed_over: Vec<(u32, String)>,
    notes: Vec<String>,
}

impl Described {
    /// # Errors
    /// A file that says the classes cannot be read, or two say others.
    fn of(files: &SourceFiles) -> Result<Self, RecipeError> {
        let mut described = Self::default();
        let name = |at: u32| files.files()[at as usize].name.as_str();
        // the first file of each kind, and what it names
        let (mut first, mut listed): (Option<u32>, Option<(u32, Vec<String>)>) = (None, None);
        let others = |at: u32, other: u32, what: &str| {
            let message = format!(
                "{what} than `{}` says; import one of them by itself, or make them say the same",
                shown(name(other))
            );
            RecipeError::mismatch(shown(name(at)), message)
        };
        for at in 0..files.files().len() as u32 {
            if is_yaml(name(at)) {
                let Some((names, value)) = described.yaml(files, at)? else { continue };
                let key_points = value.get("kpt_shape").is_some();
                match first {
                    Some(other) if described.names != names => return Err(others(at, other, "it says other `names`")),
                    Some(other) if described.key_points != key_points => {
                        return Err(others(at, other, "it says otherwise whether there are key points (`kpt_shape`)"));
                    }
                    Some(_) => {}
                    None => (first, described.names, described.key_points) = (Some(at), names, key_points),
                }
                let base = name(at).rsplit_once('/').map_or("", |(folder, _)| folder);
                let folders = splits_of(&value).into_iter();
                let folders = folders.map(|(folder, split)| SplitFolder { base: base.to_owned(), folder, split });
                described.splits.extend(folders);
                described.used.push(at);
            } else if NAMES.contains(&own_name(name(at))) {
                let text = files.text(at).map_err(|reason| RecipeError::mismatch(shown(name(at)), reason))?;
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                let names: Vec<String> = lines.map(str::to_owned).collect();
                match &listed {
                    Some((other, known)) if *known != names => return Err(others(at, *other, "it says other classes")),
                    Some(_) => {}
                    None => listed = Some((at, names)),
                }
                described.used.push(at);
            }
        }
        match (first, listed) {
            (None, Some((_, names))) => described.names = names,
            (Some(first), Some((at, names))) if names != described.names => described.notes.push(format!(
                "`{}` says other classes than `{}`, which is taken",
                shown(name(at)),
                shown(name(first))
            )),
            _ => {}
        }
        described.splits.sort_by_key(|split| std::cmp::Reverse(split.base.len()));
        Ok(described)
    }

    /// The names of classes that a file says, and all that it says; none of a file of something else.
    ///
    /// # Errors
    /// It is of a dataset, and cannot be read.
    fn yaml(&mut self, files: &SourceFiles, at: u32) -> Result<Option<(Vec<String>, Json)>, RecipeError> {
        let name = files.files()[at as usize].name.as_str();
        let read = files.text(at).and_then(|text| yaml::value(&text));
        // others may be of a page or of a build machine
        let is_of_dataset = |value: Option<&Json>| {
            let says = |value: &Json| ["train", "val", "test", "nc"].iter().any(|key| value.get(key).is_some());
            DESCRIPTIONS.contains(&own_name(name)) || value.is_some_and(says)
        };
        let (reason, of_dataset) = match read {
            Err(reason) => (reason, is_of_dataset(None)),
            Ok(value) => match value.get("names").map(names_of) {
                Some(Some(names)) => return Ok(Some((names, value))),
                Some(None) => {
                    let reason = "`names` is neither a list of names nor one under the numbers 0, 1, 2, …".to_owned();
                    (reason, is_of_dataset(Some(&value)))
                }
                None => ("it names no classes (`names`)".to_owned(), false),
            },
        };
        if of_dataset {
            return Err(RecipeError::mismatch(shown(name), reason));
        }
        self.passed_over.push((at, reason));
        Ok(None)
    }

    /// The split that is said of a folder, by a file above it before all others.
    fn split_of(&self, folder: &str) -> Option<Split> {
        let below = |folder: &str, within: &str| {
            folder == within || folder.strip_prefix(within).is_some_and(|rest| rest.starts_with('/'))
        };
        let is_meant = |folder: &str, within: &str| below(folder, within) || folder.ends_with(&format!("/{within}"));
        let from_here = |base: &str| match base {
            "" => Some(folder.to_owned()),
            base => below(folder, base).then(|| folder[base.len()..].trim_start_matches('/').to_owned()),
        };
        let own = |one: &&SplitFolder| from_here(&one.base).is_some_and(|folder| is_meant(&folder, &one.folder));
        // such files are moved about, so that their paths lead anywhere
        let any = |one: &&SplitFolder| is_meant(folder, &one.folder);
        self.splits.iter().find(own).or_else(|| self.splits.iter().find(any)).map(|one| one.split)
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
            let parts = folder.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
            splits.push((parts.collect::<Vec<_>>().join("/"), split));
        }
    }
    splits
}

/// Rows of images with the boxes in them; what there is so far where it is stopped.
///
/// # Errors
/// The options are those of tables, or what says the classes cannot be read, or says several.
pub(super) fn read(files: &SourceFiles, options: &ImportOptions, stop: &Stop) -> Result<Layout, RecipeError> {
    if options.label.is_some() || !options.images.is_empty() {
        let message = "it holds images with boxes, which have no label and no table: leave out `--label` and `--image`";
        return Err(RecipeError::mismatch(options.sources_in_words(), message));
    }
    let mut layout = Layout { name: "yolo", mixed: true, ..Layout::default() };
    let described = Described::of(files)?;
    layout.notes.extend(described.notes.iter().cloned());
    if let Some([first, second]) = of_one_name(&described.names) {
        let message = format!(
            "its classes {first} and {second} are both called `{}`, and classes are told apart by their names: give each its own",
            shown(&described.names[first])
        );
        return Err(RecipeError::mismatch(options.sources_in_words(), message));
    }
    let mut used = vec![false; files.files().len()];
    described.used.iter().for_each(|at| used[*at as usize] = true);
    for (at, reason) in &described.passed_over {
        used[*at as usize] = true;
        layout.leave_out(&files.files()[*at as usize].name, reason.as_str());
    }
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
        let split = file.split_of_folders().or_else(|| described.split_of(folder));
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

/// The first two classes that have the same name.
fn of_one_name(names: &[String]) -> Option<[usize; 2]> {
    let mut places = HashMap::with_capacity(names.len());
    names.iter().enumerate().find_map(|(at, name)| places.insert(name.as_str(), at).map(|first| [first, at]))
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

    /// What lies in a folder of these files, read.
    fn read_files(written: &[(&str, &str)]) -> Result<Layout, RecipeError> {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("source");
        for (name, text) in written {
            let path = source.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let result = place.path().join("result");
        let files = SourceFiles::open(std::slice::from_ref(&source), &result, &Stop::default()).unwrap();
        read(&files, &ImportOptions::new(vec![source], &result), &Stop::default())
    }

    #[test]
    fn two_classes_of_one_name_are_refused() {
        let error = read_files(&[&TWO[..], &[("data.yaml", "names: [leaf, root, leaf]\n")]].concat())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("classes 0 and 2 are both called `leaf`"), "{error}");
    }

    const TWO: [(&str, &str); 4] = [
        ("a/images/1.png", ""),
        ("a/labels/1.txt", "0 0.5 0.5 1 1"),
        ("b/images/2.png", ""),
        ("b/labels/2.txt", "1 0.5 0.5 1 1"),
    ];

    #[test]
    fn of_two_datasets_that_lie_together_none_decides_for_the_other() {
        let with = |more: &[(&str, &str)]| read_files(&[&TWO[..], more].concat());
        let (a, b) = ("train: images\nnames: [leaf, root]\n", "val: images\nnames: [leaf, root]\n");
        let layout = with(&[("a/data.yaml", a), ("b/data.yaml", b)]).unwrap();
        let splits: Vec<Option<Split>> = layout.rows.iter().map(|row| row.split).collect();
        assert_eq!(splits, [Some(Split::Train), Some(Split::Validation)]);
        for (files, part) in [
            ([("a/data.yaml", a), ("b/data.yaml", "names: [root, leaf]\n")], "other `names`"),
            ([("a/data.yaml", a), ("b/data.yaml", "kpt_shape: [5, 3]\nnames: [leaf, root]\n")], "`kpt_shape`"),
            ([("a/classes.txt", "leaf\nroot\n"), ("b/classes.txt", "root\n")], "other classes"),
        ] {
            let error = with(&files).unwrap_err().to_string();
            assert!(files.iter().all(|(name, _)| error.contains(name)) && error.contains(part), "{error}");
        }
        // a list that came with a tool is no dataset of its own
        let layout = with(&[("a/data.yaml", a), ("b/classes.txt", "person\n")]).unwrap();
        assert!(layout.notes.iter().any(|note| note.contains("`b/classes.txt`") && note.contains("`a/data.yaml`")));
        let Kind::Objects(kind) = &layout.columns[1].kind else { panic!("boxes were wanted") };
        assert_eq!(kind.names, ["leaf", "root"]);
    }

    #[test]
    fn a_yaml_file_of_something_else_is_passed_over_and_told() {
        let with = |more: &[(&str, &str)]| read_files(&[&TWO[..], more].concat());
        let files = [
            ("ci.yml", "on: push\n"),
            ("data.yaml", "names: [leaf, root]\n"),
            ("mkdocs.yml", "nav: [a\n  b: !!python/name:x\n"),
            ("people.yaml", "names: all of them\n"),
        ];
        let layout = with(&files).unwrap();
        let told: Vec<&str> = layout.left_out.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(told, ["ci.yml", "mkdocs.yml", "people.yaml"]);
        for broken in [("data.yaml", "names: [a\n  b\n"), ("x.yaml", "nc: 2\nnames: two\n")] {
            let error = with(&[broken]).unwrap_err().to_string();
            assert!(error.starts_with(broken.0), "{error}");
        }
    }

    #[test]
    fn names_are_lists_or_numbered() {
        let names = |text: &str| names_of(&serde_json::from_str(text).unwrap());
        assert_eq!(names(r#"["a", 1]"#).unwrap(), ["a", "1"]);
        assert_eq!(names(r#"{"1": "b", "0": "a", "2": "c"}"#).unwrap(), ["a", "b", "c"]);
        assert_eq!(names(r#"{"1": "b"}"#), None);
    }
}
