/// What one row adds to a loss that is a mean over rows: Σ weight·loss / Σ weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowLoss {
    /// The loss of the row by itself.
    pub loss: f64,
    /// How much it counts.
    pub weight: f64,
}

impl RowLoss {
    /// The mean of these losses by their weights, and the sum of those; a mean over nothing is no number.
    pub(crate) fn mean(rows: impl IntoIterator<Item = Self>) -> (f64, f64) {
        let add = |(sum, weight): (f64, f64), row: Self| (sum + row.loss * row.weight, weight + row.weight);
        let (sum, weight) = rows.into_iter().fold((0.0, 0.0), add);
        (sum / weight, weight)
    }
}
