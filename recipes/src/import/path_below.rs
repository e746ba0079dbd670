use std::path::{Component, Path};

/// A path below a folder, written with `/` and without detours; none where it leads out of it.
pub(super) fn path_below(path: &str) -> Option<String> {
    let path = path.trim().replace('\\', "/");
    // a drive of Windows, on other systems too
    if matches!(path.as_bytes(), [letter, b':'] | [letter, b':', b'/', ..] if letter.is_ascii_alphabetic()) {
        return None;
    }
    let mut parts: Vec<String> = Vec::new();
    for part in Path::new(&path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    if parts.is_empty() { None } else { Some(parts.join("/")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_out_is_none() {
        for (path, wanted) in [
            ("a/b.jpg", Some("a/b.jpg")),
            ("./a/../b.jpg", Some("b.jpg")),
            ("a\\b.jpg", Some("a/b.jpg")),
            ("../b.jpg", None),
            ("a/../../b.jpg", None),
            ("/etc/passwd", None),
            ("C:\\x\\b.jpg", None),
            ("c:/b.jpg", None),
            ("C:", None),
            ("a:b.jpg", Some("a:b.jpg")),
            ("", None),
            (".", None),
        ] {
            assert_eq!(path_below(path).as_deref(), wanted, "{path}");
        }
    }
}
