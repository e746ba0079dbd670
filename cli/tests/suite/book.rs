//! The parts of recipes on the pages of the book. Their commands are run by `cargo xtask book`.

use std::path::{Path, PathBuf};

use millstream::recipes::search::OpenRecipe;
use millstream::recipes::{self, Catalogs};
use millstream::schemas::recipe::RecipeText;
use millstream::schemas::yaml;
use serde_json::{Map, Value, json};

use crate::workplace::{Workplace, has_runtime, text};

/// The page about losses has a test of its own.
const OTHERS: [&str; 4] = ["catalogs.md", "commands.md", "losses.md", "recipe.md"];

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = |name: &str| std::fs::read_dir(root.join(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = folder("docs").chain(folder("docs/tasks")).collect();
    pages.retain(|path| {
        path.extension().is_some_and(|end| end == "md") && !OTHERS.iter().any(|name| path.ends_with(name))
    });
    pages.push(root.join("README.md"));
    pages.sort();
    pages
}

/// The parts of recipes of a page, each with its line; `<!-- not run: REASON -->` above a block is for what is none.
fn parts(page: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = page.lines().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| **line == "```yaml").map(|(at, _)| at);
    let recipes = starts.filter(|at| *at == 0 || !lines[at - 1].starts_with("<!-- not run: "));
    let block = |at: usize| lines[at + 1..].iter().take_while(|line| **line != "```").copied().collect::<Vec<_>>();
    recipes.flat_map(|at| alternatives(&block(at)).into_iter().map(move |part| (at + 1, part))).collect()
}

/// Lines that say the same key below each other are several recipes, of which each has one.
fn alternatives(lines: &[&str]) -> Vec<String> {
    let key = |line: &str| line.split_once(':').map(|(key, _)| key.to_owned());
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for line in lines {
        let same = groups.last().is_some_and(|group| key(group[0]).is_some() && key(group[0]) == key(line));
        match groups.last_mut().filter(|_| same) {
            Some(group) => group.push(line),
            None => groups.push(vec![line]),
        }
    }
    let most = groups.iter().map(Vec::len).max().unwrap_or(0);
    let one = |at: usize| groups.iter().map(|group| format!("{}\n", group[at.min(group.len() - 1)])).collect();
    (0..most).map(one).collect()
}

fn merged(base: &mut Map<String, Value>, part: Map<String, Value>) {
    for (key, value) in part {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(base)), Value::Object(part)) => merged(base, part),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

#[test]
fn the_recipes_of_every_page_can_be_read() {
    let (catalogs, mut read) = (Catalogs::default(), 0);
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for (line, part) in parts(&text) {
            let told = format!("{}:{line}\n{part}", page.display());
            let Value::Object(part) = yaml::value(&part).unwrap_or_else(|error| panic!("{told}\n{error}")) else {
                panic!("{told}\nis no mapping")
            };
            let mut whole = json!({
                "version": 1, "model": {"path": "model.onnx"},
                "data": {"train": "train.parquet", "evaluate": "test.parquet"}, "output": {"folder": "run"},
            });
            merged(whole.as_object_mut().unwrap(), part);
            let place = Workplace::bare();
            place.write("recipe.yaml", &whole.to_string());
            let text =
                RecipeText::read(&place.path("recipe.yaml"), &[]).unwrap_or_else(|error| panic!("{told}\n{error}"));
            let fault = match OpenRecipe::is_open(&text) {
                true => OpenRecipe::load(&text, &catalogs).err(),
                false => recipes::load(&text, &catalogs).err(),
            };
            assert!(fault.is_none(), "{told}\n{}", fault.unwrap());
            read += 1;
        }
    }
    assert!(read > 30, "{read}");
}

/// The first Python code below a heading of a page.
fn python_below(page: &str, heading: &str) -> String {
    let below = page.split_once(&format!("\n{heading}\n")).unwrap().1;
    below.split_once("```python\n").unwrap().1.split_once("```").unwrap().0.to_owned()
}

#[test]
fn a_model_of_scikit_learn_is_made_as_the_page_says_and_trained() {
    let Some(python) = std::env::var_os("MILLSTREAM_SCIKIT_LEARN").filter(|_| has_runtime()) else {
        println!("left out, MILLSTREAM_SCIKIT_LEARN (a Python with scikit-learn, skl2onnx and pandas) is not set");
        return;
    };
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/getting-a-model.md");
    let place = Workplace::bare();
    place.write("page.py", &python_below(&std::fs::read_to_string(page).unwrap(), "## scikit-learn"));
    let folder = place.path("page.py");
    let ran = std::process::Command::new(python).arg("page.py").current_dir(folder.parent().unwrap()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    place.run(&["train", "iris.csv", "model.onnx", "-o", "run", "--set", "training.max_steps=2"]).done();
    let said = place.run(&["predict", text(&place.path("run")), "iris.csv", "--json"]).done();
    assert!(said.lines().count() == 150 && said.contains("probability"), "{said}");
}

#[test]
fn keys_that_are_said_twice_are_alternatives() {
    let page = "```yaml\na:\n  x: 1\n  x: 2\n  y: 3\n```\n<!-- not run: none -->\n```yaml\nb\n```\n";
    let wanted = [(1, "a:\n  x: 1\n  y: 3\n".to_owned()), (1, "a:\n  x: 2\n  y: 3\n".to_owned())];
    assert_eq!(parts(page), wanted);
}
