//! Whole runs in float16 on the CPU, which computes them in 32 bits: inputs are long enough for the scale of the loss to be too large.

use std::cell::Cell;
use std::path::Path;

use crate::runs::{PER_EPOCH, bits, device, evaluation_batches, settings};
use crate::support::{batches, program_in};
use millstream_schemas::Batch;
use millstream_schemas::recipe::Precision;
use millstream_training::{Ending, Event, NonFinite, Trainer, TrainerSettings, checkpoint};

/// Batches with inputs so long that gradients overflow at the first scale of the loss.
fn run(trainer: &mut Trainer, epochs: u64, stop_at: u64) -> Ending {
    let done = Cell::new(0);
    let mut observer = |event: &Event<'_>| {
        if let Event::Step(step) = event {
            done.set(step.step);
        }
    };
    let long = |mut batch: Batch| {
        batch.tensors.get_mut("x").unwrap().as_f32_mut().unwrap().iter_mut().for_each(|value| *value *= 1e35);
        batch
    };
    let mut source = batches(epochs, PER_EPOCH, trainer.resume_point()).map(|batch| batch.map(long));
    trainer.run(&mut source, Some(&mut evaluation_batches), &mut observer, &|| done.get() >= stop_at).unwrap()
}

fn of_several(accumulate: u64, folder: Option<&Path>) -> TrainerSettings {
    TrainerSettings { accumulate, ..settings(4, folder) }
}

#[test]
fn a_run_whose_loss_is_scaled_is_resumed_to_the_bit_and_counts_what_it_left_out() {
    for (accumulate, steps) in [(1, 20), (2, 12)] {
        let program = program_in(Precision::Float16);
        let mut whole = Trainer::open(&program, &device(), of_several(accumulate, None)).unwrap();
        assert_eq!(run(&mut whole, 4, u64::MAX), Ending::Finished);
        let scale = whole.history().loss_scale.unwrap();
        assert!(scale.skipped >= 2 && scale.scale < 65536.0, "{scale:?}");
        // they are steps of the schedule all the same
        assert_eq!(whole.history().steps, steps);
        let note = format!("{} updates left out because gradients of float16 were not finite", scale.skipped);
        assert!(whole.history().notes().iter().any(|told| told.contains(&note)), "{:?}", whole.history().notes());
        // nor are they among those that `non_finite: skip` counts
        let mut settings = of_several(accumulate, None);
        settings.loop_settings.non_finite = NonFinite::Skip { most_in_a_row: 1 };
        let mut skipping = Trainer::open(&program, &device(), settings).unwrap();
        assert_eq!(run(&mut skipping, 4, u64::MAX), Ending::Finished);
        assert_eq!(bits(&skipping.parameters().unwrap()), bits(&whole.parameters().unwrap()));
        assert_eq!((skipping.history().skipped_updates.total, skipping.history().loss_scale), (0, Some(scale)));
        for stop_at in [1, 2, 5, 7] {
            let folder = tempfile::tempdir().unwrap();
            let mut first = Trainer::open(&program, &device(), of_several(accumulate, Some(folder.path()))).unwrap();
            assert!(matches!(run(&mut first, 4, stop_at), Ending::Interrupted { .. }));
            let saved = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
            assert_eq!(saved.state.loss_scale, first.history().loss_scale);
            let settings = of_several(accumulate, Some(folder.path()));
            let mut second = Trainer::resume(&program, &device(), settings, saved).unwrap();
            assert_eq!(run(&mut second, 4, u64::MAX), Ending::Finished);
            let (got, wanted) = (second.parameters().unwrap(), whole.parameters().unwrap());
            assert_eq!(bits(&got), bits(&wanted), "stopped after {stop_at} of {steps}");
            assert_eq!(second.history().loss_scale, Some(scale), "stopped after {stop_at}");
            assert_eq!(second.history().curve, whole.history().curve, "stopped after {stop_at}");
        }
    }
}
