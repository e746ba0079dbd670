//! The loaded library, devices, and what the doctor says.

use millstream_runtime as runtime;
use millstream_runtime::{Device, DeviceKind, DeviceRequest, RuntimeError};

#[test]
fn the_library_is_loaded_once_and_says_its_version() {
    let first = runtime::ready(None).unwrap();
    let again = runtime::ready(None).unwrap();
    assert!(std::ptr::eq(first, again));
    assert!(first.version().starts_with("1."), "{}", first.version());
    assert!(runtime::current().is_some());
}

#[test]
fn another_library_is_refused_once_one_is_in_use() {
    let loaded = runtime::ready(None).unwrap().library().clone();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(loaded.path.file_name().unwrap());
    std::fs::copy(&loaded.path, &copy).unwrap();
    let error = runtime::load(&runtime::locate(Some(&copy)).unwrap()).unwrap_err();
    assert!(matches!(error, RuntimeError::Loaded { .. }), "{error}");
}

#[test]
fn the_flag_may_name_the_folder_of_the_library() {
    let loaded = runtime::ready(None).unwrap().library().clone();
    let found = runtime::locate(loaded.path.parent()).unwrap();
    assert_eq!((found.place, found.version), (runtime::Place::Flag, loaded.version));
}

#[test]
fn a_device_is_what_was_asked_for_or_an_error_with_the_reason() {
    let loaded = runtime::ready(None).unwrap();
    let doctor = runtime::doctor(None);
    assert_eq!(Device::resolve(DeviceRequest::Cpu, loaded).unwrap().kind, DeviceKind::Cpu);
    let automatic = Device::resolve(DeviceRequest::Auto, loaded).unwrap();
    assert!(automatic.reason.starts_with("`auto` took "), "{automatic}");
    let asked = Device::resolve(DeviceRequest::Cuda(None), loaded);
    if doctor.cuda.available {
        assert_eq!(asked.unwrap().kind, DeviceKind::Cuda(0));
        assert_eq!(automatic.kind, DeviceKind::Cuda(0));
    } else {
        let message = asked.unwrap_err().to_string();
        assert!(message.starts_with("device `cuda` cannot be had: "), "{message}");
        assert!(message.contains(&doctor.cuda.reason), "{message}");
        assert_eq!(automatic.kind, DeviceKind::Cpu);
    }
}

#[test]
fn the_doctor_tells_library_providers_and_places() {
    let doctor = runtime::doctor(None);
    let library = doctor.library.as_ref().unwrap();
    assert!(library.providers.iter().any(|name| name == "CPUExecutionProvider"), "{:?}", library.providers);
    assert!(!doctor.searched.is_empty() && doctor.problem.is_none());
    serde_json::to_string(&doctor).unwrap();
}
