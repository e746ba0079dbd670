use std::collections::BTreeMap;

use millstream_schemas::shown;

use super::Tensor;
use super::adapter::{Adapter, AdapterMethod, Biases, ModuleAdapter};
use super::numbers::Stored;
use super::tensor_names::{LORA, TENSOR_NAMES, TensorName, VERA};

/// ONNX Runtime's `.onnx_adapter`: tensors under the names of the inputs of a model that they are given to.
///
/// A FlatBuffers file (identifier `TORT`) with one table: versions of the format, the adapter and the model, and a list of
/// tables with a name, lengths (int64), a type (numbered as ONNX's) and bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OnnxAdapter {
    /// The tensors by the names of inputs, in the shapes that the graph reads.
    pub parameters: BTreeMap<String, Tensor>,
}

const IDENTIFIER: &[u8; 4] = b"TORT";
/// As ONNX Runtime 1.31 writes it.
const FORMAT_VERSION: i32 = 1;
/// More than any tensor of an adapter has.
const MOST_AXES: usize = 16;
/// Distances in a FlatBuffers file are of 32 bits with a sign.
const MOST_BYTES: usize = i32::MAX as usize;

impl OnnxAdapter {
    /// An adapter as inputs of a graph, called `MODULE.lora_A.weight` and so on; the scale is in B.
    ///
    /// # Errors
    /// The method reads something that the file has no place for.
    pub fn of(adapter: &Adapter) -> Result<Self, String> {
        if let Some(reason) = adapter.method.not_as_inputs() {
            return Err(format!("{reason}; merge it, or keep PEFT's folder"));
        }
        if adapter.draws_projections() {
            let message = "its vera_A and vera_B are drawn for the layers of a model (`save_projection: false`); \
                           name that by `--model`";
            return Err(message.into());
        }
        let tensors = adapter.modules.iter().flat_map(|(module, own)| {
            let parts = own.in_graphs(adapter.factor(own)).into_iter();
            parts.map(move |(part, tensor)| (format!("{module}.{}", Self::end(adapter.method, own, part)), tensor))
        });
        let shared = adapter.shared.iter().map(|(name, tensor)| (name.clone(), tensor.turned()));
        Ok(Self { parameters: tensors.chain(shared).collect() })
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// It would be larger than such a file can be.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let bytes: usize = self.parameters.values().map(|tensor| size_of_val(tensor.values()) + 256).sum();
        if bytes + self.parameters.keys().map(String::len).sum::<usize>() > MOST_BYTES {
            return Err(format!("the adapter takes {bytes} bytes, and an .onnx_adapter has at most {MOST_BYTES}"));
        }
        let mut out = Writer(Vec::with_capacity(bytes));
        // where the table begins, behind its list of places
        out.u32(20);
        out.0.extend(IDENTIFIER);
        out.places([4, 8, 12, 16]);
        out.i32(12);
        [FORMAT_VERSION, 0, 0].into_iter().for_each(|version| out.i32(version));
        out.u32(4);
        out.count(self.parameters.len());
        let list = out.0.len();
        self.parameters.keys().for_each(|_| out.u32(0));
        let places = out.0.len();
        out.places([4, 8, 12, 16]);
        for (at, (name, tensor)) in self.parameters.iter().enumerate() {
            out.align(4, 0);
            let table = out.0.len();
            out.set(list + 4 * at, table - (list + 4 * at));
            out.count(table - places);
            (0..4).for_each(|_| out.u32(0));
            let point = |out: &mut Writer, field: usize| {
                let place = table + field;
                out.set(place, out.0.len() - place);
            };
            point(&mut out, 4);
            out.count(name.len());
            out.0.extend(name.as_bytes());
            out.0.push(0);
            out.align(8, 4);
            point(&mut out, 8);
            out.count(tensor.shape().len());
            tensor.shape().iter().for_each(|length| out.0.extend((*length as i64).to_le_bytes()));
            out.set(table + 12, FLOAT);
            out.align(8, 4);
            point(&mut out, 16);
            out.count(size_of_val(tensor.values()));
            tensor.values().iter().for_each(|value| out.0.extend(value.to_le_bytes()));
        }
        Ok(out.0)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// It is damaged, of another kind, or its tensors are of types that are not read.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let file = Reader(bytes);
        if bytes.get(4..8) != Some(IDENTIFIER) {
            return Err("it is no .onnx_adapter: the letters TORT are not at its fifth byte".into());
        }
        let damaged = || "it is damaged: something in it lies outside of it".to_owned();
        let root = file.follow(0).ok_or_else(damaged)?;
        let version = file.number(root, 0).ok_or_else(damaged)?;
        if version != FORMAT_VERSION {
            return Err(format!("it is of version {version} of the format; {FORMAT_VERSION} is read"));
        }
        let mut found = Self::default();
        let list = file.list(root, 3, 4).ok_or_else(damaged)?;
        let mut left = bytes.len();
        for at in 0..list.count {
            let table = file.follow(list.start + 4 * at).ok_or_else(damaged)?;
            let (name, tensor) = file.parameter(table, &mut left).ok_or_else(damaged)??;
            if found.parameters.insert(name.clone(), tensor).is_some() {
                return Err(format!("`{}` is in it twice", shown(&name)));
            }
        }
        Ok(found)
    }

    /// What the name of a module's tensor ends with: what PEFT calls it, or more where that does not tell what the layer does with it.
    pub(crate) fn end(method: AdapterMethod, own: &ModuleAdapter, part: &'static str) -> &'static str {
        match (method, own) {
            (AdapterMethod::Oft { is_exact: true }, _) => "oft_R.exact",
            (_, ModuleAdapter::Scales { are_of_inputs: true, .. }) => "ia3_l.inputs",
            (_, ModuleAdapter::Scales { are_of_inputs: false, .. }) => "ia3_l.outputs",
            _ => part,
        }
    }

    /// The adapter that the tensors make, modules called as layers are in names of inputs `LAYER.lora_A.weight`.
    ///
    /// # Errors
    /// Names end otherwise, are of several methods, or do not tell what the tensors are.
    pub fn adapter(&self) -> Result<Adapter, String> {
        let mut found: BTreeMap<&str, BTreeMap<&str, &Tensor>> = BTreeMap::new();
        let mut shared = BTreeMap::new();
        let mut first: Option<(&str, AdapterMethod)> = None;
        for (name, tensor) in &self.parameters {
            if matches!(name.as_str(), "vera_A" | "vera_B") {
                shared.insert(name.clone(), tensor.turned());
                continue;
            }
            let split = |own: &TensorName| Some((name.strip_suffix(own.end)?.strip_suffix('.')?, own.end, own.method));
            let Some((module, end, method)) = TENSOR_NAMES.iter().find_map(split) else { return Err(not_told(name)) };
            let (other, other_method) = *first.get_or_insert((name.as_str(), method));
            if other_method != method {
                let (other, name) = (shown(other), shown(name));
                return Err(format!("`{other}` and `{name}` are of two methods, and an adapter is of one"));
            }
            found.entry(module).or_default().insert(end, tensor);
        }
        let method = first.map_or(LORA, |(_, method)| method);
        if let (Some(name), false) = (shared.keys().next(), method == VERA) {
            return Err(format!("`{name}` is in it, and no `vera_lambda_d` and `vera_lambda_b` of a module"));
        }
        let mut modules = BTreeMap::new();
        for (module, parts) in found {
            let own = module_of(method, parts);
            let own = own.ok_or_else(|| format!("`{}` lacks a tensor of its method, or has more", shown(module)))?;
            modules.insert(module.to_owned(), own);
        }
        let adapter = Adapter { method, modules, prompt: None, shared, whole: BTreeMap::new(), biases: Biases::None };
        adapter.check()?;
        Ok(adapter)
    }
}

/// Why a tensor of this name is not read.
fn not_told(name: &str) -> String {
    if name.ends_with(".ia3_l") {
        return format!(
            "`{}` does not say whether it scales what the layer reads or what it makes, which `ia3_l.inputs` and \
             `ia3_l.outputs` do; convert PEFT's folder again, or extract the adapter again",
            shown(name)
        );
    }
    let ends: Vec<&str> = TENSOR_NAMES.iter().map(|own| own.end).collect();
    format!(
        "the name `{}` does not tell what the tensor is; names that end with {} are read, and `vera_A` and `vera_B`",
        shown(name),
        ends.join(", ")
    )
}

/// What the tensors of a module are, by the ends of their names; nothing where one is missing or is none of the method's.
fn module_of(method: AdapterMethod, mut parts: BTreeMap<&str, &Tensor>) -> Option<ModuleAdapter> {
    let mut take = |end: &str| parts.remove(end);
    let own = match method {
        AdapterMethod::Ia3 => {
            let (inputs, outputs) = (take("ia3_l.inputs"), take("ia3_l.outputs"));
            ModuleAdapter::Scales { scales: inputs.xor(outputs)?.clone(), are_of_inputs: inputs.is_some() }
        }
        AdapterMethod::Vera { .. } => ModuleAdapter::Vectors {
            of_rank: take("vera_lambda_d")?.clone(),
            of_outputs: take("vera_lambda_b")?.clone(),
        },
        AdapterMethod::Oft { is_exact } => {
            let triangles = take(if is_exact { "oft_R.exact" } else { "oft_R.weight" })?;
            ModuleAdapter::Rotations { triangles: triangles.clone() }
        }
        AdapterMethod::Boft => {
            ModuleAdapter::Butterflies { blocks: take("boft_R")?.clone(), scales: take("boft_s")?.clone() }
        }
        _ => {
            let (a, b) = (take("lora_A.weight"), take("lora_B.weight"));
            let is_table = a.is_none() && b.is_none();
            let (a, b) = if is_table { (take("lora_embedding_A"), take("lora_embedding_B")) } else { (a, b) };
            let (a, b) = (a?.turned(), b?.turned());
            let alpha = a.shape().first().copied().unwrap_or(0) as f64;
            let (magnitude, bias) = (take("lora_magnitude_vector").cloned(), take("lora_B.bias").cloned());
            ModuleAdapter::LowRank { a, b, alpha, magnitude, is_table, bias }
        }
    };
    parts.is_empty().then_some(own)
}

/// Numbers of types as in ONNX.
const FLOAT: usize = 1;

struct Writer(Vec<u8>);

impl Writer {
    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.0.extend(value.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("the length of the whole was looked at"));
    }

    fn set(&mut self, at: usize, value: usize) {
        let value = u32::try_from(value).expect("the length of the whole was looked at");
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Where the fields of a table of 20 bytes lie.
    fn places(&mut self, fields: [u16; 4]) {
        [12, 20].into_iter().chain(fields).for_each(|place| self.0.extend(place.to_le_bytes()));
    }

    /// Zeros up to a place that leaves `rest`.
    fn align(&mut self, to: usize, rest: usize) {
        while self.0.len() % to != rest {
            self.0.push(0);
        }
    }
}

struct Reader<'a>(&'a [u8]);

struct List {
    start: usize,
    count: usize,
}

impl Reader<'_> {
    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.0.get(at..at.checked_add(4)?)?.try_into().ok()?))
    }

    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.0.get(at..at.checked_add(2)?)?.try_into().ok()?))
    }

    /// What the distance at a place leads to.
    fn follow(&self, at: usize) -> Option<usize> {
        let to = at.checked_add(self.u32(at)? as usize)?;
        (to < self.0.len()).then_some(to)
    }

    /// Where a field of a table lies; nothing where the table leaves it out.
    fn field(&self, table: usize, field: usize) -> Option<Option<usize>> {
        let back = i32::from_le_bytes(self.0.get(table..table.checked_add(4)?)?.try_into().ok()?);
        let places = usize::try_from(i64::try_from(table).ok()? - i64::from(back)).ok()?;
        let entry = 4 + 2 * field;
        if entry + 2 > usize::from(self.u16(places)?) {
            return Some(None);
        }
        let place = usize::from(self.u16(places.checked_add(entry)?)?);
        Some((place != 0).then(|| table + place))
    }

    /// A field of 32 bits, 0 where it is left out.
    fn number(&self, table: usize, field: usize) -> Option<i32> {
        let Some(at) = self.field(table, field)? else { return Some(0) };
        Some(self.u32(at)? as i32)
    }

    /// A field that is a list of elements of so many bytes, which lie inside of the file.
    fn list(&self, table: usize, field: usize, bytes: usize) -> Option<List> {
        let Some(at) = self.field(table, field)? else { return Some(List { start: 0, count: 0 }) };
        let at = self.follow(at)?;
        let (start, count) = (at.checked_add(4)?, self.u32(at)? as usize);
        let end = start.checked_add(count.checked_mul(bytes)?)?;
        (end <= self.0.len()).then_some(List { start, count })
    }

    /// A tensor and its name. `left`: bytes that tensors may still have; together they have no more than the file.
    fn parameter(&self, table: usize, left: &mut usize) -> Option<Result<(String, Tensor), String>> {
        let (text, dims, data) = (self.list(table, 0, 1)?, self.list(table, 1, 8)?, self.list(table, 3, 1)?);
        let name = std::str::from_utf8(&self.0[text.start..text.start + text.count]).ok()?.to_owned();
        let stored = match self.number(table, 2)? {
            1 => Stored::F32,
            10 => Stored::F16,
            16 => Stored::Bf16,
            other => {
                return Some(Err(format!(
                    "`{}` is of the type that ONNX numbers {other}; float32, float16 and bfloat16 are read",
                    shown(&name)
                )));
            }
        };
        *left = left.checked_sub(data.count + text.count)?;
        if dims.count > MOST_AXES {
            return Some(Err(format!("`{}` has {} axes", shown(&name), dims.count)));
        }
        let length = |at: usize| {
            let bytes = self.0[dims.start + 8 * at..dims.start + 8 * at + 8].try_into().expect("it is 8 bytes");
            usize::try_from(i64::from_le_bytes(bytes)).ok()
        };
        let shape = (0..dims.count).map(length).collect::<Option<Vec<usize>>>()?;
        if data.count % stored.bytes() != 0 {
            return None;
        }
        let tensor = Tensor::new(shape, stored.floats(&self.0[data.start..data.start + data.count]));
        let problem = || format!("`{}` has other numbers than its shape says", shown(&name));
        Some(tensor.ok_or_else(problem).map(|tensor| (name, tensor)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `AdapterFormat.export_adapter` of ONNX Runtime 1.32 with `m.q.lora_A.weight` 0 to 5, `[3, 2]`, and `b` ones, `[2, 1]`.
    const OF_ONNX_RUNTIME: &str = "\
        0c000000544f525400000000a4ffffff01000000030000000400000004000000020000005000000004000000c4ffffff\
        30000000180000000100000004000000080000000000803f0000803f0200000002000000000000000100000000000000\
        01000000620000000c001400040008000c0010000c000000400000002800000001000000040000001800000000000000\
        0000803f0000004000004040000080400000a0400200000003000000000000000200000000000000110000006d2e712e\
        6c6f72615f412e776569676874000000";

    fn of_onnx_runtime() -> Vec<u8> {
        let digits = OF_ONNX_RUNTIME.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn wanted() -> OnnxAdapter {
        let a = Tensor::new([3, 2], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let b = Tensor::new([2, 1], [1.0, 1.0]).unwrap();
        OnnxAdapter { parameters: [("m.q.lora_A.weight".to_owned(), a), ("b".to_owned(), b)].into_iter().collect() }
    }

    #[test]
    fn a_file_of_onnx_runtime_is_read_and_ours_is_read_back() {
        assert_eq!(OnnxAdapter::from_bytes(&of_onnx_runtime()).unwrap(), wanted());
        for file in [wanted(), OnnxAdapter::default()] {
            assert_eq!(OnnxAdapter::from_bytes(&file.to_bytes().unwrap()).unwrap(), file);
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_or_other_numbers_and_nothing_else() {
        for bytes in [of_onnx_runtime(), wanted().to_bytes().unwrap()] {
            for length in 0..bytes.len() - 8 {
                assert!(OnnxAdapter::from_bytes(&bytes[..length]).is_err(), "{length}");
            }
            for at in 0..bytes.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut damaged = bytes.clone();
                    damaged[at] = value;
                    let numbers =
                        |file: OnnxAdapter| file.parameters.values().map(|own| own.values().len()).sum::<usize>();
                    assert!(OnnxAdapter::from_bytes(&damaged).map_or(0, numbers) <= 8, "{at}: {value}");
                }
            }
        }
    }

    #[test]
    fn factors_come_back_with_their_scale_in_b_and_what_is_none_is_refused() {
        let (a, b) = (Tensor::new([1, 2], [1.0, 2.0]).unwrap(), Tensor::new([3, 1], [1.0, 2.0, 3.0]).unwrap());
        let own = ModuleAdapter::LowRank {
            a: a.clone(),
            b: b.clone(),
            alpha: 4.0,
            magnitude: None,
            is_table: false,
            bias: None,
        };
        let adapter = Adapter {
            method: AdapterMethod::Lora { is_rank_stabilized: false, dropout: 0.0, is_principal: false },
            modules: std::iter::once(("q".to_owned(), own)).collect(),
            prompt: None,
            shared: BTreeMap::new(),
            whole: BTreeMap::new(),
            biases: Biases::None,
        };
        let file = OnnxAdapter::of(&adapter).unwrap();
        assert_eq!(file.parameters["q.lora_B.weight"], Tensor::new([1, 3], [4.0, 8.0, 12.0]).unwrap());
        let back = file.adapter().unwrap();
        let own =
            ModuleAdapter::LowRank { a, b: b.times(4.0), alpha: 1.0, magnitude: None, is_table: false, bias: None };
        assert_eq!(back.modules["q"], own);
        for (name, words) in [
            ("q.other", "does not tell what the tensor is"),
            ("p.lora_A.weight", "`p` lacks a tensor of its method"),
            ("q.lora_embedding_A", "`q` lacks a tensor of its method, or has more"),
            ("q.ia3_l", "does not say whether it scales what the layer reads or what it makes"),
            ("q.boft_s", "are of two methods"),
            ("vera_A", "no `vera_lambda_d` and `vera_lambda_b` of a module"),
        ] {
            let mut other = file.clone();
            other.parameters.insert(name.to_owned(), Tensor::vector([1.0]));
            let message = other.adapter().unwrap_err();
            assert!(message.contains(words) && !message.contains("  "), "{message}");
        }
    }

    #[test]
    fn what_is_written_of_each_method_is_read_back() {
        let tensor = |shape: &[usize], first: f32| {
            let numbers: Vec<f32> = (0..shape.iter().product()).map(|at: usize| first + at as f32 / 8.0).collect();
            Tensor::new(shape, numbers).unwrap()
        };
        let low_rank = |magnitude: Option<Tensor>, bias: Option<Tensor>, is_table: bool| {
            let (a, b) = (tensor(&[2, 3], 1.0), tensor(&[4, 2], -1.0));
            ModuleAdapter::LowRank { a, b, alpha: 2.0, magnitude, is_table, bias }
        };
        let scales = |are_of_inputs: bool| ModuleAdapter::Scales { scales: tensor(&[4], 0.5), are_of_inputs };
        let rotations = || ModuleAdapter::Rotations { triangles: tensor(&[2, 6], 0.25) };
        let butterflies = ModuleAdapter::Butterflies { blocks: tensor(&[2, 2, 4, 4], 0.0), scales: tensor(&[4], 1.0) };
        let vectors = ModuleAdapter::Vectors { of_rank: tensor(&[2], 0.5), of_outputs: tensor(&[4], 0.25) };
        let convolution = ModuleAdapter::LowRank {
            a: tensor(&[4, 2, 3, 3], 1.0),
            b: tensor(&[6, 2, 1, 1], 1.0),
            alpha: 4.0,
            magnitude: None,
            is_table: false,
            bias: None,
        };
        let projections = [("vera_A", tensor(&[2, 3], 1.0)), ("vera_B", tensor(&[4, 2], 2.0))];
        for (method, own) in [
            (LORA, low_rank(None, None, false)),
            (LORA, low_rank(None, None, true)),
            (LORA, low_rank(None, Some(tensor(&[4], 3.0)), false)),
            (LORA, low_rank(Some(tensor(&[4], 3.0)), None, false)),
            (LORA, low_rank(Some(tensor(&[4], 3.0)), None, true)),
            (LORA, convolution),
            (AdapterMethod::Ia3, scales(true)),
            (AdapterMethod::Ia3, scales(false)),
            (VERA, vectors),
            (AdapterMethod::Oft { is_exact: false }, rotations()),
            (AdapterMethod::Oft { is_exact: true }, rotations()),
            (AdapterMethod::Boft, butterflies),
        ] {
            let is_vera = method == VERA;
            let shared = projections.iter().filter(|_| is_vera).map(|(name, own)| ((*name).to_owned(), own.clone()));
            let adapter = Adapter {
                method,
                modules: BTreeMap::from([("m.q".to_owned(), own)]),
                prompt: None,
                shared: shared.collect(),
                whole: BTreeMap::new(),
                biases: Biases::None,
            };
            let file = OnnxAdapter::of(&adapter).unwrap();
            let back = OnnxAdapter::from_bytes(&file.to_bytes().unwrap()).unwrap().adapter();
            assert_eq!(back.unwrap(), adapter, "{:?}", file.parameters.keys());
        }
    }
}
