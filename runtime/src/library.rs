//! What a library file is, asked of the file itself.
#![expect(unsafe_code, reason = "a shared library is opened and two C functions are called to learn its version")]

use std::ffi::CStr;
use std::path::Path;

use crate::unusable::Unusable;
use crate::version::OLDEST_MINOR;

/// The version of the library at `path`, or why it cannot be used. The library stays mapped.
pub(super) fn probe(path: &Path) -> Result<String, Unusable> {
    let version = version(path)?;
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if major == 1 && minor >= OLDEST_MINOR { Ok(version) } else { Err(Unusable::Version { version }) }
}

fn version(path: &Path) -> Result<String, Unusable> {
    // SAFETY: opening a library runs its initializers. The path was named by the user or lies in a place where only an
    // ONNX Runtime library is expected, and it is about to be loaded for good anyway.
    let library = unsafe { libloading::Library::new(path) }.map_err(Unusable::System)?;
    let found = {
        // SAFETY: every version of ONNX Runtime exports `OrtGetApiBase` with this signature.
        let get_base =
            unsafe { library.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase") }
                .map_err(|_| Unusable::NoInterface)?;
        // SAFETY: the function takes nothing and returns a pointer to a static table, or null.
        let base = unsafe { get_base().as_ref() }.ok_or(Unusable::EmptyInterface)?;
        // SAFETY: `GetVersionString` returns a static C string.
        let text = unsafe { CStr::from_ptr((base.GetVersionString)()) };
        text.to_string_lossy().into_owned()
    };
    // ONNX Runtime keeps threads and statics; unmapping it would pull the code away from under them.
    std::mem::forget(library);
    Ok(found)
}

/// The execution providers that the loaded library was built with.
pub(super) fn providers() -> Vec<String> {
    let mut names = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: both arguments are valid places to write to; the list is released below by its own function.
    let status = unsafe { (ort::api().GetAvailableProviders)(&mut names, &mut count) };
    if !status.0.is_null() || names.is_null() {
        return Vec::new();
    }
    let found = (0..usize::try_from(count).unwrap_or(0))
        .map(|index| {
            // SAFETY: the list holds `count` C strings.
            unsafe { CStr::from_ptr(*names.add(index)) }.to_string_lossy().into_owned()
        })
        .collect();
    // SAFETY: the list came from `GetAvailableProviders`, with this length; the status it returns is always null.
    let _ = unsafe { (ort::api().ReleaseAvailableProviders)(names, count) };
    found
}
