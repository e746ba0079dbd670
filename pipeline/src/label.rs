//! Labels as stored, checked against the classes.

use crate::Columns;
use crate::error::Damage;
use crate::sources::LabelValue;

/// The class of a row; −1 for unlabelled.
pub(crate) fn class(value: LabelValue, columns: &Columns) -> Result<i64, Damage> {
    let classes = columns.classes.len();
    match value {
        LabelValue::Class(-1) => Ok(-1),
        LabelValue::Class(label) if usize::try_from(label).is_ok_and(|label| label < classes) => Ok(label),
        LabelValue::Class(label) => Err(Damage::LabelOutOfRange { label: label.into(), classes }),
        LabelValue::Beyond(label) => Err(Damage::LabelOutOfRange { label: label.into(), classes }),
        LabelValue::NotWhole(label) => Err(Damage::LabelNotWhole { label }),
        LabelValue::Null => Err(Damage::NullLabel),
        LabelValue::Unknown(label) => Err(Damage::UnknownLabel { label: label.into(), classes }),
    }
}
