use super::methods::{Added, MergedWeight, Method, MethodModel};
use super::{Head, Layer};
use crate::CompilerError;
use crate::graph::Graph;
use millstream_schemas::{count, shown};

/// A model with what methods have added to it.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) graph: Graph,
    /// Without what can be merged. Its values are those of the graph.
    pub(crate) merged: Graph,
    pub(crate) merges: Vec<MergedWeight>,
    /// What was added, to be trained.
    pub(crate) layers: Vec<Layer>,
    pub(crate) notes: Vec<String>,
}

impl Applied {
    /// What cannot be merged is added first, in the order of the methods, so that the model without the rest is a part of
    /// the whole.
    pub(crate) fn of(
        methods: &[Method],
        base: &Graph,
        layers: &[Layer],
        head: Option<&Head>,
        seed: u64,
    ) -> Result<Self, CompilerError> {
        let add = |graph: &mut Graph, method: &Method| method.add(&mut MethodModel { graph, layers, head, seed });
        let mut tried = base.clone();
        let mut stays = Vec::with_capacity(methods.len());
        for method in methods {
            stays.push(add(&mut tried, method)?.merged.is_none());
        }
        let all = || methods.iter().zip(&stays);
        let mut graph = base.clone();
        let mut added: Vec<(&Method, Added)> = Vec::new();
        for (method, _) in all().filter(|(_, stays)| **stays) {
            added.push((method, add(&mut graph, method)?));
        }
        let merged = graph.clone();
        for (method, _) in all().filter(|(_, stays)| !**stays) {
            added.push((method, add(&mut graph, method)?));
        }
        let mut applied = Self { graph, merged, merges: Vec::new(), layers: Vec::new(), notes: Vec::new() };
        for (method, added) in added {
            let numbers: usize = added.layers.iter().map(Layer::parameters).sum();
            let first = added.adapted.first().map_or_else(String::new, |first| format!(", `{}` first", shown(first)));
            applied.notes.push(format!(
                "`{}` adds {} beside {}{first}",
                method.choice().name,
                count(numbers as u64, "number"),
                count(added.adapted.len() as u64, "layer")
            ));
            applied.notes.extend(added.notes);
            applied.layers.extend(added.layers);
            applied.merges.extend(added.merged.into_iter().flatten());
        }
        Ok(applied)
    }
}
