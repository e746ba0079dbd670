use std::path::PathBuf;

use millstream_compiler::{FrozenPrefix, TrainingProgram};
use millstream_schemas::recipe::{ByteSize, FrozenPrefixRecipe};
use millstream_schemas::{Choice, Fingerprint, TensorRole, count, grouped, shown};
use millstream_transforms::Chain;

use crate::{Catalogs, Opened, RecipeError};

const PLACE: &str = "training.frozen_prefix";
/// One part in so many of `data.memory` is for activations unless a recipe says otherwise.
const PARTS: u64 = 4;

/// How a recipe's frozen prefix is kept.
#[derive(Clone, Debug)]
pub(crate) struct PrefixPlan {
    pub(crate) prefix: FrozenPrefix,
    /// Of its graph, weights included.
    pub(crate) fingerprint: Fingerprint,
    /// Variants of each training row.
    pub(crate) variants: u64,
    /// Bytes of all activations.
    pub(crate) bytes: u64,
    /// Bytes of them in memory at most.
    pub(crate) memory: u64,
    /// Bytes of them in files at most.
    pub(crate) disk: u64,
    /// Whether they are in files.
    pub(crate) has_files: bool,
    /// Where these are to be found again.
    pub(crate) folder: Option<PathBuf>,
}

/// What a recipe asks for.
#[derive(Default)]
struct Asked {
    variants: Option<u64>,
    memory: Option<ByteSize>,
    disk: Option<ByteSize>,
    folder: Option<PathBuf>,
}

/// How the recipe's frozen prefix is kept, if it is, and what is to be told about that.
///
/// # Errors
/// It is to be kept in any case, and cannot be.
pub(crate) fn planned(
    opened: &Opened,
    program: &TrainingProgram,
) -> Result<(Option<PrefixPlan>, Option<String>), RecipeError> {
    let (asked, is_needed) = match opened.recipe.training.frozen_prefix.clone() {
        FrozenPrefixRecipe::Recomputed => return Ok((None, None)),
        FrozenPrefixRecipe::Auto => (Asked::default(), false),
        FrozenPrefixRecipe::Kept { variants, memory, disk, folder } => (Asked { variants, memory, disk, folder }, true),
    };
    match PrefixPlan::of(opened, program, asked) {
        Ok(plan) => {
            let note = plan.note(opened);
            Ok((Some(plan), Some(note)))
        }
        Err(reason) if is_needed => Err(RecipeError::mismatch(PLACE, format!("it cannot be kept: {reason}"))),
        Err(reason) => Ok((None, Some(format!("{PLACE}: it is run at each step: {reason}")))),
    }
}

impl PrefixPlan {
    fn of(opened: &Opened, program: &TrainingProgram, asked: Asked) -> Result<Self, String> {
        let train = &opened.train;
        if opened.statistics.is_some() {
            return Err("statistics of BatchNormalization are computed anew from rows of their own".into());
        }
        if train.chain.mixes_rows() {
            return Err("a transform mixes the rows of a batch".into());
        }
        let random = random_transforms(&opened.recipe.transforms.train, &opened.catalogs);
        if asked.variants.is_none() && train.chain.is_random() {
            let names = random.join(", ");
            return Err(format!(
                "rows are others in each epoch, since transforms are random ({names}); `{PLACE}: {{kept: {{variants: 4}}}}` keeps four \
                 draws of each row"
            ));
        }
        if train.encoders.moving_target().is_some() {
            return Err("the target moves with the image or text of its row".into());
        }
        if train.encoders.columns_of(TensorRole::Target).is_empty() {
            return Err("no column is read for the target".into());
        }
        if opened.spec.of_role(TensorRole::Input).any(|tensor| tensor.shape.contains(&None)) {
            return Err("rows have lengths of their own".into());
        }
        if opened.recipe.data.group_by_length == Some(true) {
            return Err("rows are put together by their lengths".into());
        }
        let (model, wanted, catalog) = (&opened.model, opened.fine_tuning(), &opened.catalogs.operators);
        let prefix = FrozenPrefix::of(program, model, &wanted, catalog).map_err(|no| no.reason)?;
        let variants = if train.chain.is_random() { asked.variants.unwrap_or(1).max(1) } else { 1 };
        let variants = variants.min(opened.recipe.training.epochs.max(1));
        let of_row = 4 * prefix.numbers_per_row() as u64;
        let rows: u64 = opened.evaluation_sources().map(|source| opened.evaluated_rows(source)).sum();
        let rows = rows.saturating_add(train.dataset.rows().saturating_mul(variants));
        let bytes = rows.saturating_mul(of_row);
        let memory = asked.memory.unwrap_or(ByteSize(opened.recipe.data.memory.0 / PARTS)).0;
        let disk = asked.disk.map_or(0, |disk| disk.0);
        if bytes > memory.max(disk) {
            return Err(format!(
                "what it gives takes {} ({} a row), and there are {} for it in memory and {} in files; raise `memory` or `disk` of \
                 `{PLACE}: {{kept: …}}`",
                ByteSize(bytes),
                ByteSize(of_row),
                ByteSize(memory),
                ByteSize(disk)
            ));
        }
        if asked.folder.is_some() && bytes > disk {
            return Err(format!("files in `folder` take {}; raise `disk` of `{PLACE}: {{kept: …}}`", ByteSize(bytes)));
        }
        let has_files = bytes > memory || asked.folder.is_some();
        let fingerprint = Fingerprint::of_bytes(&prefix.graph().map_err(|error| error.to_string())?.to_vec());
        Ok(Self { prefix, fingerprint, variants, bytes, memory, disk, has_files, folder: asked.folder })
    }

    /// In words.
    fn note(&self, opened: &Opened) -> String {
        let border: Vec<String> =
            self.prefix.border().iter().map(|entry| format!("`{}`", shown(&entry.name))).collect();
        let numbers = self.prefix.numbers_per_row() as u64;
        let of_variants = match self.variants {
            1 => String::new(),
            variants => format!(" and each of {variants} draws"),
        };
        let place = if self.has_files { "in files" } else { "in memory" };
        format!(
            "{PLACE}: {} in front of {} run once for each row{of_variants}: {} numbers ({}) a row, {} for {} and what is evaluated, {place}",
            count(self.prefix.nodes() as u64, "node"),
            border.join(", "),
            grouped(numbers),
            ByteSize(4 * numbers),
            ByteSize(self.bytes),
            count(opened.train.dataset.rows(), "training row"),
        )
    }
}

/// Names of the transforms that draw.
fn random_transforms(specs: &[Choice], catalogs: &Catalogs) -> Vec<String> {
    let is_random = |spec: &&Choice| {
        let chain = Chain::parse_from(&catalogs.transforms, "transforms.train", std::slice::from_ref(*spec));
        chain.is_ok_and(|chain| chain.is_random())
    };
    specs.iter().filter(is_random).map(|spec| format!("`{}`", shown(&spec.name))).collect()
}
