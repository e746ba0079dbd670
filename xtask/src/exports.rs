//! `cargo xtask exports`: public architectures as exporters write them, each checked, trained by one step and compared with float64 autograd.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{built, cargo, program, root, run, target};
use crate::runtime;

const SCRIPTS: &str = "tests/exports";

/// Makes the Python environment, builds the command line, and hands both over to `tests/exports/run.py` with these arguments.
pub(crate) fn exports(arguments: &[&str]) -> Result<(), String> {
    let folder = target()?.join("exports");
    let python = environment(&folder.join("venv"))?;
    // a development build notices overflows, and most of the time is ONNX Runtime's and PyTorch's
    run(&mut cargo(&["build", "--locked", "--workspace", "--bin", "millstream"]))?;
    let millstream = built("debug", "millstream")?;
    runtime::get(&millstream)?;
    let mut judged = program(&python, &[&format!("{SCRIPTS}/run.py"), "--millstream"]);
    run(judged.arg(millstream).arg("--folder").arg(folder).args(arguments))
}

/// The interpreter of a virtual environment with what is pinned, made anew when that has changed.
fn environment(folder: &Path) -> Result<PathBuf, String> {
    let requirements = root().join(SCRIPTS).join("requirements.txt");
    let failed = |path: &Path, error| format!("{}: {error}", path.display());
    let wanted = fs::read(&requirements).map_err(|error| failed(&requirements, error))?;
    let scripts = if cfg!(windows) { "Scripts" } else { "bin" };
    let python = folder.join(scripts).join(format!("python{}", std::env::consts::EXE_SUFFIX));
    let installed = folder.join("requirements.txt");
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) && python.exists() {
        return Ok(python);
    }
    let path = folder.to_str().ok_or_else(|| format!("{}: the name is no UTF-8", folder.display()))?;
    run(&mut program("python3", &["-m", "venv", path]))?;
    let listed = format!("{SCRIPTS}/requirements.txt");
    run(&mut program(&python, &["-m", "pip", "install", "--disable-pip-version-check", "-r", &listed]))?;
    fs::write(&installed, wanted).map_err(|error| failed(&installed, error))?;
    Ok(python)
}
