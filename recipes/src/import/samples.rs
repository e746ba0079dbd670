//! Files of one name and several ends, each group of which is a row, as WebDataset has them in archives.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use millstream_schemas::cells::long_numbers_as_texts;
use millstream_schemas::shown;
use serde_json::{Map, Value as Json};

use super::class_values::{ClassesSeen, class_of_json, class_of_text};
use super::column::{Column, Kind};
use super::columns_seen::Seen;
use super::import_options::ImportOptions;
use super::layout::{Cell, Layout};
use super::source_files::SourceFiles;
use super::values::Value;
use crate::folder_files::is_image;
use crate::{RecipeError, Stop};

/// Entries of the JSON files at most.
const MOST_ENTRIES: usize = 10_000;

/// What the end of a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Image,
    Class,
    Text,
    Entries,
}

impl Part {
    fn of(end: &str) -> Option<Self> {
        match end.to_ascii_lowercase().as_str() {
            "cls" => Some(Self::Class),
            "txt" | "text" | "caption" => Some(Self::Text),
            "json" => Some(Self::Entries),
            _ => is_image(&format!("x.{end}")).then_some(Self::Image),
        }
    }

    /// What its column is called where the name does not say.
    fn column(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Class => "label",
            Self::Text => "text",
            Self::Entries => "json",
        }
    }
}

/// A name as the key of its row, the column that it is of, and what it holds: `a/0001.seg.png` is the image `seg` of `a/0001`.
fn parts(name: &str) -> Option<(&str, String, Part)> {
    let own = name.rfind('/').map_or(0, |at| at + 1);
    let at = own + name[own..].find('.')?;
    let ends = &name[at + 1..];
    let (column, end) = ends.rsplit_once('.').unwrap_or(("", ends));
    let part = Part::of(end)?;
    let column = if column.is_empty() { part.column().to_owned() } else { column.replace('.', "_") };
    Some((&name[..at], column, part))
}

/// Whether most images have a file of another kind with the same key.
pub(super) fn has_samples(files: &SourceFiles) -> bool {
    let (mut images, mut beside) = (BTreeSet::new(), BTreeSet::new());
    for (key, _, part) in files.files().iter().filter_map(|file| parts(&file.name)) {
        if part == Part::Image {
            images.insert(key)
        } else {
            beside.insert(key)
        };
    }
    let paired = images.intersection(&beside).count();
    paired > 0 && paired * 2 >= images.len()
}

/// A row's files, by column.
type Group<'a> = (&'a str, BTreeMap<String, (Part, u32)>);

/// Rows of images with their classes (`.cls`), texts (`.txt`) and further values (`.json`); what there is so far where it is stopped.
///
/// # Errors
/// The options are those of tables, or a label that is named is nowhere.
pub(super) fn read(files: &SourceFiles, options: &ImportOptions, stop: &Stop) -> Result<Layout, RecipeError> {
    if !options.images.is_empty() {
        let message = "it holds files of one name and several ends, and no table; `--image` names a column of a table";
        return Err(RecipeError::mismatch(options.sources_in_words(), message));
    }
    let mut layout = Layout { name: "webdataset", mixed: true, ..Layout::default() };
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (at, file) in files.files().iter().enumerate() {
        let Some((key, column, part)) = parts(&file.name) else {
            layout.leave_out(&file.name, "it is of a kind that is not read");
            continue;
        };
        // names are sorted, so those of one key lie beside each other
        match groups.last_mut() {
            Some((last, parts)) if *last == key => match parts.entry(column) {
                Entry::Vacant(free) => {
                    free.insert((part, at as u32));
                }
                Entry::Occupied(_) => layout.leave_out(&file.name, "another file of its row is of the same column"),
            },
            _ => groups.push((key, BTreeMap::from([(column, (part, at as u32))]))),
        }
    }
    groups.retain(|(_, parts)| {
        let has_image = parts.values().any(|(part, _)| *part == Part::Image);
        for (_, file) in parts.values().filter(|_| !has_image) {
            layout.leave_out(&files.files()[*file as usize].name, "there is no image of its name");
        }
        has_image
    });
    let mut seen = SeenParts::default();
    let label = options.label.as_deref();
    for (_, parts) in &groups {
        if stop.is_requested() {
            return Ok(layout);
        }
        for (column, (part, file)) in parts {
            seen.see(column, *part, *file, files, label)?;
        }
    }
    let columns = seen.columns(options, &mut layout.notes)?;
    for (key, parts) in &groups {
        let cell = |(column, part): &(Column, Option<Part>)| match part {
            None => Cell::Value(Value::Text((*key).to_owned())),
            Some(Part::Entries) => {
                let entries = parts.values().find(|(part, _)| *part == Part::Entries);
                entries.map_or(Cell::Missing, |(_, file)| Cell::EntryIn(*file))
            }
            Some(part) => match parts.get(&column.heading) {
                Some((Part::Image, file)) if *part == Part::Image => Cell::Image { file: *file, size: None },
                Some((Part::Class, file)) if *part == Part::Class => Cell::ClassIn(*file),
                Some((Part::Text, file)) if *part == Part::Text => Cell::TextIn(*file),
                _ => Cell::Missing,
            },
        };
        let file = parts.values().find(|(part, _)| *part == Part::Image).map_or(0, |(_, file)| *file);
        let split = files.files()[file as usize].split_of_folders();
        layout.make(split, columns.iter().map(cell).collect());
    }
    layout.columns = columns.into_iter().map(|(column, _)| column).collect();
    Ok(layout)
}

/// What was seen of the columns.
#[derive(Default)]
struct SeenParts {
    images: BTreeSet<String>,
    classes: BTreeMap<String, ClassesSeen>,
    texts: BTreeSet<String>,
    entries: Vec<(String, Seen)>,
    places: HashMap<String, usize>,
    /// Of the entry that is the label.
    label: ClassesSeen,
}

impl SeenParts {
    fn see(
        &mut self,
        column: &str,
        part: Part,
        file: u32,
        files: &SourceFiles,
        label: Option<&str>,
    ) -> Result<(), RecipeError> {
        let name = &files.files()[file as usize].name;
        match part {
            Part::Image => {
                self.images.insert(column.to_owned());
            }
            Part::Text => {
                self.texts.insert(column.to_owned());
            }
            Part::Class => {
                // what cannot be read is told with its row
                let class = files.text(file).ok().and_then(|text| class_of_text(&text));
                self.classes.entry(column.to_owned()).or_default().see(class, column, name)?;
            }
            Part::Entries => {
                let text = files.text(file).unwrap_or_default();
                let entries: Map<String, Json> =
                    serde_json::from_str(&long_numbers_as_texts(&text)).unwrap_or_default();
                for (key, value) in entries {
                    let place = match self.places.get(&key) {
                        Some(place) => *place,
                        None if self.entries.len() == MOST_ENTRIES => {
                            let message = format!("its files of JSON have more than {MOST_ENTRIES} entries");
                            return Err(RecipeError::mismatch(shown(name), message));
                        }
                        None => {
                            self.places.insert(key.clone(), self.entries.len());
                            self.entries.push((key.clone(), Seen::default()));
                            self.entries.len() - 1
                        }
                    };
                    self.entries[place].1.json(&value);
                    if label == Some(key.as_str()) {
                        self.label.see(class_of_json(&value), &key, name)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The columns, each with what its cells are made of; of the keys nothing.
    fn columns(
        self,
        options: &ImportOptions,
        notes: &mut Vec<String>,
    ) -> Result<Vec<(Column, Option<Part>)>, RecipeError> {
        let mut columns: Vec<(Column, Option<Part>)> = Vec::new();
        let mut images: Vec<&String> = self.images.iter().collect();
        images.sort_by_key(|name| (*name != "image", (*name).clone()));
        columns.extend(images.into_iter().map(|name| (Column::new(name, Kind::Image), Some(Part::Image))));
        let label = options.label.as_deref();
        let is_entry = label.is_some_and(|label| self.places.contains_key(label));
        for (name, classes) in &self.classes {
            notes.extend(classes.note(name));
            let mut column = Column::new(name, Kind::Class(classes.names()));
            if let Some(label) = label.filter(|_| name == "label" && !is_entry) {
                column.name = label.to_owned();
            }
            columns.push((column, Some(Part::Class)));
        }
        if let Some(label) = label.filter(|_| !is_entry && self.classes.is_empty()) {
            let message =
                format!("there are no classes: no file ends in .cls, and none of JSON has `{}`", shown(label));
            return Err(RecipeError::mismatch(options.sources_in_words(), message));
        }
        columns.extend(self.texts.iter().map(|name| (Column::new(name, Kind::Text), Some(Part::Text))));
        for (key, seen) in &self.entries {
            let taken = |name: &str| name == "__key__" || columns.iter().any(|(column, _)| column.name == name);
            let mut name = key.clone();
            while taken(&name) {
                name = format!("json_{name}");
            }
            let kind = if label == Some(key.as_str()) {
                notes.extend(self.label.note(key));
                Kind::Class(self.label.names())
            } else {
                let (kind, note) = seen.kind();
                notes.extend(note.map(|note| format!("column `{}`: {note}", shown(key))));
                kind
            };
            columns.push((Column { name, heading: key.clone(), kind }, Some(Part::Entries)));
        }
        columns.push((Column::new("__key__", Kind::Text), None));
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_files_of_a_row_that_are_of_one_column_the_first_stays_and_the_other_is_told() {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("source");
        std::fs::create_dir(&source).unwrap();
        ["1.png", "1.cls", "1.label.png"].iter().for_each(|name| std::fs::write(source.join(name), "a").unwrap());
        let result = place.path().join("result");
        let files = SourceFiles::open(std::slice::from_ref(&source), &result, &Stop::default()).unwrap();
        let layout = read(&files, &ImportOptions::new(vec![source], &result), &Stop::default()).unwrap();
        let left_out: Vec<&str> = layout.left_out.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(left_out, ["1.label.png"]);
        assert_eq!(layout.columns[1].kind, Kind::Class(vec!["a".into()]));
    }

    #[test]
    fn names_say_row_column_and_kind() {
        let wanted = |key, column: &str, part| Some((key, column.to_owned(), part));
        for (name, parts_of) in [
            ("a/b.c/0001.jpg", wanted("a/b.c/0001", "image", Part::Image)),
            ("0001.seg.PNG", wanted("0001", "seg", Part::Image)),
            ("0001.cls", wanted("0001", "label", Part::Class)),
            ("0001.long.caption.txt", wanted("0001", "long_caption", Part::Text)),
            ("0001.json", wanted("0001", "json", Part::Entries)),
            ("0001.npy", None),
            ("README", None),
        ] {
            assert_eq!(parts(name), parts_of, "{name}");
        }
    }
}
