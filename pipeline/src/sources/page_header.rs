//! Headers of pages. The Parquet reader believes them and no checksum covers them, so they are read here as well, and
//! held against the footer, the page index and the page's bytes.

use parquet::basic::{Compression, EncodingMask};
use parquet::file::metadata::ColumnChunkMetaData;

use super::thrift::{STRUCT, Scan};

const DATA_PAGE: i32 = 0;
const DICTIONARY_PAGE: i32 = 2;
const DATA_PAGE_V2: i32 = 3;
/// `PLAIN_DICTIONARY`, the older name of `RLE_DICTIONARY`.
const PLAIN: i32 = 0;
const PLAIN_DICTIONARY: i32 = 2;
const RLE: i32 = 3;
const RLE_DICTIONARY: i32 = 8;

/// What a page's header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// Bytes of the header itself.
    pub(super) length: usize,
    /// Bytes of the page in the file.
    pub(super) stored: usize,
    /// Bytes of the page once decompressed.
    pub(super) unpacked: usize,
    /// Values in it, nulls included.
    pub(super) values: u32,
    kind: i32,
    checksum: Option<u32>,
    encoding: i32,
    level_encoding: i32,
    /// Of data pages of version 2.
    levels: Levels,
}

/// What only the header of a data page of version 2 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Levels {
    nulls: i32,
    rows: i32,
    definition_bytes: i32,
    repetition_bytes: i32,
    compressed: bool,
}

impl Default for Levels {
    fn default() -> Self {
        Self { nulls: 0, rows: 0, definition_bytes: 0, repetition_bytes: 0, compressed: true }
    }
}

impl PageHeader {
    /// Reads the header at the front of `bytes`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut scan = Scan::new(bytes, "the page's header");
        let mut header = Self { kind: -1, encoding: -1, ..Self::default() };
        let (mut stored, mut unpacked, mut values, mut parts) = (-1, -1, -1, Vec::new());
        scan.fields(|scan, id, kind| {
            match id {
                1 => header.kind = number(scan, kind)?,
                2 => unpacked = number(scan, kind)?,
                3 => stored = number(scan, kind)?,
                4 => header.checksum = Some(number(scan, kind)?.cast_unsigned()),
                5 | 7 | 8 if kind == STRUCT => {
                    parts.push(id);
                    scan.fields(|scan, part, kind| match (id, part) {
                        (_, 1) => number(scan, kind).map(|number| values = number),
                        (5 | 7, 2) | (8, 4) => number(scan, kind).map(|number| header.encoding = number),
                        (5, 3) => number(scan, kind).map(|number| header.level_encoding = number),
                        (5, 4) => number(scan, kind).map(drop),
                        (8, 2) => number(scan, kind).map(|number| header.levels.nulls = number),
                        (8, 3) => number(scan, kind).map(|number| header.levels.rows = number),
                        (8, 5) => number(scan, kind).map(|number| header.levels.definition_bytes = number),
                        (8, 6) => number(scan, kind).map(|number| header.levels.repetition_bytes = number),
                        (8, 7) | (7, 3) if !matches!(kind, 1 | 2) => Err("its header has a wrong type".into()),
                        (8, 7) => {
                            header.levels.compressed = kind == 1;
                            Ok(())
                        }
                        _ => scan.skip(kind, 2),
                    })?;
                }
                5..=8 => return Err("its header has a wrong type".into()),
                _ => scan.skip(kind, 1)?,
            }
            Ok(())
        })?;
        header.length = scan.walked();
        let part = match header.kind {
            DATA_PAGE => 5,
            DICTIONARY_PAGE => 7,
            DATA_PAGE_V2 => 8,
            other => return Err(format!("it is a page of type {other}, which is not read")),
        };
        if parts != [part] {
            return Err(format!("it is a page of type {} without a header of this type", header.kind));
        }
        let positive = |what, value: i32| u32::try_from(value).map_err(|_| format!("its header says {value} {what}"));
        header.stored = positive("stored bytes", stored)? as usize;
        header.unpacked = positive("decompressed bytes", unpacked)? as usize;
        header.values = positive("values", values)?;
        Ok(header)
    }

    /// Whether it is the dictionary's page.
    pub(super) fn is_dictionary(&self) -> bool {
        self.kind == DICTIONARY_PAGE
    }

    /// Holds the header against the footer, and `page`, the bytes after the header, against the header.
    pub(super) fn check(&self, page: &[u8], column: &ColumnChunkMetaData) -> Result<(), String> {
        if page.len() != self.stored {
            return Err(format!("its header says {} bytes, and there are {}", self.stored, page.len()));
        }
        if let Some(wanted) = self.checksum {
            let got = crc32fast::hash(page);
            if wanted != got {
                return Err(format!(
                    "its checksum is {wanted:08x} and its bytes give {got:08x}: it was damaged after it was written; \
                     get the file anew"
                ));
            }
        }
        let plain = column.compression() == Compression::UNCOMPRESSED || !self.levels.compressed;
        if plain && self.stored != self.unpacked {
            let Self { stored, unpacked, .. } = self;
            return Err(format!("its header says {stored} bytes uncompressed and {unpacked} once decompressed"));
        }
        self.check_encodings(column)?;
        if self.kind == DATA_PAGE_V2 { self.check_levels(page, column) } else { Ok(()) }
    }

    fn check_encodings(&self, column: &ColumnChunkMetaData) -> Result<(), String> {
        let all = Some(column.encodings_mask());
        let pages = column.page_encoding_stats_mask().filter(|mask| mask.as_i32() != 0);
        if self.is_dictionary() {
            // Some writers list the encodings of data pages alone.
            return match self.encoding {
                PLAIN | PLAIN_DICTIONARY => Ok(()),
                other => Err(format!("its header says encoding {other} of a dictionary's values, which none has")),
            };
        }
        let data = pages;
        let levelled = self.kind == DATA_PAGE && column.column_descr().max_def_level() > 0;
        let levels = levelled.then_some(self.level_encoding).filter(|encoding| *encoding != RLE);
        for (what, encoding, listed) in [("values", Some(self.encoding), data.or(all)), ("levels", levels, all)] {
            if let Some(encoding) = encoding
                && !listed.is_none_or(|listed| lists(listed, encoding))
            {
                return Err(format!(
                    "its header says encoding {encoding} of its {what}, which the footer does not list"
                ));
            }
        }
        Ok(())
    }

    /// The same where the column holds lists: the levels of where lists begin come first, and how writers count nulls differs.
    fn check_list_levels(&self, page: &[u8], column: &ColumnChunkMetaData) -> Result<(), String> {
        let Levels { definition_bytes, repetition_bytes, .. } = self.levels;
        let column = column.column_descr();
        let mut rest = page;
        for (bytes, most) in [(repetition_bytes, column.max_rep_level()), (definition_bytes, column.max_def_level())] {
            let wrong = |what: &str| format!("its header says {bytes} bytes of levels: {what}");
            let length = usize::try_from(bytes).ok().filter(|length| *length <= rest.len());
            let (levels, behind) = rest.split_at(length.ok_or_else(|| wrong("more than the page has"))?);
            let walked = walk_levels(levels, most, self.values)?;
            if walked.bytes != levels.len() {
                return Err(wrong(&format!("there are {}", walked.bytes)));
            }
            rest = behind;
        }
        Ok(())
    }

    /// The lengths of levels are in the header alone: one that is wrong would shift every value of the page.
    fn check_levels(&self, page: &[u8], column: &ColumnChunkMetaData) -> Result<(), String> {
        if column.column_descr().max_rep_level() > 0 {
            return self.check_list_levels(page, column);
        }
        let Levels { nulls, rows, definition_bytes, repetition_bytes, .. } = self.levels;
        if rows != self.values.cast_signed() {
            return Err(format!("its header says {} values in {rows} rows", self.values));
        }
        let wrong = |what: &str| format!("its header says {definition_bytes} bytes of levels: {what}");
        let bytes = usize::try_from(definition_bytes).ok().and_then(|length| page.get(..length));
        let bytes = bytes.ok_or_else(|| wrong("more than the page has"))?;
        let most = column.column_descr().max_def_level();
        let walked = walk_levels(bytes, most, self.values)?;
        if repetition_bytes != 0 || walked.bytes != bytes.len() {
            return Err(wrong(&format!("there are {} and {repetition_bytes} of lists", walked.bytes)));
        }
        match i64::from(self.values) - i64::from(walked.full) == i64::from(nulls) {
            true => Ok(()),
            false => {
                Err(format!("its header says {nulls} nulls, and {} of {} values are there", walked.full, self.values))
            }
        }
    }
}

/// Holds levels of a decompressed data page of version 1, which begin with their length, against its values. The rest of the
/// page comes back.
pub(super) fn check_unpacked_levels(page: &[u8], values: u32, most: i16) -> Result<&[u8], String> {
    let cut = || "its levels are cut off".to_owned();
    let (length, rest) = page.split_first_chunk::<4>().ok_or_else(cut)?;
    let (levels, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut)?;
    walk_levels(levels, most, values).map(|_| rest)
}

fn lists(mask: &EncodingMask, encoding: i32) -> bool {
    let bits = mask.as_i32();
    let has = |encoding: i32| (0..31).contains(&encoding) && bits >> encoding & 1 == 1;
    let dictionary = [PLAIN_DICTIONARY, RLE_DICTIONARY];
    bits == 0 || has(encoding) || dictionary.contains(&encoding) && dictionary.into_iter().any(has)
}

fn number(scan: &mut Scan<'_>, kind: u8) -> Result<i32, String> {
    if !(4..=6).contains(&kind) {
        return Err("its header has a wrong type".into());
    }
    let number = scan.zigzag()?;
    i32::try_from(number).map_err(|_| format!("its header has the number {number}"))
}

/// What a walk over levels found.
struct Walked {
    bytes: usize,
    /// Levels that are the highest: values that are not null.
    full: u32,
}

/// Walks over `count` levels in runs and groups of eight (Parquet's hybrid of run lengths and packed bits).
fn walk_levels(bytes: &[u8], most: i16, count: u32) -> Result<Walked, String> {
    let width = (16 - most.cast_unsigned().leading_zeros()) as usize;
    let (mut at, mut seen, mut full) = (0_usize, 0_u32, 0_u32);
    let short = || format!("its levels end before its {count} values");
    let high = |level: u64| format!("a level of {level}, and {most} is the highest");
    while width > 0 && seen < count {
        let mut header = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = *bytes.get(at).ok_or_else(short)?;
            at += 1;
            header |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let left = count - seen;
        if header & 1 == 0 {
            let run = u32::try_from(header >> 1).unwrap_or(u32::MAX).min(left);
            let value = bytes.get(at..at + width.div_ceil(8)).ok_or_else(short)?;
            at += value.len();
            let level = value.iter().rev().fold(0, |level, byte| level << 8 | u64::from(*byte));
            match level.cmp(&u64::from(most.cast_unsigned())) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => full += run,
                std::cmp::Ordering::Greater => return Err(high(level)),
            }
            if run == 0 {
                return Err("a run of no levels".into());
            }
            seen += run;
        } else {
            let groups = (header >> 1) as usize;
            let values = u32::try_from(groups.saturating_mul(8)).unwrap_or(u32::MAX).min(left);
            // The last group may be cut behind the last value.
            let needed = (values as usize * width).div_ceil(8);
            let rest = bytes.get(at..).filter(|rest| rest.len() >= needed).ok_or_else(short)?;
            let packed = &rest[..groups.saturating_mul(width).min(rest.len())];
            at += packed.len();
            if values == 0 {
                return Err("a group of no levels".into());
            }
            for index in 0..values as usize {
                let bit = |bit: usize| u64::from(packed[bit / 8] >> (bit % 8) & 1);
                let level = (0..width).fold(0, |level, low| level | bit(index * width + low) << low);
                if level > u64::from(most.cast_unsigned()) {
                    return Err(high(level));
                }
                full += u32::from(level == u64::from(most.cast_unsigned()));
            }
            seen += values;
        }
    }
    // A column that cannot be null has no levels.
    Ok(Walked { bytes: at, full: if width == 0 { count } else { full } })
}
