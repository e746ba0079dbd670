use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use super::onnx::{ModelProto, TensorProto, tensor_proto::DataLocation};
use super::{nested, tensor};
use crate::CompilerError;
use millstream_schemas::shown;

/// Most bytes that a model may hold in other files: four times what ONNX Runtime takes in one piece.
const MOST_BYTES: u64 = 8 << 30;
/// Most links that are followed from a model's name to its file.
const MOST_LINKS: usize = 40;

/// The folders that a model's file lies in, first that of its name: where the name is a symbolic link, also that of each file that it
/// leads to. In Hugging Face's cache a name in `snapshots` leads to a file in `blobs`.
pub(super) fn folders_of(path: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut file = path.to_owned();
    while folders.len() < MOST_LINKS {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        folders.push(folder.clone());
        match file.read_link() {
            Ok(target) => file = folder.join(target),
            Err(_) => break, // a file, or what is told when it is opened
        }
    }
    folders
}

/// Reads weights that the model keeps in files of its folders, so that nothing later opens files by a name from the
/// model. A model in memory has no folders and must hold its weights itself.
///
/// Each byte of a file is read once: tensors that name the same region share it.
pub(super) fn load(proto: &mut ModelProto, folders: &[PathBuf]) -> Result<(), CompilerError> {
    let mut files = Files { folders, lengths: HashMap::new() };
    let mut wanted: BTreeMap<PathBuf, Vec<Range<u64>>> = BTreeMap::new();
    let mut places = Vec::new();
    for tensor in external(proto) {
        let (file, range) = files.place_of(tensor)?;
        wanted.entry(file.clone()).or_default().push(range.clone());
        places.push((file, range));
    }
    let mut regions = Vec::new();
    for (file, ranges) in wanted {
        regions.extend(joined(ranges).into_iter().map(|range| (file.clone(), range)));
    }
    let total: u64 = regions.iter().map(|(_, range)| range.end - range.start).sum();
    if total > MOST_BYTES {
        return Err(CompilerError::unsupported(
            format!("a model with {total} bytes of weights in other files"),
            format!("at most {MOST_BYTES} are read; take a smaller model"),
        ));
    }
    let mut read: HashMap<PathBuf, Vec<(u64, Bytes)>> = HashMap::new();
    for (file, range) in regions {
        let bytes = read_region(&file, &range)?;
        read.entry(file).or_default().push((range.start, bytes));
    }
    for (tensor, (file, range)) in external(proto).zip(places) {
        let regions = &read[&file];
        let (start, bytes) = &regions[regions.partition_point(|(start, _)| *start <= range.start) - 1];
        let [from, to] = [range.start, range.end].map(|at| (at - start) as usize);
        tensor.raw_data = Some(bytes.slice(from..to));
        tensor.data_location = None;
        tensor.external_data.clear();
    }
    Ok(())
}

/// The tensors whose data lies elsewhere.
fn external(proto: &mut ModelProto) -> impl Iterator<Item = &mut TensorProto> {
    let all = nested::tensors(proto).into_iter();
    all.filter(|tensor| tensor.data_location == Some(DataLocation::External as i32))
}

/// Ranges in order, those that overlap or touch as one.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

fn read_error(path: &Path) -> impl FnOnce(std::io::Error) -> CompilerError {
    let path = path.to_owned();
    |source| CompilerError::Read { path, source }
}

fn read_region(path: &Path, range: &Range<u64>) -> Result<Bytes, CompilerError> {
    let mut file = File::open(path).map_err(read_error(path))?;
    file.seek(SeekFrom::Start(range.start)).map_err(read_error(path))?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact((range.end - range.start) as usize).map_err(|error| read_error(path)(error.into()))?;
    bytes.resize((range.end - range.start) as usize, 0);
    file.read_exact(&mut bytes).map_err(read_error(path))?;
    Ok(bytes.into())
}

/// The blobs of the Hugging Face cache that a folder is a snapshot in, or is in one: `REPOSITORY/snapshots/REVISION/…`.
fn blobs_of(folder: &Path) -> Option<PathBuf> {
    let snapshots = folder.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "snapshots"))?;
    Some(snapshots.parent()?.join("blobs"))
}

/// The files beside a model.
struct Files<'a> {
    folders: &'a [PathBuf],
    lengths: HashMap<PathBuf, u64>,
}

impl Files<'_> {
    /// Whether a file, all links followed, lies in a folder of the model, or in the blobs of the cache that one belongs to.
    fn is_beside_the_model(&self, real: &Path) -> Result<bool, CompilerError> {
        for folder in self.folders {
            let root = folder.canonicalize().map_err(read_error(folder))?;
            if real.starts_with(&root) || blobs_of(&root).is_some_and(|blobs| real.parent() == Some(blobs.as_path())) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// File and bytes of a tensor's data.
    fn place_of(&mut self, tensor: &TensorProto) -> Result<(PathBuf, Range<u64>), CompilerError> {
        let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key() == key).map(|entry| entry.value());
        let location = entry("location").unwrap_or_default();
        let refuse = |reason: &str| CompilerError::ExternalData {
            tensor: shown(tensor.name()),
            location: shown(location),
            reason: reason.to_owned(),
        };
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| refuse(&format!("its {key} is not a number"))),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let Some(first) = self.folders.first() else {
            return Err(refuse("the model was read from memory; it must hold its weights itself"));
        };
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !Path::new(location).components().all(plain) {
            return Err(refuse("it is not a plain path inside the model's folder"));
        }
        let holding = self.folders.iter().find(|folder| folder.join(location).exists()).unwrap_or(first);
        let file = holding.join(location);
        let real = file.canonicalize().map_err(read_error(&file))?;
        if !self.is_beside_the_model(&real)? {
            return Err(refuse(
                "it is a link to a file outside the model's folder; put the file itself beside the model, or name the model by a \
                 link to where both lie",
            ));
        }
        let whole = match self.lengths.get(&real) {
            Some(length) => *length,
            None => {
                let metadata = real.metadata().map_err(read_error(&real))?;
                if !metadata.is_file() {
                    return Err(refuse("it is not a regular file"));
                }
                self.lengths.insert(real.clone(), metadata.len());
                metadata.len()
            }
        };
        let end = length.map_or(Some(whole), |length| offset.checked_add(length));
        let Some(end) = end.filter(|end| offset <= *end && *end <= whole) else {
            return Err(refuse("the file is too short"));
        };
        // before it is read: a shape of a few numbers must not fetch a file of gigabytes
        let stated = tensor::bytes_stated(tensor).map_err(|problem| refuse(&problem))?;
        if stated != end - offset {
            return Err(refuse(&format!("its shape needs {stated} bytes and {} are named", end - offset)));
        }
        Ok((real, offset..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_that_overlap_are_read_once() {
        type Bounds<'a> = &'a [(u64, u64)];
        let rows: [(Bounds<'_>, Bounds<'_>); 4] = [
            (&[], &[]),
            (&[(0, 4), (0, 4), (0, 4)], &[(0, 4)]),
            (&[(8, 12), (0, 4), (2, 9)], &[(0, 12)]),
            (&[(6, 8), (0, 2), (2, 4)], &[(0, 4), (6, 8)]),
        ];
        for (ranges, wanted) in rows {
            let found = joined(ranges.iter().map(|(start, end)| *start..*end).collect());
            assert_eq!(found.iter().map(|range| (range.start, range.end)).collect::<Vec<_>>(), wanted);
        }
    }
}
