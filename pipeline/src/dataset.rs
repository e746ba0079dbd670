use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::{DataType, Schema, SchemaRef};
use bytes::Bytes;
use millstream_schemas::features::{image_storage, is_text};
use millstream_schemas::{Feature, Features, Fingerprint, RowId, SchemaError, shown};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use crate::error::Damage;
use crate::sources::{
    Classes, FileColumns, Footer, LabelReading, LabelValue, Part, Storage, caught, each_label, list_all, names,
    read_blocking, read_footer,
};
use crate::{PipelineError, label};

/// More classes than this are taken for a mistake.
const MOST_CLASSES: usize = 65_536;

/// An opened dataset: its files listed and sorted, their footers read and compared. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    files: Vec<DataFile>,
    features: Features,
    schema: SchemaRef,
    fingerprint: Fingerprint,
    /// Fingerprints that include a label column, by its name.
    with_labels: Mutex<HashMap<String, Fingerprint>>,
    rows: u64,
    /// All row groups in file order.
    pub(crate) groups: Vec<GroupPlace>,
}

/// One row group in the order of files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupPlace {
    pub(crate) file: u32,
    pub(crate) group: u32,
    pub(crate) rows: u32,
    /// Rows of the dataset before it.
    pub(crate) before: u64,
}

/// One Parquet file.
#[derive(Debug)]
pub struct DataFile {
    /// Path below the folder that all files of the dataset share; the file's part of a [`RowId`].
    pub name: Arc<str>,
    /// Where it lies.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// Its row groups.
    pub row_groups: Vec<RowGroupSize>,
    /// Software that wrote it, as the file says.
    pub created_by: Option<String>,
    schema: SchemaRef,
    metadata: Arc<ParquetMetaData>,
    footer: Fingerprint,
    storage: Storage,
}

/// Sizes of a row group, all columns together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowGroupSize {
    /// Rows.
    pub rows: u32,
    /// Bytes in the file.
    pub compressed: u64,
    /// Bytes once decompressed.
    pub uncompressed: u64,
}

/// Which columns play which role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Column with the model's input.
    pub input: String,
    /// What it holds.
    pub kind: InputKind,
    /// Column with the class; `None` for data without labels.
    pub label: Option<String>,
    /// Class names by index. To read one dataset with the classes of another (evaluation with those of training),
    /// put the other's here: names are looked up in this list.
    pub classes: Vec<String>,
}

/// What the input column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputKind {
    /// Encoded images.
    Image,
    /// Strings.
    Text,
}

/// How often each class occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassHistogram {
    /// Rows of each class, by index.
    pub counts: Vec<u64>,
    /// Rows with the label −1.
    pub unlabelled: u64,
    /// Rows whose label is null.
    pub null: u64,
    /// Rows whose label is none of the classes.
    pub out_of_range: u64,
}

/// One row as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which one.
    pub id: RowId,
    /// Its input.
    pub input: RowInput,
    /// Its class; −1 where unknown.
    pub label: i64,
}

/// The input of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowInput {
    /// An encoded image.
    Image(Bytes),
    /// A string.
    Text(String),
}

impl Dataset {
    /// Opens a file, a folder (every `*.parquet` below it) or a pattern (`folder/name-train-*.parquet`), taken from
    /// the folder `base`. Reads the footers only.
    ///
    /// # Errors
    /// Nothing matches, a footer is damaged, the files differ in their columns, or there are no rows.
    pub fn open(pattern: &str, base: &Path) -> Result<Self, PipelineError> {
        Self::open_all(&[pattern.to_owned()], base)
    }

    /// As [`Dataset::open`], of all files that the patterns mean together, each once.
    ///
    /// # Errors
    /// As [`Dataset::open`]; each pattern must match something.
    pub fn open_all(patterns: &[String], base: &Path) -> Result<Self, PipelineError> {
        let paths = list_all(patterns, base)?;
        let files = paths.iter().zip(names(&paths)).map(|(path, name)| DataFile::open(path, &name));
        let files: Vec<DataFile> = files.collect::<Result<_, _>>()?;
        let first = files.first().expect("the listing fails when it finds nothing");
        let features = Features::from_arrow(&first.schema, &first.name)?;
        for file in &files[1..] {
            same_columns(first, file, &features)?;
        }
        let mut groups = Vec::new();
        let mut rows = 0;
        for (index, file) in files.iter().enumerate() {
            for (group, size) in file.row_groups.iter().enumerate() {
                groups.push(GroupPlace { file: index as u32, group: group as u32, rows: size.rows, before: rows });
                rows += u64::from(size.rows);
            }
        }
        groups.retain(|group| group.rows > 0);
        if rows == 0 {
            return Err(PipelineError::NoRows { files: files.len(), first: first.name.to_string() });
        }
        let identity: Vec<_> = files.iter().map(|file| (&*file.name, file.bytes, &file.footer)).collect();
        let fingerprint = Fingerprint::of(&identity);
        let schema = Arc::clone(&first.schema);
        let with_labels = Mutex::default();
        Ok(Self { inner: Arc::new(Inner { features, schema, fingerprint, with_labels, rows, groups, files }) })
    }

    /// The files, sorted by path.
    pub fn files(&self) -> &[DataFile] {
        &self.inner.files
    }

    /// Rows of all files together; at least 1.
    pub fn rows(&self) -> u64 {
        self.inner.rows
    }

    /// What the columns mean.
    pub fn features(&self) -> &Features {
        &self.inner.features
    }

    /// The Arrow schema of the first file; the others have the same columns.
    pub fn arrow_schema(&self) -> &SchemaRef {
        &self.inner.schema
    }

    /// Of the files' names, sizes and footers: schema, row counts, sizes and statistics of every column. Data that were
    /// changed in place, with all of these as before, have the same fingerprint.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.inner.fingerprint
    }

    /// The same with the stored bytes of the label column, which is small: other labels in the same rows give another
    /// fingerprint. The input column is not read. Computed once for each label column, then remembered.
    ///
    /// # Errors
    /// The column cannot be read.
    pub fn fingerprint_with_labels(&self, columns: &Columns) -> Result<Fingerprint, PipelineError> {
        let Some(label) = &columns.label else { return Ok(self.inner.fingerprint.clone()) };
        let mut known = self.inner.with_labels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fingerprint) = known.get(label) {
            return Ok(fingerprint.clone());
        }
        let mut stored = vec![self.inner.fingerprint.clone()];
        for file in &self.inner.files {
            let columns = file.columns(None, Some(label))?;
            for range in (0..file.row_groups.len()).flat_map(|group| columns.stored(group)) {
                stored.push(Fingerprint::of_bytes(&file.storage.read(range)?));
            }
        }
        let fingerprint = Fingerprint::of(&stored);
        known.insert(label.clone(), fingerprint.clone());
        Ok(fingerprint)
    }

    /// Identity of a row by its index in file order.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::rows`].
    pub fn row_at(&self, index: u64) -> RowId {
        assert!(index < self.rows(), "row {index} of {}", self.rows());
        let group = &self.inner.groups[self.inner.groups.partition_point(|group| group.before <= index) - 1];
        RowId {
            file: Arc::clone(&self.inner.files[group.file as usize].name),
            row_group: group.group,
            row: (index - group.before) as u32,
        }
    }

    /// Finds the input column (the only image or text column when `input` is `None`), the label column (none when
    /// `label` is empty) and the class names. Labels without names in the metadata are read to learn them: strings
    /// become their sorted distinct values, numbers 0 to the largest.
    ///
    /// # Errors
    /// A column is missing or of a type that cannot play its role, or the input is ambiguous.
    pub fn resolve_columns(&self, input: Option<&str>, label: &str) -> Result<Columns, PipelineError> {
        let (input, kind) = self.input_column(input, label)?;
        if label.is_empty() {
            return Ok(Columns { input, kind, label: None, classes: Vec::new() });
        }
        let file = &*self.inner.files[0].name;
        let classes = match self.features().require(label, file)? {
            Feature::ClassLabel { names } if !names.is_empty() => names.clone(),
            _ => self.read_classes(label)?,
        };
        if classes.len() > MOST_CLASSES {
            return Err(self.too_many_classes(label, format!("{} classes", classes.len())));
        }
        Ok(Columns { input, kind, label: Some(label.into()), classes })
    }

    /// Reads the label column and counts.
    ///
    /// # Errors
    /// The column cannot be read.
    pub fn class_histogram(&self, columns: &Columns) -> Result<ClassHistogram, PipelineError> {
        let mut histogram = ClassHistogram { counts: vec![0; columns.classes.len()], ..ClassHistogram::default() };
        let Some(label) = &columns.label else {
            histogram.unlabelled = self.rows();
            return Ok(histogram);
        };
        let classes = self.classes(columns)?;
        self.read_labels(label, &classes, |value| {
            match value {
                LabelValue::Class(-1) => histogram.unlabelled += 1,
                LabelValue::Null => histogram.null += 1,
                LabelValue::Class(class) => {
                    match usize::try_from(*class).ok().and_then(|c| histogram.counts.get_mut(c)) {
                        Some(count) => *count += 1,
                        None => histogram.out_of_range += 1,
                    }
                }
                LabelValue::Unknown(_) => histogram.out_of_range += 1,
            }
            Ok(())
        })?;
        Ok(histogram)
    }

    /// Reads one row.
    ///
    /// # Errors
    /// There is no such row, it cannot be read, or its input or label is null or out of range.
    pub fn read_row(&self, id: &RowId, columns: &Columns) -> Result<Row, PipelineError> {
        let no_such_row = || PipelineError::NoSuchRow { row: id.clone() };
        let file = self.inner.files.iter().find(|file| file.name == id.file).ok_or_else(no_such_row)?;
        let group = file.row_groups.get(id.row_group as usize).ok_or_else(no_such_row)?;
        if id.row >= group.rows {
            return Err(no_such_row());
        }
        let reading = file.columns(Some(&columns.input), columns.label.as_deref())?;
        let part = Part { group: id.row_group, rows: Some(vec![id.row]) };
        let rows = read_blocking(&reading, &part, &self.classes(columns)?)?;
        let damaged = |damage| PipelineError::Damaged { row: id.clone(), damage };
        let label = label::class(rows.label(0), columns).map_err(damaged)?;
        let bytes = rows.input(0).ok_or_else(|| damaged(Damage::NullInput))?;
        let input = match columns.kind {
            InputKind::Image => RowInput::Image(Bytes::copy_from_slice(bytes)),
            InputKind::Text => RowInput::Text(String::from_utf8_lossy(bytes).into_owned()),
        };
        Ok(Row { id: id.clone(), input, label })
    }

    /// How the label column is read under these columns.
    pub(crate) fn classes(&self, columns: &Columns) -> Result<Classes, PipelineError> {
        let Some(label) = &columns.label else { return Ok(None) };
        let reading = self.label_reading(label)?;
        let names = columns.classes.iter().enumerate().map(|(index, name)| (name.clone(), index as i64));
        Ok(Some((reading, Arc::new(names.collect()))))
    }

    fn input_column(&self, input: Option<&str>, label: &str) -> Result<(String, InputKind), PipelineError> {
        let file = &*self.inner.files[0].name;
        let Some(name) = input else {
            let candidates = |kind: InputKind| {
                let fits = move |feature: &Feature| match feature {
                    Feature::Image(_) => kind == InputKind::Image,
                    Feature::Text => kind == InputKind::Text,
                    _ => false,
                };
                let columns = self.features().columns.iter();
                columns
                    .filter(|(name, feature)| name != label && fits(feature))
                    .map(|(name, _)| name)
                    .collect::<Vec<_>>()
            };
            for kind in [InputKind::Image, InputKind::Text] {
                match candidates(kind).as_slice() {
                    [] => {}
                    [only] => return Ok(((*only).clone(), kind)),
                    several => {
                        let several: Vec<_> =
                            several.iter().take(20).map(|name| format!("`{}`", shown(name))).collect();
                        let reason = format!("there are several: {}", several.join(", "));
                        return Err(PipelineError::WhichInput { file: file.into(), reason });
                    }
                }
            }
            let reason = "there is no image or text column".into();
            return Err(PipelineError::WhichInput { file: file.into(), reason });
        };
        let kind = match self.features().require(name, file)? {
            Feature::Image(_) => Some(InputKind::Image),
            Feature::Text => Some(InputKind::Text),
            // A binary column that the user calls the input can only be an image.
            _ => image_storage(self.column_type(name)?).map(|_| InputKind::Image),
        };
        let kind = kind.ok_or_else(|| self.wrong_type(name, "image or text"))?;
        Ok((name.into(), kind))
    }

    fn label_reading(&self, label: &str) -> Result<LabelReading, PipelineError> {
        self.features().require(label, &self.inner.files[0].name)?;
        match self.column_type(label)? {
            data_type if is_text(data_type) => Ok(LabelReading::Name),
            data_type if data_type.is_integer() || *data_type == DataType::Boolean => Ok(LabelReading::Number),
            _ => Err(self.wrong_type(label, "a class (integer, boolean or string)")),
        }
    }

    fn read_classes(&self, label: &str) -> Result<Vec<String>, PipelineError> {
        let reading = self.label_reading(label)?;
        let classes = Some((reading, Arc::new(HashMap::new())));
        let (mut names, mut largest) = (BTreeSet::new(), -1);
        self.read_labels(label, &classes, |value| {
            match value {
                LabelValue::Class(class) => largest = largest.max(*class),
                LabelValue::Unknown(name) => {
                    if !names.contains(name) {
                        names.insert(name.clone());
                    }
                }
                LabelValue::Null => {}
            }
            if names.len() > MOST_CLASSES || largest >= MOST_CLASSES as i64 {
                return Err(self.too_many_classes(label, format!("more than {MOST_CLASSES} classes")));
            }
            Ok(())
        })?;
        Ok(match reading {
            LabelReading::Name => names.into_iter().map(String::from).collect(),
            LabelReading::Number => (0..=largest).map(|class| class.to_string()).collect(),
        })
    }

    fn read_labels(
        &self,
        label: &str,
        classes: &Classes,
        mut each: impl FnMut(&LabelValue) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        for file in self.inner.files.iter() {
            let columns = file.columns(None, Some(label))?;
            for group in (0..file.row_groups.len()).filter(|&group| file.row_groups[group].rows > 0) {
                each_label(&columns, group as u32, classes, &mut each)?;
            }
        }
        Ok(())
    }

    fn column_type(&self, column: &str) -> Result<&DataType, PipelineError> {
        let field = self.inner.schema.field_with_name(column);
        field.map(|field| field.data_type()).map_err(|_| {
            let missing = self.features().require(column, &self.inner.files[0].name).err();
            missing.map_or_else(|| self.wrong_type(column, "a column"), PipelineError::Schema)
        })
    }

    fn wrong_type(&self, column: &str, wanted: &str) -> PipelineError {
        let got = self.inner.schema.field_with_name(column).map(|field| field.data_type().to_string());
        PipelineError::Schema(SchemaError::ColumnType {
            file: self.inner.files[0].name.to_string(),
            column: shown(column),
            wanted: wanted.into(),
            got: shown(got.unwrap_or_default()),
        })
    }

    fn too_many_classes(&self, column: &str, reason: String) -> PipelineError {
        PipelineError::TooManyClasses { file: self.inner.files[0].name.to_string(), column: shown(column), reason }
    }
}

impl DataFile {
    fn open(path: &Path, name: &str) -> Result<Self, PipelineError> {
        let storage = Storage::Local(path.to_owned());
        let shown_name = shown(name);
        let Footer { metadata, fingerprint: footer } = read_footer(&storage, &shown_name)?;
        let arrow =
            caught(&shown_name, || ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new()))?;
        let row_groups = metadata.row_groups().iter().map(|group| RowGroupSize {
            rows: group.num_rows() as u32,
            compressed: total(group.columns().iter().map(ColumnChunkMetaData::compressed_size)),
            uncompressed: total(group.columns().iter().map(ColumnChunkMetaData::uncompressed_size)),
        });
        let row_groups: Vec<_> = row_groups.collect();
        Ok(Self {
            name: name.into(),
            path: path.to_owned(),
            bytes: storage.length()?,
            rows: row_groups.iter().map(|group| u64::from(group.rows)).sum(),
            row_groups,
            created_by: metadata.file_metadata().created_by().map(shown),
            schema: Arc::clone(arrow.schema()),
            metadata,
            footer,
            storage,
        })
    }

    pub(crate) fn columns(&self, input: Option<&str>, label: Option<&str>) -> Result<FileColumns, PipelineError> {
        FileColumns::new(&self.name, &self.storage, &self.metadata, &self.schema, input, label)
    }
}

/// A footer may claim any sizes, so their sum does not overflow.
fn total(sizes: impl Iterator<Item = i64>) -> u64 {
    sizes.fold(0, |sum, size| sum.saturating_add(size.max(0) as u64))
}

/// Types that differ only in how they lie in memory count as the same.
fn same_columns(first: &DataFile, other: &DataFile, features: &Features) -> Result<(), PipelineError> {
    let drift = |column: &str, wanted: String, got: String| PipelineError::SchemaDrift {
        first: first.name.to_string(),
        second: other.name.to_string(),
        column: shown(column),
        wanted: shown(&wanted),
        got: shown(&got),
    };
    let type_of =
        |schema: &Schema, column: &str| schema.field_with_name(column).ok().map(|field| canonical(field.data_type()));
    let columns = first.schema.fields().iter().chain(other.schema.fields().iter());
    for column in columns.map(|field| field.name()) {
        let (wanted, got) = (type_of(&first.schema, column), type_of(&other.schema, column));
        if wanted != got {
            let text = |found: Option<String>| found.unwrap_or_else(|| "no such column".into());
            return Err(drift(column, text(wanted), text(got)));
        }
    }
    let others = Features::from_arrow(&other.schema, &other.name)?;
    for (column, wanted) in &features.columns {
        match (wanted, others.get(column)) {
            (Feature::ClassLabel { names: wanted }, Some(Feature::ClassLabel { names })) if wanted != names => {
                return Err(drift(column, format!("classes {wanted:?}"), format!("classes {names:?}")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn canonical(data_type: &DataType) -> String {
    match data_type {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".into(),
        other if is_text(other) => "string".into(),
        DataType::Struct(fields) => {
            let mut fields: Vec<_> =
                fields.iter().map(|field| format!("{}: {}", field.name(), canonical(field.data_type()))).collect();
            fields.sort();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::List(field) | DataType::LargeList(field) => format!("list<{}>", canonical(field.data_type())),
        other => other.to_string(),
    }
}
