//! A path as people write it, made absolute.

use std::path::{Component, Path, PathBuf};

use crate::shown_path;

pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A path or pattern as people write it, made absolute: `~` is the home folder, `$NAME` and `${NAME}` are variables of
/// the environment, `$$` is a dollar sign, `file:///x` is `/x`; a relative one starts from `base`.
///
/// # Errors
/// It names another machine or another person's home, or a variable that is not set, or `base` is no UTF-8; the message
/// says what to do.
pub fn local_path(text: &str, base: &Path) -> Result<String, String> {
    local(text, base, &|variable| std::env::var(variable).ok())
}

pub(super) fn local(text: &str, base: &Path, environment: Environment<'_>) -> Result<String, String> {
    let expanded = home(expand(text.trim(), environment)?, environment)?;
    let path = without_scheme(&expanded)?;
    tidy(&base.join(path)).into_os_string().into_string().map_err(|path| {
        format!(
            "{}: a folder above it has a name that is no UTF-8, and a recipe is a text; rename it",
            shown_path(path)
        )
    })
}

/// `~` and `~/x`: the home folder.
fn home(text: String, environment: Environment<'_>) -> Result<String, String> {
    let Some(rest) = text.strip_prefix('~') else { return Ok(text) };
    if !rest.is_empty() && !rest.starts_with('/') {
        let user = shown_path(text.split('/').next().unwrap_or_default());
        return Err(format!(
            "`{user}` would be the home of another user; write the whole path, or `./{user}` for a file \
                            of that name"
        ));
    }
    let home = environment("HOME").filter(|home| !home.is_empty());
    let home =
        home.ok_or("`~` is the home folder, and the environment variable `HOME` is not set; write the whole path")?;
    Ok(home + rest)
}

/// Files of this machine only; others are to be fetched first.
fn without_scheme(text: &str) -> Result<&str, String> {
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(text) };
    if scheme.is_empty() || !scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter)) {
        return Ok(text);
    }
    let local = "files, folders and patterns of this machine can be read";
    let fetch = match scheme.to_ascii_lowercase().as_str() {
        "file" => {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            return if path.starts_with('/') {
                Ok(path)
            } else {
                Err(format!("`{}` names another machine; {local}", shown_path(text)))
            };
        }
        "hf" | "huggingface" => {
            let name = rest.strip_prefix("datasets/").map(|name| (name, "--repo-type dataset "));
            let (name, kind) = name.unwrap_or((rest.strip_prefix("models/").unwrap_or(rest), ""));
            let repository: Vec<_> = name.split('/').take(2).collect();
            format!("`huggingface-cli download {kind}{} --local-dir FOLDER`", shown_path(repository.join("/")))
        }
        "s3" => "`aws s3 cp --recursive`".into(),
        "gs" | "gcs" => "`gcloud storage cp --recursive`".into(),
        "az" | "azure" | "abfs" | "abfss" | "wasb" | "wasbs" => "`az storage blob download-batch`".into(),
        "http" | "https" | "ftp" => "`curl -LO`".into(),
        _ => "a program that knows such addresses".into(),
    };
    Err(format!("`{}` is not on this machine, and {local}; fetch it first, for example by {fetch}", shown_path(text)))
}

/// `$NAME` and `${NAME}` replaced by the variable's value, `$$` by a dollar sign.
fn expand(text: &str, environment: Environment<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let end = after.find(|letter: char| !is_name(letter)).unwrap_or(after.len());
        let (name, after) = if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        } else if let Some(after) = after.strip_prefix('{') {
            after.split_once('}').ok_or("`${` without `}`")?
        } else if end > 0 && !after.starts_with(|first: char| first.is_ascii_digit()) {
            after.split_at(end)
        } else {
            expanded.push('$');
            rest = after;
            continue;
        };
        let value = environment(name).ok_or_else(|| {
            format!(
                "the environment variable `{}` is not set (or not UTF-8); it is asked for by `{}` (`$$` is a dollar sign)",
                shown_path(name),
                shown_path(text)
            )
        })?;
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Without `.`, and without `..` where a named folder stands before it.
///
/// By the letters alone, as a shell's `cd` does it; links are not followed.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(tidy.components().next_back(), Some(Component::Normal(_))) => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        [("A", "/x"), ("HOME", "/home/me"), ("PRICE", "$5")]
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).into())
    }

    #[test]
    fn home_variables_and_addresses_are_paths_of_this_machine_or_are_told() {
        for (text, wanted) in [
            ("${A}/b/${A}", Ok("/x/b/x")),
            ("$A/b-$A.parquet", Ok("/x/b-/x.parquet")),
            ("a", Ok("/base/a")),
            ("~", Ok("/home/me")),
            ("~/x/*.parquet", Ok("/home/me/x/*.parquet")),
            ("a~/~b", Ok("/base/a~/~b")),
            ("~you/x", Err("`~you` would be the home of another user; write the whole path")),
            ("$HOME/a", Ok("/home/me/a")),
            ("a/$$HOME", Ok("/base/a/$HOME")),
            ("a$/$5/b", Ok("/base/a$/$5/b")),
            ("$PRICE", Ok("/base/$5")),
            ("${B}", Err("`B` is not set")),
            ("$B/x", Err("`B` is not set (or not UTF-8); it is asked for by `$B/x`")),
            ("${OPEN", Err("`${` without `}`")),
            ("file:///data/a.parquet", Ok("/data/a.parquet")),
            ("file://localhost/data/a", Ok("/data/a")),
            ("file://other/data/a", Err("names another machine")),
            (
                "hf://datasets/me/flowers/data/*.parquet",
                Err("by `huggingface-cli download --repo-type dataset me/flowers --local-dir FOLDER`"),
            ),
            ("hf://me/model/model.onnx", Err("download me/model ")),
            ("https://a.org/a.parquet", Err("files, folders and patterns of this machine can be read; fetch it first")),
            ("s3://bucket/a", Err("aws s3")),
            ("gs://bucket/a", Err("gcloud")),
            ("a://b", Err("not on this machine")),
        ] {
            let got = local(text, Path::new("/base"), &environment);
            match (&got, wanted) {
                (Ok(path), Ok(wanted)) => assert_eq!(path, wanted, "{text}"),
                (Err(message), Err(wanted)) => {
                    assert!(message.contains(wanted), "{text}\nwanted: {wanted}\n   got: {message}");
                }
                (got, wanted) => panic!("{text}: wanted {wanted:?}, got {got:?}"),
            }
        }
    }

    #[test]
    fn dots() {
        for (path, wanted) in
            [("/a/./b/../c", "/a/c"), ("../a", "../a"), ("a/../../b", "../b"), ("/a/*.parquet", "/a/*.parquet")]
        {
            assert_eq!(tidy(Path::new(path)), Path::new(wanted));
        }
    }
}
