use arrow_schema::DataType;
use millstream_schemas::features::{image_storage, is_text};

use crate::error::Damage;

/// Which columns play which role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Column with the model's input.
    pub input: String,
    /// What it holds.
    pub kind: InputKind,
    /// Column with the class; `None` for data without labels.
    pub label: Option<String>,
    /// Class names by index, as the data have them. To read one dataset with the classes of another (evaluation with
    /// those of training), put the other's here: names are looked up in this list.
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

impl InputKind {
    /// What is wrong with a row without input.
    pub(crate) fn null(self) -> Damage {
        match self {
            Self::Image => Damage::NoImageBytes,
            Self::Text => Damage::NullInput,
        }
    }

    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            data_type if is_text(data_type) => Some(Self::Text),
            data_type => image_storage(data_type).map(|_| Self::Image),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Image => "an image",
            Self::Text => "text",
        }
    }
}
