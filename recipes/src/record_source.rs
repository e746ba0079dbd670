use std::io::{self, Read, Seek, SeekFrom};

/// Bytes of a record at most: more are those of a quotation mark that nothing closes.
pub(crate) const LONGEST_RECORD: u64 = 256 << 20;

/// What records with delimiters are read from: no more than [`LONGEST_RECORD`] bytes for one, which are held until the next begins.
pub(crate) struct RecordSource<R> {
    source: R,
    left: u64,
    /// What was read last.
    held: Vec<u8>,
    /// Bytes in front of those that are held.
    before: u64,
    /// Where the record begins that is read.
    record: u64,
    is_at_end: bool,
}

impl<R> RecordSource<R> {
    /// Of a source at its beginning.
    pub(crate) fn new(source: R) -> Self {
        Self { source, left: LONGEST_RECORD, held: Vec::new(), before: 0, record: 0, is_at_end: false }
    }

    /// Bytes in front of this one are not needed any more.
    pub(crate) fn begin_record(&mut self, byte: u64) {
        self.left = LONGEST_RECORD;
        self.record = byte;
    }

    /// What was read from a byte on, which does not lie before the record that was begun last.
    pub(crate) fn held_from(&self, byte: u64) -> &[u8] {
        let start = byte.checked_sub(self.before).and_then(|start| usize::try_from(start).ok());
        start.and_then(|start| self.held.get(start..)).unwrap_or_default()
    }

    /// Whether all was read, and more was asked for.
    pub(crate) fn is_at_end(&self) -> bool {
        self.is_at_end
    }
}

impl<R: Read> Read for RecordSource<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(format!(
                "a record of more than {LONGEST_RECORD} bytes; is a quotation mark not closed?"
            )));
        }
        let read = self.source.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        self.is_at_end = read == 0;
        let done = usize::try_from(self.record.saturating_sub(self.before)).unwrap_or(usize::MAX).min(self.held.len());
        self.held.drain(..done);
        self.before += done as u64;
        self.held.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

impl<R: Seek> Seek for RecordSource<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = self.source.seek(to)?;
        self.held.clear();
        self.before = place;
        self.begin_record(place);
        self.is_at_end = false;
        Ok(place)
    }
}

/// The bytes that end lines in front of all others, and how many lines they end.
pub(crate) fn line_ends(bytes: &[u8]) -> (u64, u64) {
    let ends = bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
    ends.fold((0, 0), |(ends, lines), byte| (ends + 1, lines + u64::from(*byte == b'\n')))
}

/// Whether records end within a quotation, as what parses them takes it: it begins with the first byte of a field alone.
pub(crate) fn ends_in_quotation(records: &[u8], delimiter: u8) -> bool {
    #[derive(Clone, Copy)]
    enum At {
        FieldStart,
        Plain,
        Quotation,
        /// Behind a quotation mark in a quotation: its end, or the first of two that mean one.
        Mark,
    }
    let records = records.strip_prefix("\u{feff}".as_bytes()).unwrap_or(records);
    let at = records.iter().fold(At::FieldStart, |at, byte| match (at, *byte) {
        (At::Quotation, b'"') => At::Mark,
        (At::Quotation, _) | (At::FieldStart | At::Mark, b'"') => At::Quotation,
        (_, byte) if byte == delimiter || matches!(byte, b'\n' | b'\r') => At::FieldStart,
        _ => At::Plain,
    });
    matches!(at, At::Quotation)
}
