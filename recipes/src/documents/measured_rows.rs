//! How many rows of a split a figure was measured on, in words.

use millstream_schemas::{count, grouped};

/// `the 140 rows of the split evaluate`, or how many of them were measured. `are_drawn`: where the recipe takes some of them alone.
pub(super) fn rows_of(split: &str, rows: u64, measured: Option<u64>, are_drawn: bool) -> String {
    let all = count(rows, "row");
    match measured.filter(|measured| *measured != rows) {
        None => format!("the {all} of the split {split}"),
        Some(some) => {
            let why = match are_drawn {
                true => "were not drawn (`evaluation.rows`), have no usable target, or could not be read",
                false => "have no usable target, or could not be read",
            };
            format!("{} of the {all} of the split {split}: the others {why}", grouped(some))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_not_measured_do_not_make_the_card_contradict_itself() {
        assert_eq!(rows_of("evaluate", 84, Some(84), false), "the 84 rows of the split evaluate");
        assert_eq!(rows_of("evaluate", 84, None, true), "the 84 rows of the split evaluate");
        let said = rows_of("evaluate", 84, Some(83), false);
        assert!(
            said.starts_with("83 of the 84 rows of the split evaluate: the others have no usable target"),
            "{said}"
        );
        let said = rows_of("night", 84, Some(16), true);
        assert!(said.starts_with("16 of the 84 rows of the split night: the others were not drawn"), "{said}");
    }
}
