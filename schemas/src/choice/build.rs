use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::{Choice, ChoiceError, Options, read, schema_of, whole};

/// What a row's options become: a trait object, made of a value of options.
///
/// A kind says `impl<T: Metric + 'static> FromOptions<T> for dyn Metric` once, and each of its rows [`Build::of`] its options.
pub trait FromOptions<T> {
    /// The value as an object.
    fn from_options(options: T) -> Arc<Self>;
}

/// The options of a row, and how the `F` that is chosen is made of them.
pub struct Build<F: ?Sized> {
    schema: fn() -> Value,
    make: fn(&Value, &str) -> Made<F>,
}

/// What was made, and its options with every default filled in.
type Made<F> = Result<(Arc<F>, Value), ChoiceError>;

impl<F: ?Sized> Build<F> {
    /// Of the options `T`.
    pub const fn of<T: Options>() -> Self
    where
        F: FromOptions<T>,
    {
        Self {
            schema: schema_of::<T>,
            make: |options, place| {
                let options = read::<T>(options, place)?;
                let all = whole(&options);
                Ok((F::from_options(options), all))
            },
        }
    }

    /// JSON Schema of the options.
    pub fn schema(&self) -> Value {
        (self.schema)()
    }

    /// Whether these options are taken.
    pub fn accepts(&self, options: &Value) -> bool {
        (self.make)(options, "").is_ok()
    }

    /// What is chosen at `place` of a recipe, and the choice with every default filled in.
    ///
    /// # Errors
    /// An unknown option, or a value that makes no sense.
    pub fn choose(&self, choice: &Choice, place: &str) -> Result<(Choice, Arc<F>), ChoiceError> {
        let (made, options) = (self.make)(&choice.options, &format!("{place}.{}", choice.name))?;
        Ok((Choice::new(choice.name.as_str(), options), made))
    }
}

impl<F: ?Sized> Clone for Build<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: ?Sized> Copy for Build<F> {}

impl<F: ?Sized> fmt::Debug for Build<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Build").finish_non_exhaustive()
    }
}
