//! How the axis of rows goes through one node.

use std::collections::HashMap;

use crate::graph::{Constant, Graph, Node, TensorType, ValueId};

/// Where a value has its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Nowhere: it is the same for any rows.
    Apart,
    /// Along this axis: each takes the same number of entries, one after the other, and they come this many times over.
    Axis(usize, usize),
    /// Nowhere, but it holds lengths that follow from the number of rows.
    Lengths,
}

/// What a node must say instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// These integers as an input, instead of those that speak of the fixed rows.
    Integers { input: usize, values: Vec<i64> },
    /// These axes as the second input of a `Squeeze` that names none.
    SqueezeAxes(Vec<i64>),
    /// `axis` 1 of a `Flatten` instead of 0.
    FlattenFromFirst,
    /// An operand with one row, repeated along an axis for the rows that the operand `like` has on an axis of its own.
    Repeat { input: usize, axis: usize, rank: usize, like: usize, like_axis: usize },
    /// These integers as an input, and at one place how many entries an axis of the first input has.
    Counted { input: usize, values: Vec<i64>, at: usize, axis: usize },
}

impl Change {
    /// Whether values behind the node have other axes afterwards.
    pub(super) fn moves_axes(&self) -> bool {
        matches!(self, Self::SqueezeAxes(_) | Self::FlattenFromFirst | Self::Repeat { .. })
    }
}

/// A node, with shapes for the number of rows that the file fixes.
pub(super) struct Seen<'a> {
    pub(super) graph: &'a Graph,
    pub(super) node: &'a Node,
    pub(super) rows: &'a HashMap<ValueId, Rows>,
    pub(super) fixed: usize,
    /// Whether this number is made up, and no other length.
    pub(super) is_made_up: bool,
    /// The length that is made up for axes which stay open; nothing where all lengths are real.
    pub(super) open: Option<usize>,
}

/// Where a node's outputs have their rows, and what it must say for that; or why rows do not stay apart in it.
pub(super) type Through = Result<(Vec<Rows>, Option<Change>), String>;

impl Seen<'_> {
    pub(super) fn rows_of(&self, index: usize) -> Rows {
        let given = self.node.inputs.get(index).copied().flatten();
        given.and_then(|id| self.rows.get(&id).copied()).unwrap_or(Rows::Apart)
    }

    /// The axis of rows of the first input.
    pub(super) fn first_axis(&self) -> Result<usize, String> {
        match self.rows_of(0) {
            Rows::Axis(axis, _) => Ok(axis),
            _ => Err("another operand than its first has the rows".into()),
        }
    }

    /// How many times over the rows come on their axis.
    pub(super) fn times(&self) -> usize {
        let inputs = (0..self.node.inputs.len()).map(|index| self.rows_of(index));
        let times = inputs.filter_map(|rows| if let Rows::Axis(_, times) = rows { Some(times) } else { None });
        times.max().unwrap_or(1)
    }

    pub(super) fn only_first(&self) -> Result<(), String> {
        let others = (1..self.node.inputs.len()).all(|index| self.rows_of(index) == Rows::Apart);
        if others { Ok(()) } else { Err("more than its first operand depends on the rows".into()) }
    }

    pub(super) fn shape(&self, index: usize) -> Result<Vec<usize>, String> {
        let given = self.node.inputs.get(index).copied().flatten().ok_or("an operand is missing")?;
        let known = self.graph.tensor_type(given).and_then(TensorType::fixed_shape);
        known.ok_or_else(|| "the shape of an operand is not known".into())
    }

    pub(super) fn made(&self) -> Result<Vec<usize>, String> {
        let made = self.node.outputs.first().copied().flatten().and_then(|made| self.graph.tensor_type(made));
        made.and_then(TensorType::fixed_shape).ok_or_else(|| "the shape of its output is not known".into())
    }

    /// Integers of the file in an input.
    pub(super) fn integers(&self, index: usize) -> Option<Vec<i64>> {
        self.node
            .inputs
            .get(index)
            .copied()
            .flatten()
            .and_then(|id| self.graph.constant_of(id))
            .and_then(Constant::to_i64)
    }

    pub(super) fn front(&self, axis: i64, rank: usize) -> Result<usize, String> {
        crate::operators::axis_from_front(axis, rank)
    }

    pub(super) fn fronts(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
        axes.iter().map(|axis| self.front(*axis, rank)).collect()
    }

    pub(super) fn all(&self, axis: usize) -> (Vec<Rows>, Option<Change>) {
        (vec![Rows::Axis(axis, self.times()); self.node.outputs.len()], None)
    }

    /// Operands broadcast: all that have rows have them at one place, and the others are the same along it.
    pub(super) fn elementwise(&self) -> Through {
        let rank = self.node.inputs.iter().flatten().filter_map(|id| self.graph.tensor_type(*id));
        let rank = rank.map(|known| known.shape.len()).max().unwrap_or(0);
        let mut place = None;
        for index in 0..self.node.inputs.len() {
            if let Rows::Axis(axis, times) = self.rows_of(index) {
                let own = match self.shape(index) {
                    Ok(shape) => axis + rank - shape.len(),
                    Err(_) if self.node.inputs.len() == 1 => axis,
                    Err(reason) => return Err(reason),
                };
                if *place.get_or_insert((own, times)) != (own, times) {
                    return Err("its operands have the rows on different axes".into());
                }
            }
        }
        let (place, _) = place.ok_or("no operand has the rows")?;
        for (index, given) in self.node.inputs.iter().enumerate() {
            if given.is_some() && self.rows_of(index) == Rows::Apart {
                let shape = self.shape(index)?;
                let aligned = (place + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
                if aligned != 1 {
                    return Err(format!("one of its operands holds values for {aligned} places on the axis of rows"));
                }
            }
        }
        Ok(self.all(place))
    }

    /// Where the rows lie in another shape of the same elements. With one row there can be several such places: the last
    /// axis counts what the next layer reads, so another is taken if there is one, and else the last that fits.
    fn same_place(&self, from: &[usize], axis: usize, to: &[usize]) -> Result<Rows, String> {
        let Rows::Axis(_, times) = self.rows_of(0) else { return Err("its data has no rows".into()) };
        let outer: usize = from[..axis].iter().product::<usize>() * times;
        let place = |at: usize| {
            let before: usize = to[..at].iter().product();
            let times = outer.checked_div(before)?;
            (before * times == outer && to[at].is_multiple_of(times * self.fixed)).then_some(Rows::Axis(at, times))
        };
        let plain = (0..to.len()).filter_map(place).find(|rows| matches!(rows, Rows::Axis(at, 1) if at + 1 < to.len()));
        let found = plain.or_else(|| (0..to.len()).find_map(place));
        found.ok_or_else(|| format!("from {from:?} to {to:?} it mixes the rows with other axes"))
    }

    /// Where the rows stand among the lengths that the last input joins; nothing where it does not join them.
    pub(super) fn stated_axis(&self) -> Option<usize> {
        let lengths = self.node.inputs.last().copied().flatten()?;
        let joined = self.joined_lengths(lengths)?;
        let (mut at, mut found) = (0, None);
        for part in joined.inputs.iter().copied().flatten() {
            let [length] = *self.graph.tensor_type(part)?.fixed_shape()? else { return None };
            if self.rows.get(&part) == Some(&Rows::Lengths) {
                found = (length == 1).then_some(at);
            }
            at += length;
        }
        // lengths are those of the last axes
        let rank = self.made().ok()?.len();
        found.and_then(|place| (place + rank).checked_sub(at))
    }

    fn is_all_ones(&self, value: ValueId) -> bool {
        self.graph.integers_of(value).is_some_and(|known| known.elements.iter().all(|one| *one == 1))
    }

    /// The node that joins a list of lengths, behind what leaves the list as it is: TorchScript's `expand` puts ones where it finds −1.
    fn joined_lengths(&self, lengths: ValueId) -> Option<&Node> {
        const DEEPEST: usize = 4;
        let mut value = lengths;
        for _ in 0..DEEPEST {
            let node = self.graph.producer(value)?;
            value = match node.operator.as_str() {
                "Concat" => return Some(node),
                "Where" if self.is_all_ones(node.input(1)?) => node.input(2)?,
                "Cast" | "Identity" | "Reshape" => node.input(0)?,
                _ => return None,
            };
        }
        None
    }

    /// `X` `[sequence, batch, features]`, states `[directions, batch, features]`.
    pub(super) fn recurrent(&self) -> Through {
        if self.first_axis()? != 1 || self.times() != 1 || self.node.int("layout").unwrap_or(0) != 0 {
            return Err("its rows are not on the axis of the batch".into());
        }
        if self.node.input(4).is_some() && self.rows_of(4) != Rows::Axis(0, 1) {
            return Err("the lengths of its sequences do not depend on the rows".into());
        }
        for input in [5, 6] {
            if self.node.input(input).is_none() || self.rows_of(input) == Rows::Axis(1, 1) {
                continue;
            }
            let shape = self.shape(input)?;
            if self.rows_of(input) != Rows::Apart || self.fixed != 1 || shape.get(1) != Some(&1) {
                return Err("its first state does not go with the rows".into());
            }
            let change = Change::Repeat { input, axis: 1, rank: shape.len(), like: 0, like_axis: 1 };
            return Ok((self.recurrent_outputs(), Some(change)));
        }
        Ok((self.recurrent_outputs(), None))
    }

    fn recurrent_outputs(&self) -> Vec<Rows> {
        let outputs = [Rows::Axis(2, 1), Rows::Axis(1, 1), Rows::Axis(1, 1)];
        outputs.into_iter().take(self.node.outputs.len()).collect()
    }

    pub(super) fn reshape(&self) -> Through {
        let (axis, from, to) = (self.first_axis()?, self.shape(0)?, self.made()?);
        let made = self.same_place(&from, axis, &to)?;
        let Rows::Axis(place, _) = made else { return Err("its data has no rows".into()) };
        if self.rows_of(1) == Rows::Lengths {
            return Ok((vec![made], None)); // it states the rows itself; inferred shapes confirm it
        }
        let before = self.integers(1).ok_or("its shape is computed from data")?;
        let mut said = before.clone();
        let copies = self.node.int("allowzero").unwrap_or(0) == 0;
        for (at, length) in said.iter_mut().enumerate() {
            if *length == 0 && copies && at == axis && at != place {
                *length = to[at] as i64;
            }
        }
        let states_rows = said[place] == -1 || said[place] == 0 && copies && place == axis;
        if states_rows && said == before {
            return Ok((vec![made], None));
        }
        let is_open = |length: &i64| self.open.is_some_and(|open| *length > 0 && *length % open as i64 == 0);
        let is_computed = self.node.input(1).is_some_and(|lengths| self.graph.producer(lengths).is_some());
        if is_computed && said.iter().any(is_open) {
            return Err("its shape is computed from lengths that are open, and says the number of rows".into());
        }
        if states_rows {
            return Ok((vec![made], Some(Change::Integers { input: 1, values: said })));
        }
        if copies && place == axis && from[axis] == to[place] {
            said[place] = 0;
        } else {
            if let Some(open) = said.iter().position(|length| *length == -1) {
                said[open] = to[open] as i64;
            }
            said[place] = -1;
        }
        Ok((vec![made], Some(Change::Integers { input: 1, values: said })))
    }

    pub(super) fn flatten(&self) -> Through {
        let (axis, shape) = (self.first_axis()?, self.shape(0)?);
        let cut = self.node.int("axis").unwrap_or(1);
        let cut = if cut == shape.len() as i64 { shape.len() } else { self.front(cut, shape.len())? };
        if cut == 0 && axis == 0 && shape[0] == 1 {
            return Ok((vec![Rows::Axis(0, self.times())], Some(Change::FlattenFromFirst)));
        }
        let (side, start) = if axis < cut { (0, 0) } else { (1, cut) };
        let times = shape[start..axis].iter().product::<usize>() * self.times();
        Ok((vec![Rows::Axis(side, times)], None))
    }

    pub(super) fn squeeze(&self) -> Through {
        let (axis, shape) = (self.first_axis()?, self.shape(0)?);
        let ones = || shape.iter().enumerate().filter(|(_, length)| **length == 1).map(|(at, _)| at);
        let (gone, change): (Vec<usize>, _) = match self.node.input(1) {
            Some(_) => (self.fronts(&self.integers(1).ok_or("its axes are computed from data")?, shape.len())?, None),
            // named, so that one row keeps its axis
            None => {
                let gone: Vec<usize> = ones().filter(|at| *at != axis).collect();
                let named = gone.iter().map(|at| *at as i64).collect();
                (gone, Some(Change::SqueezeAxes(named)))
            }
        };
        if gone.contains(&axis) {
            return Err("it takes the axis of rows away".into());
        }
        let place = axis - gone.iter().filter(|at| **at < axis).count();
        Ok((vec![Rows::Axis(place, self.times())], change))
    }

    pub(super) fn unsqueeze(&self) -> Through {
        let (axis, rank) = (self.first_axis()?, self.made()?.len());
        let new = self.fronts(&self.integers(1).ok_or("its axes are computed from data")?, rank)?;
        let place = (0..rank).filter(|at| !new.contains(at)).nth(axis).ok_or("its axes do not fit")?;
        Ok((vec![Rows::Axis(place, self.times())], None))
    }

    pub(super) fn transpose(&self) -> Through {
        let (axis, rank) = (self.first_axis()?, self.shape(0)?.len());
        let place = match self.node.ints("perm") {
            Some(order) => order.iter().position(|from| *from == axis as i64).ok_or("its order names not all axes")?,
            None => rank - 1 - axis,
        };
        Ok((vec![Rows::Axis(place, self.times())], None))
    }

    pub(super) fn expand(&self) -> Through {
        let (axis, from, to) = (self.first_axis()?, self.shape(0)?, self.made()?);
        let place = axis + to.len() - from.len();
        if self.rows_of(1) == Rows::Lengths {
            return Ok((vec![Rows::Axis(place, self.times())], None));
        }
        let mut said = self.integers(1).ok_or("its shape is computed from data")?;
        if from[axis] != to[place] {
            return Err("it repeats the rows".into());
        }
        let Some(at) = (place + said.len()).checked_sub(to.len()) else { return Ok(self.all(place)) };
        said[at] = 1;
        Ok((vec![Rows::Axis(place, self.times())], Some(Change::Integers { input: 1, values: said })))
    }

    pub(super) fn concat(&self) -> Through {
        let rank = self.made()?.len();
        let along = self.front(self.node.int("axis").ok_or("it names no axis")?, rank)?;
        let axes: Vec<Rows> = (0..self.node.inputs.len()).map(|index| self.rows_of(index)).collect();
        let like = axes.iter().position(|rows| matches!(rows, Rows::Axis(..))).ok_or("no operand has the rows")?;
        let Rows::Axis(axis, times) = axes[like] else { return Err("no operand has the rows".into()) };
        if along == axis {
            return Err("it joins values along the axis of rows".into());
        }
        if axes.iter().any(|rows| matches!(rows, Rows::Axis(..) if *rows != axes[like])) {
            return Err("its operands have the rows on different axes".into());
        }
        match axes.iter().position(|rows| *rows == Rows::Apart) {
            None => Ok(self.all(axis)),
            Some(input) if self.fixed == 1 && (axis, times) == (0, 1) && self.shape(input)?[0] == 1 => {
                Ok((vec![Rows::Axis(0, 1)], Some(Change::Repeat { input, axis: 0, rank, like, like_axis: 0 })))
            }
            Some(_) => Err("one of its operands is the same for all rows and of fixed length on their axis".into()),
        }
    }

    pub(super) fn gemm(&self) -> Through {
        let rows_axis = usize::from(self.node.int("transA").unwrap_or(0) != 0);
        if self.first_axis()? != rows_axis || self.rows_of(1) != Rows::Apart {
            return Err("it multiplies over the rows".into());
        }
        let added = self.node.input(2).map(|_| self.shape(2)).transpose()?.unwrap_or_default();
        let fits = match (self.rows_of(2), added.as_slice()) {
            (Rows::Axis(axis, times), [_, _]) => axis == 0 && self.rows_of(0) == Rows::Axis(rows_axis, times),
            (Rows::Apart, [length, _]) => *length == 1,
            (rows, _) => rows == Rows::Apart,
        };
        if fits { Ok(self.all(0)) } else { Err("what it adds holds values for a fixed number of rows".into()) }
    }

    pub(super) fn mat_mul(&self) -> Through {
        let (a, b, rank) = (&self.shape(0)?, &self.shape(1)?, self.made()?.len());
        let over = || Err("it multiplies over the rows".into());
        // where a stack of matrices has its rows in the output
        let stacked = |axis: usize, shape: &[usize]| (axis + 2 < shape.len()).then(|| axis + rank - shape.len());
        let single =
            |shape: &[usize], place: usize| (place + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]) == 1;
        let times = |index| if let Rows::Axis(_, times) = self.rows_of(index) { times } else { 1 };
        let same = times(0) == times(1);
        match (self.rows_of(0), self.rows_of(1)) {
            (Rows::Axis(left, _), Rows::Axis(right, _)) if a.len() >= 2 && b.len() >= 2 => {
                match (stacked(left, a), stacked(right, b)) {
                    (Some(left), Some(right)) if left == right && same => Ok(self.all(left)),
                    _ => over(),
                }
            }
            (Rows::Axis(left, _), Rows::Apart) if b.len() == 1 => {
                if left + 1 < a.len() {
                    Ok(self.all(left))
                } else {
                    over()
                }
            }
            (Rows::Axis(left, _), Rows::Apart) if a.len() >= 2 => match stacked(left, a) {
                Some(place) if single(b, place) => Ok(self.all(place)),
                None if left + 2 == a.len() => Ok(self.all(rank - 2)),
                _ => over(),
            },
            (Rows::Apart, Rows::Axis(right, _)) if a.len() >= 2 && b.len() >= 2 => match stacked(right, b) {
                Some(place) if single(a, place) => Ok(self.all(place)),
                None if right + 1 == b.len() => Ok(self.all(rank - 1)),
                _ => over(),
            },
            _ => over(),
        }
    }

    pub(super) fn slice(&self) -> Through {
        let (axis, shape, made) = (self.first_axis()?, self.shape(0)?, self.made()?);
        let count = self.integers(1).ok_or("its starts are computed from data")?.len();
        let named = if self.node.input(3).is_some() { self.integers(3) } else { Some((0..count as i64).collect()) };
        let named = self.fronts(&named.ok_or("its axes are computed from data")?, shape.len())?;
        let Some(at) = named.iter().position(|named| *named == axis) else { return Ok(self.all(axis)) };
        let step = if self.node.input(4).is_some() {
            self.integers(4).and_then(|steps| steps.get(at).copied())
        } else {
            Some(1)
        };
        if step != Some(1) || made[axis] != shape[axis] {
            return Err("it picks single rows".into());
        }
        // where the end follows the rows by itself, the inferred shapes confirm it
        let change = (self.rows_of(2) != Rows::Lengths).then(|| self.integers(2)).flatten().map(|mut ends| {
            ends[at] = i64::MAX;
            Change::Integers { input: 2, values: ends }
        });
        Ok((vec![Rows::Axis(axis, self.times())], change))
    }

    pub(super) fn pad(&self) -> Through {
        let (axis, rank) = (self.first_axis()?, self.shape(0)?.len());
        let pads = self.integers(1).ok_or("its widths are computed from data")?;
        let named = match self.node.input(3) {
            Some(_) => self.fronts(&self.integers(3).ok_or("its axes are computed from data")?, rank)?,
            None => (0..rank).collect(),
        };
        let at = named.iter().position(|named| *named == axis);
        let widths = at.map(|at| (pads.get(at), pads.get(at + named.len())));
        if widths.is_none_or(|widths| widths == (Some(&0), Some(&0))) {
            Ok(self.all(axis))
        } else {
            Err("it adds rows".into())
        }
    }

    pub(super) fn along(&self, default: i64) -> Through {
        let (axis, rank) = (self.first_axis()?, self.shape(0)?.len());
        let along = self.front(self.node.int("axis").unwrap_or(default), rank)?;
        let gone = self.node.operator.starts_with("Arg") && self.node.int("keepdims") == Some(0);
        match along.cmp(&axis) {
            std::cmp::Ordering::Equal => Err("it works along the axis of rows".into()),
            std::cmp::Ordering::Less if gone => Ok(self.all(axis - 1)),
            _ => Ok(self.all(axis)),
        }
    }

    pub(super) fn reduce(&self) -> Through {
        let (axis, rank) = (self.first_axis()?, self.shape(0)?.len());
        let named = match self.node.ints("axes") {
            Some(named) => Some(named.to_vec()),
            None if self.node.input(1).is_some() => Some(self.integers(1).ok_or("its axes are computed from data")?),
            None => None,
        };
        let named = named.filter(|named| !named.is_empty());
        if named.is_none() && self.node.int("noop_with_empty_axes").unwrap_or(0) != 0 {
            return Ok(self.all(axis));
        }
        let gone = self.fronts(&named.ok_or("it reduces over the rows")?, rank)?;
        if gone.contains(&axis) {
            return Err("it reduces over the rows".into());
        }
        let before = gone.iter().filter(|at| **at < axis).count();
        Ok(self.all(if self.node.int("keepdims") == Some(0) { axis - before } else { axis }))
    }
}
