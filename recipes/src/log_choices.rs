//! The logs that a recipe chooses.

use millstream_schemas::ChoiceError;
use millstream_schemas::recipe::OutputRecipe;
use millstream_training::logs::Log;

use crate::Catalogs;

/// What was chosen.
#[derive(Clone, Debug)]
pub(crate) struct LogChoices {
    pub(crate) logs: Vec<Log>,
}

impl LogChoices {
    /// # Errors
    /// An unknown name or option, a value that makes no sense, or a log that is named twice: both would be one file.
    pub(crate) fn of(output: &OutputRecipe, catalogs: &Catalogs) -> Result<Self, ChoiceError> {
        let mut logs: Vec<Log> = Vec::new();
        for (index, choice) in output.logs.iter().enumerate() {
            let place = format!("output.logs[{index}]");
            let log = Log::choose(&catalogs.logs, choice, &place)?;
            if logs.iter().any(|other| other.choice().name == choice.name) {
                let message = format!("`{}` is named twice; write it once", choice.name);
                return Err(ChoiceError::Option { place, option: String::new(), message, help: None });
            }
            logs.push(log);
        }
        Ok(Self { logs })
    }

    /// Writes the choices as they are meant, with every default.
    pub(crate) fn write_into(&self, output: &mut OutputRecipe) {
        output.logs = self.logs.iter().map(|log| log.choice().clone()).collect();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_log_is_named_once() {
        for (logs, wanted) in [
            (json!(["csv", {"jsonl": {"every_steps": 5}}]), None),
            (
                json!(["csv", "jsonl", {"csv": {"every_steps": 5}}]),
                Some("output.logs[2]: `csv` is named twice; write it once"),
            ),
            (json!(["tensorbord"]), Some("output.logs[0]: unknown log `tensorbord`; did you mean `tensorboard`?")),
            (json!([{"csv": {"every_steps": 0}}]), Some("output.logs[0].csv: every_steps is 1 or more, got 0")),
            (
                json!([{"mlflow": {"experiment": " "}}]),
                Some("output.logs[0].mlflow: experiment is some text, got nothing"),
            ),
        ] {
            let output: OutputRecipe = serde_json::from_value(json!({ "logs": logs })).unwrap();
            let error = LogChoices::of(&output, &Catalogs::default()).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), wanted);
        }
    }
}
