//! The update in Rust and the update as graph nodes are each other's twin.

use millstream_schemas::recipe::{AdamW, OptimizerRecipe, Sgd};

use super::{StepRunner, StepSettings};
use crate::support::{batch, program};
use crate::{Device, runtime};

#[test]
fn both_updates_lead_to_the_same_parameters_and_state() {
    let adamw = |weight_decay| AdamW { learning_rate: 0.02, weight_decay, ..AdamW::default() };
    let sgd = |momentum, nesterov| Sgd { learning_rate: 0.05, momentum, nesterov, weight_decay: 0.01 };
    let optimizers = [
        OptimizerRecipe::Adamw(adamw(0.1)),
        OptimizerRecipe::Adamw(adamw(0.0)),
        OptimizerRecipe::Sgd(sgd(0.0, false)),
        OptimizerRecipe::Sgd(sgd(0.9, false)),
        OptimizerRecipe::Sgd(sgd(0.9, true)),
    ];
    let device = Device::cpu(runtime::ready(None).unwrap());
    let mut program = program();
    program.manifest.parameters[0].learning_rate_multiplier = 0.25;
    for optimizer in optimizers {
        for gradient_clip_norm in [None, Some(0.3)] {
            let settings = StepSettings { optimizer: optimizer.clone(), gradient_clip_norm, threads: 1 };
            let open = |on_host| StepRunner::open_with_store(&program, &device, &settings, on_host).unwrap();
            let (mut in_rust, mut as_nodes) = (open(true), open(false));
            for step in 0..7 {
                // Steps of different length, so that a stale coefficient would show.
                let rate = settings.optimizer.learning_rate() * (1.0 + step as f32 / 3.0);
                let (_, a) = in_rust.step(batch(0, step, 9), rate).unwrap();
                let (_, b) = as_nodes.step(batch(0, step, 9), rate).unwrap();
                assert!((a.loss - b.loss).abs() < 1e-5, "step {step}: {} and {}", a.loss, b.loss);
                let (_, a) = in_rust.evaluate(batch(1, step, 9)).unwrap();
                let (_, b) = as_nodes.evaluate(batch(1, step, 9)).unwrap();
                assert_close(&a, &b, &format!("evaluation after step {step}"));
            }
            let what = format!("{optimizer:?}, clip {gradient_clip_norm:?}");
            for (a, b) in in_rust.parameters().unwrap().iter().zip(as_nodes.parameters().unwrap()) {
                assert_close(a, &b, &what);
            }
            let (a, b) = (in_rust.state().unwrap(), as_nodes.state().unwrap());
            assert_eq!((a.updates, b.updates), (7, 7));
            for (a, b) in a.tensors.iter().flatten().zip(b.tensors.iter().flatten()) {
                assert_close(a, b, &what);
            }
        }
    }
}

#[test]
fn state_that_was_read_and_written_back_goes_on_the_same_on_either_side() {
    let device = Device::cpu(runtime::ready(None).unwrap());
    for on_host in [true, false] {
        let open = || StepRunner::open_with_store(&program(), &device, &StepSettings::default(), on_host).unwrap();
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
        assert_eq!(second.parameters().unwrap(), whole.parameters().unwrap());
        assert_eq!(second.state().unwrap(), whole.state().unwrap());
    }
}

#[test]
fn parameters_and_state_that_do_not_fit_are_refused() {
    let device = Device::cpu(runtime::ready(None).unwrap());
    let mut runner = StepRunner::open(&program(), &device, &StepSettings::default()).unwrap();
    let mut parameters = runner.parameters().unwrap();
    parameters[0].pop();
    let message = runner.set_parameters(parameters).unwrap_err().to_string();
    assert!(message.contains("values, shape"), "{message}");
    let mut state = runner.state().unwrap();
    state.tensors[1].pop();
    assert!(runner.set_state(state).is_err());
}

fn assert_close(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 2e-6 + 1e-5 * a.abs(), "{what}: {a} and {b}");
    }
}
