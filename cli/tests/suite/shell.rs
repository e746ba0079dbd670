//! What helps at a shell: a recipe written out, completions, manual pages, the version.

use crate::workplace::{Ran, Workplace, millstream, text};

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

#[test]
fn the_version_names_the_library_that_would_be_used_and_does_not_fail_without_one() {
    let place = Workplace::bare();
    // a named folder is not replaced by another, and this one is empty
    let bare = |words: &[&str]| {
        let mut command = place.command(words);
        command.env("ORT_DYLIB_PATH", place.path(""));
        Ran::of(command.output().unwrap()).done()
    };
    let said = bare(&["--version"]);
    assert!(said.contains("ONNX Runtime: none found: ") && said.contains("ORT_DYLIB_PATH"), "{said}");
    for words in [["--runtime", "nowhere.so", "--version"], ["--version", "--runtime", "nowhere.so"]] {
        let said = bare(&words);
        assert!(said.contains("ONNX Runtime: none found: ") && said.contains("nowhere.so"), "{said}");
    }
    assert!(bare(&["--runtime=other.so", "--version"]).contains("other.so"));
    if let Ok(found) = ::millstream::runtime::locate(None) {
        let said = place.run(&["--runtime", text(&found.path), "--version"]).done();
        let wanted = format!("ONNX Runtime: {} ({}, found by the flag)", found.version, found.path.display());
        assert!(said.contains(&wanted), "{said}");
    }
}

/// What bash offers for a command line, the last word of which is under way.
fn offered(script: &std::path::Path, words: &[&str]) -> Option<Vec<String>> {
    let list: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let program = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={}; _millstream_set millstream '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        text(script),
        list.join(" "),
        words.len() - 1,
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let ran = std::process::Command::new("bash").args(["--norc", "-c", &program]).output();
    let Ok(ran) = ran else {
        println!("left out: this test needs bash");
        return None;
    };
    Some(String::from_utf8(ran.stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn what_is_set_is_completed_by_the_schema() {
    let place = Workplace::bare();
    place.write("completions.bash", &millstream(&["completions", "bash"]).done());
    let script = place.path("completions.bash");
    let rows: [(&[&str], &[&str]); 15] = [
        (
            &["train", "r.yaml", "--set", "training.opt"],
            &["training.optimizer=", "training.optimizer.adamw.learning_rate="],
        ),
        (&["train", "r.yaml", "--set", "training.ep"], &["training.epochs="]),
        (&["check", "r.yaml", "--set", "training.schedule", "="], &["cosine", "linear"]),
        (&["train", "r.yaml", "--set", "training.schedule", "=", "cos"], &["cosine"]),
        (&["train", "r.yaml", "--set", "training.memory_check=w"], &["training.memory_check=warn"]),
        // in one word, which bash parts at each `=` unless it is told otherwise
        (&["train", "r.yaml", "--set", "=", "training.ep"], &["training.epochs="]),
        (&["train", "r.yaml", "--set", "="], &["training.epochs=", "data.batch="]),
        (&["train", "r.yaml", "--set", "=", "training.schedule", "=", "cos"], &["cosine"]),
        (&["train", "r.yaml", "--set=training.ep"], &["--set=training.epochs="]),
        (&["train", "r.yaml", "--set=training.memory_check=w"], &["--set=training.memory_check=warn"]),
        (&["train", "r.yaml", "--res"], &["--resume"]),
        // values of other options
        (&["--color=al"], &["--color=always"]),
        (&["train", "r.yaml", "--color=al"], &["--color=always"]),
        (&["train", "r.yaml", "--color", "=", "al"], &["always"]),
        (&["train", "r.yaml", "--color", "="], &["always", "never"]),
    ];
    for (words, wanted) in rows {
        let Some(found) = offered(&script, &[&["millstream"], words].concat()) else { return };
        let last = words[words.len() - 1];
        for word in wanted {
            assert!(found.iter().any(|found| found == word), "{words:?}: wanted {word} in {found:?}");
        }
        assert!(found.iter().all(|found| last == "=" || found.starts_with(last)), "{words:?}: {found:?}");
    }
}

/// What a shell that need not be there prints; one that was installed by halves is not there.
fn said_by(shell: &str, arguments: &[&str]) -> Option<String> {
    let run = |arguments: &[&str]| std::process::Command::new(shell).args(arguments).output();
    if !run(&["-c", "true"]).is_ok_and(|ran| ran.status.success()) {
        println!("left out: this test needs {shell}");
        return None;
    }
    let ran = run(arguments).unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Some(String::from_utf8(ran.stdout).unwrap())
}

#[test]
fn what_is_set_is_completed_in_zsh() {
    let place = Workplace::bare();
    place.write("_millstream", &millstream(&["completions", "zsh"]).done());
    let script = place.path("_millstream");
    if said_by("zsh", &["-f", "-n", text(&script)]).is_none() {
        return;
    }
    // what zsh's completion hands to the function, and what it is given back
    let program = format!(
        "compdef() {{ }}; compset() {{ [[ $typed == *=* ]] && IPREFIX=${{typed%%=*}}= }}; \
         compadd() {{ if [[ $1 == -a ]]; then print -l -- $words; else print -l -- $keys; fi }}; _default() {{ }}\n\
         source {}; for typed in training.ep training.schedule= training.memory_check=w; do _millstream_settings; print; done",
        text(&script)
    );
    let said = said_by("zsh", &["-f", "-c", &program]).unwrap();
    let parts: Vec<&str> = said.split("\n\n").collect();
    assert!(parts.len() >= 3, "{said}");
    for (part, wanted) in parts.iter().zip(["training.epochs=", "cosine", "warn"]) {
        assert!(part.lines().any(|line| line == wanted), "wanted {wanted} in {part}");
    }
    let script = String::from_utf8(place.read("_millstream")).unwrap();
    assert!(script.contains(":KEY=VALUE:_millstream_settings") && !script.contains(":KEY=VALUE:_default"));
}

#[test]
fn what_is_set_is_completed_in_fish() {
    let place = Workplace::bare();
    place.write("millstream.fish", &millstream(&["completions", "fish"]).done());
    let script = place.path("millstream.fish");
    let rows: [(&str, &[&str]); 7] = [
        ("train r.yaml --set training.ep", &["training.epochs="]),
        (
            "train r.yaml --set training.schedule=cos",
            &["training.schedule=cosine", "training.schedule=cosine_restarts"],
        ),
        ("search run r.yaml --set training.memory_check=w", &["training.memory_check=warn"]),
        ("train r.yaml --res", &["--resume"]),
        ("adapter m", &["merge"]),
        ("completions f", &["fish"]),
        // a command that takes none
        ("predict runs/a --se", &[]),
    ];
    for (typed, wanted) in rows {
        let program = format!("source {}; complete -C 'millstream {typed}'", text(&script));
        let Some(said) = said_by("fish", &["--no-config", "-c", &program]) else { return };
        let words: Vec<&str> = said.lines().filter_map(|line| line.split('\t').next()).collect();
        assert!(wanted.iter().all(|wanted| words.contains(wanted)), "{typed}: wanted {wanted:?} in {words:?}");
        assert!(!wanted.is_empty() || words.is_empty(), "{typed}: wanted nothing, got {words:?}");
        let last = typed.rsplit(' ').next().unwrap_or_default();
        assert!(words.iter().all(|word| word.starts_with(last)), "{typed}: {words:?}");
    }
}

#[test]
fn words_of_a_known_set_are_completed_wherever_they_are_taken() {
    let place = Workplace::bare();
    for (shell, file) in [("bash", "completions.bash"), ("fish", "millstream.fish")] {
        place.write(file, &millstream(&["completions", shell]).done());
    }
    let rows: [(&[&str], &str, &[&str]); 9] = [
        (&["import", "a", "--boxes"], "", &["keep", "clip", "leave-out"]),
        (&["import", "a", "--boxes"], "c", &["clip"]),
        (&["predict", "m", "--device"], "c", &["cpu", "cuda"]),
        (&["ensemble", "fit", "--method"], "stack", &["stacking"]),
        (&["ensemble", "fit", "--metric"], "balanced", &["balanced_accuracy"]),
        (&["ensemble", "evaluate", "--metric"], "balanced", &["balanced_accuracy"]),
        (&["ensemble", "methods"], "stack", &["stacking"]),
        (&["transforms"], "rot", &["rotate"]),
        (&["completions"], "fi", &["fish"]),
    ];
    for (before, typed, wanted) in rows {
        let words: Vec<&str> = std::iter::once("millstream").chain(before.iter().copied()).chain([typed]).collect();
        if let Some(found) = offered(&place.path("completions.bash"), &words) {
            assert!(wanted.iter().all(|word| found.iter().any(|own| own == word)), "bash: {words:?}: {found:?}");
            assert!(found.iter().all(|own| own.starts_with(typed)), "bash: {words:?}: {found:?}");
        }
        let program = format!("source {}; complete -C '{}'", text(&place.path("millstream.fish")), words.join(" "));
        if let Some(said) = said_by("fish", &["--no-config", "-c", &program]) {
            let found: Vec<&str> = said.lines().filter_map(|line| line.split('\t').next()).collect();
            assert!(wanted.iter().all(|word| found.contains(word)), "fish: {words:?}: {found:?}");
            assert!(found.iter().all(|own| own.starts_with(typed)), "fish: {words:?}: {found:?}");
        }
    }
    let zsh = millstream(&["completions", "zsh"]).done();
    for part in [":keep|clip|leave-out:(keep clip leave-out)", ":DEVICE:(auto cpu cuda)"] {
        assert!(zsh.contains(part), "wanted {part}");
    }
    // which words there are is no matter of what is taken
    let refused = place.run(&["import", "a", "-o", "b", "--boxes", "cut"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("`keep`, `clip` and `leave-out`"), "{}", refused.stderr);
    place.run(&["transforms", "rotat"]).failed_with(&["did you mean `rotate`?"]);
}

#[test]
fn editors_find_the_schema_beside_a_recipe() {
    let place = Workplace::new();
    let line = "# yaml-language-server: $schema=recipe.schema.json\n";
    assert!(place.run(&["config", "recipe.yaml"]).done().starts_with(line));
    place.run(&["schema", "-o", "recipe.schema.json"]).done();
    let schema: serde_json::Value = serde_json::from_slice(&place.read("recipe.schema.json")).unwrap();
    assert_eq!(schema, place.run(&["schema"]).json());
    assert_eq!(schema["properties"]["$schema"]["type"], "string", "{schema}");
    // the key means the same, and is no part of the recipe
    let recipe = String::from_utf8(place.read("recipe.yaml")).unwrap();
    place.write("keyed.yaml", &format!("$schema: recipe.schema.json\n{recipe}"));
    assert_eq!(place.run(&["config", "keyed.yaml"]).done(), place.run(&["config", "recipe.yaml"]).done());
    place.write("keyed.yaml", &format!("$schema: 3\n{recipe}"));
    place.run(&["config", "keyed.yaml"]).failed_with(&["$schema"]);
}
