use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_schemas::Fingerprint;
use millstream_schemas::choice::{Catalog, Choice};
use serde::{Serialize, Serializer};

use crate::batch_drawing::{BatchDrawing, DrawnBatchStep};
use crate::catalog::standard;
use crate::chain_node::{Action, Node};
use crate::chain_parser;
use crate::combination::{Chosen, Outcomes};
use crate::error::TransformError;
use crate::image_drawing::ImageDrawing;
use crate::image_facts::ImageFacts;
use crate::image_limits::check_size;
use crate::kind::Kind;
use crate::random::DrawKey;
use crate::render::ended_pictures;
use crate::steps::{DrawnStep, ImageStep};
use crate::target::Target;
use crate::text_drawing::{self, TextDrawing};
use crate::transform::Transform;

/// Drawings that are looked at for what not every drawing has.
const DRAWS: u64 = 32;

/// A checked list of transforms.
///
/// Cheap to clone, safe to share. Serializes as the list it was parsed from.
#[derive(Clone)]
pub struct Chain {
    specs: Arc<[Choice]>,
    nodes: Arc<[Node]>,
}

impl Chain {
    /// Checks a list of transforms.
    ///
    /// # Errors
    /// An unknown name or option (with the nearest known one), a value out of range, or a combination that makes no
    /// sense; the place is given as in `transforms[2].rotate`.
    pub fn parse(specs: &[Choice]) -> Result<Self, TransformError> {
        Self::parse_at("transforms", specs)
    }

    /// As [`parse`](Self::parse), for the list at this place of a recipe, for example `transforms.train`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_at(place: &str, specs: &[Choice]) -> Result<Self, TransformError> {
        Self::parse_from(standard(), place, specs)
    }

    /// As [`parse_at`](Self::parse_at), with the transforms of a catalog.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_from(catalog: &Catalog<Transform>, place: &str, specs: &[Choice]) -> Result<Self, TransformError> {
        let nodes = chain_parser::nodes(catalog, place, specs)?;
        Ok(Self { specs: specs.into(), nodes: nodes.into() })
    }

    /// All that is wrong with the list at this place of a recipe; nothing, if [`parse_from`](Self::parse_from) takes
    /// it.
    pub fn faults_from(catalog: &Catalog<Transform>, place: &str, specs: &[Choice]) -> Vec<TransformError> {
        let mut faults = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            faults.extend(chain_parser::faults_of(catalog, &format!("{place}[{index}]"), spec));
        }
        // The order matters only among transforms that are sound themselves.
        if faults.is_empty() {
            faults.extend(Self::parse_from(catalog, place, specs).err());
        }
        faults
    }

    /// The list as written.
    pub fn specs(&self) -> &[Choice] {
        &self.specs
    }

    /// What the rows must be: images or text; `None` where any rows will do.
    pub fn input_kind(&self) -> Option<Kind> {
        self.nodes.iter().map(Node::kind).find(|kind| matches!(kind, Kind::Image | Kind::Text))
    }

    /// Of what the chain does: names and options with their defaults filled in, in whatever order they were written.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.nodes.iter().map(Node::canonical).collect::<Vec<_>>())
    }

    /// Whether two draws of the same row can differ.
    pub fn is_random(&self) -> bool {
        self.nodes.iter().any(Node::is_random)
    }

    /// Width and height that every image has at the end, if all have the same.
    pub fn image_output_size(&self) -> Option<(u32, u32)> {
        output_size(&self.nodes, None).map(|facts| (facts.width, facts.height))
    }

    /// Refuses a kind of target that belongs to the rows, where one of the transforms moves what it marks and leaves it
    /// behind.
    ///
    /// # Errors
    /// The transform, and its place in the list.
    pub fn check_target(&self, target: Target) -> Result<(), TransformError> {
        self.nodes.iter().try_for_each(|node| node.check_target(target))
    }

    /// Refuses images of so many channels, where one of the transforms has options for another number.
    ///
    /// # Errors
    /// The transform's place in the list, with what it has options for.
    pub fn check_channels(&self, channels: u32) -> Result<(), TransformError> {
        self.nodes.iter().try_for_each(|node| node.check_channels(channels))
    }

    /// Draws what happens to one image.
    ///
    /// # Errors
    /// A chain for text, or an image without pixels.
    pub fn draw_image(&self, facts: &ImageFacts, key: &DrawKey) -> Result<ImageDrawing, TransformError> {
        check_size(facts)?;
        let (source, mut facts, mut steps, mut drawn) = (*facts, *facts, Vec::new(), Vec::new());
        visit(&self.nodes, Kind::Image, key, &mut |node| {
            if let Action::Image(transform) = &node.does
                && let Some(mut random) = node.happens(key)
            {
                transform.draw(&facts, &mut random, &mut drawn);
                for step in drawn.drain(..) {
                    facts = step.output(&facts);
                    steps.push(DrawnStep { transform: node.row.name.into(), step });
                }
            }
        })?;
        Ok(ImageDrawing { source, steps })
    }

    /// Draws what happens to one text.
    ///
    /// # Errors
    /// A chain for images.
    pub fn draw_text(&self, text: &str, key: &DrawKey) -> Result<TextDrawing, TransformError> {
        let mut drawing = TextDrawing::default();
        // the text as the next transform finds it; made only where there is a next one
        let (mut now, mut applied) = (None::<String>, 0);
        visit(&self.nodes, Kind::Text, key, &mut |node| {
            if let Action::Text(transform) = &node.does
                && let Some(mut random) = node.happens(key)
            {
                if applied < drawing.edits.len() {
                    let edited = text_drawing::apply(&drawing.edits[applied..], now.as_deref().unwrap_or(text));
                    now = Some(edited.expect("a transform's edits fit the text it was given"));
                    applied = drawing.edits.len();
                }
                let text = now.as_deref().unwrap_or(text);
                let changes = transform.draw(text, &mut random);
                drawing.edits.extend(changes.into_iter().rev().map(|change| change.named(node.row.name)));
            }
        })?;
        Ok(drawing)
    }

    /// Draws what happens to one batch; `taking_part` says which slots hold a row with a target (others are left alone),
    /// `key.row` is the position of the batch's first row in the epoch.
    pub fn draw_batch(&self, taking_part: &[bool], key: &DrawKey) -> BatchDrawing {
        let mut drawing = BatchDrawing::default();
        let draw = &mut |node: &Node| {
            if let Action::Batch(transform) = &node.does
                && let Some(mut random) = node.happens(key)
                && let Some(step) = transform.draw(taking_part, &mut random)
            {
                drawing.steps.push(DrawnBatchStep { transform: node.row.name.into(), step });
            }
        };
        visit(&self.nodes, Kind::Batch, key, draw).expect("only rows of another kind are refused");
        drawing
    }

    /// Whether any of it makes new rows of several, with targets of their own, as `mix_up` does.
    pub fn mixes_rows(&self) -> bool {
        mixes(&self.nodes)
    }

    /// One line for each transform that, with its options, can change what the label should be.
    pub fn label_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for node in &*self.nodes {
            node.collect_warnings(&mut warnings);
        }
        warnings
    }

    /// One line for each pair of transforms of which the second is to show the picture around a crop (`border: picture`) and shows
    /// its `fill`, because the first, a transform of pixels or one that enlarges what was shrunk, ends the picture.
    pub fn border_warnings(&self) -> Vec<String> {
        let mut warnings = BTreeSet::new();
        let facts = ImageFacts::new(640, 480);
        for row in 0..DRAWS {
            // a chain of another kind has no borders
            let Ok(drawing) = self.draw_image(&facts, &DrawKey { seed: 0, epoch: 0, row }) else { break };
            warnings.extend(ended_pictures(&facts, &drawing.steps).into_iter().map(|(map, before)| {
                let [map, before] = [map, before].map(|step| &drawing.steps[step]);
                let (own, other) = (&map.transform, &before.transform);
                let why = match before.step {
                    ImageStep::Map(_) => "it enlarges what was shrunk before".to_owned(),
                    _ => format!("behind `{other}` there is none; put `{own}` in front of that"),
                };
                format!("`{own}` shows its `fill` beyond the edges and not the picture (`border: picture`): {why}, or choose another `border`")
            }));
        }
        warnings.into_iter().collect()
    }
}

impl Serialize for Chain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.specs.serialize(serializer)
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Chain").field(&self.specs).finish()
    }
}

impl Default for Chain {
    /// No transforms at all.
    fn default() -> Self {
        Self { specs: [].into(), nodes: Vec::new().into() }
    }
}

/// Visits the chosen transforms for this input. Those of batches are passed over when rows are drawn, and the reverse.
fn visit(nodes: &[Node], input: Kind, key: &DrawKey, draw: &mut dyn FnMut(&Node)) -> Result<(), TransformError> {
    for node in nodes {
        match (&node.does, node.kind()) {
            (_, kind) if kind != input => {
                if kind != Kind::Batch && kind != Kind::Combine && input != Kind::Batch {
                    return Err(TransformError::WrongKind { place: node.place.clone(), kind, input });
                }
            }
            (Action::Combine(rule, children), _) => {
                let chosen = match rule.choose(&mut key.random(node.row.name, node.occurrence)) {
                    Chosen::All => &children[..],
                    Chosen::None => &[],
                    Chosen::One(index) => &children[index..=index],
                };
                visit(chosen, input, key, draw)?;
            }
            _ => draw(node),
        }
    }
    Ok(())
}

fn mixes(nodes: &[Node]) -> bool {
    let any = |node: &Node| match &node.does {
        Action::Combine(_, children) => mixes(children),
        _ => node.kind() == Kind::Batch,
    };
    nodes.iter().any(any)
}

fn output_size(nodes: &[Node], input: Option<ImageFacts>) -> Option<ImageFacts> {
    nodes.iter().fold(input, |size, node| match &node.does {
        Action::Image(transform) => transform.output_size(size),
        Action::Combine(rule, children) => {
            let mut sizes = match rule.outcomes() {
                Outcomes::All => vec![output_size(children, size)],
                Outcomes::OneOf => children.iter().map(|c| output_size(std::slice::from_ref(c), size)).collect(),
                Outcomes::AllOrNone => vec![size, output_size(children, size)],
            };
            let first = sizes.pop().flatten();
            if sizes.iter().all(|size| *size == first) { first } else { None }
        }
        Action::Batch(_) | Action::Text(_) => size,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(specs: Value) -> Result<Chain, TransformError> {
        let specs: Vec<Choice> = serde_json::from_value(specs).unwrap();
        Chain::parse_at("transforms.train", &specs)
    }

    #[test]
    fn a_transform_happens_as_often_as_its_probability_says() {
        for (probability, least, most) in [(0.0, 0, 0), (0.3, 240, 360), (0.5, 420, 580), (1.0, 1000, 1000)] {
            for name in ["rotate", "translate", "gaussian_noise", "horizontal_flip"] {
                let mut options = match name {
                    "rotate" => json!({"degrees": 30}),
                    "translate" => json!({"fraction": [0.1, 0.1]}),
                    "gaussian_noise" => json!({"sigma": 0.1}),
                    _ => json!({}),
                };
                options["probability"] = json!(probability);
                let chain = parse(json!([{name: options}])).unwrap();
                let facts = ImageFacts::new(20, 20);
                let draws = |row: &u64| chain.draw_image(&facts, &DrawKey { seed: 3, epoch: 0, row: *row }).unwrap();
                let count = (0..1000).filter(|row| !draws(row).steps.is_empty()).count();
                assert!((least..=most).contains(&count), "{name} {probability}: {count}");
                let flips = name == "horizontal_flip";
                assert_eq!(
                    chain.is_random(),
                    probability > 0.0 && !(flips && probability == 1.0),
                    "{name} {probability}"
                );
            }
        }
    }

    /// What is wrong, and exactly what is said about it.
    #[test]
    fn mistakes_are_named_with_their_place() {
        let normalize = json!({"normalize": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}});
        for (specs, message) in [
            (
                json!(["horizontal_flip", {"rotatte": {"degrees": 3}}]),
                "transforms.train[1]: unknown transform `rotatte`; did you mean `rotate`?",
            ),
            (json!(["zebra"]), "transforms.train[0]: unknown transform `zebra`"),
            (
                json!([{"rotate": {"degree": 15}}]),
                "transforms.train[0].rotate: unknown option `degree`; did you mean `degrees`?; it has degrees, border, \
                 fill, probability",
            ),
            (
                json!([{"horizontal_flip": {"probability": 50}}]),
                "transforms.train[0].horizontal_flip: probability is between 0 and 1, got 50",
            ),
            (json!([{"rotate": 15}]), "transforms.train[0].rotate: options are written as `name: value`, got 15"),
            (
                json!([{"rotate": {"degrees": "15°"}}]),
                "transforms.train[0].rotate: degrees: wanted a number, got `15°`",
            ),
            (json!(["rotate"]), "transforms.train[0].rotate: missing option `degrees`"),
            (
                json!([{"random_resized_crop": {"size": 8, "area": [0.5, 0.1]}}]),
                "transforms.train[0].random_resized_crop: area is [low, high] between 0.000001 and 1, got [0.5, 0.1]",
            ),
            (
                json!([{"one_of": ["horizontal_flip", {"sometimes": {"probability": 1, "apply": "flip"}}]}]),
                "transforms.train[0].one_of[1].sometimes.apply: unknown transform `flip`",
            ),
            (
                json!([{"one_of": {"apply": ["horizontal_flip"], "weights": [1, 2]}}]),
                "transforms.train[0].one_of: weights has 2 numbers for 1 transforms",
            ),
            (json!([{"sequence": []}]), "transforms.train[0].sequence: apply is empty; name at least one transform"),
            (
                json!([{"one_of": ["horizontal_flip", {"swap_words": {"count": 1}}]}]),
                "transforms.train[0].one_of: transforms of images and of text cannot be combined",
            ),
            (
                json!(["horizontal_flip", {"swap_words": {"count": 1}}]),
                "transforms.train[1].swap_words: transforms of images and of text cannot be combined",
            ),
            (
                json!([{"mix_up": {"alpha": 1}}, "horizontal_flip"]),
                "transforms.train[0].mix_up: `mix_up` works on batches; put it after all transforms of rows",
            ),
            (
                json!([normalize, "horizontal_flip"]),
                "transforms.train[0].normalize: `normalize` must be the last transform of the list",
            ),
            (
                json!([{"sequence": [normalize]}]),
                "transforms.train[0].sequence[0].normalize: `normalize` must be the last transform of the list",
            ),
        ] {
            let error = parse(specs).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        assert!(parse(json!([normalize, {"mix_up": {"alpha": 0.2}}])).is_ok());
    }

    #[test]
    fn combinations_without_end_are_refused() {
        let mut spec = json!("horizontal_flip");
        for _ in 0..40 {
            spec = json!({"sequence": [spec]});
        }
        assert!(matches!(parse(json!([spec])), Err(TransformError::TooDeep { .. })));
    }

    #[test]
    fn a_chain_for_images_refuses_text_and_the_reverse() {
        let key = DrawKey { seed: 0, epoch: 0, row: 0 };
        let images = parse(json!([{"sometimes": {"probability": 0, "apply": "horizontal_flip"}}])).unwrap();
        let error = images.draw_text("a b", &key).unwrap_err().to_string();
        assert_eq!(error, "transforms.train[0].sometimes: this transforms images, and the input is text");
        let text = parse(json!([{"swap_words": {"count": 1}}, {"mix_up": {"alpha": 1}}])).unwrap();
        assert!(text.draw_image(&ImageFacts::new(5, 5), &key).is_err());
        assert!(text.draw_text("a b", &key).is_ok());
        assert_eq!(text.draw_batch(&[true; 2], &key).steps.len(), 1);
        assert!(images.draw_image(&ImageFacts::new(0, 5), &key).is_err());
    }

    #[test]
    fn sizes_are_stated_where_they_are_known() {
        let crop = json!({"random_resized_crop": {"size": [30, 20]}});
        for (specs, wanted) in [
            (json!([]), None),
            (json!(["horizontal_flip"]), None),
            (json!([crop, {"rotate": {"degrees": 3}}]), Some((30, 20))),
            (json!([{"sometimes": {"probability": 0.5, "apply": crop}}]), None),
            (
                json!([{"resize": {"size": [30, 20]}}, {"sometimes": {"probability": 0.5, "apply": crop}}]),
                Some((30, 20)),
            ),
            (json!([{"one_of": [crop, {"resize": {"size": [30, 20]}}]}]), Some((30, 20))),
            (json!([{"one_of": [crop, {"resize": {"size": 20}}]}]), None),
            (json!([{"resize": {"shorter_side": 20}}]), None),
            (json!([crop, {"resize": {"shorter_side": 10}}]), Some((15, 10))),
        ] {
            assert_eq!(parse(specs.clone()).unwrap().image_output_size(), wanted, "{specs}");
        }
    }

    #[test]
    fn same_names_draw_apart_and_specs_come_back() {
        let specs = json!([{"rotate": {"degrees": 30}}, {"one_of": ["horizontal_flip", {"rotate": {"degrees": 30}}]}]);
        let chain = parse(specs.clone()).unwrap();
        assert_eq!(serde_json::to_value(&chain).unwrap(), specs);
        let twice = parse(json!([{"rotate": {"degrees": 30}}, {"rotate": {"degrees": 30}}])).unwrap();
        let facts = ImageFacts::new(20, 20);
        let steps = twice.draw_image(&facts, &DrawKey { seed: 1, epoch: 2, row: 3 }).unwrap().steps;
        assert_ne!(steps[0], steps[1]);
        assert!(chain.is_random() && !parse(json!([{"resize": {"size": 3}}])).unwrap().is_random());
    }

    #[test]
    fn label_changes_are_told_where_the_options_let_them_happen() {
        for (specs, wanted) in [
            (json!([{"rotate": {"degrees": 90}}]), None),
            (
                json!([{"rotate": {"degrees": 90.5}}]),
                Some("rotate can change the label: beyond 90 degrees a 6 becomes a 9"),
            ),
            (json!([{"rotate": {"degrees": 180, "probability": 0}}]), None),
            (json!([{"vertical_flip": {"probability": 0}}]), None),
            (json!(["horizontal_flip"]), None),
            (json!(["vertical_flip"]), Some("transforms.train[0].vertical_flip can change the label")),
            (json!([{"swap_words": {"count": 0}}]), None),
            (json!([{"swap_words": {"count": 1}}]), Some("not good, bad")),
            (
                json!([{"sometimes": {"probability": 0.1, "apply": "vertical_flip"}}]),
                Some(
                    "transforms.train[0].sometimes.apply.vertical_flip can change the label: an upside-down 6 is not a 6",
                ),
            ),
        ] {
            let warnings = parse(specs.clone()).unwrap().label_warnings();
            assert_eq!(warnings.len(), usize::from(wanted.is_some()), "{specs}: {warnings:?}");
            assert!(warnings.iter().all(|warning| warning.contains(wanted.unwrap_or_default())), "{warnings:?}");
        }
    }

    #[test]
    fn turns_that_cannot_see_the_picture_around_a_crop_are_told() {
        let crop = json!({"random_resized_crop": {"size": 64, "area": [0.3, 0.5]}});
        let (turn, colours) = (json!({"rotate": {"degrees": 20}}), json!({"color_jitter": {"brightness": 0.2}}));
        let small = json!({"resize": {"size": 24}});
        for (specs, wanted) in [
            (json!([crop, turn, colours]), None),
            (json!([colours, crop, turn]), None),
            (json!([{"resize": {"size": 64}}, colours, turn]), None),
            (json!([crop, colours, {"rotate": {"degrees": 20, "border": "reflect"}}]), None),
            (json!([crop, colours, turn]), Some("behind `color_jitter` there is none; put `rotate` in front")),
            (
                json!([crop, {"gaussian_blur": {"sigma": [1, 2], "probability": 0.3}}, turn]),
                Some("behind `gaussian_blur`"),
            ),
            (json!([crop, small, {"center_crop": {"size": 30, "border": "picture"}}]), None),
            (json!([{"swap_words": {"count": 1}}]), None),
        ] {
            let warnings = parse(specs.clone()).unwrap().border_warnings();
            assert_eq!(warnings.len(), usize::from(wanted.is_some()), "{specs}: {warnings:?}");
            assert!(warnings.iter().all(|warning| warning.contains(wanted.unwrap_or_default())), "{warnings:?}");
        }
    }

    #[test]
    fn targets_that_are_left_behind_and_channels_are_told_at_once() {
        let chain = parse(json!([
            {"one_of": ["horizontal_flip", {"elastic": {"alpha": 9, "sigma": 3}}]},
            "equalize",
            {"mix_up": {"alpha": 1}},
        ]));
        let chain = chain.unwrap();
        let message = "transforms.train[2].mix_up: `mix_up` cannot move boxes; leave it out, or them";
        assert_eq!(chain.check_target(Target::Boxes).unwrap_err().to_string(), message);
        assert!(chain.check_target(Target::Labels).is_ok());
        let moved = parse(json!(["vertical_flip", {"gaussian_noise": {"sigma": 0.1}}])).unwrap();
        assert!(
            [Target::Boxes, Target::KeyPoints, Target::Masks].map(|t| moved.check_target(t)).iter().all(Result::is_ok)
        );
        let swapped = parse(json!([{"keyboard_typos": {"fraction": 0.1}}, {"swap_words": {"count": 1}}])).unwrap();
        let message = "transforms.train[1].swap_words: `swap_words` cannot move spans; leave it out, or them";
        assert_eq!(swapped.check_target(Target::Spans).unwrap_err().to_string(), message);
        let normalized = parse(json!([{"normalize": {"mean": [0.5], "std": [0.5]}}])).unwrap();
        assert!(normalized.check_channels(1).is_ok());
        let message = "transforms.train[0].normalize: mean and std have 1 numbers each, and the images have 3 channels";
        assert_eq!(normalized.check_channels(3).unwrap_err().to_string(), message);
    }

    #[test]
    fn fingerprints_do_not_depend_on_how_a_chain_is_written() {
        let parsed: Vec<Choice> = serde_json::from_str(
            r#"[{"rotate": {"probability": 1, "degrees": 5}}, {"one_of": {"apply": ["horizontal_flip"]}}]"#,
        )
        .unwrap();
        let one = Chain::parse(&parsed).unwrap().fingerprint();
        for (specs, same) in [
            (json!([{"rotate": {"degrees": 5}}, {"one_of": ["horizontal_flip"]}]), true),
            (
                json!([{"rotate": {"degrees": 5.0}}, {"one_of": {"apply": [{"horizontal_flip": {"probability": 0.5}}], "weights": [1]}}]),
                true,
            ),
            (json!([{"rotate": {"degrees": 6}}, {"one_of": ["horizontal_flip"]}]), false),
            (json!([{"rotate": {"degrees": 5}}, {"one_of": ["vertical_flip"]}]), false),
            (json!([{"one_of": ["horizontal_flip"]}, {"rotate": {"degrees": 5}}]), false),
        ] {
            assert_eq!(parse(specs.clone()).unwrap().fingerprint() == one, same, "{specs}");
        }
    }

    #[test]
    fn the_kind_of_rows_is_told() {
        for (specs, wanted) in [
            (json!([]), None),
            (json!([{"mix_up": {"alpha": 1}}]), None),
            (json!([{"one_of": [{"sequence": ["horizontal_flip"]}]}]), Some(Kind::Image)),
            (json!([{"swap_words": {"count": 1}}, {"mix_up": {"alpha": 1}}]), Some(Kind::Text)),
        ] {
            assert_eq!(parse(specs.clone()).unwrap().input_kind(), wanted, "{specs}");
        }
    }
}
