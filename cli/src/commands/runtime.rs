use millstream::runtime::{Doctor, InstallOptions, Variant, doctor, install};

use crate::arguments::{Global, Runtime, RuntimeCommand};
use crate::output;
use crate::table::Table;
use crate::{Outcome, messages};
use millstream::schemas::shown_path;

pub(crate) fn run(global: &Global, arguments: &Runtime) -> anyhow::Result<Outcome> {
    match &arguments.command {
        RuntimeCommand::Install { cuda, from } => {
            let variant = if *cuda { Variant::Cuda } else { Variant::Cpu };
            if from.is_none() && !global.quiet {
                messages::tell("looking for the pinned wheel through pip …");
            }
            let installed = install(&InstallOptions { variant, from: from.clone(), folder: None })?;
            if global.json {
                output::print_json(&installed)?;
            } else {
                let how = match (installed.already_there, installed.variant == variant) {
                    (true, true) => "was there already",
                    (true, false) => "with CUDA was there already, and runs on the CPU too",
                    (false, _) => "is installed",
                };
                output::print(&format!(
                    "ONNX Runtime {} {how}: {}",
                    installed.version,
                    shown_path(&installed.library)
                ))?;
            }
            Ok(Outcome::Done)
        }
        RuntimeCommand::Doctor => {
            let found = doctor(global.runtime.as_deref());
            if global.json {
                output::print_json(&found)?
            } else {
                output::print(&describe(&found))?
            }
            Ok(if found.library.is_some() { Outcome::Done } else { Outcome::Refused })
        }
    }
}

fn describe(found: &Doctor) -> String {
    let mut text = match &found.library {
        Some(library) => format!(
            "ONNX Runtime {} from {}: {}\nproviders: {}\nbuild: {}\n",
            library.version,
            library.place,
            shown_path(&library.path),
            library.providers.join(", "),
            library.build
        ),
        None => format!("no usable ONNX Runtime: {}\n", found.problem.as_deref().unwrap_or("none was found")),
    };
    let available = if found.cuda.available { "yes" } else { "no" };
    text.push_str(&format!("CUDA: {available}, {}\n", found.cuda.reason));
    text.push_str("\nlooked for, in this order:\n");
    let mut table = Table::new(&["place", "found"]);
    for tried in &found.searched {
        table.row([tried.place.clone(), tried.finding.clone()]);
    }
    text.push_str(&table.render());
    if let Some(folder) = &found.install_folder {
        let version = found.pinned_version;
        text.push_str(&format!("\n`millstream runtime install` puts version {version} into {}\n", shown_path(folder)));
    }
    text
}
