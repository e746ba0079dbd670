//! Which box each place of a map belongs to.

use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Length, ValueId};

/// Logarithms of distances are taken to be at most this, so that none is infinite: a box of 2981 places.
pub const LONGEST: f32 = 8.0;

/// How many classes a prediction of boxes has scores of, by its channels: those before the distances to the sides of a box. None where
/// there are too few channels for one.
pub fn classes_among(channels: usize) -> Option<usize> {
    channels.checked_sub(SIDES).filter(|classes| *classes > 0)
}

/// Left, top, right, bottom.
pub const SIDES: usize = 4;
/// The sides of a box, as shares of those of the picture, and its class.
pub(super) const NUMBERS_OF_BOX: usize = SIDES + 1;
/// As targets have it.
const CROWD: f32 = millstream_schemas::CROWD as f32;

/// What the places of maps belong to. Each is the box that is smallest of those that its middle lies in.
pub(super) struct BoxPlaces {
    /// 1 where a place belongs to a box, otherwise 0: float32 `[batch, 1, height, width]`.
    pub(super) belongs: ValueId,
    /// How far the left, top, right and bottom side of that box is from the middle of the place, in places, 0 where there is none:
    /// float32 `[batch, 1, height, width]` each.
    pub(super) distances: [ValueId; SIDES],
    /// The class of that box, 0 where there is none: float32 `[batch, 1, height, width]`.
    class: ValueId,
    /// Of all boxes: float32 `[batch, most, 1, 1]`.
    classes: ValueId,
    /// 1 where the middle of a place lies in a box or crowd, however far from its middle: float32 `[batch, most, height, width]`.
    inside: ValueId,
}

impl BoxPlaces {
    /// For the places of a map `[batch, …, height, width]` and boxes `[batch, most, 5]`. `radius`: places are less than this far from
    /// the middle of a box, across and down, in places; 0 for any distance. Up to 0.5 a box may have no place.
    ///
    /// # Errors
    /// An operator is missing in the graph's table.
    pub(super) fn of(graph: &mut Graph, map: ValueId, boxes: ValueId, radius: f32) -> Result<Self, CompilerError> {
        let shape = graph.shape(map)?.to_vec();
        let (height, width) = (shape[2].clone(), shape[3].clone());
        let most = graph.shape(boxes)?[1].clone();
        let mut numbers = Vec::with_capacity(NUMBERS_OF_BOX);
        let last = graph.integers(&[3]);
        for at in 0..NUMBERS_OF_BOX {
            let number = graph.slice(boxes, &[2], &[at], &[at + 1], &[1])?;
            numbers.push(graph.add("Unsqueeze", &[number, last], &[])?);
        }
        let across = Sides::of(graph, (numbers[0], numbers[2]), &width, false)?;
        let down = Sides::of(graph, (numbers[1], numbers[3]), &height, true)?;
        let depth = [across.depth(graph, radius)?, down.depth(graph, radius)?];
        let depth = graph.add("Min", &depth, &[])?;
        let zero = graph.scalar(0.0);
        let is_inside = graph.add("Greater", &[depth, zero], &[])?;
        let below_all = graph.scalar(-0.5);
        let is_box = graph.add("Greater", &[numbers[SIDES], below_all], &[])?;
        let is_inside = graph.add("And", &[is_inside, is_box], &[])?;
        let nearest = [across.depth(graph, 0.0)?, down.depth(graph, 0.0)?];
        let nearest = graph.add("Min", &nearest, &[])?;
        let inside = graph.add("Greater", &[nearest, zero], &[])?;
        let inside = graph.cast(inside, ElementType::F32)?;

        // shares of a picture are at most 1, so what is left of 2 is above 0
        let breadth = graph.minus(numbers[2], numbers[0])?;
        let length = graph.minus(numbers[3], numbers[1])?;
        let area = graph.times(breadth, length)?;
        let two = graph.scalar(2.0);
        let smallness = graph.minus(two, area)?;
        let smallness = graph.add("Where", &[is_inside, smallness, zero], &[])?;
        let first = graph.add("ArgMax", &[smallness], &[("axis", 1.into()), ("keepdims", 1.into())])?;
        let order = graph.positions(&most)?;
        let others = graph.integers(&[0, 2, 3]);
        let order = graph.add("Unsqueeze", &[order, others], &[])?;
        let is_first = graph.add("Equal", &[order, first], &[])?;
        let is_own = graph.add("And", &[is_first, is_inside], &[])?;
        let is_own = graph.cast(is_own, ElementType::F32)?;

        let of_own = |graph: &mut Graph, value: ValueId| {
            let value = graph.times(is_own, value)?;
            graph.reduce_sum(value, &[1], true)
        };
        let distances = [
            of_own(graph, across.before)?,
            of_own(graph, down.before)?,
            of_own(graph, across.behind)?,
            of_own(graph, down.behind)?,
        ];
        let class = of_own(graph, numbers[SIDES])?;
        let belongs = graph.reduce_sum(is_own, &[1], true)?;
        Ok(Self { belongs, distances, class, classes: numbers[SIDES], inside })
    }

    /// 1 at the class of each place that belongs to a box, 0 elsewhere: float32 `[batch, classes, height, width]`.
    pub(super) fn classes(&self, graph: &mut Graph, classes: usize) -> Result<ValueId, CompilerError> {
        let all: Vec<f32> = (0..classes).map(|class| class as f32).collect();
        let all = graph.constant("classes", Constant::f32([classes, 1, 1], &all));
        let is_class = graph.add("Equal", &[self.class, all], &[])?;
        let is_class = graph.cast(is_class, ElementType::F32)?;
        graph.times(is_class, self.belongs)
    }

    /// 0 where the middle of a place lies in a crowd of a class and the place belongs to no box of it, otherwise 1: float32
    /// `[batch, classes, height, width]`. `is_class`: as of [`BoxPlaces::classes`].
    pub(super) fn counted(
        &self,
        graph: &mut Graph,
        classes: usize,
        is_class: ValueId,
    ) -> Result<ValueId, CompilerError> {
        let all: Vec<f32> = (0..classes).map(|class| CROWD - class as f32).collect();
        let all = graph.constant("crowds", Constant::f32([classes, 1], &all));
        // [batch, 1, classes, most] times [batch, height, most, width]
        let of_boxes = graph.transpose(self.classes, &[0, 2, 3, 1])?;
        let is_crowd = graph.add("Equal", &[of_boxes, all], &[])?;
        let is_crowd = graph.cast(is_crowd, ElementType::F32)?;
        let inside = graph.transpose(self.inside, &[0, 2, 1, 3])?;
        let crowds = graph.add("MatMul", &[is_crowd, inside], &[])?;
        let crowds = graph.transpose(crowds, &[0, 2, 1, 3])?;
        let (zero, one) = (graph.scalar(0.0), graph.scalar(1.0));
        let outside = graph.minus(one, crowds)?;
        // a place may lie in several crowds
        graph.add("Max", &[outside, is_class, zero], &[])
    }

    /// 1 for each picture in which a box or crowd has a class beyond these, otherwise 0: float32 `[batch]`.
    pub(super) fn strange_classes(&self, graph: &mut Graph, classes: usize) -> Result<ValueId, CompilerError> {
        let last = graph.scalar((classes - 1) as f32);
        let is_strange = graph.add("Greater", &[self.classes, last], &[])?;
        let last_crowd = graph.scalar(CROWD - (classes - 1) as f32);
        let is_strange_crowd = graph.add("Less", &[self.classes, last_crowd], &[])?;
        let is_strange = graph.add("Or", &[is_strange, is_strange_crowd], &[])?;
        let is_strange = graph.cast(is_strange, ElementType::F32)?;
        let count = graph.reduce_sum(is_strange, &[1, 2, 3], false)?;
        graph.add("Sign", &[count], &[])
    }
}

/// Along one side of a map, how far two sides of each box are from the middle of each place, in places: above 0 inside of the box.
struct Sides {
    /// From the side that comes first: `[batch, most, 1, width]`, or `[batch, most, height, 1]`.
    before: ValueId,
    behind: ValueId,
}

impl Sides {
    /// Of sides as shares `[batch, most, 1, 1]`, along so many places.
    fn of(
        graph: &mut Graph,
        (first, last): (ValueId, ValueId),
        places: &Length,
        is_down: bool,
    ) -> Result<Self, CompilerError> {
        let count = graph.length_as_float(places)?;
        let [first, last] = [first, last].map(|side| graph.times(side, count));
        let (first, last) = (first?, last?);
        let middles = graph.positions(places)?;
        let middles = graph.cast(middles, ElementType::F32)?;
        let half = graph.scalar(0.5);
        let mut middles = graph.plus(middles, half)?;
        if is_down {
            let axis = graph.integers(&[1]);
            middles = graph.add("Unsqueeze", &[middles, axis], &[])?;
        }
        Ok(Self { before: graph.minus(middles, first)?, behind: graph.minus(last, middles)? })
    }

    /// How far each place is inside, 0 or less where it is not, or too far from the middle of the box.
    fn depth(&self, graph: &mut Graph, radius: f32) -> Result<ValueId, CompilerError> {
        let nearest = graph.add("Min", &[self.before, self.behind], &[])?;
        if radius == 0.0 {
            return Ok(nearest);
        }
        // the middle of the box is half of their difference away
        let off = graph.minus(self.before, self.behind)?;
        let half = graph.scalar(0.5);
        let off = graph.times(off, half)?;
        let off = graph.add("Abs", &[off], &[])?;
        let radius = graph.scalar(radius);
        let left = graph.minus(radius, off)?;
        graph.add("Min", &[nearest, left], &[])
    }
}
