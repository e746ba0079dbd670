//! Where ONNX Runtime put the nodes and inputs of a session on a device.
#![expect(
    unsafe_code,
    reason = "the runtime tells of nodes and inputs by functions that the `ort` crate does not wrap"
)]

use std::ffi::{CStr, c_char};
use std::ptr;

use ort::AsPointer;
use ort::session::Session;
use ort::sys::{OrtMemoryInfoDeviceType, OrtStatusPtr};

/// To be set to `1` for [`nodes_on_host`].
pub(super) const RECORDED: &str = "session.record_ep_graph_assignment_info";

/// A node that runs on the CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostNode {
    pub(super) operator: String,
    pub(super) name: String,
}

/// Names of inputs that the session wants on the host. A tensor of a device is copied when it is bound to one of these, and what
/// changes in it afterwards is not seen until it is bound again.
pub(super) fn inputs_on_host(session: &Session) -> ort::Result<Vec<String>> {
    let inputs = session.inputs();
    let mut places = vec![ptr::null(); inputs.len()];
    // SAFETY: the session is open, and there is room for as many pointers as it has inputs, which stay the session's own.
    check(unsafe { (ort::api().SessionGetMemoryInfoForInputs)(session.ptr(), places.as_mut_ptr(), places.len()) })?;
    let is_on_host = |place: *const ort::sys::OrtMemoryInfo| {
        let mut kind = OrtMemoryInfoDeviceType::OrtMemoryInfoDeviceType_CPU;
        if !place.is_null() {
            // SAFETY: the session gave the pointer, and it lives as long as the session.
            unsafe { (ort::api().MemoryInfoGetDeviceType)(place, &mut kind) };
        }
        kind == OrtMemoryInfoDeviceType::OrtMemoryInfoDeviceType_CPU
    };
    let found = inputs.iter().zip(places).filter(|(_, place)| is_on_host(*place));
    Ok(found.map(|(input, _)| input.name().to_owned()).collect())
}

/// Nodes that were given to the CPU, of a session that was opened with [`RECORDED`].
pub(super) fn nodes_on_host(session: &Session) -> ort::Result<Vec<HostNode>> {
    let api = ort::api();
    let (mut parts, mut count) = (ptr::null(), 0);
    // SAFETY: the session is open; what it gives stays its own and lives as long as it.
    check(unsafe { (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &mut parts, &mut count) })?;
    let mut found = Vec::new();
    for at in 0..count {
        // SAFETY: the session gave a list of this many parts.
        let part = unsafe { *parts.add(at) };
        // SAFETY: the part is the session's, and so is its name.
        let provider = text(|out| unsafe { (api.EpAssignedSubgraph_GetEpName)(part, out) })?;
        if provider != "CPUExecutionProvider" {
            continue;
        }
        let (mut nodes, mut count) = (ptr::null(), 0);
        // SAFETY: as above.
        check(unsafe { (api.EpAssignedSubgraph_GetNodes)(part, &mut nodes, &mut count) })?;
        for at in 0..count {
            // SAFETY: the part gave a list of this many nodes.
            let node = unsafe { *nodes.add(at) };
            // SAFETY: the node is the session's, and so are its names.
            let operator = text(|out| unsafe { (api.EpAssignedNode_GetOperatorType)(node, out) })?;
            // SAFETY: as above.
            let name = text(|out| unsafe { (api.EpAssignedNode_GetName)(node, out) })?;
            found.push(HostNode { operator, name });
        }
    }
    Ok(found)
}

fn check(status: OrtStatusPtr) -> ort::Result<()> {
    // SAFETY: the status was just returned and is used once.
    unsafe { ort::Error::result_from_status(status) }
}

/// A name that the runtime owns.
fn text(ask: impl FnOnce(*mut *const c_char) -> OrtStatusPtr) -> ort::Result<String> {
    let mut name = ptr::null();
    check(ask(&mut name))?;
    if name.is_null() {
        return Ok(String::new());
    }
    // SAFETY: the runtime gave a string that ends with a zero and lives as long as its session.
    Ok(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}
