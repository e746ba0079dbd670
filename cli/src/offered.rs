//! Words that shells complete where one of a known set stands.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};
use millstream::recipes::import::BoxesOutside;
use millstream::recipes::predict::RowFormat;
use millstream::training::{ensembles, metrics};
use millstream::transforms::table;

/// Reads a value as another parser does, which says what is taken, and tells shells the words that there are.
#[derive(Clone, Debug)]
pub(crate) struct Offered<P> {
    parser: P,
    words: fn() -> Vec<&'static str>,
}

impl<P: TypedValueParser> TypedValueParser for Offered<P> {
    type Value = P::Value;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<P::Value, Error> {
        self.parser.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.words)().into_iter().map(PossibleValue::new)))
    }
}

/// What an import does with boxes outside of their pictures.
pub(crate) fn boxes_outside() -> impl TypedValueParser<Value = BoxesOutside> {
    let parser = |text: &str| text.parse::<BoxesOutside>();
    Offered { parser, words: || BoxesOutside::ALL.map(BoxesOutside::name).to_vec() }
}

/// A device; one of several of CUDA is called by its number, which nobody knows here.
pub(crate) fn device() -> Offered<StringValueParser> {
    Offered { parser: StringValueParser::new(), words: || vec!["auto", "cpu", "cuda"] }
}

/// A way to make one model of several.
pub(crate) fn ensemble_method() -> Offered<StringValueParser> {
    Offered {
        parser: StringValueParser::new(),
        words: || ensembles::standard().rows().iter().map(|row| row.name).collect(),
    }
}

/// A metric by its name, or as JSON with its options.
pub(crate) fn metric() -> Offered<StringValueParser> {
    Offered {
        parser: StringValueParser::new(),
        words: || metrics::standard().rows().iter().map(|row| row.name).collect(),
    }
}

/// How rows are written whose source has no name that says it.
pub(crate) fn row_format() -> impl TypedValueParser<Value = RowFormat> {
    let parser = |text: &str| text.parse::<RowFormat>();
    Offered { parser, words: || RowFormat::ALL.map(RowFormat::name).to_vec() }
}

/// A transform.
pub(crate) fn transform() -> Offered<StringValueParser> {
    Offered { parser: StringValueParser::new(), words: || table().iter().map(|row| row.name).collect() }
}
