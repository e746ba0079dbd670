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
    /// The figures of the model, for those that list models by them; none of what is no model.
    pub(super) results: Option<ModelResults<'a>>,
    /// What is stated. A name of the data is one of a data set on the Hub there, so none is guessed.
    pub(super) said: &'a Statements,
}

/// What a model is worth, as `model-index` says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelResults<'a> {
    /// What the model is called.
    pub(super) model: &'a str,
    /// The split of the data that was measured on, where there is one.
    pub(super) split: Option<&'a str>,
    pub(super) evaluation: &'a Evaluation,
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
        out + &self.model_index().unwrap_or_default() + "---\n"
    }

    /// The figures with what they are of. `None` where the task or the name of the data is not known, or there are no figures: readers
    /// take nothing that lacks one of these.
    fn model_index(&self) -> Option<String> {
        let (results, task, data) = (self.results?, self.task?, Statements::answer(&self.said.data_name)?);
        let value = |kind: &&FigureKind| results.evaluation.figure(&kind.name).filter(|value| value.is_finite());
        let figures = self.metrics.iter().filter_map(|kind| Some((kind, value(kind)?)));
        let figures: Vec<String> = figures
            .map(|(kind, value)| {
                let (name, label) = (quoted(&kind.name), quoted(&kind.label()));
                format!("    - type: {name}\n      value: {value}\n      name: {label}\n")
            })
            .collect();
        if figures.is_empty() {
            return None;
        }
        let split = results.split.map_or_else(String::new, |split| format!("      split: {}\n", quoted(split)));
        let (model, data) = (quoted(results.model), quoted(data));
        Some(format!(
            "model-index:\n- name: {model}\n  results:\n  - task:\n      type: {task}\n    dataset:\n      type: {data}\n      \
             name: {data}\n{split}    metrics:\n{}",
            figures.concat()
        ))
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
            results: None,
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
    fn figures_are_listed_where_task_and_data_are_known_and_not_where_one_is_missing() {
        let evaluation: Evaluation = serde_json::from_value(json!({"rows": 18, "loss": 0.25})).unwrap();
        let of_nan: Evaluation = serde_json::from_value(json!({"rows": 18, "loss": null})).unwrap();
        let named = Statements { data_name: Some("makers/stripes".into()), ..Statements::default() };
        let unnamed = Statements::default();
        let kinds = [FigureKind::loss()];
        let of = |task, said, evaluation| {
            let results = Some(ModelResults { model: "stripes", split: Some("evaluate"), evaluation });
            FrontMatter { tags: &[], task, relation: "finetune", metrics: kinds.iter().collect(), results, said }.yaml()
        };
        let wanted = "model-index:\n- name: \"stripes\"\n  results:\n  - task:\n      type: image-classification\n    dataset:\n      \
            type: \"makers/stripes\"\n      name: \"makers/stripes\"\n      split: \"evaluate\"\n    metrics:\n    - type: \"loss\"\n      \
            value: 0.25\n      name: \"loss\"\n---\n";
        let task = Some("image-classification");
        let yaml = of(task, &named, &evaluation);
        assert!(yaml.ends_with(wanted), "{yaml}");
        for yaml in [of(None, &named, &evaluation), of(task, &unnamed, &evaluation), of(task, &named, &of_nan)] {
            assert!(!yaml.contains("model-index"), "{yaml}");
        }
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
