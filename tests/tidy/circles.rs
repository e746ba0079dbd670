//! No circle of files: which file uses which, read from the paths in the code, and the shortest way round.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Faults, Tree};

/// No file uses, by way of others, itself. Modules of tests are left out; a file that only declares modules and
/// re-exports is looked through.
pub(super) fn circles(tree: &Tree) -> Faults {
    let mut faults = Vec::new();
    for manifest in tree.manifests() {
        let folder = manifest.path.trim_end_matches("Cargo.toml");
        for circle in Crate::read(tree, &format!("{folder}src/")).circles() {
            faults.push(format!(
                "{}: files use each other in a circle: {}. Move what both sides need to a file of its own below them, \
                 or hand it in from above",
                manifest.name,
                circle.join(" -> ")
            ));
        }
    }
    faults
}

/// A module's path from the crate's root, which is empty.
type Module = Vec<String>;

/// One file of a crate, as far as paths go.
#[derive(Default)]
struct File {
    path: String,
    /// Names that `use` brings in, and what they stand for, from the crate's root.
    names: BTreeMap<String, Vec<String>>,
    /// Modules whose names all come in.
    globs: Vec<Module>,
    /// Paths in the code outside of `use`, as written.
    paths: BTreeSet<Vec<String>>,
    /// Single names in the code outside of `use`.
    words: BTreeSet<String>,
    /// Items that it defines.
    items: BTreeSet<String>,
    /// Whether it is the root of a folder of modules, whose `use` may be there for others.
    is_root: bool,
}

struct Crate {
    files: BTreeMap<Module, File>,
}

/// What a path leads to.
enum Found {
    /// An item of the file of this module.
    Item(Module),
    /// A module itself.
    Module,
}

impl Crate {
    /// The crate whose source lies in this folder; modules of tests are no part of it.
    fn read(tree: &Tree, folder: &str) -> Self {
        let mut found = Self { files: BTreeMap::new() };
        for root in ["lib.rs", "main.rs"] {
            found.add(tree, &format!("{folder}{root}"), folder, Module::new());
        }
        found
    }

    /// `below`: the folder in which the file's own modules lie.
    fn add(&mut self, tree: &Tree, path: &str, below: &str, module: Module) {
        let Some(text) = tree.files.get(path) else { return };
        let (file, children) = File::read(path, &tokens(text), &module);
        self.files.insert(module.clone(), file);
        for child in children {
            let mut inner = module.clone();
            inner.push(child.clone());
            let folder = format!("{below}{child}/");
            self.add(tree, &format!("{below}{child}.rs"), &folder, inner.clone());
            self.add(tree, &format!("{folder}mod.rs"), &folder, inner);
        }
    }

    /// Follows a path from the crate's root, through re-exports, to the file that defines what it names.
    fn resolve(&self, path: &[String], depth: usize) -> Option<Found> {
        let mut module = Module::new();
        for (at, name) in path.iter().enumerate() {
            let last = at + 1 == path.len();
            let file = self.files.get(&module)?;
            let mut inner = module.clone();
            inner.push(name.clone());
            let is_module = self.files.contains_key(&inner);
            // a function may have the name of its module: at the end of a path the function is meant
            if let Some(target) = file.names.get(name).filter(|_| depth < 16 && (last || !is_module)) {
                let whole: Vec<String> = target.iter().chain(&path[at + 1..]).cloned().collect();
                if let Some(found) = self.resolve(&whole, depth + 1) {
                    return Some(found);
                }
            }
            if !is_module {
                return Some(Found::Item(self.through_globs(&module, &path[at..], depth).unwrap_or(module)));
            }
            module = inner;
        }
        Some(Found::Module)
    }

    /// The module that a name comes from which a file has by `use …::*`.
    fn through_globs(&self, module: &Module, rest: &[String], depth: usize) -> Option<Module> {
        let file = self.files.get(module)?;
        if depth > 16 || file.items.contains(&rest[0]) {
            return None;
        }
        file.globs.iter().find_map(|glob| {
            let whole: Vec<String> = glob.iter().chain(rest).cloned().collect();
            match self.resolve(&whole, depth + 1)? {
                Found::Item(found) if self.files[&found].items.contains(&rest[0]) => Some(found),
                _ => None,
            }
        })
    }

    /// The modules whose files a file uses.
    fn used(&self, module: &Module) -> BTreeSet<Module> {
        let file = &self.files[module];
        let mut used = BTreeSet::new();
        let mut add = |path: &[String]| {
            if let Some(Found::Item(found)) = self.resolve(path, 0) {
                used.insert(found);
            }
        };
        for (name, target) in &file.names {
            if !file.is_root || file.words.contains(name) {
                add(target);
            }
        }
        for path in &file.paths {
            match absolute(path, module) {
                Some(path) => add(&path),
                None => {
                    let here = module.iter().chain(path).cloned().collect::<Vec<_>>();
                    let own = self.files.contains_key(&here[..=module.len()]);
                    if own || file.names.contains_key(&path[0]) {
                        add(&here);
                    }
                }
            }
        }
        for glob in file.globs.iter().filter(|_| !file.is_root) {
            used.insert(glob.clone());
        }
        used.remove(module);
        used
    }

    /// For each circle of files the shortest way round, by the files' paths; each file is in at most one of them.
    fn circles(&self) -> Vec<Vec<String>> {
        let edges: BTreeMap<&Module, BTreeSet<Module>> =
            self.files.keys().map(|module| (module, self.used(module))).collect();
        let mut ways: Vec<Vec<&Module>> = edges.keys().filter_map(|start| shortest(&edges, start)).collect();
        ways.sort_by_key(Vec::len);
        let mut told: BTreeSet<&Module> = BTreeSet::new();
        let mut circles = Vec::new();
        for way in ways {
            if way.iter().all(|module| !told.contains(module)) {
                circles.push(way.iter().map(|module| self.files[*module].path.clone()).collect());
                told.extend(way);
            }
        }
        circles
    }
}

/// The shortest way from a file back to itself, which is named at both ends.
fn shortest<'a>(edges: &BTreeMap<&'a Module, BTreeSet<Module>>, start: &'a Module) -> Option<Vec<&'a Module>> {
    let mut from: BTreeMap<&'a Module, &'a Module> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(at) = waiting.pop_front() {
        for next in &edges[at] {
            let (next, _) = edges.get_key_value(next)?;
            if *next == start {
                let back = std::iter::successors(Some(at), |at| from.get(at).copied());
                let mut way: Vec<&Module> = std::iter::once(start).chain(back).collect();
                way.reverse();
                return Some(way);
            }
            if !from.contains_key(next) {
                from.insert(next, at);
                waiting.push_back(next);
            }
        }
    }
    None
}

impl File {
    /// Reads the tokens of a file; also gives the modules that it declares.
    fn read(path: &str, tokens: &[&str], module: &Module) -> (Self, BTreeSet<String>) {
        let is_root = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| path.ends_with(name));
        let mut file = Self { path: path.to_owned(), is_root, ..Self::default() };
        let (mut children, mut uses) = (BTreeSet::new(), Vec::new());
        // at which depth of braces each module within the file begins
        let (mut at, mut depth, mut within) = (0, 0, Vec::new());
        while at < tokens.len() {
            let previous = at.checked_sub(1).map_or("", |before| tokens[before]);
            match &tokens[at..] {
                ["#", "[", "cfg", "(", "test", ")", "]", rest @ ..] => at = tokens.len() - after_item(rest).len(),
                ["use", rest @ ..] => {
                    let end = rest.iter().position(|token| *token == ";").unwrap_or(rest.len());
                    let mut leaves = Vec::new();
                    use_tree(&rest[..end], &mut Vec::new(), &mut leaves);
                    uses.extend(leaves.into_iter().map(|(path, name)| (from_file(path, within.len()), name)));
                    at += end + 1;
                }
                ["mod", name, ";", ..] => {
                    children.insert((*name).to_owned());
                    at += 3;
                }
                ["mod", _, "{", ..] => {
                    depth += 1;
                    within.push(depth);
                    at += 3;
                }
                ["{", ..] => (depth, at) = (depth + 1, at + 1),
                ["}", ..] => {
                    within.pop_if(|begin| *begin == depth);
                    (depth, at) = (depth - 1, at + 1);
                }
                ["fn" | "struct" | "enum" | "trait" | "type" | "const" | "static", name, ..] => {
                    file.items.insert((*name).to_owned());
                    at += 1;
                }
                [first, rest @ ..] if is_name(first) && !matches!(previous, "::" | ".") => {
                    let mut path = vec![(*first).to_owned()];
                    let mut rest = rest;
                    while let ["::", name, more @ ..] = rest
                        && is_name(name)
                    {
                        path.push((*name).to_owned());
                        rest = more;
                    }
                    at = tokens.len() - rest.len();
                    file.words.insert((*first).to_owned());
                    if path.len() > 1 {
                        file.paths.insert(from_file(path, within.len()));
                    }
                }
                _ => at += 1,
            }
        }
        let known: BTreeSet<String> = uses.iter().map(|(_, name)| name.clone()).chain(children.clone()).collect();
        for (path, name) in uses {
            let local = || known.contains(&path[0]).then(|| module.iter().chain(&path).cloned().collect());
            let Some(path) = absolute(&path, module).or_else(local) else { continue };
            if name == "*" {
                file.globs.push(path);
            } else {
                file.names.insert(name, path);
            }
        }
        (file, children)
    }
}

/// A path that is written so many modules deep within a file, as the file itself would write it.
fn from_file(mut path: Vec<String>, depth: usize) -> Vec<String> {
    let supers = path.iter().take_while(|part| *part == "super").count().min(depth);
    if supers > 0 {
        path.splice(..supers, (supers == depth).then(|| "self".to_owned()));
    }
    path
}

/// What follows an item, its attributes passed over.
fn after_item<'a, 'b>(tokens: &'a [&'b str]) -> &'a [&'b str] {
    let is_use = tokens.iter().find(|token| is_name(token) && !matches!(**token, "pub" | "crate")) == Some(&"use");
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (*token == ";" || (*token == "}" && !is_use)) {
            return &tokens[at + 1..];
        }
    }
    &[]
}

/// The leaves of a `use` with the names that they get.
fn use_tree(tokens: &[&str], before: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
    let length = before.len();
    match tokens {
        [] => {}
        ["{", inner @ .., "}"] => {
            let (mut depth, mut start) = (0, 0);
            for (at, token) in inner.iter().chain([&","]).enumerate() {
                match *token {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    "," if depth == 0 => {
                        use_tree(&inner[start..at], before, leaves);
                        start = at + 1;
                    }
                    _ => {}
                }
            }
        }
        ["*"] => leaves.push((before.clone(), "*".to_owned())),
        ["self", rest @ ..] if length > 0 => {
            let name = if let ["as", name] = rest { (*name).to_owned() } else { before[length - 1].clone() };
            leaves.push((before.clone(), name));
        }
        ["::", rest @ ..] => use_tree(rest, before, leaves),
        [name, "::", rest @ ..] => {
            before.push((*name).to_owned());
            use_tree(rest, before, leaves);
        }
        [name, rest @ ..] => {
            before.push((*name).to_owned());
            leaves.push((before.clone(), if let ["as", other] = rest { *other } else { *name }.to_owned()));
        }
    }
    before.truncate(length);
}

/// A path that begins with `crate`, `self` or `super`, from the crate's root.
fn absolute(path: &[String], module: &Module) -> Option<Vec<String>> {
    let mut from = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => module[..module.len().checked_sub(1)?].to_vec(),
        _ => return None,
    };
    let mut rest = &path[1..];
    while let [first, more @ ..] = rest
        && first == "super"
    {
        from.pop();
        rest = more;
    }
    from.extend_from_slice(rest);
    Some(from)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single signs; comments, texts, characters, numbers and lifetimes are passed over.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted(rest),
            // a character, or else a lifetime
            '\'' => match rest[1..].chars().next() {
                Some('\\') => rest[3..].find('\'').map_or(rest.len(), |end| end + 4),
                Some(c) if rest[1 + c.len_utf8()..].starts_with('\'') => 2 + c.len_utf8(),
                _ => 1 + rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len() - 1),
            },
            'r' if rest[1..].trim_start_matches('#').starts_with('"') => raw(rest, 1),
            'b' if rest[1..].starts_with('r') && rest[2..].trim_start_matches('#').starts_with('"') => raw(rest, 2),
            'b' if rest[1..].starts_with('"') => 1 + quoted(&rest[1..]),
            'r' if rest.starts_with("r#") => 2,
            ':' if rest.starts_with("::") => 2,
            c if c.is_ascii_digit() => word,
            _ => word.max(first.len_utf8()),
        };
        let token = &rest[..length];
        if is_name(token) && token != "r#" && !token.contains('"') || token == "::" || is_sign(token) {
            tokens.push(token);
        }
        rest = &rest[length..];
    }
    tokens
}

fn is_sign(token: &str) -> bool {
    token.len() == 1 && token.starts_with(|c: char| c.is_ascii_punctuation())
}

/// Length of a text in quotes.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// Length of a raw text, which begins with so many letters.
fn raw(text: &str, letters: usize) -> usize {
    let marks = text[letters..].len() - text[letters..].trim_start_matches('#').len();
    let begin = letters + marks + 1;
    let end = format!("\"{}", "#".repeat(marks));
    text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len())
}
