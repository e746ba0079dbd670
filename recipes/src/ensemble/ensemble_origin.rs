//! How an ensemble was made: when, with which software, of which predictions, and what was asked for.

use millstream_schemas::recipe::ByteSize;
use millstream_schemas::{Choice, Fingerprint, shell_word};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::origin::Origin;

/// How an ensemble was made: `origin.json` in its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnsembleOrigin {
    /// When, with which software, and where.
    #[serde(flatten)]
    pub origin: Origin,
    /// What was asked for.
    pub request: FitRequest,
}

/// What was asked for. Paths are relative to the ensemble's folder, so that both can be moved together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitRequest {
    /// Members, with what each gave for the rows.
    pub members: Vec<RequestedMember>,
    /// How they were made one, with the options that were given.
    pub method: Choice,
    /// What was to be measured; the usual where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Choice>,
    /// The figure that was to decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// The share of rows that was to be measured on and not fitted to.
    pub holdout: f64,
    /// Of what was drawn.
    pub seed: u64,
    /// Draws for intervals of figures that are no shares of rows.
    pub bootstrap: u32,
    /// What was held of all predictions, at most; none where an older build has not noted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Whether the model sees images mirrored, too.
    pub flips: bool,
    /// The output of members that have several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_name: Option<String>,
    /// The recipe on whose rows means of weights were run, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// Whether the predictions were named, and not those that lie with the members.
    pub names_predictions: bool,
}

/// A member, as it was named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestedMember {
    /// Its folder or file.
    pub path: String,
    /// The file with what it gave for the rows.
    pub predictions: String,
    /// SHA-256 of that file.
    pub fingerprint: Fingerprint,
    /// The data that it is of, with their labels.
    pub data: Fingerprint,
}

impl FitRequest {
    /// The command that asks for the same, given in the ensemble's folder; it makes the ensemble in `output`.
    pub fn command(&self, output: &str) -> String {
        let mut words: Vec<String> = ["millstream", "ensemble", "fit"].map(str::to_owned).to_vec();
        words.extend(self.members.iter().map(|member| member.path.clone()));
        let mut say = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        say("method", self.method.name.clone());
        for (name, value) in self.method.options.as_object().into_iter().flatten() {
            say("option", format!("{name}={}", option(value)));
        }
        self.metrics.iter().for_each(|metric| say("metric", choice(metric)));
        if let Some(best) = &self.best {
            say("best", best.clone());
        }
        say("holdout", self.holdout.to_string());
        say("seed", self.seed.to_string());
        say("bootstrap", self.bootstrap.to_string());
        if let Some(memory) = self.memory {
            say("memory", format!("{}B", memory.0));
        }
        if let Some(name) = &self.output_name {
            say("output-name", name.clone());
        }
        if let Some(recipe) = &self.recipe {
            say("recipe", recipe.clone());
        }
        words.extend(self.flips.then(|| "--flips".to_owned()));
        if self.names_predictions {
            words.push("--predictions".into());
            words.extend(self.members.iter().map(|member| member.predictions.clone()));
        }
        words.extend(["-o".to_owned(), output.to_owned()]);
        in_shell(&words)
    }
}

/// As `--option` takes it: a text bare, unless it would be read as something else.
fn option(value: &Value) -> String {
    match value {
        Value::String(text) if serde_json::from_str::<Value>(text).is_err() => text.clone(),
        other => other.to_string(),
    }
}

/// As `--metric` takes it.
fn choice(choice: &Choice) -> String {
    match serde_json::to_value(choice) {
        Ok(Value::String(name)) => name,
        Ok(other) => other.to_string(),
        Err(_) => choice.name.clone(),
    }
}

/// Words of a command as a shell takes them.
pub(super) fn in_shell(words: &[String]) -> String {
    words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn origin() -> EnsembleOrigin {
        let member = |name: &str| RequestedMember {
            path: format!("../{name}"),
            predictions: format!("../{name}/predictions.parquet"),
            fingerprint: Fingerprint::of_bytes(name.as_bytes()),
            data: Fingerprint::of_bytes(b"data"),
        };
        EnsembleOrigin {
            origin: Origin::without_base("2026-11-27T03:11:00Z".into(), None),
            request: FitRequest {
                members: ["a", "it's b"].map(member).to_vec(),
                method: Choice::new("selection", json!({"rounds": 5, "by": "loss"})),
                metrics: vec![Choice::named("f1"), Choice::new("top_k", json!({"k": 3}))],
                best: Some("f1".into()),
                holdout: 0.25,
                seed: 7,
                bootstrap: 50,
                memory: Some(ByteSize(1 << 20)),
                flips: true,
                output_name: None,
                recipe: Some("../r.yaml".into()),
                names_predictions: true,
            },
        }
    }

    #[test]
    fn the_command_has_all_that_was_asked_for_as_a_shell_takes_it() {
        let command = origin().request.command("../both-again");
        for part in [
            r"millstream ensemble fit ../a '../it'\''s b' --method selection",
            "--option rounds=5",
            "--option by=loss",
            r#"--metric f1 --metric '{"top_k":{"k":3}}' --best f1 --holdout 0.25 --seed 7 --bootstrap 50 --memory 1048576B"#,
            "--recipe ../r.yaml --flips --predictions ../a/predictions.parquet",
            "-o ../both-again",
        ] {
            assert!(command.contains(part), "{part} is not in {command}");
        }
        assert_eq!(option(&json!("5")), "\"5\"", "a text that looks like a number stays one");
    }

    #[test]
    fn an_origin_is_read_back_and_one_of_a_run_is_a_part_of_it() {
        let written = serde_json::to_string(&origin()).unwrap();
        assert_eq!(serde_json::from_str::<EnsembleOrigin>(&written).unwrap(), origin());
        let of_run: Origin = serde_json::from_str(&written).unwrap();
        assert_eq!((of_run.device.as_str(), of_run.onnx_runtime.as_str()), ("cpu", ""));
        assert!(!written.contains("onnx_runtime"), "nothing was run: {written}");
    }
}
