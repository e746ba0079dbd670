use std::fmt;
use std::sync::Arc;

use millstream_schemas::choice::{ChoiceError, Options, Row, Shared, read_shared, schema_of_shared};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::encoder::Encoder;
use crate::sources::Holds;
use crate::{Dataset, PipelineError};

/// A row: a way from columns to tensors that a recipe can choose.
#[derive(Clone, Copy, Debug)]
pub struct EncodingKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Markdown: the tensors it makes, and what it does with values that are missing.
    pub documentation: &'static str,
    /// Options in JSON that make sense and cover the encoding.
    pub samples: &'static [&'static str],
    /// What its columns must hold.
    pub takes: &'static [Holds],
    /// The most columns it reads.
    pub most_columns: usize,
    /// Its options, and the encoder that is made of them.
    pub build: Build,
}

impl EncodingKind {
    /// Options with every default filled in, as an encoding that is open has them.
    ///
    /// # Errors
    /// They make no sense.
    pub fn with_defaults(&self, options: &Json) -> Result<Json, ChoiceError> {
        (self.build.read)(options, self.name).map(|read| read.whole)
    }

    /// How a program that knows no encodings makes an input of it: as [`EncodingOptions::by_hand`], of options as an encoding that is open
    /// has them.
    ///
    /// # Errors
    /// The options make no sense.
    pub fn by_hand(&self, options: &Json, columns: &[String], learned: &Json) -> Result<ByHand, ChoiceError> {
        (self.build.by_hand)(options, columns, learned)
    }
}

impl Row for EncodingKind {
    const KIND: &'static str = "encoding";

    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> &str {
        self.summary
    }

    fn schema(&self) -> Json {
        (self.build.schema)(&json!({}))
    }

    fn accepts(&self, options: &Json) -> bool {
        (self.build.read)(options, "").is_ok()
    }
}

/// What an encoder is made from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Name of the tensor, for messages; where several are made, their names begin with it.
    pub tensor: &'a str,
    /// The rows.
    pub dataset: &'a Dataset,
    /// The columns; they are there in every file, and hold what the kind takes.
    pub columns: &'a [String],
    /// Names of the model's inputs, where they are known: tensors that it does not take need not be made.
    pub inputs: &'a [String],
    /// What an encoder of other rows has learned ([`Encoder::learned`]): these are to be read alike, and an encoder that then says
    /// that it has learned something else is refused.
    pub learned: Option<&'a Json>,
}

/// How an input is made by a program that knows no encodings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByHand {
    /// Sentences in plain text: what its numbers are, and what becomes of a value that is missing.
    pub said: Vec<String>,
    /// What the places of its last axis stand for, or its whole numbers from 0, in their order; nothing where that is said otherwise.
    pub places: Vec<String>,
}

/// Options of an encoding, from which an encoder is made.
pub trait EncodingOptions: Options {
    /// Makes the encoder.
    ///
    /// # Errors
    /// The columns do not hold what is wanted, or cannot be read.
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError>;

    /// How an input is made by a program that knows no encodings: of these columns, with what was learned of the training rows
    /// ([`Encoder::learned`]). Where nothing is said, the documentation of the encoding stands in its place.
    fn by_hand(&self, columns: &[String], learned: &Json) -> ByHand {
        let _ = (columns, learned);
        ByHand::default()
    }
}

/// The options of an encoding, and how its encoder is made.
#[derive(Clone, Copy)]
pub struct Build {
    schema: fn(&Json) -> Json,
    pub(super) read: fn(&Json, &str) -> Result<Read, ChoiceError>,
    by_hand: fn(&Json, &[String], &Json) -> Result<ByHand, ChoiceError>,
}

/// Options that were read.
pub(super) struct Read {
    pub(super) columns: Vec<String>,
    /// Every default filled in.
    pub(super) whole: Json,
    pub(super) open: Arc<Open>,
}

/// Makes an encoder with options that were read.
pub(super) type Open = dyn Fn(&Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> + Send + Sync;

impl Build {
    /// An encoder with the options `T`.
    pub const fn of<T: EncodingOptions + Send + Sync + 'static>() -> Self {
        Self {
            schema: schema_of_shared::<ReadsColumns, T>,
            read: |options, place| {
                let Shared { shared, own, whole } = read_shared::<ReadsColumns, T>(options, place, &json!({}))?;
                let columns = shared.column.map_or_else(Vec::new, Columns::into_vec);
                Ok(Read { columns, whole, open: Arc::new(move |source: &Source<'_>| own.open(source)) })
            },
            by_hand: |options, columns, learned| {
                let read = read_shared::<ReadsColumns, T>(options, "", &json!({}))?;
                Ok(read.own.by_hand(columns, learned))
            },
        }
    }
}

impl fmt::Debug for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Build").finish_non_exhaustive()
    }
}

/// What every encoding has beside its own options.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReadsColumns {
    /// The column or columns; by itself the only one that the encoding can read.
    #[serde(default)]
    column: Option<Columns>,
}

/// One column, or several.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Columns {
    One(String),
    Several(Vec<String>),
}

impl Columns {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(column) => vec![column],
            Self::Several(columns) => columns,
        }
    }
}

impl Options for ReadsColumns {
    fn validate(&self) -> Result<(), String> {
        match &self.column {
            Some(Columns::Several(columns)) if columns.is_empty() => Err("column names none".into()),
            Some(Columns::Several(columns)) => {
                match columns.iter().enumerate().find(|(i, c)| columns[..*i].contains(c)) {
                    Some((_, twice)) => Err(format!("column names `{}` twice", millstream_schemas::shown(twice))),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
