//! Pictures in rows and columns with captions.

use image::imageops::{self, FilterType};
use millstream_pipeline::encodings::Mark;
use millstream_transforms::RgbImage;

use super::lettering::{LETTER_WIDTH, LINE_HEIGHT, Line, dot, write};
use super::overlay;

const MARGIN: u32 = 8;
const PAPER: u8 = 255;
const INK: [u8; 3] = [34, 34, 34];
const FRAME: [u8; 3] = [204, 204, 204];

/// A picture and what stands under it, one paragraph an item.
pub(super) struct Cell {
    pub(super) image: RgbImage,
    /// What is drawn over it.
    pub(super) marks: Vec<Mark>,
    pub(super) caption: Vec<Line>,
}

/// Lays out rows of cells; every picture is as wide as its column, or as high as is allowed, and its caption stands right under
/// it: no paper is left around pictures.
pub(super) fn lay_out(rows: &[Vec<Cell>], headings: &[String], side: u32) -> RgbImage {
    let letters = (side / LETTER_WIDTH) as usize;
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let wrapped = |cell: &Cell| cell.caption.iter().flat_map(|line| line.wrapped(letters)).collect::<Vec<_>>();
    let captions: Vec<Vec<Vec<Line>>> = rows.iter().map(|row| row.iter().map(wrapped).collect()).collect();
    let cell_height =
        |(cell, caption): (&Cell, &Vec<Line>)| fitted(&cell.image, side).1 + 4 + caption.len() as u32 * LINE_HEIGHT;
    let row_height = |(row, captions): (&Vec<Cell>, &Vec<Vec<Line>>)| {
        row.iter().zip(captions).map(cell_height).max().unwrap_or(0) + MARGIN
    };
    let heights: Vec<u32> = rows.iter().zip(&captions).map(row_height).collect();
    let width = MARGIN + columns * (side + MARGIN);
    let height = MARGIN + LINE_HEIGHT + heights.iter().sum::<u32>();
    let mut sheet = RgbImage { width, height, pixels: vec![PAPER; width as usize * height as usize * 3] };
    for (column, heading) in (0..).zip(headings) {
        write(&mut sheet, MARGIN + column * (side + MARGIN), MARGIN / 2, heading, INK);
    }
    let mut top = MARGIN + LINE_HEIGHT;
    for ((row, captions), height) in rows.iter().zip(&captions).zip(heights) {
        for (column, (cell, caption)) in (0..).zip(row.iter().zip(captions)) {
            let left = MARGIN + column * (side + MARGIN);
            let below = top + place(&mut sheet, cell, (left, top), side) + 4;
            for (number, line) in (0..).zip(caption) {
                let top = below + number * LINE_HEIGHT;
                write(&mut sheet, left, top, &line.text, INK);
                if let Some(colour) = line.swatch {
                    let square = (0..LETTER_WIDTH).flat_map(|y| (0..LETTER_WIDTH).map(move |x| (x, y)));
                    let down = (LINE_HEIGHT - LETTER_WIDTH) / 2;
                    square.for_each(|(x, y)| dot(&mut sheet, (left + x).into(), (top + down + y).into(), colour));
                }
            }
        }
        top += height;
    }
    sheet
}

/// Width and height of a picture on the sheet: as wide as its column, unless it would be higher than one and a half of that.
fn fitted(picture: &RgbImage, side: u32) -> (u32, u32) {
    let (width, height) = (u64::from(picture.width.max(1)), u64::from(picture.height.max(1)));
    let (side, most) = (u64::from(side), u64::from(side) * 3 / 2);
    match height * side <= width * most {
        true => (side as u32, ((height * side + width / 2) / width).max(1) as u32),
        false => (((width * most + height / 2) / height).max(1) as u32, most as u32),
    }
}

/// Pixels of pictures that are enlarged more than this are seen as squares; less, they are blended.
const SQUARES_FROM: u32 = 4;

/// Puts a picture on the sheet, with what is drawn over it; its height there.
fn place(sheet: &mut RgbImage, Cell { image: picture, marks, .. }: &Cell, (x, y): (u32, u32), side: u32) -> u32 {
    let (width, height) = fitted(picture, side);
    let enlarged = width >= picture.width.saturating_mul(SQUARES_FROM);
    let filter = if enlarged { FilterType::Nearest } else { FilterType::Triangle };
    let source = image::RgbImage::from_raw(picture.width, picture.height, picture.pixels.clone());
    let Some(source) = source.filter(|_| picture.width > 0 && picture.height > 0) else { return height };
    let fitted = imageops::resize(&source, width, height, filter);
    let mut fitted = RgbImage { width, height, pixels: fitted.into_raw() };
    let factor = |fitted: u32, length: u32| fitted as f32 / length as f32;
    overlay::draw(&mut fitted, (factor(width, picture.width), factor(height, picture.height)), marks);
    for (line, pixels) in (0u32..).zip(fitted.pixels.chunks_exact(width as usize * 3)) {
        let at = ((y + line) as usize * sheet.width as usize + x as usize) * 3;
        sheet.pixels[at..at + pixels.len()].copy_from_slice(pixels);
    }
    frame(sheet, (x - 1, y - 1), (width + 2, height + 2));
    height
}

/// Around a picture alone, so that what is not of it is seen to be paper.
fn frame(sheet: &mut RgbImage, (left, top): (u32, u32), (width, height): (u32, u32)) {
    let mut dot = |x: u32, y: u32| dot(sheet, x.into(), y.into(), FRAME);
    for offset in 0..width {
        dot(left + offset, top);
        dot(left + offset, top + height - 1);
    }
    for offset in 0..height {
        dot(left, top + offset);
        dot(left + width - 1, top + offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_any_shape_fit() {
        let cell = |width: u32, height: u32| Cell {
            image: RgbImage { width, height, pixels: vec![10; (width * height * 3) as usize] },
            marks: vec![Mark::Point { x: 1.0, y: 2.0, number: 0, name: None }],
            caption: ["a caption that is long enough to wrap", "b"].map(|text| Line::from(text.to_owned())).to_vec(),
        };
        let rows = vec![vec![cell(1, 1), cell(8, 8)], vec![cell(3000, 2), cell(2, 3000)], vec![cell(161, 160)]];
        let sheet = lay_out(&rows, &["original".into(), "draw 1".into()], 160);
        assert_eq!(sheet.width, 8 + 2 * 168);
        assert_eq!(sheet.pixels.len(), (sheet.width * sheet.height * 3) as usize);
    }
}
