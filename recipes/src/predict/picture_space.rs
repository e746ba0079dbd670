use std::collections::VecDeque;
use std::sync::Arc;

use millstream_pipeline::decode;
use millstream_pipeline::{Dataset, Value};
use millstream_schemas::RowId;
use millstream_transforms::steps::ImageStep;
use millstream_transforms::steps::map::Place;
use millstream_transforms::{Chain, DrawKey, ImageDrawing, ImageFacts, Matrix};

use crate::RecipeError;

/// A file and the number of a row group in it.
type RowGroup = (Arc<str>, u32);

/// Row groups whose pictures' sizes are known at a time.
const MOST_GROUPS: usize = 4;

/// How places in a prepared picture lie in the picture as it was.
#[derive(Clone, Debug)]
pub(crate) struct PictureSpace {
    /// From pixels of the prepared picture to those of the source, and back.
    to_source: Matrix,
    from_source: Matrix,
    /// Width and height in pixels.
    source: [u32; 2],
    prepared: [u32; 2],
}

impl PictureSpace {
    /// Of a picture that is prepared by a chain without chance; none where that is no projective map.
    ///
    /// # Errors
    /// It is too large.
    pub(crate) fn of(chain: &Chain, source: &ImageFacts) -> Result<Option<Self>, RecipeError> {
        let drawing = chain.draw_image(source, &DrawKey { seed: 0, epoch: 0, row: 0 })?;
        let Some(to_source) = source_matrix(&drawing) else { return Ok(None) };
        let Some(from_source) = to_source.inverse() else { return Ok(None) };
        let (width, height) = drawing.output_size(source);
        Ok(Some(Self { to_source, from_source, source: [source.width, source.height], prepared: [width, height] }))
    }

    /// Width and height of the prepared picture in pixels.
    pub(crate) fn prepared(&self) -> [f64; 2] {
        self.prepared.map(f64::from)
    }

    /// The box (left, top, right, bottom) around one of the prepared picture, in pixels of the source, cut at its edges.
    pub(crate) fn bounds(&self, [left, top, right, bottom]: [f64; 4]) -> [f32; 4] {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        let corners = corners.map(|(x, y)| self.to_source.apply(x, y));
        let [width, height] = self.source.map(f64::from);
        let least = |of: fn(&(f64, f64)) -> f64| corners.iter().map(of).fold(f64::INFINITY, f64::min);
        let most = |of: fn(&(f64, f64)) -> f64| corners.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
        let across = |value: f64| value.clamp(0.0, width) as f32;
        let down = |value: f64| value.clamp(0.0, height) as f32;
        [across(least(|at| at.0)), down(least(|at| at.1)), across(most(|at| at.0)), down(most(|at| at.1))]
    }

    /// Which of `size` places over the prepared picture, by its number row by row, a point of the source in pixels comes to lie in; none
    /// where it lies beyond.
    pub(crate) fn place(&self, (x, y): (f64, f64), [width, height]: [usize; 2]) -> Option<usize> {
        let [across, down] = self.prepared();
        let (x, y) = self.from_source.apply(x, y);
        let along = |at: f64, length: usize| (at >= 0.0 && at < length as f64).then_some(at as usize);
        Some(along(y * (height as f64 / down), height)? * width + along(x * (width as f64 / across), width)?)
    }

    /// The class of each pixel of the source, row by row: that of the place nearest to it among `size` places over the prepared picture;
    /// none where it does not come to lie in that.
    pub(super) fn classes(&self, [width, height]: [usize; 2], classes: &[u16]) -> ([usize; 2], Vec<Option<u16>>) {
        let [columns, rows] = self.source;
        let class = |row: u32, column: u32| {
            let place = self.place((f64::from(column) + 0.5, f64::from(row) + 0.5), [width, height])?;
            classes.get(place).copied()
        };
        let found = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        ([columns as usize, rows as usize], found.map(|(row, column)| class(row, column)).collect())
    }
}

/// The map from the coordinates of a prepared picture to the source's; none where a step is a field of vectors.
fn source_matrix(drawing: &ImageDrawing) -> Option<Matrix> {
    drawing.steps.iter().rev().try_fold(Matrix::IDENTITY, |later, drawn| match &drawn.step {
        ImageStep::Map(map) => match map.place() {
            Place::Projected(matrix) => Some(matrix.after(&later)),
            Place::Displaced(_) => None,
        },
        ImageStep::Filter(_) | ImageStep::Point(_) | ImageStep::Whole(_) => Some(later),
    })
}

/// Sizes of the pictures of a dataset, which are asked for in the order of its rows.
#[derive(Debug, Default)]
pub(super) struct PictureSizes {
    known: VecDeque<(RowGroup, Vec<Option<ImageFacts>>)>,
}

impl PictureSizes {
    /// The size of a row's picture; none where its header cannot be read.
    ///
    /// # Errors
    /// The rows cannot be read.
    pub(super) fn of(
        &mut self,
        dataset: &Dataset,
        column: &str,
        row: &RowId,
    ) -> Result<Option<ImageFacts>, RecipeError> {
        let key = (Arc::clone(&row.file), row.row_group);
        let known = self.known.iter().find(|(group, _)| *group == key);
        if let Some((_, sizes)) = known {
            return Ok(sizes.get(row.row as usize).copied().flatten());
        }
        let mut sizes = Vec::new();
        dataset.each_row_beside(row, &[column.to_owned()], |values| {
            sizes.push(match values.get(0) {
                Value::Bytes(bytes) => decode::header(bytes).ok().map(|header| header.facts),
                _ => None,
            });
        })?;
        let own = sizes.get(row.row as usize).copied().flatten();
        if self.known.len() == MOST_GROUPS {
            self.known.pop_front();
        }
        self.known.push_back((key, sizes));
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Choice;
    use serde_json::json;

    use super::*;

    fn space(chain: &[Choice], width: u32, height: u32) -> PictureSpace {
        let chain = Chain::parse(chain).unwrap();
        PictureSpace::of(&chain, &ImageFacts::new(width, height)).unwrap().unwrap()
    }

    #[test]
    fn boxes_are_those_of_the_picture_before_it_was_prepared() {
        // all of it is squeezed into a square
        let squeezed = space(&[Choice::new("resize", json!({"size": 50}))], 200, 100);
        assert_eq!(squeezed.bounds([10.0, 5.0, 20.0, 25.0]), [40.0, 10.0, 80.0, 50.0]);
        // the shorter side becomes 50, and 25 pixels are cut at the left and at the right
        let chain =
            [Choice::new("resize", json!({"shorter_side": 50})), Choice::new("center_crop", json!({"size": 50}))];
        let cut = space(&chain, 200, 100);
        assert_eq!(cut.bounds([0.0, 0.0, 50.0, 50.0]), [50.0, 0.0, 150.0, 100.0]);
        // what reaches out of the picture is cut at its edge; sides that are exchanged are put right
        assert_eq!(squeezed.bounds([60.0, 10.0, -5.0, 20.0]), [0.0, 20.0, 200.0, 40.0]);
        let mirrored = space(&[Choice::new("horizontal_flip", json!({"probability": 1}))], 8, 4);
        assert_eq!(mirrored.bounds([0.0, 1.0, 2.0, 3.0]), [6.0, 1.0, 8.0, 3.0]);
    }

    #[test]
    fn masks_are_as_large_as_the_picture_was() {
        let squeezed = space(&[Choice::new("resize", json!({"size": 4}))], 4, 8);
        // half as many places as pixels
        let (size, classes) = squeezed.classes([2, 2], &[0, 1, 2, 3]);
        assert_eq!(size, [4, 8]);
        let wanted: Vec<Option<u16>> =
            (0..32).map(|at| Some(u16::from(at % 4 >= 2) + 2 * u16::from(at / 4 >= 4))).collect();
        assert_eq!(classes, wanted);
        let cut = space(&[Choice::new("center_crop", json!({"size": 2}))], 4, 2);
        assert_eq!(cut.classes([2, 2], &[1, 2, 3, 4]).1, [None, Some(1), Some(2), None, None, Some(3), Some(4), None]);
    }
}
