use millstream::recipes::{Catalogs, CompileOptions, CompileReport, compile, import_rows_of};
use millstream::schemas::{AxisLength, Recipe, TensorEntry, count, grouped, shown_path};

use crate::arguments::{Compile, Global};
use crate::messages::harmless;
use crate::table::Table;
use crate::{Outcome, commands, output, progress};

pub(crate) fn run(global: &Global, arguments: &Compile, recipe: &Recipe) -> anyhow::Result<Outcome> {
    let options = CompileOptions {
        folder: commands::argument_path(arguments.output.as_os_str())?,
        batch: arguments.batch,
        overwrite: arguments.overwrite,
        catalogs: Catalogs::default(),
    };
    progress::imports(global, |events, stop| import_rows_of(recipe, events, stop))?;
    let report = compile(recipe, &options)?;
    if global.json {
        output::print_json(&report)?;
    } else {
        output::print(&describe(&report))?;
    }
    Ok(Outcome::Done)
}

fn describe(report: &CompileReport) -> String {
    let mut text = format!("{}:\n", shown_path(&report.folder));
    let mut files = Table::new(&["file", ">bytes", "what it holds"]);
    for file in &report.files {
        files.row([file.name.clone(), grouped(file.bytes), holds(&file.name).to_owned()]);
    }
    text.push_str(&files.render());
    let manifest = &report.manifest;
    let mut tensors = Table::new(&["tensor", "what it is", "type", "shape"]);
    let mut listed = |entries: &[TensorEntry], what: &str| {
        for entry in entries {
            tensors.row([entry.name.clone(), what.to_owned(), entry.dtype.clone(), shape(&entry.shape)]);
        }
    };
    listed(&manifest.inputs, "input");
    listed(&manifest.targets, "input: target");
    listed(manifest.weights.as_slice(), "input: weight of each row in the loss");
    listed(manifest.lengths.as_slice(), "input: places of the prediction that are each row's");
    listed(std::slice::from_ref(&manifest.loss), "output: loss");
    listed(std::slice::from_ref(&manifest.prediction), "output: prediction");
    listed(manifest.weight.as_slice(), "output: weight of the loss");
    text.push('\n');
    text.push_str(&tensors.render());
    let parameters = count(manifest.parameters.len() as u64, "parameter");
    text.push('\n');
    text.push_str(&output::prose(&format!(
        "{parameters} ({} numbers; {} more are frozen): each is an input of both graphs, and its gradient an output of the \
         training step. manifest.json says the names, and by what each learning rate is multiplied",
        grouped(report.trained as u64),
        grouped(report.frozen as u64),
    )));
    for note in &report.notes {
        text.push_str(&output::prose(&format!("\nnote: {}", harmless(note))));
    }
    text.push('\n');
    text.push_str(&output::prose(
        "To train: run training_step.onnx on a batch and the parameters, change the parameters by their gradients, and run \
         it again. Parameters begin as in parameters.safetensors",
    ));
    text
}

fn holds(file: &str) -> &'static str {
    match file {
        "training_step.onnx" => "loss, prediction, gradients",
        "evaluation.onnx" => "loss, prediction",
        "weights.bin" => "what is frozen, read by both graphs",
        "parameters.safetensors" => "what is trained, as it begins",
        _ => "what the inputs and outputs mean",
    }
}

fn shape(lengths: &[AxisLength]) -> String {
    match lengths {
        [] => "one number".into(),
        lengths => format!("[{}]", lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}
