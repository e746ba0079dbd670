//! What helps at a shell: a recipe written out, completions, manual pages, the version.

use crate::workplace::{Workplace, millstream, text};

#[test]
fn a_recipe_is_written_out_with_every_default_and_read_again_as_the_same() {
    let place = Workplace::new();
    let whole = place.run(&["config", "recipe.yaml", "--set", "training.epochs=7"]).done();
    for part in ["  epochs: 7\n", "# Rows a step.\n  batch: 8\n", "  # max_steps:", "weight_decay:"] {
        assert!(whole.contains(part), "wanted {part:?} in\n{whole}");
    }
    place.write("whole.yaml", &whole);
    assert_eq!(place.run(&["config", "whole.yaml"]).done(), whole);
    let bare = place.run(&["config", "recipe.yaml", "--json"]).json();
    assert_eq!(bare["training"]["epochs"], 3);
    place.run(&["config", "recipe.yaml", "--set", "training.epoch=7"]).failed_with(&["training", "epochs"]);
}

#[test]
fn shells_are_given_completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = millstream(&["completions", shell]).done();
        assert!(script.contains("predict") && script.contains("resume"), "{shell}: {script}");
    }
    let place = Workplace::bare();
    place.run(&["man-pages", "man/man1"]).done();
    let page = String::from_utf8(place.read("man/man1/millstream-train.1")).unwrap();
    assert!(page.contains(".TH millstream") && page.contains("overwrite"), "{page}");
    assert!(place.path("man/man1/millstream.1").exists());
    place.write("file", "");
    place.run(&["man-pages", text(&place.path("file/x"))]).failed_with(&["cannot make"]);
}

#[test]
fn the_version_names_commit_and_target() {
    let said = millstream(&["--version"]).done();
    let first = said.lines().next().unwrap_or_default();
    assert!(first.starts_with(concat!("millstream ", env!("CARGO_PKG_VERSION"), " (")), "{said}");
    assert!(first.contains(std::env::consts::ARCH) && said.contains("ONNX Runtime: "), "{said}");
    // the short form stays one that scripts can compare
    assert_eq!(millstream(&["-V"]).done().trim(), concat!("millstream ", env!("CARGO_PKG_VERSION")));
}
