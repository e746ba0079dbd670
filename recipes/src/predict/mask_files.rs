use std::collections::{HashMap, HashSet};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageBuffer, ImageFormat, Luma};
use millstream_schemas::files;

use crate::RecipeError;

/// A folder of masks: grey PNG files whose values are the numbers of classes; the largest value is of pixels without one, in all files of a model the same.
pub(super) struct MaskFiles {
    folder: PathBuf,
    /// How often a name was wanted already, in small letters.
    wanted: HashMap<String, u64>,
    /// The names that were given, in small letters.
    given: HashSet<String>,
}

impl MaskFiles {
    /// The folder is made for the first mask: where rows are refused before, none is left behind.
    ///
    /// # Errors
    /// What lies there is no folder.
    pub(super) fn new(folder: &Path) -> Result<Self, RecipeError> {
        if folder.exists() {
            files::create_folder(folder).map_err(RecipeError::io("make", folder))?;
        }
        Ok(Self { folder: folder.to_owned(), wanted: HashMap::new(), given: HashSet::new() })
    }

    /// Writes the mask of a row of a model that tells so many classes, of 8 bits a pixel where the numbers of all of them fit and of 16 otherwise; gives its
    /// path.
    ///
    /// # Errors
    /// The folder cannot be made, or the mask not written.
    pub(super) fn write(
        &mut self,
        row: &str,
        size: [usize; 2],
        pixels: &[Option<u16>],
        classes: usize,
    ) -> Result<PathBuf, RecipeError> {
        let stem = Path::new(row).file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let allowed = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
        let stem: String = stem.chars().map(|letter| if allowed(letter) { letter } else { '_' }).collect();
        let name = self.name(&stem);
        let path = self.folder.join(name);
        let bytes = png(size, pixels, classes).map_err(|message| RecipeError::mismatch("the mask", message))?;
        files::create_folder(&self.folder).map_err(RecipeError::io("make", &self.folder))?;
        files::replace_file(&path, &bytes).map_err(RecipeError::io("write", &path))?;
        Ok(path)
    }

    /// A name that no other mask has: another row may be called as one that was numbered.
    fn name(&mut self, stem: &str) -> String {
        // file systems that take large and small letters for the same have one file of both
        let times = self.wanted.entry(stem.to_lowercase()).or_default();
        loop {
            *times += 1;
            let name = if *times == 1 { format!("{stem}.png") } else { format!("{stem}-{times}.png") };
            if self.given.insert(name.to_lowercase()) {
                return name;
            }
        }
    }
}

fn png([width, height]: [usize; 2], pixels: &[Option<u16>], classes: usize) -> Result<Vec<u8>, String> {
    let side = |length: usize| u32::try_from(length).map_err(|_| format!("{length} pixels are too many for a file"));
    let (width, height) = (side(width)?, side(height)?);
    let mut bytes = Cursor::new(Vec::new());
    let narrow = |class: &Option<u16>| class.and_then(|class| u8::try_from(class).ok()).unwrap_or(u8::MAX);
    let wide = |class: &Option<u16>| class.unwrap_or(u16::MAX);
    let written = match classes <= usize::from(u8::MAX) {
        true => ImageBuffer::<Luma<u8>, _>::from_raw(width, height, pixels.iter().map(narrow).collect::<Vec<u8>>())
            .map(|image| image.write_to(&mut bytes, ImageFormat::Png)),
        false => ImageBuffer::<Luma<u16>, _>::from_raw(width, height, pixels.iter().map(wide).collect::<Vec<u16>>())
            .map(|image| image.write_to(&mut bytes, ImageFormat::Png)),
    };
    written.ok_or("it has too few pixels for its size")?.map_err(|error| error.to_string())?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use image::{ColorType, ImageReader};

    use super::*;

    #[test]
    fn masks_of_rows_that_are_called_alike_or_like_a_numbered_one_do_not_replace_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut masks = MaskFiles::new(folder.path()).unwrap();
        let names = ["a.jpg", "a.jpg", "a-2.jpg", "a-2.jpg", "a.png", "A.jpg"];
        let mut name = |row: &str| {
            let path = masks.write(row, [1, 1], &[Some(1)], 2).unwrap();
            path.file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(names.map(&mut name), ["a.png", "a-2.png", "a-2-2.png", "a-2-3.png", "a-3.png", "A-4.png"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), names.len());
    }

    #[test]
    fn a_prediction_that_is_refused_before_its_first_row_leaves_no_empty_folder_for_masks() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("new/masks");
        drop(MaskFiles::new(&folder).unwrap());
        assert!(!place.path().join("new").exists());
        let path = MaskFiles::new(&folder).unwrap().write("a.jpg", [1, 1], &[Some(1)], 2).unwrap();
        assert!(path.starts_with(&folder) && path.is_file());
        // what is no folder is told at once
        let refused = MaskFiles::new(&path).err().unwrap().to_string();
        assert!(refused.contains("a.png"), "{refused}");
    }

    #[test]
    fn pixels_without_a_class_have_one_value_in_all_masks_of_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let mut masks = MaskFiles::new(folder.path()).unwrap();
        for (classes, pixels, kind, wanted) in [
            (2, [Some(1), None], ColorType::L8, [1, 255]),
            (255, [Some(254), None], ColorType::L8, [254, 255]),
            // the classes of this picture alone would fit
            (256, [Some(1), None], ColorType::L16, [1, 65_535]),
            (300, [Some(299), None], ColorType::L16, [299, 65_535]),
        ] {
            let path = masks.write("a.jpg", [2, 1], &pixels, classes).unwrap();
            let image = ImageReader::open(&path).unwrap().decode().unwrap();
            assert_eq!(image.color(), kind, "{classes}");
            let values: Vec<u16> = match image.as_luma8() {
                Some(image) => image.as_raw().iter().map(|value| u16::from(*value)).collect(),
                None => image.to_luma16().into_raw(),
            };
            assert_eq!(values, wanted, "{classes}");
        }
    }
}
