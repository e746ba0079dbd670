//! Sequences of tensors whose number is known: each operator on them becomes the tensors themselves.

use std::rc::Rc;

use super::scope::{Imported, Names};
use crate::CompilerError;
use crate::graph::{Constant, Graph, Length, Node, TensorType, ValueId};

/// Most tensors in a sequence.
const MOST_MEMBERS: usize = 1 << 12;

/// Those that make, take apart or join sequences.
pub(super) const OPERATORS: [&str; 8] = [
    "ConcatFromSequence",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SequenceLength",
    "SplitToSequence",
];

/// What a node makes of sequences or to sequences; none where it has to do with tensors alone.
///
/// # Errors
/// It does not fit what it reads, or the data decide how many tensors there are or which is meant.
pub(super) fn made(
    graph: &mut Graph,
    names: &Names<'_>,
    node: &Node,
    inputs: &[Option<Imported>],
) -> Result<Option<Vec<Imported>>, CompilerError> {
    let of_sequences = inputs.iter().flatten().any(Imported::is_sequence);
    let operator = node.operator.as_str();
    let is_made = OPERATORS.contains(&operator) || (operator == "Identity" && of_sequences);
    if !node.domain.is_empty() || !is_made {
        return if of_sequences { Err(reads_one(graph, node)) } else { Ok(None) };
    }
    let mut maker = Maker { graph, names, node, inputs };
    let made = match operator {
        "ConcatFromSequence" => Imported::Tensor(match maker.joined() {
            Some(joined) => joined,
            None => maker.concatenated()?,
        }),
        "Identity" => Imported::Sequence(maker.sequence(0)?),
        "SequenceAt" => Imported::Tensor(maker.at()?),
        "SequenceConstruct" => {
            let members = (0..inputs.len()).map(|at| maker.tensor(at)).collect::<Result<Vec<ValueId>, _>>()?;
            maker.checked(members)?
        }
        "SequenceEmpty" => maker.checked(Vec::new())?,
        "SequenceErase" => maker.erased()?,
        "SequenceInsert" => maker.inserted()?,
        "SequenceLength" => {
            let count = maker.sequence(0)?.len() as i64;
            let name = maker.name("length");
            Imported::Tensor(maker.graph.constant(&name, Constant::i64([], &[count])))
        }
        "SplitToSequence" => maker.split()?,
        _ => return Ok(None),
    };
    Ok(Some(vec![made]))
}

fn reads_one(graph: &Graph, node: &Node) -> CompilerError {
    CompilerError::unsupported(
        format!("node `{}` ({}), which reads a sequence of tensors,", graph.label(node), node.qualified_operator()),
        "sequences are followed through the operators that make, take apart and join them",
    )
}

/// Parts of a tensor along an axis, each without it.
///
/// # Errors
/// The axis has no known length, or there is no such axis.
pub(super) fn members(graph: &mut Graph, value: ValueId, axis: i64, name: &str) -> Result<Vec<ValueId>, CompilerError> {
    let known = graph.known_type(value)?.clone();
    let Some(at) = place_of(axis, known.shape.len()) else {
        return Err(CompilerError::unsupported(
            format!("axis {axis} of `{}`, which is {known},", millstream_schemas::shown(graph.name(value))),
            "name one that it has",
        ));
    };
    let count = counted(graph, value, &known, at)?;
    let parts = parts(graph, value, at, &vec![1; count], name)?;
    let axes = graph.named_constant(&format!("{name}.axis"), Constant::i64([1], &[at as i64]));
    let member =
        |(number, part): (usize, ValueId)| graph.append("Squeeze", &[part, axes], &[], &format!("{name}.{number}"));
    parts.into_iter().enumerate().map(member).collect()
}

/// How long an axis is: as many nodes are written out.
fn counted(graph: &Graph, value: ValueId, known: &TensorType, axis: usize) -> Result<usize, CompilerError> {
    let length = &known.shape[axis];
    let name = millstream_schemas::shown(graph.name(value));
    let Some(count) = length.fixed() else {
        return Err(CompilerError::unsupported(
            format!("taking `{name}` apart along axis {axis}, whose length is {length},"),
            "what is made of each part is written out, so export the model with a fixed length of that axis",
        ));
    };
    if count > MOST_MEMBERS {
        return Err(CompilerError::unsupported(
            format!("taking `{name}` apart into {count} tensors"),
            format!("at most {MOST_MEMBERS} are written out"),
        ));
    }
    Ok(count)
}

fn place_of(axis: i64, rank: usize) -> Option<usize> {
    let counted = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(counted).ok().filter(|axis| *axis < rank)
}

/// Parts of these lengths.
fn parts(
    graph: &mut Graph,
    value: ValueId,
    axis: usize,
    lengths: &[i64],
    name: &str,
) -> Result<Vec<ValueId>, CompilerError> {
    if lengths.is_empty() {
        return Ok(Vec::new());
    }
    let split = graph.named_constant(&format!("{name}.lengths"), Constant::i64([lengths.len()], lengths));
    let inputs = [Some(value), Some(split)];
    let made = graph.add_with("Split", &inputs, &[("axis", (axis as i64).into())], lengths.len())?;
    for (number, part) in made.iter().enumerate() {
        let name = graph.free_name(&format!("{name}.part.{number}"));
        graph.rename(*part, &name)?;
    }
    Ok(made)
}

struct Maker<'a, 'n> {
    graph: &'a mut Graph,
    names: &'a Names<'n>,
    node: &'a Node,
    inputs: &'a [Option<Imported>],
}

impl Maker<'_, '_> {
    fn error(&self, message: impl Into<String>) -> CompilerError {
        CompilerError::Node {
            node: self.graph.label(self.node),
            operator: self.node.qualified_operator(),
            message: message.into(),
        }
    }

    fn name(&self, part: &str) -> String {
        self.names.free(self.graph, &format!("{}.{part}", self.node.name))
    }

    fn input(&self, at: usize) -> Option<&Imported> {
        self.inputs.get(at).and_then(Option::as_ref)
    }

    fn sequence(&self, at: usize) -> Result<Rc<[ValueId]>, CompilerError> {
        if let Some(Imported::Joined(_)) = self.input(at) {
            return Err(CompilerError::unsupported(
                format!(
                    "node `{}` ({}), which reads a sequence of tensors whose number the data decide,",
                    self.graph.label(self.node),
                    self.node.operator
                ),
                "what a loop over bags makes is followed where its rows are joined along their first axis",
            ));
        }
        let found = self.input(at).and_then(Imported::sequence).cloned();
        found.ok_or_else(|| self.error(format!("input {at} is no sequence of tensors")))
    }

    fn tensor(&self, at: usize) -> Result<ValueId, CompilerError> {
        let found = self.input(at).and_then(Imported::tensor);
        found.ok_or_else(|| self.error(format!("input {at} is no tensor")))
    }

    fn checked(&self, members: Vec<ValueId>) -> Result<Imported, CompilerError> {
        if members.len() > MOST_MEMBERS {
            return Err(
                self.error(format!("a sequence of {} tensors; at most {MOST_MEMBERS} are followed", members.len()))
            );
        }
        Ok(Imported::Sequence(members.into()))
    }

    /// The integers of an input, which must be known.
    fn integers(&self, at: usize, what: &str) -> Result<Vec<i64>, CompilerError> {
        let known = self.graph.lengths_of(self.tensor(at)?).unwrap_or_default();
        let numbers: Option<Vec<i64>> = known.iter().map(Length::as_number).collect();
        numbers.filter(|numbers| !numbers.is_empty()).ok_or_else(|| {
            CompilerError::unsupported(
                format!(
                    "node `{}` ({}), in which the data decide {what},",
                    self.graph.label(self.node),
                    self.node.operator
                ),
                "sequences are followed where that is known before the run",
            )
        })
    }

    /// The place that an input names among so many, counted from the end where it is negative.
    fn position(&self, at: usize, count: usize) -> Result<usize, CompilerError> {
        let position = self.integers(at, "which tensor is meant")?[0];
        place_of(position, count).ok_or_else(|| self.error(format!("tensor {position} of {count}")))
    }

    fn at(&self) -> Result<ValueId, CompilerError> {
        let members = self.sequence(0)?;
        Ok(members[self.position(1, members.len())?])
    }

    fn erased(&self) -> Result<Imported, CompilerError> {
        let mut members = self.sequence(0)?.to_vec();
        let last = members.len().checked_sub(1).ok_or_else(|| self.error("the sequence is empty"))?;
        let at = if self.input(1).is_some() { self.position(1, members.len())? } else { last };
        members.remove(at);
        self.checked(members)
    }

    fn inserted(&self) -> Result<Imported, CompilerError> {
        let mut members = self.sequence(0)?.to_vec();
        // one place more than there are members: behind the last
        let at = match self.input(2) {
            None => members.len(),
            Some(_) => match self.integers(2, "where a tensor is put")?[0] {
                end if end == members.len() as i64 => members.len(),
                _ => self.position(2, members.len())?,
            },
        };
        members.insert(at, self.tensor(1)?);
        self.checked(members)
    }

    /// What is known of a sequence whose tensors are not, if this node joins it along that axis.
    fn joined(&self) -> Option<ValueId> {
        let Some(Imported::Joined(joined)) = self.input(0) else { return None };
        let rank = self.graph.tensor_type(*joined)?.shape.len();
        let is_first = self.node.int("axis").and_then(|axis| place_of(axis, rank)) == Some(0);
        (is_first && self.node.int("new_axis").unwrap_or(0) == 0).then_some(*joined)
    }

    fn concatenated(&mut self) -> Result<ValueId, CompilerError> {
        let members = self.sequence(0)?.to_vec();
        let axis = self.node.int("axis").ok_or_else(|| self.error("it has no axis"))?;
        if members.is_empty() {
            return Err(self.error("it joins a sequence without tensors"));
        }
        let name = self.name("joined");
        if self.node.int("new_axis").unwrap_or(0) == 0 {
            return self.graph.append("Concat", &members, &[("axis", axis.into())], &name);
        }
        stacked(self.graph, &members, axis, &name)
    }

    fn split(&mut self) -> Result<Imported, CompilerError> {
        let (value, axis) = (self.tensor(0)?, self.node.int("axis").unwrap_or(0));
        let name = self.name("split");
        if self.input(1).is_none() && self.node.int("keepdims").unwrap_or(1) == 0 {
            let members = members(self.graph, value, axis, &name)?;
            return self.checked(members);
        }
        let known = self.graph.known_type(value)?.clone();
        let Some(axis) = place_of(axis, known.shape.len()) else {
            return Err(self.error(format!("axis {axis} of {} axes", known.shape.len())));
        };
        let length = counted(self.graph, value, &known, axis)? as i64;
        let lengths = match self.input(1) {
            None => vec![1; length as usize],
            Some(_) => {
                let given = self.integers(1, "how long the parts are")?;
                let split = self.tensor(1)?;
                let is_scalar = self.graph.known_type(split)?.shape.is_empty();
                if is_scalar && given[0] > 0 {
                    let each = given[0];
                    (0..length).step_by(each as usize).map(|start| each.min(length - start)).collect()
                } else if is_scalar {
                    return Err(self.error(format!("parts of length {}", given[0])));
                } else {
                    given
                }
            }
        };
        let parts = parts(self.graph, value, axis, &lengths, &name)?;
        self.checked(parts)
    }
}

/// Tensors of one shape along a new axis.
///
/// # Errors
/// They do not fit each other.
pub(super) fn stacked(graph: &mut Graph, members: &[ValueId], axis: i64, name: &str) -> Result<ValueId, CompilerError> {
    let axes = graph.named_constant(&format!("{name}.axis"), Constant::i64([1], &[axis]));
    let lay = |(number, member): (usize, &ValueId)| {
        graph.append("Unsqueeze", &[*member, axes], &[], &format!("{name}.{number}"))
    };
    let laid = members.iter().enumerate().map(lay).collect::<Result<Vec<ValueId>, _>>()?;
    graph.append("Concat", &laid, &[("axis", axis.into())], name)
}
