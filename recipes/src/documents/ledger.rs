use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use millstream_compiler::{LayerReport, Model};
use millstream_pipeline::{self as pipeline, Dataset, SharedRows};
use millstream_schemas::files::sha256_of_file;
use millstream_schemas::recipe::{AverageRecipe, EvaluationRecipe, RecipeText, TransparencyPolicy};
use millstream_schemas::{Choice, Feature, Fingerprint, Recipe, shown};
use millstream_training::metrics::FigureKind;
use millstream_training::{Evaluation, History, RunRecord, SetEvaluation};
use serde::Serialize;
use serde_json::Value;

use super::added::{AddedPart, added};
use super::base_model::BaseModel;
use super::chosen::ChosenTrial;
use super::front_matter::task;
use super::frozen::{AdaptedLayers, FrozenLayers, adapted, frozen};
use super::input_facts::InputFacts;
use super::model_facts::ModelFacts;
use super::model_use::{ModelUse, recipe_without_folders, without_folders};
use super::statements::Statements;
use crate::check::CheckReport;
use crate::class_count::ClassCount;
use crate::data_report::DataReport;
use crate::decisions::{Decision, decisions};
use crate::freezing::FreezeStage;
use crate::origin::{Origin, Parent, commit, software};
use crate::run_folder::RunFolder;
use crate::run_parts::{RunPart, RunParts};
use crate::run_start::made_of;
use crate::study_part::StudyPart;
use crate::{Catalogs, RecipeError, RowSource, lineage, load, overlap};

/// All that is known of a run: what it was made of, what was decided, what came out, and what people have stated.
#[derive(Clone, Debug, Serialize)]
pub struct Ledger {
    /// Version of this format; 1.
    pub version: u32,
    /// The run's name.
    pub name: String,
    /// Folder of the run.
    pub folder: PathBuf,
    /// Version of this software that wrote the ledger.
    pub software: String,
    /// The commit of that software, where it is known.
    pub commit: Option<String>,
    /// What the model does, as Hugging Face calls it, where inputs and targets say that: `image-classification`.
    pub task: Option<String>,
    /// What the data are called: as stated, or after the folder that they lie in, or their first file where that says nothing.
    pub data_name: String,
    /// How the run ended: `finished`, `interrupted` or `failed`.
    pub ending: String,
    /// The pretrained model.
    pub base: ModelFacts,
    /// The runs that the pretrained model goes back to, the nearest first: as the run has noted when it began, or found by the model's
    /// hash among the runs beside it.
    pub lineage: Vec<Parent>,
    /// The search that the run is a part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub study: Option<StudyPart>,
    /// The trial of it that the run's values are of, and among how many that was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<ChosenTrial>,
    /// How the run began; none of a run of an older build.
    pub origin: Option<Origin>,
    /// From which steps on other settings held than before; the recipe is the last one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<RunPart>,
    /// What people noted of it, in order.
    pub decisions: Vec<Decision>,
    /// What the run exported.
    pub exported: Option<ModelFacts>,
    /// How that is run without this program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_use: Option<ModelUse>,
    /// What was trained, and how.
    pub training: TrainingFacts,
    /// Each split of the data, training first.
    pub data: Vec<DataFacts>,
    /// Evaluation rows whose image or text is trained on too.
    pub shared_rows: Option<SharedRows>,
    /// What it is worth.
    pub results: Results,
    /// Whether data and base model are those that the run began with.
    pub unchanged: bool,
    /// What was noticed while the ledger was written.
    pub notes: Vec<String>,
    /// What only people know.
    pub statements: Statements,
}

/// What was trained, and how.
#[derive(Clone, Debug, Serialize)]
pub struct TrainingFacts {
    /// The recipe as it was used, with every default, and names of files in place of their paths.
    pub recipe: Value,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Why there.
    pub device_reason: String,
    /// Version of ONNX Runtime.
    pub onnx_runtime: String,
    /// Numbers that were trained.
    pub trained: u64,
    /// Numbers of the model itself that were not trained.
    pub frozen: u64,
    /// Names of the layers that were trained, what methods have added as layers of their own.
    pub trained_layers: Vec<String>,
    /// Layers of the model that these are or stand beside, each once.
    pub trained_places: u64,
    /// The methods as the recipe has them, with the names of files in place of their paths.
    pub methods: Vec<Choice>,
    /// What was added to the model; nothing where the base model, which tells it, is another now.
    pub added_parts: Vec<AddedPart>,
    /// Those that methods adapt, by the method.
    pub adapted_layers: Vec<AdaptedLayers>,
    /// The others by why they stayed as they were.
    pub frozen_layers: Vec<FrozenLayers>,
    /// What was trained from when on, by the layers of the model; nothing where it was the same all the time.
    pub stages: Vec<FreezeStage>,
    /// Updates made.
    pub steps: u64,
    /// Passes over the training rows that were ended.
    pub epochs: u64,
    /// Seconds, evaluations included.
    pub seconds: f64,
    /// What rules decided and what was noticed, in words.
    pub decisions: Vec<String>,
    /// The transforms of training, as captions.
    pub transforms: Vec<String>,
}

/// One split of the data.
#[derive(Clone, Debug, Serialize)]
pub struct DataFacts {
    /// `train`, `evaluate`, or the name of another set.
    pub split: String,
    /// Files.
    pub files: Vec<DataFile>,
    /// Rows.
    pub rows: u64,
    /// Name and type of each column.
    pub columns: Vec<(String, String)>,
    /// Nulls by column, where the files say how many.
    pub nulls: Vec<(String, u64)>,
    /// What the inputs are like, where they are images or texts.
    pub inputs: Option<InputFacts>,
    /// Column with the class, where there is one.
    pub label: Option<String>,
    /// Rows of each class.
    pub classes: Vec<ClassCount>,
    /// Rows without a class (−1).
    pub unlabelled: u64,
    /// Rows whose label is null or none of the classes.
    pub bad_labels: u64,
}

/// One Parquet file.
#[derive(Clone, Debug, Serialize)]
pub struct DataFile {
    /// Name within the split.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// SHA-256 in hexadecimal; none of a file of another store than this machine's.
    pub sha256: Option<String>,
    /// Software that wrote it, as it says itself.
    pub created_by: Option<String>,
}

/// What a run is worth.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// Of what was exported, on the set that decides; none where nothing was evaluated.
    pub evaluation: Option<Evaluation>,
    /// The name of that set among the splits of the data: `evaluate`, or that of another; none where there is none.
    pub set: Option<String>,
    /// On other sets.
    pub others: Vec<SetEvaluation>,
    /// What is known of the figures, in order.
    pub figures: Vec<FigureKind>,
    /// How the exported state was chosen, in words.
    pub selection: String,
    /// Whether it was chosen by the rows of `set`; a mean of the last states is not.
    pub is_chosen: bool,
}

impl Ledger {
    /// Of the run in a folder. Data and base model are read, for their hashes.
    ///
    /// # Errors
    /// The folder holds no run, or one whose record or recipe does not parse; data or base model cannot be opened.
    pub(super) fn gather(
        run: &Path,
        record: RunRecord,
        statements: Statements,
        catalogs: &Catalogs,
    ) -> Result<Self, RecipeError> {
        let folder = RunFolder(run.to_owned());
        let text = RecipeText::read(&folder.recipe(), &[])?;
        let recipe = load(&text, catalogs)?;
        let base = BaseModel::of(&folder, &recipe, catalogs)?;
        let opened = &base.opened;
        // of another model it would say what the run has not done
        let checked = if base.changed.is_none() { Some(opened.check(None)?) } else { None };
        let notes: Vec<String> = base.changed.iter().cloned().chain(changed_rows(&folder, &base)?).collect();
        let (of_training, transparency) = (opened.train_report()?, recipe.data.transparency);
        let mut data = vec![facts_of("train", &opened.train, of_training, transparency)?];
        if let (Some(source), Some(report)) = (&opened.evaluate, opened.evaluate_report()?) {
            data.push(facts_of(EvaluationRecipe::MAIN, source, report, transparency)?);
        }
        for ((name, source), report) in opened.sets.iter().zip(opened.set_reports()?) {
            data.push(facts_of(name, source, report, transparency)?);
        }
        let study = StudyPart::of(run);
        let shared_rows = match (&checked, &opened.evaluate) {
            (Some(checked), _) => checked.shared_rows,
            (None, Some(source)) => Some(overlap::of_rows(&opened.train, source)?),
            (None, None) => None,
        };
        let (exported, model_use) = match folder.model().exists() {
            true => {
                let model = Model::read(&folder.model())?;
                let used = ModelUse::of(&model, opened, &record.classes)?;
                (Some(ModelFacts::of(&model, &folder.model())?), Some(used))
            }
            false => (None, None),
        };
        Ok(Self {
            version: 1,
            name: Statements::answer(&statements.name).unwrap_or(&record.title).to_owned(),
            folder: run.to_owned(),
            software: software(),
            commit: commit().map(str::to_owned),
            task: task(&of_training.kind, &recipe.data.targets, !opened.train.classes().is_empty()).map(str::to_owned),
            data_name: Statements::answer(&statements.data_name)
                .map_or_else(|| name_of_data(&first_file(&opened.train.dataset)), str::to_owned),
            ending: record.ending.clone(),
            base: base.facts.clone(),
            lineage: lineage::ancestors(&folder, &Fingerprint(base.facts.sha256.clone()))?,
            origin: Origin::of_run(&folder)?,
            chosen: study.as_ref().and_then(|part| ChosenTrial::of(part, &recipe, catalogs)),
            parts: RunParts::of_run(&folder)?.parts().to_vec(),
            study,
            decisions: decisions(run)?,
            exported,
            model_use,
            results: Results {
                evaluation: record.evaluation.clone(),
                // a record of an older build does not say it
                set: record.evaluated_on.clone().or_else(|| opened.deciding_set().map(|(set, _)| set.to_owned())),
                others: record.other_evaluations.clone(),
                figures: record.history.figures.clone(),
                selection: selection(&record),
                is_chosen: is_chosen(&record, &recipe),
            },
            training: TrainingFacts {
                transforms: of_training.transforms.clone(),
                added_parts: checked.as_ref().map_or_else(Vec::new, |checked| added(&checked.model, opened)),
                methods: methods(&recipe, catalogs),
                ..training_facts(record, checked.as_ref(), &recipe, catalogs)
            },
            data,
            shared_rows,
            unchanged: notes.is_empty(),
            notes,
            statements,
        })
    }

    /// Of this split.
    pub(super) fn split(&self, name: &str) -> Option<&DataFacts> {
        self.data.iter().find(|data| data.split == name)
    }

    /// Which rows were compared, where these are not all, with a space in front.
    pub(super) fn compared_in_words(&self, shared: &SharedRows) -> String {
        let all = ["train", EvaluationRecipe::MAIN].map(|name| self.split(name).map_or(0, |data| data.rows));
        overlap::compared_in_words(shared, all)
    }

    /// The splits that are evaluated on: all but the rows to train on, which are the first.
    pub(super) fn evaluated(&self) -> &[DataFacts] {
        self.data.get(1..).unwrap_or_default()
    }
}

impl Results {
    /// Whether the figures are of this set.
    pub(super) fn are_of(&self, set: &str) -> bool {
        self.set.as_deref() == Some(set)
    }

    /// The set that the figures are of, where it is to be named: there are others, or it is not the rows of `data.evaluate`.
    pub(super) fn named_set(&self) -> Option<&str> {
        let is_usual = self.others.is_empty() && self.are_of(EvaluationRecipe::MAIN);
        self.set.as_deref().filter(|_| !is_usual)
    }
}

/// Those of a recipe, without the folders of what they read.
fn methods(recipe: &Recipe, catalogs: &Catalogs) -> Vec<Choice> {
    let methods = recipe.model.iter().flat_map(|model| &model.methods);
    methods.map(|method| without_folders(method, &catalogs.methods)).collect()
}

/// What is to be said of data that are not those that the run began with.
fn changed_rows(folder: &RunFolder, base: &BaseModel) -> Result<Option<String>, RecipeError> {
    let opened = &base.opened;
    let made_of = base.with_noted_model(made_of(opened)?);
    match folder.require_same(&opened.recipe, &made_of, &opened.catalogs) {
        Ok(_) => Ok(None),
        Err(RecipeError::ResumeChanged { what, .. }) => Ok(Some(format!(
            "`{what}` is not what the run began with: what is said of it here is said of what lies there now"
        ))),
        Err(error) => Err(error),
    }
}

fn facts_of(
    split: &str,
    source: &RowSource,
    report: &DataReport,
    transparency: TransparencyPolicy,
) -> Result<DataFacts, RecipeError> {
    let dataset = &source.dataset;
    let mut nulls = Vec::new();
    for (column, _) in &dataset.features().columns {
        // what cannot be counted is not said
        if let Some(count) = dataset.nulls(column).unwrap_or_default() {
            nulls.push((column.clone(), count));
        }
    }
    Ok(DataFacts {
        split: split.to_owned(),
        files: files_of(dataset)?,
        rows: dataset.rows(),
        columns: dataset.features().columns.iter().map(|(name, feature)| (name.clone(), kind_of(feature))).collect(),
        nulls,
        inputs: InputFacts::of(source, transparency)?,
        label: report.label.clone(),
        classes: report.classes.clone(),
        unlabelled: report.unlabelled,
        bad_labels: report.bad_labels,
    })
}

/// Folders that say nothing of what lies in them.
const GENERIC: [&str; 8] = ["data", "dataset", "evaluate", "parquet", "test", "train", "training", "validation"];

fn first_file(dataset: &Dataset) -> PathBuf {
    let path = dataset.files().first().map(|file| file.path.clone()).unwrap_or_default();
    path.canonicalize().unwrap_or(path)
}

/// What data are called that nobody has named: the folder that their first file lies in, or that file. Folders above may be of people,
/// and one that is itself says nothing.
fn name_of_data(path: &Path) -> String {
    let folder = path.parent().filter(|folder| !is_of_a_person(folder)).and_then(Path::file_name);
    let folder = folder.and_then(|name| name.to_str()).map(without_key);
    let named = folder.filter(|name| !GENERIC.contains(name)).map(str::to_owned);
    let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    named.or_else(stem).unwrap_or_else(|| "data".into())
}

/// Whether a folder is the home of a person, whose name it has.
fn is_of_a_person(folder: &Path) -> bool {
    let above = folder.parent().and_then(Path::file_name);
    above.is_some_and(|above| above == "home" || above == "Users") || folder == Path::new("/root")
}

/// The name of a folder without the key that tells an import from others.
fn without_key(name: &str) -> &str {
    let is_key = |key: &str| key.len() == 16 && key.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    name.rsplit_once('-').filter(|(_, key)| is_key(key)).map_or(name, |(name, _)| name)
}

/// With their hashes, where they lie on this machine.
pub(super) fn files_of(dataset: &Dataset) -> Result<Vec<DataFile>, RecipeError> {
    let of = |file: &pipeline::DataFile| {
        let is_here = file.path.is_file();
        let sha256 =
            is_here.then(|| sha256_of_file(&file.path).map_err(RecipeError::io("read", &file.path))).transpose()?;
        Ok(DataFile {
            name: file.name.to_string(),
            bytes: file.bytes,
            rows: file.rows,
            sha256,
            created_by: file.created_by.clone(),
        })
    };
    dataset.files().iter().map(of).collect()
}

fn kind_of(feature: &Feature) -> String {
    match feature {
        Feature::Image(_) => "image".into(),
        Feature::Text => "text".into(),
        Feature::ClassLabel { names } => format!("class of {}", names.len()),
        Feature::Value(kind) => kind.clone(),
        _ => "other".into(),
    }
}

/// How the exported state was chosen, in words.
pub(super) fn selection(record: &RunRecord) -> String {
    let history = &record.history;
    match (&history.averaged, history.place_of_best()) {
        (Some(averaged), _) => {
            let steps: Vec<String> = averaged.steps.iter().map(ToString::to_string).collect();
            format!("the mean of the states after steps {}", steps.join(", "))
        }
        (None, Some(place)) => {
            let rows = record
                .other_deciding_set()
                .map_or_else(|| "the evaluation rows".into(), |set| format!("the rows of {set}"));
            format!("the state after {place}, best on {rows} by {}", history.decides.label())
        }
        (None, None) => of_last_step(history).into(),
    }
}

/// What is exported where no evaluation is the best.
fn of_last_step(history: &History) -> &'static str {
    match history.evaluations.is_empty() {
        true => "the state after the last step; nothing was evaluated",
        false => "the state after the last step; no evaluation has a loss that is a number",
    }
}

/// Whether the exported state was chosen by what it and others are worth on the rows that decide.
fn is_chosen(record: &RunRecord, recipe: &Recipe) -> bool {
    match record.history.averaged {
        Some(_) => matches!(recipe.training.average, Some(AverageRecipe::Best(_))),
        None => record.history.best.is_some(),
    }
}

/// The model's own layer that a layer is, or that a method has added it beside.
fn place(layer: &LayerReport) -> &str {
    layer.beside.as_deref().unwrap_or(&layer.name)
}

/// `checked`: what the base model says of it; none where that is another now.
fn training_facts(
    record: RunRecord,
    checked: Option<&CheckReport>,
    recipe: &Recipe,
    catalogs: &Catalogs,
) -> TrainingFacts {
    let layers = checked.map(|checked| checked.model.layers.as_slice()).unwrap_or_default();
    let trained = || layers.iter().filter(|layer| layer.trained);
    let places: BTreeMap<&str, &str> = trained().map(|layer| (layer.name.as_str(), place(layer))).collect();
    let by_places = |stage: &FreezeStage| {
        let mut layers: Vec<String> = Vec::new();
        for name in &stage.layers {
            let place = places.get(name.as_str()).copied().unwrap_or(name);
            if layers.iter().all(|other| other != place) {
                layers.push(place.to_owned());
            }
        }
        FreezeStage { layers, ..stage.clone() }
    };
    let mut decisions: Vec<String> = Vec::new();
    if let Some(checked) = checked {
        let tied = checked.model.shared.iter().map(|tie| {
            let layers: Vec<String> = tie.layers.iter().map(shown).collect();
            format!("`{}` is one parameter of {}", shown(&tie.name), layers.join(", "))
        });
        decisions.extend(checked.model.notes.iter().chain(&checked.notes).cloned().chain(tied));
    }
    decisions.extend(record.notes);
    TrainingFacts {
        added_parts: Vec::new(),
        methods: Vec::new(),
        adapted_layers: checked.map_or_else(Vec::new, |checked| adapted(&checked.model, recipe)),
        frozen_layers: checked.map_or_else(Vec::new, |checked| frozen(&checked.model, recipe)),
        stages: checked.map_or_else(Vec::new, |checked| checked.stages.iter().map(by_places).collect()),
        recipe: recipe_without_folders(recipe, catalogs),
        device: record.device,
        device_reason: record.device_reason,
        onnx_runtime: record.onnx_runtime,
        trained: record.trained,
        frozen: record.frozen,
        trained_layers: trained().map(|layer| layer.name.clone()).collect(),
        trained_places: trained().map(place).collect::<BTreeSet<_>>().len() as u64,
        steps: record.history.steps,
        epochs: record.history.epochs.len() as u64,
        seconds: record.history.seconds,
        decisions,
        transforms: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use millstream_training::metrics::Figures;
    use millstream_training::{EpochEvaluation, EvaluationRecord};

    use super::*;

    #[test]
    fn what_was_evaluated_and_gave_no_number_is_not_said_to_be_without_evaluations() {
        let mut history = History::default();
        assert!(of_last_step(&history).ends_with("nothing was evaluated"));
        history.evaluations.push(EvaluationRecord {
            step: 1,
            epoch: 0,
            passes: 1.0,
            ends_epoch: true,
            figures: EpochEvaluation { rows: 1, not_finite: 1, loss: f64::NAN, figures: Figures::default() },
            others: Vec::new(),
            statistics_rows: None,
        });
        assert!(of_last_step(&history).ends_with("no evaluation has a loss that is a number"));
    }

    #[test]
    fn data_without_a_name_are_not_called_after_the_person_whose_folder_they_lie_in() {
        for (path, wanted) in [
            ("/home/alice/flowers/train-0.parquet", "flowers"),
            ("/home/alice/tulips.parquet", "tulips"),
            ("/Users/alice/tulips.parquet", "tulips"),
            ("/root/tulips.parquet", "tulips"),
            ("/root/flowers/tulips.parquet", "flowers"),
            ("/home/alice/data/tulips.parquet", "tulips"),
            ("/home/alice/data/train/tulips.parquet", "tulips"),
            ("/runs/imported/photos-0123456789abcdef/train-00000-of-00001.parquet", "photos"),
            ("/sets/photos-of-2026/train.parquet", "photos-of-2026"),
            ("/tulips.parquet", "tulips"),
            ("", "data"),
        ] {
            assert_eq!(name_of_data(Path::new(path)), wanted, "{path}");
        }
    }
}
