//! Images and masks of the same names in two folders beside each other.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use millstream_pipeline::Split;
use millstream_schemas::count;

use super::column::{Column, Kind};
use super::import_options::ImportOptions;
use super::layout::{Cell, Layout};
use super::source_files::SourceFiles;
use crate::RecipeError;
use crate::folder_files::is_image;

/// Names of folders with images.
const IMAGES: [&str; 5] = ["image", "images", "img", "imgs", "jpegimages"];
/// Names of folders with masks.
const MASKS: [&str; 11] = [
    "annotation",
    "annotations",
    "gt",
    "label",
    "labels",
    "mask",
    "masks",
    "segmentation",
    "segmentationclass",
    "segmentations",
    "semantic",
];
/// Ends of the names of masks, beside that of the image.
const ENDS: [&str; 6] = ["_mask", "-mask", "_seg", "_label", "_gt", "_segmentation"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    Image,
    Mask,
}

/// What a file is by the nearest folder that says it, and a name that image and mask share: that folder and the file's end are no
/// part of it, and splits are called alike (`images/training/1.jpg`, `annotations/train/1.png`).
fn role(name: &str) -> Option<(Role, String)> {
    let (folders, own) = name.rsplit_once('/')?;
    let folders: Vec<&str> = folders.split('/').collect();
    let is = |names: &[&str], folder: &str| names.iter().any(|known| folder.eq_ignore_ascii_case(known));
    let (at, role) = folders.iter().enumerate().rev().find_map(|(at, folder)| match () {
        () if is(&IMAGES, folder) => Some((at, Role::Image)),
        () if is(&MASKS, folder) => Some((at, Role::Mask)),
        () => None,
    })?;
    let stem = own.rsplit_once('.').map_or(own, |(stem, _)| stem);
    let stem = match role {
        Role::Mask => ENDS.iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem),
        Role::Image => stem,
    };
    let folders = folders.iter().enumerate().filter(|(place, _)| *place != at);
    let mut key: Vec<&str> =
        folders.map(|(_, folder)| Split::named(folder).map_or(*folder, |split| split.name())).collect();
    key.push(stem);
    Some((role, key.join("/")))
}

fn names(files: &SourceFiles) -> impl Iterator<Item = &str> {
    files.files().iter().map(|file| file.name.as_str())
}

/// The places of the masks among the names of files, where images in one folder have masks of their names in another.
pub(crate) fn masks_among<'a>(names: impl Iterator<Item = &'a str>) -> HashSet<u32> {
    let paired = paired(names).unwrap_or_default();
    paired.into_iter().filter(|(_, role, _)| *role == Role::Mask).map(|(at, ..)| at).collect()
}

/// The images and masks among the names of files, each with what its partner is found by: its key, or where that finds none its name alone, if
/// no other is called so. None without a pair.
fn paired<'a>(names: impl Iterator<Item = &'a str>) -> Option<Vec<(u32, Role, String)>> {
    let images = names.enumerate().filter(|(_, name)| is_image(name));
    let all = images.filter_map(|(at, name)| role(name).map(|(role, key)| (at as u32, role, key)));
    let mut all: Vec<(u32, Role, String)> = all.collect();
    let has_pairs = |all: &[(u32, Role, String)]| {
        let keys = |wanted| all.iter().filter(move |(_, role, _)| *role == wanted).map(|(_, _, key)| key.as_str());
        let masks: HashSet<&str> = keys(Role::Mask).collect();
        keys(Role::Image).any(|key| masks.contains(key))
    };
    if has_pairs(&all) {
        return Some(all);
    }
    let mut met = HashSet::new();
    for (_, role, key) in &mut all {
        *key = key.rsplit_once('/').map_or(key.clone(), |(_, own)| own.to_owned());
        if !met.insert((*role, key.clone())) {
            return None;
        }
    }
    has_pairs(&all).then_some(all)
}

/// Whether images in one folder have masks of their names in another.
pub(super) fn has_masks(files: &SourceFiles) -> bool {
    paired(names(files)).is_some()
}

/// Rows of an image and the mask of its name, both as they are.
///
/// # Errors
/// The options are those of tables or of classes.
pub(super) fn read(files: &SourceFiles, options: &ImportOptions) -> Result<Layout, RecipeError> {
    if options.label.is_some() || !options.images.is_empty() {
        let message = "it holds images and masks, which have no label and no table: leave out `--label` and `--image`";
        return Err(RecipeError::mismatch(options.sources_in_words(), message));
    }
    let mut layout = Layout { name: "masks", mixed: true, ..Layout::default() };
    layout.columns = vec![Column::new("image", Kind::Image), Column::new("mask", Kind::Image)];
    let (mut images, mut masks) = (Vec::new(), HashMap::new());
    let mut used = vec![false; files.files().len()];
    for (at, role, key) in paired(names(files)).unwrap_or_default() {
        used[at as usize] = true;
        if role == Role::Image {
            images.push((at, key));
        } else if let Entry::Vacant(free) = masks.entry(key) {
            free.insert((at, false));
        } else {
            layout.leave_out(&files.files()[at as usize].name, "another mask is called like it");
        }
    }
    for (file, _) in files.files().iter().zip(&used).filter(|(_, used)| !**used) {
        layout.leave_out(&file.name, "it is neither an image nor a mask by its name and folder");
    }
    let mut without = 0_u64;
    for (image, key) in images {
        let file = &files.files()[image as usize];
        match masks.get_mut(&key) {
            Some((mask, used)) => {
                *used = true;
                layout.make(file.split_of_folders(), vec![Cell::Image { file: image, size: None }, Cell::Mask(*mask)]);
            }
            None => {
                without += 1;
                layout.leave_out(&file.name, "there is no mask of its name");
            }
        }
    }
    let mut alone: Vec<u32> = masks.into_values().filter(|(_, used)| !used).map(|(mask, _)| mask).collect();
    alone.sort_unstable();
    alone
        .iter()
        .for_each(|mask| layout.leave_out(&files.files()[*mask as usize].name, "there is no image of its name"));
    if without > 0 {
        layout.notes.push(format!("{} without a mask", count(without, "image")));
    }
    layout.notes.push(
        "a recipe names the classes of the masks, by the values of their pixels: `mask: {column: mask, classes: […]}`"
            .into(),
    );
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_found_among_files_where_images_are_called_like_them_and_nowhere_else() {
        let of = |names: &[&str]| {
            let mut found: Vec<u32> = masks_among(names.iter().copied()).into_iter().collect();
            found.sort_unstable();
            found
        };
        assert_eq!(of(&["images/1.jpg", "masks/1.png", "masks/2.png", "masks/notes.txt", "3.png"]), [1, 2]);
        assert_eq!(of(&["1.jpg", "masks/1.png"]), [0; 0]);
        assert_eq!(of(&["images/1.jpg", "masks/2.png"]), [0; 0]);
    }

    #[test]
    fn images_and_masks_share_a_key() {
        for (image, mask) in [
            ("images/1.jpg", "masks/1.png"),
            ("x/images/training/1.jpg", "x/annotations/train/1.png"),
            ("train/images/1.jpg", "train/masks/1_mask.png"),
            ("JPEGImages/2007.jpg", "SegmentationClass/2007.png"),
        ] {
            let ((as_image, key), (as_mask, of_mask)) = (role(image).unwrap(), role(mask).unwrap());
            assert_eq!((as_image, as_mask), (Role::Image, Role::Mask));
            assert_eq!(key, of_mask, "{image}");
        }
        assert_eq!(role("cat/1.jpg"), None);
        assert_ne!(role("train/images/1.jpg").unwrap().1, role("val/masks/1.png").unwrap().1);
    }
}
