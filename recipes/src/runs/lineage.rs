use std::collections::HashMap;
use std::path::PathBuf;

use millstream_schemas::Fingerprint;

use super::found::Found;
use super::report::{BaseModel, Descent, Origin, Through};
use crate::study_part::StudyRole;

/// What came from what, by hashes: the base model of a run is what another has exported, or a model from elsewhere. Of what lies in a search
/// its winner came from it.
pub(super) fn of(found: &[Found]) -> (Vec<BaseModel>, Vec<Descent>) {
    let mut exported: HashMap<&Fingerprint, usize> = HashMap::new();
    // of runs that exported the same, the oldest is the one it came from
    for (at, run) in found.iter().enumerate() {
        exported.extend(run.model.iter().chain(&run.adapters).map(|file| (file, at)));
    }
    let studies = found.iter().enumerate().filter_map(|(at, study)| {
        let study = study.study.as_ref()?;
        Some((&study.folder, (at, study.best)))
    });
    let studies: HashMap<&PathBuf, (usize, Option<u64>)> = studies.collect();
    let (mut models, mut lineage): (Vec<BaseModel>, Vec<Descent>) = (Vec::new(), Vec::new());
    for (to, run) in found.iter().enumerate() {
        if let Some(part) = &run.part
            && let Some((from, best)) = studies.get(&part.study)
            && won(part.role, *best)
        {
            lineage.push(Descent { from: Origin::Run(*from), to, through: Through::Study });
        }
        let parts = [(&run.base, Through::Base), (&run.started_adapters, Through::Adapter)];
        let parts = parts.into_iter().filter_map(|(file, through)| Some((file.as_ref()?, through)));
        let members = run.members.iter().map(|member| (member, Through::Member));
        for (file, through) in parts.chain(members) {
            let from = match exported.get(file).copied().filter(|from| *from != to) {
                Some(from) => Origin::Run(from),
                None if through == Through::Adapter => continue,
                None => Origin::Model(model(&mut models, run, file, through)),
            };
            let descent = Descent { from, to, through };
            if !lineage.contains(&descent) {
                lineage.push(descent);
            }
        }
    }
    (models, lineage)
}

/// Whether a study came to this part of it.
fn won(role: StudyRole, best: Option<u64>) -> bool {
    match role {
        StudyRole::Trial(number) => best == Some(number),
        StudyRole::Best | StudyRole::Refit => true,
    }
}

/// The number of a model from elsewhere, which is added where it is new.
fn model(models: &mut Vec<BaseModel>, run: &Found, file: &Fingerprint, through: Through) -> usize {
    if let Some(at) = models.iter().position(|model| model.sha256 == file.0) {
        return at;
    }
    let named = run.entry.base.clone().filter(|_| through == Through::Base);
    models.push(BaseModel { name: named.unwrap_or_else(|| "model".into()), sha256: file.0.clone() });
    models.len() - 1
}
