use crate::workplace::Workplace;

#[test]
fn drawn_steps_replay_to_the_same_pixels() {
    let place = Workplace::new();
    let drawn = place.run(&["preview", "recipe.yaml", "-n", "3", "-k", "2", "-o", "a.png", "--json"]).done();
    place.write("steps.json", &drawn);
    place.run(&["preview", "recipe.yaml", "-o", "b.png", "--replay", "steps.json"]).done();
    assert_eq!(place.read("a.png"), place.read("b.png"));
    let sheet = image::load_from_memory(&place.read("a.png")).unwrap().to_rgb8();
    assert!(sheet.width() > 3 * 160 && sheet.height() > 3 * 160);
    // Other draws give another picture, so the comparison above means something.
    place.run(&["preview", "recipe.yaml", "-n", "3", "-k", "2", "-o", "c.png", "--seed", "99"]).done();
    assert_ne!(place.read("a.png"), place.read("c.png"));
}

#[test]
fn steps_of_other_data_are_refused() {
    let place = Workplace::new();
    let drawn = place.run(&["preview", "recipe.yaml", "-n", "1", "--json"]).done();
    place.write("steps.json", &drawn);
    let change = ["preview", "recipe.yaml", "--replay", "steps.json", "--set", "data.train=test.parquet"];
    place.run(&change).failed_with(&["cannot replay", "other data"]);
    place.write("steps.json", &drawn.replace("\"row\":", "\"raw\":"));
    place.run(&["preview", "recipe.yaml", "--replay", "steps.json"]).failed_with(&["steps.json", "`raw`"]);
}

#[test]
fn no_model_is_needed() {
    let place = Workplace::new();
    let transforms = "[vertical_flip, {mix_up: {alpha: 0.2}}]";
    place.write(
        "bare.yaml",
        &format!("version: 1\ndata: {{train: test.parquet}}\ntransforms: {{train: {transforms}}}\n"),
    );
    let ran = place.run(&["preview", "bare.yaml", "-n", "2", "-k", "1"]);
    for part in ["`mix_up` acts on whole batches and is not shown", "vertical_flip can change the label"] {
        assert!(ran.stderr.contains(part), "wanted {part} in {}", ran.stderr);
    }
    ran.done();
    assert!(place.path("preview.png").exists());
}

/// Where a region of a mask ends, its colour stands unmixed.
#[test]
fn masks_are_drawn_over_the_pictures_that_training_sees() {
    let place = Workplace::new();
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/segmentation/data/*-train-*.parquet");
    let recipe = |targets: &str| {
        let inputs = "inputs: {image: {image: {column: image}}}";
        format!(
            "version: 1\ndata: {{train: {:?}, {inputs}{targets}}}\ntransforms: {{train: [{{rotate: {{degrees: 30}}}}]}}\n",
            data.display().to_string()
        )
    };
    place.write("plain.yaml", &recipe(", label: \"\""));
    let classes = "classes: [photograph, digit]";
    place.write("masks.yaml", &recipe(&format!(", targets: {{digits: {{mask: {{column: mask, {classes}}}}}}}")));
    let pixels = |name: &str| {
        place.run(&["preview", &format!("{name}.yaml"), "-n", "2", "-k", "2", "-o", &format!("{name}.png")]).done();
        let sheet = image::load_from_memory(&place.read(&format!("{name}.png"))).unwrap().to_rgb8();
        sheet.pixels().filter(|pixel| pixel.0 == [230, 159, 0]).count()
    };
    assert_eq!(pixels("plain"), 0);
    assert!(pixels("masks") > 200);
}
