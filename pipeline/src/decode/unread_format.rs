use std::fmt;

/// A format of pictures that is not read. Displays as its name, that it is not read, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnreadFormat {
    /// AV1 in HEIF.
    Avif,
    /// HEVC in HEIF, as telephones write it.
    Heic,
    /// JPEG 2000, in a file or as a stream alone.
    Jpeg2000,
    /// JPEG XL, in a file or as a stream alone.
    JpegXl,
    /// Of Photoshop.
    Psd,
    /// Drawings.
    Svg,
}

/// Bytes in which a drawing says what it is, behind a declaration and comments.
const START_OF_SVG: usize = 1024;

impl UnreadFormat {
    /// By the first bytes of a file, whatever it is called.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => of_heif(bytes),
            [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => Some(Self::Jpeg2000),
            [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] | [0xff, 0x0a, ..] => Some(Self::JpegXl),
            [b'8', b'B', b'P', b'S', ..] => Some(Self::Psd),
            _ => is_svg(bytes).then_some(Self::Svg),
        }
    }

    /// By the end of a file's name, in small letters: `heic`.
    pub fn of_ending(ending: &str) -> Option<Self> {
        match ending {
            "avif" => Some(Self::Avif),
            "heic" | "heif" => Some(Self::Heic),
            "j2k" | "jp2" | "jpx" => Some(Self::Jpeg2000),
            "jxl" => Some(Self::JpegXl),
            "psd" => Some(Self::Psd),
            "svg" => Some(Self::Svg),
            _ => None,
        }
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avif => "AVIF",
            Self::Heic => "HEIC",
            Self::Jpeg2000 => "JPEG 2000",
            Self::JpegXl => "JPEG XL",
            Self::Psd => "PSD",
            Self::Svg => "SVG",
        }
    }

    /// What makes a picture of it that is read.
    fn remedy(self) -> &'static str {
        match self {
            Self::Avif => "save it as PNG or JPEG, as by `avifdec OLD.avif NEW.png`",
            Self::Heic => "save it as JPEG or PNG, as by `heif-convert OLD.heic NEW.jpg`",
            Self::Jpeg2000 => "save it as PNG, as by `opj_decompress -i OLD.jp2 -o NEW.png`",
            Self::JpegXl => "save it as JPEG or PNG, as by `djxl OLD.jxl NEW.jpg`",
            Self::Psd => "save it as PNG or JPEG",
            Self::Svg => "draw it as PNG, as by `rsvg-convert -h 512 OLD.svg -o NEW.png`",
        }
    }
}

impl fmt::Display for UnreadFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not read; {}", self.name(), self.remedy())
    }
}

/// By the brands of a HEIF file: the first box has its length, `ftyp`, a brand, a version, and the brands that it is compatible with.
/// `mif1` says only that it is HEIF.
fn of_heif(bytes: &[u8]) -> Option<UnreadFormat> {
    let length = bytes.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    let first = bytes.get(..length).unwrap_or(bytes);
    let major = bytes.get(8..12).into_iter();
    let brands = major.chain(first.get(16..).unwrap_or_default().chunks_exact(4));
    let mut formats = brands.filter_map(|brand| match brand {
        b"avif" | b"avis" => Some(UnreadFormat::Avif),
        [b'h', b'e', ..] => Some(UnreadFormat::Heic),
        _ => None,
    });
    let is_heif = matches!(bytes.get(8..12), Some(b"mif1" | b"msf1"));
    formats.next().or(is_heif.then_some(UnreadFormat::Heic))
}

fn is_svg(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).trim_ascii_start();
    let start = bytes.get(..START_OF_SVG).unwrap_or(bytes);
    start.starts_with(b"<") && start.windows(4).any(|word| word == b"<svg")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::header;

    #[test]
    fn pictures_of_formats_that_are_not_read_are_told_with_what_to_do() {
        for (bytes, name, remedy) in [
            (&b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf"[..], "AVIF", "avifdec"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF", "avifdec"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", "heif-convert"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC", "heif-convert"),
            (b"\0\0\0\x10ftypmsf1\0\0\0\0", "HEIC", "heif-convert"),
            (b"\xff\x0a\xfa\x7f\x90", "JPEG XL", "djxl"),
            (b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a", "JPEG XL", "djxl"),
            (b"\0\0\0\x0cjP  \x0d\x0a\x87\x0a", "JPEG 2000", "opj_decompress"),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "SVG", "rsvg-convert"),
            (b"\xef\xbb\xbf <?xml version=\"1.0\"?>\n<!-- a -->\n<svg/>", "SVG", "rsvg-convert"),
            (b"8BPS\0\x01", "PSD", "PNG"),
        ] {
            let error = header(bytes).unwrap_err().to_string();
            assert!(error.contains(&format!("{name} is not read; ")) && error.contains(remedy), "{name}: {error}");
            // a file that is cut off is told as what it began to be, or as unknown
            (0..bytes.len()).for_each(|length| drop(header(&bytes[..length]).unwrap_err()));
        }
        for bytes in [&b"<html><body></body></html>"[..], b"\0\0\0\x18ftypisom\0\0\0\0", b"text"] {
            assert_eq!(UnreadFormat::of_bytes(bytes), None);
        }
    }
}
