//! What is written about members that were trained on parts of the rows, and about the model that is their mean.

use std::path::PathBuf;

use millstream_compiler::Model;
use millstream_schemas::{count, grouped, shown_path};
use millstream_training::metrics::FigureKind;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::cyclonedx::{self, component, parameters, stated};
use super::ensemble::task;
use super::front_matter::{FrontMatter, measured};
use super::ledger::ModelFacts;
use super::members::{FoundMembers, MemberData, MemberFacts};
use super::members_in_words::{bill_of, component_of, made_of, references, run};
use super::model_card::{figures, file};
use super::statements::Statements;
use crate::decisions::{Decision, decisions};
use crate::ensemble::{MembersFolder, MembersReport};
use crate::origin::{built, commit, software};
use crate::pages::markdown::{code, list, prose, table, text};
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
            shown_path(&parts.own.0)
        );
        RecipeError::ensemble(&parts.own.0, message)
    })
}

/// `README.md`.
pub(super) fn markdown(ledger: &MembersLedger) -> String {
    let (said, trained) = (&ledger.statements, &ledger.trained);
    let mut out = FrontMatter {
        tags: &["ensemble"],
        task: ledger.task.as_deref(),
        relation: "merge",
        metrics: measured(Some(&trained.out_of_fold), &trained.figures),
        said,
    }
    .yaml();
    out += &format!("\n# {}\n\n{}\n", text(&ledger.name), Statements::or_open(&said.description));
    out += &ledger.notes.iter().map(|note| format!("\n> {}\n", prose(note))).collect::<String>();
    let open = |answer: &Option<String>| Statements::or_open(answer).to_owned();
    let members = count(ledger.members.len() as u64, "member");
    out += "\n## Model details\n\n";
    out += &list(&[
        ("Developed by", open(&said.authors)),
        ("Version", open(&said.version)),
        ("License", open(&said.license)),
        ("Contact", open(&said.contact)),
        ("Citation", open(&said.citation)),
        ("File", file(&ledger.exported)),
        ("Described by", built(&ledger.software, ledger.commit.as_deref())),
        ("Method", format!("the mean of {members}, of which {}", prose(&trained.sampling.in_words()))),
        ("Rows", prose(&trained.rows_in_words())),
    ]);
    let rows = ledger.members.iter().map(|member| vec![text(&member.name), run(member), code(&member.sha256)]);
    out += &format!("\n### Members\n\n{}", table(&["member", "run", "SHA-256"], &rows.collect::<Vec<_>>()));
    out += &made_of(&ledger.members, &ledger.data);
    out += "\n## Intended use\n\n";
    out += &list(&[
        ("Intended for", open(&said.intended_use)),
        ("Users", open(&said.users)),
        ("Out of scope", open(&said.out_of_scope_use)),
    ]);
    out += &format!("\n## Factors\n\n{}\n", open(&said.factors));
    out += &format!(
        "\n## Quantitative analyses\n\nOut of fold: each row has the answer of members that were not trained on it, not that of the mean of all, on \
         {}:\n\n",
        count(trained.out_of_fold.rows, "row")
    );
    out += &figures(&trained.out_of_fold, &trained.figures);
    let kinds: Vec<FigureKind> = trained.figures.iter().cloned().chain([FigureKind::loss()]).collect();
    let rows = trained.members.iter().map(|member| {
        let figures = kinds.iter().map(|kind| {
            let interval = member.evaluation.interval(&kind.name);
            let interval =
                interval.map(|[low, high]| format!(" ({} to {})", kind.shown(Some(low)), kind.shown(Some(high))));
            format!("{}{}", kind.shown(member.evaluation.figure(&kind.name)), interval.unwrap_or_default())
        });
        [text(&member.name), grouped(member.rows)].into_iter().chain(figures).collect::<Vec<String>>()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let labels: Vec<String> = kinds.iter().map(|kind| format!(">{}", kind.label())).collect();
    let headings: Vec<&str> = ["member", ">rows"].into_iter().chain(labels.iter().map(String::as_str)).collect();
    out += &format!("\nEach member on the rows that it has not seen:\n\n{}", table(&headings, &rows));
    if !ledger.decisions.is_empty() {
        let noted = ledger.decisions.iter().map(|one| format!("- {}: {}\n", text(&one.time), prose(&one.text)));
        out += &format!("\nWhat people noted:\n\n{}", noted.collect::<String>());
    }
    out += &format!("\n## Ethical considerations\n\n{}\n", open(&said.ethical_considerations));
    out += "\n## Caveats and recommendations\n\n";
    out += &list(&[("Limitations", open(&said.limitations)), ("Recommendations", open(&said.recommendations))]);
    out += "\n## How it was made, again\n\n";
    out += &match &ledger.command {
        Some(command) => format!(
            "`recipe.yaml` beside the model has every default. The same from the same files, given in this folder:\n\n```console\n$ {command}\n```\n"
        ),
        None => {
            "The build that made it has not noted the recipe of all rows; those of the members are in `ledger.json`.\n"
                .into()
        }
    };
    out
}

/// `model.cdx.json`: the mean with its members and their base models as ancestors, their data and the figures out of fold.
pub(super) fn bill(ledger: &MembersLedger) -> Value {
    let (exported, trained) = (&ledger.exported, &ledger.trained);
    let mut model = component("model", &ledger.name, &exported.sha256);
    let members = ledger.members.iter().enumerate().map(|(at, member)| component_of(&format!("member-{at}"), member));
    let members: Vec<Map<String, Value>> = members.collect();
    model.insert("pedigree".into(), json!({"ancestors": members}));
    if let Some(license) = Statements::answer(&ledger.statements.license) {
        model.insert("licenses".into(), json!([{"license": {"name": license}}]));
    }
    model.insert(
        "modelCard".into(),
        json!({
            "modelParameters": parameters(ledger.task.as_deref(), &references(&ledger.data), exported),
            "quantitativeAnalysis": {"performanceMetrics": cyclonedx::measured(&trained.out_of_fold, &trained.figures, Some("out of fold"))},
        }),
    );
    let rows = [("millstream:mean", trained.sampling.in_words()), ("millstream:rows", trained.rows_in_words())];
    model.insert("properties".into(), stated(rows));
    bill_of(exported, model, &ledger.data)
}
