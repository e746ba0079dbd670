//! A class for each token, from spans of the row's text.

use std::ops::Range;
use std::sync::Arc;

use arrow_schema::DataType;
use millstream_schemas::choice::Options;
use millstream_schemas::features::{holds_class_numbers, is_text};
use millstream_schemas::{Tensor, TensorRole, TensorSpec, count, nearest, shown};
use millstream_transforms::Target;
use millstream_transforms::targets::{Span, Targets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::class_names::{self, ClassNames, MOST_CLASSES};
use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::mark::{Mark, Seen};
use super::sample::Sample;
use super::token_ids;
use super::tokenized_text::TokenizedText;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value, element};
use crate::{Dataset, PipelineError};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "spans",
    summary: "A class for each token of the row's text, from spans with names: people, places, dates.",
    documentation: "One tensor of int64 `[batch, length]`, as long as the tokens of the row's `token_ids`: of each token the number of its tag. The \
        column holds a list of structs, or a struct of lists, with the first character of a span, one past its last, both counted as \
        Python counts, from 0, and its class. Spans are those of the first text of the one input `token_ids`; they follow the \
        transforms of this text, and one of which nothing is left is gone. Tags are `O` for what is in no span, then for each class \
        `B-` where a span of it begins and `I-` where it goes on, or under `tagging: io` the `I-` alone. A word of the tokenizer is in the span \
        that covers it. Where a span begins or ends inside of one, as in scripts without spaces, each of its tokens is a word: in a span that touches it, the \
        first of several. Special tokens, padding, tokens of a second text, and under `sub_words: first` those behind the first of a word have the class \
        −100, which `sparse_cross_entropy` leaves out. A span that is empty, reaches beyond its text, or overlaps another is a \
        damaged row; a row with null has no weight in the loss.",
    samples: &[
        r#"{"column": "entities"}"#,
        r#"{"column": "spans", "classes": ["person", "place"], "tagging": "io", "sub_words": "all", "start_field": "from", "end_field": "to", "class_field": "kind"}"#,
    ],
    takes: &[Holds::Lists],
    most_columns: 1,
    build: Build::of::<Spans>(),
};

/// The class of tokens that do not count.
const IGNORED: i64 = -100;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Spans {
    /// Names of the classes; by themselves those that the files' metadata declares, or else the sorted distinct strings, or 0
    /// to the largest number.
    #[serde(default)]
    #[schemars(length(max = MOST_CLASSES))]
    classes: Vec<String>,
    /// Which tags a class has.
    #[serde(default)]
    tagging: Tagging,
    /// Which tokens of a word have a tag.
    #[serde(default)]
    sub_words: SubWords,
    /// The field with the first character.
    #[serde(default = "start")]
    start_field: String,
    /// The field with one past the last character.
    #[serde(default = "end")]
    end_field: String,
    /// The field with the class: whole numbers or strings.
    #[serde(default = "label")]
    class_field: String,
}

fn start() -> String {
    "start".into()
}
fn end() -> String {
    "end".into()
}
fn label() -> String {
    "label".into()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Tagging {
    /// One where a span begins, and one where it goes on: spans side by side stay apart (Ramshaw and Marcus 1995).
    #[default]
    Bio,
    /// One.
    Io,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SubWords {
    /// The first.
    #[default]
    First,
    /// Each.
    All,
}

impl Tagging {
    fn tags(self, classes: &[String]) -> Vec<String> {
        let of_class = |class: &String| match self {
            Self::Bio => vec![format!("B-{class}"), format!("I-{class}")],
            Self::Io => vec![format!("I-{class}")],
        };
        std::iter::once("O".to_owned()).chain(classes.iter().flat_map(of_class)).collect()
    }

    fn tag(self, class: i64, begins: bool) -> i64 {
        match self {
            Self::Bio => 1 + 2 * class + i64::from(!begins),
            Self::Io => 1 + class,
        }
    }

    /// The class of a tag, and whether a span surely begins with it; `None` for `O`.
    fn read(self, tag: i64) -> Option<(usize, bool)> {
        let class = usize::try_from(tag - 1).ok()?;
        Some(match self {
            Self::Bio => (class / 2, class.is_multiple_of(2)),
            Self::Io => (class, false),
        })
    }
}

impl Options for Spans {
    fn validate(&self) -> Result<(), String> {
        class_names::check(&self.classes)
    }
}

impl EncodingOptions for Spans {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        let column = source.columns[0].clone();
        self.check_fields(source.dataset, &column)?;
        let classes = self.class_names(source)?;
        let tags = self.tagging.tags(classes.names());
        Ok(Arc::new(SpanEncoder { column: [column], classes, tags, options: self.clone() }))
    }
}

impl Spans {
    fn check_fields(&self, dataset: &Dataset, column: &str) -> Result<(), PipelineError> {
        for file in dataset.files().iter().filter(|file| file.has_rows()) {
            let field = file.schema().field_with_name(column).expect("the dataset was asked for the column");
            self.check_type(field.data_type()).map_err(|reason| PipelineError::Column {
                file: file.name.to_string(),
                column: shown(column),
                reason,
            })?;
        }
        Ok(())
    }

    fn check_type(&self, data_type: &DataType) -> Result<(), String> {
        let other = || {
            format!("holds {}, and spans are lists of structs of start, end and class", shown(data_type.to_string()))
        };
        let (fields, of_lists) = match (data_type, element(data_type)) {
            (DataType::Struct(fields), _) => (fields, true),
            (_, Some(DataType::Struct(fields))) => (fields, false),
            _ => return Err(other()),
        };
        for (option, name, takes_text) in [
            ("start_field", &self.start_field, false),
            ("end_field", &self.end_field, false),
            ("class_field", &self.class_field, true),
        ] {
            let Some(field) = fields.iter().find(|field| field.name() == name) else {
                let near = nearest(name, fields.iter().map(|field| field.name().as_str()));
                let near = near.map_or_else(String::new, |near| format!("; did you mean `{}`?", shown(near)));
                return Err(format!("has no field `{}`{near}; name it as `{option}`", shown(name)));
            };
            let kind = if of_lists { element(field.data_type()) } else { Some(field.data_type()) };
            if !kind.is_some_and(|kind| holds_class_numbers(kind) || takes_text && is_text(kind)) {
                let holds = shown(field.data_type().to_string());
                return Err(format!("has a field `{}` of {holds}, which is no `{option}`", shown(name)));
            }
        }
        Ok(())
    }

    fn class_names(&self, source: &Source<'_>) -> Result<ClassNames, PipelineError> {
        let field = Some(self.class_field.as_str());
        class_names::in_lists(source, &self.classes, "span_classes", field, |row, collector| {
            // What cannot be read is told when the row is met.
            let spans = self.stored(row.get(0)).unwrap_or_default().unwrap_or_default();
            spans.into_iter().for_each(|[_, _, class]| collector.see(class));
        })
    }

    /// Start, end and class of the spans of a row, as stored; `None` where it has null.
    fn stored<'a>(&self, value: Value<'a>) -> Result<Option<Vec<[Value<'a>; 3]>>, String> {
        let names = [&self.start_field, &self.end_field, &self.class_field];
        match value {
            Value::List(list) => {
                let one = |value: Value<'a>| match value {
                    Value::Struct(fields) => names.map(|name| fields.get(name).unwrap_or(Value::Null)),
                    _ => [Value::Null; 3],
                };
                Ok(Some(list.iter().map(one).collect()))
            }
            Value::Struct(fields) => {
                let lists = names.map(|name| match fields.get(name) {
                    Some(Value::List(list)) => Some(list),
                    _ => None,
                });
                let [Some(starts), Some(ends), Some(classes)] = lists else {
                    return match lists {
                        [None, None, None] => Ok(None),
                        _ => Err("has null where a list is wanted".into()),
                    };
                };
                if starts.len() != ends.len() || starts.len() != classes.len() {
                    let (starts, ends) = (count(starts.len(), "start"), count(ends.len(), "end"));
                    return Err(format!("has {starts}, {ends} and {}", count(classes.len(), "class")));
                }
                let spans = starts.iter().zip(ends.iter()).zip(classes.iter());
                Ok(Some(spans.map(|((start, end), class)| [start, end, class]).collect()))
            }
            Value::Null => Ok(None),
            _ => Err("holds no spans".into()),
        }
    }
}

#[derive(Debug)]
struct SpanEncoder {
    column: [String; 1],
    classes: ClassNames,
    /// Their names, by their numbers.
    tags: Vec<String>,
    options: Spans,
}

impl Encoder for SpanEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        json!({ "span_classes": self.classes.names() })
    }

    fn tensors(&self, name: &str, stream: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        self.tensors_beside(name, stream, &[])
    }

    fn tensors_beside(
        &self,
        name: &str,
        stream: &StreamFacts<'_>,
        inputs: &[TensorSpec],
    ) -> Result<Vec<TensorSpec>, PipelineError> {
        let refused = |source| PipelineError::Transform { row: stream.dataset.row_at(0), source };
        stream.chain.check_target(Target::Spans).map_err(refused)?;
        let mut tokens = inputs.iter().filter(|input| token_ids::are_tokens(input));
        let (Some(tokens), None) = (tokens.next(), tokens.next()) else {
            let got = inputs.iter().filter(|input| token_ids::are_tokens(input)).count();
            let reason = format!("spans need one input that is `token_ids`, got {}", count(got, "such input"));
            return Err(PipelineError::Option { option: "data.targets", reason });
        };
        let (name, role, as_long_as) = (name.into(), TensorRole::Target, Some(tokens.name.clone()));
        Ok(vec![TensorSpec { name, role, padding: IGNORED, as_long_as, ..tokens.clone() }])
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
        let Some(text) = sample.tokenized() else {
            let reason = "spans follow the row's text, and no input is `token_ids`".into();
            return Err(EncodeError::Fatal(PipelineError::Option { option: "data.targets", reason }));
        };
        values.resize(text.tokens.len(), IGNORED);
        let Some(spans) =
            self.read(row.get(0), text.stored).map_err(|reason| Damage::value(&self.column[0], reason))?
        else {
            sample.without_target();
            return Ok(());
        };
        let moved = Targets { spans, ..Targets::default() }.moved_with_text(&text.drawing).spans;
        self.tag(&moved, text, values);
        Ok(())
    }

    fn view(&self) -> View {
        View::Text
    }

    fn classes(&self) -> &[String] {
        &self.tags
    }

    fn classes_are_presumed(&self) -> bool {
        self.options.classes.is_empty()
    }

    fn learned_of(&self, tags: &[String]) -> Option<Json> {
        let classes: Vec<&str> = tags.iter().filter_map(|tag| tag.strip_prefix("I-")).collect();
        let are_tags = self.options.classes.is_empty()
            && self.options.tagging.tags(&classes.iter().map(|class| (*class).to_owned()).collect::<Vec<_>>()) == tags;
        are_tags.then(|| json!({ "span_classes": classes }))
    }

    fn follows_input(&self) -> bool {
        true
    }

    fn reads_tokens(&self) -> bool {
        true
    }

    fn marks(&self, tensors: &[&Tensor], seen: Seen<'_>) -> Vec<Mark> {
        let (Some(tags), Seen::Text(text)) = (tensors.first().and_then(|tags| tags.as_i64()), seen) else {
            return Vec::new();
        };
        self.spans_of(tags, text)
            .into_iter()
            .map(|(characters, class)| Mark::Span {
                start: characters.start,
                end: characters.end,
                class: self.classes.names().get(class).cloned().unwrap_or_default(),
            })
            .collect()
    }
}

impl SpanEncoder {
    /// The spans of a row, by their starts, in a text of so many characters.
    fn read(&self, value: Value<'_>, characters: usize) -> Result<Option<Vec<Span>>, String> {
        let Some(stored) = self.options.stored(value)? else { return Ok(None) };
        let read = |(index, [start, end, class]): (usize, [Value<'_>; 3])| {
            let place = |reason: String| format!("has as span {}: {reason}", index + 1);
            let whole = |value: Value<'_>| value.number().filter(|number| number.fract() == 0.0 && *number >= 0.0);
            let (Some(start), Some(end)) = (whole(start), whole(end)) else {
                return Err(place("a start or end that is no whole number from 0".into()));
            };
            if start >= end || end > characters as f64 {
                let text = count(characters, "character");
                return Err(place(format!("{start} to {end}, which is no part of a text of {text}")));
            }
            match self.classes.class(class) {
                Ok(-1) => Err(place("the class −1, which is none".into())),
                Ok(label) => Ok(Span { start: start as usize, end: end as usize, label }),
                Err(damage) => Err(place(damage.to_string())),
            }
        };
        let mut spans: Vec<Span> = stored.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
        spans.sort_by_key(|span| (span.start, span.end));
        match spans.windows(2).find(|pair| pair[1].start < pair[0].end) {
            Some([first, second]) => Err(format!(
                "has spans that overlap: {} to {} and {} to {}; a token has one tag",
                first.start, first.end, second.start, second.end
            )),
            _ => Ok(Some(spans)),
        }
    }

    /// Writes the tag of each token that has one.
    fn tag(&self, spans: &[Span], text: &TokenizedText, out: &mut [i64]) {
        let touches = |span: &Span, all: &Range<usize>| span.start < all.end && all.start < span.end;
        let letters: Vec<char> = text.text.chars().collect();
        let mut before = None;
        for (tokens, characters) in text.words().into_iter().flat_map(|word| uncut(word, spans, text, &letters)) {
            // Transforms may push spans over each other: the first counts.
            let found = spans.iter().position(|span| touches(span, &characters));
            let begins = found != before;
            before = found;
            let tag = |begins| match found {
                Some(span) => self.options.tagging.tag(spans[span].label, begins),
                None => 0,
            };
            match self.options.sub_words {
                SubWords::First => out[tokens.start] = tag(begins),
                SubWords::All => {
                    let first = tokens.start;
                    tokens.for_each(|token| out[token] = tag(begins && token == first));
                }
            }
        }
    }

    /// The characters that tags mark, each with the class: what a model is trained to find.
    fn spans_of(&self, tags: &[i64], text: &TokenizedText) -> Vec<(Range<usize>, usize)> {
        let mut spans: Vec<(Range<usize>, usize)> = Vec::new();
        let mut open = None;
        for (tokens, characters) in text.words().into_iter().flat_map(|(tokens, _)| tagged(tokens, tags, text)) {
            let tag = tags.get(tokens.start).copied().unwrap_or(IGNORED);
            match (self.options.tagging.read(tag), spans.last_mut()) {
                (Some((class, false)), Some((all, _))) if open == Some(class) => all.end = characters.end,
                (Some((class, _)), _) => {
                    spans.push((characters, class));
                    open = Some(class);
                }
                (None, _) => open = None,
            }
        }
        spans
    }
}

/// A word, or each of its tokens where a span begins or ends inside of it; blanks at its ends, which some tokenizers take into
/// it, are not inside.
fn uncut(
    (tokens, characters): (Range<usize>, Range<usize>),
    spans: &[Span],
    text: &TokenizedText,
    letters: &[char],
) -> Vec<(Range<usize>, Range<usize>)> {
    let has_letters =
        |part: Range<usize>| letters.get(part).is_some_and(|part| part.iter().any(|letter| !letter.is_whitespace()));
    let is_inside = |border: usize| has_letters(characters.start..border) && has_letters(border..characters.end);
    match spans.iter().flat_map(|span| [span.start, span.end]).any(is_inside) {
        true => tokens.filter_map(|token| text.piece(token..token + 1)).collect(),
        false => vec![(tokens, characters)],
    }
}

/// The parts of a word that begin with a tag: what has none goes with the one before.
fn tagged(tokens: Range<usize>, tags: &[i64], text: &TokenizedText) -> Vec<(Range<usize>, Range<usize>)> {
    let has_tag = |token: &usize| *token == tokens.start || tags.get(*token).is_some_and(|tag| *tag != IGNORED);
    let starts: Vec<usize> = tokens.clone().filter(has_tag).collect();
    let ends = starts.iter().skip(1).copied().chain([tokens.end]);
    starts.iter().zip(ends).filter_map(|(start, end)| text.piece(*start..end)).collect()
}
