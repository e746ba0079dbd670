//! Runs of other losses than that of classes of rows: numbers, and a class for each pixel.

use std::convert::Infallible;

use crate::runs::{PER_EPOCH, bits, device, settings};
use crate::support::{BATCH, WIDTH, batch, model, numbers, optimizer};
use millstream_compiler::graph::{Constant, Graph, TensorType};
use millstream_compiler::losses::{PredictionKind, standard as losses};
use millstream_compiler::{FineTuning, HeadChoice, Loss, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{Batch, Choice, TARGETS, Tensor, TensorData};
use millstream_training::metrics::{Bootstrap, standard as metrics};
use millstream_training::{
    BatchSource, BoxError, Checkpoint, Ending, Event, LossRunner, MetricSet, Prediction, Predictor, RunRecord,
    StepRunner, StepSettings, Trainer, TrainerSettings, checkpoint, evaluate, report,
};
use serde_json::json;

fn loss(choice: Choice) -> Loss {
    Loss::choose(losses(), &choice, "training.loss").unwrap()
}

/// Numbers that a network can learn: two of each row, from the values of the row.
fn of_numbers(mut batch: Batch) -> Batch {
    let x = batch.tensors["x"].as_f32().unwrap();
    let mut targets: Vec<f32> = x.chunks(WIDTH).flat_map(|row| [row[0] - row[1], 0.5 * row[2] + 1.0]).collect();
    // The last slot of each batch is empty.
    batch.rows[BATCH - 1] = None;
    batch.weights[BATCH - 1] = 0.0;
    targets[2 * (BATCH - 1)..].fill(1e6);
    batch.tensors.insert(TARGETS.into(), Tensor::f32([BATCH, 2], targets));
    batch
}

fn program_of_numbers(name: &str) -> TrainingProgram {
    let wanted =
        FineTuning { train: TrainSelection::All, loss: loss(Choice::named(name)), ..FineTuning::head(BATCH, 2) };
    compile(&Model::from_bytes(model()).unwrap(), &wanted, &OperatorCatalog::standard()).unwrap()
}

fn settings_of_numbers(folder: Option<&std::path::Path>, best: Option<&str>) -> TrainerSettings {
    let metrics = MetricSet::choose(metrics(), None, best, PredictionKind::Numbers).unwrap();
    TrainerSettings { classes: Vec::new(), metrics, ..settings(8, folder) }
}

fn evaluation_of_numbers() -> Result<Box<dyn BatchSource>, BoxError> {
    Ok(Box::new((0..4).map(|index| Ok::<_, BoxError>(of_numbers(batch(50, index, 4))))))
}

fn run(trainer: &mut Trainer, stop_at: u64) -> Ending {
    let from = trainer.resume_point().map_or(0, |from| from.epoch * PER_EPOCH + from.position / BATCH as u64);
    let steps = from..8 * PER_EPOCH;
    let mut source =
        steps.map(|step| Ok::<_, Infallible>(of_numbers(batch(step / PER_EPOCH, step % PER_EPOCH, PER_EPOCH))));
    let done = std::cell::Cell::new(0);
    let mut observer = |event: &Event<'_>| {
        if let Event::Step(step) = event {
            done.set(step.step);
        }
    };
    trainer.run(&mut source, Some(&mut evaluation_of_numbers), &mut observer, &|| done.get() >= stop_at).unwrap()
}

fn newest(folder: &std::path::Path) -> Checkpoint {
    checkpoint::load_newest(folder).unwrap().checkpoint.unwrap()
}

#[test]
fn numbers_are_learned_measured_and_resumed_to_the_bit() {
    for name in ["mse", "mae", "huber"] {
        let program = program_of_numbers(name);
        let mut whole = Trainer::open(&program, &device(), settings_of_numbers(None, None)).unwrap();
        assert_eq!(run(&mut whole, u64::MAX), Ending::Finished);
        let history = whole.history();
        let (start, best) = (history.start.as_ref().unwrap(), history.best_evaluation().unwrap());
        assert!(best.loss < 0.5 * start.loss, "{name}: {} at the start, then {}", start.loss, best.loss);
        assert!(best.figure("r2").unwrap() > 0.3, "{name}: {best:?}");
        assert_eq!((best.rows, &best.majority, best.tables.len()), (4 * (BATCH as u64 - 1), &None, 0));
        if ["mse", "mae"].contains(&name) {
            let measured = best.figure(name).unwrap();
            assert!((measured - best.loss).abs() < 1e-5, "{name}: {measured}, the graph says {}", best.loss);
        }
        // The lowest loss decides.
        let losses = history.epochs.iter().map(|epoch| epoch.evaluation.as_ref().unwrap().loss);
        assert_eq!(losses.fold(f64::INFINITY, f64::min), history.best.as_ref().unwrap().loss);
        assert_eq!(history.epochs[0].rows, PER_EPOCH * (BATCH as u64 - 1));
        assert_eq!(history.notes(), Vec::<String>::new());

        let folder = tempfile::tempdir().unwrap();
        let mut first = Trainer::open(&program, &device(), settings_of_numbers(Some(folder.path()), None)).unwrap();
        run(&mut first, 12);
        let saved = newest(folder.path());
        let mut second = Trainer::resume(&program, &device(), settings_of_numbers(None, None), saved).unwrap();
        assert_eq!(run(&mut second, u64::MAX), Ending::Finished);
        assert_eq!(bits(&second.parameters().unwrap()), bits(&whole.parameters().unwrap()), "{name}");
        assert_eq!(second.history().best_evaluation(), whole.history().best_evaluation());
    }
}

#[test]
fn another_figure_may_decide_and_a_run_is_not_resumed_under_another() {
    let (program, folder) = (program_of_numbers("mse"), tempfile::tempdir().unwrap());
    let mut trainer =
        Trainer::open(&program, &device(), settings_of_numbers(Some(folder.path()), Some("mae"))).unwrap();
    run(&mut trainer, u64::MAX);
    let history = trainer.history();
    let values = history.epochs.iter().map(|epoch| epoch.evaluation.as_ref().unwrap().figure("mae").unwrap());
    let lowest = values.fold(f64::INFINITY, f64::min);
    assert_eq!((history.decides.name.as_str(), history.best.as_ref().unwrap().figure("mae")), ("mae", Some(lowest)));
    let other = Trainer::resume(&program, &device(), settings_of_numbers(None, Some("r2")), newest(folder.path()));
    let message = other.err().unwrap().to_string();
    let wanted =
        "what is measured, and what of it decides differs: it has mse, mae, r2, mae, this run has mse, mae, r2, r2";
    assert!(message.contains(wanted), "{message}");
}

#[test]
fn a_run_of_numbers_has_a_page_and_a_record_that_is_read_back() {
    let program = program_of_numbers("mse");
    let mut trainer = Trainer::open(&program, &device(), settings_of_numbers(None, Some("r2"))).unwrap();
    run(&mut trainer, u64::MAX);
    let record = RunRecord {
        version: RunRecord::VERSION,
        title: "numbers".into(),
        evaluation: trainer.history().best_evaluation().cloned(),
        history: trainer.history().clone(),
        ..RunRecord::default()
    };
    let page = report::render("Numbers", std::slice::from_ref(&record)).unwrap();
    for part in
        ["R2 on the evaluation rows", "Loss on the evaluation rows", "<th>mse</th>", "<th>mae</th>", "<th>r2</th>"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("matrix</h3>") && !page.contains("Accuracy"));
    let read: RunRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    assert_eq!(read, record);
}

#[test]
fn an_exported_model_of_numbers_measures_as_in_training() {
    let program = program_of_numbers("huber");
    let mut trainer = Trainer::open(&program, &device(), settings_of_numbers(None, None)).unwrap();
    run(&mut trainer, u64::MAX);
    let exported = program.export(&trainer.best_parameters().unwrap(), &[]).unwrap().to_vec();
    let scoring = Model::from_bytes(exported)
        .unwrap()
        .evaluated(None, PredictionKind::Numbers, None, &OperatorCatalog::standard())
        .unwrap();
    let mut predictor = Predictor::open_graph(&scoring.model, &device(), 1, Some(&scoring.scores)).unwrap();
    let mut loss = LossRunner::new(&loss(Choice::named("huber")), &OperatorCatalog::standard(), &device());
    let metrics = MetricSet::usual(PredictionKind::Numbers);
    let mut rows = evaluation_of_numbers().unwrap();
    let found = evaluate(&mut predictor, &mut loss, &metrics, &mut *rows, &[], &mut |_| true).unwrap().unwrap();
    let wanted = trainer.history().best_evaluation().unwrap();
    assert_eq!(found.rows, wanted.rows);
    for name in ["loss", "mse", "mae", "r2"] {
        let (found, wanted) = (found.figure(name).unwrap(), wanted.figure(name).unwrap());
        assert!((found - wanted).abs() < 1e-5, "{name}: {found}, in training {wanted}");
    }
}

/// Height and width of a mask, and its classes.
const SIDE: usize = 4;
const CLASSES: usize = 3;

/// A convolution of one pixel: `image` [batch, 2, 4, 4] → scores [batch, 3, 4, 4].
fn program_of_masks() -> TrainingProgram {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let image = graph.input("image", TensorType::f32([BATCH, 2, SIDE, SIDE]));
    let weight = graph.constant("weight", Constant::f32([CLASSES, 2, 1, 1], &numbers(1, CLASSES * 2)));
    let bias = graph.constant("bias", Constant::f32([CLASSES], &numbers(2, CLASSES)));
    let scores = graph.add("Conv", &[image, weight, bias], &[]).unwrap();
    graph.rename(scores, "scores").unwrap();
    graph.set_outputs(&[scores]);
    let model = Model::from_bytes(graph.to_onnx("masks")).unwrap();
    let loss = loss(Choice::new("sparse_cross_entropy", json!({"ignore_index": 255})));
    let (head, train) = (HeadChoice::keep(), TrainSelection::All);
    let wanted = FineTuning { head, train, loss, ..FineTuning::head(BATCH, CLASSES) };
    compile(&model, &wanted, &OperatorCatalog::standard()).unwrap()
}

/// Pixels whose class is the larger of two channels, or the third where both are small; the first row of each is ignored.
fn of_masks(index: u64) -> Batch {
    let mut made = batch(0, index, 100);
    let places = SIDE * SIDE;
    let image = numbers(300 + index, BATCH * 2 * places);
    let class = |at: usize| {
        let (row, place) = (at / places, at % places);
        let (first, second) = (image[2 * row * places + place], image[(2 * row + 1) * places + place]);
        match (place < SIDE, first > second, first.max(second) < 0.0) {
            (true, ..) => 255,
            (_, _, true) => 2,
            (_, true, _) => 0,
            (_, false, _) => 1,
        }
    };
    let targets: Vec<i64> = (0..BATCH * places).map(class).collect();
    made.tensors = [
        (TARGETS.to_owned(), Tensor::i64([BATCH, SIDE, SIDE], targets)),
        ("image".to_owned(), Tensor::f32([BATCH, 2, SIDE, SIDE], image)),
    ]
    .into();
    made
}

#[test]
fn a_class_for_each_pixel_is_learned_and_measured() {
    let program = program_of_masks();
    let manifest = &program.manifest;
    assert_eq!((manifest.version, manifest.prediction.name.as_str(), manifest.weights.is_some()), (2, "scores", false));
    assert_eq!((manifest.targets[0].dtype.as_str(), manifest.weight.is_some()), ("int64", true));
    let mut runner = StepRunner::open(&program, &device(), &StepSettings::default()).unwrap();
    let (_, first) = runner.step(of_masks(0), 0.3).unwrap();
    let counted = (BATCH * (SIDE * SIDE - SIDE)) as f64;
    assert_eq!((first.rows, first.weight), (BATCH as u64, counted), "pixels that count, whichever image they are in");
    for index in 1..60 {
        assert!(runner.step(of_masks(index), 0.1).unwrap().1.updated);
    }
    let names: Vec<String> = ["left", "right", "none"].map(String::from).to_vec();
    let chosen = ["accuracy", "mean_iou", "f1", "log_loss"].map(Choice::named);
    let metrics = MetricSet::choose(metrics(), Some(&chosen), Some("mean_iou"), PredictionKind::ClassScores).unwrap();
    let exported = program.export(&runner.parameters().unwrap(), &[]).unwrap().to_vec();
    let mut predictor = Predictor::open(&exported, &device(), 1, Some("scores")).unwrap();
    let choice = Choice::new("sparse_cross_entropy", json!({"ignore_index": 255}));
    let mut loss = LossRunner::new(&loss(choice), &OperatorCatalog::standard(), &device());
    let mut rows = (200..204).map(|index| Ok::<_, BoxError>(of_masks(index)));
    let found = evaluate(&mut predictor, &mut loss, &metrics, &mut rows, &names, &mut |_| true).unwrap().unwrap();
    assert_eq!((found.rows, found.majority.as_ref().unwrap().targets), (4 * BATCH as u64, 4 * counted as u64));
    assert!(found.figure("accuracy").unwrap() > 0.85 && found.figure("mean_iou").unwrap() > 0.7, "{found:?}");
    let log_loss = found.figure("log_loss").unwrap();
    assert!((log_loss - found.loss).abs() < 1e-5, "{log_loss}, the graph says {}", found.loss);
    assert!(f64::from(first.loss) > 2.0 * found.loss);
    assert!(found.interval("loss").is_none() && found.interval("f1").is_none(), "{:?}", found.intervals);
    let drawn = metrics.with_bootstrap(Bootstrap { resamples: 200, seed: 3 });
    let mut rows = (200..204).map(|index| Ok::<_, BoxError>(of_masks(index)));
    let again = evaluate(&mut predictor, &mut loss, &drawn, &mut rows, &names, &mut |_| true).unwrap().unwrap();
    let ([low, high], [low_log, high_log]) = (again.interval("loss").unwrap(), again.interval("log_loss").unwrap());
    assert!(again.loss == found.loss && low < found.loss && found.loss < high, "{low} to {high}");
    // the same figure from the same draws of rows
    assert!((low - low_log).abs() < 1e-5 && (high - high_log).abs() < 1e-5, "{low_log} to {high_log}");
}

#[test]
fn the_loss_of_a_batch_is_the_mean_of_those_of_its_rows_unless_these_are_compared_with_each_other() {
    let runner = |choice: Choice| LossRunner::new(&loss(choice), &OperatorCatalog::standard(), &device());
    let prediction = |shape: &[usize]| {
        let values = numbers(7, shape.iter().product());
        Prediction { shape: shape.to_vec(), values }
    };
    let soft = |mut batch: Batch| {
        // the distributions of two rows are not whole, and one row has none
        let TensorData::F32(targets) = &mut batch.tensors.get_mut(TARGETS).unwrap().data else {
            panic!("probabilities are floats")
        };
        targets[..CLASSES].copy_from_slice(&[0.5, 0.0, 0.25]);
        targets[CLASSES..2 * CLASSES].fill(0.0);
        batch
    };
    let weighted = Choice::new("cross_entropy", json!({"label_smoothing": 0.1, "class_weights": [1, 0.25, 2]}));
    let ignoring = Choice::new("sparse_cross_entropy", json!({"ignore_index": 255}));
    for (choice, batch, shape, counted) in [
        (Choice::named("huber"), of_numbers(batch(50, 0, 4)), vec![BATCH, 2], BATCH - 1),
        (Choice::named("cross_entropy"), soft(batch(50, 0, 4)), vec![BATCH, CLASSES], BATCH - 1),
        (weighted, soft(batch(50, 0, 4)), vec![BATCH, CLASSES], BATCH - 1),
        (ignoring, of_masks(3), vec![BATCH, CLASSES, SIDE, SIDE], BATCH),
    ] {
        let name = choice.name.clone();
        let (batch, plain) = runner(choice.clone()).score(batch, prediction(&shape)).unwrap();
        let (_, scored) = runner(choice).score_with_rows(batch, prediction(&shape)).unwrap();
        assert_eq!(scored.loss.to_bits(), plain.loss.to_bits(), "{name}: {}, without rows {}", scored.loss, plain.loss);
        let rows = scored.row_losses.unwrap_or_else(|| panic!("{name}: rows have no losses"));
        let weight: f64 = rows.iter().map(|row| row.weight).sum();
        let mean = rows.iter().map(|row| row.loss * row.weight).sum::<f64>() / weight;
        assert_eq!(rows.len(), counted, "{name}");
        assert!((weight - scored.weight).abs() < 1e-5, "{name}: {weight}, of the batch {}", scored.weight);
        assert!((mean - f64::from(scored.loss)).abs() < 1e-5, "{name}: {mean}, of the batch {}", scored.loss);
        assert!(rows.iter().any(|row| (row.loss - mean).abs() > 0.01), "{name}: all rows have the same loss");
    }
    let mut pairs = batch(50, 0, 4);
    pairs.tensors.insert(TARGETS.into(), Tensor::i64([BATCH], (0..BATCH as i64).collect::<Vec<_>>()));
    let (_, scored) = runner(Choice::named("info_nce")).score_with_rows(pairs, prediction(&[BATCH, 2, 4])).unwrap();
    assert!(scored.loss > 0.1 && scored.row_losses.is_none(), "{scored:?}");
}

/// The same images, all pixels of which are ignored.
fn without_a_class(mut batch: Batch) -> Batch {
    batch.tensors.insert(TARGETS.into(), Tensor::i64([BATCH, SIDE, SIDE], vec![255; BATCH * SIDE * SIDE]));
    batch
}

/// The vectors that a perceptron gives are to be nearer to others of their group.
fn program_of_groups() -> TrainingProgram {
    let (head, train, loss) = (HeadChoice::keep(), TrainSelection::All, loss(Choice::named("triplet")));
    let wanted = FineTuning { head, train, loss, ..FineTuning::head(BATCH, CLASSES) };
    compile(&Model::from_bytes(model()).unwrap(), &wanted, &OperatorCatalog::standard()).unwrap()
}

/// Rows of two groups, or each of a group of its own.
fn of_groups(index: u64, has_pairs: bool) -> Batch {
    let mut made = batch(0, index, 100);
    let groups = (0..BATCH as i64).map(|row| if has_pairs { row % 2 } else { row });
    made.tensors.insert(TARGETS.into(), Tensor::i64([BATCH], groups.collect::<Vec<_>>()));
    made
}

#[test]
fn a_batch_whose_loss_has_no_weight_is_no_step_and_moves_nothing() {
    type Batches = fn(u64) -> Batch;
    let rows: [(TrainingProgram, Batches, Batches); 2] = [
        (program_of_masks(), of_masks, |index| without_a_class(of_masks(index))),
        (program_of_groups(), |index| of_groups(index, true), |index| of_groups(index, false)),
    ];
    for (program, usual, blank) in rows {
        // its momentum and decay would move weights without a gradient
        let optimizer = optimizer("sgd", json!({"momentum": 0.9, "weight_decay": 0.1}));
        let settings = StepSettings { optimizer, threads: 1, ..StepSettings::default() };
        let open = || StepRunner::open(&program, &device(), &settings).unwrap();
        let mut runner = open();
        assert!(runner.step(usual(0), 0.1).unwrap().1.updated);
        let stands = |runner: &StepRunner| (bits(&runner.parameters().unwrap()), runner.state().unwrap());
        let before = stands(&runner);
        let (_, outcome) = runner.step(blank(1), 0.1).unwrap();
        assert_eq!((outcome.rows, outcome.weight, outcome.updated, outcome.skipped), (0, 0.0, false, false));
        assert!(stands(&runner) == before, "{outcome:?}");
        assert_eq!(runner.gather(blank(1)).unwrap().1.rows, 0);
        let outcome = runner.update(0.1).unwrap();
        assert_eq!((outcome.rows, outcome.updated), (0, false));
        assert!(stands(&runner) == before, "{outcome:?}");
        // among others it is as if it had not come
        let mut without = open();
        assert!(without.step(usual(0), 0.1).unwrap().1.updated);
        for batch in [blank(1), usual(2), blank(3), usual(4)] {
            runner.gather(batch).unwrap();
        }
        for batch in [usual(2), usual(4)] {
            without.gather(batch).unwrap();
        }
        let [found, wanted] = [&mut runner, &mut without].map(|runner| runner.update(0.1).unwrap());
        assert_eq!((found.updated, found.loss, found.rows), (true, wanted.loss, wanted.rows));
        assert!(stands(&runner) == stands(&without));
    }
}

#[test]
fn a_run_goes_on_past_masks_without_a_class_and_its_mean_loss_stays_a_number() {
    let program = program_of_masks();
    for (accumulate, blank, steps) in [(1, vec![0, 3], 3), (2, vec![0, 1], 2), (2, vec![0], 3)] {
        let mut settings = settings(1, None);
        settings.accumulate = accumulate;
        let mut trainer = Trainer::open(&program, &device(), settings).unwrap();
        let mut source = (0..PER_EPOCH).map(|index| {
            let mut given = of_masks(index);
            given.resume = batch(0, index, PER_EPOCH).resume;
            Ok::<_, Infallible>(if blank.contains(&index) { without_a_class(given) } else { given })
        });
        let mut means = Vec::new();
        let mut observer = |event: &Event<'_>| {
            if let Event::Step(step) = event {
                means.push(step.mean_loss);
            }
        };
        assert_eq!(trainer.run(&mut source, None, &mut observer, &|| false).unwrap(), Ending::Finished);
        assert_eq!((means.len() as u64, trainer.history().steps), (steps, steps), "{accumulate}, {blank:?}");
        assert!(means.iter().all(|mean| mean.is_finite()), "{means:?}");
        let epoch = &trainer.history().epochs[0];
        assert_eq!((epoch.steps, Some(&epoch.training_loss)), (steps, means.last()), "{accumulate}, {blank:?}");
        assert_eq!(epoch.rows, (PER_EPOCH - blank.len() as u64) * BATCH as u64);
    }
}

#[test]
fn a_class_out_of_range_stops_the_step_and_updates_nothing() {
    let mut runner = StepRunner::open(&program_of_masks(), &device(), &StepSettings::default()).unwrap();
    let before = bits(&runner.parameters().unwrap());
    let mut wrong = of_masks(0);
    let TensorData::I64(targets) = &mut wrong.tensors.get_mut(TARGETS).unwrap().data else {
        panic!("masks are integers")
    };
    targets[SIDE] = 3;
    let (_, outcome) = runner.step(wrong, 0.1).unwrap();
    assert!(!outcome.updated && !outcome.loss.is_finite(), "{outcome:?}");
    assert_eq!(bits(&runner.parameters().unwrap()), before);
}

#[test]
fn metrics_that_make_no_sense_for_the_classes_are_refused_before_anything_runs() {
    let chosen = [Choice::new("f1", json!({"average": "binary"}))];
    let metrics = MetricSet::choose(metrics(), Some(&chosen), None, PredictionKind::ClassScores).unwrap();
    let wrong = TrainerSettings { metrics, ..settings(1, None) };
    let message = Trainer::open(&crate::support::program(), &device(), wrong).err().unwrap().to_string();
    assert_eq!(message, "the metric `f1` cannot be measured: `average: binary` is for two classes, and there are 3");
}
