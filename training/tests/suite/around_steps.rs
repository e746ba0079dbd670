//! What stands around the optimizer: slow weights, the way uphill, noise on gradients.

use crate::runs::{bits, device, run, settings};
use crate::support::{batch, optimizer, program, regularized_program};
use crate::training::resumed_with;
use millstream_compiler::TrainingProgram;
use millstream_training::optimizers::{Averaging, Lookahead, SharpnessAware};
use millstream_training::{
    FreezePlan, Freezing, GradientNoise, Moment, StepRunner, StepSettings, Trainer, TrainerSettings, checkpoint,
};
use serde_json::json;

/// Plain descent, at a rate that tests choose step by step.
fn descent() -> StepSettings {
    let optimizer = optimizer("sgd", json!({"momentum": 0, "weight_decay": 0}));
    StepSettings { optimizer, threads: 1, seed: 3, ..StepSettings::default() }
}

fn runner(program: &TrainingProgram, settings: &StepSettings) -> StepRunner {
    StepRunner::open(program, &device(), settings).unwrap()
}

/// The gradients of a batch at some weights, which plain descent of rate 1 takes away.
fn gradients(program: &TrainingProgram, at: &[Vec<f32>], index: u64) -> Vec<Vec<f64>> {
    let mut runner = runner(program, &descent());
    runner.set_parameters(at.to_vec()).unwrap();
    runner.step(batch(0, index, 9), 1.0).unwrap();
    difference(at, &runner.parameters().unwrap())
}

fn difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let of = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
    a.iter().zip(b).map(of).collect()
}

fn is_weight(program: &TrainingProgram, index: usize) -> bool {
    !program.manifest.parameters[index].is_statistic
}

fn assert_close(got: &[Vec<f64>], wanted: &[Vec<f64>], tolerance: f64, what: &str) {
    for (got, wanted) in got.iter().flatten().zip(wanted.iter().flatten()) {
        assert!((got - wanted).abs() < tolerance, "{what}: {got}, wanted {wanted}");
    }
}

/// The gradient of a step is that of the same rows, with the same dropout, at w + ρ·g/‖g‖, or w + ρ·w²·g/‖|w|·g‖; the running
/// statistics are those of the run at w, and the loss is the one there.
#[test]
fn gradients_of_a_step_are_those_a_way_uphill() {
    for program in [program(), regularized_program()] {
        for adaptive in [false, true] {
            let what = format!("adaptive {adaptive}, {} parameters", program.parameters.len());
            let rho = 0.2;
            let at = &program.parameters;
            let slope = gradients(&program, at, 0);
            let scale = |value: f32| if adaptive { f64::from(value.abs()) } else { 1.0 };
            let weights: Vec<usize> = (0..at.len()).filter(|index| is_weight(&program, *index)).collect();
            let numbers = weights.iter().flat_map(|index| slope[*index].iter().zip(&at[*index]));
            let norm = numbers.map(|(slope, value)| (slope * scale(*value)).powi(2)).sum::<f64>().sqrt();
            let mut uphill = at.clone();
            for index in &weights {
                for (value, slope) in uphill[*index].iter_mut().zip(&slope[*index]) {
                    *value += (f64::from(rho) * scale(*value).powi(2) * slope / norm) as f32;
                }
            }
            let wanted = gradients(&program, &uphill, 0);
            let settings = StepSettings { sharpness_aware: Some(SharpnessAware { rho, adaptive }), ..descent() };
            let (mut sharp, mut plain) = (runner(&program, &settings), runner(&program, &descent()));
            let (_, outcome) = sharp.step(batch(0, 0, 9), 1.0).unwrap();
            let (_, of_plain) = plain.step(batch(0, 0, 9), 1.0).unwrap();
            assert_eq!(outcome.loss, of_plain.loss, "{what}");
            let [after, of_plain] = [sharp, plain].map(|runner| runner.parameters().unwrap());
            let got = difference(at, &after);
            for index in 0..at.len() {
                if is_weight(&program, index) {
                    assert_close(&got[index..=index], &wanted[index..=index], 1e-5, &what);
                } else {
                    assert_eq!(after[index], of_plain[index], "{what}: a running statistic");
                }
            }
            let moved = got.iter().flatten().zip(slope.iter().flatten()).map(|(a, b)| (a - b).abs());
            assert!(moved.fold(0.0, f64::max) > 1e-3, "{what}: the way makes no difference");
        }
    }
}

/// Each batch of a step goes its own way, and the mean of what is found there is taken.
#[test]
fn of_several_batches_each_goes_its_own_way_uphill() {
    let program = program();
    let sharpness_aware = Some(SharpnessAware { rho: 0.2, adaptive: false });
    let settings = StepSettings { sharpness_aware, ..descent() };
    let alone = [0, 1].map(|index| {
        let mut runner = runner(&program, &settings);
        runner.step(batch(0, index, 9), 1.0).unwrap();
        difference(&program.parameters, &runner.parameters().unwrap())
    });
    let mut together = runner(&program, &settings);
    for index in [0, 1] {
        together.gather(batch(0, index, 9)).unwrap();
    }
    together.update(1.0).unwrap();
    let mean = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| (a + b) / 2.0).collect();
    let wanted: Vec<Vec<f64>> = alone[0].iter().zip(&alone[1]).map(mean).collect();
    assert_close(&difference(&program.parameters, &together.parameters().unwrap()), &wanted, 1e-6, "two batches");
}

#[test]
fn what_is_frozen_does_not_go_uphill_and_has_no_noise() {
    let program = program();
    let is_head = |index: usize| program.manifest.parameters[index].layer == "head";
    let late = Freezing { starts_frozen: true, changes: vec![(Moment::Step(9), false)], ..Freezing::default() };
    let of = |index| if is_head(index) { Freezing::default() } else { late.clone() };
    let freezing = FreezePlan::new((0..program.parameters.len()).map(of).collect());
    let sharpness_aware = Some(SharpnessAware { rho: 0.2, adaptive: false });
    let gradient_noise = Some(GradientNoise { eta: 0.1, gamma: 0.0 });
    let lookahead = Some(Lookahead { steps: 2, alpha: 0.5 });
    let settings = StepSettings { freezing: freezing.clone(), sharpness_aware, gradient_noise, lookahead, ..descent() };
    let mut noisy = runner(&program, &settings);
    for step in 0..3 {
        noisy.step(batch(0, step, 9), 0.1).unwrap();
    }
    let after = noisy.parameters().unwrap();
    for (index, entry) in program.manifest.parameters.iter().enumerate() {
        assert_eq!(after[index] == program.parameters[index], !is_head(index), "{}", entry.name);
    }
    // the way is that of the head alone
    let mut sharp = runner(&program, &StepSettings { freezing, sharpness_aware, ..descent() });
    sharp.step(batch(0, 0, 9), 1.0).unwrap();
    let slope = gradients(&program, &program.parameters, 0);
    let heads: Vec<usize> = (0..slope.len()).filter(|index| is_head(*index)).collect();
    let norm = heads.iter().flat_map(|index| &slope[*index]).map(|slope| slope * slope).sum::<f64>().sqrt();
    let mut uphill = program.parameters.clone();
    for index in &heads {
        uphill[*index].iter_mut().zip(&slope[*index]).for_each(|(value, slope)| *value += (0.2 * slope / norm) as f32);
    }
    let (got, wanted) = (sharp.parameters().unwrap(), gradients(&program, &uphill, 0));
    for index in heads {
        let got = difference(&program.parameters[index..=index], &got[index..=index]);
        assert_close(&got, &wanted[index..=index], 1e-5, "the head");
    }
}

#[test]
fn noise_follows_from_seed_step_and_parameter_and_falls() {
    let program = regularized_program();
    let noisy =
        |seed, gamma| StepSettings { gradient_noise: Some(GradientNoise { eta: 0.25, gamma }), seed, ..descent() };
    let moved = |settings: &StepSettings, step: u64| {
        let mut runner = runner(&program, settings);
        for _ in 0..step {
            runner.step(batch(0, 0, 9), 0.0).unwrap();
        }
        let before = runner.parameters().unwrap();
        runner.step(batch(0, 0, 9), 1.0).unwrap();
        difference(&before, &runner.parameters().unwrap())
    };
    let noise = |seed, gamma, step| -> Vec<Vec<f64>> {
        let (with, without) = (moved(&noisy(seed, gamma), step), moved(&StepSettings { seed, ..descent() }, step));
        let of = |(with, without): (&Vec<f64>, &Vec<f64>)| with.iter().zip(without).map(|(a, b)| a - b).collect();
        with.iter().zip(&without).map(of).collect()
    };
    let (first, third) = (noise(3, 0.55, 0), noise(3, 0.55, 2));
    assert_eq!(first, noise(3, 0.55, 0));
    assert!(first != noise(4, 0.55, 0) && first != third);
    // parameters of one length have noise of their own
    let lengths: Vec<usize> = first.iter().map(Vec::len).collect();
    let twins = (0..lengths.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let twins: Vec<_> = twins.filter(|(a, b)| lengths[*a] == lengths[*b] && is_weight(&program, *a)).collect();
    assert!(!twins.is_empty() && twins.iter().all(|(a, b)| first[*a] != first[*b]), "{lengths:?}");
    let deviation = |noise: &[Vec<f64>]| {
        let numbers: Vec<f64> = (0..noise.len())
            .filter(|index| is_weight(&program, *index))
            .flat_map(|index| noise[index].clone())
            .collect();
        (numbers.iter().map(|number| number * number).sum::<f64>() / numbers.len() as f64).sqrt()
    };
    // √η, and √(η/3^γ): of about 200 numbers, within four standard deviations
    for (noise, wanted) in [(&first, 0.5), (&third, (0.25 / 3.0_f64.powf(0.55)).sqrt())] {
        assert!((deviation(noise) / wanted - 1.0).abs() < 0.2, "{}, wanted {wanted}", deviation(noise));
    }
    for (index, noise) in first.iter().enumerate() {
        assert_eq!(noise.iter().any(|number| *number != 0.0), is_weight(&program, index), "parameter {index}");
    }
}

#[test]
fn slow_weights_are_evaluated_and_exported() {
    let program = program();
    let settings = StepSettings { lookahead: Some(Lookahead { steps: 3, alpha: 0.5 }), ..descent() };
    let mut runner = runner(&program, &settings);
    for step in 0..7 {
        runner.step(batch(0, step, 9), 0.1).unwrap();
        let (fast, slow) = (runner.parameters().unwrap(), runner.averaged_parameters().unwrap());
        assert_eq!(bits(&fast) == bits(&slow), step % 3 == 2, "step {step}");
        assert_eq!(slow == program.parameters, step < 2, "step {step}");
    }
}

#[test]
fn all_of_it_is_resumed_to_the_bit() {
    let change = |settings: &mut TrainerSettings| {
        settings.step.lookahead = Some(Lookahead { steps: 4, alpha: 0.5 });
        settings.step.sharpness_aware = Some(SharpnessAware { rho: 0.05, adaptive: true });
        settings.step.gradient_noise = Some(GradientNoise { eta: 0.01, gamma: 0.55 });
    };
    resumed_with(&regularized_program(), &change, [7, 10, 1, 20]);
    let several = |settings: &mut TrainerSettings| {
        change(settings);
        settings.step.optimizer = optimizer("adamw_8bit", json!({"min_8bit_size": 1, "learning_rate": 0.01}));
        settings.accumulate = 2;
        settings.step.averaging = Some(Averaging::Exponential { decay: 0.9 });
    };
    resumed_with(&regularized_program(), &several, [4, 6, 1, 12]);
}

#[test]
fn a_checkpoint_of_other_surroundings_is_not_resumed_and_nonsense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let program = program();
    let mut trainer = Trainer::open(&program, &device(), settings(2, Some(folder.path()))).unwrap();
    run(&mut trainer, 2, 7);
    type Change = fn(&mut StepSettings);
    let rows: [(Change, &str); 3] = [
        (|step| step.lookahead = Some(Lookahead { steps: 4, alpha: 0.5 }), "the lookahead differs"),
        (
            |step| step.sharpness_aware = Some(SharpnessAware { rho: 0.05, adaptive: true }),
            "the way uphill of steps differs",
        ),
        (|step| step.gradient_noise = Some(GradientNoise { eta: 0.01, gamma: 0.55 }), "the noise on gradients differs"),
    ];
    for (change, wanted) in rows {
        let saved = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
        let mut other = settings(2, None);
        change(&mut other.step);
        let message = Trainer::resume(&program, &device(), other, saved).err().unwrap().to_string();
        assert!(message.contains(wanted), "{wanted} is missing in: {message}");
    }
    let rows: [(Change, &str); 8] = [
        (|step| step.lookahead = Some(Lookahead { steps: 0, alpha: 0.5 }), "training.lookahead.steps is 0"),
        (|step| step.lookahead = Some(Lookahead { steps: 5, alpha: 0.0 }), "training.lookahead.alpha is 0"),
        (|step| step.lookahead = Some(Lookahead { steps: 5, alpha: 1.5 }), "training.lookahead.alpha is 1.5"),
        (
            |step| step.sharpness_aware = Some(SharpnessAware { rho: 0.0, adaptive: false }),
            "training.sharpness_aware.rho is 0",
        ),
        (
            |step| step.sharpness_aware = Some(SharpnessAware { rho: f32::NAN, adaptive: false }),
            "training.sharpness_aware.rho is NaN",
        ),
        (
            |step| step.gradient_noise = Some(GradientNoise { eta: -1.0, gamma: 0.5 }),
            "training.gradient_noise.eta is -1",
        ),
        (
            |step| step.gradient_noise = Some(GradientNoise { eta: 0.1, gamma: -0.5 }),
            "training.gradient_noise.gamma is -0.5",
        ),
        (
            |step| {
                step.optimizer = optimizer("schedule_free_adamw", json!({}));
                step.lookahead = Some(Lookahead { steps: 5, alpha: 0.5 });
            },
            "training.lookahead is 5 steps: wanted another optimizer beside it",
        ),
    ];
    for (change, wanted) in rows {
        let mut wrong = settings(1, None);
        change(&mut wrong.step);
        let message = Trainer::open(&program, &device(), wrong).err().unwrap().to_string();
        assert!(message.starts_with(wanted), "{wanted} is not the start of: {message}");
    }
}
