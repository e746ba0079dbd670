use std::path::PathBuf;
use std::str::FromStr;

use millstream_pipeline::Split;
use millstream_schemas::{shown, shown_path};

use super::archive::archive_stem;
use super::boxes_outside::BoxesOutside;
use super::source_patterns::is_pattern;
use crate::RecipeError;

/// The share of rows that becomes a split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitShare {
    /// The split.
    pub split: Split,
    /// From 0 to 1, of the rows that are not of another split already.
    pub share: f64,
}

impl FromStr for SplitShare {
    type Err = String;

    /// As in `test=0.2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "write a split and its share, for example `test=0.2`";
        let (name, share) = text.split_once('=').ok_or_else(|| format!("`{}` has no `=`; {wanted}", shown(text)))?;
        let split = Split::named(name.trim()).filter(|split| *split != Split::Train);
        let split = split
            .ok_or_else(|| format!("`{}` is no split beside `train`: `validation` and `test` are", shown(name)))?;
        let number: f64 = share.trim().parse().map_err(|_| format!("`{}` is no number; {wanted}", shown(share)))?;
        if !(number > 0.0 && number < 1.0) {
            return Err(format!("a share lies between 0 and 1, got {number}"));
        }
        Ok(Self { split, share: number })
    }
}

/// What is made into Parquet, and how.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Folders, archives and tables, or patterns of them.
    pub sources: Vec<PathBuf>,
    /// The folder for the Parquet files.
    pub output: PathBuf,
    /// The column that becomes a class label; of class folders it is `label`.
    pub label: Option<String>,
    /// Where no label is named, make one of the column that is called like a label, if it holds texts of few classes.
    pub finds_label: bool,
    /// Columns of tables that name files of images.
    pub images: Vec<String>,
    /// Whether numbers of tables may have a comma in front of their decimals, and points between thousands.
    pub decimal_comma: bool,
    /// What is done with boxes that reach out of their pictures.
    pub boxes: BoxesOutside,
    /// Shares of the rows that become splits.
    pub splits: Vec<SplitShare>,
    /// Take shares only where the source has no split but `train`.
    pub only_undivided: bool,
    /// Decides which rows those are, and the order of rows.
    pub seed: u64,
    /// What the files' names begin with; the source's name where there is none.
    pub name: Option<String>,
    /// Bytes of a file at most.
    pub shard_bytes: u64,
    /// Whether what an earlier import wrote is replaced.
    pub overwrite: bool,
}

impl ImportOptions {
    /// An import with all defaults.
    pub fn new(sources: Vec<PathBuf>, output: impl Into<PathBuf>) -> Self {
        Self {
            sources,
            output: output.into(),
            label: None,
            finds_label: false,
            images: Vec::new(),
            decimal_comma: false,
            boxes: BoxesOutside::default(),
            splits: Vec::new(),
            only_undivided: false,
            seed: 0,
            name: None,
            shard_bytes: 500_000_000,
            overwrite: false,
        }
    }

    /// What the files' names begin with.
    ///
    /// # Errors
    /// It cannot be a part of a file's name.
    pub(crate) fn file_name(&self) -> Result<String, RecipeError> {
        let name = match (&self.name, self.sources.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, [source]) => {
                let whole = std::fs::canonicalize(source).unwrap_or_else(|_| source.clone());
                let of = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
                let name = of.unwrap_or_default().to_string_lossy().into_owned();
                let own = whole.file_name().unwrap_or_default().to_string_lossy();
                match archive_stem(&own) {
                    // of a pattern what stands before it
                    _ if !source.exists() && is_pattern(&own) => {
                        own.split(['{', '*', '?']).next().unwrap_or_default().to_owned()
                    }
                    Some(stem) if !whole.is_dir() => stem.to_owned(),
                    _ => name,
                }
            }
            (None, _) => self.output.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        let letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '-');
        match &self.name {
            Some(name) if name.is_empty() || !name.chars().all(letter) || name.starts_with('.') => {
                let message = format!("`{}`: letters, digits, `.`, `_` and `-` make a name", shown(name));
                Err(RecipeError::mismatch("--name", message))
            }
            _ => {
                let name: String = name.chars().map(|own| if letter(own) { own } else { '-' }).collect();
                let name = name.trim_matches(['-', '_', '.']);
                Ok(if name.is_empty() { "rows".to_owned() } else { name.to_owned() })
            }
        }
    }

    /// The sources, as they are named in messages.
    pub(super) fn sources_in_words(&self) -> String {
        self.sources.iter().map(shown_path).collect::<Vec<_>>().join(", ")
    }

    /// # Errors
    /// Shares are more than all, or of a split twice; or there is no source.
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        if self.sources.is_empty() {
            return Err(RecipeError::mismatch("the sources", "name a folder or a table"));
        }
        for (place, share) in self.splits.iter().enumerate() {
            if self.splits[..place].iter().any(|other| other.split == share.split) {
                let message = format!("`{}` is given twice", share.split.name());
                return Err(RecipeError::mismatch("--split", message));
            }
        }
        let all: f64 = self.splits.iter().map(|share| share.share).sum();
        if all >= 1.0 {
            let message = format!("the shares come to {all}, which leaves nothing to train on");
            return Err(RecipeError::mismatch("--split", message));
        }
        if self.shard_bytes == 0 {
            return Err(RecipeError::mismatch("--shard-size", "a file holds more than nothing"));
        }
        // what is not there yet will lie where the folder above it is
        let whole = std::path::absolute(&self.output).unwrap_or_else(|_| self.output.clone());
        let output = whole.ancestors().find_map(|folder| std::fs::canonicalize(folder).ok());
        let inside = |source: &PathBuf| match (&output, std::fs::canonicalize(source)) {
            (Some(output), Ok(source)) => output.starts_with(source),
            _ => false,
        };
        match self.sources.iter().find(|source| inside(source)) {
            Some(source) => {
                let message = format!("it lies in the source {}; choose a folder beside it", shown_path(source));
                Err(RecipeError::mismatch(shown_path(&self.output), message))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_nonsense_is_refused() {
        let share: SplitShare = "val=0.25".parse().unwrap();
        assert_eq!(share, SplitShare { split: Split::Validation, share: 0.25 });
        for (text, part) in [
            ("test", "no `=`"),
            ("train=0.5", "no split beside `train`"),
            ("other=0.5", "`other` is no split"),
            ("test=x", "no number"),
            ("test=1", "between 0 and 1"),
            ("test=NaN", "between 0 and 1"),
        ] {
            let error = text.parse::<SplitShare>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let mut options = ImportOptions::new(vec!["a".into()], "b");
        options.splits = vec!["test=0.5".parse().unwrap(), "val=0.5".parse().unwrap()];
        assert!(options.check().unwrap_err().to_string().contains("nothing to train on"));
        options.splits = vec!["test=0.5".parse().unwrap(), "eval=0.1".parse().unwrap()];
        assert!(options.check().unwrap_err().to_string().contains("`test` is given twice"));
    }

    #[test]
    fn files_are_called_as_their_source() {
        for (source, name, wanted) in [
            ("x/my flowers!.csv", None, "my-flowers"),
            ("x/a.tar.gz", None, "a"),
            ("x/a.csv", Some("b_1"), "b_1"),
            ("x/!!!.csv", None, "rows"),
        ] {
            let mut options = ImportOptions::new(vec![source.into()], "out");
            options.name = name.map(str::to_owned);
            assert_eq!(options.file_name().unwrap(), wanted);
        }
        for name in ["", "a/b", ".x", "a b"] {
            let options = ImportOptions { name: Some(name.into()), ..ImportOptions::new(Vec::new(), "out") };
            assert!(options.file_name().unwrap_err().to_string().starts_with("--name"), "{name}");
        }
    }
}
