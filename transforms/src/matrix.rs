use serde::{Deserialize, Serialize};

/// A projective map of the plane: nine numbers, row-major, on column vectors (x, y, 1).
///
/// Coordinates are continuous: pixel (i, j) covers [i, i+1) × [j, j+1), so its centre is (i + ½, j + ½). In a drawn
/// step the map leads from the output's coordinates to the input's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Matrix(pub [f64; 9]);

impl Matrix {
    /// Leaves every point where it is.
    pub const IDENTITY: Self = Self([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);

    /// Scales by (`x`, `y`), then moves by (`left`, `top`).
    pub const fn scale_then_move(x: f64, y: f64, left: f64, top: f64) -> Self {
        Self([x, 0.0, left, 0.0, y, top, 0.0, 0.0, 1.0])
    }

    /// The map that does `first`, then `self`.
    pub fn after(&self, first: &Self) -> Self {
        let mut product = [0.0; 9];
        for (index, value) in product.iter_mut().enumerate() {
            let (row, column) = (index / 3 * 3, index % 3);
            *value = self.0[row] * first.0[column]
                + self.0[row + 1] * first.0[column + 3]
                + self.0[row + 2] * first.0[column + 6];
        }
        Self(product)
    }

    /// Where a point goes.
    pub fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        let [a, b, c, d, e, f, g, h, i] = self.0;
        let (u, v, w) = (a * x + b * y + c, d * x + e * y + f, g * x + h * y + i);
        if w == 1.0 { (u, v) } else { (u / w, v / w) }
    }

    /// The map back, if there is one.
    pub fn inverse(&self) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, i] = self.0;
        let (x, y, z) = (e * i - f * h, f * g - d * i, d * h - e * g);
        let determinant = a * x + b * y + c * z;
        let inverse =
            [x, c * h - b * i, b * f - c * e, y, a * i - c * g, c * d - a * f, z, b * g - a * h, a * e - b * d]
                .map(|value| value / determinant);
        inverse.iter().all(|value| value.is_finite()).then_some(Self(inverse))
    }

    /// Whether it turns what is around a point into its mirror image. Its functional determinant is that of the nine numbers by
    /// the third power of the denominator.
    pub(crate) fn turns_over(&self, x: f64, y: f64) -> bool {
        let [a, b, c, d, e, f, g, h, i] = self.0;
        let determinant = a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g);
        (determinant < 0.0) != (self.depth(x, y) < 0.0)
    }

    /// Whether parallel lines stay parallel.
    pub fn is_affine(&self) -> bool {
        self.0[6] == 0.0 && self.0[7] == 0.0 && self.0[8] == 1.0
    }

    /// Whether it only scales, mirrors and moves along the axes.
    pub fn is_axis_aligned(&self) -> bool {
        self.is_affine() && self.0[1] == 0.0 && self.0[3] == 0.0
    }

    /// The denominator of [`apply`](Self::apply); positive where the map is sensible.
    pub(crate) fn depth(&self, x: f64, y: f64) -> f64 {
        self.0[6] * x + self.0[7] * y + self.0[8]
    }

    /// Left, top, right and bottom of the box around the image of `[0, width] × [0, height]`.
    pub(crate) fn bounds(&self, width: u32, height: u32) -> [f64; 4] {
        Self::bounds_of(corners(width, height).map(|(x, y)| self.apply(x, y)))
    }

    /// Left, top, right and bottom of the box around points.
    pub(crate) fn bounds_of(points: impl IntoIterator<Item = (f64, f64)>) -> [f64; 4] {
        points.into_iter().fold(
            [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY],
            |[left, top, right, bottom], (x, y)| [left.min(x), top.min(y), right.max(x), bottom.max(y)],
        )
    }
}

/// The corners of `[0, width] × [0, height]`.
pub(crate) fn corners(width: u32, height: u32) -> [(f64, f64); 4] {
    let (width, height) = (f64::from(width), f64::from(height));
    [(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_leads_back() {
        let matrix = Matrix([0.9, -0.3, 12.0, 0.2, 1.4, -7.0, 0.001, -0.002, 1.0]);
        let back = matrix.inverse().unwrap();
        let (x, y) = matrix.apply(31.0, 17.0);
        let (x, y) = back.apply(x, y);
        assert!((x - 31.0).abs() < 1e-9 && (y - 17.0).abs() < 1e-9);
        assert_eq!(Matrix([0.0; 9]).inverse(), None);
    }
}
