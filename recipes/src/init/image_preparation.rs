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

/// Width and height in pixels.
pub(super) type Size = [u64; 2];

/// How images are prepared for a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ImagePreparation {
    /// What is taken away from each channel, of values from 0 to 1; nothing where these stay as they are, or for a model that takes bytes.
    pub(super) mean: Vec<f64>,
    /// What the rest is divided by.
    pub(super) std: Vec<f64>,
    /// What the file says.
    pub(super) size: Option<Size>,
    /// What share of the shorter side the crop has.
    pub(super) crop_share: f64,
    /// What says so, in words.
    pub(super) from: String,
    /// What it says besides of sizes and channels, and a recipe cannot, in words.
    otherwise: Vec<String>,
    /// The same of values.
    values_otherwise: Option<String>,
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
        Self { mean, std, size: None, crop_share: USUAL_SHARE, from, otherwise: Vec::new(), values_otherwise: None }
    }

    /// For a model that is not known yet.
    pub(super) fn of_no_model() -> Self {
        Self::usual(3, "ImageNet's, as is usual; a model that was trained otherwise says so".into())
    }

    /// The same for a model that takes bytes, which normalizes them itself.
    pub(super) fn of_bytes(self) -> Self {
        let from = "as bytes, which it normalizes itself".into();
        Self { mean: Vec::new(), std: Vec::new(), from, values_otherwise: None, ..self }
    }

    /// What is said of it that a recipe cannot say, in words.
    pub(super) fn otherwise(&self) -> impl Iterator<Item = &String> {
        self.otherwise.iter().chain(&self.values_otherwise)
    }

    /// As a model that was trained here is evaluated; none where that normalizes nothing.
    pub(super) fn of_transforms(transforms: &[Choice], channels: usize) -> Option<Self> {
        let options = |name: &str| transforms.iter().find(|spec| spec.name == name).map(|spec| &spec.options);
        let normalize = options("normalize")?;
        let list = |key: &str| -> Option<Vec<f64>> {
            let values: Option<Vec<f64>> = normalize.get(key)?.as_array()?.iter().map(Value::as_f64).collect();
            values.filter(|values| values.len() == channels)
        };
        let size = |name: &str, key: &str| transform_size(options(name)?.get(key)?);
        let (crop, shorter) = (size("center_crop", "size"), size("resize", "shorter_side"));
        let crop_share = crop.zip(shorter).map_or(1.0, |(crop, shorter)| share(crop, shorter).clamp(0.2, 1.0));
        let size = crop.or_else(|| size("resize", "size"));
        let from = "as the model's own file says, which was trained so".to_owned();
        Some(Self {
            mean: list("mean")?,
            std: list("std")?,
            size,
            crop_share,
            from,
            otherwise: Vec::new(),
            values_otherwise: None,
        })
    }

    /// None where the file says nothing of images.
    fn read(whole: &Value, channels: usize, name: &str) -> Option<Self> {
        let stated = Stated([Some(whole), whole.get("pretrained_cfg")]);
        let mut otherwise = Vec::new();
        let mut values_otherwise = None;
        let scaled = Scaled::of(&stated, channels, &mut values_otherwise)?;
        let cuts = stated.says("do_center_crop") != Some(false);
        let crop = stated.size(&["centre_crop", "center_crop_size", "crop_size"]).filter(|_| cuts);
        let resized = stated.size(&["resize_shorter_side", "size", "resize", "input_size"]);
        let stated_share = stated.get(&["crop_pct"]).and_then(Value::as_f64).filter(|_| cuts);
        let of_sides = crop.zip(resized).map(|(crop, resized)| share(crop, resized));
        let whole_picture = crop.is_none() && stated_share.is_none() && (resized.is_some() || !cuts);
        let crop_share = stated_share.or(of_sides).unwrap_or(if whole_picture { 1.0 } else { USUAL_SHARE });
        let crop_share = if crop_share > 0.2 && crop_share <= 1.0 { crop_share } else { USUAL_SHARE };
        if stated.says("do_resize") == Some(false) {
            otherwise.push("images keep their size there (`do_resize: false`), and are resized by the recipe".into());
        } else if !cuts && stated.get(&["size"]).is_some_and(|size| size.get("shortest_edge").is_some()) {
            otherwise.push(
                "images keep their shape there (`do_center_crop: false` behind a shorter side), and become squares by the recipe"
                    .into(),
            );
        }
        if stated.says("do_flip_channel_order") == Some(true) {
            otherwise.push(
                "the model takes blue before red (`do_flip_channel_order`), and no transform turns them: put that into the model".into(),
            );
        }
        let values = if scaled.mean.is_empty() { "values from 0 to 1, " } else { "" };
        let from = format!("{values}as {name} beside the model says");
        Some(Self {
            mean: scaled.mean,
            std: scaled.std,
            size: crop.or(resized),
            crop_share,
            from,
            otherwise,
            values_otherwise,
        })
    }
}

/// What a file says, at its top or in timm's part of it.
struct Stated<'a>([Option<&'a Value>; 2]);

impl<'a> Stated<'a> {
    /// What stands under the first of the keys that has something.
    fn get(&self, keys: &[&str]) -> Option<&'a Value> {
        let of_part = |part: &'a Value| keys.iter().find_map(|key| part.get(key).filter(|value| !value.is_null()));
        self.0.iter().flatten().copied().find_map(of_part)
    }

    fn says(&self, key: &str) -> Option<bool> {
        self.get(&[key]).and_then(Value::as_bool)
    }

    /// Numbers, one for each channel.
    fn list(&self, keys: &[&str], channels: usize) -> Option<Vec<f64>> {
        let values: Option<Vec<f64>> = self.get(keys)?.as_array()?.iter().map(Value::as_f64).collect();
        values.filter(|values| values.len() == channels && values.iter().all(|value| value.is_finite()))
    }

    /// A size: one number, a list that ends in height and width, or what objects of transformers say.
    fn size(&self, keys: &[&str]) -> Option<Size> {
        let value = self.get(keys)?;
        let of_key = |key: &str| pixels(value.get(key)?);
        let (width, height) = (of_key("width"), of_key("height"));
        pixels(value)
            .or_else(|| of_key("shortest_edge"))
            .map(|side| [side; 2])
            .or_else(|| match value.as_array()?.as_slice() {
                [.., height, width] => Some([pixels(width)?, pixels(height)?]),
                [side] => pixels(side).map(|side| [side; 2]),
                [] => None,
            })
            .or_else(|| width.or(height).zip(height.or(width)).map(<[u64; 2]>::from))
    }
}

fn pixels(value: &Value) -> Option<u64> {
    value.as_u64().filter(|side| *side > 0)
}

/// A size as a transform has it: one number, or `[width, height]`.
fn transform_size(value: &Value) -> Option<Size> {
    match value.as_array().map(Vec::as_slice) {
        Some([width, height]) => Some([pixels(width)?, pixels(height)?]),
        Some(_) => None,
        None => pixels(value).map(|side| [side; 2]),
    }
}

/// What share of the shorter side a crop has.
fn share(crop: Size, resized: Size) -> f64 {
    crop[0].min(crop[1]) as f64 / resized[0].min(resized[1]) as f64
}

/// How values are scaled, as `normalize` has it: of pixels from 0 to 1. Empty where they stay so.
struct Scaled {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Scaled {
    /// None where a file says nothing of that; what `normalize` cannot do is told.
    fn of(stated: &Stated<'_>, channels: usize, otherwise: &mut Option<String>) -> Option<Self> {
        let mean = stated.list(&["image_mean", "mean"], channels);
        let has = |keys: &[&str]| keys.iter().any(|key| stated.get(&[*key]).is_some());
        let normalizes = match (stated.says("do_normalize"), &mean) {
            (Some(says), _) => says,
            (None, Some(_)) => true,
            // processors that never normalize have no word for it
            (None, None) => !has(&["do_rescale", "do_flip_channel_order"]),
        };
        let (mean, std) = match normalizes {
            true => {
                let std = stated.list(&["image_std", "std"], channels);
                (mean?, std.filter(|std| std.iter().all(|value| *value > 0.0))?)
            }
            false if has(&["do_rescale", "do_resize", "do_center_crop", "do_flip_channel_order", "size"]) => {
                (vec![0.0; channels], vec![1.0; channels])
            }
            // of sounds, for example
            false => return None,
        };
        // what white becomes, and what is taken away from it before the mean
        let (white, offset) = match stated.says("do_rescale") {
            Some(false) if normalizes && mean.iter().all(|mean| *mean <= 1.0) => {
                let told = "pixels are not scaled there (`do_rescale: false`), and the mean is one of values from 0 to 1, \
                            which are taken";
                *otherwise = Some(told.into());
                (1.0, 0.0)
            }
            Some(false) => (255.0, 0.0),
            _ => {
                let factor = stated.get(&["rescale_factor"]).and_then(Value::as_f64);
                let white =
                    factor.filter(|factor| factor.is_finite() && *factor > 0.0).map_or(1.0, |factor| 255.0 * factor);
                let offset = if stated.says("rescale_offset") == Some(true) { 1.0 } else { 0.0 };
                // 1/255 is written with some of its digits
                (if (white - 1.0).abs() < 1e-6 { 1.0 } else { white }, offset)
            }
        };
        if (white, offset) == (1.0, 0.0) {
            let stays = mean.iter().all(|mean| *mean == 0.0) && std.iter().all(|std| *std == 1.0);
            return Some(if stays { Self { mean: Vec::new(), std: Vec::new() } } else { Self { mean, std } });
        }
        let of_white = |value: f64| (value / white * 1e8).round() / 1e8;
        let mean: Vec<f64> = mean.iter().map(|mean| of_white(mean + offset)).collect();
        let std: Vec<f64> = std.iter().map(|std| of_white(*std)).collect();
        let can_be =
            mean.iter().all(|mean| (0.0..=1.0).contains(mean)) && std.iter().all(|std| (1e-6..=1.0).contains(std));
        if can_be {
            return Some(Self { mean, std });
        }
        *otherwise = Some(format!(
            "values have a mean of {mean:?} and a deviation of {std:?} there, of pixels from 0 to 1, which `normalize` does not take: \
             they are left from 0 to 1"
        ));
        Some(Self { mean: Vec::new(), std: Vec::new() })
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
            assert_eq!((found.size, found.crop_share), (Some([size; 2]), share), "{file}");
            assert_eq!((found.mean.as_slice(), found.std.as_slice()), (half.as_slice(), half.as_slice()));
        }
        for file in
            [json!({}), json!([1]), json!({"mean": [0.5], "std": [0.5]}), json!({"mean": half, "std": [0.5, 0.0, 0.5]})]
        {
            assert_eq!(ImagePreparation::read(&file, 3, "x.json"), None, "{file}");
        }
    }

    #[test]
    fn sizes_that_are_not_square_keep_width_and_height() {
        let half = [0.5, 0.5, 0.5];
        for (size, wanted) in [
            (json!({"height": 20, "width": 24}), [24, 20]),
            (json!([20, 24]), [24, 20]),
            (json!([3, 20, 24]), [24, 20]),
            (json!({"height": 20}), [20, 20]),
        ] {
            let file = json!({"image_mean": half, "image_std": half, "size": size});
            assert_eq!(ImagePreparation::read(&file, 3, "x.json").unwrap().size, Some(wanted), "{file}");
        }
    }

    #[test]
    fn what_a_processor_leaves_out_is_left_out_and_what_cannot_be_is_told() {
        let half = [0.5, 0.5, 0.5];
        let read = |own: Value| {
            let mut file = json!({"image_mean": half, "image_std": half, "size": {"height": 64, "width": 64}});
            file.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
            ImagePreparation::read(&file, 3, "x.json").unwrap()
        };
        let near =
            |values: &[f64], wanted: f64| values.len() == 3 && values.iter().all(|value| (value - wanted).abs() < 1e-7);
        for (own, wanted) in [
            (
                json!({"do_normalize": true, "do_rescale": true, "rescale_factor": 0.003_921_568_627_450_98}),
                Some([0.5, 0.5]),
            ),
            (json!({"do_normalize": false}), None),
            (json!({"do_normalize": false, "image_mean": null, "image_std": null}), None),
            // as MobileViT has it, which has no mean
            (json!({"do_rescale": true, "image_mean": null, "image_std": null}), None),
            (json!({"do_normalize": false, "do_rescale": false}), Some([0.0, 1.0 / 255.0])),
            (
                json!({"do_rescale": false, "image_mean": [127.5, 127.5, 127.5], "image_std": [51, 51, 51]}),
                Some([0.5, 0.2]),
            ),
            // EfficientNet's, from -1 to 1
            (json!({"do_normalize": false, "rescale_factor": 1.0 / 127.5, "rescale_offset": true}), Some([0.5, 0.5])),
        ] {
            let found = read(own.clone());
            assert!(found.otherwise().next().is_none(), "{own}: {found:?}");
            match wanted {
                Some([mean, std]) => assert!(near(&found.mean, mean) && near(&found.std, std), "{own}: {found:?}"),
                None => assert!(found.mean.is_empty() && found.from.contains("values from 0 to 1"), "{own}: {found:?}"),
            }
        }
        for (own, part) in [
            (json!({"do_resize": false}), "`do_resize: false`"),
            (
                json!({"do_center_crop": false, "size": {"shortest_edge": 64}, "crop_size": 56}),
                "`do_center_crop: false`",
            ),
            (json!({"do_flip_channel_order": true}), "blue before red"),
            (json!({"do_rescale": false}), "`do_rescale: false`"),
            (json!({"do_normalize": false, "rescale_factor": 0.001}), "`normalize` does not take"),
        ] {
            let found = read(own.clone());
            assert!(found.otherwise().any(|told| told.contains(part)), "{own}: {found:?}");
        }
        let uncut = read(json!({"do_center_crop": false, "crop_size": 56}));
        assert_eq!((uncut.size, uncut.crop_share, uncut.otherwise().count()), (Some([64; 2]), 1.0, 0));
        // of sounds
        let sounds = json!({"do_normalize": false, "feature_size": 1, "sampling_rate": 16000});
        assert_eq!(ImagePreparation::read(&sounds, 3, "x.json"), None);
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
        assert_eq!((found.size, found.crop_share), (Some([224; 2]), 0.875));
        // trained here on images that are not square
        let oblong = ImagePreparation::of_transforms(&list(json!([192, 96])), 3).unwrap();
        assert_eq!((oblong.size, oblong.crop_share), (Some([192, 96]), 0.375));
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
