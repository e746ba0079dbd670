//! What happens to images before a model sees them, as a tuned model carries it, compared with what a recipe does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_compiler::Model;
use millstream_compiler::losses::PredictionKind;
use millstream_pipeline::encodings::{Encoders, EncodingKind, WantedTensor};
use millstream_schemas::choice::{Catalog, Row};
use millstream_schemas::recipe::TransparencyPolicy;
use millstream_schemas::{BatchSpec, Choice, Recipe, Standardization, TensorRole, shown, shown_path};
use serde::{Deserialize, Serialize};

use crate::choices::Choices;
use crate::input_types::InputTypes;
use crate::tensor_encoding::TensorEncoding;
use crate::transform_differences::chain_differences;
use crate::{Catalogs, RecipeError, RowSource};

/// Under this key in an ONNX file's metadata.
const KEY: &str = "millstream.preprocess";

/// The preprocessing that a model was trained for, written into its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Preprocessing {
    /// Version of this format; 2. The first knew one image input, and is read as far as it goes.
    version: u32,
    /// What the model's inputs are made of, by their names.
    #[serde(default)]
    inputs: BTreeMap<String, TensorEncoding>,
    /// What its output was held against, but for classes, whose names have a place of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    targets: BTreeMap<String, TensorEncoding>,
    /// What happens to transparent pixels.
    transparency: TransparencyPolicy,
    /// The transforms of evaluation, in order.
    transforms: Vec<Choice>,
    /// What the output is read as; earlier files do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reads: Option<PredictionKind>,
    /// The output that holds the scores, where the recipe named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

/// What models are brought together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinedBy {
    /// What they give: each stays as it is.
    Scores,
    /// One model is made of their weights, which takes what all of them take.
    Weights,
}

impl Preprocessing {
    /// As a recipe evaluates.
    pub(crate) fn of(recipe: &Recipe, train: &RowSource, spec: &BatchSpec, reads: PredictionKind) -> Self {
        let encoders = &train.encoders;
        let learned = encoders.learned();
        let of_role = |wanted: TensorRole| {
            let of_one = |(name, role, encoding): (&str, TensorRole, &Choice)| {
                let shape = spec.get(name)?.shape.clone();
                let learned = learned.get(name).cloned().unwrap_or_default();
                let encoding = TensorEncoding { encoding: encoding.clone(), shape, learned };
                let is_meant = role == wanted && encoders.class_tensor() != Some(name);
                is_meant.then(|| (name.to_owned(), encoding))
            };
            encoders.choices().filter_map(of_one).collect()
        };
        Self {
            version: 2,
            inputs: of_role(TensorRole::Input),
            targets: of_role(TensorRole::Target),
            transparency: recipe.data.transparency,
            transforms: recipe.transforms.evaluate.clone(),
            reads: Some(reads),
            output: recipe.model.as_ref().and_then(|model| model.output.clone()),
        }
    }

    /// As a recipe says, of a model whose file need not say anything; what encodings learned is that of the file, where it does.
    ///
    /// # Errors
    /// The recipe's loss is not known.
    pub(crate) fn of_recipe(recipe: &Recipe, model: &Model, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        let data = &recipe.data;
        let of_file = Self::readable(model).map(|own| own.inputs).unwrap_or_default();
        let learned = |name: &str, encoding: &Choice| {
            let own = of_file.get(name).filter(|own| own.encoding.name == encoding.name);
            own.map(|own| own.learned.clone()).unwrap_or_default()
        };
        let inputs = match data.inputs.is_empty() {
            false => data.inputs.iter().map(|(name, encoding)| (name.clone(), encoding.clone())).collect(),
            true => {
                let inputs = model.inputs();
                let [(name, _)] = inputs.as_slice() else {
                    let message = "the model has several inputs; the recipe is to say what they are made of";
                    return Err(RecipeError::mismatch("data.inputs", message));
                };
                // images are the only short form whose tensors models take
                let mut options = serde_json::Map::new();
                options.extend(data.input.clone().map(|column| ("column".to_owned(), column.into())));
                vec![(name.clone(), Choice::new("image", serde_json::Value::Object(options)))]
            }
        };
        let types = InputTypes::of(model);
        let entry = |(name, mut encoding): (String, Choice)| {
            let learned = learned(&name, &encoding);
            types.state(&name, &mut encoding);
            (name, TensorEncoding { encoding, shape: Vec::new(), learned })
        };
        let target = |(name, encoding): (&String, &Choice)| {
            let encoding =
                TensorEncoding { encoding: encoding.clone(), shape: Vec::new(), learned: serde_json::Value::Null };
            (name.clone(), encoding)
        };
        Ok(Self {
            version: 2,
            inputs: inputs.into_iter().map(entry).collect(),
            targets: data.targets.iter().map(target).collect(),
            transparency: data.transparency,
            transforms: recipe.transforms.evaluate.clone(),
            reads: Some(Choices::of(&recipe.training, catalogs)?.loss.reads()),
            output: recipe.model.as_ref().and_then(|model| model.output.clone()),
        })
    }

    /// As a model's file says; nothing where it says nothing.
    ///
    /// # Errors
    /// It says so in a form that this version cannot read.
    pub(crate) fn read(model: &Model) -> Result<Option<Self>, RecipeError> {
        let Some(text) = model.metadata(KEY) else { return Ok(None) };
        let read: Option<Self> = serde_json::from_str(text).ok().filter(|own: &Self| own.version == 2);
        read.map(Some).ok_or_else(|| {
            let message = format!(
                "{} says how rows are prepared for it in a form that this version does not read (`{KEY}`); name a recipe by \
                 `--recipe`",
                shown_path(model.path())
            );
            RecipeError::mismatch("model", message)
        })
    }

    /// The same as far as it goes: of the earlier form too.
    fn readable(model: &Model) -> Option<Self> {
        serde_json::from_str(model.metadata(KEY)?).ok().filter(|own: &Self| matches!(own.version, 1 | 2))
    }

    /// That a model's file says it in a form of which nothing is read, where a recipe says it in its place.
    pub(crate) fn unread(model: &Model) -> Option<String> {
        (!is_unknown(model) && Self::readable(model).is_none()).then(|| {
            format!(
                "the model's file says how rows are prepared in a form that this version does not read (`{KEY}`): the recipe decides, and \
                 what encodings learned of the training rows is not known"
            )
        })
    }

    /// The transforms of evaluation, in order.
    pub(crate) fn transforms(&self) -> &[Choice] {
        &self.transforms
    }

    /// What happens to transparent pixels.
    pub(crate) fn transparency(&self) -> TransparencyPolicy {
        self.transparency
    }

    /// The output that holds the scores, where it was named.
    pub(crate) fn output(&self) -> Option<&str> {
        self.output.as_deref()
    }

    /// What the output is read as. Files that do not say it are of classes where they name some.
    pub(crate) fn reads(&self, classes: &[String]) -> PredictionKind {
        let usual = if classes.is_empty() { PredictionKind::Numbers } else { PredictionKind::ClassScores };
        self.reads.unwrap_or(usual)
    }

    /// How many axes the output has that it was held against: 2 where a row has one answer, of classes or labels, 3 where each token
    /// has one and 4 where each pixel has; nothing where that is not known.
    pub(crate) fn prediction_axes(&self, reads: PredictionKind) -> Option<usize> {
        let mut axes = self.targets().map(|(encoding, _)| match encoding.name.as_str() {
            "class_label" | "class_probabilities" | "multi_label" => Some(2),
            "own_tokens" | "spans" => Some(3),
            "mask" => Some(4),
            _ => None,
        });
        // of a class, whose names have a place of their own, nothing is noted here
        let first = axes.next().unwrap_or(Some(2));
        let is_of_classes = matches!(reads, PredictionKind::ClassScores | PredictionKind::LabelScores);
        first.filter(|_| is_of_classes && axes.all(|other| other == first))
    }

    /// What the model's inputs are made of, by their names.
    pub(crate) fn inputs(&self) -> &BTreeMap<String, TensorEncoding> {
        &self.inputs
    }

    /// The model's inputs and what they are made of.
    pub(crate) fn encodings(&self) -> impl Iterator<Item = (&str, &Choice)> {
        self.inputs.iter().map(|(name, input)| (name.as_str(), &input.encoding))
    }

    /// What its output was held against, but for classes, and what that learned of the training rows.
    pub(crate) fn targets(&self) -> impl Iterator<Item = (&Choice, &serde_json::Value)> {
        self.targets.values().map(|target| (&target.encoding, &target.learned))
    }

    /// The tensors of the inputs. A file that an encoding reads, and that has gone from its place, is taken from beside the model, or from
    /// where it lies in a project that was moved as a whole.
    pub(crate) fn wanted(&self, model: &Path, encodings: &Catalog<EncodingKind>) -> Vec<WantedTensor> {
        let wanted = |(name, encoding): (&str, &Choice)| {
            let mut encoding = encoding.clone();
            for option in encodings.get(&encoding.name).map(Row::path_options).unwrap_or_default() {
                if let Some(value) = encoding.options.get_mut(&option)
                    && let Some(path) = value.as_str().map(PathBuf::from)
                    && let Some(found) = Some(path).filter(|path| !path.exists()).and_then(|path| moved(&path, model))
                {
                    *value = found.to_string_lossy().into();
                }
            }
            let place = format!("data.inputs.{name}");
            WantedTensor { name: name.to_owned(), role: TensorRole::Input, encoding, place }
        };
        self.encodings().map(wanted).collect()
    }

    /// What the encodings of the inputs learned of the training rows, by the tensors' names.
    pub(crate) fn learned_values(&self) -> serde_json::Value {
        let known = self.inputs.iter().filter(|(_, input)| !input.learned.is_null());
        serde_json::Value::Object(known.map(|(name, input)| (name.clone(), input.learned.clone())).collect())
    }

    /// What the encodings of a model's inputs and target learned of the rows it was trained on, by the tensors' names, as its file
    /// says, where `encoders` have one of the same kind.
    pub(crate) fn learned(model: &Model, encoders: &Encoders) -> Option<serde_json::Value> {
        let whole: Self = serde_json::from_str(model.metadata(KEY)?).ok()?;
        let is_same = |(name, tensor): &(String, TensorEncoding)| {
            encoders.choices().any(|(own, _, choice)| own == name && choice.name == tensor.encoding.name)
        };
        let all = whole.inputs.into_iter().chain(whole.targets).filter(is_same);
        Some(serde_json::Value::Object(all.map(|(name, encoding)| (name, encoding.learned)).collect()))
    }

    /// Key and value for the metadata of an ONNX file.
    pub(crate) fn metadata(&self) -> (String, String) {
        (KEY.to_owned(), serde_json::to_string(self).expect("our own types have string keys"))
    }

    /// Key and value of one model that holds all of these, which are alike: as the file of the first has them, but for what is inside
    /// each of them and not the same in all.
    pub(crate) fn of_all(models: &[&Model]) -> Option<(String, String)> {
        let text = models.first()?.metadata(KEY)?;
        if models.iter().filter_map(|model| model.metadata(KEY)).any(|other| other != text)
            && let Ok(own) = serde_json::from_str::<Self>(text)
        {
            return Some(own.without_what_is_inside().metadata());
        }
        Some((KEY.to_owned(), text.to_owned()))
    }

    /// Without what encodings learned that became a part of the model.
    fn without_what_is_inside(mut self) -> Self {
        for tensor in self.inputs.values_mut().chain(self.targets.values_mut()).filter(|tensor| tensor.is_inside()) {
            tensor.learned = serde_json::json!(Standardization::default());
        }
        self
    }

    /// What two models' files say differently of how rows are prepared, in words; nothing where one of them says nothing.
    pub(crate) fn difference(first: &Model, other: &Model, by: JoinedBy) -> Option<String> {
        let (a, b) = (first.metadata(KEY)?, other.metadata(KEY)?);
        if a == b {
            return None;
        }
        let read = |text: &str| serde_json::from_str::<Self>(text).ok();
        let (Some(a), Some(b)) = (read(a), read(b)) else {
            return Some(format!("what their files say of it (`{KEY}`) is not the same, and not read"));
        };
        a.difference_from(b, by)
    }

    /// What another says differently of how rows are prepared, in words.
    pub(crate) fn difference_from(self, other: Self, by: JoinedBy) -> Option<String> {
        let (a, b) = match by {
            JoinedBy::Weights => (self, other),
            JoinedBy::Scores => (self.without_what_is_inside(), other.without_what_is_inside()),
        };
        let found = chain_differences(&a.transforms, &b.transforms, "the first is evaluated with", "this one with");
        if let Some(first) = found.into_iter().next() {
            return Some(first);
        }
        if a.transparency != b.transparency {
            return Some("transparent pixels are filled otherwise".into());
        }
        let differs = |name: &&String| a.inputs.get(*name) != b.inputs.get(*name);
        let input = a.inputs.keys().chain(b.inputs.keys()).find(differs)?;
        Some(format!("input `{}` is made otherwise, or learned otherwise of the training rows", shown(input)))
    }

    /// What a model's file says differs from a recipe, whose rows `encoders` read, in words, one for each difference. Nothing where the
    /// file says nothing.
    pub(crate) fn differences(model: &Model, recipe: &Recipe, encoders: &Encoders, catalogs: &Catalogs) -> Vec<String> {
        let (data, transforms) = (&recipe.data, &recipe.transforms.evaluate);
        let Some(text) = model.metadata(KEY) else { return Vec::new() };
        // a bare list of transforms is how earlier versions wrote it
        let (theirs, transparency, inputs) = match serde_json::from_str::<Self>(text) {
            Ok(whole) if matches!(whole.version, 1 | 2) => (whole.transforms, Some(whole.transparency), whole.inputs),
            _ => match serde_json::from_str::<Vec<Choice>>(text) {
                Ok(list) => (list, None, BTreeMap::new()),
                Err(_) => {
                    return vec![format!("the model's file holds `{KEY}` in a form that this version cannot read")];
                }
            },
        };
        let mut found = chain_differences(
            &theirs,
            transforms,
            "the model was trained to be evaluated with",
            "this recipe evaluates with",
        );
        if let Some(theirs) = transparency.filter(|theirs| *theirs != data.transparency) {
            let name = |policy| serde_json::to_string(&policy).unwrap_or_default().replace('"', "");
            found.push(format!(
                "the model was trained with `data.transparency: {}`, this recipe says `{}`",
                name(theirs),
                name(data.transparency)
            ));
        }
        let learned = encoders.learned();
        for (name, role, ours) in encoders.choices() {
            if let (TensorRole::Input, Some(theirs)) = (role, inputs.get(name)) {
                found.extend(theirs.differences(name, ours, learned.get(name), catalogs));
            }
        }
        found
    }
}

/// Where a file lies that has gone from its place: beside the model, or where the end of its path leads from a folder above that. Whether
/// it is the same file is told by what is learned of it.
fn moved(path: &Path, model: &Path) -> Option<PathBuf> {
    let model = std::path::absolute(model).ok()?;
    let folder = model.parent()?;
    let beside = folder.join(path.file_name()?);
    let parts: Vec<_> = path.components().collect();
    let ends = |above: &Path| -> Vec<PathBuf> {
        let end = |from: usize| above.join(parts[from..].iter().collect::<PathBuf>());
        (1..parts.len().saturating_sub(1)).map(end).collect()
    };
    std::iter::once(beside).chain(folder.ancestors().flat_map(ends)).find(|file| file.exists())
}

/// Whether nothing at all is known of a model's preprocessing.
pub(crate) fn is_unknown(model: &Model) -> bool {
    model.metadata(KEY).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_that_standardize_inside_by_rows_of_their_own_are_alike_unless_their_weights_are_averaged() {
        let of = |learned: serde_json::Value| -> Preprocessing {
            let encoding = json!({"number": {"column": "weight", "standardize": true}});
            let input = json!({"encoding": encoding, "shape": [1], "learned": learned});
            let transparency = TransparencyPolicy::default();
            let whole =
                json!({"version": 2, "inputs": {"weight": input}, "transparency": transparency, "transforms": []});
            serde_json::from_value(whole).unwrap()
        };
        let scale = |mean: f32| json!({"fill": [mean], "scale": [[mean], [1.0]]});
        for (a, b, [scores, weights]) in [
            (scale(1.0), scale(1.0), [false, false]),
            (scale(1.0), scale(2.0), [false, true]),
            (json!(["a", "b"]), json!(["a", "c"]), [true, true]),
            (json!({"vocabulary": ["a"]}), json!({"vocabulary": ["b"]}), [true, true]),
        ] {
            for (by, differs) in [(JoinedBy::Scores, scores), (JoinedBy::Weights, weights)] {
                let found = of(a.clone()).difference_from(of(b.clone()), by);
                assert_eq!(found.is_some(), differs, "{a} {b} {by:?}: {found:?}");
            }
        }
        assert_eq!(of(scale(1.0)).without_what_is_inside().learned_values(), json!({"weight": {}}));
    }

    #[test]
    fn classes_of_pixels_and_tokens_are_predicted_with_the_axes_that_they_were_trained_with() {
        let of = |encodings: &[&str]| -> Preprocessing {
            let target =
                |name: &&str| ((*name).to_owned(), json!({"encoding": {(*name): {}}, "shape": [1], "learned": null}));
            let targets: serde_json::Map<String, serde_json::Value> = encodings.iter().map(target).collect();
            let transparency = TransparencyPolicy::default();
            let whole =
                json!({"version": 2, "inputs": {}, "targets": targets, "transparency": transparency, "transforms": []});
            serde_json::from_value(whole).unwrap()
        };
        let rows: [(&[&str], Option<usize>); 8] = [
            (&[], Some(2)),
            (&["class_label"], Some(2)),
            (&["multi_label"], Some(2)),
            (&["spans"], Some(3)),
            (&["own_tokens"], Some(3)),
            (&["mask"], Some(4)),
            (&["mask", "spans"], None),
            (&["boxes"], None),
        ];
        for (encodings, wanted) in rows {
            assert_eq!(of(encodings).prediction_axes(PredictionKind::ClassScores), wanted, "{encodings:?}");
            assert_eq!(of(encodings).prediction_axes(PredictionKind::Numbers), None, "{encodings:?}");
        }
    }

    #[test]
    fn a_file_of_a_project_that_was_moved_is_found_by_the_end_of_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for part in ["new/runs/one", "new/models/bert", "new/models/gpt"] {
            std::fs::create_dir_all(at(part)).unwrap();
        }
        let model = at("new/runs/one/model.onnx");
        let was = at("old/models/bert/tokenizer.json");
        std::fs::write(at("new/models/gpt/tokenizer.json"), "").unwrap();
        assert_eq!(moved(&was, &model), None);
        std::fs::write(at("new/models/bert/tokenizer.json"), "").unwrap();
        assert_eq!(moved(&was, &model), Some(at("new/models/bert/tokenizer.json")));
        std::fs::write(at("new/runs/one/tokenizer.json"), "").unwrap();
        assert_eq!(moved(&was, &model), Some(at("new/runs/one/tokenizer.json")));
    }
}
