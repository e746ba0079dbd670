//! Which bags of rows a loop goes through, as PyTorch's exporters write `EmbeddingBag`.

use std::collections::HashMap;

use super::constant_of;
use super::control_flow::{graph_of, truth};
use super::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto};
use super::scope::{Imported, Scope};
use crate::graph::{Constant, Graph, Length, ValueId, standard_domain};

/// So many nodes in a row may lie between a number and what it is a copy of.
const LONGEST: usize = 16;

/// What a loop makes a row of in each turn.
pub(super) struct Bags {
    pub(super) rows: Rows,
    /// Where among the rows each bag begins; there may be more of these than bags.
    pub(super) starts: ValueId,
    /// Where each bag ends; none where that is where the next one begins.
    pub(super) ends: Option<ValueId>,
    /// How many bags there are: one whole number.
    pub(super) count: ValueId,
    /// `ReduceMax`, `ReduceMean` or `ReduceSum`.
    pub(super) operator: &'static str,
    /// Whether the last bag, where it is not empty, counts as reaching to the end of all rows, wherever it ends: the largest is that of
    /// all these rows, and the average divides by their number.
    pub(super) last_reaches_all: bool,
    /// Which rows belong to no bag.
    pub(super) padding: Option<Padding>,
}

/// The rows that are left out of their bags.
#[derive(Clone, Copy)]
pub(super) struct Padding {
    /// Where in the table each row is taken from: `[places]`.
    pub(super) ids: ValueId,
    /// The place of the table that is left out, counted from its first row and from behind its last one.
    pub(super) left_out: [i64; 2],
}

/// The rows of all bags, one bag behind the other.
#[derive(Clone, Copy)]
pub(super) enum Rows {
    /// Those of a table `[rows, width]` at these places, each times a weight where there are weights.
    Of { table: ValueId, places: ValueId, weights: Option<ValueId> },
    /// A tensor `[places, width]`.
    Gathered(ValueId),
}

/// The bags of a loop, if it is one over bags, and whether it puts what it makes behind a sequence.
pub(super) fn bags_of<'a>(graph: &Graph, node: &'a NodeProto, scope: &Scope<'a, '_>) -> Option<(Bags, bool)> {
    let body = graph_of(node, "body").filter(|_| node.op_type() == "Loop")?;
    let mut turn = Turn { graph, body, scope, makers: HashMap::new(), stored: HashMap::new() };
    if !turn.gather(body) {
        return None;
    }
    turn.bags(node).map(|bags| (bags, false)).or_else(|| turn.listed(node).map(|bags| (bags, true)))
}

/// The graph of a loop, and what it reads around it.
struct Turn<'a, 's, 'o> {
    graph: &'s Graph,
    body: &'a GraphProto,
    scope: &'s Scope<'a, 'o>,
    /// Nodes by what they make, those of branches among them: no two values of a loop have one name.
    makers: HashMap<&'a str, &'a NodeProto>,
    /// Constants, in the same way.
    stored: HashMap<&'a str, &'a TensorProto>,
}

/// What the turns of a loop are told apart by that puts rows behind a sequence.
struct Counted<'a> {
    /// The number of a turn, and how many there are.
    turn: &'a str,
    count: ValueId,
    /// Where the bag of a turn begins and ends.
    start: &'a str,
    end: &'a str,
}

impl<'a> Turn<'a, '_, '_> {
    fn bags(&self, node: &NodeProto) -> Option<Bags> {
        let ([turn, _], [goes_on, made]) = (self.body.input.as_slice(), self.body.output.as_slice()) else {
            return None;
        };
        let reductions = ["ReduceMax", "ReduceMean", "ReduceSum"];
        let found = |operator: &'static str| self.maker(made.name(), operator).map(|node| (operator, node));
        let (operator, reduced) = reductions.into_iter().find_map(found)?;
        let given = reduced.input.first()?;
        let (rows, weights) = match self.maker(given, "Mul") {
            None => (self.maker(given, "Gather")?, None),
            Some(product) => {
                let column = self
                    .maker(product.input.get(1)?, "Unsqueeze")
                    .filter(|column| self.axes(column, 1) == Some(vec![1]))?;
                (self.maker(product.input.first()?, "Gather")?, Some(self.part(column.input.first()?)?))
            }
        };
        let part = self.part(rows.input.get(1)?)?;
        let begins = node.input.get(1).is_none_or(|name| name.is_empty() || self.holds(name));
        let is_whole = node.output.len() == 1 && !node.output[0].is_empty() && begins && self.goes_on(goes_on.name());
        let is_plain = self.axes(reduced, 1)? == [0]
            && number(reduced, "keepdims", 1) == 0
            && number(rows, "axis", 0) == 0
            && weights.is_none_or(|weights| weights.input.get(1..3) == part.input.get(1..3));
        let found = Bags {
            rows: Rows::Of {
                table: self.around(rows.input.first()?)?,
                places: self.around(part.input.first()?)?,
                weights: match weights {
                    Some(weights) => Some(self.around(weights.input.first()?)?),
                    None => None,
                },
            },
            starts: self.element(part.input.get(1)?, turn.name())?,
            ends: Some(self.element(part.input.get(2)?, turn.name())?),
            count: self.around(node.input.first()?)?,
            operator,
            last_reaches_all: false,
            padding: None,
        };
        (is_whole && is_plain).then_some(found)
    }

    /// The bags of a loop that puts a row behind a sequence in each turn, as the newer exporter writes them.
    fn listed(&self, node: &NodeProto) -> Option<Bags> {
        let ([_, _, list, turn], [goes_on, more, next]) = (self.body.input.as_slice(), self.body.output.as_slice())
        else {
            return None;
        };
        let [most, begins, empty, first] = node.input.as_slice() else { return None };
        let inserted = self.maker(more.name(), "SequenceInsert").filter(|made| made.input.len() == 2)?;
        let [before, row] = inserted.input.as_slice() else { return None };
        let [reached, limit] = self.maker(goes_on.name(), "Less")?.input.as_slice() else { return None };
        let count = self.around(limit)?;
        let is_counted = most.is_empty()
            && self.numbers(first)? == [0]
            && self.scope.find(empty).and_then(Imported::sequence).is_some_and(|members| members.is_empty())
            && self.has_first(begins, count)
            && before == list.name()
            && reached == next.name()
            && self.behind(next.name(), turn.name())? == 1;
        let bags = self.unpadded(row, turn.name(), count).or_else(|| self.padded(row, turn.name(), count))?;
        (is_counted && node.output.len() == 2).then_some(bags)
    }

    /// The bags of turns that make a row of all rows of a bag.
    fn unpadded(&self, row: &str, turn: &'a str, count: ValueId) -> Option<Bags> {
        let either = self.maker(row, "If")?;
        let [start, end] = self.maker(either.input.first()?, "Equal")?.input.as_slice() else { return None };
        let starts = self.shifted(start, turn, 0)?;
        let [without, with] = self.branches(either)?;
        let turns = Counted { turn, count, start, end };
        let (operator, rows, last_reaches_all) = self.reduction(with, &turns, starts)?;
        let is_whole = self.shifted(end, turn, 1)? == starts && self.is_zero(without);
        let bags =
            Bags { rows: Rows::Gathered(rows), starts, ends: None, count, operator, last_reaches_all, padding: None };
        is_whole.then_some(bags)
    }

    /// The bags of turns that make a row of those rows of a bag that a loop inside finds to be no padding (`padding_idx`).
    fn padded(&self, row: &str, turn: &str, count: ValueId) -> Option<Bags> {
        let either = self.maker(row, "If")?;
        let [found, none] = self.maker(either.input.first()?, "Equal")?.input.as_slice() else { return None };
        let kept = self.maker(found, "Size")?.input.first()?;
        let [without, with] = self.branches(either)?;
        let mut reductions = ["ReduceMax", "ReduceMean", "ReduceSum"].into_iter();
        let (operator, part) = reductions.find_map(|operator| Some((operator, self.reduced(with, operator)?)))?;
        let gathered = self.maker(part, "Gather").filter(|gathered| number(gathered, "axis", 0) == 0)?;
        let [rows, places] = gathered.input.as_slice() else { return None };
        let (starts, padding) = self.places_without_padding(kept, turn)?;
        let is_whole = places == kept && self.numbers(none)? == [0] && self.is_zero(without);
        let rows = Rows::Gathered(self.around(rows)?);
        let padding = Some(padding);
        is_whole.then_some(Bags { rows, starts, ends: None, count, operator, last_reaches_all: false, padding })
    }

    /// Where bags begin, and what the loop leaves out that puts the places of a turn's bag behind each other in `kept`.
    fn places_without_padding(&self, kept: &str, turn: &str) -> Option<(ValueId, Padding)> {
        let places = self.maker(kept, "Loop")?;
        let at = places.output.iter().position(|output| output == kept)?;
        let body = graph_of(places, "body")?;
        let ([_, _, carried @ ..], [goes_on, next @ ..]) = (body.input.as_slice(), body.output.as_slice()) else {
            return None;
        };
        let [most, begins, first @ ..] = places.input.as_slice() else { return None };
        if carried.len() != 2 || next.len() != 2 || first.len() != 2 || places.output.len() != 2 || !most.is_empty() {
            return None;
        }
        let (so_far, place) = (carried[at].name(), carried[1 - at].name());
        let (more, next_place) = (next[at].name(), next[1 - at].name());
        let [start, end] = self.maker(begins, "Less")?.input.as_slice() else { return None };
        let [reached, limit] = self.maker(goes_on.name(), "Less")?.input.as_slice() else { return None };
        let starts = self.entry(start, turn, 0)?;
        let goes_through_bag = self.entry(end, turn, 1)? == starts
            && self.is_nothing(&first[at])
            && first[1 - at] == *start
            && reached == next_place
            && limit == end
            && self.behind(next_place, place)? == 1;
        let either = self.maker(more, "If")?;
        let [with, without] = self.branches(either)?;
        let longer = self.maker(with, "Concat").filter(|longer| number(longer, "axis", 0) == 0)?;
        let [before, added] = longer.input.as_slice() else { return None };
        let puts_behind = before == so_far && self.behind(added, place)? == 0 && self.plain(without) == so_far;
        let is_padding = self.maker(self.maker(either.input.first()?, "Not")?.input.first()?, "Equal")?;
        let [told, left_out] = is_padding.input.as_slice() else { return None };
        let (id, length) = self.place_from_front(told)?;
        let [ids, read] = self.maker(id, "Gather").filter(|id| number(id, "axis", 0) == 0)?.input.as_slice() else {
            return None;
        };
        let left_out = self.only(left_out)?;
        let is_own = body.input.iter().any(|input| input.name() == ids);
        let is_whole = goes_through_bag && puts_behind && read == place && !is_own && (0..length).contains(&left_out);
        let padding = Padding { ids: self.around(ids)?, left_out: [left_out, left_out - length] };
        is_whole.then_some((starts, padding))
    }

    /// The number that a value is where it is not negative, and what is added to it where it is.
    fn place_from_front(&self, name: &str) -> Option<(&'a str, i64)> {
        let either = self.maker(name, "If")?;
        let [id, zero] = self.maker(either.input.first()?, "Less")?.input.as_slice() else { return None };
        let [below, other] = self.branches(either)?;
        let [negative, more] = self.maker(below, "Add")?.input.as_slice() else { return None };
        let length = self.only(more)?;
        let is_whole = self.numbers(zero)? == [0] && negative == id && self.plain(other) == id;
        is_whole.then_some((id.as_str(), length))
    }

    /// The vector of which a number is the element so far behind that of this turn.
    fn entry(&self, name: &str, turn: &str, by: i64) -> Option<ValueId> {
        let element = self.maker(name, "Gather").filter(|element| number(element, "axis", 0) == 0)?;
        let [vector, place] = element.input.as_slice() else { return None };
        if self.behind(place, turn)? == by { self.around(vector) } else { None }
    }

    /// How a row is made of those of a bag, the rows of all bags, and whether the last bag reaches to their end. Of the last bag the
    /// average and the largest are written in a way of their own, which is the same where it ends behind all rows.
    fn reduction(&self, name: &str, turns: &Counted<'_>, starts: ValueId) -> Option<(&'static str, ValueId, bool)> {
        if let Some(part) = self.reduced(name, "ReduceSum") {
            return Some(("ReduceSum", self.rows_of(part, turns)?, false));
        }
        let (operator, rows) = match self.reduced(name, "ReduceMax") {
            Some(part) => match self.by_last(part, turns) {
                None => return Some(("ReduceMax", self.rows_of(part, turns)?, false)),
                Some([last, other]) => {
                    let (rows, last) = (self.rows_of(other, turns)?, self.part(last)?);
                    let all = self.graph.tensor_type(rows)?.shape.first()?;
                    let is_last = self.around(last.input.first()?)? == rows
                        && last.input.get(1)? == turns.start
                        && self.is_all(last.input.get(2)?, all);
                    (is_last.then_some("ReduceMax")?, rows)
                }
            },
            None => {
                let [last, other] = self.by_last(name, turns)?;
                let rows = self.rows_of(self.reduced(other, "ReduceMean")?, turns)?;
                let all = self.graph.tensor_type(rows)?.shape.first()?;
                // asked whether it has rows at all, which is known here
                let last =
                    self.maker(last, "If").and_then(|either| self.branches(either)).map_or(last, |[some, _]| some);
                let [sum, divisor] = self.maker(last, "Div")?.input.as_slice() else { return None };
                let [end, start] = self.maker(self.plain(divisor), "Sub")?.input.as_slice() else { return None };
                let is_last = self.rows_of(self.reduced(sum, "ReduceSum")?, turns)? == rows
                    && self.is_all(end, all)
                    && start == turns.start;
                (is_last.then_some("ReduceMean")?, rows)
            }
        };
        let joined = self.graph.producer(starts).filter(|node| node.is("Concat") && node.inputs.len() == 2);
        let all = self.graph.tensor_type(rows)?.shape.first()?;
        let end = joined.and_then(|joined| single(self.graph, joined.input(1)?));
        Some((operator, rows, end.is_none_or(|end| end != *all)))
    }

    /// What an operator reduces over its first axis, which stays.
    fn reduced(&self, name: &str, operator: &str) -> Option<&'a str> {
        let reduced = self.maker(name, operator)?;
        let is_first = self.axes(reduced, 1)? == [0] && number(reduced, "keepdims", 1) == 1;
        if is_first { reduced.input.first().map(String::as_str) } else { None }
    }

    /// The tensor of which a value is the part of this turn's bag.
    fn rows_of(&self, name: &str, turns: &Counted<'_>) -> Option<ValueId> {
        let part = self.part(name)?;
        let is_of_bag = part.input.get(1)? == turns.start && part.input.get(2)? == turns.end;
        if is_of_bag { self.around(part.input.first()?) } else { None }
    }

    /// What a value is in the last turn, and in the others.
    fn by_last(&self, name: &str, turns: &Counted<'_>) -> Option<[&'a str; 2]> {
        let either = self.maker(name, "If")?;
        let [turn, last] = self.maker(either.input.first()?, "Equal")?.input.as_slice() else { return None };
        let [count, one] = self.maker(last, "Sub")?.input.as_slice() else { return None };
        let is_last =
            turn == turns.turn && self.are_equal(self.around(count)?, turns.count) && self.numbers(one)? == [1];
        if is_last { self.branches(either) } else { None }
    }

    /// What both branches make.
    fn branches(&self, either: &'a NodeProto) -> Option<[&'a str; 2]> {
        let made = |branch: &str| graph_of(either, branch)?.output.first().map(|output| output.name());
        Some([made("then_branch")?, made("else_branch")?])
    }

    /// Whether there is a first turn wherever there are bags.
    fn has_first(&self, begins: &str, count: ValueId) -> bool {
        let compared =
            self.around(begins).and_then(|begins| self.graph.producer(begins)).filter(|node| node.is("Less"));
        self.holds(begins)
            || compared.is_some_and(|less| {
                let first = less.input(0).and_then(|first| single(self.graph, first));
                first.is_some_and(|first| first == 0) && less.input(1).is_some_and(|end| self.are_equal(end, count))
            })
    }

    fn are_equal(&self, a: ValueId, b: ValueId) -> bool {
        let length = single(self.graph, a);
        a == b || length.is_some() && length == single(self.graph, b)
    }

    /// Whether a whole number is that of all rows.
    fn is_all(&self, name: &str, all: &Length) -> bool {
        let measured = || {
            let shape = self.maker(self.plain(name), "Shape")?;
            let is_first = number(shape, "start", 0) == 0 && number(shape, "end", 0) == 1;
            let known = self.graph.tensor_type(self.around(shape.input.first()?)?)?;
            known.shape.first().cloned().filter(|_| is_first)
        };
        let told = self.around(name).and_then(|value| single(self.graph, value)).or_else(measured);
        told.is_some_and(|told| told == *all)
    }

    /// The vector of which a value `[1]` is the element so far behind that of this turn.
    fn shifted(&self, name: &str, turn: &str, by: i64) -> Option<ValueId> {
        let part = self.part(name)?;
        let is_there = self.behind(part.input.get(1)?, turn)? == by && self.behind(part.input.get(2)?, turn)? == by + 1;
        if is_there { self.around(part.input.first()?) } else { None }
    }

    /// How much more than the number of this turn a whole number is.
    fn behind(&self, name: &str, turn: &str) -> Option<i64> {
        let (mut name, mut by) = (name, 0);
        for _ in 0..LONGEST {
            if name == turn {
                return Some(by);
            }
            let node = self.makers.get(name).copied()?;
            match node.op_type() {
                "Add" => match self.numbers(node.input.get(1)?)?.as_slice() {
                    [more] => by = by.checked_add(*more)?,
                    _ => return None,
                },
                "Cast" | "CastLike" | "Identity" | "Reshape" | "Unsqueeze" => {}
                _ => return None,
            }
            name = node.input.first()?;
        }
        None
    }

    /// A slice along the first axis, element by element.
    fn part(&self, name: &str) -> Option<&'a NodeProto> {
        let part = self.maker(name, "Slice")?;
        let holds = |at: usize, wanted: i64| {
            let given = part.input.get(at).filter(|name| !name.is_empty());
            given.is_none_or(|name| self.numbers(name).is_some_and(|found| found == [wanted]))
        };
        (holds(3, 0) && holds(4, 1)).then_some(part)
    }

    /// Takes in what a graph and the graphs inside of it make and hold; whether no two values have one name.
    fn gather(&mut self, graph: &'a GraphProto) -> bool {
        let stored = graph.initializer.iter().all(|tensor| self.stored.insert(tensor.name(), tensor).is_none());
        stored
            && graph.node.iter().all(|node| {
                let mut names = node.output.iter().filter(|name| !name.is_empty());
                let mut inner = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref());
                names.all(|name| self.makers.insert(name, node).is_none()) && inner.all(|inner| self.gather(inner))
            })
    }

    /// The value that only another element type or another name was given to.
    fn plain<'n>(&self, name: &'n str) -> &'n str
    where
        'a: 'n,
    {
        let mut name = name;
        for _ in 0..LONGEST {
            match ["Cast", "CastLike", "Identity"].iter().find_map(|copy| self.maker(name, copy)?.input.first()) {
                Some(before) => name = before,
                None => break,
            }
        }
        name
    }

    fn maker(&self, name: &str, operator: &str) -> Option<&'a NodeProto> {
        let node = self.makers.get(name).copied()?;
        (node.op_type() == operator && standard_domain(node.domain()).is_empty()).then_some(node)
    }

    /// A value that is made around the loop.
    fn around(&self, name: &str) -> Option<ValueId> {
        let is_own = self.makers.contains_key(name)
            || self.stored.contains_key(name)
            || self.body.input.iter().any(|input| input.name() == name);
        if is_own { None } else { self.scope.find(name).and_then(Imported::tensor) }
    }

    /// The whole numbers that a value always holds.
    fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        let name = self.plain(name);
        if let Some(constant) = self.constant(name) {
            return constant.to_i64();
        }
        self.graph.lengths_of(self.around(name)?)?.iter().map(Length::as_number).collect()
    }

    /// The only whole number that a value always holds.
    fn only(&self, name: &str) -> Option<i64> {
        match self.numbers(name)?.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }

    /// Whether a vector is without elements: one of the file, or the lengths of no axes.
    fn is_nothing(&self, name: &str) -> bool {
        let of_no_axes = |shape: &NodeProto| number(shape, "start", 0) == 0 && number(shape, "end", -1) == 0;
        self.maker(name, "Shape").is_some_and(of_no_axes) || self.numbers(name).is_some_and(|all| all.is_empty())
    }

    /// What a value of the loop's own always is.
    fn constant(&self, name: &str) -> Option<Constant> {
        let made = self.maker(name, "Constant").and_then(|node| attribute(node, "value")?.t.as_ref());
        constant_of(made.or_else(|| self.stored.get(name).copied())?).ok()
    }

    /// Whether a value is nothing but zeros.
    fn is_zero(&self, name: &str) -> bool {
        let name = self.maker(name, "Expand").and_then(|node| node.input.first()).map_or(name, String::as_str);
        let zeros =
            |constant: &Constant| constant.to_f32().is_some_and(|values| values.iter().all(|value| *value == 0.0));
        let around = || self.around(name).and_then(|value| self.graph.constant_of(value));
        self.constant(name).as_ref().or_else(around).is_some_and(zeros)
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

/// The only length that a value holds.
pub(super) fn single(graph: &Graph, value: ValueId) -> Option<Length> {
    match graph.lengths_of(value)?.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}
