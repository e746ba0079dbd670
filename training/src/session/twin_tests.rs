//! The update in Rust and the update as graph nodes are each other's twin.

use serde_json::{Value, json};

use super::{GradientNoise, StepRunner, StepSettings};
use crate::freezing::{FreezePlan, Freezing, Moment};
use crate::optimizers::{Averaging, Lookahead, Penalties, SharpnessAware, StateValues, standard};
use crate::support::{CLASSES, batch, devices, optimizer, program, regularized_program};
use millstream_compiler::TrainingProgram;
use millstream_runtime::{Device, DeviceKind};

#[test]
fn both_updates_lead_to_the_same_parameters_and_state() {
    let rated = |name: &str, rate: f64, mut options: Value| {
        options["learning_rate"] = json!(rate);
        optimizer(name, options)
    };
    let mut optimizers = vec![
        rated("adamw", 0.02, json!({"weight_decay": 0.1})),
        rated("adamw", 0.02, json!({"weight_decay": 0})),
        rated("sgd", 0.05, json!({"momentum": 0, "weight_decay": 0.01})),
        rated("sgd", 0.05, json!({"weight_decay": 0.01})),
        rated("sgd", 0.05, json!({"nesterov": true, "weight_decay": 0.01})),
    ];
    // Whatever else there is.
    for row in standard().rows() {
        let samples = row.samples.iter().map(|sample| serde_json::from_str(sample).unwrap());
        // Rounding grows here: 500 times by the polynomial of `muon` where a matrix has next to nothing, and with the first
        // steps of `rmsprop`, ten times as long as the rate.
        let rate = if ["muon", "rmsprop"].contains(&row.name) { 0.002 } else { 0.02 };
        optimizers.extend(samples.map(|options| rated(row.name, rate, options)));
    }
    let cpu = Device::cpu(millstream_runtime::ready(None).unwrap());
    let mut programs = [program(), regularized_program()];
    for program in &mut programs {
        program.manifest.parameters[0].learning_rate_multiplier = 0.25;
        let head = program.manifest.parameters.iter_mut().find(|entry| entry.name == "head.weight").unwrap();
        head.weight_decay_strength = Some(0.3);
    }
    let clipped = optimizers.into_iter().flat_map(|optimizer| [(optimizer.clone(), None), (optimizer, Some(0.3))]);
    let plain = clipped.map(|(optimizer, gradient_clip_norm)| StepSettings {
        optimizer,
        gradient_clip_norm,
        threads: 1,
        seed: 3,
        ..StepSettings::default()
    });
    // and all that goes around a rule
    let around = |name, averaging| StepSettings {
        optimizer: rated(name, 0.02, json!({})),
        gradient_clip_norm: Some(0.3),
        gradient_clip_value: Some(0.05),
        penalties: Penalties { l1: 0.01, l2: 0.02, l2_sp: 0.05 },
        l1_decay: 0.05,
        averaging: Some(averaging),
        lookahead: Some(Lookahead { steps: 3, alpha: 0.6 }),
        sharpness_aware: Some(SharpnessAware { rho: 0.3, adaptive: name == "sgd" }),
        gradient_noise: Some(GradientNoise { eta: 0.01, gamma: 0.55 }),
        freezing: FreezePlan::default(),
        watch_gradients: true,
        threads: 1,
        seed: 3,
    };
    let exponential = around("adamw", Averaging::Exponential { decay: 0.5 });
    let equal = around("sgd", Averaging::Equal { from_epoch: 0 });
    let lookahead = StepSettings { averaging: None, ..exponential.clone() };
    let drawn_to_zero = StepSettings {
        optimizer: rated("adamw", 0.02, json!({})),
        l1_decay: 0.5,
        threads: 1,
        seed: 3,
        ..StepSettings::default()
    };
    let rows: Vec<StepSettings> = plain.chain([exponential, equal, lookahead, drawn_to_zero]).collect();
    let has_statistics = |program: &TrainingProgram| program.manifest.parameters.iter().any(|entry| entry.is_statistic);
    let rows: Vec<_> = rows.iter().flat_map(|row| programs.iter().map(move |program| (row, program))).collect();
    for device in devices() {
        for &(settings, program) in &rows {
            let is_equal = matches!(settings.averaging, Some(Averaging::Equal { .. }));
            if (is_equal || settings.optimizer.has_average()) && has_statistics(program) {
                continue; // refused
            }
            let (optimizer, gradient_clip_norm) = (&settings.optimizer, settings.gradient_clip_norm);
            // `centered` takes a square from the like of it, which leaves little but rounding where dropout left zeros
            let of_rule = if optimizer.choice().name == "rmsprop" { 5.0 } else { 1.0 };
            // CUDA adds up gradients in another order
            let of_device = if device.kind == DeviceKind::Cpu { 1.0 } else { 4.0 };
            let slack = of_rule * of_device;
            let close = |a: &[f32], b: &[f32], what: &str| assert_close_within(slack, a, b, what);
            let mut in_rust = StepRunner::open_with_store(program, &cpu, settings, true).unwrap();
            let mut as_nodes = StepRunner::open_with_store(program, &device, settings, false).unwrap();
            for step in 0..7 {
                // Steps of different length, so that a stale coefficient would show.
                let rate = settings.optimizer.learning_rate() * (1.0 + step as f32 / 3.0);
                let (_, a) = in_rust.step(batch(0, step, 9), rate).unwrap();
                let (_, b) = as_nodes.step(batch(0, step, 9), rate).unwrap();
                let what = format!("{optimizer:?}, clip {gradient_clip_norm:?}, on {device}, step {step}");
                close(&[a.loss], &[b.loss], &what);
                if is_equal && step % 3 == 2 {
                    assert!(in_rust.take_into_average(step / 3).unwrap());
                    assert!(as_nodes.take_into_average(step / 3).unwrap());
                }
                for (a, b) in in_rust.averaged_parameters().unwrap().iter().zip(as_nodes.averaged_parameters().unwrap())
                {
                    close(a, &b, &what);
                }
                let (_, a) = in_rust.evaluate(batch(1, step, 9)).unwrap();
                let (_, b) = as_nodes.evaluate(batch(1, step, 9)).unwrap();
                close(&a.prediction.values, &b.prediction.values, &format!("{what}, evaluation"));
                close(&[a.loss], &[b.loss], &format!("{what}, evaluation"));
            }
            let what = format!("{optimizer:?}, clip {gradient_clip_norm:?}, on {device}");
            for (a, b) in in_rust.parameters().unwrap().iter().zip(as_nodes.parameters().unwrap()) {
                close(a, &b, &what);
            }
            let (a, b) = (in_rust.state().unwrap(), as_nodes.state().unwrap());
            assert_eq!((a.updates, b.updates), (7, 7));
            for (a, b) in a.tensors.iter().flatten().zip(b.tensors.iter().flatten()) {
                assert_eq!(a.dtype(), b.dtype(), "{what}");
                close(&a.to_floats(), &b.to_floats(), &what);
            }
        }
    }
}

#[test]
fn state_that_was_read_and_written_back_goes_on_the_same_on_either_side() {
    let cpu = Device::cpu(millstream_runtime::ready(None).unwrap());
    let twins = devices().into_iter().map(|device| (device, false)).chain([(cpu, true)]);
    for (device, on_host) in twins {
        let samples = standard().rows().iter().flat_map(|row| row.samples.iter().map(|sample| (row.name, *sample)));
        for (name, sample) in samples {
            let optimizer = optimizer(name, serde_json::from_str(sample).unwrap());
            let settings = StepSettings { optimizer, ..StepSettings::default() };
            let open = || StepRunner::open_with_store(&program(), &device, &settings, on_host).unwrap();
            let mut whole = open();
            for step in 0..5 {
                whole.step(batch(0, step, 9), 0.01).unwrap();
            }
            let mut first = open();
            for step in 0..3 {
                first.step(batch(0, step, 9), 0.01).unwrap();
            }
            let mut second = open();
            second.set_parameters(first.parameters().unwrap()).unwrap();
            second.set_state(first.state().unwrap()).unwrap();
            for step in 3..5 {
                second.step(batch(0, step, 9), 0.01).unwrap();
            }
            assert_eq!(second.parameters().unwrap(), whole.parameters().unwrap(), "{settings:?}");
            assert_eq!(second.state().unwrap(), whole.state().unwrap());
        }
    }
}

#[test]
fn gradients_whose_squares_overflow_are_clipped_alike() {
    let optimizer = optimizer("sgd", json!({"momentum": 0}));
    let settings =
        StepSettings { optimizer, gradient_clip_norm: Some(0.3), threads: 1, seed: 3, ..StepSettings::default() };
    let steep = || {
        let mut batch = batch(0, 0, 9);
        batch.tensors.get_mut("x").unwrap().as_f32_mut().unwrap().iter_mut().for_each(|x| *x *= 1e22);
        batch
    };
    let cpu = Device::cpu(millstream_runtime::ready(None).unwrap());
    for device in devices() {
        let stepped = |device: &Device, on_host: bool| {
            let mut runner = StepRunner::open_with_store(&program(), device, &settings, on_host).unwrap();
            let before = runner.parameters().unwrap().concat();
            runner.step(steep(), 0.1).unwrap();
            (before, runner.parameters().unwrap().concat())
        };
        let ((before, in_rust), (_, as_nodes)) = (stepped(&cpu, true), stepped(&device, false));
        assert_close(&in_rust, &as_nodes, "steep");
        let length = before.iter().zip(&in_rust).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        assert!((length - 0.03).abs() < 1e-4, "the clipped step has length {length}");
    }
}

#[test]
fn parameters_and_state_that_do_not_fit_are_refused() {
    let device = Device::cpu(millstream_runtime::ready(None).unwrap());
    let mut runner = StepRunner::open(&program(), &device, &StepSettings::default()).unwrap();
    let mut parameters = runner.parameters().unwrap();
    parameters[0].pop();
    let message = runner.set_parameters(parameters).unwrap_err().to_string();
    assert!(message.contains("values, shape"), "{message}");
    let whole = runner.state().unwrap();
    let mut state = whole.clone();
    state.tensors[1].pop();
    assert!(runner.set_state(state).is_err());
    let mut state = whole;
    state.tensors[1][0] = StateValues::U8(vec![0; state.tensors[1][0].len()]);
    let message = runner.set_state(state).unwrap_err().to_string();
    assert!(message.contains("\"float32\"") && message.contains("\"uint8\""), "{message}");
}

fn assert_close(a: &[f32], b: &[f32], what: &str) {
    assert_close_within(1.0, a, b, what);
}

fn assert_close_within(slack: f32, a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= slack * (2e-6 + 1e-5 * a.abs()), "{what}: {a} and {b}");
    }
}

/// Batches one after the other, then one step: the mean of their gradients by weight, on both stores.
#[test]
fn gathered_gradients_are_those_of_one_batch() {
    let settings = StepSettings {
        optimizer: optimizer("sgd", json!({"momentum": 0, "weight_decay": 0, "learning_rate": 0.1})),
        threads: 1,
        ..StepSettings::default()
    };
    let cpu = Device::cpu(millstream_runtime::ready(None).unwrap());
    let change = |runner: &StepRunner, before: &[Vec<f32>]| -> Vec<f64> {
        let now = runner.parameters().unwrap();
        now.iter()
            .flatten()
            .zip(before.iter().flatten())
            .map(|(now, before)| f64::from(*now) - f64::from(*before))
            .collect()
    };
    for on_host in [true, false] {
        let program = program();
        let open = || StepRunner::open_with_store(&program, &cpu, &settings, on_host).unwrap();
        // the second has rows without weight
        let given = |index: u64| {
            let mut given = batch(0, index, 9);
            for row in 0..index as usize {
                given.weights[row] = 0.0;
                given.tensors.get_mut("targets").unwrap().as_f32_mut().unwrap()[row * CLASSES..][..CLASSES].fill(0.0);
            }
            given
        };
        let alone: Vec<(Vec<f64>, f64, f64)> = [0, 3]
            .map(|index| {
                let mut runner = open();
                let (_, outcome) = runner.step(given(index), 0.1).unwrap();
                (change(&runner, &program.parameters), outcome.weight, f64::from(outcome.loss))
            })
            .to_vec();
        let mut together = open();
        // twice, so that what was gathered for the first step is not in the second
        for _ in 0..2 {
            together.set_parameters(program.parameters.clone()).unwrap();
            for index in [0, 3] {
                let (_, outcome) = together.gather(given(index)).unwrap();
                assert!(!outcome.updated && outcome.rows > 0);
            }
            let outcome = together.update(0.1).unwrap();
            let [(a, weight_a, loss_a), (b, weight_b, loss_b)] = alone.as_slice() else { unreachable!("two batches") };
            assert_ne!(weight_a, weight_b);
            let mean = |a: f64, b: f64| (a * weight_a + b * weight_b) / (weight_a + weight_b);
            assert!(outcome.updated && (f64::from(outcome.loss) - mean(*loss_a, *loss_b)).abs() < 1e-6);
            for ((got, a), b) in change(&together, &program.parameters).iter().zip(a).zip(b) {
                assert!((got - mean(*a, *b)).abs() < 1e-7, "on the host {on_host}: {got}, wanted {}", mean(*a, *b));
            }
        }
        assert_eq!(together.update(0.1).unwrap(), super::StepOutcome::default());
    }
}

#[test]
fn what_is_frozen_stays_to_the_bit_on_either_side_and_goes_on_alike() {
    let cpu = Device::cpu(millstream_runtime::ready(None).unwrap());
    let program = program();
    let freezing = Freezing { starts_frozen: true, changes: vec![(Moment::Step(2), false)], ..Freezing::default() };
    let again = Freezing { changes: vec![(Moment::Step(4), true)], ..Freezing::default() };
    let of = [freezing.clone(), freezing, again, Freezing::default()].to_vec();
    for device in devices() {
        for (name, averaging) in [
            ("adamw", None),
            ("adamw", Some(Averaging::Exponential { decay: 0.5 })),
            ("adafactor", None),
            ("schedule_free_adamw", None),
            ("adamw_8bit", None),
        ] {
            let mut options = json!({"weight_decay": 0.1});
            if name == "adamw_8bit" {
                options["min_8bit_size"] = json!(1);
            }
            let settings = StepSettings {
                optimizer: optimizer(name, options),
                gradient_clip_norm: Some(0.3),
                averaging,
                freezing: FreezePlan::new(of.clone()),
                threads: 1,
                ..StepSettings::default()
            };
            let open = |device: &Device, on_host: bool| {
                StepRunner::open_with_store(&program, device, &settings, on_host).unwrap()
            };
            let (mut in_rust, mut as_nodes) = (open(&cpu, true), open(&device, false));
            for step in 0..7 {
                let before = (as_nodes.parameters().unwrap(), as_nodes.state().unwrap().tensors);
                for runner in [&mut in_rust, &mut as_nodes] {
                    runner.freeze_at(0, step).unwrap();
                    runner.step(batch(0, step, 9), 0.02).unwrap();
                }
                let after = (as_nodes.parameters().unwrap(), as_nodes.state().unwrap().tensors);
                for (index, freezing) in of.iter().enumerate() {
                    let frozen = freezing.is_frozen_at(0, step);
                    let same = (before.0[index] == after.0[index], before.1[index] == after.1[index]);
                    assert_eq!(same, (frozen, frozen), "{name}, step {step}, parameter {index}");
                }
                for (a, b) in in_rust.parameters().unwrap().iter().zip(&after.0) {
                    assert_close(a, b, name);
                }
                if step == 4 {
                    // what is saved here goes on to the same bits
                    let mut second = open(&device, false);
                    second.set_parameters(after.0).unwrap();
                    second.set_state(as_nodes.state().unwrap()).unwrap();
                    as_nodes = second;
                }
            }
            let (a, b) = (in_rust.state().unwrap(), as_nodes.state().unwrap());
            assert_eq!((&a.cohorts, &b.cohorts), (&vec![5, 4, 7], &vec![5, 4, 7]));
        }
    }
}

/// On both stores: neither parameters nor what the optimizer remembers follow gradients that are no numbers, and neither do
/// running statistics.
#[test]
fn gradients_that_are_no_numbers_change_nothing() {
    let later = Freezing { changes: vec![(Moment::Step(9), true)], ..Freezing::default() };
    let settings = |program: &TrainingProgram| StepSettings {
        watch_gradients: true,
        freezing: FreezePlan::new(vec![later.clone(); program.manifest.parameters.len()]),
        threads: 1,
        ..StepSettings::default()
    };
    let cpu = Device::cpu(millstream_runtime::ready(None).unwrap());
    let mut steep = program();
    let names: Vec<String> = steep.manifest.parameters.iter().map(|entry| entry.name.clone()).collect();
    for (name, values) in names.iter().zip(&mut steep.parameters) {
        match name.as_str() {
            // the loss is large but a number, and its gradient is none
            "hidden.weight" => values.fill(1e-30),
            "head.weight" => {
                values.iter_mut().enumerate().for_each(|(index, value)| *value = 1e20 * (index / 16) as f32)
            }
            _ => values.fill(0.0),
        }
    }
    let given = |index: u64, value: Option<f32>| {
        let mut given = batch(0, index, 9);
        let numbers = given.tensors.get_mut("x").unwrap().as_f32_mut().unwrap();
        value.into_iter().for_each(|value| numbers.fill(value));
        given
    };
    for on_host in [true, false] {
        for (program, bad) in [(steep.clone(), 1e25), (regularized_program(), f32::NAN)] {
            let mut runner = StepRunner::open_with_store(&program, &cpu, &settings(&program), on_host).unwrap();
            let is_steep = bad.is_finite();
            if !is_steep {
                let (_, outcome) = runner.step(given(0, None), 0.01).unwrap();
                assert!(outcome.updated && outcome.gradient_norm.is_some_and(|norm| norm > 0.0), "{on_host}");
            }
            let before = (runner.parameters().unwrap(), runner.state().unwrap());
            let (_, alone) = runner.step(given(1, Some(bad)), 0.01).unwrap();
            runner.gather(given(2, (!is_steep).then_some(0.5))).unwrap();
            runner.gather(given(3, Some(bad))).unwrap();
            let together = runner.update(0.01).unwrap();
            for outcome in [alone, together] {
                assert!(!outcome.updated && outcome.rows > 0, "on the host {on_host}: {outcome:?}");
                assert_eq!(outcome.loss.is_finite(), is_steep, "on the host {on_host}: {outcome:?}");
            }
            assert!(before == (runner.parameters().unwrap(), runner.state().unwrap()), "on the host {on_host}");
            if !is_steep {
                let (_, outcome) = runner.step(given(4, None), 0.01).unwrap();
                assert!(outcome.updated, "on the host {on_host}");
            }
        }
    }
}
