//! Rows of a recipe that are no Parquet: folders of images, archives and tables, imported once into a folder beside the results.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use millstream_pipeline::{Dataset, PipelineError, Split, SplitRole};
use millstream_schemas::recipe::{DataRecipe, Patterns};
use millstream_schemas::{FileLock, FingerprintWriter, Recipe, count, files, grouped, shown_path};
use serde::{Deserialize, Serialize};

use crate::folder_files::{FolderFiles, extension, is_image, other_images};
use crate::import::{ImportOptions, SplitShare, archive_stem, expanded, images_beside, import};
use crate::table_records::TableFormat;
use crate::{Event, Events, RecipeError, Silent, Stop};

/// The folder beside those of runs that imports lie in.
const FOLDER: &str = ".data";
/// What a finished import leaves in its folder.
const DONE: &str = ".import.json";
/// Raised where the same sources become other rows.
const VERSION: u32 = 7;
/// What is set aside to evaluate on of sources that have no splits.
const SET_ASIDE: f64 = 0.2;
/// The option that reads decimal commas, and what is said where nothing is read that may have them.
pub(crate) const DECIMAL_COMMA: &str = "--decimal-comma";
pub(crate) const NO_TABLE: &str = "none of the inputs is a table (CSV, JSON Lines)";

/// Rows as a recipe names them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedRows<'a> {
    pub(crate) patterns: &'a [String],
    /// Where relative patterns start.
    pub(crate) base: &'a Path,
    /// The folder of the results.
    pub(crate) output: &'a Path,
    /// Whether the same sources are trained and evaluated on, so that a part of them is set aside where they have no splits.
    pub(crate) is_divided: bool,
    /// Whether numbers of tables may have a comma in front of their decimals.
    pub(crate) decimal_comma: bool,
}

/// What a finished import says of itself.
#[derive(Serialize, Deserialize)]
struct Done {
    sources: Vec<String>,
    rows: u64,
    left_out: u64,
    /// The first that was left out, and why.
    first: Option<(String, String)>,
    /// What deserves a look.
    #[serde(default)]
    notes: Vec<String>,
}

/// Where rows are imported to.
struct Place {
    options: ImportOptions,
    /// Held by whoever imports.
    lock: PathBuf,
}

impl Place {
    /// What lies there, where an import was finished.
    fn known(&self) -> Option<Done> {
        let text = fs::read(self.options.output.join(DONE)).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// Imports of recipes beside one folder. Each is looked for once, since all files of a source are looked at for it, and stays the one that
/// it was.
#[derive(Debug)]
pub(crate) struct Imports {
    /// The folder of the results.
    output: PathBuf,
    /// What was looked for, whether it is divided, and what is named in its place; none where it is Parquet.
    known: Mutex<Vec<(Patterns, bool, Option<Patterns>)>>,
}

impl Imports {
    pub(crate) fn beside(output: &Path) -> Self {
        Self { output: output.to_owned(), known: Mutex::default() }
    }

    /// A recipe that names its rows as they were imported, where they are no Parquet: they are the same wherever its results go, and what a
    /// part of the training rows is trained on does not say any more which of them are set aside. Says what was imported; `None` where it
    /// was stopped.
    ///
    /// # Errors
    /// They cannot be imported.
    pub(crate) fn named_in(
        &self,
        recipe: &Recipe,
        events: &mut dyn Events,
        stop: &Stop,
    ) -> Result<Option<Recipe>, RecipeError> {
        let mut own = recipe.clone();
        // others that want the same wait, so that it is imported once
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, patterns) in places(&mut own) {
            let rows = NamedRows::of(&recipe.data, patterns, &self.output);
            let is_known =
                known.iter().find(|(named, is_divided, _)| *named == *patterns && *is_divided == rows.is_divided);
            let instead = match is_known {
                Some((_, _, instead)) => instead.clone(),
                None => {
                    let is_divided = rows.is_divided;
                    let instead: Option<Patterns> = match rows.imported(events, stop).map_err(RecipeError::at(place))? {
                        Some((folder, message)) => {
                            events.event(&Event::Note { message });
                            Some(text_of(&folder)?.into())
                        }
                        None if stop.is_requested() => return Ok(None),
                        None => None,
                    };
                    known.push((patterns.clone(), is_divided, instead.clone()));
                    instead
                }
            };
            if let Some(instead) = instead {
                *patterns = instead;
            }
        }
        Ok(Some(own))
    }

    /// A recipe that names those of its rows that were imported already as they were, and all others as it did.
    pub(crate) fn found_in(&self, recipe: &Recipe) -> Recipe {
        let mut own = recipe.clone();
        for (_, patterns) in places(&mut own) {
            // what cannot be found out is told to whoever opens them
            let found = NamedRows::of(&recipe.data, patterns, &self.output).place().ok().flatten();
            let found =
                found.filter(|place| place.known().is_some()).and_then(|place| text_of(&place.options.output).ok());
            if let Some(folder) = found {
                *patterns = folder.into();
            }
        }
        own
    }
}

fn tell(all: &mut FingerprintWriter, bytes: &[u8]) {
    all.write_all(bytes).expect("a hash can always be written to");
}

/// Its name, size and time.
fn tell_file(all: &mut FingerprintWriter, name: &[u8], path: &Path) {
    // what cannot be looked at is left out by the import, and told
    let facts = fs::metadata(path).ok();
    let size = facts.as_ref().map_or(u64::MAX, fs::Metadata::len);
    let changed = facts.and_then(|facts| facts.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    tell(all, name);
    tell(all, &[0]);
    tell(all, &size.to_le_bytes());
    tell(all, &changed.map_or(0, |changed| changed.as_nanos()).to_le_bytes());
}

/// Where a recipe names rows.
fn places(recipe: &mut Recipe) -> impl Iterator<Item = (String, &mut Patterns)> {
    let train = std::iter::once(("data.train".to_owned(), &mut recipe.data.train));
    let evaluate = recipe.data.evaluate.iter_mut().map(|patterns| ("data.evaluate".to_owned(), patterns));
    let sets = recipe.evaluation.sets.iter_mut().map(|(name, patterns)| (format!("evaluation.sets.{name}"), patterns));
    train.chain(evaluate).chain(sets)
}

impl<'a> NamedRows<'a> {
    /// Those of a recipe, whose patterns are absolute.
    pub(crate) fn of(data: &'a DataRecipe, patterns: &'a [String], output: &'a Path) -> Self {
        Self { patterns, base: Path::new("/"), output, is_divided: is_divided(data, patterns), decimal_comma: false }
    }

    /// The same, in which numbers of tables may have a comma in front of their decimals, if this is so.
    pub(crate) fn with_decimal_comma(self, decimal_comma: bool) -> Self {
        Self { decimal_comma, ..self }
    }

    /// Opens them; says how they were imported, if they were.
    ///
    /// # Errors
    /// They are not there, cannot be imported, or are no dataset; decimal commas are to be read and there is no table.
    pub(crate) fn open(&self, role: SplitRole) -> Result<(Dataset, Vec<String>), RecipeError> {
        match self.imported(&mut Silent, &Stop::default())? {
            None => {
                let dataset = Dataset::open_split(self.patterns, self.base, role).map_err(what_is_taken)?;
                match self.decimal_comma {
                    true => Err(RecipeError::mismatch(DECIMAL_COMMA, NO_TABLE)),
                    false => Ok((dataset, Vec::new())),
                }
            }
            Some((folder, note)) => Ok((Dataset::open_split(&[text_of(&folder)?], Path::new("/"), role)?, vec![note])),
        }
    }

    /// Imports them where they are no Parquet and were not imported yet: the folder, and what is to be said of it. `None` where
    /// they are Parquet, or it was stopped.
    ///
    /// # Errors
    /// They cannot be imported.
    pub(crate) fn imported(
        &self,
        events: &mut dyn Events,
        stop: &Stop,
    ) -> Result<Option<(PathBuf, String)>, RecipeError> {
        let Some(place) = self.place()? else { return Ok(None) };
        let all = place.lock.parent().unwrap_or(Path::new("/"));
        files::create_folder(all).map_err(RecipeError::io("make", all))?;
        let _lock = FileLock::wait(&place.lock).map_err(RecipeError::io("write", &place.lock))?;
        let Place { options, .. } = &place;
        let known = match place.known() {
            Some(known) => known,
            None => {
                let report = import(options, events, stop)?;
                if report.stopped {
                    return Ok(None);
                }
                let first = report.left_out.first.first().map(|first| (first.name.clone(), first.reason.clone()));
                let sources = options.sources.iter().map(shown_path).collect();
                let known =
                    Done { sources, rows: report.rows, left_out: report.left_out.count, first, notes: report.notes };
                let text = serde_json::to_vec_pretty(&known).expect("our own types have string keys");
                let done = options.output.join(DONE);
                files::replace_file(&done, &text).map_err(RecipeError::io("write", &done))?;
                known
            }
        };
        let note = known.in_words(&options.output);
        Ok(Some((place.options.output, note)))
    }

    /// That of what was imported a split was taken to be measured, with so many rows, and what names all of them; nothing where all were
    /// taken, or are Parquet.
    pub(crate) fn part_in_words(&self, taken: u64) -> Option<String> {
        let place = self.place().ok().flatten()?;
        let all = place.known()?.rows;
        let what = match self.is_divided {
            true => {
                "of the rows that the run was trained and evaluated on those alone are measured that were set aside from training"
            }
            false => "the rows of the split to evaluate on alone are measured",
        };
        (taken < all).then(|| {
            let files = shown_path(place.options.output.join("*.parquet"));
            format!("{what}, {} of {}; `{files}` names all of them", grouped(taken), count(all, "row"))
        })
    }

    /// Where they are imported to, and how; none of what is Parquet.
    fn place(&self) -> Result<Option<Place>, RecipeError> {
        let Some(sources) = self.sources()? else { return Ok(None) };
        let all = self.output.parent().unwrap_or(Path::new("/")).join(FOLDER);
        let key = self.key(&sources)?;
        let mut options = ImportOptions { decimal_comma: self.decimal_comma, ..ImportOptions::new(sources, &all) };
        if self.is_divided {
            options.splits = vec![SplitShare { split: Split::Validation, share: SET_ASIDE }];
            options.only_undivided = true;
            // so that each class gives its share; rows that are evaluated on elsewhere may have other classes
            options.finds_label = true;
        }
        let name = options.file_name()?;
        options.output = all.join(format!("{name}-{key}"));
        Ok(Some(Place { options, lock: all.join(format!("{name}.lock")) }))
    }

    /// Whether what is named there is no Parquet, but what an import reads.
    pub(crate) fn are_sources(patterns: &[String], base: &Path) -> bool {
        let rows = NamedRows { patterns, base, output: base, is_divided: false, decimal_comma: false };
        rows.sources().is_ok_and(|sources| sources.is_some())
    }

    /// What is to be imported; none where any of it is Parquet, or nothing that an import reads.
    fn sources(&self) -> Result<Option<Vec<PathBuf>>, RecipeError> {
        let named: Vec<PathBuf> = self.patterns.iter().map(|pattern| self.base.join(pattern)).collect();
        let is_source = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match path.is_dir() {
                true => holds_sources(path),
                false => archive_stem(&name).is_some() || TableFormat::of(path).is_some(),
            }
        };
        match !named.is_empty() && named.iter().all(is_source) {
            true => Ok(Some(expanded(&named)?)),
            false => Ok(None),
        }
    }

    /// Of names, sizes and times of all files, and of how they are divided.
    fn key(&self, sources: &[PathBuf]) -> Result<String, RecipeError> {
        let mut all = FingerprintWriter::default();
        tell(&mut all, &VERSION.to_le_bytes());
        tell(&mut all, &[u8::from(self.is_divided) + 2 * u8::from(self.decimal_comma)]);
        for source in sources {
            let files = match source.is_dir() {
                true => FolderFiles::below(source)?.files,
                false => vec![source.clone()],
            };
            tell(&mut all, &(files.len() as u64).to_le_bytes());
            for path in files {
                let name = path.strip_prefix(source.parent().unwrap_or(source)).unwrap_or(&path);
                tell_file(&mut all, name.as_os_str().as_encoded_bytes(), &path);
            }
        }
        let is_table = |source: &&PathBuf| !source.is_dir() && TableFormat::of(source).is_some();
        let tables: Vec<PathBuf> = sources.iter().filter(is_table).cloned().collect();
        for (path, name) in images_beside(&tables) {
            tell_file(&mut all, name.as_bytes(), &path);
        }
        Ok(all.finish().0.chars().filter(char::is_ascii_hexdigit).take(16).collect())
    }
}

/// Imports what rows of a recipe are made of, where they are no Parquet and were not imported yet, and says how far that is.
///
/// # Errors
/// They cannot be imported.
pub fn import_rows_of(recipe: &Recipe, events: &mut dyn Events, stop: &Stop) -> Result<(), RecipeError> {
    // whoever opens them says what was imported
    let mut progress = |event: &Event| {
        if !matches!(event, Event::Note { .. }) {
            events.event(event);
        }
    };
    with_imported_rows(recipe, &mut progress, stop).map(drop)
}

/// As [`import_rows_of`], those to train on alone.
///
/// # Errors
/// They cannot be imported.
pub fn import_training_rows_of(recipe: &Recipe, events: &mut dyn Events, stop: &Stop) -> Result<(), RecipeError> {
    import_rows(recipe, &recipe.data.train, false, events, stop).map_err(RecipeError::at("data.train"))
}

/// As [`import_rows_of`], what the patterns name alone; numbers of tables may have a comma in front of their decimals, if this is so.
///
/// # Errors
/// It cannot be imported.
pub(crate) fn import_rows(
    recipe: &Recipe,
    patterns: &[String],
    decimal_comma: bool,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<(), RecipeError> {
    let rows = NamedRows::of(&recipe.data, patterns, &recipe.output.folder).with_decimal_comma(decimal_comma);
    rows.imported(events, stop).map(drop)
}

/// Refuses decimal commas where no rows are named beside the recipe, whose own are read as they are trained on.
///
/// # Errors
/// None are.
pub(crate) fn require_named(data: Option<&Patterns>, decimal_comma: bool) -> Result<(), RecipeError> {
    match decimal_comma && data.is_none() {
        true => {
            let message = "the rows that the recipe names are read as in training; name the table by `--data`";
            Err(RecipeError::mismatch(DECIMAL_COMMA, message))
        }
        false => Ok(()),
    }
}

/// As [`Imports::named_in`], beside the results of the recipe.
///
/// # Errors
/// They cannot be imported.
pub(crate) fn with_imported_rows(
    recipe: &Recipe,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Option<Recipe>, RecipeError> {
    Imports::beside(&recipe.output.folder).named_in(recipe, events, stop)
}

/// Of a folder that has nothing to be read, what it could have.
fn what_is_taken(error: PipelineError) -> RecipeError {
    match error {
        PipelineError::NoFiles { pattern, base, .. } if base.join(&pattern).is_dir() => {
            let message = "the folder holds no *.parquet file, and nothing that is imported either: images in a folder for each class or with a \
                           table, boxes or masks beside them, tables (CSV, JSON Lines), archives of these";
            let found = FolderFiles::below(&base.join(&pattern)).unwrap_or_default().files;
            let names: Vec<String> = found.iter().map(|file| file.to_string_lossy().into_owned()).collect();
            let others = other_images(names.iter().map(String::as_str));
            RecipeError::mismatch(pattern, format!("{message}{others}"))
        }
        other => other.into(),
    }
}

fn text_of(folder: &Path) -> Result<String, RecipeError> {
    let message = "the name is no UTF-8; choose another folder for the results";
    folder.to_str().map(str::to_owned).ok_or_else(|| RecipeError::mismatch(shown_path(folder), message))
}

fn is_divided(data: &DataRecipe, patterns: &[String]) -> bool {
    patterns == &*data.train && data.evaluate.as_deref() == Some(&*data.train)
}

/// Whether a folder holds images, tables or archives, and no Parquet.
fn holds_sources(folder: &Path) -> bool {
    let Ok(found) = FolderFiles::below(folder) else { return false };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_parquet = |path: &PathBuf| extension(path) == "parquet";
    let is_source = |path: &PathBuf| {
        is_image(&name(path)) || archive_stem(&name(path)).is_some() || TableFormat::of(path).is_some()
    };
    !found.files.iter().any(is_parquet) && found.files.iter().any(is_source)
}

impl Done {
    fn in_words(&self, folder: &Path) -> String {
        let left_out = match &self.first {
            None => String::new(),
            Some((name, reason)) => {
                let name = millstream_schemas::shown(name);
                let others = if self.left_out > 1 { "the first of them" } else { "which" };
                let what = if self.left_out == 1 { "file or row" } else { "files or rows" };
                format!(
                    "; {} {what} left out, {others} is `{name}` ({}); `millstream import` tells all",
                    grouped(self.left_out),
                    millstream_schemas::shown(reason)
                )
            }
        };
        let sources: Vec<&str> = self.sources.iter().take(3).map(String::as_str).collect();
        let notes: String = self.notes.iter().take(3).map(|note| format!("; {note}")).collect();
        let more = if self.sources.len() > 3 { ", …" } else { "" };
        format!(
            "{}{more}: imported into {}, {}{left_out}{notes}",
            sources.join(", "),
            shown_path(folder),
            count(self.rows, "row")
        )
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::recipe::Patterns;

    use super::*;

    #[test]
    fn what_is_set_aside_stays_so_where_a_part_of_the_training_rows_is_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        let class = |row: usize| if row.is_multiple_of(2) { "yes" } else { "no" };
        let rows: String = (0..40).map(|row| format!("text number {row},{}\n", class(row))).collect();
        fs::write(folder.path().join("rows.csv"), format!("text,label\n{rows}")).unwrap();
        let text = "version: 1\nmodel: {path: m.onnx}\ndata: {train: rows.csv, evaluate: rows.csv}\n\
                    evaluation: {sets: {again: rows.csv}}\noutput: {folder: runs/one}";
        let recipe = Recipe::from_text(text, Path::new("r.yaml"), folder.path(), &[]).unwrap();
        let opened = |recipe: &Recipe, patterns: &Patterns, role| {
            NamedRows::of(&recipe.data, patterns, &recipe.output.folder).open(role).unwrap().0.rows()
        };
        let [train, aside] =
            [SplitRole::Train, SplitRole::Evaluate].map(|role| opened(&recipe, &recipe.data.train, role));
        assert!(train + aside == 40 && (1..20).contains(&aside), "{train} {aside}");
        let imports = Imports::beside(&recipe.output.folder);
        let mut notes = 0;
        let mut told = |event: &Event| notes += u32::from(matches!(event, Event::Note { .. }));
        let mut own = imports.named_in(&recipe, &mut told, &Stop::default()).unwrap().unwrap();
        assert_eq!(imports.named_in(&recipe, &mut told, &Stop::default()).unwrap().unwrap(), own);
        // named three times, and again for another run of it
        assert_eq!(notes, 1);
        assert_eq!(opened(&own, &own.data.train, SplitRole::Train), train);
        assert_eq!(Imports::beside(&recipe.output.folder).found_in(&recipe), own);
        assert_eq!(Imports::beside(&folder.path().join("elsewhere/one")).found_in(&recipe), recipe);
        own.data.train = "part.parquet".to_owned().into();
        own.output.folder = folder.path().join("elsewhere/one");
        for patterns in own.data.evaluate.iter().chain(own.evaluation.sets.values()) {
            assert_eq!(opened(&own, patterns, SplitRole::Evaluate), aside);
        }
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn a_source_that_was_trained_on_is_told_to_be_measured_in_part_and_how_to_measure_all() {
        let folder = tempfile::tempdir().unwrap();
        let class = |row: usize| if row.is_multiple_of(2) { "yes" } else { "no" };
        let rows: String = (0..40).map(|row| format!("text number {row},{}\n", class(row))).collect();
        let text = format!("text,label\n{rows}");
        fs::write(folder.path().join("rows.csv"), &text).unwrap();
        fs::write(folder.path().join("copy.csv"), text).unwrap();
        let text = "version: 1\nmodel: {path: m.onnx}\ndata: {train: rows.csv, evaluate: rows.csv}\n\
                    evaluation: {sets: {copy: copy.csv}}\noutput: {folder: runs/one}";
        let recipe = Recipe::from_text(text, Path::new("r.yaml"), folder.path(), &[]).unwrap();
        let named = NamedRows::of(&recipe.data, &recipe.data.train, &recipe.output.folder);
        let aside = named.open(SplitRole::Evaluate).unwrap().0.rows();
        let said = named.part_in_words(aside).unwrap();
        assert!(
            said.contains("set aside from training") && said.contains(&format!(", {aside} of 40 rows; ")),
            "{said}"
        );
        let files = said.split('`').nth(1).unwrap().to_owned();
        let all = Dataset::open_split(&[files], Path::new("/"), SplitRole::Evaluate).unwrap();
        assert_eq!(all.rows(), 40);
        // of a copy all rows are measured
        let copy = NamedRows::of(&recipe.data, &recipe.evaluation.sets["copy"], &recipe.output.folder);
        let rows = copy.open(SplitRole::Evaluate).unwrap().0.rows();
        assert_eq!((rows, copy.part_in_words(rows)), (40, None));
    }

    #[test]
    fn an_import_that_is_stopped_leaves_no_recipe_and_is_not_taken_for_done() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rows.csv"), "text,label\na,yes\nb,no\n").unwrap();
        let text = "version: 1\nmodel: {path: m.onnx}\ndata: {train: rows.csv}\noutput: {folder: runs/one}";
        let recipe = Recipe::from_text(text, Path::new("r.yaml"), folder.path(), &[]).unwrap();
        let imports = Imports::beside(&recipe.output.folder);
        let stop = Stop::default();
        stop.request();
        assert_eq!(imports.named_in(&recipe, &mut Silent, &stop).unwrap(), None);
        let own = imports.named_in(&recipe, &mut Silent, &Stop::default()).unwrap().unwrap();
        assert!(own.data.train[0].contains(".data"), "{:?}", own.data.train);
    }
}
