//! Averages of the weights that are evaluated and exported in their place: before they begin, and when.

use std::fs;
use std::path::Path;

use crate::runs::{PER_EPOCH, bits, device, evaluation_batches, run, settings};
use crate::support::{batch, batches, optimizer, program};
use crate::training::resumed_with;
use millstream_schemas::Fingerprint;
use millstream_training::checkpoint::{self, Checkpoint};
use millstream_training::optimizers::{Averaging, Lookahead};
use millstream_training::{
    Ending, EvaluationBatches, EvaluationInterval, Event, StepRunner, StepSettings, Trainer, TrainerSettings, Until,
};
use serde_json::json;

/// As the settings of other runs, with the mean of the weights at the ends of epochs from `from_epoch` on.
fn of_epochs(from_epoch: u64, epochs: u64, folder: Option<&Path>) -> TrainerSettings {
    let mut settings = settings(epochs, folder);
    settings.step.averaging = Some(Averaging::Equal { from_epoch });
    settings
}

fn newest(folder: &Path) -> Checkpoint {
    checkpoint::load_newest(folder).unwrap().checkpoint.unwrap()
}

/// The loss on the evaluation rows with these parameters.
fn loss_of(runner: &mut StepRunner, parameters: Vec<Vec<f32>>) -> f64 {
    runner.set_parameters(parameters).unwrap();
    let (mut loss, mut weight) = (0.0, 0.0);
    for index in 0..4 {
        let (_, scored) = runner.evaluate(batch(50, index, 4)).unwrap();
        loss += f64::from(scored.loss) * scored.weight;
        weight += scored.weight;
    }
    loss / weight
}

/// Element by element.
fn mean(states: &[Vec<Vec<f32>>]) -> Vec<Vec<f32>> {
    let element = |tensor: usize, at: usize| {
        let sum: f64 = states.iter().map(|state| f64::from(state[tensor][at])).sum();
        (sum / states.len() as f64) as f32
    };
    let tensors = states[0].iter().enumerate();
    tensors.map(|(tensor, values)| (0..values.len()).map(|at| element(tensor, at)).collect()).collect()
}

#[test]
fn evaluations_before_the_average_begins_are_of_the_weights_and_not_of_zeros_or_of_an_epoch_before() {
    let mut often = of_epochs(1, 3, None);
    often.loop_settings.evaluate_every = EvaluationInterval::Steps(2);
    let mut trainer = Trainer::open(&program(), &device(), often).unwrap();
    let mut runner = StepRunner::open(&program(), &device(), &settings(1, None).step).unwrap();
    let (mut ends, mut evaluated) = (Vec::new(), 0);
    for step in 1..=3 * PER_EPOCH {
        let from = trainer.resume_point().cloned();
        let mut source = batches(3, PER_EPOCH, from.as_ref());
        let evaluate: &mut EvaluationBatches<'_> = &mut evaluation_batches;
        trainer.advance(Until::Step(step), &mut source, Some(evaluate), &mut |_: &Event<'_>| {}, &|| false).unwrap();
        let weights = trainer.parameters().unwrap();
        if step > PER_EPOCH && step % PER_EPOCH == 0 {
            ends.push(weights.clone());
        }
        let now = trainer.last_parameters().unwrap();
        if ends.is_empty() {
            assert_eq!(bits(&now), bits(&weights), "step {step}");
        }
        let wanted = if ends.is_empty() { weights } else { mean(&ends) };
        for (now, wanted) in now.iter().flatten().zip(wanted.iter().flatten()) {
            assert!((now - wanted).abs() < 1e-6, "step {step}: {now}, wanted {wanted}");
        }
        let record = trainer.history().evaluations.last().filter(|record| record.step == step).cloned();
        if let Some(record) = record {
            let wanted = loss_of(&mut runner, now);
            assert!(
                (record.figures.loss - wanted).abs() < 1e-6,
                "step {step}: {}, wanted {wanted}",
                record.figures.loss
            );
            evaluated += 1;
        }
    }
    assert_eq!((evaluated, ends.len(), trainer.missed_average()), (8, 2, None));
}

#[test]
fn a_run_that_ends_before_its_average_begins_exports_the_weights_and_says_so() {
    // within the first epoch, at its end, and before the last
    for (from_epoch, max_steps) in [(0, 3), (1, PER_EPOCH), (3, 3 * PER_EPOCH + 2)] {
        let mut short = of_epochs(from_epoch, 4, None);
        short.loop_settings.max_steps = Some(max_steps);
        let mut trainer = Trainer::open(&program(), &device(), short).unwrap();
        assert_eq!(trainer.missed_average(), None, "it has not ended");
        assert_eq!(run(&mut trainer, 4, u64::MAX), Ending::Finished);
        assert_eq!(trainer.missed_average(), Some(from_epoch));
        let weights = trainer.parameters().unwrap();
        assert_eq!(bits(&trainer.last_parameters().unwrap()), bits(&weights), "{max_steps} steps");
        assert!(trainer.best_parameters().unwrap().iter().any(|values| values.iter().any(|value| *value != 0.0)));
    }
    let mut whole = Trainer::open(&program(), &device(), of_epochs(3, 4, None)).unwrap();
    run(&mut whole, 4, u64::MAX);
    assert_eq!(whole.missed_average(), None);
}

#[test]
fn a_run_is_resumed_to_the_bit_before_and_after_its_average_begins() {
    for from_epoch in [0, 2] {
        let change = |settings: &mut TrainerSettings| {
            settings.step.averaging = Some(Averaging::Equal { from_epoch });
            settings.loop_settings.evaluate_every = EvaluationInterval::Steps(2);
        };
        resumed_with(&program(), &change, [3, 10, 12, 17]);
    }
}

/// Takes a part out of the manifest of a checkpoint.
fn without(checkpoint: &Path, part: &str) {
    let file = checkpoint.join("manifest.json");
    let before = fs::read_to_string(&file).unwrap();
    let text = before.replacen(part, "", 1);
    assert_ne!(text, before, "{part}");
    fs::write(checkpoint.join("manifest.json.sha256"), Fingerprint::of_bytes(text.as_bytes()).0).unwrap();
    fs::write(file, text).unwrap();
}

#[test]
fn an_average_in_a_checkpoint_that_does_not_count_what_it_is_of_goes_on() {
    let settings = |folder: Option<&Path>| of_epochs(1, 4, folder);
    let mut whole = Trainer::open(&program(), &device(), settings(None)).unwrap();
    run(&mut whole, 4, u64::MAX);
    // before it begins, within the epoch behind its first end, and behind its second
    for (stop_at, averaged) in [(7, 0), (12, 1), (15, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Trainer::open(&program(), &device(), settings(Some(folder.path()))).unwrap();
        run(&mut first, 4, stop_at);
        drop(first);
        let saved = newest(folder.path());
        assert_eq!((saved.manifest.averaged, saved.state.averaged), (Some(averaged), averaged), "{stop_at}");
        without(&saved.path, &format!("\"averaged\":{averaged},"));
        let older = newest(folder.path());
        assert_eq!(older.manifest.averaged, None);
        let mut second = Trainer::resume(&program(), &device(), settings(None), older).unwrap();
        run(&mut second, 4, u64::MAX);
        assert_eq!(bits(&second.last_parameters().unwrap()), bits(&whole.last_parameters().unwrap()), "{stop_at}");
        assert_eq!(second.history().best, whole.history().best, "{stop_at}");
    }
}

#[test]
fn a_state_in_a_checkpoint_is_evaluated_as_the_run_evaluated_it() {
    type Change = fn(&mut TrainerSettings);
    let rows: [(&str, Change); 6] = [
        ("none", |_| {}),
        ("ema", |settings| settings.step.averaging = Some(Averaging::Exponential { decay: 0.9 })),
        ("swa that has begun", |settings| settings.step.averaging = Some(Averaging::Equal { from_epoch: 0 })),
        ("swa that has not", |settings| settings.step.averaging = Some(Averaging::Equal { from_epoch: 1 })),
        ("lookahead", |settings| settings.step.lookahead = Some(Lookahead { steps: 4, alpha: 0.5 })),
        ("schedule-free", |settings| {
            settings.step.optimizer = optimizer("schedule_free_adamw", json!({"learning_rate": 0.01}));
        }),
    ];
    let entries = program().manifest.parameters;
    for (name, change) in rows {
        let folder = tempfile::tempdir().unwrap();
        let mut changed = settings(2, Some(folder.path()));
        change(&mut changed);
        let mut trainer = Trainer::open(&program(), &device(), changed.clone()).unwrap();
        run(&mut trainer, 2, 7);
        let Checkpoint { parameters, state, .. } = newest(folder.path());
        let evaluated = changed.step.evaluated(&entries, parameters.clone(), &state);
        assert_eq!(bits(&evaluated), bits(&trainer.last_parameters().unwrap()), "{name}");
        let is_trained = bits(&evaluated) == bits(&parameters);
        assert_eq!(is_trained, ["none", "swa that has not"].contains(&name), "{name}");
    }
    // of a state from before the average was kept
    let mut plain = StepRunner::open(&program(), &device(), &settings(1, None).step).unwrap();
    plain.step(batch(0, 0, 9), 0.01).unwrap();
    let (parameters, state) = (plain.parameters().unwrap(), plain.state().unwrap());
    let averaging = Some(Averaging::Exponential { decay: 0.9 });
    let kept = StepSettings { averaging, ..settings(1, None).step };
    assert_eq!(kept.evaluated(&entries, parameters.clone(), &state), parameters);
}
