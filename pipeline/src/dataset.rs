use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use millstream_schemas::features::is_text;
use millstream_schemas::{Feature, Features, FileState, Fingerprint, RowId, shown_up_to};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::properties::WriterProperties;

use crate::PipelineError;
use crate::sources::{
    FileColumns, Footer, Found, LoadedRows, Part, RowValues, SplitRole, Value, caught, choose, each_row, list, names,
    read_blocking, read_footer, require_whole,
};
use crate::stores::{InMemory, Storage, Store};

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
    /// Fingerprints that include the bytes of some columns, by their names.
    with_columns: Mutex<HashMap<Vec<String>, Fingerprint>>,
    /// Numbers of each row (lengths, classes), by row group, by the fingerprints of what learned them.
    of_each_row: Mutex<HashMap<Fingerprint, Arc<Vec<Vec<u32>>>>>,
    notes: Vec<String>,
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
    /// As it was opened; none of what lies elsewhere.
    state: Option<FileState>,
    encrypted: BTreeSet<usize>,
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

/// Some columns of one row, as stored.
#[derive(Debug)]
pub struct Row {
    /// Which one.
    pub id: RowId,
    columns: Vec<String>,
    rows: LoadedRows,
}

impl Row {
    /// The value in a column; `None` when the column was not read.
    pub fn get(&self, column: &str) -> Option<Value<'_>> {
        let place = self.columns.iter().position(|known| known == column)?;
        Some(self.values().get(place))
    }

    /// All values, in the order in which the columns were asked for.
    pub fn values(&self) -> RowValues<'_> {
        self.rows.row(0)
    }
}

impl Dataset {
    /// Opens a file, a folder (every `*.parquet` below it) or a pattern (`folder/name-train-*.parquet`, with `*`, `?`,
    /// `[ab]`, `{a,b}`, and `**` for folders in folders), taken from the folder `base`. Reads the footers only.
    ///
    /// # Errors
    /// Nothing matches, something that looks like a part of the dataset cannot be read, files whose names count them
    /// (`…-00000-of-00002`) are not all there, a footer is damaged, or there are no rows.
    pub fn open(pattern: &str, base: &Path) -> Result<Self, PipelineError> {
        Self::open_all(&[pattern.to_owned()], base)
    }

    /// As [`Dataset::open`], for several patterns; a file that several of them match counts once.
    ///
    /// # Errors
    /// As [`Dataset::open`]; each pattern must match something.
    pub fn open_all(patterns: &[String], base: &Path) -> Result<Self, PipelineError> {
        Self::open_files(list(patterns, base)?, Vec::new())
    }

    /// The files that these patterns mean, sorted, none of which is opened.
    ///
    /// # Errors
    /// A pattern matches nothing, or something that looks like a part of the dataset cannot be read.
    pub fn files_of(patterns: &[String], base: &Path) -> Result<Vec<PathBuf>, PipelineError> {
        Ok(list(patterns, base)?.into_iter().map(|file| file.path).collect())
    }

    /// As [`Dataset::open_all`]; of a folder that holds several splits, told by the names of its files as the Hugging Face
    /// Hub tells them, only the files of the one that fits the role. [`Dataset::notes`] says which.
    ///
    /// # Errors
    /// As [`Dataset::open_all`]; or a folder has splits, and none for this role.
    pub fn open_split(patterns: &[String], base: &Path, role: SplitRole) -> Result<Self, PipelineError> {
        let mut notes = Vec::new();
        let files = choose(list(patterns, base)?, role, &mut notes)?;
        Self::open_files(files, notes)
    }

    fn open_files(files: Vec<Found>, notes: Vec<String>) -> Result<Self, PipelineError> {
        require_whole(&files)?;
        let paths: Vec<PathBuf> = files.into_iter().map(|file| file.path).collect();
        let storages = paths.iter().map(|path| Storage::local(path));
        Self::of(names(&paths).into_iter().zip(storages).collect(), notes)
    }

    /// A dataset whose files lie wherever their stores read them, in this order; each has a name of its own, which stands in
    /// row identities and messages.
    ///
    /// # Errors
    /// A store cannot be read, a footer is damaged, two files have one name, or there are no rows.
    pub fn from_stores(files: Vec<(String, Arc<dyn Store>)>) -> Result<Self, PipelineError> {
        let place = |name: &str| PathBuf::from(name);
        let twice = files.iter().enumerate().find(|(index, (name, _))| files[..*index].iter().any(|(n, _)| n == name));
        if let Some((_, (name, _))) = twice {
            return Err(PipelineError::Entry { path: place(name), reason: "two files have this name".into() });
        }
        let storage = |(name, store): (String, Arc<dyn Store>)| {
            let place = store.path().map_or_else(|| place(&name), Path::to_owned);
            let storage = Storage::new(&place, store);
            (name, storage)
        };
        Self::of(files.into_iter().map(storage).collect(), Vec::new())
    }

    /// A dataset of rows that are in memory, `rows_a_group` of which come together when they are shuffled by windows. They are
    /// kept as a Parquet file in memory.
    ///
    /// # Errors
    /// The batches differ in their columns, have columns that Parquet does not know, or there are no rows.
    pub fn from_batches(name: &str, batches: &[RecordBatch], rows_a_group: usize) -> Result<Self, PipelineError> {
        let refused = |reason: String| PipelineError::Entry { path: name.into(), reason };
        let first = batches.first().ok_or_else(|| refused("there are no rows".into()))?;
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows_a_group.max(1))).build();
        let mut bytes = Vec::new();
        let write = || {
            let mut writer = ArrowWriter::try_new(&mut bytes, first.schema(), Some(properties))?;
            batches.iter().try_for_each(|batch| writer.write(batch))?;
            writer.close().map(drop)
        };
        write()
            .map_err(|error| refused(format!("cannot be kept as Parquet: {}", shown_up_to(error.to_string(), 200))))?;
        Self::from_stores(vec![(name.to_owned(), Arc::new(InMemory(bytes.into())))])
    }

    fn of(files: Vec<(String, Storage)>, notes: Vec<String>) -> Result<Self, PipelineError> {
        let files = open_together(&files)?;
        // What a file without rows holds decides nothing: its columns often have no type either.
        let first = files
            .iter()
            .find(|file| file.has_rows())
            .or(files.first())
            .expect("the listing fails when it finds nothing");
        let mut features = Features::from_arrow(&first.schema, &first.name)?;
        for file in &files {
            features.learn_class_names(&Features::from_arrow(&file.schema, &file.name)?);
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
        let (with_columns, of_each_row) = (Mutex::default(), Mutex::default());
        let inner = Inner { files, features, schema, fingerprint, with_columns, of_each_row, notes, rows, groups };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What was noticed while the files were chosen, for people: which split of a folder was taken, and what was left.
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// The files, sorted by path.
    pub fn files(&self) -> &[DataFile] {
        &self.inner.files
    }

    /// Rows of all files together; at least 1.
    pub fn rows(&self) -> u64 {
        self.inner.rows
    }

    /// What the columns of the first file with rows mean, with the class names that any file declares.
    pub fn features(&self) -> &Features {
        &self.inner.features
    }

    /// The Arrow schema of the first file with rows. Others may differ in columns that are not used.
    pub fn arrow_schema(&self) -> &SchemaRef {
        &self.inner.schema
    }

    /// Of the files' names, sizes and footers: schema, row counts, sizes and statistics of every column. Data that were
    /// changed in place, with all of these as before, have the same fingerprint.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.inner.fingerprint
    }

    /// Whether another file lies now where one of this machine was opened, or none: by size, time and identity, without reading any.
    /// Files of other stores are not looked at.
    pub fn has_changed(&self) -> bool {
        let is_other = |file: &DataFile| file.storage.path().is_some_and(|path| FileState::of(path) != file.state);
        self.inner.files.iter().any(is_other)
    }

    /// Whether all files of this machine can be seen now.
    pub fn is_there(&self) -> bool {
        let can_be_seen = |file: &DataFile| file.storage.path().is_none_or(|path| FileState::of(path).is_some());
        self.inner.files.iter().all(can_be_seen)
    }

    /// The same with the stored bytes of some columns, which should be small: other labels in the same rows give another
    /// fingerprint. Computed once for each list of columns, then remembered.
    ///
    /// # Errors
    /// A column cannot be read.
    pub fn fingerprint_with(&self, columns: &[String]) -> Result<Fingerprint, PipelineError> {
        if columns.is_empty() {
            return Ok(self.inner.fingerprint.clone());
        }
        let mut known = self.inner.with_columns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fingerprint) = known.get(columns) {
            return Ok(fingerprint.clone());
        }
        let mut stored = vec![self.inner.fingerprint.clone()];
        for file in &self.inner.files {
            let columns = file.columns(columns)?;
            for range in (0..file.row_groups.len()).flat_map(|group| columns.stored(group)) {
                stored.push(Fingerprint::of_bytes(&file.storage.read(range)?));
            }
        }
        let fingerprint = Fingerprint::of(&stored);
        known.insert(columns.to_vec(), fingerprint.clone());
        Ok(fingerprint)
    }

    /// A number of each row, its length or its class, by row group: learned by what has this fingerprint, then remembered.
    pub(crate) fn of_each_row(
        &self,
        by: Fingerprint,
        learn: impl FnOnce() -> Result<Vec<Vec<u32>>, PipelineError>,
    ) -> Result<Arc<Vec<Vec<u32>>>, PipelineError> {
        let mut known = self.inner.of_each_row.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(numbers) = known.get(&by) {
            return Ok(Arc::clone(numbers));
        }
        let numbers = Arc::new(learn()?);
        known.insert(by, Arc::clone(&numbers));
        Ok(numbers)
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

    /// Nulls in a column, as the statistics in the footers say; `None` where a file has none, or they are nulls in lists.
    ///
    /// # Errors
    /// A file lacks the column.
    pub fn nulls(&self, column: &str) -> Result<Option<u64>, PipelineError> {
        let mut nulls = 0_u64;
        for file in self.files() {
            let read = file.columns(&[column.to_owned()])?;
            for group in read.metadata.metadata().row_groups() {
                for &leaf in read.leaves() {
                    let known = group.column(leaf).statistics().filter(|_| !read.is_list(leaf));
                    let Some(found) = known.and_then(|known| known.null_count_opt()) else {
                        return Ok(None);
                    };
                    nulls = nulls.saturating_add(found);
                }
            }
        }
        Ok(Some(nulls))
    }

    /// Reads some columns of one row.
    ///
    /// # Errors
    /// There is no such row, or it cannot be read.
    pub fn read_row(&self, id: &RowId, columns: &[String]) -> Result<Row, PipelineError> {
        let no_such_row = || PipelineError::NoSuchRow { row: id.clone() };
        let file = self.inner.files.iter().find(|file| file.name == id.file).ok_or_else(no_such_row)?;
        let group = file.row_groups.get(id.row_group as usize).ok_or_else(no_such_row)?;
        if id.row >= group.rows {
            return Err(no_such_row());
        }
        let part = Part { group: id.row_group, rows: Some(vec![id.row]) };
        let rows = read_blocking(&file.columns(columns)?, &part)?;
        Ok(Row { id: id.clone(), columns: columns.to_vec(), rows })
    }

    /// What a row's image is called: the `path` beside its bytes, of several columns of images the first that says one. None where nothing
    /// says it or it cannot be read: it is asked for what is wrong already.
    pub fn image_name(&self, id: &RowId) -> Option<String> {
        let file = self.inner.files.iter().find(|file| file.name == id.file)?;
        file.row_groups.get(id.row_group as usize).filter(|group| id.row < group.rows)?;
        let has_path = |column: &str| match file.schema.field_with_name(column).map(|field| field.data_type()) {
            Ok(DataType::Struct(fields)) => {
                fields.iter().any(|field| field.name() == "path" && is_text(field.data_type()))
            }
            _ => false,
        };
        let part = Part { group: id.row_group, rows: Some(vec![id.row]) };
        let images = self.features().columns.iter().filter(|(_, feature)| matches!(feature, Feature::Image(_)));
        images.filter(|(column, _)| has_path(column)).find_map(|(column, _)| {
            let columns = file.columns_of(std::slice::from_ref(column), "path").ok()?;
            let rows = read_blocking(&columns, &part).ok()?;
            let Value::Struct(image) = rows.row(0).get(0) else { return None };
            match image.get("path") {
                Some(Value::Text(name)) if !name.is_empty() => Some(name.to_owned()),
                _ => None,
            }
        })
    }

    /// Hands some columns of every row to `each`, in file order, holding a few rows at a time.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn each_row(&self, columns: &[String], mut each: impl FnMut(RowValues<'_>)) -> Result<(), PipelineError> {
        for file in self.inner.files.iter() {
            let columns = file.columns(columns)?;
            for group in (0..file.row_groups.len()).filter(|&group| file.row_groups[group].rows > 0) {
                each_row(&columns, group as u32, &mut each)?;
            }
        }
        Ok(())
    }

    /// The first that `find` makes of some columns of a row, in file order. No row group behind that of the row is read.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn find_row<T>(
        &self,
        columns: &[String],
        mut find: impl FnMut(RowValues<'_>) -> Option<T>,
    ) -> Result<Option<T>, PipelineError> {
        let mut found = None;
        for file in self.inner.files.iter() {
            let columns = file.columns(columns)?;
            for group in (0..file.row_groups.len()).filter(|&group| file.row_groups[group].rows > 0) {
                each_row(&columns, group as u32, |row| {
                    if found.is_none() {
                        found = find(row);
                    }
                })?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// Hands some columns of every row of the row group that a row is of to `each`, in order, holding a few rows at a time.
    ///
    /// # Errors
    /// There is no such row group, or it cannot be read.
    pub fn each_row_beside(
        &self,
        id: &RowId,
        columns: &[String],
        mut each: impl FnMut(RowValues<'_>),
    ) -> Result<(), PipelineError> {
        let no_such_row = || PipelineError::NoSuchRow { row: id.clone() };
        let file = self.inner.files.iter().find(|file| file.name == id.file).ok_or_else(no_such_row)?;
        let group = file.row_groups.get(id.row_group as usize).ok_or_else(no_such_row)?;
        if group.rows == 0 {
            return Ok(());
        }
        each_row(&file.columns(columns)?, id.row_group, &mut each)
    }

    /// Bytes of some columns once decompressed, as the footers say.
    pub(crate) fn unpacked(&self, columns: &[String]) -> Result<u64, PipelineError> {
        let mut bytes = 0_u64;
        for file in self.inner.files.iter() {
            let columns = file.columns(columns)?;
            let groups = 0..file.row_groups.len();
            bytes = groups.map(|group| columns.unpacked(group)).fold(bytes, u64::saturating_add);
        }
        Ok(bytes)
    }
}

impl DataFile {
    fn open(name: &str, storage: &Storage) -> Result<Self, PipelineError> {
        // before anything is read: what is replaced meanwhile is another file then
        let state = storage.path().and_then(FileState::of);
        let Footer { metadata, fingerprint: footer, encrypted } = read_footer(storage, name)?;
        let arrow = caught(name, || ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new()))?;
        let row_groups = metadata.row_groups().iter().map(|group| RowGroupSize {
            rows: group.num_rows() as u32,
            compressed: total(group.columns().iter().map(ColumnChunkMetaData::compressed_size)),
            uncompressed: total(group.columns().iter().map(ColumnChunkMetaData::uncompressed_size)),
        });
        let row_groups: Vec<_> = row_groups.collect();
        Ok(Self {
            name: name.into(),
            path: storage.path().unwrap_or(Path::new(name)).to_owned(),
            bytes: storage.length()?,
            rows: row_groups.iter().map(|group| u64::from(group.rows)).sum(),
            row_groups,
            created_by: metadata.file_metadata().created_by().map(str::to_owned),
            schema: Arc::clone(arrow.schema()),
            metadata,
            footer,
            state,
            encrypted,
            storage: storage.clone(),
        })
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Of its footer: schema, sizes and statistics of its columns.
    pub fn footer(&self) -> &Fingerprint {
        &self.footer
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn has_rows(&self) -> bool {
        self.row_groups.iter().any(|group| group.rows > 0)
    }

    pub(crate) fn columns(&self, columns: &[String]) -> Result<FileColumns, PipelineError> {
        self.columns_of(columns, "bytes")
    }

    fn columns_of(&self, columns: &[String], of_images: &str) -> Result<FileColumns, PipelineError> {
        let columns = FileColumns::new(&self.name, &self.storage, &self.metadata, &self.schema, columns, of_images)?;
        match columns.leaves().iter().find(|leaf| self.encrypted.contains(leaf)) {
            None => Ok(columns),
            Some(leaf) => Err(PipelineError::Column {
                file: self.name.to_string(),
                column: columns.leaf_name(*leaf),
                reason: "is encrypted, and encrypted columns are not read; write it without encryption".into(),
            }),
        }
    }
}

/// Opens files, several at a time: footers are small, and waiting for each in turn is most of it. The first error in the order of
/// the files is told.
fn open_together(files: &[(String, Storage)]) -> Result<Vec<DataFile>, PipelineError> {
    const TOGETHER: usize = 8;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut opened = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((name, storage)) = files.get(index) else { return opened };
            opened.push((index, DataFile::open(name, storage)));
        }
    };
    let mut opened: Vec<(usize, Result<DataFile, PipelineError>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..files.len().min(TOGETHER)).map(|_| scope.spawn(work)).collect();
        let mut opened = work();
        for thread in threads {
            match thread.join() {
                Ok(others) => opened.extend(others),
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }
        opened
    });
    opened.sort_by_key(|(index, _)| *index);
    opened.into_iter().map(|(_, file)| file).collect()
}

/// A footer may claim any sizes, so their sum does not overflow.
fn total(sizes: impl Iterator<Item = i64>) -> u64 {
    sizes.fold(0, |sum, size| sum.saturating_add(size.max(0) as u64))
}
