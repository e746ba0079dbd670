//! `cargo xtask sbom`: a bill of the crates that the program is made of, CycloneDX 1.6 (<https://cyclonedx.org/docs/1.6/json/>).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::command::{ask, cargo, root};

/// The crate whose program it is.
const PROGRAM: &str = "millstream-cli";

/// Writes the bill for this platform into a file, or prints it.
pub(crate) fn sbom(arguments: &[&str], host: &str) -> Result<(), String> {
    let bill = format!("{:#}\n", of_program(host, None)?);
    match *arguments {
        [] => print!("{bill}"),
        [file] => fs::write(root().join(file), bill).map_err(|error| format!("{file}: {error}"))?,
        _ => return Err("usage: cargo xtask sbom [FILE]".into()),
    }
    Ok(())
}

/// The bill of the program as it is built for a platform; with the SHA-256 of the built file, where there is one.
pub(crate) fn of_program(host: &str, sha256: Option<&str>) -> Result<Value, String> {
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", host];
    let said = ask(&mut cargo(&arguments)).ok_or("`cargo metadata` failed")?;
    let metadata: Value = serde_json::from_str(&said).map_err(|error| format!("`cargo metadata`: {error}"))?;
    let lock = fs::read_to_string(root().join("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    bill(&metadata, &checksums(&lock), sha256)
}

/// What `cargo metadata` says of all crates, as a bill of those that are compiled into the program: what only builds it (build
/// scripts, macros, tests) is not.
fn bill(metadata: &Value, checksums: &BTreeMap<[String; 2], String>, sha256: Option<&str>) -> Result<Value, String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let by_id =
        |list: Vec<Value>| list.into_iter().map(|entry| (text(&entry["id"]), entry)).collect::<BTreeMap<_, _>>();
    let packages = by_id(list(&metadata["packages"]));
    let nodes = by_id(list(&metadata["resolve"]["nodes"]));
    let is_macro = |id: &str| {
        let kinds = packages.get(id).map(|package| list(&package["targets"])).unwrap_or_default();
        kinds.iter().any(|target| list(&target["kind"]).contains(&json!("proc-macro")))
    };
    let needs = |id: &str| -> BTreeSet<String> {
        let depends = nodes.get(id).map(|node| list(&node["deps"])).unwrap_or_default();
        let is_normal = |depends: &&Value| list(&depends["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        depends.iter().filter(is_normal).map(|depends| text(&depends["pkg"])).filter(|id| !is_macro(id)).collect()
    };
    let is_program = |package: &&Value| package["name"] == PROGRAM;
    let program = packages.values().find(is_program).ok_or_else(|| format!("there is no crate `{PROGRAM}`"))?;
    let (mut found, mut open) = (BTreeSet::new(), vec![text(&program["id"])]);
    while let Some(id) = open.pop() {
        if found.insert(id.clone()) {
            open.extend(needs(&id));
        }
    }
    // a `+` in a version would be read as a blank
    let purl = |id: &str| {
        let version = text(&packages[id]["version"]).replace('+', "%2B");
        format!("pkg:cargo/{}@{version}", text(&packages[id]["name"]))
    };
    let component = |id: &String| {
        let package = &packages[id];
        let mut part = Map::new();
        for (key, value) in [("type", "library"), ("bom-ref", &purl(id)), ("name", &text(&package["name"]))] {
            part.insert(key.into(), json!(value));
        }
        part.insert("version".into(), package["version"].clone());
        part.insert("purl".into(), json!(purl(id)));
        if let Some(license) = package["license"].as_str() {
            // crates of old write `MIT/Apache-2.0`
            part.insert("licenses".into(), json!([{"expression": license.replace('/', " OR ")}]));
        }
        if let Some(sum) = checksums.get(&[text(&package["name"]), text(&package["version"])]) {
            part.insert("hashes".into(), json!([{"alg": "SHA-256", "content": sum}]));
        }
        Value::Object(part)
    };
    let depends =
        |id: &String| json!({"ref": purl(id), "dependsOn": needs(id).iter().map(|id| purl(id)).collect::<Vec<_>>()});
    let mut subject = component(&text(&program["id"]));
    subject["type"] = json!("application");
    let mut made = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": found.iter().filter(|id| **id != text(&program["id"])).map(component).collect::<Vec<_>>(),
        "dependencies": found.iter().map(depends).collect::<Vec<_>>(),
    });
    if let Some(sum) = sha256 {
        subject["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
        let part = |from: usize, to: usize| sum.get(from..to).unwrap_or_default();
        // a UUID of version 8 from the hash: the same file has the same number
        let number = [part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30)];
        let [a, b, c, d, e] = number;
        made["serialNumber"] = json!(format!("urn:uuid:{a}-{b}-8{c}-a{d}-{e}"));
    }
    made["metadata"] = json!({"component": subject});
    Ok(made)
}

/// The checksum of each crate's archive, by name and version, as `Cargo.lock` has them.
fn checksums(lock: &str) -> BTreeMap<[String; 2], String> {
    let mut found = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let own = package.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='))?;
            Some(own.trim().trim_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) = (value("name"), value("version"), value("checksum")) {
            found.insert([name, version], sum);
        }
    }
    found
}

/// Writes the bill of a built file beside it.
pub(crate) fn write(host: &str, sha256: &str, file: &Path) -> Result<(), String> {
    let bill = of_program(host, Some(sha256))?;
    fs::write(file, format!("{bill:#}\n")).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
#[path = "../../cli/build/crates.rs"]
mod built_in;

#[cfg(test)]
mod tests {
    use super::*;

    /// The bill that the program holds of itself has what is built for whatever platform, and what only builds it, too.
    #[test]
    fn the_bill_of_a_release_says_of_each_crate_what_the_program_says_of_it() {
        let host = crate::release::host().unwrap();
        let released = of_program(&host, None).unwrap();
        let read = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
        let lock = read(&root().join("Cargo.lock")).unwrap();
        let own_needs = built_in::own_needs(root(), &read).unwrap();
        let of_itself = built_in::bill(&built_in::packages(&lock), &own_needs, &host).unwrap();
        let of_itself: Value = serde_json::from_str(&of_itself).unwrap();
        let list = |value: &Value| value.as_array().unwrap().clone();
        let parts = |bill: &Value| [list(&bill["components"]), vec![bill["metadata"]["component"].clone()]].concat();
        let others = parts(&of_itself);
        assert!(list(&released["components"]).len() > 100, "{released}");
        for part in parts(&released) {
            let is_it = |other: &&Value| other["bom-ref"] == part["bom-ref"];
            let other = others.iter().find(is_it).unwrap_or_else(|| panic!("the program does not name {part}"));
            for key in ["type", "name", "version", "purl", "hashes"] {
                assert_eq!(part[key], other[key], "{key} of {part}");
            }
        }
        let needs_of_itself = list(&of_itself["dependencies"]);
        for own in list(&released["dependencies"]) {
            let other = needs_of_itself.iter().find(|other| other["ref"] == own["ref"]).unwrap();
            let (needs, known) = (list(&own["dependsOn"]), list(&other["dependsOn"]));
            let lacks: Vec<&Value> = needs.iter().filter(|need| !known.contains(need)).collect();
            assert!(lacks.is_empty(), "of {} the program does not name {lacks:?}", own["ref"]);
        }
        // a crate has one line in each
        for bill in [&released, &of_itself] {
            let names: BTreeSet<String> = parts(bill).iter().map(|part| part["bom-ref"].to_string()).collect();
            assert_eq!(names.len(), parts(bill).len());
        }
    }

    #[test]
    fn crates_that_are_compiled_in_are_listed_with_licence_and_checksum_and_tools_are_not() {
        let package = |name: &str, kind: &str| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "targets": [{"kind": [kind]}]});
        let depends = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [package(PROGRAM, "bin"), package("a", "lib"), package("b", "lib"), package("m", "proc-macro"), package("t", "lib")],
            "resolve": {"nodes": [
                {"id": PROGRAM, "deps": [depends("a", Value::Null), depends("m", Value::Null), depends("t", json!("dev"))]},
                {"id": "a", "deps": [depends("b", Value::Null), depends("t", json!("build"))]},
                {"id": "b", "deps": []},
            ]},
        });
        let sums = checksums("version = 4\n\n[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nchecksum = \"ab\"\n");
        let bill = bill(&metadata, &sums, Some(&"0123456789abcdef".repeat(4))).unwrap();
        let names: Vec<&str> =
            bill["components"].as_array().unwrap().iter().filter_map(|part| part["name"].as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(bill["components"][1]["hashes"][0]["content"], "ab");
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["metadata"]["component"]["type"], "application");
        assert_eq!(bill["serialNumber"], "urn:uuid:01234567-89ab-8cde-af01-23456789abcd");
        let of_program =
            bill["dependencies"].as_array().unwrap().iter().find(|own| own["ref"] == "pkg:cargo/millstream-cli@1.0.0");
        assert_eq!(of_program.unwrap()["dependsOn"], json!(["pkg:cargo/a@1.0.0"]));
    }
}
