//! Which image a target moves with, where several inputs are images.

use millstream_schemas::{nearest, shown};

use crate::PipelineError;

/// Refuses a target of which it is not clear which image it moves with. `images` are the inputs that are images, by their names,
/// with their columns; `named` is the one that the target names. Pictures of one column are drawn alike.
///
/// # Errors
/// It names none, and there are pictures of several columns, which may be of different sizes; or it names one that there is not.
pub(super) fn require_known(images: &[(&str, &str)], named: Option<&str>) -> Result<(), PipelineError> {
    let all = || images.iter().map(|(name, _)| format!("`{}`", shown(name))).collect::<Vec<_>>().join(", ");
    let reason = match named {
        None if images.windows(2).all(|pair| pair[0].1 == pair[1].1) => return Ok(()),
        None => format!("the inputs {} are images, each of a size of its own; name the one that it follows", all()),
        Some(name) if images.is_empty() || images.iter().any(|(known, _)| *known == name) => return Ok(()),
        Some(name) => {
            let near = nearest(name, images.iter().map(|(name, _)| *name));
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{}`?", shown(near)));
            format!("`{}` is none of the inputs that are images: {}{near}", shown(name), all())
        }
    };
    Err(PipelineError::Option { option: "image", reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_pictures_of_several_columns_the_one_that_is_followed_is_named() {
        let of = |images: &[(&str, &str)], named| require_known(images, named).map_err(|error| error.to_string());
        for (images, named) in [
            (&[][..], None),
            (&[("a", "left")], None),
            (&[("a", "left"), ("b", "left")], None),
            (&[("a", "left"), ("b", "right")], Some("b")),
            (&[], Some("b")),
        ] {
            assert_eq!(of(images, named), Ok(()), "{images:?} {named:?}");
        }
        let error = of(&[("a", "left"), ("b", "right")], None).unwrap_err();
        assert!(error.starts_with("image: the inputs `a`, `b` are images"), "{error}");
        let error = of(&[("left", "x"), ("right", "y")], Some("lefft")).unwrap_err();
        assert!(error.contains("`lefft` is none of the inputs") && error.contains("did you mean `left`?"), "{error}");
    }
}
