//! How long the rows are, learned once before the first batch.

use std::thread;

use crate::budget::Share;
use crate::encodings::Encoders;
use crate::error::panic_message;
use crate::sources::each_step;
use crate::stages::worker::HeldRows;
use crate::{Dataset, PipelineError};

/// Steps of rows that wait to be measured.
const WAITING: usize = 2;

/// Some rows of a row group, and how many.
type Step = (HeldRows, usize);

/// Of every row its length, by row group in the order of the dataset. Only what measuring takes is read, under the share's limit.
/// One thread reads and `workers` measure: what comes out does not depend on how many they are.
///
/// # Errors
/// The rows cannot be read.
pub(crate) fn row_lengths(
    dataset: &Dataset,
    measuring: &Encoders,
    workers: usize,
    share: &Share,
) -> Result<Vec<Vec<u32>>, PipelineError> {
    let measure = |(held, count): &Step| -> Vec<u32> {
        (0..*count).map(|row| measuring.length(held.rows.row(row)).unwrap_or(0)).collect()
    };
    let mut steps: Vec<Vec<u32>> = Vec::new();
    if workers <= 1 {
        each(dataset, measuring, share, |step| {
            steps.push(measure(&step));
            true
        })?;
    } else {
        steps = measured_by_several(dataset, measuring, workers, share, &measure)?;
    }
    let mut all = steps.into_iter().flatten();
    Ok(dataset.inner.groups.iter().map(|group| all.by_ref().take(group.rows as usize).collect()).collect())
}

fn measured_by_several(
    dataset: &Dataset,
    measuring: &Encoders,
    workers: usize,
    share: &Share,
    measure: &(impl Fn(&Step) -> Vec<u32> + Sync),
) -> Result<Vec<Vec<u32>>, PipelineError> {
    let (send, receive) = crossbeam_channel::bounded::<(usize, Step)>(WAITING);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                let receive = receive.clone();
                scope.spawn(move || receive.iter().map(|(number, step)| (number, measure(&step))).collect::<Vec<_>>())
            })
            .collect();
        drop(receive);
        let mut number = 0;
        let read = each(dataset, measuring, share, |step| {
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
    measuring: &Encoders,
    share: &Share,
    mut take: impl FnMut(Step) -> bool,
) -> Result<(), PipelineError> {
    for file in dataset.files() {
        let columns = file.columns(measuring.columns())?;
        for group in (0..file.row_groups.len()).filter(|&group| file.row_groups[group].rows > 0) {
            let mut goes_on = true;
            each_step(&columns, group as u32, |rows, count| {
                // The rows are there already: those that are larger than all that there is are held alone.
                let bytes = rows.bytes.min(share.limit());
                let admitted = share.admit_blocking(bytes).expect("no more than the limit");
                goes_on = goes_on && take((HeldRows { rows, _bytes: admitted }, count));
            })?;
            if !goes_on {
                return Ok(());
            }
        }
    }
    Ok(())
}
