use crate::graph::{Constant, ElementType, Graph, Node};

/// How the bytes of a table of vectors become floats: scale · (byte − zero point).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rounding {
    scales: Vec<f32>,
    /// As many as scales, or one.
    zeros: Vec<f32>,
    along: Along,
}

/// What has a scale of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Along {
    All,
    Rows,
    Columns,
}

impl Rounding {
    /// That of a `DequantizeLinear` with constants: of a table `[rows, width]`, or of vectors that were picked from it, with so many
    /// axes. Nothing where it is another node, or a block of numbers has a scale.
    pub(super) fn of(base: &Graph, node: &Node, [rows, width]: [usize; 2], picked: Option<usize>) -> Option<Self> {
        if node.operator != "DequantizeLinear" {
            return None;
        }
        let scale = base.float_constant(node.input(1)?)?;
        let scales = scale.to_f32()?;
        let zeros = match node.input(2) {
            None => vec![0.0],
            Some(zero) => numbers(base.constant_of(zero)?, 0..usize::MAX)?,
        };
        let rank = picked.unwrap_or(2);
        let axis = node.int("axis").unwrap_or(1);
        let axis = usize::try_from(if axis < 0 { axis + i64::try_from(rank).ok()? } else { axis }).ok()?;
        let (along, count) = match (scales.len(), picked) {
            (1, _) => (Along::All, 1),
            (_, None) if axis == 0 => (Along::Rows, rows),
            _ if axis + 1 == rank => (Along::Columns, width),
            _ => return None,
        };
        let fits = scale.shape.len() <= 1 && scales.len() == count && (zeros.len() == 1 || zeros.len() == count);
        fits.then_some(Self { scales, zeros, along })
    }

    /// A row of the table as floats.
    pub(super) fn row(&self, table: &Constant, at: usize, width: usize) -> Vec<f32> {
        let own = numbers(table, at * width..(at + 1) * width).unwrap_or_default();
        let floats = own.into_iter().enumerate().map(|(column, number)| {
            let place = match self.along {
                Along::All => 0,
                Along::Rows => at,
                Along::Columns => column,
            };
            let zero = self.zeros.get(place).or(self.zeros.first()).copied().unwrap_or_default();
            self.scales[place] * (number - zero)
        });
        floats.collect()
    }
}

/// Whether a table is of bytes.
pub(super) fn is_of_bytes(constant: &Constant) -> bool {
    matches!(constant.dtype, ElementType::I8 | ElementType::U8)
}

/// Some of the bytes of a constant, as many as there are.
fn numbers(constant: &Constant, places: std::ops::Range<usize>) -> Option<Vec<f32>> {
    let bytes = constant.bytes.get(places.start..places.end.min(constant.bytes.len()))?;
    match constant.dtype {
        ElementType::I8 => Some(bytes.iter().map(|byte| f32::from(i8::from_le_bytes([*byte]))).collect()),
        ElementType::U8 => Some(bytes.iter().map(|byte| f32::from(*byte)).collect()),
        _ => None,
    }
}
