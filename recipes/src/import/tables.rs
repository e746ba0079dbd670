use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use millstream_pipeline::Split;
use millstream_schemas::{count, nearest, shown};

use super::class_values::{ClassesSeen, class_of_json, class_of_text, is_called_label, likeliest_label};
use super::column::{Column, Kind};
use super::columns_seen::Seen;
use super::image_columns::ImageColumns;
use super::import_options::ImportOptions;
use super::layout::{Layout, NumberedClasses, RowSource, SourceRow, SourceTable};
use super::source_files::{NamedFile, SourceFiles};
use crate::folder_files::is_image;
use crate::table_records::{RecordCells, TableFormat, TableRecords};
use crate::{RecipeError, Stop};

/// Columns of a table at most.
const MOST_COLUMNS: usize = 10_000;

/// The heading over the images of a metadata table.
const FILE_NAME: &str = "file_name";

fn own_name(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, own)| own)
}

fn is_metadata(name: &str) -> bool {
    ["metadata.csv", "metadata.jsonl", "metadata.ndjson", "metadata.tsv"].contains(&own_name(name))
}

pub(super) fn has_metadata(files: &SourceFiles) -> bool {
    files.files().len() > 1 && files.files().iter().any(|file| is_metadata(&file.name))
}

pub(super) fn has_tables(files: &SourceFiles) -> bool {
    files.files().iter().any(|file| TableFormat::of(Path::new(&file.name)).is_some())
}

/// Whether there are tables that are not called like JSON, as annotations are.
pub(super) fn has_tables_but_json(files: &SourceFiles) -> bool {
    let is_json = |path: &Path| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let mut paths = files.files().iter().map(|file| Path::new(&file.name));
    paths.any(|path| TableFormat::of(path).is_some() && !is_json(path))
}

/// Whether tables name images that are there.
pub(super) fn name_images(files: &SourceFiles, stop: &Stop) -> bool {
    has_tables(files) && image_columns(files, stop).is_ok_and(|columns| !columns.found.is_empty())
}

fn image_columns(files: &SourceFiles, stop: &Stop) -> Result<ImageColumns, RecipeError> {
    let tables: Vec<u32> = table_splits(files, false).into_iter().map(|(file, _)| file).collect();
    ImageColumns::of(files, &tables, stop)
}

/// Images that tables beside them name: `metadata.csv` or `metadata.jsonl` with `file_name` and further columns. What there is so far where it
/// is stopped.
///
/// # Errors
/// A table cannot be read, or lacks that column.
pub(super) fn metadata(files: &SourceFiles, options: &ImportOptions, stop: &Stop) -> Result<Layout, RecipeError> {
    read(files, options, true, stop)
}

/// Tables by themselves; what there is so far where it is stopped.
///
/// # Errors
/// A table cannot be read, or lacks a column that was named.
pub(super) fn tables(files: &SourceFiles, options: &ImportOptions, stop: &Stop) -> Result<Layout, RecipeError> {
    read(files, options, false, stop)
}

fn read(files: &SourceFiles, options: &ImportOptions, of_images: bool, stop: &Stop) -> Result<Layout, RecipeError> {
    let mut layout =
        Layout { name: if of_images { "metadata" } else { "tables" }, mixed: of_images, ..Layout::default() };
    let mut images: Vec<String> = options.images.clone();
    if of_images {
        images.insert(0, FILE_NAME.to_owned());
    } else if images.is_empty() {
        let columns = image_columns(files, stop)?;
        layout.notes.extend(columns.notes);
        images = columns.found;
    }
    let finds_label = options.finds_label && options.label.is_none();
    let mut seen = SeenColumns {
        images,
        label: options.label.clone(),
        finds_label,
        decimal_comma: options.decimal_comma,
        ..SeenColumns::default()
    };
    let mut used = vec![false; files.files().len()];
    let splits = table_splits(files, of_images);
    for (file, split) in splits {
        used[file as usize] = true;
        one_table(files, file, split, &mut layout, &mut seen, &mut used, stop)?;
        if stop.is_requested() {
            return Ok(layout);
        }
    }
    for (file, _) in files.files().iter().zip(&used).filter(|(_, used)| !**used) {
        let reason = match (is_image(&file.name), TableFormat::of(Path::new(&file.name))) {
            (true, _) => "no table names it",
            (false, Some(_)) if of_images => "it is no `metadata` table",
            _ => "it is of a kind that is not read",
        };
        layout.leave_out(&file.name, reason);
    }
    layout.divided_by = seen.numbered_classes();
    layout.columns = seen.columns(&options.sources_in_words(), &mut layout.notes)?;
    Ok(layout)
}

/// The tables that are read, each with its split.
fn table_splits(files: &SourceFiles, of_images: bool) -> Vec<(u32, Option<Split>)> {
    let wanted = |name: &str| if of_images { is_metadata(name) } else { TableFormat::of(Path::new(name)).is_some() };
    let tables: Vec<(u32, &str)> = files
        .files()
        .iter()
        .enumerate()
        .filter(|(_, file)| wanted(&file.name))
        .map(|(at, file)| (at as u32, file.name.as_str()))
        .collect();
    let stem = |name: &str| Split::named(own_name(name).split('.').next().unwrap_or_default());
    let last = |name: &str| {
        let own = own_name(name);
        let own = own.rsplit_once('.').map_or(own, |(own, _)| own);
        own.split(|letter: char| !letter.is_alphabetic()).filter_map(Split::named).next_back()
    };
    // a word within a name may mean something else, unless all names have one
    let all_name_one = tables.len() > 1 && tables.iter().all(|(_, name)| last(name).is_some());
    let of_file = |at: u32, name: &str| {
        let folder = files.files()[at as usize].split_of_folders();
        folder.or_else(|| stem(name)).or_else(|| last(name).filter(|_| all_name_one))
    };
    tables.into_iter().map(|(at, name)| (at, of_file(at, name))).collect()
}

/// What a column of a table is.
#[derive(Clone, Copy)]
enum Role {
    Image,
    Label(usize),
    /// What may be the label, by its name.
    LikeLabel(usize),
    Value(usize),
}

/// What was seen of the columns of all tables.
#[derive(Default)]
struct SeenColumns {
    /// By heading, in the order in which they were met.
    all: Vec<(String, Seen)>,
    places: HashMap<String, usize>,
    images: Vec<String>,
    label: Option<String>,
    classes: ClassesSeen,
    /// Whether a label is looked for.
    finds_label: bool,
    /// Whether numbers may have a comma in front of their decimals.
    decimal_comma: bool,
    /// Classes of columns that are called like a label, by their places.
    of_like_labels: HashMap<usize, ClassesSeen>,
}

impl SeenColumns {
    fn column(&mut self, heading: &str, table: &str) -> Result<usize, RecipeError> {
        if let Some(place) = self.places.get(heading) {
            return Ok(*place);
        }
        if self.all.len() == MOST_COLUMNS {
            return Err(RecipeError::mismatch(shown(table), format!("it has more than {MOST_COLUMNS} columns")));
        }
        self.places.insert(heading.to_owned(), self.all.len());
        self.all.push((heading.to_owned(), Seen::with_decimal_comma(self.decimal_comma)));
        Ok(self.all.len() - 1)
    }

    /// What a column of a table is: an image, the label, or a value at its place in `all`.
    fn role(&mut self, heading: &str, table: &str) -> Result<Role, RecipeError> {
        let place = self.column(heading, table)?;
        Ok(match () {
            () if self.images.iter().any(|image| image == heading) => Role::Image,
            () if self.label.as_deref() == Some(heading) => Role::Label(place),
            () if self.finds_label && is_called_label(heading) => Role::LikeLabel(place),
            () => Role::Value(place),
        })
    }

    fn see_like_label(&mut self, place: usize, class: Option<String>) {
        self.of_like_labels.entry(place).or_default().see_few(class);
    }

    /// The column that is the label by its name, and its classes: the first of these names that is there, whatever that holds.
    fn found_label(&self) -> Option<(usize, &ClassesSeen)> {
        let (label, _) = likeliest_label(self.all.iter(), |(heading, _)| heading.as_str())?;
        let place = *self.places.get(label)?;
        let classes = self.of_like_labels.get(&place)?;
        classes.are_of_label().then_some((place, classes))
    }

    /// The label that was found, where it holds numbers or truth values, which stay what they are: rows are divided by them.
    fn numbered_classes(&self) -> Option<NumberedClasses> {
        let (column, classes) = self.found_label()?;
        let numbers: Vec<i64> = match self.all[column].1.kind() {
            (Kind::Int, None) => classes.names().iter().filter_map(|name| name.parse().ok()).collect(),
            (Kind::Bool, None) => vec![0, 1],
            _ => return None,
        };
        Some(NumberedClasses { column, numbers })
    }

    fn see_label(&mut self, class: Option<String>, table: &str) -> Result<(), RecipeError> {
        self.classes.see(class, self.label.as_deref().unwrap_or_default(), table)
    }

    /// # Errors
    /// A column that was named is not there, or the label holds lists.
    fn columns(self, place: &str, notes: &mut Vec<String>) -> Result<Vec<Column>, RecipeError> {
        for wanted in self.images.iter().chain(&self.label) {
            if !self.places.contains_key(wanted) {
                let headings = || self.all.iter().map(|(heading, _)| heading.as_str());
                let near = nearest(wanted, headings())
                    .map_or_else(String::new, |near| format!("; did you mean `{}`?", shown(near)));
                let there: Vec<String> = headings().take(20).map(|heading| format!("`{}`", shown(heading))).collect();
                let message =
                    format!("no table has a column `{}`, they have {}{near}", shown(wanted), there.join(", "));
                return Err(RecipeError::mismatch(place, message));
            }
        }
        let mut columns = Vec::new();
        let found = self.found_label().filter(|(place, _)| self.all[*place].1.kind() == (Kind::Text, None));
        for (place_of_column, (heading, seen)) in self.all.iter().enumerate() {
            let name = if heading == FILE_NAME && self.images.contains(heading) { "image" } else { heading.as_str() };
            let is_label = self.label.as_ref() == Some(heading);
            let kind = if self.images.contains(heading) {
                Kind::Image
            } else if is_label && seen.has_lists() {
                let message = format!("`{}` holds lists, and a label is one text or whole number", shown(heading));
                return Err(RecipeError::mismatch(place, message));
            } else if is_label {
                notes.extend(self.classes.note(heading));
                notes.extend(seen.has_decimal_commas().then(|| {
                    format!(
                        "column `{}`: its values are numbers with decimal commas, and classes by `--label`; leave that out to have numbers",
                        shown(heading)
                    )
                }));
                Kind::Class(self.classes.names())
            } else if let Some((_, classes)) = found.filter(|(label, _)| *label == place_of_column) {
                notes.extend(classes.note(heading));
                if let Some(are) = seen.written_for_people() {
                    // in front of what is said of columns that nothing depends on
                    notes.insert(
                        0,
                        format!(
                            "column `{}` is a label by its name and told as classes: its values {are}",
                            shown(heading)
                        ),
                    );
                }
                Kind::Class(classes.names())
            } else {
                let (kind, note) = seen.kind();
                notes.extend(note.map(|note| format!("column `{}`: {note}", shown(heading))));
                kind
            };
            let written = seen.note_of_written_numbers().filter(|_| kind == Kind::Text);
            notes.extend(written.map(|note| format!("column `{}`: {note}", shown(heading))));
            columns.push(Column { name: name.to_owned(), heading: heading.clone(), kind });
        }
        Ok(columns)
    }
}

fn one_table(
    files: &SourceFiles,
    file: u32,
    split: Option<Split>,
    layout: &mut Layout,
    seen: &mut SeenColumns,
    used: &mut [bool],
    stop: &Stop,
) -> Result<(), RecipeError> {
    let name = files.files()[file as usize].name.as_str();
    let format = TableFormat::of(Path::new(name)).unwrap_or(TableFormat::JsonLines);
    let table = layout.tables.len() as u32;
    layout.tables.push(SourceTable { file, format });
    let mut records = TableRecords::open(name, format, files.seekable(file)?)?;
    if let Some(delimiter) = records.delimiter_in_words(format) {
        layout.notes.push(format!("fields of `{}` lie between {delimiter}", shown(name)));
    }
    let headings: Vec<String> = records.headings().map(<[String]>::to_vec).unwrap_or_default();
    let mut met = BTreeSet::new();
    let mut roles = Vec::with_capacity(headings.len());
    for (at, heading) in headings.iter().enumerate() {
        if heading.trim().is_empty() {
            let message = format!("column {} has no name; give it one in the first line", at + 1);
            return Err(RecipeError::mismatch(shown(name), message));
        }
        if !met.insert(heading) {
            return Err(RecipeError::mismatch(shown(name), format!("two columns are called `{}`", shown(heading))));
        }
        roles.push(seen.role(heading, name)?);
    }
    let images = seen.images.len();
    while let Some(record) = records.next_record()? {
        if stop.is_requested() {
            break;
        }
        let record = match record {
            Ok(record) => record,
            Err(bad) => {
                layout.leave_out(&format!("{name}:{}", bad.line), bad.reason);
                continue;
            }
        };
        let line = record.place.line;
        let mut paths: Vec<&str> = Vec::with_capacity(images);
        match &record.cells {
            RecordCells::Texts(cells) => {
                for (role, cell) in roles.iter().zip(cells.iter()) {
                    match role {
                        Role::Image => paths.push(cell),
                        Role::Label(place) => {
                            seen.see_label(class_of_text(cell), name)?;
                            seen.all[*place].1.text(cell);
                        }
                        Role::LikeLabel(place) => {
                            seen.see_like_label(*place, class_of_text(cell));
                            seen.all[*place].1.text(cell);
                        }
                        Role::Value(place) => seen.all[*place].1.text(cell),
                    }
                }
            }
            RecordCells::Object(cells) => {
                for (heading, cell) in cells {
                    match seen.role(heading, name)? {
                        Role::Image => paths.push(cell.as_str().unwrap_or_default()),
                        Role::Label(place) => {
                            seen.see_label(class_of_json(cell), name)?;
                            seen.all[place].1.json(cell);
                        }
                        Role::LikeLabel(place) => {
                            seen.see_like_label(place, class_of_json(cell));
                            seen.all[place].1.json(cell);
                        }
                        Role::Value(place) => seen.all[place].1.json(cell),
                    }
                }
            }
        }
        let found: Result<Vec<NamedFile>, String> = if paths.len() < images {
            Err("it names no image".into())
        } else {
            paths.iter().map(|path| files.image(name, path)).collect()
        };
        match found {
            Err(reason) => layout.leave_out(&format!("{name}:{line}"), reason),
            Ok(found) => {
                let mut split = split;
                for file in found {
                    if let NamedFile::Listed(file) = file {
                        used[file as usize] = true;
                        split = split.or_else(|| files.files()[file as usize].split_of_folders());
                    }
                }
                layout.rows.push(SourceRow { split, from: RowSource::Record { table, place: record.place } });
            }
        }
    }
    layout.notes.extend(records.note_of_records());
    if layout.rows.len() > u32::MAX as usize {
        return Err(RecipeError::mismatch(shown(name), format!("{} are too many", count(layout.rows.len(), "row"))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::values::Value;
    use super::*;

    /// A table as it is read where a label is looked for.
    fn divided(text: &str) -> Layout {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("rows.csv");
        std::fs::write(&table, text).unwrap();
        let files = SourceFiles::open(std::slice::from_ref(&table), folder.path(), &Stop::default()).unwrap();
        let mut options = ImportOptions::new(vec![table], folder.path());
        options.finds_label = true;
        tables(&files, &options, &Stop::default()).unwrap()
    }

    #[test]
    fn a_text_that_is_called_like_a_label_stays_a_text_beside_a_label_of_numbers() {
        let kinds = |layout: &Layout| layout.columns.iter().map(|column| column.kind.clone()).collect::<Vec<_>>();
        for feature in ["category", "class", "target", "y", "score", "sentiment"] {
            let rows: String =
                (0..40).map(|row| format!("{row}.5,{},{}\n", ["a", "b"][row / 2 % 2], row % 2)).collect();
            let layout = divided(&format!("size,{feature},label\n{rows}"));
            assert_eq!(kinds(&layout), [Kind::Float, Kind::Text, Kind::Int], "{feature}");
            // each number gives its share
            assert_eq!(layout.divided_by, Some(NumberedClasses { column: 2, numbers: vec![0, 1] }), "{feature}");
            let alone = divided(&format!("size,{feature},price\n{rows}"));
            assert_eq!(kinds(&alone)[1], Kind::Class(vec!["a".into(), "b".into()]), "{feature}");
            assert_eq!(alone.divided_by, None, "{feature}");
        }
    }

    #[test]
    fn a_label_of_texts_that_hardly_come_again_is_none_of_classes() {
        let rows: String = (0..40).map(|row| format!("{row},seen as {row}\n")).collect();
        let layout = divided(&format!("size,label\n{rows}"));
        assert_eq!(layout.columns[1].kind, Kind::Text);
        assert!(layout.classes().is_none() && layout.divided_by.is_none());
    }

    #[test]
    fn truth_values_are_divided_by_as_they_are() {
        let layout = divided(&format!("size,label\n{}", "1,True\n2,False\n".repeat(10)));
        let classes = layout.divided_by.unwrap();
        assert_eq!((layout.columns[1].kind.clone(), classes.column), (Kind::Bool, 1));
        let class = |is: bool| classes.class(&[Value::Int(1), Value::Bool(is)]);
        assert_eq!(
            (class(false), class(true), classes.class(&[Value::Int(1), Value::Missing])),
            (Some(0), Some(1), None)
        );
    }

    #[test]
    fn classes_that_look_like_numbers_written_for_people_are_not_told_as_texts_by_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("rows.csv");
        std::fs::write(&table, "share,size\n10 %,1\n20 %,2\n10 %,3\n").unwrap();
        let files = SourceFiles::open(std::slice::from_ref(&table), folder.path(), &Stop::default()).unwrap();
        for (label, is_told) in [(None, true), (Some("share".to_owned()), false)] {
            let options = ImportOptions { label, ..ImportOptions::new(vec![table.clone()], folder.path()) };
            let layout = tables(&files, &options, &Stop::default()).unwrap();
            assert_eq!(
                layout.notes.iter().any(|note| note.contains("written for people")),
                is_told,
                "{:?}",
                layout.notes
            );
        }
    }

    #[test]
    fn a_label_of_numbers_with_decimal_commas_does_not_become_classes_without_a_word() {
        let rows: String = (0..40).map(|row| format!("{row},25;{},5\n", row % 4)).collect();
        let layout = divided(&format!("size;label\n{rows}"));
        assert!(
            matches!(&layout.columns[1].kind, Kind::Class(names) if names.len() == 4),
            "{:?}",
            layout.columns[1].kind
        );
        let note = &layout.notes[0];
        assert!(
            note.starts_with("column `label` is a label by its name and told as classes: its values look like"),
            "{note}"
        );
        assert!(note.contains("(`0,5`)") && note.contains("--decimal-comma"), "{note}");

        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("rows.csv");
        std::fs::write(&table, format!("size;label\n{rows}")).unwrap();
        let files = SourceFiles::open(std::slice::from_ref(&table), folder.path(), &Stop::default()).unwrap();
        let read = |label: Option<&str>| {
            let options = ImportOptions {
                label: label.map(str::to_owned),
                finds_label: true,
                decimal_comma: true,
                ..ImportOptions::new(vec![table.clone()], folder.path())
            };
            let layout = tables(&files, &options, &Stop::default()).unwrap();
            let is_told = layout.notes.iter().any(|note| note.contains("classes by `--label`"));
            (layout.columns[1].kind.clone(), is_told)
        };
        assert_eq!(read(None), (Kind::Float, false));
        let (kind, is_told) = read(Some("label"));
        assert!(matches!(kind, Kind::Class(_)) && is_told, "{kind:?}");
    }

    #[test]
    fn a_table_of_texts_of_which_a_few_have_pictures_keeps_all_rows() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pics")).unwrap();
        std::fs::write(folder.path().join("pics/a.jpg"), "x").unwrap();
        let table = folder.path().join("rows.csv");
        for (text, rows, has_images) in
            [("path,label\npics/a.jpg,x\n,y\n", 2, false), ("path,label\npics/a.jpg,x\npics/a.jpg,y\n", 2, true)]
        {
            std::fs::write(&table, text).unwrap();
            let files = SourceFiles::open(std::slice::from_ref(&table), folder.path(), &Stop::default()).unwrap();
            let options = ImportOptions::new(vec![table.clone()], folder.path());
            let layout = tables(&files, &options, &Stop::default()).unwrap();
            assert_eq!((layout.rows.len(), layout.left_out.len()), (rows, 0), "{text}");
            assert_eq!(layout.has_images(), has_images, "{text}");
        }
    }
}
