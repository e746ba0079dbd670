//! Bags of rows of a table, which PyTorch exports as a loop over the bags (`EmbeddingBag`): written out for all bags at once.

use super::bags_of_loops::{Bags, Padding, Rows, bags_of, single};
use super::control_flow::own_name;
use super::onnx::NodeProto;
use super::scope::{Names, Scope};
use crate::CompilerError;
use crate::graph::{Attribute, Constant, ElementType, Graph, Length, ValueId, axes_input_since};

/// What stands for a loop over bags.
pub(super) struct Made {
    /// A row for each bag: `[bags, width]`.
    pub(super) joined: ValueId,
    /// How many bags there are, where the loop counts them itself and puts each row behind a sequence.
    pub(super) counted: Option<ValueId>,
}

/// `ScatterElements` keeps the largest from this opset on.
const COMPARES_SINCE: i64 = 18;

/// What a node that PyTorch's newer exporter writes for bags notes of where it comes from.
const OF_BAGS: &str = "aten.embedding_bag";

/// Says of bags that are neither written out nor kept what to do about that.
pub(super) fn refused(node: &NodeProto, refusal: CompilerError) -> CompilerError {
    let is_of_bags = node.metadata_props.iter().any(|entry| entry.value().contains(OF_BAGS));
    match refusal {
        CompilerError::Unsupported { what, .. } if is_of_bags => CompilerError::unsupported(
            format!("{what} and which is an `EmbeddingBag`,"),
            "export the model with `dynamo=False`, whose loop over the bags is written out, or with a fixed number of bags",
        ),
        other => other,
    }
}

/// Whether a loop is one over bags that leave padding out. Written out turn by turn, it would keep loops and branches that the data decide.
pub(super) fn leaves_padding_out<'a>(graph: &Graph, node: &'a NodeProto, scope: &Scope<'a, '_>) -> bool {
    bags_of(graph, node, scope).is_some_and(|(bags, _)| bags.padding.is_some())
}

/// Writes a loop that sums, averages or takes the largest of the rows of one bag in each turn as nodes that do so for all bags: what they
/// make, or nothing where it is no such loop. A bag without rows gives zeros, as in PyTorch, and so does one of nothing but padding.
/// Where bags differ in length, each row is held against each bag: sums are the product of two matrices, and the largest goes to the
/// place of each row's bag. Before opset 18, and of floats of 16 bits, the largest takes memory for bags × rows × width numbers.
///
/// # Errors
/// The bags do not fit the table.
pub(super) fn made<'a>(
    graph: &mut Graph,
    names: &Names<'_>,
    node: &'a NodeProto,
    scope: &Scope<'a, '_>,
) -> Result<Option<Made>, CompilerError> {
    let Some((bags, is_listed)) = bags_of(graph, node, scope) else { return Ok(None) };
    let Some(count) = fitting(graph, &bags) else { return Ok(None) };
    let rows = rows_of_each(graph, &bags, &count);
    let place = format!("{}{}", scope.place.prefix, own_name(node));
    let mut writer = Writer { graph, names, place };
    let joined = match rows {
        Some(rows) => writer.of_one_length(&bags, rows)?,
        None => writer.of_any_length(&bags, &count)?,
    };
    Ok(Some(Made { joined, counted: is_listed.then_some(bags.count) }))
}

/// How many bags there are, if as many have an end and the types are those of bags.
fn fitting(graph: &Graph, bags: &Bags) -> Option<Length> {
    let known = |value: ValueId| graph.tensor_type(value);
    let is_vector = |value: ValueId| known(value).is_some_and(|known| known.shape.len() == 1);
    let are_rows = match bags.rows {
        Rows::Of { table, places, weights } => {
            let table = known(table)?;
            let weighs =
                |value: ValueId| is_vector(value) && known(value).is_some_and(|known| known.dtype == table.dtype);
            table.dtype.is_float() && table.shape.len() == 2 && is_vector(places) && weights.is_none_or(weighs)
        }
        Rows::Gathered(rows) => {
            let rows = known(rows)?;
            rows.dtype.is_float() && rows.shape.len() == 2 && rows.shape[1].fixed().is_some()
        }
    };
    let count = single(graph, bags.count)?;
    let is_ended = match bags.ends {
        Some(ends) => known(ends)?.shape == [count.clone()],
        None => known(bags.starts)?.shape == [&count + 1usize],
    };
    let all = number_of_rows(graph, bags.rows)?;
    let fits = |padding: Padding| known(padding.ids).is_some_and(|ids| ids.shape == std::slice::from_ref(&all));
    (are_rows && is_vector(bags.starts) && is_ended && bags.padding.is_none_or(fits)).then_some(count)
}

/// How many rows all bags have.
fn number_of_rows(graph: &Graph, rows: Rows) -> Option<Length> {
    let (Rows::Of { places: rows, .. } | Rows::Gathered(rows)) = rows;
    graph.tensor_type(rows)?.shape.first().cloned()
}

/// How many rows each bag has, where all have as many: what begins is a range in such steps, in front of the number of all rows, or is
/// known as numbers.
fn rows_of_each(graph: &Graph, bags: &Bags, count: &Length) -> Option<i64> {
    if let Some(known) = known_starts(graph, bags) {
        let step = known.get(1)?.checked_sub(known[0])?;
        let is_even = known.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == Some(step));
        let is_all = known
            .last()
            .is_some_and(|last| number_of_rows(graph, bags.rows).is_some_and(|all| all.as_number() == Some(*last)));
        return (known[0] == 0 && step > 0 && is_even && is_all).then_some(step);
    }
    let joined = graph.producer(bags.starts).filter(|node| node.is("Concat") && node.inputs.len() == 2)?;
    let range = graph.producer(joined.input(0)?).filter(|node| node.is("Range"))?;
    let number = |value: Option<ValueId>| single(graph, value?)?.as_number();
    let (start, step) = (number(range.input(0))?, number(range.input(2))?);
    let all = number_of_rows(graph, bags.rows)?;
    let are_behind = are_behind_each_other(graph, bags);
    let is_whole = single(graph, joined.input(1)?)? == all && count * Length::number(step) == all;
    (start == 0 && step > 0 && are_behind && is_whole).then_some(step)
}

/// Where bags begin, and where the last one ends, where no data decide it.
fn known_starts(graph: &Graph, bags: &Bags) -> Option<Vec<i64>> {
    let known = graph.lengths_of(bags.starts).filter(|_| bags.ends.is_none())?;
    known.iter().map(Length::as_number).collect()
}

/// Whether each bag ends where the next one begins: no row is in two of them.
fn are_behind_each_other(graph: &Graph, bags: &Bags) -> bool {
    let is_one = |value: Option<ValueId>| {
        value.and_then(|value| single(graph, value)).is_some_and(|number| number.as_number() == Some(1))
    };
    bags.ends.is_none_or(|ends| {
        let ends = graph.producer(ends).filter(|node| node.is("Slice") && node.input(0) == Some(bags.starts));
        ends.is_some_and(|ends| is_one(ends.input(1)) && (ends.input(4).is_none() || is_one(ends.input(4))))
    })
}

/// The least number of a type of floats.
fn least(dtype: ElementType) -> f32 {
    if dtype == ElementType::F16 { -65504.0 } else { f32::MIN }
}

/// Adds nodes that are called after a loop.
struct Writer<'w, 'n> {
    graph: &'w mut Graph,
    names: &'w Names<'n>,
    place: String,
}

impl Writer<'_, '_> {
    /// Bags of as many rows each.
    fn of_one_length(&mut self, bags: &Bags, each: i64) -> Result<ValueId, CompilerError> {
        let rows = match bags.rows {
            Rows::Of { table, places, weights } => {
                let shape = self.constant("shape", Constant::i64([2], &[-1, each]));
                let places = self.add("Reshape", &[places, shape], "places")?;
                let rows = self.add("Gather", &[table, places], "rows")?;
                match weights {
                    Some(weights) => {
                        let weights = self.add("Reshape", &[weights, shape], "weights")?;
                        let weights = self.unsqueezed(weights, 2, "weight")?;
                        self.add("Mul", &[rows, weights], "weighted")?
                    }
                    None => rows,
                }
            }
            Rows::Gathered(rows) => {
                let width = self.graph.shape(rows)?[1].as_number().expect("rows that fit have a width");
                let shape = self.constant("shape", Constant::i64([3], &[-1, each, width]));
                self.add("Reshape", &[rows, shape], "rows")?
            }
        };
        match bags.padding {
            Some(padding) => self.of_one_length_without(padding, bags.operator, rows, each),
            None => self.reduce(bags.operator, rows, 1, false, "made"),
        }
    }

    /// Of the rows `[bags, each, width]`, those that are no padding.
    fn of_one_length_without(
        &mut self,
        padding: Padding,
        operator: &str,
        rows: ValueId,
        each: i64,
    ) -> Result<ValueId, CompilerError> {
        let dtype = self.graph.known_type(rows)?.dtype;
        let kept = self.kept(padding)?;
        let shape = self.constant("shape", Constant::i64([2], &[-1, each]));
        let kept = self.add("Reshape", &[kept, shape], "kept_of_bag")?;
        let of_row = self.unsqueezed(kept, 2, "kept_row")?;
        let kept = self.cast(kept, dtype, "kept_number")?;
        let is_largest = operator == "ReduceMax";
        let other = if is_largest { least(dtype) } else { 0.0 };
        let other = self.constant("other", Constant::number(dtype, other));
        let rows = self.add("Where", &[of_row, rows, other], "kept_rows")?;
        if is_largest {
            let largest = self.reduce("ReduceMax", rows, 1, false, "largest")?;
            return self.or_zero(largest, kept, dtype);
        }
        if operator == "ReduceSum" {
            return self.reduce("ReduceSum", rows, 1, false, "made");
        }
        let sum = self.reduce("ReduceSum", rows, 1, false, "sum")?;
        let counted = self.reduce("ReduceSum", kept, 1, true, "counted")?;
        self.divided(sum, counted, dtype)
    }

    /// Which of the rows of all places are no padding: truth values `[places]`.
    fn kept(&mut self, padding: Padding) -> Result<ValueId, CompilerError> {
        let ids = self.cast(padding.ids, ElementType::I64, "ids")?;
        let [above, below] = padding.left_out.map(|number| self.constant("padding", Constant::i64([], &[number])));
        let above = self.add("Equal", &[ids, above], "is_padding")?;
        let below = self.add("Equal", &[ids, below], "is_padding_from_behind")?;
        let left_out = self.add("Or", &[above, below], "left_out")?;
        self.add("Not", &[left_out], "kept")
    }

    /// Sums `[bags, width]` over how many there are `[bags, 1]`, at least one.
    fn divided(&mut self, sum: ValueId, counted: ValueId, dtype: ElementType) -> Result<ValueId, CompilerError> {
        let one = self.constant("one", Constant::number(dtype, 1.0));
        let count = self.add("Max", &[counted, one], "divisor")?;
        self.add("Div", &[sum, count], "made")
    }

    /// The largest of each bag `[bags, width]`, zeros where no number of its row of `membership` `[bags, …]` is one.
    fn or_zero(&mut self, largest: ValueId, membership: ValueId, dtype: ElementType) -> Result<ValueId, CompilerError> {
        let zero = self.constant("zero", Constant::number(dtype, 0.0));
        let counted = self.reduce("ReduceSum", membership, 1, true, "counted")?;
        let has_rows = self.add("Greater", &[counted, zero], "has_rows")?;
        self.add("Where", &[has_rows, largest, zero], "made")
    }

    /// Bags of any length, of the rows of all places and of which place is in which bag.
    fn of_any_length(&mut self, bags: &Bags, count: &Length) -> Result<ValueId, CompilerError> {
        let rows = match bags.rows {
            Rows::Of { table, places, weights } => {
                let rows = self.add("Gather", &[table, places], "rows")?;
                match weights {
                    Some(weights) => {
                        let weights = self.unsqueezed(weights, 1, "weight")?;
                        self.add("Mul", &[rows, weights], "weighted")?
                    }
                    None => rows,
                }
            }
            Rows::Gathered(rows) => rows,
        };
        let all = self.number_of(rows)?;
        let starts = self.starts(bags, count)?;
        let ends = self.ends(bags)?;
        let reached = if bags.last_reaches_all { self.reached(bags, starts, ends, all)? } else { ends };
        let ends = if bags.operator == "ReduceMax" { reached } else { ends };
        let within = self.membership(bags, starts, ends, all)?;
        if bags.operator == "ReduceMax" {
            return self.largest(bags, within, rows);
        }
        let dtype = self.graph.known_type(rows)?.dtype;
        let within = self.cast(within, dtype, "membership")?;
        if bags.operator == "ReduceSum" {
            return self.add("MatMul", &[within, rows], "made");
        }
        let sum = self.add("MatMul", &[within, rows], "sum")?;
        let counted = match bags.last_reaches_all {
            true => {
                let counted = self.add("Sub", &[reached, starts], "reached_rows")?;
                let counted = self.cast(counted, dtype, "reached_number")?;
                self.unsqueezed(counted, 1, "counted")?
            }
            false => self.reduce("ReduceSum", within, 1, true, "counted")?,
        };
        self.divided(sum, counted, dtype)
    }

    /// Where each bag begins: `[bags]`, as 64-bit integers.
    fn starts(&mut self, bags: &Bags, count: &Length) -> Result<ValueId, CompilerError> {
        let mut starts = bags.starts;
        if self.graph.shape(starts)? != std::slice::from_ref(count) {
            let number = self.positions(bags.count, "bags")?;
            starts = self.add("Gather", &[starts, number], "starts")?;
        }
        self.cast(starts, ElementType::I64, "start")
    }

    /// Where each bag ends: `[bags]`, as 64-bit integers.
    fn ends(&mut self, bags: &Bags) -> Result<ValueId, CompilerError> {
        let ends = match bags.ends {
            Some(ends) => ends,
            None => {
                let [second, last, axis] =
                    [1, i64::MAX, 0].map(|number| self.constant("bound", Constant::i64([1], &[number])));
                self.add("Slice", &[bags.starts, second, last, axis], "ends")?
            }
        };
        self.cast(ends, ElementType::I64, "end")
    }

    /// Where each bag ends if the last one, where it is not empty, reaches to the end of all rows: `[bags]`.
    fn reached(&mut self, bags: &Bags, starts: ValueId, ends: ValueId, all: ValueId) -> Result<ValueId, CompilerError> {
        let number = self.positions(bags.count, "bags")?;
        let one = self.constant("one", Constant::i64([1], &[1]));
        let last = self.add("Sub", &[bags.count, one], "last_bag")?;
        let is_last = self.add("Equal", &[number, last], "is_last")?;
        let is_empty = self.add("Equal", &[starts, ends], "is_empty")?;
        let has_rows = self.add("Not", &[is_empty], "is_not_empty")?;
        let reaches = self.add("And", &[is_last, has_rows], "reaches_all")?;
        self.add("Where", &[reaches, all, ends], "reached")
    }

    /// How many rows there are: one whole number.
    fn number_of(&mut self, rows: ValueId) -> Result<ValueId, CompilerError> {
        let shape = self.add("Shape", &[rows], "shape")?;
        let first = self.constant("first", Constant::i64([], &[0]));
        self.add("Gather", &[shape, first], "count")
    }

    /// Which of the rows of all places is in which bag: truth values `[bags, places]`.
    fn membership(
        &mut self,
        bags: &Bags,
        starts: ValueId,
        ends: ValueId,
        all: ValueId,
    ) -> Result<ValueId, CompilerError> {
        let places = self.positions(all, "places")?;
        let [starts, ends] =
            [(starts, "begins"), (ends, "is_over")].map(|(value, name)| self.unsqueezed(value, 1, name));
        let not_begun = self.add("Less", &[places, starts?], "not_begun")?;
        let begun = self.add("Not", &[not_begun], "begun")?;
        let not_over = self.add("Less", &[places, ends?], "not_over")?;
        let within = self.add("And", &[begun, not_over], "within")?;
        match bags.padding {
            Some(padding) => {
                let kept = self.kept(padding)?;
                self.add("And", &[within, kept], "within_kept")
            }
            None => Ok(within),
        }
    }

    /// The largest of the rows of each bag, zeros where it has none.
    fn largest(&mut self, bags: &Bags, within: ValueId, rows: ValueId) -> Result<ValueId, CompilerError> {
        let known = self.graph.known_type(rows)?;
        let (dtype, width) = (known.dtype, known.shape[1].as_number());
        let least = self.constant("least", Constant::number(dtype, least(dtype)));
        let membership = self.cast(within, dtype, "membership")?;
        let is_scattered = self.graph.opset >= COMPARES_SINCE && dtype == ElementType::F32;
        let largest = match width.filter(|_| is_scattered && are_behind_each_other(self.graph, bags)) {
            Some(width) => {
                let shape = self.constant("shape", Constant::i64([1], &[1]));
                let count = self.add("Reshape", &[bags.count, shape], "bags_1")?;
                let width = self.constant("width", Constant::i64([1], &[width]));
                let shape = self.append("Concat", &[count, width], &[("axis", 0.into())], "made_shape")?;
                let begun = self.add("Expand", &[least, shape], "begun")?;
                self.scattered(membership, rows, least, begun)?
            }
            None => {
                let (of_bag, laid) = (self.unsqueezed(within, 2, "of_bag")?, self.unsqueezed(rows, 0, "laid")?);
                let of_bags = self.add("Where", &[of_bag, laid, least], "of_bags")?;
                self.reduce("ReduceMax", of_bags, 1, false, "largest")?
            }
        };
        self.or_zero(largest, membership, dtype)
    }

    /// `begun` `[bags, width]`, each number with the largest of the rows of its bag; a row of no bag counts as `least`.
    fn scattered(
        &mut self,
        membership: ValueId,
        rows: ValueId,
        least: ValueId,
        begun: ValueId,
    ) -> Result<ValueId, CompilerError> {
        let number = self.append("ArgMax", &[membership], &[("axis", 0.into()), ("keepdims", 0.into())], "bag")?;
        let number = self.unsqueezed(number, 1, "bag_of_row")?;
        let shape = self.add("Shape", &[rows], "rows_shape")?;
        let indices = self.add("Expand", &[number, shape], "bag_of_number")?;
        let dtype = self.graph.known_type(rows)?.dtype;
        let zero = self.constant("none", Constant::number(dtype, 0.0));
        let held = self.reduce("ReduceSum", membership, 0, false, "held")?;
        let is_held = self.add("Greater", &[held, zero], "is_held")?;
        let is_held = self.unsqueezed(is_held, 1, "is_held_row")?;
        let rows = self.add("Where", &[is_held, rows, least], "held_rows")?;
        let largest = [("axis", 0.into()), ("reduction", "max".into())];
        self.append("ScatterElements", &[begun, indices, rows], &largest, "largest")
    }

    /// Whole numbers from 0 up to a count, as 64-bit integers.
    fn positions(&mut self, count: ValueId, name: &str) -> Result<ValueId, CompilerError> {
        let scalar = self.constant("scalar", Constant::i64([0], &[]));
        let limit = self.add("Reshape", &[count, scalar], "limit")?;
        let [start, step] = [0, 1].map(|value| self.constant("whole", Constant::i64([], &[value])));
        self.add("Range", &[start, limit, step], name)
    }

    fn unsqueezed(&mut self, value: ValueId, axis: i64, name: &str) -> Result<ValueId, CompilerError> {
        let axis = self.constant("axis", Constant::i64([1], &[axis]));
        self.add("Unsqueeze", &[value, axis], name)
    }

    /// Sums, averages or the largest over an axis.
    fn reduce(
        &mut self,
        operator: &str,
        value: ValueId,
        axis: i64,
        keep: bool,
        name: &str,
    ) -> Result<ValueId, CompilerError> {
        let keep = ("keepdims", i64::from(keep).into());
        if self.graph.opset < axes_input_since(operator) {
            return self.append(operator, &[value], &[keep, ("axes", Attribute::Ints(vec![axis]))], name);
        }
        let axes = self.constant("axes", Constant::i64([1], &[axis]));
        self.append(operator, &[value, axes], &[keep], name)
    }

    fn cast(&mut self, value: ValueId, dtype: ElementType, name: &str) -> Result<ValueId, CompilerError> {
        self.append("Cast", &[value], &[("to", i64::from(dtype.to_onnx()).into())], name)
    }

    fn add(&mut self, operator: &str, inputs: &[ValueId], name: &str) -> Result<ValueId, CompilerError> {
        self.append(operator, inputs, &[], name)
    }

    fn append(
        &mut self,
        operator: &str,
        inputs: &[ValueId],
        attributes: &[(&str, Attribute)],
        name: &str,
    ) -> Result<ValueId, CompilerError> {
        let name = self.names.free(self.graph, &format!("{}/{name}", self.place));
        self.graph.append(operator, inputs, attributes, &name)
    }

    fn constant(&mut self, name: &str, constant: Constant) -> ValueId {
        let name = self.names.free(self.graph, &format!("{}/{name}", self.place));
        self.graph.named_constant(&name, constant)
    }
}
