use std::fs;
use std::path::{Path, PathBuf};

use millstream_schemas::yaml::{self, TextEntry};
use millstream_schemas::{files, nearest, shown};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::RecipeError;

/// What stands in a document where nobody has said anything.
pub(super) const NOT_STATED: &str = "*not stated*";

macro_rules! statements {
    ($($field:ident: $question:literal,)*) => {
        /// What only people know of a model and its data: `statements.yaml` beside a run. Texts are Markdown.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Statements {
            $(
                #[doc = $question]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<String>,
            )*
        }

        impl Statements {
            /// Key, question and answer of each.
            pub(super) fn all(&self) -> Vec<(&'static str, &'static str, Option<&str>)> {
                vec![$((stringify!($field), $question, said(&self.$field)),)*]
            }
        }
    };
}

statements! {
    name: "What the model is called.",
    description: "What it does, in one or two sentences.",
    authors: "Who made it: people or an organization.",
    license: "Licence of the model, as an SPDX identifier such as apache-2.0.",
    language: "Language of the texts, as a code such as en; for a model of texts.",
    version: "Version of the model.",
    url: "Where it is published.",
    base_model: "The base model's name where it is published, as google/mobilenet_v2_1.0_224.",
    contact: "Whom to ask.",
    citation: "How to cite it.",
    intended_use: "What it is meant for.",
    downstream_use: "What it may be built into, or be trained further for.",
    users: "Who is meant to use it.",
    out_of_scope_use: "What it must not be used for.",
    factors: "Groups, instruments and surroundings that its figures may depend on.",
    limitations: "Known limitations and biases.",
    ethical_considerations: "Risks and harms, and what was done about them.",
    environmental_impact: "Energy that its training took, or emissions, and how that was measured.",
    recommendations: "What users should take care of.",
    data_name: "What the data set is called.",
    data_description: "What the data set holds, in one or two sentences.",
    data_url: "Where the data set is published.",
    data_license: "Licence of the data, as an SPDX identifier or an address.",
    data_creators: "Who made the data set.",
    data_published: "When the data set was published, as 2026-11-26.",
    data_version: "Version of the data set, as 1.2.0.",
    data_motivation: "For what purpose the data were gathered, by whom, who paid for it.",
    data_collection: "How the data were acquired, over what time, by whom, how samples were chosen.",
    data_consent: "Whether people that the data are about were told and agreed.",
    data_sensitive: "Confidential, offensive or personal content.",
    data_labelling: "How the data were cleaned and labelled, and by whom.",
    data_uses: "What else the data were used for, and what they should not be used for.",
    data_distribution: "How and under which terms the data are handed on.",
    data_maintenance: "Who maintains the data, how errors are mended.",
}

/// An empty text says nothing.
fn said(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

impl Statements {
    /// Those of a run, and the file that they lie in, which is made where it is missing.
    ///
    /// # Errors
    /// It cannot be read or written, or holds something else.
    pub(super) fn of_run(run: &Path) -> Result<(Self, PathBuf), RecipeError> {
        let file = run.join("statements.yaml");
        if !file.exists() {
            files::replace_file(&file, template().as_bytes()).map_err(RecipeError::io("write", &file))?;
        }
        let text = fs::read_to_string(&file).map_err(RecipeError::io("read", &file))?;
        Ok((Self::parse(&text, &file)?, file))
    }

    fn parse(text: &str, file: &Path) -> Result<Self, RecipeError> {
        let damaged = |reason: String| RecipeError::Statements { path: file.to_owned(), reason };
        let keys: Vec<&str> = Self::default().all().into_iter().map(|(key, ..)| key).collect();
        let mut stated = Map::new();
        for TextEntry { key, line, text } in yaml::texts(text).map_err(damaged)? {
            if !keys.contains(&&*key) {
                let near = nearest(&key, keys.iter().copied());
                let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                return Err(damaged(format!("line {line}: there is no key `{}`{near}", shown(&key))));
            }
            stated.insert(key, text.into());
        }
        serde_json::from_value(Value::Object(stated)).map_err(|error| damaged(shown(error.to_string())))
    }

    /// Keys that nobody has answered.
    pub(super) fn open(&self) -> Vec<&'static str> {
        self.all().into_iter().filter(|(.., answer)| answer.is_none()).map(|(key, ..)| key).collect()
    }

    /// An answer, or that there is none.
    pub(super) fn or_open(answer: &Option<String>) -> &str {
        said(answer).unwrap_or(NOT_STATED)
    }

    /// An answer.
    pub(super) fn answer(answer: &Option<String>) -> Option<&str> {
        said(answer)
    }
}

/// The file with nothing answered.
fn template() -> String {
    let mut text = String::from(
        "# What only people know of this model and its data. Fill in what you can, for example\n\
         #   intended_use: Sorting photographs of flowers for a field guide.\n\
         # and run `millstream document` again; what is left empty stays \"not stated\" in the documents.\n",
    );
    for (key, question, _) in Statements::default().all() {
        text += &format!("\n# {question}\n{key}:\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_states_nothing_and_what_is_filled_in_is_stated() {
        let file = Path::new("statements.yaml");
        let empty = Statements::parse(&template(), file).unwrap();
        assert_eq!(empty, Statements::default());
        assert_eq!(empty.open().len(), empty.all().len());
        let text = template().replace("intended_use:\n", "intended_use: |\n  Flowers.\n  And herbs.\n");
        let filled = Statements::parse(&text, file).unwrap();
        assert_eq!(Statements::answer(&filled.intended_use), Some("Flowers.\nAnd herbs."));
        assert_eq!(filled.open().len() + 1, empty.open().len());
    }

    #[test]
    fn a_version_that_reads_as_a_number_is_the_text_that_was_written() {
        let text =
            template().replace("\nversion:\n", "\nversion: 1.0\n").replace("\ndata_version:\n", "\ndata_version: 2\n");
        let filled = Statements::parse(&text, Path::new("s.yaml")).unwrap();
        assert_eq!(Statements::answer(&filled.version), Some("1.0"));
        assert_eq!(Statements::answer(&filled.data_version), Some("2"));
        let error = Statements::parse("name: x\nauthors: [a, b]\n", Path::new("s.yaml")).unwrap_err().to_string();
        assert!(error.contains("line 2: `authors` has no text behind it"), "{error}");
    }

    #[test]
    fn a_key_that_there_is_not_is_an_error_that_names_the_file() {
        let error = Statements::parse("intended_us: a\n", Path::new("a/statements.yaml")).unwrap_err().to_string();
        assert!(
            error.contains("statements.yaml") && error.contains("line 1: there is no key `intended_us`"),
            "{error}"
        );
        assert!(error.contains("did you mean `intended_use`?"), "{error}");
        assert!(Statements::parse("- a\n", Path::new("s.yaml")).is_err());
        assert_eq!(Statements::parse("", Path::new("s.yaml")).unwrap(), Statements::default());
    }
}
