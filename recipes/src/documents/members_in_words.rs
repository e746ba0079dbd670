//! What cards and bills say of members: what they are, what they were made of, and of which data.

use millstream_schemas::{count, grouped};
use serde_json::{Map, Value, json};

use super::cyclonedx::{component, data_component, serial_number, stated, tools};
use super::members::{MeanOf, MemberData, MemberFacts};
use super::model_facts::ModelFacts;
use crate::data_facts::DataFile;
use crate::origin::Origin;
use crate::pages::markdown::{code, prose, table, text};

/// Members, and what some of them are made of, each behind the one that it is a part of.
fn all(members: &[MemberFacts]) -> Vec<&MemberFacts> {
    members.iter().flat_map(|member| std::iter::once(member).chain(all(parts(member)))).collect()
}

/// The runs that a member is the mean of, or the members that it is an ensemble of.
fn parts(member: &MemberFacts) -> &[MemberFacts] {
    member.mean_of.as_ref().map_or(&member.ensemble_of, |mean| &mean.members)
}

/// The run that a member came from, and those that this one goes back to.
pub(super) fn run(member: &MemberFacts) -> String {
    if let Some(mean) = &member.mean_of {
        return format!("mean of {}", count(mean.members.len() as u64, "run"));
    }
    if !member.ensemble_of.is_empty() {
        return format!("ensemble of {}", count(member.ensemble_of.len() as u64, "member"));
    }
    let runs = member.run.iter().chain(member.lineage.iter().map(|parent| &parent.run));
    runs.map(|run| code(run)).collect::<Vec<_>>().join(" from ")
}

impl MeanOf {
    /// How a member came to be the mean of runs, and which answers the ensemble was fitted to.
    fn in_words(&self) -> String {
        let answers = match self.out_of_fold {
            Some(true) => {
                "; its answers that the ensemble was fitted to and measured on are out of fold: those of runs that were not trained on the row, \
                 and not of the mean that is a part of the model"
            }
            Some(false) => "; its answers that the ensemble was fitted to and measured on are those of the mean",
            None => "",
        };
        format!(
            "the mean of {}, of which {}{answers}",
            count(self.members.len() as u64, "run"),
            self.sampling.in_words()
        )
    }
}

/// What the members were made of, and the data.
pub(super) fn made_of(members: &[MemberFacts], data: &[MemberData]) -> String {
    let rows =
        all(members).into_iter().filter_map(|member| Some((member, member.made.as_ref()?))).map(|(member, made)| {
            let hash = made.base_sha256.as_ref().map_or_else(String::new, |hash| code(&hash.0));
            let ran = made.origin.as_ref().map_or_else(|| "not noted".into(), |origin| text(&origin.in_words()));
            vec![text(&member.name), code(&made.base), hash, ran, prose(&made.selection)]
        });
    let rows: Vec<Vec<String>> = rows.collect();
    let means: Vec<(&MemberFacts, &MeanOf)> =
        all(members).into_iter().filter_map(|member| Some((member, member.mean_of.as_ref()?))).collect();
    let inner: Vec<&MemberFacts> = members.iter().flat_map(|member| all(parts(member))).collect();
    let files = files(data);
    if [rows.len(), means.len(), inner.len(), files.len()] == [0; 4] {
        let why = match members.iter().any(|member| member.run.is_some() || !member.unchanged) {
            true => "Nothing is known of what the members were made of; the notes above say why.",
            false => "No member lies in the folder of a run, so that nothing is known of what they were made of.",
        };
        return format!("\n{why}\n");
    }
    let mut out = String::from("\n### What the members were made of\n");
    if !means.is_empty() {
        let mean = |(member, mean): &(&MemberFacts, &MeanOf)| {
            format!("- **{}:** {}.\n", text(&member.name), prose(&mean.in_words()))
        };
        out += &format!("\n{}", means.iter().map(mean).collect::<String>());
    }
    if !rows.is_empty() {
        let headings = ["member", "base model", "its SHA-256", "trained by", "what is exported"];
        out += &format!("\n{}", table(&headings, &rows));
    }
    if !inner.is_empty() {
        let of_inner = |member: &&MemberFacts| vec![text(&member.name), run(member), code(&member.sha256)];
        let hashes: Vec<Vec<String>> = inner.iter().map(of_inner).collect();
        out += &format!("\n{}", table(&["member", "run", "SHA-256 of its model"], &hashes));
    }
    if !rows.is_empty() {
        out += "\nThe recipe of each, with every default, is in `ledger.json`.\n";
    }
    if !files.is_empty() {
        out += &format!("\nData:\n\n{}", table(&["split", "file", ">rows", "SHA-256", "of the members"], &files));
    }
    out
}

/// The files of the data, as rows of a table.
fn files(data: &[MemberData]) -> Vec<Vec<String>> {
    let rows = data.iter().flat_map(|data| {
        let members = text(&data.members.join(", "));
        let row = move |file: &DataFile| {
            let hash = file.sha256.as_ref().map_or_else(String::new, |hash| code(hash));
            vec![text(&data.split), code(&file.name), grouped(file.rows), hash, members.clone()]
        };
        data.files.iter().map(row)
    });
    rows.collect()
}

/// A member in a bill of materials, with its base model, or what it is made of, as ancestors.
pub(super) fn component_of(reference: &str, member: &MemberFacts) -> Map<String, Value> {
    let mut own = component(reference, &member.name, &member.sha256);
    if !parts(member).is_empty() {
        let part = |(at, part): (usize, &MemberFacts)| component_of(&format!("{reference}-{at}"), part);
        let parts: Vec<Map<String, Value>> = parts(member).iter().enumerate().map(part).collect();
        own.insert("pedigree".into(), json!({ "ancestors": parts }));
    }
    if let Some(mean) = &member.mean_of {
        own.insert("properties".into(), stated([("millstream:mean", mean.in_words())]));
    }
    if let Some((made, hash)) = member.made.as_ref().and_then(|made| Some((made, made.base_sha256.as_ref()?))) {
        let base = component(&format!("{reference}-base"), &made.base, &hash.0);
        own.insert("pedigree".into(), json!({"ancestors": [base]}));
    }
    if let Some(made) = &member.made {
        let origin = made.origin.as_ref();
        let of = |read: fn(&Origin) -> String| origin.map(read).unwrap_or_default();
        let rows = [
            ("millstream:software", of(|origin| origin.software.clone())),
            ("millstream:commit", of(|origin| origin.commit.clone().unwrap_or_default())),
            ("millstream:device", of(|origin| origin.device.clone())),
            ("millstream:onnx_runtime", of(|origin| origin.onnx_runtime.clone())),
            ("millstream:recipe", made.recipe.to_string()),
            ("millstream:selection", made.selection.clone()),
        ];
        own.insert("properties".into(), stated(rows));
    }
    own
}

/// What the data are called in a bill of materials, in order.
pub(super) fn references(data: &[MemberData]) -> Vec<String> {
    (0..data.len()).map(|at| format!("data-{at}")).collect()
}

/// A bill of materials of a model that was made of members, with their data.
pub(super) fn bill_of(exported: &ModelFacts, model: Map<String, Value>, data: &[MemberData]) -> Value {
    let references = references(data);
    let component = |(reference, data): (&String, &MemberData)| {
        let name = format!("{} of {}", data.split, data.members.join(", "));
        data_component(reference, &name, &data.files)
    };
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(exported),
        "version": 1,
        "metadata": {"tools": tools(), "component": model},
        "components": references.iter().zip(data).map(component).collect::<Vec<_>>(),
        "dependencies": [{"ref": "model", "dependsOn": references}],
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use millstream_schemas::recipe::RecipeText;

    use super::super::members::MemberRun;
    use super::super::model_use::recipe_without_folders;
    use super::*;
    use crate::{Catalogs, load};

    fn member(name: &str, ensemble_of: Vec<MemberFacts>) -> MemberFacts {
        MemberFacts {
            name: name.to_owned(),
            sha256: format!("hash-of-{name}"),
            unchanged: true,
            run: None,
            made: None,
            lineage: Vec::new(),
            mean_of: None,
            ensemble_of,
        }
    }

    #[test]
    fn the_folders_of_a_members_recipe_are_not_in_the_bill() {
        let text = "
version: 1
model: {path: /home/alice/base.onnx, methods: [{peft: {folder: /home/alice/adapter}}]}
data: {train: /home/alice/data/train-*.parquet}
output: {folder: /home/alice/runs/one}
";
        let text = RecipeText::new(text, Path::new("recipe.yaml"), Path::new("/"), &[]).unwrap();
        let catalogs = Catalogs::default();
        let made = MemberRun {
            base: "base.onnx".into(),
            base_sha256: None,
            recipe: recipe_without_folders(&load(&text, &catalogs).unwrap(), &catalogs),
            origin: None,
            selection: "the last state".into(),
        };
        let bill =
            Value::from(component_of("a", &MemberFacts { made: Some(made), ..member("a", Vec::new()) })).to_string();
        assert!(!bill.contains("alice"), "{bill}");
        for name in ["base.onnx", "adapter", "train-*.parquet", "one"] {
            // the recipe is a text within the bill
            assert!(bill.contains(&format!("\\\"{name}\\\"")), "{name} is not in {bill}");
        }
    }

    #[test]
    fn members_of_an_ensemble_of_plain_files_are_told_though_no_run_is_known() {
        let told = made_of(&[member("a", Vec::new())], &[]);
        assert!(told.contains("nothing is known") && !told.contains("###"), "{told}");
        let of_files = member("both", vec![member("both/a", Vec::new()), member("both/b", Vec::new())]);
        let told = made_of(&[of_files], &[]);
        assert!(told.contains("hash-of-both/a") && told.contains("hash-of-both/b"), "{told}");
        for part in ["base model", "The recipe of each", "nothing is known"] {
            assert!(!told.contains(part), "{part} in\n{told}");
        }
    }
}
