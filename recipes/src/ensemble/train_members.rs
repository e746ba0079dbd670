use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use millstream_compiler::Model;
use millstream_compiler::fused::{FuseOptions, Member, fuse};
use millstream_compiler::losses::PredictionKind;
use millstream_pipeline::{Dataset, PredictionWriter, SplitRole, predictions_header, read_predictions};
use millstream_schemas::recipe::{ByteSize, Patterns};
use millstream_schemas::{Choice, Fingerprint, Recipe, RowId, files, shown, shown_path};
use millstream_training::Until;
use millstream_training::ensembles::MemberScores;
use millstream_training::metrics::FigureKind;
use serde_json::{Value, json};

use super::export::metadata;
use super::files::{HELD_OUT, MEMBERS};
use super::fit::{each, metric_set};
use super::member_rows::{MemberRows, Sampling};
use super::members;
use super::members_report::{MembersReport, TrainedMember};
use super::out_of_fold::{HeldOut, joined, mean, reads, require_alike};
use crate::choices::Choices;
use crate::evaluate::{EvaluateOptions, evaluate};
use crate::frozen_prefix::RowIndex;
use crate::imported::with_imported_rows;
use crate::made_of::fixed;
use crate::preprocessing::{JoinedBy, Preprocessing};
use crate::run_folder::RunFolder;
use crate::search::{Pool, finished};
use crate::{Catalogs, Event, Events, RecipeError, RunOptions, StartMode, Stop, labels_file};

/// Members to train on parts of a recipe's rows.
#[derive(Clone, Debug)]
pub struct MembersOptions {
    /// Which rows each is trained on.
    pub sampling: Sampling,
    /// Where a folder of a run for each of them goes, and what they give together; a folder that was begun with the same is gone on with.
    pub folder: PathBuf,
    /// What is held of all predictions, at most.
    pub memory: ByteSize,
    /// Draws for intervals of figures that are no shares of rows; 0 for none.
    pub bootstrap: u32,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// What there is to choose among.
    pub catalogs: Catalogs,
}

/// Trains a member on each part of the training rows, and lets each answer for the rows that it has not seen: the folder takes part in an
/// ensemble as the mean of its members, with answers that none of them has learned. A member whose run is finished is left as it is, one
/// that was interrupted is gone on with. None when it was asked to stop.
///
/// # Errors
/// The recipe cannot be trained, the folder holds something else, rows cannot be read or divided, or files cannot be written.
pub fn train_members(
    recipe: &Recipe,
    options: &MembersOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Option<MembersReport>, RecipeError> {
    require_text(&options.folder)?;
    require_answers(recipe, &options.catalogs)?;
    let Some(recipe) = with_imported_rows(recipe, events, stop)? else { return Ok(None) };
    let dataset = Dataset::open_split(&recipe.data.train, Path::new("/"), SplitRole::Train);
    let dataset = dataset.map_err(RecipeError::at("data.train"))?;
    let made_of = begin(&recipe, &dataset, options)?;
    let parts = options.sampling.rows(&dataset, &options.folder.join("rows"))?;
    let pool = Pool::new(&options.catalogs);
    require_alike_inputs(&recipe, &parts, &pool, &options.folder)?;
    let total = parts.len();
    let (mut files, mut first) = (Vec::with_capacity(total), None);
    for (at, part) in parts.iter().enumerate() {
        let message = format!("{}: member {} of {total}", part.name, at + 1);
        events.event(&Event::Note { message });
        let own = recipe_of(&recipe, part, &options.folder)?;
        if !trained(&own, &pool, options, events, stop)? {
            return Ok(None);
        }
        // before the next is trained, so that one that cannot answer, or not as the others do, is told early
        let Some(file) = answered(&own, part, options, events, stop)? else { return Ok(None) };
        let header = predictions_header(&file)?;
        let (name, of_first) = &*first.get_or_insert_with(|| (part.name.clone(), header.clone()));
        require_alike((name, of_first), (&part.name, &header))?;
        files.push(file);
    }
    let (mut held_out, mut data) = (Vec::with_capacity(total), Vec::new());
    for (part, file) in parts.iter().zip(&files) {
        let answers = answers(part, file, each(options.memory, total))?;
        data.push(answers.predictions.header.data.clone());
        held_out.push(answers);
    }
    report(&dataset, held_out, (made_of, Fingerprint::of(&data)), options).map(Some)
}

/// Refuses a recipe whose members have no answers that could be brought together, before anything is trained.
fn require_answers(recipe: &Recipe, catalogs: &Catalogs) -> Result<(), RecipeError> {
    let what = match Choices::of(&recipe.training, catalogs)?.loss.reads() {
        PredictionKind::ClassScores | PredictionKind::LabelScores | PredictionKind::Numbers => return Ok(()),
        PredictionKind::SequenceScores => "sequences",
        PredictionKind::Embeddings => "vectors that are compared with each other",
        PredictionKind::Boxes => "boxes",
    };
    let once = members::ONE_RUN;
    let message =
        format!("members answer with classes, labels or numbers, and a model of this loss gives {what}{once}");
    Err(RecipeError::mismatch("training.loss", message))
}

/// Refuses parts of which encodings learn otherwise, before anything is trained: one graph could not be right for all members.
fn require_alike_inputs(recipe: &Recipe, parts: &[MemberRows], pool: &Pool, folder: &Path) -> Result<(), RecipeError> {
    let mut first: Option<(&str, Preprocessing)> = None;
    for part in parts {
        let opened = pool.opened(&recipe_of(recipe, part, folder)?)?;
        let own = Preprocessing::of(&opened.recipe, &opened.train, &opened.spec, opened.loss.reads());
        let Some((name, of_first)) = &first else {
            first = Some((part.name.as_str(), own));
            continue;
        };
        if let Some(difference) = of_first.clone().difference_from(own, JoinedBy::Scores) {
            let message = format!(
                "the rows of {} would be prepared otherwise than those of {}: {difference}; divide the rows otherwise, by \
                 `--stratify` or `--seed`, so that all parts hold the same values",
                shown(&part.name),
                shown(name)
            );
            return Err(RecipeError::mismatch("data.train", message));
        }
    }
    Ok(())
}

/// Refuses a folder that the recipes of members cannot name.
fn require_text(folder: &Path) -> Result<(), RecipeError> {
    let whole = std::path::absolute(folder).map_err(RecipeError::io("find", folder))?;
    match whole.to_str() {
        Some(_) => Ok(()),
        None => Err(RecipeError::ensemble(
            &whole,
            "its name is no UTF-8, or that of a folder above it, and the members' recipes name it; choose another folder",
        )),
    }
}

/// Notes what the folder is of and gives that, or refuses one that is of something else.
fn begin(recipe: &Recipe, dataset: &Dataset, options: &MembersOptions) -> Result<Value, RecipeError> {
    let file = options.folder.join(MEMBERS);
    let wanted = json!({
        "version": 1,
        "sampling": options.sampling,
        "recipe": fixed(&recipe.without_paths(&options.catalogs.definitions())),
        "rows": dataset.fingerprint(),
    });
    match std::fs::read(&file) {
        Ok(text) => {
            let known: Value = serde_json::from_slice(&text).map_err(|error| {
                let message =
                    format!("it is damaged and does not say which members lie here ({error}); choose another folder");
                RecipeError::ensemble(&file, message)
            })?;
            let known = &known["made_of"];
            // earlier versions noted where files lie that options name
            let is_of_recipe = known["recipe"] == wanted["recipe"] || known["recipe"] == fixed(recipe);
            let is_same = ["sampling", "rows"].iter().all(|key| known[*key] == wanted[*key]);
            if !(is_same && is_of_recipe) {
                let message =
                    "it holds members of another recipe, other rows, or another number of them; choose another folder";
                return Err(RecipeError::ensemble(&options.folder, message));
            }
            note_recipe(recipe, options)?;
            return Ok(wanted);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(RecipeError::io("read", &file)(error)),
    }
    let own = RunFolder(options.folder.clone());
    let taken = [own.recipe(), own.model(), own.predictions()].into_iter().find(|file| file.exists());
    if let Some(taken) = taken {
        let message = "it has the name of a result, and is of no members; move it away, or choose another folder";
        return Err(RecipeError::ensemble(taken, message));
    }
    files::create_folder(&options.folder).map_err(RecipeError::io("make", &options.folder))?;
    write(&file, &json!({ "version": 1, "made_of": wanted }))?;
    note_recipe(recipe, options)?;
    Ok(wanted)
}

/// Writes the recipe of all rows, with every default and imported rows by the files that they became, where it is not there yet: those of the
/// members name parts of the rows.
fn note_recipe(recipe: &Recipe, options: &MembersOptions) -> Result<(), RecipeError> {
    let own = RunFolder(options.folder.clone());
    if own.recipe().exists() {
        return Ok(());
    }
    let folder = std::path::absolute(&own.0).map_err(RecipeError::io("find", &own.0))?;
    let mut recipe = recipe.clone();
    recipe.search = None;
    recipe.output.folder.clone_from(&folder);
    own.write(&own.recipe(), recipe.to_yaml_in(&folder, &options.catalogs.definitions()).as_bytes())
}

fn write(file: &Path, value: &Value) -> Result<(), RecipeError> {
    let text = serde_json::to_vec_pretty(value).expect("a value always serializes");
    files::replace_file(file, &text).map_err(RecipeError::io("write", file))
}

/// Of a member: its rows in place of all, and where the recipe has no rows to evaluate on, those that it has not seen.
fn recipe_of(recipe: &Recipe, part: &MemberRows, folder: &Path) -> Result<Recipe, RecipeError> {
    let mut own = recipe.clone();
    let files: Vec<String> = part.train.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    own.data.train = files.try_into().map_err(|_| RecipeError::mismatch("data.train", "a member has no rows"))?;
    own.data.evaluate.get_or_insert_with(|| pattern(&part.held_out));
    own.output.folder = folder.join(&part.name);
    own.search = None;
    Ok(own)
}

fn pattern(path: &Path) -> Patterns {
    path.to_string_lossy().into_owned().into()
}

/// Trains, or goes on; `false` when it was asked to stop.
fn trained(
    recipe: &Recipe,
    pool: &Pool,
    options: &MembersOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<bool, RecipeError> {
    let folder = RunFolder(recipe.output.folder.clone());
    if finished(&folder).is_some() {
        return Ok(true);
    }
    let compiled = pool.compiled(recipe)?;
    let of = |start| RunOptions { start, library: options.library.clone(), ..RunOptions::default() };
    let start = if folder.recipe().exists() { StartMode::Resume } else { StartMode::New };
    let mut run = match compiled.run(&of(start), events) {
        Err(RecipeError::NoWholeCheckpoint { .. }) => compiled.run(&of(StartMode::Overwrite), events)?,
        run => run?,
    };
    run.advance(Until::End, events, stop)?;
    Ok(!run.finish(events)?.interrupted)
}

/// Lets a member answer for its evaluation rows, and for those that it has not seen, where these are others; gives the file with the latter,
/// or none when it was asked to stop.
fn answered(
    recipe: &Recipe,
    part: &MemberRows,
    options: &MembersOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Option<PathBuf>, RecipeError> {
    let folder = RunFolder(recipe.output.folder.clone());
    let model = Model::read(&folder.model())?;
    let (evaluated, held_out) = (folder.predictions(), pattern(&part.held_out));
    let mut wanted = vec![(evaluated, None)];
    if recipe.data.evaluate.as_ref() != Some(&held_out) {
        wanted.push((folder.0.join(HELD_OUT), Some(held_out)));
    }
    let mut last = None;
    for (file, data) in wanted {
        let is_there = predictions_header(&file).is_ok_and(|header| header.model == *model.fingerprint());
        let of = EvaluateOptions {
            model: Some(folder.model()),
            data,
            predictions: Some(file.clone()),
            catalogs: options.catalogs.clone(),
            library: options.library.clone(),
            ..EvaluateOptions::default()
        };
        if !is_there && evaluate(recipe, &of, events, stop)?.is_none() {
            return Ok(None);
        }
        last = Some(file);
    }
    Ok(last)
}

/// What a member gave for the rows that it has not seen.
fn answers(part: &MemberRows, file: &Path, most: ByteSize) -> Result<HeldOut, RecipeError> {
    let predictions = read_predictions(file, most.0)?;
    let dataset = Dataset::open_split(&pattern(&part.held_out), Path::new("/"), SplitRole::Evaluate)?;
    let index = RowIndex::of(&dataset);
    let place = |row| index.place(row).and_then(|at| part.places.get(at).copied());
    let places: Option<Vec<usize>> = predictions.rows.iter().map(place).collect();
    let places = places.ok_or_else(|| {
        let message = format!("it is not of the rows in {}; delete it", shown_path(&part.held_out));
        RecipeError::ensemble(file, message)
    })?;
    Ok(HeldOut { member: part.name.clone(), predictions, places })
}

fn report(
    dataset: &Dataset,
    held_out: Vec<HeldOut>,
    (made_of, data): (Value, Fingerprint),
    options: &MembersOptions,
) -> Result<MembersReport, RecipeError> {
    let paths: Vec<PathBuf> = held_out.iter().map(|own| options.folder.join(&own.member)).collect();
    let opened = members::open(&paths, None, &options.catalogs)?;
    members::require_alike(&opened, JoinedBy::Scores)?;
    let header = &held_out[0].predictions.header;
    let reads = reads(header.scores_of);
    let classes = header.classes.clone();
    let wanted = FuseOptions {
        reads,
        classes: Some(classes.len()).filter(|classes| *classes > 0),
        axes: members::axes_of_places(&opened, reads),
        combination: mean(reads, opened.len()),
        flips: false,
        layouts: BTreeMap::new(),
        metadata: metadata(&opened, &Choice::named("probability"), &classes),
    };
    let fused: Vec<Member<'_>> = opened.iter().map(members::Opened::as_member).collect();
    let own = RunFolder(options.folder.clone());
    let model = own.model();
    let file = fuse(&fused, &wanted, &options.catalogs.operators)?.file;
    files::replace_file_by(&model, |out| file.write_to(out)).map_err(RecipeError::io("write", &model))?;
    if !classes.is_empty() {
        let path = own.labels();
        let text = labels_file::to_text(&classes);
        files::replace_file(&path, text.as_bytes()).map_err(RecipeError::io("write", &path))?;
    }
    let fingerprint = Model::read(&model)?.fingerprint().clone();
    let rows: Vec<RowId> = (0..dataset.rows()).map(|row| dataset.row_at(row)).collect();
    let answers = joined(&rows, &held_out, fingerprint, data)?;
    let mut writer = PredictionWriter::create(&own.predictions(), answers.header.clone())?;
    writer.add(&answers.rows, &answers.scores, &answers.targets)?;
    writer.finish()?;
    let answered = answers.rows.len() as u64;
    let all = MemberScores::align(vec![("the members".into(), answers)])?;
    let (memory, catalogs) = (options.memory, &options.catalogs);
    let metrics = metric_set(&all, None, None, options.bootstrap, 0, memory, catalogs)?;
    let mut members = Vec::with_capacity(held_out.len());
    for (HeldOut { member, predictions, places }, opened) in held_out.into_iter().zip(&opened) {
        let scores = MemberScores::align(vec![(member.clone(), predictions)])?;
        members.push(TrainedMember {
            name: member,
            model: opened.model.fingerprint().clone(),
            rows: places.len() as u64,
            evaluation: scores.measure(scores.scores(0), &metrics)?,
        });
    }
    let out_of_fold = all.measure(all.scores(0), &metrics)?;
    let is_there = |kind: &FigureKind| out_of_fold.figure(&kind.name).is_some();
    let report = MembersReport {
        version: 1,
        folder: options.folder.clone(),
        sampling: options.sampling.clone(),
        rows: dataset.rows(),
        answered,
        members,
        figures: metrics.figures().into_iter().filter(is_there).collect(),
        bootstrap: Some(options.bootstrap),
        memory: Some(options.memory),
        out_of_fold,
        model,
        predictions: own.predictions(),
    };
    write(&options.folder.join(MEMBERS), &json!({ "version": 1, "made_of": made_of, "report": report }))?;
    Ok(report)
}
