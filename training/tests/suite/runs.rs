//! What tests of whole runs share.

use std::cell::Cell;
use std::path::Path;

use crate::support::{batch, batches, classes, optimizer, schedule};
use millstream_compiler::losses::PredictionKind;
use millstream_runtime::Device;
use millstream_schemas::Fingerprint;
use millstream_training::checkpoint::CheckpointSettings;
use millstream_training::{
    BatchSource, BoxError, Ending, Event, LoopSettings, MetricSet, StepSettings, Trainer, TrainerSettings,
};
use serde_json::json;

/// Batches in an epoch.
pub(crate) const PER_EPOCH: u64 = 5;

pub(crate) fn device() -> Device {
    Device::cpu(millstream_runtime::ready(None).unwrap())
}

pub(crate) fn settings(epochs: u64, folder: Option<&Path>) -> TrainerSettings {
    TrainerSettings {
        step: StepSettings {
            optimizer: optimizer("adamw", json!({"learning_rate": 0.01})),
            gradient_clip_norm: Some(1.0),
            threads: 1,
            seed: 3,
            ..StepSettings::default()
        },
        schedule: schedule("cosine", json!({"warmup": 0.1})),
        epochs,
        batches_per_epoch: PER_EPOCH,
        accumulate: 1,
        early_stopping: None,
        loop_settings: LoopSettings::default(),
        classes: classes(),
        metrics: MetricSet::usual(PredictionKind::ClassScores),
        checkpoints: folder.map(|folder| CheckpointSettings { folder: folder.to_owned(), every_steps: 0, keep: 2 }),
        fingerprint: Fingerprint::of_bytes(b"settings"),
    }
}

pub(crate) fn evaluation_batches() -> Result<Box<dyn BatchSource>, BoxError> {
    Ok(Box::new((0..4).map(|index| Ok::<_, BoxError>(batch(50, index, 4)))))
}

pub(crate) fn run(trainer: &mut Trainer, epochs: u64, stop_at: u64) -> Ending {
    let done = Cell::new(0);
    let mut observer = |event: &Event<'_>| {
        if let Event::Step(step) = event {
            done.set(step.step);
        }
    };
    let from = trainer.resume_point().cloned();
    let mut source = batches(epochs, PER_EPOCH, from.as_ref());
    trainer.run(&mut source, Some(&mut evaluation_batches), &mut observer, &|| done.get() >= stop_at).unwrap()
}

pub(crate) fn bits(parameters: &[Vec<f32>]) -> Vec<Vec<u32>> {
    parameters.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}
