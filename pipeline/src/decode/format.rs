/// How an image is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Windows bitmap.
    Bmp,
    /// The first frame of a GIF.
    Gif,
    /// Baseline or progressive JPEG.
    Jpeg,
    /// Portable bitmap, greymap, pixmap or anymap (`.pbm`, `.pgm`, `.ppm`, `.pnm`).
    Pnm,
    /// PNG; of an animated one the default image.
    Png,
    /// The first image of a TIFF.
    Tiff,
    /// WebP; of an animated one the first frame.
    WebP,
}

impl Format {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Jpeg => "JPEG",
            Self::Pnm => "PNM",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
        }
    }
}
