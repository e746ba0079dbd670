//! Functions whose optimum is known.

use millstream_schemas::Choice;
use millstream_search::{Catalogs, Objective, Space, Study, StudySettings};
use serde_json::{Value, json};

/// A function of settings, to be minimized.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) space: fn() -> Value,
    pub(crate) value: fn(&Value) -> f64,
}

pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "branin", space: branin_space, value: branin },
    Function { name: "hartmann6", space: hartmann_space, value: hartmann },
    Function { name: "mixed", space: mixed_space, value: mixed },
];

/// A study of a function.
pub(crate) fn study(function: &Function, proposer: Choice, seed: u64) -> Study {
    let (space, _) = Space::extract(&(function.space)()).expect("the space makes sense");
    let mut settings = StudySettings::new(function.name, space, vec![Objective::minimize("value")]);
    (settings.proposer, settings.seed) = (proposer, seed);
    Study::new(settings, &Catalogs::default()).expect("the settings go together")
}

fn number(settings: &Value, name: &str) -> f64 {
    settings[name].as_f64().expect("every number is set")
}

fn branin_space() -> Value {
    json!({"x": {"uniform": [-5, 10]}, "y": {"uniform": [0, 15]}})
}

/// The optimum is 0.397887.
fn branin(settings: &Value) -> f64 {
    use std::f64::consts::PI;
    let (x, y) = (number(settings, "x"), number(settings, "y"));
    let bowl = y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0;
    bowl * bowl + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0
}

fn hartmann_space() -> Value {
    (0..6).map(|at| (format!("x{at}"), json!({"uniform": [0, 1]}))).collect()
}

/// The optimum is −3.32237.
fn hartmann(settings: &Value) -> f64 {
    const HEIGHTS: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
    const WIDTHS: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const PLACES: [[f64; 6]; 4] = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ];
    let hill = |hill: usize| {
        let distance: f64 =
            (0..6).map(|at| WIDTHS[hill][at] * (number(settings, &format!("x{at}")) - PLACES[hill][at]).powi(2)).sum();
        HEIGHTS[hill] * (-distance).exp()
    };
    -(0..4).map(hill).sum::<f64>()
}

fn mixed_space() -> Value {
    json!({
        "lr": {"log_uniform": [1e-5, 1]},
        "wd": {"log_uniform": [1e-6, 0.1]},
        "dropout": {"uniform": [0.0, 0.5]},
        "layers": {"integer": [1, 8]},
        "opt": {"choose": ["sgd", "adam", "lion"]},
    })
}

/// As training with an optimizer, each of which wants another learning rate; the optimum is 0.
fn mixed(settings: &Value) -> f64 {
    let (best, penalty) = match settings["opt"].as_str() {
        Some("sgd") => (-1.0, 0.15),
        Some("adam") => (-3.0, 0.0),
        _ => (-4.0, 0.05),
    };
    let a = (number(settings, "lr").log10() - best) / 1.5;
    let b = (number(settings, "wd").log10() + 3.0) / 2.0;
    let d = (number(settings, "dropout") - 0.1) / 0.3;
    let e = (number(settings, "layers") - 5.0) / 4.0;
    penalty + 1.0 - (-a * a / 2.0).exp() + 0.2 * b * b + 0.2 * d * d + 0.3 * e * e + 0.2 * (a * b).abs()
}
