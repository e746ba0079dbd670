/// The colours of a PNG whose pixels are numbers of colours, by those numbers; none of other images.
pub(crate) fn palette(bytes: &[u8]) -> Option<Vec<[u8; 3]>> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    /// Where a header says of a pixel that it is a number of a colour.
    const KIND: usize = 9;
    const NUMBERED: u8 = 3;
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    loop {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let (name, data) = (rest.get(4..8)?, rest.get(8..length.checked_add(8)?)?);
        match name {
            b"IHDR" if data.get(KIND) != Some(&NUMBERED) => return None,
            b"PLTE" => return Some(data.as_chunks::<3>().0.to_vec()),
            b"IDAT" | b"IEND" => return None,
            _ => rest = rest.get(length.checked_add(12)?..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
        [&(data.len() as u32).to_be_bytes(), name, data, &[0; 4]].concat()
    }

    #[test]
    fn only_numbered_colours_are_a_palette() {
        let png = |kind: u8| {
            let header = chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, kind, 0, 0, 0]);
            [b"\x89PNG\r\n\x1a\n".to_vec(), header, chunk(b"gAMA", &[0; 4]), chunk(b"PLTE", &[1, 2, 3, 4, 5, 6])]
                .concat()
        };
        assert_eq!(palette(&png(3)), Some(vec![[1, 2, 3], [4, 5, 6]]));
        assert_eq!(palette(&png(2)), None);
        (0..png(3).len()).for_each(|cut| assert_eq!(palette(&png(3)[..cut.min(png(3).len() - 11)]), None));
        assert_eq!(palette(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xff"), None);
    }
}
