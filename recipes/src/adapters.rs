//! Files of adapters: what a run writes of them, and what `millstream adapter` does with those that are there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_compiler::adapter_files::{self, Adapter, ModuleAdapter, OnnxAdapter, PeftFolder};
use millstream_compiler::finetuning::pattern_matches;
use millstream_compiler::{
    CompilerError, Model, OperatorCatalog, adapters_in, dilated_beside, dilated_in, merge_adapters, taking_adapter,
    taking_adapters, wrapper,
};
use millstream_schemas::recipe::RecipeText;
use millstream_schemas::{count, files, shown};
use serde::Serialize;

use crate::adapter_output::{named_by, refused, with_base, write_file, write_peft};
use crate::ensemble::require_one_run;
use crate::opened::MOST_METHODS;
use crate::replaced_inputs::require_no_input;
use crate::run_files::RECIPE_FILE;
use crate::run_folder::RunFolder;
use crate::{Catalogs, Event, Opened, RecipeError, RunOptions, StartMode, load};

/// The end of the names of ONNX Runtime's files of adapters.
const ONNX_ADAPTER: &str = "onnx_adapter";

/// What an adapter holds.
#[derive(Clone, Debug, Serialize)]
pub struct AdapterReport {
    /// Where it is.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub path: PathBuf,
    /// `LORA`, `IA3`, `VERA` or `OFT`.
    pub method: &'static str,
    /// All of it in words.
    pub summary: String,
    /// Each module.
    pub modules: Vec<AdaptedModule>,
    /// Parameters of the model that it holds whole, and how many numbers each has.
    pub whole: BTreeMap<String, usize>,
}

/// What an adapter holds for a module.
#[derive(Clone, Debug, Serialize)]
pub struct AdaptedModule {
    /// Its path in the source of the model.
    pub module: String,
    /// Rank, where it has one.
    pub rank: Option<usize>,
    /// α of LoRA.
    pub alpha: Option<f64>,
    /// How many numbers it has.
    pub numbers: usize,
}

/// Files that were written.
#[derive(Clone, Debug, Serialize)]
pub struct WrittenAdapters {
    /// Where.
    #[serde(serialize_with = "millstream_schemas::written_paths")]
    pub written: Vec<PathBuf>,
    /// What they hold, in words.
    pub summaries: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// Adapters to merge into a model.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// The model.
    pub model: PathBuf,
    /// Folders or files, each with what it is multiplied by.
    pub adapters: Vec<(PathBuf, f64)>,
    /// Patterns of modules that are left out of any of them.
    pub skip: Vec<String>,
    /// The model to write.
    pub output: PathBuf,
}

/// Adapters to write in another form.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// Folders or files, each with what is written of it: a folder, or a file whose name ends with `.onnx_adapter`.
    pub adapters: Vec<(PathBuf, PathBuf)>,
    /// The model that they are for: its layers give the names of inputs.
    pub model: Option<PathBuf>,
    /// Where the model is written that takes any of the adapters.
    pub base: Option<PathBuf>,
    /// Patterns of modules that are left out of any of them.
    pub skip: Vec<String>,
    /// What is cut in front of the paths of modules; what all layers of `model` share where it is not said.
    pub cut: Option<String>,
}

/// What the adapters at a path hold: a folder of PEFT, an `.onnx_adapter` file, a run that has written some, or a model that was
/// exported with `output.adapters: unmerged`.
///
/// # Errors
/// There is none, or one is damaged or of a kind that is not read.
pub fn list(path: &Path) -> Result<Vec<AdapterReport>, RecipeError> {
    let report = |path: PathBuf| Ok(report_of(&path, &adapter_files::read(&path)?));
    if is_model(path) {
        return Ok(adapters_in(&Model::read(path)?)?.iter().map(|adapter| report_of(path, adapter)).collect());
    }
    let run = RunFolder(path.to_owned());
    if !path.is_dir() || path.join(PeftFolder::CONFIG).exists() || !run.recipe().exists() {
        return Ok(vec![report(path.to_owned())?]);
    }
    let folders = (0..MOST_METHODS).map(|at| run.adapter(at)).filter(|folder| folder.join(PeftFolder::CONFIG).exists());
    let mut found: Vec<PathBuf> = folders.collect();
    found.extend(Some(run.onnx_adapter()).filter(|file| found.is_empty() && file.exists()));
    if found.is_empty() {
        let message = "it is a run that has written no adapter; `millstream adapter extract` writes what it has trained, and so does \
                       `output.adapter_files`"
            .to_owned();
        return Err(CompilerError::AdapterFile { path: path.to_owned(), message }.into());
    }
    found.into_iter().map(report).collect()
}

fn report_of(path: &Path, adapter: &Adapter) -> AdapterReport {
    let module = |(name, own): (&String, &ModuleAdapter)| AdaptedModule {
        module: name.clone(),
        rank: own.rank(),
        alpha: if let ModuleAdapter::LowRank { alpha, .. } = own { Some(*alpha) } else { None },
        numbers: own.numbers(),
    };
    AdapterReport {
        path: path.to_owned(),
        method: adapter.method.peft_type(),
        summary: adapter.in_words(),
        modules: adapter.modules.iter().map(module).collect(),
        whole: adapter.whole.iter().map(|(name, tensor)| (name.clone(), tensor.values().len())).collect(),
    }
}

/// Merges adapters into a model, each times its weight, and writes the model.
///
/// # Errors
/// A file cannot be read or written, an adapter does not fit the model, or what one does is no sum and cannot be weighted.
pub fn merge(options: &MergeOptions, operators: &OperatorCatalog) -> Result<WrittenAdapters, RecipeError> {
    let paths: Vec<&Path> = options.adapters.iter().map(|(path, _)| path.as_path()).collect();
    require_no_input(&options.output, paths.iter().copied().chain([options.model.as_path()]))?;
    require_onnx(&options.output)?;
    let model = Model::read(&options.model)?;
    let adapters = read(&paths, &options.skip)?;
    let weights = options.adapters.iter().map(|(_, weight)| *weight);
    let parts: Vec<(&Adapter, f64)> = adapters.iter().zip(weights).collect();
    let (merged, notes) = merge_adapters(&model, &parts, operators)?;
    files::replace_file_by(&options.output, |out| merged.write_to(out))
        .map_err(RecipeError::io("write", &options.output))?;
    let summaries = adapters.iter().map(Adapter::in_words).collect();
    Ok(WrittenAdapters { written: vec![options.output.clone()], summaries, notes })
}

/// Writes adapters in another form.
///
/// # Errors
/// A file cannot be read or written, or the form cannot hold an adapter, or it does not fit the model; several do not fit into one base.
pub fn convert(options: &ConvertOptions, operators: &OperatorCatalog) -> Result<WrittenAdapters, RecipeError> {
    for (at, (_, to)) in options.adapters.iter().enumerate() {
        require_used(to, options)?;
        if options.adapters[..at].iter().any(|(_, other)| other == to) {
            return Err(refused(to, "two adapters would be written there; name another place for one of them"));
        }
    }
    let paths: Vec<&Path> = options.adapters.iter().map(|(from, _)| from.as_path()).collect();
    let inputs = || paths.iter().copied().chain(options.model.as_deref());
    let mut written = options.adapters.iter().map(|(_, to)| to.as_path()).chain(options.base.as_deref());
    written.try_for_each(|to| require_no_input(to, inputs()))?;
    options.base.as_deref().map_or(Ok(()), require_onnx)?;
    let adapters = read(&paths, &options.skip)?;
    let model = options.model.as_deref().map(Model::read).transpose()?;
    if let (Some(model), Some(base), [_, _, ..]) = (&model, &options.base, adapters.as_slice()) {
        return write_for_one_base(&adapters, options, (model, base), operators);
    }
    let mut all = WrittenAdapters { written: Vec::new(), summaries: Vec::new(), notes: Vec::new() };
    for (adapter, places) in adapters.into_iter().zip(&options.adapters) {
        let WrittenAdapters { written, summaries, notes } =
            write_as(adapter, places, options, model.as_ref(), operators)?;
        all.written.extend(written);
        all.summaries.extend(summaries);
        let new: Vec<String> = notes.into_iter().filter(|note| !all.notes.contains(note)).collect();
        all.notes.extend(new);
    }
    Ok(all)
}

/// Several adapters, and the model that takes any of them.
fn write_for_one_base(
    adapters: &[Adapter],
    options: &ConvertOptions,
    (model, base): (&Model, &Path),
    operators: &OperatorCatalog,
) -> Result<WrittenAdapters, RecipeError> {
    let shared = taking_adapters(model, &adapters.iter().collect::<Vec<_>>(), operators)?;
    let mut written = Vec::new();
    for ((_, to), file) in options.adapters.iter().zip(&shared.adapters) {
        write_file(to, file)?;
        written.push(to.clone());
    }
    files::replace_file_by(base, |out| shared.model.write_to(out)).map_err(RecipeError::io("write", base))?;
    written.push(base.to_owned());
    let notes = whole_in_base(adapters).into_iter().collect();
    Ok(WrittenAdapters { written, summaries: adapters.iter().map(Adapter::in_words).collect(), notes })
}

/// That what adapters hold whole, the same in all of them, is in the model that takes any of them, where they hold something so.
fn whole_in_base(adapters: &[Adapter]) -> Option<String> {
    let of_one = |adapter: &Adapter| adapter.whole.values().map(|tensor| tensor.values().len()).sum::<usize>();
    let whole = adapters.iter().map(of_one).max().filter(|numbers| *numbers > 0)?;
    let numbers = count(whole as u64, "number");
    let (that, file, without) = match adapters {
        [_] => ("the adapter holds", "the file", "the adapter"),
        _ => ("the adapters hold", "their files", "any of them"),
    };
    Some(format!(
        "{numbers} that {that} whole are in the model of `--base` and not in {file}: without {without} it is not the model as it was; \
         `--skip` leaves them out"
    ))
}

/// Refuses options that would change nothing.
fn require_used(to: &Path, options: &ConvertOptions) -> Result<(), RecipeError> {
    let is_file = is_onnx_adapter(to);
    let unused = if is_file && options.cut.is_some() {
        "`--cut` is for a folder of PEFT, and an .onnx_adapter is written; leave it out"
    } else if !is_file && options.base.is_some() {
        "`--base` is for an .onnx_adapter, and a folder of PEFT is written; leave it out, or let `--output` end with .onnx_adapter"
    } else if options.base.is_some() && options.model.is_none() {
        "`--base` is where the model that takes the adapter is written; name that model by `--model`"
    } else {
        return Ok(());
    };
    Err(refused(to, unused))
}

/// Writes what a run has trained: the best weights, as `model.onnx` has them. In the place of a run's folder a model can stand that was
/// exported with `output.adapters: unmerged`; data are not needed then.
///
/// # Errors
/// There is no run, it has no checkpoint, its data are not there any more, or what it has trained has no form in files of adapters.
pub fn extract(
    run: &Path,
    to: &Path,
    catalogs: &Catalogs,
    library: Option<PathBuf>,
) -> Result<WrittenAdapters, RecipeError> {
    if is_model(run) {
        return extract_from(run, to);
    }
    let folder = RunFolder(run.to_owned());
    if !folder.recipe().exists() {
        let message = match (run.exists(), folder.holds()?) {
            (false, _) => {
                "there is nothing there; name the output folder of a run, or a model with `adapters: unmerged`"
                    .to_owned()
            }
            (true, None) => {
                "it is no run; name the output folder of one, or a model with `adapters: unmerged`".to_owned()
            }
            (true, Some(found)) => format!(
                "it holds {found}, but no {} that says how that run began, so that what it has trained cannot be told apart from its model",
                RECIPE_FILE
            ),
        };
        return Err(refused(run, message));
    }
    require_one_run(run)?;
    let mut recipe = load(&RecipeText::read(&folder.recipe(), &[])?, catalogs)?;
    recipe.output.folder = run.to_owned();
    let compiled = Opened::open(&recipe, catalogs)?.compile()?;
    let program = compiled.program();
    let as_inputs = is_onnx_adapter(to);
    program.require_adapters(as_inputs)?;
    let options = RunOptions { start: StartMode::Resume, library, ..RunOptions::default() };
    let mut notes: Vec<String> = named_by(program).into_iter().collect();
    let mut steps = 0;
    let mut told = |event: &Event| match event {
        Event::Started { steps_done, .. } => steps = *steps_done,
        Event::Warning { message } => notes.push(message.clone()),
        _ => {}
    };
    let begun = compiled.run(&options, &mut told).map_err(|error| match error {
        RecipeError::CheckpointsGone { .. } => refused(
            run,
            "the run has no checkpoint any more, so what was added to the model is not there apart from it",
        ),
        error => error,
    })?;
    if steps == 0 {
        return Err(refused(
            run,
            "the run has no checkpoint, so nothing that it has trained is there; let it go on first",
        ));
    }
    let parameters = begun.best_parameters()?;
    let adapters = match as_inputs {
        true => program.adapters(&parameters)?,
        false => {
            let (adapters, of_peft) = program.peft_adapters(&parameters)?;
            notes.extend(of_peft);
            adapters
        }
    };
    let mut written = WrittenAdapters { written: Vec::new(), summaries: Vec::new(), notes };
    for (at, adapter) in adapters.into_iter().enumerate() {
        let place = if at == 0 { to.to_owned() } else { numbered(to, at) };
        written.summaries.push(adapter.in_words());
        if as_inputs {
            let (file, _) = with_base(program, adapter, (&parameters, &[]), &catalogs.operators)?;
            write_file(&place, &file)?;
        } else {
            write_peft(&place, &adapter)?;
        }
        written.written.push(place);
    }
    Ok(written)
}

fn extract_from(path: &Path, to: &Path) -> Result<WrittenAdapters, RecipeError> {
    let model = Model::read(path)?;
    let adapters = adapters_in(&model)?;
    if is_onnx_adapter(to) {
        let message = "an .onnx_adapter is for the model as it was; write a folder, and `convert` it with `--model`";
        return Err(refused(path, message));
    }
    let dilated = dilated_beside(&model).map(|reason| {
        format!("{reason}: PEFT computes something else with the folder, which `peft` and `adapter merge` read")
    });
    let notes = dilated.into_iter().collect();
    let mut written = WrittenAdapters { written: Vec::new(), summaries: Vec::new(), notes };
    for (at, adapter) in adapters.iter().enumerate() {
        let place = if at == 0 { to.to_owned() } else { numbered(to, at) };
        write_peft(&place, adapter)?;
        written.notes.extend(adapter.note_of_peft());
        written.summaries.push(adapter.in_words());
        written.written.push(place);
    }
    Ok(written)
}

fn write_as(
    mut adapter: Adapter,
    (from, to): &(PathBuf, PathBuf),
    options: &ConvertOptions,
    model: Option<&Model>,
    operators: &OperatorCatalog,
) -> Result<WrittenAdapters, RecipeError> {
    let (mut written, mut notes) = (vec![to.clone()], Vec::new());
    if !is_onnx_adapter(to) {
        let dilated = model.map(|model| dilated_in(model, &adapter, operators)).transpose()?.flatten();
        if let Some(reason) = dilated {
            let message = format!(
                "{reason}, so that its folder means something else; leave it out by `--skip`, or write an .onnx_adapter"
            );
            return Err(refused(from, message));
        }
        notes.extend(adapter.note_of_peft());
        let of_model =
            model.filter(|_| options.cut.is_none()).map(|model| wrapper(model, operators)).transpose()?.flatten();
        if let Some(cut) = options.cut.as_deref().filter(|cut| !cut.is_empty()) {
            let front = format!("{}.", cut.trim_end_matches('.'));
            if !adapter.modules.keys().chain(adapter.whole.keys()).any(|name| name.starts_with(&front)) {
                return Err(refused(from, format!("`--cut {}` is in front of no module of it", shown(cut))));
            }
        }
        if let Some(cut) = options.cut.clone().or(of_model) {
            adapter = without_front(adapter, cut.trim_end_matches('.'), from)?;
        }
        write_peft(to, &adapter)?;
        return Ok(WrittenAdapters { written, summaries: vec![adapter.in_words()], notes });
    }
    let summaries = vec![adapter.in_words()];
    let file = match model {
        Some(model) => {
            let taking = taking_adapter(model, &adapter, operators)?;
            notes.extend(whole_in_base(std::slice::from_ref(&adapter)));
            if let Some(base) = &options.base {
                files::replace_file_by(base, |out| taking.model.write_to(out))
                    .map_err(RecipeError::io("write", base))?;
                written.push(base.clone());
            }
            taking.adapter
        }
        None => {
            if let Some(first) = adapter.whole.keys().next() {
                return Err(refused(
                    from,
                    format!(
                        "it holds `{}` whole, for which an .onnx_adapter has no place; name the model by `--model` and where it is \
                     to be written by `--base`, or leave that out by `--skip`",
                        shown(first)
                    ),
                ));
            }
            notes.push(
                "inputs are called as the modules of the adapter; `--model` takes the names of a model's layers".into(),
            );
            OnnxAdapter::of(&adapter).map_err(|message| refused(from, message))?
        }
    };
    write_file(to, &file)?;
    Ok(WrittenAdapters { written, summaries, notes })
}

/// The adapter with the paths of its modules without their front.
fn without_front(mut adapter: Adapter, cut: &str, from: &Path) -> Result<Adapter, RecipeError> {
    let own = |name: String| {
        let parts = name.strip_prefix(cut).and_then(|rest| rest.strip_prefix('.'));
        parts.map_or_else(|| name.clone(), str::to_owned)
    };
    let count = adapter.modules.len();
    adapter.modules = adapter.modules.into_iter().map(|(name, module)| (own(name), module)).collect();
    adapter.whole = adapter.whole.into_iter().map(|(name, tensor)| (own(name), tensor)).collect();
    match adapter.modules.len() == count {
        true => Ok(adapter),
        false => Err(refused(from, format!("without `{}` two modules have one name", shown(cut)))),
    }
}

/// Adapters without the modules that a pattern matches, which has to match one of any of them.
fn read(paths: &[&Path], skip: &[String]) -> Result<Vec<Adapter>, RecipeError> {
    let mut adapters = paths.iter().map(|path| adapter_files::read(path)).collect::<Result<Vec<_>, CompilerError>>()?;
    for pattern in skip {
        let matches = |name: &str| pattern_matches(pattern, name);
        let mut is_used = false;
        for (path, adapter) in paths.iter().zip(&mut adapters) {
            let before = (adapter.modules.len(), adapter.whole.len());
            adapter.without(&matches);
            if adapter.draws_projections() && adapter.modules.len() != before.0 {
                let message = format!(
                    "`--skip {}` leaves out modules, and its vera_A and vera_B are drawn for all of them (`save_projection: false`); \
                     save it with `save_projection=True`, or write it as an .onnx_adapter with `--model`, which holds them",
                    shown(pattern)
                );
                return Err(refused(path, message));
            }
            is_used |= before != (adapter.modules.len(), adapter.whole.len());
        }
        if let (false, Some((first, others))) = (is_used, paths.split_first()) {
            let of = if others.is_empty() { "it" } else { "it and of no other adapter" };
            return Err(refused(first, format!("`--skip {}` matches no module of {of}", shown(pattern))));
        }
    }
    let is_empty =
        |adapter: &Adapter| adapter.modules.is_empty() && adapter.prompt.is_none() && adapter.norms().is_empty();
    match paths.iter().zip(&adapters).find(|(_, adapter)| is_empty(adapter)) {
        Some((path, _)) => Err(refused(path, "`--skip` leaves nothing of it")),
        None => Ok(adapters),
    }
}

fn is_model(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "onnx")
}

/// Refuses another name for a model, by which no program would know it.
fn require_onnx(path: &Path) -> Result<(), RecipeError> {
    match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
        true => Ok(()),
        false => Err(refused(path, "a model is written there; let its name end with .onnx")),
    }
}

fn is_onnx_adapter(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == ONNX_ADAPTER)
}

/// `adapter-2` beside `adapter`.
fn numbered(path: &Path, at: usize) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}-{}", at + 1))
}
