mod cut;
mod folded_bytes;
mod memory;
mod prediction_check;
mod tuned_model;

pub use folded_bytes::FoldedBytes;

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{ParameterEntry, TrainingManifest};

use crate::backward::{TrainedPath, gradients, gradients_behind};
use crate::binding::bind;
use crate::finetuning::batch_statistics::{self, OpenedStatistic, RowsOfBatch, Use, statistics_graph};
use crate::finetuning::methods::{FoldedValue, MergedWeight};
use crate::finetuning::{FineTuning, TrainedLayer, is_matrix};
use crate::finetuning::{dropout, stochastic_depth};
use crate::graph::{Graph, Length, ValueId};
use crate::mixed_precision::{MixedPrecision, Plan, format_of, mix_both, mixed_gradients};
use crate::model_file::onnx::ModelProto;
use crate::model_file::{Header, MOST_ENCODED, Model, OnnxFile};
use crate::operators::OperatorCatalog;
use crate::peft_plan::PeftPlan;
use crate::prepared::{Prepared, prepare, unique_numbers, unique_parameters};
use crate::raised_opset::raise;
use crate::row_places::RowPlaces;
use crate::run_graph::{Provider, RunGraph};
use crate::straight_through::let_gradients_pass;
use crate::tensor_entry::tensor_entry;
use crate::traced_lengths::TracedLength;
use crate::trained_adapters::TrainedAdapters;
use crate::{CompilerError, suffix, traced_lengths};
use prediction_check::check_prediction;

/// A model compiled for training: graphs in plain ONNX, with its parameters beside it.
#[derive(Clone, Debug)]
pub struct TrainingProgram {
    /// What the inputs and outputs mean.
    pub manifest: TrainingManifest,
    /// First values of the parameters, in manifest order.
    pub parameters: Vec<Vec<f32>>,
    /// Numbers that are trained.
    pub trained: usize,
    /// Numbers of other weights, which stay as they are.
    pub frozen: usize,
    /// For each of [`FineTuning::selections`], the places in the manifest of the parameters that it means, running statistics
    /// left out.
    pub selected: Vec<Vec<usize>>,
    /// What is done otherwise than the model's file says, in words.
    pub notes: Vec<String>,
    /// Of a prediction at each place of a sequence, how many places are a row's.
    pub places: RowPlaces,
    /// Lengths that nodes ask of axes of inputs which are left open: batches of others end in the run.
    pub traced_lengths: Vec<TracedLength>,
    /// Length of each axis of the prediction, in the manifest's names.
    prediction_shape: Vec<Length>,
    /// The pretrained model with the new head and what methods add, before training.
    deployed: Graph,
    /// The same without what can be merged.
    merged: Graph,
    /// How it is merged.
    merges: Vec<MergedWeight>,
    /// What of what stays in it becomes a constant.
    folded: Vec<FoldedValue>,
    /// What files of adapters hold of it.
    adapters: TrainedAdapters,
    /// What folders of PEFT hold of it, once that was asked; or why there are none.
    peft: OnceLock<Result<PeftPlan, String>>,
    /// What the loss is computed from, by its name in both.
    scores: String,
    /// What the pretrained model's file says beside its graph.
    header: Header,
    step: Graph,
    evaluation: Graph,
    /// What gives the statistics of a batch, where they are computed anew for what is exported.
    statistics: Option<Graph>,
    /// What of the training step runs in 16 bits, where any does.
    pub mixed: Option<MixedPrecision>,
}

/// Compiles a pretrained model into a training step, by the rules of a catalog: [`OperatorCatalog::standard`], or one with rows
/// of your own.
///
/// # Errors
/// The selection or head does not fit, an operator between the loss and the trained layers has no gradient, or shapes
/// do not fit; the error names the node.
pub fn compile(
    model: &Model,
    wanted: &FineTuning,
    catalog: &OperatorCatalog,
) -> Result<TrainingProgram, CompilerError> {
    compile_selected(model, wanted, catalog).map_err(|error| with_trainable(error, model, wanted, catalog))
}

/// Says in the error of a missing gradient how many of the last layers can be trained. They are compiled to find out.
fn with_trainable(
    error: CompilerError,
    model: &Model,
    wanted: &FineTuning,
    catalog: &OperatorCatalog,
) -> CompilerError {
    let CompilerError::MissingGradient { operator, opset, node, reason, path, .. } = error else { return error };
    let trainable = prepare(model, wanted, catalog).ok().map(|prepared| {
        let layers = prepared.trainable.len();
        let compiles = |count: usize| {
            let wanted = FineTuning { train: TrainSelection::Last(count), ..wanted.clone() };
            compile_selected(model, &wanted, catalog).is_ok()
        };
        (suffix::largest(layers, compiles), layers)
    });
    CompilerError::MissingGradient { operator, opset, node, reason, path, trainable }
}

/// As [`compile`], without a word of what else could be trained.
fn compile_selected(
    model: &Model,
    wanted: &FineTuning,
    catalog: &OperatorCatalog,
) -> Result<TrainingProgram, CompilerError> {
    let prepared = prepare(model, wanted, catalog)?;
    let mut graph = bind(&prepared.graph, &prepared.bindings(wanted), catalog)
        .map_err(|error| or_one_row(error, &prepared, wanted, catalog))?;
    raise(&mut graph, catalog);
    graph.take_batches(true);
    let mut prediction = prepared.prediction_in(&graph);
    let own: Vec<ValueId> =
        prepared.dropped.iter().filter_map(|value| graph.find(prepared.graph.name(*value))).collect();
    let dropping: HashSet<ValueId> = dropout::places(&graph, prediction, &own, wanted.dropout)
        .into_iter()
        .filter_map(|at| graph.nodes()[at].outputs[0])
        .collect();
    prediction = prepared.laid_out(&mut graph, prediction, wanted)?;
    TrainedPath::find(&graph, prediction, &prepared.weights(&graph), catalog).require_gradients(&graph, catalog)?;
    check_prediction(&graph, prediction, wanted, prepared.head.as_ref())?;

    let data_inputs = graph.inputs().to_vec();
    let places = RowPlaces::of(&graph, &data_inputs, prediction);
    let traced_lengths = traced_lengths::of_fitting(&graph, prediction);
    let prediction_shape = graph.shape(prediction)?.to_vec();
    let inputs = wanted.loss.inputs(&mut graph, prediction)?;
    let layers = &prepared.layers;
    require_exportable(&prepared.selected)?;
    let mut trained = Trained::open(&prepared, wanted, &mut graph);
    let numbers: usize = trained.first.iter().map(Vec::len).sum();
    let selected = prepared.meant(wanted, &trained.places);
    let normalizations = match wanted.batch_normalization.follows_batches() {
        false => Vec::new(),
        true => batch_statistics::normalizations(&graph, &trained.values),
    };
    let statistics = batch_statistics::open_statistics(&mut graph, &normalizations, &trained.values)?;
    let before = graph.nodes().len();
    let first_of_loss = graph.values_so_far();
    let nodes = wanted.loss.nodes(&mut graph, &inputs)?;
    let of_loss = first_of_loss..graph.values_so_far();
    call(&mut graph, nodes.loss, "loss", before);
    let measured: Vec<ValueId> = [nodes.loss, prediction].into_iter().chain(nodes.weight).collect();
    let mut evaluation = graph.clone();
    evaluation.set_outputs(&measured);
    let rows = RowsOfBatch { inputs: &inputs, ignored_class: wanted.loss.ignored_class() };
    let of_batch = wanted.batch_normalization.is_reestimated();
    let of_batch = of_batch.then(|| statistics_graph(&graph, &normalizations, &rows, &statistics)).transpose()?;
    let next = batch_statistics::take_from_batch(&mut graph, &normalizations, &rows, Use::Followed)?;
    let mut masks = dropout::make_live(&mut graph, &dropping)?;
    if let Some(depth) = wanted.stochastic_depth {
        let name = |value: ValueId| prepared.graph.name(value).to_owned();
        masks.extend(stochastic_depth::make_live(&mut graph, &prepared.branches, depth, &wanted.batch, &name)?);
    }
    let_gradients_pass(&mut graph, &trained.values, catalog)?;
    let before = graph.nodes().len();
    let first_of_gradient = graph.values_so_far();
    let (stated, format) = (wanted.loss.gradient(&mut graph, &inputs)?, format_of(wanted.precision));
    let (gradient_values, mixed) = match (format, stated) {
        (Some(format), stated) => {
            let (of_loss, of_prediction) = ((nodes.loss, of_loss, first_of_gradient), (prediction, stated));
            let made = mixed_gradients(&mut graph, format, of_loss, of_prediction, &trained.values, catalog)?;
            (made.values.clone(), Some((format, made)))
        }
        (None, Some(stated)) => (gradients_behind(&mut graph, (prediction, stated), &trained.values, catalog)?, None),
        (None, None) => (gradients(&mut graph, nodes.loss, &trained.values, catalog)?, None),
    };
    let mut gradient_values = distinct(&mut graph, gradient_values)?;
    let scale = mixed.as_ref().and_then(|(_, made)| made.scale.as_ref());
    if let Some(scale) = scale {
        gradient_values = scale.divide(&mut graph, &gradient_values)?;
    }
    for (entry, gradient) in trained.entries.iter_mut().zip(&gradient_values) {
        call(&mut graph, *gradient, &format!("{}.gradient", entry.name), before);
        entry.gradient = graph.name(*gradient).to_owned();
    }
    let next = trained.follow(&mut graph, statistics, &next);
    graph.set_outputs(&[measured, gradient_values, next].concat());
    graph.join_reshapes();
    let loss_scale = scale.map(|scale| tensor_entry(&graph, scale.scale));
    let mixed = mixed.map(|(format, made)| {
        let parameters = &trained.values;
        let plan = Plan { format, parameters, wide: prediction, loss: &made.loss };
        mix_both([&mut graph, &mut evaluation], &plan)
    });

    let frozen = unique_parameters(layers) + prepared.other_weights() - numbers;
    let manifest = TrainingManifest {
        version: TrainingManifest::VERSION,
        batch: wanted.batch.clone(),
        inputs: data_inputs.iter().map(|input| tensor_entry(&graph, *input)).collect(),
        targets: vec![tensor_entry(&graph, inputs.targets)],
        weights: inputs.weights.map(|weights| tensor_entry(&graph, weights)),
        lengths: inputs.lengths.map(|lengths| tensor_entry(&graph, lengths)),
        loss: tensor_entry(&graph, nodes.loss),
        prediction: tensor_entry(&graph, prediction),
        weight: nodes.weight.map(|weight| tensor_entry(&graph, weight)),
        masks,
        loss_scale,
        parameters: trained.entries,
    };
    OnnxFile::new(graph.model_proto(STEP))?;
    let notes = prepared.notes.into_iter().chain(mixed.as_ref().map(ToString::to_string)).collect();
    let adapters = TrainedAdapters {
        files: prepared.files,
        whole: prepared.whole,
        held: prepared.held,
        wrapper: prepared.wrapper,
        has_statistics: manifest.parameters.iter().any(|entry| entry.is_statistic),
    };
    let scores = prepared.graph.name(prepared.prediction.expect("a model that is trained has one")).to_owned();
    Ok(TrainingProgram {
        scores,
        manifest,
        parameters: trained.first,
        trained: numbers,
        frozen,
        selected,
        notes,
        places,
        traced_lengths,
        prediction_shape,
        deployed: prepared.graph,
        merged: prepared.merged,
        merges: prepared.merges,
        folded: prepared.folded,
        adapters,
        peft: OnceLock::new(),
        header: model.header(),
        step: graph,
        evaluation,
        statistics: of_batch,
        mixed,
    })
}

/// What a step changes: inputs of its graph.
struct Trained {
    values: Vec<ValueId>,
    /// Where in the prepared model they are: layer and weight.
    places: Vec<(usize, ValueId)>,
    /// What they are before the first step.
    first: Vec<Vec<f32>>,
    entries: Vec<ParameterEntry>,
}

impl Trained {
    /// Makes the selected weights inputs of a graph of the prepared model.
    fn open(prepared: &Prepared, wanted: &FineTuning, graph: &mut Graph) -> Self {
        let mut this = Self { values: Vec::new(), places: Vec::new(), first: Vec::new(), entries: Vec::new() };
        let (mut seen, multipliers) = (HashSet::new(), prepared.multipliers(wanted));
        for TrainedLayer { index, weights } in &prepared.selected {
            let layer = &prepared.layers[*index];
            for weight in weights {
                let name = prepared.graph.name(weight.value);
                if !seen.insert(name) {
                    continue; // tied: read by several nodes, trained once
                }
                let id = graph.find(name).expect("the bound graph has all constants");
                let constant = graph.constant_of(id).expect("initializers are constants").clone();
                this.first.push(constant.to_f32().expect("layers() lists float32 weights only"));
                graph.constant_to_input(id);
                this.values.push(id);
                this.places.push((*index, weight.value));
                this.entries.push(ParameterEntry {
                    name: name.to_owned(),
                    shape: weight.shape.clone(),
                    gradient: String::new(),
                    layer: layer.name.clone(),
                    learning_rate_multiplier: multipliers[*index],
                    weight_decay: is_matrix(prepared.operator(*index, weight), weight),
                    weight_decay_strength: None,
                    is_statistic: false,
                });
            }
        }
        this
    }

    /// Lists running statistics behind the weights, and returns their next values.
    fn follow(
        &mut self,
        graph: &mut Graph,
        opened: Vec<OpenedStatistic>,
        next: &HashMap<ValueId, ValueId>,
    ) -> Vec<ValueId> {
        let mut outputs = Vec::new();
        let places: HashMap<ValueId, usize> = self.values.iter().enumerate().map(|(at, value)| (*value, at)).collect();
        for statistic in opened {
            let (name, next) = (graph.name(statistic.value).to_owned(), next[&statistic.value]);
            call(graph, next, &format!("{name}.next"), 0);
            let of_layer = places.get(&statistic.beside).copied();
            self.entries.push(ParameterEntry {
                shape: vec![statistic.first.len()],
                gradient: graph.name(next).to_owned(),
                layer: of_layer.map_or_else(String::new, |index| self.entries[index].layer.clone()),
                learning_rate_multiplier: 1.0,
                weight_decay: false,
                weight_decay_strength: None,
                is_statistic: true,
                name,
            });
            self.first.push(statistic.first);
            outputs.push(next);
        }
        outputs
    }
}

/// Names of the graphs.
const STEP: &str = "training_step";
const EVALUATION: &str = "evaluation";
const STATISTICS: &str = "batch_statistics";

impl TrainingProgram {
    /// The training step with all weights inside. Inputs: data, targets, weights and lengths where the loss takes them, then parameters
    /// in manifest order, then the masks of dropout and the scale of the loss. Outputs: loss, prediction, weight where the loss has one, then one gradient a parameter in the same
    /// order.
    ///
    /// # Errors
    /// It would be larger than an ONNX file in one piece can be.
    pub fn step(&self) -> Result<OnnxFile, CompilerError> {
        OnnxFile::new(self.step.model_proto(STEP))
    }

    /// The evaluation with all weights inside: the inputs of the training step; outputs: all but the gradients.
    ///
    /// # Errors
    /// As [`TrainingProgram::step`].
    pub fn evaluation(&self) -> Result<OnnxFile, CompilerError> {
        OnnxFile::new(self.evaluation.model_proto(EVALUATION))
    }

    /// Length of each axis of the prediction, in the names of axes that the manifest has.
    pub fn prediction_shape(&self) -> &[Length] {
        &self.prediction_shape
    }

    /// The training step before it is written.
    #[cfg(test)]
    pub(crate) fn step_graph(&self) -> &Graph {
        &self.step
    }

    /// Training step and evaluation.
    pub(crate) fn protos(&self) -> [ModelProto; 2] {
        [self.step.model_proto(STEP), self.evaluation.model_proto(EVALUATION)]
    }

    /// Training step and evaluation as sessions of a provider take them, which read the same frozen weights.
    ///
    /// # Errors
    /// As [`TrainingProgram::step`].
    pub fn run_graphs(&self, provider: Provider) -> Result<[RunGraph; 2], CompilerError> {
        RunGraph::folded([(&self.step, STEP), (&self.evaluation, EVALUATION)], provider)
    }

    /// Whether statistics of normalizations are to be computed anew for what is exported.
    pub fn reestimates(&self) -> bool {
        self.statistics.is_some()
    }

    /// The graph that gives mean and variance of a batch for each running statistic, in manifest order, with all weights inside:
    /// its inputs are those of the evaluation, and dropout passes all on. Variances are divided by one less than their elements.
    /// Nothing where none are to be computed anew.
    ///
    /// # Errors
    /// As [`TrainingProgram::step`].
    pub fn batch_statistics(&self) -> Result<Option<OnnxFile>, CompilerError> {
        self.statistics.as_ref().map(|graph| OnnxFile::new(graph.model_proto(STATISTICS))).transpose()
    }

    /// The same as a session of a provider takes it; it reads the frozen weights of [`TrainingProgram::run_graphs`].
    ///
    /// # Errors
    /// As [`TrainingProgram::step`].
    pub fn statistics_run_graph(&self, provider: Provider) -> Result<Option<RunGraph>, CompilerError> {
        let Some(statistics) = &self.statistics else { return Ok(None) };
        let graphs = [(&self.step, STEP), (&self.evaluation, EVALUATION), (statistics, STATISTICS)];
        let [_, _, statistics] = RunGraph::folded(graphs, provider)?;
        Ok(Some(statistics))
    }
}

/// Some graphs take only one row at a time, whatever their input's axis is called: then that is what to do.
fn or_one_row(
    error: CompilerError,
    prepared: &Prepared,
    wanted: &FineTuning,
    catalog: &OperatorCatalog,
) -> CompilerError {
    let mut alone = FineTuning { batch: 1.into(), ..wanted.clone() };
    alone.inputs.values_mut().filter_map(|shape| shape.first_mut()).for_each(|rows| *rows = 1.into());
    if wanted.batch == alone.batch || bind(&prepared.graph, &prepared.bindings(&alone), catalog).is_err() {
        return error;
    }
    CompilerError::setting(
        "data.batch",
        format!("{error}. The model takes one row at a time: go on with `data.batch: 1`"),
    )
}

/// Trained weights are apart from each other even where the file keeps them in one place, and the exported model holds
/// them all.
fn require_exportable(selected: &[TrainedLayer]) -> Result<(), CompilerError> {
    let bytes = unique_numbers(selected.iter().flat_map(|layer| &layer.weights)).saturating_mul(size_of::<f32>());
    if bytes <= MOST_ENCODED {
        return Ok(());
    }
    Err(CompilerError::setting(
        "model.train",
        format!(
            "the layers that model.train selects hold {bytes} bytes, and an ONNX file in one piece at most {MOST_ENCODED}: \
         train fewer layers"
        ),
    ))
}

/// Names an output that one of the nodes from `first` on computes.
fn call(graph: &mut Graph, value: ValueId, name: &str, first: usize) {
    if graph.maker(value).is_some_and(|at| at >= first) {
        // where the model calls something else so, the output keeps the name that it has
        let _ = graph.rename(value, name);
    }
}

/// A value can be one output only: parameters that share a gradient get a copy each.
fn distinct(graph: &mut Graph, values: Vec<ValueId>) -> Result<Vec<ValueId>, CompilerError> {
    let (mut seen, mut copies) = (HashSet::new(), Vec::with_capacity(values.len()));
    for value in values {
        copies.push(if seen.insert(value) { value } else { graph.add("Identity", &[value], &[])? });
    }
    Ok(copies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, model, node, untyped, value, weight};
    use crate::model_file::onnx::NodeProto;
    use crate::model_file::onnx::TensorProto;
    use crate::{HeadChoice, describe};
    use millstream_schemas::recipe::{BatchNormalization, StatisticsTransforms, TrainSelection};

    /// `x` → dense → `odd.Bend` → what follows → dense → softmax.
    fn network(between: Vec<NodeProto>, is_typed: bool) -> Model {
        let mut nodes =
            vec![node("Gemm", &["x", "body.weight"], &["hidden"]), node("odd.Bend", &["hidden"], &["bent"])];
        nodes.extend(between);
        nodes.push(node("Gemm", &["features", "head.weight", "head.bias"], &["scores"]));
        nodes.push(node("Softmax", &["scores"], &["probability"]));
        let weights = vec![weight("body.weight", &[4, 6]), weight("head.weight", &[6, 3]), weight("head.bias", &[3])];
        let mut graph = graph(nodes, weights, vec![value("x", &[4])], vec![untyped("probability")]);
        if is_typed {
            graph.value_info = vec![value("bent", &[6])];
        }
        model(graph)
    }

    #[test]
    fn features_that_nobody_knows_are_those_of_the_head_where_a_later_product_reads_its_weight() {
        let nodes = vec![
            node("odd.Bend", &["x"], &["features"]),
            node("Gemm", &["features", "head.weight", "head.bias"], &["scores"]),
            node("odd.Twist", &["x"], &["twisted"]),
            node("MatMul", &["twisted", "head.weight"], &["apart"]),
        ];
        let weights = vec![weight("head.weight", &[6, 3]), weight("head.bias", &[3])];
        let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![untyped("scores"), untyped("apart")]));
        let (head, output) = (HeadChoice::keep(), Some("scores".to_owned()));
        let wanted = FineTuning { head, output, ..FineTuning::head(2, 3) };
        assert_eq!(compile(&model, &wanted, &OperatorCatalog::standard()).unwrap().trained, 6 * 3 + 3);
    }

    #[test]
    fn an_operator_that_nobody_knows_stops_training_only_where_its_gradient_is_needed() {
        let relu = || vec![node("Relu", &["bent"], &["features"])];
        // a shape that depends on data stops nothing either
        let reshape = || {
            let sizes = node("odd.Sizes", &["x"], &["sizes"]);
            vec![sizes, node("Reshape", &["bent", "sizes"], &["features"])]
        };
        let rows = [(relu(), false), (relu(), true), (reshape(), false), (reshape(), true)]
            .map(|(b, typed)| network(b, typed));
        for model in rows {
            let head = FineTuning::head(2, 5);
            let program = compile(&model, &head, &OperatorCatalog::standard()).unwrap();
            assert_eq!((program.trained, program.frozen), (6 * 5 + 5, 4 * 6));
            let all = FineTuning { train: TrainSelection::All, ..head.clone() };
            for (wanted, on_trained_path) in [(None, 0), (Some(&head), 0), (Some(&all), 1)] {
                let report = describe(&model, wanted, &OperatorCatalog::standard()).unwrap();
                let row = report.operators.iter().find(|row| row.operator == "odd.Bend").unwrap();
                assert_eq!((row.nodes, row.gradient, row.on_trained_path), (1, false, on_trained_path));
                assert_eq!(row.reason.as_deref(), Some("it is not in the operator table"));
            }
            let error = compile(&model, &all, &OperatorCatalog::standard()).unwrap_err().to_string();
            let middle = if error.contains("Relu") { "Relu" } else { "Reshape" };
            let wanted = format!(
                "no gradient for operator odd.Bend (opset 3), node `bent`: it is not in the operator table; it lies \
                 between the loss and the trained layers: scores (Gemm) <- features ({middle}) <- bent (odd.Bend). \
                 The last of 2 layers can be trained: `train: {{last: 1}}`"
            );
            assert!(error.contains(&wanted), "{error}");
        }
    }

    #[test]
    fn a_gradient_that_a_rule_does_not_give_is_an_error() {
        let nodes = vec![
            node("Gemm", &["x", "body.weight"], &["hidden"]),
            node("Clip", &["hidden", "", "bound"], &["features"]),
            node("Gemm", &["features", "head.weight"], &["scores"]),
        ];
        let bound = node("ReduceMax", &["bounds"], &["bound"]);
        let bounds = node("Gemm", &["x", "bound.weight"], &["bounds"]);
        let nodes = [vec![bounds, bound], nodes].concat();
        let weights = ["body.weight", "bound.weight", "head.weight"].map(|name| weight(name, &[4, 4])).to_vec();
        let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![value("scores", &[4])]));
        let all = FineTuning { train: TrainSelection::All, ..FineTuning::head(2, 5) };
        let error = compile(&model, &all, &OperatorCatalog::standard()).unwrap_err().to_string();
        assert!(
            error.contains("operator Clip (opset 17), node `features`: the one of input 2 is not written"),
            "{error}"
        );
    }

    #[test]
    fn statistics_of_a_module_that_is_used_twice_are_the_mean_of_both_uses() {
        let norm = |name: &str, x: &str, y: &str| NodeProto {
            name: Some(format!("/{name}/BatchNormalization")),
            ..node("BatchNormalization", &[x, "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"], &[y])
        };
        for (second, wanted) in [("bn_1", vec!["Mul", "Mul"]), ("other", vec!["Div"; 4])] {
            let nodes =
                vec![norm("bn", "x", "a"), norm(second, "a", "b"), node("Gemm", &["b", "head.weight"], &["scores"])];
            let of_norm = ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"].map(|name| weight(name, &[3]));
            let weights = of_norm.into_iter().chain([weight("head.weight", &[3, 2])]).collect();
            let model = model(graph(nodes, weights, vec![value("x", &[3])], vec![value("scores", &[2])]));
            let transforms = StatisticsTransforms::Train;
            let batch_normalization = BatchNormalization::Reestimated { rows: None, transforms };
            let (head, train) = (HeadChoice::keep(), TrainSelection::All);
            let wanted_tuning = FineTuning { head, train, batch_normalization, ..FineTuning::head(4, 2) };
            let program = compile(&model, &wanted_tuning, &OperatorCatalog::standard()).unwrap();
            let statistics = program.statistics.as_ref().unwrap();
            let maker = |value: ValueId| {
                let identity = statistics.producer(value).unwrap();
                statistics.producer(identity.input(0).unwrap()).unwrap().operator.as_str()
            };
            let makers: Vec<&str> = statistics.outputs().iter().map(|output| maker(*output)).collect();
            assert_eq!(makers, wanted, "{second}");
        }
    }

    #[test]
    fn a_graph_that_takes_one_row_at_a_time_says_so_whatever_its_axis_is_called() {
        let shape = TensorProto {
            name: Some("shape".into()),
            data_type: Some(7),
            dims: vec![2],
            int64_data: vec![1, 4],
            ..TensorProto::default()
        };
        let nodes = vec![node("Reshape", &["x", "shape"], &["r"]), node("Gemm", &["r", "w"], &["y"])];
        let weights = vec![shape, weight("w", &[4, 3])];
        let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[3])]));
        compile(&model, &FineTuning::head(1, 3), &OperatorCatalog::standard()).unwrap();
        let error = compile(&model, &FineTuning::head(2, 3), &OperatorCatalog::standard()).unwrap_err();
        assert!(matches!(&error, CompilerError::Setting { place, .. } if place == "data.batch"), "{error}");
        assert!(error.to_string().ends_with("go on with `data.batch: 1`"), "{error}");
    }
}
