//! The training step as files, for a loop of one's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use millstream::schemas::{AxisLength, TrainingManifest};
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use crate::onnx;
use crate::workplace::{Workplace, has_runtime};

const FILES: [&str; 5] =
    ["weights.bin", "training_step.onnx", "evaluation.onnx", "parameters.safetensors", "manifest.json"];

/// Rows of one colour each, `[rows, 3, 16, 16]`, and their classes, `[rows, 3]`.
fn batch(rows: usize) -> [(Vec<usize>, Vec<f32>); 2] {
    let pixel = |row: usize, channel: usize, at: usize| {
        if row % 3 == channel { 1.0 } else { (at * 31 + row * 7) as f32 % 5.0 / 10.0 }
    };
    let colours = (0..rows * 3 * 256).map(|index| pixel(index / 768, index / 256 % 3, index % 256)).collect();
    let classes = (0..rows * 3).map(|index| f32::from(index / 3 % 3 == index % 3)).collect();
    [(vec![rows, 3, 16, 16], colours), (vec![rows, 3], classes)]
}

struct Files {
    manifest: TrainingManifest,
    step: Session,
    evaluation: Session,
    parameters: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Files {
    /// As any program would open them: nothing of ours but the manifest's format.
    fn open(folder: &Path) -> Self {
        let environment = millstream::runtime::ready(None).unwrap().environment();
        let session = |name: &str| Session::builder(environment).unwrap().commit_from_file(folder.join(name)).unwrap();
        let bytes = fs::read(folder.join("parameters.safetensors")).unwrap();
        let (header, data) = bytes[8..].split_at(u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize);
        let header: serde_json::Value = serde_json::from_slice(header).unwrap();
        let numbers = |value: &serde_json::Value| -> Vec<usize> { serde_json::from_value(value.clone()).unwrap() };
        let parameter = |(name, entry): (&String, &serde_json::Value)| {
            let place = numbers(&entry["data_offsets"]);
            let floats = data[place[0]..place[1]].chunks_exact(4);
            let floats = floats.map(|float| f32::from_le_bytes(float.try_into().unwrap()));
            (name.clone(), (numbers(&entry["shape"]), floats.collect()))
        };
        Self {
            manifest: serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap(),
            step: session("training_step.onnx"),
            evaluation: session("evaluation.onnx"),
            parameters: header.as_object().unwrap().iter().map(parameter).collect(),
        }
    }

    fn inputs(&self, rows: usize) -> Vec<(String, SessionInputValue<'static>)> {
        let entries = self.manifest.inputs.iter().chain(&self.manifest.targets).map(|entry| entry.name.clone());
        let data = entries.zip(batch(rows));
        let all = data.chain(self.parameters.iter().map(|(name, value)| (name.clone(), value.clone())));
        all.map(|(name, value)| (name, Tensor::from_array(value).unwrap().into())).collect()
    }

    /// The loss, after which all parameters have gone down their gradients.
    fn step(&mut self, rows: usize, learning_rate: f32) -> f32 {
        let inputs = self.inputs(rows);
        let outputs = self.step.run(inputs).unwrap();
        let floats = |name: &str| outputs[name].try_extract_tensor::<f32>().unwrap().1.to_vec();
        for entry in &self.manifest.parameters {
            let (_, values) = self.parameters.get_mut(&entry.name).unwrap();
            let rate = learning_rate * entry.learning_rate_multiplier;
            values.iter_mut().zip(floats(&entry.gradient)).for_each(|(value, gradient)| *value -= rate * gradient);
        }
        floats(&self.manifest.loss.name)[0]
    }

    fn evaluate(&mut self, rows: usize) -> f32 {
        let inputs = self.inputs(rows);
        self.evaluation.run(inputs).unwrap()[self.manifest.loss.name.as_str()].try_extract_tensor::<f32>().unwrap().1[0]
    }
}

#[test]
fn a_loop_of_ones_own_trains_with_the_files_in_batches_of_any_size() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    fs::write(place.path("model.onnx"), onnx::network("Relu")).unwrap();
    let said = place.run(&["compile", "recipe.yaml", "-o", "step"]).done();
    for wanted in ["[batch, 3, 16, 16]", "output: loss", "parameters.safetensors", "4 parameters"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let mut files = Files::open(&place.path("step"));
    assert_eq!(files.manifest.batch, AxisLength::from("batch"));
    assert_eq!(files.manifest.parameters[0].gradient, format!("{}.gradient", files.manifest.parameters[0].name));
    let before = files.evaluate(9);
    let first = files.step(9, 0.0);
    assert!((first - before).abs() < 1e-6, "{first} in the step, {before} in the evaluation");
    for number in 0..40 {
        files.step([6, 9, 3][number % 3], 0.3);
    }
    let after = files.evaluate(12);
    assert!(after < 0.3 * before, "{after} after {before}");
}

#[test]
fn a_number_of_rows_may_be_fixed_and_every_file_is_listed() {
    let place = Workplace::new();
    let report = place
        .run(&["compile", "recipe.yaml", "-o", "step", "--batch", "5", "--set", "model.train=head", "--json"])
        .json();
    assert_eq!(report["manifest"]["batch"], 5);
    let names: Vec<&str> =
        report["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, FILES);
    for file in report["files"].as_array().unwrap() {
        let written = place.read(&format!("step/{}", file["name"].as_str().unwrap()));
        assert_eq!(file["bytes"], written.len());
    }
}

#[test]
fn a_folder_with_something_else_in_it_is_not_written_into() {
    let place = Workplace::new();
    let compile = |more: &[&str]| place.run(&[&["compile", "recipe.yaml", "-o", "step"], more].concat());
    compile(&[]).done();
    let before = FILES.map(|name| place.read(&format!("step/{name}")));
    compile(&["--batch", "4"]).failed_with(&["step", "holds a compiled training step already", "--overwrite"]);
    assert!(before == FILES.map(|name| place.read(&format!("step/{name}"))));
    compile(&["--batch", "4", "--overwrite"]).done();
    assert!(before != FILES.map(|name| place.read(&format!("step/{name}"))));
    place.write("step/notes.txt", "mine");
    compile(&["--overwrite"]).failed_with(&["step", "is not empty", "notes.txt"]);
    assert_eq!(place.read("step/notes.txt"), b"mine");
    for rows in ["0", "x", "65537"] {
        let failed = place.run(&["compile", "recipe.yaml", "-o", "other", "--batch", rows]);
        assert_eq!(failed.code, Some(2));
        assert!(failed.stderr.contains("wanted a whole number from 1 to 65536"), "{}", failed.stderr);
    }
    assert!(!place.path("other").exists());
}
