//! What the masks of a column hold.

use millstream_pipeline::decode::{self, PixelNumbers};
use millstream_pipeline::{Dataset, Value};
use millstream_schemas::{count, shown};

use super::most_rows::MOST_ROWS;
use crate::RecipeError;

/// Of pixels without a class, as in the PASCAL VOC masks.
const VOID: u8 = 255;

/// The classes of the pixels of masks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Masks {
    pub(super) classes: Vec<String>,
    /// The values of the pixels of each class; empty where they are 0, 1, 2, ….
    pub(super) values: Vec<u8>,
    /// Whether something says what the classes are called.
    pub(super) is_named: bool,
    /// Whether the model gives one score for each pixel, and there are two classes.
    pub(super) is_one_score: bool,
    /// Masks that were looked at.
    pub(super) looked_at: usize,
}

impl Masks {
    /// Looks at the masks of a column. `scores` is how many classes the model tells, one score being that of the second of two, `names`
    /// what they are called, where that is known.
    ///
    /// # Errors
    /// They cannot be read, or are no masks.
    pub(super) fn of(
        dataset: &Dataset,
        column: &str,
        scores: Option<usize>,
        names: &[String],
    ) -> Result<Self, RecipeError> {
        let (mut seen, mut looked_at, mut rows) = ([false; 256], 0_usize, 0_usize);
        let wrong = dataset.find_row(&[column.to_owned()], |row| {
            rows += 1;
            let Value::Bytes(bytes) = row.get(0) else { return (rows >= MOST_ROWS).then_some(None) };
            let numbers = match decode::header(bytes) {
                Ok(header) => PixelNumbers::read(&header, bytes),
                Err(error) => Err(format!("cannot be read: {error}")),
            };
            match numbers {
                Ok(mask) => mask.numbers.iter().for_each(|value| seen[usize::from(*value)] = true),
                Err(reason) => return Some(Some(reason)),
            }
            looked_at += 1;
            (rows >= MOST_ROWS).then_some(None)
        })?;
        if let Some(Some(reason)) = wrong {
            let message = format!("the mask in column `{}` of row {} {reason}", shown(column), rows - 1);
            return Err(RecipeError::mismatch("DATA", message));
        }
        let seen: Vec<u8> = (0..=255).filter(|value| seen[usize::from(*value)]).collect();
        let is_whole = rows as u64 >= dataset.rows();
        let is_one_score = scores == Some(1);
        let scores = if is_one_score { Some(2) } else { scores };
        let (count_of, values) = numbering(&seen, scores, is_whole).map_err(|reason| {
            let message = format!("the masks in column `{}` {reason} (of {})", shown(column), count(looked_at, "mask"));
            RecipeError::mismatch("DATA", message)
        })?;
        let is_named = names.len() == count_of;
        let is_one_score = is_one_score && count_of == 2;
        let classes = match (is_named, values.as_slice()) {
            (true, _) => names.to_vec(),
            (false, values) if is_one_score || values.len() == 2 => vec!["background".into(), "foreground".into()],
            (false, values) => {
                let value = |class: usize| values.get(class).copied().map_or(class, usize::from);
                (0..count_of).map(|class| format!("class {}", value(class))).collect()
            }
        };
        Ok(Self { classes, values, is_named, is_one_score, looked_at })
    }
}

/// How many classes there are, and the values of their pixels where these are not 0, 1, 2, ….
fn numbering(seen: &[u8], scores: Option<usize>, is_whole: bool) -> Result<(usize, Vec<u8>), String> {
    let numbered: Vec<u8> = seen.iter().copied().filter(|value| *value != VOID).collect();
    let has_void = numbered.len() < seen.len();
    match (numbered.as_slice(), has_void) {
        ([], _) => Err("have no pixel of any class".into()),
        // two colours, black and white
        ([0], true) => Ok((2, vec![0, VOID])),
        ([only], _) => Err(format!("have pixels of {only} alone, and two classes are needed")),
        ([.., largest], _) => {
            let upto = usize::from(*largest) + 1;
            match scores {
                // rows that were not looked at may have the others
                Some(scores) if upto <= scores && (!is_whole || upto == scores) => Ok((scores, Vec::new())),
                Some(scores) if numbered.len() == scores && upto > scores => Ok((scores, numbered)),
                Some(scores) if has_void && seen.len() == scores && upto > scores => Ok((scores, seen.to_vec())),
                // greys that stand for classes have gaps
                _ if upto > 2 * numbered.len() && upto > 32 => {
                    let values = if has_void { seen.to_vec() } else { numbered };
                    Ok((values.len(), values))
                }
                _ => Ok((upto, Vec::new())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_counted_from_the_values_of_pixels() {
        for (seen, scores, is_whole, wanted) in [
            (&[0, 1, 2][..], None, true, Some((3, vec![]))),
            (&[0, 1, 2, 255], Some(21), true, Some((3, vec![]))),
            (&[0, 1, 2, 255], Some(21), false, Some((21, vec![]))),
            (&[0, 255], Some(2), true, Some((2, vec![0, 255]))),
            (&[0, 255], None, true, Some((2, vec![0, 255]))),
            (&[0, 128, 255], Some(3), true, Some((3, vec![0, 128, 255]))),
            (&[0, 38, 75, 113], Some(1000), true, Some((4, vec![0, 38, 75, 113]))),
            (&[1, 2, 3], Some(3), true, Some((3, vec![1, 2, 3]))),
            (&[1, 2, 3], Some(21), true, Some((4, vec![]))),
            (&[0, 5], None, true, Some((6, vec![]))),
            (&[], None, true, None),
            (&[255], None, true, None),
            (&[0], Some(2), true, None),
            (&[7, 255], None, true, None),
        ] {
            assert_eq!(numbering(seen, scores, is_whole).ok(), wanted, "{seen:?} {scores:?}");
        }
    }
}
