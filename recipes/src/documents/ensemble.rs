//! What is written about an ensemble: a ledger of its members and of what was fitted to which rows, and a model card.

use std::path::{Path, PathBuf};

use millstream_compiler::Model;
use millstream_schemas::files::sha256_of_file;
use millstream_schemas::{count, decimal, grouped};
use millstream_training::Evaluation;
use millstream_training::ensembles::FittedEnsemble;
use millstream_training::metrics::FigureKind;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::cyclonedx::{component, serial_number, tools};
use super::front_matter::{FrontMatter, measured};
use super::ledger::ModelFacts;
use super::model_card::{figures, file};
use super::statements::Statements;
use crate::decisions::{Decision, decisions};
use crate::ensemble::EnsembleFolder;
use crate::origin::{Parent, built, commit, software};
use crate::pages::markdown::{code, list, prose, table, text};
use crate::run_folder::{RunFolder, folder_name};
use crate::{RecipeError, lineage};

/// All that is known of an ensemble.
#[derive(Clone, Debug, Serialize)]
pub struct EnsembleLedger {
    /// Version of this format; 1.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Version of this software that wrote the ledger.
    pub software: String,
    /// The commit of that software, where it is known.
    pub commit: Option<String>,
    /// What the model does, as Hugging Face calls it, where the inputs of the exported model say that.
    pub task: Option<String>,
    /// What the data are called, where that is stated.
    pub data_name: Option<String>,
    /// The members as one model; none where it was not exported.
    pub exported: Option<ModelFacts>,
    /// The members, in order.
    pub members: Vec<MemberFacts>,
    /// How it was made, what was fitted to which rows, and what was measured on which.
    pub fitted: FittedEnsemble,
    /// What was noticed while the ledger was written: members that are others now.
    pub notes: Vec<String>,
    /// What people noted of it, in order.
    pub decisions: Vec<Decision>,
    /// What only people know.
    pub statements: Statements,
}

/// A member.
#[derive(Clone, Debug, Serialize)]
pub struct MemberFacts {
    /// What it is called.
    pub name: String,
    /// SHA-256 of its file when the ensemble was fitted.
    pub sha256: String,
    /// Whether the file is there and the same.
    pub unchanged: bool,
    /// The run that it came from, where it lies in the folder of one.
    pub run: Option<String>,
    /// The runs that this run's base model goes back to, the nearest first.
    pub lineage: Vec<Parent>,
}

impl EnsembleLedger {
    /// Of the ensemble in a folder. Members are read, for their hashes.
    ///
    /// # Errors
    /// The folder holds no ensemble, or a file of it cannot be read.
    pub(super) fn gather(folder: &Path, statements: Statements) -> Result<Self, RecipeError> {
        let own = EnsembleFolder(folder.to_owned());
        let fitted = own.read()?;
        let (mut members, mut notes) = (Vec::new(), Vec::new());
        for member in &fitted.members {
            let path = folder.join(&member.model);
            let unchanged = path.is_file()
                && sha256_of_file(&path).map_err(RecipeError::io("read", &path))? == member.fingerprint.0;
            if !unchanged {
                notes.push(format!("the member `{}` is not there any more, or is another file now", member.name));
            }
            let run = path.parent().map(|parent| RunFolder(parent.to_owned())).filter(|run| run.metrics().exists());
            let made_of = run.as_ref().map(RunFolder::made_of).transpose()?.flatten();
            let lineage = match (&run, made_of) {
                (Some(run), Some(made_of)) => lineage::ancestors(run, &made_of.model)?,
                _ => Vec::new(),
            };
            members.push(MemberFacts {
                name: member.name.clone(),
                sha256: member.fingerprint.0.clone(),
                unchanged,
                run: run.as_ref().map(|run| folder_name(&run.0)),
                lineage,
            });
        }
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
            task: exported.as_ref().and_then(|model| task(model, &fitted)).map(str::to_owned),
            data_name: Statements::answer(&statements.data_name).map(str::to_owned),
            exported,
            members,
            fitted,
            notes,
            decisions: decisions(folder)?,
            statements,
        })
    }
}

/// Of a model of classes, by its only input that has rows: four axes are an image, two or more inputs of two axes tokens.
fn task(model: &ModelFacts, fitted: &FittedEnsemble) -> Option<&'static str> {
    let axes: Vec<usize> = model.inputs.iter().map(|(_, shape)| shape.len()).collect();
    match axes.as_slice() {
        _ if fitted.classes.is_empty() => None,
        [4] => Some("image-classification"),
        [2, 2, ..] if axes.iter().all(|axes| *axes == 2) => Some("text-classification"),
        _ => None,
    }
}

/// `README.md`.
pub(super) fn markdown(ledger: &EnsembleLedger) -> String {
    let said = &ledger.statements;
    let (fitted, report) = (&ledger.fitted, &ledger.fitted.report);
    let mut out = FrontMatter {
        tags: &["ensemble"],
        task: ledger.task.as_deref(),
        relation: "merge",
        metrics: measured(Some(&report.ensemble), &report.figures),
        said,
    }
    .yaml();
    out += &format!("\n# {}\n\n{}\n", text(&ledger.name), Statements::or_open(&said.description));
    out += &ledger.notes.iter().map(|note| format!("\n> {}\n", prose(note))).collect::<String>();
    let open = |answer: &Option<String>| Statements::or_open(answer).to_owned();
    out += "\n## Model details\n\n";
    out += &list(&[
        ("Developed by", open(&said.authors)),
        ("Version", open(&said.version)),
        ("License", open(&said.license)),
        ("Contact", open(&said.contact)),
        ("Citation", open(&said.citation)),
        ("File", ledger.exported.as_ref().map_or_else(|| "none: it was not exported".into(), file)),
        ("Described by", built(&ledger.software, ledger.commit.as_deref())),
        ("Method", code(&serde_json::to_string(&fitted.method).unwrap_or_default())),
        (
            "Rows",
            format!(
                "fitted to {}, measured on {}, drawn by the seed {}",
                grouped(fitted.split.fitted),
                count(fitted.split.measured, "row"),
                fitted.split.seed
            ),
        ),
    ]);
    let rows = ledger.members.iter().enumerate().map(|(at, member)| {
        let weight = fitted.share(at).map_or_else(|| "–".into(), decimal);
        let run = member.run.iter().chain(member.lineage.iter().map(|parent| &parent.run));
        let run: Vec<String> = run.map(|run| code(run)).collect();
        vec![text(&member.name), weight, run.join(" from "), code(&member.sha256)]
    });
    out += &format!("\n### Members\n\n{}", table(&["member", ">weight", "run", "SHA-256"], &rows.collect::<Vec<_>>()));
    if (0..fitted.members.len()).all(|at| fitted.share(at).is_none()) {
        out += "\nNo member has one single weight in this method.\n";
    }
    out += "\n## Intended use\n\n";
    out += &list(&[
        ("Intended for", open(&said.intended_use)),
        ("Users", open(&said.users)),
        ("Out of scope", open(&said.out_of_scope_use)),
    ]);
    out += &format!("\n## Factors\n\n{}\n", open(&said.factors));
    out += &format!("\n## Quantitative analyses\n\nThe ensemble, on {}:\n\n", count(report.ensemble.rows, "row"));
    out += &figures(&report.ensemble, &report.figures);
    let kinds = report.kinds();
    let with_interval = |kind: &FigureKind, value: Option<f64>, interval: Option<[f64; 2]>| {
        let interval = interval
            .map(|[low, high]| format!(" ({} to {})", kind.shown(Some(low)), kind.shown(Some(high))))
            .unwrap_or_default();
        format!("{}{interval}", kind.shown(value))
    };
    let of = |name: &str, evaluation: &Evaluation| -> Vec<String> {
        let cells = kinds
            .iter()
            .map(|kind| with_interval(kind, evaluation.figure(&kind.name), evaluation.interval(&kind.name)));
        [name.to_owned()].into_iter().chain(cells).collect()
    };
    let mut rows: Vec<Vec<String>> =
        report.members.iter().map(|member| of(&text(&member.name), &member.evaluation)).collect();
    let mean = kinds.iter().map(|kind| kind.shown(report.mean_of_members.get(&kind.name)));
    rows.push(["mean of the members".to_owned()].into_iter().chain(mean).collect());
    rows.push(of("ensemble", &report.ensemble));
    let labels: Vec<String> = kinds.iter().map(|kind| format!(">{}", kind.label())).collect();
    let headings: Vec<&str> = ["member"].into_iter().chain(labels.iter().map(String::as_str)).collect();
    out += &format!("\nEach member on the same rows, their mean, and the ensemble:\n\n{}", table(&headings, &rows));
    out += &report.gain_in_words().map_or_else(String::new, |gain| format!("\n{}.\n", prose(&gain)));
    if !fitted.notes.is_empty() {
        out += "\nWhat rules decided, and what was noticed:\n\n";
        out += &fitted.notes.iter().map(|one| format!("- {}\n", prose(one))).collect::<String>();
    }
    if !ledger.decisions.is_empty() {
        let noted = ledger.decisions.iter().map(|one| format!("- {}: {}\n", text(&one.time), prose(&one.text)));
        out += &format!("\nWhat people noted:\n\n{}", noted.collect::<String>());
    }
    out += &format!("\n## Ethical considerations\n\n{}\n", open(&said.ethical_considerations));
    out += "\n## Caveats and recommendations\n\n";
    out + &list(&[("Limitations", open(&said.limitations)), ("Recommendations", open(&said.recommendations))])
}

/// `model.cdx.json`: the ensemble with its members as ancestors. None where it was not exported.
pub(super) fn bill(ledger: &EnsembleLedger) -> Option<Value> {
    let exported = ledger.exported.as_ref()?;
    let mut model = component("model", &ledger.name, &exported.sha256);
    let members = ledger.members.iter().enumerate();
    let members: Vec<Map<String, Value>> =
        members.map(|(at, member)| component(&format!("member-{at}"), &member.name, &member.sha256)).collect();
    model.insert("pedigree".into(), json!({"ancestors": members}));
    if let Some(license) = Statements::answer(&ledger.statements.license) {
        model.insert("licenses".into(), json!([{"license": {"name": license}}]));
    }
    Some(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(exported),
        "version": 1,
        "metadata": {"tools": tools(), "component": model},
    }))
}
