//! Graphs that read their larger constants from one file beside them (ONNX external data).

use std::collections::HashMap;
use std::io::{self, Write};

use bytes::Bytes;

use crate::model_file::OnnxFile;
use crate::model_file::onnx::{ModelProto, StringStringEntryProto, TensorProto, tensor_proto::DataLocation};
use crate::{CompilerError, TrainingProgram};

/// Smaller constants stay in the graphs: tools read lengths and axes there.
const LEAST_BYTES: usize = 1 << 10;
/// Each constant begins at a multiple of this, for vector instructions; large ones at one of [`PAGE`], so that they can be
/// mapped into memory.
const ALIGNMENT: u64 = 64;
const PAGE: u64 = 4096;

/// Training step and evaluation as files, with the constants of both in a third.
#[derive(Clone, Debug)]
pub struct ProgramFiles {
    /// The training step, as [`TrainingProgram::step`].
    pub step: OnnxFile,
    /// The evaluation, as [`TrainingProgram::evaluation`].
    pub evaluation: OnnxFile,
    /// What both read, under the name that was given.
    pub weights: WeightsFile,
}

/// Constants of graphs that name this file, each once.
#[derive(Clone, Debug, Default)]
pub struct WeightsFile {
    /// Where each begins, in order.
    places: Vec<(u64, Bytes)>,
    length: u64,
}

impl WeightsFile {
    /// Bytes that the file has.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes the file, constant by constant.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut at = 0;
        for (begin, bytes) in &self.places {
            io::copy(&mut io::Read::take(io::repeat(0), begin - at), out)?;
            out.write_all(bytes)?;
            at = begin + bytes.len() as u64;
        }
        Ok(())
    }

    fn place(&mut self, bytes: &Bytes, known: &mut HashMap<(usize, usize), u64>) -> u64 {
        *known.entry((bytes.as_ptr() as usize, bytes.len())).or_insert_with(|| {
            let alignment = if bytes.len() as u64 >= PAGE { PAGE } else { ALIGNMENT };
            let begin = self.length.next_multiple_of(alignment);
            self.places.push((begin, bytes.clone()));
            self.length = begin + bytes.len() as u64;
            begin
        })
    }
}

impl TrainingProgram {
    /// Both graphs with their larger constants in a file of this name, which lies in the same folder as they do.
    ///
    /// # Errors
    /// What is left of a graph would be larger than an ONNX file can be.
    pub fn with_weights_file(&self, name: &str) -> Result<ProgramFiles, CompilerError> {
        let mut weights = WeightsFile::default();
        let mut known = HashMap::new();
        let [step, evaluation] = self.protos().map(|mut model| {
            put_outside(&mut model, name, |bytes| weights.place(bytes, &mut known));
            OnnxFile::new(model)
        });
        Ok(ProgramFiles { step: step?, evaluation: evaluation?, weights })
    }
}

/// Leaves the places of larger initializers in a file instead of their bytes.
fn put_outside(model: &mut ModelProto, file: &str, mut place: impl FnMut(&Bytes) -> u64) {
    let tensors = model.graph.iter_mut().flat_map(|graph| graph.initializer.iter_mut());
    for tensor in tensors {
        let Some(bytes) = tensor.raw_data.take_if(|bytes| bytes.len() >= LEAST_BYTES) else { continue };
        let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
        *tensor = TensorProto {
            data_location: Some(DataLocation::External.into()),
            external_data: vec![
                entry("location", file.to_owned()),
                entry("offset", place(&bytes).to_string()),
                entry("length", bytes.len().to_string()),
            ],
            ..std::mem::take(tensor)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Constant, Graph, Length, TensorType};
    use crate::{FineTuning, Model, OperatorCatalog, compile};
    use millstream_schemas::recipe::TrainSelection;

    /// x [batch, 64] → two layers that share a matrix → a layer of 3 classes.
    fn network() -> Model {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let mut value = graph.input("x", TensorType::f32([Length::named("batch"), 64.into()]));
        let values: Vec<f32> = (0..64 * 64).map(|index| (index % 101) as f32 / 400.0).collect();
        let shared = graph.constant("shared.weight", Constant::f32([64, 64], &values));
        for _ in 0..2 {
            value = graph.add("MatMul", &[value, shared], &[]).unwrap();
            value = graph.add("Relu", &[value], &[]).unwrap();
        }
        let head = graph.constant("head.weight", Constant::f32([64, 3], &values[..64 * 3]));
        value = graph.add("MatMul", &[value, head], &[]).unwrap();
        graph.output(value);
        Model::from_bytes(graph.to_onnx("network")).unwrap()
    }

    #[test]
    fn a_constant_of_both_graphs_lies_in_the_file_once_and_both_read_it_back() {
        let wanted = FineTuning { train: TrainSelection::Head, ..FineTuning::head(2, 3) };
        let program = compile(&network(), &wanted, &OperatorCatalog::standard()).unwrap();
        let files = program.with_weights_file("weights.bin").unwrap();
        let mut bytes = Vec::new();
        files.weights.write_to(&mut bytes).unwrap();
        assert_eq!((bytes.len() as u64, bytes.len()), (files.weights.length(), 64 * 64 * 4));
        let folder = std::env::temp_dir().join(format!("millstream-weights-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("weights.bin"), &bytes).unwrap();
        let inside = [program.step().unwrap(), program.evaluation().unwrap()];
        for (outside, inside) in [files.step, files.evaluation].iter().zip(&inside) {
            assert!(outside.length() + bytes.len() < inside.length() + 1024);
            let path = folder.join("graph.onnx");
            std::fs::write(&path, outside.to_vec()).unwrap();
            let inside = Model::from_bytes(inside.to_vec()).unwrap();
            assert_eq!(Model::read(&path).unwrap().proto, inside.proto);
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn places_are_aligned_and_the_gaps_hold_zeros() {
        let (mut weights, mut known) = (WeightsFile::default(), HashMap::new());
        let [small, large] = [Bytes::from(vec![1; 1500]), Bytes::from(vec![2; 5000])];
        let begins = [&small, &large, &small].map(|bytes| weights.place(bytes, &mut known));
        assert_eq!((begins, weights.length()), ([0, 4096, 0], 9096));
        let mut written = Vec::new();
        weights.write_to(&mut written).unwrap();
        assert_eq!(written, [vec![1; 1500], vec![0; 2596], vec![2; 5000]].concat());
    }
}
