//! Windows that slide over the spatial axes of `[N, C, …]` tensors: convolutions and pools.

use super::axes;
use crate::CompilerError;
use crate::graph::{Attribute, Graph, Length, Node, ValueId, fixed_lengths};

/// Where windows lie on the spatial axes, one entry an axis. Padding written by rule (`auto_pad`) is in numbers here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    /// Elements of a window.
    pub(crate) kernel: Vec<usize>,
    /// Distance between windows.
    pub(crate) strides: Vec<usize>,
    /// Distance between the elements of a window.
    pub(crate) dilations: Vec<usize>,
    /// Padding before the first element.
    pub(crate) before: Vec<usize>,
    /// Padding after the last element.
    pub(crate) after: Vec<usize>,
    /// Length that slides under the windows, without padding.
    pub(crate) input: Vec<Length>,
    /// Number of windows.
    pub(crate) output: Vec<Length>,
    /// An axis whose padding by rule depends on a length that is open.
    pub(crate) open_padding: Option<usize>,
    /// Whether a last window counts that is not full.
    pub(crate) takes_rest: bool,
}

/// Longer axes cannot be real, and sums of them would overflow.
const LONGEST: usize = 1 << 31;
/// Nor can larger strides, dilations and pads.
const LARGEST: i64 = 1 << 16;

/// An attribute with one number an axis, each at least `least`.
pub(crate) fn lengths(node: &Node, name: &str, count: usize, least: i64, default: usize) -> Result<Vec<usize>, String> {
    let Some(given) = node.ints(name) else { return Ok(vec![default; count]) };
    if given.len() != count {
        return Err(format!("{name} has {} numbers, wanted {count}", given.len()));
    }
    match given.iter().find(|value| !(least..LARGEST).contains(*value)) {
        Some(value) => Err(format!("{name} holds {value}")),
        None => given.iter().map(|value| axes::length(*value)).collect(),
    }
}

/// Refuses spatial axes that are empty or longer than any.
pub(crate) fn check_lengths(spatial: &[Length], kernel: &[usize]) -> Result<(), String> {
    let lengths = spatial.iter().filter(|length| !is_open(length)).map(|length| length.fixed().unwrap_or(LONGEST));
    match lengths.chain(kernel.iter().copied()).find(|length| *length == 0 || *length >= LONGEST) {
        Some(wrong) => Err(format!("a spatial axis of length {wrong}")),
        None => Ok(()),
    }
}

fn is_open(length: &Length) -> bool {
    length.as_number().is_none() && !length.is_excessive()
}

/// Why a kernel cannot be laid on an input.
pub(crate) fn misfit(x: &[Length], kernel: &[Length], group: usize) -> String {
    let is_open = [x, kernel].iter().any(|shape| shape.iter().any(is_open));
    let advice = if is_open { "; export the model with fixed lengths for what is open" } else { "" };
    format!("a kernel {kernel:?} in {group} groups does not fit an input {x:?}{advice}")
}

/// The lengths of a kernel, which must be numbers.
pub(crate) fn kernel_lengths(kernel: &[Length]) -> Result<Vec<usize>, String> {
    fixed_lengths(kernel)
        .ok_or_else(|| format!("a kernel {kernel:?} of open lengths: export the model with fixed lengths"))
}

impl Window {
    /// Reads a node's attributes. `input`: spatial lengths of its input; `kernel`: of a window.
    pub(crate) fn of(node: &Node, input: &[Length], kernel: &[usize]) -> Result<Self, String> {
        let rank = input.len();
        if rank == 0 || kernel.len() != rank {
            return Err(format!("a window of {} axes over {rank} spatial axes", kernel.len()));
        }
        check_lengths(input, kernel)?;
        let strides = lengths(node, "strides", rank, 1, 1)?;
        let dilations = lengths(node, "dilations", rank, 1, 1)?;
        let pads = lengths(node, "pads", 2 * rank, 0, 0)?;
        let mut window = Self {
            kernel: kernel.to_vec(),
            strides,
            dilations,
            before: pads[..rank].to_vec(),
            after: pads[rank..].to_vec(),
            input: input.to_vec(),
            output: vec![0.into(); rank],
            open_padding: None,
            takes_rest: node.int("ceil_mode").unwrap_or(0) != 0,
        };
        let auto_pad = node.string("auto_pad").unwrap_or("NOTSET");
        for axis in 0..rank {
            window.place(axis, auto_pad)?;
        }
        Ok(window)
    }

    fn place(&mut self, axis: usize, auto_pad: &str) -> Result<(), String> {
        let (input, stride, extent) = (self.input[axis].clone(), self.strides[axis], self.extent(axis));
        match auto_pad {
            "NOTSET" => {}
            "VALID" => (self.before[axis], self.after[axis]) = (0, 0),
            "SAME_UPPER" | "SAME_LOWER" => {
                self.output[axis] = input.quotient_up(stride);
                let padding = match (input.fixed(), stride) {
                    (Some(input), _) => ((input.div_ceil(stride) - 1) * stride + extent).saturating_sub(input),
                    (None, 1) => extent - 1,
                    (None, _) => {
                        self.open_padding = Some(axis);
                        0
                    }
                };
                let (small, large) = (padding / 2, padding - padding / 2);
                let upper = auto_pad == "SAME_UPPER";
                (self.before[axis], self.after[axis]) = if upper { (small, large) } else { (large, small) };
                return Ok(());
            }
            other => return Err(format!("auto_pad `{}`", other.chars().take(40).collect::<String>())),
        }
        let padding = self.before[axis] + self.after[axis];
        let Some(input) = input.fixed() else {
            let free = &input + padding - extent;
            self.output[axis] = match self.takes_rest {
                false => free.quotient(&stride.into()) + 1,
                // it always starts before the padding at the end
                true if stride + self.after[axis] <= extent => free.quotient_up(stride) + 1,
                true => (free.quotient_up(stride) + 1).minimum(&(input + self.before[axis]).quotient_up(stride)),
            };
            return Ok(());
        };
        let padded = input + padding;
        let Some(free) = padded.checked_sub(extent) else {
            return Err(format!("a window of {extent} over an axis of {padded}, padding included"));
        };
        let mut output = free / stride + 1;
        // a last window that is not full counts when it starts before the padding at the end
        if self.takes_rest && free % stride != 0 && output * stride < input + self.before[axis] {
            output += 1;
        }
        self.output[axis] = output.into();
        Ok(())
    }

    /// The number of windows on each axis, where all are numbers.
    pub(crate) fn fixed_output(&self) -> Option<Vec<usize>> {
        fixed_lengths(&self.output)
    }

    /// Why there is no gradient through the windows, if there is none.
    pub(crate) fn open_reason(&self) -> Option<String> {
        let axis = self.open_padding?;
        let length = &self.input[axis];
        Some(format!(
            "its padding by rule (auto_pad) depends on the length of axis {}, which is {length}: export the model with a fixed length there",
            axis + 2
        ))
    }

    /// Length that a window covers.
    pub(crate) fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilations[axis] + 1
    }

    /// Number of spatial axes.
    pub(crate) fn rank(&self) -> usize {
        self.kernel.len()
    }

    /// Whether no element lies in two windows.
    pub(crate) fn is_disjoint(&self) -> bool {
        (0..self.rank()).all(|axis| self.strides[axis] >= self.extent(axis))
    }

    /// Offsets of a window's elements, row-major.
    pub(crate) fn taps(&self) -> Vec<Vec<usize>> {
        let mut taps = vec![vec![]];
        for (axis, length) in self.kernel.iter().enumerate() {
            let step = self.dilations[axis];
            let extend = |tap: &Vec<usize>, at: usize| tap.iter().copied().chain([at * step]).collect();
            taps = taps.iter().flat_map(|tap| (0..*length).map(move |at| extend(tap, at))).collect();
        }
        taps
    }

    /// Adds the padding to `[A, B, …]`.
    pub(crate) fn padded(&self, graph: &mut Graph, value: ValueId) -> Result<ValueId, CompilerError> {
        let widen = |pads: &[usize]| [&[0, 0], pads].concat();
        graph.pad(value, &widen(&self.before), &widen(&self.after))
    }

    /// What the element at `tap` sees in all windows: `[A, B, …output]` from a padded `[A, B, …]`.
    pub(crate) fn seen_by(&self, graph: &mut Graph, value: ValueId, tap: &[usize]) -> Result<ValueId, CompilerError> {
        let (mut axes, mut starts, mut counts, mut steps) = (vec![], vec![], vec![], vec![]);
        for (axis, start) in tap.iter().enumerate() {
            let end = (&self.output[axis] - 1) * self.strides[axis] + 1 + start;
            let whole = *start == 0 && self.strides[axis] == 1 && graph.shape(value)?[axis + 2] == end;
            if !whole {
                axes.push(axis as i64 + 2);
                starts.push(start.into());
                counts.push(self.output[axis].clone());
                steps.push(self.strides[axis] as i64);
            }
        }
        if axes.is_empty() { Ok(value) } else { graph.part(value, &axes, &starts, &counts, &steps) }
    }

    /// Adds every window's values up where the window lay: `[A, B, …output]` and a kernel back to `[A, B', …input]`.
    pub(crate) fn scatter(
        &self,
        graph: &mut Graph,
        value: ValueId,
        kernel: ValueId,
        group: usize,
    ) -> Result<ValueId, CompilerError> {
        let (mut before, mut after, mut beyond) = (self.before.clone(), self.after.clone(), vec![0; self.rank()]);
        let (mut axes, mut starts, mut counts) = (vec![], vec![], vec![]);
        for axis in 0..self.rank() {
            let (Some(input), Some(output)) = (self.input[axis].fixed(), self.output[axis].fixed()) else {
                // how many elements no window reaches is open: at most a stride, and the padding, are cut again
                (before[axis], after[axis]) = (0, 0);
                beyond[axis] = self.strides[axis] as i64 - 1;
                axes.push(axis as i64 + 2);
                starts.push(Length::from(self.before[axis]));
                counts.push(self.input[axis].clone());
                continue;
            };
            let covered = (output - 1) * self.strides[axis] + self.extent(axis);
            let padded = input + before[axis] + after[axis];
            // elements that no window reaches are filled with zeros; windows beyond the padding are cut
            beyond[axis] = padded.saturating_sub(covered) as i64;
            after[axis] += covered.saturating_sub(padded);
        }
        let mut attributes = self.attributes(&self.strides, &self.dilations, &before, &after);
        attributes.push(("group", Attribute::Int(group as i64)));
        if beyond.iter().any(|length| *length > 0) {
            attributes.push(("output_padding", Attribute::Ints(beyond)));
        }
        let whole = graph.add("ConvTranspose", &[value, kernel], &attributes)?;
        if axes.is_empty() { Ok(whole) } else { graph.part(whole, &axes, &starts, &counts, &vec![1; axes.len()]) }
    }

    /// Attributes of a convolution or pool.
    pub(crate) fn attributes(
        &self,
        strides: &[usize],
        dilations: &[usize],
        before: &[usize],
        after: &[usize],
    ) -> Vec<(&'static str, Attribute)> {
        let ints = |values: &[usize]| Attribute::Ints(values.iter().map(|value| *value as i64).collect());
        let pads: Vec<usize> = before.iter().chain(after).copied().collect();
        vec![("strides", ints(strides)), ("dilations", ints(dilations)), ("pads", ints(&pads))]
    }
}
