//! The update of all parameters as one ONNX graph, for devices where the host cannot reach the tensors.

use millstream_compiler::graph::{ElementType, Graph, TensorType, ValueId};
use millstream_compiler::{CompilerError, OperatorCatalog};
use millstream_schemas::ParameterEntry;

use super::norms::sum_of_squares_nodes;
use super::rule::{NodeInputs, StateTensor, UpdateRule};
use super::state_values::StateStart;
use super::update_parts::Part;

const OPSET: i64 = 17;

/// A graph that reads coefficients, gradients, parameters and state, and makes new parameters and new state.
#[derive(Clone, Debug)]
pub(crate) struct UpdateGraph {
    /// ONNX bytes.
    pub(crate) model: Vec<u8>,
    /// Inputs of shape `[]`, for each cohort.
    pub(crate) coefficients: Vec<Vec<String>>,
    /// Inputs of shape `[]`, for each cohort, where some may be frozen: above 0 for those that are not.
    pub(crate) live: Vec<String>,
    /// One for each parameter.
    pub(crate) parameters: Vec<UpdateNames>,
    /// What is updated as one, with its state.
    pub(crate) parts: Vec<UpdatePart>,
    /// Outputs of shape `[]`, where gradients, those of penalties with them, are watched: the sum of their squares, and 0 if all of
    /// them are numbers, which is not a number otherwise.
    pub(crate) watched: Option<[String; 2]>,
}

/// Names of one parameter's tensors in an [`UpdateGraph`].
#[derive(Clone, Debug)]
pub(crate) struct UpdateNames {
    pub(crate) gradient: String,
    pub(crate) parameter: String,
    pub(crate) new_parameter: String,
}

/// Parameters of an [`UpdateGraph`] whose state lies in one: that of each behind that of the one before.
#[derive(Clone, Debug)]
pub(crate) struct UpdatePart {
    /// Their places among all.
    pub(crate) parameters: Vec<usize>,
    pub(crate) tensors: Vec<StateTensor>,
    /// Names of the state's tensors.
    pub(crate) state: Vec<String>,
    pub(crate) new_state: Vec<String>,
}

impl UpdateGraph {
    /// Writes the update graph of a rule. `cohorts` says of each parameter with which others it is frozen; where it is empty
    /// nothing ever is. `watches`: with outputs that tell whether all gradients of what is not frozen are numbers.
    ///
    /// # Errors
    /// An operator that the rule uses is missing in the compiler's table.
    pub(crate) fn new(
        rule: &dyn UpdateRule,
        entries: &[ParameterEntry],
        cohorts: &[usize],
        clip_norm: Option<f32>,
        watches: bool,
    ) -> Result<Self, CompilerError> {
        let mut graph = Graph::new(OPSET, OperatorCatalog::standard());
        let count = cohorts.iter().max().map_or(1, |last| last + 1);
        let numbers = rule.coefficients(0, 0.0).len();
        let names_of = |cohort| (0..numbers).map(move |index| format!("coefficient.{cohort}.{index}")).collect();
        let coefficient_names: Vec<Vec<String>> = (0..count).map(names_of).collect();
        let scalar = || TensorType::f32(Vec::<usize>::new());
        let mut inputs = |names: &[String]| names.iter().map(|name| graph.input(name, scalar())).collect::<Vec<_>>();
        let coefficients: Vec<Vec<ValueId>> = coefficient_names.iter().map(|names| inputs(names)).collect();
        let last = if cohorts.is_empty() { 0 } else { count };
        let live_names: Vec<String> = (0..last).map(|cohort| format!("live.{cohort}")).collect();
        let mut is_live = Vec::new();
        for number in inputs(&live_names) {
            let zero = graph.scalar(0.0);
            is_live.push(graph.add("Greater", &[number, zero], &[])?);
        }
        let mut names = Vec::new();
        let mut values = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let own = UpdateNames {
                gradient: format!("gradient.{index}"),
                parameter: format!("parameter.{index}"),
                new_parameter: format!("new.parameter.{index}"),
            };
            let mut input = |name: &str| graph.input(name, TensorType::f32(entry.shape.clone()));
            values.push([input(&own.gradient), input(&own.parameter)]);
            names.push(own);
        }
        let mut parts = Vec::new();
        let mut given = Vec::new();
        for (index, part) in Part::of_all(rule, entries, cohorts).into_iter().enumerate() {
            let tensors = rule.state(part.facts(entries));
            let state: Vec<String> = tensors.iter().map(|tensor| format!("state.{index}.{}", tensor.name)).collect();
            let states: Vec<ValueId> =
                state.iter().zip(&tensors).map(|(name, tensor)| graph.input(name, type_of(tensor))).collect();
            let of_all = |which: usize| part.parameters.iter().map(|index| values[*index][which]).collect::<Vec<_>>();
            let gradient = part.joined(&mut graph, &of_all(0))?;
            let parameter = part.joined(&mut graph, &of_all(1))?;
            let cohort = cohorts.get(part.parameters[0]).copied();
            let (live, cohort) = (cohort.map(|cohort| is_live[cohort]), cohort.unwrap_or(0));
            let (coefficients, facts) = (&coefficients[cohort], part.facts(entries));
            let inputs = NodeInputs { coefficients, facts, parameter, gradient, state: &states };
            let gradient = rule.penalized_gradient(&mut graph, &inputs)?;
            given.push(Given { gradient, parameter, states, live, cohort });
            parts.push((
                UpdatePart {
                    parameters: part.parameters.clone(),
                    tensors,
                    new_state: state.iter().map(|name| format!("new.{name}")).collect(),
                    state,
                },
                part,
            ));
        }
        let mut gradients = Vec::new();
        let measured: &[Given] = if watches || clip_norm.is_some() { &given } else { &[] };
        for Given { gradient, live, .. } in measured {
            gradients.push(match *live {
                Some(live) => {
                    let zero = graph.scalar(0.0);
                    graph.add("Where", &[live, *gradient, zero], &[])?
                }
                None => *gradient,
            });
        }
        let scale = clip_norm.map(|limit| scale_nodes(&mut graph, &gradients, limit)).transpose()?;
        let (mut outputs, mut output_names) = (Vec::new(), Vec::new());
        for (index, _) in entries.iter().enumerate().filter(|(_, entry)| entry.is_statistic) {
            outputs.push(graph.add("Identity", &[values[index][0]], &[])?);
            output_names.push(&names[index].new_parameter);
        }
        for ((of_part, part), Given { gradient, parameter, states, live, cohort }) in parts.iter().zip(&given) {
            let gradient = match scale {
                Some(scale) => graph.times(*gradient, scale)?,
                None => *gradient,
            };
            let (coefficients, facts) = (&coefficients[*cohort], part.facts(entries));
            let inputs = NodeInputs { coefficients, facts, parameter: *parameter, gradient, state: states };
            let (mut new_parameter, mut new_state) = rule.nodes(&mut graph, &inputs)?;
            if let Some(live) = *live {
                // a choice, and no product with 0, which would let what is no number through
                new_parameter = graph.add("Where", &[live, new_parameter, *parameter], &[])?;
                for (new, old) in new_state.iter_mut().zip(states) {
                    *new = graph.add("Where", &[live, *new, *old], &[])?;
                }
            }
            outputs.extend(part.split(&mut graph, new_parameter, entries)?);
            outputs.extend(new_state);
            output_names.extend(part.parameters.iter().map(|index| &names[*index].new_parameter));
            output_names.extend(&of_part.new_state);
        }
        let watched = watches.then(|| ["gradients.squares", "gradients.zeros"].map(str::to_owned));
        if let Some(names) = &watched {
            outputs.extend(watched_nodes(&mut graph, &gradients)?);
            output_names.extend(names);
        }
        // At the end: a name that is given up may be taken again by the next node.
        for (value, name) in outputs.iter().zip(output_names) {
            graph.rename(*value, name)?;
        }
        graph.set_outputs(&outputs);
        Ok(Self {
            model: graph.to_onnx("update"),
            coefficients: coefficient_names,
            live: live_names,
            parameters: names,
            parts: parts.into_iter().map(|(of_part, _)| of_part).collect(),
            watched,
        })
    }
}

/// What a part reads.
struct Given {
    /// With that of penalties.
    gradient: ValueId,
    parameter: ValueId,
    states: Vec<ValueId>,
    /// Whether it is updated, where it may be frozen.
    live: Option<ValueId>,
    cohort: usize,
}

fn type_of(state: &StateTensor) -> TensorType {
    let dtype = match state.start {
        StateStart::F32(_) => ElementType::F32,
        StateStart::U8(_) => ElementType::U8,
    };
    TensorType::new(dtype, state.shape.clone())
}

/// The sum of the squares of all gradients, and the sum of all gradients times 0.
fn watched_nodes(graph: &mut Graph, gradients: &[ValueId]) -> Result<[ValueId; 2], CompilerError> {
    let zero = graph.scalar(0.0);
    let (mut squares, mut zeros) = (graph.scalar(0.0), graph.scalar(0.0));
    for gradient in gradients {
        let of_gradient = sum_of_squares_nodes(graph, *gradient)?;
        squares = graph.plus(squares, of_gradient)?;
        // 0 · ∞ and 0 · NaN are no numbers
        let nothing = graph.times(*gradient, zero)?;
        let of_gradient = sum_of_squares_nodes(graph, nothing)?;
        zeros = graph.plus(zeros, of_gradient)?;
    }
    Ok([graph.add("Identity", &[squares], &[])?, graph.add("Identity", &[zeros], &[])?])
}

/// min(1, limit / (‖all gradients‖ + 1e-6)).
///
/// Squares of floats overflow at 1.8e19. So gradients are measured in units of 2³² limits: squares then overflow at norms
/// of 8e28 limits, and what a limit's rounding could notice is far from vanishing.
fn scale_nodes(graph: &mut Graph, gradients: &[ValueId], limit: f32) -> Result<ValueId, CompilerError> {
    const LIMITS_IN_A_UNIT: f32 = 4_294_967_296.0;
    let unit = (limit * LIMITS_IN_A_UNIT).min(1e30);
    let per_unit = graph.scalar(1.0 / unit);
    let mut sum = None;
    for gradient in gradients {
        let measured = graph.times(*gradient, per_unit)?;
        let part = sum_of_squares_nodes(graph, measured)?;
        sum = Some(match sum {
            None => part,
            Some(sum) => graph.plus(sum, part)?,
        });
    }
    let sum = sum.unwrap_or_else(|| graph.scalar(0.0));
    let norm = graph.add("Sqrt", &[sum], &[])?;
    let unit = graph.scalar(unit);
    let norm = graph.times(norm, unit)?;
    let tiny = graph.scalar(1e-6);
    let divisor = graph.plus(norm, tiny)?;
    let limit = graph.scalar(limit);
    let scale = graph.divided_by(limit, divisor)?;
    let one = graph.scalar(1.0);
    Ok(graph.add_with("Clip", &[Some(scale), None, Some(one)], &[], 1)?[0])
}
