use std::collections::BTreeSet;

use millstream_pipeline::Split;

use super::column::{Column, Kind};
use super::import_options::ImportOptions;
use super::import_report::LeftOut;
use super::layout::{Layout, RowSource, SourceRow};
use super::source_files::SourceFiles;
use crate::RecipeError;
use crate::folder_files::{is_image, no_image};

pub(super) fn has_images(files: &SourceFiles) -> bool {
    files.files().iter().any(|file| is_image(&file.name))
}

/// How many folders of classes there are.
pub(super) fn classes(files: &SourceFiles) -> usize {
    let images = files.files().iter().filter(|file| is_image(&file.name));
    let folders: Vec<Vec<&str>> = images
        .map(|file| {
            let mut folders: Vec<&str> = file.inner_name().split('/').collect();
            folders.pop();
            folders
        })
        .collect();
    let level = Levels::of(&folders.iter().map(Vec::as_slice).collect::<Vec<_>>()).class;
    folders.iter().filter_map(|folders| folders.get(level)).collect::<BTreeSet<_>>().len()
}

/// Images in folders of their classes, which may lie in folders of splits.
///
/// # Errors
/// The options are those of tables.
pub(super) fn read(files: &SourceFiles, options: &ImportOptions) -> Result<Layout, RecipeError> {
    if !options.images.is_empty() {
        let message = "it holds images in folders and no table; `--image` names a column of a table";
        return Err(RecipeError::mismatch(options.sources_in_words(), message));
    }
    let label = options.label.as_deref().unwrap_or("label");
    let mut layout = Layout { name: "class_folders", mixed: true, ..Layout::default() };
    let mut images: Vec<(u32, Vec<&str>)> = Vec::new();
    for (at, file) in files.files().iter().enumerate() {
        match is_image(&file.name) {
            true => {
                let mut folders: Vec<&str> = file.inner_name().split('/').collect();
                folders.pop();
                images.push((at as u32, folders));
            }
            false => layout.left_out.push(LeftOut { name: file.name.clone(), reason: no_image(&file.name) }),
        }
    }
    let levels = Levels::of(&images.iter().map(|(_, folders)| folders.as_slice()).collect::<Vec<_>>());
    let class = |folders: &[&str]| folders.get(levels.class).map(|class| (*class).to_owned());
    let names: BTreeSet<String> = images.iter().filter_map(|(_, folders)| class(folders)).collect();
    let names: Vec<String> = names.into_iter().collect();
    layout.left_out.extend(without_files(files, &levels, &images));
    let deeper = images.iter().filter(|(_, folders)| folders.len() > levels.class + 1).count();
    for (file, folders) in images {
        let split =
            levels.split.and_then(|level| Split::named(folders.get(level)?)).or(files.files()[file as usize].split);
        let own = class(&folders).and_then(|class| names.binary_search(&class).ok());
        let reason = match (own, levels.split, split) {
            (_, Some(_), None) => Some("it lies in no folder of a split"),
            (None, ..) if !names.is_empty() => Some("it lies in no folder of a class"),
            _ => None,
        };
        match reason {
            Some(reason) => {
                let name = files.files()[file as usize].name.clone();
                layout.left_out.push(LeftOut { name, reason: reason.into() });
            }
            None => {
                let class = own.map(|class| class as u32);
                layout.rows.push(SourceRow { split, from: RowSource::Image { file, class } });
            }
        }
    }
    layout.columns.push(Column::new("image", Kind::Image));
    if names.is_empty() {
        layout.notes.push("images lie in no folders of classes: there is no label".into());
    } else {
        if names.len() == 1 {
            layout.notes.push(format!("all images are of one class, `{}`", millstream_schemas::shown(&names[0])));
        }
        layout.columns.push(Column::new(label, Kind::Class(names)));
    }
    if deeper > 0 {
        let images = millstream_schemas::count(deeper, "image");
        layout.notes.push(format!("{images} in folders within those of classes: the outermost folder is the class"));
    }
    Ok(layout)
}

/// Folders that would be classes, and in which no file lies: files of other kinds are told themselves.
fn without_files(files: &SourceFiles, levels: &Levels, images: &[(u32, Vec<&str>)]) -> Vec<LeftOut> {
    let depth = levels.class + 1;
    // one folder alone may be there for something else
    if !images.iter().any(|(_, folders)| folders.len() >= depth) {
        return Vec::new();
    }
    let class = |parts: Vec<&str>| parts.get(..depth).map(|folders| folders.join("/"));
    let of_files = files.files().iter().filter_map(|file| {
        let (folder, _) = file.inner_name().rsplit_once('/')?;
        class(folder.split('/').collect())
    });
    let with_files: BTreeSet<String> = of_files.collect();
    let empty: BTreeSet<String> =
        files.empty_folders.iter().filter_map(|folder| class(folder.split('/').collect())).collect();
    let bare = empty.difference(&with_files);
    bare.map(|name| LeftOut { name: name.clone(), reason: "there is no image in it".into() }).collect()
}

/// At which depths folders mean something.
#[derive(Debug, PartialEq)]
struct Levels {
    /// Splits, if any.
    split: Option<usize>,
    /// Classes.
    class: usize,
}

impl Levels {
    /// Folders that all images lie in mean nothing, as long as others are below them.
    fn of(folders: &[&[&str]]) -> Self {
        let mut split = None;
        let mut level = 0;
        loop {
            let names: BTreeSet<&str> = folders.iter().filter_map(|folders| folders.get(level).copied()).collect();
            let splits: BTreeSet<Split> = names.iter().filter_map(|name| Split::named(name)).collect();
            let of_splits = names.iter().filter(|name| Split::named(name).is_some()).count();
            let all_have_one = folders.iter().all(|folders| folders.len() > level);
            let only_splits = of_splits > 0 && of_splits == names.len() && all_have_one;
            let all_go_on = folders.iter().all(|folders| folders.len() > level + 1);
            if split.is_none() && (only_splits || splits.len() > 1) {
                split = Some(level);
            } else if !(names.len() == 1 && all_go_on) {
                return Self { split, class: level };
            }
            level += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_wrappers_splits_or_classes() {
        for (paths, split, class) in [
            (&["cat", "dog"][..], None, 0),
            (&["x/cat", "x/dog"], None, 1),
            (&["cat", "cat"], None, 0),
            (&["x/y/cat", "x/y/dog/brown"], None, 2),
            (&["train/cat", "val/dog"], Some(0), 1),
            (&["x/train/cat", "x/test/dog"], Some(1), 2),
            (&["train/x/cat", "test/x/dog"], Some(0), 2),
            (&["train", "test"], Some(0), 1),
            (&["train", "plane"], None, 0),
            (&["train/cat", "test/cat", "extra/cat"], Some(0), 1),
            (&["", ""], None, 0),
            (&["", "cat"], None, 0),
        ] {
            let folders: Vec<Vec<&str>> =
                paths.iter().map(|path| path.split('/').filter(|part| !part.is_empty()).collect()).collect();
            let folders: Vec<&[&str]> = folders.iter().map(Vec::as_slice).collect();
            assert_eq!(Levels::of(&folders), Levels { split, class }, "{paths:?}");
        }
    }

    #[test]
    fn a_folder_of_a_class_with_no_image_in_it_is_named() {
        let place = tempfile::tempdir().unwrap();
        for name in ["set/train/cat/1.png", "set/train/dog/2.png", "set/test/cat/3.png", "set/test/notes/a.txt"] {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        std::fs::create_dir_all(place.path().join("set/train/empty/within")).unwrap();
        std::fs::create_dir_all(place.path().join("set/test/dog")).unwrap();
        let source = place.path().join("set");
        let files = SourceFiles::open(std::slice::from_ref(&source), place.path(), &crate::Stop::default()).unwrap();
        let layout = read(&files, &ImportOptions::new(vec![source], place.path())).unwrap();
        let told: Vec<(&str, &str)> =
            layout.left_out.iter().map(|one| (one.name.as_str(), one.reason.as_str())).collect();
        let none = "there is no image in it";
        assert_eq!(
            told,
            // what is in `test/notes` is told, and not the folder once more
            [("test/notes/a.txt", "it is no image by its name"), ("test/dog", none), ("train/empty", none)]
        );
    }

    #[test]
    fn an_empty_folder_of_a_class_is_named_in_an_archive_as_in_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("set");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(place.path().join("set.zip")).unwrap());
        for class in ["cat", "dog", "eel"] {
            std::fs::create_dir_all(folder.join(class)).unwrap();
            zip.add_directory(format!("set/{class}"), zip::write::SimpleFileOptions::default()).unwrap();
        }
        for file in ["cat/1.png", "dog/2.png"] {
            std::fs::write(folder.join(file), "x").unwrap();
            zip.start_file(format!("set/{file}"), zip::write::SimpleFileOptions::default()).unwrap();
            std::io::Write::write_all(&mut zip, b"x").unwrap();
        }
        zip.finish().unwrap();
        let mut tar = tar::Builder::new(std::fs::File::create(place.path().join("set.tar")).unwrap());
        tar.append_dir_all("set", &folder).unwrap();
        tar.finish().unwrap();
        for (source, name) in [("set", "eel"), ("set.tar", "set/eel"), ("set.zip", "set/eel")] {
            let source = place.path().join(source);
            let files =
                SourceFiles::open(std::slice::from_ref(&source), place.path(), &crate::Stop::default()).unwrap();
            let layout = read(&files, &ImportOptions::new(vec![source], place.path())).unwrap();
            let wanted = LeftOut { name: name.into(), reason: "there is no image in it".into() };
            assert_eq!(layout.left_out, [wanted]);
        }
    }
}
