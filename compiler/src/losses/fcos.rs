//! Boxes of a picture, told at each place of a map.

use millstream_schemas::choice::{Options, at_least, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::box_places::{BoxPlaces, LONGEST, NUMBERS_OF_BOX, SIDES, classes_among};
use super::class_numbers::{infinite_in_rows, infinite_where};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::row_mean::{divided_by_weight, sums_of_rows};
use crate::CompilerError;
use crate::graph::{ElementType, Graph, Length, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "fcos",
    summary: "Several boxes of a picture: at each place of a map what lies there, and how far its sides are.",
    documentation: "Tian et al., \"FCOS: Fully Convolutional One-Stage Object Detection\" (2019), on one map and without its branch of \
        centre-ness. The prediction is `[batch, classes + 4, height, width]`: scores of the classes before a sigmoid, then \
        the logarithms of the distances from the middle of the place to the left, top, right and bottom side of its box, in \
        places. Targets are float32 `[batch, most, 5]` as of `boxes: {as: classed}`: the corners as shares of the sides, \
        then the class, −1 where there is no box, and −2 − class where it is around a crowd of a class. A place belongs to \
        the smallest box that its middle lies in, less than `center_radius` places across and down from the middle of that; \
        all others are background. In a crowd nothing is said of its class but where a box of it is. Of a picture the loss is \
        (Σ focal + Σ (1 − GIoU)) / max(places that belong to a box, 1): the focal loss of a sigmoid with α and γ over all \
        places and classes (Lin et al., 2017), the generalized intersection over union over places of boxes (Rezatofighi et \
        al., 2019). The loss of a batch is the mean over pictures, each by max(its places, 1) and its weight. A box that no \
        middle of a place lies in is not learned: a finer map has more places. The metric is `mean_average_precision`.",
    samples: &["{}", r#"{"gamma": 1.5, "alpha": 0.5, "center_radius": 0}"#],
    build: Build::of::<Fcos>(),
};

/// What the axis of the boxes is called, which nothing of the model has.
const MOST: &str = "target_boxes";
/// How far the middle of a box may be from that of the nearest place, in places.
const NEAREST: f32 = 0.5;
/// What an area is taken to be at least, in squares of places.
const LEAST_AREA: f32 = 1e-7;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Fcos {
    /// Share of what is there, against what is not there, in the focal loss.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    alpha: f64,
    /// How much less places count that are known well; 0 for not at all.
    #[schemars(range(min = 0))]
    gamma: f64,
    /// How far from the middle of a box places belong to it, less than this and in places, above 0.5; 0 for all that lie in it.
    #[schemars(range(min = 0), extend("not" = {"exclusiveMinimum": 0, "maximum": 0.5}))]
    center_radius: f64,
}

impl Default for Fcos {
    fn default() -> Self {
        Self { alpha: 0.25, gamma: 2.0, center_radius: 1.5 }
    }
}

impl Options for Fcos {
    fn validate(&self) -> Result<(), String> {
        share("alpha", self.alpha)?;
        at_least("gamma", self.gamma)?;
        at_least("center_radius", self.center_radius)?;
        // the middle of a box may be half a place away from the middles of all places
        match self.center_radius > 0.0 && self.center_radius as f32 <= NEAREST {
            true => Err(format!(
                "center_radius is above {NEAREST}, so that each box has a place near enough, or 0 for all places in it, got {}",
                self.center_radius
            )),
            false => Ok(()),
        }
    }
}

impl LossFunction for Fcos {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Boxes
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        classes_of(prediction)?;
        let shape = [prediction.shape[0].clone(), Length::named(MOST), NUMBERS_OF_BOX.into()];
        Ok(TensorType::f32(shape))
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let Pictures { sums, counts, faults } = self.read(graph, inputs)?;
        let [sum, weight] = [sums, counts].map(|value| graph.reduce_sum(value, &[0], false));
        let (sum, weight) = (sum?, weight?);
        let mean = divided_by_weight(graph, sum, weight)?;
        let penalty = infinite_where(graph, faults)?;
        Ok(LossNodes { loss: graph.plus(mean, penalty)?, weight: Some(weight) })
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        let Pictures { sums, counts, faults } = self.read(graph, inputs)?;
        let means = divided_by_weight(graph, sums, counts)?;
        let penalty = infinite_in_rows(graph, faults)?;
        Ok(Some(RowLossNodes { loss: graph.plus(means, penalty)?, weight: Some(counts) }))
    }
}

/// How many classes a prediction has scores of: float32 `[batch, classes + 4, height, width]`.
fn classes_of(prediction: &TensorType) -> Result<usize, CompilerError> {
    let refused = || {
        CompilerError::setting(
            "training.loss",
            format!(
                "the loss wants scores of classes and four distances at each place of a map, float32 [batch, classes + 4, height, width], \
                 and the prediction is {prediction}; `head: boxes` makes them"
            ),
        )
    };
    match prediction.shape.as_slice() {
        [_, channels, _, _] if prediction.dtype == ElementType::F32 => {
            channels.fixed().and_then(classes_among).ok_or_else(refused)
        }
        _ => Err(refused()),
    }
}

/// What is known of each picture, `[batch]`.
struct Pictures {
    /// Of all its places, by its weight.
    sums: ValueId,
    /// Places that belong to a box, or 1 where there is none, by its weight.
    counts: ValueId,
    /// 1 where a box has a class that there is not, and the picture has weight; otherwise 0.
    faults: ValueId,
}

impl Fcos {
    fn read(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Pictures, CompilerError> {
        let (prediction, weights) = (inputs.prediction, inputs.weights()?);
        let classes = classes_of(graph.known_type(prediction)?)?;
        let places = BoxPlaces::of(graph, prediction, inputs.targets, self.center_radius as f32)?;
        let scores = graph.slice(prediction, &[1], &[0], &[classes], &[1])?;
        let is_class = places.classes(graph, classes)?;
        let focal = self.focal(graph, scores, is_class)?;
        let counted = places.counted(graph, classes, is_class)?;
        let focal = graph.times(focal, counted)?;
        let focal = sums_of_rows(graph, focal)?;
        let off = off_the_box(graph, prediction, classes, &places)?;
        let off = sums_of_rows(graph, off)?;
        let sums = graph.plus(focal, off)?;
        let sums = graph.times(sums, weights)?;
        let one = graph.scalar(1.0);
        let counts = sums_of_rows(graph, places.belongs)?;
        let counts = graph.add("Max", &[counts, one], &[])?;
        let counts = graph.times(counts, weights)?;
        let faults = places.strange_classes(graph, classes)?;
        let is_there = graph.add("Sign", &[weights], &[])?;
        let faults = graph.times(faults, is_there)?;
        Ok(Pictures { sums, counts, faults })
    }

    /// −α_t·(1 − p_t)^γ·log p_t for each class at each place, p_t the probability of what is true of it.
    fn focal(&self, graph: &mut Graph, scores: ValueId, is_class: ValueId) -> Result<ValueId, CompilerError> {
        // −log p_t is softplus(x) where it is not the class, and softplus(x) − x where it is
        let softplus = graph.add("Softplus", &[scores], &[])?;
        let own = graph.times(scores, is_class)?;
        let mut terms = graph.minus(softplus, own)?;
        if self.gamma > 0.0 {
            let probability = graph.add("Sigmoid", &[scores], &[])?;
            let off = graph.minus(probability, is_class)?;
            let off = graph.add("Abs", &[off], &[])?;
            // the slope of a power below 1 is infinite at 0
            let least = graph.scalar(1e-8);
            let off = graph.add("Max", &[off, least], &[])?;
            let exponent = graph.scalar(self.gamma as f32);
            let factor = graph.add("Pow", &[off, exponent], &[])?;
            terms = graph.times(terms, factor)?;
        }
        let (rest, more) = (graph.scalar((1.0 - self.alpha) as f32), graph.scalar((2.0 * self.alpha - 1.0) as f32));
        let share = graph.times(is_class, more)?;
        let share = graph.plus(share, rest)?;
        graph.times(terms, share)
    }
}

/// 1 − GIoU of the box that is told at each place and the one that it belongs to, 0 where it belongs to none:
/// `[batch, 1, height, width]`.
fn off_the_box(
    graph: &mut Graph,
    prediction: ValueId,
    classes: usize,
    places: &BoxPlaces,
) -> Result<ValueId, CompilerError> {
    let logarithms = graph.slice(prediction, &[1], &[classes], &[classes + SIDES], &[1])?;
    let longest = graph.scalar(LONGEST);
    let logarithms = graph.add("Min", &[logarithms, longest], &[])?;
    let told = graph.add("Exp", &[logarithms], &[])?;
    let mut inner = Vec::with_capacity(SIDES);
    let mut outer = Vec::with_capacity(SIDES);
    let mut own = Vec::with_capacity(SIDES);
    for (side, wanted) in places.distances.iter().enumerate() {
        let distance = graph.slice(told, &[1], &[side], &[side + 1], &[1])?;
        inner.push(graph.add("Min", &[distance, *wanted], &[])?);
        outer.push(graph.add("Max", &[distance, *wanted], &[])?);
        own.push(distance);
    }
    let area = |graph: &mut Graph, sides: &[ValueId]| {
        let width = graph.plus(sides[0], sides[2])?;
        let height = graph.plus(sides[1], sides[3])?;
        graph.times(width, height)
    };
    let common = area(graph, &inner)?;
    let hull = area(graph, &outer)?;
    let both = [area(graph, &own)?, area(graph, &places.distances)?];
    let sum = graph.plus(both[0], both[1])?;
    let union = graph.minus(sum, common)?;
    let least = graph.scalar(LEAST_AREA);
    let union = graph.add("Max", &[union, least], &[])?;
    let hull = graph.add("Max", &[hull, least], &[])?;
    // 1 − (common/union − (hull − union)/hull)
    let overlap = graph.divided_by(common, union)?;
    let filled = graph.divided_by(union, hull)?;
    let good = graph.plus(overlap, filled)?;
    let two = graph.scalar(2.0);
    let off = graph.minus(two, good)?;
    graph.times(off, places.belongs)
}
