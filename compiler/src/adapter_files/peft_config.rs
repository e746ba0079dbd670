//! `adapter_config.json` of PEFT: the keys that change what an adapter computes.

use std::collections::BTreeMap;

use millstream_schemas::shown;
use serde_json::{Map, Value, json};

use super::Tensor;
use super::adapter::{Adapter, AdapterMethod, Biases, ModuleAdapter};
use super::saved_modules::Outline;

/// What PEFT calls the file.
pub(super) const CONFIG_FILE: &str = "adapter_config.json";

/// What of the file matters to the numbers beside it.
#[derive(Clone, Debug)]
pub(super) struct PeftConfig {
    pub(super) method: AdapterMethod,
    pub(super) biases: Biases,
    /// Whether modules have magnitudes.
    pub(super) is_dora: bool,
    /// Whether there is a bias behind B.
    pub(super) has_bias_of_b: bool,
    alpha: f64,
    /// In the order of the file, of which the first that fits counts.
    alphas: Vec<(String, f64)>,
    feed_forward: Vec<String>,
    lengths: Lengths,
}

/// What the file says of how long tensors are, where it does.
#[derive(Clone, Debug)]
struct Lengths {
    rank: Option<u64>,
    /// In the order of the file, of which the first that fits counts; nothing where one is a regular expression.
    ranks: Option<Vec<(String, f64)>>,
    block_size: Option<u64>,
    tokens: Option<u64>,
    width: Option<u64>,
}

/// Numbers that PEFT computes with and has no other value for.
const NEVER_NULL: [&str; 4] = ["r", "lora_alpha", "lora_dropout", "boft_block_size"];

impl Lengths {
    fn read(keys: &Map<String, Value>) -> Result<Self, String> {
        if let Some(key) = NEVER_NULL.into_iter().find(|key| keys.get(*key).is_some_and(Value::is_null)) {
            return Err(format!("`{key}` is null, wanted a number"));
        }
        let length = |key: &str| of_type(keys, key, "a whole number", Value::as_u64);
        let others = of_type(keys, "rank_pattern", "a map of paths to numbers", Value::as_object)?;
        let are_paths = others.is_none_or(|others| others.keys().all(|pattern| as_path(pattern).is_some()));
        let ranks = if are_paths { Some(patterns(keys, "rank_pattern")?) } else { None };
        Ok(Self {
            rank: length("r")?,
            ranks,
            // 0 where it follows from the number of blocks
            block_size: length("boft_block_size")?.filter(|size| *size > 0),
            tokens: length("num_virtual_tokens")?,
            width: length("token_dim")?,
        })
    }

    /// The rank of a module's factors.
    fn rank_of(&self, module: &str) -> Option<f64> {
        let ranks = self.ranks.as_ref()?;
        first_that_fits(ranks, module).or(self.rank.map(|rank| rank as f64))
    }
}

/// Keys that change what an adapter computes in a way that is not read here.
const REFUSED: [&str; 15] = [
    "alora_invocation_tokens",
    "arrow_config",
    "block_share",
    "coft",
    "kasa_config",
    "layer_replication",
    "megatron_config",
    "monteclora_config",
    "rank_dropout",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_qalora",
    "velora_config",
    "layers_to_save",
];

/// Starts that leave the model itself other than it was.
const CHANGING_STARTS: [&str; 5] = ["corda", "loftq", "lora_ga", "olora", "pissa_niter"];
/// One of them that follows from the model: what its weights have with the largest singular values.
const PRINCIPAL: &str = "pissa";

impl PeftConfig {
    /// Of the file's text.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let Value::Object(keys) = value else { return Err("it is no JSON object".into()) };
        for key in REFUSED {
            if keys.get(key).is_some_and(is_on) {
                return Err(format!("`{key}` is set, and adapters of that kind are not read"));
            }
        }
        let start = of_type(&keys, "init_lora_weights", "true, false or a name", |value| match value {
            Value::Bool(_) => Some(""),
            value => value.as_str(),
        })?;
        let start = start.unwrap_or_default();
        if CHANGING_STARTS.iter().any(|changing| start.starts_with(changing)) {
            return Err(format!(
                "`init_lora_weights` is `{}`, which changes the model itself; save it with \
                 `path_initial_model_for_weight_conversion`, which makes it an adapter for the model as it was",
                shown(start)
            ));
        }
        let number = |key: &str| of_type(&keys, key, "a number", Value::as_f64);
        let is_true =
            |key: &str| Ok::<bool, String>(of_type(&keys, key, "true or false", Value::as_bool)? == Some(true));
        let text = |key: &str| of_type(&keys, key, "a name", Value::as_str);
        let method = match text("peft_type")? {
            Some("LORA") => AdapterMethod::Lora {
                is_rank_stabilized: is_true("use_rslora")?,
                dropout: number("lora_dropout")?.unwrap_or(0.0) as f32,
                is_principal: start == PRINCIPAL,
            },
            Some("BOFT") => AdapterMethod::Boft,
            Some(kind @ ("PROMPT_TUNING" | "P_TUNING" | "PREFIX_TUNING")) => {
                let submodules = number("num_transformer_submodules")?.unwrap_or(1.0);
                if submodules != 1.0 {
                    return Err(
                        "virtual tokens are read of models of one part, and `num_transformer_submodules` is not 1"
                            .into(),
                    );
                }
                let whole = |key: &str| {
                    let said = of_type(&keys, key, "a whole number above 0", |value| value.as_u64().filter(|n| *n > 0));
                    let said = said?.ok_or_else(|| format!("`{key}` is missing"))?;
                    Ok::<usize, String>(usize::try_from(said).unwrap_or(usize::MAX))
                };
                match kind {
                    "PREFIX_TUNING" => AdapterMethod::PrefixTuning {
                        layers: whole("num_layers")?,
                        heads: whole("num_attention_heads")?,
                    },
                    "P_TUNING" => AdapterMethod::PTuning,
                    _ => AdapterMethod::PromptTuning,
                }
            }
            Some("IA3") => AdapterMethod::Ia3,
            Some("VERA") => AdapterMethod::Vera { key: projection_key(&keys)? },
            Some("LN_TUNING") => AdapterMethod::LnTuning,
            Some("OFT") => {
                let terms = number("num_cayley_neumann_terms")?.unwrap_or(5.0);
                let is_series = of_type(&keys, "use_cayley_neumann", "true or false", Value::as_bool)?;
                match is_series {
                    Some(true) if terms == 5.0 => AdapterMethod::Oft { is_exact: false },
                    Some(false) => AdapterMethod::Oft { is_exact: true },
                    _ => {
                        return Err("rotations are read where `use_cayley_neumann` is false, or true and \
                                    `num_cayley_neumann_terms` 5"
                            .into());
                    }
                }
            }
            Some(other) => {
                let folded = if other == "ADALORA" {
                    ", or multiply each row of every `lora_A` by its number of `lora_E` and save that as LORA of the same `r` and \
                     `lora_alpha`"
                } else {
                    ""
                };
                return Err(format!(
                    "`peft_type` is `{}`; LORA, IA3, VERA, OFT, BOFT, LN_TUNING, PROMPT_TUNING, P_TUNING and PREFIX_TUNING are read; \
                     merge the adapter in PEFT by `merge_and_unload()`, where its type has that, and export the merged model{folded}",
                    shown(other)
                ));
            }
            None => return Err("`peft_type` is missing".into()),
        };
        let biases = match text("bias")?.unwrap_or("none") {
            "none" => Biases::None,
            "all" => Biases::All,
            "boft_only" | "lora_only" | "vera_only" | "oft_only" => Biases::OfModules,
            other => return Err(format!("`bias` is `{}`", shown(other))),
        };
        Ok(Self {
            method,
            biases,
            is_dora: is_true("use_dora")?,
            has_bias_of_b: is_true("lora_bias")?,
            alpha: number("lora_alpha")?.unwrap_or(8.0),
            alphas: patterns(&keys, "alpha_pattern")?,
            feed_forward: of_type(&keys, "feedforward_modules", "a list of names", texts)?.unwrap_or_default(),
            lengths: Lengths::read(&keys)?,
        })
    }

    /// α of a module: of the pattern that is the end of its path, or else that of all.
    pub(super) fn alpha_of(&self, module: &str) -> f64 {
        first_that_fits(&self.alphas, module).unwrap_or(self.alpha)
    }

    /// Refuses tensors of other lengths than the file says, which PEFT does not load.
    pub(super) fn require_lengths_of(&self, adapter: &Adapter) -> Result<(), String> {
        let require = |what: &str, found: usize, key: &str, said: Option<f64>| match said {
            Some(said) if said != found as f64 => {
                Err(format!("{what} is {found}, and `{key}` of {CONFIG_FILE} says {said}; PEFT loads no such folder"))
            }
            _ => Ok(()),
        };
        let (lengths, number) = (&self.lengths, |said: u64| said as f64);
        if let Some([count, width]) = adapter.prompt.as_ref().map(Tensor::shape) {
            require("the number of virtual tokens", *count, "num_virtual_tokens", lengths.tokens.map(number))?;
            // keys and values of all layers are as wide as that times twice the layers
            if !matches!(self.method, AdapterMethod::PrefixTuning { .. }) {
                require("the width of virtual tokens", *width, "token_dim", lengths.width.map(number))?;
            }
        }
        for (module, own) in &adapter.modules {
            let (what, key, said, found) = match own {
                ModuleAdapter::LowRank { .. } => ("rank", "r` or `rank_pattern", lengths.rank_of(module), own.rank()),
                ModuleAdapter::Vectors { .. } => ("rank", "r", lengths.rank.map(number), own.rank()),
                ModuleAdapter::Butterflies { .. } => {
                    ("block size", "boft_block_size", lengths.block_size.map(number), own.block_size())
                }
                // PEFT takes another size of blocks than is said where that does not divide a layer's inputs
                ModuleAdapter::Rotations { .. } | ModuleAdapter::Scales { .. } => continue,
            };
            let what = format!("the {what} of module `{}`", shown(module));
            found.map_or(Ok(()), |found| require(&what, found, key, said))?;
        }
        Ok(())
    }

    /// Whether scales of a module are of what it reads, where their shape does not tell.
    pub(super) fn is_feed_forward(&self, module: &str) -> bool {
        self.feed_forward.iter().any(|name| module.ends_with(name.as_str()))
    }

    /// The file for an adapter.
    pub(super) fn text_of(adapter: &Adapter) -> Vec<u8> {
        let outline = Outline::of(adapter);
        let mut keys = Map::new();
        let mut say = |key: &str, value: Value| keys.insert(key.to_owned(), value);
        say("peft_type", adapter.method.peft_type().into());
        // PEFT needs to be told what a model is that is given vectors
        let task = match (adapter.method.has_prompt(), outline.is_of_classifier()) {
            (false, _) => Value::Null,
            (true, true) => "SEQ_CLS".into(),
            (true, false) => "FEATURE_EXTRACTION".into(),
        };
        say("task_type", task);
        say("base_model_name_or_path", Value::Null);
        say("inference_mode", true.into());
        if !adapter.method.has_prompt() {
            say("target_modules", json!(outline.adapted_modules()));
        }
        let whole = outline.named_modules();
        say("modules_to_save", if whole.is_empty() { Value::Null } else { json!(whole) });
        let only = |word: &str| match adapter.biases {
            Biases::None => Value::from("none"),
            Biases::All => "all".into(),
            Biases::OfModules => format!("{word}_only").into(),
        };
        match adapter.method {
            AdapterMethod::Lora { is_rank_stabilized, dropout, is_principal } => {
                let rank = usual(adapter.modules.values().filter_map(ModuleAdapter::rank).map(|rank| (rank, rank)));
                let alphas = adapter.modules.values().filter_map(alpha_of).map(|alpha| (alpha.to_bits(), alpha));
                let alpha = usual(alphas);
                let of = |value: &dyn Fn(&ModuleAdapter) -> Option<Value>| -> Map<String, Value> {
                    let own = adapter.modules.iter();
                    // a path that others end with is told to be whole
                    let is_end_of_another =
                        |name: &str| adapter.modules.keys().any(|other| other != name && is_end(name, other));
                    let key = |name: &str| if is_end_of_another(name) { format!("^{name}") } else { name.to_owned() };
                    own.filter_map(|(name, own)| Some((key(name), value(own)?))).collect()
                };
                let ranks = of(&|own| own.rank().filter(|own| Some(*own) != rank).map(Value::from));
                let alphas = of(&|own| alpha_of(own).filter(|own| Some(*own) != alpha).map(whole_number));
                say("r", rank.unwrap_or(8).into());
                say("lora_alpha", whole_number(alpha.unwrap_or(8.0)));
                // as short as the number of 32 bits is written
                let dropout = dropout.to_string().parse().unwrap_or_else(|_| f64::from(dropout));
                say("lora_dropout", whole_number(dropout));
                say("rank_pattern", ranks.into());
                say("alpha_pattern", alphas.into());
                say("use_rslora", is_rank_stabilized.into());
                say("use_dora", adapter.has_magnitudes().into());
                say("lora_bias", adapter.has_biases_of_b().into());
                say("init_lora_weights", if is_principal { PRINCIPAL.into() } else { true.into() });
                say("fan_in_fan_out", false.into());
                say("bias", only("lora"));
            }
            AdapterMethod::Ia3 => {
                let is_of_inputs =
                    |own: &ModuleAdapter| matches!(own, ModuleAdapter::Scales { are_of_inputs: true, .. });
                let own = adapter.modules.iter().filter(|(_, own)| is_of_inputs(own)).map(|(name, _)| name);
                say("feedforward_modules", json!(own.collect::<Vec<_>>()));
                say("fan_in_fan_out", false.into());
            }
            AdapterMethod::Vera { key } => {
                let rank = adapter.modules.values().find_map(ModuleAdapter::rank);
                say("r", rank.unwrap_or(256).into());
                say("save_projection", key.is_none().into());
                say("projection_prng_key", key.unwrap_or(0).into());
                say("fan_in_fan_out", false.into());
                say("bias", only("vera"));
            }
            AdapterMethod::Boft => {
                let blocks = |own: &ModuleAdapter| match own {
                    ModuleAdapter::Butterflies { blocks, .. } => blocks.shape().first().copied(),
                    _ => None,
                };
                let size = adapter.modules.values().find_map(ModuleAdapter::block_size);
                say("boft_block_size", size.unwrap_or(4).into());
                say("boft_block_num", 0.into());
                say("boft_n_butterfly_factor", adapter.modules.values().find_map(blocks).unwrap_or(1).into());
                say("boft_dropout", 0.into());
                say("fan_in_fan_out", false.into());
                say("bias", only("boft"));
            }
            AdapterMethod::LnTuning => {}
            AdapterMethod::PrefixTuning { layers, heads } => {
                let shape = adapter.prompt.as_ref().map_or(&[][..], |prompt| prompt.shape());
                let [count, all] = [0, 1].map(|axis| shape.get(axis).copied().unwrap_or(0));
                let width = all / (2 * layers).max(1);
                say("num_virtual_tokens", count.into());
                say("token_dim", width.into());
                say("num_transformer_submodules", 1.into());
                say("num_attention_heads", heads.into());
                say("num_layers", layers.into());
                // what a network has made is written, and no network
                say("prefix_projection", false.into());
                say("encoder_hidden_size", width.into());
            }
            AdapterMethod::PromptTuning | AdapterMethod::PTuning => {
                let shape = adapter.prompt.as_ref().map_or(&[][..], |prompt| prompt.shape());
                let [count, width] = [0, 1].map(|axis| shape.get(axis).copied().unwrap_or(0));
                say("num_virtual_tokens", count.into());
                say("token_dim", width.into());
                say("num_transformer_submodules", 1.into());
                say("num_attention_heads", Value::Null);
                say("num_layers", Value::Null);
                if adapter.method == AdapterMethod::PTuning {
                    say("encoder_reparameterization_type", "MLP".into());
                    say("encoder_hidden_size", width.into());
                } else {
                    say("prompt_tuning_init", "RANDOM".into());
                }
            }
            AdapterMethod::Oft { is_exact } => {
                let size = adapter.modules.values().find_map(ModuleAdapter::block_size);
                say("r", 0.into());
                say("oft_block_size", size.unwrap_or(32).into());
                say("use_cayley_neumann", (!is_exact).into());
                say("num_cayley_neumann_terms", 5.into());
                say("coft", false.into());
                say("block_share", false.into());
                say("fan_in_fan_out", false.into());
                say("bias", only("oft"));
            }
        }
        serde_json::to_vec_pretty(&keys).expect("maps of strings serialize")
    }
}

fn alpha_of(own: &ModuleAdapter) -> Option<f64> {
    match own {
        ModuleAdapter::LowRank { alpha, .. } => Some(*alpha),
        _ => None,
    }
}

/// The value that most have, the first in the order of the keys among equals.
fn usual<K: Ord, T: Copy>(values: impl Iterator<Item = (K, T)>) -> Option<T> {
    let mut counts: BTreeMap<K, (usize, T)> = BTreeMap::new();
    for (key, value) in values {
        counts.entry(key).or_insert((0, value)).0 += 1;
    }
    let mut best: Option<(usize, T)> = None;
    for (count, value) in counts.into_values() {
        if best.is_none_or(|(most, _)| count > most) {
            best = Some((count, value));
        }
    }
    best.map(|(_, value)| value)
}

/// The key that the matrices of VeRA are drawn by, where they are not saved.
fn projection_key(keys: &Map<String, Value>) -> Result<Option<i64>, String> {
    // of larger ones PyTorch's generator takes the same bits
    let whole = |value: &Value| value.as_i64().or_else(|| value.as_u64().map(|key| key as i64));
    let key = of_type(keys, "projection_prng_key", "a whole number", whole)?.unwrap_or(0);
    let is_saved = of_type(keys, "save_projection", "true or false", Value::as_bool)?.unwrap_or(true);
    Ok((!is_saved).then_some(key))
}

/// Without a point where there is nothing behind it.
fn whole_number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { Value::from(number as i64) } else { Value::from(number) }
}

fn is_on(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Bool(true) => true,
    }
}

/// Whether a path is this, or ends with it behind a dot.
fn is_end(end: &str, path: &str) -> bool {
    path.strip_suffix(end).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(list) => list.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        Value::String(text) => Some(vec![text.clone()]),
        _ => None,
    }
}

/// What a key says; nothing where it is not there or null.
fn of_type<'a, T>(
    keys: &'a Map<String, Value>,
    key: &str,
    wanted: &str,
    read: impl Fn(&'a Value) -> Option<T>,
) -> Result<Option<T>, String> {
    match keys.get(key).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(format!("`{key}` is {}, wanted {wanted}", shown(value.to_string()))),
        },
    }
}

/// The path that a pattern says; nothing of a regular expression that says more.
fn as_path(pattern: &str) -> Option<String> {
    let plain = pattern.strip_prefix('^').unwrap_or(pattern).replace("\\.", ".");
    let is_path = !plain.contains(['*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '\\', '$', '^']);
    is_path.then_some(plain)
}

/// The number of the first pattern that a module's path ends with.
fn first_that_fits(patterns: &[(String, f64)], module: &str) -> Option<f64> {
    let fits = |pattern: &str| match pattern.strip_prefix('^') {
        Some(whole) => whole == module,
        None => is_end(pattern, module),
    };
    patterns.iter().find(|(pattern, _)| fits(pattern)).map(|(_, number)| *number)
}

/// PEFT takes the keys for regular expressions of the ends of paths; those that say more than a path are not read.
fn patterns(keys: &Map<String, Value>, key: &str) -> Result<Vec<(String, f64)>, String> {
    let mut found = Vec::new();
    for (pattern, value) in of_type(keys, key, "a map of paths to numbers", Value::as_object)?.into_iter().flatten() {
        let Some(plain) = as_path(pattern) else {
            return Err(format!("`{key}` has the regular expression `{}`; paths of modules are read", shown(pattern)));
        };
        let value = value.as_f64().ok_or_else(|| format!("`{key}` has no number for `{}`", shown(pattern)))?;
        let pattern = if pattern.starts_with('^') { format!("^{plain}") } else { plain };
        found.push((pattern, value));
    }
    Ok(found)
}
