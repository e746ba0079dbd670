//! Rows of channels to the pixels of a model's input: in another order of axes, or as bytes.

use millstream_schemas::ImageLayout;

use super::resample::Resample;

/// Where a rendered image is written, in the order of axes that a model takes.
#[derive(Debug)]
pub struct ImageTensor<'a> {
    /// The order of its axes.
    pub layout: ImageLayout,
    /// Its values.
    pub values: PixelValues<'a>,
}

/// The values of an [`ImageTensor`], as many as channels × height × width.
#[derive(Debug)]
#[non_exhaustive]
pub enum PixelValues<'a> {
    /// As rendered: 0 (black) to 1 (white), or normalized.
    F32(&'a mut [f32]),
    /// 0 (black) to 255 (white), the nearest.
    U8(&'a mut [u8]),
}

impl ImageTensor<'_> {
    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        match &self.values {
            PixelValues::F32(values) => values.len(),
            PixelValues::U8(values) => values.len(),
        }
    }

    /// Writes row `y` of an image of `height` rows, given by channel.
    pub(super) fn put_row(&mut self, y: usize, height: usize, row: &[&mut [f32]]) {
        match &mut self.values {
            PixelValues::F32(values) => put(values, self.layout, [y, height], row, |value| value),
            PixelValues::U8(values) => put(values, self.layout, [y, height], row, u8::of_value),
        }
    }

    /// Writes a whole image of `height` rows, given as planes.
    pub(super) fn put_planes(&mut self, planes: &mut [f32], channels: usize, height: usize) {
        let width = planes.len() / (channels * height);
        let mut planes: Vec<_> =
            planes.chunks_exact_mut(width * height).map(|plane| plane.chunks_exact_mut(width)).collect();
        for y in 0..height {
            let row: Vec<&mut [f32]> = planes.iter_mut().filter_map(Iterator::next).collect();
            self.put_row(y, height, &row);
        }
    }
}

fn put<T: Copy>(
    values: &mut [T],
    layout: ImageLayout,
    [y, height]: [usize; 2],
    row: &[&mut [f32]],
    of: impl Fn(f32) -> T,
) {
    let (channels, width) = (row.len(), row.first().map_or(0, |first| first.len()));
    match (layout, row) {
        (ImageLayout::ChannelsFirst, _) => {
            for (channel, from) in row.iter().enumerate() {
                let to = &mut values[(channel * height + y) * width..][..width];
                to.iter_mut().zip(from.iter()).for_each(|(to, from)| *to = of(*from));
            }
        }
        (ImageLayout::ChannelsLast, [red, green, blue]) => {
            let pixels = values[y * width * 3..][..width * 3].chunks_exact_mut(3);
            for (((pixel, red), green), blue) in pixels.zip(red.iter()).zip(green.iter()).zip(blue.iter()) {
                pixel.copy_from_slice(&[of(*red), of(*green), of(*blue)]);
            }
        }
        (ImageLayout::ChannelsLast, _) => {
            let pixels = values[y * width * channels..][..width * channels].chunks_exact_mut(channels.max(1));
            for (x, pixel) in pixels.enumerate() {
                pixel.iter_mut().zip(row).for_each(|(to, from)| *to = of(from[x]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::properties::seeded;
    use crate::{Chain, DrawKey, ImageFacts, Raster, Samples, Scratch};

    /// Chains that end in a resampling, a point, a filter, the whole image, and two stages.
    fn chains() -> Vec<serde_json::Value> {
        vec![
            json!([]),
            json!([{"resize": {"size": 9}}]),
            json!([{"vertical_flip": {"probability": 1}}, {"color_jitter": {"brightness": 0.4}}]),
            json!([{"resize": {"size": 12}}, {"gaussian_blur": {"sigma": [1, 1]}}]),
            json!([{"gaussian_blur": {"sigma": [1, 1]}}, "equalize"]),
            json!([{"gaussian_blur": {"sigma": [1, 1]}}, {"rotate": {"degrees": 20}}]),
        ]
    }

    proptest! {
        #![proptest_config(seeded(60))]

        /// The slow twin: planes of floats, and each value put where it belongs.
        #[test]
        fn other_orders_and_bytes_are_the_planes_put_elsewhere(
            chain in 0usize..6, channels in prop::sample::select(vec![1u32, 3]), width in 3u32..30, height in 3u32..30, row in 0u64..100,
        ) {
            let chain: Vec<millstream_schemas::Choice> = serde_json::from_value(chains()[chain].clone()).unwrap();
            let chain = Chain::parse(&chain).unwrap();
            let facts = ImageFacts::new(width, height).with_channels(channels);
            let samples = (0..facts.value_count()).map(|at| (at * 37 % 251) as u8).collect();
            let image = Raster { width, height, channels, samples: Samples::U8(samples) };
            let drawing = chain.draw_image(&facts, &DrawKey { seed: 1, epoch: 0, row }).unwrap();
            let plan = drawing.plan(&facts).unwrap();
            let (count, scratch) = (plan.output().value_count(), &mut Scratch::default());
            let mut planes = vec![0.0; count];
            plan.render(&(&image).into(), scratch, &mut planes).unwrap();
            let [across, down, deep] = [plan.output().width, plan.output().height, channels].map(|side| side as usize);
            for layout in [ImageLayout::ChannelsFirst, ImageLayout::ChannelsLast] {
                let (mut floats, mut bytes) = (vec![f32::NAN; count], vec![0; count]);
                let values = PixelValues::F32(&mut floats);
                plan.render_tensor(&(&image).into(), scratch, &mut ImageTensor { layout, values }).unwrap();
                let values = PixelValues::U8(&mut bytes);
                plan.render_tensor(&(&image).into(), scratch, &mut ImageTensor { layout, values }).unwrap();
                for (channel, y, x) in (0..deep).flat_map(|c| (0..down).flat_map(move |y| (0..across).map(move |x| (c, y, x)))) {
                    let value = planes[(channel * down + y) * across + x];
                    let [_, rows, columns] = layout.shape(deep, down, across);
                    let [a, b, c] = layout.shape(channel, y, x);
                    let at = (a * rows + b) * columns + c;
                    prop_assert_eq!(floats[at], value);
                    prop_assert_eq!(bytes[at], (value * 255.0 + 0.5) as u8);
                }
            }
        }
    }

    #[test]
    fn a_tensor_of_another_length_is_refused() {
        let facts = ImageFacts::new(4, 4);
        let drawing = Chain::default().draw_image(&facts, &DrawKey { seed: 1, epoch: 0, row: 0 }).unwrap();
        let image = crate::RgbImage { width: 4, height: 4, pixels: vec![0; 48] };
        let mut tensor = ImageTensor { layout: ImageLayout::ChannelsLast, values: PixelValues::U8(&mut [0; 47]) };
        let error = drawing.plan(&facts).unwrap().render_tensor(&(&image).into(), &mut Scratch::default(), &mut tensor);
        assert!(error.unwrap_err().to_string().contains("48"));
    }
}
