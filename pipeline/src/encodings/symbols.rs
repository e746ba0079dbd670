//! The symbols of a row, as many as it has: letters of a text, phonemes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, TensorRole, TensorSpec, count, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::class_names::{self, MOST_CLASSES};
use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use crate::PipelineError;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "symbols",
    summary: "The symbols of a row, as many as it has: letters of a text, phonemes.",
    documentation: "One tensor of int64 `[batch, most]`, the numbers of the row's symbols, and −1 behind them where another row of the batch has more: the target of \
        `ctc`, which learns from it how many there are. The column holds text, each character of which is a symbol, or lists of strings, or of whole \
        numbers, which are the numbers of the symbols. The symbols are those that `symbols` names, in the order of the model's scores, the blank \
        among them; or else the blank at the place `blank`, called `<blank>`, and around it the sorted distinct ones of the training rows. Their names are kept with the trained \
        model. A row with a symbol that is none of these, with the blank, or with more symbols than `max_length` is damaged; a row with null has no weight in the loss. \
        An empty text is a row without symbols.",
    samples: &[
        r#"{"column": "transcript"}"#,
        r#"{"column": "phonemes", "symbols": ["_", "a", "b"], "max_length": 64}"#,
        r#"{"column": "transcript", "blank": 3}"#,
    ],
    takes: &[Holds::Text, Holds::Lists],
    most_columns: 1,
    build: Build::of::<Symbols>(),
};

/// The longest rows that are taken for meant.
const LONGEST: usize = 1 << 20;
/// What a symbol that stands for none is called.
const BLANK: &str = "<blank>";

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Symbols {
    /// Names of the symbols by their numbers, the blank among them.
    #[schemars(length(max = MOST_CLASSES))]
    symbols: Vec<String>,
    /// The number of the symbol that stands for none, as in the loss.
    #[schemars(range(min = 0, max = MOST_CLASSES))]
    blank: usize,
    /// The most symbols of a row.
    #[schemars(range(min = 1, max = LONGEST))]
    max_length: usize,
}

impl Default for Symbols {
    fn default() -> Self {
        Self { symbols: Vec::new(), blank: 0, max_length: 256 }
    }
}

impl Options for Symbols {
    fn validate(&self) -> Result<(), String> {
        class_names::check(&self.symbols).map_err(|message| message.replacen("classes", "symbols", 1))?;
        match (self.symbols.len(), self.blank, self.max_length) {
            (named @ 1.., blank, _) if blank >= named => {
                Err(format!("blank is one of the symbols, got {blank} and {named} of them"))
            }
            (_, blank, _) if blank > MOST_CLASSES => Err(format!("blank is at most {MOST_CLASSES}, got {blank}")),
            (_, _, longest) if !(1..=LONGEST).contains(&longest) => {
                Err(format!("max_length is 1 to {LONGEST}, got {longest}"))
            }
            _ => Ok(()),
        }
    }
}

impl EncodingOptions for Symbols {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        let names = match (class_names::learned(source.learned, "symbols"), self.symbols.as_slice()) {
            (Some(names), _) => names,
            (None, []) => self.learn(source)?,
            (None, names) => names.to_vec(),
        };
        let numbers = names.iter().enumerate().map(|(number, name)| (name.clone(), number as i64)).collect();
        let column = [source.columns[0].clone()];
        Ok(Arc::new(SymbolEncoder { column, names, numbers, options: self.clone() }))
    }
}

impl Symbols {
    fn learn(&self, source: &Source<'_>) -> Result<Vec<String>, PipelineError> {
        let (mut named, mut largest) = (BTreeSet::new(), None);
        let (mut fitting, mut beyond, mut strange) = (0_u64, 0_u64, 0);
        source.dataset.each_row(source.columns, |row| {
            // What cannot be read is told when the row is met.
            let _ = each(row.get(0), |symbol| {
                match symbol {
                    Symbol::Name(name) if named.len() <= MOST_CLASSES && !named.contains(name) => {
                        named.insert(name.to_owned());
                    }
                    Symbol::Name(_) => {}
                    Symbol::Number(number) if number < MOST_CLASSES as i64 => {
                        fitting += 1;
                        largest = largest.max(Some(number));
                    }
                    Symbol::Number(number) => {
                        beyond += 1;
                        strange = number;
                    }
                }
                Ok(())
            });
        })?;
        let refused = |reason: String| {
            let (file, column) = (source.dataset.first().name.to_string(), shown(&source.columns[0]));
            Err(PipelineError::Column { file, column, reason })
        };
        // A few are damaged rows, each told when it is met; where most are too large, these are no numbers of symbols.
        if beyond > fitting {
            return refused(format!("has a symbol {strange}; at most {MOST_CLASSES} are told apart"));
        }
        let names: Vec<String> = match (largest, named.is_empty()) {
            (None, true) => return refused("has no symbol in any row".into()),
            // the blank has a number of its own, and may be the last
            (Some(largest), _) => (0..=largest.max(self.blank as i64)).map(|number| number.to_string()).collect(),
            (None, false) => {
                let mut names: Vec<String> = named.into_iter().collect();
                if self.blank > names.len() {
                    let (symbols, blank) = (count(names.len(), "symbol"), self.blank);
                    return refused(format!("has {symbols}, and `blank` is {blank}; it is at most their number"));
                }
                names.insert(self.blank, BLANK.into());
                names
            }
        };
        class_names::not_too_many(source.dataset, &source.columns[0], names)
    }
}

/// As a column has it.
enum Symbol<'a> {
    Name(&'a str),
    Number(i64),
}

/// Hands on the symbols of a row in their order; says whether it has any list or text.
fn each<'a>(value: Value<'a>, mut take: impl FnMut(Symbol<'a>) -> Result<(), String>) -> Result<bool, String> {
    match value {
        Value::Null => return Ok(false),
        Value::Text(text) => {
            let mut letters = text.char_indices().map(|(start, letter)| start..start + letter.len_utf8());
            letters.try_for_each(|letter| take(Symbol::Name(&text[letter])))?;
        }
        Value::List(list) => {
            for (place, symbol) in list.iter().enumerate() {
                let symbol = match symbol {
                    Value::Text(name) => Symbol::Name(name),
                    Value::Signed(number) => Symbol::Number(number),
                    Value::Unsigned(number) => Symbol::Number(i64::try_from(number).unwrap_or(i64::MAX)),
                    _ => return Err(format!("has at place {} of its list no symbol", place + 1)),
                };
                take(symbol)?;
            }
        }
        _ => return Err("holds no symbols: wanted text, or lists of strings or whole numbers".into()),
    }
    Ok(true)
}

#[derive(Debug)]
struct SymbolEncoder {
    column: [String; 1],
    names: Vec<String>,
    numbers: HashMap<String, i64>,
    options: Symbols,
}

impl Encoder for SymbolEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        json!({ "symbols": self.names })
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        Ok(vec![TensorSpec {
            role: TensorRole::Target,
            shape: vec![None],
            most_elements: self.options.max_length,
            padding: -1,
            ..TensorSpec::fixed(name, ElementType::I64, &[])
        }])
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { values: RowElements::AnyLengthI64(values), .. }] = out else {
            unreachable!("as `tensors` says")
        };
        let damaged = |reason: String| Damage::value(&self.column[0], reason);
        let is_there = each(row.get(0), |symbol| {
            values.push(self.number(&symbol)?);
            Ok(())
        });
        if !is_there.map_err(damaged)? {
            sample.without_target();
        }
        let most = self.options.max_length;
        if values.len() > most {
            let symbols = count(values.len(), "symbol");
            return Err(damaged(format!("has {symbols}, and `max_length` is {most}; raise it")).into());
        }
        Ok(())
    }

    fn view(&self) -> View {
        View::Numbers
    }

    fn classes(&self) -> &[String] {
        &self.names
    }

    fn learned_of(&self, classes: &[String]) -> Option<Json> {
        self.options.symbols.is_empty().then(|| json!({ "symbols": classes }))
    }
}

impl SymbolEncoder {
    fn number(&self, symbol: &Symbol<'_>) -> Result<i64, String> {
        let (number, name) = match symbol {
            Symbol::Name(name) => (self.numbers.get(*name).copied(), shown(name)),
            Symbol::Number(number) => (Some(*number), number.to_string()),
        };
        match number.filter(|number| usize::try_from(*number).is_ok_and(|number| number < self.names.len())) {
            None => Err(format!("has the symbol `{name}`, which is none of {} that are known", self.names.len())),
            Some(blank) if blank == self.options.blank as i64 => {
                Err(format!("has the symbol `{name}`, which is the blank: it stands for none"))
            }
            Some(number) => Ok(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_told_from_the_blank_and_from_what_is_unknown() {
        let names: Vec<String> = ["a", "<blank>", "é"].map(str::to_owned).to_vec();
        let numbers = names.iter().zip(0..).map(|(name, number)| (name.clone(), number)).collect();
        let options = Symbols { blank: 1, ..Symbols::default() };
        let encoder = SymbolEncoder { column: ["text".into()], names, numbers, options };
        let of = |value| {
            let mut found = Vec::new();
            each(value, |symbol| {
                found.push(encoder.number(&symbol)?);
                Ok(())
            })
            .map(|is_there| is_there.then_some(found))
        };
        assert_eq!(of(Value::Text("éaa")), Ok(Some(vec![2, 0, 0])));
        assert_eq!(of(Value::Text("")), Ok(Some(vec![])));
        assert_eq!(of(Value::Null), Ok(None));
        assert!(of(Value::Text("ab")).unwrap_err().contains("`b`, which is none of 3"));
        assert!(of(Value::Signed(1)).unwrap_err().contains("holds no symbols"));
        for (number, wanted) in [(2, None), (1, Some("the blank")), (3, Some("none of 3")), (-1, Some("none of 3"))] {
            let found = encoder.number(&Symbol::Number(number));
            match wanted {
                None => assert_eq!(found, Ok(number)),
                Some(part) => assert!(found.unwrap_err().contains(part)),
            }
        }
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let named = |symbols: &[&str], blank, max_length| {
            let symbols = symbols.iter().map(|name| (*name).to_owned()).collect();
            Symbols { symbols, blank, max_length }.validate()
        };
        assert_eq!(named(&["_", "a"], 0, 8), Ok(()));
        assert!(named(&["_", "a"], 2, 8).unwrap_err().contains("blank is one of the symbols, got 2 and 2"));
        assert!(named(&["a", "a"], 0, 8).unwrap_err().contains("symbols name `a` twice"));
        assert!(named(&[], 0, 0).unwrap_err().contains("max_length"));
    }
}
