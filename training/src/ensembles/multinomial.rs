//! Multinomial logistic regression.

use super::lbfgs::minimize;

/// An entry of the gradient of the mean loss that counts as none.
const FLAT: f64 = 1e-7;

/// Rows with features and classes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Regression<'a> {
    /// Features of a row.
    pub(super) width: usize,
    /// Classes.
    pub(super) columns: usize,
    /// Row-major.
    pub(super) features: &'a [f64],
    /// Of each row.
    pub(super) classes: &'a [u32],
}

/// What is fitted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Solution {
    /// Row-major `[width, columns]`.
    pub(super) coefficients: Vec<f64>,
    /// Of each class.
    pub(super) intercepts: Vec<f64>,
}

impl Regression<'_> {
    /// The coefficients and intercepts of the least mean of −ln softmax(Wᵀx + b)[class] + ½·l2·‖W‖².
    pub(super) fn fit(&self, l2: f64, start: Option<&Solution>) -> Solution {
        let coefficients = self.width * self.columns;
        let from = match start {
            Some(start) => [start.coefficients.as_slice(), &start.intercepts].concat(),
            None => vec![0.0; coefficients + self.columns],
        };
        let mut found = minimize(from, FLAT, &mut |point, gradient| {
            let (weights, intercepts) = point.split_at(coefficients);
            let mut loss = self.loss_and_gradient(weights, intercepts, Some(gradient));
            for (slope, weight) in gradient.iter_mut().zip(weights) {
                *slope += l2 * weight;
                loss += 0.5 * l2 * weight * weight;
            }
            loss
        });
        let mut intercepts = found.split_off(coefficients);
        // a softmax knows differences alone
        let mean = intercepts.iter().sum::<f64>() / self.columns as f64;
        intercepts.iter_mut().for_each(|intercept| *intercept -= mean);
        Solution { coefficients: found, intercepts }
    }

    /// The mean loss of a solution, without its penalty.
    pub(super) fn loss(&self, solution: &Solution) -> f64 {
        self.loss_and_gradient(&solution.coefficients, &solution.intercepts, None)
    }

    fn loss_and_gradient(&self, weights: &[f64], intercepts: &[f64], mut gradient: Option<&mut [f64]>) -> f64 {
        if let Some(gradient) = &mut gradient {
            gradient.fill(0.0);
        }
        let share = 1.0 / self.classes.len() as f64;
        let mut scores = vec![0.0; self.columns];
        let mut loss = 0.0;
        for (features, class) in self.features.chunks(self.width).zip(self.classes) {
            scores.copy_from_slice(intercepts);
            for (feature, weights) in features.iter().zip(weights.chunks(self.columns)) {
                scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += feature * weight);
            }
            let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let whole: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
            loss += share * (highest + whole.ln() - scores[*class as usize]);
            let Some(gradient) = &mut gradient else { continue };
            // share · (probability − what is true)
            scores.iter_mut().for_each(|score| *score = share * (*score - highest).exp() / whole);
            scores[*class as usize] -= share;
            let (of_weights, of_intercepts) = gradient.split_at_mut(self.width * self.columns);
            for (feature, slopes) in features.iter().zip(of_weights.chunks_mut(self.columns)) {
                slopes.iter_mut().zip(&scores).for_each(|(slope, error)| *slope += feature * error);
            }
            of_intercepts.iter_mut().zip(&scores).for_each(|(slope, error)| *slope += error);
        }
        loss
    }

    /// Features and classes of some rows.
    pub(super) fn part(&self, is_in: impl Fn(usize) -> bool) -> (Vec<f64>, Vec<u32>) {
        let rows = self.features.chunks(self.width).zip(self.classes).enumerate().filter(|(row, _)| is_in(*row));
        let (mut features, mut classes) = (Vec::new(), Vec::new());
        for (_, (own, class)) in rows {
            features.extend_from_slice(own);
            classes.push(*class);
        }
        (features, classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_those_of_scikit_learn() {
        // numpy: X[r, f] = sin(1.7 r + 0.9 f² + f) for 40 rows and 4 features; the class of row r is the argmax of X[r, :3], and
        // (7 r) % 3 where r % 4 is 0; sklearn.linear_model.LogisticRegression(C=1/(0.01*40), tol=1e-12, max_iter=10000).fit(X, y)
        let feature = |row: usize, at: usize| (1.7 * row as f64 + 0.9 * (at * at) as f64 + at as f64).sin();
        let features: Vec<f64> = (0..40).flat_map(|row| (0..4).map(move |at| feature(row, at))).collect();
        let class = |row: usize| match row % 4 {
            0 => (row * 7 % 3) as u32,
            _ => (0..3).max_by(|a, b| feature(row, *a).total_cmp(&feature(row, *b))).unwrap() as u32,
        };
        let classes: Vec<u32> = (0..40).map(class).collect();
        let regression = Regression { width: 4, columns: 3, features: &features, classes: &classes };
        let found = regression.fit(0.01, None);
        let close = |found: &[f64], wanted: &[f64]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(close(&found.coefficients, &COEFFICIENTS) && close(&found.intercepts, &INTERCEPTS), "{found:?}");
        assert!((regression.loss(&found) - LOSS).abs() < 1e-6, "{}", regression.loss(&found));
        let again = regression.fit(0.01, Some(&found));
        assert!(close(&again.coefficients, &found.coefficients));
    }

    /// `coef_.T`, `intercept_`, the mean loss.
    const COEFFICIENTS: [f64; 12] = [
        0.753_434_77,
        -0.487_521_75,
        -0.265_913_02,
        0.218_617_61,
        0.588_098_56,
        -0.806_716_17,
        0.276_012_84,
        -0.665_279_08,
        0.389_266_24,
        -0.407_227_81,
        -0.503_256_07,
        0.910_483_89,
    ];
    const INTERCEPTS: [f64; 3] = [-0.015_388_69, 0.344_189_87, -0.328_801_18];
    const LOSS: f64 = 0.635_430_404_68;
}
