use std::path::Path;

use millstream_schemas::RowId;

/// What the rows of a dataset are called.
pub(super) enum RowNames {
    /// As they were read, in their order, with why one cannot be used where that is known.
    Read(Vec<(String, Option<String>)>),
    /// By their places in Parquet files.
    Places,
}

impl RowNames {
    /// Why a row cannot be used, where that is known before it is looked at.
    pub(super) fn reason(&self, row: &RowId) -> Option<String> {
        match self {
            Self::Read(names) => names.get(row.row as usize)?.1.clone(),
            Self::Places => None,
        }
    }

    /// What a row is called, and the same without its folder, as a name for files.
    pub(super) fn of(&self, row: &RowId) -> (String, String) {
        match self {
            Self::Read(names) => {
                let name = names.get(row.row as usize).map(|(name, _)| name.clone()).unwrap_or_default();
                let file =
                    Path::new(&name).file_name().map_or_else(|| name.clone(), |file| file.to_string_lossy().into());
                (name, file)
            }
            Self::Places => {
                let stem = Path::new(&*row.file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
                (row.to_string(), format!("{stem}-{}-{}.row", row.row_group, row.row))
            }
        }
    }
}
