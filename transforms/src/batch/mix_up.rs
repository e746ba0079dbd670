//! Mixes rows of a batch with each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batch_drawing::BatchStep;
use crate::batch_transform::BatchTransform;
use crate::options::{Options, between};
use crate::random::Random;
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "mix_up",
    summary: "Mixes each row of a batch with another, inputs and targets alike.",
    documentation: "Zhang, Cisse, Dauphin and Lopez-Paz, \"mixup: Beyond Empirical Risk Minimization\" (2018): one \
        weight λ for the batch from Beta(`alpha`, `alpha`), and a random partner for each row; inputs and targets become \
        λ · own + (1 − λ) · partner. The loss sees soft targets. Small `alpha` (0.1 to 0.4) mixes little, 1 makes \
        every weight equally likely. Empty slots and rows without a label take no part.",
    targets: &[Target::Image, Target::Labels],
    changes_label: None,
    samples: &[r#"{"alpha": 0.2}"#, r#"{"alpha": 1, "probability": 0.5}"#],
    probability: Some(1.0),
    build: Build::batch::<MixUp>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MixUp {
    /// Both parameters of the Beta distribution of the weights (0.001 to 1000).
    #[schemars(range(min = 0.001, max = 1000))]
    alpha: f64,
}

impl Options for MixUp {
    fn validate(&self) -> Result<(), String> {
        between("alpha", self.alpha, 0.001, 1000.0)
    }
}

impl BatchTransform for MixUp {
    fn is_random(&self) -> bool {
        true
    }

    fn draw(&self, taking_part: &[bool], random: &mut Random) -> Option<BatchStep> {
        let weight = random.beta(self.alpha, self.alpha) as f32;
        let slots: Vec<usize> = (0..taking_part.len()).filter(|slot| taking_part[*slot]).collect();
        let mut shuffled = slots.clone();
        random.shuffle(&mut shuffled);
        let mut partners: Vec<usize> = (0..taking_part.len()).collect();
        for (slot, partner) in slots.into_iter().zip(shuffled) {
            partners[slot] = partner;
        }
        Some(BatchStep::Mix { weight, partners })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream_schemas::Choice;
    use millstream_schemas::{Batch, Fingerprint, ResumePoint, RowId, Tensor};
    use serde_json::json;

    use crate::{Chain, DrawKey, TransformError};

    fn batch(image: Tensor) -> Batch {
        let row = |row| Some(RowId { file: "a.parquet".into(), row_group: 0, row });
        Batch {
            tensors: BTreeMap::from([
                ("image".to_owned(), image),
                ("targets".to_owned(), Tensor::f32([4, 2], vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0])),
            ]),
            lengths: BTreeMap::new(),
            weights: vec![1.0, 1.0, 0.0, 1.0],
            rows: vec![row(0), row(1), None, row(2)],
            resume: ResumePoint {
                version: ResumePoint::VERSION,
                seed: 0,
                epoch: 0,
                position: 0,
                dataset: Fingerprint::default(),
                recipe: Fingerprint::default(),
            },
        }
    }

    #[test]
    fn targets_stay_distributions_and_empty_slots_stay_empty() {
        let chain = Chain::parse(&[Choice::new("mix_up", json!({"alpha": 1}))]).unwrap();
        let mut mixed = 0;
        for first_row in 0..40 {
            let mut batch = batch(Tensor::f32([4, 1], vec![1.0, 2.0, 0.0, 4.0]));
            let key = DrawKey { seed: 1, epoch: 0, row: first_row };
            let taking_part: Vec<bool> = batch.weights.iter().map(|weight| *weight > 0.0).collect();
            let drawing = chain.draw_batch(&taking_part, &key);
            assert_eq!(drawing, chain.draw_batch(&taking_part, &key));
            let text = serde_json::to_string(&drawing).unwrap();
            assert_eq!(drawing, serde_json::from_str(&text).unwrap());
            drawing.apply(&mut batch).unwrap();
            let [values, targets] = ["image", "targets"].map(|name| batch.tensors[name].as_f32().unwrap());
            assert_eq!((values[2], targets[4], targets[5]), (0.0, 0.0, 0.0));
            for slot in [0, 1, 3] {
                assert!((targets[slot * 2] + targets[slot * 2 + 1] - 1.0).abs() < 1e-6);
                assert!((1.0..=4.0).contains(&values[slot]));
            }
            mixed += usize::from(values[0] != 1.0);
        }
        assert!(mixed > 15, "{mixed}");
    }

    #[test]
    fn text_cannot_be_mixed() {
        let chain = Chain::parse(&[Choice::new("mix_up", json!({"alpha": 1}))]).unwrap();
        let text = Tensor { shape: vec![4], data: millstream_schemas::TensorData::Text(vec![String::new(); 4]) };
        let drawing = chain.draw_batch(&[true; 4], &DrawKey { seed: 1, epoch: 0, row: 0 });
        assert!(matches!(drawing.apply(&mut batch(text)), Err(TransformError::Batch { .. })));
    }

    #[test]
    fn rows_of_different_lengths_cannot_be_mixed() {
        let chain = Chain::parse(&[Choice::new("mix_up", json!({"alpha": 1}))]).unwrap();
        let drawing = chain.draw_batch(&[true; 4], &DrawKey { seed: 1, epoch: 0, row: 0 });
        let mut batch = batch(Tensor::f32([4, 1], vec![0.0; 4]));
        batch.lengths.insert("sound".into(), vec![1; 4]);
        let message = drawing.apply(&mut batch).unwrap_err().to_string();
        assert!(message.contains("rows of `sound` have lengths of their own"), "{message}");
    }
}
