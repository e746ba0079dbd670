//! What names stand for at a place of a file: in its graph, in a function, a branch or a turn of a loop.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::onnx::{AttributeProto, GraphProto};
use crate::graph::{Graph, ValueId};

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Imported {
    /// A value of the graph.
    Tensor(ValueId),
    /// A sequence of values, whose length is known.
    Sequence(Rc<[ValueId]>),
    /// A sequence of which only this is known: its tensors joined along the first axis.
    Joined(ValueId),
    /// An optional value that is not there.
    Nothing,
    /// Strings, maps or sequences of the data, or what is made of them: left aside.
    Aside,
}

impl Imported {
    pub(super) fn tensor(&self) -> Option<ValueId> {
        match self {
            Self::Tensor(value) => Some(*value),
            Self::Sequence(_) | Self::Joined(_) | Self::Nothing | Self::Aside => None,
        }
    }

    pub(super) fn sequence(&self) -> Option<&Rc<[ValueId]>> {
        match self {
            Self::Sequence(values) => Some(values),
            Self::Tensor(_) | Self::Joined(_) | Self::Nothing | Self::Aside => None,
        }
    }

    pub(super) fn is_sequence(&self) -> bool {
        matches!(self, Self::Sequence(_) | Self::Joined(_))
    }

    pub(super) fn is_aside(&self) -> bool {
        matches!(self, Self::Aside)
    }
}

/// What the nodes inside a node are called.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// In front of their names: the node's own and, for a loop, the turn.
    pub(super) prefix: String,
    /// As `prefix`, the same for all turns of a loop; none outside of loops.
    pub(super) of_all_turns: Option<String>,
}

impl Place {
    /// Inside a node of this name.
    pub(super) fn inside(&self, node: &str) -> Self {
        let of_all_turns = self.of_all_turns.as_ref().map(|place| format!("{place}{node}/"));
        Self { prefix: format!("{}{node}/", self.prefix), of_all_turns }
    }

    /// Inside a turn of a loop of this name.
    pub(super) fn turn(&self, node: &str, turn: usize) -> Self {
        let around = self.of_all_turns.as_ref().unwrap_or(&self.prefix);
        let of_all_turns = Some(format!("{around}{node}/"));
        Self { prefix: format!("{}{node}/{turn}/", self.prefix), of_all_turns }
    }
}

/// The attributes that a function was called with.
pub(super) type Given<'a> = Rc<HashMap<&'a str, &'a AttributeProto>>;

/// The names of one place.
pub(super) struct Scope<'a, 's> {
    /// The place around a branch or a turn, whose names are seen too.
    outer: Option<&'s Scope<'a, 's>>,
    values: HashMap<&'a str, Imported>,
    /// What some of its values are called outside.
    pub(super) called: HashMap<&'a str, String>,
    pub(super) place: Place,
    /// Whether it is that of a graph which a node keeps: a graph of its own, whose names are its own.
    is_kept: bool,
    /// Version of the standard operators that its nodes follow.
    pub(super) opset: i64,
    given: Given<'a>,
}

impl<'a, 's> Scope<'a, 's> {
    /// The file's own graph.
    pub(super) fn file(opset: i64) -> Self {
        Self {
            outer: None,
            values: HashMap::new(),
            called: HashMap::new(),
            place: Place::default(),
            is_kept: false,
            opset,
            given: Given::default(),
        }
    }

    /// A graph that a node keeps: it sees no names but its own, and those that it is told.
    pub(super) fn kept(around: &Scope<'a, '_>) -> Self {
        Self { is_kept: true, given: Rc::clone(&around.given), ..Self::file(around.opset) }
    }

    /// A function: it sees no names but its own.
    pub(super) fn function(place: Place, opset: i64, given: Given<'a>) -> Self {
        Self { place, given, ..Self::file(opset) }
    }

    /// A branch, or a turn of a loop.
    pub(super) fn within(outer: &'s Scope<'a, 's>, place: Place) -> Self {
        Self { outer: Some(outer), place, given: Rc::clone(&outer.given), ..Self::file(outer.opset) }
    }

    /// Whether it is the file's own graph.
    pub(super) fn is_file(&self) -> bool {
        self.place.prefix.is_empty() && !self.is_kept
    }

    pub(super) fn insert(&mut self, name: &'a str, value: Imported) {
        self.values.insert(name, value);
    }

    pub(super) fn find(&self, name: &str) -> Option<&Imported> {
        let mut scope = self;
        loop {
            match (scope.values.get(name), scope.outer) {
                (Some(found), _) => return Some(found),
                (None, Some(outer)) => scope = outer,
                (None, None) => return None,
            }
        }
    }

    /// The attribute itself, or the one of the function around it that it names.
    pub(super) fn attribute(&self, proto: &'a AttributeProto) -> Option<&'a AttributeProto> {
        if proto.ref_attr_name().is_empty() { Some(proto) } else { self.given.get(proto.ref_attr_name()).copied() }
    }
}

/// Bytes of a name that is made up here: a file may have any, and they are repeated.
const MOST_LETTERS: usize = 512;

/// Names for what the file does not name.
pub(super) struct Names<'a> {
    /// Those of the file's own graph, which keeps them.
    own: HashSet<&'a str>,
    /// Behind names that are taken: counted on, since files may name any number of nodes alike.
    number: Cell<usize>,
}

impl<'a> Names<'a> {
    pub(super) fn of(file: &'a GraphProto) -> Self {
        let nodes = file.node.iter().flat_map(|node| node.output.iter().map(String::as_str));
        let inputs = file.input.iter().map(|input| input.name());
        let constants = file.initializer.iter().map(|tensor| tensor.name());
        Self { own: nodes.chain(inputs).chain(constants).collect(), number: Cell::new(1) }
    }

    /// The name, or with a number behind it where another value has it or will have it.
    pub(super) fn free(&self, graph: &Graph, wanted: &str) -> String {
        let wanted = &wanted[..wanted.floor_char_boundary(MOST_LETTERS)];
        let mut name = wanted.to_owned();
        while graph.is_taken(&name) || self.own.contains(name.as_str()) {
            self.number.set(self.number.get() + 1);
            name = format!("{wanted}_{}", self.number.get());
        }
        name
    }
}
