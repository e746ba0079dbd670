//! Spans of texts as classes of tokens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::DataType;
use millstream_pipeline::encodings::{self, Encoders, Mark, StreamFacts, WantedTensor};
use millstream_pipeline::{Batches, Dataset, Drawn, MarkReader, PipelineError, StreamOptions};
use millstream_schemas::recipe::OrderStrength;
use millstream_schemas::{Batch, Choice, TensorRole};
use millstream_transforms::{DrawKey, ImageFacts, Kind, Target, TextDrawing, table};
use serde_json::{Value as Json, json};

use crate::corpus::{chain, image_columns, png, with_causes};
use crate::json_columns::{column, fields, list};

/// A tokenizer that cuts words into pieces, or leaves them whole.
fn tokenizer(folder: &Path, pieces: bool) -> PathBuf {
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ada", "love", "##lace", "was", "in", "london", "."];
    let vocabulary: BTreeMap<&str, u32> = words.into_iter().zip(0..).collect();
    let model = match pieces {
        true => json!({
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        }),
        false => json!({"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocabulary}),
    };
    let special = |name: &str, type_id: u32| json!({"SpecialToken": {"id": name, "type_id": type_id}});
    let sequence = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
    let single = json!([special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)]);
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "decoder": null,
        "pre_tokenizer": {"type": if pieces { "BertPreTokenizer" } else { "WhitespaceSplit" }},
        "post_processor": {
            "type": "TemplateProcessing", "single": single,
            "pair": [
                special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0), sequence("B", 1), special("[SEP]", 1)
            ],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        "model": model,
    });
    let path = folder.join(if pieces { "pieces.json" } else { "whole.json" });
    std::fs::write(&path, file.to_string()).unwrap();
    path
}

fn list_of_structs() -> DataType {
    list(fields(&[("start", DataType::Int64), ("end", DataType::Int64), ("label", DataType::Utf8)]))
}

fn dataset(of: &DataType, rows: &[(&str, Json)]) -> Dataset {
    let texts = StringArray::from_iter_values(rows.iter().map(|(text, _)| *text));
    let spans: Vec<Json> = rows.iter().map(|(_, spans)| spans.clone()).collect();
    let texts: ArrayRef = Arc::new(texts);
    let columns = [("text", Arc::clone(&texts), true), ("other", texts, true), ("spans", column(of, &spans), true)];
    Dataset::from_batches("texts", &[RecordBatch::try_from_iter_with_nullable(columns).unwrap()], 7).unwrap()
}

fn wanted(name: &str, role: TensorRole, kind: &str, options: Json) -> WantedTensor {
    WantedTensor { name: name.into(), role, encoding: Choice::new(kind, options), place: format!("data.{name}") }
}

fn open(dataset: &Dataset, tokens: Json, spans: Option<Json>) -> Result<Encoders, PipelineError> {
    let mut all = vec![wanted("input_ids", TensorRole::Input, "token_ids", tokens)];
    if let Some(mut spans) = spans {
        spans["column"] = "spans".into();
        all.push(wanted("targets", TensorRole::Target, "spans", spans));
    }
    Encoders::open(dataset, encodings::standard(), &all, &[])
}

fn options(encoders: Encoders, transforms: Json, batch: usize) -> StreamOptions {
    let order = OrderStrength::Sequential;
    let group_by_length = Some(false);
    StreamOptions {
        batch,
        order,
        group_by_length,
        workers: 2,
        seed: 4,
        ..StreamOptions::new(chain(transforms), encoders)
    }
}

fn only(dataset: &Dataset, encoders: Encoders, transforms: Json) -> Result<Batch, PipelineError> {
    Batches::open(dataset, options(encoders, transforms, dataset.rows() as usize), None)?.next().expect("a batch")
}

fn span(start: usize, end: usize, label: &str) -> Json {
    json!({"start": start, "end": end, "label": label})
}

const TEXT: &str = "ada lovelace was in london.";

#[test]
fn tokens_have_the_tags_of_the_spans_that_they_are_in() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = tokenizer(folder.path(), true);
    let both = json!([span(0, 12, "person"), span(20, 26, "place")]);
    let two = json!([span(4, 12, "person"), span(0, 3, "person")]);
    let part = json!([span(8, 12, "person")]);
    let (x, classes) = (-100, json!(["person", "place"]));
    // The tokens: [CLS] ada love ##lace was in london . [SEP]
    for (text, spans, tokens, more, tags) in [
        (TEXT, &both, json!({}), json!({}), vec![x, 1, 2, x, 0, 0, 3, 0, x]),
        (TEXT, &both, json!({}), json!({"sub_words": "all"}), vec![x, 1, 2, 2, 0, 0, 3, 0, x]),
        (TEXT, &both, json!({}), json!({"tagging": "io"}), vec![x, 1, 1, x, 0, 0, 2, 0, x]),
        (TEXT, &both, json!({}), json!({"classes": ["place", "person"]}), vec![x, 3, 4, x, 0, 0, 1, 0, x]),
        (TEXT, &two, json!({}), json!({}), vec![x, 1, 1, x, 0, 0, 0, 0, x]),
        (TEXT, &two, json!({}), json!({"sub_words": "all"}), vec![x, 1, 1, 2, 0, 0, 0, 0, x]),
        (TEXT, &part, json!({}), json!({}), vec![x, 0, 0, 1, 0, 0, 0, 0, x]),
        (TEXT, &part, json!({}), json!({"sub_words": "all"}), vec![x, 0, 0, 1, 0, 0, 0, 0, x]),
        (TEXT, &json!([]), json!({}), json!({}), vec![x, 0, 0, x, 0, 0, 0, 0, x]),
        (TEXT, &json!(null), json!({}), json!({}), vec![x; 9]),
        (TEXT, &both, json!({"max_length": 5}), json!({}), vec![x, 1, 2, x, x]),
        (TEXT, &both, json!({"pad_to_multiple_of": 4}), json!({}), vec![x, 1, 2, x, 0, 0, 3, 0, x, x, x, x]),
        (TEXT, &both, json!({"special_tokens": false}), json!({}), vec![1, 2, x, 0, 0, 3, 0]),
        (
            TEXT,
            &both,
            json!({"column": ["text", "other"]}),
            json!({}),
            vec![x, 1, 2, x, 0, 0, 3, 0, x, x, x, x, x, x, x, x, x],
        ),
        // Characters, not bytes.
        ("äöü ada", &json!([span(4, 7, "person")]), json!({}), json!({}), vec![x, 0, 1, x]),
    ] {
        let dataset = dataset(&list_of_structs(), &[(text, spans.clone())]);
        let (mut tokens, mut more) = (tokens, more);
        for (key, value) in
            [("column", json!("text")), ("tokenizer", json!(tokenizer)), ("pad_to_multiple_of", json!(1))]
        {
            if tokens.get(key).is_none() {
                tokens[key] = value;
            }
        }
        if more.get("classes").is_none() {
            more["classes"] = classes.clone();
        }
        let encoders = open(&dataset, tokens.clone(), Some(more.clone())).unwrap();
        let batch = only(&dataset, encoders, json!([])).unwrap();
        assert_eq!(batch.tensors["targets"].as_i64().unwrap(), tags, "{spans} {tokens} {more}");
        assert_eq!(batch.tensors["targets"].shape, batch.tensors["input_ids"].shape);
        assert_eq!(batch.weights.as_slice(), [f32::from(!spans.is_null())]);
        // Who marks nothing tokenizes alike.
        let plain = only(&dataset, open(&dataset, tokens, None).unwrap(), json!([])).unwrap();
        assert_eq!(plain.tensors["input_ids"], batch.tensors["input_ids"]);
    }
}

#[test]
fn spans_are_read_from_structs_of_lists_and_classes_are_learned() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = json!({"tokenizer": tokenizer(folder.path(), true), "column": "text", "pad_to_multiple_of": 1});
    let of = fields(&[("from", list(DataType::Int64)), ("to", list(DataType::Int64)), ("kind", list(DataType::Utf8))]);
    let row = |kinds: [&str; 2]| json!({"from": [20, 0], "to": [26, 12], "kind": kinds});
    let train = dataset(&of, &[(TEXT, row(["place", "person"])), (TEXT, json!({"from": [], "to": [], "kind": []}))]);
    let named = json!({"start_field": "from", "end_field": "to", "class_field": "kind"});
    let encoders = open(&train, tokens.clone(), Some(named.clone())).unwrap();
    let learned = encoders.learned();
    assert_eq!(learned["targets"], json!({"span_classes": ["person", "place"]}));
    assert_eq!(encoders.classes(), ["O", "B-person", "I-person", "B-place", "I-place"]);
    let batch = only(&train, encoders, json!([])).unwrap();
    let tags = batch.tensors["targets"].as_i64().unwrap();
    assert_eq!(tags, [-100, 1, 2, -100, 0, 0, 3, 0, -100, -100, 0, 0, -100, 0, 0, 0, 0, -100]);
    let other = dataset(&of, &[(TEXT, row(["person", "person"]))]);
    let encoders = open(&other, tokens, Some(named)).unwrap().relearned(&other, &learned).unwrap();
    assert_eq!(encoders.classes().len(), 5);
}

#[test]
fn spans_that_do_not_fit_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = json!({"tokenizer": tokenizer(folder.path(), true), "column": "text"});
    let of = list_of_structs();
    for (spans, part) in [
        (json!([span(3, 3, "a")]), "column `spans` has as span 1: 3 to 3, which is no part of a text of 27 characters"),
        (json!([span(0, 1, "a"), span(20, 28, "a")]), "has as span 2: 20 to 28, which is no part of a text"),
        (json!([{"start": -1, "end": 2, "label": "a"}]), "a start or end that is no whole number from 0"),
        (json!([{"start": 1, "end": null, "label": "a"}]), "a start or end that is no whole number from 0"),
        (json!([{"start": 1, "end": 2, "label": null}]), "has as span 1: "),
        (json!([span(4, 12, "a"), span(0, 5, "a")]), "has spans that overlap: 0 to 5 and 4 to 12"),
    ] {
        let dataset = dataset(&of, &[(TEXT, spans.clone())]);
        let encoders = open(&dataset, tokens.clone(), Some(json!({}))).unwrap();
        let error = only(&dataset, encoders, json!([])).unwrap_err().to_string();
        assert!(error.starts_with("texts, row group 0, row 0: ") && error.contains(part), "{spans}: {error}");
    }
    let good = dataset(&of, &[(TEXT, json!([span(0, 3, "a")]))]);
    for (options, part) in [
        (json!({"classes": ["a", "a"]}), "classes name `a` twice"),
        (json!({"start_field": "begin"}), "has no field `begin`; name it as `start_field`"),
        (json!({"class_field": "labels"}), "did you mean `label`?"),
        (json!({"end_field": "label"}), "has a field `label` of Utf8"),
        (json!({"tagging": "bilou"}), "bio"),
    ] {
        let error = open(&good, tokens.clone(), Some(options.clone())).unwrap_err().to_string();
        assert!(error.contains(part), "{options}: {error}");
    }
    let text = wanted("text", TensorRole::Input, "text", json!({"column": "text"}));
    let target = wanted("targets", TensorRole::Target, "spans", json!({"column": "spans"}));
    let encoders = Encoders::open(&good, encodings::standard(), &[text, target], &[]).unwrap();
    let error = only(&good, encoders, json!([])).unwrap_err().to_string();
    assert!(error.contains("spans need one input that is `token_ids`, got 0"), "{error}");
}

/// The slow twin paints each character with the spans that it is in, and edits the painted text.
fn painted(text: &str, spans: &[(usize, usize)], drawing: &TextDrawing) -> Vec<(char, Vec<usize>)> {
    let of = |place: usize| (0..spans.len()).filter(|span| (spans[*span].0..spans[*span].1).contains(&place)).collect();
    let mut letters: Vec<(char, Vec<usize>)> =
        text.chars().enumerate().map(|(place, letter)| (letter, of(place))).collect();
    for edit in &drawing.edits {
        let taken: Vec<usize> = letters[edit.start..edit.end].iter().flat_map(|(_, spans)| spans.clone()).collect();
        let within = |span: &usize| {
            let is_in =
                |place: Option<usize>| place.and_then(|at| letters.get(at)).is_some_and(|(_, all)| all.contains(span));
            taken.contains(span) || (is_in(edit.start.checked_sub(1)) && is_in(Some(edit.end)))
        };
        let belongs: Vec<usize> = (0..spans.len()).filter(within).collect();
        let new: Vec<_> = edit.replacement.chars().map(|letter| (letter, belongs.clone())).collect();
        letters.splice(edit.start..edit.end, new);
    }
    letters
}

#[test]
fn tags_follow_every_transform_of_text() {
    const ROWS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let tokens = json!({
        "tokenizer": tokenizer(folder.path(), false), "column": "text", "pad_to_multiple_of": 1, "special_tokens": false,
    });
    let text = "countess ada lovelace was born in rainy london and wrote the first program";
    let spans = [(9, 21), (34, 46), (57, 60)];
    let column: Json = spans.iter().map(|(start, end)| span(*start, *end, "a")).collect();
    let dataset = dataset(&list_of_structs(), &vec![(text, column); ROWS]);
    // Words that change places take no spans along: that is refused before a row is read.
    let encoders = open(&dataset, tokens.clone(), Some(json!({}))).unwrap();
    let error = with_causes(&only(&dataset, encoders, json!([{"swap_words": {"count": 1}}])).unwrap_err());
    assert!(error.contains("swap_words") && error.contains("spans"), "{error}");
    let of_text = table().iter().filter(|row| row.kind() == Kind::Text && row.targets.contains(&Target::Spans));
    let option = |sample: &str| serde_json::from_str::<Json>(sample).unwrap();
    let samples = of_text.flat_map(|row| row.samples.iter().map(move |sample| json!([{row.name: option(sample)}])));
    let more = json!([
        {"delete_characters": {"fraction": 0.1}}, {"keyboard_typos": {"fraction": 0.1}}, {"delete_characters": {"fraction": 0.2}}
    ]);
    let mut changed = 0;
    for transforms in samples.chain([more]) {
        let encoders = open(&dataset, tokens.clone(), Some(json!({}))).unwrap();
        let batch = only(&dataset, encoders.clone(), transforms.clone()).unwrap();
        let got = batch.tensors["targets"].as_i64().unwrap();
        let length = got.len() / ROWS;
        for row in 0..ROWS {
            let id = dataset.row_at(row as u64);
            let key = DrawKey { seed: 4, epoch: 0, row: id.key() };
            let drawing = chain(transforms.clone()).draw_text(text, &key).unwrap();
            changed += usize::from(!drawing.edits.is_empty());
            let letters = painted(text, &spans, &drawing);
            let (mut tags, mut before) = (Vec::new(), None);
            for word in letters.split(|(letter, _)| letter.is_whitespace()).filter(|word| !word.is_empty()) {
                let found = word.iter().flat_map(|(_, spans)| spans).min();
                let begins = found != before;
                before = found;
                tags.push(found.map_or(0, |_| if begins { 1 } else { 2 }));
            }
            let marks = tags.iter().filter(|tag| **tag == 1).count();
            tags.resize(length, -100);
            assert_eq!(&got[row * length..][..length], tags, "{transforms}: row {row}: {drawing:?}");
            // What is shown is read back from these.
            let chain = chain(transforms.clone());
            let stream = StreamFacts { dataset: &dataset, chain: &chain, seed: 4 };
            let read = dataset.read_row(&id, encoders.columns()).unwrap();
            let shown = MarkReader::new(&encoders, &stream).unwrap().marks(&read, Drawn::Text(&drawing)).unwrap();
            assert_eq!(shown.len(), marks, "{transforms}: row {row}: {shown:?}");
            for mark in shown {
                let Mark::Span { start, end, class } = mark else { panic!("{mark:?}") };
                let of_span = letters[start..end].iter().any(|(_, spans)| !spans.is_empty());
                assert!(of_span && class == "a", "{transforms}: row {row}: {start} {end}");
            }
        }
    }
    assert!(changed > 100, "{changed}");
}

/// A tokenizer without a pre-tokenizer: a text is one word.
fn unspaced(folder: &Path) -> PathBuf {
    let words = ["[UNK]", "ada", "##love", "##was", "## ", "##ada"];
    let vocabulary: BTreeMap<&str, u32> = words.into_iter().zip(0..).collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "decoder": null,
        "pre_tokenizer": null, "post_processor": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    });
    let path = folder.join("unspaced.json");
    std::fs::write(&path, file.to_string()).unwrap();
    path
}

#[test]
fn borders_of_spans_inside_of_a_word_are_kept_where_texts_have_no_spaces() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = json!({"tokenizer": unspaced(folder.path()), "column": "text", "pad_to_multiple_of": 1});
    let x = -100;
    for (text, spans, sub_words, tags) in [
        ("adalovewas", vec![(3, 7)], "first", vec![0, 1, 0]),
        ("adalovewas", vec![(0, 7)], "first", vec![1, 2, 0]),
        ("adalovewas", vec![(0, 7)], "all", vec![1, 2, 0]),
        ("adalovewas", vec![(0, 3), (3, 7)], "first", vec![1, 1, 0]),
        ("adalovewas", vec![(0, 10)], "first", vec![1, x, x]),
        ("adalovewas", vec![(0, 10)], "all", vec![1, 2, 2]),
        ("adalovewas", vec![], "first", vec![0, x, x]),
        // Blanks at the end of a word are no part of it.
        ("adalove ", vec![(0, 7)], "first", vec![1, x, x]),
        ("ada ada", vec![(0, 3), (4, 7)], "first", vec![1, 0, 1]),
    ] {
        let column: Json = spans.iter().map(|(start, end)| span(*start, *end, "a")).collect();
        let dataset = dataset(&list_of_structs(), &[(text, column)]);
        let options = json!({"classes": ["a"], "sub_words": sub_words});
        let encoders = open(&dataset, tokens.clone(), Some(options)).unwrap();
        let batch = only(&dataset, encoders.clone(), json!([])).unwrap();
        assert_eq!(batch.tensors["targets"].as_i64().unwrap(), tags, "{text} {spans:?} {sub_words}");
        let chain = chain(json!([]));
        let reader = MarkReader::new(&encoders, &StreamFacts { dataset: &dataset, chain: &chain, seed: 4 }).unwrap();
        let row = dataset.read_row(&dataset.row_at(0), encoders.columns()).unwrap();
        let shown = reader.marks(&row, Drawn::Text(&TextDrawing::default())).unwrap();
        let shown: Vec<_> = shown
            .into_iter()
            .map(|mark| match mark {
                Mark::Span { start, end, .. } => (start, text[..end].trim_end().len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(shown, spans, "{text} {sub_words}");
    }
}

#[test]
fn a_second_text_beside_the_tokens_does_not_take_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = json!({"tokenizer": tokenizer(folder.path(), false), "column": "text", "pad_to_multiple_of": 1});
    let texts: ArrayRef = Arc::new(StringArray::from(vec![TEXT]));
    let others: ArrayRef = Arc::new(StringArray::from(vec!["b"]));
    let spans = column(&list_of_structs(), &[json!([span(0, 12, "a")])]);
    let columns = [("text", texts, true), ("other", others, true), ("spans", spans, true)];
    let dataset =
        Dataset::from_batches("texts", &[RecordBatch::try_from_iter_with_nullable(columns).unwrap()], 7).unwrap();
    let ids = wanted("input_ids", TensorRole::Input, "token_ids", tokens);
    let raw = wanted("raw", TensorRole::Input, "text", json!({"column": "other"}));
    let target = wanted("targets", TensorRole::Target, "spans", json!({"column": "spans"}));
    let transforms = json!([{"delete_characters": {"fraction": 0.3}}]);
    let alone = Encoders::open(&dataset, encodings::standard(), &[ids.clone(), target.clone()], &[]).unwrap();
    let wanted = only(&dataset, alone, transforms.clone()).unwrap();
    for inputs in [[ids.clone(), raw.clone()], [raw, ids]] {
        let all = [&inputs[..], std::slice::from_ref(&target)].concat();
        let encoders = Encoders::open(&dataset, encodings::standard(), &all, &[]).unwrap();
        let batch = only(&dataset, encoders.clone(), transforms.clone()).unwrap();
        assert_eq!(batch.tensors["targets"], wanted.tensors["targets"]);
        // What is drawn for the shown text is shown in it.
        assert_eq!(encoders.shown_input().unwrap().0, "text");
        let chain = chain(transforms.clone());
        let drawing = chain.draw_text(TEXT, &DrawKey { seed: 4, epoch: 0, row: dataset.row_at(0).key() }).unwrap();
        let reader = MarkReader::new(&encoders, &StreamFacts { dataset: &dataset, chain: &chain, seed: 4 }).unwrap();
        let row = dataset.read_row(&dataset.row_at(0), encoders.columns()).unwrap();
        assert_eq!(reader.marks(&row, Drawn::Text(&drawing)).unwrap().len(), 1);
    }
}

#[test]
fn a_shown_text_or_image_has_the_marks_of_its_own_kind() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = json!({"tokenizer": tokenizer(folder.path(), false), "column": "text"});
    let [(_, image), _] = image_columns(&[(Some(&png(60, 44, [1, 2, 3])[..]), Some(0))]);
    let texts: ArrayRef = Arc::new(StringArray::from(vec![TEXT]));
    let spans = column(&list_of_structs(), &[json!([span(0, 12, "a")])]);
    let boxes = column(&list(list(DataType::Float32)), &[json!([[1, 2, 30, 40]])]);
    let columns = [("text", texts, true), ("image", image, true), ("spans", spans, true), ("boxes", boxes, true)];
    let dataset =
        Dataset::from_batches("both", &[RecordBatch::try_from_iter_with_nullable(columns).unwrap()], 7).unwrap();
    let all = [
        wanted("input_ids", TensorRole::Input, "token_ids", tokens),
        wanted("pixels", TensorRole::Input, "image", json!({"column": "image"})),
        wanted("tags", TensorRole::Target, "spans", json!({"column": "spans"})),
        wanted("boxes", TensorRole::Target, "boxes", json!({"column": "boxes", "convention": "coco", "most": 2})),
    ];
    let encoders = Encoders::open(&dataset, encodings::standard(), &all, &[]).unwrap();
    only(&dataset, encoders.clone(), json!([])).unwrap();
    let chain = chain(json!([]));
    let reader = MarkReader::new(&encoders, &StreamFacts { dataset: &dataset, chain: &chain, seed: 4 }).unwrap();
    let row = dataset.read_row(&dataset.row_at(0), encoders.columns()).unwrap();
    let of_text = reader.marks(&row, Drawn::Text(&TextDrawing::default())).unwrap();
    assert!(matches!(of_text[..], [Mark::Span { .. }]), "{of_text:?}");
    let drawing = chain.draw_image(&ImageFacts::new(60, 44), &DrawKey { seed: 4, epoch: 0, row: 0 }).unwrap();
    let of_image = reader.marks(&row, Drawn::Image(&drawing)).unwrap();
    assert!(matches!(of_image[..], [Mark::Box { .. }]), "{of_image:?}");
}
