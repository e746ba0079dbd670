//! Folders with a table: each file is a row.

use std::collections::BTreeSet;

use super::Faults;
use super::tree::Tree;

/// Folders with a table: the constant that each file's row is, and modules that are no rows.
pub(super) const TABLES: &[(&str, &str, &[&str])] = &[
    ("compiler/src/finetuning/heads", "HEAD", &["head_choice", "head_function", "head_kind", "pooling"]),
    (
        "compiler/src/finetuning/methods",
        "METHOD",
        &[
            "adapted",
            "adapter_form",
            "dense",
            "layer_biases",
            "linear_weight",
            "low_rank",
            "method",
            "method_function",
            "method_kind",
            "prefix",
            "prompts",
            "quantized_weights",
            "rotation",
        ],
    ),
    ("compiler/src/initializers", "INITIALIZER", &["fans", "initializer", "random"]),
    (
        "compiler/src/losses",
        "LOSS",
        &[
            "box_places",
            "class_numbers",
            "class_weights",
            "embeddings",
            "loss",
            "loss_function",
            "loss_kind",
            "loss_program",
            "paths_in_time",
            "row_mean",
            "sequence_scores",
        ],
    ),
    ("compiler/src/operators", "OPERATOR", &["operator", "operator_catalog", "rules", "samples", "type_rule"]),
    (
        "pipeline/src/encodings",
        "ENCODING",
        &[
            "box_fields",
            "class_names",
            "encode_error",
            "encoder",
            "encoders",
            "encoding_kind",
            "entry",
            "followed_image",
            "input_range",
            "learned",
            "length_unit",
            "mark",
            "row_numbers",
            "sample",
            "short_form",
            "tokenized_text",
        ],
    ),
    ("search/src/proposers", "PROPOSER", &["proposer", "proposer_function", "proposer_kind"]),
    (
        "search/src/stopping",
        "RULE",
        &["course", "quantiles", "rungs", "stopping_function", "stopping_kind", "stopping_rule"],
    ),
    (
        "training/src/ensembles",
        "ENSEMBLE",
        &[
            "ensemble",
            "ensemble_function",
            "ensemble_kind",
            "ensemble_report",
            "fitted_ensemble",
            "given_weights",
            "lbfgs",
            "log_space",
            "member_scores",
            "mixture",
            "multinomial",
            "non_negative",
            "page",
            "row_split",
            "simplex",
        ],
    ),
    (
        "training/src/logs",
        "LOG",
        &[
            "course_tests",
            "entry",
            "event_file",
            "event_messages",
            "log",
            "log_format",
            "log_kind",
            "logs",
            "mlflow_store",
            "run_place",
            "scalars",
            "text_lines",
        ],
    ),
    (
        "training/src/metrics",
        "METRIC",
        &[
            "agreement",
            "answer_share",
            "average",
            "bootstrap",
            "class_counts",
            "class_intervals",
            "compared_boxes",
            "detections",
            "edit_distance",
            "evaluation",
            "figure_kind",
            "figures",
            "held_scores",
            "highest",
            "interval",
            "measured_batch",
            "measurement",
            "metric",
            "metric_function",
            "metric_kind",
            "metric_set",
            "mistaken_masks",
            "mistaken_pictures",
            "mistakes",
            "number_columns",
            "number_mean",
            "probabilities",
            "ranking",
            "slices",
            "slicing",
            "table",
            "tags",
            "transcripts",
        ],
    ),
    (
        "training/src/optimizers",
        "OPTIMIZER",
        &[
            "averaged",
            "dynamic_map",
            "eight_bits",
            "graph",
            "l1_decay",
            "lookahead",
            "moments",
            "newton_schulz",
            "norms",
            "optimizer",
            "optimizer_kind",
            "penalized",
            "rule",
            "sharpness_aware",
            "state_values",
            "trajectory",
            "update_parts",
        ],
    ),
    (
        "training/src/schedules",
        "SCHEDULE",
        &["course_tests", "plateau", "run_length", "schedule", "schedule_kind", "span", "warmup"],
    ),
    ("transforms/src/batch", "TRANSFORM", &[]),
    ("transforms/src/combine", "TRANSFORM", &[]),
    ("transforms/src/image", "TRANSFORM", &[]),
    ("transforms/src/steps/filter", "STEP", &["filter_step"]),
    ("transforms/src/steps/map", "STEP", &["border", "map_step"]),
    ("transforms/src/steps/point", "STEP", &["point_step"]),
    ("transforms/src/steps/whole", "STEP", &["whole_step"]),
    ("transforms/src/text", "TRANSFORM", &[]),
];

/// In a table folder each file is one `mod` line and one row, both in alphabetical order, and nothing else.
pub(super) fn tables(tree: &Tree) -> Faults {
    TABLES.iter().flat_map(|(folder, row, others)| table(tree, folder, row, others)).collect()
}

fn table(tree: &Tree, folder: &str, row: &str, others: &[&str]) -> Faults {
    let path = format!("{folder}/mod.rs");
    let Some(text) = tree.files.get(&path) else {
        return vec![format!("{path} is missing; when the table moved, say so in TABLES of tests/tidy/tables.rs")];
    };
    let plain = |name: &str| name.trim_start_matches("r#").to_owned();
    let mut modules = Vec::new();
    let mut rows = Vec::new();
    let mut test_only = false;
    for line in text.lines().map(|line| line.split("//").next().unwrap_or(line).trim()) {
        let name = line.strip_suffix(';').and_then(|line| line.split_whitespace().skip_while(|w| *w != "mod").nth(1));
        if let Some(name) = name
            && !test_only
            && !others.contains(&name)
        {
            modules.push(plain(name));
        }
        test_only = line == "#[cfg(test)]" || (test_only && line.starts_with("#["));
        for word in line.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':' | '#'))) {
            rows.extend(word.strip_suffix(row).and_then(|word| word.strip_suffix("::")).map(plain));
        }
    }
    let files: BTreeSet<String> = tree
        .files
        .keys()
        .filter_map(|file| file.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs"))
        .filter(|name| !name.contains('/') && *name != "mod" && !others.contains(name))
        .map(str::to_owned)
        .collect();
    let mut faults = Vec::new();
    for (what, list) in [("mod lines", &modules), ("rows", &rows)] {
        if !list.is_sorted() {
            let wrong = list.windows(2).find(|pair| pair[0] > pair[1]).map_or("", |pair| &pair[1]);
            faults.push(format!("{path}: the {what} are not in alphabetical order at `{wrong}`"));
        }
    }
    for name in files.iter().chain(&modules).chain(&rows).collect::<BTreeSet<_>>() {
        let count = |list: &[String]| list.iter().filter(|other| *other == name).count();
        match (files.contains(name), count(&modules), count(&rows)) {
            (true, 1, 1) => {}
            (false, ..) => faults.push(format!("{path}: `{name}` has no file {folder}/{name}.rs")),
            (_, modules, rows) => faults.push(format!(
                "{folder}/{name}.rs: wants one line `mod {name};` and one row `{name}::{row}` in {path}, \
                 found {modules} and {rows}"
            )),
        }
    }
    faults
}
