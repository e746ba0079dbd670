//! What members see of images that are mirrored about the vertical axis, and what they give of them.

use std::collections::{BTreeMap, HashMap};

use millstream_schemas::{ImageLayout, shown};

use crate::CompilerError;
use crate::graph::{Constant, Graph, Length, TensorType, ValueId};
use crate::losses::PredictionKind;
use crate::model_file::{ImageInput, Model, layout_by_channels};

/// A member, and what its inputs are in the graph of all.
pub(super) struct Reader<'a> {
    /// What notes and errors call it.
    pub(super) called: &'a str,
    pub(super) model: &'a Model,
    pub(super) graph: &'a Graph,
    pub(super) inputs: &'a HashMap<ValueId, ValueId>,
    /// In its own graph.
    pub(super) scores: ValueId,
}

/// The images of a graph, mirrored.
#[derive(Default)]
pub(super) struct MirroredImages {
    /// By the input that holds images: the mirrored ones, and the order of their axes.
    images: HashMap<ValueId, (ValueId, ImageLayout)>,
}

impl MirroredImages {
    /// Adds what the inputs that hold images become, of whatever element type. `told`: the order of the axes of inputs of these names;
    /// that of others is seen in the members' files.
    ///
    /// # Errors
    /// No input holds images, or it cannot be told in which order their axes stand.
    pub(super) fn add(
        graph: &mut Graph,
        members: &[Reader<'_>],
        told: &BTreeMap<String, ImageLayout>,
    ) -> Result<Self, CompilerError> {
        let layouts = layouts(members, told)?;
        let mut images = HashMap::new();
        for input in graph.inputs().to_vec() {
            let Some(layout) = layouts.get(&input).copied() else { continue };
            let name = format!("{}.flipped", graph.name(input));
            images.insert(input, (reversed(graph, input, columns_of(layout), &name)?, layout));
        }
        if images.is_empty() {
            return Err(CompilerError::Selection(format!(
                "there is nothing to flip: no member has an input of images, {} or {}",
                ImageLayout::ChannelsFirst.axes(),
                ImageLayout::ChannelsLast.axes()
            )));
        }
        Ok(Self { images })
    }

    /// What stands for an input where images are mirrored: itself, if it holds none.
    pub(super) fn seen(&self, input: ValueId) -> ValueId {
        self.images.get(&input).map_or(input, |(mirrored, _)| *mirrored)
    }

    /// What a member gives of mirrored images, as it would be in the places of the images as they are: maps are mirrored back. `scores`
    /// are those in the graph of all.
    ///
    /// # Errors
    /// What the member gives is neither one answer for each row nor a map.
    pub(super) fn turned_back(
        &self,
        graph: &mut Graph,
        member: &Reader<'_>,
        reads: PredictionKind,
        scores: ValueId,
    ) -> Result<ValueId, CompilerError> {
        let image = member.graph.inputs().iter().find_map(|input| {
            let (_, layout) = self.images.get(member.inputs.get(input)?)?;
            Some((member.graph.tensor_type(*input)?, *layout))
        });
        let Some((image, layout)) = image else { return Ok(scores) };
        let known = member.graph.known_type(member.scores)?;
        let axis = match (known.shape.as_slice(), reads) {
            ([_, _], _) => return Ok(scores),
            ([_, first, _, last], PredictionKind::Numbers) => {
                columns_of(layout_by_channels(first.fixed(), last.fixed()).unwrap_or(layout))
            }
            ([_, _, _, _], _) => columns_of(ImageLayout::ChannelsFirst),
            // numbers without channels, as many as the image has pixels
            ([_, height, width], PredictionKind::Numbers) if sides(image, layout) == Some([height, width]) => 2,
            _ => {
                return Err(CompilerError::Selection(format!(
                    "{}: what it gives of a mirrored image, {known}, cannot be turned back; flips are for one answer a row and for maps \
                     [batch, classes, height, width]",
                    member.called
                )));
            }
        };
        reversed(graph, scores, axis, "ensemble.turned_back")
    }
}

/// In which order the axes of the images stand, by the input of the graph of all.
fn layouts(
    members: &[Reader<'_>],
    told: &BTreeMap<String, ImageLayout>,
) -> Result<HashMap<ValueId, ImageLayout>, CompilerError> {
    // with whether something says so
    let mut found: HashMap<ValueId, (ImageLayout, bool)> = HashMap::new();
    for member in members {
        for own in member.graph.inputs() {
            let (name, Some(input)) = (member.graph.name(*own), member.inputs.get(own)) else { continue };
            let Some(image) = member.model.image_input(name) else { continue };
            let (layout, is_said) = match told.get(name) {
                Some(layout) => (*layout, true),
                None if holds_images(&image) => (image.layout, image.seen.is_some()),
                None => continue,
            };
            match found.get(input) {
                Some((other, true)) if is_said && *other != layout => {
                    return Err(CompilerError::Selection(format!(
                        "{} takes the images of input `{}` as {}, and another member as {}",
                        member.called,
                        shown(name),
                        layout.axes(),
                        other.axes()
                    )));
                }
                Some((_, true)) => {}
                _ => {
                    found.insert(*input, (layout, is_said));
                }
            }
        }
    }
    Ok(found.into_iter().map(|(input, (layout, _))| (input, layout)).collect())
}

/// Whether an input of four axes holds images: by its channels, or where these are open, by who reads it.
fn holds_images(input: &ImageInput) -> bool {
    input.channels.map_or(input.seen.is_some(), |channels| (1..=4).contains(&channels))
}

/// Height and width of images.
fn sides(image: &TensorType, layout: ImageLayout) -> Option<[&Length; 2]> {
    let [_, second, third, last] = image.shape.as_slice() else { return None };
    let [_, height, width] = layout.read([second, third, last]);
    Some([height, width])
}

/// The axis along which the columns of pixels lie.
fn columns_of(layout: ImageLayout) -> usize {
    match layout {
        ImageLayout::ChannelsFirst => 3,
        ImageLayout::ChannelsLast => 2,
    }
}

/// A value from the last to the first along an axis.
fn reversed(graph: &mut Graph, value: ValueId, axis: usize, name: &str) -> Result<ValueId, CompilerError> {
    let [start, end, axis, step] = [("start", -1), ("end", i64::MIN), ("axis", axis as i64), ("step", -1)]
        .map(|(part, number)| graph.named_constant(&format!("ensemble.flip.{part}"), Constant::i64([1], &[number])));
    graph.append("Slice", &[value, start, end, axis, step], &[], name)
}
