//! Bags of rows of a table, which PyTorch exports as a loop over the bags (`EmbeddingBag`): written out for all bags at once.

use std::collections::HashMap;

use super::constant_of;
use super::control_flow::{graph_of, own_name, truth};
use super::onnx::{AttributeProto, GraphProto, NodeProto};
use super::scope::{Imported, Names, Scope};
use crate::CompilerError;
use crate::graph::{Attribute, Constant, ElementType, Graph, Length, ValueId, axes_input_since, standard_domain};

/// What a loop makes a row of in each turn.
struct Bags {
    /// `[rows, width]`.
    table: ValueId,
    /// The rows of all bags, one bag behind the other.
    places: ValueId,
    /// Where among them each bag begins; there may be more of these than bags.
    starts: ValueId,
    /// Where each bag ends.
    ends: ValueId,
    /// How many bags there are: one whole number.
    count: ValueId,
    /// `ReduceMax`, `ReduceMean` or `ReduceSum`.
    operator: &'static str,
}

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

/// Writes a loop that sums, averages or takes the largest of the rows of one bag in each turn as nodes that do so for all bags: what they
/// make, or nothing where it is no such loop. A bag without rows gives zeros, as in PyTorch. The largest is taken of bags of one length
/// alone.
///
/// # Errors
/// The bags do not fit the table.
pub(super) fn made<'a>(
    graph: &mut Graph,
    names: &Names<'_>,
    node: &'a NodeProto,
    scope: &Scope<'a, '_>,
) -> Result<Option<ValueId>, CompilerError> {
    let Some(bags) = bags_of(graph, node, scope) else { return Ok(None) };
    let Some(count) = fitting(graph, &bags) else { return Ok(None) };
    let rows = rows_of_each(graph, &bags, &count);
    if rows.is_none() && bags.operator == "ReduceMax" {
        return Ok(None);
    }
    let place = format!("{}{}", scope.place.prefix, own_name(node));
    let mut writer = Writer { graph, names, place };
    match rows {
        Some(rows) => writer.of_one_length(&bags, rows),
        None => writer.of_any_length(&bags, &count),
    }
    .map(Some)
}

/// The bags of a loop, if it is one over bags.
fn bags_of<'a>(graph: &Graph, node: &'a NodeProto, scope: &Scope<'a, '_>) -> Option<Bags> {
    let body = graph_of(node, "body").filter(|_| node.op_type() == "Loop")?;
    let made = body.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)));
    Turn { graph, body, scope, makers: made.collect() }.bags(node)
}

/// The graph of a loop, and what it reads around it.
struct Turn<'a, 's, 'o> {
    graph: &'s Graph,
    body: &'a GraphProto,
    scope: &'s Scope<'a, 'o>,
    makers: HashMap<&'a str, &'a NodeProto>,
}

impl<'a> Turn<'a, '_, '_> {
    fn bags(&self, node: &NodeProto) -> Option<Bags> {
        let ([turn, _], [goes_on, made]) = (self.body.input.as_slice(), self.body.output.as_slice()) else {
            return None;
        };
        let reductions = ["ReduceMax", "ReduceMean", "ReduceSum"];
        let found = |operator: &'static str| self.maker(made.name(), operator).map(|node| (operator, node));
        let (operator, reduced) = reductions.into_iter().find_map(found)?;
        let rows = self.maker(reduced.input.first()?, "Gather")?;
        let part = self.maker(rows.input.get(1)?, "Slice")?;
        let begins = node.input.get(1).is_none_or(|name| name.is_empty() || self.holds(name));
        let is_whole = node.output.len() == 1 && !node.output[0].is_empty() && begins && self.goes_on(goes_on.name());
        let steps = part.input.get(4).filter(|name| !name.is_empty());
        let is_plain = self.axes(reduced, 1)? == [0]
            && number(reduced, "keepdims", 1) == 0
            && number(rows, "axis", 0) == 0
            && self.numbers(part.input.get(3)?)? == [0]
            && steps.is_none_or(|name| self.numbers(name).is_some_and(|steps| steps == [1]));
        let found = Bags {
            table: self.around(rows.input.first()?)?,
            places: self.around(part.input.first()?)?,
            starts: self.element(part.input.get(1)?, turn.name())?,
            ends: self.element(part.input.get(2)?, turn.name())?,
            count: self.around(node.input.first()?)?,
            operator,
        };
        (is_whole && is_plain).then_some(found)
    }

    fn maker(&self, name: &str, operator: &str) -> Option<&'a NodeProto> {
        let node = self.makers.get(name).copied()?;
        (node.op_type() == operator && standard_domain(node.domain()).is_empty()).then_some(node)
    }

    /// A value that is made around the loop.
    fn around(&self, name: &str) -> Option<ValueId> {
        let is_own = self.makers.contains_key(name)
            || self.body.input.iter().any(|input| input.name() == name)
            || self.body.initializer.iter().any(|tensor| tensor.name() == name);
        if is_own { None } else { self.scope.find(name).and_then(Imported::tensor) }
    }

    /// The whole numbers that a value always holds.
    fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        let constant = self.maker(name, "Constant").and_then(|node| attribute(node, "value")?.t.as_ref());
        let stored = || self.body.initializer.iter().find(|tensor| tensor.name() == name);
        if let Some(tensor) = constant.or_else(stored) {
            return constant_of(tensor).ok()?.to_i64();
        }
        self.graph.lengths_of(self.around(name)?)?.iter().map(Length::as_number).collect()
    }

    /// The axes of a node, an input from some opset on and an attribute before.
    fn axes(&self, node: &NodeProto, input: usize) -> Option<Vec<i64>> {
        match node.input.get(input).filter(|name| !name.is_empty()) {
            Some(name) => self.numbers(name),
            None => attribute(node, "axes").map(|axes| axes.ints.clone()),
        }
    }

    /// The vector of which a value `[1]` is the element of this turn.
    fn element(&self, name: &str, turn: &str) -> Option<ValueId> {
        let vector = self.maker(name, "Unsqueeze")?;
        let element = self.maker(vector.input.first()?, "Gather")?;
        let is_of_turn = element.input.get(1)? == turn && number(element, "axis", 0) == 0;
        if is_of_turn && self.axes(vector, 1)? == [0] { self.around(element.input.first()?) } else { None }
    }

    /// Whether there is a further turn behind each.
    fn goes_on(&self, name: &str) -> bool {
        let copied = self.maker(name, "Cast").or_else(|| self.maker(name, "Identity"));
        let name = copied.and_then(|copied| copied.input.first()).map_or(name, String::as_str);
        self.body.input.get(1).is_some_and(|given| given.name() == name) || self.holds(name)
    }

    fn holds(&self, name: &str) -> bool {
        self.around(name).is_some_and(|value| truth(self.graph, value) == Some(true))
    }
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

fn number(node: &NodeProto, name: &str, absent: i64) -> i64 {
    attribute(node, name).map_or(absent, AttributeProto::i)
}

/// How many bags there are, if as many have an end and the types are those of bags.
fn fitting(graph: &Graph, bags: &Bags) -> Option<Length> {
    let shape = |value: ValueId| graph.tensor_type(value).map(|known| known.shape.as_slice());
    let count = single(graph, bags.count)?;
    let is_table = graph.tensor_type(bags.table)?.dtype.is_float() && shape(bags.table)?.len() == 2;
    let [ends] = shape(bags.ends)? else { return None };
    let are_vectors = shape(bags.places)?.len() == 1 && shape(bags.starts)?.len() == 1;
    (is_table && are_vectors && *ends == count).then_some(count)
}

/// The only length that a value holds.
fn single(graph: &Graph, value: ValueId) -> Option<Length> {
    match graph.lengths_of(value)?.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

/// How many rows each bag has, where all have as many: what begins is a range in such steps, in front of the number of all rows.
fn rows_of_each(graph: &Graph, bags: &Bags, count: &Length) -> Option<i64> {
    let joined = graph.producer(bags.starts).filter(|node| node.is("Concat") && node.inputs.len() == 2)?;
    let range = graph.producer(joined.input(0)?).filter(|node| node.is("Range"))?;
    let ends = graph.producer(bags.ends).filter(|node| node.is("Slice") && node.input(0) == Some(bags.starts))?;
    let number = |value: Option<ValueId>| single(graph, value?)?.as_number();
    let (start, step) = (number(range.input(0))?, number(range.input(2))?);
    let all = graph.tensor_type(bags.places)?.shape.first()?;
    let are_behind = number(ends.input(1)) == Some(1) && ends.input(4).is_none_or(|step| number(Some(step)) == Some(1));
    let is_whole = single(graph, joined.input(1)?)? == *all && count * Length::number(step) == *all;
    (start == 0 && step > 0 && are_behind && is_whole).then_some(step)
}

/// Adds nodes that are called after a loop.
struct Writer<'w, 'n> {
    graph: &'w mut Graph,
    names: &'w Names<'n>,
    place: String,
}

impl Writer<'_, '_> {
    /// Bags of as many rows each.
    fn of_one_length(&mut self, bags: &Bags, rows: i64) -> Result<ValueId, CompilerError> {
        let shape = self.constant("shape", Constant::i64([2], &[-1, rows]));
        let places = self.add("Reshape", &[bags.places, shape], "places")?;
        let rows = self.add("Gather", &[bags.table, places], "rows")?;
        self.reduce(bags.operator, rows, false, "made")
    }

    /// Bags of any length, as the product of which place is in which bag with the rows of all places.
    fn of_any_length(&mut self, bags: &Bags, count: &Length) -> Result<ValueId, CompilerError> {
        let dtype = self.graph.known_type(bags.table)?.dtype;
        let mut starts = bags.starts;
        if self.graph.shape(starts)? != std::slice::from_ref(count) {
            let number = self.positions(bags.count, "bags")?;
            starts = self.add("Gather", &[starts, number], "starts")?;
        }
        let all = self.add("Shape", &[bags.places], "count")?;
        let places = self.positions(all, "places")?;
        let [starts, ends] = [(starts, "start"), (bags.ends, "end")].map(|(value, name)| self.column(value, name));
        let not_begun = self.add("Less", &[places, starts?], "not_begun")?;
        let begun = self.add("Not", &[not_begun], "begun")?;
        let not_over = self.add("Less", &[places, ends?], "not_over")?;
        let within = self.add("And", &[begun, not_over], "within")?;
        let within = self.cast(within, dtype, "membership")?;
        let rows = self.add("Gather", &[bags.table, bags.places], "rows")?;
        if bags.operator == "ReduceSum" {
            return self.add("MatMul", &[within, rows], "made");
        }
        let sum = self.add("MatMul", &[within, rows], "sum")?;
        let counted = self.reduce("ReduceSum", within, true, "counted")?;
        let one = self.constant("one", Constant::number(dtype, 1.0));
        let count = self.add("Max", &[counted, one], "divisor")?;
        self.add("Div", &[sum, count], "made")
    }

    /// Whole numbers from 0 up to a count, as 64-bit integers.
    fn positions(&mut self, count: ValueId, name: &str) -> Result<ValueId, CompilerError> {
        let scalar = self.constant("scalar", Constant::i64([0], &[]));
        let limit = self.add("Reshape", &[count, scalar], "limit")?;
        let [start, step] = [0, 1].map(|value| self.constant("whole", Constant::i64([], &[value])));
        self.add("Range", &[start, limit, step], name)
    }

    /// A vector of whole numbers `[count]` as `[count, 1]` of 64 bits.
    fn column(&mut self, vector: ValueId, name: &str) -> Result<ValueId, CompilerError> {
        let wide = self.cast(vector, ElementType::I64, name)?;
        let axis = self.constant("axis", Constant::i64([1], &[1]));
        self.add("Unsqueeze", &[wide, axis], name)
    }

    /// Sums or averages over axis 1.
    fn reduce(&mut self, operator: &str, value: ValueId, keep: bool, name: &str) -> Result<ValueId, CompilerError> {
        let name = self.names.free(self.graph, &format!("{}/{name}", self.place));
        let keep = ("keepdims", i64::from(keep).into());
        if self.graph.opset < axes_input_since(operator) {
            return self.graph.append(operator, &[value], &[keep, ("axes", Attribute::Ints(vec![1]))], &name);
        }
        let axes = self.constant("axes", Constant::i64([1], &[1]));
        self.graph.append(operator, &[value, axes], &[keep], &name)
    }

    fn cast(&mut self, value: ValueId, dtype: ElementType, name: &str) -> Result<ValueId, CompilerError> {
        let name = self.names.free(self.graph, &format!("{}/{name}", self.place));
        self.graph.append("Cast", &[value], &[("to", i64::from(dtype.to_onnx()).into())], &name)
    }

    fn add(&mut self, operator: &str, inputs: &[ValueId], name: &str) -> Result<ValueId, CompilerError> {
        let name = self.names.free(self.graph, &format!("{}/{name}", self.place));
        self.graph.append(operator, inputs, &[], &name)
    }

    fn constant(&mut self, name: &str, constant: Constant) -> ValueId {
        let name = self.names.free(self.graph, &format!("{}/{name}", self.place));
        self.graph.named_constant(&name, constant)
    }
}
