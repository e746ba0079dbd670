use std::fmt;

use super::{Condition, Parameter, Space};

/// How many assignments a space has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many; the largest number where there are more than it holds.
    Finite(u128),
    /// A number can be anything between two.
    Infinite,
}

impl Size {
    fn times(self, other: Self) -> Self {
        match (self, other) {
            (Self::Finite(left), Self::Finite(right)) => Self::Finite(left.saturating_mul(right)),
            _ => Self::Infinite,
        }
    }

    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Finite(left), Self::Finite(right)) => Self::Finite(left.saturating_add(right)),
            _ => Self::Infinite,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite(size) if *size <= u128::from(u64::MAX) => {
                f.write_str(&millstream_schemas::grouped(*size as u64))
            }
            Self::Finite(size) => write!(f, "about {:.0e}", *size as f64),
            Self::Infinite => f.write_str("infinitely many"),
        }
    }
}

impl Space {
    /// How many assignments there are.
    pub fn size(&self) -> Size {
        self.size_where(None, &|parameter| parameter.distribution.count())
    }

    /// How many assignments there are of what has this condition, and all that depends on it, where `count` says how many
    /// settings a parameter has.
    pub(crate) fn size_where(&self, when: Option<&Condition>, count: &dyn Fn(&Parameter) -> Option<u64>) -> Size {
        let members = self.parameters().iter().filter(|parameter| parameter.when.as_ref() == when);
        members.fold(Size::Finite(1), |size, parameter| size.times(self.size_of(parameter, count)))
    }

    /// Of one parameter and all that depends on it.
    pub(crate) fn size_of(&self, parameter: &Parameter, count: &dyn Fn(&Parameter) -> Option<u64>) -> Size {
        let Some(values) = parameter.distribution.alternatives() else {
            return count(parameter).map_or(Size::Infinite, |count| Size::Finite(count.into()));
        };
        (0..values.len() as u32).fold(Size::Finite(0), |size, alternative| {
            let when = Condition { parameter: parameter.name.clone(), alternative };
            size.plus(self.size_where(Some(&when), count))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_multiply_and_those_of_alternatives_add() {
        for (recipe, wanted) in [
            (json!({}), "1"),
            (json!([{"integer": [1, 8]}, {"choose": [1, 2, 3]}]), "24"),
            (json!([{"integer": [1, 8]}, {"uniform": [0, 1]}]), "infinitely many"),
            (json!([{"uniform": [0.0, 1.0], "step": 0.25}, {"log_uniform": [2, 2]}]), "5"),
            (
                json!({"choose": ["a", {"b": {"integer": [1, 8]}, "c": {"choose": [1, {"d": {"integer": [1, 3]}}]}}]}),
                "33",
            ),
            (json!({"choose": ["a", {"b": {"uniform": [0, 1]}}]}), "infinitely many"),
            (json!(vec![json!({"integer": [0, 999_999]}); 4]), "about 1e24"),
            (json!([{"integer": [0, 999_999]}, {"integer": [0, 1]}]), "2,000,000"),
        ] {
            assert_eq!(Space::extract(&recipe).unwrap().0.size().to_string(), wanted, "{recipe}");
        }
    }
}
