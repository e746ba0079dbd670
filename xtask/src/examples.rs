//! `cargo xtask examples`: whole examples on data that a fresh machine has or gets, from nothing to a figure.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::command::{Stream, ask, built, cargo, program, root, run, watch};
use crate::runtime;
use crate::stages::Stages;

/// Where runs and models of examples lie.
const FOLDER: &str = "target/examples";
/// The page that lists them.
const PAGE: &str = "examples/README.md";

struct Example {
    heading: &'static str,
    about: &'static str,
    /// Where its data come from.
    data: &'static str,
    /// As a person types them in the root of the repository: `cargo run --release --example …`, `millstream …`, `pip …`.
    commands: &'static [&'static str],
    figure: Figure,
    /// What the figure was when it was last looked at, and the least that it may be.
    seen: f64,
    least: f64,
    /// Seconds of one processor that its commands took in a release build when that was last looked at, without builds and downloads.
    seconds: u32,
}

/// Where the figure is found.
enum Figure {
    /// In a file of JSON, by a pointer.
    File(&'static str, &'static str),
    /// The objective of the best trial of a study.
    BestTrial(&'static str),
    /// The first percentage in the last line that the last command prints.
    Printed,
}

const IN_HERE: &str = "in the repository";

const EXAMPLES: [Example; 9] = [
    Example {
        heading: "A network from nothing",
        about: "a small convolutional network learns the digits 0–4 ([pretrain.yaml](digits/pretrain.yaml))",
        data: IN_HERE,
        commands: &[
            "cargo run --release --example digits_network -- target/demo/network.onnx",
            "millstream train examples/digits/pretrain.yaml --overwrite",
        ],
        figure: Figure::File("target/demo/pretrain/metrics.json", "/evaluation/accuracy"),
        seen: 0.996,
        least: 0.98,
        seconds: 5,
    },
    Example {
        heading: "A new head",
        about: "that network with a new head for the digits 5–9, its convolutions frozen, twenty augmented pictures of each \
                ([finetune.yaml](digits/finetune.yaml))",
        data: IN_HERE,
        commands: &["millstream train examples/digits/finetune.yaml --overwrite"],
        figure: Figure::File("target/demo/finetune/metrics.json", "/evaluation/accuracy"),
        seen: 0.977,
        least: 0.965,
        seconds: 10,
    },
    Example {
        heading: "LoRA on convolutions",
        about: "the same with low-rank matrices beside the frozen convolutions ([lora.yaml](digits/lora.yaml))",
        data: IN_HERE,
        commands: &["millstream train examples/digits/lora.yaml --overwrite"],
        figure: Figure::File("target/examples/lora/metrics.json", "/evaluation/accuracy"),
        seen: 0.980,
        least: 0.965,
        seconds: 16,
    },
    Example {
        heading: "A search",
        about: "eight trials of what is trained and how fast ([search.yaml](digits/search.yaml)); the figure is that of the best",
        data: IN_HERE,
        commands: &["millstream search run examples/digits/search.yaml --quiet"],
        figure: Figure::BestTrial("target/examples/search"),
        seen: 0.967,
        least: 0.95,
        seconds: 25,
    },
    Example {
        heading: "An ensemble",
        about: "the runs with the new head and with LoRA as one ONNX file that computes what they share once, all rows measured",
        data: IN_HERE,
        commands: &[
            "millstream evaluate target/demo/finetune --predictions target/demo/finetune/predictions.parquet",
            "millstream evaluate target/examples/lora --predictions target/examples/lora/predictions.parquet",
            "millstream ensemble fit target/demo/finetune target/examples/lora --method probability -o target/examples/ensemble",
        ],
        figure: Figure::File("target/examples/ensemble/ensemble.json", "/report/ensemble/accuracy"),
        seen: 0.979,
        least: 0.965,
        seconds: 2,
    },
    Example {
        heading: "Segmentation",
        about: "a small U-Net learns which pixels of a photograph belong to a handwritten digit ([train.yaml](segmentation/train.yaml)); \
                the figure is the mean intersection over union",
        data: IN_HERE,
        commands: &[
            "cargo run --release --example segment_network -- target/segmentation/network.onnx 2 48",
            "millstream train examples/segmentation/train.yaml --overwrite",
        ],
        figure: Figure::File("runs/segmentation/metrics.json", "/evaluation/mean_iou"),
        seen: 0.839,
        least: 0.80,
        seconds: 150,
    },
    Example {
        heading: "A table from CSV",
        about: "numbers and categories, some of them missing: which penguin is it? ([penguins-csv.yaml](tables/penguins-csv.yaml))",
        data: "`palmerpenguins` of the Python package index (CC0)",
        commands: &[
            "pip download --no-deps palmerpenguins==0.1.6 -d target/examples",
            "python3 -m zipfile -e target/examples/palmerpenguins-0.1.6-py3-none-any.whl target/examples/palmerpenguins",
            "millstream import target/examples/palmerpenguins/palmerpenguins/data/penguins.csv --label species --split test=0.25 -o target/examples/penguins --overwrite",
            "cargo run --release --example table_network -- target/examples/penguins.onnx 3 measurements=5 island=3 sex=3",
            "millstream train examples/tables/penguins-csv.yaml --overwrite",
        ],
        figure: Figure::File("target/examples/penguins-run/metrics.json", "/evaluation/accuracy"),
        seen: 1.0,
        least: 0.95,
        seconds: 2,
    },
    Example {
        heading: "Texts",
        about: "which of eight languages is a message in? Embeddings of tokens and a layer on their mean, from nothing; the messages are those of \
                Django's translations ([make.py](texts/make.py), [languages.yaml](texts/languages.yaml))",
        data: "`django` of the Python package index (BSD-3-Clause)",
        commands: &[
            "pip download --no-deps django==5.2 -d target/examples",
            "python3 -m zipfile -e target/examples/Django-5.2-py3-none-any.whl target/examples/django",
            "python3 -m venv target/examples/texts-venv",
            "target/examples/texts-venv/bin/python -m pip install --quiet onnx numpy tokenizers",
            "target/examples/texts-venv/bin/python examples/texts/make.py target/examples/django/django target/examples/texts",
            "millstream import target/examples/texts/messages.jsonl --label language --split test=0.25 -o target/examples/texts/rows --overwrite",
            "millstream train examples/texts/languages.yaml --overwrite",
        ],
        figure: Figure::File("target/examples/texts/run/metrics.json", "/evaluation/accuracy"),
        seen: 0.912,
        least: 0.88,
        seconds: 3,
    },
    Example {
        heading: "A loop of your own in Python",
        about: "the training step of the first example as an ONNX file, run by ONNX Runtime's Python package with an update in NumPy \
                ([own_loop.py](own_loop.py))",
        data: IN_HERE,
        commands: &[
            "millstream compile examples/digits/pretrain.yaml -o target/examples/step --overwrite",
            "python3 -m venv target/examples/venv",
            "target/examples/venv/bin/python -m pip install --quiet onnxruntime numpy safetensors pyarrow pillow",
            "target/examples/venv/bin/python examples/own_loop.py target/examples/step",
        ],
        figure: Figure::Printed,
        seen: 0.987,
        least: 0.95,
        seconds: 3,
    },
];

/// Runs all examples, or with `--page` writes the page that lists them. `--debug` takes builds that are made sooner and run
/// slower.
pub(crate) fn examples(arguments: &[&str]) -> Result<(), String> {
    let profile = match *arguments {
        [] => "release",
        ["--debug"] => "debug",
        ["--page"] => return fs::write(root().join(PAGE), page()).map_err(|error| format!("{PAGE}: {error}")),
        _ => return Err("usage: cargo xtask examples [--debug | --page]".into()),
    };
    let mut stages = Stages::new(EXAMPLES.len() + 1);
    let millstream = stages.run("build", || {
        let mut build = vec!["build", "--locked", "--workspace", "--bin", "millstream", "--examples"];
        build.extend((profile == "release").then_some("--release"));
        run(&mut cargo(&build))?;
        let millstream = built(profile, "millstream")?;
        runtime::get(&millstream)?;
        let folder = root().join(FOLDER);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|error| format!("{FOLDER}: {error}"))?;
        }
        fs::create_dir_all(&folder).map_err(|error| format!("{FOLDER}: {error}"))?;
        Ok((millstream, String::new()))
    });
    let Some(millstream) = millstream else { return stages.sum_up() };
    for example in &EXAMPLES {
        stages.run(example.heading, || {
            let got = example.run(&millstream, profile)?;
            let told = format!("{:.1} %, seen before {:.1} %", got * 100.0, example.seen * 100.0);
            if got < example.least {
                Err(format!("{told}, wanted {:.1} %", example.least * 100.0))
            } else {
                Ok(((), told))
            }
        });
    }
    stages.sum_up()
}

/// Whether the page is what [`page`] makes.
pub(crate) fn check() -> Result<(), String> {
    let found = fs::read_to_string(root().join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
    if found == page() {
        Ok(())
    } else {
        Err(format!("{PAGE} is out of date; `cargo xtask examples --page` writes it"))
    }
}

impl Example {
    /// Carries out its commands; the figure.
    fn run(&self, millstream: &Path, profile: &str) -> Result<f64, String> {
        let mut printed = String::new();
        for (index, command) in self.commands.iter().enumerate() {
            let words: Vec<&str> = command.split_whitespace().collect();
            let mut command = match words[..] {
                ["millstream", ref rest @ ..] => program(millstream, rest),
                ["pip", ref rest @ ..] => program("python3", &[&["-m", "pip"][..], rest].concat()),
                ["cargo", "run", "--release", "--example", name, "--", ref rest @ ..] => {
                    program(built(&format!("{profile}/examples"), name)?, rest)
                }
                [name, ref rest @ ..] => {
                    // the Python of an environment is a link, and another one where it is followed
                    let here = root().join(name);
                    program(if here.exists() { here } else { name.into() }, rest)
                }
                [] => continue,
            };
            match &self.figure {
                Figure::Printed if index + 1 == self.commands.len() => {
                    watch(&mut command, Stream::Output, |line| printed = line.to_owned())?;
                }
                _ => run(&mut command)?,
            }
        }
        let (text, pointer) = match &self.figure {
            Figure::Printed => return percentage(&printed).ok_or_else(|| format!("no percentage in `{printed}`")),
            Figure::File(file, pointer) => {
                (fs::read_to_string(root().join(file)).map_err(|error| format!("{file}: {error}"))?, pointer)
            }
            Figure::BestTrial(study) => {
                let mut status = program(millstream, &["search", "status", study, "--json"]);
                (ask(&mut status).ok_or("the state of the study is not said")?, &"/best")
            }
        };
        let value: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let found = match self.figure {
            Figure::BestTrial(_) => value["best"].as_u64().map(|best| format!("/trials/{best}/values/0")),
            _ => Some((*pointer).to_owned()),
        };
        let number = found.and_then(|pointer| value.pointer(&pointer).and_then(Value::as_f64));
        number.ok_or_else(|| format!("no number at `{pointer}`"))
    }
}

/// The first number of a line in front of a percent sign, as a share.
fn percentage(line: &str) -> Option<f64> {
    let before = line.split('%').next().filter(|before| before.len() < line.len())?;
    let number = before.trim_end().rsplit(|character: char| !character.is_ascii_digit() && character != '.').next()?;
    number.parse::<f64>().ok().map(|percent| percent / 100.0)
}

fn page() -> String {
    let mut text = String::from(
        "<!-- written by `cargo xtask examples --page` -->\n# Examples\n\nNine examples from nothing to a figure, on data that are in the \
         repository or on the Python package index. `cargo xtask examples` runs them\nall, in this order, and holds their figures against these; \
         the second to the fifth go on from the first. Accuracies are of held-out\nrows, and times those of one processor without builds and downloads.\n",
    );
    for (index, example) in EXAMPLES.iter().enumerate() {
        let Example { heading, about, data, commands, seen, seconds, .. } = example;
        text += &format!("\n## {}. {heading}\n\n{}{}.", index + 1, about[..1].to_uppercase(), &about[1..]);
        text += &format!(" Data: {data}. Figure: {:.1} %. Takes some {seconds} s.\n\n```console\n", seen * 100.0);
        for command in *commands {
            text += &format!("$ {command}\n");
        }
        text += "```\n";
    }
    text + "\n## With larger data\n\nThese name their data and models by `MILLSTREAM_CORPUS`; what they reach is in [performance](../docs/performance.md).\n\n\
        - `flowers/`: a pretrained MobileNetV2 on 280 photographs: its head, its last layers, everything, its head on features that are kept, and a \
         search.\n\
        - `reviews/`: a sentence encoder on film reviews: its head, LoRA, everything.\n\
        - `tables/`: numbers and categories; a number to be told.\n\
        - `own_loop.rs`, `two_runs.rs`, `rows_in_memory.rs`: from a program in Rust.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_read_from_a_line() {
        assert_eq!(percentage("epoch 4: loss 0.037, 98.7% of 228 digits are right"), Some(0.987));
        assert_eq!(percentage("no share"), None);
    }
}
