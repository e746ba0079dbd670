use std::path::PathBuf;

use crate::{RuntimeError, VERSION};

/// The folder that [`install`](crate::install()) writes to and [`locate`](crate::locate()) looks into:
/// `$XDG_DATA_HOME/millstream/onnxruntime/1.31.1`, or below `~/.local/share`.
///
/// # Errors
/// Neither `XDG_DATA_HOME` nor `HOME` is set.
pub fn install_folder() -> Result<PathBuf, RuntimeError> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The specification of XDG says that relative paths are to be ignored.
    let data = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let data = data.or_else(|| variable("HOME").map(|home| home.join(".local/share")));
    let data = data.ok_or(RuntimeError::NoDataFolder)?;
    Ok(data.join("millstream/onnxruntime").join(VERSION))
}
