//! Running graphs in tests.

use std::path::PathBuf;
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::ep::CUDA;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::{DynValue, Tensor};

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

/// Loads ONNX Runtime from `ORT_DYLIB_PATH` or the folder that `millstream runtime install` fills; says so and returns
/// false when there is none.
pub(crate) fn available() -> bool {
    let Some(path) = library() else {
        println!("left out: no ONNX Runtime library (run `millstream runtime install`, or set ORT_DYLIB_PATH)");
        return false;
    };
    ENVIRONMENT.get_or_init(|| {
        let builder = ort::init_from(&path).expect("the library loads");
        builder.with_telemetry(false).build().expect("an environment")
    });
    true
}

fn library() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        return Some(path.into());
    }
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")))?;
    let folder = data.join("millstream/onnxruntime/1.31.1");
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    files
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so")))
}

/// A session over a model in memory.
pub(crate) fn session(model: &[u8]) -> Session {
    load(model).expect("ONNX Runtime takes the model")
}

/// What makes sessions of one thread.
pub(crate) fn builder() -> SessionBuilder {
    let builder = Session::builder(ENVIRONMENT.get().expect("`available` came first")).expect("a session builder");
    builder.with_intra_threads(1).expect("one thread")
}

/// As [`session`], for a model that may be refused. On CUDA where `MILLSTREAM_TEST_DEVICE` says `cuda`.
pub(crate) fn load(model: &[u8]) -> Result<Session, ort::Error> {
    let mut builder = builder();
    match std::env::var("MILLSTREAM_TEST_DEVICE").as_deref() {
        Ok("cuda") => {
            let provider = CUDA::default().with_tf32(false).build().error_on_failure();
            builder = builder.with_execution_providers([provider]).expect("CUDA can be had");
        }
        Ok("cpu") | Err(_) => {}
        Ok(other) => panic!("MILLSTREAM_TEST_DEVICE is `{other}`: wanted `cpu` or `cuda`"),
    }
    builder.commit_from_memory(model)
}

/// A float tensor.
pub(crate) fn floats(shape: &[usize], values: &[f32]) -> DynValue {
    Tensor::from_array((shape.to_vec(), values.to_vec())).expect("the shape fits").into_dyn()
}

/// Runs a session; outputs in declared order, as floats.
pub(crate) fn run(session: &mut Session, inputs: Vec<(String, DynValue)>) -> Vec<Vec<f32>> {
    let names: Vec<String> = session.outputs().iter().map(|output| output.name().to_owned()).collect();
    let outputs = session.run(inputs).expect("the graph runs");
    names
        .iter()
        .map(|name| outputs[name.as_str()].try_extract_tensor::<f32>().expect("a float output").1.to_vec())
        .collect()
}
