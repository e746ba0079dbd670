//! Transforms, options and forms of other libraries, and the line to write instead. A line is shown only when it loads.

use millstream_schemas::choice::{ChoiceError, Row};
use millstream_schemas::recipe::flow;
use serde_json::{Map, Value, json};

use crate::catalog::{standard, table};
use crate::error::TransformError;
use crate::transform::Transform;

fn row(name: &str) -> Option<&'static Transform> {
    standard().get(name)
}

/// Names in lower case without `_`; ours; options that give it their sense, as JSON; what is different.
#[rustfmt::skip]
const NAMES: &[(&[&str], &str, &str, &str)] = &[
    (&["randomresizedcrop", "resizedcrop", "randomsizedcrop", "rrc", "randomsizedbboxsafecrop"], "random_resized_crop", r#"{"size": 224}"#, ""),
    (&["randomcrop", "crop", "randomcropnearbbox"], "random_resized_crop", r#"{"size": 224, "area": [0.5, 1]}"#, "a random part is cut and resized in one"),
    (&["centercrop", "centercropandresize", "middlecrop"], "center_crop", r#"{"size": 224}"#, ""),
    (&["randomhorizontalflip", "horizontalflip", "hflip", "fliplr", "leftrightflip", "flip", "randomflip", "mirror", "flipleftright", "randomflipleftright"], "horizontal_flip", "{}", ""),
    (&["randomverticalflip", "verticalflip", "vflip", "flipud", "updownflip"], "vertical_flip", "{}", ""),
    (&["resize", "scale", "rescale", "longestmaxsize"], "resize", r#"{"size": 224}"#, ""),
    (&["smallestmaxsize", "resizeshortestedge", "shortestedge", "resizeshorter"], "resize", r#"{"shorter_side": 256}"#, ""),
    (&["randomrotation", "rotate", "rotation", "saferotate", "randomrotate"], "rotate", r#"{"degrees": 15}"#, ""),
    (&["randomaffine", "shiftscalerotate", "affine"], "rotate", r#"{"degrees": 15}"#, "`rotate` and `translate` are two transforms"),
    (&["randomtranslation", "shift", "randomshift", "translatex", "translatey"], "translate", r#"{"fraction": [0.1, 0.1]}"#, ""),
    (&["normalize", "normalise", "normalization", "standardize"], "normalize", r#"{"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}"#, ""),
    (&["gaussnoise", "gaussiannoise", "addnoise", "noise", "randomnoise", "additivegaussiannoise"], "gaussian_noise", r#"{"sigma": 0.05}"#, ""),
    (&["gaussianblur", "blur", "randomblur", "motionblur", "medianblur", "defocus"], "gaussian_blur", r#"{"sigma": [0.1, 2]}"#, ""),
    (&["colorjitter", "colourjitter", "randombrightnesscontrast", "randombrightness", "randomcontrast", "huesaturationvalue", "brightness", "contrast", "saturation", "hue", "adjustcolor"], "color_jitter", r#"{"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.05}"#, ""),
    (&["equalize", "randomequalize", "histogramequalization", "equalizehist"], "equalize", "{}", ""),
    (&["elastictransform", "elasticdeformation", "randomelasticdeformation"], "elastic", r#"{"alpha": 50, "sigma": 5}"#, ""),
    (&["mixup", "randommixup", "cutmix"], "mix_up", r#"{"alpha": 0.2}"#, ""),
    (&["oneof", "randomchoice", "someof", "choice"], "one_of", r#"["horizontal_flip", {"rotate": {"degrees": 15}}]"#, ""),
    (&["compose", "sequential", "pipeline", "randomorder"], "sequence", r#"["horizontal_flip", {"rotate": {"degrees": 15}}]"#, "a list of transforms needs none around it"),
    (&["randomapply", "apply", "maybe", "probability"], "sometimes", r#"{"probability": 0.5, "apply": ["horizontal_flip"]}"#, ""),
    (&["randomcharaug", "deletecharacter", "characterdropout", "randomchardelete"], "delete_characters", r#"{"fraction": 0.05}"#, ""),
    (&["typos", "keyboardaug", "keyboardtypo"], "keyboard_typos", r#"{"fraction": 0.05}"#, ""),
    (&["randomswap", "randomwordswap", "wordswap"], "swap_words", r#"{"fraction": 0.1}"#, ""),
];

/// Names of what is not there, and what stands in its place.
#[rustfmt::skip]
const ABSENT: &[(&[&str], &str)] = &[
    (&["totensor", "totensorv2", "topilimage", "pilimagetotensor", "toimage", "todtype", "convertimagedtype", "tofloat", "fromfloat"], "images become numbers from 0 (black) to 1 (white) by themselves; leave it out"),
    (&["torgb", "rgb", "convertrgb", "grayscaletorgb"], "images are always handed on as RGB; leave it out"),
    (&["exiftranspose", "autoorient", "autoorientation", "decode", "loadimage", "imread", "decodeimage"], "images are decoded and turned upright by themselves; leave it out"),
    (&["randomgamma", "randomgrayscale", "togray", "grayscale", "clahe", "autocontrast", "randomautocontrast", "posterize", "randomposterize", "solarize", "randomsolarize", "invert", "randominvert", "sharpen", "randomadjustsharpness", "channelshuffle", "rgbshift"], "of colours there are `color_jitter` and `equalize`"),
    (&["randomerasing", "cutout", "coarsedropout", "griddropout"], "nothing is cut out of images; leave it out"),
    (&["randaugment", "autoaugment", "trivialaugmentwide", "trivialaugment", "augmix"], "there is no ready-made policy; list the transforms, for example with `one_of`"),
    (&["pad", "padifneeded", "randompad", "letterbox"], "`center_crop` pads an image that is smaller than its `size`"),
    (&["randomperspective", "perspective", "griddistortion", "opticaldistortion", "randomrotate90", "transpose", "shear", "randomshear", "randomzoomout", "randomscale", "zoom"], "of geometry there are `rotate`, `translate`, `elastic`, the flips and the crops"),
];

/// Options: words in lower case without `_`, and ours in the order in which they are tried.
#[rustfmt::skip]
const OPTIONS: &[(&[&str], &[&str])] = &[
    (&["p", "prob", "chance", "proba", "rate", "flipprob", "applyprob"], &["probability"]),
    (&["degree", "angle", "angles", "limit", "maxdegrees", "maxangle", "rotation", "rotationrange", "factor"], &["degrees"]),
    (&["scale", "scales", "areas", "arearange", "cropscale"], &["area"]),
    (&["ratio", "ratios", "aspect", "aspectratios", "aspectratiorange"], &["aspect_ratio"]),
    (&["interpolation", "method", "mode", "resample", "filter", "resampling", "interp"], &["kernel"]),
    (&["value", "fillvalue", "fillcolor", "bordervalue", "cval", "color", "colour", "background"], &["fill"]),
    (&["bordermode", "paddingmode", "padmode", "fillmode"], &["border"]),
    (&["std", "stddev", "stdev", "var", "varlimit", "stdrange", "noise", "amount", "strength"], &["sigma", "std"]),
    (&["means", "averages"], &["mean"]),
    (&["stds", "stdev", "stddevs", "standarddeviation"], &["std", "sigma"]),
    (&["shape", "side", "imagesize", "imgsize", "outputsize", "targetsize", "cropsize", "dimensions", "maxsize", "edge", "pixels", "width", "height"], &["size"]),
    (&["shorteredge", "shortestedge", "smallestside", "shortest", "shorter", "minsize", "smaller"], &["shorter_side"]),
    (&["w", "newwidth"], &["width"]),
    (&["h", "newheight"], &["height"]),
    (&["translate", "shift", "maxshift", "shiftlimit", "distance", "offset", "translation", "fractions", "share"], &["fraction"]),
    (&["transforms", "list", "children", "of", "steps", "choices", "options"], &["apply"]),
    (&["weight", "probabilities", "probs", "odds"], &["weights"]),
];

/// Options that change nothing here.
const IDLE: &[&str] =
    &["alwaysapply", "antialias", "inplace", "maxpixelvalue", "expand", "center", "kernelsize", "blurlimit"];

/// Kernels of other libraries.
const KERNELS: &[(&str, &str)] = &[
    ("bicubic", "cubic"),
    ("lanczos", "lanczos3"),
    ("linear", "bilinear"),
    ("box", "area"),
    ("hamming", "area"),
    ("nearestexact", "nearest"),
    ("antialias", "lanczos3"),
];

/// Borders of other libraries, by their words and OpenCV's numbers.
const BORDERS: &[(&str, &str)] = &[
    ("constant", "fill"),
    ("zeros", "fill"),
    ("0", "fill"),
    ("replicate", "edge"),
    ("nearest", "edge"),
    ("border", "edge"),
    ("1", "edge"),
    ("reflection", "reflect"),
    ("symmetric", "reflect"),
    ("mirror", "reflect"),
    ("reflect101", "reflect"),
    ("2", "reflect"),
    ("4", "reflect"),
    ("circular", "wrap"),
    ("gridwrap", "wrap"),
    ("3", "wrap"),
];

/// What to write for a transform that nobody here knows.
pub(crate) fn name(name: &str, options: &Value) -> Option<String> {
    let word = plain(name);
    if let Some((_, remark)) = ABSENT.iter().find(|(words, _)| words.contains(&word.as_str())) {
        return Some((*remark).into());
    }
    let (ours, sample, remark) = match NAMES.iter().find(|(words, ..)| words.contains(&word.as_str())) {
        Some((_, ours, sample, remark)) => (*ours, *sample, *remark),
        // The same name in another writing.
        None => {
            let row = table().iter().find(|row| plain(row.name) == word)?;
            (row.name, *row.samples.first()?, "")
        }
    };
    let sound = row(ours).is_some_and(|row| row.accepts(options));
    let repaired = sound.then(|| options.clone()).or_else(|| repaired(ours, options)).or_else(|| {
        let mut sample: Value = serde_json::from_str(sample).ok()?;
        if let (Some(sample), Some(given)) = (sample.as_object_mut(), options.as_object()) {
            sample.extend(given.clone());
        }
        self::repaired(ours, &sample)
    });
    let written = repaired.or_else(|| serde_json::from_str(sample).ok())?;
    let remark = if remark.is_empty() { String::new() } else { format!("{remark}; ") };
    Some(format!("{remark}{}", line(ours, &written)))
}

/// Adds to an error of a transform's options what to write instead.
pub(crate) fn with_help(error: TransformError, place: &str, name: &str, given: &Value) -> TransformError {
    // What is inside a combination is advised upon by itself.
    let own = matches!(&error, TransformError::Choice(ChoiceError::Option { place: of, .. } | ChoiceError::UnknownOption { place: of, .. })
        if of == place);
    let written = if own { repaired(name, given) } else { None };
    let line = written.map(|options| line(name, &options)).or_else(|| own.then(|| ways(name, given))?);
    match (error, line) {
        (TransformError::Choice(error), Some(line)) => error.with_help(line).into(),
        (error, _) => error,
    }
}

/// Where a number can mean two things, both; where nothing can be made of what was given, the first sample.
fn ways(name: &str, given: &Value) -> Option<String> {
    match (name, given) {
        ("resize", Value::Number(side)) => {
            let ways = [json!({"size": side}), json!({"shorter_side": side})].map(|options| line(name, &options));
            let [exactly, shorter] = ways;
            Some(format!(
                "{exactly}\n  for exactly this size, or, to keep the shape,\n{}",
                shorter.trim_start_matches("write\n")
            ))
        }
        _ => {
            let sample = row(name)?.samples.iter().find(|sample| **sample != "{}")?;
            Some(format!("for example {}", line(name, &serde_json::from_str(sample).ok()?)))
        }
    }
}

fn line(name: &str, options: &Value) -> String {
    let bare = options.as_object().is_some_and(Map::is_empty);
    let written = if bare { name.to_owned() } else { format!("{name}: {}", flow(options)) };
    format!("write\n    - {written}")
}

/// The options as this transform takes them, if something that loads can be made of what was given.
fn repaired(name: &str, given: &Value) -> Option<Value> {
    let row = row(name)?;
    let schema = row.schema();
    let known = |option: &str| schema.get("properties").is_some_and(|known| known.get(option).is_some());
    let mut options = Map::new();
    match given {
        Value::Object(map) => {
            for (option, value) in map {
                let word = plain(option);
                let ours = match known(option) {
                    true => Some(option.as_str()),
                    false => renamed(&word).into_iter().find(|ours| known(ours)),
                };
                match ours {
                    Some(ours) => merge(&mut options, ours, word.as_str(), value),
                    None if IDLE.contains(&word.as_str()) => {}
                    None => return None,
                }
            }
        }
        Value::Null | Value::Bool(true) => {}
        // A number alone is the one option that must be there, where there is one.
        bare => {
            let required = schema.get("required").and_then(Value::as_array);
            let only = required.filter(|required| required.len() == 1).and_then(|required| required[0].as_str());
            let alone = only.or((name == "resize" && bare.is_array()).then_some("size"));
            options.insert(alone.or(known("probability").then_some("probability"))?.into(), bare.clone());
        }
    }
    let options: Map<String, Value> =
        options.into_iter().map(|(option, value)| (option.clone(), in_our_form(name, &option, value))).collect();
    let options = Value::Object(options);
    (options != *given && row.accepts(&options)).then_some(options)
}

fn renamed(word: &str) -> Vec<&'static str> {
    let rows = OPTIONS.iter().filter(|(words, _)| words.contains(&word));
    rows.flat_map(|(_, ours)| ours.iter().copied()).collect()
}

/// `height` and `width` of other libraries are one `size` here.
fn merge(options: &mut Map<String, Value>, ours: &str, word: &str, value: &Value) {
    let merged = match (options.get(ours), ours, word) {
        (Some(width), "size", "height") => json!([width, value]),
        (Some(height), "size", "width") => json!([value, height]),
        _ => value.clone(),
    };
    let merged = match merged.as_array().map(Vec::as_slice) {
        Some([width, height]) if ours == "size" && width == height => width.clone(),
        _ => merged,
    };
    options.insert(ours.into(), merged);
}

/// A value in the form and unit that an option has here.
fn in_our_form(name: &str, option: &str, value: Value) -> Value {
    let number = value.as_f64().or_else(|| leading_number(value.as_str()?));
    let pair = value.as_array().and_then(|list| match list.as_slice() {
        [low, high] => Some((low.as_f64()?, high.as_f64()?)),
        _ => None,
    });
    match (option, number, pair) {
        ("degrees", _, Some((low, high))) => rounded(low.abs().max(high.abs())),
        ("degrees", Some(degrees), _) => rounded(degrees.abs()),
        ("probability", Some(percent), _) if percent > 1.0 && percent <= 100.0 => rounded(percent / 100.0),
        ("probability", ..) if value == Value::Bool(true) => json!(1),
        ("sigma", Some(sigma), _) if name == "gaussian_blur" => json!([rounded(sigma), rounded(sigma)]),
        ("sigma", Some(sigma), _) if name == "gaussian_noise" && sigma > 1.0 => rounded(sigma / 255.0),
        ("sigma", _, Some((_, most))) if name == "gaussian_noise" => {
            rounded(if most > 1.0 { most / 255.0 } else { most })
        }
        ("mean" | "std", ..) if name == "normalize" => {
            let list = match (&value, number) {
                (Value::Array(list), _) => list.iter().filter_map(Value::as_f64).collect(),
                (_, Some(number)) => vec![number; 3],
                _ => Vec::new(),
            };
            let list = if list.len() == 1 { vec![list[0]; 3] } else { list };
            let white = if list.iter().any(|number| *number > 1.0) { 255.0 } else { 1.0 };
            if list.is_empty() { value } else { list.iter().map(|number| rounded(number / white)).collect() }
        }
        ("fill", Some(grey), _) => json!([rounded(grey), rounded(grey), rounded(grey)]),
        ("fill", ..) => match value.as_str().map(plain).as_deref() {
            Some("black") => json!([0, 0, 0]),
            Some("white") => json!([255, 255, 255]),
            Some("gray" | "grey") => json!([128, 128, 128]),
            _ => value,
        },
        ("area", Some(least), _) if least <= 1.0 => json!([rounded(least), 1]),
        ("area" | "aspect_ratio", _, Some((high, low))) if high > low => json!([rounded(low), rounded(high)]),
        ("fraction", Some(share), _) => {
            let share = if share > 1.0 { share / 100.0 } else { share };
            json!([rounded(share), rounded(share)])
        }
        ("kernel", ..) => {
            let word = value.as_str().map(plain).unwrap_or_default();
            let word = word.trim_start_matches("inter").trim_start_matches("interpolationmode.");
            let ours = KERNELS.iter().find(|(other, _)| *other == word).map(|(_, ours)| *ours);
            ours.map_or_else(|| if value.is_string() { json!(word) } else { value.clone() }, |ours| json!(ours))
        }
        ("border", ..) => {
            let word = value.as_str().map_or_else(|| value.to_string(), plain);
            let word = word.trim_start_matches("border");
            let word = if word.is_empty() { "border" } else { word };
            let ours = BORDERS.iter().find(|(other, _)| *other == word).map_or(word, |(_, ours)| ours);
            json!(ours)
        }
        ("apply", ..) => value,
        (_, Some(number), _) if value.is_string() => rounded(number),
        (_, Some(number), _) if number.fract() == 0.0 => rounded(number),
        _ => value,
    }
}

/// `15°`, `224px`.
fn leading_number(text: &str) -> Option<f64> {
    let end = text.find(|letter: char| !matches!(letter, '0'..='9' | '.' | '-')).unwrap_or(text.len());
    let unit = text[end..].trim();
    (unit.chars().count() <= 7 && !unit.contains(|letter: char| letter.is_ascii_digit()))
        .then(|| text[..end].parse().ok())?
}

/// To three places; whole numbers without a point.
fn rounded(number: f64) -> Value {
    let number = (number * 1000.0).round() / 1000.0;
    if number.fract() == 0.0 && number.abs() < 1e15 { json!(number as i64) } else { json!(number) }
}

/// `RandomResizedCrop`, `random_resized_crop` and `transforms.RandomResizedCrop` are one word.
fn plain(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.chars().filter(|letter| !matches!(letter, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Choice;

    use super::*;
    use crate::Chain;

    fn help(written: Value) -> String {
        let spec: Choice = serde_json::from_value(written).unwrap();
        let error = Chain::parse(&[spec]).expect_err("this is a form of another library");
        error.help().unwrap_or_default().to_owned()
    }

    #[test]
    fn forms_of_other_libraries_are_answered_by_the_line_to_write() {
        let rows = [
            (
                json!({"RandomResizedCrop": {"size": 128, "scale": [0.2, 1.0]}}),
                "- random_resized_crop: {size: 128, area: [0.2, 1.0]}",
            ),
            (json!({"RandomResizedCrop": 128}), "- random_resized_crop: {size: 128}"),
            (json!("RandomResizedCrop"), "- random_resized_crop: {size: 224}"),
            (json!("RandomHorizontalFlip"), "- horizontal_flip"),
            (json!({"HorizontalFlip": {"p": 0.3}}), "- horizontal_flip: {probability: 0.3}"),
            (json!({"torchvision.transforms.CenterCrop": {"size": [224, 224]}}), "- center_crop: {size: [224, 224]}"),
            (
                json!({"Normalize": {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}}),
                "- normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}",
            ),
            (
                json!({"normalize": {"mean": 0.5, "std": 0.5}}),
                "- normalize: {mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}",
            ),
            (
                json!({"normalize": {"mean": 127.5, "std": 127.5}}),
                "- normalize: {mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}",
            ),
            (json!({"rotate": {"degrees": [-15, 15]}}), "- rotate: {degrees: 15}"),
            (json!({"rotate": 15}), "- rotate: {degrees: 15}"),
            (json!({"rotate": [-15, 15]}), "- rotate: {degrees: 15}"),
            (json!({"rotate": {"degrees": "15°"}}), "- rotate: {degrees: 15}"),
            (
                json!({"Rotate": {"limit": 20, "p": 0.5, "always_apply": false}}),
                "- rotate: {degrees: 20, probability: 0.5}",
            ),
            (json!({"Rotate": {"limit": 20, "border_mode": 4}}), "- rotate: {degrees: 20, border: reflect}"),
            (json!({"rotate": {"degrees": 15, "padding_mode": "border"}}), "- rotate: {degrees: 15, border: edge}"),
            (json!({"rotate": {"degrees": 15, "fill": 128}}), "- rotate: {degrees: 15, fill: [128, 128, 128]}"),
            (json!({"resize": 128}), "- resize: {size: 128}"),
            (json!({"resize": 128}), "- resize: {shorter_side: 128}"),
            (json!({"resize": [128, 64]}), "- resize: {size: [128, 64]}"),
            (json!({"resize": {"size": 64, "interpolation": "bicubic"}}), "- resize: {size: 64, kernel: cubic}"),
            (json!({"Resize": {"height": 64, "width": 64}}), "- resize: {height: 64, width: 64}"),
            (json!({"center_crop": 224}), "- center_crop: {size: 224}"),
            (json!({"center_crop": {"height": 64, "width": 32}}), "- center_crop: {size: [32, 64]}"),
            (
                json!({"random_resized_crop": {"size": 64, "ratio": [0.9, 1.1]}}),
                "- random_resized_crop: {size: 64, aspect_ratio: [0.9, 1.1]}",
            ),
            (json!({"horizontal_flip": 0.5}), "- horizontal_flip: {probability: 0.5}"),
            (json!({"horizontal_flip": {"probability": 50}}), "- horizontal_flip: {probability: 0.5}"),
            (json!({"gaussian_noise": {"std": 12.75}}), "- gaussian_noise: {sigma: 0.05}"),
            (json!({"translate": {"fraction": 0.1}}), "- translate: {fraction: [0.1, 0.1]}"),
            (json!({"mixup": {"alpha": 0.4}}), "- mix_up: {alpha: 0.4}"),
            (json!({"rotate": {"axis": 3}}), "for example write\n    - rotate: {degrees: 15}"),
            (json!({"ColorJitter": {"brightness": 0.2}}), "- color_jitter: {brightness: 0.2}"),
            (json!({"ColorJitter": {"hue": 0.1, "p": 0.8}}), "- color_jitter: {hue: 0.1, probability: 0.8}"),
            (json!({"GaussianBlur": {"sigma": [0.1, 2.0], "kernel_size": 5}}), "- gaussian_blur: {sigma: [0.1, 2.0]}"),
            (json!({"gaussian_blur": {"sigma": 1.5}}), "- gaussian_blur: {sigma: [1.5, 1.5]}"),
            (json!({"ElasticTransform": {"alpha": 40, "sigma": 5}}), "- elastic: {alpha: 40, sigma: 5}"),
            (json!("RandomGrayscale"), "of colours there are `color_jitter`"),
            (json!("ToTensor"), "by themselves"),
        ];
        let wrong = rows.into_iter().map(|(written, wanted)| (help(written.clone()), written, wanted));
        let wrong: Vec<_> = wrong.filter(|(said, _, wanted)| !said.contains(wanted)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn every_line_that_is_shown_for_a_foreign_transform_is_accepted() {
        for (words, ours, sample, _) in NAMES {
            let options: Value = serde_json::from_str(sample).unwrap();
            assert!(row(ours).is_some_and(|row| row.accepts(&options)), "{ours}: {sample}");
            for word in *words {
                let unknown = help_of_name(word);
                assert!(unknown.contains(&format!("- {ours}")), "{word}: {unknown}");
            }
        }
        let words = NAMES.iter().flat_map(|row| row.0).chain(ABSENT.iter().flat_map(|row| row.0));
        let mut seen = std::collections::HashSet::new();
        assert!(words.clone().all(|word| plain(word) == **word && seen.insert(word)), "each once");
    }

    fn help_of_name(word: &str) -> String {
        name(word, &json!({})).unwrap_or_default()
    }
}
