use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use millstream_compiler::{LayerReport, Model};
use millstream_pipeline::{Dataset, SharedRows};
use millstream_schemas::recipe::{AverageRecipe, EvaluationRecipe, RecipeText};
use millstream_schemas::{Choice, Fingerprint, Recipe, count, grouped, shown};
use millstream_training::metrics::FigureKind;
use millstream_training::{Evaluation, History, RunRecord, SetEvaluation};
use serde::Serialize;
use serde_json::Value;

use super::added::{AddedPart, added};
use super::base_model::BaseModel;
use super::chosen::ChosenTrial;
use super::front_matter::task;
use super::frozen::{AdaptedLayers, FrozenLayers, adapted, frozen};
use super::model_facts::ModelFacts;
use super::model_use::{ModelUse, recipe_without_folders, without_folders};
use super::statements::Statements;
use crate::check::CheckReport;
use crate::data_facts::{self, DataFacts, NotedData};
use crate::data_report::caption;
use crate::decisions::{Decision, decisions};
use crate::freezing::FreezeStage;
use crate::origin::{Origin, Parent, commit, software};
use crate::run_folder::RunFolder;
use crate::run_parts::{RunPart, RunParts};
use crate::run_start::made_of;
use crate::study_part::StudyPart;
use crate::{Catalogs, Opened, RecipeError, lineage, load, overlap};

/// All that is known of a run: what it was made of, what was decided, what came out, and what people have stated.
#[derive(Clone, Debug, Serialize)]
pub struct Ledger {
    /// Version of this format; 1.
    pub version: u32,
    /// The run's name.
    pub name: String,
    /// Folder of the run.
    #[serde(serialize_with = "millstream_schemas::written_path")]
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
    /// Rows of `data.evaluate` whose image or text is trained on too.
    pub shared_rows: Option<SharedRows>,
    /// The same between all other splits.
    pub shared_between: Vec<SharedBetween>,
    /// What it is worth.
    pub results: Results,
    /// Whether data and base model are those that the run began with; none where files of the data are not there any more.
    pub unchanged: Option<bool>,
    /// What was noticed while the ledger was written.
    pub notes: Vec<String>,
    /// What only people know.
    pub statements: Statements,
}

/// Rows that two splits have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedBetween {
    /// The first of these splits, in the order of the data.
    pub first: String,
    /// The other.
    pub second: String,
    /// Rows of the other whose input is, byte by byte, one of the first's.
    pub rows: SharedRows,
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
    /// Of the run in a folder. Data and base model are read, for their hashes; where files of the data are not there any more, they are
    /// told as the run has noted them.
    ///
    /// # Errors
    /// The folder holds no run, or one whose record or recipe does not parse; data that are there, or the base model, cannot be opened.
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
        let path = folder.model();
        let exported = path.exists().then(|| Model::read(&path)).transpose()?;
        let rows = match &base.opened {
            Some(opened) => Rows::of(&folder, opened, &base, (exported.as_ref(), record.classes.as_slice()))?,
            None => Rows::noted(&folder, &recipe, &base)?,
        };
        let study = StudyPart::of(run);
        Ok(Self {
            version: 1,
            name: Statements::answer(&statements.name).unwrap_or(&record.title).to_owned(),
            folder: run.to_owned(),
            software: software(),
            commit: commit().map(str::to_owned),
            task: task(&rows.kind, &recipe.data.targets, !record.classes.is_empty()).map(str::to_owned),
            data_name: Statements::answer(&statements.data_name)
                .map_or_else(|| name_of_data(&rows.first_file), str::to_owned),
            ending: record.ending.clone(),
            base: base.facts.clone(),
            lineage: lineage::ancestors(&folder, &Fingerprint(base.facts.sha256.clone()))?,
            origin: Origin::of_run(&folder)?,
            chosen: study.as_ref().and_then(|part| ChosenTrial::of(part, &recipe, catalogs)),
            parts: RunParts::of_run(&folder)?.parts().to_vec(),
            study,
            decisions: decisions(run)?,
            exported: exported.map(|model| ModelFacts::of(&model, &path)).transpose()?,
            model_use: rows.model_use,
            results: Results {
                evaluation: record.evaluation.clone(),
                // a record of an older build does not say it
                set: record.evaluated_on.clone().or(rows.deciding_set),
                others: record.other_evaluations.clone(),
                figures: record.history.figures.clone(),
                selection: selection(&record),
                is_chosen: is_chosen(&record, &recipe),
            },
            training: TrainingFacts {
                transforms: rows.transforms,
                added_parts: rows.added_parts,
                methods: methods(&recipe, catalogs),
                ..training_facts(record, rows.checked.as_ref(), &recipe, catalogs)
            },
            data: rows.data,
            shared_rows: rows.shared_rows,
            shared_between: rows.shared_between,
            unchanged: if base.changed.is_none() && base.gone.is_some() { None } else { Some(rows.notes.is_empty()) },
            notes: rows.notes,
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

    /// How many rows two splits have in common, and which rows were compared, where these are not all.
    pub(super) fn shared_in_words(&self, shared: &SharedBetween) -> String {
        let rows = |name: &str| self.split(name).map_or(0, |data| data.rows);
        let cut = [(shared.rows.first, &shared.first), (shared.rows.second, &shared.second)];
        let cut = cut.into_iter().filter(|(compared, name)| *compared < rows(name));
        let cut: Vec<String> =
            cut.map(|(compared, name)| format!("of {} the first {}", shown(name), grouped(compared))).collect();
        let cut = if cut.is_empty() { String::new() } else { format!(" ({} were compared)", cut.join(" and ")) };
        format!(
            "{} of {} of {} {} an input that is one of {}, byte by byte{cut}",
            grouped(shared.rows.shared),
            count(shared.rows.second, "row"),
            shown(&shared.second),
            if shared.rows.shared == 1 { "has" } else { "have" },
            shown(&shared.first),
        )
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

/// What a run's rows, and the base model with them, say of it.
struct Rows {
    data: Vec<DataFacts>,
    shared_rows: Option<SharedRows>,
    shared_between: Vec<SharedBetween>,
    /// What the model reads; empty where that is not known.
    kind: String,
    first_file: PathBuf,
    /// The transforms of training, as captions.
    transforms: Vec<String>,
    deciding_set: Option<String>,
    /// What the base model says of the run; none where that is another now, or the rows are not there.
    checked: Option<CheckReport>,
    added_parts: Vec<AddedPart>,
    model_use: Option<ModelUse>,
    /// What is not as it was.
    notes: Vec<String>,
}

impl Rows {
    /// As they lie there now, and the exported model that takes them with its classes.
    fn of(
        folder: &RunFolder,
        opened: &Opened,
        base: &BaseModel,
        (exported, classes): (Option<&Model>, &[String]),
    ) -> Result<Self, RecipeError> {
        // of another model it would say what the run has not done
        let checked = if base.changed.is_none() { Some(opened.check(None)?) } else { None };
        let shared_rows = match (&checked, &opened.evaluate) {
            (Some(checked), _) => checked.shared_rows,
            (None, Some(source)) => Some(overlap::of_rows(&opened.train, source)?),
            (None, None) => None,
        };
        let model_use = exported.map(|model| ModelUse::of(model, opened, classes)).transpose()?;
        let of_training = opened.train_report()?;
        Ok(Self {
            data: data_facts::whole(opened)?,
            shared_rows,
            shared_between: shared_between(opened)?,
            kind: of_training.kind.clone(),
            first_file: first_file(&opened.train.dataset),
            transforms: of_training.transforms.clone(),
            deciding_set: opened.deciding_set().map(|(set, _)| set.to_owned()),
            added_parts: checked.as_ref().map_or_else(Vec::new, |checked| added(&checked.model, opened)),
            checked,
            model_use,
            notes: base.changed.iter().cloned().chain(changed_rows(folder, opened, base)?).collect(),
        })
    }

    /// As the run has noted them, where their files are not there any more.
    fn noted(folder: &RunFolder, recipe: &Recipe, base: &BaseModel) -> Result<Self, RecipeError> {
        let noted = NotedData::read(folder)?;
        let told = match &noted {
            Some(noted) if noted.is_of_end => "they are told as the run noted them at its end",
            Some(_) => "their files are told as the run noted them when it began, and what they held is left out",
            None => "they are left out, since the run, of an older build, noted nothing of them",
        };
        let gone = base.gone.iter().map(|reason| {
            format!(
                "the data were not found ({reason}), so that nobody can tell whether they are those that the run began with: {told}; \
                 which layers were trained, how the inputs of the exported model are made and which rows splits have in common is left \
                 out, since only data that are there tell it"
            )
        });
        let known = base.changed.iter().cloned().chain(gone);
        let noted = noted.unwrap_or_default();
        let notes = known.chain(noted.unhashed_in_words()).collect();
        let (first_file, transforms) = match noted.is_of_end {
            true => (noted.first_file, noted.transforms),
            false => (
                recipe.data.train.first().map(PathBuf::from).unwrap_or_default(),
                recipe.transforms.train.iter().map(|one| caption(&one.name, &one.options)).collect(),
            ),
        };
        Ok(Self {
            data: noted.splits,
            shared_rows: None,
            shared_between: Vec::new(),
            kind: noted.kind,
            first_file,
            transforms,
            deciding_set: None,
            checked: None,
            added_parts: Vec::new(),
            model_use: None,
            notes,
        })
    }
}

/// Of each pair of splits but that of the rows to train on and `data.evaluate`, which is compared anyway.
fn shared_between(opened: &Opened) -> Result<Vec<SharedBetween>, RecipeError> {
    let splits = data_facts::splits(opened)?;
    let mut shared = Vec::new();
    for (at, (first, source, _)) in splits.iter().enumerate() {
        for (second, other, _) in &splits[at + 1..] {
            if at > 0 || *second != EvaluationRecipe::MAIN {
                let rows = overlap::of_rows(source, other)?;
                shared.push(SharedBetween { first: (*first).to_owned(), second: (*second).to_owned(), rows });
            }
        }
    }
    Ok(shared)
}

/// What is to be said of data that are not those that the run began with.
fn changed_rows(folder: &RunFolder, opened: &Opened, base: &BaseModel) -> Result<Option<String>, RecipeError> {
    let made_of = base.with_noted_model(made_of(opened)?);
    match folder.require_same(&opened.recipe, &made_of, &opened.catalogs) {
        Ok(_) => Ok(None),
        Err(RecipeError::ResumeChanged { what, .. }) => Ok(Some(format!(
            "`{what}` is not what the run began with: what is said of it here is said of what lies there now"
        ))),
        Err(error) => Err(error),
    }
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
