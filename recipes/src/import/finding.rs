use std::collections::HashSet;
use std::path::Path;

use millstream_schemas::{shown, shown_path};

use super::column::require_own_names;
use super::import_options::ImportOptions;
use super::import_report::LeftOut;
use super::layout::Layout;
use super::source_files::SourceFiles;
use super::{class_folders, coco, mask_folders, samples, tables, yolo};
use crate::folder_files::other_images;
use crate::{RecipeError, Stop};

/// Whether images lie beside tables that name them, and not in folders of classes.
fn is_table_of_images(files: &SourceFiles, options: &ImportOptions, stop: &Stop) -> bool {
    let is_named = || !options.images.is_empty() && tables::has_tables(files);
    is_named() || (class_folders::classes(files) < 2 && tables::name_images(files, stop))
}

/// Finds out what a source is; `None` where it was stopped before.
///
/// # Errors
/// It is nothing that can be imported, a table of it cannot be read, or two columns would have one name.
pub(super) fn find(files: &SourceFiles, options: &ImportOptions, stop: &Stop) -> Result<Option<Layout>, RecipeError> {
    let of_coco = match tables::has_metadata(files) {
        true => coco::AnnotationFiles::default(),
        false => coco::annotation_files(files, stop),
    };
    if stop.is_requested() {
        return Ok(None);
    }
    let mut found = if tables::has_metadata(files) {
        tables::metadata(files, options, stop)?
    } else if !of_coco.found.is_empty() {
        coco::read(files, &of_coco.found, options)?
    } else if yolo::has_boxes(files) {
        yolo::read(files, options, stop)?
    } else if mask_folders::has_masks(files) {
        mask_folders::read(files, options)?
    } else if samples::has_samples(files) {
        samples::read(files, options, stop)?
    } else if class_folders::has_images(files) && !is_table_of_images(files, options, stop) {
        class_folders::read(files, options)?
    } else if !tables::has_tables_but_json(files)
        && let Some(name) = coco::annotations_without_images(files, stop)
    {
        return Err(RecipeError::mismatch(options.sources_in_words(), without_pictures(name, options)));
    } else if tables::has_tables(files) {
        tables::tables(files, options, stop)?
    } else {
        let first = files.files().iter().take(3).map(|file| format!("`{}`", shown(&file.name)));
        let first: Vec<String> = first.collect();
        let there = if first.is_empty() { "no file".to_owned() } else { first.join(", ") };
        let message = format!(
            "it holds {there}{}; what is imported are images in folders, with boxes, masks or tables, CSV, TSV and JSON Lines, and \
             archives of them (Parquet is read as it is){}",
            first_of(&files.left_out),
            other_images(files.files().iter().map(|file| file.name.as_str()))
        );
        return Err(RecipeError::mismatch(options.sources_in_words(), message));
    };
    if stop.is_requested() {
        return Ok(None);
    }
    require_own_names(&found.columns, &options.sources_in_words())?;
    // why they are none says more than that their kind is not read
    let refused: HashSet<&str> = of_coco.refused.iter().map(|one| one.name.as_str()).collect();
    found.left_out.retain(|one| !refused.contains(one.name.as_str()));
    found.left_out.extend(of_coco.refused);
    if found.rows.is_empty() {
        let left_out: Vec<LeftOut> = files.left_out.iter().chain(&found.left_out).cloned().collect();
        return Err(RecipeError::mismatch(
            options.sources_in_words(),
            format!("it holds no row{}", first_of(&left_out)),
        ));
    }
    Ok(Some(found))
}

/// What to do with annotations whose pictures lie elsewhere.
fn without_pictures(name: &str, options: &ImportOptions) -> String {
    // annotations lie in a folder of their own beside those of the pictures
    let up = |path: &Path| {
        let whole = std::fs::canonicalize(path).ok()?;
        let folder = if whole.is_dir() { Some(whole.as_path()) } else { whole.parent() };
        folder.and_then(Path::parent).map(shown_path)
    };
    let above = match options.sources.as_slice() {
        [only] => up(only),
        _ => None,
    };
    let above = above.map_or_else(String::new, |above| format!(", for example {above}"));
    format!(
        "`{}` holds annotations as COCO has them, and there are no pictures beside it: name the folder that holds both{above}, or the folder \
         of the pictures as well",
        shown(name)
    )
}

/// Why there may be too little.
fn first_of(left_out: &[LeftOut]) -> String {
    left_out.first().map_or_else(String::new, |first| {
        format!("; of {}, the first left out is `{}`: {}", left_out.len(), shown(&first.name), first.reason)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use zip::write::SimpleFileOptions;

    use super::*;

    #[test]
    fn annotations_that_say_they_become_huge_are_told_and_the_images_are_read_without_them() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("rows.zip");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, text) in [("red/a.png", "a"), ("blue/b.png", "b"), ("instances.json", "{\"images\": []}")] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        // the last entry of the directory says two gigabytes
        let mut bytes = std::fs::read(&path).unwrap();
        let entry = bytes.windows(4).rposition(|part| part == b"PK\x01\x02").unwrap();
        bytes[entry + 24..entry + 28].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        let folder = place.path().join("result");
        let files = SourceFiles::open(std::slice::from_ref(&path), &folder, &Stop::default()).unwrap();
        let options = ImportOptions::new(vec![path], &folder);
        let found = find(&files, &options, &Stop::default()).unwrap().unwrap();
        assert_eq!((found.name, found.rows.len()), ("class_folders", 2));
        let told: Vec<(&str, &str)> =
            found.left_out.iter().map(|one| (one.name.as_str(), one.reason.as_str())).collect();
        assert_eq!(told, [("instances.json", "it says that it becomes so large as no data do")]);
    }

    #[test]
    fn two_columns_do_not_get_one_name() {
        let read = |names: &[&str], label: Option<&str>| {
            let place = tempfile::tempdir().unwrap();
            let source = place.path().join("source");
            for name in names {
                let path = source.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "file_name,image\n1.png,a\n").unwrap();
            }
            let result = place.path().join("result");
            let files = SourceFiles::open(std::slice::from_ref(&source), &result, &Stop::default()).unwrap();
            let mut options = ImportOptions::new(vec![source], &result);
            options.label = label.map(str::to_owned);
            find(&files, &options, &Stop::default())
        };
        for (names, label, twice) in [
            (&["1.png", "1.kind.cls", "2.png", "2.kind.png", "2.txt"][..], None, "kind"),
            (&["1.png", "1.cls", "2.png", "2.cls"], Some("image"), "image"),
            (&["1.png", "1.cls", "1.txt"], Some("text"), "text"),
            (&["red/1.png", "blue/2.png"], Some("image"), "image"),
            (&["1.png", "metadata.csv"], None, "image"),
        ] {
            let error = read(names, label).unwrap_err().to_string();
            assert!(error.contains(&format!("two columns would be called `{twice}`")), "{names:?}: {error}");
        }
    }

    #[test]
    fn a_table_beside_annotations_without_pictures_is_imported_and_annotations_alone_are_told() {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("source");
        std::fs::create_dir(&source).unwrap();
        let annotations = r#"{"images": [{"id": 1, "file_name": "a.png"}], "annotations": []}"#;
        std::fs::write(source.join("instances.json"), annotations).unwrap();
        let folder = place.path().join("result");
        let found = || {
            let files = SourceFiles::open(std::slice::from_ref(&source), &folder, &Stop::default()).unwrap();
            let options = ImportOptions::new(vec![source.clone()], &folder);
            find(&files, &options, &Stop::default()).map(|found| found.unwrap().name)
        };
        assert!(found().unwrap_err().to_string().contains("there are no pictures beside it"));
        std::fs::write(source.join("rows.csv"), "size,label\n1,a\n2,b\n").unwrap();
        assert_eq!(found().unwrap(), "tables");
    }

    #[test]
    fn what_is_stopped_while_it_looks_at_rows_has_none_and_that_is_no_error() {
        type Read = fn(&SourceFiles, &ImportOptions, &Stop) -> Result<Layout, RecipeError>;
        type Written = &'static [(&'static str, &'static str)];
        let rows: [(Read, &str, Written); 4] = [
            (samples::read, "label", &[("0.png", "x"), ("0.cls", "a")]),
            (yolo::read, "", &[("images/0.png", "x"), ("labels/0.txt", "0 0.5 0.5 1 1")]),
            (tables::metadata, "label", &[("0.png", "x"), ("metadata.csv", "file_name,label\n0.png,a\n")]),
            (tables::tables, "label", &[("rows.jsonl", "{\"label\": \"a\"}\n")]),
        ];
        for (read, label, written) in rows {
            let place = tempfile::tempdir().unwrap();
            let source = place.path().join("source");
            for (name, text) in written {
                let path = source.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            let folder = place.path().join("result");
            let files = SourceFiles::open(std::slice::from_ref(&source), &folder, &Stop::default()).unwrap();
            let mut options = ImportOptions::new(vec![source], &folder);
            options.label = (!label.is_empty()).then(|| label.to_owned());
            let (goes_on, stop) = (Stop::default(), Stop::default());
            stop.request();
            assert_eq!(read(&files, &options, &goes_on).unwrap().rows.len(), 1, "{written:?}");
            assert_eq!(read(&files, &options, &stop).unwrap().rows.len(), 0, "{written:?}");
            assert!(find(&files, &options, &stop).unwrap().is_none(), "{written:?}");
        }
    }
}
