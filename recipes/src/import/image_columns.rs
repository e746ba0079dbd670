//! Columns of tables whose values are files of images.

use std::path::{Path, PathBuf};

use millstream_schemas::shown;
use serde_json::Value as Json;

use super::source_files::{NamedFile, SourceFiles};
use crate::folder_files::is_image;
use crate::table_records::{RecordCells, TableFormat, TableRecords};
use crate::{RecipeError, Stop};

/// Records of a table that are looked at.
const LOOKED_AT: usize = 200;

/// Columns that hold paths of images.
#[derive(Debug, Default)]
pub(super) struct ImageColumns {
    /// Headings of those whose files are there, in the order in which they were met.
    pub(super) found: Vec<String>,
    /// What is to be said of them, and of others.
    pub(super) notes: Vec<String>,
}

/// What was seen of the values under a heading.
struct SeenPaths {
    heading: String,
    /// Tables that have it.
    tables: usize,
    /// Cells that are not empty; of these, names of images; of these, files that are there.
    values: usize,
    named: usize,
    there: usize,
    /// The first that is not there, and why.
    first_missing: Option<(String, String)>,
}

impl SeenPaths {
    fn see(&mut self, files: &SourceFiles, table: &str, path: &str) {
        let path = path.trim();
        if path.is_empty() {
            return;
        }
        self.values += 1;
        if !is_image(path) {
            return;
        }
        self.named += 1;
        let missing = match files.image(table, path) {
            Ok(NamedFile::Beside(path, _)) if !path.is_file() => "there is no such file beside the table".to_owned(),
            Ok(_) => {
                self.there += 1;
                return;
            }
            Err(reason) => reason,
        };
        self.first_missing.get_or_insert_with(|| (path.to_owned(), missing));
    }
}

impl ImageColumns {
    /// Looks at the first records of these tables of the source. A column is one of images where all its values are names of images and most of those are
    /// files, in every table.
    ///
    /// # Errors
    /// A table cannot be read.
    pub(super) fn of(files: &SourceFiles, tables: &[u32], stop: &Stop) -> Result<Self, RecipeError> {
        let mut seen: Vec<SeenPaths> = Vec::new();
        for file in tables {
            see_table(files, *file, &mut seen, stop)?;
        }
        let mut columns = Self::default();
        for SeenPaths { heading, tables: of, values, named, there, first_missing } in seen {
            if values == 0 || named < values {
                continue;
            }
            let column = shown(&heading);
            let first = first_missing.map_or_else(String::new, |(path, why)| format!("; `{}`: {why}", shown(path)));
            if of == tables.len() && 2 * there >= values {
                columns.notes.push(format!("the values of `{column}` are files of images, which are embedded"));
                columns.found.push(heading);
            } else {
                columns.notes.push(format!(
                    "the values of `{column}` are names of images, and {there} of {values} that were looked at are files{first}; \
                     `--image {column}` embeds those that are"
                ));
            }
        }
        Ok(columns)
    }
}

fn see_table(files: &SourceFiles, file: u32, seen: &mut Vec<SeenPaths>, stop: &Stop) -> Result<(), RecipeError> {
    let name = files.files()[file as usize].name.as_str();
    let format = TableFormat::of(Path::new(name)).unwrap_or(TableFormat::JsonLines);
    let mut records = TableRecords::open(name, format, files.seekable(file)?)?;
    let headings: Vec<String> = records.headings().map(<[String]>::to_vec).unwrap_or_default();
    // places in `seen` of the headings of this table
    let mut met: Vec<usize> = Vec::new();
    let mut place = |heading: &str, seen: &mut Vec<SeenPaths>| {
        let place = seen.iter().position(|own| own.heading == heading).unwrap_or_else(|| {
            let heading = heading.to_owned();
            seen.push(SeenPaths { heading, tables: 0, values: 0, named: 0, there: 0, first_missing: None });
            seen.len() - 1
        });
        if !met.contains(&place) {
            met.push(place);
            seen[place].tables += 1;
        }
        place
    };
    let places: Vec<usize> = headings.iter().map(|heading| place(heading, seen)).collect();
    for _ in 0..LOOKED_AT {
        if stop.is_requested() {
            break;
        }
        match records.next_record()? {
            None => break,
            // told when it is read
            Some(Err(_)) => {}
            Some(Ok(record)) => match &record.cells {
                RecordCells::Texts(cells) => {
                    places.iter().zip(cells.iter()).for_each(|(place, cell)| seen[*place].see(files, name, cell));
                }
                RecordCells::Object(cells) => {
                    for (heading, cell) in cells {
                        let place = place(heading, seen);
                        match cell {
                            Json::String(text) => seen[place].see(files, name, text),
                            Json::Null => {}
                            _ => seen[place].values += 1,
                        }
                    }
                }
            },
        }
    }
    Ok(())
}

/// Files of images that a table names, beside which it lies; nothing of a table that cannot be read.
pub(crate) fn images_beside(table: &Path) -> Vec<PathBuf> {
    let find = || -> Result<Vec<PathBuf>, RecipeError> {
        let files = SourceFiles::open(&[table.to_owned()], Path::new(""), &Stop::default())?;
        let columns = ImageColumns::of(&files, &[0], &Stop::default())?.found;
        let mut paths = Vec::new();
        if columns.is_empty() {
            return Ok(paths);
        }
        let name = files.files()[0].name.as_str();
        let format = TableFormat::of(table).unwrap_or(TableFormat::JsonLines);
        let mut records = TableRecords::open(name, format, files.seekable(0)?)?;
        let headings: Vec<String> = records.headings().map(<[String]>::to_vec).unwrap_or_default();
        let is_one = |heading: &String| columns.contains(heading);
        while let Some(record) = records.next_record()? {
            let Ok(record) = record else { continue };
            let named: Vec<&str> = match &record.cells {
                RecordCells::Texts(cells) => headings
                    .iter()
                    .zip(cells.iter())
                    .filter(|(heading, _)| is_one(heading))
                    .map(|(_, cell)| cell)
                    .collect(),
                RecordCells::Object(cells) => {
                    cells.iter().filter(|(heading, _)| is_one(heading)).filter_map(|(_, cell)| cell.as_str()).collect()
                }
            };
            paths.extend(named.into_iter().filter_map(|path| match files.image(name, path) {
                Ok(NamedFile::Beside(path, _)) => Some(path),
                _ => None,
            }));
        }
        Ok(paths)
    };
    find().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn columns_whose_values_are_files_of_images_are_found_and_others_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pics")).unwrap();
        for name in ["pics/a.jpg", "pics/b.PNG"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        for (file, text, found, note) in [
            ("a.csv", "path,label\npics/a.jpg,x\npics/b.PNG,y\n", &["path"][..], "are embedded"),
            ("b.csv", "file;class\npics/a.jpg;x\n", &["file"], "are embedded"),
            ("c.jsonl", "{\"image\": \"pics/a.jpg\", \"mask\": \"pics/b.PNG\"}\n", &["image", "mask"], "are embedded"),
            // one that is gone is left out with its reason, as of `--image`
            ("d.csv", "path,label\npics/a.jpg,x\npics/gone.jpg,y\n", &["path"], "are embedded"),
            (
                "e.csv",
                "path,label\nelse/a.jpg,x\nelse/b.jpg,y\n",
                &[],
                "0 of 2 that were looked at are files; `else/a.jpg`",
            ),
            ("f.csv", "path,label\n../a.jpg,x\n", &[], "leads out of the table's folder"),
            ("g.csv", "text,label\npics/a.jpg,x\nno picture,y\n", &[], ""),
        ] {
            let table = folder.path().join(file);
            fs::write(&table, text).unwrap();
            let files = SourceFiles::open(std::slice::from_ref(&table), folder.path(), &Stop::default()).unwrap();
            let columns = ImageColumns::of(&files, &[0], &Stop::default()).unwrap();
            assert_eq!(columns.found, found, "{file}");
            assert!(columns.notes.join(" ").contains(note), "{file}: {:?}", columns.notes);
            assert_eq!(images_beside(&table).is_empty(), found.is_empty(), "{file}");
        }
    }
}
