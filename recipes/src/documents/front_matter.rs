//! What stands before a card, as Hugging Face reads it (<https://huggingface.co/docs/hub/model-cards>).

use std::collections::BTreeMap;

use millstream_schemas::Choice;
use millstream_training::Evaluation;
use millstream_training::metrics::FigureKind;

use super::statements::Statements;

/// The keys of a front matter; what is not known is left out.
#[derive(Debug)]
pub(super) struct FrontMatter<'a> {
    /// Beside `onnx` and `millstream`.
    pub(super) tags: &'a [&'a str],
    /// What the model does, as Hugging Face calls it.
    pub(super) task: Option<&'a str>,
    /// How the base model became this one: `finetune`, `adapter` or `merge`.
    pub(super) relation: &'a str,
    /// What was measured.
    pub(super) metrics: Vec<&'a FigureKind>,
    /// What is stated. A name of the data is one of a data set on the Hub there, so none is guessed.
    pub(super) said: &'a Statements,
}

impl FrontMatter<'_> {
    /// The block with its fences.
    pub(super) fn yaml(&self) -> String {
        let said = self.said;
        let mut out = String::from("---\nlibrary_name: onnx\ntags:\n- onnx\n- millstream\n");
        out += &self.tags.iter().map(|tag| format!("- {tag}\n")).collect::<String>();
        for (key, value) in [("license", &said.license), ("language", &said.language)] {
            if let Some(value) = Statements::answer(value) {
                out += &format!("{key}: {}\n", quoted(value));
            }
        }
        if let Some(task) = self.task {
            out += &format!("pipeline_tag: {task}\n");
        }
        if let Some(base) = Statements::answer(&said.base_model) {
            out += &format!("base_model: {}\nbase_model_relation: {}\n", quoted(base), self.relation);
        }
        if let Some(name) = Statements::answer(&said.data_name) {
            out += &format!("datasets:\n- {}\n", quoted(name));
        }
        if !self.metrics.is_empty() {
            out += "metrics:\n";
            out += &self.metrics.iter().map(|kind| format!("- {}\n", quoted(&kind.name))).collect::<String>();
        }
        out + "---\n"
    }
}

/// The figures that an evaluation has.
pub(super) fn measured<'a>(evaluation: Option<&Evaluation>, kinds: &'a [FigureKind]) -> Vec<&'a FigureKind> {
    let has = |kind: &&FigureKind| evaluation.is_some_and(|found| found.figure(&kind.name).is_some());
    kinds.iter().filter(has).collect()
}

/// What a model does, as Hugging Face calls it, by what its rows hold: `kind` of input, the encodings of the targets, and whether there
/// are classes. None where that does not say.
pub(super) fn task(kind: &str, targets: &BTreeMap<String, Choice>, has_classes: bool) -> Option<&'static str> {
    let encodes = |name: &str| targets.values().any(|choice| choice.name == name);
    match kind {
        "image" if encodes("boxes") => Some("object-detection"),
        "image" if encodes("key_points") => Some("keypoint-detection"),
        "image" if encodes("mask") => Some("image-segmentation"),
        "image" if has_classes => Some("image-classification"),
        "text" if encodes("spans") => Some("token-classification"),
        "text" if has_classes => Some("text-classification"),
        "numbers" if has_classes => Some("tabular-classification"),
        "numbers" if encodes("number") => Some("tabular-regression"),
        _ => None,
    }
}

/// A text in quotes.
pub(super) fn quoted(value: &str) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_known_stands_before_the_card_and_nothing_else() {
        let said = Statements {
            base_model: Some("google/mobilenet_v2".into()),
            data_name: Some("flowers".into()),
            ..Statements::default()
        };
        let kinds = [FigureKind::loss()];
        let all = FrontMatter {
            tags: &["ensemble"],
            task: Some("image-classification"),
            relation: "merge",
            metrics: kinds.iter().collect(),
            said: &said,
        };
        let yaml = all.yaml();
        for line in [
            "- ensemble",
            "pipeline_tag: image-classification",
            "base_model: \"google/mobilenet_v2\"",
            "base_model_relation: merge",
            "- \"flowers\"",
            "- \"loss\"",
        ] {
            assert!(yaml.lines().any(|other| other == line), "{line} is not in\n{yaml}");
        }
        let said = Statements::default();
        let bare = FrontMatter { tags: &[], task: None, metrics: Vec::new(), said: &said, ..all };
        assert_eq!(bare.yaml(), "---\nlibrary_name: onnx\ntags:\n- onnx\n- millstream\n---\n");
    }

    #[test]
    fn the_task_is_that_of_inputs_and_targets() {
        for (kind, target, classes, wanted) in [
            ("image", None, true, Some("image-classification")),
            ("image", Some("boxes"), false, Some("object-detection")),
            ("image", Some("key_points"), false, Some("keypoint-detection")),
            ("image", Some("mask"), true, Some("image-segmentation")),
            ("image", Some("multi_label"), true, Some("image-classification")),
            ("image", Some("number"), false, None),
            ("text", None, true, Some("text-classification")),
            ("text", Some("spans"), true, Some("token-classification")),
            ("text", None, false, None),
            ("numbers", Some("number"), false, Some("tabular-regression")),
        ] {
            let choices = target.map(|name| ("target".to_owned(), Choice::new(name, json!({"column": "y"}))));
            assert_eq!(task(kind, &choices.into_iter().collect(), classes), wanted, "{kind}, {target:?}");
        }
    }
}
