//! A program that adds a row of each kind to Millstream's catalogs, trains with all of them together, and streams rows that it makes itself.
//!
//! `cargo xtask check-all` builds and runs it.

mod angle;
mod brier;
mod first_right;
mod half_turn;
mod halving;
mod kappa;
mod late_draws;
mod output_scale;
mod short_trials;
mod sign_sgd;
mod soft_capped;
mod squared_distance;
mod swish;
mod tally;
mod two_valued;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use millstream::compiler::graph::{Attribute, Constant, Graph, Length, TensorType, ValueId};
use millstream::compiler::initializers::{Fans, Initializer};
use millstream::pipeline::arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use millstream::pipeline::encodings::WantedTensor;
use millstream::pipeline::stores::{InMemory, OpenStore, Store};
use millstream::recipes::ensemble::{self, EnsembleFolder};
use millstream::recipes::{self, EvaluateOptions, Silent, Stop, TrainOptions};
use millstream::schemas::TensorRole;
use millstream::schemas::recipe::{ByteSize, RecipeText, TrainSelection};
use millstream::search::{self, Asked, Decision, Objective, Space, Study, StudySettings};
use millstream::{
    Batches, Catalogs, Chain, Choice, Dataset, Encoders, FineTuning, Model, OperatorCatalog, Recipe, StreamOptions,
    compile,
};
use serde_json::json;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("usage: extension DIGITS FOLDER");
    let (digits, folder) = (next()?, next()?);
    streams_rows_of_its_own()?;
    compiles_an_operator_of_its_own()?;
    searches_by_rules_of_its_own()?;
    trains(Path::new(&digits), Path::new(&folder))
}

fn extended() -> Catalogs {
    let ours = Catalogs::default();
    Catalogs {
        encodings: ours.encodings.with(angle::ANGLE),
        ensembles: ours.ensembles.with(first_right::FIRST_RIGHT),
        heads: ours.heads.with(soft_capped::SOFT_CAPPED),
        initializers: ours.initializers.with(two_valued::TWO_VALUED),
        logs: ours.logs.with(tally::TALLY),
        losses: ours.losses.with(brier::BRIER),
        methods: ours.methods.with(output_scale::OUTPUT_SCALE),
        metrics: ours.metrics.with(kappa::KAPPA),
        operators: ours.operators.with_operator(swish::SWISH).with_operator(squared_distance::SQUARED_DISTANCE),
        optimizers: ours.optimizers.with(sign_sgd::SIGN_SGD),
        proposers: ours.proposers.with(late_draws::LATE_DRAWS),
        schedules: ours.schedules.with(halving::HALVING),
        stopping: ours.stopping.with(short_trials::SHORT_TRIALS),
        transforms: ours.transforms.with(half_turn::HALF_TURN),
    }
}

/// A store of this program: bytes that it has from somewhere.
#[derive(Clone, Debug)]
struct Told(InMemory);

impl Store for Told {
    fn length(&self) -> std::io::Result<u64> {
        self.0.length()
    }

    fn open(&self) -> std::io::Result<Box<dyn OpenStore>> {
        self.0.open()
    }
}

/// Rows of this program through an encoding of this program.
fn streams_rows_of_its_own() -> anyhow::Result<()> {
    let wind: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 90.0, 180.0, 270.0]));
    let weather: ArrayRef = Arc::new(StringArray::from(vec!["dry", "wet", "dry", "wet"]));
    let rows = RecordBatch::try_from_iter([("wind", wind), ("label", weather)])?;
    let dataset = Dataset::from_batches("weather", &[rows], 1024)?;
    let tensor = |name: &str, role, encoding, column: &str| WantedTensor {
        name: name.into(),
        role,
        encoding: Choice::new(encoding, json!({ "column": column })),
        place: format!("data.inputs.{name}"),
    };
    let wanted = [
        tensor("wind", TensorRole::Input, "angle", "wind"),
        tensor("targets", TensorRole::Target, "class_label", "label"),
    ];
    let encoders = Encoders::open(&dataset, &extended().encodings, &wanted, &[])?;
    let options = StreamOptions { batch: 4, ..StreamOptions::new(Chain::parse(&[])?, encoders) };
    let batch = Batches::open(&dataset, options, None)?.next().context("a batch")??;
    for (slot, row) in batch.rows.iter().enumerate() {
        let degrees = 90.0 * f64::from(row.as_ref().context("a row")?.row);
        let got = &batch.tensors["wind"].as_f32().context("floats")?[slot * 2..][..2];
        let (sin, cos) = degrees.to_radians().sin_cos();
        ensure!((f64::from(got[0]) - sin).abs() < 1e-6 && (f64::from(got[1]) - cos).abs() < 1e-6, "{degrees}: {got:?}");
    }
    let empty = Dataset::from_stores(vec![("nothing".into(), Arc::new(Told(InMemory(bytes::Bytes::new()))))]);
    ensure!(empty.is_err_and(|error| error.to_string().contains("nothing")), "an empty store is no dataset");
    Ok(())
}

/// A study whose settings a proposer of this program proposes, and whose trials a rule of this program ends.
fn searches_by_rules_of_its_own() -> anyhow::Result<()> {
    let (space, template) = Space::extract(&json!({ "rate": { "uniform": [0.0, 1.0] } }))?;
    let settings = StudySettings {
        proposer: Choice::new("late_draws", json!({ "trials": 3 })),
        stopping: vec![Choice::new("short_trials", json!({ "steps": 2 }))],
        ..StudySettings::new("rules of its own", space.clone(), vec![Objective::minimize("loss")])
    };
    let Catalogs { proposers, stopping, .. } = extended();
    let mut study = Study::new(settings, &search::Catalogs { proposers, stopping })?;
    let Asked::Trial(trial) = study.ask()? else { anyhow::bail!("a trial was wanted") };
    let wanted = template.filled(&space.drawn(0, 3))?;
    ensure!(template.filled(&trial.assignment)? == wanted, "trial 0 has the settings of the third after it");
    ensure!(study.report(trial.number, 1, 0.5)? == Decision::Continue, "one step is not too long");
    ensure!(study.report(trial.number, 2, 0.4)? == Decision::Stop, "two are");
    Ok(())
}

/// Grey digits, turned by a transform of this program, by a loss, an optimizer and a schedule of this program, with a head and an
/// initializer and weights of a method of this program, measured by a metric of this program and written down by a log of this program; then an ensemble by a way of this program.
fn trains(digits: &Path, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("network.onnx"), network(|graph, value| Ok(graph.add("Relu", &[value], &[])?))?)?;
    let catalogs = extended();
    let recipe = format!(
        "version: 1\n\
         model: {{path: network.onnx, head: {{soft_capped: {{new_with: two_valued}}}}, train: all, methods: [output_scale]}}\n\
         data: {{train: '{digits}/digits-pretrain-train-*.parquet', evaluate: '{digits}/digits-pretrain-test-*.parquet', batch: 32}}\n\
         transforms:\n  train: [{{resize: {{size: 8}}}}, {{half_turn: {{probability: 0.1}}}}]\n  evaluate: [{{resize: {{size: 8}}}}]\n\
         training: {{loss: {{brier: {{factor: 2}}}}, metrics: [kappa, accuracy], best: kappa, optimizer: {{sign_sgd: {{learning_rate: 0.002}}}}, \
         schedule: halving, epochs: 12}}\n\
         output: {{folder: run, logs: [tally]}}\n",
        digits = std::path::absolute(digits)?.display(),
    );
    let text = RecipeText::new(&recipe, Path::new("recipe.yaml"), &std::path::absolute(folder)?, &[])?;
    let recipe = recipes::load(&text, &catalogs)?;
    let report = recipes::check(&recipe, &catalogs, None)?;
    ensure!(report.problems.is_empty(), "{:?}", report.problems);
    let options =
        TrainOptions { catalogs: catalogs.clone(), start: recipes::StartMode::Overwrite, ..TrainOptions::default() };
    let summary = recipes::train(&recipe, &options, &mut Silent, &Stop::default())?;
    let exported = std::fs::read(folder.join("run/model.onnx"))?;
    let holds = |name: &str| exported.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    ensure!(holds("hidden.weight") && !holds("hidden.output_scale"), "what the method added is merged");
    let tally = std::fs::read_to_string(folder.join("run/logs/tally.txt"))?;
    let strokes = tally.matches('|').count() as u64;
    ensure!(strokes == summary.steps && tally.lines().count() == 12, "{} steps: {tally}", summary.steps);
    let evaluation = summary.evaluation.context("it was evaluated")?;
    let figure = |name: &str| evaluation.figure(name).context("it was measured");
    let (kappa, accuracy) = (figure("kappa")?, figure("accuracy")?);
    ensure!(accuracy > 0.9 && kappa > 0.85 && kappa <= accuracy, "kappa {kappa}, accuracy {accuracy}");
    makes_one_of_two(&folder.join("run"), &recipe, &catalogs)
}

/// A run and itself once more, made one by a way of this program.
fn makes_one_of_two(run: &Path, recipe: &Recipe, catalogs: &Catalogs) -> anyhow::Result<()> {
    let run = std::path::absolute(run)?;
    let predictions = run.join("predictions.parquet");
    let options =
        EvaluateOptions { predictions: Some(predictions), catalogs: catalogs.clone(), ..EvaluateOptions::default() };
    let alone = recipes::evaluate(recipe, &options, &mut Silent, &Stop::default())?.context("nothing stops it")?;
    let options = ensemble::FitOptions {
        members: vec![run.clone(), run.clone()],
        predictions: Vec::new(),
        method: Choice::named("first_right"),
        metrics: vec![Choice::named("kappa")],
        best: Some("kappa".into()),
        holdout: 0.0,
        seed: 1,
        bootstrap: 0,
        flips: false,
        output_name: None,
        memory: ByteSize(64 << 20),
        recipe: None,
        library: None,
        folder: EnsembleFolder(run.with_file_name("two")),
        overwrite: true,
        catalogs: catalogs.clone(),
    };
    let two = ensemble::fit(&options, &mut Silent, &Stop::default())?;
    let (one, both) = (alone.evaluation.figure("kappa"), two.ensemble.report.ensemble.figure("kappa"));
    ensure!(one.is_some() && one == both && two.exported.nodes < Some(20), "{one:?}, {both:?}, {:?}", two.exported);
    Ok(())
}

/// A step is compiled through an operator of this program, in whose place are the nodes that it expands into. (To run a model that holds it,
/// ONNX Runtime needs a kernel for it.)
fn compiles_an_operator_of_its_own() -> anyhow::Result<()> {
    let model =
        network(|graph, value| Ok(graph.add_in("extension", "Swish", &[Some(value)], &[("beta", 1.5.into())], 1)?[0]))?;
    let model = Model::from_bytes(model)?;
    let all = FineTuning { train: TrainSelection::All, ..FineTuning::head(4, 5) };
    let program = compile(&model, &all, &extended().operators)?;
    ensure!(program.manifest.parameters.len() == 3, "{:?}", program.manifest.parameters);
    ensure!(compile(&model, &all, &OperatorCatalog::standard()).is_err(), "nobody else knows the operator");
    // one whose gradient is written here, and whose second input is a weight
    let model = network(|graph, value| {
        let values: Vec<f32> = (0..64 * 64).map(|at| (at * 37 % 101) as f32 / 101.0 - 0.5).collect();
        let prototypes = graph.constant("prototypes", Constant::f32([64, 64], &values));
        let metric = [("metric", Attribute::from("sqeuclidean"))];
        Ok(graph.add_in("com.microsoft", "CDist", &[Some(value), Some(prototypes)], &metric, 1)?[0])
    })?;
    let model = Model::from_bytes(model)?;
    let program = compile(&model, &all, &extended().operators)?;
    let trained: Vec<&str> = program.manifest.parameters.iter().map(|entry| entry.name.as_str()).collect();
    ensure!(trained.contains(&"prototypes") && trained.contains(&"hidden.weight"), "{trained:?}");
    ensure!(compile(&model, &all, &OperatorCatalog::standard()).is_err(), "nobody else knows its gradient");
    Ok(())
}

/// 1×8×8 → 64 without a bias → what `bend` makes of them → 5.
fn network(bend: impl Fn(&mut Graph, ValueId) -> anyhow::Result<ValueId>) -> anyhow::Result<Vec<u8>> {
    let mut graph = Graph::new(17, extended().operators);
    let image = graph.input("image", TensorType::f32([Length::named("batch"), 1.into(), 8.into(), 8.into()]));
    let flat = graph.add("Flatten", &[image], &[("axis", Attribute::Int(1))])?;
    let weight = |name: &str, [from, to]: [usize; 2]| {
        let he_normal = Initializer::named("he_normal").expect("it has no options");
        he_normal.draw(&[to, from], Fans::of_dense(from, to), 7, name)
    };
    let hidden = graph.constant("hidden.weight", weight("hidden", [64, 64]));
    let hidden = graph.add("Gemm", &[flat, hidden], &[("transB", 1.into())])?;
    let hidden = bend(&mut graph, hidden)?;
    let classifier = graph.constant("classifier.weight", weight("classifier", [64, 5]));
    let bias = graph.constant("classifier.bias", Constant::f32([5], &[0.0; 5]));
    let logits = graph.add("Gemm", &[hidden, classifier, bias], &[("transB", 1.into())])?;
    graph.output(logits);
    Ok(graph.to_onnx("digits"))
}
