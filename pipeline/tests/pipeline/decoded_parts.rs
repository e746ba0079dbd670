//! What is decoded on request is what decoding the whole image gives.

use std::io::Cursor;
use std::path::Path;

use crate::corpus::{augmentation, corpus};
use millstream_pipeline::decode::{DecodeScratch, decode, decode_into, header};
use millstream_pipeline::encodings::Encoders;
use millstream_pipeline::{Dataset, Value};
use millstream_schemas::recipe::TransparencyPolicy;
use millstream_transforms::{
    DecodeRequest, DrawKey, ImageFacts, Raster, RgbImage, SampleSlice, Scratch, SourceImage, luma,
};

const POLICY: TransparencyPolicy = TransparencyPolicy::Drop;

/// Buffers as a worker has them.
#[derive(Default)]
struct Bench {
    decode: DecodeScratch,
    image: Raster,
}

impl Bench {
    fn decode(&mut self, bytes: &[u8], request: &DecodeRequest) -> Result<SourceImage<'_>, String> {
        let header = header(bytes).map_err(|error| error.to_string())?;
        let decoded = decode_into(bytes, &header, request, POLICY, &mut self.decode, &mut self.image);
        decoded.map_err(|error| error.to_string())
    }
}

/// Every decoded pixel is that of the whole image, every requested one is there. Says how many were left out.
fn check(name: &str, whole: &RgbImage, part: &SourceImage<'_>, request: &DecodeRequest) -> usize {
    assert_eq!(part.facts, whole.facts(), "{name}: {request}");
    let SampleSlice::U8(pixels) = part.samples else { panic!("{name}: {:?}", part.facts) };
    let (right, bottom) = (part.left + part.width, part.top + part.height);
    let there = part.left <= request.left
        && part.top <= request.top
        && right >= request.left + request.width
        && bottom >= request.top + request.height;
    assert!(there, "{name}: {request}, got {}×{} at {}, {}", part.width, part.height, part.left, part.top);
    let line = part.width as usize * 3;
    assert_eq!(pixels.len(), line * part.height as usize, "{name}: {request}");
    for (row, got) in (part.top..).zip(pixels.chunks_exact(line)) {
        let from = (row as usize * whole.width as usize + part.left as usize) * 3;
        assert!(got == &whole.pixels[from..from + line], "{name}: {request}: row {row} differs");
    }
    whole.pixels.len() - pixels.len()
}

/// Requests for the first rows, the last, and some between.
fn requests(whole: &RgbImage, key: &DrawKey) -> Vec<DecodeRequest> {
    let mut random = key.random("requests", 0);
    let mut span = |length: u32| {
        let start = random.below(length);
        (start, 1 + random.below(length - start))
    };
    let mut requests = vec![DecodeRequest::whole(&whole.facts())];
    for _ in 0..6 {
        let ((left, width), (top, height)) = (span(whole.width), span(whole.height));
        requests.push(DecodeRequest { left, top, width, height, channels: 3, shrink: 1.0 });
    }
    requests
}

fn check_file(name: &str, bytes: &[u8], bench: &mut Bench, seed: u64) -> usize {
    let whole = decode(bytes, POLICY).unwrap();
    let requests = requests(&whole, &DrawKey { seed, epoch: 0, row: 0 });
    requests.iter().map(|request| check(name, &whole, &bench.decode(bytes, request).unwrap(), request)).sum()
}

fn photographs(corpus: &Path, set: &str) -> Vec<(String, Vec<u8>)> {
    let dataset = Dataset::open(&format!("data/{set}/{set}-*.parquet"), corpus).unwrap();
    let columns = Encoders::standard(&dataset, None, "label").unwrap();
    let rows = (0..dataset.rows()).map(|index| {
        let id = dataset.row_at(index);
        let row = dataset.read_row(&id, columns.columns()).unwrap();
        let Some(Value::Bytes(bytes)) = row.get("image") else { panic!("{id}") };
        (id.to_string(), bytes.to_vec())
    });
    rows.collect()
}

/// A JPEG with an EXIF orientation.
fn turned(orientation: u8) -> Vec<u8> {
    let image = image::RgbImage::from_fn(50, 70, |x, y| image::Rgb([(x * 5) as u8, (y * 3) as u8, (x * y) as u8]));
    let mut jpeg = Cursor::new(Vec::new());
    image.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let mut segment = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    segment.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg.into_inner();
    bytes.splice(2..2, segment);
    bytes
}

#[test]
fn a_part_is_a_part_of_the_whole_whichever_way_it_is_turned() {
    let mut bench = Bench::default();
    for orientation in 1..=8 {
        let bytes = turned(orientation);
        let facts = header(&bytes).unwrap().facts;
        assert_eq!((facts.width, facts.height), if orientation < 5 { (50, 70) } else { (70, 50) }, "{orientation}");
        let left_out: usize =
            (0..20).map(|seed| check_file(&format!("orientation {orientation}"), &bytes, &mut bench, seed)).sum();
        assert!(left_out > 0, "{orientation}");
    }
}

/// Soft colours, none of which the file's own colour space has to cut.
fn soft(x: u32, y: u32) -> [u8; 3] {
    [90 + x as u8, 80 + y as u8, 140 - (x / 2 + y / 2) as u8]
}

fn encoded<P: image::PixelWithColorType<Subpixel = u8>>(
    format: image::ImageFormat,
    pixel: impl Fn(u32, u32) -> P,
) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::ImageBuffer::from_fn(50, 70, pixel).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The pixels of one channel are the luma of those of three; exactly, but for JPEG, whose own luma is rounded otherwise.
#[test]
fn grey_is_the_luma_of_colours() {
    let rgb = |x, y| image::Rgb(soft(x, y));
    let luma_alone = |x, y| image::Luma([soft(x, y)[0]]);
    let (png, jpeg) = (image::ImageFormat::Png, image::ImageFormat::Jpeg);
    let with_exif = turned(6);
    let mut bench = Bench::default();
    for (name, bytes, rounding) in [
        ("png", encoded(png, rgb), 0),
        ("grey png", encoded(png, luma_alone), 0),
        ("png with alpha", encoded(png, |x, y| image::LumaA([soft(x, y)[0], (x + y) as u8])), 0),
        ("bmp", encoded(image::ImageFormat::Bmp, rgb), 0),
        ("jpeg", encoded(jpeg, rgb), 2),
        ("grey jpeg", encoded(jpeg, luma_alone), 0),
        // saturated colours beyond what RGB can show
        ("turned jpeg", with_exif, 60),
    ] {
        let colours = decode(&bytes, POLICY).unwrap();
        let wanted: Vec<u8> = colours.pixels.chunks_exact(3).map(|p| luma([p[0], p[1], p[2]])).collect();
        for request in requests(&colours, &DrawKey { seed: 4, epoch: 0, row: 1 }) {
            let got = bench.decode(&bytes, &DecodeRequest { channels: 1, ..request }).unwrap();
            assert_eq!(got.facts, colours.facts().with_channels(1), "{name}");
            let SampleSlice::U8(pixels) = got.samples else { panic!("{name}") };
            assert_eq!(pixels.len(), (got.width * got.height) as usize, "{name}");
            for (index, pixel) in (0..).zip(pixels) {
                let (x, y) = (got.left + index % got.width, got.top + index / got.width);
                let wanted = wanted[(y * colours.width + x) as usize];
                assert!(pixel.abs_diff(wanted) <= rounding, "{name} {request} ({x}, {y}): {pixel}, wanted {wanted}");
            }
        }
    }
    let request = DecodeRequest { channels: 4, ..DecodeRequest::whole(&ImageFacts::new(50, 70)) };
    let message = "images are decoded to 1 channel (grey) or 3 (red, green, blue), not to 4";
    assert_eq!(bench.decode(&encoded(png, rgb), &request).unwrap_err(), message);
}

#[test]
fn parts_of_photographs_are_parts_of_the_whole() {
    let Some(corpus) = corpus("decoded parts of photographs") else { return };
    let mut bench = Bench::default();
    let mut left_out = 0;
    for (index, (name, bytes)) in photographs(&corpus, "flowers-photos").iter().enumerate().step_by(6) {
        left_out += check_file(name, bytes, &mut bench, index as u64);
    }
    assert!(left_out > 0);
    for file in
        ["Landscape_6.jpg", "Portrait_2.jpg", "hopper_orientation_5.jpg", "hopper_gray.jpg", "pil_sample_cmyk.jpg"]
    {
        let bytes = std::fs::read(corpus.join("awkward/images").join(file)).unwrap();
        check_file(file, &bytes, &mut bench, 0);
    }
}

#[test]
fn a_rendered_part_is_the_rendered_whole() {
    let Some(corpus) = corpus("rendered parts of photographs") else { return };
    let chain = augmentation(96);
    let (mut bench, mut scratch) = (Bench::default(), Scratch::default());
    let (mut from_whole, mut from_part) = (vec![0.0; 96 * 96 * 3], vec![0.0; 96 * 96 * 3]);
    for (row, (name, bytes)) in photographs(&corpus, "flowers-mini").iter().enumerate() {
        let whole = decode(bytes, POLICY).unwrap();
        let key = DrawKey { seed: 3, epoch: 0, row: row as u64 };
        let drawing = chain.draw_image(&whole.facts(), &key).unwrap();
        drawing.render(&whole, &mut scratch, &mut from_whole).unwrap();
        let part = bench.decode(bytes, &drawing.decode_request(&whole.facts()).unwrap()).unwrap();
        drawing.render_part(&part, &mut scratch, &mut from_part).unwrap();
        assert!(from_whole == from_part, "{name}");
    }
}

/// Bytes that decoders of JPEG tolerate in the middle of a scan, and then leave rows as they were in the buffer.
#[test]
fn a_damaged_jpeg_shows_nothing_of_the_image_before() {
    let jpeg = turned(1);
    let data = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 14;
    let (mut results, end) = (Vec::new(), [0xff, 0xd9]);
    let scan: &[u8] = b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00";
    for (name, inserted) in [
        ("a second start of scan", scan),
        ("a comment", b"\xff\xfe\x00\x02"),
        ("metadata", b"\xff\xe1\x00\x04ab"),
        ("a restart interval", b"\xff\xdd\x00\x04\x00\x00"),
        ("no quantization table", b"\xff\xdb\x00\x02"),
        ("no Huffman table", b"\xff\xc4\x00\x02"),
    ] {
        for at in [data + 40, data + 200, jpeg.len() - 40] {
            for rest in [&end[..], &jpeg[at..]] {
                let damaged = [&jpeg[..at], inserted, rest].concat();
                let outcomes = [[0, 0, 0], [250, 150, 50]].map(|colour| {
                    let mut bench = Bench::default();
                    let before = crate::corpus::png(50, 70, colour);
                    let whole = DecodeRequest::whole(&header(&before).unwrap().facts);
                    bench.decode(&before, &whole).unwrap();
                    bench.decode(&damaged, &whole).map(|decoded| format!("{:?}", decoded.samples))
                });
                assert_eq!(outcomes[0], outcomes[1], "{name} at {at}");
                results.push((name, outcomes[0].clone()));
            }
        }
    }
    for (name, result) in results {
        assert!(result.as_ref().is_err_and(|message| message.contains("within its only scan")), "{name}: {result:?}");
    }
}
