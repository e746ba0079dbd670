//! What is written about a run for people and for registries: a model card, a datasheet, a CycloneDX bill of materials and a
//! Croissant description, all from one ledger.

mod added;
mod base_model;
mod chosen;
mod croissant;
mod cyclonedx;
mod datasheet;
mod ensemble;
mod front_matter;
mod frozen;
mod get_started;
mod ledger;
mod license;
mod made_again;
mod measured_rows;
mod members;
mod members_card;
mod members_in_words;
mod members_ledger;
mod missing_rows;
mod model_card;
mod model_facts;
mod model_use;
mod statements;
mod study;
mod told_apart;
mod unique_names;

use std::fs;
use std::path::{Path, PathBuf};

use millstream_schemas::{files, shown_path, shown_sentences};
use serde::Serialize;
use serde_json::Value;

pub use added::AddedPart;
pub use chosen::ChosenTrial;
pub use ensemble::EnsembleLedger;
pub use frozen::{AdaptedLayers, FrozenLayers};
pub use ledger::{Ledger, Results, SharedBetween, TrainingFacts};
pub use members::{MeanOf, MemberData, MemberFacts, MemberRun};
pub use members_ledger::MembersLedger;
pub use model_facts::ModelFacts;
pub use model_use::{InputUse, ModelUse, OutputUse, TransformUse};
pub use statements::Statements;
pub use study::{Machine, Selection, StudyLedger, Winner};
pub use told_apart::{ToldApart, TrialTest};

pub use crate::data_facts::{DataFacts, DataFile};
use crate::ensemble::{EnsembleFolder, MembersFolder};
pub use crate::input_facts::{InputFacts, Quantity};
use crate::pages::page;
use crate::report::read_record;
use crate::run_folder::RunFolder;
use crate::search::StudyFolder;
use crate::{Catalogs, RecipeError};

/// The file that has all that the others say.
const LEDGER: &str = "ledger.json";

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentReport {
    /// The folder.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// The files in it, by name.
    pub files: Vec<String>,
    /// The file that people fill in.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub statements: PathBuf,
    /// What only people know and nobody has stated yet, by the keys of that file.
    pub not_stated: Vec<String>,
    /// What was noticed on the way: data or a base model that are others now.
    pub notes: Vec<String>,
}

/// Writes the documents of the run, the ensemble, the members on parts of the rows or the search in a folder into another one, by default its `documents`. Beside it lies
/// `statements.yaml`, for what only people know; it is made where it is missing and never written over.
///
/// # Errors
/// The folder holds no run, or one whose record or recipe does not parse; its data are there and cannot be opened, or its base model
/// cannot; a file cannot be written.
pub fn document(run: &Path, output: Option<&Path>, catalogs: &Catalogs) -> Result<DocumentReport, RecipeError> {
    let folder = output.map_or_else(|| run.join("documents"), Path::to_owned);
    if EnsembleFolder(run.to_owned()).description().exists() {
        return of_ensemble(run, folder, catalogs);
    }
    if let Some(parts) = MembersFolder::read(run)? {
        return of_members(&parts, folder, catalogs);
    }
    if StudyFolder::new(run).holds_study() {
        return of_study(run, folder, catalogs);
    }
    // a folder without a run gets no file
    let record = read_record(&RunFolder(run.to_owned()))?;
    let (statements, file) = Statements::of_run(run)?;
    let ledger = Ledger::gather(run, record, statements, catalogs)?;
    let card = model_card::markdown(&ledger);
    let sheet = datasheet::markdown(&ledger);
    let documents = [
        ("README.md", card.clone().into_bytes()),
        ("datasheet.md", sheet.clone().into_bytes()),
        ("model-card.html", page::html(&format!("{}: model card", ledger.name), &of_pages(&card)).into_bytes()),
        ("datasheet.html", page::html(&format!("{}: datasheet", ledger.data_name), &sheet).into_bytes()),
        ("model.cdx.json", json(&cyclonedx::bill(&ledger))),
        ("croissant.json", json(&croissant::description(&ledger))),
        (LEDGER, as_json(&ledger, run)?),
    ];
    written(folder, &documents, &ledger.statements, file, ledger.notes.clone())
}

/// The card as a page links to the other page, and not to its text.
fn of_pages(card: &str) -> String {
    card.replace("(datasheet.md)", "(datasheet.html)")
}

fn of_ensemble(run: &Path, folder: PathBuf, catalogs: &Catalogs) -> Result<DocumentReport, RecipeError> {
    EnsembleFolder(run.to_owned()).read()?;
    let (statements, file) = Statements::of_run(run)?;
    let ledger = EnsembleLedger::gather(run, statements, catalogs)?;
    let card = ensemble::markdown(&ledger);
    let mut documents = vec![
        ("README.md", card.clone().into_bytes()),
        ("model-card.html", page::html(&format!("{}: model card", ledger.name), &card).into_bytes()),
        (LEDGER, as_json(&ledger, run)?),
    ];
    documents.extend(ensemble::bill(&ledger).map(|bill| ("model.cdx.json", json(&bill))));
    written(folder, &documents, &ledger.statements, file, ledger.notes.clone())
}

fn of_members(parts: &MembersFolder, folder: PathBuf, catalogs: &Catalogs) -> Result<DocumentReport, RecipeError> {
    // a folder whose members are not finished gets no file
    let (trained, run) = (members_ledger::require_trained(parts)?, parts.own.0.as_path());
    let (statements, file) = Statements::of_run(run)?;
    let ledger = MembersLedger::gather(parts, trained, statements, catalogs)?;
    let card = members_ledger::markdown(&ledger);
    let documents = [
        ("README.md", card.clone().into_bytes()),
        ("model-card.html", page::html(&format!("{}: model card", ledger.name), &card).into_bytes()),
        (LEDGER, as_json(&ledger, run)?),
        ("model.cdx.json", json(&members_ledger::bill(&ledger))),
    ];
    written(folder, &documents, &ledger.statements, file, ledger.notes.clone())
}

fn of_study(run: &Path, folder: PathBuf, catalogs: &Catalogs) -> Result<DocumentReport, RecipeError> {
    // a folder without a journal gets no file
    crate::search::study(&StudyFolder::new(run), catalogs)?;
    let (statements, file) = Statements::of_run(run)?;
    let ledger = StudyLedger::gather(run, statements, catalogs)?;
    let card = study::markdown(&ledger);
    let documents = [
        ("README.md", card.clone().into_bytes()),
        ("search-card.html", page::html(&format!("{}: search", ledger.name), &card).into_bytes()),
        (LEDGER, as_json(&ledger, run)?),
    ];
    written(folder, &documents, &ledger.statements, file, ledger.notes.clone())
}

fn written(
    folder: PathBuf,
    documents: &[(&str, Vec<u8>)],
    statements: &Statements,
    file: PathBuf,
    notes: Vec<String>,
) -> Result<DocumentReport, RecipeError> {
    fs::create_dir_all(&folder).map_err(RecipeError::io("make", &folder))?;
    let card = folder.join("README.md");
    if card.exists() && !folder.join(LEDGER).exists() {
        let message = "no `document` wrote it, and it would be replaced; choose another folder, or move it away";
        return Err(RecipeError::mismatch(shown_path(card), message));
    }
    // with the ledger beside it a card is known to be ours, so it comes first
    let of_ledger = |is_one: bool| documents.iter().filter(move |(name, _)| (*name == LEDGER) == is_one);
    for (name, bytes) in of_ledger(true).chain(of_ledger(false)) {
        let path = folder.join(name);
        files::replace_file(&path, bytes).map_err(RecipeError::io("write", &path))?;
    }
    Ok(DocumentReport {
        files: documents.iter().map(|(name, _)| (*name).to_owned()).collect(),
        statements: file,
        not_stated: statements.open().into_iter().map(str::to_owned).collect(),
        notes,
        folder,
    })
}

/// What is known of what lies in a folder, as JSON.
fn as_json(ledger: &impl Serialize, folder: &Path) -> Result<Vec<u8>, RecipeError> {
    let value = serde_json::to_value(ledger).map_err(|error| {
        let message = format!("what is known of it cannot be written as JSON: {}", shown_sentences(error.to_string()));
        RecipeError::mismatch(shown_path(folder), message)
    })?;
    Ok(json(&value))
}

fn json(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("a value always serializes");
    text.push(b'\n');
    text
}
