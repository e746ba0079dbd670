//! The mean of the weights of models that are the same but for their weights.

use std::collections::{BTreeMap, HashMap};

use millstream_schemas::shown;

use super::fuse::Member;
use crate::CompilerError;
use crate::graph::{Attribute, Constant, ElementType, Graph, Node, ValueId};
use crate::model_file::{Header, Model, OnnxFile};
use crate::operators::OperatorCatalog;
use crate::trained_adapters::METADATA as ADAPTERS;

/// What BatchNormalization has of running statistics among its inputs.
const STATISTICS: [usize; 2] = [3, 4];

/// A model whose weights are means.
#[derive(Clone, Debug)]
pub struct AveragedWeights {
    /// The model.
    pub file: OnnxFile,
    /// Numbers that differ between the models.
    pub averaged: usize,
    /// Names of running statistics of normalizations that differ and are means: not what the mean of the weights would gather, which one
    /// pass over training rows tells ([`AveragedWeights::with_statistics`]).
    pub statistics: Vec<String>,
    /// What is worth knowing, in words.
    pub notes: Vec<String>,
}

/// One model of the size of each of these: the mean of their weights, in doubles (Wortsman et al., "Model soups: averaging weights of multiple
/// fine-tuned models improves accuracy without increasing inference time", 2022). It makes sense of models that were tuned from one model.
///
/// # Errors
/// The models differ in more than the numbers of their float weights: nodes, shapes, heads, integers; or one holds adapters beside its
/// weights, whose product is not the mean of their products.
pub fn average_weights(
    members: &[Member<'_>],
    metadata: &[(String, String)],
    catalog: &OperatorCatalog,
) -> Result<AveragedWeights, CompilerError> {
    let refused = |message: String| Err(CompilerError::Selection(message));
    let [first, others @ ..] = members else { return refused("a mean of weights is of models; name some".into()) };
    for (at, member) in members.iter().enumerate() {
        if member.model.metadata(ADAPTERS).is_some() {
            return refused(format!(
                "{} holds adapters beside its weights, and the mean of factors is not that of what they add; export it with \
                 `output.adapters: merged`",
                member.called(at)
            ));
        }
    }
    let graphs = members
        .iter()
        .map(|member| member.model.graph(&BTreeMap::new(), catalog))
        .collect::<Result<Vec<Graph>, _>>()?;
    let mut mean = graphs[0].clone();
    let mut same: Vec<HashMap<ValueId, ValueId>> = Vec::with_capacity(others.len());
    for (at, graph) in graphs.iter().enumerate().skip(1) {
        same.push(same_values(&graphs[0], graph).map_err(|what| {
            CompilerError::Selection(format!(
                "{} is not the first one with other weights: {what}",
                members[at].called(at)
            ))
        })?);
    }
    let (mut averaged, mut statistics) = (0, Vec::new());
    let in_nodes: HashMap<ValueId, usize> = statistics_of(&graphs[0]);
    for value in graphs[0].constants() {
        let own = graphs[0].constant_of(value).expect("it is a constant");
        let theirs = same
            .iter()
            .zip(&graphs[1..])
            .map(|(same, graph)| same.get(&value).and_then(|there| graph.constant_of(*there)));
        // what no node reads differs as it likes
        let Some(theirs) = theirs.collect::<Option<Vec<&Constant>>>() else { continue };
        let all: Vec<&Constant> = std::iter::once(own).chain(theirs).collect();
        if let Some(constant) = mean_of(&all).map_err(|what| of_weight(graphs[0].name(value), &what))? {
            averaged += constant.shape.iter().product::<usize>();
            if in_nodes.contains_key(&value) {
                statistics.push(graphs[0].name(value).to_owned());
            }
            mean.set_constant(value, constant);
        }
    }
    let theirs: Vec<&[Node]> = graphs.iter().map(Graph::nodes).collect();
    for at in 0..theirs[0].len() {
        for (name, value) in &theirs[0][at].attributes {
            let Attribute::Tensor(_) = value else { continue };
            let all = theirs.iter().filter_map(|nodes| match nodes[at].attributes.get(name) {
                Some(Attribute::Tensor(constant)) => Some(constant),
                _ => None,
            });
            let all: Vec<&Constant> = all.collect();
            let label = graphs[0].label(&theirs[0][at]);
            if let Some(constant) = mean_of(&all).map_err(|what| of_weight(&label, &what))? {
                averaged += constant.shape.iter().product::<usize>();
                mean.set_attribute(at, name, Attribute::Tensor(constant));
            }
        }
    }
    let mut notes = Vec::new();
    if averaged == 0 && !others.is_empty() {
        notes.push("all members have the same weights".into());
    }
    let header =
        Header::of_several(&first.model.proto, &others.iter().map(|other| &other.model.proto).collect::<Vec<_>>());
    let file = OnnxFile::new(header.signed(metadata).with(&mean.as_stored()?))?;
    Ok(AveragedWeights { file, averaged, statistics, notes })
}

impl AveragedWeights {
    /// The same with these running statistics in place of means, by name. Of [`AveragedWeights::statistics`] those stay that are not among
    /// them, or have another length.
    ///
    /// # Errors
    /// The model cannot be written anew.
    pub fn with_statistics(
        self,
        values: &BTreeMap<String, Vec<f32>>,
        catalog: &OperatorCatalog,
    ) -> Result<Self, CompilerError> {
        let model = Model::from_bytes(self.file.to_vec())?;
        let mut graph = model.graph(&BTreeMap::new(), catalog)?;
        let mut left = Vec::new();
        for name in self.statistics {
            let place = graph.find(&name).and_then(|value| Some((value, graph.constant_of(value)?.shape.clone())));
            match (place, values.get(&name)) {
                (Some((value, shape)), Some(found)) if shape.iter().product::<usize>() == found.len() => {
                    graph.set_constant(value, Constant::f32(shape, found));
                }
                _ => left.push(name),
            }
        }
        let file = OnnxFile::new(Header::of(&model.proto).with(&graph.as_stored()?))?;
        Ok(Self { file, statistics: left, ..self })
    }
}

fn of_weight(name: &str, what: &str) -> CompilerError {
    CompilerError::Selection(format!("`{}` {what}; the members are not one model with other weights", shown(name)))
}

/// What each value of a graph is in another of the same nodes.
///
/// # Errors
/// What differs, in words.
fn same_values(a: &Graph, b: &Graph) -> Result<HashMap<ValueId, ValueId>, String> {
    let mut same: HashMap<ValueId, ValueId> = HashMap::new();
    let mut pair = |a: Option<ValueId>, b: Option<ValueId>| match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => *same.entry(a).or_insert(b) == b,
        _ => false,
    };
    if a.inputs().len() != b.inputs().len() || a.outputs().len() != b.outputs().len() {
        return Err("it has other inputs or outputs".into());
    }
    for (own, other) in a.inputs().iter().zip(b.inputs()) {
        if a.name(*own) != b.name(*other) {
            return Err(format!(
                "it has the input `{}` in the place of `{}`",
                shown(b.name(*other)),
                shown(a.name(*own))
            ));
        }
        pair(Some(*own), Some(*other));
    }
    if a.nodes().len() != b.nodes().len() {
        return Err(format!("it has {} nodes, and the first {}", b.nodes().len(), a.nodes().len()));
    }
    for (own, other) in a.nodes().iter().zip(b.nodes()) {
        let is_one = own.operator == other.operator
            && own.domain == other.domain
            && a.opset_of(&own.domain) == b.opset_of(&other.domain)
            && own.inputs.len() == other.inputs.len()
            && own.outputs.len() == other.outputs.len()
            && own.attributes.len() == other.attributes.len()
            && own.attributes.iter().zip(&other.attributes).all(|(a, b)| a.0 == b.0 && may_be_averaged(a.1, b.1));
        let inputs = own.inputs.iter().zip(&other.inputs);
        if !is_one || !inputs.chain(own.outputs.iter().zip(&other.outputs)).all(|(a, b)| pair(*a, *b)) {
            return Err(format!(
                "node `{}` ({}) is not `{}` ({}) of the first",
                b.label(other),
                other.qualified_operator(),
                a.label(own),
                own.qualified_operator()
            ));
        }
    }
    for (own, other) in a.outputs().iter().zip(b.outputs()) {
        if !pair(Some(*own), Some(*other)) {
            return Err(format!("its output `{}` is another value", shown(b.name(*other))));
        }
    }
    Ok(same)
}

fn may_be_averaged(a: &Attribute, b: &Attribute) -> bool {
    match (a, b) {
        (Attribute::Tensor(a), Attribute::Tensor(b)) => a.dtype == b.dtype && a.shape == b.shape,
        (a, b) => a == b,
    }
}

/// The constants that normalizations have for running statistics, with how often.
fn statistics_of(graph: &Graph) -> HashMap<ValueId, usize> {
    let mut found = HashMap::new();
    for node in graph.nodes().iter().filter(|node| node.is("BatchNormalization")) {
        for value in STATISTICS.iter().filter_map(|at| node.input(*at)) {
            *found.entry(value).or_insert(0) += 1;
        }
    }
    found
}

/// The mean of constants; none where they are equal.
///
/// # Errors
/// They differ in more than floats, in words.
fn mean_of(all: &[&Constant]) -> Result<Option<Constant>, String> {
    let first = all[0];
    if let Some(other) = all.iter().find(|other| other.dtype != first.dtype || other.shape != first.shape) {
        return Err(format!("is {} in the first and {} in another", first.tensor_type(), other.tensor_type()));
    }
    if all.iter().all(|other| other.bytes == first.bytes) {
        return Ok(None);
    }
    let count = all.len() as f64;
    match first.dtype {
        ElementType::F32 => {
            let values: Vec<Vec<f32>> = all.iter().filter_map(|constant| constant.to_f32()).collect();
            let mean = |at: usize| (values.iter().map(|values| f64::from(values[at])).sum::<f64>() / count) as f32;
            let values: Vec<f32> = (0..values[0].len()).map(mean).collect();
            Ok(Some(Constant::f32(first.shape.clone(), &values)))
        }
        ElementType::F64 => {
            let value = |constant: &Constant, at: usize| {
                f64::from_le_bytes(constant.bytes[8 * at..8 * at + 8].try_into().expect("8 bytes a number"))
            };
            let mean = |at: usize| all.iter().map(|constant| value(constant, at)).sum::<f64>() / count;
            let bytes: Vec<u8> = (0..first.bytes.len() / 8).flat_map(|at| mean(at).to_le_bytes()).collect();
            Ok(Some(Constant { bytes: bytes.into(), ..first.clone() }))
        }
        other => Err(format!("holds {} that differ", other.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, model, node, value, weight};

    fn unnamed(model: &Model) -> Member<'_> {
        Member { model, name: None, output: None }
    }

    fn linear(scale: f32, classes: usize) -> Model {
        let nodes = vec![node("Gemm", &["x", "w", "b"], &["h"]), node("Relu", &["h"], &["y"])];
        let mut weights = vec![weight("w", &[4, classes]), weight("b", &[classes])];
        weights.iter_mut().flat_map(|tensor| &mut tensor.float_data).for_each(|value| *value *= scale);
        model(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[classes as i64])]))
    }

    fn weights(file: &OnnxFile) -> Vec<Vec<f32>> {
        let model = Model::from_bytes(file.to_vec()).unwrap();
        let graph = model.graph(&BTreeMap::new(), &OperatorCatalog::standard()).unwrap();
        graph.constants().into_iter().map(|value| graph.constant_of(value).unwrap().to_f32().unwrap()).collect()
    }

    #[test]
    fn weights_are_means_and_nothing_else_changes() {
        let catalog = OperatorCatalog::standard();
        let models = [linear(1.0, 3), linear(2.0, 3), linear(6.0, 3)];
        let found = average_weights(&models.each_ref().map(unnamed), &[], &catalog).unwrap();
        let three = average_weights(&[unnamed(&linear(3.0, 3))], &[], &catalog).unwrap();
        assert_eq!((weights(&found.file), found.averaged, found.notes.len()), (weights(&three.file), 15, 0));
        assert_eq!((three.averaged, three.notes.len()), (0, 0), "nothing is said of one model against others");
        let same =
            average_weights(&[unnamed(&models[0]), unnamed(&models[0])], &[("key".into(), "value".into())], &catalog)
                .unwrap();
        assert_eq!((same.averaged, same.notes[0].as_str()), (0, "all members have the same weights"));
        assert_eq!(Model::from_bytes(same.file.to_vec()).unwrap().metadata("key"), Some("value"));
    }

    #[test]
    fn running_statistics_that_differ_are_named_and_take_values_that_are_computed_anew() {
        let catalog = OperatorCatalog::standard();
        let normalized = |scale: f32| {
            let nodes = vec![node("BatchNormalization", &["x", "scale", "shift", "mean", "var"], &["y"])];
            let mut weights: Vec<_> = ["scale", "shift", "mean", "var"].map(|name| weight(name, &[3])).into();
            weights.iter_mut().flat_map(|tensor| &mut tensor.float_data).for_each(|value| *value *= scale);
            model(graph(nodes, weights, vec![value("x", &[3, 4, 4])], vec![value("y", &[3, 4, 4])]))
        };
        let values = |file: &OnnxFile, name: &str| {
            let model = Model::from_bytes(file.to_vec()).unwrap();
            let graph = model.graph(&BTreeMap::new(), &OperatorCatalog::standard()).unwrap();
            graph.constant_of(graph.find(name).unwrap()).unwrap().to_f32().unwrap()
        };
        let models = [normalized(1.0), normalized(3.0)];
        let mut found = average_weights(&models.each_ref().map(unnamed), &[], &catalog).unwrap();
        found.statistics.sort();
        assert_eq!((found.statistics.clone(), found.averaged), (vec!["mean".to_owned(), "var".to_owned()], 12));
        let before = ["scale", "shift", "var"].map(|name| values(&found.file, name));
        let anew = BTreeMap::from([("mean".to_owned(), vec![7.0, 8.0, 9.0]), ("scale".to_owned(), vec![0.0; 3])]);
        let anew = found.with_statistics(&anew, &catalog).unwrap();
        assert_eq!(values(&anew.file, "mean"), [7.0, 8.0, 9.0]);
        assert_eq!(["scale", "shift", "var"].map(|name| values(&anew.file, name)), before, "weights are means as ever");
        assert_eq!(anew.statistics, ["var"]);
    }

    #[test]
    fn models_that_differ_in_more_than_weights_are_refused_with_what_differs() {
        let catalog = OperatorCatalog::standard();
        let tanh = |operator: &str| {
            let nodes = vec![node("Gemm", &["x", "w", "b"], &["h"]), node(operator, &["h"], &["y"])];
            let weights = vec![weight("w", &[4, 3]), weight("b", &[3])];
            model(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[3])]))
        };
        for (other, wanted) in [
            (linear(1.0, 5), "`w` is float32 [4, 3] in the first and float32 [4, 5] in another"),
            (
                tanh("Tanh"),
                "member `other` is not the first one with other weights: node `y` (Tanh) is not `y` (Relu) of the first",
            ),
        ] {
            let first = linear(1.0, 3);
            let members = [unnamed(&first), Member { name: Some("other"), ..unnamed(&other) }];
            let message = average_weights(&members, &[], &catalog).unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
        }
        assert!(average_weights(&[], &[], &catalog).is_err());
    }
}
