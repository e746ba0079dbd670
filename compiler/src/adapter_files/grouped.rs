//! A of a convolution in groups. Here, as in graphs, each of its rows reads the channels of one group; in PEFT's folders A is no grouped
//! convolution and reads all channels, and B alone has groups. With zeros for the channels of other groups both compute the same.

use millstream_schemas::shown;

use super::Tensor;
use super::adapter::{Adapter, ModuleAdapter};

/// How many groups the convolution of two factors has: B `[outputs, rank in a group, 1…]` reads the ranks of one of them.
pub(super) fn groups(a: &Tensor, b: &Tensor) -> usize {
    match (a.shape(), b.shape()) {
        ([rank, _, _, ..], [_, in_a_group, ..]) if *in_a_group > 0 && rank % in_a_group == 0 => rank / in_a_group,
        _ => 1,
    }
}

/// A as PEFT has it: `[rank, inputs, kernel…]` of `[rank, inputs in a group, kernel…]`.
pub(super) fn in_peft(a: &Tensor, b: &Tensor) -> Tensor {
    let groups = groups(a, b);
    if groups < 2 {
        return a.clone();
    }
    let rows = a.shape()[0];
    let (length, rows_of_a_group) = (a.values().len() / rows, rows / groups);
    let mut shape = a.shape().to_vec();
    shape[1] *= groups;
    let mut values = vec![0.0; a.values().len() * groups];
    for (row, own) in a.values().chunks(length.max(1)).enumerate() {
        let from = (row * groups + row / rows_of_a_group) * length;
        values[from..from + length].copy_from_slice(own);
    }
    Tensor::new(shape, values).expect("each row has the channels of all groups")
}

/// [`in_peft`] backwards. An error says why the two factors are no convolution in groups.
pub(super) fn of_peft(a: Tensor, b: &Tensor, has_magnitude: bool) -> Result<Tensor, String> {
    let groups = groups(&a, b);
    if groups < 2 {
        return Ok(a);
    }
    if has_magnitude {
        return Err(DORA.to_owned());
    }
    let (rows, channels) = (a.shape()[0], a.shape()[1]);
    if channels % groups != 0 {
        return Err(format!("A reads {channels} channels, and B has {groups} groups, which do not divide them"));
    }
    let (length, rows_of_a_group) = (a.values().len() / rows, rows / groups);
    let part = length / groups;
    let mut values = Vec::with_capacity(a.values().len() / groups);
    for (row, all) in a.values().chunks(length.max(1)).enumerate() {
        let from = row / rows_of_a_group * part;
        let is_zero = |numbers: &[f32]| numbers.iter().all(|number| *number == 0.0);
        let is_own = is_zero(&all[..from]) && is_zero(&all[from + part..]);
        if !is_own {
            return Err(format!(
                "it is a convolution in {groups} groups, and A reads channels of other groups than those that B makes: what it adds \
                 is no convolution in groups, and no weight of this layer holds it; leave the layer out of `target_modules` in \
                 PEFT, or train it here by `lora`, whose A reads the channels of one group"
            ));
        }
        values.extend_from_slice(&all[from..from + part]);
    }
    let mut shape = a.shape().to_vec();
    shape[1] /= groups;
    Ok(Tensor::new(shape, values).expect("each row has the channels of one group"))
}

/// Why PEFT has no magnitudes for convolutions in groups.
pub(crate) const DORA: &str = "PEFT computes DoRA of a convolution in groups with the norms of another product than the layer's, so that \
    its folder means something else";

impl Adapter {
    /// Why a folder of PEFT would compute something else than this adapter does, where that is so.
    pub fn not_in_peft(&self) -> Option<String> {
        let is_grouped_dora = |own: &ModuleAdapter| match own {
            ModuleAdapter::LowRank { a, b, magnitude: Some(_), .. } => groups(a, b) > 1,
            _ => false,
        };
        let (module, _) = self.modules.iter().find(|(_, own)| is_grouped_dora(own))?;
        Some(format!("module `{}`: {DORA}; leave it out by `--skip`, or write an .onnx_adapter", shown(module)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], first: f32) -> Tensor {
        let count: usize = shape.iter().product();
        Tensor::new(shape, (0..count).map(|at| first + at as f32).collect::<Vec<f32>>()).unwrap()
    }

    #[test]
    fn a_row_of_a_reads_zeros_of_other_groups_in_peft_and_is_read_back() {
        // two ranks in each of two groups, two channels in each, kernels of one
        let (a, b) = (tensor(&[4, 2, 1, 1], 1.0), tensor(&[6, 2, 1, 1], 1.0));
        let there = in_peft(&a, &b);
        assert_eq!(there.shape(), [4, 4, 1, 1]);
        let wanted = [[1.0, 2.0, 0.0, 0.0], [3.0, 4.0, 0.0, 0.0], [0.0, 0.0, 5.0, 6.0], [0.0, 0.0, 7.0, 8.0]];
        assert_eq!(there.values(), wanted.concat());
        assert_eq!(of_peft(there, &b, false).unwrap(), a);
        // of one group nothing changes
        let b = tensor(&[6, 4, 1, 1], 1.0);
        assert_eq!((in_peft(&a, &b), of_peft(a.clone(), &b, true).unwrap()), (a.clone(), a));
    }

    #[test]
    fn an_a_that_reads_other_groups_is_refused_with_the_reason() {
        let b = tensor(&[6, 2, 1, 1], 1.0);
        for (a, has_magnitude, words) in [
            (tensor(&[4, 4, 1, 1], 1.0), false, "A reads channels of other groups"),
            (tensor(&[4, 3, 1, 1], 1.0), false, "A reads 3 channels, and B has 2 groups"),
            (in_peft(&tensor(&[4, 2, 1, 1], 1.0), &b), true, "norms of another product"),
        ] {
            let error = of_peft(a, &b, has_magnitude).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
