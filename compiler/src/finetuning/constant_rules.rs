//! What a constant that a node reads is: a weight of it, or why it is none. One rule a line, in the order in which they are asked.

use std::collections::{HashMap, HashSet};

use super::constant_kind::{
    FrozenReason, is_all, is_buffer, is_distance_bias, is_infinite_mask, is_low_mask, is_one_filter, is_part,
    is_progression, is_table_of_waves, is_token, is_wave_table, no_learned_constant,
};
use super::fourier_table::{is_fourier_table, may_be_fourier_table};
use super::module_path::{is_generated, of_weight};
use super::named_parameter::{
    FUNCTIONS, has_module_path, is_of_person, is_of_preparation, is_of_quantization, is_parameter,
    is_parameter_in_front, is_plain_number, may_be_learned,
};
use super::score_constants::{is_named_beside_scores, joins_places_of};
use super::standardize::is_preprocessing;
use super::state_rates::is_rate;
use super::views::VIEWS;
use crate::graph::{Body, Constant, Graph, Node, Origin, ValueId};

/// Functions of single numbers that modules take of parameters, as of scales that are to be positive.
const CURVES: [&str; 5] = ["Clip", "Exp", "Sigmoid", "Softplus", "Tanh"];

/// A constant, and the node that reads it.
pub(super) struct Asked<'p> {
    pub(super) graph: &'p Graph,
    /// What lies behind each value that a constant is handed on by.
    pub(super) stored: &'p HashMap<ValueId, ValueId>,
    /// Values that a single number fills, in whatever form.
    pub(super) filled: &'p HashSet<ValueId>,
    /// Values that a parameter or an input of floats flows into.
    pub(super) live: &'p HashSet<ValueId>,
    /// Values that sines and cosines are taken of, by arithmetic alone.
    pub(super) angles: &'p HashSet<ValueId>,
    /// Values that a softmax is taken of, by arithmetic alone.
    pub(super) scores: &'p HashSet<ValueId>,
    pub(super) node: &'p Node,
    /// Which of the node's inputs it is, and the value that is read there.
    pub(super) input: usize,
    pub(super) read: ValueId,
    pub(super) value: ValueId,
    pub(super) constant: &'p Constant,
    pub(super) name: &'p str,
    /// Of the standard; empty where the node's is not.
    pub(super) operator: &'p str,
    /// Whether the operator has weights at this input.
    pub(super) has_weights: bool,
    /// Whether the node reads what comes out of layers.
    pub(super) is_fed: bool,
}

type Holds = fn(&Asked<'_>) -> bool;

/// What follows where a rule holds.
#[derive(Clone, Copy)]
enum Then {
    Weight,
    Frozen(FrozenReason),
    /// A weight, unless this says why it is none.
    UnlessFrozen(fn(&Asked<'_>) -> Option<FrozenReason>),
}

/// The first rule that holds decides.
const RULES: [(Holds, Then); 18] = [
    (|c| is_preprocessing(c.operator, c.name), Then::Frozen(FrozenReason::Preprocessing)),
    (|c| is_buffer(c.name), Then::Frozen(FrozenReason::Buffer)),
    // it has decided something before the run
    (|c| c.graph.stops_gradient(c.value), Then::Frozen(FrozenReason::Setting)),
    // the first state of a recurrent layer
    (|c| c.fills_no_parameter(), Then::Frozen(FrozenReason::Setting)),
    // what a branch makes in the place of a row that it leaves out
    (|c| c.fills_branch(), Then::Frozen(FrozenReason::Setting)),
    (|c| c.operator == "Gather" && is_table_of_waves(c.constant), Then::Frozen(FrozenReason::Waves)),
    (|c| c.may_be_mask() && c.is_mask(), Then::Frozen(FrozenReason::Mask)),
    (|c| c.may_be_mask() && is_distance_bias(c.constant), Then::Frozen(FrozenReason::Distances)),
    (|c| c.has_word_of_places(), Then::Frozen(FrozenReason::Buffer)),
    (|c| c.is_adjacency(), Then::Frozen(FrozenReason::Adjacency)),
    (|c| c.is_fourier_table(), Then::Frozen(FrozenReason::Fourier)),
    (|c| c.has_weights && !is_arithmetic(c.node), Then::UnlessFrozen(|c| c.no_weight_of_layer())),
    (|c| c.is_named(), Then::UnlessFrozen(|c| c.no_named_parameter())),
    (|c| c.is_fed && c.has_weights && c.numbers() > 1, Then::UnlessFrozen(|c| c.no_learned_constant())),
    // an exporter that folds constants leaves the one of a class token's `Expand`
    (|c| c.is_fed && c.joins_tokens() && is_token(c.constant), Then::Weight),
    // and those of parameters that go through a function, as the temperature of an attention
    (|c| c.input == 0 && CURVES.contains(&c.operator), Then::UnlessFrozen(|c| c.frequencies())),
    (|c| c.may_be_learned_number(), Then::Frozen(FrozenReason::Number)),
    (|c| c.makes_angles(), Then::Frozen(FrozenReason::Frequencies)),
];

impl Asked<'_> {
    /// Why the constant is no weight of the node, if it is none.
    pub(super) fn reason(&self) -> Option<FrozenReason> {
        let rule = RULES.iter().find(|(holds, _)| holds(self));
        let reason = match rule.map_or(Then::Frozen(FrozenReason::Computed), |(_, then)| *then) {
            Then::Weight => None,
            Then::Frozen(reason) => Some(reason),
            Then::UnlessFrozen(reason) => reason(self),
        };
        let is_stopped = self.graph.stops_gradient(self.value);
        // the file's own word is more than what name and place tell
        let origin = self.graph.origin(self.value);
        let reason = match origin {
            Some(Origin::Parameter) if !is_stopped && reason.is_some_and(FrozenReason::is_by_name) => {
                self.no_learned_parameter()
            }
            Some(Origin::Buffer | Origin::Literal) => reason.or(Some(FrozenReason::Stated)),
            Some(Origin::Parameter | Origin::Untold) | None => reason,
        };
        // whoever names it knows what it is
        let is_asked_for = self.graph.is_asked_for(self.value) && !is_stopped;
        reason.filter(|reason| !(is_asked_for && reason.is_guessed()))
    }

    fn numbers(&self) -> usize {
        self.constant.shape.iter().product()
    }

    fn is_named(&self) -> bool {
        !is_generated(self.name) || self.numbers() == 1 && has_module_path(self.name)
    }

    fn is_of_module(&self) -> bool {
        is_part(self.name) || of_weight(self.name).is_some()
    }

    /// Whether it is one number that fills a tensor, and no parameter by its name or the function that reads it.
    fn fills_no_parameter(&self) -> bool {
        let is_own = self.is_of_module() || has_module_path(self.name) || CURVES.contains(&self.operator);
        self.filled.contains(&self.read) && !is_own
    }

    /// Whether it is one number throughout that a branch makes, and no parameter by its name.
    fn fills_branch(&self) -> bool {
        let first = self.constant.to_f32().and_then(|numbers| numbers.first().copied());
        self.operator == "If"
            && first.is_some_and(|first| is_all(self.constant, first))
            && !(self.is_of_module() || has_module_path(self.name))
            && self.node.bodies().any(|body| self.is_made_by(body))
    }

    /// Whether a graph that the node runs gives the constant on as it is, and computes nothing with it.
    fn is_made_by(&self, body: &Body) -> bool {
        let Some(graph) = body.graph() else { return false };
        // the last inputs of both are what is read from around
        let from_end = self.node.inputs.len() - self.input;
        let at = graph.inputs().len().checked_sub(from_end).filter(|_| from_end <= body.outer());
        let Some(given) = at.map(|at| graph.inputs()[at]) else { return false };
        graph.outputs().iter().any(|output| {
            let mut made = *output;
            while made != given {
                let maker = graph.producer(made).filter(|maker| VIEWS.iter().any(|view| maker.is(view)));
                let Some(read) = maker.and_then(|maker| maker.input(0)) else { return false };
                made = read;
            }
            true
        })
    }

    fn may_be_mask(&self) -> bool {
        !self.has_weights || is_arithmetic(self.node) || self.operator == "Gather"
    }

    fn is_mask(&self) -> bool {
        let lets_pass = self.operator != "Where";
        is_infinite_mask(self.constant, lets_pass) || is_low_mask(self.constant, lets_pass)
    }

    fn has_word_of_places(&self) -> bool {
        is_named_beside_scores(self.node, self.scores, self.name)
    }

    fn is_adjacency(&self) -> bool {
        joins_places_of((self.node, self.input), self.scores, self.name, self.constant)
    }

    /// Why what the file calls a parameter is none that is learned: torch.export calls those so as well that no gradient was meant for. A
    /// statistic in front of all layers is one, and frequencies that nothing has moved from where they began.
    fn no_learned_parameter(&self) -> Option<FrozenReason> {
        let normalizes = !self.is_fed && is_elementwise(self.operator) && is_of_preparation(self.name);
        if normalizes {
            return Some(FrozenReason::InFront);
        }
        (self.makes_angles() && is_progression(self.constant)).then_some(FrozenReason::Frequencies)
    }

    fn is_fourier_table(&self) -> bool {
        may_be_fourier_table(self.node, self.input)
            && !self.graph.is_asked_for(self.value)
            && is_fourier_table(self.constant)
    }

    fn no_learned_constant(&self) -> Option<FrozenReason> {
        let reason = no_learned_constant(self.operator, self.constant);
        reason.filter(|_| !is_rate(self.graph, self.node, self.input, self.constant))
    }

    /// Whether the node joins values `[batch, tokens, width]` along the tokens.
    fn joins_tokens(&self) -> bool {
        self.operator == "Concat" && matches!(self.node.int("axis"), Some(1 | -2))
    }

    fn frequencies(&self) -> Option<FrozenReason> {
        self.makes_angles().then_some(FrozenReason::Frequencies)
    }

    fn may_be_learned_number(&self) -> bool {
        self.is_fed
            && may_be_learned(self.operator, self.constant)
            && !is_of_quantization(self.graph, self.node, self.input)
    }

    /// Whether sines and cosines are taken of what the node makes.
    fn makes_angles(&self) -> bool {
        self.node.outputs.iter().flatten().any(|made| self.angles.contains(made))
    }

    /// Why a constant with a name that no exporter has made up is no parameter of a node that has no weights of its own there.
    fn no_named_parameter(&self) -> Option<FrozenReason> {
        let Self { node, input, constant, name, operator, is_fed, .. } = *self;
        let (is_single, is_of_module) = (self.numbers() == 1, self.is_of_module());
        let is_own =
            is_of_module || is_parameter(name, operator, constant) && !is_of_quantization(self.graph, node, input);
        if !is_own {
            let is_beside = is_fed && is_elementwise(operator) && operator != "Pow";
            let is_plain = FUNCTIONS.contains(&operator) && is_plain_number(name, constant);
            let may_be_meant = is_single && (is_beside || is_plain) && is_of_person(name);
            let is_told = may_be_meant && !is_of_quantization(self.graph, node, input);
            return Some(if is_told { FrozenReason::Number } else { FrozenReason::Setting });
        }
        // beside a constant it is a part of a formula of parameters, as in `1 + gamma`
        let other = 1usize.checked_sub(input).and_then(|other| node.input(other));
        let joins_constant = || other.and_then(|other| self.stored.get(&other)).is_some();
        // in front of all layers it normalizes the input
        let is_placed = is_fed
            || !is_elementwise(operator)
            || is_part(name)
            || is_single && joins_constant() && !is_of_preparation(name)
            || is_parameter_in_front(self.graph, (node, input), name, constant, self.makes_angles());
        if !is_placed {
            return Some(FrozenReason::InFront);
        }
        is_wave_table(constant).then_some(FrozenReason::Waves)
    }

    /// Why a constant is no weight of a node that has its weights there.
    fn no_weight_of_layer(&self) -> Option<FrozenReason> {
        let Self { node, input, constant, .. } = *self;
        if self.is_named() {
            return None;
        }
        let constant_at = |input: usize| {
            let stored = node.input(input).and_then(|read| self.stored.get(&read));
            stored
                .filter(|value| is_generated(self.graph.name(**value)))
                .and_then(|value| self.graph.constant_of(*value))
        };
        match node.operator.as_str() {
            _ if !node.domain.is_empty() => None,
            "MatMul" => {
                let other = node.input(1 - input).filter(|other| !self.live.contains(other))?;
                let other_is_weight = self.stored.get(&other).is_some_and(|value| !is_buffer(self.graph.name(*value)));
                match (self.makes_angles(), input == 0 && other_is_weight) {
                    (true, _) => Some(FrozenReason::Frequencies),
                    (_, true) => Some(FrozenReason::Computed),
                    _ => None,
                }
            }
            "Conv" if input == 1 && is_one_filter(constant) => Some(FrozenReason::Filter),
            "BatchNormalization" | "GroupNormalization" | "InstanceNormalization" | "LayerNormalization" => {
                let normalizes_weight = node.input(0).is_some_and(|read| self.stored.contains_key(&read));
                let shift_is_absent = node.input(2).is_none() || constant_at(2).is_some_and(|shift| is_all(shift, 0.0));
                let scale_is_absent = constant_at(1).is_some_and(|scale| is_all(scale, 1.0));
                let is_absent = match input {
                    1 => scale_is_absent && shift_is_absent,
                    2 if node.operator == "LayerNormalization" || normalizes_weight => shift_is_absent,
                    2 => scale_is_absent && shift_is_absent,
                    _ => false,
                };
                is_absent.then_some(FrozenReason::Absent)
            }
            _ => None,
        }
    }
}

/// A constant beside these is a bias or scale only behind a layer; in front of all layers it normalizes the input.
pub(crate) fn is_arithmetic(node: &Node) -> bool {
    node.domain.is_empty() && matches!(node.operator.as_str(), "Add" | "Mul")
}

fn is_elementwise(operator: &str) -> bool {
    matches!(operator, "Add" | "Div" | "Mul" | "Pow" | "Sub")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::Model;
    use crate::finetuning::constant_kind::FrozenReason;
    use crate::finetuning::parameters::Parameters;
    use crate::finetuning::{Layer, Weight, layers, normalize};
    use crate::graph::{Constant, Graph, KIND, Origin, ValueId};
    use crate::handmade::{constant_node, graph, node, read, untyped, value, weight, whole};
    use crate::model_file::onnx::{
        AttributeProto, GraphProto, StringStringEntryProto, TensorProto, ValueInfoProto, attribute_proto::AttributeType,
    };
    use crate::operators::OperatorCatalog;

    const VARIED: [f32; 16] =
        [0.5, -0.25, 0.0, 0.125, 0.5, 0.25, 1.0, -0.5, 0.75, 0.0, -1.0, 0.5, 0.25, 0.5, -0.75, 0.125];
    const FOLDED_FROM: &str = "pkg.onnxscript.optimizer.folded_from";

    /// What is read behind a layer, one after the other; `notes` are what the file says of them: name, key, word.
    fn read_with(constants: &[(&str, TensorProto)], notes: &[(&str, &str, &str)], first: &str) -> Graph {
        read(file_with(constants, notes, first))
    }

    fn file_with(constants: &[(&str, TensorProto)], notes: &[(&str, &str, &str)], first: &str) -> GraphProto {
        let mut nodes = vec![node("MatMul", &["x", first], &["h0"])];
        for (at, (operator, constant)) in constants.iter().enumerate() {
            nodes.push(node(operator, &[&format!("h{at}"), constant.name()], &[&format!("h{}", at + 1)]));
        }
        nodes.push(node("Tanh", &[&format!("h{}", constants.len())], &["y"]));
        let mut weights = vec![weight(first, &[4, 4])];
        weights.extend(constants.iter().map(|(_, constant)| constant.clone()));
        let mut file = graph(nodes, weights, vec![value("x", &[4, 4])], vec![value("y", &[4, 4])]);
        file.value_info = notes
            .iter()
            .map(|(name, key, word)| {
                let entry = StringStringEntryProto { key: Some((*key).into()), value: Some((*word).into()) };
                ValueInfoProto { metadata_props: vec![entry], ..untyped(name) }
            })
            .collect();
        file
    }

    fn trained(graph: &Graph) -> Vec<String> {
        let all: Vec<Layer> = layers(graph, &OperatorCatalog::standard());
        all.iter().flat_map(|layer| &layer.weights).map(|weight| graph.name(weight.value).to_owned()).collect()
    }

    #[test]
    fn what_a_file_says_was_no_parameter_is_not_trained_and_a_single_number_that_was_one_is() {
        let single = TensorProto { float_data: vec![1.0], ..weight("unit", &[1]) };
        let constants = [
            ("Mul", weight("edge_w", &[4])),
            ("Add", weight("plain", &[4])),
            ("Mul", weight("clone", &[4])),
            ("Mul", weight("val_9", &[4])),
            ("Mul", weight("gain", &[4])),
            ("Mul", single),
        ];
        let notes = [
            ("edge_w", KIND, "BUFFER"),
            ("plain", KIND, "CONSTANT_TENSOR"),
            ("clone", FOLDED_FROM, "['lifted_tensor_0', 'val_3']"),
            ("val_9", FOLDED_FROM, "['conv.scale', 'val_8']"),
            ("gain", KIND, "PARAMETER"),
            ("unit", KIND, "PARAMETER"),
        ];
        let names = |wanted: &[&str]| wanted.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        let mut found = trained(&read_with(&constants, &[], "first.weight"));
        found.sort();
        assert_eq!(found, names(&["clone", "edge_w", "first.weight", "gain", "plain", "val_9"]));
        let told = read_with(&constants, &notes, "first.weight");
        let mut found = trained(&told);
        found.sort();
        assert_eq!(found, names(&["first.weight", "gain", "unit", "val_9"]));
        // a tuned model says so as well
        let again = Model::from_bytes(told.to_onnx("again")).unwrap();
        let again = again.graph(&BTreeMap::new(), &OperatorCatalog::standard()).unwrap();
        for (name, origin) in [("edge_w", Origin::Buffer), ("clone", Origin::Literal), ("gain", Origin::Parameter)] {
            assert_eq!(again.origin(again.find(name).unwrap()), Some(origin), "{name}");
        }
    }

    #[test]
    fn parameters_that_no_gradient_was_meant_for_stay_frozen_in_front_and_as_frequencies() {
        let geometric: Vec<f32> = (0..4).map(|at| 10000f32.powf(-(at as f32) / 4.0)).collect();
        let arithmetic: Vec<f32> = (0..4).map(|at| (1.0 + at as f32 * 1.5) * std::f32::consts::PI).collect();
        let moved = vec![1.0, 0.11, 0.008, 0.0013];
        let plain = vec![0.5, 0.25, 0.75, 0.125];
        // an operator in front of the first layer, a name, the numbers, whether angles are made of it, and whether it is trained
        for (operator, name, values, are_angles, is_trained) in [
            ("Mul", "freqs", &geometric, true, false),
            ("Mul", "rope.freqs", &arithmetic, true, false),
            ("Mul", "freqs", &moved, true, true),
            ("Mul", "freqs", &geometric, false, true),
            ("Sub", "mean", &plain, false, false),
            ("Div", "net.std", &plain, false, false),
            ("Sub", "pixel_mean", &plain, false, false),
            ("Add", "net.shift", &plain, false, true),
        ] {
            let constant = TensorProto { float_data: values.clone(), ..weight(name, &[4]) };
            let nodes = vec![
                node(operator, &["x", name], &["a"]),
                node(if are_angles { "Cos" } else { "Tanh" }, &["a"], &["c"]),
                node("MatMul", &["c", "first.weight"], &["y"]),
            ];
            let weights = vec![weight("first.weight", &[4, 4]), constant];
            let mut file = graph(nodes, weights, vec![value("x", &[4, 4])], vec![value("y", &[4, 4])]);
            let entry = StringStringEntryProto { key: Some(KIND.into()), value: Some("PARAMETER".into()) };
            file.value_info = vec![ValueInfoProto { metadata_props: vec![entry], ..untyped(name) }];
            let found = trained(&read(file));
            assert_eq!(found.iter().any(|own| own == name), is_trained, "{operator} {name} {values:?}");
        }
    }

    #[test]
    fn what_a_constant_was_folded_from_tells_literals_from_parameters() {
        // what the names of a list are, and whether what was folded from them is trained
        for (from, is_trained) in [
            ("['val_proj.weight']", true),
            ("['int64_embedding.weight', 'val_3']", true),
            ("['model.h.0.attn.attention.lifted_tensor_0']", false),
            ("['val_3', 'int64_m1_1d']", false),
            (r#"["plain", 'val_3']"#, false),
            (r#"["edge's", 'val_3']"#, true),
            // normalizations were folded into it, and it has no note
            ("['unnoted', 'val_3']", true),
            ("['gain']", true),
            ("['h0']", false),
        ] {
            let constants = [
                ("Mul", weight("folded", &[4])),
                ("Mul", weight("gain", &[4])),
                ("Add", weight("unnoted", &[4])),
                ("Add", weight("plain", &[4])),
            ];
            let notes = [("gain", KIND, "PARAMETER"), ("plain", KIND, "BUFFER"), ("folded", FOLDED_FROM, from)];
            let found = trained(&read_with(&constants, &notes, "first.weight"));
            assert_eq!(found.contains(&"folded".to_owned()), is_trained, "{from}: {found:?}");
        }
    }

    #[test]
    fn a_file_that_notes_no_parameter_at_all_is_trained_by_names_and_places_and_says_so() {
        let constants = [("Mul", weight("gain", &[4])), ("Mul", weight("rope.inv_freq", &[4]))];
        let mut notes = vec![("first.weight", KIND, "BUFFER"), ("gain", KIND, "CONSTANT_TENSOR")];
        for (word, is_trained) in [("BUFFER", true), ("PARAMETER", false)] {
            notes.push(("other", KIND, word));
            let file = file_with(&constants, &notes, "first.weight");
            let (file, catalog) = (crate::handmade::model(file), OperatorCatalog::standard());
            let graph = file.graph(&BTreeMap::new(), &catalog).unwrap();
            let mut found = trained(&graph);
            found.sort();
            let wanted: &[&str] = if is_trained { &["first.weight", "gain"] } else { &[] };
            assert_eq!(found, wanted, "{word}");
            let told = file.notes(&graph).iter().any(|note| note.starts_with("the file calls 3 tensors a buffer"));
            assert_eq!(told, is_trained, "{word}");
            // the exported model has no parameter of which a file said so
            let again = Model::from_bytes(graph.to_onnx("again")).unwrap().graph(&BTreeMap::new(), &catalog).unwrap();
            let mut found = trained(&again);
            found.sort();
            assert_eq!(found, wanted, "{word}, again");
            notes.pop();
        }
    }

    #[test]
    fn what_the_source_wrote_where_it_uses_it_is_not_trained_but_in_a_module_that_was_frozen_whole() {
        let literal = [("Mul", weight("/edges/Constant_1_output_0", &[4]))];
        assert_eq!(trained(&read_with(&literal, &[], "first.weight")), ["first.weight"]);
        // a folded weight has a name of the exporter's
        for first in ["/first/Constant_output_0", "onnx::MatMul_12"] {
            let mut found = trained(&read_with(&literal, &[], first));
            found.sort();
            assert_eq!(found, ["/edges/Constant_1_output_0", first]);
        }
    }

    #[test]
    fn a_module_that_was_frozen_whole_is_trained_behind_a_new_head_and_when_it_is_tuned_again() {
        let own = ["/first/Constant_output_0", "/edges/Constant_1_output_0"];
        for (first, is_trained) in [(own[0], true), ("first.weight", false)] {
            let mut graph = read_with(&[("Mul", weight(own[1], &[4]))], &[], first);
            let made = graph.outputs()[0];
            let deviation = graph.constant("deviation", Constant::f32([4], &[0.5, 2.0, 1.5, 0.25]));
            let head = graph.constant("head.weight", Constant::f32([4, 4], &VARIED));
            let scaled = graph.add("Div", &[made, deviation], &[]).unwrap();
            let scores = graph.add("MatMul", &[scaled, head], &[]).unwrap();
            graph.output(scores);
            let mut wanted = vec![first, "head.weight"];
            wanted.extend(is_trained.then_some(own[1]));
            wanted.sort_unstable();
            let mut found = trained(&graph);
            found.sort();
            assert_eq!(found, wanted, "{first}");
            let again = Model::from_bytes(graph.to_onnx("again")).unwrap();
            let again = again.graph(&BTreeMap::new(), &OperatorCatalog::standard()).unwrap();
            let mut found = trained(&again);
            found.sort();
            assert_eq!(found, wanted, "{first}, again");
        }
    }

    #[test]
    fn what_a_trace_keeps_as_nodes_is_told_as_what_it_stores() {
        for (first, is_trained) in [("first.weight", false), ("onnx::MatMul_7", true)] {
            let nodes = vec![
                constant_node("/edges/Constant_1_output_0", &[4]),
                node("MatMul", &["x", first], &["h"]),
                node("Mul", &["h", "/edges/Constant_1_output_0"], &["y"]),
            ];
            let weights = vec![weight(first, &[4, 4])];
            let mut graph = read(graph(nodes, weights, vec![value("x", &[4, 4])], vec![value("y", &[4, 4])]));
            normalize(&mut graph);
            let found = trained(&graph);
            assert_eq!(found.iter().any(|name| name.starts_with("/edges")), is_trained, "{first}: {found:?}");
        }
    }

    #[test]
    fn a_bias_of_one_number_that_a_layer_inside_a_branch_reads_is_no_row_that_the_branch_leaves_out() {
        let branch = |name: &str, inner: GraphProto| AttributeProto {
            name: Some(name.into()),
            g: Some(inner),
            r#type: Some(AttributeType::Graph as i32),
            ..AttributeProto::default()
        };
        // what the graph does with the zeros, and whether they are trained as far as this rule goes
        for (operator, is_row) in [("Add", false), ("Identity", true)] {
            let zeros = TensorProto { float_data: vec![0.0; 16], ..weight("own", &[1, 4, 4]) };
            let inner = if operator == "Add" {
                node("Add", &["all", "own"], &["made"])
            } else {
                node("Identity", &["own"], &["made"])
            };
            let other = graph(vec![node("Identity", &["all"], &["same"])], vec![], vec![], vec![untyped("same")]);
            let mut either = node("If", &["is_large"], &["row"]);
            either.attribute = vec![
                branch("then_branch", other),
                branch("else_branch", graph(vec![inner], vec![zeros], vec![], vec![untyped("made")])),
            ];
            let nodes = vec![
                node("MatMul", &["x", "first.weight"], &["h"]),
                node("ReduceSum", &["h", "axes"], &["all"]),
                node("ReduceSum", &["h"], &["sum"]),
                node("Greater", &["sum", "limit"], &["is_large"]),
                either,
                node("Add", &["h", "row"], &["y"]),
            ];
            let limit = TensorProto { float_data: vec![0.0], ..weight("limit", &[]) };
            let weights = vec![weight("first.weight", &[4, 4]), whole("axes", &[1], &[0]), limit];
            let graph = read(graph(nodes, weights, vec![value("x", &[4, 4])], vec![value("y", &[4, 4])]));
            let catalog = OperatorCatalog::standard();
            let mut parameters = Parameters::new(&graph, &catalog);
            let found: Vec<Weight> = (0..graph.nodes().len()).flat_map(|at| parameters.of(at)).collect();
            let is_own = |value: ValueId| graph.name(value).ends_with("own");
            let is_trained = found.iter().any(|weight| is_own(weight.value));
            let frozen = parameters.frozen();
            let is_setting = frozen.iter().any(|(value, _, reason)| is_own(*value) && *reason == FrozenReason::Setting);
            assert_eq!((is_setting, is_trained), (is_row, !is_row), "{operator}: {frozen:?}");
        }
    }

    #[test]
    fn zeros_that_a_branch_has_in_the_place_of_a_row_are_not_trained() {
        for (values, is_trained) in [([0.0; 16], false), ([0.25; 16], false), (VARIED, true)] {
            let branch = |name: &str, inner: GraphProto| AttributeProto {
                name: Some(name.into()),
                g: Some(inner),
                r#type: Some(AttributeType::Graph as i32),
                ..AttributeProto::default()
            };
            let own = TensorProto { float_data: values.to_vec(), ..weight("own", &[1, 4, 4]) };
            let summed = graph(vec![node("Identity", &["all"], &["same"])], vec![], vec![], vec![untyped("same")]);
            let stored = graph(vec![], vec![own], vec![], vec![untyped("own")]);
            let mut either = node("If", &["is_large"], &["row"]);
            either.attribute = vec![branch("then_branch", summed), branch("else_branch", stored)];
            let nodes = vec![
                node("MatMul", &["x", "first.weight"], &["h"]),
                node("ReduceSum", &["h", "axes"], &["all"]),
                node("ReduceSum", &["h"], &["sum"]),
                node("Greater", &["sum", "limit"], &["is_large"]),
                either,
                node("Add", &["h", "row"], &["y"]),
            ];
            let limit = TensorProto { float_data: vec![0.0], ..weight("limit", &[]) };
            let weights = vec![weight("first.weight", &[4, 4]), whole("axes", &[1], &[0]), limit];
            let found = trained(&read(graph(nodes, weights, vec![value("x", &[4, 4])], vec![value("y", &[4, 4])])));
            assert_eq!(found.iter().any(|name| name.ends_with("own")), is_trained, "{values:?}: {found:?}");
        }
    }
}
