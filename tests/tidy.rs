//! The house rules that a compiler does not check, as tests. Each says what to do when it fails, and is shown to fail.

use std::collections::BTreeSet;
use std::path::Path;

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/tables.rs"]
mod tables;
#[path = "tidy/tree.rs"]
mod tree;

use circles::circles;
use links::links;
use tables::tables;
use tree::{Dependency, Tree, code_outside_tests, test_module};

/// Which crates of ours a crate may use. An arrow that is not listed here runs the wrong way.
const ARROWS: &[(&str, &[&str])] = &[
    ("millstream", &["compiler", "pipeline", "recipes", "runtime", "schemas", "search", "training", "transforms"]),
    ("millstream-cli", &["millstream"]),
    ("millstream-compiler", &["schemas"]),
    ("millstream-pipeline", &["schemas", "transforms"]),
    ("millstream-recipes", &["compiler", "pipeline", "runtime", "schemas", "search", "training", "transforms"]),
    ("millstream-runtime", &["schemas"]),
    ("millstream-schemas", &[]),
    ("millstream-search", &["schemas"]),
    ("millstream-training", &["compiler", "runtime", "schemas"]),
    ("millstream-transforms", &["schemas"]),
    ("xtask", &[]),
];

/// Crates of others that only some of ours may name: (crate, in `[dependencies]`, in `[dev-dependencies]`).
const RESERVED: &[(&str, &[&str], &[&str])] = &[
    ("anyhow", &["millstream-cli"], &["millstream", "millstream-cli"]),
    ("ort", &["millstream-runtime", "millstream-training"], &["millstream-cli", "millstream-compiler"]),
];

/// The only files with `unsafe`. All other crates forbid it.
const UNSAFE: &[&str] = &[
    "cli/src/allocator.rs",
    "runtime/src/library.rs",
    "schemas/src/buffer.rs",
    "training/src/session/frozen_weights.rs",
    "training/src/session/placement.rs",
    "transforms/src/render/vector.rs",
];

/// Longer than the wall, with the reason.
const LONG: &[(&str, &str)] = &[("compiler/src/model_file/onnx.rs", "generated from onnx.proto")];
const MOST_LINES: usize = 600;

const NAMELESS: &[&str] = &["base", "common", "core", "helpers", "misc", "utils"];

type Faults = Vec<String>;

// ---------------------------------------------------------------------------------------------------------- rules

/// Arrows between crates run as `ARROWS` says; dev-dependencies of ours obey too.
fn arrows(tree: &Tree) -> Faults {
    let mut faults = Vec::new();
    for manifest in tree.manifests() {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == manifest.name) else {
            let (name, path) = (&manifest.name, &manifest.path);
            faults.push(format!(
                "{path}: crate `{name}` is new; state in ARROWS of tests/tidy.rs which crates it may use"
            ));
            continue;
        };
        for Dependency { name, line, .. } in &manifest.dependencies {
            let ours = name.strip_prefix("millstream-").or((name == "millstream").then_some("millstream"));
            if ours.is_some_and(|ours| !allowed.contains(&ours)) {
                faults.push(format!(
                    "{}:{line}: `{}` must not use `{name}`; it may use [{}]. Move the code to where both sides may see it",
                    manifest.path,
                    manifest.name,
                    allowed.join(", ")
                ));
            }
        }
    }
    faults
}

/// Only the crates that `RESERVED` lists name certain crates of others.
fn reserved(tree: &Tree) -> Faults {
    let mut faults = Vec::new();
    for manifest in tree.manifests() {
        for Dependency { name, line, dev } in &manifest.dependencies {
            let Some((_, normal, development)) = RESERVED.iter().find(|row| row.0 == name) else { continue };
            let allowed = if *dev { development } else { normal };
            if !allowed.contains(&manifest.name.as_str()) {
                let (path, list) = (&manifest.path, allowed.join(", "));
                faults.push(format!("{path}:{line}: `{name}` is named only by {list}; use what that crate offers"));
            }
        }
    }
    faults
}

/// Every crate takes the workspace's lint table.
fn lints(tree: &Tree) -> Faults {
    let missing = tree.manifests().into_iter().filter(|manifest| !manifest.workspace_lints);
    missing.map(|manifest| format!("{}: add `[lints]` with `workspace = true`", manifest.path)).collect()
}

/// No Rust file has more than 600 lines of code, blank lines and comments not counted.
fn length(tree: &Tree) -> Faults {
    let mut faults = Vec::new();
    for (path, text) in tree.rust() {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        let listed = LONG.iter().any(|(long, _)| *long == path);
        if lines > MOST_LINES && !listed {
            faults.push(format!(
                "{path}: {lines} lines of code, the wall is {MOST_LINES}; divide it by what it is about"
            ));
        }
        if lines <= MOST_LINES && listed {
            faults.push(format!("{path}: {lines} lines of code; take it out of LONG in tests/tidy.rs"));
        }
    }
    faults
}

/// A note of something undone says why it is not done: `TODO(reason or issue): what`.
fn reasons(tree: &Tree) -> Faults {
    let mut faults = Vec::new();
    for (path, text) in &tree.files {
        for (number, line) in text.lines().enumerate() {
            for mark in [concat!("TO", "DO"), concat!("FIX", "ME")] {
                let words = line.match_indices(mark).map(|(at, _)| &line[at + mark.len()..]);
                let reasoned =
                    |rest: &str| rest.strip_prefix('(').and_then(|rest| rest.find(')')).is_some_and(|end| end > 0);
                if !words.into_iter().all(reasoned) && !path.ends_with(".md") {
                    faults.push(format!("{path}:{}: say why it is not done: `{mark}(reason): what`", number + 1));
                }
            }
        }
    }
    faults
}

/// Only the command line and xtask print; libraries return values and errors.
fn printing(tree: &Tree) -> Faults {
    let mut faults = Vec::new();
    for (path, text) in tree.rust() {
        let (folder, inner) = path.split_once('/').unwrap_or((path, ""));
        let library = matches!(folder, "src") || inner.starts_with("src/");
        if !library || matches!(folder, "cli" | "xtask") || test_module(path) {
            continue;
        }
        for (number, line) in code_outside_tests(text) {
            if ["println!", "print!", "dbg!"].iter().any(|name| line.contains(name)) {
                faults.push(format!("{path}:{number}: only cli/ and xtask/ print; return it, or use `tracing`"));
            }
        }
    }
    faults
}

/// Crates forbid `unsafe`, but those with files named in `UNSAFE`: the lint table denies it there, the files open it, and
/// each use has a SAFETY line.
fn unsafety(tree: &Tree) -> Faults {
    let mut faults = Vec::new();
    for manifest in tree.manifests() {
        let folder = manifest.path.trim_end_matches("Cargo.toml");
        let named = UNSAFE.iter().any(|file| !folder.is_empty() && file.starts_with(folder));
        let wanted = "#![forbid(unsafe_code)]";
        let roots = ["lib.rs", "main.rs"].map(|root| format!("{folder}src/{root}"));
        for root in roots.iter().filter(|root| !named && tree.files.contains_key(*root)) {
            if !tree.files[root].lines().any(|line| line.trim() == wanted) {
                faults.push(format!("{root}: add `{wanted}` under the crate's documentation"));
            }
        }
    }
    for (path, text) in tree.rust() {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            let opens = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait"].iter().any(|word| code.contains(word));
            // quoted code, and types of C functions, open nothing
            if !opens || code.contains("\"unsafe") {
                continue;
            }
            if !UNSAFE.contains(&path) {
                let place = format!("{path}:{}", number + 1);
                faults.push(format!(
                    "{place}: `unsafe` is kept to the files in UNSAFE of tests/tidy.rs; use one of them"
                ));
            }
            let near = &lines[number.saturating_sub(8)..=number];
            if !near.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety")) {
                faults.push(format!("{path}:{}: say above it why it is sound: `// SAFETY: …`", number + 1));
            }
        }
    }
    for path in UNSAFE.iter().filter(|path| !tree.files.get(**path).is_some_and(|text| text.contains("unsafe "))) {
        faults.push(format!("{path}: holds no `unsafe`; take it out of UNSAFE in tests/tidy.rs"));
    }
    faults
}

/// Folders and modules are named after what they hold.
fn names(tree: &Tree) -> Faults {
    let mut faults = BTreeSet::new();
    for path in tree.files.keys() {
        for part in Path::new(path).iter().filter_map(|part| part.to_str()) {
            if NAMELESS.contains(&part.trim_end_matches(".rs")) {
                faults.insert(format!("{path}: `{part}` says nothing; name it after what it holds"));
            }
        }
    }
    faults.into_iter().collect()
}

// ---------------------------------------------------------------------------------------------------------- tests

type Rule = fn(&Tree) -> Faults;

const RULES: &[(&str, Rule)] = &[
    ("arrows", arrows),
    ("circles", circles),
    ("length", length),
    ("links", links),
    ("lints", lints),
    ("names", names),
    ("printing", printing),
    ("reasons", reasons),
    ("reserved", reserved),
    ("tables", tables),
    ("unsafety", unsafety),
];

fn holds(rule: &str) {
    let (_, check) = RULES.iter().find(|(name, _)| *name == rule).expect("the rule is in RULES");
    let faults = check(&Tree::read(Path::new(env!("CARGO_MANIFEST_DIR"))));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn arrows_between_crates_run_one_way() {
    holds("arrows");
}

#[test]
fn files_do_not_use_each_other_in_circles() {
    holds("circles");
}

#[test]
fn files_are_short() {
    holds("length");
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    holds("links");
}

#[test]
fn every_crate_takes_the_lint_table() {
    holds("lints");
}

#[test]
fn names_say_what_is_inside() {
    holds("names");
}

#[test]
fn only_the_command_line_prints() {
    holds("printing");
}

#[test]
fn what_is_undone_says_why() {
    holds("reasons");
}

#[test]
fn onnx_runtime_is_named_by_two_crates_alone() {
    holds("reserved");
}

#[test]
fn tables_and_files_agree() {
    holds("tables");
}

#[test]
fn unsafe_code_is_kept_to_named_files() {
    holds("unsafety");
}

/// Each rule passes on a small sound workspace and fails, naming the file, when one thing in it is spoiled.
#[test]
fn every_rule_can_fail() {
    let sound = Tree::sound();
    for (name, rule) in RULES {
        assert_eq!(rule(&sound), Faults::new(), "{name}: the sound workspace has no faults");
    }
    let long = "let x = 1;\n".repeat(MOST_LINES + 1);
    let todo = concat!("// TO", "DO: later");
    let unsafe_block = "/// Reads.\npub fn read() {\n    unsafe { read() }\n}\n";
    let mods = "transforms/src/image/mod.rs";
    // (rule, file, its text or a line to append, what the fault says)
    let spoils: &[(&str, &str, &str, &str)] = &[
        ("arrows", "schemas/Cargo.toml", "+[dev-dependencies]\nmillstream-pipeline.workspace = true", "must not use"),
        (
            "arrows",
            "compiler/Cargo.toml",
            "+[build-dependencies]\nx = { package = \"millstream-training\" }",
            "must not use",
        ),
        ("arrows", "cli/Cargo.toml", "+[dependencies.millstream-recipes]\nworkspace = true", "must not use"),
        ("arrows", "serving/Cargo.toml", "[package]\nname = \"millstream-serving\"", "is new"),
        ("arrows", "search/Cargo.toml", "+[dependencies]\nmillstream-training.workspace = true", "must not use"),
        (
            "circles",
            "compiler/src/graph.rs",
            "+use crate::operators::TABLE;",
            "graph.rs -> compiler/src/operators/mod.rs -> compiler/src/operators/flip.rs -> compiler/src/graph.rs. Move",
        ),
        (
            "circles",
            "compiler/src/graph.rs",
            "+fn f() { crate::Turn::new() }",
            "graph.rs -> compiler/src/operators/flip.rs -> compiler/src/graph.rs. Move",
        ),
        ("circles", "compiler/src/operators/rotate.rs", "use super::flip::*;\nuse super::TABLE;", "rotate.rs -> comp"),
        ("length", "schemas/src/long.rs", &long, "601 lines"),
        ("length", "compiler/src/model_file/onnx.rs", "// short", "take it out of LONG"),
        ("links", "docs/losses.md", "see [there](layers.md)", "`layers.md` leads nowhere"),
        ("links", "README.md", "# One\n\n[`one`](#one), [two](#two)", "README.md:3: `#two` leads nowhere"),
        ("links", "docs/losses.md", "# Losses", "add it to docs/SUMMARY.md"),
        ("lints", "cli/Cargo.toml", "[package]\nname = \"millstream-cli\"\n[lints.rust]\n", "add `[lints]`"),
        ("names", "pipeline/src/utils/order.rs", "", "`utils`"),
        ("names", "pipeline/src/common.rs", "", "`common.rs`"),
        ("printing", "pipeline/src/order.rs", "fn f() { println!(\"x\") }", "only cli/ and xtask/ print"),
        ("printing", "src/lib.rs", "+fn f() { eprintln!(\"x\") }", "only cli/ and xtask/ print"),
        ("reasons", "training/src/lib.rs", todo, "say why"),
        ("reasons", ".ci/run", todo, "say why"),
        (
            "reserved",
            "pipeline/Cargo.toml",
            "+[dependencies]\nort.workspace = true",
            "named only by millstream-runtime, millstream-training",
        ),
        (
            "reserved",
            "compiler/Cargo.toml",
            "+[dependencies]\nort.workspace = true",
            "named only by millstream-runtime, millstream-training",
        ),
        ("reserved", "recipes/Cargo.toml", "+[dependencies]\nanyhow = \"1\"", "named only by millstream-cli"),
        ("tables", "transforms/src/image/blur.rs", "", "blur.rs: wants one line"),
        ("tables", mods, "mod flip;\nmod rotate;\nconst T: [X; 1] = [rotate::TRANSFORM];", "found 1 and 0"),
        ("tables", mods, "mod flip;\nconst T: [X; 2] = [flip::TRANSFORM, rotate::TRANSFORM];", "found 0 and 1"),
        (
            "tables",
            mods,
            "mod rotate;\nmod flip;\nconst T: [X; 2] = [flip::TRANSFORM, rotate::TRANSFORM];",
            "mod lines are not",
        ),
        (
            "tables",
            mods,
            "mod flip;\nmod rotate;\nconst T: [X; 2] = [rotate::TRANSFORM, flip::TRANSFORM];",
            "rows are not",
        ),
        ("tables", mods, "+mod zoom;", "no file transforms/src/image/zoom.rs"),
        ("unsafety", "compiler/src/lib.rs", "//! Graphs.", "add `#![forbid(unsafe_code)]`"),
        ("unsafety", "compiler/src/read.rs", unsafe_block, "kept to the files"),
        ("unsafety", "runtime/src/library.rs", unsafe_block, "SAFETY"),
        ("unsafety", "runtime/src/library.rs", "", "take it out of UNSAFE"),
    ];
    for (name, file, text, message) in spoils {
        let mut tree = Tree::sound();
        let old = tree.files.get(*file).cloned().unwrap_or_default();
        let new = text.strip_prefix('+').map_or((*text).to_owned(), |line| format!("{old}\n{line}"));
        tree.files.insert((*file).to_owned(), new);
        let (_, rule) = RULES.iter().find(|(rule, _)| rule == name).expect("the rule is in RULES");
        let faults = rule(&tree);
        assert!(faults.iter().any(|fault| fault.contains(message)), "{name}, {file}: {message}\n{faults:#?}");
    }
    let spoiled: BTreeSet<&str> = spoils.iter().map(|row| row.0).collect();
    assert!(RULES.iter().all(|(name, _)| spoiled.contains(name)), "every rule has a row that makes it fail");
}
