//! What the members of an ensemble were made of, as their runs have noted it.

use std::path::Path;

use millstream_pipeline::{Dataset, SplitRole};
use millstream_schemas::files::sha256_of_file;
use millstream_schemas::recipe::RecipeText;
use millstream_schemas::{Fingerprint, Recipe, shown};
use millstream_training::ensembles::FittedEnsemble;
use serde::Serialize;
use serde_json::Value;

use super::ledger::selection;
use super::model_use::recipe_without_folders;
use crate::data_facts::{DataFile, files_of};
use crate::ensemble::{EnsembleFolder, EnsembleOrigin, MembersFolder, Sampling, Snapshot, TrainedMember};
use crate::made_of::MadeOf;
use crate::origin::{Origin, Parent};
use crate::report::read_record;
use crate::run_folder::{RunFolder, folder_name};
use crate::run_start::made_of;
use crate::{Catalogs, Opened, RecipeError, lineage, load};

/// Ensembles within ensembles that are followed.
const DEEPEST: usize = 4;

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
    /// Where it is the mean of runs on parts of the rows: these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_of: Option<MeanOf>,
    /// Where it is an ensemble: its members.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ensemble_of: Vec<MemberFacts>,
}

impl MemberFacts {
    /// What its file says alone.
    fn by_file(name: String, fingerprint: &Fingerprint, file: FileNow) -> Self {
        Self {
            name,
            sha256: fingerprint.0.clone(),
            unchanged: file == FileNow::Same,
            run: None,
            made: None,
            lineage: Vec::new(),
            mean_of: None,
            ensemble_of: Vec::new(),
        }
    }
}

/// A member's file, as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileNow {
    Same,
    Gone,
    Another,
}

/// Runs on parts of the rows, whose mean is a member.
#[derive(Clone, Debug, Serialize)]
pub struct MeanOf {
    /// Which rows each was trained on.
    pub sampling: Sampling,
    /// All rows, by the names, sizes and footers of their files.
    pub rows: Fingerprint,
    /// Whether the ensemble was fitted to and measured on answers out of fold: those of runs that had not seen the row. None where it is not
    /// known which answers these were.
    pub out_of_fold: Option<bool>,
    /// The runs, in order.
    pub members: Vec<MemberFacts>,
}

/// The run of a member.
#[derive(Clone, Debug, Serialize)]
pub struct MemberRun {
    /// Name of its base model's file.
    pub base: String,
    /// SHA-256 of that file when the run began; none where it has not noted it.
    pub base_sha256: Option<Fingerprint>,
    /// The recipe as it was used, with every default, and names of files in place of their paths.
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
    /// Of its rows with their labels; of rows that were divided into parts, by the names, sizes and footers of their files alone.
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
    /// What was opened last: the next often has the same model and rows.
    known: Option<Opened>,
}

impl FoundMembers {
    /// Of an ensemble in a folder. Members and their data are read, for their hashes.
    ///
    /// # Errors
    /// A file that is there cannot be read, or what a run has noted is damaged.
    pub(super) fn gather(
        folder: &Path,
        fitted: &FittedEnsemble,
        origin: Option<&EnsembleOrigin>,
        catalogs: &Catalogs,
    ) -> Result<Self, RecipeError> {
        let mut found = Self::default();
        found.members = found.members_of(None, folder, (fitted, origin), catalogs)?;
        Ok(found)
    }

    /// The members of an ensemble in a folder, which may be a member of another one and is called so then.
    fn members_of(
        &mut self,
        of: Option<&str>,
        folder: &Path,
        (fitted, origin): (&FittedEnsemble, Option<&EnsembleOrigin>),
        catalogs: &Catalogs,
    ) -> Result<Vec<MemberFacts>, RecipeError> {
        let mut members = Vec::with_capacity(fitted.members.len());
        for (at, member) in fitted.members.iter().enumerate() {
            // an older build has noted one for all of them, or none
            let of_member = origin.and_then(|origin| Some(&origin.request.members.get(at)?.data));
            let answered = of_member.or(fitted.data.as_ref());
            let name = of.map_or_else(|| member.name.clone(), |of| format!("{of}/{}", member.name));
            let path = folder.join(&member.model);
            let file = self.file_now(&name, &path, &member.fingerprint)?;
            let own = MemberFacts::by_file(name, &member.fingerprint, file);
            members.push(match file {
                // what lies beside another file is not what the member was made of
                FileNow::Another => own,
                FileNow::Same | FileNow::Gone => self.beside(own, &path, (of.is_none(), answered), catalogs)?,
            });
            if let (None, Some(answered)) = (of, answered) {
                self.data.iter_mut().for_each(|data| data.is_of_ensemble |= data.fingerprint == *answered);
            }
        }
        Ok(members)
    }

    /// What lies beside a member's file says what it was made of. `is_outer`: whether it is a member of the ensemble itself.
    fn beside(
        &mut self,
        own: MemberFacts,
        path: &Path,
        (is_outer, answered): (bool, Option<&Fingerprint>),
        catalogs: &Catalogs,
    ) -> Result<MemberFacts, RecipeError> {
        let place = path.parent().unwrap_or(Path::new(""));
        let (run, ensemble) = (RunFolder(place.to_owned()), EnsembleFolder(place.to_owned()));
        let parts = match run.model() == path {
            true => self.or_told(&own.name, MembersFolder::read(place)).flatten(),
            false => None,
        };
        if let Some(parts) = parts {
            let answers = self.or_told(&own.name, parts.answers()).flatten();
            let out_of_fold = answered.zip(answers).map(|(answered, answers)| *answered == answers.data);
            let facts = self.mean(own, (&parts, out_of_fold), catalogs)?;
            if is_outer && out_of_fold == Some(true) {
                let is_all = |data: &&mut MemberData| data.split == "train" && data.fingerprint == parts.rows;
                self.data.iter_mut().filter(is_all).for_each(|data| data.is_of_ensemble = true);
            }
            return Ok(facts);
        }
        let is_ensemble = ensemble.model() == path && ensemble.description().exists();
        match is_ensemble && own.name.matches('/').count() < DEEPEST {
            true => self.ensemble(own, &ensemble, catalogs),
            false => self.member(own, path, catalogs),
        }
    }

    /// What was read beside a member; what cannot be read is told, and the rest stands.
    fn or_told<T>(&mut self, name: &str, read: Result<T, RecipeError>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(error) => {
                let name = shown(name);
                self.notes.push(format!(
                    "what lies beside the member `{name}` cannot be read, so that it is not told: {error}"
                ));
                None
            }
        }
    }

    /// Of the runs in a folder of members that were trained on parts of the rows.
    ///
    /// # Errors
    /// As [`Self::gather`].
    pub(super) fn of_parts(parts: &MembersFolder, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        let mut found = Self::default();
        found.all_rows("all members", parts, catalogs)?;
        found.members = found.parts(None, parts, catalogs)?;
        Ok(found)
    }

    /// A member that is the mean of runs on parts of the rows.
    fn mean(
        &mut self,
        own: MemberFacts,
        (parts, out_of_fold): (&MembersFolder, Option<bool>),
        catalogs: &Catalogs,
    ) -> Result<MemberFacts, RecipeError> {
        self.all_rows(&own.name, parts, catalogs)?;
        if parts.report.is_none() {
            let name = shown(&own.name);
            self.notes.push(format!("the runs that the member `{name}` is the mean of are not all trained"));
        }
        let members = self.parts(Some(&own.name), parts, catalogs)?;
        let mean_of = MeanOf { sampling: parts.sampling.clone(), rows: parts.rows.clone(), out_of_fold, members };
        Ok(MemberFacts { mean_of: Some(mean_of), ..own })
    }

    /// A member that is an ensemble itself.
    fn ensemble(
        &mut self,
        own: MemberFacts,
        folder: &EnsembleFolder,
        catalogs: &Catalogs,
    ) -> Result<MemberFacts, RecipeError> {
        let Some(fitted) = self.or_told(&own.name, folder.read()) else { return Ok(own) };
        let origin = self.or_told(&own.name, folder.read_origin()).flatten();
        let ensemble_of = self.members_of(Some(&own.name), &folder.0, (&fitted, origin.as_ref()), catalogs)?;
        Ok(MemberFacts { ensemble_of, ..own })
    }

    /// The runs in a folder of members, called after the member whose mean they are.
    fn parts(
        &mut self,
        of: Option<&str>,
        parts: &MembersFolder,
        catalogs: &Catalogs,
    ) -> Result<Vec<MemberFacts>, RecipeError> {
        let trained = parts.report.iter().flat_map(|report| &report.members);
        let of_part = |part: &TrainedMember| {
            let name = of.map_or_else(|| part.name.clone(), |of| format!("{of}/{}", part.name));
            let model = RunFolder(parts.own.0.join(&part.name)).model();
            let file = self.file_now(&name, &model, &part.model)?;
            let own = MemberFacts::by_file(name, &part.model, file);
            match file {
                FileNow::Another => Ok(own),
                FileNow::Same | FileNow::Gone => self.member(own, &model, catalogs),
            }
        };
        trained.map(of_part).collect()
    }

    /// The rows that were divided into parts, where they are still those.
    fn all_rows(&mut self, member: &str, parts: &MembersFolder, catalogs: &Catalogs) -> Result<(), RecipeError> {
        let recipe = parts.own.recipe();
        let why = if recipe.exists() {
            let recipe =
                RecipeText::read(&recipe, &[]).map_err(RecipeError::from).and_then(|text| load(&text, catalogs));
            let open = |recipe: Recipe| -> Result<Dataset, RecipeError> {
                Ok(Dataset::open_split(&recipe.data.train, Path::new("/"), SplitRole::Train)?)
            };
            match recipe.and_then(open) {
                Ok(dataset) if *dataset.fingerprint() == parts.rows => {
                    return self.add(member, "train", &parts.rows, Some(&dataset));
                }
                Ok(_) => "they are other rows now".to_owned(),
                Err(error) => error.to_string(),
            }
        } else {
            "the build that trained them has not noted where they lie".to_owned()
        };
        let name = shown(member);
        self.notes.push(format!("the files of all rows that `{name}` was trained on parts of are not told: {why}"));
        self.add(member, "train", &parts.rows, None)
    }

    /// Whether a member's file is still what it was; where not, that is told.
    fn file_now(&mut self, name: &str, path: &Path, fingerprint: &Fingerprint) -> Result<FileNow, RecipeError> {
        let name = shown(name);
        if !path.is_file() {
            self.notes.push(format!("the member `{name}` is not there any more"));
            return Ok(FileNow::Gone);
        }
        if sha256_of_file(path).map_err(RecipeError::io("read", path))? == fingerprint.0 {
            return Ok(FileNow::Same);
        }
        self.notes.push(format!(
            "the member `{name}` is another file now, so that what it was made of is not told by what lies there"
        ));
        Ok(FileNow::Another)
    }

    /// A member by its file, which may lie in the folder of a run.
    fn member(&mut self, own: MemberFacts, path: &Path, catalogs: &Catalogs) -> Result<MemberFacts, RecipeError> {
        let snapshot = self.or_told(&own.name, Snapshot::of(path)).flatten();
        let run = match &snapshot {
            Some(snapshot) => Some(snapshot.run.clone()),
            None => path.parent().map(Path::to_owned),
        };
        let mut run = run.map(RunFolder).filter(|run| run.metrics().exists());
        if let (Some(snapshot), true) = (&snapshot, run.is_some())
            && !snapshot.is_of_run_now()?
        {
            let name = shown(&own.name);
            self.notes.push(format!("the run of the state `{name}` is another one now, so that it is not told"));
            run = None;
        }
        let noted = run.as_ref().map(RunFolder::made_of).transpose()?.flatten();
        let lineage = match (&run, &noted) {
            (Some(run), Some(noted)) => lineage::ancestors(run, &noted.model)?,
            _ => Vec::new(),
        };
        let mut made = match &run {
            Some(run) => self.run(&own.name, run, noted.as_ref(), catalogs)?,
            None => None,
        };
        if let (Some(made), Some(snapshot)) = (&mut made, &snapshot) {
            made.selection = format!("the state after step {}", snapshot.step);
        }
        Ok(MemberFacts { run: run.as_ref().map(|run| folder_name(&run.0)), made, lineage, ..own })
    }

    fn run(
        &mut self,
        member: &str,
        run: &RunFolder,
        noted: Option<&MadeOf>,
        catalogs: &Catalogs,
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
            recipe: recipe_without_folders(&recipe, catalogs),
            origin: Origin::of_run(run)?,
            selection: selection(&read_record(run)?),
        };
        // what lies elsewhere now is told, and the rest stands
        match Opened::open_beside(&recipe, catalogs, self.known.as_ref()) {
            Ok(opened) => {
                self.data_of(member, noted, &opened)?;
                self.known = Some(opened);
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
            self.add(member, split, fingerprint, is_same.then_some(&source.dataset))?;
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
        dataset: Option<&Dataset>,
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
        if let Some(dataset) = dataset.filter(|_| data.files.is_empty()) {
            data.files = files_of(dataset)?;
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
