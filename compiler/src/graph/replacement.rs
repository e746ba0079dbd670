//! Nodes in the place of others. However many are replaced, the nodes behind them are moved once.

use std::collections::{BTreeMap, HashMap};

use super::{Graph, Length, Node, ValueId};
use crate::CompilerError;

impl Graph {
    /// Puts the nodes that `build` adds in the place of a node. The values that it returns stand for the node's outputs,
    /// which keep their names; the graph is as it was after an error.
    pub(crate) fn replace_node(
        &mut self,
        at: usize,
        build: impl FnOnce(&mut Self, Node) -> Result<Vec<ValueId>, CompilerError>,
    ) -> Result<(), CompilerError> {
        let behind = self.nodes.split_off(at + 1);
        let computed_lengths = std::mem::take(&mut self.computed_lengths);
        let replaced = self.replace_last(build);
        self.put_back(at, behind, computed_lengths);
        replaced
    }

    /// As [`Graph::replace_node`] at several places, the last of which is replaced first. `places` are in order.
    ///
    /// # Errors
    /// The first of `build`, with its place: nodes in front of it are as they were.
    pub(crate) fn replace_from_last(
        &mut self,
        places: impl DoubleEndedIterator<Item = usize>,
        mut build: impl FnMut(&mut Self, Node) -> Result<Vec<ValueId>, CompilerError>,
    ) -> Result<(), (usize, CompilerError)> {
        let computed_lengths = std::mem::take(&mut self.computed_lengths);
        // the last first
        let mut behind = Vec::new();
        let (mut replaced, mut first) = (Ok(()), self.nodes.len());
        for at in places.rev() {
            behind.extend(self.nodes.drain(at + 1..).rev());
            first = at;
            replaced = self.replace_last(&mut build).map_err(|error| (at, error));
            if replaced.is_err() {
                break;
            }
            behind.extend(self.nodes.drain(at..).rev());
        }
        behind.reverse();
        self.put_back(first, behind, computed_lengths);
        replaced
    }

    /// Goes through the nodes in order, and lets those of which `chosen` tells something be replaced, as [`Graph::replace_node`] does.
    /// Both are given the graph up to the node.
    ///
    /// # Errors
    /// The first of `build`: nodes behind its place are as they were.
    pub(crate) fn replace_each<T>(
        &mut self,
        mut chosen: impl FnMut(&Self, &Node) -> Option<T>,
        mut build: impl FnMut(&mut Self, Node, T) -> Result<Vec<ValueId>, CompilerError>,
    ) -> Result<(), CompilerError> {
        let computed_lengths = std::mem::take(&mut self.computed_lengths);
        let mut nodes = self.take_nodes().into_iter();
        let mut replaced = Ok(());
        for node in nodes.by_ref() {
            let found = chosen(self, &node);
            self.push_node(node);
            if let Some(found) = found {
                replaced = self.replace_last(|graph, node| build(graph, node, found));
            }
            if replaced.is_err() {
                break;
            }
        }
        let first = self.nodes.len();
        self.put_back(first, nodes.collect(), computed_lengths);
        replaced
    }

    /// Lets the nodes from `first` on stand in front of others, so many of them at each place; of what has the same place the later
    /// stands first.
    pub(crate) fn move_added(&mut self, first: usize, places: &[(usize, usize)]) {
        let mut added = self.nodes.split_off(first).into_iter();
        let mut by_place: BTreeMap<usize, Vec<Vec<Node>>> = BTreeMap::new();
        for (count, place) in places {
            by_place.entry((*place).min(first)).or_default().push(added.by_ref().take(*count).collect());
        }
        let Some(least) = by_place.keys().next().copied() else { return };
        let behind = self.nodes.split_off(least);
        for (at, node) in behind.into_iter().enumerate() {
            self.nodes
                .extend(by_place.remove(&(least + at)).into_iter().flat_map(|own| own.into_iter().rev()).flatten());
            self.nodes.push(node);
        }
        self.nodes.extend(by_place.into_values().flat_map(|own| own.into_iter().rev()).flatten().chain(added));
        self.note_makers(least);
    }

    /// Replaces the last node.
    fn replace_last(
        &mut self,
        build: impl FnOnce(&mut Self, Node) -> Result<Vec<ValueId>, CompilerError>,
    ) -> Result<(), CompilerError> {
        let Some(node) = self.nodes.pop() else { return Ok(()) };
        let at = self.nodes.len();
        // nodes behind compute the lengths of before, and what is computed here serves this place alone
        self.computed_lengths.clear();
        let replaced = build(self, node.clone()).and_then(|made| self.stand_for(at, &node, &made));
        if replaced.is_err() {
            self.nodes.truncate(at);
            self.push_node(node);
        }
        replaced
    }

    /// Puts nodes at the end again, from which on places may have changed from `first` on.
    pub(super) fn put_back(
        &mut self,
        first: usize,
        behind: Vec<Node>,
        computed_lengths: HashMap<Vec<Length>, ValueId>,
    ) {
        self.nodes.extend(behind);
        self.computed_lengths = computed_lengths;
        self.note_makers(first);
    }

    /// Notes which values the nodes from `first` on make.
    pub(super) fn note_makers(&mut self, first: usize) {
        for (at, node) in self.nodes.iter().enumerate().skip(first) {
            node.outputs.iter().flatten().for_each(|output| self.values[output.0 as usize].maker = at);
        }
    }

    /// Lets the nodes from `at` on make the outputs of `node`.
    fn stand_for(&mut self, at: usize, node: &Node, made: &[ValueId]) -> Result<(), CompilerError> {
        let mut renamed = BTreeMap::new();
        for (index, output) in node.outputs.iter().enumerate() {
            let Some(output) = *output else { continue };
            let made = *made.get(index).ok_or_else(|| self.patch_error(output, "nothing stands for it".into()))?;
            let (wanted, got) = (self.tensor_type(output).cloned(), self.known_type(made)?.clone());
            if wanted.as_ref().is_some_and(|wanted| *wanted != got) {
                let wanted = wanted.map_or_else(String::new, |wanted| wanted.to_string());
                return Err(self.patch_error(output, format!("{got} stands for it, wanted {wanted}")));
            }
            self.values[output.0 as usize].tensor_type = Some(got);
            // one value for two outputs: it is called as the first by now
            let made = renamed.get(&made).copied().unwrap_or(made);
            let own = self.nodes[at..].iter().any(|inner| inner.outputs.contains(&Some(made)));
            let made = if own && !renamed.values().any(|taken| *taken == made) {
                made
            } else {
                self.add("Identity", &[made], &[])?
            };
            renamed.insert(made, output);
            let used = self.nodes[at..].iter_mut().flat_map(|node| node.inputs.iter_mut().chain(&mut node.outputs));
            used.filter(|value| **value == Some(made)).for_each(|value| *value = Some(output));
            self.note_makers(at);
        }
        for inner in self.nodes[at..].iter_mut().filter(|_| !node.name.is_empty()) {
            inner.name = format!("{}/{}", node.name, inner.name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;
    use crate::operators::OperatorCatalog;

    /// Ten steps of `Relu` and `Exp` in turn.
    fn steps() -> Graph {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let mut value = graph.input("x", TensorType::f32([2]));
        for step in 0..10 {
            value = graph.add(if step % 2 == 0 { "Relu" } else { "Exp" }, &[value], &[]).unwrap();
        }
        graph.set_outputs(&[value]);
        graph
    }

    fn twice(graph: &mut Graph, node: Node) -> Result<Vec<ValueId>, CompilerError> {
        let read = node.input(0).unwrap();
        let bent = graph.add("Tanh", &[read], &[])?;
        Ok(vec![graph.plus(bent, bent)?])
    }

    fn require_makers(graph: &Graph) {
        for (at, node) in graph.nodes().iter().enumerate() {
            for output in node.outputs.iter().flatten() {
                assert_eq!(graph.maker(*output), Some(at), "{node:?}");
            }
        }
    }

    #[test]
    fn many_nodes_are_replaced_as_they_are_one_after_another() {
        let places: Vec<usize> = (0..10).step_by(2).collect();
        let mut wanted = steps();
        places.iter().rev().for_each(|at| wanted.replace_node(*at, twice).unwrap());
        let mut from_last = steps();
        from_last.replace_from_last(places.iter().copied(), twice).unwrap();
        assert_eq!(from_last.to_onnx("steps"), wanted.to_onnx("steps"));
        let mut wanted = steps();
        (0..5).for_each(|step| wanted.replace_node(3 * step, twice).unwrap());
        let mut each = steps();
        each.replace_each(|_, node| node.is("Relu").then_some(()), |graph, node, ()| twice(graph, node)).unwrap();
        assert_eq!(each.to_onnx("steps"), wanted.to_onnx("steps"));
        for graph in [&wanted, &from_last, &each] {
            require_makers(graph);
        }
    }

    #[test]
    fn after_an_error_the_nodes_on_the_other_side_are_as_they_were() {
        let wrong = |graph: &mut Graph, node: Node| match graph.name(node.outputs[0].unwrap()) {
            "Relu_5" => {
                graph.add("Tanh", &[node.input(0).unwrap()], &[])?;
                Err(graph.patch_error(node.outputs[0].unwrap(), "wrong".into()))
            }
            _ => twice(graph, node),
        };
        let before = steps();
        let at = before.nodes().iter().position(|node| node.name == "Relu_5").unwrap();
        let mut graph = steps();
        let failed = graph.replace_from_last((0..10).step_by(2), wrong).unwrap_err().0;
        let told = |nodes: &[Node]| -> Vec<_> {
            let one =
                |node: &Node| (node.name.clone(), node.operator.clone(), node.inputs.clone(), node.outputs.clone());
            nodes.iter().map(one).collect()
        };
        assert_eq!((failed, told(&graph.nodes()[..=at])), (at, told(&before.nodes()[..=at])));
        require_makers(&graph);
        let mut graph = steps();
        graph.replace_each(|_, node| node.is("Relu").then_some(()), |graph, node, ()| wrong(graph, node)).unwrap_err();
        let behind = graph.nodes().len() - (10 - at);
        assert_eq!(told(&graph.nodes()[behind..]), told(&before.nodes()[at..]));
        require_makers(&graph);
    }

    #[test]
    fn what_is_added_at_the_end_is_moved_to_its_places() {
        let mut graph = steps();
        let made: Vec<ValueId> = [2, 5, 2].iter().map(|at| graph.nodes()[*at].outputs[0].unwrap()).collect();
        let added: Vec<ValueId> = made.iter().map(|value| graph.add("Neg", &[*value], &[]).unwrap()).collect();
        graph.move_added(10, &[(1, 3), (1, 6), (1, 3)]);
        let places: Vec<usize> = added.iter().map(|value| graph.maker(*value).unwrap()).collect();
        assert_eq!(places, [4, 8, 3]);
        require_makers(&graph);
    }
}
