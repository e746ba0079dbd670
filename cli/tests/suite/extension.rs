//! Rows from outside: a program of one's own adds a transform, a loss, a metric, an optimizer and a schedule to the
//! catalogs, and a recipe
//! chooses them by name.

use std::path::Path;

use millstream::Catalogs;
use millstream::compiler::CompilerError;
use millstream::compiler::backward::Expansion;
use millstream::compiler::fused::Combination;
use millstream::compiler::graph::{Attribute, Constant, Graph, Length, TensorType, ValueId};
use millstream::compiler::losses::{self, LossFunction, LossInputs, LossKind, LossNodes, PredictionKind};
use millstream::compiler::operators::{Gradient, Operator, OperatorCatalog};
use millstream::recipes::{self, Silent, Stop, TrainOptions};
use millstream::schemas::choice::{Options, between};
use millstream::schemas::recipe::RecipeText;
use millstream::schemas::{Choice, Fingerprint, PredictionTargets, Predictions, PredictionsHeader, RowId, ScoresOf};
use millstream::training::ensembles::{
    self, Ensemble, EnsembleFunction, EnsembleKind, Fitted, FittedModel, Fitting, MemberScores, NoSoups,
};
use millstream::training::metrics::{
    self, Better, Cell, MeasuredBatch, Meter, MetricFunction, MetricKind, Record, Table, Unit, Worked,
};
use millstream::training::optimizers::{
    self, NodeInputs, OptimizerKind, ParameterFacts, StateTensor, StateValues, UpdateRule,
};
use millstream::training::schedules::{self, Course, RunLength, ScheduleKind};
use millstream::training::{MetricSet, TrainingError};
use millstream::transforms::steps::map::{Border, Project};
use millstream::transforms::{self, ImageFacts, ImageStep, ImageTransform, Kernel, Matrix, Random, Target, Transform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::workplace::{Workplace, has_runtime};
use squared_distance::SQUARED_DISTANCE;

#[expect(unreachable_pub, reason = "a file of the program outside the workspace")]
#[path = "../../../tests/extension/src/squared_distance.rs"]
mod squared_distance;

const HALF_TURN: Transform = Transform {
    name: "half_turn",
    summary: "Turns the image upside down.",
    documentation: "By half a turn about its centre.",
    targets: &[Target::Boxes, Target::Image, Target::KeyPoints, Target::Masks],
    changes_label: Some("a 6 becomes a 9"),
    samples: &["{}"],
    probability: Some(0.5),
    build: transforms::Build::image::<HalfTurn>(),
};

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HalfTurn {}

impl Options for HalfTurn {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl ImageTransform for HalfTurn {
    fn is_random(&self) -> bool {
        false
    }

    fn changes_label(&self) -> bool {
        true
    }

    fn draw(&self, facts: &ImageFacts, _: &mut Random, steps: &mut Vec<ImageStep>) {
        let ImageFacts { width, height, .. } = *facts;
        let matrix = Matrix::scale_then_move(-1.0, -1.0, f64::from(width), f64::from(height));
        steps.push(
            Project { matrix, width, height, fill: [0; 3], border: Border::Fill, kernel: Kernel::Bilinear }.into(),
        );
    }
}

const BRIER: LossKind = LossKind {
    name: "brier",
    summary: "The squared distance between probabilities.",
    documentation: "Brier (1950): Σ (softmax(scores) − t)^2 / Σ w, for distributions t that sum to w = 1, times `factor`.",
    samples: &["{}", r#"{"factor": 0.5}"#],
    build: losses::Build::of::<Brier>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Brier {
    /// What the distance is multiplied with, 0 to 10.
    #[schemars(range(min = 0, max = 10))]
    factor: f64,
}

impl Default for Brier {
    fn default() -> Self {
        Self { factor: 1.0 }
    }
}

impl Options for Brier {
    fn validate(&self) -> Result<(), String> {
        between("factor", self.factor, 0.0, 10.0)
    }
}

impl LossFunction for Brier {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        Ok(prediction.clone())
    }

    fn takes_weights(&self) -> bool {
        false
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let probability = graph.add("Softmax", &[inputs.prediction], &[("axis", 1.into())])?;
        let weight = graph.reduce_sum(inputs.targets, &[1], true)?;
        let off = graph.minus(probability, inputs.targets)?;
        let square = graph.times(off, off)?;
        let square = graph.times(square, weight)?;
        let sum = graph.reduce_sum(square, &[0, 1], false)?;
        let weight = graph.reduce_sum(weight, &[0, 1], false)?;
        let least = graph.scalar(1e-12);
        let weight = graph.add("Max", &[weight, least], &[])?;
        let mean = graph.divided_by(sum, weight)?;
        let factor = graph.scalar(self.factor as f32);
        Ok(LossNodes { loss: graph.times(mean, factor)?, weight: None })
    }
}

const KAPPA: MetricKind = MetricKind {
    name: "kappa",
    summary: "Agreement beyond what chance would bring.",
    documentation: "Cohen (1960): (p − c) / (1 − c) for the share p of right answers and the share c that chance would bring.",
    better: Better::Higher,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[Worked {
        options: "{}",
        shape: &[2, 2],
        prediction: &[1.0, 0.0, 0.0, 1.0],
        targets: &[1.0, 0.0, 0.0, 1.0],
        wanted: r#"{"kappa": 1.0}"#,
    }],
    build: metrics::Build::of::<Kappa>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Kappa {}

impl Options for Kappa {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for Kappa {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["kappa".into()]
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Agreement { right: 0.0, of_class: vec![0.0; classes.len()], taken: vec![0.0; classes.len()] }))
    }
}

struct Agreement {
    right: f64,
    of_class: Vec<f64>,
    taken: Vec<f64>,
}

impl Meter for Agreement {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        batch.each_answer(|answer| {
            self.of_class[answer.truth] += 1.0;
            if let Some(predicted) = answer.predicted {
                self.taken[predicted] += 1.0;
                self.right += f64::from(u8::from(predicted == answer.truth));
            }
        });
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let rows: f64 = self.of_class.iter().sum();
        let by_chance: f64 = self.of_class.iter().zip(&self.taken).map(|(a, b)| a * b / (rows * rows)).sum();
        vec![(rows > 0.0).then(|| (self.right / rows - by_chance) / (1.0 - by_chance))]
    }

    fn tables(&self) -> Vec<(String, Table)> {
        let record = |taken: &f64| Record(vec![("taken".into(), Cell::Count(*taken as u64))]);
        vec![("answers".into(), Table::Classes(self.taken.iter().map(record).collect()))]
    }
}

const SIGN_SGD: OptimizerKind = OptimizerKind {
    name: "sign_sgd",
    summary: "Steps of one length along the sign of the gradient.",
    documentation: "Bernstein et al. (2018): θ ← θ − η·sign(g), and nothing where |g| is below `threshold`.",
    samples: &["{}", r#"{"threshold": 0.001}"#],
    learning_rate: 1e-3,
    build: optimizers::Build::of::<SignSgd>(),
};

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SignSgd {
    /// Smaller gradients move nothing, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    threshold: f64,
}

impl Options for SignSgd {
    fn validate(&self) -> Result<(), String> {
        between("threshold", self.threshold, 0.0, 1.0)
    }
}

impl UpdateRule for SignSgd {
    fn state(&self, _: ParameterFacts<'_>) -> Vec<StateTensor> {
        Vec::new()
    }

    fn coefficients(&self, _step: u64, learning_rate: f32) -> Vec<f32> {
        vec![learning_rate]
    }

    fn update(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts<'_>,
        scale: f32,
        parameter: &mut [f32],
        gradient: &[f32],
        _: &mut [StateValues],
    ) {
        let rate = coefficients[0] * facts.learning_rate_multiplier;
        for (value, gradient) in parameter.iter_mut().zip(gradient) {
            let gradient = gradient * scale;
            if gradient.abs() > self.threshold as f32 {
                *value -= rate * gradient.signum();
            }
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let sign = graph.add("Sign", &[inputs.gradient], &[])?;
        let change = graph.times(sign, inputs.coefficients[0])?;
        Ok((graph.minus(inputs.parameter, change)?, Vec::new()))
    }
}

const HALVING: ScheduleKind = ScheduleKind {
    name: "halving",
    summary: "Half the rate after half of the steps.",
    documentation: "1 in the first half of the steps, ½ in the second.",
    samples: &["{}"],
    build: schedules::Build::of::<Halving>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Halving {}

impl Options for Halving {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Course for Halving {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        if 2 * step < run.steps { 1.0 } else { 0.5 }
    }
}

const LAST_MEMBER: EnsembleKind = EnsembleKind {
    name: "last_member",
    summary: "The last member alone.",
    documentation: "All of the weight is the last member's.",
    samples: &[],
    build: ensembles::Build::of::<LastMember>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LastMember {}

impl Options for LastMember {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl EnsembleFunction for LastMember {
    fn fits(&self) -> bool {
        false
    }

    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        let mut weights = vec![0.0; fitting.members.members()];
        weights.last_mut().into_iter().for_each(|weight| *weight = 1.0);
        Ok(Combination::Probabilities { weights }.into())
    }
}

#[test]
fn a_way_of_another_crate_makes_one_of_several() {
    let catalogs = extended();
    let method = Ensemble::choose(&catalogs.ensembles, &Choice::named("last_member"), "--method").unwrap();
    let predictions = |scores: [f32; 4]| Predictions {
        header: PredictionsHeader {
            version: PredictionsHeader::VERSION,
            scores_of: ScoresOf::Classes,
            columns: 2,
            classes: vec!["a".into(), "b".into()],
            model: Fingerprint::default(),
            data: Fingerprint::default(),
        },
        rows: (0..2).map(|row| RowId { file: "rows.parquet".into(), row_group: 0, row }).collect(),
        scores: scores.to_vec(),
        targets: PredictionTargets::Classes(vec![0, 1]),
    };
    let members = [[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]].map(predictions);
    let members = MemberScores::align(members.into_iter().map(|own| ("member".to_owned(), own)).collect()).unwrap();
    let metrics = MetricSet::usual(PredictionKind::ClassScores);
    let mut fitting = Fitting { members: &members, metrics: &metrics, seed: 0, soups: &mut NoSoups };
    let FittedModel::Combination(combination) = method.fit(&mut fitting).unwrap().model else { panic!() };
    let scores = combination.apply(members.reads(), 2, &members.all_scores()).unwrap();
    assert_eq!(members.measure(&scores, &metrics).unwrap().figure("accuracy"), Some(1.0));
    assert!(Ensemble::choose(&Catalogs::default().ensembles, &Choice::named("last_member"), "--method").is_err());
}

/// The same by operators whose gradients are known: ‖x‖² − 2 x · pᵀ + ‖p‖².
fn spelled_out(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (x, prototypes) = (node.input(0)?, node.input(1)?);
    let graph = &mut *node.graph;
    let squares = [x, prototypes].map(|rows| {
        let square = graph.times(rows, rows)?;
        graph.reduce_sum(square, &[1], true)
    });
    let [of_rows, of_prototypes] = squares;
    let of_prototypes = graph.transpose(of_prototypes?, &[1, 0])?;
    let turned = graph.transpose(prototypes, &[1, 0])?;
    let product = graph.add("MatMul", &[x, turned], &[])?;
    let two = graph.scalar(2.0);
    let product = graph.times(product, two)?;
    let sum = graph.plus(of_rows?, of_prototypes)?;
    Ok(vec![graph.minus(sum, product)?])
}

/// `image` → convolution → mean → distances to prototypes → a dense layer.
fn network_of_prototypes(operators: &OperatorCatalog) -> Result<Vec<u8>, CompilerError> {
    let mut graph = Graph::new(17, operators.clone());
    let image = graph.input("image", TensorType::f32([Length::named("batch"), 3.into(), 16.into(), 16.into()]));
    let weight = |graph: &mut Graph, name: &str, shape: &[usize]| {
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|at: usize| (at * 37 % 101) as f32 / 101.0 - 0.5).collect();
        graph.constant(name, Constant::f32(shape, &values))
    };
    let convolution = weight(&mut graph, "conv.weight", &[8, 3, 3, 3]);
    let prototypes = weight(&mut graph, "prototypes", &[6, 8]);
    let head = weight(&mut graph, "head.weight", &[6, 3]);
    let mixed = graph.add("Conv", &[image, convolution], &[])?;
    let bent = graph.add("Relu", &[mixed], &[])?;
    let mean = graph.add("GlobalAveragePool", &[bent], &[])?;
    let features = graph.add("Flatten", &[mean], &[("axis", 1.into())])?;
    let metric = [("metric", Attribute::from("sqeuclidean"))];
    let distances = graph.add_in("com.microsoft", "CDist", &[Some(features), Some(prototypes)], &metric, 1)?[0];
    let logits = graph.add("Gemm", &[distances, head], &[])?;
    graph.output(logits);
    Ok(graph.to_onnx("prototypes"))
}

#[test]
fn an_operator_of_another_crate_trains_by_the_gradient_that_it_brings() {
    if !has_runtime() {
        return;
    }
    let losses =
        [SQUARED_DISTANCE, Operator { gradient: Gradient::Expand(spelled_out), ..SQUARED_DISTANCE }].map(|row| {
            let ours = Catalogs::default();
            let catalogs = Catalogs { operators: ours.operators.clone().with_operator(row), ..ours };
            let place = Workplace::new();
            std::fs::write(place.path("model.onnx"), network_of_prototypes(&catalogs.operators).unwrap()).unwrap();
            let recipe = recipes::load(&text(&place, &["training.epochs=2"]), &catalogs).unwrap();
            let report = recipes::check(&recipe, &catalogs, None).unwrap();
            let layers: Vec<&str> = report.model.layers.iter().map(|layer| layer.name.as_str()).collect();
            assert!(report.problems.is_empty() && report.model.trained >= 216 + 48, "{layers:?} {:?}", report.problems);
            let refused = recipes::check(&recipe, &Catalogs::default(), None);
            let told = refused.map_or_else(|error| error.to_string(), |report| report.problems.join(" "));
            assert!(told.contains("CDist"), "{told}");
            let options = TrainOptions { catalogs, ..TrainOptions::default() };
            recipes::train(&recipe, &options, &mut Silent, &Stop::default()).unwrap().evaluation.unwrap().loss
        });
    assert!((losses[0] - losses[1]).abs() < 1e-4, "{losses:?}");
}

fn extended() -> Catalogs {
    let ours = Catalogs::default();
    Catalogs {
        ensembles: ours.ensembles.with(LAST_MEMBER),
        transforms: ours.transforms.with(HALF_TURN),
        losses: ours.losses.with(BRIER),
        metrics: ours.metrics.with(KAPPA),
        optimizers: ours.optimizers.with(SIGN_SGD),
        schedules: ours.schedules.with(HALVING),
        ..ours
    }
}

const CHANGES: [&str; 7] = [
    "training.metrics=[kappa, accuracy]",
    "training.best=kappa",
    "training.loss={brier: {factor: 2}}",
    "transforms.train=[{resize: {size: 16}}, {half_turn: {probability: 0.2}}]",
    "training.optimizer={sign_sgd: {learning_rate: 0.01}}",
    "training.schedule=halving",
    "training.epochs=8",
];

fn text(place: &Workplace, changes: &[&str]) -> RecipeText {
    let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    RecipeText::read(&place.path("recipe.yaml"), &changes).unwrap()
}

#[test]
fn rows_of_another_crate_are_checked_trained_and_written_down_like_ours() {
    let (place, catalogs) = (Workplace::new(), extended());
    let recipe = recipes::load(&text(&place, &CHANGES), &catalogs).unwrap();
    let written = serde_json::to_value(&recipe.training).unwrap();
    assert_eq!(written["optimizer"], serde_json::json!({"sign_sgd": {"threshold": 0.0, "learning_rate": 0.01}}));
    assert_eq!(written["loss"], serde_json::json!({"brier": {"factor": 2.0}}));
    let schema = catalogs.recipe_schema().to_string();
    assert!(["half_turn", "brier", "kappa", "sign_sgd", "halving"].iter().all(|name| schema.contains(name)));
    if !has_runtime() {
        return;
    }
    let options = TrainOptions { catalogs, ..TrainOptions::default() };
    let summary = recipes::train(&recipe, &options, &mut Silent, &Stop::default()).unwrap();
    let evaluation = summary.evaluation.unwrap();
    let (kappa, accuracy) = (evaluation.figure("kappa").unwrap(), evaluation.figure("accuracy").unwrap());
    assert!(accuracy > 0.9 && kappa > 0.85 && kappa <= accuracy, "{kappa}, {accuracy}");
    assert!(matches!(evaluation.table("answers"), Some(Table::Classes(records)) if records.len() == 3));
    let page = std::fs::read_to_string(summary.folder.join("report.html")).unwrap();
    assert!(page.contains("Kappa on the evaluation rows") && page.contains("<h3>Answers</h3>"));
    // Whoever has not the rows is told so, and nothing else is wrong with what the run wrote.
    let again = RecipeText::read(Path::new(&summary.folder.join("recipe.yaml")), &[]).unwrap();
    recipes::load(&again, &extended()).unwrap();
    let message = recipes::load(&again, &Catalogs::default()).unwrap_err().to_string();
    for name in ["half_turn", "brier", "kappa", "sign_sgd", "halving"] {
        assert!(message.contains(name), "{name} in {message}");
    }
}

#[test]
fn mistakes_in_rows_of_another_crate_are_told_at_their_place() {
    let place = Workplace::new();
    for (change, wanted) in [
        (
            "training.optimizer={sign_sgd: {threshold: 2}}",
            "training.optimizer.sign_sgd.threshold: wanted 0 to 1, got 2",
        ),
        ("training.optimizer={sign_sgd: {treshold: 0}}", "did you mean `threshold`?"),
        ("training.loss={brier: {factor: 11}}", "training.loss.brier.factor: wanted 0 to 10, got 11"),
        ("training.metrics=[{kappa: {k: 1}}]", "unknown option `k`; it has no options"),
        ("training.best=kapa", "no figure is called `kapa`"),
        ("training.loss=brierr", "did you mean `brier`?"),
        ("training.optimizer=sign_sg", "did you mean `sign_sgd`?"),
        ("transforms.train=[half_turns]", "did you mean `half_turn`?"),
        ("transforms.train=[{half_turn: {probability: 3}}]", "half_turn: probability is between 0 and 1, got 3"),
    ] {
        let message = recipes::load(&text(&place, &[change]), &extended()).unwrap_err().to_string();
        assert!(message.contains(wanted), "{wanted} in {message}");
    }
}
