use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use millstream_schemas::shown;
use safetensors::{Dtype, SafeTensors, View};

use super::Tensor;
use super::adapter::{Adapter, AdapterMethod, ModuleAdapter};
use super::grouped;
use super::numbers::Stored;
use super::peft_config::{CONFIG_FILE, PeftConfig};
use super::saved_modules::Outline;
use super::tensor_names::TENSOR_NAMES;
use crate::CompilerError;

/// The files of a folder as PEFT (Hugging Face's library of adapters) writes them: `adapter_config.json` and
/// `adapter_model.safetensors`, with keys `base_model.model.MODULE.lora_A.weight`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeftFolder {
    /// Of `adapter_config.json`.
    pub config: Vec<u8>,
    /// Of `adapter_model.safetensors`.
    pub tensors: Vec<u8>,
}

/// In front of the path of every module.
const FRONT: &str = "base_model.model.";
/// In front of what all modules read.
const SHARED: &str = "base_model.";
/// The vectors of virtual tokens, or their keys and values.
const PROMPT: &str = "prompt_embeddings";
/// In front of the numbers of a normalization that was trained.
const OF_NORM: &str = ".ln_tuning_layers.";

impl PeftFolder {
    /// Name of the first file.
    pub const CONFIG: &str = CONFIG_FILE;
    /// Name of the second.
    pub const TENSORS: &str = "adapter_model.safetensors";

    /// The files for an adapter.
    pub fn of(adapter: &Adapter) -> Self {
        let mut named: BTreeMap<String, Tensor> = BTreeMap::new();
        for (module, own) in &adapter.modules {
            for (part, tensor) in parts(own) {
                let tensor = match own {
                    ModuleAdapter::LowRank { a, b, .. } if part == "lora_A.weight" && grouped::groups(a, b) > 1 => {
                        grouped::in_peft(a, b)
                    }
                    _ => tensor,
                };
                named.insert(format!("{FRONT}{module}.{part}"), tensor);
            }
        }
        // what stands around a model that is given vectors is one level less
        let front = if adapter.method.has_prompt() { SHARED } else { FRONT };
        named.extend(adapter.prompt.iter().map(|prompt| (PROMPT.to_owned(), prompt.clone())));
        for (name, tensor) in &adapter.shared {
            named.insert(format!("{SHARED}{name}"), tensor.clone());
        }
        let outline = Outline::of(adapter);
        for (name, tensor) in &adapter.whole {
            let name = match name.rsplit_once('.') {
                Some((module, part)) if outline.is_norm(module) => format!("{module}{OF_NORM}{part}"),
                Some((module, part))
                    if adapter.modules.contains_key(module) && outline.whole_module(name).is_none() =>
                {
                    format!("{module}.base_layer.{part}")
                }
                _ => name.clone(),
            };
            named.insert(format!("{front}{name}"), tensor.clone());
        }
        let metadata = std::iter::once(("format".to_owned(), "pt".to_owned())).collect();
        let tensors =
            safetensors::serialize(named.iter().map(|(name, tensor)| (name, Written(tensor))), Some(metadata));
        Self {
            config: PeftConfig::text_of(adapter),
            tensors: tensors.expect("tensors have as many numbers as they say"),
        }
    }

    /// The key of a tensor of a module.
    pub(crate) fn key(module: &str, part: &str) -> String {
        format!("{FRONT}{module}.{part}")
    }

    /// The tensors of a module, each with the end of its key: in PEFT's shapes, but A of a convolution in groups as graphs have it.
    pub(crate) fn parts_of(own: &ModuleAdapter) -> Vec<(&'static str, Tensor)> {
        parts(own)
    }

    /// The adapter of a configuration and of tensors by PEFT's keys, as [`PeftFolder::parts_of`] has them.
    pub(crate) fn adapter_of(config: Vec<u8>, tensors: &BTreeMap<String, Tensor>) -> Result<Adapter, String> {
        let tensors = safetensors::serialize(tensors.iter().map(|(name, tensor)| (name, Written(tensor))), None);
        let tensors = tensors.map_err(|error| error.to_string())?;
        let config = PeftConfig::read(&config)?;
        tensors_with(&tensors, &config, true)
    }

    /// Reads a folder.
    ///
    /// # Errors
    /// A file is missing, damaged or of a kind that is not read.
    pub fn read(folder: &Path) -> Result<Adapter, CompilerError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|source| CompilerError::Read { path, source })
        };
        if !folder.join(Self::TENSORS).exists() && folder.join("adapter_model.bin").exists() {
            let message =
                "it holds adapter_model.bin, which is code as well as numbers and is not read; save it again with \
                           `safe_serialization=True`"
                    .to_owned();
            return Err(CompilerError::AdapterFile { path: folder.to_owned(), message });
        }
        let files = Self { config: read(Self::CONFIG)?, tensors: read(Self::TENSORS)? };
        files.adapter().map_err(|(name, message)| CompilerError::AdapterFile { path: folder.join(name), message })
    }

    /// What the files say; an error has the name of the file that is at fault.
    ///
    /// # Errors
    /// A file is damaged or of a kind that is not read.
    pub fn adapter(&self) -> Result<Adapter, (&'static str, String)> {
        let config = PeftConfig::read(&self.config).map_err(|message| (Self::CONFIG, message))?;
        tensors_with(&self.tensors, &config, false).map_err(|message| (Self::TENSORS, message))
    }
}

/// `is_of_graph`: whether A of a convolution in groups has the shape that graphs give it.
fn tensors_with(tensors: &[u8], config: &PeftConfig, is_of_graph: bool) -> Result<Adapter, String> {
    let file =
        SafeTensors::deserialize(tensors).map_err(|error| format!("it is no whole safetensors file: {error}"))?;
    let mut adapter = Adapter {
        method: config.method,
        modules: BTreeMap::new(),
        prompt: None,
        shared: BTreeMap::new(),
        whole: BTreeMap::new(),
        biases: config.biases,
    };
    let mut found: BTreeMap<String, BTreeMap<&'static str, Tensor>> = BTreeMap::new();
    let mut saved = BTreeSet::new();
    for (name, view) in file.iter() {
        let stored = match view.dtype() {
            Dtype::F32 => Stored::F32,
            Dtype::F16 => Stored::F16,
            Dtype::BF16 => Stored::Bf16,
            other => return Err(format!("`{}` is of {other:?}; F32, F16 and BF16 are read", shown(name))),
        };
        let tensor = Tensor::new(view.shape(), stored.floats(view.data()));
        let tensor = tensor.ok_or_else(|| format!("`{}` has other numbers than its shape says", shown(name)))?;
        if name == PROMPT && config.method.has_prompt() {
            adapter.prompt = Some(tensor);
            continue;
        }
        let front = if config.method.has_prompt() { SHARED } else { FRONT };
        let Some(path) = name.strip_prefix(front) else {
            match name.strip_prefix(SHARED) {
                Some(shared @ ("vera_A" | "vera_B")) => adapter.shared.insert(shared.to_owned(), tensor),
                _ => return Err(format!("`{}` does not begin with `{front}`", shown(name))),
            };
            continue;
        };
        let is_of_norms = config.method == AdapterMethod::LnTuning;
        let path = if is_of_norms { path.replace(OF_NORM, ".") } else { path.to_owned() };
        match place(&path) {
            Place::Part(module, part) => {
                if found.entry(module.to_owned()).or_default().insert(part, tensor).is_some() {
                    return Err(format!("two of its keys are of `{part}` of module `{}`", shown(module)));
                }
            }
            // where a module is saved whole, PEFT trains that one; what it was saved from may stand beside it
            Place::Whole(whole) => {
                let is_saved = path.contains(SAVED);
                if adapter.whole.contains_key(&whole) && is_saved == saved.contains(&whole) {
                    return Err(format!("`{}` and another of its keys are of `{}`", shown(name), shown(&whole)));
                }
                if is_saved {
                    saved.insert(whole.clone());
                }
                if is_saved || !saved.contains(&whole) {
                    adapter.whole.insert(whole, tensor);
                }
            }
            Place::Original => {}
            Place::Unknown => return Err(format!("`{}` is of a kind that is not read", shown(name))),
        }
    }
    // those that are held are those that it was trained with
    if let (AdapterMethod::Vera { key }, false) = (&mut adapter.method, adapter.shared.is_empty()) {
        *key = None;
    }
    for (module, parts) in found {
        let own = of_parts(&module, parts, config, is_of_graph)
            .map_err(|problem| format!("module `{}`: {problem}", shown(&module)))?;
        adapter.modules.insert(module, own);
    }
    adapter.check()?;
    config.require_lengths_of(&adapter)?;
    let is_lora = matches!(config.method, AdapterMethod::Lora { .. });
    match (config.is_dora, adapter.has_magnitudes()) {
        (true, false) if is_lora => {
            Err(format!("{} says `use_dora`, and no module has a `lora_magnitude_vector`", PeftFolder::CONFIG))
        }
        (false, true) => {
            Err(format!("modules have a `lora_magnitude_vector`, and {} does not say `use_dora`", PeftFolder::CONFIG))
        }
        _ => Ok(adapter),
    }
}

/// What a key is of.
enum Place<'a> {
    Part(&'a str, &'static str),
    Whole(String),
    /// A module as it was before it was saved whole: PEFT reads it back nowhere.
    Original,
    Unknown,
}

/// What stands in keys of modules that are saved whole.
const SAVED: &str = ".modules_to_save.";

fn place(path: &str) -> Place<'_> {
    // older versions end the magnitude so
    let path = path.strip_suffix("lora_magnitude_vector.weight").map_or(path, |_| path.trim_end_matches(".weight"));
    for part in TENSOR_NAMES.iter().map(|own| own.part) {
        if let Some(module) = path.strip_suffix(part).and_then(|front| front.strip_suffix('.')) {
            return Place::Part(module, part);
        }
    }
    if path.contains(".original_module.") {
        return Place::Original;
    }
    let name = path.replace(".base_layer.", ".").replace(SAVED, ".");
    let part = name.rsplit_once('.').map_or("", |(_, part)| part);
    let is_of_a_method = ["lora_", "ia3_", "vera_", "oft_", "hada_", "lokr_", "boft_", "ln_tuning_"]
        .iter()
        .any(|word| name.rsplit('.').take(2).any(|part| part.starts_with(word)));
    match part {
        "weight" | "bias" if !is_of_a_method => Place::Whole(name),
        _ => Place::Unknown,
    }
}

fn of_parts(
    module: &str,
    mut parts: BTreeMap<&'static str, Tensor>,
    config: &PeftConfig,
    is_of_graph: bool,
) -> Result<ModuleAdapter, String> {
    let mut take = |part: &'static str| parts.remove(part);
    let both = |a: Option<Tensor>, b: Option<Tensor>| match (a, b) {
        (Some(a), Some(b)) => Ok((a, b)),
        _ => Err("one of its two factors is missing".to_owned()),
    };
    let own = match config.method {
        AdapterMethod::Lora { .. } => {
            let (a, b) = (take("lora_A.weight"), take("lora_B.weight"));
            let is_table = a.is_none() && b.is_none();
            let (a, b) = if is_table { both(take("lora_embedding_A"), take("lora_embedding_B"))? } else { both(a, b)? };
            let magnitude = take("lora_magnitude_vector").map(Tensor::flat);
            let bias = take("lora_B.bias");
            let a = if is_of_graph { a } else { grouped::of_peft(a, &b, magnitude.is_some())? };
            if bias.is_some() != config.has_bias_of_b && !is_table {
                return Err("`lora_bias` and whether it has a `lora_B.bias` do not agree".into());
            }
            ModuleAdapter::LowRank { a, b, alpha: config.alpha_of(module), magnitude, is_table, bias }
        }
        AdapterMethod::Ia3 => {
            let scales = take("ia3_l").ok_or("its scales are missing")?;
            let are_of_inputs = match scales.shape() {
                [1, 1] | [1, _, _, _] => config.is_feed_forward(module),
                [1, _] => true,
                _ => false,
            };
            ModuleAdapter::Scales { scales: scales.flat(), are_of_inputs }
        }
        AdapterMethod::Vera { .. } => {
            let (of_rank, of_outputs) = both(take("vera_lambda_d"), take("vera_lambda_b"))?;
            ModuleAdapter::Vectors { of_rank: of_rank.flat(), of_outputs: of_outputs.flat() }
        }
        AdapterMethod::Oft { .. } => {
            ModuleAdapter::Rotations { triangles: take("oft_R.weight").ok_or("its rotations are missing")? }
        }
        AdapterMethod::Boft => {
            let (blocks, scales) = (take("boft_R"), take("boft_s"));
            let (Some(blocks), Some(scales)) = (blocks, scales) else {
                return Err("its rotations or its scales are missing".into());
            };
            ModuleAdapter::Butterflies { blocks, scales: scales.flat() }
        }
        AdapterMethod::LnTuning
        | AdapterMethod::PromptTuning
        | AdapterMethod::PTuning
        | AdapterMethod::PrefixTuning { .. } => {
            return Err(format!("{} holds nothing for modules", config.method.peft_type()));
        }
    };
    match parts.into_keys().next() {
        None => Ok(own),
        Some(more) => Err(format!("`{more}` does not belong to {}", config.method.peft_type())),
    }
}

/// The tensors of a module in PEFT's shapes.
fn parts(own: &ModuleAdapter) -> Vec<(&'static str, Tensor)> {
    match own {
        ModuleAdapter::Butterflies { blocks, scales } => {
            let scales = Tensor::new([scales.values().len(), 1], scales.values());
            [("boft_R", blocks.clone())].into_iter().chain(scales.map(|scales| ("boft_s", scales))).collect()
        }
        ModuleAdapter::LowRank { a, b, magnitude, is_table, bias, .. } => {
            let names =
                if *is_table { ["lora_embedding_A", "lora_embedding_B"] } else { ["lora_A.weight", "lora_B.weight"] };
            let outputs = b.shape()[0];
            // of a convolution the magnitude has the shape of what it multiplies
            let shape = if a.shape().len() > 2 {
                [&[1, outputs], vec![1; a.shape().len() - 2].as_slice()].concat()
            } else {
                vec![outputs]
            };
            let magnitude = magnitude.iter().filter_map(|magnitude| Tensor::new(shape.clone(), magnitude.values()));
            let magnitude = magnitude.map(|magnitude| ("lora_magnitude_vector", magnitude));
            let bias = bias.iter().map(|bias| ("lora_B.bias", bias.clone()));
            [(names[0], a.clone()), (names[1], b.clone())].into_iter().chain(magnitude).chain(bias).collect()
        }
        ModuleAdapter::Scales { scales, are_of_inputs } => {
            let length = scales.values().len();
            let shape = if *are_of_inputs { [1, length] } else { [length, 1] };
            Tensor::new(shape, scales.values()).into_iter().map(|scales| ("ia3_l", scales)).collect()
        }
        ModuleAdapter::Vectors { of_rank, of_outputs } => {
            vec![("vera_lambda_d", of_rank.clone()), ("vera_lambda_b", of_outputs.clone())]
        }
        ModuleAdapter::Rotations { triangles } => vec![("oft_R.weight", triangles.clone())],
    }
}

struct Written<'a>(&'a Tensor);

impl View for Written<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.values().iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.0.values())
    }
}

/// What a folder without these files is told.
pub(super) fn no_folder(path: &Path) -> CompilerError {
    let message = format!("it is no folder of PEFT: {} is not in it", PeftFolder::CONFIG);
    CompilerError::AdapterFile { path: path.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of tensors of zeros.
    fn tensors(shapes: &[(&str, &[usize])]) -> Vec<u8> {
        let zeros: Vec<(String, Tensor)> = shapes
            .iter()
            .map(|(name, shape)| ((*name).to_owned(), Tensor::new(*shape, vec![0.0; shape.iter().product()]).unwrap()))
            .collect();
        safetensors::serialize(zeros.iter().map(|(name, tensor)| (name, Written(tensor))), None).unwrap()
    }

    #[track_caller]
    fn refused(config: &str, shapes: &[(&str, &[usize])], words: &str) {
        let files = PeftFolder { config: config.into(), tensors: tensors(shapes) };
        let (_, message) = files.adapter().unwrap_err();
        assert!(message.contains(words), "{message}");
    }

    const LORA: &str = r#"{"peft_type": "LORA", "r": 2}"#;
    const A: (&str, &[usize]) = ("base_model.model.q.lora_A.weight", &[2, 3]);
    const B: (&str, &[usize]) = ("base_model.model.q.lora_B.weight", &[4, 2]);

    #[test]
    fn what_is_not_understood_is_refused_and_named() {
        for (config, words) in [
            ("{", "it is no JSON"),
            ("[]", "it is no JSON object"),
            ("{}", "`peft_type` is missing"),
            (
                r#"{"peft_type": "LOHA"}"#,
                "`peft_type` is `LOHA`; LORA, IA3, VERA, OFT, BOFT, LN_TUNING, PROMPT_TUNING, P_TUNING and PREFIX_TUNING are read",
            ),
            (
                r#"{"peft_type": "LOKR"}"#,
                "by `merge_and_unload()`, where its type has that, and export the merged model",
            ),
            (r#"{"peft_type": "ADALORA"}"#, "multiply each row of every `lora_A` by its number of `lora_E`"),
            (r#"{"peft_type": "LORA", "use_qalora": true}"#, "`use_qalora` is set"),
            (r#"{"peft_type": "PREFIX_TUNING", "num_layers": 2}"#, "`num_attention_heads` is missing"),
            (
                r#"{"peft_type": "PREFIX_TUNING", "num_layers": 2, "num_attention_heads": 0}"#,
                "`num_attention_heads` is 0, wanted a whole number above 0",
            ),
            (r#"{"peft_type": "LORA", "layer_replication": [[0, 1]]}"#, "`layer_replication` is set"),
            (r#"{"peft_type": "LORA", "init_lora_weights": "pissa_niter_4"}"#, "changes the model itself"),
            (
                r#"{"peft_type": "LORA", "alpha_pattern": {"layer.[0-3].q": 2}}"#,
                "the regular expression `layer.[0-3].q`",
            ),
            (r#"{"peft_type": "LORA", "lora_alpha": 0}"#, "alpha 0 over a rank of 2"),
            (r#"{"peft_type": "OFT", "oft_block_size": 8}"#, "`use_cayley_neumann`"),
            (r#"{"peft_type": "LORA", "lora_alpha": "16"}"#, "`lora_alpha` is \"16\", wanted a number"),
            (r#"{"peft_type": "LORA", "use_rslora": 1}"#, "`use_rslora` is 1, wanted true or false"),
            (r#"{"peft_type": "LORA", "alpha_pattern": [["q", 2]]}"#, "`alpha_pattern` is [[\"q\",2]], wanted a map"),
            (r#"{"peft_type": "LORA", "lora_alpha": null}"#, "`lora_alpha` is null, wanted a number"),
            (r#"{"peft_type": "LORA", "use_dora": true}"#, "no module has a `lora_magnitude_vector`"),
        ] {
            refused(config, &[A, B], words);
        }
        for (shapes, words) in [
            ([].as_slice(), "it holds nothing for any module"),
            (&[A], "module `q`: one of its two factors is missing"),
            (
                &[
                    ("base_model.model.q.lora_A.weight", &[2_000_000_000, 0]),
                    ("base_model.model.q.lora_B.weight", &[0, 2_000_000_000]),
                ],
                "module `q`: a tensor of the shape [2000000000, 0] holds no number",
            ),
            (&[A, ("base_model.model.q.lora_B.weight", &[4, 3])], "are not two factors of one rank"),
            (
                &[A, B, ("base_model.model.q.lora_magnitude_vector", &[5])],
                "the magnitude has the shape [5], wanted [4]",
            ),
            (&[A, B, ("base_model.model.q.lora_magnitude_vector", &[4])], "does not say `use_dora`"),
            (
                &[
                    A,
                    B,
                    ("base_model.model.q.lora_magnitude_vector", &[4]),
                    ("base_model.model.q.lora_magnitude_vector.weight", &[4]),
                ],
                "two of its keys are of `lora_magnitude_vector` of module `q`",
            ),
            (
                &[A, B, ("base_model.model.k.bias", &[4]), ("base_model.model.k.base_layer.bias", &[4])],
                "and another of its keys are of `k.bias`",
            ),
            (&[A, B, ("base_model.model.q.ia3_l", &[4, 1])], "`ia3_l` does not belong to LORA"),
            (
                &[A, B, ("base_model.model.q.lora_B.bias", &[4])],
                "`lora_bias` and whether it has a `lora_B.bias` do not agree",
            ),
            (&[A, B, ("base_model.model.q.lora_C.weight", &[4])], "is of a kind that is not read"),
            (&[A, B, ("model.q.weight", &[4])], "does not begin with `base_model.model.`"),
        ] {
            refused(LORA, shapes, words);
        }
        for (layers, width) in [(2_u64, 12), (1 << 63, 12), (u64::MAX, 0)] {
            let config =
                format!(r#"{{"peft_type": "PREFIX_TUNING", "num_layers": {layers}, "num_attention_heads": 4}}"#);
            let words = format!("rows of {width} numbers, which are no key and value of its layers and heads");
            refused(&config, &[("prompt_embeddings", &[3, width])], &words);
        }
        let vera: [(&str, &[usize]); 2] =
            [("base_model.model.q.vera_lambda_d", &[2]), ("base_model.model.q.vera_lambda_b", &[4])];
        refused(r#"{"peft_type": "VERA"}"#, &vera, "save it with `save_projection=True`");
    }

    #[test]
    fn a_configuration_that_contradicts_its_tensors_is_refused_with_both_numbers() {
        let vera: [(&str, &[usize]); 4] = [
            ("base_model.model.q.vera_lambda_d", &[2]),
            ("base_model.model.q.vera_lambda_b", &[4]),
            ("base_model.vera_A", &[2, 3]),
            ("base_model.vera_B", &[4, 2]),
        ];
        let boft: [(&str, &[usize]); 2] =
            [("base_model.model.q.boft_R", &[1, 2, 4, 4]), ("base_model.model.q.boft_s", &[8, 1])];
        let prompt: [(&str, &[usize]); 1] = [("prompt_embeddings", &[3, 4])];
        let rank = "the rank of module `q` is 2, and `r` or `rank_pattern` of adapter_config.json says 5";
        for (config, shapes, words) in [
            (r#"{"peft_type": "LORA", "r": 5}"#, &[A, B][..], rank),
            (r#"{"peft_type": "LORA", "r": 2, "rank_pattern": {"q": 5}}"#, &[A, B], rank),
            (r#"{"peft_type": "VERA", "r": 5}"#, &vera, "the rank of module `q` is 2, and `r` of"),
            (r#"{"peft_type": "BOFT", "boft_block_size": 8}"#, &boft, "the block size of module `q` is 4, and"),
            (r#"{"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 5}"#, &prompt, "virtual tokens is 3, and"),
            (r#"{"peft_type": "P_TUNING", "token_dim": 5}"#, &prompt, "the width of virtual tokens is 4, and"),
        ] {
            refused(config, shapes, words);
        }
        // what fits, and what a regular expression says
        for config in [
            r#"{"peft_type": "LORA", "r": 5, "rank_pattern": {"q": 2}}"#,
            r#"{"peft_type": "LORA", "r": 5, "rank_pattern": {"[qk]": 2}}"#,
            r#"{"peft_type": "LORA"}"#,
        ] {
            assert!(PeftFolder { config: config.into(), tensors: tensors(&[A, B]) }.adapter().is_ok(), "{config}");
        }
    }

    #[test]
    fn a_module_whose_name_begins_with_ada_is_held_whole() {
        const NORM: (&str, &[usize]) = ("base_model.model.ada_norm.weight", &[4]);
        let adapter = PeftFolder { config: LORA.into(), tensors: tensors(&[A, B, NORM]) }.adapter().unwrap();
        assert!(adapter.whole.contains_key("ada_norm.weight"), "{:?}", adapter.whole);
    }

    #[test]
    fn of_a_module_that_is_saved_whole_what_it_was_saved_from_does_not_count() {
        const HEAD: [(&str, &[usize]); 3] = [
            ("base_model.model.classifier.bias", &[2]),
            ("base_model.model.classifier.modules_to_save.bias", &[3]),
            ("base_model.model.classifier.original_module.bias", &[4]),
        ];
        let adapter = PeftFolder { config: LORA.into(), tensors: tensors(&[&[A, B], &HEAD[..]].concat()) }.adapter();
        let whole = adapter.unwrap().whole;
        assert_eq!((whole.len(), whole["classifier.bias"].shape()), (1, &[3][..]), "{whole:?}");
    }

    #[test]
    fn of_two_patterns_that_fit_the_first_in_the_file_counts() {
        let config = r#"{"peft_type": "LORA", "alpha_pattern": {"q": 4, "layer.1.q": 2}}"#;
        assert_eq!(PeftConfig::read(config.as_bytes()).unwrap().alpha_of("m.layer.1.q"), 4.0);
    }

    #[test]
    fn a_damaged_file_of_tensors_is_an_error() {
        let whole = tensors(&[A, B]);
        for length in 0..whole.len() {
            let files = PeftFolder { config: LORA.into(), tensors: whole[..length].to_vec() };
            assert!(files.adapter().is_err(), "{length}");
        }
    }

    #[test]
    fn an_alpha_is_of_the_pattern_that_ends_a_path() {
        let config = r#"{"peft_type": "LORA", "lora_alpha": 16, "alpha_pattern": {"layer.1.q": 4, "^layer.1.k": 2}}"#;
        let config = PeftConfig::read(config.as_bytes()).unwrap();
        for (module, alpha) in
            [("m.layer.1.q", 4.0), ("layer.1.q", 4.0), ("layer.11.q", 16.0), ("layer.1.k", 2.0), ("m.layer.1.k", 16.0)]
        {
            assert_eq!(config.alpha_of(module), alpha, "{module}");
        }
    }
}
