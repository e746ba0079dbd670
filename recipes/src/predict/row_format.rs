use std::str::FromStr;

use millstream_schemas::shown;

use crate::table_records::TableFormat;

/// How the rows of a source are written whose name does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// A text a line.
    Text,
    /// Fields between commas, under a heading; between semicolons or tabs, where the heading has some and no comma.
    Csv,
    /// Fields between tabs, under a heading.
    Tsv,
    /// A JSON object a line.
    JsonLines,
}

impl RowFormat {
    /// All that can be asked for.
    pub const ALL: [Self; 4] = [Self::Text, Self::Csv, Self::Tsv, Self::JsonLines];

    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::JsonLines => "jsonl",
        }
    }

    /// Of a table.
    pub(super) fn table(self) -> Option<TableFormat> {
        match self {
            Self::Text => None,
            Self::Csv => Some(TableFormat::Delimited(b',')),
            Self::Tsv => Some(TableFormat::Delimited(b'\t')),
            Self::JsonLines => Some(TableFormat::JsonLines),
        }
    }
}

impl FromStr for RowFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|own| own.name() == text);
        known.ok_or_else(|| format!("`{}` is none of `text`, `csv`, `tsv` and `jsonl`", shown(text)))
    }
}
