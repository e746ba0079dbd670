use std::fs;
use std::path::Path;

use millstream_schemas::{Choice, shown_path};
use serde_json::Value;

use crate::RecipeError;

/// Files that say how images are prepared for the model beside them: ours, transformers' and timm's.
const FILES: [&str; 3] = ["preprocess.json", "preprocessor_config.json", "config.json"];
/// Of the images that most pretrained models have learned from.
const IMAGENET: [[f64; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
/// Shorter side and crop of most evaluations on ImageNet: 256 and 224.
const USUAL_SHARE: f64 = 0.875;

/// How images are prepared for a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ImagePreparation {
    /// What is taken away from each channel, of values from 0 to 1; nothing for a model that takes bytes.
    pub(super) mean: Vec<f64>,
    /// What the rest is divided by.
    pub(super) std: Vec<f64>,
    /// Width and height that the file says.
    pub(super) size: Option<u64>,
    /// What share of the shorter side the crop has.
    pub(super) crop_share: f64,
    /// What says so, in words.
    pub(super) from: String,
}

impl ImagePreparation {
    /// As a file beside the model says; else as is usual for models of photographs.
    ///
    /// # Errors
    /// A file of such a name is no JSON.
    pub(super) fn beside(model: &Path, channels: usize) -> Result<Self, RecipeError> {
        let folder = model.parent().unwrap_or(Path::new("."));
        for name in FILES {
            let path = folder.join(name);
            let Ok(bytes) = fs::read(&path) else { continue };
            let whole: Value = serde_json::from_slice(&bytes)
                .map_err(|error| RecipeError::mismatch(shown_path(&path), format!("it is no JSON: {error}")))?;
            if let Some(found) = Self::read(&whole, channels, name) {
                return Ok(found);
            }
        }
        let whose = if channels == 3 { "ImageNet's" } else { "−1 to 1" };
        let from = format!("{whose}: no file beside the model says it; look at how it was trained");
        Ok(Self::usual(channels, from))
    }

    /// As is usual for models of photographs.
    fn usual(channels: usize, from: String) -> Self {
        let [mean, std] = match channels {
            3 => IMAGENET.map(|values| values.to_vec()),
            _ => [vec![0.5; channels], vec![0.5; channels]],
        };
        Self { mean, std, size: None, crop_share: USUAL_SHARE, from }
    }

    /// For a model that is not known yet.
    pub(super) fn of_no_model() -> Self {
        Self::usual(3, "ImageNet's, as is usual; a model that was trained otherwise says so".into())
    }

    /// The same for a model that takes bytes, which normalizes them itself.
    pub(super) fn of_bytes(self) -> Self {
        Self { mean: Vec::new(), std: Vec::new(), from: "as bytes, which it normalizes itself".into(), ..self }
    }

    /// As a model that was trained here is evaluated; none where that normalizes nothing.
    pub(super) fn of_transforms(transforms: &[Choice], channels: usize) -> Option<Self> {
        let options = |name: &str| transforms.iter().find(|spec| spec.name == name).map(|spec| &spec.options);
        let normalize = options("normalize")?;
        let list = |key: &str| -> Option<Vec<f64>> {
            let values: Option<Vec<f64>> = normalize.get(key)?.as_array()?.iter().map(Value::as_f64).collect();
            values.filter(|values| values.len() == channels)
        };
        let side = |name: &str, key: &str| options(name)?.get(key)?.as_u64().filter(|side| *side > 0);
        let (crop, shorter) = (side("center_crop", "size"), side("resize", "shorter_side"));
        let size = crop.or_else(|| side("resize", "size"));
        let crop_share =
            crop.zip(shorter).map_or(1.0, |(crop, shorter)| (crop as f64 / shorter as f64).clamp(0.2, 1.0));
        let from = "as the model's own file says, which was trained so".to_owned();
        Some(Self { mean: list("mean")?, std: list("std")?, size, crop_share, from })
    }

    /// None where the file says nothing of images.
    fn read(whole: &Value, channels: usize, name: &str) -> Option<Self> {
        let parts = [Some(whole), whole.get("pretrained_cfg")];
        let get = |keys: &[&str]| {
            parts
                .iter()
                .flatten()
                .find_map(|part| keys.iter().find_map(|key| part.get(key).filter(|value| !value.is_null())))
        };
        let list = |keys: &[&str]| -> Option<Vec<f64>> {
            let values: Option<Vec<f64>> = get(keys)?.as_array()?.iter().map(Value::as_f64).collect();
            values.filter(|values| values.len() == channels && values.iter().all(|value| value.is_finite()))
        };
        let mean = list(&["image_mean", "mean"])?;
        let std = list(&["image_std", "std"]).filter(|std| std.iter().all(|value| *value > 0.0))?;
        let side = |keys: &[&str]| {
            let value = get(keys)?;
            let number = |value: &Value| value.as_u64().filter(|side| *side > 0);
            number(value)
                .or_else(|| value.as_array().and_then(|sides| number(sides.last()?)))
                .or_else(|| ["shortest_edge", "height", "width"].iter().find_map(|key| number(value.get(key)?)))
        };
        let crop = side(&["centre_crop", "center_crop_size", "crop_size"]);
        let resized = side(&["resize_shorter_side", "size", "resize", "input_size"]);
        let stated = get(&["crop_pct"]).and_then(Value::as_f64);
        let of_sides = crop.zip(resized).map(|(crop, resized)| crop as f64 / resized as f64);
        let whole_picture = crop.is_none() && stated.is_none() && resized.is_some();
        let crop_share = stated.or(of_sides).unwrap_or(if whole_picture { 1.0 } else { USUAL_SHARE });
        let crop_share = if crop_share > 0.2 && crop_share <= 1.0 { crop_share } else { USUAL_SHARE };
        Some(Self { mean, std, size: crop.or(resized), crop_share, from: format!("as {name} beside the model says") })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_of_transformers_timm_and_ours_are_read() {
        let half = [0.5, 0.5, 0.5];
        for (file, size, share) in [
            // ViTImageProcessor
            (json!({"image_mean": half, "image_std": half, "size": {"height": 224, "width": 224}}), 224, 1.0),
            // ConvNextImageProcessor, CLIPImageProcessor
            (
                json!({"image_mean": half, "image_std": half, "size": {"shortest_edge": 384}, "crop_size": {"height": 336, "width": 336}}),
                336,
                0.875,
            ),
            // timm
            (
                json!({"architecture": "x", "pretrained_cfg": {"mean": half, "std": half, "input_size": [3, 288, 288], "crop_pct": 0.95}}),
                288,
                0.95,
            ),
            (json!({"mean": half, "std": half, "resize_shorter_side": 256, "centre_crop": 224}), 224, 0.875),
            (json!({"mean": half, "std": half, "resize": [32, 32]}), 32, 1.0),
        ] {
            let found = ImagePreparation::read(&file, 3, "x.json").unwrap();
            assert_eq!((found.size, found.crop_share), (Some(size), share), "{file}");
            assert_eq!((found.mean.as_slice(), found.std.as_slice()), (half.as_slice(), half.as_slice()));
        }
        for file in
            [json!({}), json!([1]), json!({"mean": [0.5], "std": [0.5]}), json!({"mean": half, "std": [0.5, 0.0, 0.5]})]
        {
            assert_eq!(ImagePreparation::read(&file, 3, "x.json"), None, "{file}");
        }
    }

    #[test]
    fn a_model_that_was_trained_here_says_it_itself() {
        let list = |size: Value| {
            vec![
                Choice::new("resize", json!({"shorter_side": 256})),
                Choice::new("center_crop", json!({"size": size})),
                Choice::new("normalize", json!({"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 2.0]})),
            ]
        };
        let found = ImagePreparation::of_transforms(&list(json!(224)), 3).unwrap();
        assert_eq!((found.mean, found.std), (vec![0.1, 0.2, 0.3], vec![1.0, 1.0, 2.0]));
        assert_eq!((found.size, found.crop_share), (Some(224), 0.875));
        assert!(ImagePreparation::of_transforms(&list(json!(224))[..2], 3).is_none());
        assert!(ImagePreparation::of_transforms(&list(json!(224)), 1).is_none());
    }

    #[test]
    fn without_a_file_it_is_said_that_nothing_says_it() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.onnx");
        let found = ImagePreparation::beside(&model, 3).unwrap();
        assert!(found.from.contains("no file beside the model says it") && found.mean == IMAGENET[0], "{found:?}");
        std::fs::write(folder.path().join("config.json"), "{").unwrap();
        let error = ImagePreparation::beside(&model, 3).unwrap_err().to_string();
        assert!(error.contains("config.json"), "{error}");
    }
}
