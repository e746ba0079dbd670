//! What was added to a model to be trained: a new head, and what methods put beside its layers or in front of its tokens.

use millstream_compiler::ModelReport;
use millstream_schemas::choice::{Catalog, Row};
use millstream_schemas::{Choice, count, grouped, shown};
use serde::Serialize;

use super::model_use::without_folders;
use crate::Opened;
use crate::model_inputs::shown_shape;

/// Tensors and layers that are named; of more the first two and the last.
const MOST_NAMED: usize = 4;

/// A part that was added to a model.
#[derive(Clone, Debug, Serialize)]
pub struct AddedPart {
    /// `head` or `method`.
    pub kind: &'static str,
    /// Which, with its options.
    pub choice: Choice,
    /// What that is, in one line.
    pub summary: String,
    /// Name and shape of each weight.
    pub weights: Vec<(String, Vec<usize>)>,
    /// Layers of the model that it adapts, from the input to the output; none of a head, and of what stands at none.
    pub beside: Vec<String>,
}

/// What a fine-tuning has added, the head first.
pub(super) fn added(model: &ModelReport, opened: &Opened) -> Vec<AddedPart> {
    let head = (!model.new_head.is_empty()).then(|| AddedPart {
        kind: "head",
        choice: without_folders(opened.head.choice(), &opened.catalogs.heads),
        summary: summary(&opened.catalogs.heads, &opened.head.choice().name),
        weights: model.new_head.clone(),
        beside: Vec::new(),
    });
    let methods = model.adapted.iter().filter(|report| !report.added.is_empty()).map(|report| AddedPart {
        kind: "method",
        choice: without_folders(&Choice::new(report.method.clone(), report.options.clone()), &opened.catalogs.methods),
        summary: summary(&opened.catalogs.methods, &report.method),
        weights: report.added.clone(),
        beside: report.layers.iter().map(shown).collect(),
    });
    head.into_iter().chain(methods).collect()
}

fn summary<R: Row>(catalog: &Catalog<R>, name: &str) -> String {
    catalog.get(name).map_or_else(String::new, |row| row.summary().trim_end_matches('.').to_owned())
}

impl AddedPart {
    /// Numbers in it.
    fn numbers(&self) -> u64 {
        self.weights.iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
    }

    /// `a new head, 650 numbers`.
    pub(super) fn in_short(&self) -> String {
        let what = if self.kind == "head" { "a new head".to_owned() } else { shown(&self.choice.name) };
        format!("{what}, {}", count(self.numbers(), "number"))
    }

    /// What it is, its options, its weights and where it stands.
    pub(super) fn in_words(&self) -> String {
        let what = if self.kind == "head" { "a new head, " } else { "" };
        let summary = if self.summary.is_empty() { String::new() } else { format!(" ({})", self.summary) };
        let options = match self.choice.options.as_object().is_some_and(serde_json::Map::is_empty) {
            true => String::new(),
            false => format!(" with {}", self.choice.options),
        };
        let weights: Vec<String> = self
            .weights
            .iter()
            .map(|(name, shape)| {
                let shape: Vec<Option<usize>> = shape.iter().copied().map(Some).collect();
                format!("{} {}", shown(name), shown_shape(&shape))
            })
            .collect();
        let beside = match self.beside.as_slice() {
            [] => String::new(),
            layers => format!("; at {}, {}", count(layers.len() as u64, "layer"), named(layers)),
        };
        format!(
            "{what}{}{summary}{options}: {} numbers in {}, {}{beside}",
            shown(&self.choice.name),
            grouped(self.numbers()),
            count(self.weights.len() as u64, "tensor"),
            named(&weights)
        )
    }
}

fn named(names: &[String]) -> String {
    match names {
        few if few.len() <= MOST_NAMED => few.join(", "),
        many => format!("{}, {} … {}", many[0], many[1], many[many.len() - 1]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_folder_that_an_adapter_lay_in_is_not_on_a_card() {
        let methods = millstream_compiler::finetuning::methods::standard();
        let found =
            without_folders(&Choice::new("peft", json!({"folder": "/home/alice/mine", "dropout": null})), methods);
        assert_eq!(found, Choice::new("peft", json!({"folder": "mine", "dropout": null})));
        let lora = Choice::new("lora", json!({"rank": 4}));
        assert_eq!(without_folders(&lora, methods), lora);
    }

    #[test]
    fn what_a_method_has_added_is_told_with_its_options_shapes_and_place() {
        let weight = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
        let part = AddedPart {
            kind: "method",
            choice: Choice::new("lora", json!({"rank": 4})),
            summary: "Low rank".into(),
            weights: vec![weight("a.lora_A", &[4, 3]), weight("a.lora_B", &[5, 4])],
            beside: vec!["a".into()],
        };
        assert_eq!(
            part.in_words(),
            "lora (Low rank) with {\"rank\":4}: 32 numbers in 2 tensors, a.lora_A [4, 3], a.lora_B [5, 4]; at 1 layer, a"
        );
        let head = AddedPart {
            kind: "head",
            choice: Choice::named("new"),
            summary: String::new(),
            weights: vec![weight("fc.weight", &[3, 8])],
            beside: Vec::new(),
        };
        assert_eq!(head.in_words(), "a new head, new: 24 numbers in 1 tensor, fc.weight [3, 8]");
        assert_eq!((head.in_short(), part.in_short()), ("a new head, 24 numbers".into(), "lora, 32 numbers".into()));
    }
}
