//! The inputs of several graphs as those of one.

use std::collections::HashMap;

use crate::CompilerError;
use crate::graph::{Graph, Length, TensorType, ValueId};
use millstream_schemas::shown;

/// What the inputs of several graphs are in a joined one.
pub(super) struct SharedInputs {
    /// By graph: what each of its inputs is there.
    pub(super) inputs: Vec<HashMap<ValueId, ValueId>>,
    /// By graph: what the lengths are that its inputs name.
    pub(super) lengths: Vec<HashMap<String, Length>>,
    /// What is worth knowing, in words.
    pub(super) notes: Vec<String>,
}

/// Inputs of several graphs that are one.
struct Group {
    /// As the members call them.
    name: String,
    /// As the joined one is called.
    called: String,
    members: Vec<(usize, ValueId)>,
}

/// Adds an input for those of one name and type; where names of lengths differ, the first one's stands. One whose type is another than that
/// of an earlier one of its name becomes an input of its own. Notes call the graphs as `called` does.
///
/// # Errors
/// What is as long by one input is longer by another.
pub(super) fn share(graphs: &[Graph], called: &[&str], joined: &mut Graph) -> Result<SharedInputs, CompilerError> {
    let (mut groups, mut notes): (Vec<Group>, Vec<String>) = (Vec::new(), Vec::new());
    for (at, graph) in graphs.iter().enumerate() {
        for input in graph.inputs() {
            let name = graph.name(*input);
            let fits = |group: &&mut Group| {
                let is_one = |(other, value): &(usize, ValueId)| {
                    may_be_one(graph.tensor_type(*input), graphs[*other].tensor_type(*value))
                };
                group.name == name && group.members.iter().all(is_one)
            };
            if let Some(group) = groups.iter_mut().find(fits) {
                group.members.push((at, *input));
                continue;
            }
            let is_taken = groups.iter().any(|group| group.name == name);
            if is_taken {
                notes.push(format!(
                    "input `{0}` of {1} is of another type than that of an earlier one, and is called `m{at}/{0}`",
                    shown(name),
                    called[at]
                ));
            }
            let called = if is_taken { format!("m{at}/{name}") } else { name.to_owned() };
            groups.push(Group { name: name.to_owned(), called, members: vec![(at, *input)] });
        }
    }
    let lengths = same_lengths(graphs, &groups)?;
    let mut inputs: Vec<HashMap<ValueId, ValueId>> = vec![HashMap::new(); graphs.len()];
    for group in &groups {
        let known = group.members.iter().find_map(|(at, value)| Some((at, graphs[*at].tensor_type(*value)?)));
        let known = known.map(|(at, known)| known.with(&|name| lengths[*at].get(name).cloned()));
        let made = joined.untyped_input(&joined.free_name(&group.called), known);
        group.members.iter().for_each(|(at, value)| {
            inputs[*at].insert(*value, made);
        });
    }
    Ok(SharedInputs { inputs, lengths, notes })
}

/// Whether two types can be those of one tensor.
fn may_be_one(a: Option<&TensorType>, b: Option<&TensorType>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    let fits = |(a, b): (&Length, &Length)| a.as_number().zip(b.as_number()).is_none_or(|(a, b)| a == b);
    a.dtype == b.dtype && a.shape.len() == b.shape.len() && a.shape.iter().zip(&b.shape).all(fits)
}

/// Names of lengths, which stand for one another where they are lengths of one axis.
#[derive(Default)]
struct Names {
    numbers: HashMap<(usize, String), usize>,
    /// Of each the one that it is the same as, itself where it stands for others.
    same_as: Vec<usize>,
    /// Of what stands for others, where it is known.
    lengths: Vec<Option<i64>>,
}

impl Names {
    fn number(&mut self, graph: usize, name: &str) -> usize {
        let next = self.same_as.len();
        let number = *self.numbers.entry((graph, name.to_owned())).or_insert(next);
        if number == next {
            self.same_as.push(next);
            self.lengths.push(None);
        }
        number
    }

    fn first(&self, mut number: usize) -> usize {
        while self.same_as[number] != number {
            number = self.same_as[number];
        }
        number
    }

    /// Lets two be one; none where they are of different lengths.
    fn unite(&mut self, a: usize, b: usize) -> Option<()> {
        let (a, b) = (self.first(a), self.first(b));
        let (first, other) = (a.min(b), a.max(b));
        self.same_as[other] = first;
        match self.lengths[other] {
            Some(length) => self.set(first, length),
            None => Some(()),
        }
    }

    fn set(&mut self, number: usize, length: i64) -> Option<()> {
        let first = self.first(number);
        (*self.lengths[first].get_or_insert(length) == length).then_some(())
    }
}

/// What the names of lengths are, by graph.
fn same_lengths(graphs: &[Graph], groups: &[Group]) -> Result<Vec<HashMap<String, Length>>, CompilerError> {
    let mut names = Names::default();
    for group in groups {
        let types = group.members.iter().filter_map(|(at, value)| Some((*at, graphs[*at].tensor_type(*value)?)));
        let types: Vec<(usize, &TensorType)> = types.collect();
        for axis in 0..types.first().map_or(0, |(_, known)| known.shape.len()) {
            let (mut united, mut number) = (None, None);
            let mut fits = Some(());
            for (at, known) in &types {
                let length = &known.shape[axis];
                if let Some(name) = length.name() {
                    let own = names.number(*at, name);
                    let first = *united.get_or_insert(own);
                    fits = fits.and(names.unite(first, own));
                }
                number = number.or(length.as_number());
            }
            if let (Some(united), Some(number)) = (united, number) {
                fits = fits.and(names.set(united, number));
            }
            if fits.is_none() {
                return Err(CompilerError::Selection(format!(
                    "axis {axis} of input `{}` is as long as others in one member and longer in another; export them with lengths of the same \
                     names",
                    shown(&group.name)
                )));
            }
        }
    }
    // two that are not the same keep two names
    let mut order: Vec<(&(usize, String), usize)> = names.numbers.iter().map(|(key, number)| (key, *number)).collect();
    order.sort_unstable_by_key(|(_, number)| *number);
    let (mut called, mut taken): (HashMap<usize, Length>, Vec<String>) = (HashMap::new(), Vec::new());
    let mut lengths: Vec<HashMap<String, Length>> = vec![HashMap::new(); graphs.len()];
    for ((graph, name), number) in order {
        let first = names.first(number);
        let length = called.entry(first).or_insert_with(|| match names.lengths[first] {
            Some(length) => Length::number(length),
            None => {
                let numbered = (2..).map(|number| format!("{name}.{number}"));
                let mut all = std::iter::once(name.clone()).chain(numbered);
                let free = all.find(|name| !taken.contains(name)).expect("numbers do not end");
                taken.push(free.clone());
                Length::named(&free)
            }
        });
        lengths[*graph].insert(name.clone(), length.clone());
    }
    Ok(lengths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ElementType;
    use crate::operators::OperatorCatalog;

    const NAMES: [&str; 4] = ["member a", "member b", "member c", "member d"];

    fn of(inputs: &[(&str, TensorType)]) -> Graph {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        for (name, known) in inputs {
            graph.input(name, known.clone());
        }
        graph
    }

    fn shared(graphs: &[Graph]) -> Result<(Vec<String>, SharedInputs), CompilerError> {
        let mut joined = Graph::new(17, OperatorCatalog::standard());
        let shared = share(graphs, &NAMES[..graphs.len()], &mut joined)?;
        let told = |input: &ValueId| format!("{} {}", joined.name(*input), joined.tensor_type(*input).unwrap());
        Ok((joined.inputs().iter().map(told).collect(), shared))
    }

    fn open(names: &[&str]) -> TensorType {
        TensorType::new(
            ElementType::I64,
            names.iter().map(|name| name.parse().map_or(Length::named(name), Length::number)),
        )
    }

    #[test]
    fn inputs_of_one_name_and_type_are_one() {
        let graphs = [
            of(&[("ids", open(&["batch", "sequence"])), ("mask", open(&["batch", "sequence"]))]),
            of(&[("mask", open(&["N", "T"])), ("ids", open(&["N", "T"]))]),
            of(&[("ids", open(&["batch", "16"])), ("image", TensorType::f32([Length::named("batch"), 3.into()]))]),
        ];
        let (inputs, shared) = shared(&graphs).unwrap();
        assert_eq!(inputs, ["ids int64 [batch, 16]", "mask int64 [batch, 16]", "image float32 [batch, 3]"]);
        assert_eq!((shared.inputs[1].len(), shared.lengths[1]["N"].to_string()), (2, "batch".into()));
        assert_eq!((shared.lengths[0]["sequence"].clone(), shared.notes.len()), (16.into(), 0));
    }

    #[test]
    fn an_input_fits_all_that_it_is_joined_with_and_later_ones_join_those_that_were_renamed() {
        let graphs = [
            of(&[("x", open(&["n"]))]),
            of(&[("x", open(&["16"]))]),
            of(&[("x", open(&["32"]))]),
            of(&[("x", open(&["32"]))]),
        ];
        let (inputs, shared) = shared(&graphs).unwrap();
        assert_eq!((inputs, shared.notes.len()), (vec!["x int64 [16]".to_owned(), "m2/x int64 [32]".to_owned()], 1));
        let ranks = [&["2", "3"][..], &["2", "3", "4"]].map(|lengths| of(&[("x", open(lengths))]));
        let mut untyped = of(&[]);
        untyped.untyped_input("x", None);
        let mut joined = Graph::new(17, OperatorCatalog::standard());
        share(&[untyped, ranks[1].clone(), ranks[0].clone()], &NAMES[..3], &mut joined).unwrap();
        assert_eq!(joined.inputs().len(), 2);
    }

    #[test]
    fn what_has_nothing_in_common_stays_apart() {
        let graphs = [
            of(&[("x", open(&["n"]))]),
            of(&[("x", TensorType::f32([Length::named("n")]))]),
            of(&[("y", open(&["n"]))]),
        ];
        let (inputs, shared) = shared(&graphs).unwrap();
        assert_eq!(inputs, ["x int64 [n]", "m1/x float32 [n.2]", "y int64 [n.3]"]);
        assert!(shared.notes[0].contains("`x` of member b is of another type"), "{:?}", shared.notes);
        let one_length = of(&[("a", open(&["n"])), ("b", open(&["n"]))]);
        let two_lengths = of(&[("a", open(&["3"])), ("b", open(&["4"]))]);
        let message = self::shared(&[one_length, two_lengths]).err().unwrap().to_string();
        assert!(message.contains("axis 0 of input `b` is as long as others"), "{message}");
    }
}
