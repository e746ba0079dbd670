use std::collections::HashMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageBuffer, ImageFormat, Luma};
use millstream_schemas::files;

use crate::RecipeError;

/// A folder of masks: grey PNG files whose values are the numbers of classes; the largest value is of pixels without one.
pub(super) struct MaskFiles {
    folder: PathBuf,
    /// How often a name was given already.
    given: HashMap<String, u64>,
}

impl MaskFiles {
    /// # Errors
    /// The folder cannot be made.
    pub(super) fn new(folder: &Path) -> Result<Self, RecipeError> {
        files::create_folder(folder).map_err(RecipeError::io("make", folder))?;
        Ok(Self { folder: folder.to_owned(), given: HashMap::new() })
    }

    /// Writes the mask of a row, of 8 bits a pixel where the numbers fit and of 16 otherwise; gives its path.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(
        &mut self,
        row: &str,
        size: [usize; 2],
        pixels: &[Option<u16>],
    ) -> Result<PathBuf, RecipeError> {
        let stem = Path::new(row).file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let allowed = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
        let stem: String = stem.chars().map(|letter| if allowed(letter) { letter } else { '_' }).collect();
        let times = self.given.entry(stem.clone()).or_default();
        *times += 1;
        let name = if *times == 1 { format!("{stem}.png") } else { format!("{stem}-{times}.png") };
        let path = self.folder.join(name);
        let bytes = png(size, pixels).map_err(|message| RecipeError::mismatch("the mask", message))?;
        files::replace_file(&path, &bytes).map_err(RecipeError::io("write", &path))?;
        Ok(path)
    }
}

fn png([width, height]: [usize; 2], pixels: &[Option<u16>]) -> Result<Vec<u8>, String> {
    let side = |length: usize| u32::try_from(length).map_err(|_| format!("{length} pixels are too many for a file"));
    let (width, height) = (side(width)?, side(height)?);
    let mut bytes = Cursor::new(Vec::new());
    let of_8_bits = |class: &Option<u16>| match class {
        Some(class) => u8::try_from(*class).ok().filter(|class| *class < u8::MAX),
        None => Some(u8::MAX),
    };
    let narrow: Option<Vec<u8>> = pixels.iter().map(of_8_bits).collect();
    let wide = || pixels.iter().map(|class| class.unwrap_or(u16::MAX)).collect::<Vec<u16>>();
    let written = match narrow {
        Some(pixels) => ImageBuffer::<Luma<u8>, _>::from_raw(width, height, pixels)
            .map(|image| image.write_to(&mut bytes, ImageFormat::Png)),
        None => ImageBuffer::<Luma<u16>, _>::from_raw(width, height, wide())
            .map(|image| image.write_to(&mut bytes, ImageFormat::Png)),
    };
    written.ok_or("it has too few pixels for its size")?.map_err(|error| error.to_string())?;
    Ok(bytes.into_inner())
}
