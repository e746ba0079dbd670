//! Runs of one process that share memory, workers and threads: each gives to the bit what it gives alone.
#![cfg(feature = "training")]
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests say that they are left out, and stop at surprises"
)]

use std::path::Path;

use millstream::compiler::graph::{Attribute, Constant, Graph, Length, TensorType};
use millstream::compiler::initializers::{Fans, Initializer};
use millstream::recipes::preview::{Preview, PreviewOptions, PreviewSheet};
use millstream::recipes::{
    self, CheckReport, Compiled, Opened, ResourceOptions, Resources, Run, RunOptions, RunState, Silent, StartMode,
    Stop, TrainOptions,
};
use millstream::schemas::Choice;
use millstream::schemas::recipe::{ByteSize, RecipeText};
use millstream::training::{Until, record::Curve};
use millstream::{Catalogs, OperatorCatalog, Recipe};
use tempfile::TempDir;

const MEMORY: ByteSize = ByteSize(1 << 20);
const THREADS: usize = 2;
const LEARNING_RATES: [&str; 2] = ["2e-3", "5e-4"];

/// What two runs share, or nothing where ONNX Runtime is not there. Whoever comes first decides about the threads of a
/// process, so all tests begin with this.
fn resources(runs: usize) -> Option<Resources> {
    if let Err(error) = millstream::runtime::locate(None) {
        println!("left out: this test needs ONNX Runtime. {error}");
        return None;
    }
    let options = ResourceOptions { memory: MEMORY, runs, workers: 2, threads: THREADS, library: None };
    Some(Resources::open(&options).unwrap())
}

/// A folder with an untrained network for the digits of `examples/digits`.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("network.onnx"), network()).unwrap();
    place
}

fn network() -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let image = graph.input("image", TensorType::f32([Length::named("batch"), 3.into(), 16.into(), 16.into()]));
    let weight = |graph: &mut Graph, name: &str, shape: &[usize], fans: Fans| {
        let values = Initializer::named("he_normal").unwrap().draw(shape, fans, 5, name);
        graph.constant(name, values)
    };
    let shape = [8, 3, 3, 3];
    let filters = weight(&mut graph, "conv.weight", &shape, Fans::of_convolution(&shape));
    let attributes = [("kernel_shape", Attribute::Ints(vec![3, 3])), ("strides", Attribute::Ints(vec![2, 2]))];
    let maps = graph.add("Conv", &[image, filters], &attributes).unwrap();
    let maps = graph.add("Relu", &[maps], &[]).unwrap();
    let features = graph.add("Flatten", &[maps], &[("axis", 1.into())]).unwrap();
    let matrix = weight(&mut graph, "classifier.weight", &[5, 392], Fans::of_dense(392, 5));
    let bias = graph.constant("classifier.bias", Constant::f32([5], &[0.0; 5]));
    let logits = graph.add("Gemm", &[features, matrix, bias], &[("transB", 1.into())]).unwrap();
    graph.output(logits);
    graph.to_onnx("digits")
}

fn recipe(place: &Path, folder: &str, learning_rate: &str) -> Recipe {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits/pretrain.yaml");
    let changes = [
        format!("model.path={}", place.join("network.onnx").display()),
        format!("output.folder={}", place.join(folder).display()),
        "data.memory=1 MiB".into(),
        format!("training.threads={THREADS}"),
        format!("training.optimizer={{adamw: {{learning_rate: {learning_rate}}}}}"),
        "training.epochs=2".into(),
        "output.checkpoint={every_steps: 10, keep: 2}".into(),
    ];
    recipes::load(&RecipeText::read(&file, &changes).unwrap(), &Catalogs::default()).unwrap()
}

/// What a run gave: its tuned model, and the losses of its steps and evaluations.
#[derive(PartialEq)]
struct Gave {
    model: Vec<u8>,
    curve: Curve,
    evaluations: Vec<f64>,
}

fn gave(folder: &Path) -> Gave {
    let record = std::fs::read(folder.join("metrics.json")).unwrap();
    let record: millstream::training::RunRecord = serde_json::from_slice(&record).unwrap();
    assert_eq!(record.ending, "finished");
    let history = record.history;
    let evaluations = history.epochs.iter().map(|epoch| epoch.evaluation.as_ref().unwrap().loss).collect();
    Gave { model: std::fs::read(folder.join("model.onnx")).unwrap(), curve: history.curve, evaluations }
}

/// Both recipes trained one after the other, each with all of its own.
fn alone(place: &Path) -> [Gave; 2] {
    LEARNING_RATES.map(|learning_rate| {
        let folder = format!("alone-{learning_rate}");
        let recipe = recipe(place, &folder, learning_rate);
        recipes::train(&recipe, &TrainOptions::default(), &mut Silent, &Stop::default()).unwrap();
        gave(&place.join(folder))
    })
}

fn compiled(place: &Path, folder: &str) -> [Compiled; 2] {
    let [first, second] =
        LEARNING_RATES.map(|learning_rate| recipe(place, &format!("{folder}-{learning_rate}"), learning_rate));
    let opened = Opened::open(&first, &Catalogs::default()).unwrap();
    // The second has the same data and model.
    [opened.compile().unwrap(), opened.with(&second).unwrap().compile().unwrap()]
}

fn started(compiled: &Compiled, start: StartMode, resources: &Resources) -> Run {
    let options = RunOptions { start, resources: Some(resources.clone()), ..RunOptions::default() };
    compiled.run(&options, &mut Silent).unwrap()
}

fn require_same(place: &Path, folder: &str, alone: &[Gave; 2]) {
    for (learning_rate, alone) in LEARNING_RATES.iter().zip(alone) {
        let together = gave(&place.join(format!("{folder}-{learning_rate}")));
        assert!(together == *alone, "{folder}, learning rate {learning_rate}: the results differ");
    }
    assert!(alone[0] != alone[1], "two learning rates give the same, so this test shows nothing");
}

fn require_within(resources: &Resources) {
    let streams = resources.streams();
    assert!(streams.bytes_peak() <= MEMORY.0, "{} bytes were held at a time", streams.bytes_peak());
    assert!(streams.bytes_peak() > 0, "nothing was counted");
}

#[test]
fn two_runs_in_turns_give_what_each_gives_alone_and_hold_no_more_than_one_budget() {
    let Some(resources) = resources(2) else { return };
    let place = place();
    let mut runs = compiled(place.path(), "turns").map(|compiled| started(&compiled, StartMode::New, &resources));
    let mut step = 0;
    while runs.iter().any(|run| run.progress().state != RunState::Finished) {
        step += 4;
        for (run, ahead) in runs.iter_mut().zip([0, 3]) {
            let progress = run.advance(Until::Step(step + ahead), &mut Silent, &Stop::default()).unwrap();
            assert_eq!(progress.steps, (step + ahead).min(progress.total_steps));
            assert_eq!(run.history().steps, progress.steps);
            require_within(&resources);
        }
    }
    for run in runs {
        let best = run.best_parameters().unwrap();
        assert_eq!(best.len(), run.manifest().parameters.len());
        let summary = run.finish(&mut Silent).unwrap();
        assert!(!summary.interrupted && summary.evaluation.is_some());
    }
    assert_eq!(resources.streams().bytes_held(), 0, "what ended runs held is given back");
    require_same(place.path(), "turns", &alone(place.path()));
}

#[test]
fn two_runs_from_two_threads_give_what_each_gives_alone() {
    let Some(resources) = resources(2) else { return };
    let place = place();
    std::thread::scope(|scope| {
        for compiled in compiled(place.path(), "threads") {
            let resources = &resources;
            scope.spawn(move || {
                let mut run = started(&compiled, StartMode::New, resources);
                run.advance(Until::End, &mut Silent, &Stop::default()).unwrap();
                run.finish(&mut Silent).unwrap();
            });
        }
    });
    require_within(&resources);
    require_same(place.path(), "threads", &alone(place.path()));
}

#[test]
fn a_run_that_is_dropped_goes_on_from_its_newest_checkpoint_to_the_same_bits() {
    let Some(resources) = resources(2) else { return };
    let place = place();
    for compiled in compiled(place.path(), "dropped") {
        let mut run = started(&compiled, StartMode::New, &resources);
        let progress = run.advance(Until::Step(17), &mut Silent, &Stop::default()).unwrap();
        let newest = progress.checkpoint.expect("one is written every 10 steps");
        assert!(newest.ends_with("step-10"), "{}", newest.display());
        drop(run);
        let mut run = started(&compiled, StartMode::Resume, &resources);
        assert_eq!(run.progress().steps, 10);
        let progress = run.advance(Until::Epoch(1), &mut Silent, &Stop::default()).unwrap();
        assert_eq!((progress.epochs, progress.state), (1, RunState::UnderWay));
        // Not at its end: it is saved where it stands.
        let summary = run.finish(&mut Silent).unwrap();
        assert!(summary.interrupted && summary.model.is_none() && summary.evaluation.is_none());
        let mut run = started(&compiled, StartMode::Resume, &resources);
        assert_eq!(run.progress(), progress);
        run.advance(Until::End, &mut Silent, &Stop::default()).unwrap();
        run.finish(&mut Silent).unwrap();
    }
    require_same(place.path(), "dropped", &alone(place.path()));
}

fn ending(place: &Path, folder: &str) -> String {
    let record = std::fs::read(place.join(format!("{folder}-{}/metrics.json", LEARNING_RATES[0]))).unwrap();
    serde_json::from_slice::<millstream::training::RunRecord>(&record).unwrap().ending
}

#[test]
fn a_finished_run_that_is_resumed_and_finished_again_is_not_interrupted() {
    let Some(resources) = resources(1) else { return };
    let place = place();
    let [compiled, _] = compiled(place.path(), "again");
    let mut run = started(&compiled, StartMode::New, &resources);
    run.advance(Until::End, &mut Silent, &Stop::default()).unwrap();
    let first = run.finish(&mut Silent).unwrap();
    let run = started(&compiled, StartMode::Resume, &resources);
    assert_eq!(run.progress().state, RunState::Finished);
    let again = run.finish(&mut Silent).unwrap();
    assert_eq!(ending(place.path(), "again"), "finished");
    assert!(!again.interrupted && again.model == first.model && again.evaluation == first.evaluation);
}

#[test]
fn a_run_whose_last_checkpoint_cannot_be_saved_leaves_its_curves() {
    let Some(resources) = resources(1) else { return };
    let place = place();
    let [compiled, _] = compiled(place.path(), "unsaved");
    let mut run = started(&compiled, StartMode::New, &resources);
    let progress = run.advance(Until::Step(3), &mut Silent, &Stop::default()).unwrap();
    assert_eq!(progress.checkpoint, None);
    let checkpoints = compiled.opened().recipe.output.folder.join("checkpoints");
    let _ = std::fs::remove_dir_all(&checkpoints);
    std::fs::write(&checkpoints, "a file in the way").unwrap();
    assert!(run.finish(&mut Silent).is_err());
    assert_eq!(ending(place.path(), "unsaved"), "failed");
}

#[test]
fn a_run_whose_model_cannot_be_written_leaves_its_record() {
    let Some(resources) = resources(1) else { return };
    let place = place();
    let [compiled, _] = compiled(place.path(), "unwritten");
    let mut run = started(&compiled, StartMode::New, &resources);
    run.advance(Until::End, &mut Silent, &Stop::default()).unwrap();
    std::fs::create_dir_all(compiled.opened().recipe.output.folder.join("model.onnx/in the way")).unwrap();
    assert!(run.finish(&mut Silent).is_err());
    assert_eq!(ending(place.path(), "unwritten"), "failed");
}

#[test]
fn what_runs_that_share_measure_at_their_ends_lies_beside_their_own_streams() {
    let Some(resources) = resources(2) else { return };
    let place = place();
    let runs = compiled(place.path(), "measured").map(|compiled| {
        let mut recipe = compiled.opened().recipe.clone();
        recipe.evaluation.calibrate.temperature = true;
        started(&compiled.opened().with(&recipe).unwrap().compile().unwrap(), StartMode::New, &resources)
    });
    for mut run in runs {
        run.advance(Until::End, &mut Silent, &Stop::default()).unwrap();
        let summary = run.finish(&mut Silent).unwrap();
        assert!(summary.model.is_some() && summary.evaluation.is_some());
        require_within(&resources);
    }
}

#[test]
fn a_model_replaced_after_it_was_opened_is_not_noted_as_what_the_run_is_made_of() {
    let Some(resources) = resources(1) else { return };
    let place = place();
    let [compiled, _] = compiled(place.path(), "replaced");
    let model = compiled.opened().model.path().to_owned();
    std::fs::write(&model, "another").unwrap();
    let mut run = started(&compiled, StartMode::New, &resources);
    run.advance(Until::Epoch(1), &mut Silent, &Stop::default()).unwrap();
    run.finish(&mut Silent).unwrap();
    std::fs::write(&model, network()).unwrap();
    let opened = Opened::open(&compiled.opened().recipe, &Catalogs::default()).unwrap();
    assert_eq!(started(&opened.compile().unwrap(), StartMode::Resume, &resources).progress().epochs, 1);
}

#[test]
fn labels_are_not_counted_again_for_another_learning_rate_or_balanced_factors() {
    let place = place();
    let data = place.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits/data")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), data.join(file.file_name())).unwrap();
    }
    let [first, second] = LEARNING_RATES.map(|learning_rate| {
        let mut recipe = recipe(place.path(), learning_rate, learning_rate);
        let patterns = |split: &str| format!("{}/digits-pretrain-{split}-*.parquet", data.display());
        recipe.data.train = serde_json::from_value(patterns("train").into()).unwrap();
        recipe.data.evaluate = Some(serde_json::from_value(patterns("test").into()).unwrap());
        recipe
    });
    let mut balanced = second.clone();
    balanced.training.loss = Some(Choice::new("cross_entropy", serde_json::json!({"class_weights": "balanced"})));
    let opened = Opened::open(&first, &Catalogs::default()).unwrap();
    opened.compile().unwrap();
    let counted = Opened::open(&balanced, &Catalogs::default()).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    counted.with(&balanced).expect("the factors were told when it was opened, and nothing is left to count");
    opened.with(&second).unwrap().compile().unwrap();
    let (once, told) = (opened.with(&balanced).unwrap(), opened.notes.len() + 1);
    for opened in [once.with(&balanced).unwrap(), once] {
        assert_eq!(opened.notes.len(), told, "{:?}", opened.notes);
        assert!(opened.recipe.training.loss.as_ref().unwrap().options["class_weights"].is_array());
    }
    assert!(Opened::open(&second, &Catalogs::default()).is_err(), "there is nothing left to count");
}

#[test]
fn rows_that_are_open_are_not_taken_for_those_of_other_sets() {
    let place = place();
    let mut first = recipe(place.path(), "sets", LEARNING_RATES[0]);
    first.evaluation.sets.insert("night".into(), first.data.evaluate.clone().unwrap());
    let opened = Opened::open(&first, &Catalogs::default()).unwrap();
    let with = |change: &dyn Fn(&mut Recipe)| {
        let mut recipe = first.clone();
        change(&mut recipe);
        opened.with(&recipe)
    };
    let by_night = with(&|recipe| recipe.evaluation.best_on = Some("night".into())).unwrap();
    assert_eq!(by_night.evaluation_sets()[0].0, "night");
    let refused = |change: &dyn Fn(&mut Recipe)| with(change).expect_err("refused").to_string();
    let message = refused(&|recipe| {
        recipe.evaluation.sets.insert("night".into(), recipe.data.train.clone());
    });
    assert!(
        message.contains("`evaluation.sets.night` is not what the data and the model were opened for"),
        "{message}"
    );
    let message = refused(&|recipe| recipe.evaluation.sets.clear());
    assert!(message.contains("`evaluation.sets.night`"), "{message}");
    let message = refused(&|recipe| recipe.evaluation.best_on = Some("day".into()));
    assert!(message.contains("evaluation.best_on: no set of the name `day` is open"), "{message}");
}

#[test]
fn a_run_too_many_and_what_does_not_fit_the_resources_are_refused() {
    let Some(resources) = resources(1) else { return };
    let place = place();
    let [first, second] = compiled(place.path(), "refused");
    let start = StartMode::Overwrite;
    let options = RunOptions { start, resources: Some(resources), ..RunOptions::default() };
    let run = first.run(&options, &mut Silent).unwrap();
    let refused = |compiled: &Compiled| compiled.run(&options, &mut Silent).err().expect("refused").to_string();
    assert!(refused(&second).contains("shared by 1 stream already"), "{}", refused(&second));
    drop(run);
    drop(second.run(&options, &mut Silent).unwrap());
    let other = |change: fn(&mut Recipe)| {
        let mut recipe = first.opened().recipe.clone();
        change(&mut recipe);
        Opened::open(&recipe, &Catalogs::default()).unwrap().compile().unwrap()
    };
    for (change, wanted) in [
        ((|recipe| recipe.training.threads = 3) as fn(&mut Recipe), "shares 2 threads with others"),
        (|recipe| recipe.data.memory = ByteSize(2 << 20), "streams share 1.0 MiB of memory, less than the 2.0 MiB"),
    ] {
        let message = refused(&other(change));
        assert!(message.contains(wanted), "{message}");
    }
    let mut recipe = first.opened().recipe.clone();
    recipe.data.batch = 7;
    let message = first.opened().with(&recipe).unwrap_err().to_string();
    let wanted = format!(
        "`data.batch` is not what the data and the model were opened for (then {}, now 7)",
        first.opened().recipe.data.batch
    );
    assert!(message.contains(&wanted), "{message}");
    let message = millstream::runtime::ready_with_threads(None, 5).unwrap_err().to_string();
    assert!(message.contains("5 threads cannot be shared: this process has loaded ONNX Runtime with 2"), "{message}");
}

#[test]
fn check_and_preview_of_what_is_opened_say_what_those_of_the_recipe_say() {
    let Some(_resources) = resources(1) else { return };
    let place = place();
    let recipe = recipe(place.path(), "run", LEARNING_RATES[0]);
    let catalogs = Catalogs::default();
    let opened = Opened::open(&recipe, &catalogs).unwrap();
    let json = |report: &CheckReport| serde_json::to_value(report).unwrap();
    let reports = [opened.check(None).unwrap(), recipes::check(&recipe, &catalogs, None).unwrap()];
    assert_eq!(json(&reports[0]), json(&reports[1]));
    let options = PreviewOptions { rows: 3, draws: 2, seed: Some(4) };
    let drawn = [Preview::of(&opened), Preview::open(&recipe, &catalogs).unwrap()].map(|preview| {
        let drawn = preview.draw(&options).unwrap();
        assert!(matches!(preview.render(&drawn).unwrap(), PreviewSheet::Image(_)));
        serde_json::to_value(drawn).unwrap()
    });
    assert_eq!(drawn[0], drawn[1]);
}

#[test]
fn runs_and_what_they_are_made_of_can_go_to_other_threads() {
    fn can_be_sent<T: Send>() {}
    fn can_be_shared<T: Send + Sync + Clone>() {}
    can_be_sent::<Run>();
    can_be_shared::<Opened>();
    can_be_shared::<Compiled>();
    can_be_shared::<Resources>();
}
