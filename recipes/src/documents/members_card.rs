//! The card and the bill of members that are one model together: what an ensemble and members on parts of the rows have in common.

use millstream_training::Evaluation;
use millstream_training::metrics::FigureKind;
use serde_json::{Map, Value, json};

use super::cyclonedx::{component, parameters, stated};
use super::front_matter::{FrontMatter, ModelResults};
use super::get_started;
use super::license::licenses;
use super::members::{MemberData, MemberFacts};
use super::members_in_words::{bill_of, component_of, made_of, references};
use super::model_facts::ModelFacts;
use super::statements::Statements;
use crate::decisions::Decision;
use crate::pages::markdown::{list, prose, text};

/// What is told of members together, whatever they were made one by.
#[derive(Clone, Copy)]
pub(super) struct Members<'a> {
    /// What they are called together.
    pub(super) name: &'a str,
    /// What the model does, as Hugging Face calls it.
    pub(super) task: Option<&'a str>,
    pub(super) members: &'a [MemberFacts],
    pub(super) data: &'a [MemberData],
    pub(super) notes: &'a [String],
    pub(super) decisions: &'a [Decision],
    pub(super) said: &'a Statements,
}

/// What a card has of its own, as Markdown.
pub(super) struct MembersCard<'a> {
    pub(super) of: Members<'a>,
    /// What was measured.
    pub(super) metrics: Vec<&'a FigureKind>,
    /// Of all together.
    pub(super) evaluation: &'a Evaluation,
    /// The members as one model, where that was exported.
    pub(super) exported: Option<&'a ModelFacts>,
    /// Of the model, behind who made it.
    pub(super) details: Vec<(&'static str, String)>,
    /// A table of the members.
    pub(super) members: String,
    /// What was measured, and what is to be said of it.
    pub(super) analyses: String,
    /// How the same is made again.
    pub(super) again: String,
}

impl MembersCard<'_> {
    /// `README.md`.
    pub(super) fn markdown(self) -> String {
        let Self { of, metrics, evaluation, exported, details, members, analyses, again } = self;
        let said = of.said;
        let open = |answer: &Option<String>| Statements::or_open(answer).to_owned();
        let results = exported.map(|_| ModelResults { model: of.name, split: None, evaluation });
        let front = FrontMatter { tags: &["ensemble"], task: of.task, relation: "merge", metrics, results, said };
        let mut out = front.yaml();
        out += &format!("\n# {}\n\n{}\n", text(of.name), open(&said.description));
        out += &of.notes.iter().map(|note| format!("\n> {}\n", prose(note))).collect::<String>();
        let mut all = vec![
            ("Developed by", open(&said.authors)),
            ("Version", open(&said.version)),
            ("License", open(&said.license)),
            ("Contact", open(&said.contact)),
            ("Citation", open(&said.citation)),
        ];
        all.extend(details);
        out += &format!("\n## Model details\n\n{}\n### Members\n\n{members}", list(&all));
        out += &made_of(of.members, of.data);
        out += &exported.map_or_else(String::new, |model| get_started::markdown(model, None, "it is for the members"));
        out += "\n## Intended use\n\n";
        out += &list(&[
            ("Intended for", open(&said.intended_use)),
            ("Downstream use", open(&said.downstream_use)),
            ("Users", open(&said.users)),
            ("Out of scope", open(&said.out_of_scope_use)),
        ]);
        out += &format!("\n## Factors\n\n{}\n\n## Quantitative analyses\n\n{analyses}", open(&said.factors));
        if !of.decisions.is_empty() {
            let noted = of.decisions.iter().map(|one| format!("- {}: {}\n", text(&one.time), prose(&one.text)));
            out += &format!("\nWhat people noted:\n\n{}", noted.collect::<String>());
        }
        out += &format!("\n## Ethical considerations\n\n{}\n", open(&said.ethical_considerations));
        out += &format!("\n## Environmental impact\n\n{}\n", open(&said.environmental_impact));
        out += "\n## Caveats and recommendations\n\n";
        out += &list(&[("Limitations", open(&said.limitations)), ("Recommendations", open(&said.recommendations))]);
        out + "\n## How it was made, again\n\n" + &again
    }
}

impl Members<'_> {
    /// `model.cdx.json`: the model with its members and their base models as ancestors, their data, its figures and more that is known.
    pub(super) fn bill(
        &self,
        exported: &ModelFacts,
        metrics: &[Value],
        properties: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Value {
        let mut model = component("model", self.name, &exported.sha256);
        let members = self.members.iter().enumerate();
        let members: Vec<Map<String, Value>> =
            members.map(|(at, member)| component_of(&format!("member-{at}"), member)).collect();
        model.insert("pedigree".into(), json!({"ancestors": members}));
        if let Some(license) = Statements::answer(&self.said.license) {
            model.insert("licenses".into(), licenses(license));
        }
        model.insert(
            "modelCard".into(),
            json!({
                "modelParameters": parameters(self.task, &references(self.data), exported, None),
                "quantitativeAnalysis": {"performanceMetrics": metrics},
            }),
        );
        model.insert("properties".into(), stated(properties));
        bill_of(exported, model, self.data)
    }
}

/// A figure in a cell, with its interval where it has one.
pub(super) fn figure(kind: &FigureKind, evaluation: &Evaluation) -> String {
    kind.shown_with_interval(evaluation.figure(&kind.name), evaluation.interval(&kind.name))
}
