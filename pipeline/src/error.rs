use std::path::{Path, PathBuf};

use millstream_schemas::recipe::ByteSize;
use millstream_schemas::{ChoiceError, RowId, SchemaError, count, shown, shown_path, shown_up_to};
use millstream_transforms::TransformError;

use crate::decode::DecodeError;

/// What can go wrong between storage and batches.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A path or pattern that matches nothing.
    #[error("no Parquet file matches `{pattern}`{}: {reason}", in_folder(.pattern, .base))]
    NoFiles {
        /// As it was asked for.
        pattern: String,
        /// The folder that relative patterns start from.
        base: PathBuf,
        /// What was looked at.
        reason: String,
    },
    /// The system refused a file or folder.
    #[error("cannot read {}", shown_path(.path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something among the files of a dataset that cannot be one of them, and must not be passed over.
    #[error("{}: {reason}", shown_path(.path))]
    Entry {
        /// The file, folder or link.
        path: PathBuf,
        /// What it is instead, and what to do.
        reason: String,
    },
    /// Files whose names count them are not all there.
    #[error(
        "{}: {missing} {}: the names count {} and {} here; fetch the rest, or name single files",
        shown_path(.folder), if .missing.contains(", ") { "are missing" } else { "is missing" }, count(u64::from(*.of), "file"),
        if *.here == 1 { "1 is".to_owned() } else { format!("{here} are") }
    )]
    MissingShards {
        /// The folder they should be in.
        folder: PathBuf,
        /// Their names, the first few.
        missing: String,
        /// How many are there.
        here: usize,
        /// How many there should be.
        of: u32,
    },
    /// A folder with splits, none of which fits what the rows are for.
    #[error("{}: no split {wanted} for it: it has {there}; name the files by a pattern", shown_path(.folder))]
    NoSplit {
        /// The folder.
        folder: PathBuf,
        /// The splits that would do.
        wanted: String,
        /// The splits that there are.
        there: String,
    },
    /// A column that cannot be used as it is.
    #[error("{}: column `{column}` {reason}", shown_path(.file))]
    Column {
        /// The Parquet file.
        file: String,
        /// The column, fit for a message.
        column: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A file whose footer is damaged, missing or beyond all reason.
    #[error("{}: not a readable Parquet file: {reason}", shown_path(.file))]
    Footer {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A column whose pages are compressed in a way that this build was made without.
    #[error(
        "{}: column `{}` is compressed with {codec}, which this build does not read; build millstream with its \
         feature `{codec}`", shown_path(.file), shown(.column)
    )]
    Codec {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Name of the codec, and of the feature that brings it.
        codec: &'static str,
    },
    /// A row group whose data is damaged.
    #[error("{}, row group {row_group}: {reason}", shown_path(.file))]
    RowGroup {
        /// The file.
        file: String,
        /// Row group, from 0.
        row_group: u32,
        /// What the Parquet reader said.
        reason: String,
    },
    /// Damage that is not of single rows, where rows were to be left out.
    #[error("{0}; `data.damaged` leaves out single rows, and here a part of a file cannot be read")]
    DamagedPart(Box<PipelineError>),
    /// No rows at all.
    #[error("the dataset has no rows: {}, the first {}", count(*.files, "file"), shown_path(.first))]
    NoRows {
        /// How many files were opened.
        files: usize,
        /// The first of them.
        first: String,
    },
    /// Two files of one dataset have different columns.
    #[error("column `{column}` differs between files: {} has {wanted}, {} has {got}", shown_path(.first), shown_path(.second))]
    SchemaDrift {
        /// The first file of the dataset.
        first: String,
        /// The one that differs.
        second: String,
        /// The column.
        column: String,
        /// Its type in the first file.
        wanted: String,
        /// Its type in the other.
        got: String,
    },
    /// Columns or metadata that do not fit what is asked of them.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// An encoding that there is not, or options that it does not have.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// An encoding cannot be made for these rows.
    #[error("{source}")]
    Encoding {
        /// Where a recipe says it.
        place: String,
        /// Why not.
        source: Box<PipelineError>,
    },
    /// Rows cannot be read as the training rows were.
    #[error("`{}` would be made otherwise than in training: {reason}", shown(.tensor))]
    Learned {
        /// The tensor.
        tensor: String,
        /// What differs, and what to do.
        reason: String,
    },
    /// The input column cannot be told from the types.
    #[error("{}: which column is the input? {reason}; name it with `input`", shown_path(.file))]
    WhichInput {
        /// The first file of the dataset.
        file: String,
        /// None, or which several.
        reason: String,
    },
    /// More classes than anything here is made for.
    #[error("{}: column `{column}` has {reason}; it does not look like a class", shown_path(.file))]
    TooManyClasses {
        /// The first file of the dataset.
        file: String,
        /// The column.
        column: String,
        /// How many values, or which.
        reason: String,
    },
    /// A row that cannot be used, under the policy `fail`.
    #[error(
        "{}: {damage}; to go on without such rows, set `data.damaged` to `skip` or `quarantine` (`--set data.damaged=skip`)",
        row_in_words(.row, .image.as_deref())
    )]
    Damaged {
        /// The row.
        row: RowId,
        /// What its image is called, where the data say it.
        image: Option<String>,
        /// What is wrong with it.
        damage: Damage,
    },
    /// A row identity that is not in the dataset.
    #[error("{row}: there is no such row in the dataset")]
    NoSuchRow {
        /// The row that was asked for.
        row: RowId,
    },
    /// An image that ends at another size than the rest of its batch.
    #[error(
        "{row}: the image ends at {got_width}×{got_height} pixels, the batch is made for {wanted_width}×{wanted_height}; \
         end the transforms with one that fixes the size, such as `resize`"
    )]
    ImageSize {
        /// The row.
        row: RowId,
        /// Width of the first image, or of the chain's output.
        wanted_width: u32,
        /// Its height.
        wanted_height: u32,
        /// Width of this row's image.
        got_width: u32,
        /// Its height.
        got_height: u32,
    },
    /// A transform refused a row.
    #[error("{row}")]
    Transform {
        /// The row.
        row: RowId,
        /// What it said.
        source: TransformError,
    },
    /// A transform refused a batch.
    #[error("the batch of epoch {} that begins at row {} of its order (both from 1)", .epoch + 1, .position + 1)]
    BatchTransform {
        /// Epoch, from 0.
        epoch: u64,
        /// Position of its first row in the epoch's order.
        position: u64,
        /// What it said.
        source: TransformError,
    },
    /// The ceiling on memory does not hold one unit of work.
    #[error(
        "the memory ceiling of {ceiling} is too small: {what} needs {needed}; set `data.memory` to at least {enough}"
    )]
    Memory {
        /// The ceiling.
        ceiling: ByteSize,
        /// What did not fit.
        what: String,
        /// Its bytes.
        needed: ByteSize,
        /// A ceiling that would do for it.
        enough: ByteSize,
    },
    /// A stream's part of a shared ceiling on memory does not hold one unit of work.
    #[error(
        "{} is too small: {what} needs {needed}{}; set `data.memory` to at least {enough}{}",
        shared_ceiling(*.ceiling, *.streams),
        if *.streams > 1 { " of one part" } else { "" },
        if *.streams > 1 { ", or work on fewer at a time (`--parallel`)" } else { "" }
    )]
    SharedMemory {
        /// The ceiling.
        ceiling: ByteSize,
        /// The streams that it is divided among; one where runs come one after the other.
        streams: usize,
        /// What did not fit.
        what: String,
        /// Its bytes.
        needed: ByteSize,
        /// A ceiling that would do for it.
        enough: ByteSize,
    },
    /// A stream takes larger images than fit under the ceiling that it shares.
    #[error(
        "streams share {shared} of memory, less than the {own} by which this one says which images are too large; share \
         at least {own}, or lower `data.memory`"
    )]
    SharedBelowOwn {
        /// The shared ceiling.
        shared: ByteSize,
        /// The stream's own.
        own: ByteSize,
    },
    /// As many streams share resources as can.
    #[error("resources are shared by {} already, as many as they are divided among; drop one first", count(*.streams as u64, "stream"))]
    AllPartsTaken {
        /// The streams that can.
        streams: usize,
    },
    /// A resume point of other data or settings.
    #[error("cannot resume: {what} changed since the resume point was written (then {then}, now {now})")]
    ResumeChanged {
        /// What differs, for example `the dataset`.
        what: &'static str,
        /// Its value or fingerprint in the resume point.
        then: String,
        /// Its value or fingerprint now.
        now: String,
    },
    /// An option that makes no sense.
    #[error("{option}: {reason}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Wanted and got.
        reason: String,
    },
    /// The quarantine file cannot be written.
    #[error("cannot write the quarantine file {}", shown_path(.path))]
    Quarantine {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A fault of this program, caught.
    #[error("{place}: internal fault: {message}")]
    Panicked {
        /// The row or file it was working on.
        place: String,
        /// The panic's message.
        message: String,
    },
    /// A thread or runtime could not be started.
    #[error("cannot start {what}")]
    Start {
        /// What for.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a row cannot be used.
///
/// Text that is not UTF-8 is not among them: the Parquet reader checks whole pages, so it refuses the row group.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The image does not decode.
    #[error("{0}")]
    Image(#[from] DecodeError),
    /// The text is null.
    #[error("the input is null")]
    NullInput,
    /// The image is null, or its bytes are.
    #[error("the input is null: there are no bytes of an image (a path alone is not followed)")]
    NoImageBytes,
    /// The image is larger than can be transformed.
    #[error("{0}")]
    Transform(TransformError),
    /// The image needs more memory than one image may have under the ceiling.
    #[error(
        "an image of {width}×{height} pixels needs {needed}, more than the memory ceiling of {ceiling} leaves for one; \
         `data.memory` of {enough} would do"
    )]
    Memory {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Bytes of decoding and rendering it.
        needed: ByteSize,
        /// The ceiling.
        ceiling: ByteSize,
        /// A ceiling that would do for it.
        enough: ByteSize,
    },
    /// A value that its encoding cannot use.
    #[error("column `{column}` {reason}")]
    Value {
        /// The column, fit for a message.
        column: String,
        /// What is wrong with the value, and what to do.
        reason: String,
    },
    /// The label is null.
    #[error("the label is null")]
    NullLabel,
    /// A class that the dataset does not have.
    #[error("label {label} is out of range: there are {classes} classes (0 to {}; −1 for unlabelled)", classes.saturating_sub(1))]
    LabelOutOfRange {
        /// As stored.
        label: i128,
        /// How many there are.
        classes: usize,
    },
    /// A number that no class can have.
    #[error("label {label} is no class: wanted a whole number")]
    LabelNotWhole {
        /// As stored.
        label: f64,
    },
    /// A class name that is not among the known ones.
    #[error("label `{}` is none of the {classes} classes", shown(.label))]
    UnknownLabel {
        /// As stored.
        label: String,
        /// How many there are.
        classes: usize,
    },
}

impl Damage {
    /// Whether it is of the label, and not of the input.
    pub(crate) fn is_of_label(&self) -> bool {
        matches!(
            self,
            Self::NullLabel | Self::LabelOutOfRange { .. } | Self::LabelNotWhole { .. } | Self::UnknownLabel { .. }
        )
    }

    /// That a value of a column cannot be used.
    pub(crate) fn value(column: &str, reason: String) -> Self {
        Self::Value { column: shown(column), reason }
    }

    /// Tells what is wrong with one row from what is wrong with the transforms, which is handed back.
    pub(crate) fn of_transform(error: TransformError) -> Result<Self, TransformError> {
        match error {
            error @ TransformError::ImageSize { .. } => Ok(Self::Transform(error)),
            error => Err(error),
        }
    }
}

/// A ceiling, and how many streams share it where there are several.
fn shared_ceiling(ceiling: ByteSize, streams: usize) -> String {
    match streams {
        0 | 1 => format!("the memory of {ceiling}"),
        _ => format!("the memory of {ceiling} that is shared by {}", count(streams as u64, "stream")),
    }
}

/// Where a path that is no whole one starts from.
fn in_folder(pattern: &str, base: &Path) -> String {
    if Path::new(pattern).is_absolute() { String::new() } else { format!(" in {}", shown_path(base)) }
}

/// A row, by what its image is called where the data say it, in words for a message.
pub fn row_in_words(row: &RowId, image: Option<&str>) -> String {
    image.map_or_else(|| row.to_string(), |image| format!("`{}` ({row})", shown(image)))
}

/// What a caught panic said.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let message = payload.downcast_ref::<&str>().copied();
    shown_up_to(message.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message"), 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_path_without_parquet_is_told_without_the_folder_that_others_start_from() {
        let told = |pattern: &str, base: &str| {
            PipelineError::NoFiles { pattern: pattern.into(), base: base.into(), reason: "it is empty".into() }
                .to_string()
        };
        assert_eq!(told("a/*.parquet", "/data"), "no Parquet file matches `a/*.parquet` in /data: it is empty");
        if cfg!(unix) {
            assert_eq!(told("/tmp/imp", "/"), "no Parquet file matches `/tmp/imp`: it is empty");
        }
    }
}
