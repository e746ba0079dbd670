//! What the rules look at: the text of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::tables::TABLES;
use super::{ARROWS, LONG, MOST_LINES, UNSAFE};

/// The files of the workspace by path from its root, with `/` between folders.
#[derive(Default)]
pub(super) struct Tree {
    /// Those that are text.
    pub(super) files: BTreeMap<String, String>,
    /// Pictures and data, and programs of their own.
    pub(super) others: BTreeSet<String>,
}

pub(super) struct Manifest {
    pub(super) path: String,
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) workspace_lints: bool,
}

pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) dev: bool,
}

impl Tree {
    pub(super) fn read(root: &Path) -> Self {
        let mut tree = Self::default();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("the folder can be listed") {
                let path = entry.expect("the folder can be listed").path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let known = matches!(name, ".ci" | ".cargo" | ".config" | ".github");
                if path.is_dir() {
                    if (known || !name.starts_with('.')) && !matches!(name, "target" | "runs") {
                        folders.push(path);
                    }
                    continue;
                }
                let inside = path.strip_prefix(root).expect("it was found below the root");
                let parts: Vec<&str> = inside.iter().filter_map(|part| part.to_str()).collect();
                // A program of its own is not ours to order.
                let text = match parts[..] {
                    ["tests", "extension", ..] => None,
                    _ => std::fs::read(&path).ok().and_then(|bytes| String::from_utf8(bytes).ok()),
                };
                match text {
                    Some(text) => tree.files.insert(parts.join("/"), text).is_none(),
                    None => tree.others.insert(parts.join("/")),
                };
            }
        }
        tree
    }

    /// Whether there is such a file or folder.
    pub(super) fn has(&self, path: &str) -> bool {
        let mut all = self.files.keys().chain(&self.others);
        path.is_empty()
            || all.any(|file| file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(|(path, _)| path.ends_with(".rs"))
    }

    pub(super) fn manifests(&self) -> Vec<Manifest> {
        let files = self.files.iter().filter(|(path, _)| Path::new(path).ends_with("Cargo.toml"));
        files.filter_map(|(path, text)| Manifest::parse(path, text)).collect()
    }

    /// A workspace that breaks no rule.
    pub(super) fn sound() -> Self {
        let mut tree = Self::default();
        let mut add = |path: String, text: &str| tree.files.insert(path, text.to_owned());
        for (name, _) in ARROWS {
            let folder = match *name {
                "millstream" => String::new(),
                name => format!("{}/", name.trim_start_matches("millstream-")),
            };
            let head = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n");
            add(format!("{folder}Cargo.toml"), &head);
            let root = if matches!(*name, "millstream-cli" | "xtask") { "main" } else { "lib" };
            add(format!("{folder}src/{root}.rs"), "#![forbid(unsafe_code)]");
        }
        for path in UNSAFE {
            add((*path).to_owned(), "// SAFETY: checked above\nunsafe { f() }");
        }
        for (folder, row, others) in TABLES {
            let rows = format!("mod flip;\nmod rotate;\nconst TABLE: [Row; 2] = [flip::{row}, rotate::{row}];\n");
            let others: String = others.iter().map(|other| format!("mod {other};\n")).collect();
            add(format!("{folder}/mod.rs"), &(others + &rows + "#[cfg(test)]\nmod checks;\n"));
            for name in ["flip", "rotate"] {
                add(format!("{folder}/{name}.rs"), "");
            }
        }
        let mut add = |path: &str, text: &str| tree.files.insert(path.to_owned(), text.to_owned());
        // no circle: what is re-exported, quoted, commented, tested or within the file
        let root = "#![forbid(unsafe_code)]\nmod graph;\nmod operators;\npub use graph::Graph;\npub use operators::flip::Turn;";
        add("compiler/src/lib.rs", root);
        let graph = "/* crate::Turn */ const T: (&str, char) = (\"crate::Turn\", '\"');\nmod inner { use super::Graph; }\n\
                     #[cfg(test)]\nmod tests {\n    use crate::Turn;\n}\n";
        add("compiler/src/graph.rs", graph);
        add("compiler/src/operators/flip.rs", "use crate::{Graph as Drawn, operators::rotate};\npub struct Turn;");
        let mut add = |path: String, text: &str| tree.files.insert(path, text.to_owned());
        for (path, _) in LONG {
            add((*path).to_owned(), &"let x = 1;\n".repeat(MOST_LINES + 1));
        }
        let tested = "fn f() {} // println!\n/// `println!`\n#[cfg(test)]\nmod tests {\n    println!();\n}\n";
        add("pipeline/src/sources/file.rs".into(), tested);
        add("cli/src/output.rs".into(), concat!("println!(); // TO", "DO(waits for colours): colour\n"));
        tree
    }
}

impl Manifest {
    /// Reads as much of a Cargo.toml as the rules need; `None` when it is no package.
    pub(super) fn parse(path: &str, text: &str) -> Option<Self> {
        let mut manifest =
            Self { path: path.into(), name: String::new(), dependencies: Vec::new(), workspace_lints: false };
        let mut section = String::new();
        for (number, line) in text.lines().enumerate().map(|(number, line)| (number + 1, line.trim())) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
                section = name.trim_matches('[').to_owned();
                if let Some((kind, name)) = section.rsplit_once('.').filter(|(kind, _)| is_dependencies(kind)) {
                    manifest.depend(name, kind, number);
                }
                continue;
            }
            let Some((key, value)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else {
                continue;
            };
            match section.as_str() {
                "package" if key == "name" => manifest.name = value.trim_matches('"').to_owned(),
                "lints" if key == "workspace" => manifest.workspace_lints = value == "true",
                "workspace.dependencies" => {}
                kind if is_dependencies(kind) && !line.starts_with('#') => {
                    let renamed = value.split_once("package").and_then(|(_, rest)| rest.split('"').nth(1));
                    let name = renamed.unwrap_or_else(|| key.split('.').next().unwrap_or(key));
                    manifest.depend(name, kind, number);
                }
                _ => {}
            }
        }
        (!manifest.name.is_empty()).then_some(manifest)
    }

    pub(super) fn depend(&mut self, name: &str, kind: &str, line: usize) {
        let name = name.trim_matches('"').to_owned();
        self.dependencies.push(Dependency { name, line, dev: kind.ends_with("dev-dependencies") });
    }
}

pub(super) fn is_dependencies(section: &str) -> bool {
    let kind = section.rsplit('.').next().unwrap_or(section);
    matches!(kind, "dependencies" | "dev-dependencies" | "build-dependencies") && section != "workspace.dependencies"
}

/// Whether a file is a module of tests, by its name or its folder's.
pub(super) fn test_module(path: &str) -> bool {
    Path::new(path).iter().any(|part| part == "tests" || part == "tests.rs")
}

/// Lines of code with their numbers, comments cut off, up to the module of tests at the end of the file.
pub(super) fn code_outside_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut previous = "";
    let lines = text.lines().enumerate().take_while(move |(_, line)| {
        let ends = previous == "#[cfg(test)]" && line.starts_with("mod ") && line.ends_with('{');
        previous = line.trim();
        !ends
    });
    lines.map(|(number, line)| (number + 1, line.split("//").next().unwrap_or(line)))
}
