use std::collections::HashSet;

use crate::finetuning::{chosen_output, ending, find_scores, named, normalize};
use crate::losses::PredictionKind;
use crate::model_file::onnx::ValueInfoProto;
use crate::model_file::{encode, share};
use crate::{CompilerError, Model};

/// A model as it is evaluated.
#[derive(Clone, Debug)]
pub struct Scoring {
    /// ONNX bytes with all weights inside: whoever opens them opens no other file.
    pub model: Vec<u8>,
    /// The output that holds what a loss takes: class scores before any softmax, or numbers.
    pub scores: String,
    /// How the scores are read, where they are not what a cross-entropy takes.
    pub note: Option<String>,
}

impl Model {
    /// The model with what a loss is computed from as an output, for a loss that reads it so: class scores as
    /// [`scoring`](Self::scoring) finds them, or numbers as the model gives them.
    ///
    /// # Errors
    /// The model has no such output, or several and none is named.
    pub fn evaluated(&self, output: Option<&str>, reads: PredictionKind) -> Result<Scoring, CompilerError> {
        match reads {
            PredictionKind::ClassScores => self.scoring(output),
            PredictionKind::Numbers => self.with_output(chosen_output(self.graph(), output)?, None),
        }
    }

    /// The model with its class scores as an output: the logits that training computes its loss from, also where the
    /// file itself gives only probabilities. `output` names the output that they lead to; needed when there are several.
    ///
    /// # Errors
    /// The model has no such output, or several and none is named.
    pub fn scoring(&self, output: Option<&str>) -> Result<Scoring, CompilerError> {
        let mut normalized = self.graph().clone();
        normalize(&mut normalized);
        let scores = find_scores(&normalized, output)?;
        let note = ending(&normalized, &scores).map(|node| {
            format!(
                "the model ends in {}: what it gives is read as class scores as it is, so the most likely classes are \
                 those that it means, and the loss, which takes scores before a softmax, is not the one it was trained with",
                named(node)
            )
        });
        self.with_output(scores, note)
    }

    fn with_output(&self, scores: String, note: Option<String>) -> Result<Scoring, CompilerError> {
        let mut proto = self.proto.clone();
        let graph = proto.graph.as_mut().expect("the gate refuses a model without a graph");
        if graph.output.iter().all(|output| output.name() != scores) {
            let declared = graph.value_info.iter().find(|value| value.name() == scores).cloned();
            let unstated = || ValueInfoProto { name: Some(scores.clone()), ..ValueInfoProto::default() };
            graph.output.push(declared.unwrap_or_else(unstated));
        }
        share(graph, &HashSet::new());
        Ok(Scoring { model: encode(&proto)?, scores, note })
    }
}
