//! What is cut off of an output because it comes from outside of a map's input.

use super::map::{Beyond, Map, SLACK};
use super::sampled::Sample;
use crate::matrix::Matrix;
use crate::raster::luma;

/// Output pixels whose centre does not come from inside the input of one step get its fill.
#[derive(Clone, Debug)]
pub(super) struct Clip {
    /// From the output to that input.
    pub(super) matrix: Matrix,
    pub(super) width: f64,
    pub(super) height: f64,
    /// 0 to 1, of each channel.
    pub(super) fill: Vec<f32>,
}

/// Gathers what is cut off of an output, map by map from its end, where that is the outside of a few convex parts.
#[derive(Default)]
pub(super) struct Clips {
    clips: Vec<Clip>,
    /// The fill of the map that points were followed out of.
    followed: Option<[u8; 3]>,
    /// Whether each point has to be asked by itself.
    bent: bool,
}

impl Clips {
    /// The next map, and what leads from the output, of which this box is made, to its input.
    pub(super) fn add(&mut self, map: &Map<'_>, total: &Matrix, [.., width, height]: [u32; 4]) {
        let (size, fill) = ([map.input.width, map.input.height].map(f64::from), map.step.fill());
        let clip = |fill| Clip {
            matrix: *total,
            width: size[0],
            height: size[1],
            fill: fill_values(fill, map.input.channels),
        };
        if !map.step.stays_inside(&map.input) {
            match (Beyond::of(map), self.followed) {
                (Beyond::Folded(_), _) | (Beyond::Filled, Some(_)) => self.bent = true,
                (Beyond::Ends | Beyond::Followed, Some(first)) => self.bent |= first != fill,
                (Beyond::Ends | Beyond::Filled, None) => self.clips.push(clip(fill)),
                (Beyond::Followed, None) => self.followed = Some(fill),
            }
        }
        if map.begins
            && let Some(fill) = self.followed.take()
        {
            let [left, top, right, bottom] = total.bounds(width, height);
            if left < -SLACK || top < -SLACK || right > size[0] + SLACK || bottom > size[1] + SLACK {
                self.clips.push(clip(fill));
            }
        }
    }

    /// What is cut off, the last map's first; `None` where points have to be asked one by one.
    pub(super) fn finish(self) -> Option<Vec<Clip>> {
        (!self.bent).then_some(self.clips)
    }
}

/// Its colour in each channel, 0 to 1; a grey of one channel is the colour's luma.
pub(super) fn fill_values([red, green, blue]: [u8; 3], channels: u32) -> Vec<f32> {
    let bytes = if channels == 3 { vec![red, green, blue] } else { vec![luma([red, green, blue]); channels as usize] };
    bytes.into_iter().map(|byte| byte.raw() * u8::UNIT).collect()
}
