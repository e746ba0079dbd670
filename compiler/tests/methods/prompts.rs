//! Virtual tokens in the rows of models of text.

use std::collections::BTreeMap;

use millstream_compiler::finetuning::methods;
use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, Length, TensorType, ValueId};
use millstream_compiler::losses::{self, Loss};
use millstream_compiler::{
    CompilerError, FineTuning, HeadChoice, Method, Model, OperatorCatalog, TrainingProgram, compile,
};
use millstream_schemas::Choice;
use millstream_schemas::recipe::{AdaptersOutput, TrainSelection};
use ort::value::{DynValue, Tensor};
use serde_json::{Value, json};

use crate::networks::{numbers, weight, weight_values};
use crate::onnx_runtime::{self, run, session};
use crate::{CLASSES, ROWS, compiled_in, fine_tuning, scores, transformer};

/// Tokens of a row.
pub(crate) const TOKENS: usize = 5;
const VOCABULARY: usize = 30;
const WIDTH: usize = 8;
/// Places that the model knows.
const PLACES: usize = 40;
/// What stands at padding.
const PADDING: i64 = 0;

/// How the vectors of tokens are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Table {
    #[default]
    Floats,
    /// As floats that are multiples of a scale, one for each row or one for all.
    Multiples { by_row: bool },
    /// As bytes that become floats in front of the `Gather`, by a scale for each row.
    Behind,
    /// As bytes of which rows are picked and become floats then.
    Picked,
}

/// Bytes of a table, and the scale of each row.
fn quantized(by_row: bool) -> (Vec<i8>, Vec<f32>) {
    let floats = weight_values("words.weight", &[VOCABULARY, WIDTH]);
    let bytes = floats.iter().map(|value| (value * 100.0).round() as i8 + ZERO).collect();
    (bytes, (0..VOCABULARY).map(|row| if by_row { 0.01 * (1 + row % 3) as f32 } else { 0.02 }).collect())
}

/// The byte that is 0.
const ZERO: i8 = 3;

/// The same in floats.
fn multiples(by_row: bool) -> Vec<f32> {
    let (bytes, scales) = quantized(by_row);
    bytes.iter().enumerate().map(|(at, byte)| scales[at / WIDTH] * f32::from(*byte - ZERO)).collect()
}

/// An encoder of text of one block.
#[derive(Clone, Copy, Default)]
pub(crate) struct Text {
    table: Table,
    /// Vectors behind those of the vocabulary.
    more: Option<fn() -> Vec<f32>>,
    /// Whether each token has scores, and a softmax behind them, and not the first of a row.
    by_token: bool,
    /// Whether the vectors of tokens are an output too.
    gives_vectors: bool,
    /// Whether places are an input.
    takes_places: bool,
    /// Whether padding is told by the tokens, and places are counted without it.
    counts_places: bool,
    /// Lengths that the file states for all rows.
    fixed: bool,
}

pub(crate) fn text(form: Text) -> Model {
    Model::from_bytes(text_file(form)).unwrap()
}

fn text_file(form: Text) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let graph = &mut graph;
    let sequence = if form.fixed { Length::from(TOKENS) } else { Length::named("sequence") };
    let rows = TensorType::new(ElementType::I64, [Length::named("batch"), sequence]);
    let input = |graph: &mut Graph, name: &str, is_there: bool| is_there.then(|| graph.input(name, rows.clone()));
    let tokens = input(graph, "input_ids", true).unwrap();
    let mask = input(graph, "attention_mask", true).unwrap();
    let kinds = input(graph, "token_type_ids", true).unwrap();
    let places = input(graph, "position_ids", form.takes_places);
    let whole =
        |graph: &mut Graph, values: &[i64]| graph.named_constant("number", Constant::i64([values.len()], values));
    let ints = |values: &[i64]| Attribute::Ints(values.to_vec());

    let words = looked_up(graph, form, tokens);
    graph.rename(words, "words").unwrap();
    let table = weight(graph, "kinds.weight", &[2, WIDTH]);
    let of_kinds = node(graph, "Gather", &[table, kinds], &[]);
    let sum = node(graph, "Add", &[words, of_kinds], &[]);
    let of_places = if form.counts_places {
        let padding = graph.named_constant("padding", Constant::i64([], &[PADDING]));
        let is_padding = node(graph, "Equal", &[tokens, padding], &[]);
        let is_token = node(graph, "Not", &[is_padding], &[]);
        let is_token = node(graph, "Cast", &[is_token], &[("to", 7.into())]);
        let axis = graph.named_constant("axis", Constant::i64([], &[1]));
        let counted = node(graph, "CumSum", &[is_token, axis], &[]);
        let counted = node(graph, "Mul", &[counted, is_token], &[]);
        let table = weight(graph, "places.weight", &[PLACES, WIDTH]);
        node(graph, "Gather", &[table, counted], &[])
    } else if let Some(places) = places {
        let table = weight(graph, "places.weight", &[PLACES, WIDTH]);
        node(graph, "Gather", &[table, places], &[])
    } else {
        let table = weight(graph, "places.weight", &[1, PLACES, WIDTH]);
        let bounds = [whole(graph, &[1]), whole(graph, &[2]), whole(graph, &[0])];
        let shape = node(graph, "Shape", &[tokens], &[]);
        let length = node(graph, "Slice", &[shape, bounds[0], bounds[1]], &[]);
        node(graph, "Slice", &[table, bounds[2], length, bounds[0]], &[])
    };
    let sum = node(graph, "Add", &[sum, of_places], &[]);
    let stream = normalized(graph, sum, "norm1");
    let floats = node(graph, "Cast", &[mask], &[("to", 1.into())]);
    let axes = whole(graph, &[1, 2]);
    let floats = node(graph, "Unsqueeze", &[floats, axes], &[]);
    let (one, far) = (graph.scalar(1.0), graph.scalar(-1e4));
    let is_padding = node(graph, "Sub", &[one, floats], &[]);
    let hidden = node(graph, "Mul", &[is_padding, far], &[]);
    let linear = |graph: &mut Graph, value: ValueId, name: &str, made: usize| {
        let matrix = weight(graph, &format!("{name}.weight"), &[WIDTH, made]);
        let bias = weight(graph, &format!("{name}.bias"), &[made]);
        let product = node(graph, "MatMul", &[value, matrix], &[]);
        node(graph, "Add", &[product, bias], &[])
    };
    let [q, k, v] = ["query", "key", "value"].map(|name| {
        let made = linear(graph, stream, name, WIDTH);
        let tokens = if form.fixed { TOKENS as i64 } else { 0 };
        let heads = whole(graph, &[0, tokens, 2, WIDTH as i64 / 2]);
        let made = node(graph, "Reshape", &[made, heads], &[]);
        node(graph, "Transpose", &[made], &[("perm", ints(&[0, 2, 1, 3]))])
    });
    let keys = node(graph, "Transpose", &[k], &[("perm", ints(&[0, 1, 3, 2]))]);
    let attention = node(graph, "MatMul", &[q, keys], &[]);
    let attention = node(graph, "Add", &[attention, hidden], &[]);
    let attention = node(graph, "Softmax", &[attention], &[("axis", (-1).into())]);
    let mixed = node(graph, "MatMul", &[attention, v], &[]);
    let mixed = node(graph, "Transpose", &[mixed], &[("perm", ints(&[0, 2, 1, 3]))]);
    let shape = whole(graph, &[0, 0, WIDTH as i64]);
    let mixed = node(graph, "Reshape", &[mixed, shape], &[]);
    let mixed = linear(graph, mixed, "output", WIDTH);
    let sum = node(graph, "Add", &[mixed, stream], &[]);
    let stream = normalized(graph, sum, "norm2");
    graph.rename(stream, "vectors").unwrap();
    let given = if form.by_token {
        let scores = linear(graph, stream, "head", CLASSES);
        graph.rename(scores, "scores").unwrap();
        node(graph, "Softmax", &[scores], &[("axis", (-1).into())])
    } else {
        let first = graph.named_constant("first", Constant::i64([], &[0]));
        let pooled = node(graph, "Gather", &[stream, first], &[("axis", 1.into())]);
        graph.rename(pooled, "pooled").unwrap();
        linear(graph, pooled, "head", CLASSES)
    };
    graph.rename(given, "given").unwrap();
    let outputs = [Some(given), form.gives_vectors.then_some(stream)];
    graph.set_outputs(&outputs.into_iter().flatten().collect::<Vec<_>>());
    graph.to_onnx("text")
}

/// The vectors of the tokens.
fn looked_up(graph: &mut Graph, form: Text, tokens: ValueId) -> ValueId {
    let by_row = form.table == Table::Behind;
    let mut floats = match form.table {
        Table::Multiples { by_row } => multiples(by_row),
        Table::Floats => weight_values("words.weight", &[VOCABULARY, WIDTH]),
        Table::Behind | Table::Picked => {
            let (bytes, scales) = quantized(by_row);
            let bytes: Vec<u8> = bytes.into_iter().flat_map(i8::to_le_bytes).collect();
            let of_bytes = |shape: &[usize], bytes: Vec<u8>| Constant {
                dtype: ElementType::I8,
                shape: shape.to_vec(),
                bytes: bytes.into(),
            };
            let table = graph.constant("words.weight_quantized", of_bytes(&[VOCABULARY, WIDTH], bytes));
            let [zero] = ZERO.to_le_bytes();
            if by_row {
                let scale = graph.constant("words.weight_scale", Constant::f32([VOCABULARY], &scales));
                let zeros = of_bytes(&[VOCABULARY], vec![zero; VOCABULARY]);
                let zero = graph.constant("words.weight_zero_point", zeros);
                let table = node(graph, "DequantizeLinear", &[table, scale, zero], &[("axis", 0.into())]);
                return node(graph, "Gather", &[table, tokens], &[]);
            }
            let scale = graph.constant("words.weight_scale", Constant::f32([], &scales[..1]));
            let zero = graph.constant("words.weight_zero_point", of_bytes(&[], vec![zero]));
            let picked = node(graph, "Gather", &[table, tokens], &[]);
            return node(graph, "DequantizeLinear", &[picked, scale, zero], &[]);
        }
    };
    floats.extend(form.more.map(|more| more()).unwrap_or_default());
    let table = graph.constant("words.weight", Constant::f32([floats.len() / WIDTH, WIDTH], &floats));
    node(graph, "Gather", &[table, tokens], &[])
}

/// The lengths of rows are open while the file is made.
fn node(graph: &mut Graph, operator: &str, inputs: &[ValueId], attributes: &[(&str, Attribute)]) -> ValueId {
    graph.append(operator, inputs, attributes, operator).unwrap()
}

fn normalized(graph: &mut Graph, value: ValueId, name: &str) -> ValueId {
    let scale = graph.constant(&format!("{name}.weight"), Constant::f32([WIDTH], &[1.0; WIDTH]));
    let shift = weight(graph, &format!("{name}.bias"), &[WIDTH]);
    node(graph, "LayerNormalization", &[value, scale, shift], &[("axis", (-1).into())])
}

/// Two rows of tokens, the second of three and padding, as an input has them.
fn row_values(input: &str) -> Vec<Vec<i64>> {
    let rows: [[i64; TOKENS]; ROWS] = match input {
        "input_ids" => [[1, 12, 7, 23, 2], [1, 5, 2, PADDING, PADDING]],
        "attention_mask" => [[1; TOKENS], [1, 1, 1, 0, 0]],
        "token_type_ids" => [[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]],
        "position_ids" => [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]],
        other => panic!("no input is called `{other}`"),
    };
    rows.map(|row| row.to_vec()).to_vec()
}

fn tensor(rows: &[Vec<i64>]) -> DynValue {
    Tensor::from_array((vec![rows.len(), rows[0].len()], rows.concat())).unwrap().into_dyn()
}

pub(crate) fn rows(input: &str) -> DynValue {
    tensor(&row_values(input))
}

const LENGTH: usize = 3;
const METHODS: [&str; 2] = ["prompt_tuning", "p_tuning"];

fn method(name: &str, options: Value) -> Choice {
    let mut all = json!({"length": LENGTH});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    Choice::new(name, all)
}

fn learned() -> Vec<f32> {
    numbers(LENGTH * WIDTH, 17)
}

/// All outputs, by their names.
fn outputs(model: &[u8], rows: impl Fn(&str) -> Vec<Vec<i64>>) -> BTreeMap<String, Vec<f32>> {
    let mut session = session(model);
    let names = |all: &[ort::value::Outlet]| all.iter().map(|one| one.name().to_owned()).collect::<Vec<String>>();
    let (inputs, outputs) = (names(session.inputs()), names(session.outputs()));
    let inputs = inputs.iter().map(|name| (name.clone(), tensor(&rows(name)))).collect();
    outputs.into_iter().zip(run(&mut session, inputs)).collect()
}

#[track_caller]
fn assert_near(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 2e-6, "{a:?}, {b:?}");
}

/// The slow twin: the vectors are further rows of the table, and the rows of the data hold their numbers.
#[test]
fn virtual_tokens_compute_what_tokens_of_a_longer_vocabulary_do() {
    if !onnx_runtime::available() {
        return;
    }
    for (form, place) in [
        (Text::default(), "first"),
        (Text::default(), "after_first"),
        (Text { takes_places: true, ..Text::default() }, "first"),
        (Text { takes_places: true, ..Text::default() }, "after_first"),
        (Text { counts_places: true, ..Text::default() }, "first"),
        (Text { by_token: true, gives_vectors: true, ..Text::default() }, "first"),
        (Text { by_token: true, gives_vectors: true, ..Text::default() }, "after_first"),
    ] {
        let model = text(form);
        let program = trained(&model, form, &[method("prompt_tuning", json!({"place": place}))]).unwrap();
        let tuned = program.export(&[learned()], &[]).unwrap().to_vec();
        let at = usize::from(place == "after_first");
        let longer = |input: &str| {
            let mut rows = row_values(input);
            for row in &mut rows {
                let virtual_ones: Vec<i64> = (0..LENGTH)
                    .map(|number| match input {
                        "input_ids" => (VOCABULARY + number) as i64,
                        "attention_mask" => 1,
                        "position_ids" => (at + number) as i64,
                        _ => 0,
                    })
                    .collect();
                if input == "position_ids" {
                    row[at..].iter_mut().for_each(|place| *place += LENGTH as i64);
                }
                row.splice(at..at, virtual_ones);
            }
            rows
        };
        let twin = outputs(&text_file(Text { more: Some(learned), ..form }), longer);
        let found = outputs(&tuned, row_values);
        assert_eq!(found.keys().collect::<Vec<_>>(), twin.keys().collect::<Vec<_>>());
        for (name, wanted) in twin {
            let width = if name == "vectors" { WIDTH } else { CLASSES };
            let places = wanted.len() / width / ROWS;
            let is_real = |token: usize| places == 1 || !(at..at + LENGTH).contains(&(token % places));
            let rows = wanted.chunks(width).enumerate().filter(|(token, _)| is_real(*token));
            assert_near(&found[&name], &rows.flat_map(|(_, row)| row.to_vec()).collect::<Vec<f32>>());
        }
    }
}

#[test]
fn virtual_tokens_in_front_of_those_of_a_quantized_table_leave_it_as_it_is() {
    if !onnx_runtime::available() {
        return;
    }
    for (table, by_row) in [(Table::Behind, true), (Table::Picked, false)] {
        let forms = [Table::Multiples { by_row }, table].map(|table| Text { table, ..Text::default() });
        let start = json!({"start": {"tokens": [7, 29]}, "place": "after_first"});
        for (name, options) in [("prompt_tuning", start), ("p_tuning", json!({}))] {
            let choice = method(name, options);
            let [floats, bytes] = forms.map(|form| trained(&text(form), form, std::slice::from_ref(&choice)).unwrap());
            assert_eq!(bytes.parameters, floats.parameters, "{table:?}, {name}");
            assert!(bytes.notes.iter().any(|note| note.contains("`words` first")), "{:?}", bytes.notes);
            bytes.step().unwrap();
            let exported = [&floats, &bytes].map(|program| program.export(&program.parameters, &[]).unwrap().to_vec());
            let [wanted, found] = [&exported[0], &exported[1]].map(|file| outputs(file, row_values));
            assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
            wanted.iter().for_each(|(name, values)| assert_near(&found[name], values));
            let stored: Vec<u8> = quantized(by_row).0.into_iter().flat_map(i8::to_le_bytes).collect();
            assert!(exported[1].windows(stored.len()).any(|own| own == stored), "the table is as it was");
        }
    }
}

/// Of a model whose tokens have scores, or whose rows have.
fn trained(model: &Model, form: Text, methods: &[Choice]) -> Result<TrainingProgram, CompilerError> {
    let chosen = methods.iter().map(|choice| Method::choose(methods::standard(), choice, "model.methods[0]").unwrap());
    let mut wanted = FineTuning { methods: chosen.collect(), train: TrainSelection::Nothing, ..fine_tuning(model) };
    if form.by_token {
        let loss = Choice::new("sparse_cross_entropy", json!({}));
        wanted.loss = Loss::choose(losses::standard(), &loss, "training.loss").unwrap();
        wanted.output = Some("given".into());
    }
    compile(model, &wanted, &OperatorCatalog::standard())
}

#[test]
fn the_loss_reads_the_scores_of_the_rows_tokens_alone() {
    let form = Text { by_token: true, gives_vectors: true, ..Text::default() };
    let program = trained(&text(form), form, &[method("p_tuning", json!({}))]).unwrap();
    let lengths = |entry: &millstream_schemas::TensorEntry| {
        entry.shape.iter().map(|length| length.fixed().unwrap()).collect::<Vec<usize>>()
    };
    assert!(lengths(&program.manifest.prediction).contains(&TOKENS), "{:?}", program.manifest.prediction);
    assert!(program.notes.iter().any(|note| note.contains("left out of `scores`, `vectors`")), "{:?}", program.notes);
    assert!(program.manifest.inputs.iter().all(|entry| lengths(entry) == [ROWS, TOKENS]));
}

#[test]
fn what_the_encoder_makes_is_a_constant_of_the_merged_model_alone() {
    let model = text(Text::default());
    for encoder in ["mlp", "lstm"] {
        let choice = method("p_tuning", json!({"encoder": encoder, "hidden_size": 4}));
        let program = compiled_in(&model, &[choice], TrainSelection::Nothing).unwrap();
        let holds = |adapters, name: &str| {
            let file = program.export_with(&program.parameters, adapters, &[]).unwrap().to_vec();
            file.windows(name.len()).any(|window| window == name.as_bytes())
        };
        for (adapters, wanted) in [(AdaptersOutput::Merged, false), (AdaptersOutput::Unmerged, true)] {
            assert_eq!(holds(adapters, "prompt_encoder."), wanted, "{encoder}");
            assert!(holds(adapters, "prompt_embeddings"), "{encoder}");
        }
        let entries = program.manifest.parameters.iter();
        let numbers = entries.map(|entry| entry.shape.iter().product::<usize>()).sum::<usize>();
        let linear = |read: usize, made: usize| read * made + made;
        let recurrent = |read: usize| 2 * (16 * read + 16 * 4 + 32);
        let wanted = match encoder {
            "mlp" => linear(8, 4) + linear(4, 4) + linear(4, 8),
            _ => recurrent(8) + recurrent(8) + linear(8, 8) + linear(8, 8),
        };
        assert_eq!(numbers, LENGTH * WIDTH + wanted, "{encoder}");
    }
}

#[test]
fn virtual_tokens_begin_as_the_vectors_that_are_asked_for() {
    let model = text(Text::default());
    let table = weight_values("words.weight", &[VOCABULARY, WIDTH]);
    let row = |token: usize| table[token * WIDTH..(token + 1) * WIDTH].to_vec();
    let first = |choice: &Choice, tokens: Option<&[i64]>| {
        let method = Method::choose(methods::standard(), choice, "model.methods[0]").unwrap();
        let method = match tokens {
            Some(tokens) => method.with_tokens(tokens.to_vec()),
            None => method,
        };
        let wanted = FineTuning { methods: vec![method], train: TrainSelection::Nothing, ..fine_tuning(&model) };
        let program = compile(&model, &wanted, &OperatorCatalog::standard());
        program.map(|program| program.parameters[0].clone()).map_err(|error| error.to_string())
    };
    let of = |start: Value| method("prompt_tuning", json!({"start": start}));
    assert_eq!(first(&of(json!({"tokens": [7, 29]})), None).unwrap(), [row(7), row(29), row(7)].concat());
    let said = of(json!({"text": "good or bad"}));
    assert_eq!(first(&said, Some(&[4, 5, 6, 7])).unwrap(), [row(4), row(5), row(6)].concat());
    let drawn = first(&of(json!("vocabulary")), None).unwrap();
    assert!(drawn.chunks(WIDTH).all(|vector| (0..VOCABULARY).any(|token| row(token) == vector)), "{drawn:?}");
    let random = first(&method("prompt_tuning", json!({"start": "random", "length": 30})), None).unwrap();
    let spread = (random.iter().map(|value| value * value).sum::<f32>() / random.len() as f32).sqrt();
    assert!((spread - 1.0).abs() < 0.15, "{spread}");
    for (choice, tokens, wanted) in [
        (&said, None, "start.text: nobody has told its tokens"),
        (&said, Some(&[][..]), "the tokenizer makes no token of `good or bad`"),
        (&said, Some(&[30]), "token 30 is none of the 30 that `words` has"),
    ] {
        let error = first(choice, tokens).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn a_head_that_reads_the_first_place_is_told() {
    let model = text(Text::default());
    for name in METHODS {
        for (place, is_told) in [("first", true), ("after_first", false)] {
            let choice = method(name, json!({"place": place}));
            let program = compiled_in(&model, &[choice], TrainSelection::Nothing).unwrap();
            let told =
                program.notes.iter().any(|note| note.contains("node `Gather") && note.contains("place: after_first"));
            assert_eq!(told, is_told, "{:?}", program.notes);
            let inputs = "`attention_mask` has 1, `token_type_ids` has 0 there";
            let room =
                "gives 40 places at most, 3 of which are those of virtual tokens: rows of the data have room for 37";
            for told in [inputs, room] {
                assert!(program.notes.iter().any(|note| note.contains(told)), "{:?}", program.notes);
            }
        }
    }
}

#[test]
fn other_methods_are_merged_beside_virtual_tokens() {
    if !onnx_runtime::available() {
        return;
    }
    let model = text(Text::default());
    let lora = Choice::new("lora", json!({"rank": 1, "layers": {"match": ["words", "query", "value"]}}));
    for name in METHODS {
        let both = [lora.clone(), method(name, json!({}))];
        let program = compiled_in(&model, &both, TrainSelection::All).unwrap();
        let learned: Vec<Vec<f32>> = program
            .parameters
            .iter()
            .enumerate()
            .map(|(at, values)| numbers(values.len(), at).into_iter().map(|value| value * 0.3).collect())
            .collect();
        let [merged, unmerged] = [AdaptersOutput::Merged, AdaptersOutput::Unmerged]
            .map(|adapters| scores(&program.export_with(&learned, adapters, &[]).unwrap().to_vec()));
        assert_near(&merged, &unmerged);
    }
}

#[test]
fn what_virtual_tokens_do_not_fit_is_refused_with_what_to_do() {
    let prompt = || method("prompt_tuning", json!({}));
    let rows: Vec<(Model, Vec<Choice>, &str)> = vec![
        (transformer().unwrap(), vec![prompt()], "no input is looked up in one"),
        (
            text(Text { fixed: true, ..Text::default() }),
            vec![prompt()],
            "rows cannot be made longer by virtual tokens: node `Reshape",
        ),
        (text(Text::default()), vec![prompt(), method("p_tuning", json!({}))], "virtual tokens go into a model once"),
        (
            text(Text::default()),
            vec![method("prompt_tuning", json!({"input": "attention_mask"}))],
            "input: `attention_mask` is looked up in no table of embeddings; those that are: `input_ids`, `token_type_ids`",
        ),
        (
            text(Text::default()),
            vec![method("prompt_tuning", json!({"length": 40}))],
            "gives 40 places at most, and with 40 virtual tokens there is room for none of the data",
        ),
        // rows of 5, as the data has them
        (
            text(Text::default()),
            vec![method("prompt_tuning", json!({"length": 36}))],
            "node `Add_2` (Add): shapes [2, 41, 8]",
        ),
        (
            looked_up_twice(),
            vec![prompt()],
            "several inputs are looked up in tables of embeddings: `answer`, `question`",
        ),
        (with_input("ages"), vec![prompt()], "input `ages` (int64 [batch, sequence]) is as long as the tokens"),
        (
            with_input("key_padding_mask"),
            vec![prompt()],
            "input `key_padding_mask` (int64 [batch, sequence]) may hold 1 for padding",
        ),
    ];
    for (model, choices, wanted) in rows {
        let error = compiled_in(&model, &choices, TrainSelection::Nothing).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(wanted), "wanted {wanted}: {error}");
    }
    for (name, options, wanted) in [
        ("prompt_tuning", json!({"length": 0}), "length is 1 or more, got 0"),
        ("prompt_tuning", json!({"length": 100_000}), "length is at most 16384, got 100000"),
        ("prompt_tuning", json!({"start": {"tokens": []}}), "start.tokens: no token"),
        ("prompt_tuning", json!({"start": {"tokens": [-1]}}), "start.tokens are 0 or more, got -1"),
        ("prompt_tuning", json!({"start": {"text": " "}}), "start.text: there is no word in it"),
        ("prompt_tuning", json!({"standard_deviation": 0.5}), "standard_deviation is that of `start: random`"),
        (
            "prompt_tuning",
            json!({"start": "random", "standard_deviation": 0}),
            "standard_deviation is a finite number above 0",
        ),
        ("p_tuning", json!({"hidden_size": 0}), "hidden_size is 1 or more, got 0"),
    ] {
        let choice = method(name, options);
        let error = Method::choose(methods::standard(), &choice, "model.methods[0]").unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    for (encoder, size) in
        [("mlp", 1_000_000), ("mlp", 9_000_000_000_000_000_000_u64), ("lstm", 9_000_000_000_000_000_000)]
    {
        let choice = method("p_tuning", json!({"encoder": encoder, "hidden_size": size}));
        let huge = compiled_in(&text(Text::default()), &[choice], TrainSelection::Nothing);
        let error = huge.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&format!("an encoder with a hidden_size of {size} holds")), "{error}");
    }
}

/// Two texts through tables of their own.
fn looked_up_twice() -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let rows = TensorType::new(ElementType::I64, [Length::named("batch"), Length::named("sequence")]);
    let mut vectors = |name: &str| {
        let tokens = graph.input(name, rows.clone());
        let table = weight(&mut graph, &format!("{name}.weight"), &[VOCABULARY, WIDTH]);
        let vectors = node(&mut graph, "Gather", &[table, tokens], &[]);
        node(&mut graph, "ReduceMean", &[vectors], &[("axes", Attribute::Ints(vec![1]))])
    };
    let [question, answer] = ["question", "answer"].map(&mut vectors);
    let sum = node(&mut graph, "Add", &[question, answer], &[]);
    let sum = node(&mut graph, "Flatten", &[sum], &[]);
    let head = weight(&mut graph, "head.weight", &[WIDTH, CLASSES]);
    let scores = node(&mut graph, "MatMul", &[sum, head], &[]);
    graph.set_outputs(&[scores]);
    Model::from_bytes(graph.to_onnx("twice")).unwrap()
}

/// A mean of tokens, each weighted by another input.
fn with_input(name: &str) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let rows = TensorType::new(ElementType::I64, [Length::named("batch"), Length::named("sequence")]);
    let tokens = graph.input("input_ids", rows.clone());
    let other = graph.input(name, rows);
    let table = weight(&mut graph, "words.weight", &[VOCABULARY, WIDTH]);
    let vectors = node(&mut graph, "Gather", &[table, tokens], &[]);
    let other = node(&mut graph, "Cast", &[other], &[("to", 1.into())]);
    let axis = graph.integers(&[2]);
    let other = node(&mut graph, "Unsqueeze", &[other, axis], &[]);
    let vectors = node(&mut graph, "Mul", &[vectors, other], &[]);
    let mean = node(&mut graph, "ReduceMean", &[vectors], &[("axes", Attribute::Ints(vec![1]))]);
    let mean = node(&mut graph, "Flatten", &[mean], &[]);
    let head = weight(&mut graph, "head.weight", &[WIDTH, CLASSES]);
    let scores = node(&mut graph, "MatMul", &[mean, head], &[]);
    graph.set_outputs(&[scores]);
    Model::from_bytes(graph.to_onnx("weighted")).unwrap()
}

/// Rows of any length go through one step, as long as they are.
#[test]
fn rows_of_any_length_take_virtual_tokens() {
    let model = text(Text::default());
    let open = |axis: &str| millstream_schemas::AxisLength::Named(axis.into());
    let inputs = model.inputs().into_iter().map(|(name, _)| (name, vec![open("batch"), open("sequence")]));
    for name in METHODS {
        let chosen = Method::choose(methods::standard(), &method(name, json!({})), "model.methods[0]").unwrap();
        let wanted = FineTuning {
            head: HeadChoice::keep(),
            inputs: inputs.clone().collect(),
            methods: vec![chosen],
            train: TrainSelection::Nothing,
            ..FineTuning::head(open("batch"), CLASSES)
        };
        let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
        let lengths = BTreeMap::from([("batch".to_owned(), 2), ("sequence".to_owned(), 5)]);
        assert!(program.activation_bytes(&lengths).unwrap()[0] > 0);
    }
}
