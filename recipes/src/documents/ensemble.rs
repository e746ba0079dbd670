//! What is written about an ensemble: a ledger of its members and of what was fitted to which rows, and a model card.

use std::path::{Path, PathBuf};

use millstream_compiler::Model;
use millstream_schemas::{count, decimal};
use millstream_training::Evaluation;
use millstream_training::ensembles::FittedEnsemble;
use serde::Serialize;
use serde_json::Value;

use super::cyclonedx;
use super::front_matter::measured;
use super::members::{FoundMembers, MemberData, MemberFacts};
use super::members_card::{Members, MembersCard, figure};
use super::members_in_words::run;
use super::model_card::{figures, file};
use super::model_facts::ModelFacts;
use super::statements::Statements;
use crate::decisions::{Decision, decisions};
use crate::ensemble::{EnsembleFolder, EnsembleOrigin};
use crate::origin::{built, commit, software};
use crate::pages::markdown::{code, prose, table, text};
use crate::run_folder::folder_name;
use crate::{Catalogs, RecipeError};

/// All that is known of an ensemble.
#[derive(Clone, Debug, Serialize)]
pub struct EnsembleLedger {
    /// Version of this format; 1.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// Its folder.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// Version of this software that wrote the ledger.
    pub software: String,
    /// The commit of that software, where it is known.
    pub commit: Option<String>,
    /// When, with which software and where the ensemble was made, of which predictions, and what was asked for; none of an older build.
    pub origin: Option<EnsembleOrigin>,
    /// What the model does, as Hugging Face calls it, where the inputs of the exported model say that.
    pub task: Option<String>,
    /// What the data are called, where that is stated.
    pub data_name: Option<String>,
    /// The members as one model; none where it was not exported.
    pub exported: Option<ModelFacts>,
    /// The members, in order.
    pub members: Vec<MemberFacts>,
    /// The data that they were trained and evaluated on, each once, with the rows of the ensemble among them.
    pub data: Vec<MemberData>,
    /// How it was made, what was fitted to which rows, and what was measured on which.
    pub fitted: FittedEnsemble,
    /// What was noticed while the ledger was written: members that are others now.
    pub notes: Vec<String>,
    /// What people noted of it, in order.
    pub decisions: Vec<Decision>,
    /// What only people know.
    pub statements: Statements,
}

impl EnsembleLedger {
    /// Of the ensemble in a folder. Members and their data are read, for their hashes.
    ///
    /// # Errors
    /// The folder holds no ensemble, or a file of it cannot be read.
    pub(super) fn gather(folder: &Path, statements: Statements, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        let own = EnsembleFolder(folder.to_owned());
        let fitted = own.read()?;
        let origin = own.read_origin()?;
        let FoundMembers { members, data, notes, .. } =
            FoundMembers::gather(folder, &fitted, origin.as_ref(), catalogs)?;
        let exported = match own.model().exists() {
            true => Some(ModelFacts::of(&Model::read(&own.model())?, &own.model())?),
            false => None,
        };
        let title = folder_name(folder);
        Ok(Self {
            version: 1,
            name: Statements::answer(&statements.name).unwrap_or(&title).to_owned(),
            folder: folder.to_owned(),
            software: software(),
            commit: commit().map(str::to_owned),
            origin,
            task: exported.as_ref().and_then(|model| task(model, !fitted.classes.is_empty())).map(str::to_owned),
            data_name: Statements::answer(&statements.data_name).map(str::to_owned),
            exported,
            members,
            data,
            fitted,
            notes,
            decisions: decisions(folder)?,
            statements,
        })
    }
}

/// Of a model of classes, by its only input that has rows: four axes are an image, two or more inputs of two axes tokens.
pub(super) fn task(model: &ModelFacts, has_classes: bool) -> Option<&'static str> {
    let axes: Vec<usize> = model.inputs.iter().map(|(_, shape)| shape.len()).collect();
    match axes.as_slice() {
        _ if !has_classes => None,
        [4] => Some("image-classification"),
        [2, 2, ..] if axes.iter().all(|axes| *axes == 2) => Some("text-classification"),
        _ => None,
    }
}

impl EnsembleLedger {
    fn members(&self) -> Members<'_> {
        Members {
            name: &self.name,
            task: self.task.as_deref(),
            members: &self.members,
            data: &self.data,
            notes: &self.notes,
            decisions: &self.decisions,
            said: &self.statements,
        }
    }
}

/// `README.md`.
pub(super) fn markdown(ledger: &EnsembleLedger) -> String {
    let (fitted, report) = (&ledger.fitted, &ledger.fitted.report);
    let origin = ledger.origin.as_ref().map(|own| &own.origin);
    let details = vec![
        ("File", ledger.exported.as_ref().map_or_else(|| "none: it was not exported".into(), file)),
        ("Made by", origin.map_or_else(|| "not noted".into(), |origin| text(&origin.in_words()))),
        ("Began", origin.map_or_else(|| "not noted".into(), |origin| text(&origin.began))),
        ("Described by", built(&ledger.software, ledger.commit.as_deref())),
        ("Method", code(&serde_json::to_string(&fitted.method).unwrap_or_default())),
        ("Rows", prose(&rows_in_words(ledger))),
    ];
    let rows = ledger.members.iter().enumerate().map(|(at, member)| {
        let weight = fitted.share(at).map_or_else(|| "–".into(), decimal);
        vec![text(&member.name), weight, run(member), code(&member.sha256)]
    });
    let mut members = table(&["member", ">weight", "run", "SHA-256"], &rows.collect::<Vec<_>>());
    if (0..fitted.members.len()).all(|at| fitted.share(at).is_none()) {
        members += "\nNo member has one single weight in this method.\n";
    }
    let mut analyses = format!("The ensemble, on {}:\n\n", count(report.ensemble.rows, "row"));
    analyses += &figures(&report.ensemble, &report.figures);
    let kinds = report.kinds();
    let of = |name: &str, evaluation: &Evaluation| -> Vec<String> {
        std::iter::once(name.to_owned()).chain(kinds.iter().map(|kind| figure(kind, evaluation))).collect()
    };
    let mut rows: Vec<Vec<String>> =
        report.members.iter().map(|member| of(&text(&member.name), &member.evaluation)).collect();
    let mean = kinds.iter().map(|kind| kind.shown(report.mean_of_members.get(&kind.name)));
    rows.push(["mean of the members".to_owned()].into_iter().chain(mean).collect());
    rows.push(of("ensemble", &report.ensemble));
    let labels: Vec<String> = kinds.iter().map(|kind| format!(">{}", kind.label())).collect();
    let headings: Vec<&str> = ["member"].into_iter().chain(labels.iter().map(String::as_str)).collect();
    analyses +=
        &format!("\nEach member on the same rows, their mean, and the ensemble:\n\n{}", table(&headings, &rows));
    analyses += &report.gain_in_words().map_or_else(String::new, |gain| format!("\n{}.\n", prose(&gain)));
    if !fitted.notes.is_empty() {
        analyses += "\nWhat rules decided, and what was noticed:\n\n";
        analyses += &fitted.notes.iter().map(|one| format!("- {}\n", prose(one))).collect::<String>();
    }
    let metrics = measured(Some(&report.ensemble), &report.figures);
    let (evaluation, exported) = (&report.ensemble, ledger.exported.as_ref());
    let again = again(ledger);
    MembersCard { of: ledger.members(), metrics, evaluation, exported, details, members, analyses, again }.markdown()
}

/// What was asked for, of which predictions.
fn again(ledger: &EnsembleLedger) -> String {
    let Some(EnsembleOrigin { request, .. }) = &ledger.origin else {
        return "The build that made it has not noted with which options; the method with its own, and the rows, are above.\n".into();
    };
    let rows = request.members.iter().zip(&ledger.members).map(|(asked, member)| {
        vec![text(&member.name), code(&asked.path), code(&asked.predictions), code(&asked.fingerprint.0)]
    });
    let headings = ["member", "as it was named, from the ensemble's folder", "its predictions", "their SHA-256"];
    let name = folder_name(&ledger.folder);
    format!(
        "{}\nThe same from the same models and predictions, given in the ensemble's folder:\n\n```console\n$ {}\n```\n",
        table(&headings, &rows.collect::<Vec<_>>()),
        request.command(&format!("../{name}-again"))
    )
}

/// `fitted to 70 rows, measured on 70 others, …, of test.parquet (evaluate)`.
fn rows_in_words(ledger: &EnsembleLedger) -> String {
    let fitted = &ledger.fitted;
    let files = fitted.files_in_words().map(|files| match ledger.data.iter().find(|data| data.is_of_ensemble) {
        Some(data) => format!("{files}, the split {} of {}", data.split, data.members.join(", ")),
        None => files,
    });
    let rows = match files {
        Some(files) => format!("{}, in {files}", fitted.split_in_words()),
        None => format!("{}; of which file is not noted", fitted.split_in_words()),
    };
    let is_out_of_fold =
        |member: &&MemberFacts| member.mean_of.as_ref().and_then(|mean| mean.out_of_fold) == Some(true);
    let names: Vec<&str> = ledger.members.iter().filter(is_out_of_fold).map(|member| member.name.as_str()).collect();
    match names.is_empty() {
        true => rows,
        false => format!("{rows}; the answers of {} are out of fold", names.join(", ")),
    }
}

/// `model.cdx.json`; none where it was not exported.
pub(super) fn bill(ledger: &EnsembleLedger) -> Option<Value> {
    let (report, origin) = (&ledger.fitted.report, ledger.origin.as_ref());
    let of = |read: fn(&EnsembleOrigin) -> String| origin.map(read).unwrap_or_default();
    let rows = [
        ("millstream:software", of(|own| own.origin.software.clone())),
        ("millstream:commit", of(|own| own.origin.commit.clone().unwrap_or_default())),
        ("millstream:began", of(|own| own.origin.began.clone())),
        ("millstream:device", of(|own| own.origin.device.clone())),
        ("millstream:onnx_runtime", of(|own| own.origin.onnx_runtime.clone())),
        ("millstream:method", serde_json::to_string(&ledger.fitted.method).unwrap_or_default()),
        ("millstream:rows", rows_in_words(ledger)),
    ];
    let metrics = cyclonedx::measured(&report.ensemble, &report.figures, None);
    ledger.exported.as_ref().map(|exported| ledger.members().bill(exported, &metrics, rows))
}
