use millstream::compiler::{FrozenConstant, ModelReport, SharedWeight};
use millstream::recipes::search::{OpenRecipe, left_open_in_words};
use millstream::recipes::{Catalogs, CheckReport, DataReport, MemoryEstimate, Stop, check, import_rows_of, load};
use millstream::schemas::recipe::{ByteSize, RecipeText};

use crate::arguments::Global;
use crate::colour::Meaning;
use crate::messages::harmless;
use crate::table::Table;
use crate::{Outcome, output, progress};
use millstream::schemas::{Choice, ImageLayout, TensorSpec, count, grouped, shown, shown_path};

pub(crate) fn run(global: &Global, text: &RecipeText) -> anyhow::Result<Outcome> {
    let catalogs = Catalogs::default();
    let (recipe, of_space) = match OpenRecipe::is_open(text) {
        true => {
            let open = OpenRecipe::load(text, &catalogs)?;
            open.check_study()?;
            (open.first().clone(), Some(open))
        }
        false => (load(text, &catalogs)?, None),
    };
    progress::imports(global, |events, stop| import_rows_of(&recipe, events, stop))?;
    let mut report = check(&recipe, &catalogs, global.runtime.as_deref())?;
    if let Some(open) = &of_space {
        open.check_models(None, &Stop::default())?;
        open.check_memory(&mut report);
        // with a value for each open place it may be a recipe to train
        if let Err(error) = open.require_open() {
            report.warnings.push(format!("`millstream search run` would refuse it: {error}"));
        }
    }
    let of_space = of_space.filter(|open| !open.space().parameters().is_empty());
    if global.json {
        let mut value = serde_json::to_value(&report)?;
        if let Some(open) = &of_space {
            value["space"] = serde_json::to_value(open.space())?;
            value["combinations"] = open.space().size().to_string().into();
        }
        output::print_json(&value)?
    } else {
        let of_space = of_space.as_ref().map_or_else(String::new, space);
        output::print(&(of_space + &describe(&report, global.verbose > 0)))?
    }
    Ok(if report.problems.is_empty() { Outcome::Done } else { Outcome::Refused })
}

/// What is left open, and how many recipes that makes.
fn space(open: &OpenRecipe) -> String {
    let (parameters, wanted) = (open.space().parameters(), open.search().trials);
    let said = format!(
        "{}; `millstream search run` tries {}. Below, the first is checked: the first of each list, the least of each range.",
        left_open_in_words(parameters.len(), &open.space().size().to_string()),
        match open.trials_of(wanted) {
            trials if trials < wanted =>
                format!("each of them once, {} of at most {}", count(trials, "trial"), grouped(wanted)),
            trials => format!("{} of them", grouped(trials)),
        }
    );
    format!("{}{}\n", output::prose(&said), crate::study_table::space(parameters))
}

fn describe(report: &CheckReport, verbose: bool) -> String {
    let mut text = data("train", &report.train);
    match &report.evaluate {
        Some(evaluate) => text.push_str(&data("evaluate", evaluate)),
        None => text.push_str("evaluate: nothing\n"),
    }
    for (name, rows) in &report.sets {
        text.push_str(&format!("evaluation set `{}`: {}\n", shown(name), count(*rows, "row")));
    }
    text.push_str(&classes(report));
    let model = &report.model;
    let stored = |input: &TensorSpec| model.element_types.get(&input.name).copied();
    let inputs: Vec<String> = report.inputs.iter().map(|input| takes(input, stored(input))).collect();
    let parameters = model.parameters + model.other_weights;
    text.push_str(&format!(
        "\nmodel: opset {}, {}\n{}, {} trained, {} frozen\n",
        model.opset,
        inputs.join(", "),
        count(parameters as u64, "parameter"),
        grouped(model.trained as u64),
        grouped(parameters.saturating_sub(model.trained) as u64)
    ));
    if model.other_weights > 0 {
        let weights = grouped(model.other_weights as u64);
        text.push_str(&format!("{weights} of the frozen ones are in no layer that could be trained\n"));
    }
    text.push_str(&layers(model, true));
    text.push_str(&structure(model));
    text.push_str(&selection(model));
    text.push_str(&groups(report));
    text.push_str(&stages(report));
    text.push_str("\noperators:\n");
    text.push_str(&operators(model, true));
    text.push_str(&format!(
        "\nsteps: {} an epoch, {} in all\n",
        grouped(report.steps_per_epoch),
        grouped(report.total_steps)
    ));
    if report.evaluations > 0 {
        text.push_str(&format!(
            "evaluations: {}, the one before the first step included\n",
            grouped(report.evaluations)
        ));
    }
    text.push_str(&memory(&report.memory, report.least_device_memory));
    match &report.device.device {
        Some(device) => {
            let device = output::device(device, &report.device.reason, verbose);
            text.push_str(&output::prose(&format!("device: {device}")));
        }
        None => text.push_str("device: none\n"),
    }
    if let Some(mixed) = &report.mixed_precision {
        text.push_str(&output::prose(&format!("precision: {mixed}")));
    } else if !report.precision.is_float32() {
        text.push_str(&format!("precision: {}\n", report.precision.name()));
    }
    text.push_str(&logs(&report.logs));
    let notes = report.notes.iter().chain(&model.notes).cloned().collect();
    let listed = [
        ("note", Meaning::Progress, &notes),
        ("warning", Meaning::Warning, &report.warnings),
        ("problem", Meaning::Bad, &report.problems),
    ];
    for (what, meaning, messages) in listed {
        for message in messages {
            let told = output::prose(&format!("\n{what}: {}", harmless(message)));
            text.push_str(&told.replacen(what, &meaning.output(what), 1));
        }
    }
    let verdict = match report.problems.is_empty() {
        true => Meaning::Good.output("ready to train"),
        false => Meaning::Bad.output("cannot be trained like this"),
    };
    text + "\n" + &verdict + "\n"
}

/// What each part of `model.train` trains, where it does not mean whole layers.
fn selection(model: &ModelReport) -> String {
    if model.selection.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["trained", ">layers", ">parameters", ">numbers"]);
    for part in &model.selection {
        table.row([
            part.part.clone(),
            grouped(part.layers as u64),
            grouped(part.parameters as u64),
            grouped(part.numbers as u64),
        ]);
    }
    format!("\ntrained by `model.train`, each parameter in the first part that means it:\n{}", table.render())
}

/// What is held in memory, and on a device that is not the CPU at least; nothing where it is not known.
pub(crate) fn memory(held: &MemoryEstimate, least_on_device: Option<u64>) -> String {
    let kept = match held.kept {
        0 => String::new(),
        bytes => format!(", kept of a frozen part {}", ByteSize(bytes)),
    };
    let parts = format!(
        "weights {}, gradients and optimizer {}, copies while saving {}, computed values {}, data {}{kept}, graphs {}, the program itself {}",
        ByteSize(held.weights),
        ByteSize(held.training_state),
        ByteSize(held.saving),
        ByteSize(held.activations),
        ByteSize(held.stream),
        ByteSize(held.graphs),
        ByteSize(held.process)
    );
    let total = ByteSize(held.total);
    match least_on_device {
        _ if held.total == 0 => String::new(),
        None => output::prose(&format!("memory: about {total} on the CPU ({parts})")),
        Some(least) => output::prose(&format!(
            "memory: of the device at least {} for weights, gradients and optimizer; computed values come on top, and are not predicted \
             there. On the CPU such a run takes about {total} ({parts})",
            ByteSize(least)
        )),
    }
}

/// Parameters with rates and decays of their own, and the others.
fn groups(report: &CheckReport) -> String {
    if report.groups.is_empty() {
        return String::new();
    }
    let range = |[low, high]: [f32; 2]| if low == high { format!("{low}") } else { format!("{low} to {high}") };
    let mut table = Table::new(&["group", ">parameters", ">numbers", ">learning rate", ">weight decay"]);
    for group in &report.groups {
        table.row([
            group.group.clone(),
            grouped(group.parameters as u64),
            grouped(group.numbers as u64),
            range(group.learning_rates),
            group.weight_decays.map_or_else(|| "none".to_owned(), range),
        ]);
    }
    format!("\nparameter groups:\n{}", table.render())
}

/// What is trained from when on.
fn stages(report: &CheckReport) -> String {
    const MOST: usize = 4;
    if report.stages.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["from", ">trained", ">frozen", ">layers", "trained layers"]);
    for stage in &report.stages {
        let mut named = stage.layers[..stage.layers.len().min(MOST)].join(" ");
        if stage.layers.len() > MOST {
            named.push_str(" …");
        }
        table.row([
            stage.from.clone(),
            grouped(stage.trained as u64),
            grouped(stage.frozen as u64),
            grouped(stage.layers.len() as u64),
            named,
        ]);
    }
    format!("\ntrained over time:\n{}", table.render())
}

/// `input `image` takes 224×224 pixels`.
fn takes(input: &TensorSpec, stored: Option<&str>) -> String {
    let name = shown(&input.name);
    match ImageLayout::of_row(&input.shape) {
        Some((_, [_, height, width])) => format!("input `{name}` takes {width}×{height} pixels"),
        None => {
            let axes = std::iter::once("batch".to_owned()).chain(lengths(&input.shape));
            format!("input `{name}` takes {} {}", stored.unwrap_or(input.element_type.name()), bracketed(axes))
        }
    }
}

/// The logs by name, with the folder where it is not the run's.
fn logs(logs: &[Choice]) -> String {
    let shown = |log: &Choice| match log.options.get("folder").and_then(|folder| folder.as_str()) {
        Some(folder) => format!("{} in {}", shown(&log.name), shown_path(folder)),
        None => shown(&log.name),
    };
    let names: Vec<String> = logs.iter().map(shown).collect();
    if names.is_empty() { String::new() } else { output::prose(&format!("logs: {}", names.join(", "))) }
}

fn data(split: &str, data: &DataReport) -> String {
    let label = data.label.as_deref().map_or_else(String::new, |label| format!(", class in `{}`", shown(label)));
    let transforms = if data.transforms.is_empty() { "none".into() } else { data.transforms.join("\n              ") };
    let unlabelled = match data.unlabelled {
        0 => String::new(),
        1 => "  1 row has no class (−1) and no weight\n".into(),
        rows => format!("  {} rows have no class (−1) and no weight\n", grouped(rows)),
    };
    let found = output::prose(&format!(
        "{split}: {} in {}, {}; {} in `{}`{label}",
        count(data.rows, "row"),
        count(data.files as u64, "file"),
        ByteSize(data.bytes),
        data.kind,
        shown(&data.input)
    ));
    format!("{found}{unlabelled}  transforms: {transforms}\n")
}

fn classes(report: &CheckReport) -> String {
    const MOST: usize = 40;
    let mut table = Table::new(&[">", "class", ">train", ">evaluate"]);
    for (index, class) in report.train.classes.iter().enumerate().take(MOST) {
        let other = report.evaluate.as_ref().and_then(|data| data.classes.get(index));
        let other = other.map_or_else(String::new, |class| grouped(class.rows));
        table.row([index.to_string(), class.name.clone(), grouped(class.rows), other]);
    }
    let classes = report.train.classes.len();
    if classes == 0 {
        return String::new();
    }
    let more =
        if classes > MOST { format!("  … and {} more\n", grouped((classes - MOST) as u64)) } else { String::new() };
    format!("\n{}:\n{}{more}", count(classes, "class"), table.render())
}

/// Layers in order; with `selection`, what is trained and how fast.
pub(crate) fn layers(model: &ModelReport, selection: bool) -> String {
    let has_roles = model.layers.iter().any(|layer| !layer.roles.is_empty());
    let mut headings = vec!["layer", "operator", ">parameters", "weights"];
    headings.extend(has_roles.then_some("role"));
    headings.extend(selection.then_some(">trained"));
    let mut table = Table::new(&headings);
    for layer in &model.layers {
        let weights: Vec<_> = layer.weights.iter().map(|(_, shape)| dimensions(shape)).collect();
        let mut cells =
            vec![layer.name.clone(), layer.operator.clone(), grouped(layer.parameters as u64), weights.join(" + ")];
        if has_roles {
            cells.push(layer.roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(" "));
        }
        if selection {
            let rate = format!("×{:.3}", layer.learning_rate_multiplier);
            cells.push(match layer.trained_parameters {
                0 => "frozen".to_owned(),
                numbers if numbers < layer.parameters => format!("{} of it {rate}", grouped(numbers as u64)),
                _ => rate,
            });
        }
        table.row(cells);
    }
    table.render()
}

/// How many of the last layers can be trained, and which layers share a tensor.
pub(crate) fn structure(model: &ModelReport) -> String {
    const MOST: usize = 6;
    let mut text = match model.trainable {
        Some((0, 1..)) => "no layer can be trained: operators behind all of them have no gradient\n".to_owned(),
        Some((last, layers)) if last < layers => output::prose(&format!(
            "the last {last} of {layers} layers can be trained (`train: {{last: {last}}}`); operators behind the others have no \
             gradient"
        )),
        _ => String::new(),
    };
    let named = |weight: &SharedWeight| {
        let mut named: Vec<String> = weight.layers.iter().take(MOST).map(shown).collect();
        if weight.layers.len() > MOST {
            named.push(format!("… {} more", weight.layers.len() - MOST));
        }
        format!("{} ({})", count(weight.layers.len() as u64, "layer"), named.join(", "))
    };
    for weight in &model.shared {
        text.push_str(&output::prose(&format!("`{}` is one parameter of {}", shown(&weight.name), named(weight))));
    }
    for weight in &model.stored_once {
        let told = format!("`{}` is stored once, and a parameter of its own in {}", shown(&weight.name), named(weight));
        text.push_str(&output::prose(&told));
    }
    text.push_str(&frozen(model));
    text
}

/// Tensors that no layer is trained by, a line for each reason.
fn frozen(model: &ModelReport) -> String {
    const MOST: usize = 3;
    let mut by_reason: Vec<(&str, Vec<&FrozenConstant>)> = Vec::new();
    for constant in &model.frozen {
        match by_reason.iter_mut().find(|(reason, _)| *reason == constant.reason) {
            Some((_, constants)) => constants.push(constant),
            None => by_reason.push((&constant.reason, vec![constant])),
        }
    }
    let numbers = |constant: &&FrozenConstant| constant.shape.iter().product::<usize>();
    let line = |(reason, mut constants): (&str, Vec<&FrozenConstant>)| {
        let all: usize = constants.iter().map(numbers).sum();
        let (tensors, own) = (count(constants.len() as u64, "tensor"), count(all as u64, "number"));
        constants.sort_by_key(|constant| std::cmp::Reverse(numbers(constant)));
        let shown_one = |constant: &&FrozenConstant| {
            let axes = bracketed(constant.shape.iter().map(usize::to_string));
            format!("`{}` {axes} in {}", shown(&constant.name), shown(&constant.read_by))
        };
        let mut named: Vec<String> = constants.iter().take(MOST).map(shown_one).collect();
        if constants.len() > MOST {
            named.push(format!("… {} more", constants.len() - MOST));
        }
        output::prose(&format!("never trained, {tensors} with {own}: {reason} ({})", named.join("; ")))
    };
    by_reason.into_iter().map(line).collect()
}

/// Operators and whether they have gradients; with `selection`, how many nodes need one.
pub(crate) fn operators(model: &ModelReport, selection: bool) -> String {
    let headings: &[&str] = if selection {
        &["operator", ">nodes", ">on the trained path", "gradient"]
    } else {
        &["operator", ">nodes", "gradient"]
    };
    let mut table = Table::new(headings);
    for operator in &model.operators {
        let gradient = match &operator.reason {
            Some(reason) if !operator.gradient => format!("no: {reason}"),
            _ => operator.zero.map_or_else(|| "yes".into(), |reason| format!("zero: {reason}")),
        };
        let mut cells = vec![operator.operator.clone(), operator.nodes.to_string()];
        if selection {
            cells.push(operator.on_trained_path.to_string());
        }
        cells.push(gradient);
        table.row(cells);
    }
    table.render()
}

fn dimensions(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

/// `[?, 3, 224, 224]`, with `?` for any length.
pub(crate) fn shape(axes: &[Option<usize>]) -> String {
    bracketed(lengths(axes))
}

fn lengths(axes: &[Option<usize>]) -> impl Iterator<Item = String> {
    axes.iter().map(|axis| axis.map_or("?".into(), |length| length.to_string()))
}

fn bracketed(axes: impl Iterator<Item = String>) -> String {
    format!("[{}]", axes.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_run_on_the_cpu_is_not_said_to_be_that_of_a_device() {
        let held = MemoryEstimate { weights: 1 << 30, total: 3 << 30, ..MemoryEstimate::default() };
        let on_cpu = memory(&held, None);
        assert!(on_cpu.starts_with("memory: about 3.00 GiB on the CPU (weights 1.00 GiB, "), "{on_cpu}");
        let on_device = memory(&held, Some(2 << 30)).replace('\n', " ");
        assert!(on_device.starts_with("memory: of the device at least 2.00 GiB"), "{on_device}");
        assert!(on_device.contains("are not predicted there"), "{on_device}");
        assert_eq!(memory(&MemoryEstimate::default(), None), "");
    }
}
