//! Parameters that are frozen at times, rates that follow the evaluations, decay of some parameters alone.

use crate::runs::{PER_EPOCH, bits, device, run, settings};
use crate::support::{batch, optimizer, program, regularized_program, schedule};
use crate::training::resumed_with;
use millstream_compiler::TrainingProgram;
use millstream_schemas::ParameterEntry;
use millstream_training::optimizers::{self, Averaging, Penalties};
use millstream_training::{Ending, FreezePlan, Freezing, Moment, StepRunner, StepSettings, Trainer, TrainerSettings};
use serde_json::json;

/// Of the hidden layer, and of all that is no part of the head.
fn of_body(program: &TrainingProgram, freezing: &Freezing) -> FreezePlan {
    let of = |entry: &ParameterEntry| if entry.layer == "head" { Freezing::default() } else { freezing.clone() };
    FreezePlan::new(program.manifest.parameters.iter().map(of).collect())
}

fn late(at: Moment) -> Freezing {
    Freezing { starts_frozen: true, changes: vec![(at, false)], ..Freezing::default() }
}

#[test]
fn what_is_frozen_stays_to_the_bit_and_its_first_update_is_a_first_one() {
    let program = program();
    let freezing =
        Freezing { changes: vec![(Moment::Step(3), false), (Moment::Epoch(1), true)], ..late(Moment::Step(3)) };
    let settings = StepSettings {
        optimizer: optimizer("adamw", json!({"weight_decay": 0.1, "learning_rate": 0.01})),
        penalties: Penalties { l1: 0.0, l2: 0.1, l2_sp: 0.0 },
        freezing: of_body(&program, &freezing),
        threads: 1,
        ..StepSettings::default()
    };
    let mut runner = StepRunner::open(&program, &device(), &settings).unwrap();
    let is_head: Vec<bool> = program.manifest.parameters.iter().map(|entry| entry.layer == "head").collect();
    for step in 0..8 {
        let before = (runner.parameters().unwrap(), runner.state().unwrap());
        runner.freeze_at(step / 5, step).unwrap();
        runner.step(batch(0, step, 9), 0.01).unwrap();
        let after = (runner.parameters().unwrap(), runner.state().unwrap());
        let frozen = !(3..5).contains(&step);
        for (index, is_head) in is_head.iter().enumerate() {
            let same = (before.0[index] == after.0[index], before.1.tensors[index] == after.1.tensors[index]);
            let stays = frozen && !is_head;
            assert_eq!(same, (stays, stays), "step {step}, parameter {index}");
        }
        if step == 3 {
            // the first step of Adam is as long as the rate, whatever the gradient, but for the decay
            let moved = before.0[1].iter().zip(&after.0[1]).map(|(before, after)| (before - after).abs());
            let moved: Vec<f32> = moved.filter(|moved| *moved > 1e-6).collect();
            assert!(moved.len() > 4 && moved.iter().all(|moved| (moved - 0.01).abs() < 1e-4), "{moved:?}");
        }
        assert_eq!(after.1.updates, step + 1);
    }
    assert_eq!(runner.state().unwrap().cohorts, [2, 8]);
}

#[test]
fn gradients_of_what_is_frozen_count_in_no_norm() {
    let program = program();
    let settings = StepSettings {
        optimizer: optimizer("sgd", json!({"momentum": 0, "weight_decay": 0})),
        freezing: of_body(&program, &late(Moment::Step(1))),
        threads: 1,
        ..StepSettings::default()
    };
    let mut norms = Vec::new();
    // the same batch of the same weights, at a time when the body is frozen and at one when it is not
    for step in 0..2 {
        let mut runner = StepRunner::open(&program, &device(), &settings).unwrap();
        runner.freeze_at(0, step).unwrap();
        let before = runner.parameters().unwrap().concat();
        let (_, outcome) = runner.step(batch(0, 0, 9), 1.0).unwrap();
        let moved = runner.parameters().unwrap().concat().into_iter().zip(before);
        let moved = moved.map(|(after, before)| f64::from(after - before).powi(2)).sum::<f64>().sqrt();
        assert!((outcome.gradient_norm.unwrap() - moved).abs() < 1e-5 * moved, "{outcome:?}, moved {moved}");
        norms.push(moved);
    }
    assert!(norms[0] > 0.0 && norms[1] > norms[0], "{norms:?}");
}

#[test]
fn a_run_that_freezes_and_unfreezes_is_resumed_to_the_bit() {
    let freezing = Freezing {
        held_until: Some(Moment::Step(2)),
        changes: vec![(Moment::Step(8), false), (Moment::Epoch(3), true)],
        starts_frozen: true,
    };
    let free = |settings: &mut TrainerSettings| {
        settings.step.optimizer = optimizer("schedule_free_adamw", json!({"learning_rate": 0.01}));
        settings.step.freezing = of_body(&program(), &freezing);
        settings.step.penalties = Penalties { l1: 0.0, l2: 0.0, l2_sp: 0.1 };
    };
    resumed_with(&program(), &free, [7, 10, 1, 18]);
    for (program, averaging) in [
        (program(), None),
        (program(), Some(Averaging::Exponential { decay: 0.9 })),
        (program(), Some(Averaging::Equal { from_epoch: 1 })),
        (regularized_program(), Some(Averaging::Exponential { decay: 0.9 })),
    ] {
        let change = |settings: &mut TrainerSettings| {
            settings.step.freezing = of_body(&program, &freezing);
            settings.step.averaging = averaging;
            settings.step.penalties = Penalties { l1: 0.0, l2: 0.0, l2_sp: 0.1 };
        };
        resumed_with(&program, &change, [7, 10, 1, 18]);
    }
}

#[test]
fn a_checkpoint_of_other_times_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let program = program();
    let with = |at, folder| {
        let mut settings = settings(2, folder);
        settings.step.freezing = of_body(&program, &late(at));
        settings
    };
    let mut trainer = Trainer::open(&program, &device(), with(Moment::Epoch(1), Some(folder.path()))).unwrap();
    run(&mut trainer, 2, 7);
    let saved = millstream_training::checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
    let error = Trainer::resume(&program, &device(), with(Moment::Step(6), None), saved).err().unwrap().to_string();
    assert!(error.contains("what is frozen when differs"), "{error}");
    let mut short = with(Moment::Epoch(1), None);
    short.step.freezing = FreezePlan::new(vec![late(Moment::Epoch(1))]);
    let error = Trainer::open(&program, &device(), short).err().unwrap().to_string();
    assert!(error.contains("the plan of what is frozen"), "{error}");
}

#[test]
fn an_average_of_what_was_never_trained_is_that_itself() {
    let program = program();
    let settings =
        StepSettings { freezing: of_body(&program, &late(Moment::Step(100))), threads: 1, ..StepSettings::default() };
    for settings in [
        StepSettings { averaging: Some(Averaging::Exponential { decay: 0.9 }), ..settings.clone() },
        StepSettings { optimizer: optimizer("schedule_free_adamw", json!({})), ..settings.clone() },
    ] {
        let mut runner = StepRunner::open(&program, &device(), &settings).unwrap();
        runner.step(batch(0, 0, 9), 0.01).unwrap();
        let averaged = runner.averaged_parameters().unwrap();
        for (index, entry) in program.manifest.parameters.iter().enumerate() {
            assert_eq!(averaged[index] == program.parameters[index], entry.layer != "head", "{}", entry.name);
        }
    }
}

/// A run whose weights hardly move: every evaluation but the first is without a gain.
fn still(settings: &mut TrainerSettings) {
    settings.step.optimizer = optimizer("sgd", json!({"learning_rate": 1e-6}));
    settings.schedule =
        schedule("reduce_on_plateau", json!({"patience": 0, "factor": 0.5, "cooldown": 1, "threshold": 0.5}));
}

#[test]
fn a_plateau_reduces_the_rate_and_is_resumed_to_the_bit() {
    let mut settings = settings(5, None);
    still(&mut settings);
    let mut trainer = Trainer::open(&program(), &device(), settings).unwrap();
    assert_eq!(run(&mut trainer, 5, u64::MAX), Ending::Finished);
    let points = &trainer.history().curve.points;
    let rates: Vec<f64> =
        (0..5).map(|epoch| points[(epoch * PER_EPOCH) as usize].learning_rate / f64::from(1e-6_f32)).collect();
    // the first is the best; the second reduces, the third cools down, the fourth reduces
    let wanted = [1.0, 1.0, 0.5, 0.5, 0.25];
    assert!(rates.iter().zip(wanted).all(|(rate, wanted)| (rate - wanted).abs() < 1e-6), "{rates:?}");
    let notes = trainer.history().notes();
    let wanted = "the learning rate was reduced to ×0.25 because the accuracy got no better, after epochs 2, 4";
    assert!(notes.iter().any(|note| note == wanted), "{notes:?}");
    resumed_with(&program(), &still, [12, 10, 1, 20]);
}

/// Rules ask `ParameterFacts::decay`, whatever optimizer they are.
#[test]
fn a_decay_of_a_parameters_own_is_the_same_as_an_optimizer_that_has_it() {
    for row in optimizers::standard().rows() {
        let options = |decay| json!({"weight_decay": decay, "learning_rate": 0.01});
        let moved = |decay: f64, own: Option<f32>| {
            let mut program = program();
            for entry in &mut program.manifest.parameters {
                entry.weight_decay_strength = own.filter(|_| entry.weight_decay);
            }
            let settings =
                StepSettings { optimizer: optimizer(row.name, options(decay)), threads: 1, ..StepSettings::default() };
            let mut runner = StepRunner::open(&program, &device(), &settings).unwrap();
            for step in 0..3 {
                runner.step(batch(0, step, 9), 0.01).unwrap();
            }
            bits(&runner.parameters().unwrap())
        };
        let known = optimizer(row.name, json!({})).choice().options.get("weight_decay").is_some();
        assert!(known, "{} has no weight decay: say so in a group's check", row.name);
        assert_eq!(moved(0.05, Some(0.25)), moved(0.25, None), "{}", row.name);
        assert_ne!(moved(0.05, None), moved(0.25, None), "{}", row.name);
    }
}
