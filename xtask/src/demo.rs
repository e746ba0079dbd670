//! `cargo demo`: the whole product on handwritten digits, from random weights to a report.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use serde_json::Value;

use crate::command::{built, cargo, program, root, run};
use crate::runtime;
use crate::stages::Stages;

const FOLDER: &str = "target/demo";
const RECIPES: &str = "examples/digits";

/// One training run: its recipe, what the heading says, and what the table says.
struct Run {
    recipe: &'static str,
    heading: &'static str,
    row: &'static str,
}

const RUNS: [Run; 3] = [
    Run { recipe: "pretrain", heading: "pretrain on the digits 0–4", row: "0–4, from scratch" },
    Run { recipe: "finetune-plain", heading: "fine-tune on 5–9, without augmentation", row: "5–9, new head" },
    Run { recipe: "finetune", heading: "fine-tune on 5–9, with augmentation", row: "5–9, new head, augmented" },
];

/// Runs all steps; the first that fails ends it.
pub(crate) fn demo() -> Result<(), String> {
    let mut stages = Stages::new(8);
    let outcome = steps(&mut stages);
    let problem = stages.last_problem();
    stages.sum_up()?;
    let accuracies = outcome.ok_or(problem)?;
    show(&accuracies);
    Ok(())
}

fn steps(stages: &mut Stages) -> Option<Vec<Value>> {
    let (millstream, network) = stages.run("build", || {
        let packages = ["--package", "millstream-cli", "--package", "millstream"];
        let targets = ["--bin", "millstream", "--example", "digits_network"];
        run(&mut cargo(&[&["build", "--release", "--locked"][..], &packages, &targets].concat()))?;
        let programs = (built("release", "millstream")?, built("release/examples", "digits_network")?);
        Ok((programs, String::new()))
    })?;
    stages.run("ONNX Runtime", || {
        let described = runtime::get(&millstream)?.described();
        Ok(((), described))
    })?;
    stages.run("a network with random weights", || {
        let file = format!("{FOLDER}/network.onnx");
        run(&mut program(&network, &[&file]))?;
        Ok(((), file))
    })?;
    let mut records = Vec::new();
    for Run { recipe, heading, .. } in &RUNS {
        let record = stages.run(heading, || {
            let recipe_file = format!("{RECIPES}/{recipe}.yaml");
            let mut train = program(&millstream, &["train", &recipe_file, "--overwrite"]);
            if !io::stderr().is_terminal() {
                train.arg("--quiet"); // a bar is worth watching, a hundred lines in a log are not
            }
            run(&mut train)?;
            let record = read_record(recipe)?;
            let accuracy = record["evaluation"]["accuracy"].as_f64().ok_or("its metrics.json has no accuracy")?;
            Ok((record, format!("{:.1} % of the held-out digits right", accuracy * 100.0)))
        })?;
        records.push(record);
    }
    stages.run("a contact sheet", || {
        let (recipe, sheet) = (format!("{RECIPES}/finetune.yaml"), format!("{FOLDER}/preview.png"));
        run(&mut program(&millstream, &["preview", &recipe, "--rows", "6", "--draws", "5", "--output", &sheet]))?;
        Ok(((), sheet))
    })?;
    stages.run("a report of the three runs", || {
        let folders = RUNS.map(|run| format!("{FOLDER}/{}", run.recipe));
        let page = format!("{FOLDER}/report.html");
        let mut arguments = vec!["report"];
        arguments.extend(folders.iter().map(String::as_str));
        arguments.extend(["--output", &page]);
        run(&mut program(&millstream, &arguments))?;
        Ok(((), page))
    })?;
    Some(records)
}

fn read_record(recipe: &str) -> Result<Value, String> {
    let path = root().join(FOLDER).join(recipe).join("metrics.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The table of accuracies, and where everything lies.
fn show(records: &[Value]) {
    println!("\n━━ result\n");
    println!(
        "   {:<26}{:>9}{:>9}{:>10}{:>12}{:>12}",
        "digits", "trained", "frozen", "held out", "best epoch", "last epoch"
    );
    for (run, record) in RUNS.iter().zip(records) {
        let count = |count: &Value| count.as_u64().map_or("?".into(), |count| count.to_string());
        let percent = |share: &Value| share.as_f64().map_or("?".into(), |share| format!("{:.1} %", share * 100.0));
        let last = record["history"]["epochs"].as_array().and_then(|epochs| epochs.last()).unwrap_or(&Value::Null);
        println!(
            "   {:<26}{:>9}{:>9}{:>10}{:>12}{:>12}",
            run.row,
            count(&record["trained"]),
            count(&record["frozen"]),
            count(&record["evaluation"]["rows"]),
            percent(&record["evaluation"]["accuracy"]),
            percent(&last["evaluation"]["accuracy"]),
        );
    }
    println!(
        "\n   Trained and frozen count parameters. The exported model is that of the best epoch on the held-out digits;"
    );
    println!("   as it was chosen by them, the last epoch is the stricter figure.\n");
    let files = [
        ("tuned model", "finetune/model.onnx"),
        ("metrics", "finetune/metrics.json"),
        ("contact sheet", "preview.png"),
        ("report", "report.html"),
    ];
    for (what, file) in files {
        let path: PathBuf = root().join(FOLDER).join(file);
        println!("   {what:<15}{}", path.display());
    }
}
