//! What a model gives for rows, kept while it is evaluated.

use std::path::{Path, PathBuf};

use millstream_compiler::Model;
use millstream_compiler::losses::PredictionKind;
use millstream_pipeline::PredictionWriter;
use millstream_schemas::recipe::ByteSize;
use millstream_schemas::{
    Fingerprint, PredictionTargets, Predictions, PredictionsHeader, RowId, ScoresOf, shell_path, shown_path,
};
use millstream_training::metrics::MeasuredBatch;
use millstream_training::{BoxError, PredictionSink};

use crate::RecipeError;
use crate::measuring::Measuring;

/// Refuses to keep what a model gives where that is no class, labels or numbers of a row; in words, with what there is instead.
///
/// # Errors
/// It is read as something else.
pub(crate) fn require_kept(reads: PredictionKind, model: &Path) -> Result<(), String> {
    let what = match reads {
        PredictionKind::ClassScores | PredictionKind::LabelScores | PredictionKind::Numbers => return Ok(()),
        PredictionKind::SequenceScores => "sequences",
        PredictionKind::Embeddings => "vectors that are compared with each other",
        PredictionKind::Boxes => "boxes",
    };
    let predict =
        |file: &str| format!("`millstream predict {} FILES -o {file}` writes what it gives", shell_path(model));
    let instead = match reads {
        PredictionKind::SequenceScores => {
            "`millstream evaluate` measures them, and the exported model gives them to a program that decodes; nothing here makes text \
             of them"
                .to_owned()
        }
        PredictionKind::Boxes => format!(
            "{} where a row has one picture, which is prepared without chance; `millstream evaluate` measures it by classes, and with \
             `evaluation.slices` by columns of the rows, and the report page of a run draws the pictures that it was most wrong about",
            predict("things.parquet")
        ),
        _ => predict("answers.parquet"),
    };
    Err(format!(
        "answers are kept of classes, labels or numbers alone, and {} gives {what}; {instead}",
        shown_path(model)
    ))
}

/// Keeps predictions in a file or in memory.
pub(crate) struct KeptPredictions {
    model: Fingerprint,
    data: Fingerprint,
    classes: Vec<String>,
    place: Place,
}

enum Place {
    /// Begun with the first batch, which says how many scores there are.
    File(PathBuf, Option<Box<PredictionWriter>>),
    /// So many bytes at most.
    Memory(Option<Predictions>, ByteSize),
}

impl KeptPredictions {
    /// In a file.
    ///
    /// # Errors
    /// The rows cannot be read, the file would take the place of the model, or what that gives is not kept.
    pub(crate) fn in_file(path: &Path, model: &Model, measuring: &Measuring) -> Result<Self, RecipeError> {
        let is_model =
            path.canonicalize().ok().zip(model.path().canonicalize().ok()).is_some_and(|(own, model)| own == model);
        if is_model {
            return Err(RecipeError::ensemble(
                path,
                "predictions would be written over the model; choose another file",
            ));
        }
        Self::of(Place::File(path.to_owned(), None), model, measuring)
    }

    /// In memory, so many bytes at most.
    ///
    /// # Errors
    /// The rows cannot be read, or what the model gives is not kept.
    pub(crate) fn in_memory(model: &Model, measuring: &Measuring, most: ByteSize) -> Result<Self, RecipeError> {
        Self::of(Place::Memory(None, most), model, measuring)
    }

    fn of(place: Place, model: &Model, measuring: &Measuring) -> Result<Self, RecipeError> {
        let refused = |why| RecipeError::mismatch("training.loss", why);
        require_kept(measuring.metrics().reads(), model.path()).map_err(refused)?;
        let (model, classes) = (model.fingerprint().clone(), measuring.classes().to_vec());
        Ok(Self { model, data: measuring.data()?, classes, place })
    }

    /// Lets a file take its name; what was kept in memory is given. None where there was no row.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn finish(self) -> Result<Option<Predictions>, RecipeError> {
        match self.place {
            Place::File(_, Some(writer)) => writer.finish().map(|_| None).map_err(RecipeError::from),
            Place::File(_, None) => Ok(None),
            Place::Memory(kept, _) => Ok(kept),
        }
    }
}

impl PredictionSink for KeptPredictions {
    fn take(&mut self, rows: &[Option<RowId>], batch: &MeasuredBatch<'_>) -> Result<(), BoxError> {
        let scores_of = match batch.reads() {
            PredictionKind::ClassScores => ScoresOf::Classes,
            PredictionKind::LabelScores => ScoresOf::Labels,
            PredictionKind::Numbers => ScoresOf::Numbers,
            PredictionKind::SequenceScores | PredictionKind::Embeddings | PredictionKind::Boxes => {
                return Err("predictions are kept of classes, labels and numbers alone".into());
            }
        };
        let [_, columns] = *batch.shape() else {
            return Err(
                format!("predictions are kept of one answer a row, and the model gives {:?}", batch.shape()).into()
            );
        };
        let header = || PredictionsHeader {
            version: PredictionsHeader::VERSION,
            scores_of,
            columns,
            classes: if scores_of == ScoresOf::Numbers { Vec::new() } else { self.classes.clone() },
            model: self.model.clone(),
            data: self.data.clone(),
        };
        let of_batch = answers(rows, batch, Predictions::new(header()));
        match &mut self.place {
            Place::Memory(Some(kept), most) => {
                kept.rows.extend(of_batch.rows);
                kept.scores.extend(of_batch.scores);
                match (&mut kept.targets, of_batch.targets) {
                    (PredictionTargets::Classes(kept), PredictionTargets::Classes(more)) => kept.extend(more),
                    (PredictionTargets::Numbers(kept), PredictionTargets::Numbers(more)) => kept.extend(more),
                    _ => return Err("batches are of different targets".into()),
                }
                if kept.bytes() > most.0 {
                    let message = format!(
                        "what the model gives for these rows takes more than the {most} there are for it; raise `--memory`, or \
                         `data.memory` of the recipe where the command has none"
                    );
                    return Err(message.into());
                }
            }
            Place::Memory(kept, _) => *kept = Some(of_batch),
            Place::File(path, writer) => {
                let writer = match writer {
                    Some(writer) => writer,
                    None => writer.insert(Box::new(PredictionWriter::create(path, of_batch.header.clone())?)),
                };
                writer.add(&of_batch.rows, &of_batch.scores, &of_batch.targets)?;
            }
        }
        Ok(())
    }
}

/// The rows of a batch that have a target.
fn answers(rows: &[Option<RowId>], batch: &MeasuredBatch<'_>, mut found: Predictions) -> Predictions {
    match &mut found.targets {
        PredictionTargets::Classes(classes) => batch.each_answer(|answer| {
            let Some(row) = rows.get(answer.row).cloned().flatten() else { return };
            found.rows.push(row);
            found.scores.extend_from_slice(answer.scores);
            classes.push(answer.truth as u32);
        }),
        PredictionTargets::Numbers(numbers) => {
            for (at, scores, targets) in batch.numbers() {
                let Some(row) = rows.get(at).cloned().flatten() else { continue };
                found.rows.push(row);
                found.scores.extend_from_slice(scores);
                numbers.extend_from_slice(targets);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_not_sent_to_a_command_that_refuses_them() {
        let why = require_kept(PredictionKind::SequenceScores, Path::new("runs/speech/model.onnx")).unwrap_err();
        assert!(why.contains("gives sequences") && why.contains("`millstream evaluate` measures them"), "{why}");
        assert!(!why.contains("millstream predict"), "{why}");
    }

    #[test]
    fn what_is_not_kept_of_a_detector_is_told_with_what_there_is_instead() {
        let of = |reads| require_kept(reads, Path::new("runs/thing/model.onnx"));
        for reads in [PredictionKind::ClassScores, PredictionKind::LabelScores, PredictionKind::Numbers] {
            assert_eq!(of(reads), Ok(()));
        }
        let why = of(PredictionKind::Boxes).unwrap_err();
        let command = "`millstream predict runs/thing/model.onnx FILES -o things.parquet`";
        for part in ["gives boxes", command, "where a row has one picture", "by classes"] {
            assert!(why.contains(part), "{why}");
        }
        let why = of(PredictionKind::Embeddings).unwrap_err();
        assert!(
            why.contains("gives vectors") && why.contains("-o answers.parquet") && !why.contains("things"),
            "{why}"
        );
    }
}
