//! The parts of recipes on the page about losses.

use std::path::Path;

use millstream::compiler::losses;
use millstream::recipes;
use millstream::schemas::recipe::RecipeText;
use millstream::{Catalogs, pipeline};

use crate::workplace::Workplace;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/losses.md");
    std::fs::read_to_string(path).unwrap()
}

/// A whole recipe with a part as the page has it: inputs and targets, then other parts.
fn whole(part: &str) -> String {
    let (mut data, mut others) = (String::new(), String::new());
    let mut is_data = true;
    for line in part.lines().filter(|line| !line.trim().is_empty()) {
        is_data = match line.chars().next() {
            Some(' ') => is_data,
            _ => line.starts_with("inputs:") || line.starts_with("targets:"),
        };
        match is_data {
            true => data += &format!("  {line}\n"),
            false => others += &format!("{line}\n"),
        }
    }
    format!(
        "version: 1\nmodel: {{path: model.onnx, head: keep}}\ndata:\n  train: train.parquet\n  evaluate: test.parquet\n{data}{others}output: \
         {{folder: run}}\n"
    )
}

#[test]
fn each_can_be_read_and_each_loss_and_its_targets_are_there() {
    let (page, place) = (page(), Workplace::bare());
    let mut parts = 0;
    for block in page.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for part in block.split("---\n") {
            place.write("recipe.yaml", &whole(part));
            let text = RecipeText::read(&place.path("recipe.yaml"), &[]).unwrap();
            let read = recipes::load(&text, &Catalogs::default());
            assert!(read.is_ok(), "{part}\n{}", read.unwrap_err());
            parts += 1;
        }
    }
    assert!(parts > 12, "{parts}");
    let names = losses::standard().rows().iter().map(|row| row.name);
    let encodings = pipeline::encodings::standard().rows().iter().map(|row| row.name);
    // What makes inputs alone is told elsewhere.
    let targets = encodings.filter(|name| !["image", "text"].contains(name));
    for name in names.chain(targets) {
        assert!(page.contains(&format!("`{name}")), "the page says nothing of `{name}`");
    }
}
