//! What the members of an ensemble were made of, as their runs have noted it.

use std::path::Path;

use millstream_schemas::files::sha256_of_file;
use millstream_schemas::recipe::RecipeText;
use millstream_schemas::{Fingerprint, shown};
use millstream_training::ensembles::FittedEnsemble;
use serde::Serialize;
use serde_json::Value;

use super::ledger::{DataFile, files_of, selection};
use crate::made_of::MadeOf;
use crate::origin::{Origin, Parent};
use crate::report::read_record;
use crate::run_folder::{RunFolder, folder_name};
use crate::run_start::made_of;
use crate::{Catalogs, Opened, RecipeError, RowSource, lineage, load};

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
    /// What that run was made of; none where it came from none.
    pub made: Option<MemberRun>,
    /// The runs that this run's base model goes back to, the nearest first.
    pub lineage: Vec<Parent>,
}

/// The run of a member.
#[derive(Clone, Debug, Serialize)]
pub struct MemberRun {
    /// Name of its base model's file.
    pub base: String,
    /// SHA-256 of that file when the run began; none where it has not noted it.
    pub base_sha256: Option<Fingerprint>,
    /// The recipe as it was used, with every default.
    pub recipe: Value,
    /// How it began: software, library, device, processor; none of a run of an older build.
    pub origin: Option<Origin>,
    /// How its exported state was chosen.
    pub selection: String,
}

/// Data that members were trained or evaluated on, each once.
#[derive(Clone, Debug, Serialize)]
pub struct MemberData {
    /// `train`, `evaluate`, or the name of another set.
    pub split: String,
    /// Of its rows with their labels.
    pub fingerprint: Fingerprint,
    /// Files; none where they are not what the members' runs began with any more.
    pub files: Vec<DataFile>,
    /// The members that it was this of.
    pub members: Vec<String>,
    /// Whether the rows that the ensemble was fitted to and measured on are of these.
    pub is_of_ensemble: bool,
}

/// What is found of members.
#[derive(Debug, Default)]
pub(super) struct FoundMembers {
    pub(super) members: Vec<MemberFacts>,
    pub(super) data: Vec<MemberData>,
    pub(super) notes: Vec<String>,
}

impl FoundMembers {
    /// Of an ensemble in a folder. Members and their data are read, for their hashes.
    ///
    /// # Errors
    /// A file that is there cannot be read, or what a run has noted is damaged.
    pub(super) fn gather(folder: &Path, fitted: &FittedEnsemble, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        let (mut found, mut known) = (Self::default(), None);
        for member in &fitted.members {
            let path = folder.join(&member.model);
            let unchanged = path.is_file()
                && sha256_of_file(&path).map_err(RecipeError::io("read", &path))? == member.fingerprint.0;
            if !unchanged {
                found.notes.push(format!("the member `{}` is not there any more, or is another file now", member.name));
            }
            let run = path.parent().map(|parent| RunFolder(parent.to_owned())).filter(|run| run.metrics().exists());
            let noted = run.as_ref().map(RunFolder::made_of).transpose()?.flatten();
            let lineage = match (&run, &noted) {
                (Some(run), Some(noted)) => lineage::ancestors(run, &noted.model)?,
                _ => Vec::new(),
            };
            let made = match &run {
                Some(run) => found.run(&member.name, run, noted.as_ref(), catalogs, &mut known)?,
                None => None,
            };
            found.members.push(MemberFacts {
                name: member.name.clone(),
                sha256: member.fingerprint.0.clone(),
                unchanged,
                run: run.as_ref().map(|run| folder_name(&run.0)),
                made,
                lineage,
            });
        }
        for data in &mut found.data {
            data.is_of_ensemble = fitted.data.as_ref() == Some(&data.fingerprint);
        }
        Ok(found)
    }

    fn run(
        &mut self,
        member: &str,
        run: &RunFolder,
        noted: Option<&MadeOf>,
        catalogs: &Catalogs,
        known: &mut Option<Opened>,
    ) -> Result<Option<MemberRun>, RecipeError> {
        let read = RecipeText::read(&run.recipe(), &[]).map_err(RecipeError::from);
        let recipe = match read.and_then(|text| load(&text, catalogs)) {
            Ok(recipe) => recipe,
            Err(error) => {
                let name = shown(member);
                self.notes
                    .push(format!("the recipe of the member `{name}` cannot be read, so that it is not told: {error}"));
                self.noted_data_of(member, noted);
                return Ok(None);
            }
        };
        let base = recipe.model.as_ref().and_then(|model| model.path.file_name());
        let made = MemberRun {
            base: base.unwrap_or_default().to_string_lossy().into_owned(),
            base_sha256: noted.map(|noted| noted.model.clone()),
            recipe: serde_json::to_value(&recipe).unwrap_or_default(),
            origin: Origin::of_run(run)?,
            selection: selection(&read_record(run)?),
        };
        // what lies elsewhere now is told, and the rest stands
        match Opened::open_beside(&recipe, catalogs, known.as_ref()) {
            Ok(opened) => {
                self.data_of(member, noted, &opened)?;
                *known = Some(opened);
            }
            Err(error) => {
                self.notes.push(format!(
                    "what the member `{}` was made of cannot be opened, so that its files are not told: {error}",
                    shown(member)
                ));
                self.noted_data_of(member, noted);
            }
        }
        Ok(Some(made))
    }

    /// The files that a member's recipe names, where they are those that its run began with.
    fn data_of(&mut self, member: &str, noted: Option<&MadeOf>, opened: &Opened) -> Result<(), RecipeError> {
        let now = made_of(opened)?;
        let then = noted.unwrap_or(&now);
        let of_sets = opened.sets.iter().map(|(name, source)| (name.as_str(), source));
        let sources = [("train", Some(&opened.train)), ("evaluate", opened.evaluate.as_ref())];
        let sources = sources.into_iter().filter_map(|(split, source)| Some((split, source?))).chain(of_sets);
        for (split, source) in sources {
            let Some(fingerprint) = of_split(then, split) else { continue };
            let is_same = of_split(&now, split) == Some(fingerprint);
            if !is_same {
                self.notes.push(format!(
                    "the rows `{}` of the member `{}` are not what its run began with any more, so that their files are not told",
                    shown(split),
                    shown(member)
                ));
            }
            self.add(member, split, fingerprint, is_same.then_some(source))?;
        }
        Ok(())
    }

    /// Of data that cannot be opened, what was noted.
    fn noted_data_of(&mut self, member: &str, noted: Option<&MadeOf>) {
        for (split, fingerprint) in noted.into_iter().flat_map(splits) {
            self.add(member, split, fingerprint, None).expect("nothing is read");
        }
    }

    fn add(
        &mut self,
        member: &str,
        split: &str,
        fingerprint: &Fingerprint,
        source: Option<&RowSource>,
    ) -> Result<(), RecipeError> {
        let is_it = |data: &MemberData| data.split == split && data.fingerprint == *fingerprint;
        let at = self.data.iter().position(is_it).unwrap_or_else(|| {
            self.data.push(MemberData {
                split: split.to_owned(),
                fingerprint: fingerprint.clone(),
                files: Vec::new(),
                members: Vec::new(),
                is_of_ensemble: false,
            });
            self.data.len() - 1
        });
        let data = &mut self.data[at];
        data.members.push(member.to_owned());
        if let Some(source) = source.filter(|_| data.files.is_empty()) {
            data.files = files_of(&source.dataset)?;
        }
        Ok(())
    }
}

/// What a run was made of by the names of splits.
fn splits(made_of: &MadeOf) -> impl Iterator<Item = (&str, &Fingerprint)> {
    let own = [("train", Some(&made_of.train)), ("evaluate", made_of.evaluate.as_ref())];
    let own = own.into_iter().filter_map(|(split, fingerprint)| Some((split, fingerprint?)));
    own.chain(made_of.sets.iter().map(|(name, fingerprint)| (name.as_str(), fingerprint)))
}

fn of_split<'a>(made_of: &'a MadeOf, split: &str) -> Option<&'a Fingerprint> {
    splits(made_of).find(|(name, _)| *name == split).map(|(_, fingerprint)| fingerprint)
}
