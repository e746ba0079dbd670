use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use millstream_pipeline::decode::UnreadFormat;
use millstream_schemas::{shown, shown_path};

use crate::RecipeError;

/// Ends of the names of images.
pub(crate) const IMAGES: [&str; 13] =
    ["bmp", "gif", "jfif", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"];
/// Ends of the names of images of which none is read.
const OTHER_IMAGES: [&str; 17] = [
    "avif", "dds", "exr", "hdr", "heic", "heif", "ico", "j2k", "jp2", "jpx", "jxl", "psd", "qoi", "raw", "svg", "tga",
    "xcf",
];
/// Ends of the names of texts.
pub(crate) const TEXTS: [&str; 2] = ["md", "txt"];

/// Folders in folders that are gone through.
const DEEPEST: usize = 64;
/// Links to folders that are followed.
const MOST_LINKS: usize = 10_000;

/// Bytes of a file that is held in memory, at most.
pub(crate) const LARGEST_FILE: u64 = 1 << 30;

/// The bytes of a file.
///
/// # Errors
/// It cannot be read, is no file, or is too large; in words.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let open = || -> io::Result<File> {
        // what is no file may never end, or never answer
        match fs::metadata(path)?.is_file() {
            true => File::open(path),
            false => Err(io::Error::other("it is no file")),
        }
    };
    read_bounded(open().map_err(|error| error.to_string())?)
}

/// All bytes of a source.
///
/// # Errors
/// It cannot be read, or has too many; in words.
pub(crate) fn read_bounded(source: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    match bytes.len() as u64 > LARGEST_FILE {
        true => Err(format!("it has more than {LARGEST_FILE} bytes")),
        false => Ok(bytes),
    }
}

/// Whether a file is an image by its name.
pub(crate) fn is_image(name: &str) -> bool {
    IMAGES.contains(&extension(Path::new(name)).as_str())
}

/// Why a file that [`is_image`] does not take is none.
pub(crate) fn no_image(name: &str) -> String {
    let ending = extension(Path::new(name));
    match UnreadFormat::of_ending(&ending) {
        Some(format) => format.to_string(),
        None if OTHER_IMAGES.contains(&ending.as_str()) => {
            format!("images in `.{ending}` are not read; save it as PNG or JPEG")
        }
        None => "it is no image by its name".into(),
    }
}

/// The first of these names that is an image of which none is read, and why; empty where none is. Begins with a semicolon, to stand behind what
/// is missing.
pub(crate) fn other_images<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let is_other = |name: &&str| OTHER_IMAGES.contains(&extension(Path::new(name)).as_str());
    let first = names.into_iter().find(is_other);
    first.map_or_else(String::new, |name| format!("; `{}`: {}", shown(name), no_image(name)))
}

/// What lies below a folder, by name; what begins with a dot is left out.
#[derive(Debug, Default)]
pub(crate) struct FolderFiles {
    /// Files.
    pub(crate) files: Vec<PathBuf>,
    /// What is not gone through or read, and why: links to a folder that they lie in, and what is no file.
    pub(crate) left_out: Vec<(PathBuf, String)>,
    /// Folders with nothing in them.
    pub(crate) empty: Vec<PathBuf>,
    /// Folders whose names begin with a dot.
    pub(crate) hidden: Vec<PathBuf>,
    links: usize,
}

impl FolderFiles {
    /// Goes through a folder.
    ///
    /// # Errors
    /// A folder cannot be read, folders lie too deep, or too many links are to be followed.
    pub(crate) fn below(folder: &Path) -> Result<Self, RecipeError> {
        let mut found = Self::default();
        found.walk(folder, &mut Vec::new())?;
        Ok(found)
    }

    /// `above` are the folders that it lies in, as the system finds them.
    fn walk(&mut self, folder: &Path, above: &mut Vec<PathBuf>) -> Result<(), RecipeError> {
        if above.len() > DEEPEST {
            let message = format!("folders in folders, more than {DEEPEST} deep");
            return Err(RecipeError::mismatch(shown_path(folder), message));
        }
        let real = fs::canonicalize(folder).map_err(RecipeError::io("read", folder))?;
        if above.contains(&real) {
            self.left_out.push((folder.to_owned(), "it is a link to a folder that it lies in".into()));
            return Ok(());
        }
        let entries = fs::read_dir(folder).map_err(RecipeError::io("read", folder))?;
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(RecipeError::io("read", folder))?;
        paths.sort();
        let is_hidden = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().starts_with('.');
        self.hidden.extend(paths.iter().filter(|path| is_hidden(path) && path.is_dir()).cloned());
        paths.retain(|path| !is_hidden(path));
        if paths.is_empty() && !above.is_empty() {
            self.empty.push(folder.to_owned());
        }
        above.push(real);
        for path in paths {
            match fs::metadata(&path) {
                Ok(facts) if facts.is_dir() => {
                    self.links += usize::from(path.is_symlink());
                    if self.links > MOST_LINKS {
                        let message = format!("more than {MOST_LINKS} links to folders; name the folders themselves");
                        return Err(RecipeError::mismatch(shown_path(&path), message));
                    }
                    self.walk(&path, above)?;
                }
                Ok(facts) if !facts.is_file() => self.left_out.push((path, "it is no file".into())),
                // why it cannot be read is told by whoever reads it
                _ => self.files.push(path),
            }
        }
        above.pop();
        Ok(())
    }
}

/// The end of a file's name, in small letters.
pub(crate) fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_a_format_that_is_not_read_is_told_as_one() {
        assert!(is_image("a/x.PPM") && !is_image("x.avif"));
        for (name, wanted) in [
            ("a/x.AVIF", "AVIF is not read; save it as PNG or JPEG, as by `avifdec"),
            ("x.heif", "HEIC is not read"),
            ("x.jxl", "JPEG XL is not read"),
            ("x.svg", "SVG is not read; draw it as PNG"),
            ("x.xcf", "images in `.xcf` are not read; save it as PNG or JPEG"),
        ] {
            assert!(no_image(name).starts_with(wanted), "{name}: {}", no_image(name));
            let told = other_images(["readme.txt", name, "b.png"]);
            assert!(told.starts_with(&format!("; `{name}`: ")) && told.contains(wanted), "{told}");
        }
        assert_eq!(other_images(["readme.txt", "b.png"]), "");
        assert_eq!(no_image("avif"), "it is no image by its name");
    }

    #[test]
    fn files_come_by_name_and_hidden_ones_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b/c")).unwrap();
        for name in [".git", "b/d", "b/e"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for name in ["b/c/2.png", "b/1.png", "a.txt", ".hidden", ".git/x.png", "b/e/.hidden"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = FolderFiles::below(folder.path()).unwrap();
        let wanted = ["a.txt", "b/1.png", "b/c/2.png"].map(|name| folder.path().join(name));
        assert_eq!(found.files, wanted);
        assert_eq!(found.empty, ["b/d", "b/e"].map(|name| folder.path().join(name)));
        assert_eq!(found.hidden, [folder.path().join(".git")]);
        assert_eq!(extension(Path::new("x.tar.JPG")), "jpg");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_ends_the_walk_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/1.png"), "").unwrap();
        std::os::unix::fs::symlink(folder.path().join("a"), folder.path().join("a/b/again")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("gone"), folder.path().join("broken")).unwrap();
        let found = FolderFiles::below(folder.path()).unwrap();
        assert_eq!(found.files, ["a/b/1.png", "broken"].map(|name| folder.path().join(name)));
        assert_eq!(found.left_out.len(), 1);
        assert_eq!(found.left_out[0].0, folder.path().join("a/b/again"));
    }
}
