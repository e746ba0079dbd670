//! A model rewritten for training: its head, its layers and what of them is trained, what methods add.

use std::collections::{BTreeMap, HashMap, HashSet};

use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{AxisLength, count, shown};

use crate::adapter_files::ModuleNames;
use crate::binding::{Bindings, length_of};
use crate::finetuning::attention::Attentions;
use crate::finetuning::heads::{HeadModel, PlacedHead};
use crate::finetuning::methods::{AdapterForm, FoldedValue, MergedWeight};
use crate::finetuning::residual::{self, Branch};
use crate::finetuning::stored_form::StoredForm;
use crate::finetuning::{
    self, Applied, FineTuning, Head, Layer, LayerFacts, MethodReport, ParameterFinder, ScoreLayout, Selected,
    SelectedPart, TrainedLayer, Unadapted, Weight, ask_for, batch_statistics, check_factors, chosen_output, dropout,
    initialize, is_one_score, layers_before, normalize, pattern_matches, places, require_finite, rows_are_second,
    select, standardize_input, stochastic_depth, table_copies, tie_copies, training_mode, undo_output, untie,
};
use crate::graph::{Graph, TensorType, ValueId};
use crate::losses::PredictionKind;
use crate::model_file::{Model, lengths_of_all_batches};
use crate::operators::OperatorCatalog;
use crate::{CompilerError, batch_axis};

/// A model rewritten for training, with its layers and what of them is trained.
pub(crate) struct Prepared {
    /// Axes named where they have no length.
    pub(crate) graph: Graph,
    /// Without what methods add and can be merged.
    pub(crate) merged: Graph,
    pub(crate) merges: Vec<MergedWeight>,
    /// What of what stays in it becomes a constant.
    pub(crate) folded: Vec<FoldedValue>,
    pub(crate) head: Option<Head>,
    /// What the head's product reads.
    pub(crate) head_reads: Option<ProductInput>,
    /// The value that the loss is computed from.
    pub(crate) prediction: Option<ValueId>,
    /// The output that it was found from, also where a new head took its place.
    pub(crate) output: Option<ValueId>,
    pub(crate) layers: Vec<Layer>,
    /// Of the model's own layers, those that lead to the prediction.
    pub(crate) trainable: Vec<usize>,
    /// What of the layers is trained.
    pub(crate) selected: Vec<TrainedLayer>,
    /// By the parts of `model.train`, where it does not mean whole layers.
    pub(crate) parts: Vec<SelectedPart>,
    /// How many of the layers are the model's own; the others were added.
    pub(crate) own: usize,
    pub(crate) facts: LayerFacts,
    /// Names of tensors that the file stores once for several parameters, with these.
    pub(crate) untied: Vec<(String, Vec<ValueId>)>,
    /// Results of the `Dropout` nodes of a new head and of methods.
    pub(crate) dropped: Vec<ValueId>,
    /// The model's own residual branches, where they are left out in training.
    pub(crate) branches: Vec<Branch>,
    /// By the names of methods, what files of adapters hold of each.
    pub(crate) files: Vec<(String, AdapterForm)>,
    /// What each method was added to.
    pub(crate) adapted: Vec<MethodReport>,
    /// Weights of the model itself that are trained.
    pub(crate) whole: Vec<WholeWeight>,
    /// All weights of the model's own layers.
    pub(crate) held: Vec<WholeWeight>,
    /// What the names of all layers of the file begin with, in front of the paths of the source's modules.
    pub(crate) wrapper: Option<String>,
    /// The attentions of the model before any method; none where no method is added.
    pub(crate) attentions: Option<Attentions>,
    /// What is not as the file says, in words.
    pub(crate) notes: Vec<String>,
}

/// What the product of a head reads beside the weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProductInput {
    value: ValueId,
    /// Whether it is read transposed, a column for each row of the batch.
    is_turned: bool,
}

impl ProductInput {
    /// Of the node that the head was found at.
    fn of(graph: &Graph, head: &Head) -> Option<Self> {
        let node = graph.nodes().get(head.node)?;
        Some(Self { value: node.input(0)?, is_turned: node.int("transA").unwrap_or(0) != 0 })
    }
}

/// A weight of the model itself.
#[derive(Clone, Debug)]
pub(crate) struct WholeWeight {
    pub(crate) layer: String,
    pub(crate) value: ValueId,
    /// How many axes it has.
    pub(crate) axes: usize,
    /// Whether it is one of the head's.
    pub(crate) is_of_head: bool,
    /// Whether its layer is written as Transformers' `Conv1D` is: a linear layer with a weight `[inputs, outputs]`, as GPT-2 has.
    pub(crate) is_conv1d: bool,
    /// Whether it is a parameter of the source that is no part of a module of its own: `rel_attn.q`, and no `q.weight`.
    pub(crate) is_bare: bool,
    /// What parameter of its layer it is, where that can be told.
    pub(crate) form: Option<StoredForm>,
}

impl Prepared {
    /// What fixes the shapes of the training graph.
    pub(crate) fn bindings(&self, wanted: &FineTuning) -> Bindings {
        Bindings { batch: Some(wanted.batch.clone()), shapes: wanted.inputs.clone(), stated: self.stated(wanted) }
    }

    /// Behind operators that the table does not know, what the head reads and makes follows from its weight, since
    /// training takes one row of scores for each row of the batch.
    fn stated(&self, wanted: &FineTuning) -> BTreeMap<String, TensorType> {
        let Some(head) = self.head.as_ref().filter(|head| head.reads_matrix) else { return BTreeMap::new() };
        let weight = self.graph.constant_of(head.weight).expect("find_head saw it");
        let features = weight.shape[1 - head.class_axis];
        let (batch, features) = (length_of(&wanted.batch), features.into());
        let made = TensorType::f32([batch.clone(), head.classes.into()]);
        let name = |value: ValueId| self.graph.name(value).to_owned();
        let read = self.head_reads.map(|read| {
            let shape = if read.is_turned { [features, batch] } else { [batch, features] };
            (name(read.value), TensorType::f32(shape))
        });
        read.into_iter().chain([(name(head.logits), made)]).collect()
    }

    /// The value that the loss is computed from, in a graph of this model.
    pub(crate) fn prediction_in(&self, graph: &Graph) -> ValueId {
        let prediction = self.prediction.expect("a model that is trained has one");
        graph.find(self.graph.name(prediction)).expect("the bound graph has all values")
    }

    /// How the loss reads that value, in a graph of this model: with its axes in order.
    ///
    /// # Errors
    /// The rule of an operator that moves axes is missing in the graph's table, or refuses the value.
    pub(crate) fn laid_out(
        &self,
        graph: &mut Graph,
        prediction: ValueId,
        wanted: &FineTuning,
    ) -> Result<ValueId, CompilerError> {
        let found = self.prediction.zip(self.output);
        let layout = ScoreLayout {
            reads: wanted.loss.reads(),
            classes: Some(wanted.classes),
            axes: wanted.prediction_axes,
            rows_are_second: found.is_some_and(|(scores, output)| rows_are_second(&self.graph, scores, output)),
        };
        let output = self.output.and_then(|output| graph.find(self.graph.name(output)));
        layout.lay_out(graph, prediction, output)
    }

    /// The selected weights in a graph of this model.
    pub(crate) fn weights(&self, graph: &Graph) -> Vec<ValueId> {
        let weights = self.selected.iter().flat_map(|layer| &layer.weights);
        weights.filter_map(|weight| graph.find(self.graph.name(weight.value))).collect()
    }

    /// Factors on the learning rates of the layers: the first pattern that matches, or else decay by distance from the last
    /// layer before the scores.
    pub(crate) fn multipliers(&self, wanted: &FineTuning) -> Vec<f32> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (index, layer) in self.layers.iter().enumerate() {
            places.entry(&layer.name).or_insert(index);
        }
        let factor = |(index, layer): (usize, &Layer)| {
            let mut named = wanted.learning_rate_multipliers.iter();
            let named = named.find(|entry| pattern_matches(&entry.r#match, &layer.name));
            let own = layer.beside.as_ref().and_then(|own| places.get(own.as_str()).copied()).unwrap_or(index);
            // they are in order
            let distance = self.trainable.len() - self.trainable.partition_point(|other| *other <= own);
            let decayed = || wanted.layer_decay.powi(i32::try_from(distance).unwrap_or(i32::MAX));
            named.map_or_else(decayed, |entry| entry.multiplier) * layer.learning_rate_multiplier
        };
        self.layers.iter().enumerate().map(factor).collect()
    }

    /// For each selection that is asked for, which of these parameters it means: each a layer and a weight of it.
    pub(crate) fn meant(&self, wanted: &FineTuning, parameters: &[(usize, ValueId)]) -> Vec<Vec<usize>> {
        let Self { graph, layers, trainable, own, facts, .. } = self;
        let finder = ParameterFinder { graph, layers, trainable, own: *own, head: self.head.as_ref(), facts };
        places(&finder, &wanted.selections, parameters)
    }

    /// The operator that reads a weight of a layer.
    pub(crate) fn operator(&self, index: usize, weight: &Weight) -> &str {
        if index < self.own { self.facts.operator(weight) } else { &self.layers[index].operator }
    }

    /// Numbers in weights of no layer.
    pub(crate) fn other_weights(&self) -> usize {
        finetuning::other_weights(&self.graph, &self.layers)
    }
}

/// What leads to the scores of the head: a kept one that gives one score for each place of two classes has a sigmoid behind it, and no
/// softmax. It is noted.
fn reads_of_head(graph: &Graph, output: ValueId, wanted: &FineTuning, notes: &mut Vec<String>) -> PredictionKind {
    let (reads, classes) = (wanted.loss.reads(), Some(wanted.classes));
    let shape = graph.tensor_type(output).map_or(&[][..], |known| known.shape.as_slice());
    if !wanted.head.keeps() || !is_one_score(reads, classes, wanted.prediction_axes, shape) {
        return reads;
    }
    notes.push(
        "the model gives one score for each place: that of the second of the two classes, against 0 for the first, so that \
         the cross-entropy of both is the binary cross-entropy of its sigmoid"
            .into(),
    );
    PredictionKind::LabelScores
}

pub(crate) fn prepare(
    model: &Model,
    wanted: &FineTuning,
    catalog: &OperatorCatalog,
) -> Result<Prepared, CompilerError> {
    let mut graph = model.graph(&wanted.inputs, catalog)?;
    let mut notes = model.notes(&graph);
    let normalizing = training_mode::leave(&mut graph);
    notes.extend((normalizing > 0).then(|| {
        format!(
            "the model was exported for training: {} that would normalize by the batch in inference too take the running statistics \
             in the exported model",
            count(normalizing, "BatchNormalization node")
        )
    }));
    batch_axis::repeat_equal_rows(&mut graph, catalog)?;
    notes.extend(any_batch(&mut graph, wanted, catalog)?);
    batch_axis::give_each_row_its_angles(&mut graph)?;
    let dropping = dropout::turn_off(&mut graph);
    notes.extend((dropping > 0).then(|| {
        format!(
            "the model was exported for training: {} that would drop in inference too pass all on in the exported model",
            count(dropping, "Dropout node")
        )
    }));
    notes.extend(finetuning::note_of_ties(&normalize(&mut graph)));
    finetuning::write_einsum_layers(&mut graph)?;
    ask_for(&mut graph, &wanted.train, catalog);
    let untied = untie(&mut graph, catalog);
    if wanted.batch_normalization.follows_batches() {
        batch_statistics::untie_statistics(&mut graph);
    }
    for (input, learned) in &wanted.standardize {
        standardize_input(&mut graph, input, learned)?;
    }
    let own = finetuning::layers(&graph, catalog);
    let wrapper = ModuleNames::wrapper(own.iter().map(|layer| layer.name.as_str()));
    let output = chosen_output(&graph, wanted.output.as_deref())?;
    let reads = reads_of_head(&graph, output, wanted, &mut notes);
    let lengths = lengths_of_all_batches(&graph, &wanted.inputs);
    let mut model = HeadModel {
        output,
        graph: &mut graph,
        reads,
        classes: wanted.loss.reads().outputs(wanted.classes).unwrap_or(wanted.classes),
        masks: &wanted.masks,
        lengths: &lengths,
        seed: wanted.seed,
        operators: catalog,
        notes: &mut notes,
    };
    let PlacedHead { mut head, prediction } = wanted.head.place(&mut model)?;
    if let Some(learned) = &wanted.undo {
        undo_output(&mut graph, prediction, learned)?;
    }
    let mut layers = finetuning::layers(&graph, catalog);
    let trainable = layers_before(&graph, &layers, prediction);
    let asked = [wanted.selections.as_slice(), &wanted.train.selections()].concat();
    let own = layers.len();
    let selecting = |graph: &Graph, layers: &[Layer], head: Option<&Head>| {
        let facts = LayerFacts::find(graph, layers, &asked);
        let finder = ParameterFinder { graph, layers, trainable: &trainable, own, head, facts: &facts };
        let selected = select(&finder, &wanted.train)?;
        Ok::<_, CompilerError>((facts, selected))
    };
    let (mut facts, mut chosen) = selecting(&graph, &layers, head.as_ref())?;
    let mut copies = table_copies(&graph, &layers);
    let trained: HashSet<ValueId> =
        chosen.layers.iter().flat_map(|own| own.weights.iter().map(|weight| weight.value)).collect();
    copies.retain(|copy| trained.contains(&copy.table) || trained.contains(&copy.copy));
    if !copies.is_empty() {
        notes.extend(tie_copies(&mut graph, &copies, &mut layers, &mut head)?);
        (facts, chosen) = selecting(&graph, &layers, head.as_ref())?;
    }
    // before methods add nodes
    let head_reads = head.as_ref().and_then(|head| ProductInput::of(&graph, head));
    let Selected { layers: mut selected, parts, notes: of_parts } = chosen;
    notes.extend(of_parts);
    notes.extend(finetuning::note_of_rates(&graph, selected.iter().flat_map(|layer| &layer.weights)));
    if wanted.train == TrainSelection::Nothing && !wanted.head.keeps() {
        return Err(CompilerError::setting(
            "model.train",
            "the new head would stay as it was drawn; use `train: head`",
        ));
    }
    let whole: Vec<usize> = selected.iter().filter(|own| own.is_whole(&layers)).map(|own| own.index).collect();
    let drawn = initialize(&mut graph, (&layers, &trainable, &whole), &wanted.initialize, wanted.seed)?;
    notes.extend((drawn > 0).then(|| format!("layers that start from new weights: {drawn}")));
    require_finite(&graph, trainable.iter().map(|index| &layers[*index]))?;
    let branches = wanted.stochastic_depth.map_or_else(Vec::new, |_| residual::branches(&graph, prediction));
    let of_branches = wanted.stochastic_depth.map(|depth| stochastic_depth::note(&graph, &branches, depth));
    notes.extend(of_branches.transpose()?);
    let adaptable: Vec<Layer> = trainable.iter().map(|index| layers[*index].clone()).collect();
    let unadapted = Unadapted {
        graph: &graph,
        layers: &adaptable,
        head: head.as_ref(),
        prediction,
        operators: catalog,
        seed: wanted.seed,
    };
    let applied = Applied::of(&wanted.methods, unadapted)?;
    layers.extend(applied.layers);
    selected.extend((own..layers.len()).map(|index| TrainedLayer::whole(&layers, index)));
    let whole = whole_weights(&graph, &layers, head.as_ref(), &selected);
    let all: Vec<TrainedLayer> = (0..own).map(|index| TrainedLayer::whole(&layers, index)).collect();
    let held = whole_weights(&graph, &layers, head.as_ref(), &all);
    notes.extend(applied.notes);
    let mut dropped = applied.dropped;
    dropped.extend(head.iter().flat_map(|head| &head.dropped));
    let Applied { graph, merged, merges, folded, files, adapted, attentions, .. } = applied;
    notes.extend(dropout::note(&graph, prediction, &dropped, wanted.dropout)?);
    let prediction = Some(prediction);
    let mut prepared = Prepared {
        graph,
        merged,
        merges,
        folded,
        head,
        head_reads,
        prediction,
        output: Some(output),
        layers,
        trainable,
        selected,
        parts,
        untied,
        dropped,
        branches,
        files,
        adapted,
        whole,
        held,
        wrapper,
        attentions,
        own,
        facts,
        notes,
    };
    let weights = prepared.weights(&prepared.graph);
    let note = batch_statistics::note(&prepared.graph, &weights, wanted.batch_normalization)?;
    prepared.notes.extend(note);
    let factors = prepared.multipliers(wanted);
    let factor = |index: usize| factors[index];
    let selected: Vec<usize> = prepared.selected.iter().map(|layer| layer.index).collect();
    check_factors(&prepared.layers, &selected, &wanted.learning_rate_multipliers, factor)?;
    let still: Vec<String> = selected
        .iter()
        .filter(|index| factor(**index) == 0.0)
        .map(|index| shown(&prepared.layers[*index].name))
        .collect();
    if let Some(first) = still.first() {
        prepared
            .notes
            .push(format!("{} selected layer(s) have multiplier 0 and stay as they are, `{first}` first", still.len()));
    }
    Ok(prepared)
}

/// The weights of these layers that a graph has by itself.
fn whole_weights(base: &Graph, layers: &[Layer], head: Option<&Head>, selected: &[TrainedLayer]) -> Vec<WholeWeight> {
    let own = selected.iter().flat_map(|own| own.weights.iter().map(|weight| (&layers[own.index], weight)));
    let own = own.filter(|(_, weight)| base.contains(weight.value));
    own.map(|(layer, weight)| WholeWeight {
        layer: layer.beside.clone().unwrap_or_else(|| layer.name.clone()),
        value: weight.value,
        axes: weight.shape.len(),
        is_of_head: head.is_some_and(|head| head.has(weight.value)),
        is_conv1d: base.nodes().get(weight.node).is_some_and(|node| {
            node.is("Gemm") && node.int("transB").unwrap_or(0) == 0 && node.input(1) == Some(weight.value)
        }),
        is_bare: base.name(weight.value) == layer.name && layer.name.contains('.'),
        form: StoredForm::of(base, weight),
    })
    .collect()
}

/// Frees a batch that the file fixes; an error where it must be another and cannot.
fn any_batch(
    graph: &mut Graph,
    wanted: &FineTuning,
    catalog: &OperatorCatalog,
) -> Result<Option<String>, CompilerError> {
    let Some(fixed) = batch_axis::fixed_rows(graph) else { return Ok(None) };
    match batch_axis::free(graph, &wanted.inputs, catalog) {
        Ok(()) => {
            let takes = match &wanted.batch {
                AxisLength::Fixed(batch) => format!("batches of {batch}, and the exported model any number of rows"),
                AxisLength::Named(_) => "any number of rows, and so does the exported model".to_owned(),
            };
            Ok(Some(format!(
                "the model's file fixes its batch at {fixed}; the axis was freed: the training step takes {takes}"
            )))
        }
        Err(obstacle) if wanted.batch == AxisLength::Fixed(fixed) => {
            Ok(Some(format!("the model's file fixes its batch at {fixed}, and so will the exported model; {obstacle}")))
        }
        Err(obstacle) => Err(CompilerError::setting(
            "data.batch",
            format!(
                "the model's file fixes its batch at {fixed}, the recipe says {}, and it cannot be made so: {obstacle}. \
             Go on with `data.batch: {fixed}`, or export the model with a symbolic first axis",
                wanted.batch
            ),
        )),
    }
}

/// Numbers in all layers, tied weights counted once.
pub(crate) fn unique_parameters(layers: &[Layer]) -> usize {
    unique_numbers(layers.iter().flat_map(|layer| &layer.weights))
}

/// Numbers in these weights, tied ones counted once.
pub(crate) fn unique_numbers<'a>(weights: impl Iterator<Item = &'a Weight>) -> usize {
    let mut seen = std::collections::HashSet::new();
    let weights = weights.filter(|weight| seen.insert(weight.value));
    weights.map(|weight| weight.shape.iter().product::<usize>()).sum()
}
