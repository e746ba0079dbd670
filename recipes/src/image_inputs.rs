//! How a model's inputs take images, for what a recipe leaves open of the encoding `image`.

use std::collections::BTreeMap;

use millstream_compiler::{ImageInput, Model};
use millstream_pipeline::encodings::Encoders;
use millstream_schemas::recipe::DataRecipe;
use millstream_schemas::{Choice, ImageLayout, TensorRole, shown};
use serde_json::Value as Json;

/// The inputs of a model that images can be given to, by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageInputs(BTreeMap<String, (ImageInput, bool)>);

impl ImageInputs {
    pub(crate) fn of(model: &Model) -> Self {
        let of_one = |(name, _): (String, _)| {
            let is_bytes = model.input_type(&name) == Some("uint8");
            model.image_input(&name).map(|input| (name, (input, is_bytes)))
        };
        Self(model.inputs().into_iter().filter_map(of_one).collect())
    }

    /// States of an encoding what the model's input takes and the recipe does not say; an encoding that is not of images stays.
    pub(crate) fn state(&self, name: &str, encoding: &mut Choice) {
        let Some((input, is_bytes)) = self.0.get(name).filter(|_| encoding.name == "image") else { return };
        let layout = layout_in(encoding).unwrap_or(input.layout);
        let Json::Object(options) = &mut encoding.options else { return };
        if layout != ImageLayout::default() {
            options.entry("layout").or_insert_with(|| layout.name().into());
        }
        if *is_bytes {
            options.entry("values").or_insert_with(|| "uint8".into());
        }
        if input.layout == layout && input.channels == Some(1) {
            options.entry("channels").or_insert_with(|| 1.into());
        }
    }

    /// What is not usual of how images are made for the model, in words.
    pub(crate) fn notes(&self, data: &DataRecipe, encoders: &Encoders) -> Vec<String> {
        let of_one = |(name, role, encoding): (&str, TensorRole, &Choice)| {
            let is_image = role == TensorRole::Input && encoding.name == "image";
            let (input, is_bytes) = self.0.get(name).filter(|_| is_image)?;
            let layout = layout_in(encoding).unwrap_or_default();
            if layout == ImageLayout::default() && !is_bytes {
                return None;
            }
            let own = data.inputs.get(name);
            let by = match (own.and_then(layout_in), &input.seen) {
                (Some(_), _) => "as the recipe says",
                (None, Some(seen)) => seen,
                (None, None) => "nothing in the model tells the order of its axes",
            };
            let values = if *is_bytes { "bytes, 0 to 255" } else { "floats" };
            let place = if own.is_some() { "data.inputs" } else { "data.input" };
            Some(format!("{place}: input `{}` takes images as {} of {values} ({by})", shown(name), layout.axes()))
        };
        encoders.choices().filter_map(of_one).collect()
    }
}

/// The layout that an encoding states.
pub(crate) fn layout_in(encoding: &Choice) -> Option<ImageLayout> {
    encoding.options.get("layout").and_then(|layout| serde_json::from_value(layout.clone()).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_recipe_leaves_open_is_as_the_model_takes_it() {
        let seen = Some("its last axis has the length 1".to_owned());
        let input = ImageInput { layout: ImageLayout::ChannelsLast, channels: Some(1), seen };
        let inputs = ImageInputs([("x".to_owned(), (input, true))].into());
        let last = json!({"layout": "channels_last", "values": "uint8", "channels": 1});
        let first = json!({"layout": "channels_first", "values": "uint8"});
        for (name, encoding, wanted) in [
            ("x", Choice::new("image", json!({})), last),
            ("x", Choice::new("image", json!({"layout": "channels_first"})), first),
            ("x", Choice::new("text", json!({})), json!({})),
            ("y", Choice::new("image", json!({})), json!({})),
        ] {
            let mut encoding = encoding;
            inputs.state(name, &mut encoding);
            assert_eq!(encoding.options, wanted);
        }
    }
}
