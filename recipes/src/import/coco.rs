//! Images with boxes and captions in JSON files, as COCO has them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufReader, Read};

use millstream_pipeline::Split;
use millstream_schemas::{count, shown};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::coco_values::{Id, IsCrowd, Lenient};
use super::column::{Column, Kind};
use super::import_options::ImportOptions;
use super::import_report::LeftOut;
use super::layout::{Cell, Layout};
use super::objects::{Annotation, Objects, ObjectsKind};
use super::source_files::SourceFiles;
use super::values::Value;
use crate::error::with_causes;
use crate::folder_files::is_image;
use crate::{RecipeError, Stop};

/// Files that are looked into where there is no image: others are tables.
const MOST_LOOKED_AT: usize = 16;

/// What tells such a file from others.
#[derive(Deserialize)]
struct Keys {
    #[serde(default)]
    images: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    annotations: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct CocoFile {
    images: Vec<CocoImage>,
    annotations: Vec<CocoAnnotation>,
    #[serde(default)]
    categories: Vec<CocoCategory>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: Id,
    file_name: String,
    #[serde(default)]
    width: Option<u32>,
    #[serde(default)]
    height: Option<u32>,
}

#[derive(Deserialize)]
struct CocoAnnotation {
    #[serde(default)]
    id: Option<Id>,
    image_id: Id,
    #[serde(default)]
    category_id: Option<Lenient<i64>>,
    #[serde(default)]
    bbox: Option<Lenient<Vec<f64>>>,
    #[serde(default)]
    area: Option<Lenient<f64>>,
    #[serde(default)]
    iscrowd: IsCrowd,
    #[serde(default)]
    caption: Option<Lenient<String>>,
}

#[derive(Deserialize)]
struct CocoCategory {
    id: i64,
    name: String,
}

/// Files of annotations that were looked for.
#[derive(Debug, Default)]
pub(super) struct AnnotationFiles {
    pub(super) found: Vec<u32>,
    /// Those that could be, and cannot be looked into.
    pub(super) refused: Vec<LeftOut>,
}

/// The files of annotations among those of a source that has images; what there is so far where it is stopped.
pub(super) fn annotation_files(files: &SourceFiles, stop: &Stop) -> AnnotationFiles {
    let mut all_found = AnnotationFiles::default();
    if !files.files().iter().any(|file| is_image(&file.name)) {
        return all_found;
    }
    let images: HashSet<&str> =
        files.files().iter().filter(|file| is_image(&file.name)).map(|file| stem(&file.name)).collect();
    let all = files.files().iter().enumerate().filter(|(_, file)| is_json(&file.name));
    // those that have an image of their name are one for each row, and all are what the first is
    let mut of_rows = None;
    for (at, file) in all.take_while(|_| !stop.is_requested()) {
        let is_of_row = images.contains(stem(&file.name));
        if is_of_row && of_rows == Some(false) {
            continue;
        }
        let is_coco = match files.stream(at as u32) {
            Ok(source) => are_annotations(source),
            Err(error) => {
                // that of a row is told with its row
                if !is_of_row {
                    let reason = match error {
                        RecipeError::Io { source, .. } => source.to_string(),
                        error => with_causes(&error),
                    };
                    all_found.refused.push(LeftOut { name: file.name.clone(), reason });
                }
                false
            }
        };
        if is_of_row {
            of_rows.get_or_insert(is_coco);
        }
        if is_coco {
            all_found.found.push(at as u32);
        }
    }
    all_found
}

/// The first file of annotations of a source that has no image.
pub(super) fn annotations_without_images<'a>(files: &'a SourceFiles, stop: &Stop) -> Option<&'a str> {
    let has_images = files.files().iter().any(|file| is_image(&file.name));
    let all = files.files().iter().enumerate().filter(|(_, file)| !has_images && is_json(&file.name));
    let mut first = all.take(MOST_LOOKED_AT).take_while(|_| !stop.is_requested());
    let found = first.find(|(at, _)| files.stream(*at as u32).is_ok_and(are_annotations));
    found.map(|(_, file)| file.name.as_str())
}

fn is_json(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".json")
}

fn are_annotations(source: Box<dyn Read>) -> bool {
    let keys: Result<Keys, _> = serde_json::from_reader(BufReader::with_capacity(1 << 16, source));
    keys.is_ok_and(|keys| keys.images.is_some_and(|images| !images.is_empty()) && keys.annotations.is_some())
}

/// A name without its end.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// What is known of an image.
#[derive(Default)]
struct Known {
    split: Option<Split>,
    size: Option<(u32, u32)>,
    id: Option<i64>,
    objects: Option<Vec<(i64, [f64; 4], Annotation)>>,
    captions: Vec<String>,
}

/// Rows of images with their boxes (`objects`) and captions.
///
/// # Errors
/// The options are those of tables, or a file of annotations cannot be read.
pub(super) fn read(
    files: &SourceFiles,
    of_annotations: &[u32],
    options: &ImportOptions,
) -> Result<Layout, RecipeError> {
    if options.label.is_some() || !options.images.is_empty() {
        let message =
            "it holds images with annotations, which have no label and no table: leave out `--label` and `--image`";
        return Err(RecipeError::mismatch(options.sources_in_words(), message));
    }
    let mut layout = Layout { name: "coco", mixed: true, ..Layout::default() };
    let mut found = Annotated { images: ImagesByName::of(files), ..Annotated::default() };
    for file in of_annotations {
        found.add(*file, files, &mut layout)?;
    }
    let (names, classes) = classes_of(&found.categories);
    let has_boxes = found.known.values().any(|known| known.objects.is_some());
    let has_captions = found.known.values().any(|known| !known.captions.is_empty());
    layout.columns.push(Column::new("image", Kind::Image));
    layout.columns.push(Column::new("image_id", Kind::Int));
    if has_boxes {
        if names.len() < found.categories.len() {
            layout.notes.push(format!(
                "{} categories have {}: those of one name are one class",
                found.categories.len(),
                count(names.len() as u64, "name")
            ));
        }
        let kind = ObjectsKind { names, annotated: true };
        layout.columns.push(Column::new("objects", Kind::Objects(kind)));
    }
    if has_captions {
        layout.columns.push(Column::new("captions", Kind::Texts));
    }
    for (at, file) in files.files().iter().enumerate() {
        let at = at as u32;
        let is_used = found.known.contains_key(&at) || of_annotations.contains(&at);
        if !is_used {
            let reason = match is_image(&file.name) {
                true => "no file of annotations names it",
                false => "it is of a kind that is not read",
            };
            layout.leave_out(&file.name, reason);
        }
    }
    for (file, known) in found.known {
        let mut cells = vec![Cell::Image { file, size: known.size }];
        cells.push(Cell::Value(known.id.map_or(Value::Missing, Value::Int)));
        if has_boxes {
            let mut objects = Objects::default();
            for (category, sides, annotation) in known.objects.unwrap_or_default() {
                objects.boxes.push(sides);
                objects.classes.push(classes[&category]);
                objects.annotations.push(annotation);
            }
            cells.push(Cell::Value(Value::Objects(objects)));
        }
        if has_captions {
            cells.push(Cell::Value(Value::Texts(known.captions)));
        }
        layout.make(known.split, cells);
    }
    Ok(layout)
}

/// The names of classes, each once, and the class of each category.
fn classes_of(categories: &BTreeMap<i64, String>) -> (Vec<String>, HashMap<i64, u32>) {
    let (mut names, mut places) = (Vec::new(), HashMap::new());
    let mut classes = HashMap::with_capacity(categories.len());
    for (id, name) in categories {
        let place = *places.entry(name.as_str()).or_insert_with(|| {
            names.push(name.clone());
            names.len() as u32 - 1
        });
        classes.insert(*id, place);
    }
    (names, classes)
}

/// What all files of annotations say.
#[derive(Default)]
struct Annotated<'a> {
    images: ImagesByName<'a>,
    /// By file.
    known: BTreeMap<u32, Known>,
    categories: BTreeMap<i64, String>,
}

impl Annotated<'_> {
    fn add(&mut self, file: u32, files: &SourceFiles, layout: &mut Layout) -> Result<(), RecipeError> {
        let listed = &files.files()[file as usize];
        let name = listed.name.as_str();
        let source = BufReader::with_capacity(1 << 16, files.stream(file)?);
        let coco: CocoFile = serde_json::from_reader(source).map_err(|error| {
            RecipeError::mismatch(
                shown(name),
                format!("its annotations are not those of COCO: {}", shown(error.to_string())),
            )
        })?;
        let boxes = coco.annotations.iter().any(|annotation| annotation.bbox.is_some());
        if !boxes && !coco.annotations.iter().any(|annotation| annotation.caption.is_some()) {
            layout.leave_out(name, "its annotations have neither boxes nor captions");
            return Ok(());
        }
        let own = name.rsplit_once('/').map_or(name, |(_, own)| own);
        let words = own.split(|letter: char| !letter.is_alphabetic());
        let split = words.filter_map(Split::named).next_back().or_else(|| listed.split_of_folders());
        let mut by_id: HashMap<Id, u32> = HashMap::with_capacity(coco.images.len());
        let mut gone: HashSet<Id> = HashSet::new();
        for image in &coco.images {
            match self.images.find(&image.file_name, name) {
                Ok(at) => {
                    by_id.insert(image.id.clone(), at);
                }
                Err(reason) => {
                    let named = format!("{name}: image `{}`", shown(&image.file_name));
                    layout.leave_out(&named, reason);
                    gone.insert(image.id.clone());
                }
            }
        }
        let has_boxes = |at: &u32| self.known.get(at).is_some_and(|known| known.objects.is_some());
        if boxes && by_id.values().any(has_boxes) {
            layout.leave_out(name, "another file has the boxes of its images already");
            return Ok(());
        }
        for category in coco.categories.iter().filter(|_| boxes) {
            match self.categories.insert(category.id, category.name.clone()) {
                Some(other) if other != category.name => {
                    let message = format!(
                        "its category {} is called `{}`, and that of another file `{}`",
                        category.id,
                        shown(&category.name),
                        shown(other)
                    );
                    return Err(RecipeError::mismatch(shown(name), message));
                }
                _ => {}
            }
        }
        for image in coco.images {
            let Some(at) = by_id.get(&image.id) else { continue };
            let known = self.known.entry(*at).or_default();
            known.split = known.split.or(split).or_else(|| files.files()[*at as usize].split_of_folders());
            known.size =
                known.size.or(image.width.zip(image.height).filter(|(width, height)| *width > 0 && *height > 0));
            if let Id::Number(id) = image.id {
                known.id = Some(id);
            }
            if boxes {
                known.objects.get_or_insert_default();
            }
        }
        for (at, annotation) in coco.annotations.into_iter().enumerate() {
            let Some(known) = by_id.get(&annotation.image_id).and_then(|at| self.known.get_mut(at)) else {
                // an image that is left out is told already
                if !gone.contains(&annotation.image_id) {
                    layout.leave_out(&annotation_name(name, &annotation, at), "its image is not among the images");
                }
                continue;
            };
            if boxes {
                match object(&annotation, &self.categories) {
                    Ok(object) => known.objects.get_or_insert_default().push(object),
                    Err(reason) => layout.leave_out(&annotation_name(name, &annotation, at), reason),
                }
            }
            match &annotation.caption {
                Some(Lenient(Some(caption))) => known.captions.push(caption.clone()),
                Some(Lenient(None)) => {
                    layout.leave_out(&annotation_name(name, &annotation, at), "its caption is no text");
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// What an annotation of a file is called, at its place among all.
fn annotation_name(file: &str, annotation: &CocoAnnotation, at: usize) -> String {
    let id = match &annotation.id {
        Some(Id::Number(id)) => id.to_string(),
        Some(Id::Text(id)) => shown(id),
        None => format!("at {at}"),
    };
    format!("{file}: annotation {id}")
}

fn object(
    annotation: &CocoAnnotation,
    categories: &BTreeMap<i64, String>,
) -> Result<(i64, [f64; 4], Annotation), String> {
    let Lenient(category) = annotation.category_id.as_ref().ok_or("it has no category")?;
    let category = category.ok_or("its category is no whole number")?;
    if !categories.contains_key(&category) {
        return Err("its category is not among the categories".into());
    }
    let sides = annotation.bbox.as_ref().and_then(|Lenient(sides)| sides.as_deref()).unwrap_or_default();
    let sides: [f64; 4] = sides.try_into().map_err(|_| "it has no box of four numbers")?;
    let [_, _, width, height] = sides;
    if !(width > 0.0 && height > 0.0) {
        return Err("its box has no area".into());
    }
    let area = match &annotation.area {
        None => None,
        Some(Lenient(Some(area))) => Some(*area),
        Some(Lenient(None)) => return Err("its area is no number".into()),
    };
    let id = annotation.id.as_ref().and_then(|id| if let Id::Number(id) = id { Some(*id) } else { None });
    Ok((category, sides, Annotation { id, area, is_crowd: annotation.iscrowd.0 }))
}

/// Images by their names without folders.
#[derive(Default)]
struct ImagesByName<'a>(HashMap<&'a str, Vec<(u32, &'a str)>>);

impl<'a> ImagesByName<'a> {
    fn of(files: &'a SourceFiles) -> Self {
        let mut all: HashMap<&str, Vec<(u32, &str)>> = HashMap::new();
        for (at, file) in files.files().iter().enumerate().filter(|(_, file)| is_image(&file.name)) {
            let own = file.name.rsplit_once('/').map_or(file.name.as_str(), |(_, own)| own);
            all.entry(own).or_default().push((at as u32, &file.name));
        }
        Self(all)
    }

    /// The image that annotations mean: of several of its name the one beside them, the one whose path is written, or the one in
    /// a folder that their file is called by.
    ///
    /// # Errors
    /// There is none, or it is not clear; in words.
    fn find(&self, written: &str, annotations: &str) -> Result<u32, String> {
        let written = written.trim().replace('\\', "/");
        let own = written.rsplit_once('/').map_or(written.as_str(), |(_, own)| own);
        let all = self.0.get(own).map(Vec::as_slice).unwrap_or_default();
        let (folder, file) = annotations.rsplit_once('/').unwrap_or(("", annotations));
        let beside = format!("{folder}/{written}");
        let beside = beside.trim_start_matches('/');
        if let Some((at, _)) = all.iter().find(|(_, name)| *name == beside) {
            return Ok(*at);
        }
        let below = format!("/{written}");
        let ends: Vec<&(u32, &str)> =
            all.iter().filter(|(_, name)| *name == written || name.ends_with(&below)).collect();
        let ends = if ends.is_empty() { all.iter().collect() } else { ends };
        let by_folder = |name: &str| {
            let split = words(file).filter_map(Split::named).next_back();
            name.split('/').rev().skip(1).any(|folder| {
                file.contains(folder)
                    || split.is_some_and(|split| words(folder).filter_map(Split::named).any(|own| own == split))
            })
        };
        match ends.as_slice() {
            [] => Err("there is no such file".into()),
            [(at, _)] => Ok(*at),
            several => {
                let mut named = several.iter().filter(|(_, name)| by_folder(name));
                match (named.next(), named.next()) {
                    (Some((at, _)), None) => Ok(*at),
                    _ => Err("several files are called so".into()),
                }
            }
        }
    }
}

fn words(name: &str) -> impl DoubleEndedIterator<Item = &str> {
    name.split(|letter: char| !letter.is_alphabetic())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use zip::write::SimpleFileOptions;

    use super::*;

    #[test]
    fn files_of_each_row_in_a_zip_are_not_unpacked_to_look_for_annotations() {
        let coco = r#"{"images": [{"id": 1, "file_name": "a.png"}], "annotations": []}"#;
        let rows = ["a.png", "a.json", "b.png", "b.json", "all.json", "broken.json"];
        for (of_row, wanted) in [("{}", vec!["all.json"]), (coco, vec!["a.json", "all.json", "b.json"])] {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("rows.zip");
            let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
            let deflated = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
            for name in rows {
                zip.start_file(name, deflated).unwrap();
                let text = match name {
                    "all.json" => coco,
                    "broken.json" => "{",
                    _ => of_row,
                };
                zip.write_all(text.as_bytes()).unwrap();
            }
            zip.finish().unwrap();
            let folder = place.path().join("result");
            let files = SourceFiles::open(&[path], &folder, &Stop::default()).unwrap();
            let found = annotation_files(&files, &Stop::default());
            assert!(found.refused.is_empty());
            let found: Vec<&str> =
                found.found.into_iter().map(|file| files.files()[file as usize].name.as_str()).collect();
            assert_eq!(found, wanted);
            assert!(!folder.exists(), "something was unpacked");
            let stop = Stop::default();
            stop.request();
            assert!(annotation_files(&files, &stop).found.is_empty());
        }
    }
}
