//! Rows that are trained on and evaluated on alike: what is measured on them says nothing of rows never seen.

use millstream_pipeline::encodings::View;
use millstream_pipeline::{Dataset, SharedFile, SharedRows};
use millstream_schemas::{TensorRole, count, grouped, shown_path};

use crate::RecipeError;
use crate::row_source::RowSource;

/// Data of either side beyond this are not compared row by row: `check` is to answer soon.
const MOST_BYTES: u64 = 4 << 30;
/// The same of `train`, whose first step is not to wait for it: what takes a tenth of a second from a disk.
const MOST_BYTES_BEFORE_TRAINING: u64 = 64 << 20;
/// Files that a message names.
const MOST_NAMED: usize = 3;

/// Refuses files that are on both sides, unless that was asked for; then says so.
/// `place` names the rows to evaluate on.
pub(crate) fn of_files(
    train: &Dataset,
    evaluate: &Dataset,
    place: &str,
    allowed: bool,
) -> Result<Option<String>, RecipeError> {
    let shared = train.shared_files(evaluate)?;
    if shared.is_empty() {
        return Ok(None);
    }
    let described = describe(&shared, evaluate.files().len());
    match allowed {
        true => Ok(Some(format!("{place}: {described}: rows that are trained on are measured"))),
        false => Err(RecipeError::mismatch(
            place,
            format!(
                "{described}, and how well a model does on rows that it was trained on says nothing of others; name other \
                 files, or ask for it by `data.allow_overlap: true`"
            ),
        )),
    }
}

/// Says which files are copies of others of the same split.
pub(crate) fn copies(dataset: &Dataset) -> Result<Option<String>, RecipeError> {
    let copies = dataset.copies()?;
    let named: Vec<String> = copies
        .iter()
        .take(MOST_NAMED)
        .map(|file| format!("{} of {}", shown_path(&*file.second), shown_path(&*file.first)))
        .collect();
    let more = if copies.len() > MOST_NAMED { ", …" } else { "" };
    Ok(match copies.len() {
        0 => None,
        1 => Some(format!(
            "a file is a copy of another, or the same under two names, and its rows count twice: {}",
            named[0]
        )),
        several => {
            let files = count(several, "file");
            Some(format!(
                "{files} are copies of others, or the same under other names, and their rows count again: {}{more}",
                named.join(", ")
            ))
        }
    })
}

/// `2 of 3 files are files of data.train (a.parquet, b.parquet)`.
fn describe(shared: &[SharedFile], of: usize) -> String {
    let copies = shared.iter().filter(|file| file.is_copy).count();
    let named = shared.iter().take(MOST_NAMED).map(|file| match file.first == file.second {
        true => shown_path(&*file.second),
        false => format!("{} as {}", shown_path(&*file.second), shown_path(&*file.first)),
    });
    let mut named: Vec<String> = named.collect();
    if shared.len() > MOST_NAMED {
        named.push("…".into());
    }
    let are = if shared.len() == 1 { "is" } else { "are" };
    let what = match copies {
        0 => "trained on too",
        copies if copies == shared.len() => "copied from the training files, byte by byte",
        _ => "trained on too or copied from the training files",
    };
    format!("{} of {} {are} {what} ({})", shared.len(), count(of as u64, "file"), named.join(", "))
}

/// How many evaluation rows have an image or a text that is trained on, byte by byte.
pub(crate) fn of_rows(train: &RowSource, evaluate: &RowSource) -> Result<SharedRows, RecipeError> {
    compared(train, evaluate, MOST_BYTES)
}

fn compared(train: &RowSource, evaluate: &RowSource, most_bytes: u64) -> Result<SharedRows, RecipeError> {
    let [ours, theirs] = [train, evaluate].map(|source| source.encoders.columns_of(TensorRole::Input));
    Ok(train.dataset.shared_rows(&ours, &evaluate.dataset, &theirs, most_bytes)?)
}

/// That some are trained on too; nothing where none is among the first, which alone are compared before a training.
///
/// # Errors
/// The rows cannot be read.
pub(crate) fn some_in_words(train: &RowSource, evaluate: &RowSource) -> Result<Option<String>, RecipeError> {
    let rows = compared(train, evaluate, MOST_BYTES_BEFORE_TRAINING)?;
    Ok(if rows.shared > 0 { in_words(&rows, train, evaluate) } else { None })
}

/// What to say of them.
pub(crate) fn in_words(rows: &SharedRows, train: &RowSource, evaluate: &RowSource) -> Option<String> {
    let input = train.encoders.shown_input().map(|(_, view)| view);
    shared_in_words(rows, input, [train.dataset.rows(), evaluate.dataset.rows()])
}

/// Which rows were compared, where those are not all that there are to train on and to evaluate on: ` (of 90 training rows the first 20
/// were compared)`.
pub(crate) fn compared_in_words(rows: &SharedRows, all: [u64; 2]) -> String {
    let [train, evaluate] = all;
    let cut = [(rows.first, train, "training row"), (rows.second, evaluate, "evaluation row")];
    let cut = cut.into_iter().filter(|(compared, all, _)| compared < all);
    let cut: Vec<String> = cut
        .map(|(compared, all, noun)| match compared {
            0 => format!("of {} none", count(all, noun)),
            _ => format!("of {} the first {}", count(all, noun), grouped(compared)),
        })
        .collect();
    if cut.is_empty() { String::new() } else { format!(" ({} were compared)", cut.join(" and ")) }
}

/// The same of rows that are shown so, of so many to train on and to evaluate on.
fn shared_in_words(rows: &SharedRows, input: Option<View>, all: [u64; 2]) -> Option<String> {
    let (kind, inputs) = match input {
        Some(View::Text) => ("a text", "a text that is"),
        Some(View::Image) => ("an image", "an image that is"),
        _ => ("the inputs", "inputs that are"),
    };
    let looked_at = compared_in_words(rows, all);
    match rows.shared {
        0 if looked_at.is_empty() => None,
        0 => Some(format!("no evaluation row has {kind} of a training row{looked_at}")),
        shared => {
            let has = if shared == 1 { "has" } else { "have" };
            let of = count(rows.second, "evaluation row");
            Some(format!("{shared} of {of} {has} {inputs} trained on too, byte by byte{looked_at}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_trained_on_too_are_told_in_one_number_and_in_several() {
        let said = |shared: u64, input: Option<View>, all: u64| {
            shared_in_words(&SharedRows { shared, first: 20, second: 8 }, input, [all, 8])
        };
        for (shared, input, wanted) in [
            (1, None, "1 of 8 evaluation rows has inputs that are trained on too, byte by byte"),
            (3, None, "3 of 8 evaluation rows have inputs that are trained on too, byte by byte"),
            (1, Some(View::Text), "1 of 8 evaluation rows has a text that is trained on too, byte by byte"),
            (2, Some(View::Image), "2 of 8 evaluation rows have an image that is trained on too, byte by byte"),
        ] {
            assert_eq!(said(shared, input, 20).as_deref(), Some(wanted));
        }
        assert_eq!(said(0, None, 20), None);
        let wanted =
            "no evaluation row has the inputs of a training row (of 90 training rows the first 20 were compared)";
        assert_eq!(said(0, None, 90).as_deref(), Some(wanted));
    }

    #[test]
    fn evaluation_rows_that_were_not_compared_are_told() {
        let said = |shared: u64, second: u64, all: [u64; 2]| {
            shared_in_words(&SharedRows { shared, first: 20, second }, None, all).unwrap()
        };
        for (shared, second, all, wanted) in [
            (
                3,
                512,
                [20, 10_000],
                "3 of 512 evaluation rows have inputs that are trained on too, byte by byte (of 10,000 evaluation rows the first \
                 512 were compared)",
            ),
            (
                0,
                512,
                [90, 10_000],
                "no evaluation row has the inputs of a training row (of 90 training rows the first 20 and of 10,000 evaluation \
                 rows the first 512 were compared)",
            ),
            (
                0,
                0,
                [20, 10_000],
                "no evaluation row has the inputs of a training row (of 10,000 evaluation rows none were compared)",
            ),
        ] {
            assert_eq!(said(shared, second, all), wanted);
        }
    }

    #[test]
    fn shared_files_are_named_and_counted() {
        let file =
            |first: &str, second: &str, is_copy| SharedFile { first: first.into(), second: second.into(), is_copy };
        for (shared, of, wanted) in [
            (vec![file("a", "a", false)], 1, "1 of 1 file is trained on too (a)"),
            (
                vec![file("a", "a", false), file("b", "c", true)],
                3,
                "2 of 3 files are trained on too or copied from the training files (a, c as b)",
            ),
            (vec![file("a", "b", true)], 2, "1 of 2 files is copied from the training files, byte by byte (b as a)"),
            (vec![file("a", "a", false); 5], 5, "5 of 5 files are trained on too (a, a, a, …)"),
        ] {
            assert_eq!(describe(&shared, of), wanted);
        }
    }
}
