//! What is written about members that were trained on parts of the rows, and about the model that is their mean.

use std::path::PathBuf;

use millstream_compiler::Model;
use millstream_schemas::{count, grouped, shell_path};
use millstream_training::metrics::FigureKind;
use serde::Serialize;
use serde_json::Value;

use super::cyclonedx;
use super::ensemble::task;
use super::front_matter::measured;
use super::members::{FoundMembers, MemberData, MemberFacts};
use super::members_card::{Members, MembersCard, figure};
use super::members_in_words::run;
use super::model_card::{figures, file};
use super::model_facts::ModelFacts;
use super::statements::Statements;
use crate::decisions::{Decision, decisions};
use crate::ensemble::{MembersFolder, MembersReport};
use crate::origin::{built, commit, software};
use crate::pages::markdown::{code, prose, table, text};
use crate::run_files::RECIPE_FILE;
use crate::run_folder::folder_name;
use crate::{Catalogs, RecipeError};

/// All that is known of members that were trained on parts of the rows.
#[derive(Clone, Debug, Serialize)]
pub struct MembersLedger {
    /// Version of this format; 1.
    pub version: u32,
    /// What they are called together.
    pub name: String,
    /// Their folder.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// Version of this software that wrote the ledger.
    pub software: String,
    /// The commit of that software, where it is known.
    pub commit: Option<String>,
    /// What the model does, as Hugging Face calls it, where its inputs say that.
    pub task: Option<String>,
    /// What the data are called, where that is stated.
    pub data_name: Option<String>,
    /// The mean of the members.
    pub exported: ModelFacts,
    /// The members, in order.
    pub members: Vec<MemberFacts>,
    /// All rows, and those that each was trained and evaluated on, each once.
    pub data: Vec<MemberData>,
    /// Which rows each was trained on, and its figures and those of all on rows that they have not seen.
    pub trained: MembersReport,
    /// The command that trains the same again, given in their folder; none of an older build.
    pub command: Option<String>,
    /// What was noticed while the ledger was written: members or data that are others now.
    pub notes: Vec<String>,
    /// What people noted of them, in order.
    pub decisions: Vec<Decision>,
    /// What only people know.
    pub statements: Statements,
}

impl MembersLedger {
    /// Of a folder with finished members, which are read with their data, for their hashes.
    ///
    /// # Errors
    /// Members are still to be trained, or a file cannot be read.
    pub(super) fn gather(
        parts: &MembersFolder,
        trained: MembersReport,
        statements: Statements,
        catalogs: &Catalogs,
    ) -> Result<Self, RecipeError> {
        let (folder, model) = (&parts.own.0, parts.own.model());
        let FoundMembers { members, data, notes, .. } = FoundMembers::of_parts(parts, catalogs)?;
        let exported = ModelFacts::of(&Model::read(&model)?, &model)?;
        let has_classes = parts.answers()?.is_some_and(|answers| !answers.classes.is_empty());
        let title = folder_name(folder);
        Ok(Self {
            version: 1,
            name: Statements::answer(&statements.name).unwrap_or(&title).to_owned(),
            folder: folder.clone(),
            software: software(),
            commit: commit().map(str::to_owned),
            task: task(&exported, has_classes).map(str::to_owned),
            data_name: Statements::answer(&statements.data_name).map(str::to_owned),
            exported,
            members,
            data,
            trained,
            command: parts.command(&format!("../{title}-again")),
            notes,
            decisions: decisions(folder)?,
            statements,
        })
    }
}

/// What came out of the members in a folder.
///
/// # Errors
/// Members are still to be trained.
pub(super) fn require_trained(parts: &MembersFolder) -> Result<MembersReport, RecipeError> {
    parts.report.clone().ok_or_else(|| {
        let message = format!(
            "not all members are trained yet; `millstream ensemble members … -o {}` with the same recipe goes on",
            shell_path(&parts.own.0)
        );
        RecipeError::ensemble(&parts.own.0, message)
    })
}

impl MembersLedger {
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
pub(super) fn markdown(ledger: &MembersLedger) -> String {
    let trained = &ledger.trained;
    let members = count(ledger.members.len() as u64, "member");
    let details = vec![
        ("File", file(&ledger.exported)),
        ("Described by", built(&ledger.software, ledger.commit.as_deref())),
        ("Method", format!("the mean of {members}, of which {}", prose(&trained.sampling.in_words()))),
        ("Rows", prose(&trained.rows_in_words())),
    ];
    let rows = ledger.members.iter().map(|member| vec![text(&member.name), run(member), code(&member.sha256)]);
    let members = table(&["member", "run", "SHA-256"], &rows.collect::<Vec<_>>());
    let mut analyses = format!(
        "Out of fold: each row has the answer of members that were not trained on it, not that of the mean of all, on {}:\n\n",
        count(trained.out_of_fold.rows, "row")
    );
    analyses += &figures(&trained.out_of_fold, &trained.figures);
    let kinds: Vec<FigureKind> = trained.figures.iter().cloned().chain([FigureKind::loss()]).collect();
    let rows = trained.members.iter().map(|member| {
        let figures = kinds.iter().map(|kind| figure(kind, &member.evaluation));
        [text(&member.name), grouped(member.rows)].into_iter().chain(figures).collect::<Vec<String>>()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let labels: Vec<String> = kinds.iter().map(|kind| format!(">{}", kind.label())).collect();
    let headings: Vec<&str> = ["member", ">rows"].into_iter().chain(labels.iter().map(String::as_str)).collect();
    analyses += &format!("\nEach member on the rows that it has not seen:\n\n{}", table(&headings, &rows));
    let again = match &ledger.command {
        Some(command) => format!(
            "`{RECIPE_FILE}` beside the model has every default. The same from the same files, given in this folder:\n\n```console\n$ {command}\n```\n"
        ),
        None => {
            "The build that made it has not noted the recipe of all rows; those of the members are in `ledger.json`.\n"
                .into()
        }
    };
    let metrics = measured(Some(&trained.out_of_fold), &trained.figures);
    let (evaluation, exported) = (&trained.out_of_fold, Some(&ledger.exported));
    MembersCard { of: ledger.members(), metrics, evaluation, exported, details, members, analyses, again }.markdown()
}

/// `model.cdx.json`.
pub(super) fn bill(ledger: &MembersLedger) -> Value {
    let trained = &ledger.trained;
    let rows = [("millstream:mean", trained.sampling.in_words()), ("millstream:rows", trained.rows_in_words())];
    let metrics = cyclonedx::measured(&trained.out_of_fold, &trained.figures, Some("out of fold"));
    ledger.members().bill(&ledger.exported, &metrics, rows)
}
