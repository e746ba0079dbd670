//! How long the rows are, learned once before the first batch.

use std::thread;

use crate::encodings::Encoders;
use crate::error::panic_message;
use crate::sources::{LoadedRows, each_step};
use crate::{Dataset, PipelineError};

/// Of every row its length, in the order of the dataset; `None` where no input has rows of different lengths. One thread reads
/// and `workers` measure: what comes out does not depend on how many they are.
///
/// # Errors
/// The rows cannot be read.
pub(crate) fn row_lengths(
    dataset: &Dataset,
    encoders: &Encoders,
    workers: usize,
) -> Result<Option<Vec<u32>>, PipelineError> {
    let measure = |(rows, count): &(LoadedRows, usize)| -> Vec<Option<u32>> {
        (0..*count).map(|row| encoders.length(rows.row(row))).collect()
    };
    let mut steps: Vec<Vec<Option<u32>>> = Vec::new();
    if workers <= 1 {
        each(dataset, encoders, |step| {
            steps.push(measure(&step));
            true
        })?;
    } else {
        steps = measured_by_several(dataset, encoders, workers, &measure)?;
    }
    let any = steps.iter().flatten().any(Option::is_some);
    Ok(any.then(|| steps.into_iter().flatten().map(|length| length.unwrap_or(0)).collect()))
}

fn measured_by_several(
    dataset: &Dataset,
    encoders: &Encoders,
    workers: usize,
    measure: &(impl Fn(&(LoadedRows, usize)) -> Vec<Option<u32>> + Sync),
) -> Result<Vec<Vec<Option<u32>>>, PipelineError> {
    // Rows wait in a queue of a few steps, so that little memory is held.
    let (send, receive) = crossbeam_channel::bounded::<(usize, (LoadedRows, usize))>(workers);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                let receive = receive.clone();
                scope.spawn(move || receive.iter().map(|(number, step)| (number, measure(&step))).collect::<Vec<_>>())
            })
            .collect();
        drop(receive);
        let mut number = 0;
        let read = each(dataset, encoders, |step| {
            number += 1;
            // Nobody receives any more when all threads have panicked, which is told below.
            send.send((number - 1, step)).is_ok()
        });
        drop(send);
        let mut steps = vec![Vec::new(); number];
        for thread in threads {
            let measured = thread.join().map_err(|payload| PipelineError::Panicked {
                place: "the lengths of rows".into(),
                message: panic_message(&*payload),
            })?;
            measured.into_iter().for_each(|(number, lengths)| steps[number] = lengths);
        }
        read.map(|()| steps)
    })
}

/// Hands on all rows in order, some at a time, each with how many they are, until the answer is no.
fn each(
    dataset: &Dataset,
    encoders: &Encoders,
    mut take: impl FnMut((LoadedRows, usize)) -> bool,
) -> Result<(), PipelineError> {
    for file in dataset.files() {
        let columns = file.columns(encoders.columns())?;
        for group in (0..file.row_groups.len()).filter(|&group| file.row_groups[group].rows > 0) {
            let mut goes_on = true;
            each_step(&columns, group as u32, |rows, count| goes_on = goes_on && take((rows, count)))?;
            if !goes_on {
                return Ok(());
            }
        }
    }
    Ok(())
}
