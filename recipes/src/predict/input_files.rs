use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::io::{BufRead, Cursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_pipeline::stores::{InMemory, Store};
use millstream_pipeline::{Dataset, arrow_array};
use millstream_schemas::{shown, shown_path};

use super::first_line::{FirstLine, first_line};
use super::input_columns::{InputColumn, InputColumns};
use super::open_input::Open;
use super::reads::Reads;
use super::row_format::RowFormat;
use super::row_names::RowNames;
use super::table_rows::{Cell, ReadRow, TableRows, record_batch};
use crate::folder_files::{FolderFiles, TEXTS, extension, other_images, read_bounded};
use crate::import::{ArchiveMembers, archive_stem, masks_among};
use crate::imported::{DECIMAL_COMMA, NO_TABLE};
use crate::replaced_inputs::require_no_input;
use crate::table_records::TableFormat;
use crate::{Event, Events, RecipeError, Stop};

/// Rows that are made one dataset of, unless they hold more than so many bytes.
const ROWS_A_PIECE: usize = 512;
const BYTES_A_PIECE: usize = 64 << 20;

/// Where rows come from.
pub enum PredictInput {
    /// A file: an image, a text (a row a line), CSV, JSON Lines, Parquet; a folder or an archive of such files; or a pattern of Parquet files.
    Path(PathBuf),
    /// A text as it is.
    Text(String),
    /// Of a model of texts lines of text, each a row, or JSON Lines where the first is an object that has the model's column; of a model of
    /// images one image; of any other CSV or JSON Lines.
    Read(Box<dyn BufRead>),
    /// Rows that are written so, whatever the model takes.
    ReadAs(Box<dyn BufRead>, RowFormat),
}

/// Rows that are run together.
pub(super) struct Piece {
    pub(super) dataset: Dataset,
    pub(super) names: RowNames,
}

/// What is left of the inputs.
pub(super) struct InputFiles {
    left: VecDeque<Source>,
    open: Option<Open>,
    passed_over: u64,
    /// Whether the model tells what masks say, so that they are no images for it.
    tells_masks: bool,
    masks: u64,
    total: Option<u64>,
    /// The files on the disk that are read.
    paths: Vec<PathBuf>,
    /// Whether numbers of tables may have a comma in front of their decimals.
    decimal_comma: bool,
    /// Whether none of the inputs but the standard input may be the table that these are asked for.
    wants_table: bool,
    /// What is to be said of the tables that were read.
    notes: Vec<String>,
    stop: Stop,
}

enum Source {
    Image(PathBuf),
    /// An image or a text in an archive, and what it is called.
    Member(Arc<ArchiveMembers>, u32, String),
    Text(String),
    Lines(PathBuf),
    Table(PathBuf),
    MemberTable(Arc<ArchiveMembers>, u32, String),
    Parquet(Dataset),
    MemberParquet(Arc<ArchiveMembers>, u32, String),
    Read(Box<dyn BufRead>, Option<RowFormat>),
}

/// The rows of a Parquet file in an archive.
///
/// # Errors
/// It cannot be read, is too large, or is no Parquet.
fn member_dataset(members: &ArchiveMembers, place: u32, name: &str) -> Result<Dataset, RecipeError> {
    let bytes = members.read(place).map_err(|reason| RecipeError::mismatch(shown(name), reason))?;
    let store: Arc<dyn Store> = Arc::new(InMemory(bytes.into()));
    Dataset::from_stores(vec![(name.to_owned(), store)]).map_err(RecipeError::at(shown(name)))
}

/// What the inputs are, in their order; some of them where it is stopped. Of a model that tells masks, those beside the images of a folder are left out.
///
/// # Errors
/// One is not there, holds nothing that the model takes, or is of a kind that it does not take.
pub(super) fn list(
    inputs: Vec<PredictInput>,
    columns: &InputColumns,
    tells_masks: bool,
    stop: &Stop,
) -> Result<InputFiles, RecipeError> {
    let mut files = InputFiles {
        left: VecDeque::new(),
        open: None,
        passed_over: 0,
        tells_masks,
        masks: 0,
        total: Some(0),
        paths: Vec::new(),
        decimal_comma: false,
        wants_table: false,
        notes: Vec::new(),
        stop: stop.clone(),
    };
    for input in inputs {
        match input {
            PredictInput::Path(path) => files.add(&path, columns, stop)?,
            PredictInput::Text(text) => {
                require_text(columns, "--text")?;
                files.push(Source::Text(text), Some(1));
            }
            PredictInput::Read(reader) => files.push(Source::Read(reader, None), None),
            PredictInput::ReadAs(reader, format) => {
                if format == RowFormat::Text {
                    require_text(columns, "--format")?;
                }
                files.push(Source::Read(reader, Some(format)), None);
            }
        }
    }
    Ok(files)
}

impl InputFiles {
    /// Rows in all, where that is known.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Files in folders that are of no kind that can be read.
    pub(super) fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Masks beside the images of a folder.
    pub(super) fn masks(&self) -> u64 {
        self.masks
    }

    /// What is to be said of the tables that were read to their ends since this was asked last.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Reads numbers of tables whose decimals have a comma. Whether the standard input is a table is seen when it is opened.
    ///
    /// # Errors
    /// There is no table.
    pub(super) fn take_decimal_commas(&mut self) -> Result<(), RecipeError> {
        let is_table = |source: &Source| matches!(source, Source::Table(_) | Source::MemberTable(..));
        self.wants_table = !self.left.iter().any(is_table);
        self.decimal_comma = true;
        self.require_table()
    }

    /// Refuses inputs among which there is no table that decimal commas are asked for, and none is left that may be one.
    fn require_table(&self) -> Result<(), RecipeError> {
        let may_be = |source: &Source| matches!(source, Source::Read(_, format) if *format != Some(RowFormat::Text));
        match self.wants_table && !self.left.iter().any(may_be) {
            true => Err(RecipeError::mismatch(DECIMAL_COMMA, NO_TABLE)),
            false => Ok(()),
        }
    }

    /// Refuses to replace what is read by what is written: a file of predictions that is an input, and a folder for masks in which images
    /// that are called like masks, or tables that may name such, lie and are read.
    ///
    /// # Errors
    /// One is.
    pub(super) fn require_kept(&self, output: Option<&Path>, masks: Option<&Path>) -> Result<(), RecipeError> {
        if let Some(output) = output {
            require_no_input(output, self.paths.iter().map(PathBuf::as_path))?;
        }
        let Some((masks, folder)) = masks.and_then(|masks| Some((masks, masks.canonicalize().ok()?))) else {
            return Ok(());
        };
        let may_be_replaced = |path: &&PathBuf| extension(path) == "png" || TableFormat::of(path).is_some();
        let lies_there =
            |path: &&PathBuf| path.canonicalize().is_ok_and(|path| path.parent() == Some(folder.as_path()));
        match self.paths.iter().filter(may_be_replaced).find(lies_there) {
            Some(path) => {
                let message = format!(
                    "{} lies there and is read, and a mask could take its place; choose another folder",
                    shown_path(path)
                );
                Err(RecipeError::mismatch(shown_path(masks), message))
            }
            None => Ok(()),
        }
    }

    fn masks_among<'a>(&self, names: impl Iterator<Item = &'a str>) -> HashSet<u32> {
        if self.tells_masks { masks_among(names) } else { HashSet::new() }
    }

    /// Says which file of a folder or an archive is an image that is not read.
    fn note_others<'a>(&mut self, columns: &InputColumns, names: impl Iterator<Item = &'a str>) {
        let others = others_among(columns, names);
        self.notes.extend(others.strip_prefix("; ").map(|told| format!("passed over: {told}")));
    }

    fn push(&mut self, source: Source, rows: Option<u64>) {
        self.left.push_back(source);
        self.total = self.total.zip(rows).map(|(total, rows)| total + rows);
    }

    fn add(&mut self, path: &Path, columns: &InputColumns, stop: &Stop) -> Result<(), RecipeError> {
        let named = shown_path(path);
        if path.is_dir() {
            let FolderFiles { files: found, left_out, .. } = FolderFiles::below(path)?;
            self.passed_over += left_out.len() as u64;
            let reads = Reads::of(found.iter().map(PathBuf::as_path), columns);
            if reads == Some(Reads::Parquet) {
                return self.add_parquet(path);
            }
            let names: Vec<String> = found.iter().map(|file| name_below(path, file)).collect();
            let masks = self.masks_among(names.iter().map(String::as_str));
            for (place, file) in found.into_iter().enumerate() {
                if masks.contains(&(place as u32)) {
                    self.masks += 1;
                    continue;
                }
                let own = reads.filter(|reads| reads.takes(&file, columns));
                self.paths.extend(own.map(|_| file.clone()));
                match own {
                    Some(Reads::AsTheyAre) if columns.only().is_some_and(InputColumn::is_image) => {
                        self.push(Source::Image(file), Some(1));
                    }
                    Some(Reads::AsTheyAre) => self.push(Source::Lines(file), None),
                    Some(_) => self.push(Source::Table(file), None),
                    None => self.passed_over += 1,
                }
            }
            return match reads {
                Some(_) => {
                    self.note_others(columns, names.iter().map(String::as_str));
                    Ok(())
                }
                None => Err(holds_nothing(path, columns, names.iter().map(String::as_str))),
            };
        }
        let kind = extension(path);
        if kind == "parquet" || (!path.exists() && is_pattern(path)) {
            return self.add_parquet(path);
        }
        if !path.exists() {
            return Err(RecipeError::mismatch(named, "there is no such file or folder"));
        }
        self.paths.push(path.to_owned());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if archive_stem(&name).is_some() {
            return self.add_archive(path, columns, stop);
        }
        if TableFormat::of(path).is_some() {
            self.push(Source::Table(path.to_owned()), None);
            return Ok(());
        }
        match columns.only() {
            Some(only) if only.is_image() => self.push(Source::Image(path.to_owned()), Some(1)),
            Some(only) if only.is_text() => self.push(Source::Lines(path.to_owned()), None),
            _ => {
                let message = format!(
                    "the model takes {}; give it rows of these as CSV, JSON Lines or Parquet",
                    columns.in_words()
                );
                return Err(RecipeError::mismatch(named, message));
            }
        }
        Ok(())
    }

    /// What is in an archive, as in the folder that it holds.
    fn add_archive(&mut self, path: &Path, columns: &InputColumns, stop: &Stop) -> Result<(), RecipeError> {
        let members = Arc::new(ArchiveMembers::open(path, stop)?);
        if stop.is_requested() {
            return Ok(());
        }
        self.passed_over += members.left_out as u64;
        let Some(reads) = Reads::of(members.names().map(Path::new), columns) else {
            return Err(holds_nothing(path, columns, members.names()));
        };
        self.note_others(columns, members.names());
        let masks = self.masks_among(members.names());
        for (place, name) in members.names().enumerate() {
            if masks.contains(&(place as u32)) {
                self.masks += 1;
                continue;
            }
            if !reads.takes(Path::new(name), columns) {
                self.passed_over += 1;
                continue;
            }
            let (all, place, name) = (Arc::clone(&members), place as u32, format!("{}/{name}", path.to_string_lossy()));
            match reads {
                Reads::Parquet => {
                    if stop.is_requested() {
                        return Ok(());
                    }
                    // as in a folder, a damaged file is told before any row is run; its bytes are read again when it is its turn
                    let rows = member_dataset(&all, place, &name)?.rows();
                    self.push(Source::MemberParquet(all, place, name), Some(rows));
                }
                Reads::AsTheyAre => {
                    let rows = columns.only().filter(|only| only.is_image()).map(|_| 1);
                    self.push(Source::Member(all, place, name), rows);
                }
                Reads::Tables | Reads::Json => self.push(Source::MemberTable(all, place, name), None),
            }
        }
        Ok(())
    }

    fn add_parquet(&mut self, path: &Path) -> Result<(), RecipeError> {
        let text = path.to_str().ok_or_else(|| RecipeError::mismatch(shown_path(path), "its name is no UTF-8"))?;
        let dataset = Dataset::open(text, Path::new(".")).map_err(RecipeError::at(shown_path(path)))?;
        let rows = dataset.rows();
        self.paths.extend(dataset.files().iter().map(|file| file.path.clone()));
        self.push(Source::Parquet(dataset), Some(rows));
        Ok(())
    }

    /// Rows to be run next; none at the end, and of no use where it is stopped meanwhile. What the first line of a source tells is said when
    /// the source is opened.
    ///
    /// # Errors
    /// A file cannot be read, or is not of the kind that its name says; the standard input is no table and has to be one.
    pub(super) fn next_piece(
        &mut self,
        columns: &InputColumns,
        events: &mut dyn Events,
    ) -> Result<Option<Piece>, RecipeError> {
        let (mut rows, mut bytes): (Vec<ReadRow>, usize) = (Vec::new(), 0);
        while rows.len() < ROWS_A_PIECE && bytes < BYTES_A_PIECE {
            let row = match &mut self.open {
                Some(open) => match open.next_row()? {
                    Some(row) => row,
                    None => {
                        self.notes.extend(open.note());
                        self.open = None;
                        continue;
                    }
                },
                None => match self.left.pop_front() {
                    None => break,
                    // rows that were gathered come first
                    Some(source @ (Source::Parquet(_) | Source::MemberParquet(..))) if !rows.is_empty() => {
                        self.left.push_front(source);
                        break;
                    }
                    Some(Source::Parquet(dataset)) => return Ok(Some(Piece { dataset, names: RowNames::Places })),
                    Some(Source::MemberParquet(members, place, name)) => {
                        let dataset = member_dataset(&members, place, &name)?;
                        return Ok(Some(Piece { dataset, names: RowNames::Places }));
                    }
                    Some(Source::Image(path)) => {
                        let cells = vec![Cell::of_file(&path)];
                        ReadRow { name: path.to_string_lossy().into_owned(), cells }
                    }
                    Some(Source::Member(members, place, name)) => match columns.only() {
                        Some(only) if only.is_image() => {
                            let cell = members.read(place).map_or_else(Cell::Unreadable, Cell::Bytes);
                            ReadRow { name, cells: vec![cell] }
                        }
                        _ => {
                            let read = members.read(place);
                            let bytes = read.map_err(|reason| RecipeError::mismatch(shown(&name), reason))?;
                            self.open = Some(Open::Lines { name, reader: Box::new(Cursor::new(bytes)), line: 0 });
                            continue;
                        }
                    },
                    Some(Source::Text(text)) => ReadRow { name: text.clone(), cells: vec![Cell::Text(text)] },
                    Some(Source::Lines(path)) => {
                        let file = fs::File::open(&path).map_err(RecipeError::io("read", &path))?;
                        let reader = Box::new(std::io::BufReader::new(file));
                        let is_text = TEXTS.contains(&extension(&path).as_str())
                            || !columns.only().is_some_and(InputColumn::is_lines);
                        let name = path.to_string_lossy().into_owned();
                        let format = is_text.then_some(RowFormat::Text);
                        self.open = Some(self.open_source(name, format, reader, columns, events)?);
                        continue;
                    }
                    Some(Source::Table(path)) => {
                        self.open = Some(Open::Table(Box::new(
                            TableRows::open(&path, columns)?.with_decimal_comma(self.decimal_comma, &self.stop)?,
                        )));
                        continue;
                    }
                    Some(Source::MemberTable(members, place, name)) => {
                        let table = TableRows::open_member(&members, place, name, columns)?;
                        self.open =
                            Some(Open::Table(Box::new(table.with_decimal_comma(self.decimal_comma, &self.stop)?)));
                        continue;
                    }
                    Some(Source::Read(reader, format)) => match columns.only() {
                        Some(only) if only.is_image() && format.is_none() => {
                            self.require_table()?;
                            let cell = read_bounded(reader).map_or_else(Cell::Unreadable, Cell::Bytes);
                            ReadRow { name: "-".into(), cells: vec![cell] }
                        }
                        _ => {
                            let open = self.open_source("-".into(), format, reader, columns, events)?;
                            match &open {
                                Open::Table(_) => self.wants_table = false,
                                Open::Lines { .. } => self.require_table()?,
                            }
                            self.open = Some(open);
                            continue;
                        }
                    },
                },
            };
            bytes += row.cells.iter().map(Cell::bytes).sum::<usize>();
            rows.push(row);
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let batch: arrow_array::RecordBatch = record_batch(&rows, columns)?;
        let dataset = Dataset::from_batches("rows", &[batch], ROWS_A_PIECE)?;
        let names = rows.into_iter().map(|row| {
            let reason = row.reason().map(str::to_owned);
            (row.name, reason)
        });
        let names = names.collect();
        Ok(Some(Piece { dataset, names: RowNames::Read(names) }))
    }

    /// Opens what is read once. Where its format is not said, the first line of what a model of texts is given decides; of a file of text by
    /// its name it is told where it looks like something else.
    fn open_source(
        &self,
        name: String,
        format: Option<RowFormat>,
        reader: Box<dyn BufRead>,
        columns: &InputColumns,
        events: &mut dyn Events,
    ) -> Result<Open, RecipeError> {
        // what was asked for needs no second look
        if format == Some(RowFormat::Text) && (name == "-" || !columns.only().is_some_and(InputColumn::is_lines)) {
            return Ok(Open::Lines { name, reader, line: 0 });
        }
        let (mut table, mut reader) = (format.and_then(RowFormat::table), reader);
        let texts = columns.only().filter(|only| only.is_lines() && table.is_none());
        if let Some(only) = texts {
            let (line, all) = first_line(reader).map_err(RecipeError::io("read", name.as_str()))?;
            reader = all;
            match FirstLine::of(&line, only) {
                FirstLine::Object if format.is_none() => table = Some(TableFormat::JsonLines),
                first => {
                    if let Some(message) = first.note(&name, only) {
                        events.event(&Event::Warning { message });
                    }
                    return Ok(Open::Lines { name, reader, line: 0 });
                }
            }
        }
        let table = TableRows::read(name, table, reader, columns)?;
        Ok(Open::Table(Box::new(table.with_decimal_comma(self.decimal_comma, &self.stop)?)))
    }
}

/// What a file is called in a folder that it lies below, with a slash between folders.
fn name_below(folder: &Path, file: &Path) -> String {
    let parts = file.strip_prefix(folder).unwrap_or(file).components();
    let parts: Vec<String> = parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts.join("/")
}

/// Of a model of images the first of the files that is one which is not read, as [`other_images`] tells it.
fn others_among<'a>(columns: &InputColumns, names: impl Iterator<Item = &'a str>) -> String {
    columns.only().filter(|only| only.is_image()).map(|_| other_images(names)).unwrap_or_default()
}

fn holds_nothing<'a>(path: &Path, columns: &InputColumns, names: impl Iterator<Item = &'a str>) -> RecipeError {
    let others = others_among(columns, names);
    let message = format!("it holds no file that the model can read: it takes {}{others}", columns.in_words());
    RecipeError::mismatch(shown_path(path), message)
}

fn require_text(columns: &InputColumns, place: &str) -> Result<(), RecipeError> {
    match columns.only() {
        Some(only) if only.is_text() && !only.is_image() => Ok(()),
        _ => Err(RecipeError::mismatch(place, format!("the model takes {}, and no text", columns.in_words()))),
    }
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[', '{'])
}

/// Places of files in a dataset, by their names.
pub(super) fn places(dataset: &Dataset) -> HashMap<Arc<str>, usize> {
    dataset.files().iter().enumerate().map(|(place, file)| (Arc::clone(&file.name), place)).collect()
}

#[cfg(test)]
mod tests {
    use millstream_pipeline::Holds;

    use super::*;

    #[test]
    fn what_the_first_line_of_the_standard_input_tells_is_said_when_it_is_opened() {
        let columns = InputColumns(vec![InputColumn::of_texts(None)]);
        let input = || PredictInput::Read(Box::new(Cursor::new(b"id,text\n1,good\n".to_vec())));
        let mut told = Vec::new();
        let mut events = |event: &Event| {
            if let Event::Warning { message } = event {
                told.push(message.clone());
            }
        };
        let mut files = list(vec![input()], &columns, false, &Stop::default()).unwrap();
        assert_eq!(files.next_piece(&columns, &mut events).unwrap().unwrap().dataset.rows(), 2);
        assert!(files.take_notes().is_empty());
        // the numbers of a table were asked for, and these are lines
        let mut files = list(vec![input()], &columns, false, &Stop::default()).unwrap();
        files.take_decimal_commas().unwrap();
        let error = files.next_piece(&columns, &mut events).err().unwrap().to_string();
        assert!(error.contains(DECIMAL_COMMA) && error.contains(NO_TABLE), "{error}");
        let text = PredictInput::ReadAs(Box::new(Cursor::new(b"good\n".to_vec())), RowFormat::Text);
        assert!(list(vec![text], &columns, false, &Stop::default()).unwrap().take_decimal_commas().is_err());
        assert!(told.len() == 2 && told[0].contains("each line is read as a text"), "{told:?}");
    }

    #[test]
    fn pictures_that_are_not_read_are_told_of_an_archive_as_of_a_folder_and_only_to_models_of_pictures() {
        let place = tempfile::tempdir().unwrap();
        let (folder, archive) = (place.path().join("photos"), place.path().join("photos.tar"));
        fs::create_dir(&folder).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for name in ["a.png", "b.heic", "c.txt"] {
            fs::write(folder.join(name), "x").unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, &b"x"[..]).unwrap();
        }
        fs::write(&archive, tar.into_inner().unwrap()).unwrap();
        let images = InputColumns(vec![InputColumn::of_kind(None, &[Holds::Bytes])]);
        let texts = InputColumns(vec![InputColumn::of_texts(None)]);
        for path in [folder, archive] {
            let notes = |columns: &InputColumns| {
                let inputs = vec![PredictInput::Path(path.clone())];
                list(inputs, columns, false, &Stop::default()).unwrap().take_notes()
            };
            let told = notes(&images);
            assert!(told.len() == 1 && told[0].starts_with("passed over: `b.heic`: "), "{told:?}");
            assert!(notes(&texts).is_empty());
        }
    }

    #[test]
    fn an_input_is_not_replaced_by_predictions_or_masks() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for folder in ["photos", "tables", "free"] {
            fs::create_dir(at(folder)).unwrap();
        }
        let read = ["photos/a.png", "tables/list.csv", "b.jpg"].map(at);
        read.iter().for_each(|path| fs::write(path, "x").unwrap());
        let columns = InputColumns(vec![InputColumn::of_texts(None)]);
        let mut files = list(Vec::new(), &columns, false, &Stop::default()).unwrap();
        files.paths = read.to_vec();
        for (output, masks, is_free) in [
            (Some("tables/list.csv"), None, false),
            (Some("photos/../tables/list.csv"), None, false),
            (Some("tables/other.csv"), None, true),
            (None, Some("photos"), false),
            (None, Some("photos/../photos"), false),
            (None, Some("tables"), false),
            (None, Some("free"), true),
            (None, Some("new"), true),
            // a mask of `b.jpg` is called `b.png`
            (None, Some(""), true),
        ] {
            let [output, masks] = [output, masks].map(|name| name.map(at));
            assert_eq!(
                files.require_kept(output.as_deref(), masks.as_deref()).is_ok(),
                is_free,
                "{output:?} {masks:?}"
            );
        }
    }
}
