//! A walk over the bytes of a Parquet footer or page header (Thrift's compact protocol) that builds nothing: it proves
//! that every count is backed by bytes and that neither structs nor the schema nest too deeply.

use std::collections::BTreeSet;

/// Structs in structs; a true footer has about eight.
const DEEPEST_STRUCT: usize = 32;
/// Groups in groups of the schema. The Parquet reader recurses over them.
const DEEPEST_SCHEMA: usize = 64;

const STOP: u8 = 0;
const LIST: u8 = 9;
/// A struct's type.
pub(super) const STRUCT: u8 = 12;
/// `FileMetaData.schema` and `SchemaElement.num_children` in parquet.thrift.
const SCHEMA_FIELD: i64 = 2;
const NUM_CHILDREN_FIELD: i64 = 5;

/// `FileMetaData.row_groups`, `RowGroup.columns` and `ColumnChunk.crypto_metadata`.
const ROW_GROUPS_FIELD: i64 = 4;
const COLUMNS_FIELD: i64 = 1;
const CRYPTO_FIELD: i64 = 8;

/// Position in a struct's bytes.
pub(crate) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What the struct is, for messages.
    what: &'static str,
}

impl<'a> Scan<'a> {
    /// At the beginning of a struct.
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, at: 0, what }
    }

    /// Bytes walked over so far.
    pub(super) fn walked(&self) -> usize {
        self.at
    }

    /// Whether these bytes are a footer that can be handed to the Parquet reader. Gives the columns, by their place in a row
    /// group, that are encrypted: the reader would take their bytes for pages.
    pub(crate) fn check(bytes: &'a [u8]) -> Result<BTreeSet<usize>, String> {
        let mut scan = Self::new(bytes, "the footer");
        let (mut schema_seen, mut encrypted) = (false, BTreeSet::new());
        scan.fields(|scan, id, kind| match (id, kind) {
            (SCHEMA_FIELD, LIST) => {
                schema_seen = true;
                scan.schema()
            }
            (ROW_GROUPS_FIELD, LIST) => scan.structs(|scan, _| scan.row_group(&mut encrypted)),
            _ => scan.skip(kind, 1),
        })?;
        if schema_seen { Ok(encrypted) } else { Err("the footer has no schema".into()) }
    }

    fn row_group(&mut self, encrypted: &mut BTreeSet<usize>) -> Result<(), String> {
        self.fields(|scan, id, kind| match (id, kind) {
            (COLUMNS_FIELD, LIST) => scan.structs(|scan, column| {
                scan.fields(|scan, id, kind| {
                    if id == CRYPTO_FIELD {
                        encrypted.insert(column);
                    }
                    scan.skip(kind, 4)
                })
            }),
            _ => scan.skip(kind, 2),
        })
    }

    /// Hands each struct of a list to `each`, with its place.
    fn structs(&mut self, mut each: impl FnMut(&mut Self, usize) -> Result<(), String>) -> Result<(), String> {
        let (count, kind) = self.list_header()?;
        if count > 0 && kind != STRUCT {
            return Err("the footer lists row groups or columns that are no structs".into());
        }
        (0..count as usize).try_for_each(|place| each(self, place))
    }

    /// The schema is a tree written in preorder, each node with its number of children.
    fn schema(&mut self) -> Result<(), String> {
        let (count, kind) = self.list_header()?;
        if kind != STRUCT {
            return Err("the schema is not a list of elements".into());
        }
        // Children still to come at each level.
        let mut open: Vec<u64> = vec![1];
        for _ in 0..count {
            while open.last() == Some(&0) {
                open.pop();
            }
            match open.last_mut() {
                Some(left) => *left -= 1,
                None => return Err("the schema has more elements than its groups have children".into()),
            }
            let mut children = 0;
            self.fields(|scan, id, kind| {
                if id == NUM_CHILDREN_FIELD && (3..=6).contains(&kind) {
                    children = scan.zigzag()?;
                    return Ok(());
                }
                scan.skip(kind, 2)
            })?;
            let children = u64::try_from(children).map_err(|_| format!("a schema group with {children} children"))?;
            if children > 0 {
                open.push(children);
            }
            if open.len() > DEEPEST_SCHEMA {
                return Err(format!("the schema nests deeper than {DEEPEST_SCHEMA} levels"));
            }
        }
        match open.iter().all(|&left| left == 0) {
            true => Ok(()),
            false => Err("the schema has fewer elements than its groups have children".into()),
        }
    }

    /// Hands each field's number and type to `each`, which walks over its value.
    pub(super) fn fields(
        &mut self,
        mut each: impl FnMut(&mut Self, i64, u8) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut id = 0_i64;
        loop {
            let header = self.byte()?;
            let kind = header & 0x0f;
            if kind == STOP {
                return Ok(());
            }
            id = match header >> 4 {
                0 => self.zigzag()?,
                delta => id
                    .checked_add(i64::from(delta))
                    .ok_or_else(|| format!("{} numbers its fields beyond 64 bits", self.what))?,
            };
            each(self, id, kind)?;
        }
    }

    /// Walks over a value.
    pub(super) fn skip(&mut self, kind: u8, depth: usize) -> Result<(), String> {
        if depth > DEEPEST_STRUCT {
            return Err(format!("{} nests deeper than {DEEPEST_STRUCT} levels", self.what));
        }
        match kind {
            1 | 2 => Ok(()), // a field's boolean is its type
            3 => self.advance(1),
            4..=6 => self.varint().map(drop),
            7 => self.advance(8),
            8 => {
                let length = self.varint()?;
                self.advance(length)
            }
            LIST | 10 => {
                let (count, element) = self.list_header()?;
                for _ in 0..count {
                    match element {
                        1 | 2 => self.advance(1)?,
                        element => self.skip(element, depth + 1)?,
                    }
                }
                Ok(())
            }
            11 => self.map(depth),
            STRUCT => self.fields(|scan, _, kind| scan.skip(kind, depth + 1)),
            13 => self.advance(16),
            other => Err(format!("{} has a field of unknown type {other}", self.what)),
        }
    }

    fn map(&mut self, depth: usize) -> Result<(), String> {
        let count = self.varint()?;
        if count == 0 {
            return Ok(());
        }
        let kinds = self.byte()?;
        for _ in 0..count {
            for kind in [kinds >> 4, kinds & 0x0f] {
                match kind {
                    1 | 2 => self.advance(1)?,
                    kind => self.skip(kind, depth + 1)?,
                }
            }
        }
        Ok(())
    }

    /// Number and type of a list's elements; each takes at least one byte.
    fn list_header(&mut self) -> Result<(u64, u8), String> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        let left = (self.bytes.len() - self.at) as u64;
        if count > left {
            return Err(format!("{} has a list of {count} elements in its last {left} bytes", self.what));
        }
        Ok((count, header & 0x0f))
    }

    /// A number.
    pub(super) fn zigzag(&mut self) -> Result<i64, String> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(format!("{} has a number of more than 64 bits", self.what))
    }

    fn byte(&mut self) -> Result<u8, String> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(|| format!("{} ends too early", self.what))?;
        self.at += 1;
        Ok(byte)
    }

    fn advance(&mut self, count: u64) -> Result<(), String> {
        let left = (self.bytes.len() - self.at) as u64;
        if count > left {
            return Err(format!("{} has a value of {count} bytes in its last {left}", self.what));
        }
        self.at += count as usize;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A schema element: `name` (field 4, empty) and `num_children` (field 5, zigzag).
    fn element(children: u8) -> Vec<u8> {
        vec![0x48, 0, 0x15, children * 2, STOP]
    }

    fn footer(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0x29, 0xf0 | STRUCT]; // field 2, list; count as varint
        let mut count = elements.len();
        while count > 0x7f {
            bytes.push((count & 0x7f) as u8 | 0x80);
            count >>= 7;
        }
        bytes.push(count as u8);
        bytes.extend(elements.concat());
        bytes.push(STOP);
        bytes
    }

    #[test]
    fn encrypted_columns_are_told_by_their_place() {
        // Field 4, a list of one group: field 1, a list of three columns; the second has field 8, a struct.
        let column = |crypto: bool| if crypto { vec![0x8c, STOP, STOP] } else { vec![0x26, 0, STOP] };
        let columns = [column(false), column(true), column(false)].concat();
        let group = [&[0x19, 0x3c][..], &columns, &[STOP]].concat();
        let mut bytes = footer(&[element(0)]);
        bytes.pop();
        bytes.extend([&[0x29, 0x1c][..], &group, &[STOP]].concat());
        assert_eq!(Scan::check(&bytes), Ok(BTreeSet::from([1])));
    }

    #[test]
    fn footers() {
        let deep: Vec<_> = (0..100_000).map(|_| element(1)).chain([element(0)]).collect();
        let rows: Vec<(&str, Vec<u8>, Option<&str>)> = vec![
            ("plain", footer(&[element(1), element(0)]), None),
            ("empty", vec![], Some("ends too early")),
            ("no schema", vec![STOP], Some("no schema")),
            ("deep schema", footer(&deep), Some("deeper than 64")),
            ("children missing", footer(&[element(2), element(0)]), Some("fewer elements")),
            ("children too many", footer(&[element(1), element(0), element(0)]), Some("more elements")),
            ("huge list", vec![0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f], Some("list of")),
            ("deep structs", vec![0x1c; 200_000], Some("deeper than 32")),
            ("long value", vec![0x18, 0xff, 0xff, 0xff, 0x7f], Some("value of")),
            ("endless number", [vec![0x15], vec![0xff; 20]].concat(), Some("64 bits")),
        ];
        for (name, bytes, wanted) in rows {
            let got = Scan::check(&bytes).err();
            let fits = match (&got, wanted) {
                (None, None) => true,
                (Some(got), Some(part)) => got.contains(part),
                _ => false,
            };
            assert!(fits, "{name}: {got:?}");
        }
    }
}
