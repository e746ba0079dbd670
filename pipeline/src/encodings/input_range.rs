use std::ops::RangeInclusive;

use millstream_schemas::shown;

use super::encoder::{RowElements, RowTensor};
use crate::error::Damage;

/// The whole numbers that an input of a model takes: batches hold 64-bit integers, which may become others inside of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRange {
    /// The input.
    pub input: String,
    /// What the model has it as, as ONNX names it.
    pub element_type: &'static str,
    /// From the least to the most.
    pub numbers: RangeInclusive<i64>,
}

impl InputRange {
    /// Refuses numbers that the input cannot hold; `columns` are those that an encoding of this name reads.
    ///
    /// # Errors
    /// One of them is less than the least or more than the most.
    pub(super) fn require(&self, row: &RowTensor<'_>, columns: &[String], encoding: &str) -> Result<(), Damage> {
        let (numbers, may_be_of_each): (&[i64], bool) = match &row.values {
            RowElements::I64(numbers) => (numbers, true),
            RowElements::AnyLengthI64(numbers) => (numbers, false),
            _ => return Ok(()),
        };
        let Some(at) = numbers.iter().position(|number| !self.numbers.contains(number)) else { return Ok(()) };
        let column = match columns {
            [] => format!("({encoding})"),
            each if may_be_of_each && each.len() == numbers.len() => shown(&each[at]),
            all => shown(all.join(", ")),
        };
        let (number, least, most) = (numbers[at], self.numbers.start(), self.numbers.end());
        let reason = format!(
            "becomes {number}, and the model's input `{}` is {}, which holds {least} to {most}",
            shown(&self.input),
            self.element_type
        );
        Err(Damage::Value { column, reason })
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::{ElementType, TensorSpec};

    use super::*;

    #[test]
    fn a_number_that_the_input_cannot_hold_is_told_with_its_column() {
        let range = InputRange { input: "x".into(), element_type: "int32", numbers: -2_147_483_648..=2_147_483_647 };
        let spec = TensorSpec::fixed("x", ElementType::I64, &[2]);
        let said = |numbers: &mut [i64], columns: &[&str]| {
            let columns: Vec<String> = columns.iter().map(|&name| name.into()).collect();
            let row = RowTensor { spec: &spec, values: RowElements::I64(numbers) };
            range.require(&row, &columns, "number").map_err(|damage| damage.to_string())
        };
        assert_eq!(said(&mut [-2_147_483_648, 2_147_483_647], &["a", "b"]), Ok(()));
        for (columns, column) in
            [(&["a", "b"][..], "b"), (&["text"], "text"), (&["a", "b", "c"], "a, b, c"), (&[], "(number)")]
        {
            let wanted = format!(
                "column `{column}` becomes 3000000000, and the model's input `x` is int32, which holds -2147483648 to 2147483647"
            );
            assert_eq!(said(&mut [1, 3_000_000_000], columns), Err(wanted));
        }
        let mut tokens = vec![0, -2_147_483_649];
        let row = RowTensor { spec: &spec, values: RowElements::AnyLengthI64(&mut tokens) };
        let message = range.require(&row, &["a".into(), "b".into()], "token_ids").unwrap_err().to_string();
        assert!(message.starts_with("column `a, b` becomes -2147483649,"), "{message}");
    }
}
