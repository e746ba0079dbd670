use millstream_compiler::losses::PredictionKind;
use millstream_schemas::{Batch, count};
use millstream_training::Prediction;
use millstream_training::metrics::{Detecting, sigmoid, softmax};

use super::box_form::BoxForm;
use super::mask_files::MaskFiles;
use super::picture_space::PictureSpace;
use super::predict_options::PredictOptions;
use super::predicted_as::PredictedAs;
use super::predicted_row::{ClassProbability, ClassShare, PredictedThing, RowAnswer};
use crate::RecipeError;

/// The option for masks, and what models tell that it is of: `[batch, classes, height, width]`.
const MASKS: &str = "--masks";
const OF_MASKS: &str = "a class for each pixel";
const AXES_OF_MASKS: usize = 4;
/// The option for the most likely classes, and what models tell that it is of: `[batch, classes]`.
const TOP: &str = "--top";
const OF_TOP: &str = "a class or labels of each row";
const AXES_OF_TOP: usize = 2;

/// What a model's scores say.
pub(super) struct Answers {
    reads: PredictionKind,
    classes: Vec<String>,
    /// Log-odds from where on labels, or the second of two classes, are said to hold.
    thresholds: Vec<f64>,
    /// Classes named of each row, where it was said how many; 0 for all.
    top: Option<usize>,
    /// How things in pictures are told apart.
    detecting: Detecting,
    masks: Option<MaskFiles>,
    /// How boxes stand in numbers, where these are boxes.
    boxes: Option<BoxForm>,
}

impl Answers {
    /// `axes`: how many the scores have, the batch among them, where it is known. `of_pictures`: whether each row has one picture that is
    /// prepared without chance.
    ///
    /// # Errors
    /// Such scores are not read, an option is of models that tell something else, or what lies in the place of the folder for masks is none.
    pub(super) fn new(
        reads: PredictionKind,
        axes: Option<usize>,
        classes: Vec<String>,
        thresholds: Vec<f64>,
        boxes: Option<BoxForm>,
        of_pictures: bool,
        options: &PredictOptions,
    ) -> Result<Self, RecipeError> {
        if reads == PredictionKind::Boxes && !of_pictures {
            let message = "the model tells things at the places of a prepared picture, which are led back to the picture of a row where \
                           that is the only one and is prepared without chance; it has several, or the transforms of evaluation draw \
                           something. `evaluate` measures it";
            return Err(RecipeError::mismatch("model", message));
        }
        if reads == PredictionKind::SequenceScores {
            let message = "the model gives scores of symbols or of next tokens for each step of a sequence (the losses `ctc` and \
                           `causal_language_modelling`), of which `predict` makes no text; `evaluate` measures them, and \
                           the exported model gives them to a program that decodes";
            return Err(RecipeError::mismatch("model", message));
        }
        let tells_masks = reads == PredictionKind::ClassScores && axes.is_none_or(|axes| axes == AXES_OF_MASKS);
        let tells_top = match reads {
            PredictionKind::ClassScores => axes.is_none_or(|axes| axes == AXES_OF_TOP),
            reads => reads == PredictionKind::LabelScores,
        };
        let of_others = [
            (
                options.least_probability.is_some() && reads != PredictionKind::Boxes,
                "--least-probability",
                "things of several classes",
            ),
            (options.masks.is_some() && !tells_masks, MASKS, OF_MASKS),
            (options.top.is_some() && !tells_top, TOP, OF_TOP),
        ];
        if let Some((_, option, what)) = of_others.iter().find(|(is_of_others, ..)| *is_of_others) {
            return Err(is_of_others(option, what));
        }
        let masks = options.masks.as_deref().map(MaskFiles::new).transpose()?;
        let boxes = boxes.filter(|_| reads == PredictionKind::Numbers);
        let least_probability = options.least_probability.unwrap_or(Detecting::LEAST_TOLD);
        let detecting = Detecting { least_probability, ..Detecting::default() };
        Ok(Self { reads, classes, thresholds, top: options.top, detecting, masks, boxes })
    }

    pub(super) fn kind(&self) -> PredictedAs {
        match self.reads {
            PredictionKind::ClassScores | PredictionKind::SequenceScores => PredictedAs::Classes,
            PredictionKind::LabelScores => PredictedAs::Labels,
            PredictionKind::Boxes => PredictedAs::Things,
            PredictionKind::Numbers if self.boxes.as_ref().is_some_and(|form| form.most == 1) => PredictedAs::Box,
            PredictionKind::Numbers if self.boxes.is_some() => PredictedAs::Boxes,
            PredictionKind::Numbers | PredictionKind::Embeddings => PredictedAs::Numbers,
        }
    }

    /// Whether places of prepared pictures are to be told of the pictures as they were.
    pub(super) fn are_of_places(&self) -> bool {
        self.boxes.is_some() || matches!(self.reads, PredictionKind::ClassScores | PredictionKind::Boxes)
    }

    /// What the model says of the row in a slot of a batch, with what of it lies in files; `space` is that of its picture, and `file` what it is called
    /// without its folder.
    ///
    /// # Errors
    /// The prediction is of another shape than can be read, or a file cannot be written.
    pub(super) fn of_slot(
        &mut self,
        batch: &Batch,
        prediction: &Prediction,
        slot: usize,
        space: Option<&PictureSpace>,
        file: &str,
    ) -> Result<RowAnswer, RecipeError> {
        let Prediction { shape, values } = prediction;
        let of_row: usize = shape.iter().skip(1).product();
        let is_a_row_each = shape.first().is_none_or(|rows| *rows == batch.capacity());
        let Some(scores) = values.chunks(of_row.max(1)).nth(slot).filter(|_| is_a_row_each) else {
            let message = format!(
                "it gives scores of the shape {shape:?} for a batch of {}; `predict` reads models that give a row for each row of the batch, \
                 and no detectors that give one for each thing they find",
                count(batch.capacity() as u64, "row")
            );
            return Err(RecipeError::mismatch("model", message));
        };
        let answer = self.of_row(shape, scores, || length(batch, slot), space)?;
        self.finished(answer, file, shape.get(1).copied().unwrap_or_default())
    }

    fn of_row(
        &self,
        shape: &[usize],
        scores: &[f32],
        length: impl Fn() -> Option<usize>,
        space: Option<&PictureSpace>,
    ) -> Result<RowAnswer, RecipeError> {
        if scores.iter().any(|score| !score.is_finite()) {
            return Ok(RowAnswer::Unusable { error: "the model gives scores that are no numbers".into() });
        }
        match (self.reads, shape) {
            (PredictionKind::ClassScores, [_, _]) => Ok(self.class(scores)),
            (PredictionKind::ClassScores, [_, classes, places]) => {
                let places_of_row = length().unwrap_or(*places).min(*places);
                let best = (0..places_of_row).map(|place| self.told(*classes, |class| scores[class * places + place]));
                Ok(RowAnswer::Tokens { classes: best.map(|class| self.name(class)).collect() })
            }
            (PredictionKind::ClassScores, [_, classes, height, width]) => {
                Ok(self.mask([*classes, *height, *width], scores, space))
            }
            (PredictionKind::LabelScores, [_, _]) => Ok(self.labels(scores)),
            (PredictionKind::Boxes, [_, channels, height, width]) => {
                Ok(self.things([*channels, *height, *width], scores, space))
            }
            (PredictionKind::Numbers, _) if self.boxes.is_some() => self.boxes(shape, scores, space),
            (PredictionKind::Numbers | PredictionKind::Embeddings, _) => {
                Ok(RowAnswer::Numbers { values: scores.to_vec() })
            }
            _ => {
                let message = format!("it gives scores of the shape {shape:?}, which `predict` does not read");
                Err(RecipeError::mismatch("model", message))
            }
        }
    }

    /// The class with the highest score, the first of equals; of two with a threshold, the second where its log-odds are above that.
    fn told(&self, count: usize, score: impl Fn(usize) -> f32) -> usize {
        match (count, self.thresholds.as_slice()) {
            (2, [threshold]) => usize::from(f64::from(score(1)) - f64::from(score(0)) > *threshold),
            _ => highest(count, score),
        }
    }

    fn class(&self, scores: &[f32]) -> RowAnswer {
        let mut probabilities = Vec::new();
        softmax(scores, &mut probabilities);
        let probabilities: Vec<f32> = probabilities.into_iter().map(|probability| probability as f32).collect();
        let index = self.told(scores.len(), |class| scores[class]);
        let class = self.name(index);
        let probability = probabilities.get(index).copied().unwrap_or_default();
        RowAnswer::Class { class, index, probability, top: self.top(&probabilities), probabilities }
    }

    fn labels(&self, scores: &[f32]) -> RowAnswer {
        let probabilities: Vec<f32> = scores.iter().map(|score| sigmoid(*score) as f32).collect();
        let threshold = |label: usize| self.thresholds.get(label).copied().unwrap_or(0.0);
        let holds = |label: &usize| f64::from(scores[*label]) > threshold(*label);
        let labels = (0..scores.len()).filter(holds).map(|label| self.name(label)).collect();
        RowAnswer::Labels { labels, top: self.top(&probabilities), probabilities }
    }

    fn boxes(&self, shape: &[usize], scores: &[f32], space: Option<&PictureSpace>) -> Result<RowAnswer, RecipeError> {
        let (numbers, rest) = scores.as_chunks::<4>();
        let (Some(form), [first, ..], []) = (&self.boxes, numbers, rest) else {
            let message = format!("it gives numbers of the shape {shape:?}, and boxes are told by four each");
            return Err(RecipeError::mismatch("model", message));
        };
        let Some(space) = space else { return Ok(led_nowhere()) };
        let class = form.class().cloned();
        Ok(match form.most {
            1 => RowAnswer::Box { r#box: form.read(*first, space), class },
            _ => RowAnswer::Boxes { boxes: numbers.iter().map(|one| form.read(*one, space)).collect(), class },
        })
    }

    fn things(&self, shape: [usize; 3], told: &[f32], space: Option<&PictureSpace>) -> RowAnswer {
        let Some(space) = space else { return led_nowhere() };
        let [across, down] = space.prepared();
        let things = self.detecting.things(told, shape).into_iter().map(|thing| {
            let [left, top, right, bottom] = thing.bounds.map(f64::from);
            let r#box = space.bounds([left * across, top * down, right * across, bottom * down]);
            PredictedThing { class: self.name(thing.class), probability: thing.probability, r#box }
        });
        RowAnswer::Things { things: things.collect() }
    }

    /// A box with the class that scores of another output, `[batch, classes]`, say of its picture: the most likely, the first of equals.
    pub(super) fn with_class(&self, answer: RowAnswer, scores: &Prediction, slot: usize) -> RowAnswer {
        let RowAnswer::Box { r#box, .. } = answer else { return answer };
        let classes = self.classes.len();
        let own = scores.values.chunks(classes.max(1)).nth(slot);
        match own.filter(|own| own.len() == classes && own.iter().all(|score| score.is_finite())) {
            Some(own) => RowAnswer::Box { r#box, class: Some(self.name(highest(classes, |class| own[class]))) },
            None => RowAnswer::Unusable { error: "the model gives scores of classes that are no numbers".into() },
        }
    }

    fn mask(&self, [classes, height, width]: [usize; 3], scores: &[f32], space: Option<&PictureSpace>) -> RowAnswer {
        let places = height * width;
        let best: Vec<u16> =
            (0..places).map(|place| self.told(classes, |class| scores[class * places + place]) as u16).collect();
        let (size, pixels) = match space {
            Some(space) => space.classes([width, height], &best),
            None => ([width, height], best.into_iter().map(Some).collect()),
        };
        let mut counts = vec![0_u64; classes];
        pixels.iter().flatten().for_each(|class| counts[usize::from(*class)] += 1);
        let seen: u64 = counts.iter().sum();
        let mut shares: Vec<(usize, u64)> = counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect();
        shares.sort_by_key(|(class, count)| (std::cmp::Reverse(*count), *class));
        let share = |(class, count)| ClassShare { class: self.name(class), share: count as f64 / seen.max(1) as f64 };
        let shares = shares.into_iter().map(share).collect();
        let pixels = if self.masks.is_some() { pixels } else { Vec::new() };
        RowAnswer::Mask { mask: None, size, shares, pixels }
    }

    fn finished(&mut self, answer: RowAnswer, file: &str, classes: usize) -> Result<RowAnswer, RecipeError> {
        let lacks_top = matches!(answer, RowAnswer::Tokens { .. } | RowAnswer::Mask { .. });
        if lacks_top && self.top.is_some() {
            // of a model that does not state how many axes its scores have
            return Err(is_of_others(TOP, OF_TOP));
        }
        match (answer, &mut self.masks) {
            (RowAnswer::Mask { size, shares, pixels, .. }, Some(masks)) => {
                let mask = Some(masks.write(file, size, &pixels, classes)?);
                Ok(RowAnswer::Mask { mask, size, shares, pixels: Vec::new() })
            }
            (answer @ RowAnswer::Unusable { .. }, _) => Ok(answer),
            // of a model that does not state how many axes its scores have
            (_, Some(_)) => Err(is_of_others(MASKS, OF_MASKS)),
            (answer, None) => Ok(answer),
        }
    }

    fn top(&self, probabilities: &[f32]) -> Vec<ClassProbability> {
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]).then(a.cmp(b)));
        let most = match self.top.unwrap_or(PredictOptions::TOP) {
            0 => order.len(),
            most => most,
        };
        let entry = |class: usize| ClassProbability { class: self.name(class), probability: probabilities[class] };
        order.into_iter().take(most).map(entry).collect()
    }

    fn name(&self, class: usize) -> String {
        self.classes.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

/// That an option is of models that tell something else.
fn is_of_others(option: &str, what: &str) -> RecipeError {
    let message = format!("is of models that tell {what}, and this one tells something else; leave it out");
    RecipeError::mismatch(option, message)
}

/// What is said where places in a prepared picture are of no use.
fn led_nowhere() -> RowAnswer {
    RowAnswer::Unusable { error: "its picture cannot be led back to what it was before it was prepared".into() }
}

/// The first of the highest.
fn highest(count: usize, score: impl Fn(usize) -> f32) -> usize {
    (0..count).fold(0, |best, class| if score(class) > score(best) { class } else { best })
}

/// How long a slot's row was, where rows have lengths of their own.
fn length(batch: &Batch, slot: usize) -> Option<usize> {
    batch.lengths.values().next()?.get(slot).copied()
}

#[cfg(test)]
mod tests {
    use image::ImageReader;
    use millstream_schemas::Choice;
    use millstream_transforms::{Chain, ImageFacts};
    use serde_json::json;

    use super::*;

    fn answers(reads: PredictionKind, thresholds: &[f64], options: &PredictOptions) -> Answers {
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        Answers::new(reads, None, classes, thresholds.to_vec(), None, true, options).unwrap()
    }

    fn none() -> Option<usize> {
        None
    }

    #[test]
    fn fitted_thresholds_decide_and_probabilities_stay() {
        let options = PredictOptions { top: Some(2), ..PredictOptions::new("model.onnx") };
        let two = Answers {
            classes: vec!["no".into(), "yes".into()],
            ..answers(PredictionKind::ClassScores, &[1.0], &options)
        };
        for (scores, wanted) in [([0.0, 0.5], "no"), ([0.0, 1.5], "yes")] {
            let RowAnswer::Class { class, probability, probabilities, index, .. } =
                two.of_row(&[1, 2], &scores, none, None).unwrap()
            else {
                panic!("a class was wanted");
            };
            assert_eq!((class.as_str(), probability), (wanted, probabilities[index]));
            assert!((probabilities[1] - 1.0 / (1.0 + (-scores[1]).exp())).abs() < 1e-6);
        }
        // of tokens and pixels too, class by class
        let of_places = [0.0, 0.0, 0.5, 1.5];
        let tokens = two.of_row(&[1, 2, 2], &of_places, none, None).unwrap();
        assert_eq!(tokens, RowAnswer::Tokens { classes: vec!["no".into(), "yes".into()] });
        let RowAnswer::Mask { shares, .. } = two.of_row(&[1, 2, 1, 2], &of_places, none, None).unwrap() else {
            panic!("a mask was wanted");
        };
        let shares: Vec<(&str, f64)> = shares.iter().map(|share| (share.class.as_str(), share.share)).collect();
        assert_eq!(shares, [("no", 0.5), ("yes", 0.5)]);
        let labels = answers(PredictionKind::LabelScores, &[0.0, 2.0, -1.0], &options);
        let RowAnswer::Labels { labels, top, .. } = labels.of_row(&[1, 3], &[0.5, 1.0, -0.5], none, None).unwrap()
        else {
            panic!("labels were wanted");
        };
        assert_eq!(labels, ["a", "c"]);
        assert_eq!(top.iter().map(|label| label.class.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn a_box_has_the_class_that_another_output_tells() {
        let numbers = answers(PredictionKind::Numbers, &[], &PredictOptions::new("model.onnx"));
        let scores = Prediction { shape: vec![2, 3], values: vec![0.1, 0.7, 0.2, 2.0, f32::NAN, 1.0] };
        let bare = || RowAnswer::Box { r#box: [1.0, 2.0, 3.0, 4.0], class: None };
        let told = numbers.with_class(bare(), &scores, 0);
        assert_eq!(told, RowAnswer::Box { r#box: [1.0, 2.0, 3.0, 4.0], class: Some("b".into()) });
        for slot in [1, 2] {
            assert!(matches!(numbers.with_class(bare(), &scores, slot), RowAnswer::Unusable { .. }), "{slot}");
        }
        let unusable = RowAnswer::Unusable { error: "x".into() };
        assert_eq!(numbers.with_class(unusable.clone(), &scores, 0), unusable);
    }

    #[test]
    fn things_are_told_in_pixels_of_the_picture_with_their_class() {
        let chain = Chain::parse(&[Choice::new("resize", json!({"size": 10}))]).unwrap();
        let space = PictureSpace::of(&chain, &ImageFacts::new(100, 50)).unwrap().unwrap();
        let of_boxes = answers(PredictionKind::Boxes, &[], &PredictOptions::new("model.onnx"));
        assert!(of_boxes.kind() == PredictedAs::Things && of_boxes.are_of_places());
        // three classes at one place, of which the second is told, and the third too seldom to be one
        let quarter = 0.25_f32.ln();
        let told = [-9.0, 2.0, -2.0, quarter, quarter, 0.0, 0.0];
        let RowAnswer::Things { things } = of_boxes.of_row(&[1, 7, 1, 1], &told, none, Some(&space)).unwrap() else {
            panic!("things were wanted");
        };
        let [thing] = things.as_slice() else { panic!("one was wanted: {things:?}") };
        assert_eq!(thing.class, "b");
        assert!((thing.probability - 0.880_797).abs() < 1e-5, "{thing:?}");
        let near = thing.r#box.iter().zip([25.0, 12.5, 100.0, 50.0]).all(|(a, b)| (a - b).abs() < 1e-3);
        assert!(near, "{thing:?}");
        let options = PredictOptions { least_probability: Some(0.1), ..PredictOptions::new("model.onnx") };
        let more = answers(PredictionKind::Boxes, &[], &options).of_row(&[1, 7, 1, 1], &told, none, Some(&space));
        assert!(matches!(more.unwrap(), RowAnswer::Things { things } if things.len() == 2 && things[1].class == "c"));
        let nowhere = of_boxes.of_row(&[1, 7, 1, 1], &told, none, None).unwrap();
        assert!(matches!(nowhere, RowAnswer::Unusable { .. }), "{nowhere:?}");
    }

    #[test]
    fn things_of_rows_of_several_pictures_are_refused_once_and_not_row_by_row() {
        let options = PredictOptions::new("model.onnx");
        let of = |reads, of_pictures| Answers::new(reads, None, Vec::new(), Vec::new(), None, of_pictures, &options);
        let error = of(PredictionKind::Boxes, false).err().unwrap().to_string();
        assert!(
            error.contains("is the only one and is prepared without chance") && error.contains("`evaluate`"),
            "{error}"
        );
        assert!(of(PredictionKind::Boxes, true).is_ok());
        assert!(of(PredictionKind::ClassScores, false).is_ok());
    }

    #[test]
    fn options_of_other_models_are_refused_and_not_ignored() {
        let likely = PredictOptions { least_probability: Some(0.9), ..PredictOptions::new("model.onnx") };
        let masks = PredictOptions { masks: Some("masks".into()), ..PredictOptions::new("model.onnx") };
        let top = PredictOptions { top: Some(3), ..PredictOptions::new("model.onnx") };
        for (reads, options, wanted) in [
            (PredictionKind::ClassScores, &top, None),
            (PredictionKind::LabelScores, &top, None),
            (PredictionKind::Numbers, &top, Some("--top")),
            (PredictionKind::Embeddings, &top, Some("--top")),
            (PredictionKind::Boxes, &top, Some("--top")),
            (PredictionKind::ClassScores, &likely, Some("--least-probability")),
            (PredictionKind::Numbers, &likely, Some("--least-probability")),
            (PredictionKind::Boxes, &likely, None),
            (PredictionKind::Boxes, &masks, Some("--masks")),
        ] {
            let found = Answers::new(reads, None, Vec::new(), Vec::new(), None, true, options).err();
            let found = found.map(|error| error.to_string());
            assert_eq!(found.is_some(), wanted.is_some(), "{found:?}");
            assert!(found.is_none_or(|found| found.contains(wanted.unwrap())), "{wanted:?}");
        }
    }

    #[test]
    fn a_folder_for_masks_of_a_model_that_tells_a_class_a_row_or_a_token_is_refused_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let masks = folder.path().join("masks");
        let options = PredictOptions { masks: Some(masks.clone()), ..PredictOptions::new("model.onnx") };
        let of = |axes| Answers::new(PredictionKind::ClassScores, axes, Vec::new(), Vec::new(), None, true, &options);
        for axes in [2, 3] {
            let refused = of(Some(axes)).err().unwrap().to_string();
            assert!(refused.contains(MASKS) && refused.contains(OF_MASKS), "{refused}");
            assert!(!masks.exists(), "{axes}");
        }
        // where the axes are not known, with the first row
        let mut unknown = of(None).unwrap();
        let class = unknown.of_row(&[1, 2], &[0.0, 1.0], none, None).unwrap();
        assert!(unknown.finished(class, "a.jpg", 2).unwrap_err().to_string().contains(MASKS));
        let unusable = RowAnswer::Unusable { error: "x".into() };
        assert_eq!(unknown.finished(unusable.clone(), "a.jpg", 2).unwrap(), unusable);
        // and it is made with the first mask
        assert!(of(Some(4)).is_ok() && !masks.exists());
    }

    #[test]
    fn the_most_likely_classes_of_tokens_and_pixels_are_refused_and_not_left_out() {
        let options = PredictOptions { top: Some(3), ..PredictOptions::new("model.onnx") };
        let of = |axes| Answers::new(PredictionKind::ClassScores, axes, Vec::new(), Vec::new(), None, true, &options);
        for axes in [3, 4] {
            let refused = of(Some(axes)).err().unwrap().to_string();
            assert!(refused.contains(TOP) && refused.contains(OF_TOP), "{refused}");
        }
        assert!(of(Some(2)).is_ok());
        // where the axes are not known, with the first row
        let mut unknown = of(None).unwrap();
        for (shape, is_refused) in [(&[1, 2][..], false), (&[1, 1, 2][..], true), (&[1, 1, 1, 2][..], true)] {
            let answer = unknown.of_row(shape, &[0.0, 1.0], none, None).unwrap();
            assert_eq!(unknown.finished(answer, "a.jpg", shape[1]).is_err(), is_refused, "{shape:?}");
        }
    }

    #[test]
    fn places_are_read_class_by_class() {
        let options = PredictOptions::new("model.onnx");
        let of_classes = answers(PredictionKind::ClassScores, &[], &options);
        // three classes of four tokens, of which the row has three
        let scores = [9.0, 0.0, 1.0, 0.0, 0.0, 9.0, 2.0, 0.0, 0.0, 0.0, 3.0, 9.0];
        let answer = of_classes.of_row(&[1, 3, 4], &scores, || Some(3), None).unwrap();
        assert_eq!(answer, RowAnswer::Tokens { classes: ["a", "b", "c"].map(str::to_owned).to_vec() });
        // pixels without a folder for masks: the shares of the classes
        let answer = of_classes.of_row(&[1, 3, 2, 2], &scores, none, None).unwrap();
        assert!(matches!(answer, RowAnswer::Mask { mask: None, .. }), "{answer:?}");
        let infinite = of_classes.of_row(&[1, 3], &[0.0, f32::NAN, 1.0], none, None).unwrap();
        assert!(matches!(infinite, RowAnswer::Unusable { .. }), "{infinite:?}");
    }

    #[test]
    fn masks_are_files_of_class_numbers_and_no_two_have_one_name() {
        let folder = tempfile::tempdir().unwrap();
        let masks = folder.path().join("new/masks");
        let options = PredictOptions { masks: Some(masks.clone()), ..PredictOptions::new("model.onnx") };
        let mut of_pixels = answers(PredictionKind::ClassScores, &[], &options);
        let scores = [0.0, 9.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 9.0, 2.0];
        let mut written = Vec::new();
        for name in ["a/x.jpg", "b/x.png", "../x y.gif"] {
            let answer = of_pixels.of_row(&[1, 3, 2, 2], &scores, none, None).unwrap();
            let RowAnswer::Mask { mask, size, shares, .. } = of_pixels.finished(answer, name, 3).unwrap() else {
                panic!("a mask was wanted");
            };
            assert_eq!(size, [2, 2]);
            let shares: Vec<(&str, f64)> = shares.iter().map(|share| (share.class.as_str(), share.share)).collect();
            assert_eq!(shares, [("c", 0.5), ("a", 0.25), ("b", 0.25)]);
            let mask = mask.unwrap();
            let image = ImageReader::open(&mask).unwrap().decode().unwrap().to_luma8();
            assert_eq!(image.into_raw(), [1, 0, 2, 2]);
            written.push(mask);
        }
        assert_eq!(written, ["x.png", "x-2.png", "x_y.png"].map(|name| masks.join(name)));
    }

    #[test]
    fn scores_of_symbols_are_refused_with_the_command_that_reads_them() {
        let error = Answers::new(
            PredictionKind::SequenceScores,
            None,
            Vec::new(),
            Vec::new(),
            None,
            true,
            &PredictOptions::new("m"),
        );
        assert!(error.err().unwrap().to_string().contains("`evaluate`"));
    }
}
