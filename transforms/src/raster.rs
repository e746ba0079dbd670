use crate::image_facts::{Depth, ImageFacts};

/// An image of 8-bit red, green, blue, row by row from the top left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RgbImage {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Width × height × 3 bytes.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// Its size.
    pub fn facts(&self) -> ImageFacts {
        ImageFacts::new(self.width, self.height)
    }
}

/// The values of an image: row by row from the top left, the channels of a pixel side by side.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    /// 0 (black) to 255 (white).
    U8(Vec<u8>),
    /// 0 (black) to 65535 (white).
    U16(Vec<u16>),
    /// 0 (black) to 1 (white).
    F32(Vec<f32>),
}

/// Borrowed [`Samples`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SampleSlice<'a> {
    /// 0 (black) to 255 (white).
    U8(&'a [u8]),
    /// 0 (black) to 65535 (white).
    U16(&'a [u16]),
    /// 0 (black) to 1 (white).
    F32(&'a [f32]),
}

impl SampleSlice<'_> {
    /// How the values are stored.
    pub fn depth(&self) -> Depth {
        match self {
            Self::U8(_) => Depth::U8,
            Self::U16(_) => Depth::U16,
            Self::F32(_) => Depth::F32,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An image of any number of channels and any depth.
#[derive(Clone, Debug, PartialEq)]
pub struct Raster {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Values of a pixel.
    pub channels: u32,
    /// Width × height × channels values.
    pub samples: Samples,
}

impl Default for Raster {
    /// No pixels, of three channels of 8 bits.
    fn default() -> Self {
        Self { width: 0, height: 0, channels: 3, samples: Samples::U8(Vec::new()) }
    }
}

impl Raster {
    /// Its size, channels and depth.
    pub fn facts(&self) -> ImageFacts {
        let depth = self.samples().depth();
        ImageFacts { width: self.width, height: self.height, channels: self.channels, depth }
    }

    /// Its values.
    pub fn samples(&self) -> SampleSlice<'_> {
        match &self.samples {
            Samples::U8(values) => SampleSlice::U8(values),
            Samples::U16(values) => SampleSlice::U16(values),
            Samples::F32(values) => SampleSlice::F32(values),
        }
    }

    /// The buffer of its bytes, to be written anew; a new one where the values are of another depth.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        match std::mem::replace(&mut self.samples, Samples::U8(Vec::new())) {
            Samples::U8(bytes) => bytes,
            Samples::U16(_) | Samples::F32(_) => Vec::new(),
        }
    }
}

/// A decoded image, or the decoded part of one.
#[derive(Clone, Copy, Debug)]
pub struct SourceImage<'a> {
    /// Of the whole image.
    pub facts: ImageFacts,
    /// Column of the whole image at which the part begins.
    pub left: u32,
    /// Row of the whole image at which the part begins.
    pub top: u32,
    /// Pixels across the part.
    pub width: u32,
    /// Pixels down the part.
    pub height: u32,
    /// The part's values; covers at least the [`DecodeRequest`](crate::DecodeRequest).
    pub samples: SampleSlice<'a>,
}

impl<'a> SourceImage<'a> {
    /// The part of an image that begins at this column and row.
    pub fn part(facts: ImageFacts, [left, top]: [u32; 2], part: &'a Raster) -> Self {
        Self { facts, left, top, width: part.width, height: part.height, samples: part.samples() }
    }

    /// The part of an image of 8-bit red, green, blue that begins at this column and row.
    pub fn rgb_part(facts: ImageFacts, [left, top]: [u32; 2], part: &'a RgbImage) -> Self {
        let samples = SampleSlice::U8(&part.pixels);
        Self { facts, left, top, width: part.width, height: part.height, samples }
    }
}

impl<'a> From<&'a Raster> for SourceImage<'a> {
    fn from(image: &'a Raster) -> Self {
        Self::part(image.facts(), [0, 0], image)
    }
}

impl<'a> From<&'a RgbImage> for SourceImage<'a> {
    fn from(image: &'a RgbImage) -> Self {
        Self::rgb_part(image.facts(), [0, 0], image)
    }
}

/// Grey of a colour: the luma of ITU-R BT.601, `0.299 red + 0.587 green + 0.114 blue`, in the whole numbers that Pillow
/// uses for its mode `L`.
pub fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000) >> 16) as u8
}
