//! Steps in 16 bits, in float16 with a scaled loss, updated in Rust and as graph nodes. ONNX Runtime's CPU provider computes them in 32 bits, so
//! that a scale has to be far larger here to be too large.

use serde_json::json;

use super::{LossScale, OptimizerState, StepRunner, StepSettings};
use crate::support::{batch, devices, optimizer, program, program_in};
use millstream_compiler::TrainingProgram;
use millstream_runtime::{Device, DeviceKind};
use millstream_schemas::Batch;
use millstream_schemas::recipe::Precision;

fn runners(program: &TrainingProgram, settings: &StepSettings) -> Vec<(String, StepRunner)> {
    let cpu = Device::cpu(millstream_runtime::ready(None).unwrap());
    let all = devices().into_iter().map(|device| (device, false)).chain([(cpu, true)]);
    let open = |(device, on_host): (Device, bool)| {
        let runner = StepRunner::open_with_store(program, &device, settings, on_host).unwrap();
        (format!("on {device}, update on the host: {on_host}"), runner)
    };
    all.map(open).collect()
}

fn settings() -> StepSettings {
    StepSettings {
        optimizer: optimizer("sgd", json!({"learning_rate": 0.01})),
        gradient_clip_norm: Some(0.3),
        threads: 1,
        seed: 3,
        ..StepSettings::default()
    }
}

#[test]
fn steps_on_a_device_in_any_precision_are_those_of_32_bits_within_its_tolerance() {
    let cpu = Device::cpu(millstream_runtime::ready(None).unwrap());
    let mut wanted = StepRunner::open(&program(), &cpu, &settings()).unwrap();
    let losses = |runner: &mut StepRunner| -> Vec<f32> {
        (0..7).map(|step| runner.step(batch(0, step, 9), 0.05).unwrap().1.loss).collect()
    };
    let wanted = (losses(&mut wanted), wanted.parameters().unwrap().concat());
    for device in devices().into_iter().filter(|device| matches!(device.kind, DeviceKind::Cuda(_))) {
        for (precision, tolerance) in [(Precision::Tf32, 5e-3), (Precision::Float16, 5e-3), (Precision::Bfloat16, 4e-2)]
        {
            let mut runner =
                StepRunner::open(&program_in(precision), &device.clone().using_tf32(), &settings()).unwrap();
            let got = (losses(&mut runner), runner.parameters().unwrap().concat());
            for (got, wanted) in [(&got.0, &wanted.0), (&got.1, &wanted.1)] {
                let off = got.iter().zip(wanted).map(|(got, wanted)| (got - wanted).abs()).fold(0.0, f32::max);
                assert!(off < tolerance, "{precision:?} on {device}: off by {off}, {:?}", runner.warning());
            }
        }
    }
}

/// Too large for the gradients of [`long_batch`].
const LARGE: f32 = f32::from_bits(253 << 23); // 2¹²⁶

/// A batch of long inputs.
fn long_batch(index: u64) -> Batch {
    let mut batch = batch(0, index, 9);
    batch.tensors.get_mut("x").unwrap().as_f32_mut().unwrap().iter_mut().for_each(|value| *value *= 100.0);
    batch
}

fn at(scale: f32) -> Option<LossScale> {
    Some(LossScale { scale, updates: 0, skipped: 0 })
}

#[test]
fn steps_are_those_of_32_bits_within_the_tolerance_whatever_the_scale() {
    let mut wanted = StepRunner::open_with_store(
        &program(),
        &Device::cpu(millstream_runtime::ready(None).unwrap()),
        &settings(),
        true,
    )
    .unwrap();
    for step in 0..7 {
        wanted.step(batch(0, step, 9), 0.01).unwrap();
    }
    let wanted: Vec<f32> = wanted.parameters().unwrap().concat();
    let mut all: Vec<Vec<f32>> = Vec::new();
    for scale in [1024.0, 8192.0] {
        for (what, mut runner) in runners(&program_in(Precision::Float16), &settings()) {
            let state = runner.state().unwrap();
            assert_eq!(state.loss_scale, Some(LossScale::default()), "{what}");
            runner.set_state(OptimizerState { loss_scale: at(scale), ..state }).unwrap();
            for step in 0..7 {
                let (_, outcome) = runner.step(batch(0, step, 9), 0.01).unwrap();
                assert!(outcome.updated && !outcome.skipped && outcome.gradient_norm.unwrap() < 10.0, "{what}");
            }
            assert_eq!(runner.state().unwrap().loss_scale, Some(LossScale { scale, updates: 7, skipped: 0 }), "{what}");
            all.push(runner.parameters().unwrap().concat());
        }
    }
    for got in &all {
        let off = got.iter().zip(&wanted).map(|(got, wanted)| (got - wanted).abs()).fold(0.0, f32::max);
        assert!(off < 5e-3, "off by {off}");
        let apart = got.iter().zip(&all[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-3, "two scales or stores are {apart} apart");
    }
}

#[test]
fn an_update_by_gradients_that_are_not_finite_is_left_out_and_the_scale_halved_until_they_are() {
    for (what, mut runner) in runners(&program_in(Precision::Float16), &settings()) {
        runner.step(long_batch(0), 0.01).unwrap();
        let state = runner.state().unwrap();
        runner.set_state(OptimizerState { loss_scale: at(LARGE), ..state }).unwrap();
        let (before, state) = (runner.parameters().unwrap(), runner.state().unwrap());
        let mut skipped = 0;
        loop {
            let (_, outcome) = runner.step(long_batch(1), 0.01).unwrap();
            if !outcome.skipped {
                assert!(outcome.updated && outcome.loss.is_finite(), "{what}: {outcome:?}");
                break;
            }
            skipped += 1;
            let now = runner.state().unwrap();
            let scale = LARGE / 2.0_f32.powi(skipped);
            let wanted = Some(LossScale { scale, updates: 0, skipped: skipped as u64 });
            assert_eq!((now.loss_scale, outcome.loss_scale), (wanted, wanted), "{what}");
            assert!(!outcome.updated && !outcome.gradient_norm.unwrap().is_finite(), "{what}: {outcome:?}");
            assert_eq!((now.updates, &now.tensors), (state.updates, &state.tensors), "{what}");
            assert_eq!(runner.parameters().unwrap(), before, "{what}");
        }
        assert!((2..126).contains(&skipped), "{what}: {skipped}");
        assert_ne!(runner.parameters().unwrap(), before, "{what}");
        assert_eq!(runner.state().unwrap().updates, state.updates + 1, "{what}");
        // of several batches, one that overflows leaves out the step
        let state = runner.state().unwrap();
        runner.set_state(OptimizerState { loss_scale: at(LARGE), ..state }).unwrap();
        let before = runner.parameters().unwrap();
        runner.gather(long_batch(2)).unwrap();
        runner.gather(long_batch(3)).unwrap();
        let outcome = runner.update(0.01).unwrap();
        assert!(outcome.skipped && !outcome.updated, "{what}: {outcome:?}");
        assert_eq!(runner.parameters().unwrap(), before, "{what}");
    }
}

#[test]
fn a_loss_that_is_no_number_is_no_matter_of_the_scale() {
    for (what, mut runner) in runners(&program_in(Precision::Float16), &settings()) {
        let mut wide = batch(0, 0, 9);
        wide.tensors.get_mut("x").unwrap().as_f32_mut().unwrap().fill(f32::MAX);
        let (_, outcome) = runner.step(wide, 0.01).unwrap();
        assert!(!outcome.loss.is_finite() && !outcome.updated && !outcome.skipped, "{what}: {outcome:?}");
        assert_eq!(runner.state().unwrap().loss_scale, Some(LossScale::default()), "{what}");
    }
}

#[test]
fn state_that_was_read_and_written_back_goes_on_the_same() {
    let all = || runners(&program_in(Precision::Float16), &settings());
    for ((what, mut whole), ((_, mut first), (_, mut second))) in all().into_iter().zip(all().into_iter().zip(all())) {
        // overflows twice on the way
        let begin = |runner: &mut StepRunner| {
            let state = runner.state().unwrap();
            runner.set_state(OptimizerState { loss_scale: at(LARGE / 2.0_f32.powi(3)), ..state }).unwrap();
        };
        begin(&mut whole);
        begin(&mut first);
        (0..9).for_each(|step| _ = whole.step(long_batch(step), 0.01).unwrap());
        (0..4).for_each(|step| _ = first.step(long_batch(step), 0.01).unwrap());
        second.set_parameters(first.parameters().unwrap()).unwrap();
        second.set_state(first.state().unwrap()).unwrap();
        (4..9).for_each(|step| _ = second.step(long_batch(step), 0.01).unwrap());
        let state = whole.state().unwrap();
        assert!(state.loss_scale.unwrap().skipped > 0, "{what}: {:?}", state.loss_scale);
        assert_eq!(second.state().unwrap(), state, "{what}");
        assert_eq!(second.parameters().unwrap(), whole.parameters().unwrap(), "{what}");
    }
}
