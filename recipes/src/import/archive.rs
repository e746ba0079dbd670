use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_schemas::{count, shown, shown_path};

use super::import_report::LeftOut;
use super::member::{Member, MemberPlace, Zipped};
use super::path_below::path_below;
use super::unpacked::Unpacked;
use crate::{RecipeError, Stop};

/// How an archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Tar,
    GzippedTar,
    Zip,
    /// By what is not read.
    Other(&'static str),
}

/// Ends of the names of archives.
const ENDS: &[(&str, Packing)] = &[
    (".tar", Packing::Tar),
    (".tar.gz", Packing::GzippedTar),
    (".tgz", Packing::GzippedTar),
    (".zip", Packing::Zip),
    (".7z", Packing::Other("7z")),
    (".rar", Packing::Other("RAR")),
    (".tar.bz2", Packing::Other("bzip2")),
    (".tar.xz", Packing::Other("xz")),
    (".tar.zst", Packing::Other("zstd")),
];

/// The name of an archive without what says how it is packed, and that; none of what is no archive.
fn parts_of(name: &str) -> Option<(&str, Packing)> {
    ENDS.iter().find_map(|(end, packing)| {
        let at = name.len().checked_sub(end.len())?;
        name.get(at..).filter(|own| own.eq_ignore_ascii_case(end)).map(|_| (&name[..at], *packing))
    })
}

/// The name of an archive without what says how it is packed; none of what is no archive.
pub(crate) fn archive_stem(name: &str) -> Option<&str> {
    parts_of(name).map(|(stem, _)| stem)
}

/// The files of an archive, and what of it is left out.
pub(super) struct Members {
    pub(super) files: Vec<Member>,
    pub(super) left_out: Vec<LeftOut>,
    /// Folders that the archive has by themselves.
    folders: BTreeSet<String>,
}

impl Members {
    /// Goes through an archive; no member is unpacked, but a gzipped archive is, into a file beside the result.
    ///
    /// # Errors
    /// It is no archive that can be read.
    pub(super) fn of(path: &Path, unpacked: &Unpacked, stop: &Stop) -> Result<Self, RecipeError> {
        let refused = |message: String| RecipeError::mismatch(shown_path(path), message);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let packing = match start_of(path)? {
            [0x1f, 0x8b, ..] => Packing::GzippedTar,
            [b'P', b'K', 3 | 5, 4 | 6] => Packing::Zip,
            _ => parts_of(&name).map_or(Packing::Tar, |(_, packing)| packing),
        };
        let mut found = Self { files: Vec::new(), left_out: Vec::new(), folders: BTreeSet::new() };
        match packing {
            Packing::Tar => found.read_tar(path.into(), &name).map_err(refused)?,
            Packing::Zip => found.read_zip(path.into(), &name).map_err(refused)?,
            Packing::GzippedTar => {
                let tar = found.unpack(path, &name, unpacked, stop).map_err(RecipeError::io("unpack", path))?;
                if !stop.is_requested() {
                    found.read_tar(tar.into(), &name).map_err(refused)?;
                }
            }
            Packing::Other(by) => {
                return Err(refused(format!(
                    "it is packed by {by}, which is not read; unpack it, or pack it as .zip or .tar"
                )));
            }
        }
        Ok(found)
    }

    /// Folders with nothing in them, by name.
    pub(super) fn empty_folders(&self) -> Vec<String> {
        if self.folders.is_empty() {
            return Vec::new();
        }
        let members = self.files.iter().map(|member| &member.name);
        let members = members.chain(self.left_out.iter().map(|one| &one.name));
        let mut names: Vec<&String> = members.chain(&self.folders).collect();
        names.sort_unstable();
        let is_filled = |folder: &String| {
            let inside = format!("{folder}/");
            let first = names.partition_point(|name| **name < inside);
            names.get(first).is_some_and(|name| name.starts_with(&inside))
        };
        self.folders.iter().filter(|folder| !is_filled(folder)).cloned().collect()
    }

    /// Notes a folder of the archive; one that is hidden, or leads out of it, has nothing that is read.
    fn add_folder(&mut self, written: &str) {
        let name = path_below(written.trim_end_matches('/'));
        self.folders.extend(name.filter(|name| !name.is_empty() && !is_hidden(name)));
    }

    /// Says why something of the archive is not read.
    fn leave_out(&mut self, name: &str, reason: impl Into<String>) {
        self.left_out.push(LeftOut { name: name.to_owned(), reason: reason.into() });
    }

    /// Unpacks as much as can be; what follows the last whole member is told later.
    fn unpack(&mut self, path: &Path, name: &str, unpacked: &Unpacked, stop: &Stop) -> io::Result<PathBuf> {
        let mut broken = None;
        let made = unpacked.once((path.into(), 0), |to| {
            let mut from = flate2::read::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, File::open(path)?));
            let mut piece = vec![0; 1 << 18];
            let mut size = 0_u64;
            while !stop.is_requested() {
                match from.read(&mut piece) {
                    Ok(0) => break,
                    Ok(read) => {
                        size += read as u64;
                        to.write_all(&piece[..read])?;
                    }
                    Err(error) => {
                        broken = Some(format!(
                            "its compression is broken after {size} bytes ({error}); what is before is read"
                        ));
                        break;
                    }
                }
            }
            Ok(())
        });
        if let Some(reason) = broken {
            self.leave_out(name, reason);
        }
        made
    }

    fn read_tar(&mut self, path: Arc<Path>, archive: &str) -> Result<(), String> {
        let file = File::open(&path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        // a buffer would be thrown away at each header, in front of which all else is passed over
        let mut tar = tar::Archive::new(HeadersOnly { from: file, read: 0 });
        let mut places: HashMap<String, usize> = HashMap::new();
        let (mut met, mut end) = (0_u64, 0);
        for entry in tar.entries_with_seek().map_err(|error| error.to_string())? {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if met == 0 => return Err(format!("it is no tar archive: {error}")),
                Err(error) => {
                    let reason =
                        format!("it is damaged behind {}, and the rest is not read: {error}", count(met, "member"));
                    self.leave_out(archive, reason);
                    break;
                }
            };
            met += 1;
            let kind = entry.header().entry_type();
            let written = entry.path_bytes();
            if kind.is_pax_global_extensions() {
                continue;
            }
            if kind.is_dir() || written.ends_with(b"/") {
                if let Ok(written) = std::str::from_utf8(&written) {
                    self.add_folder(written);
                }
                continue;
            }
            let Some(name) = self.name_of(&String::from_utf8_lossy(&written), std::str::from_utf8(&written).is_ok())
            else {
                continue;
            };
            let (start, stored) = (entry.raw_file_position(), entry.size());
            end = end.max(start.saturating_add(stored));
            let reason = match kind {
                kind if kind.is_symlink() || kind.is_hard_link() => {
                    "it is a link, and those in archives are not followed"
                }
                kind if kind.is_gnu_sparse() => "it is stored with holes, which is not read",
                kind if !(kind.is_file() || kind.is_contiguous()) => "it is no file",
                _ if end > length => "the archive ends within it",
                _ => {
                    let place = MemberPlace { archive: Arc::clone(&path), start, stored, zipped: None };
                    let member = Member { name: name.clone(), place };
                    // what is unpacked twice is the later one
                    match places.get(&name) {
                        Some(at) => {
                            self.leave_out(&name, "a later member has the same name");
                            self.files[*at] = member;
                        }
                        None => {
                            places.insert(name, self.files.len());
                            self.files.push(member);
                        }
                    }
                    continue;
                }
            };
            self.leave_out(&name, reason);
        }
        Ok(())
    }

    fn read_zip(&mut self, path: Arc<Path>, archive: &str) -> Result<(), String> {
        let file = File::open(&path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        let unreadable = |error| format!("it is no zip archive, or its end is missing: {error}");
        let mut zip = zip::ZipArchive::new(BufReader::new(file)).map_err(unreadable)?;
        if zip.has_duplicate_names() {
            self.leave_out(archive, "members of it have the same name: of those, one is read");
        }
        let mut found: Vec<Member> = Vec::new();
        for at in 0..zip.len() {
            let named = zip.by_index_data(at).and_then(|entry| Ok((entry.name()?.into_owned(), entry.is_dir())));
            let Ok((written, is_folder)) = named else {
                self.leave_out(archive, format!("the name of its member {at} cannot be read"));
                continue;
            };
            if is_folder {
                self.add_folder(&written);
                continue;
            }
            let Some(name) = self.name_of(&written, true) else { continue };
            let entry = match zip.by_index_raw(at) {
                Ok(entry) => entry,
                Err(error) => {
                    self.leave_out(&name, shown(format!("its header is damaged: {error}")));
                    continue;
                }
            };
            let (start, stored) = (entry.data_start().unwrap_or(u64::MAX), entry.compressed_size());
            let method = entry.compression();
            if entry.encrypted() {
                self.leave_out(&name, "it is encrypted");
            } else if entry.is_symlink() {
                self.leave_out(&name, "it is a link, and those in archives are not followed");
            } else if !matches!(method, zip::CompressionMethod::Stored | zip::CompressionMethod::Deflated) {
                self.leave_out(&name, format!("it is compressed by {method}, which is not read"));
            } else if start.saturating_add(stored) > length {
                self.leave_out(&name, "the archive ends within it");
            } else {
                let deflated = method == zip::CompressionMethod::Deflated;
                let zipped = Zipped { deflated, size: entry.size(), crc: entry.crc32() };
                let place = MemberPlace { archive: Arc::clone(&path), start, stored, zipped: Some(zipped) };
                found.push(Member { name, place });
            }
        }
        // bytes that several members unpack make a small archive a huge one
        found.sort_by_key(|member| (member.place.start, member.place.stored));
        let (mut end, mut names) = (0, HashSet::new());
        for member in found {
            let MemberPlace { start, stored, .. } = member.place;
            if stored > 0 && start < end {
                self.leave_out(&member.name, "it shares its bytes with another member");
                continue;
            }
            end = end.max(start + stored);
            match names.insert(member.name.clone()) {
                true => self.files.push(member),
                false => self.leave_out(&member.name, "another member has the same name"),
            }
        }
        Ok(())
    }

    /// The name that a member is known by; none where it is left out, or hidden as the files of folders are.
    fn name_of(&mut self, written: &str, is_text: bool) -> Option<String> {
        let Some(name) = path_below(written) else {
            self.leave_out(written, "its name leads out of the archive");
            return None;
        };
        if !is_text {
            self.leave_out(&name, "its name is no UTF-8");
            return None;
        }
        (!is_hidden(&name)).then_some(name)
    }
}

/// Whether a member lies in a folder that is hidden, as the files of folders are, or is hidden itself.
fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX")
}

/// Bytes of what describes one member of a tar archive, at most.
const LONGEST_HEADER: u64 = 1 << 20;

/// An archive of which headers are read and all else is passed over. What reads headers takes long names whole, however long
/// they say that they are.
struct HeadersOnly<R> {
    from: R,
    /// Bytes since something was passed over.
    read: u64,
}

impl<R: Read> Read for HeadersOnly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.read += read as u64;
        match self.read > LONGEST_HEADER {
            true => Err(io::Error::other("a header of more than a mebibyte")),
            false => Ok(read),
        }
    }
}

impl<R: Seek> Seek for HeadersOnly<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.read = 0;
        self.from.seek(to)
    }
}

/// The first bytes of a file; zeros where there are none.
fn start_of(path: &Path) -> Result<[u8; 4], RecipeError> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(RecipeError::io("read", path))?;
    file.take(4).read_to_end(&mut start).map_err(RecipeError::io("read", path))?;
    start.resize(4, 0);
    Ok([start[0], start[1], start[2], start[3]])
}
