//! Penalties are terms of the loss: their gradients are clipped with that of the loss, once for each update. A decay by L1 is none.

use serde_json::json;

use super::{StepRunner, StepSettings};
use crate::freezing::{FreezePlan, Freezing, Moment};
use crate::optimizers::{Averaging, Penalties, SharpnessAware};
use crate::support::{CLASSES, batch, optimizer, program, program_in};
use millstream_compiler::TrainingProgram;
use millstream_runtime::Device;
use millstream_schemas::Batch;
use millstream_schemas::recipe::Precision;

const STEPS: u64 = 3;
const RATE: f32 = 0.5;

/// One number for each element of each parameter.
type All = Vec<Vec<f64>>;

/// Every second batch has a row without weight.
fn given(index: u64) -> Batch {
    let mut given = batch(0, index, 9);
    if index % 2 == 1 {
        given.weights[0] = 0.0;
        given.tensors.get_mut("targets").unwrap().as_f32_mut().unwrap()[..CLASSES].fill(0.0);
    }
    given
}

fn is_frozen(plan: &FreezePlan, parameter: usize, step: u64) -> bool {
    plan.of().get(parameter).is_some_and(|cohort| plan.cohorts()[*cohort].is_frozen_at(0, step))
}

/// The mean gradient of the loss at these weights: what a step of SGD at a rate of 1 takes away.
fn of_loss(plain: &mut StepRunner, weights: &[Vec<f32>], batches: &[u64]) -> All {
    let (mut sum, mut total): (All, f64) = (weights.iter().map(|values| vec![0.0; values.len()]).collect(), 0.0);
    for index in batches {
        plain.set_parameters(weights.to_vec()).unwrap();
        let (_, outcome) = plain.step(given(*index), 1.0).unwrap();
        assert!(outcome.updated);
        let after = plain.parameters().unwrap();
        for ((sum, before), after) in sum.iter_mut().flatten().zip(weights.iter().flatten()).zip(after.iter().flatten())
        {
            *sum += outcome.weight * (f64::from(*before) - f64::from(*after));
        }
        total += outcome.weight;
    }
    sum.iter_mut().flatten().for_each(|value| *value /= total);
    sum
}

/// λ₁·sign(θ) + λ₂·θ + λ·(θ − θ₀) of what decays and is not frozen.
fn of_penalties(program: &TrainingProgram, settings: &StepSettings, weights: &[Vec<f32>], step: u64) -> All {
    let [l1, l2, l2_sp] = [settings.penalties.l1, settings.penalties.l2, settings.penalties.l2_sp].map(f64::from);
    let of_one = |(value, first): (&f32, &f32)| {
        let (value, first) = (f64::from(*value), f64::from(*first));
        let sign = if value == 0.0 { 0.0 } else { value.signum() };
        l1 * sign + l2 * value + l2_sp * (value - first)
    };
    let all = program.manifest.parameters.iter().zip(weights).zip(&program.parameters).enumerate();
    all.map(|(index, ((entry, values), first))| {
        if entry.weight_decay && !is_frozen(&settings.freezing, index, step) {
            values.iter().zip(first).map(of_one).collect::<Vec<f64>>()
        } else {
            vec![0.0; values.len()]
        }
    })
    .collect()
}

fn norm(gradients: &[Vec<f64>]) -> f64 {
    gradients.iter().flatten().map(|value| value * value).sum::<f64>().sqrt()
}

/// As PyTorch's `clip_grad_norm_` and then its `clip_grad_value_`.
fn clipped(settings: &StepSettings, gradients: &[Vec<f64>]) -> All {
    let scale = settings.gradient_clip_norm.map_or(1.0, |limit| (f64::from(limit) / (norm(gradients) + 1e-6)).min(1.0));
    let most = settings.gradient_clip_value.map_or(f64::INFINITY, f64::from);
    let of_one =
        |values: &Vec<f64>| values.iter().map(|value| (value * scale).clamp(-most, most)).collect::<Vec<f64>>();
    gradients.iter().map(of_one).collect()
}

fn sum(a: &[Vec<f64>], b: &[Vec<f64>]) -> All {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

fn largest_distance(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Three steps, each held against the one in doubles that begins at the same weights.
fn assert_steps(what: &str, program: &TrainingProgram, settings: &StepSettings, batches_of_step: u64, on_host: bool) {
    let cpu = Device::cpu(millstream_runtime::ready(None).unwrap());
    let without = StepSettings {
        gradient_clip_norm: None,
        gradient_clip_value: None,
        penalties: Penalties::default(),
        ..settings.clone()
    };
    let mut plain = StepRunner::open_with_store(program, &cpu, &without, on_host).unwrap();
    let mut runner = StepRunner::open_with_store(program, &cpu, settings, on_host).unwrap();
    for step in 0..STEPS {
        let what = format!("{what}, {batches_of_step} batches, on the host {on_host}, step {step}");
        let batches: Vec<u64> = (step * batches_of_step..(step + 1) * batches_of_step).collect();
        let before = runner.parameters().unwrap();
        plain.freeze_at(0, step).unwrap();
        runner.freeze_at(0, step).unwrap();
        let of_loss = of_loss(&mut plain, &before, &batches);
        let of_penalties = of_penalties(program, settings, &before, step);
        let whole = sum(&of_loss, &of_penalties);
        let wanted = clipped(settings, &whole);
        let outcome = match batches[..] {
            [only] => runner.step(given(only), RATE).unwrap().1,
            _ => {
                batches.iter().for_each(|index| _ = runner.gather(given(*index)).unwrap());
                runner.update(RATE).unwrap()
            }
        };
        assert!(outcome.updated, "{what}: {outcome:?}");
        let of_whole = norm(&whole);
        let told = outcome.gradient_norm.unwrap();
        assert!((told - of_whole).abs() < 1e-5 * (1.0 + of_whole), "{what}: norm {told}, wanted {of_whole}");
        let after = runner.parameters().unwrap();
        let change = |(before, after): (&f32, &f32)| (f64::from(*before) - f64::from(*after)) / f64::from(RATE);
        let got: All =
            before.iter().zip(&after).map(|(before, after)| before.iter().zip(after).map(change).collect()).collect();
        let off = largest_distance(&got, &wanted);
        assert!(off < 2e-6, "{what}: off by {off}");
        let behind = largest_distance(&got, &sum(&clipped(settings, &of_loss), &of_penalties));
        assert!(behind > 1e-3, "{what}: not told apart from penalties that are added behind clipping");
    }
}

#[test]
fn penalties_are_clipped_with_the_gradient_of_the_loss() {
    let settings = StepSettings {
        optimizer: optimizer("sgd", json!({"momentum": 0, "weight_decay": 0})),
        penalties: Penalties { l1: 0.05, l2: 0.5, l2_sp: 1.0 },
        watch_gradients: true,
        threads: 1,
        ..StepSettings::default()
    };
    let whole = program();
    let mut plan = vec![Freezing::default(); whole.manifest.parameters.len()];
    plan[0] = Freezing { starts_frozen: true, changes: vec![(Moment::Step(1), false)], ..Freezing::default() };
    let frozen = StepSettings { freezing: FreezePlan::new(plan), ..settings.clone() };
    let sharpness_aware = Some(SharpnessAware { rho: 0.1, adaptive: false });
    let uphill = StepSettings { sharpness_aware, ..settings.clone() };
    let rows = [
        ("plain", program(), settings.clone()),
        ("with a layer that is frozen at first", whole, frozen),
        ("sharpness-aware", program(), uphill),
        ("float16", program_in(Precision::Float16), settings),
    ];
    for (what, program, settings) in &rows {
        for (gradient_clip_norm, gradient_clip_value) in
            [(Some(0.3), None), (None, Some(0.02)), (Some(0.5), Some(0.03))]
        {
            let settings = StepSettings { gradient_clip_norm, gradient_clip_value, ..settings.clone() };
            let what = format!("{what}, clip by norm {gradient_clip_norm:?} and by value {gradient_clip_value:?}");
            for (batches_of_step, on_host) in [(1, true), (1, false), (2, true), (2, false)] {
                assert_steps(&what, program, &settings, batches_of_step, on_host);
            }
        }
    }
}

/// Behind each update, on both stores and with two batches for each: the step without the decay, then soft thresholding by the rate
/// of that step. The average follows the weights that were thresholded.
#[test]
fn decay_by_l1_is_soft_thresholding_behind_the_step_and_leaves_exact_zeros() {
    const STRENGTH: f32 = 0.2;
    let cpu = Device::cpu(millstream_runtime::ready(None).unwrap());
    let mut program = program();
    program.manifest.parameters[0].learning_rate_multiplier = 0.25;
    let entries = program.manifest.parameters.clone();
    for averaging in [None, Some(Averaging::Exponential { decay: 0.5 })] {
        let plain = StepSettings {
            optimizer: optimizer("sgd", json!({"momentum": 0, "weight_decay": 0})),
            averaging,
            threads: 1,
            ..StepSettings::default()
        };
        let decaying = StepSettings { l1_decay: STRENGTH, ..plain.clone() };
        for (batches, on_host) in [(1, true), (1, false), (2, true), (2, false)] {
            let what = format!("{averaging:?}, {batches} batches, on the host {on_host}");
            let open = |settings| StepRunner::open_with_store(&program, &cpu, settings, on_host).unwrap();
            let (mut without, mut with) = (open(&plain), open(&decaying));
            let mut zeros = 0;
            for step in 0..STEPS {
                let rate = RATE / (1.0 + step as f32);
                let average = with.averaged_parameters().unwrap();
                without.set_parameters(with.parameters().unwrap()).unwrap();
                for runner in [&mut without, &mut with] {
                    for index in 0..batches {
                        runner.gather(given(2 * step + index)).unwrap();
                    }
                    assert!(runner.update(rate).unwrap().updated, "{what}");
                }
                let (plain, got) = (without.parameters().unwrap(), with.parameters().unwrap());
                for ((entry, plain), got) in entries.iter().zip(&plain).zip(&got) {
                    let threshold =
                        if entry.weight_decay { STRENGTH * rate * entry.learning_rate_multiplier } else { 0.0 };
                    for (plain, got) in plain.iter().zip(got) {
                        let wanted = plain.signum() * (plain.abs() - threshold).max(0.0);
                        assert!((got - wanted).abs() < 1e-6, "{what}, step {step}: {got}, wanted {wanted}");
                        let is_far_within = plain.abs() < threshold - 1e-6;
                        assert!(!is_far_within || *got == 0.0, "{what}, step {step}: {got} is no exact zero");
                        zeros += usize::from(is_far_within);
                    }
                }
                // after the first step the average is the weights
                let share = [1.0, 1.0 - 2.0 / 11.0, 1.0 - 3.0 / 12.0][step as usize];
                let averaged = with.averaged_parameters().unwrap();
                for ((before, got), after) in
                    average.iter().flatten().zip(got.iter().flatten()).zip(averaged.iter().flatten())
                {
                    let wanted = if averaging.is_some() { before + share * (got - before) } else { *got };
                    assert!((after - wanted).abs() < 1e-6, "{what}, step {step}: {after}, wanted {wanted}");
                }
            }
            assert!(zeros > 0, "{what}: nothing reached 0");
        }
    }
    let of_average = StepSettings {
        optimizer: optimizer("schedule_free_adamw", json!({})),
        l1_decay: STRENGTH,
        threads: 1,
        ..StepSettings::default()
    };
    let message = of_average.check(&program).unwrap_err().to_string();
    assert!(message.contains("training.l1_decay") && message.contains("another optimizer"), "{message}");
    let mut of_norms = program.clone();
    of_norms.manifest.parameters.iter_mut().for_each(|entry| entry.weight_decay = false);
    let drawn = StepSettings { l1_decay: STRENGTH, threads: 1, ..StepSettings::default() };
    drawn.check(&program).unwrap();
    let message = drawn.check(&of_norms).unwrap_err().to_string();
    assert!(message.contains("training.l1_decay") && message.contains("`training.decay_all: true`"), "{message}");
    let below = StepSettings { l1_decay: -0.1, threads: 1, ..StepSettings::default() };
    let message = below.check(&program).unwrap_err().to_string();
    assert!(message.contains("training.l1_decay") && message.contains("0 or more"), "{message}");
}
