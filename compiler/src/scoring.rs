use std::collections::BTreeMap;

use millstream_schemas::AxisLength;

use crate::binding::{Bindings, bind};
use crate::finetuning::{
    ScoreLayout, chances_behind, chosen_output, ending, find_scores, is_one_score, named, normalize, rows_are_second,
};
use crate::graph::{Graph, Length, ValueId};
use crate::losses::PredictionKind;
use crate::operators::OperatorCatalog;
use crate::row_places::RowPlaces;
use crate::run_graph::RunGraph;
use crate::{CompilerError, Model};

/// How an output holds what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chances {
    /// The output that is read.
    pub output: String,
    /// The operator by which the model itself makes chances of the scores on their way there (`Softmax`, `LogSoftmax`, `Sigmoid`); none
    /// where it gives the scores as a loss reads them, or numbers.
    pub made_by: Option<String>,
    /// Whether it has one score for each place, that of the second of two classes.
    pub is_one_score: bool,
}

/// A model as it is evaluated.
#[derive(Clone, Debug)]
pub struct Scoring {
    /// What is run.
    pub model: RunGraph,
    /// The output that holds what a loss takes: class scores before any softmax, or numbers.
    pub scores: String,
    /// How the scores are read, where they are not what a cross-entropy takes.
    pub note: Option<String>,
    /// Of scores at each place of a sequence, how many places are a row's.
    pub places: RowPlaces,
}

impl Model {
    /// The model with what a loss is computed from as an output, for a loss that reads it so: scores, the logits that training
    /// computes its loss from, also where the file itself gives only probabilities, those of classes as `[batch, classes, …]`;
    /// or numbers and vectors as the model gives them. `output` names the output that they lead to; needed when there are several. `classes`: how many there are, where
    /// it is known.
    ///
    /// # Errors
    /// The model has no such output, or several and none is named.
    pub fn evaluated(
        &self,
        output: Option<&str>,
        reads: PredictionKind,
        classes: Option<usize>,
        catalog: &OperatorCatalog,
    ) -> Result<Scoring, CompilerError> {
        self.evaluated_for(output, reads, classes, None, catalog)
    }

    /// As [`Model::evaluated`]; `axes`: how many a prediction has that the targets are held against, where it is known. Where it is 2, a
    /// model that gives `[batch, classes, 1, 1]` is read as one that gives `[batch, classes]`; where it is 4 and there are two classes, one
    /// that gives `[batch, height, width]` as one score for each place.
    ///
    /// # Errors
    /// As of [`Model::evaluated`].
    pub fn evaluated_for(
        &self,
        output: Option<&str>,
        reads: PredictionKind,
        classes: Option<usize>,
        axes: Option<usize>,
        catalog: &OperatorCatalog,
    ) -> Result<Scoring, CompilerError> {
        let mut graph = self.graph(&BTreeMap::new(), catalog)?;
        let output = chosen_output(&graph, output)?;
        let (scores, note) = match reads {
            PredictionKind::Numbers | PredictionKind::Embeddings | PredictionKind::Boxes => (output, None),
            PredictionKind::ClassScores | PredictionKind::LabelScores | PredictionKind::SequenceScores => {
                let mut normalized = graph.clone();
                normalize(&mut normalized);
                let found_as = found_as(&graph, output, reads, classes, axes);
                let scores = find_scores(&normalized, output, found_as);
                let note = ending(&normalized, scores).map(|node| {
                    format!(
                        "the model ends in {}: what it gives is read as scores as it is, so the most likely classes \
                         are those that it means, and the loss, which takes scores before a softmax, is not the one it was \
                         trained with",
                        named(&normalized, node)
                    )
                });
                (scores, note)
            }
        };
        let rows_are_second = rows_are_second(&graph, scores, output);
        let scores = ScoreLayout { reads, classes, axes, rows_are_second }.lay_out(&mut graph, scores, Some(output))?;
        if !graph.outputs().contains(&scores) {
            graph.output(scores);
        }
        graph.take_batches(true);
        let places = RowPlaces::of(&graph, graph.inputs(), scores);
        let model = RunGraph::unfolded(&self.header(), &graph)?;
        Ok(Scoring { model, scores: graph.name(scores).to_owned(), note, places })
    }

    /// How an output holds what it tells. `output` as of [`Model::evaluated`], `classes`: how many there are, where it is known, `axes` as of
    /// [`Model::evaluated_for`].
    ///
    /// # Errors
    /// As of [`Model::evaluated`].
    pub fn chances(
        &self,
        output: Option<&str>,
        reads: PredictionKind,
        classes: Option<usize>,
        axes: Option<usize>,
        catalog: &OperatorCatalog,
    ) -> Result<Chances, CompilerError> {
        let mut graph = self.graph(&BTreeMap::new(), catalog)?;
        let output = chosen_output(&graph, output)?;
        let name = graph.name(output).to_owned();
        let found_as = found_as(&graph, output, reads, classes, axes);
        normalize(&mut graph);
        let scores = find_scores(&graph, output, found_as);
        let made_by = chances_behind(&graph, scores, output, found_as).map(str::to_owned);
        Ok(Chances { output: name, made_by, is_one_score: found_as != reads })
    }

    /// The lengths of the class scores that an output leads to, laid out as a loss reads them, `[batch, classes, …]`: `None` for one that
    /// stays open. None at all where the graph does not tell them. `classes`: how many there are, where it is known. A model of one
    /// score for each place has it on the second axis.
    ///
    /// # Errors
    /// As of [`Model::evaluated`].
    pub fn score_shape(
        &self,
        output: Option<&str>,
        classes: Option<usize>,
        catalog: &OperatorCatalog,
    ) -> Result<Option<Vec<Option<usize>>>, CompilerError> {
        let reads = PredictionKind::ClassScores;
        let mut graph = self.graph(&BTreeMap::new(), catalog)?;
        let output = chosen_output(&graph, output)?;
        let mut normalized = graph.clone();
        normalize(&mut normalized);
        // of two classes where nobody says how many there are; what is told is the one score as it is
        let found_as = found_as(&graph, output, reads, classes.or(Some(2)), None);
        let scores = find_scores(&normalized, output, found_as);
        let rows_are_second = rows_are_second(&graph, scores, output);
        let classes = if found_as == reads { classes } else { Some(1) };
        let layout = ScoreLayout { reads: found_as, classes, axes: None, rows_are_second };
        let scores = layout.lay_out(&mut graph, scores, Some(output))?;
        Ok(graph.tensor_type(scores).map(|known| known.shape.iter().map(Length::fixed).collect()))
    }

    /// The lengths of an output for inputs of these shapes, as the rules of operators tell them: `None` for one that stays open. None at all
    /// where they do not tell them, where the inputs do not fit, and of an output that there is not.
    pub fn output_shape(
        &self,
        output: &str,
        inputs: &BTreeMap<String, Vec<AxisLength>>,
        catalog: &OperatorCatalog,
    ) -> Option<Vec<Option<usize>>> {
        let open = self.graph(inputs, catalog).ok()?;
        let rows = inputs.values().next()?.first()?.clone();
        let bindings = Bindings { batch: Some(rows), shapes: inputs.clone(), stated: BTreeMap::new() };
        let bound = bind(&open, &bindings, catalog).ok()?;
        let value = bound.outputs().iter().find(|value| bound.name(**value) == output)?;
        Some(bound.tensor_type(*value)?.shape.iter().map(Length::fixed).collect())
    }
}

/// What leads to the scores of an output: those of one score for each place stand in front of a sigmoid.
fn found_as(
    graph: &Graph,
    output: ValueId,
    reads: PredictionKind,
    classes: Option<usize>,
    axes: Option<usize>,
) -> PredictionKind {
    let shape = graph.tensor_type(output).map_or(&[][..], |known| known.shape.as_slice());
    if is_one_score(reads, classes, axes, shape) { PredictionKind::LabelScores } else { reads }
}
