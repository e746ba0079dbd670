//! The crates that the program is made of, as `Cargo.lock` and the manifests of this repository say, for its bill of materials. What
//! releases hold beside the program is made of `cargo metadata` by `cargo xtask sbom`, which a test there holds against this.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The crate whose program it is.
const PROGRAM: &str = "millstream-cli";

/// A package of `Cargo.lock`.
pub(crate) struct Package<'a> {
    name: &'a str,
    version: &'a str,
    /// SHA-256 of its archive; none of a crate of this repository.
    checksum: Option<&'a str>,
    /// Names, with a version behind where there are several.
    needs: Vec<&'a str>,
}

/// All packages of `Cargo.lock`.
pub(crate) fn packages(lock: &str) -> Vec<Package<'_>> {
    lock.split("[[package]]").skip(1).filter_map(package).collect()
}

fn package(text: &str) -> Option<Package<'_>> {
    let needs = text.lines().filter_map(|line| line.strip_prefix(" \"")?.split('"').next());
    Some(Package {
        name: value(text, "name")?,
        version: value(text, "version")?,
        checksum: value(text, "checksum"),
        needs: needs.collect(),
    })
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let own = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
    Some(own.trim_matches('"'))
}

/// What crates of this repository need when they run, by their names: `Cargo.lock` has among it what only tests need.
/// `read` reads a manifest.
pub(crate) fn own_needs(
    root: &Path,
    read: &dyn Fn(&Path) -> Result<String, String>,
) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let folders = fs::read_dir(root).map_err(|error| format!("{}: {error}", root.display()))?;
    let folders = folders.filter_map(Result::ok).map(|entry| entry.path());
    let mut found = BTreeMap::new();
    for folder in folders.chain([root.to_owned()]) {
        let path = folder.join("Cargo.toml");
        if !path.is_file() {
            continue;
        }
        let manifest = read(&path)?;
        if let Some(name) = manifest.lines().find_map(|line| line.strip_prefix("name = ")) {
            found.insert(name.trim_matches('"').to_owned(), needs_to_run(&manifest));
        }
    }
    Ok(found)
}

/// The names in the tables `dependencies` of a manifest, those of platforms too.
fn needs_to_run(manifest: &str) -> BTreeSet<String> {
    let (mut found, mut is_inside) = (BTreeSet::new(), false);
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_inside = line == "[dependencies]" || (line.starts_with("[target.") && line.ends_with(".dependencies]"));
        } else if is_inside && line.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            found.extend(line.split(['.', ' ', '=']).next().map(str::to_owned));
        }
    }
    found
}

/// A bill of all that the program is built from, on whatever platform, CycloneDX 1.6.
pub(crate) fn bill(
    packages: &[Package<'_>],
    own: &BTreeMap<String, BTreeSet<String>>,
    target: &str,
) -> Result<String, String> {
    let program = place(packages, PROGRAM)?;
    let (mut found, mut open) = (BTreeMap::new(), vec![program]);
    while let Some(at) = open.pop() {
        if found.contains_key(&at) {
            continue;
        }
        let needs = needs(packages, at, own)?;
        open.extend(&needs);
        found.insert(at, needs);
    }
    let others = found.keys().filter(|at| **at != program).map(|at| component(&packages[*at], "library", ""));
    let depends = found.iter().map(|(at, needs)| {
        let needs: Vec<String> = needs.iter().map(|need| format!("\"{}\"", purl(&packages[*need]))).collect();
        format!(r#"{{"ref":"{}","dependsOn":[{}]}}"#, purl(&packages[*at]), needs.join(","))
    });
    let target = format!(r#","properties":[{{"name":"millstream:target","value":"{target}"}}]"#);
    let head = r#""$schema":"http://cyclonedx.org/schema/bom-1.6.schema.json","bomFormat":"CycloneDX","specVersion":"1.6","version":1"#;
    let subject = component(&packages[program], "application", &target);
    let (others, depends) = (others.collect::<Vec<_>>().join(","), depends.collect::<Vec<_>>().join(","));
    let parts = format!(r#""metadata":{{"component":{subject}}},"components":[{others}],"dependencies":[{depends}]"#);
    Ok(format!("{{{head},{parts}}}\n"))
}

/// The places of what a package needs.
fn needs(
    packages: &[Package<'_>],
    at: usize,
    own: &BTreeMap<String, BTreeSet<String>>,
) -> Result<BTreeSet<usize>, String> {
    let package = &packages[at];
    let to_run = own.get(package.name).filter(|_| package.checksum.is_none());
    let is_meant = |need: &&&str| {
        let name = need.split(' ').next().unwrap_or_default();
        to_run.is_none_or(|to_run| to_run.contains(name))
    };
    package.needs.iter().filter(is_meant).map(|need| place(packages, need)).collect()
}

/// Where a package is, by its name, and its version where that is behind.
fn place(packages: &[Package<'_>], named: &str) -> Result<usize, String> {
    let mut words = named.split(' ');
    let (name, version) = (words.next().unwrap_or_default(), words.next());
    let is_it =
        |package: &Package<'_>| package.name == name && version.is_none_or(|version| package.version == version);
    packages.iter().position(is_it).ok_or_else(|| format!("Cargo.lock has no `{named}`"))
}

/// What follows its own keys is `more`.
fn component(package: &Package<'_>, kind: &str, more: &str) -> String {
    let (Package { name, version, checksum, .. }, purl) = (package, purl(package));
    let hashes =
        checksum.map_or_else(String::new, |sum| format!(r#","hashes":[{{"alg":"SHA-256","content":"{sum}"}}]"#));
    format!(
        r#"{{"type":"{kind}","bom-ref":"{purl}","name":"{name}","version":"{version}","purl":"{purl}"{hashes}{more}}}"#
    )
}

/// The address of a package; a `+` in a version would be read as a blank.
fn purl(package: &Package<'_>) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"))
}
