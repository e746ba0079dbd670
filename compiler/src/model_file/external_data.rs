use std::path::{Component, Path};

use super::onnx::{ModelProto, TensorProto, tensor_proto::DataLocation};
use crate::CompilerError;

/// Reads weights that the model keeps in files beside it, so that nothing later opens files by a name from the model.
pub(super) fn load(proto: &mut ModelProto, model: &Path) -> Result<(), CompilerError> {
    let Some(graph) = proto.graph.as_mut() else { return Ok(()) };
    for tensor in &mut graph.initializer {
        load_tensor(tensor, model)?;
    }
    let attributes = graph.node.iter_mut().flat_map(|node| node.attribute.iter_mut());
    for tensor in attributes.filter_map(|attribute| attribute.t.as_mut()) {
        load_tensor(tensor, model)?;
    }
    Ok(())
}

fn load_tensor(tensor: &mut TensorProto, model: &Path) -> Result<(), CompilerError> {
    if tensor.data_location != Some(DataLocation::External as i32) {
        return Ok(());
    }
    let entry =
        |key: &str| tensor.external_data.iter().find(|entry| entry.key() == key).map(|entry| entry.value().to_owned());
    let location = entry("location").unwrap_or_default();
    let refuse = |reason: &str| CompilerError::ExternalData {
        tensor: tensor.name().to_owned(),
        location: location.chars().take(200).collect(),
        reason: reason.to_owned(),
    };
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text.parse::<usize>().map(Some).map_err(|_| refuse(&format!("its {key} is not a number"))),
    };
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let relative = Path::new(&location);
    if location.is_empty()
        || !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Err(refuse("it is not a plain path inside the model's folder"));
    }
    let folder = model.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let read_error = |path: &Path, source| CompilerError::Read { path: path.to_owned(), source };
    let root = folder.canonicalize().map_err(|source| read_error(folder, source))?;
    let file = folder.join(relative);
    let real = file.canonicalize().map_err(|source| read_error(&file, source))?;
    if !real.starts_with(&root) {
        return Err(refuse("it is a link to a file outside the model's folder"));
    }
    let bytes = std::fs::read(&real).map_err(|source| read_error(&real, source))?;
    let end = length.map_or(Some(bytes.len()), |length| offset.checked_add(length));
    let part = end.and_then(|end| bytes.get(offset..end)).ok_or_else(|| refuse("the file is too short"))?;
    tensor.raw_data = Some(bytes::Bytes::copy_from_slice(part));
    tensor.data_location = None;
    tensor.external_data.clear();
    Ok(())
}
