//! A drawing cut into segments: one resampling, then steps on values.
//!
//! A new segment begins where a geometric step follows steps on values, and where a geometric step makes finer again
//! what one before it made coarser: one resampling would bring the lost detail back.

use super::plan::{Plan, Projection, SLACK, is_geometric, scales};
use crate::{DrawnStep, ImageFacts, ImageStep, Matrix, TransformError};

/// One resampling, then steps on values.
pub(super) struct Segment<'a> {
    pub(super) plan: Plan,
    pub(super) values: &'a [DrawnStep],
    /// Column and row of its image at which what it renders begins.
    pub(super) origin: [u32; 2],
}

/// The steps of a segment, and the size of the image they start from.
struct Run<'a> {
    input: ImageFacts,
    geometric: Vec<Projection<'a>>,
    values: &'a [DrawnStep],
}

/// Plans the rendering of `steps` from an image of this size; at least one segment.
///
/// A segment whose image is only resampled by the next renders no more of it than that one uses.
pub(super) fn segments<'a>(source: &ImageFacts, steps: &'a [DrawnStep]) -> Result<Vec<Segment<'a>>, TransformError> {
    let runs = runs(source, steps)?;
    let mut segments = Vec::with_capacity(runs.len());
    let mut used = None;
    for Run { input, geometric, values } in runs.iter().rev() {
        let window = used.filter(|_| values.is_empty());
        let plan = Plan::new(input, geometric, window)?;
        used = Some(plan.region);
        segments.push(Segment { plan, values, origin: window.map_or([0, 0], |[left, top, ..]| [left, top]) });
    }
    segments.reverse();
    Ok(segments)
}

fn runs<'a>(source: &ImageFacts, steps: &'a [DrawnStep]) -> Result<Vec<Run<'a>>, TransformError> {
    let mut runs = Vec::new();
    let mut input = *source;
    let mut from = 0;
    loop {
        let rest = &steps[from..];
        let geometric = rest.iter().take_while(|drawn| is_geometric(drawn)).count();
        let values = rest[geometric..].iter().take_while(|drawn| !is_geometric(drawn)).count();
        let mut run = Run { input, geometric: Vec::with_capacity(geometric), values: &[] };
        let mut detail = Detail::default();
        for (index, drawn) in rest[..geometric].iter().enumerate() {
            let step = Projection::checked(drawn, from + index)?;
            if detail.comes_back(&step) {
                input = run.output();
                let next = Run { input, geometric: Vec::new(), values: &[] };
                runs.push(std::mem::replace(&mut run, next));
                detail = Detail::default();
                detail.comes_back(&step);
            }
            run.geometric.push(step);
        }
        run.values = &rest[geometric..geometric + values];
        check_values(run.values, from + geometric)?;
        input = run.output();
        runs.push(run);
        from += geometric + values;
        if from == steps.len() {
            return Ok(runs);
        }
    }
}

impl Run<'_> {
    fn output(&self) -> ImageFacts {
        self.geometric.last().map_or(self.input, Projection::size)
    }
}

/// How coarse a run of steps has made an image.
struct Detail {
    composed: Matrix,
    /// Most source pixels an output pixel so far, across and down the source; 1 where nothing was lost.
    coarsest: [f64; 2],
}

impl Default for Detail {
    fn default() -> Self {
        Self { composed: Matrix::IDENTITY, coarsest: [1.0; 2] }
    }
}

impl Detail {
    /// Adds a step; whether it makes finer what was made coarser before.
    fn comes_back(&mut self, step: &Projection<'_>) -> bool {
        self.composed = self.composed.after(&step.matrix);
        let scales = scales(&self.composed, &step.size());
        let finer = |(scale, coarsest): (&f64, &f64)| *coarsest > 1.0 + SLACK && *scale < coarsest * (1.0 - SLACK);
        let back = scales.iter().zip(&self.coarsest).any(finer);
        self.coarsest = [self.coarsest[0].max(scales[0]), self.coarsest[1].max(scales[1])];
        back
    }
}

fn check_values(steps: &[DrawnStep], before: usize) -> Result<(), TransformError> {
    for (index, drawn) in steps.iter().enumerate() {
        let sane = match &drawn.step {
            ImageStep::AddNoise { strength, .. } => (0.0..=1.0).contains(strength),
            ImageStep::Normalize { mean, std } => {
                mean.iter().all(|value| value.is_finite()) && std.iter().all(|value| value.is_normal())
            }
            ImageStep::Project { .. } => true,
        };
        if !sane {
            let (index, transform) = (before + index, drawn.transform.to_string());
            let message = format!("impossible parameters: {}", drawn.step);
            return Err(TransformError::Step { index, transform, message });
        }
    }
    Ok(())
}
