//! Losses, run by ONNX Runtime: values worked by hand or published, gradients against central differences, and what holds
//! for every row of the catalog.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod loss_files;
mod onnx_runtime;
mod opened_loss;

use loss_files::loss_file;
use millstream_compiler::graph::{ElementType, Length, TensorType};
use millstream_compiler::losses::{LossProgram, PredictionKind, standard};
use millstream_compiler::{Loss, OperatorCatalog};
use millstream_schemas::AxisLength;
use millstream_schemas::choice::Row;
use onnx_runtime::{floats, run, session};
use opened_loss::{Batch, Computed, Opened, choose, loss};
use ort::value::Tensor;
use serde_json::{Value, json};

#[test]
fn values_are_those_worked_by_hand_or_published() {
    if !onnx_runtime::available() {
        return;
    }
    let ln = f64::ln;
    // Scores of two classes for which the first has the probability p.
    let scores = |p: f64| [ln(p / (1.0 - p)) as f32, 0.0];
    let first = [1.0_f32, 0.0];
    type Row<'a> = (&'a str, Value, &'a [usize], Vec<f32>, Vec<f32>, &'a [f32], f64);
    let rows: Vec<Row<'_>> = vec![
        ("cross_entropy", json!({}), &[1, 2], scores(0.8).to_vec(), first.to_vec(), &[], -ln(0.8)),
        // The same smoothed by 0.2: 0.9 of the first class, 0.1 of the second.
        (
            "cross_entropy",
            json!({"label_smoothing": 0.2}),
            &[1, 2],
            scores(0.8).to_vec(),
            first.to_vec(),
            &[],
            -0.9 * ln(0.8) - 0.1 * ln(0.2),
        ),
        // Two pixels of one image, each with two classes; the second pixel has no class.
        (
            "cross_entropy",
            json!({}),
            &[1, 2, 2],
            vec![scores(0.8)[0], 5.0, 0.0, -3.0],
            vec![1.0, 0.0, 0.0, 0.0],
            &[],
            -ln(0.8),
        ),
        (
            "sparse_cross_entropy",
            json!({}),
            &[2, 2],
            [scores(0.8), scores(0.4)].concat(),
            vec![0.0, 1.0],
            &[],
            -(ln(0.8) + ln(0.6)) / 2.0,
        ),
        // Three pixels count in all, two of the first image and one of the second: they count alike.
        (
            "sparse_cross_entropy",
            json!({"ignore_index": 255}),
            &[2, 2, 2],
            vec![scores(0.8)[0], scores(0.5)[0], 0.0, 0.0, scores(0.4)[0], 7.0, 0.0, 0.0],
            vec![0.0, 1.0, 1.0, 255.0],
            &[],
            -(ln(0.8) + ln(0.5) + ln(0.6)) / 3.0,
        ),
        // Lin et al. 2017, section 3.2: with γ = 2 an example with p = 0.9 has a loss 100 times lower than with
        // cross-entropy, and one with p ≈ 0.968 a loss 1000 times lower.
        ("focal", json!({}), &[1, 2], scores(0.9).to_vec(), first.to_vec(), &[], -ln(0.9) / 100.0),
        (
            "focal",
            json!({"gamma": 2}),
            &[1, 2],
            scores(0.968).to_vec(),
            first.to_vec(),
            &[],
            -ln(0.968) * 0.032 * 0.032,
        ),
        (
            "focal",
            json!({"gamma": 1, "alpha": [0.75, 0.25]}),
            &[1, 2],
            scores(0.8).to_vec(),
            vec![0.25, 0.75],
            &[],
            -(0.75 * 0.25 * 0.2 * ln(0.8) + 0.25 * 0.75 * 0.8 * ln(0.2)),
        ),
        // scikit-learn's example of mean_squared_error: 0.375; of rows of two numbers: 0.708…
        ("mse", json!({}), &[4, 1], vec![2.5, 0.0, 2.0, 8.0], vec![3.0, -0.5, 2.0, 7.0], &[1.0; 4], 0.375),
        (
            "mse",
            json!({}),
            &[3, 2],
            vec![0.0, 2.0, -1.0, 2.0, 8.0, -5.0],
            vec![0.5, 1.0, -1.0, 1.0, 7.0, -6.0],
            &[1.0; 3],
            4.25 / 6.0,
        ),
        ("mse", json!({}), &[3], vec![1.0, 5.0, 100.0], vec![3.0, 4.0, 0.0], &[3.0, 1.0, 0.0], 13.0 / 4.0),
        // The same example of mean_absolute_error: 0.5 and 0.75.
        ("mae", json!({}), &[4, 1], vec![2.5, 0.0, 2.0, 8.0], vec![3.0, -0.5, 2.0, 7.0], &[1.0; 4], 0.5),
        (
            "mae",
            json!({}),
            &[3, 2],
            vec![0.0, 2.0, -1.0, 2.0, 8.0, -5.0],
            vec![0.5, 1.0, -1.0, 1.0, 7.0, -6.0],
            &[1.0; 3],
            0.75,
        ),
        ("huber", json!({}), &[2, 1], vec![0.5, 3.0], vec![0.0, 0.0], &[1.0; 2], (0.125 + 2.5) / 2.0),
        ("huber", json!({"delta": 2}), &[1, 2], vec![1.0, -3.0], vec![0.0, 0.0], &[1.0], (0.5 + 4.0) / 2.0),
    ];
    for (name, options, shape, prediction, targets, weights, wanted) in rows {
        let batch = Batch { shape: shape.to_vec(), prediction, targets, weights: weights.to_vec() };
        let found = Opened::new(&loss(name, options.clone()), shape).compute(&batch).loss;
        assert!((found - wanted).abs() <= 2e-6 * wanted.abs().max(1.0), "{name} {options}: {found}, wanted {wanted}");
    }
}

/// Numbers in −1 to 1, the same each time.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729 + 13) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// The options of a sample, any file that they name being one with the squared differences of rows `[batch, 3, …]`.
fn with_file(mut options: Value, shape: &[usize]) -> Value {
    if options.get("file").is_some() {
        let file = loss_file(&format!("sample-{}", shape.len()), 17, |graph| {
            let axes = || (0..shape.len()).map(|axis| Length::named(&format!("axis_{axis}"))).collect::<Vec<_>>();
            let (prediction, targets) =
                (graph.input("prediction", TensorType::f32(axes())), graph.input("targets", TensorType::f32(axes())));
            let difference = graph.minus(prediction, targets).unwrap();
            let squares = graph.times(difference, difference).unwrap();
            let axes: Vec<i64> = (1..shape.len() as i64).collect();
            graph.reduce_sum(squares, &axes, false).unwrap()
        });
        options["file"] = json!(file);
    }
    options
}

/// Shapes of predictions that a loss takes.
fn shapes(name: &str) -> &'static [&'static [usize]] {
    match name {
        "causal_language_modelling" => &[&[2, 4, 3], &[3, 3, 5]],
        "cosine_embedding" => &[&[3, 2, 4], &[3, 5]],
        "ctc" => &[&[2, 4, 3], &[3, 6, 4]],
        "dice" => &[&[2, 3, 4], &[2, 3, 2, 2]],
        "fcos" => &[&[2, 6, 2, 2], &[3, 5, 3, 2]],
        "info_nce" => &[&[5, 3], &[4, 2, 3]],
        "onnx" => &[&[3, 3], &[2, 3]],
        "triplet" => &[&[6, 3], &[7, 2], &[4, 3, 5]],
        _ => &[&[3, 3], &[2, 3, 2, 2]],
    }
}

/// A batch that any loss takes, whose row 1 has no weight, so that nothing of it matters.
fn batch_for(loss: &Loss, shape: &[usize]) -> Batch {
    let in_a_row: usize = shape[1..].iter().product();
    let target = loss.target(&TensorType::f32(shape)).unwrap();
    let rows = shape[0];
    let mut weights = vec![1.0; rows];
    (weights[0], weights[1]) = (0.5, 0.0);
    // of a sequence of any length, two
    let count = target.elements().fixed().unwrap_or(2 * rows);
    let blank = loss.choice().options.get("blank").and_then(Value::as_u64);
    let ignored = loss.choice().options.get("ignore_index").and_then(Value::as_i64);
    let targets = match (loss.reads(), target.dtype) {
        (PredictionKind::SequenceScores, _) if blank.is_some() => {
            let symbols: Vec<usize> = (0..3).filter(|symbol| Some(*symbol as u64) != blank).collect();
            (0..count).map(|at| if at == 1 { -1.0 } else { symbols[at % 2] as f32 }).collect()
        }
        (PredictionKind::ClassScores | PredictionKind::SequenceScores, ElementType::I64) => {
            let ignored = ignored.unwrap() as f32;
            (0..count).map(|at| if at / (count / rows) == 1 { ignored } else { (at % 3) as f32 }).collect()
        }
        (PredictionKind::ClassScores, _) => {
            let soft = |at: usize| [0.7, 0.2, 0.1][(at + at / in_a_row) % 3];
            (0..count).map(|at| weights[at / in_a_row] * soft(at)).collect()
        }
        // two boxes of each picture, and none of the third
        (PredictionKind::Boxes, _) => {
            let classes = shape[1] - 4;
            let of_row = |row: usize| match row {
                2 => [0.0, 0.0, 0.0, 0.0, -1.0].repeat(2),
                _ => vec![0.05, 0.1, 0.95, 0.9, (row % classes) as f32, 0.1, 0.05, 0.55, 0.45, 0.0],
            };
            (0..rows).flat_map(of_row).collect()
        }
        (PredictionKind::LabelScores, _) => (0..count).map(|at| [0.0, 1.0, 0.3, 1.0][at % 4]).collect(),
        // groups of rows, or whether two vectors belong together
        (PredictionKind::Embeddings, ElementType::I64) => (0..rows).map(|row| (row % 3 / 2) as f32).collect(),
        (PredictionKind::Embeddings, _) if target.shape.len() == 1 => (0..rows).map(|row| row as f32 - 1.0).collect(),
        (PredictionKind::Numbers | PredictionKind::Embeddings | PredictionKind::SequenceScores, _) => {
            // the last place of the first row is one of padding
            let padding = in_a_row - *shape.last().unwrap()..in_a_row;
            numbers(count, 7).iter().enumerate().map(|(at, x)| if padding.contains(&at) { 0.0 } else { *x }).collect()
        }
    };
    Batch {
        shape: shape.to_vec(),
        prediction: numbers(rows * in_a_row, 2).iter().map(|x| 2.0 * x).collect(),
        targets,
        weights,
    }
}

#[test]
fn every_row_has_the_gradient_of_central_differences_and_leaves_rows_without_weight_out() {
    if !onnx_runtime::available() {
        return;
    }
    for row in standard().rows() {
        assert!(row.summary.ends_with('.') && row.documentation.len() > row.summary.len(), "{}", row.name);
        for sample in row.samples {
            let shapes = shapes(row.name);
            let loss = loss(row.name, with_file(serde_json::from_str(sample).unwrap(), shapes[0]));
            let again = choose(row.name, loss.choice().options.clone()).unwrap();
            assert_eq!(loss.choice(), again.choice());
            let schema = row.schema();
            let known = schema["properties"].as_object().map(|known| known.keys().cloned().collect::<Vec<_>>());
            let filled: Vec<_> = loss.choice().options.as_object().unwrap().keys().cloned().collect();
            assert_eq!(filled, known.unwrap_or_default(), "{}", row.name);
            // what is divided by a small temperature bends soon
            let step: f32 = if loss.reads() == PredictionKind::Embeddings { 2e-3 } else { 1e-2 };
            for shape in shapes.iter().copied() {
                let batch = batch_for(&loss, shape);
                let mut opened = Opened::new(&loss, shape);
                let Computed { gradient, loss: value, .. } = opened.compute(&batch);
                assert!(value.is_finite() && value > 0.0, "{} {sample}: {value}", row.name);
                let mut scale = 1e-3_f64;
                let mut slopes = Vec::new();
                for at in 0..gradient.len() {
                    let mut moved = |sign: f32| {
                        let mut batch = batch.clone();
                        batch.prediction[at] += sign * step;
                        opened.compute(&batch).loss
                    };
                    let slope = (moved(1.0) - moved(-1.0)) / (2.0 * f64::from(step));
                    scale = scale.max(slope.abs());
                    slopes.push(slope);
                }
                for (at, (slope, given)) in slopes.iter().zip(&gradient).enumerate() {
                    let off = (slope - f64::from(*given)).abs() / scale;
                    assert!(
                        off < 4e-3,
                        "{} {sample} {shape:?}, number {at}: {given}, differences give {slope}",
                        row.name
                    );
                }
                // Row 1 has no weight.
                let in_a_row = gradient.len() / shape[0];
                assert!(gradient[in_a_row..2 * in_a_row].iter().all(|slope| *slope == 0.0), "{} {sample}", row.name);
                let mut other = batch.clone();
                other.prediction[in_a_row..2 * in_a_row].fill(17.0);
                let other = opened.compute(&other).loss;
                assert!((other - value).abs() < 1e-6, "{} {sample}: {value}, then {other}", row.name);
            }
        }
    }
}

#[test]
fn a_batch_in_which_nothing_counts_has_loss_and_gradient_zero() {
    if !onnx_runtime::available() {
        return;
    }
    for row in standard().rows() {
        let shape = shapes(row.name)[0];
        let loss = loss(row.name, with_file(serde_json::from_str(row.samples[0]).unwrap(), shape));
        let mut batch = batch_for(&loss, shape);
        batch.weights.fill(0.0);
        let nothing = loss.choice().options.get("ignore_index").and_then(Value::as_i64).unwrap_or(0);
        batch.targets.fill(nothing as f32);
        let Computed { loss: value, weight, gradient } = Opened::new(&loss, shape).compute(&batch);
        assert_eq!((value, weight.unwrap_or(0.0)), (0.0, 0.0), "{}", row.name);
        assert!(gradient.iter().all(|slope| *slope == 0.0), "{}: {gradient:?}", row.name);
    }
}

/// What a program gives for a batch, all of a sequence being each row's: its outputs as it declares them.
fn outputs(program: &LossProgram, batch: &Batch) -> Vec<Vec<f32>> {
    let rows = batch.shape[0];
    let known: usize = program.targets.shape.iter().skip(1).filter_map(AxisLength::fixed).product();
    let in_a_row = batch.targets.len() / rows / known.max(1);
    let integers = |shape: Vec<usize>, values: Vec<i64>| Tensor::from_array((shape, values)).unwrap().into_dyn();
    let shape: Vec<usize> = program.targets.shape.iter().map(|length| length.fixed().unwrap_or(in_a_row)).collect();
    let targets = match program.targets.dtype.as_str() {
        "int64" => integers(shape, batch.targets.iter().map(|value| *value as i64).collect()),
        _ => floats(&shape, &batch.targets),
    };
    let mut inputs = vec![
        (program.prediction.name.clone(), floats(&batch.shape, &batch.prediction)),
        (program.targets.name.clone(), targets),
    ];
    if let Some(weights) = &program.weights {
        inputs.push((weights.name.clone(), floats(&[rows], &batch.weights)));
    }
    if let Some(lengths) = &program.lengths {
        inputs.push((lengths.name.clone(), integers(vec![rows], vec![batch.shape[1] as i64; rows])));
    }
    run(&mut session(&program.model), inputs)
}

/// The losses of the rows of a batch, and what counts of each, where the loss states them.
fn rows_of(program: &LossProgram, batch: &Batch) -> Option<(Vec<f32>, Vec<f32>)> {
    program.row_losses.as_ref()?;
    let mut found = outputs(program, batch).split_off(1 + usize::from(program.weight.is_some()));
    let weights = if program.row_weights.is_some() { found.remove(1) } else { batch.weights.clone() };
    Some((found.remove(0), weights))
}

fn row_alone(batch: &Batch, row: usize) -> Batch {
    let own = |values: &[f32]| {
        let each = values.len() / batch.shape[0];
        values[row * each..(row + 1) * each].to_vec()
    };
    Batch {
        shape: std::iter::once(1).chain(batch.shape[1..].iter().copied()).collect(),
        prediction: own(&batch.prediction),
        targets: own(&batch.targets),
        weights: own(&batch.weights),
    }
}

#[test]
fn the_loss_of_a_row_is_that_of_a_batch_of_this_row_alone() {
    if !onnx_runtime::available() {
        return;
    }
    let is_near = |a: f32, b: f32| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
    let operators = OperatorCatalog::standard();
    for row in standard().rows() {
        for (sample, shape) in
            row.samples.iter().flat_map(|sample| shapes(row.name).iter().map(move |shape| (sample, *shape)))
        {
            let case = format!("{} {sample} {shape:?}", row.name);
            let loss = loss(row.name, with_file(serde_json::from_str(sample).unwrap(), shape));
            let batch = batch_for(&loss, shape);
            let program = loss.compile_with_rows(&TensorType::f32(shape), &operators).unwrap();
            let plain = outputs(&loss.compile(&TensorType::f32(shape), &operators).unwrap(), &batch);
            let whole = outputs(&program, &batch)[0][0];
            assert_eq!(whole.to_bits(), plain[0][0].to_bits(), "{case}: {whole}, without rows {}", plain[0][0]);
            // losses that compare rows with each other, and those of a file, are computed one row at a time
            let compares = matches!((row.name, shape.len()), ("info_nce" | "onnx", _) | ("triplet", 2));
            let Some((losses, weights)) = rows_of(&program, &batch) else {
                assert!(compares, "{case}: no losses of rows");
                continue;
            };
            assert!(!compares && losses.len() == shape[0] && weights.len() == shape[0], "{case}: {losses:?}");
            let alone = row_alone(&batch, 0).shape;
            let alone = loss.compile(&TensorType::f32(alone.as_slice()), &operators).unwrap();
            for (at, (found, weight)) in losses.iter().zip(&weights).enumerate() {
                let wanted = outputs(&alone, &row_alone(&batch, at));
                assert!(is_near(*found, wanted[0][0]), "{case}, row {at}: {found}, alone {}", wanted[0][0]);
                if alone.weight.is_some() {
                    assert!(is_near(*weight, wanted[1][0]), "{case}, row {at}: {weight}, alone {}", wanted[1][0]);
                }
            }
            let sum: f32 = losses.iter().zip(&weights).map(|(loss, weight)| loss * weight).sum();
            let mean = sum / weights.iter().sum::<f32>();
            assert!((mean - whole).abs() <= 1e-5 * whole.abs().max(1.0), "{case}: {mean}, of the batch {whole}");
        }
    }
}

#[test]
fn a_row_in_which_nothing_counts_has_no_weight_and_a_class_out_of_range_is_of_its_own_row() {
    if !onnx_runtime::available() {
        return;
    }
    let out = -100.0;
    // of the first row one place counts, of the second none, of the third all
    let places = [0.0, out, out, out, 1.0, 2.0];
    let tokens = [0.0, 1.0, out, out, out, out, 0.0, 1.0, 2.0];
    for (name, third, targets, counted) in [
        ("sparse_cross_entropy", 2, &places[..], [1.0, 0.0, 2.0]),
        ("sparse_focal", 2, &places[..], [1.0, 0.0, 2.0]),
        ("dice", 2, &places[..], [1.0, 0.0, 1.0]),
        ("causal_language_modelling", 3, &tokens[..], [1.0, 0.0, 2.0]),
    ] {
        let shape: Vec<usize> = vec![3, 3, third];
        let prediction = numbers(shape.iter().product(), 4);
        let mut batch = Batch { shape, prediction, targets: targets.to_vec(), weights: vec![1.0, 0.0, 1.0] };
        let program = loss(name, json!({}))
            .compile_with_rows(&TensorType::f32(batch.shape.as_slice()), &OperatorCatalog::standard())
            .unwrap();
        let (losses, weights) = rows_of(&program, &batch).unwrap();
        assert_eq!(weights, counted, "{name}");
        assert!(losses[0] > 0.01 && losses[1] == 0.0 && losses[2] > 0.01, "{name}: {losses:?}");
        let last = batch.targets.len() - 1;
        batch.targets[last] = 7.0;
        let (again, _) = rows_of(&program, &batch).unwrap();
        assert_eq!(again[..2], losses[..2], "{name}");
        assert_eq!(again[2], f32::INFINITY, "{name}");
    }
    // rows without targets between numbers, whose weights are given
    let batch = Batch {
        shape: vec![3, 2, 1],
        prediction: vec![1.0, 3.0, 9.0, 9.0, 2.0, 2.0],
        targets: vec![0.0, 1.0, 0.0, 0.0, 1.0, 4.0],
        weights: vec![0.5, 0.0, 2.0],
    };
    for (options, losses, weights) in [
        (json!({}), [2.5, 0.0, 2.5], [0.5, 0.0, 2.0]),
        (json!({"ignore_padding": true}), [4.0, 0.0, 2.5], [0.5, 0.0, 4.0]),
    ] {
        let program = loss("mse", options)
            .compile_with_rows(&TensorType::f32(batch.shape.as_slice()), &OperatorCatalog::standard())
            .unwrap();
        assert_eq!(rows_of(&program, &batch), Some((losses.to_vec(), weights.to_vec())));
    }
}

#[test]
fn a_mean_over_many_places_says_over_how_many() {
    if !onnx_runtime::available() {
        return;
    }
    // Two images of two by two pixels, of which row 1 has none that count.
    for (name, wanted) in [("cross_entropy", 2.0), ("focal", 2.0), ("sparse_cross_entropy", 4.0), ("mse", f64::NAN)] {
        let loss = loss(name, json!({}));
        let found = Opened::new(&loss, &[2, 3, 2, 2]).compute(&batch_for(&loss, &[2, 3, 2, 2])).weight;
        match found {
            Some(weight) => assert!((weight - wanted).abs() < 1e-6, "{name}: {weight}"),
            None => assert!(wanted.is_nan(), "{name}"),
        }
    }
}

#[test]
fn a_class_out_of_range_makes_the_loss_infinite_and_is_not_left_out() {
    if !onnx_runtime::available() {
        return;
    }
    let loss = loss("sparse_cross_entropy", json!({}));
    for (class, is_finite) in [(0.0, true), (2.0, true), (-100.0, true), (3.0, false), (-1.0, false), (255.0, false)] {
        let mut batch = batch_for(&loss, &[2, 3]);
        batch.targets[0] = class;
        let found = Opened::new(&loss, &[2, 3]).compute(&batch).loss;
        assert_eq!(found.is_finite(), is_finite, "{class}: {found}");
    }
}

#[test]
fn a_focal_loss_of_a_certain_answer_has_a_gradient_that_is_a_number() {
    if !onnx_runtime::available() {
        return;
    }
    for gamma in [0.5, 1.0, 2.0] {
        let prediction = vec![200.0, 0.0, -200.0];
        for targets in [vec![1.0, 0.0, 0.0], vec![0.0, 0.0, 1.0]] {
            let batch = Batch { shape: vec![1, 3], prediction: prediction.clone(), targets, weights: Vec::new() };
            let found = Opened::new(&loss("focal", json!({"gamma": gamma})), &[1, 3]).compute(&batch);
            let all = found.gradient.iter().all(|slope| slope.is_finite());
            assert!(found.loss.is_finite() && all, "{gamma}: {found:?}");
        }
    }
}

#[test]
fn options_and_predictions_that_make_no_sense_are_refused() {
    for (name, options, message) in [
        ("cross_entropy", json!({"label_smoothing": 1}), "cross_entropy: label_smoothing is 0 to below 1, got 1"),
        (
            "sparse_cross_entropy",
            json!({"ignore_index": 0.5}),
            "sparse_cross_entropy: ignore_index: wanted a whole number, got 0.5",
        ),
        ("focal", json!({"gamma": -1}), "focal: gamma is a finite number of 0 or more, got -1"),
        ("focal", json!({"alpha": [1, -0.5]}), "focal: alpha is a finite number of 0 or more, got -0.5"),
        ("huber", json!({"delta": 0}), "huber: delta is a finite number above 0, got 0"),
        ("mse", json!({"label_smoothing": 0.1}), "mse: unknown option `label_smoothing`; it has ignore_padding"),
        ("ctc", json!({"blank": -1}), "ctc: blank: wanted a whole number of 0 or more, got -1"),
        ("dice", json!({"smoothing": 0}), "dice: smoothing is a finite number above 0, got 0"),
        ("info_nce", json!({"temperature": 0}), "info_nce: temperature is a finite number above 0, got 0"),
        ("cosine_embedding", json!({"margin": 2}), "cosine_embedding: margin is between -1 and 1, got 2"),
        (
            "binary_cross_entropy",
            json!({"pos_weight": [0, 0]}),
            "binary_cross_entropy: pos_weight are all 0, so nothing would count",
        ),
    ] {
        let found = choose(name, options).unwrap_err().to_string();
        assert_eq!(found, format!("training.loss.{message}"));
    }
    let unknown = choose("focl", json!({})).unwrap_err().to_string();
    assert_eq!(unknown, "training.loss: unknown loss `focl`; did you mean `focal`?");
    let whole = TensorType::new(ElementType::I64, [2, 3]);
    for (name, options, prediction, message) in [
        (
            "cross_entropy",
            json!({}),
            TensorType::f32([2]),
            "float32 [batch, classes, …], and the prediction is float32 [2]",
        ),
        ("sparse_cross_entropy", json!({}), whole.clone(), "the prediction is int64 [2, 3]"),
        (
            "focal",
            json!({"alpha": [1, 2]}),
            TensorType::f32([2, 3]),
            "alpha has a factor for each class, wanted 3, got 2",
        ),
        (
            "mse",
            json!({}),
            TensorType::f32(Vec::<usize>::new()),
            "float32 [batch, …], and the prediction is float32 []",
        ),
        ("huber", json!({}), whole, "the prediction is int64 [2, 3]"),
        ("mse", json!({"ignore_padding": true}), TensorType::f32([2]), "the prediction is float32 [2]"),
        ("dice", json!({}), TensorType::f32([2, 3]), "for a class for each row choose `cross_entropy`"),
        ("ctc", json!({"blank": 4}), TensorType::f32([2, 3, 4]), "blank is one of the symbols, got 4 and 4 of them"),
        ("cosine_embedding", json!({}), TensorType::f32([2, 3, 4]), "the prediction is float32 [2, 3, 4]"),
        ("info_nce", json!({}), TensorType::f32([2, 3, 4]), "the prediction is float32 [2, 3, 4]"),
        ("triplet", json!({}), TensorType::f32([2, 4, 4]), "the prediction is float32 [2, 4, 4]"),
        (
            "causal_language_modelling",
            json!({}),
            TensorType::f32([2, 3]),
            "float32 [batch, sequence, symbols], and the prediction is float32 [2, 3]",
        ),
    ] {
        let error = loss(name, options).compile(&prediction, &OperatorCatalog::standard()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
