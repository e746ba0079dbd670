//! Scores in front of what makes chances of them, as losses and metrics read them.

use super::class_axis::class_axis;
use super::feature_axis::feature_axis;
use super::head::head_behind;
use super::one_score::{ScoreAxis, of_two_classes, score_axis};
use super::score_effects::{ScoreEffect, score_effect};
use crate::CompilerError;
use crate::graph::{Constant, Graph, Length, ValueId};
use crate::losses::PredictionKind;

/// The scores before any softmax or sigmoid that belongs to them: of the linear head, or else of the output itself, also where it has
/// their axes in another order.
pub(crate) fn find_scores(graph: &Graph, output: ValueId, reads: PredictionKind) -> ValueId {
    if let Ok(head) = head_behind(graph, output, reads) {
        return head.logits;
    }
    let mut value = output;
    while let Some(node) = graph.producer(value) {
        let Some(input) = node.input(0) else { break };
        if reads.links().contains(&node.operator.as_str()) {
            return input;
        }
        if !node.is("Identity") && score_effect(node) != Some(ScoreEffect::Transposes) {
            break;
        }
        value = input;
    }
    output
}

/// The operator that makes chances of these scores on their way to an output; none where the output holds the scores themselves.
pub(crate) fn chances_behind(graph: &Graph, scores: ValueId, output: ValueId, reads: PredictionKind) -> Option<&str> {
    let mut value = output;
    while value != scores {
        let node = graph.producer(value)?;
        if reads.links().contains(&node.operator.as_str()) {
            return Some(node.operator.as_str());
        }
        value = node.input(0)?;
    }
    None
}

/// How scores are read, and what is known of them beside their type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoreLayout {
    /// What they are.
    pub(crate) reads: PredictionKind,
    /// How many classes or labels there are, where it is known.
    pub(crate) classes: Option<usize>,
    /// How many axes a prediction has that the targets are held against, where it is known.
    pub(crate) axes: Option<usize>,
    /// Whether the rows of the batch lie on their second axis, as [`rows_are_second`] tells.
    pub(crate) rows_are_second: bool,
}

impl ScoreLayout {
    /// Scores as `[batch, classes, …]`, or as `[batch, sequence, symbols]`: their axes in the order that the model's output has them in,
    /// then the rows put first, the classes second, and places left out of which there is one alone where the targets have none. One score
    /// for each place of two classes becomes two.
    ///
    /// # Errors
    /// The rule of an operator that moves axes is missing in the graph's table, or refuses the scores.
    pub(crate) fn lay_out(
        &self,
        graph: &mut Graph,
        scores: ValueId,
        output: Option<ValueId>,
    ) -> Result<ValueId, CompilerError> {
        let moves = output.map_or_else(Vec::new, |output| moves(graph, scores, output));
        let turned = graph.tensor_type(scores).and_then(|known| order_behind(graph, &moves, known.shape.len()));
        let (laid, order) = match turned {
            Some(order) => (scores, order),
            None => {
                let laid = moves.into_iter().try_fold(scores, |value, at| repeated(graph, at, value))?;
                let axes = graph.tensor_type(laid).map_or(0, |known| known.shape.len());
                (laid, (0..axes).collect())
            }
        };
        let (laid, of_place) = self.in_order(graph, laid, order)?;
        let laid = self.without_places(graph, laid)?;
        let of_place = of_place.or_else(|| {
            let known = graph.tensor_type(laid)?;
            self.score_axis(&known.shape).filter(|axis| *axis == ScoreAxis::At(1))
        });
        match of_place {
            Some(axis) => of_two_classes(graph, laid, axis),
            None => Ok(laid),
        }
    }

    /// Where scores of these lengths have the one score of each place.
    fn score_axis(&self, shape: &[Length]) -> Option<ScoreAxis> {
        score_axis(self.reads, self.classes, self.axes, shape)
    }

    /// Scores with their axes in this order, then the rows first and the classes second; and where the one score of each place was, where
    /// there is one, which is second now.
    fn in_order(
        &self,
        graph: &mut Graph,
        scores: ValueId,
        mut order: Vec<usize>,
    ) -> Result<(ValueId, Option<ScoreAxis>), CompilerError> {
        let Some(known) = graph.tensor_type(scores) else { return Ok((scores, None)) };
        if self.rows_are_second && order.len() > 1 {
            order.swap(0, 1);
        }
        let (mut name, mut of_place) = ("scores_in_order", None);
        if matches!(self.reads, PredictionKind::ClassScores | PredictionKind::LabelScores) {
            let shape: Vec<Length> = order.iter().map(|axis| known.shape[*axis].clone()).collect();
            let of_layer = || {
                let own = feature_axis(graph, scores)?;
                order.iter().position(|axis| *axis == own)
            };
            of_place = self.score_axis(&shape);
            let axis = match of_place {
                Some(ScoreAxis::At(axis)) => axis,
                Some(ScoreAxis::Missing) => 1,
                None => class_axis(&shape, self.classes, of_layer),
            };
            if axis > 1 {
                let classes = order.remove(axis);
                order.insert(1, classes);
            }
            name = "scores_by_class";
        }
        if order.is_sorted() {
            return Ok((scores, of_place));
        }
        let order: Vec<i64> = order.into_iter().map(|axis| axis as i64).collect();
        Ok((graph.append("Transpose", &[scores], &[("perm", order.into())], name)?, of_place))
    }

    /// Scores `[batch, classes, 1, 1]` as `[batch, classes]`, where that is what the targets are of.
    fn without_places(&self, graph: &mut Graph, scores: ValueId) -> Result<ValueId, CompilerError> {
        let shape = graph.tensor_type(scores).map_or(&[][..], |known| known.shape.as_slice());
        let Some(axes) = self.axes.filter(|axes| (2..shape.len()).contains(axes) && self.reads.are_counted()) else {
            return Ok(scores);
        };
        if shape[axes..].iter().any(|length| *length != 1) {
            return Ok(scores);
        }
        let places: Vec<i64> = (axes..shape.len()).map(|axis| axis as i64).collect();
        let places = graph.named_constant("places", Constant::i64([places.len()], &places));
        graph.append("Squeeze", &[scores, places], &[], "scores_of_rows")
    }
}

/// Whether the rows of a batch lie on the second axis of scores and not on the first, as recurrent networks give them that go through a
/// sequence: the open length of the inputs' first axes tells, before it is bound to a number that the sequence may have too. `scores` are
/// laid out as `output` has them.
pub(crate) fn rows_are_second(open: &Graph, scores: ValueId, output: ValueId) -> bool {
    let first = |input: &ValueId| open.tensor_type(*input).and_then(|known| known.shape.first());
    let mut rows = open.inputs().iter().filter_map(first).filter(|length| length.name().is_some());
    let Some(batch) = rows.next().filter(|batch| rows.all(|other| other == *batch)) else { return false };
    let laid = if moves(open, scores, output).is_empty() { scores } else { output };
    match open.tensor_type(laid).map(|known| known.shape.as_slice()) {
        Some([first, second, _, ..]) => second == batch && first != batch,
        _ => false,
    }
}

/// The nodes that have the axes of scores in another order by the time they are the output, and those that reshape or pick beside these,
/// from the scores on. None where the order stays.
fn moves(graph: &Graph, scores: ValueId, output: ValueId) -> Vec<usize> {
    use ScoreEffect::{Chances, Keeps, Picks, Reshapes, Transposes};
    let (mut found, mut value, mut is_turned) = (Vec::new(), output, false);
    while value != scores {
        let Some(index) = graph.maker(value) else { return Vec::new() };
        let node = &graph.nodes()[index];
        let effect = score_effect(node);
        match (effect, node.input(0)) {
            (Some(Keeps | Chances), Some(input)) => value = input,
            (Some(Picks | Reshapes | Transposes), Some(input)) => {
                is_turned |= effect == Some(Transposes);
                found.push(index);
                value = input;
            }
            _ => return Vec::new(),
        }
    }
    found.reverse();
    if is_turned { found } else { Vec::new() }
}

/// The order in which nodes have the axes of a value in the end, where they do no more than that.
fn order_behind(graph: &Graph, moves: &[usize], axes: usize) -> Option<Vec<usize>> {
    moves.iter().try_fold((0..axes).collect::<Vec<usize>>(), |order, at| -> Option<Vec<usize>> {
        let node = &graph.nodes()[*at];
        let perm = node.ints("perm").filter(|perm| node.is("Transpose") && perm.len() == axes)?;
        perm.iter().map(|axis| order.get(usize::try_from(*axis).ok()?).copied()).collect()
    })
}

/// What a node makes of another value than the one that it reads first.
fn repeated(graph: &mut Graph, at: usize, value: ValueId) -> Result<ValueId, CompilerError> {
    let mut node = graph.nodes()[at].clone();
    node.inputs[0] = Some(value);
    (node.outputs, node.metadata) = (Vec::new(), Vec::new());
    let name = graph.free_name("scores_in_order");
    node.name.clone_from(&name);
    graph.add_named(node, &[name], &|_| None)?;
    let made = graph.nodes().last().and_then(|node| node.outputs.first().copied().flatten());
    Ok(made.expect("a node with a named output was just added"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetuning::heads::HeadInput;
    use crate::graph::TensorType;
    use crate::handmade::{graph, model, node, untyped, value, weight, whole, with};
    use crate::losses::standard;
    use crate::model_file::onnx::NodeProto;
    use crate::{FeatureHead, FineTuning, HeadChoice, Loss, Model, OperatorCatalog, TrainingProgram, compile};
    use millstream_schemas::Choice;
    use millstream_schemas::recipe::TrainSelection;

    /// `x` of these lengths behind the batch through these nodes to `y`.
    fn of_nodes(lengths: &[i64], nodes: Vec<NodeProto>) -> Model {
        let shapes: [(&str, &[usize]); 6] = [
            ("w", &[3, 4, 1, 1]),
            ("up", &[4, 3, 1, 1]),
            ("one_class", &[1, 4, 1, 1]),
            ("boxes", &[6, 4, 1, 1]),
            ("m", &[4, 3]),
            ("b", &[3]),
        ];
        let mut scales = weight("scales", &[4]);
        scales.float_data = vec![1.0, 1.0, 2.0, 2.0];
        let numbers = [whole("zero", &[1], &[0]), whole("one", &[1], &[1]), whole("of_boxes", &[4], &[0, 2, 3, -1])];
        let weights = shapes.iter().map(|(name, shape)| weight(name, shape)).chain([scales]).chain(numbers).collect();
        model(graph(nodes, weights, vec![value("x", lengths)], vec![untyped("y")]))
    }

    const MAP: [i64; 3] = [4, 6, 5];

    fn turned(read: &str, made: &str, order: &[i64]) -> NodeProto {
        with(node("Transpose", &[read], &[made]), "perm", order)
    }

    fn softmax(read: &str, made: &str) -> NodeProto {
        with(node("Softmax", &[read], &[made]), "axis", &[1])
    }

    fn fine_tuning(loss: &str, head: HeadChoice, classes: usize) -> FineTuning {
        let loss = Loss::choose(standard(), &Choice::named(loss), "training.loss").unwrap();
        FineTuning { head, loss, train: TrainSelection::All, ..FineTuning::head(2, classes) }
    }

    fn compiled(model: &Model, wanted: &FineTuning) -> Result<TrainingProgram, String> {
        compile(model, wanted, &OperatorCatalog::standard()).map_err(|error| error.to_string())
    }

    /// Name and lengths of what the loss is computed from.
    fn prediction(program: &TrainingProgram) -> (&str, Vec<usize>) {
        let prediction = &program.manifest.prediction;
        (prediction.name.as_str(), prediction.fixed_shape().unwrap())
    }

    #[test]
    fn a_softmax_or_sigmoid_in_front_of_a_transpose_is_not_trained_as_scores() {
        // one layer of which a head can be told, and one of which none can
        for layer in [node("Conv", &["x", "w"], &["s"]), node("ConvTranspose", &["x", "up"], &["s"])] {
            let ends = |link: NodeProto| of_nodes(&MAP, vec![layer.clone(), link, turned("t", "y", &[0, 2, 3, 1])]);
            let sigmoid = || node("Sigmoid", &["s"], &["t"]);
            for (loss, link) in [("cross_entropy", softmax("s", "t")), ("binary_cross_entropy", sigmoid())] {
                let model = ends(link);
                let program = compiled(&model, &fine_tuning(loss, HeadChoice::keep(), 3)).unwrap();
                assert_eq!(prediction(&program), ("s", vec![2, 3, 6, 5]), "{loss}");
                let reads = fine_tuning(loss, HeadChoice::keep(), 3).loss.reads();
                let scoring = model.evaluated(None, reads, Some(3), &OperatorCatalog::standard()).unwrap();
                assert_eq!((scoring.scores.as_str(), scoring.note), ("s", None), "{loss}");
            }
            let refused = compiled(&ends(sigmoid()), &fine_tuning("cross_entropy", HeadChoice::keep(), 3)).err();
            assert!(refused.as_ref().is_some_and(|error| error.contains("node `t` (Sigmoid)")), "{refused:?}");
        }
        for moved in [
            with(node("Gather", &["t", "zero"], &["y"]), "axis", &[2]),
            node("Slice", &["t", "zero", "one", "one"], &["y"]),
            node("Resize", &["t", "", "scales"], &["y"]),
        ] {
            let nodes = vec![node("Conv", &["x", "w"], &["s"]), node("Sigmoid", &["s"], &["t"]), moved];
            let refused = compiled(&of_nodes(&MAP, nodes), &fine_tuning("cross_entropy", HeadChoice::keep(), 3)).err();
            assert!(refused.as_ref().is_some_and(|error| error.contains("node `t` (Sigmoid)")), "{refused:?}");
        }
    }

    #[test]
    fn scores_have_their_places_in_the_order_in_which_the_output_has_them() {
        let (conv, up) = (node("Conv", &["x", "w"], &["s"]), node("ConvTranspose", &["x", "up"], &["s"]));
        for layer in [conv, up] {
            // width before height
            let nodes = vec![layer, softmax("s", "t"), turned("t", "y", &[0, 3, 2, 1])];
            let program =
                compiled(&of_nodes(&MAP, nodes), &fine_tuning("cross_entropy", HeadChoice::keep(), 3)).unwrap();
            assert_eq!(prediction(&program), ("scores_by_class", vec![2, 3, 5, 6]));
        }
    }

    #[test]
    fn a_transpose_behind_the_last_layer_does_not_hide_it() {
        let conv = || node("Conv", &["x", "w"], &["s"]);
        let last = |read: &str| turned(read, "y", &[0, 2, 3, 1]);
        let tagger = || vec![node("MatMul", &["x", "m"], &["p"]), node("Add", &["p", "b"], &["s"])];
        // how long rows are, the nodes; the parameters of a new head for 5 classes, what is said to go
        type Row<'a> = (&'a [i64], Vec<NodeProto>, [&'a [usize]; 2], Option<&'a str>);
        let rows: [Row<'_>; 4] = [
            (&MAP, vec![conv(), last("s")], [&[5, 4, 1, 1], &[]], None),
            (&MAP, vec![conv(), softmax("s", "t"), last("t")], [&[5, 4, 1, 1], &[]], None),
            (&MAP, vec![conv(), node("Sigmoid", &["s"], &["t"]), last("t")], [&[5, 4, 1, 1], &[]], Some("(Sigmoid)")),
            (&[6, 4], [tagger(), vec![turned("s", "y", &[0, 2, 1])]].concat(), [&[4, 5], &[5]], None),
        ];
        for (lengths, nodes, wanted, gone) in rows {
            let told = format!("{:?}", nodes.iter().map(NodeProto::op_type).collect::<Vec<_>>());
            let model = of_nodes(lengths, nodes);
            let new =
                FineTuning { train: TrainSelection::Head, ..fine_tuning("cross_entropy", HeadChoice::default(), 5) };
            let program = compiled(&model, &new).unwrap();
            let shapes = program.manifest.parameters.iter().map(|entry| entry.shape.as_slice());
            let wanted = wanted.into_iter().filter(|shape| !shape.is_empty());
            assert!(shapes.eq(wanted), "{told}: {:?}", program.manifest.parameters);
            assert_eq!(prediction(&program).1[..2], [2, 5], "{told}");
            let note = program.notes.iter().find(|note| note.contains("goes without"));
            assert_eq!(note.is_some(), gone.is_some(), "{told}: {:?}", program.notes);
            assert!(gone.is_none_or(|gone| note.is_some_and(|note| note.contains(gone))), "{told}");
            if gone.is_none() {
                let features = FeatureHead { reads: HeadInput::BeforeHead, ..FeatureHead::default() };
                let program = compiled(&model, &FineTuning { head: HeadChoice::on_features(features), ..new }).unwrap();
                assert_eq!(prediction(&program).1[..2], [2, 5], "{told}");
            }
        }
        let boxes = vec![
            node("Conv", &["x", "boxes"], &["s"]),
            turned("s", "t", &[0, 2, 3, 1]),
            node("Reshape", &["t", "of_boxes"], &["y"]),
        ];
        let rows_second = vec![node("MatMul", &["x", "m"], &["s"]), turned("s", "y", &[1, 0, 2])];
        // boxes of two shapes with three classes each; rows on another axis
        let refused: [(&[i64], Vec<NodeProto>); 2] = [(&MAP, boxes), (&[6, 4], rows_second)];
        for (lengths, nodes) in refused {
            let error =
                compiled(&of_nodes(lengths, nodes), &fine_tuning("cross_entropy", HeadChoice::default(), 5)).err();
            assert!(error.as_ref().is_some_and(|error| error.contains("(Transpose) is no dense layer")), "{error:?}");
        }
    }

    #[test]
    fn a_batch_as_long_as_the_sequence_does_not_hide_that_time_comes_first() {
        for tail in
            [vec![node("Identity", &["s"], &["y"])], vec![with(node("LogSoftmax", &["s"], &["y"]), "axis", &[2])]]
        {
            let steps = vec![turned("x", "t", &[1, 0, 2]), node("MatMul", &["t", "m"], &["s"])];
            let model = of_nodes(&[7, 4], [steps, tail].concat());
            for batch in [7, 2] {
                let wanted = FineTuning { batch: batch.into(), ..fine_tuning("ctc", HeadChoice::keep(), 0) };
                let program = compiled(&model, &wanted).unwrap();
                assert_eq!(prediction(&program), ("scores_in_order", vec![batch, 7, 3]));
            }
            let reads = PredictionKind::SequenceScores;
            let scoring = model.evaluated(None, reads, None, &OperatorCatalog::standard()).unwrap();
            assert_eq!((scoring.scores.as_str(), scoring.places.of_row(&|_| None)), ("scores_in_order", Some(7)));
        }
        // put first by the model itself
        let nodes = vec![
            turned("x", "t", &[1, 0, 2]),
            node("MatMul", &["t", "m"], &["s"]),
            with(node("LogSoftmax", &["s"], &["p"]), "axis", &[2]),
            turned("p", "y", &[1, 0, 2]),
        ];
        let wanted = FineTuning { batch: 7.into(), ..fine_tuning("ctc", HeadChoice::keep(), 0) };
        let program = compiled(&of_nodes(&[7, 4], nodes), &wanted).unwrap();
        assert_eq!(prediction(&program), ("scores_in_order", vec![7, 7, 3]));
    }

    #[test]
    fn a_classifier_that_gives_one_place_is_trained_as_one_of_rows() {
        let layers = || vec![node("GlobalAveragePool", &["x"], &["p"]), node("Conv", &["p", "w"], &["s"])];
        let bare = || vec![node("Identity", &["s"], &["y"])];
        let flat = || vec![softmax("s", "t"), node("Flatten", &["t"], &["y"])];
        for tail in [bare(), flat()] {
            let model = of_nodes(&MAP, [layers(), tail].concat());
            for (axes, keep, new) in [(None, vec![2, 3, 1, 1], vec![2, 5, 1, 1]), (Some(2), vec![2, 3], vec![2, 5])] {
                for (head, classes, wanted) in [(HeadChoice::keep(), 3, keep), (HeadChoice::default(), 5, new)] {
                    let wanted_tuning =
                        FineTuning { prediction_axes: axes, ..fine_tuning("cross_entropy", head, classes) };
                    assert_eq!(prediction(&compiled(&model, &wanted_tuning).unwrap()).1, wanted);
                }
            }
            let (reads, catalog) = (PredictionKind::ClassScores, OperatorCatalog::standard());
            let scoring = model.evaluated_for(None, reads, Some(3), Some(2), &catalog).unwrap();
            assert_eq!(scoring.scores, "scores_of_rows");
        }
        let of_tail = |tail| of_nodes(&MAP, [layers(), tail].concat());
        for (tail, reads, wanted) in [
            (bare(), PredictionKind::ClassScores, None),
            (flat(), PredictionKind::ClassScores, Some("Softmax")),
            (flat(), PredictionKind::Numbers, None),
        ] {
            let found = of_tail(tail).chances(None, reads, Some(3), None, &OperatorCatalog::standard()).unwrap();
            assert_eq!((found.output.as_str(), found.made_by.as_deref(), found.is_one_score), ("y", wanted, false));
        }
        // a map of more places stays one
        let map = of_nodes(&MAP, vec![node("Conv", &["x", "w"], &["y"])]);
        let wanted = FineTuning { prediction_axes: Some(2), ..fine_tuning("cross_entropy", HeadChoice::keep(), 3) };
        assert_eq!(prediction(&compiled(&map, &wanted).unwrap()), ("y", vec![2, 3, 6, 5]));
    }

    #[test]
    fn one_score_a_pixel_of_two_classes_is_read_as_the_scores_of_both() {
        let conv = || node("Conv", &["x", "one_class"], &["s"]);
        let sigmoid = |made: &str| node("Sigmoid", &["s"], &[made]);
        // what follows the scores, and whether they have an axis of their own in the output
        let rows = [
            (vec![node("Identity", &["s"], &["y"])], true),
            (vec![sigmoid("y")], true),
            (vec![turned("s", "t", &[0, 2, 3, 1]), node("Sigmoid", &["t"], &["y"])], true),
            (vec![sigmoid("t"), turned("t", "y", &[0, 2, 3, 1])], true),
            (vec![sigmoid("t"), node("Squeeze", &["t", "one"], &["y"])], false),
            (vec![node("Squeeze", &["s", "one"], &["y"])], false),
        ];
        let catalog = OperatorCatalog::standard();
        for (tail, has_axis) in rows {
            let ending_in_sigmoid = tail.iter().any(|node| node.op_type() == "Sigmoid");
            let told = format!("{:?}", tail.iter().map(NodeProto::op_type).collect::<Vec<_>>());
            let model = of_nodes(&MAP, [vec![conv()], tail].concat());
            let keep = || FineTuning {
                prediction_axes: Some(4),
                ..fine_tuning("sparse_cross_entropy", HeadChoice::keep(), 2)
            };
            let program = compiled(&model, &keep()).unwrap();
            assert_eq!(prediction(&program), ("scores_of_classes", vec![2, 2, 6, 5]), "{told}");
            assert_eq!(program.manifest.targets[0].fixed_shape().unwrap(), [2, 6, 5], "{told}");
            assert!(program.notes.iter().any(|note| note.contains("one score for each place")), "{:?}", program.notes);
            for axes in [None, Some(4)] {
                let reads = PredictionKind::ClassScores;
                let scoring = model.evaluated_for(None, reads, Some(2), axes, &catalog).unwrap();
                assert_eq!((scoring.scores.as_str(), scoring.note), ("scores_of_classes", None), "{told}");
            }
            let made_by = ending_in_sigmoid.then_some("Sigmoid");
            for axes in [None, Some(4)] {
                let chances = model.chances(None, PredictionKind::ClassScores, Some(2), axes, &catalog).unwrap();
                assert_eq!((chances.is_one_score, chances.made_by.as_deref()), (true, made_by), "{told} {axes:?}");
            }
            if has_axis {
                let shape = model.score_shape(None, None, &catalog).unwrap().unwrap();
                assert_eq!(shape[1..], [Some(1), Some(6), Some(5)], "{told}");
            }
            // of three classes, and of classes of rows, it is no score
            let three = fine_tuning("sparse_cross_entropy", HeadChoice::keep(), 3);
            assert!(compiled(&model, &FineTuning { prediction_axes: Some(4), ..three }).is_err(), "{told}");
            assert!(compiled(&model, &FineTuning { prediction_axes: Some(2), ..keep() }).is_err(), "{told}");
            let new = FineTuning { head: HeadChoice::default(), ..keep() };
            let new = compiled(&of_nodes(&MAP, vec![conv(), sigmoid("y")]), &new).unwrap();
            assert_eq!(prediction(&new).1, [2, 2, 6, 5]);
            assert!(!new.notes.iter().any(|note| note.contains("one score for each place")), "{:?}", new.notes);
        }
    }

    #[test]
    fn one_score_a_pixel_of_strips_is_laid_out_with_the_classes_second() {
        // lengths behind the batch, the scores of both classes
        let rows: [(&[usize], &[usize]); 5] = [
            (&[1, 128], &[2, 1, 128]),
            (&[128, 1], &[2, 128, 1]),
            (&[128, 2], &[2, 128, 2]),
            (&[1, 128, 2], &[2, 128, 2]),
            (&[128, 2, 1], &[2, 128, 2]),
        ];
        for (lengths, wanted) in rows {
            let mut graph = Graph::new(17, OperatorCatalog::standard());
            let shape = std::iter::once(Length::named("batch")).chain(lengths.iter().map(|length| (*length).into()));
            let shape: Vec<Length> = shape.collect();
            let scores = graph.input("scores", TensorType::f32(shape));
            let (reads, classes, axes) = (PredictionKind::ClassScores, Some(2), Some(4));
            let layout = ScoreLayout { reads, classes, axes, rows_are_second: false };
            let laid = layout.lay_out(&mut graph, scores, Some(scores)).unwrap();
            let found = graph.tensor_type(laid).unwrap().shape[1..].iter().map(Length::fixed);
            let wanted: Vec<Option<usize>> = wanted.iter().copied().map(Some).collect();
            assert_eq!(found.collect::<Vec<_>>(), wanted, "{lengths:?}");
        }
    }

    #[test]
    fn labels_of_tokens_and_pixels_are_read_along_the_axis_of_the_labels() {
        let tokens = vec![node("MatMul", &["x", "m"], &["s"]), node("Sigmoid", &["s"], &["y"])];
        let pixels = vec![
            node("Conv", &["x", "one_class"], &["s"]),
            turned("s", "t", &[0, 2, 3, 1]),
            node("Sigmoid", &["t"], &["y"]),
        ];
        type Row = (&'static [i64], Vec<NodeProto>, usize, &'static [usize]);
        let rows: [Row; 2] = [(&[6, 4], tokens, 3, &[2, 3, 6]), (&MAP, pixels, 1, &[2, 1, 6, 5])];
        for (lengths, nodes, labels, wanted) in rows {
            let wanted_tuning = fine_tuning("binary_cross_entropy", HeadChoice::keep(), labels);
            let program = compiled(&of_nodes(lengths, nodes), &wanted_tuning).unwrap();
            assert_eq!(prediction(&program).1, wanted);
            assert_eq!(program.manifest.targets[0].fixed_shape().unwrap(), wanted);
        }
    }

    #[test]
    fn square_maps_whose_channels_were_put_last_are_not_read_with_their_rows_as_classes() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let shape = [Length::named("batch"), 3.into(), 21.into(), Length::named("width")];
        let image = graph.input("image", TensorType::f32(shape));
        let kernel = graph.constant("kernel", Constant::f32([21, 3, 1, 1], &[0.5; 63]));
        let map = graph.add("Conv", &[image, kernel], &[]).unwrap();
        let last = graph.transpose(map, &[0, 2, 3, 1]).unwrap();
        let reads = PredictionKind::ClassScores;
        let layout = ScoreLayout { reads, classes: Some(21), axes: None, rows_are_second: false };
        let scores = layout.lay_out(&mut graph, last, Some(last)).unwrap();
        assert_eq!(graph.producer(scores).unwrap().ints("perm"), Some(&[0, 3, 1, 2][..]));
        assert_eq!(layout.lay_out(&mut graph, map, Some(map)).unwrap(), map);
    }
}
