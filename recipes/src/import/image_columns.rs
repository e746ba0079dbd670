//! Columns of tables whose values are files of images.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use millstream_schemas::shown;
use serde_json::Value as Json;

use super::source_files::{NamedFile, ReadSeek, SourceFiles};
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

/// What was seen of tables.
#[derive(Default)]
struct SeenTables {
    /// By heading, in the order in which they were met.
    columns: Vec<SeenPaths>,
    places: HashMap<String, usize>,
    /// Records that were looked at.
    records: usize,
}

impl SeenTables {
    fn place(&mut self, heading: &str) -> usize {
        if let Some(place) = self.places.get(heading) {
            return *place;
        }
        let heading = heading.to_owned();
        self.places.insert(heading.clone(), self.columns.len());
        self.columns.push(SeenPaths { heading, values: 0, named: 0, there: 0, first_missing: None });
        self.columns.len() - 1
    }

    fn see(&mut self, files: &SourceFiles, file: u32, stop: &Stop) -> Result<(), RecipeError> {
        let name = files.files()[file as usize].name.as_str();
        let mut records = records_of(files, file)?;
        let headings: Vec<String> = records.headings().map(<[String]>::to_vec).unwrap_or_default();
        let places: Vec<usize> = headings.iter().map(|heading| self.place(heading)).collect();
        for _ in 0..LOOKED_AT {
            if stop.is_requested() {
                break;
            }
            match records.next_record()? {
                None => break,
                // told when it is read
                Some(Err(_)) => {}
                Some(Ok(record)) => {
                    self.records += 1;
                    match &record.cells {
                        RecordCells::Texts(cells) => {
                            for (place, cell) in places.iter().zip(cells.iter()) {
                                self.columns[*place].see(files, name, cell);
                            }
                        }
                        RecordCells::Object(cells) => {
                            for (heading, cell) in cells {
                                let place = self.place(heading);
                                match cell {
                                    Json::String(text) => self.columns[place].see(files, name, text),
                                    Json::Null => {}
                                    _ => self.columns[place].values += 1,
                                }
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl ImageColumns {
    /// Looks at the first records of these tables of the source. A column is one of images where each record has a value in it, all of these are names of
    /// images and most of them are files, in all tables together: rows without an image would be left out.
    ///
    /// # Errors
    /// A table cannot be read.
    pub(super) fn of(files: &SourceFiles, tables: &[u32], stop: &Stop) -> Result<Self, RecipeError> {
        let mut seen = SeenTables::default();
        for file in tables {
            seen.see(files, *file, stop)?;
        }
        let SeenTables { columns: all, records, .. } = seen;
        let mut columns = Self::default();
        for SeenPaths { heading, values, named, there, first_missing } in all {
            if values == 0 || named < values {
                continue;
            }
            let column = shown(&heading);
            let is_filled = values == records;
            if is_filled && 2 * there >= values {
                columns.notes.push(format!("the values of `{column}` are files of images, which are embedded"));
                columns.found.push(heading);
                continue;
            }
            let first = first_missing.map_or_else(String::new, |(path, why)| format!("; `{}`: {why}", shown(path)));
            let (empty, others) = match is_filled {
                true => ("", ""),
                false => (", and some rows have none", " and leaves out the other rows"),
            };
            columns.notes.push(format!(
                "the values of `{column}` are names of images, and {there} of {values} that were looked at are files{first}{empty}; \
                 `millstream import TABLE --image {column} -o FOLDER` embeds those that are{others}"
            ));
        }
        Ok(columns)
    }
}

fn records_of(files: &SourceFiles, file: u32) -> Result<TableRecords<Box<dyn ReadSeek>>, RecipeError> {
    let name = files.files()[file as usize].name.as_str();
    let format = TableFormat::of(Path::new(name)).unwrap_or(TableFormat::JsonLines);
    TableRecords::open(name, format, files.seekable(file)?)
}

/// Files of images that tables name beside which they lie, with what they are called, as an import of all these tables takes them; none where a table
/// cannot be read.
pub(crate) fn images_beside(tables: &[PathBuf]) -> Vec<(PathBuf, String)> {
    named_beside(tables).unwrap_or_default()
}

fn named_beside(tables: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, RecipeError> {
    let files = SourceFiles::open_beside_no_result(tables, &Stop::default())?;
    let all: Vec<u32> = (0..files.files().len() as u32).collect();
    let columns = ImageColumns::of(&files, &all, &Stop::default())?.found;
    let mut found = Vec::new();
    if columns.is_empty() {
        return Ok(found);
    }
    let is_one = |heading: &String| columns.contains(heading);
    for file in all {
        let name = files.files()[file as usize].name.as_str();
        let mut records = records_of(&files, file)?;
        let headings: Vec<String> = records.headings().map(<[String]>::to_vec).unwrap_or_default();
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
            found.extend(named.into_iter().filter_map(|path| match files.image(name, path) {
                Ok(NamedFile::Beside(path, name)) => Some((path, name)),
                _ => None,
            }));
        }
    }
    Ok(found)
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
            // rows would be left out
            (
                "h.csv",
                "path,label\npics/a.jpg,x\n,y\n",
                &[],
                "some rows have none; `millstream import TABLE --image path -o FOLDER`",
            ),
            (
                "i.jsonl",
                "{\"image\": \"pics/a.jpg\", \"label\": \"x\"}\n{\"label\": \"y\"}\n",
                &[],
                "1 of 1 that were looked at are files, and some rows have none",
            ),
            ("j.jsonl", "{\"image\": \"pics/a.jpg\"}\n{\"image\": null}\n", &[], "some rows have none"),
        ] {
            let table = folder.path().join(file);
            fs::write(&table, text).unwrap();
            let files = SourceFiles::open(std::slice::from_ref(&table), folder.path(), &Stop::default()).unwrap();
            let columns = ImageColumns::of(&files, &[0], &Stop::default()).unwrap();
            assert_eq!(columns.found, found, "{file}");
            assert!(columns.notes.join(" ").contains(note), "{file}: {:?}", columns.notes);
            assert_eq!(images_beside(&[table]).is_empty(), found.is_empty(), "{file}");
        }
    }

    #[test]
    fn images_of_several_tables_are_those_of_an_import_of_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pics")).unwrap();
        for name in ["pics/a.jpg", "pics/b.jpg"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let beside = |texts: &[(&str, &str)]| -> Vec<String> {
            let tables: Vec<PathBuf> = texts.iter().map(|(file, _)| folder.path().join(file)).collect();
            tables.iter().zip(texts).for_each(|(table, (_, text))| fs::write(table, text).unwrap());
            images_beside(&tables).into_iter().map(|(_, name)| name).collect()
        };
        let (few, all) = ("path\npics/gone.jpg\npics/lost.jpg\npics/a.jpg\n", "path\npics/a.jpg\npics/b.jpg\n");
        assert_eq!(beside(&[("few.csv", few)]), [""; 0]);
        // three of five
        let wanted = ["pics/a.jpg", "pics/b.jpg", "pics/gone.jpg", "pics/lost.jpg", "pics/a.jpg"];
        assert_eq!(beside(&[("few.csv", few), ("all.csv", all)]), wanted);
        assert_eq!(beside(&[("all.csv", all), ("texts.csv", "path\nno picture\n")]), [""; 0]);
    }
}
