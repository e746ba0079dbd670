//! What a model's inputs take: for what a recipe leaves open of encodings, and for what is refused of rows.

use millstream_compiler::Model;
use millstream_pipeline::encodings::{Encoders, InputRange};
use millstream_schemas::Choice;
use millstream_schemas::recipe::DataRecipe;
use serde_json::Value as Json;

use crate::image_inputs::ImageInputs;

/// What a model's inputs take.
#[derive(Clone, Debug, Default)]
pub(crate) struct InputTypes {
    images: ImageInputs,
    /// The inputs that take whole numbers.
    whole: Vec<String>,
    /// Which numbers those of them take that do not take all.
    ranges: Vec<InputRange>,
}

impl InputTypes {
    pub(crate) fn of(model: &Model) -> Self {
        let stored = model.element_types();
        let names: Vec<String> = model.inputs().into_iter().map(|(name, _)| name).collect();
        let range = |name: &String| {
            let (numbers, element_type) = (model.input_range(name)?, *stored.get(name)?);
            Some(InputRange { input: name.clone(), element_type, numbers })
        };
        let ranges = names.iter().filter_map(range).collect();
        let whole = names.into_iter().filter(|name| model.input_type(name) == Some("int64")).collect();
        Self { images: ImageInputs::of(model), whole, ranges }
    }

    /// States of an encoding what the model's input takes and the recipe does not say.
    pub(crate) fn state(&self, name: &str, encoding: &mut Choice) {
        self.images.state(name, encoding);
        if encoding.name == "number"
            && self.whole.iter().any(|whole| whole == name)
            && let Json::Object(options) = &mut encoding.options
        {
            options.entry("values").or_insert_with(|| "int64".into());
        }
    }

    /// Which numbers inputs take that do not take all whole ones.
    pub(crate) fn ranges(&self) -> &[InputRange] {
        &self.ranges
    }

    /// What is not usual of how rows are made for the model, in words.
    pub(crate) fn notes(&self, data: &DataRecipe, encoders: &Encoders) -> Vec<String> {
        self.images.notes(data, encoders)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_whole_where_the_model_takes_such_and_the_recipe_does_not_say() {
        let types = InputTypes { whole: vec!["age".into()], ..InputTypes::default() };
        for (name, encoding, wanted) in [
            ("age", Choice::new("number", json!({"column": "age"})), json!({"column": "age", "values": "int64"})),
            ("age", Choice::new("number", json!({"values": "float32"})), json!({"values": "float32"})),
            ("age", Choice::new("category", json!({})), json!({})),
            ("mass", Choice::new("number", json!({})), json!({})),
        ] {
            let mut encoding = encoding;
            types.state(name, &mut encoding);
            assert_eq!(encoding.options, wanted, "{name}");
        }
    }
}
