use std::collections::BTreeMap;
use std::path::PathBuf;

use millstream_compiler::{FrozenPrefix, TrainingProgram};
use millstream_schemas::recipe::{ByteSize, FrozenPrefixRecipe};
use millstream_schemas::{Choice, Fingerprint, TensorRole, TensorSpec, count, grouped, shown};
use millstream_training::checkpoint::CheckpointManifest;
use millstream_transforms::Chain;

use super::padded::BESIDE;
use super::store::PLACE;
use crate::model_inputs::longest;
use crate::{Catalogs, Opened, RecipeError};

/// One part in so many of `data.memory` is for activations unless a recipe says otherwise.
const PARTS: u64 = 4;

/// Why a run that goes on needs what it needs.
pub(super) const BEGAN_KEPT: &str =
    "the run began with what its frozen part gives kept, and its steps are of what follows that";

/// What is kept of the rows, and what their batches hold beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// What each row gives; batches are of targets alone.
    Rows,
    /// The same; targets follow the inputs of their row, so that both are read anew in each epoch.
    RowsBesideInputs,
    /// What each row gives at each length that its batch is filled up to; inputs are read anew in each epoch.
    PaddedRows,
}

/// How a recipe's frozen prefix is kept.
#[derive(Clone, Debug)]
pub(crate) struct PrefixPlan {
    pub(crate) prefix: FrozenPrefix,
    pub(crate) keeping: Keeping,
    /// Of its graph, weights included.
    pub(crate) fingerprint: Fingerprint,
    /// Draws of each training row; none where no transform draws. The epoch e has those of e modulo this, however many epochs there are, so
    /// that a run that is given more of them goes on as one that had them from the start.
    pub(crate) draws: Option<u64>,
    /// Variants of each training row that are computed: the draws that come in the run's epochs.
    pub(crate) variants: u64,
    /// Bytes of all activations; of rows that have lengths of their own, as many as each takes at the longest.
    pub(crate) bytes: u64,
    /// Of rows that have lengths of their own, the bytes of all at half of the longest, where that is more than there is room for.
    pub(crate) beyond: Option<u64>,
    /// Bytes of them in memory at most.
    pub(crate) memory: u64,
    /// Bytes of them in files at most.
    pub(crate) disk: u64,
    /// Whether they are in files.
    pub(crate) has_files: bool,
    /// Where these are to be found again.
    pub(crate) folder: Option<PathBuf>,
    /// Whether the recipe keeps it in any case, and not only where there is room.
    pub(crate) is_needed: bool,
}

/// For which runs there is a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// For any.
    Kept,
    /// For those that have room.
    Auto,
    /// For one that began with what is kept, and goes on by `auto`.
    AutoBegun,
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
    let (asked, wish) = match opened.recipe.training.frozen_prefix.clone() {
        FrozenPrefixRecipe::Recomputed => return Ok((None, None)),
        FrozenPrefixRecipe::Auto => (Asked::default(), Wish::Auto),
        FrozenPrefixRecipe::Kept { variants, memory, disk, folder } => {
            (Asked { variants, memory, disk, folder }, Wish::Kept)
        }
    };
    match PrefixPlan::of(opened, program, asked, wish) {
        Ok(plan) => {
            let note = plan.note(opened);
            Ok((Some(plan), Some(note)))
        }
        Err(reason) if wish == Wish::Kept => Err(RecipeError::mismatch(PLACE, format!("it cannot be kept: {reason}"))),
        Err(reason) => Ok((None, Some(format!("{PLACE}: it is run at each step: {reason}")))),
    }
}

/// How a run goes on by `auto` that began with what the frozen prefix gives kept, where a run that begins by the same recipe would not keep
/// it, and what is to be told about that; nothing where its steps are of the whole model.
///
/// Batches of rows that have lengths of their own hold their inputs: what is not there of them is computed as it was. Rows of one length
/// were computed in batches of their own, and would have other last bits in those of training.
///
/// # Errors
/// There is no room for what its steps need, and how much would do, or a step graph cannot be laid out.
pub(crate) fn begun(
    opened: &Opened,
    program: &TrainingProgram,
    checkpoint: &CheckpointManifest,
) -> Result<Option<(PrefixPlan, String)>, RecipeError> {
    if opened.recipe.training.frozen_prefix != FrozenPrefixRecipe::Auto || checkpoint.is_of(program)? {
        return Ok(None);
    }
    let Ok(prefix) = cut(opened, program, keeping(opened)) else { return Ok(None) };
    if !checkpoint.is_of(prefix.program())? {
        return Ok(None);
    }
    let plan = PrefixPlan::of(opened, program, Asked::default(), Wish::AutoBegun);
    let plan = plan.map_err(|reason| RecipeError::mismatch(PLACE, format!("{BEGAN_KEPT}: {reason}")))?;
    let note = plan.note(opened);
    Ok(Some((plan, note)))
}

/// What of a program comes in front of all that is trained.
fn cut(opened: &Opened, program: &TrainingProgram, keeping: Keeping) -> Result<FrozenPrefix, String> {
    let (model, wanted, catalog) = (&opened.model, opened.fine_tuning(), &opened.catalogs.operators);
    let prefix = match keeping {
        Keeping::PaddedRows => FrozenPrefix::beside_inputs(program, model, &wanted, catalog),
        Keeping::Rows | Keeping::RowsBesideInputs => FrozenPrefix::of(program, model, &wanted, catalog),
    };
    prefix.map_err(|no| no.reason)
}

impl PrefixPlan {
    fn of(opened: &Opened, program: &TrainingProgram, asked: Asked, wish: Wish) -> Result<Self, String> {
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
        let keeping = keeping(opened);
        let is_padded = keeping == Keeping::PaddedRows;
        if is_padded && (asked.disk.is_some() || asked.folder.is_some()) {
            let reason = "rows that have lengths of their own are kept in memory alone; leave `disk` and `folder` out";
            return Err(reason.into());
        }
        let prefix = cut(opened, program, keeping)?;
        let draws = train.chain.is_random().then(|| asked.variants.unwrap_or(1).max(1));
        let variants = draws.unwrap_or(1).min(opened.recipe.training.epochs.max(1));
        let lengths = longest(&opened.spec, &program.manifest.targets);
        let [of_row, of_usual] = match is_padded {
            true => {
                let half: BTreeMap<String, usize> =
                    lengths.iter().map(|(axis, most)| (axis.clone(), most.div_ceil(2))).collect();
                let of_row = |lengths: &BTreeMap<String, usize>| {
                    prefix.bytes_per_row(lengths).map(|bytes| bytes.saturating_add(BESIDE))
                };
                let [longest, usual] = [of_row(&lengths), of_row(&half)];
                [longest.map_err(|error| error.to_string())?, usual.map_err(|error| error.to_string())?]
            }
            false => [4 * prefix.numbers_per_row() as u64; 2],
        };
        let rows: u64 = opened.evaluation_sources().map(|source| opened.evaluated_rows(source)).sum();
        let rows = rows.saturating_add(train.dataset.rows().saturating_mul(variants));
        let memory = asked.memory.unwrap_or(ByteSize(opened.recipe.data.memory.0 / PARTS)).0;
        let (bytes, usual) = (rows.saturating_mul(of_row), rows.saturating_mul(of_usual));
        let beyond = (is_padded && usual > memory).then_some(usual);
        if let Some(usual) = beyond.filter(|_| wish == Wish::Auto) {
            return Err(format!(
                "what it gives takes about {} where rows are half as long as they may be, and there are {} for it in memory: hardly a batch \
                 would find all its rows there; where most are shorter, `{PLACE}: kept` keeps as many as there is \
                 room for, and so does `auto` with `data.memory` of {} or more",
                ByteSize(usual),
                ByteSize(memory),
                ByteSize(usual.saturating_mul(PARTS)).rounded_up()
            ));
        }
        let disk = asked.disk.map_or(0, |disk| disk.0);
        if !is_padded && bytes > memory.max(disk) {
            let (all, of_row) = (ByteSize(bytes), ByteSize(of_row));
            let takes = format!("what it gives takes {all} ({of_row} a row), and there are {}", ByteSize(memory));
            return Err(match wish {
                Wish::AutoBegun => format!(
                    "{takes} for it in memory; set `data.memory` to {} or more",
                    ByteSize(bytes.saturating_mul(PARTS)).rounded_up()
                ),
                Wish::Kept | Wish::Auto => format!(
                    "{takes} for it in memory and {} in files; raise `memory` or `disk` of `{PLACE}: {{kept: …}}`",
                    ByteSize(disk)
                ),
            });
        }
        if asked.folder.is_some() && bytes > disk {
            return Err(format!("files in `folder` take {}; raise `disk` of `{PLACE}: {{kept: …}}`", ByteSize(bytes)));
        }
        let has_files = !is_padded && (bytes > memory || asked.folder.is_some());
        let fingerprint = Fingerprint::of_bytes(&prefix.graph().map_err(|error| error.to_string())?.to_vec());
        Ok(Self {
            prefix,
            keeping,
            fingerprint,
            draws,
            variants,
            bytes,
            beyond,
            memory,
            disk,
            has_files,
            folder: asked.folder,
            is_needed: wish == Wish::Kept,
        })
    }

    /// Bytes of activations that lie in memory at most.
    pub(crate) fn in_memory(&self) -> u64 {
        self.bytes.min(self.memory)
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
        let nodes = count(self.prefix.nodes() as u64, "node");
        let border = border.join(", ");
        if self.keeping == Keeping::PaddedRows {
            let beyond = self.beyond.map(|bytes| {
                let advice = match self.is_needed {
                    true => format!("raise `memory` of `{PLACE}: {{kept: …}}`, or write `recomputed`"),
                    false => {
                        let enough = ByteSize(bytes.saturating_mul(PARTS)).rounded_up();
                        format!("the run began with it, and goes on so; raise `data.memory` to {enough} or more")
                    }
                };
                format!(
                    ". All of it takes about {} where rows are half as long as they may be: hardly a batch will find all its rows there; \
                     {advice}",
                    ByteSize(bytes)
                )
            });
            let beyond = beyond.unwrap_or_default();
            let lengths: Vec<String> = opened.spec.of_role(TensorRole::Input).filter_map(lengths_of).collect();
            return format!(
                "{PLACE}: {nodes} in front of {border} run once for each row{of_variants} at each length that its batch is filled up to \
                 ({}), since what a row gives depends on that in its last bits; up to {} of it are kept in memory, and a batch with a row \
                 that is not there is run whole{beyond}",
                lengths.join(", "),
                ByteSize(self.in_memory())
            );
        }
        let again = match self.keeping {
            Keeping::RowsBesideInputs => {
                "; targets follow the inputs of their row, so that both are read anew in each epoch"
            }
            _ => "",
        };
        let place = if self.has_files { "in files" } else { "in memory" };
        format!(
            "{PLACE}: {nodes} in front of {border} run once for each row{of_variants}: {} numbers ({}) a row, {} for {} and what is \
             evaluated, {place}{again}",
            grouped(numbers),
            ByteSize(4 * numbers),
            ByteSize(self.bytes),
            count(opened.train.dataset.rows(), "training row"),
        )
    }
}

/// What is kept of a recipe's rows: the least that gives the steps of a run that keeps nothing.
pub(super) fn keeping(opened: &Opened) -> Keeping {
    let encoders = &opened.train.encoders;
    let follows = encoders.moving_target().is_some() || encoders.columns_of(TensorRole::Target).is_empty();
    if opened.spec.of_role(TensorRole::Input).any(|tensor| tensor.shape.contains(&None)) {
        Keeping::PaddedRows
    } else if follows || opened.recipe.data.group_by_length == Some(true) {
        Keeping::RowsBesideInputs
    } else {
        Keeping::Rows
    }
}

/// Which lengths rows of an input are filled up to, in words, where they have their own.
fn lengths_of(tensor: &TensorSpec) -> Option<String> {
    let longest = tensor.longest()?;
    Some(format!("`{}`: multiples of {} up to {longest}", shown(&tensor.name), tensor.multiple_of.max(1)))
}

/// Names of the transforms that draw.
fn random_transforms(specs: &[Choice], catalogs: &Catalogs) -> Vec<String> {
    let is_random = |spec: &&Choice| {
        let chain = Chain::parse_from(&catalogs.transforms, "transforms.train", std::slice::from_ref(*spec));
        chain.is_ok_and(|chain| chain.is_random())
    };
    specs.iter().filter(is_random).map(|spec| format!("`{}`", shown(&spec.name))).collect()
}
