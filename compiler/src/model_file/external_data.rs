use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use super::onnx::{ModelProto, TensorProto, tensor_proto::DataLocation};
use crate::CompilerError;
use millstream_schemas::shown;

/// Reads weights that the model keeps in files of its folder, so that nothing later opens files by a name from the
/// model. A model in memory has no folder and must hold its weights itself.
pub(super) fn load(proto: &mut ModelProto, folder: Option<&Path>) -> Result<(), CompilerError> {
    let Some(graph) = proto.graph.as_mut() else { return Ok(()) };
    let mut files = Files { folder, read: HashMap::new() };
    let attributes = graph.node.iter_mut().flat_map(|node| node.attribute.iter_mut());
    let tensors = graph.initializer.iter_mut().chain(attributes.filter_map(|attribute| attribute.t.as_mut()));
    for tensor in tensors.filter(|tensor| tensor.data_location == Some(DataLocation::External as i32)) {
        tensor.raw_data = Some(files.data_of(tensor)?);
        tensor.data_location = None;
        tensor.external_data.clear();
    }
    Ok(())
}

/// The files beside a model; each is read once.
struct Files<'a> {
    folder: Option<&'a Path>,
    read: HashMap<PathBuf, Bytes>,
}

impl Files<'_> {
    fn data_of(&mut self, tensor: &TensorProto) -> Result<Bytes, CompilerError> {
        let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key() == key).map(|entry| entry.value());
        let location = entry("location").unwrap_or_default();
        let refuse = |reason: &str| CompilerError::ExternalData {
            tensor: shown(tensor.name()),
            location: shown(location),
            reason: reason.to_owned(),
        };
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| refuse(&format!("its {key} is not a number"))),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let Some(folder) = self.folder else {
            return Err(refuse("the model was read from memory; it must hold its weights itself"));
        };
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !Path::new(location).components().all(plain) {
            return Err(refuse("it is not a plain path inside the model's folder"));
        }
        let read_error = |path: &Path, source| CompilerError::Read { path: path.to_owned(), source };
        let root = folder.canonicalize().map_err(|source| read_error(folder, source))?;
        let file = folder.join(location);
        let real = file.canonicalize().map_err(|source| read_error(&file, source))?;
        if !real.starts_with(&root) {
            return Err(refuse("it is a link to a file outside the model's folder"));
        }
        if !self.read.contains_key(&real) {
            if !real.metadata().map_err(|source| read_error(&real, source))?.is_file() {
                return Err(refuse("it is not a regular file"));
            }
            let bytes = std::fs::read(&real).map_err(|source| read_error(&real, source))?;
            self.read.insert(real.clone(), bytes.into());
        }
        let bytes = &self.read[&real];
        let end = length.map_or(Some(bytes.len()), |length| offset.checked_add(length));
        let part = end.filter(|end| offset <= *end && *end <= bytes.len());
        part.map(|end| bytes.slice(offset..end)).ok_or_else(|| refuse("the file is too short"))
    }
}
