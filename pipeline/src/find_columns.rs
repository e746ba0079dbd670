//! Columns of a dataset by name and by what they hold, in every file alike.

use arrow_schema::{DataType, Schema};
use millstream_schemas::features::{ImageStorage, image_storage, only_a_path};
use millstream_schemas::{Feature, Features, SchemaError, shown, shown_up_to};

use crate::sources::Holds;
use crate::{DataFile, Dataset, PipelineError};

/// Candidates that a message lists.
const MOST_LISTED: usize = 20;

impl Dataset {
    /// What a column is taken for, which must be the same in every file. Numbers of different widths go together, as do
    /// binary values and strings that lie differently in memory.
    ///
    /// # Errors
    /// It is missing in some file, occurs twice, or holds none of what is wanted (`wanted` says it in words).
    pub(crate) fn holds(&self, column: &str, wanted: &str, takes: &[Holds]) -> Result<Holds, PipelineError> {
        let mut first: Option<Holds> = None;
        for file in self.files_with_rows() {
            let data_type = column_type(file, column)?;
            let Some(found) = Holds::of(data_type).filter(|found| takes.contains(found)) else {
                if only_a_path(data_type) {
                    return Err(paths_are_not_followed(file, column));
                }
                return Err(PipelineError::Schema(SchemaError::ColumnType {
                    file: file.name.to_string(),
                    column: shown(column),
                    wanted: wanted.into(),
                    got: shown_up_to(data_type.to_string(), 200),
                }));
            };
            match first {
                Some(first) if first != found => {
                    let differs =
                        |of: Holds, data_type: &DataType| format!("{} ({})", of.name(), shown(data_type.to_string()));
                    return Err(PipelineError::SchemaDrift {
                        first: self.first().name.to_string(),
                        second: file.name.to_string(),
                        column: shown(column),
                        wanted: differs(first, column_type(self.first(), column)?),
                        got: differs(found, data_type),
                    });
                }
                _ => first = Some(found),
            }
        }
        Ok(first.expect("a dataset has a file with rows"))
    }

    /// The only column that holds images, or else the only one that holds text, apart from `besides`.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub(crate) fn only_input(&self, besides: &str) -> Result<(String, Holds), PipelineError> {
        // plain binary values may be anything, a text beside them is one
        let declared = self.features().columns.iter().any(|(_, feature)| matches!(feature, Feature::Image(_)));
        let order = if declared { [Holds::Bytes, Holds::Text] } else { [Holds::Text, Holds::Bytes] };
        for holds in order {
            if let Some(column) = self.only(holds, besides)? {
                return Ok((column, holds));
            }
        }
        let fields = self.arrow_schema().fields();
        if let Some(field) = fields.iter().find(|field| only_a_path(field.data_type())) {
            return Err(paths_are_not_followed(self.first(), field.name()));
        }
        Err(self.which_input("there is no image or text column".into()))
    }

    /// The only column that holds images or text, apart from `besides`; `None` where there is none.
    ///
    /// # Errors
    /// There are several.
    pub(crate) fn only(&self, holds: Holds, besides: &str) -> Result<Option<String>, PipelineError> {
        let columns = match holds {
            Holds::Bytes => self.image_columns(),
            Holds::Text => self.columns_of(|_, feature| *feature == Feature::Text),
            Holds::Numbers | Holds::Lists => Vec::new(),
        };
        match columns.into_iter().filter(|name| *name != besides).collect::<Vec<_>>().as_slice() {
            [] => Ok(None),
            [only] => Ok(Some((*only).to_owned())),
            several => {
                let several: Vec<_> =
                    several.iter().take(MOST_LISTED).map(|name| format!("`{}`", shown(name))).collect();
                Err(self.which_input(format!("there are several: {}", several.join(", "))))
            }
        }
    }

    /// The columns that may hold images, in file order: those that say so by their type or by metadata; where none does, those of plain
    /// binary values of any length.
    pub fn image_columns(&self) -> Vec<&str> {
        let declared = self.columns_of(|_, feature| matches!(feature, Feature::Image(_)));
        if !declared.is_empty() {
            return declared;
        }
        let is_plain = |name: &str| {
            let field = self.arrow_schema().field_with_name(name).ok();
            // hashes and identities have one length, and images do not
            let kind =
                field.map(|field| field.data_type()).filter(|kind| !matches!(kind, DataType::FixedSizeBinary(_)));
            kind.and_then(image_storage) == Some(ImageStorage::Binary)
        };
        self.columns_of(|name, _| is_plain(name))
    }

    fn columns_of(&self, is: impl Fn(&str, &Feature) -> bool) -> Vec<&str> {
        let columns = self.features().columns.iter().filter(|(name, feature)| is(name, feature));
        columns.map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn which_input(&self, reason: String) -> PipelineError {
        PipelineError::WhichInput { file: self.first().name.to_string(), reason }
    }

    /// The first file that has rows.
    pub(crate) fn first(&self) -> &DataFile {
        self.files_with_rows().next().expect("a dataset has rows")
    }

    fn files_with_rows(&self) -> impl Iterator<Item = &DataFile> {
        self.files().iter().filter(|file| file.has_rows())
    }
}

/// The type of a column that a file must have, once.
fn column_type<'a>(file: &'a DataFile, column: &str) -> Result<&'a DataType, PipelineError> {
    let schema: &Schema = file.schema();
    let mut fields = schema.fields().iter().filter(|field| field.name() == column);
    let Some(field) = fields.next() else {
        let missing = Features::from_arrow(schema, &file.name)?.require(column, &file.name).err();
        return Err(missing.expect("the schema has no such column").into());
    };
    if fields.next().is_some() {
        let reason = "occurs twice, so it cannot be told which is meant; rename one".into();
        return Err(PipelineError::Column { file: file.name.to_string(), column: shown(column), reason });
    }
    Ok(field.data_type())
}

fn paths_are_not_followed(file: &DataFile, column: &str) -> PipelineError {
    let reason = "holds paths of image files, and paths are not followed: write the files themselves into the column, as \
                  `bytes` (in the `datasets` library, `embed_table_storage` or `push_to_hub` do it)";
    PipelineError::Column { file: file.name.to_string(), column: shown(column), reason: reason.into() }
}
