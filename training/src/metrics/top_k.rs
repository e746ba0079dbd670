/// Whether a class has one of the `k` highest scores; of equals, the first classes go first.
pub(super) fn is_among(scores: &[f32], class: usize, k: usize) -> bool {
    let own = scores[class];
    let ahead = |(index, score): (usize, &f32)| *score > own || (*score == own && index < class);
    scores.iter().enumerate().filter(|entry| ahead(*entry)).count() < k
}
