use std::collections::{BTreeMap, BTreeSet};

use millstream_schemas::{count, shown};

use super::Tensor;

/// What was trained beside a model, as PEFT's folders hold it: modules by their paths in the source of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// By which method.
    pub method: AdapterMethod,
    /// What belongs to each module.
    pub modules: BTreeMap<String, ModuleAdapter>,
    /// The vectors of virtual tokens, `[count, width]`, of a method that puts such in front of rows; of a prefix their keys and
    /// values, `[count, 2·layers·width]`, for each layer a key and a value of all heads.
    pub prompt: Option<Tensor>,
    /// What all modules read: of VeRA `vera_A [rank, inputs]` and `vera_B [outputs, rank]`.
    pub shared: BTreeMap<String, Tensor>,
    /// Parameters of the model itself that are held whole, as PyTorch has them: `classifier.weight [outputs, inputs]`.
    pub whole: BTreeMap<String, Tensor>,
    /// Which biases are among those.
    pub biases: Biases,
}

/// A method with its options for all modules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AdapterMethod {
    /// Two factors of low rank beside each weight, with or without a magnitude (DoRA).
    Lora {
        /// Whether the scale is α/√r instead of α/r.
        is_rank_stabilized: bool,
        /// Share of the numbers that training leaves out in front of A.
        dropout: f32,
        /// Whether it began as what the model's weights have with the largest singular values, and is for weights without that
        /// (PiSSA).
        is_principal: bool,
    },
    /// Butterfly rotations of what modules read, and a scale of each number that they make.
    Boft,
    /// Vectors in front of each row.
    PromptTuning,
    /// The same, which an encoder has made.
    PTuning,
    /// Keys and values in front of those of rows.
    PrefixTuning {
        /// Layers of the model.
        layers: usize,
        /// Heads of keys and values in each.
        heads: usize,
    },
    /// Scales of what modules make or read.
    Ia3,
    /// Two random matrices for all modules, and two vectors for each.
    Vera {
        /// PEFT's `projection_prng_key`, by which the matrices are drawn where they are not held (`save_projection: false`).
        key: Option<i64>,
    },
    /// Rotations of blocks of what modules read.
    Oft {
        /// Whether they are (I − Q)·(I + Q)⁻¹, and not a series of (I + Q)·(I − Q)⁻¹.
        is_exact: bool,
    },
    /// Normalizations, which are held whole.
    LnTuning,
}

/// Which biases of the model are trained beside the modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Biases {
    /// None.
    #[default]
    None,
    /// All of the model.
    All,
    /// Those of the modules.
    OfModules,
}

/// What belongs to one module.
#[derive(Clone, Debug, PartialEq)]
pub enum ModuleAdapter {
    /// s·B·A beside the weight.
    LowRank {
        /// `[rank, inputs]`, of a convolution `[rank, inputs in a group, kernel…]`, of a table of embeddings `[rank, rows]`.
        a: Tensor,
        /// `[outputs, rank]`, of a convolution `[outputs, rank in a group, 1…]`, of a table `[width, rank]`.
        b: Tensor,
        /// α.
        alpha: f64,
        /// `[outputs]`: the norms that the outputs' weights are brought to.
        magnitude: Option<Tensor>,
        /// Whether the module is a table of embeddings.
        is_table: bool,
        /// `[outputs]`: what is added behind B, before the scale.
        bias: Option<Tensor>,
    },
    /// Matrices whose skew parts make rotations, and scales.
    Butterflies {
        /// `[factors, blocks, size, size]`.
        blocks: Tensor,
        /// `[outputs]`.
        scales: Tensor,
    },
    /// One scale for each number that the module makes or reads.
    Scales {
        /// `[outputs]` or `[inputs]`.
        scales: Tensor,
        /// Whether they are of what it reads.
        are_of_inputs: bool,
    },
    /// d and b of B·diag(d)·A, times b.
    Vectors {
        /// d, `[rank]`.
        of_rank: Tensor,
        /// b, `[outputs]`.
        of_outputs: Tensor,
    },
    /// Upper triangles of skew matrices, `[blocks, size·(size − 1)/2]`.
    Rotations {
        /// Row by row.
        triangles: Tensor,
    },
}

impl AdapterMethod {
    /// As PEFT's `peft_type` has it.
    pub fn peft_type(&self) -> &'static str {
        match self {
            Self::Lora { .. } => "LORA",
            Self::Ia3 => "IA3",
            Self::Vera { .. } => "VERA",
            Self::Oft { .. } => "OFT",
            Self::Boft => "BOFT",
            Self::LnTuning => "LN_TUNING",
            Self::PromptTuning => "PROMPT_TUNING",
            Self::PTuning => "P_TUNING",
            Self::PrefixTuning { .. } => "PREFIX_TUNING",
        }
    }

    /// Whether it puts virtual tokens in front of rows, or their keys and values.
    pub fn has_prompt(&self) -> bool {
        matches!(self, Self::PromptTuning | Self::PTuning | Self::PrefixTuning { .. })
    }

    /// Whether what is in front of rows can be so wide.
    fn is_of_width(&self, width: usize) -> bool {
        match self {
            Self::PrefixTuning { layers, heads } => {
                let numbers = layers.checked_mul(2).and_then(|all| all.checked_mul(*heads));
                numbers.is_some_and(|numbers| numbers > 0 && width.is_multiple_of(numbers))
            }
            _ => true,
        }
    }

    /// Why it is no adapter that a model takes as inputs and is itself without, if it is none: a sentence without its end.
    pub(crate) fn not_as_inputs(&self) -> Option<&'static str> {
        match self {
            Self::LnTuning => Some(
                "LN_TUNING holds other numbers in the place of the model's own, for which an .onnx_adapter has no place",
            ),
            Self::PromptTuning | Self::PTuning | Self::PrefixTuning { .. } => Some(
                "rows with virtual tokens are longer than without, so that no model takes them and is itself without",
            ),
            Self::Lora { is_principal: true, .. } => Some(
                "PiSSA is for weights that are others than the model's own, so that no model takes it and is itself without",
            ),
            _ => None,
        }
    }

    /// What the product of factors of a rank is multiplied by.
    pub fn scale(&self, alpha: f64, rank: usize) -> f64 {
        let rank = rank as f64;
        match self {
            Self::Lora { is_rank_stabilized: true, .. } => alpha / rank.sqrt(),
            _ => alpha / rank,
        }
    }
}

impl ModuleAdapter {
    /// The rank of factors, or of VeRA's vectors; nothing for others.
    pub fn rank(&self) -> Option<usize> {
        match self {
            Self::LowRank { a, .. } => a.shape().first().copied(),
            Self::Vectors { of_rank, .. } => of_rank.shape().first().copied(),
            Self::Butterflies { .. } | Self::Scales { .. } | Self::Rotations { .. } => None,
        }
    }

    /// The side of a rotated block; nothing where it has none, or its triangle belongs to no square.
    pub fn block_size(&self) -> Option<usize> {
        if let Self::Butterflies { blocks, .. } = self {
            return blocks.shape().get(2).copied();
        }
        let Self::Rotations { triangles } = self else { return None };
        let numbers = *triangles.shape().get(1)?;
        (2..=1024).find(|size| size * (size - 1) / 2 == numbers)
    }

    /// How many numbers it holds.
    pub fn numbers(&self) -> usize {
        self.tensors().iter().map(|tensor| tensor.values().len()).sum()
    }

    fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Self::LowRank { a, b, magnitude, bias, .. } => [a, b].into_iter().chain(magnitude).chain(bias).collect(),
            Self::Butterflies { blocks, scales } => vec![blocks, scales],
            Self::Scales { scales, .. } => vec![scales],
            Self::Vectors { of_rank, of_outputs } => vec![of_rank, of_outputs],
            Self::Rotations { triangles } => vec![triangles],
        }
    }

    /// The tensors as graphs hold them (`[inputs, rank]`, `[rank, outputs]`), each with the end of its name behind the module.
    /// `factor` is what B is multiplied by.
    pub fn in_graphs(&self, factor: f64) -> Vec<(&'static str, Tensor)> {
        match self {
            Self::LowRank { a, b, magnitude, is_table, bias, .. } => {
                let names = if *is_table {
                    ["lora_embedding_A", "lora_embedding_B"]
                } else {
                    ["lora_A.weight", "lora_B.weight"]
                };
                let magnitude = magnitude.iter().map(|magnitude| ("lora_magnitude_vector", magnitude.clone()));
                let bias = bias.iter().map(|bias| ("lora_B.bias", bias.times(factor)));
                let both = [(names[0], a.turned()), (names[1], b.turned().times(factor))];
                both.into_iter().chain(magnitude).chain(bias).collect()
            }
            Self::Butterflies { blocks, scales } => vec![("boft_R", blocks.clone()), ("boft_s", scales.clone())],
            Self::Scales { scales, .. } => vec![("ia3_l", scales.clone())],
            Self::Vectors { of_rank, of_outputs } => {
                vec![("vera_lambda_d", of_rank.clone()), ("vera_lambda_b", of_outputs.clone())]
            }
            Self::Rotations { triangles } => vec![("oft_R.weight", triangles.clone())],
        }
    }
}

impl Adapter {
    /// What is worth knowing of a folder of PEFT that holds it, in words.
    pub fn note_of_peft(&self) -> Option<String> {
        let factors = self.modules.values().filter_map(|own| match own {
            ModuleAdapter::Butterflies { blocks, .. } => blocks.shape().first().copied(),
            _ => None,
        });
        let most = factors.max().filter(|factors| *factors > 1)?;
        Some(format!(
            "it is BOFT with {most} factors; PEFT takes several only where its CUDA extension is built, and elsewhere refuses the folder, \
             which `peft` and `adapter merge` read"
        ))
    }

    /// What is wrong with it, if something is: nothing in it, or shapes that do not go together.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.method.has_prompt() {
            let shape = self.prompt.as_ref().map(Tensor::shape);
            return match shape {
                Some([_, width]) if !self.method.is_of_width(*width) => Err(format!(
                    "prompt_embeddings have rows of {width} numbers, which are no key and value of its layers and heads"
                )),
                Some([count, width]) if *count > 0 && *width > 0 && self.modules.is_empty() => Ok(()),
                Some(shape) if self.modules.is_empty() => Err(format!("prompt_embeddings have the shape {shape:?}")),
                Some(_) => Err("it holds virtual tokens and something for modules".into()),
                None => Err("its prompt_embeddings are missing".into()),
            };
        }
        if self.method == AdapterMethod::LnTuning {
            let fits = self.modules.is_empty() && !self.norms().is_empty();
            return if fits { Ok(()) } else { Err("it holds no normalization".into()) };
        }
        if self.modules.is_empty() {
            return Err("it holds nothing for any module".into());
        }
        self.modules.iter().try_for_each(|(module, own)| {
            self.check_module(own).map_err(|problem| format!("module `{}`: {problem}", shown(module)))
        })
    }

    fn check_module(&self, own: &ModuleAdapter) -> Result<(), String> {
        if let Some(empty) = own.tensors().into_iter().find(|tensor| tensor.shape().contains(&0)) {
            return Err(format!("a tensor of the shape {:?} holds no number", empty.shape()));
        }
        match own {
            ModuleAdapter::LowRank { a, b, alpha, magnitude, is_table, bias } => {
                let (of_a, of_b) = (a.shape(), b.shape());
                let [rank, _, kernel @ ..] = of_a else { return Err(format!("A has the shape {of_a:?}")) };
                let [outputs, in_a_group, ones @ ..] = of_b else { return Err(format!("B has the shape {of_b:?}")) };
                let is_square = kernel.len() == ones.len() && ones.iter().all(|length| *length == 1);
                // of a convolution in groups, B reads those of its group
                let fits = if kernel.is_empty() { rank == in_a_group } else { rank % in_a_group == 0 };
                if !is_square || !fits {
                    return Err(format!("A {of_a:?} and B {of_b:?} are not two factors of one rank"));
                }
                if !(self.method.scale(*alpha, *rank) as f32).is_normal() {
                    return Err(format!("alpha {alpha} over a rank of {rank} is no usual 32-bit float"));
                }
                if let Some(bias) = bias {
                    if bias.shape() != [*outputs] {
                        return Err(format!("the bias of B has the shape {:?}, wanted [{outputs}]", bias.shape()));
                    }
                    if !kernel.is_empty() || *is_table || magnitude.is_some() {
                        return Err("a bias of B is read of linear layers without magnitudes".into());
                    }
                }
                match magnitude {
                    Some(magnitude) if magnitude.shape() != [*outputs] => {
                        Err(format!("the magnitude has the shape {:?}, wanted [{outputs}]", magnitude.shape()))
                    }
                    _ => Ok(()),
                }
            }
            ModuleAdapter::Scales { .. } => Ok(()),
            ModuleAdapter::Butterflies { blocks, .. } => match *blocks.shape() {
                // several factors exchange halves of blocks
                [factors, _, rows, columns] if rows == columns && (factors == 1 || rows % 2 == 0) => Ok(()),
                ref other => Err(format!(
                    "boft_R has the shape {other:?}, wanted [factors, blocks, size, size], an even size where factors are several"
                )),
            },
            ModuleAdapter::Vectors { of_rank, of_outputs } => {
                let [rank, outputs] = [of_rank, of_outputs].map(|vector| vector.values().len());
                let shape = |name: &str| self.shared.get(name).map(Tensor::shape);
                match (shape("vera_A"), shape("vera_B")) {
                    (Some([of_a, _]), Some([most, of_b])) if *of_a == rank && *of_b == rank && *most >= outputs => {
                        Ok(())
                    }
                    // by a model's layers it is known how large they are
                    (None, None) if self.draws_projections() => self.require_one_rank(rank),
                    (Some(a), Some(b)) => {
                        Err(format!("vectors of {rank} and {outputs} do not fit vera_A {a:?} and vera_B {b:?}"))
                    }
                    _ => Err("vera_A and vera_B are not beside it: save it with `save_projection=True`".into()),
                }
            }
            ModuleAdapter::Rotations { triangles } => match own.block_size() {
                Some(_) => Ok(()),
                None => Err(format!("oft_R has the shape {:?}, wanted [blocks, size·(size − 1)/2]", triangles.shape())),
            },
        }
    }

    fn require_one_rank(&self, rank: usize) -> Result<(), String> {
        match self.modules.values().filter_map(ModuleAdapter::rank).find(|other| *other != rank) {
            None => Ok(()),
            Some(other) => Err(format!("a vector of rank {rank}, and another module has one of rank {other}")),
        }
    }

    /// Whether the matrices of VeRA are not held and are drawn for all layers that it goes to, so that none can be left out.
    pub fn draws_projections(&self) -> bool {
        matches!(self.method, AdapterMethod::Vera { key: Some(_) }) && self.shared.is_empty()
    }

    /// Whether a module is a normalization that LN_TUNING has trained: one whose weight is a vector.
    pub fn is_norm(&self, module: &str) -> bool {
        let weight = self.whole.get(&format!("{module}.weight"));
        self.method == AdapterMethod::LnTuning && weight.is_some_and(|weight| weight.shape().len() == 1)
    }

    /// The normalizations that LN_TUNING has trained; of another method none.
    pub fn norms(&self) -> BTreeSet<&str> {
        let modules = self.whole.keys().filter_map(|name| Some(name.rsplit_once('.')?.0));
        modules.filter(|module| self.is_norm(module)).collect()
    }

    /// Whether it has magnitudes, that is, is DoRA.
    pub fn has_magnitudes(&self) -> bool {
        self.modules.values().any(|own| matches!(own, ModuleAdapter::LowRank { magnitude: Some(_), .. }))
    }

    /// Whether something is added behind B.
    pub(crate) fn has_biases_of_b(&self) -> bool {
        self.modules.values().any(|own| matches!(own, ModuleAdapter::LowRank { bias: Some(_), .. }))
    }

    /// Whether it adds to the model's weights and does nothing else to them, so that several can be added.
    pub(crate) fn is_sum(&self) -> bool {
        matches!(self.method, AdapterMethod::Lora { is_principal: false, .. } | AdapterMethod::Vera { .. })
            && !self.has_magnitudes()
    }

    /// Whether it is for weights without what they have with the largest singular values.
    pub(crate) fn is_principal(&self) -> bool {
        matches!(self.method, AdapterMethod::Lora { is_principal: true, .. })
    }

    /// What B is multiplied by, so that a scale of 1 gives the same.
    pub(crate) fn factor(&self, own: &ModuleAdapter) -> f64 {
        match own {
            ModuleAdapter::LowRank { a, alpha, .. } => self.method.scale(*alpha, a.shape()[0]),
            _ => 1.0,
        }
    }

    /// The same with what it adds multiplied by a weight.
    ///
    /// # Errors
    /// What the method does is not a sum, so that no part of it can be taken.
    pub fn weighted(&self, weight: f64) -> Result<Self, String> {
        if weight == 1.0 {
            return Ok(self.clone());
        }
        let refused = || {
            let does: String = match self.method {
                AdapterMethod::Lora { is_principal: true, .. } => {
                    "PiSSA is for weights without a part of theirs".into()
                }
                AdapterMethod::PromptTuning | AdapterMethod::PTuning => {
                    format!("{} puts virtual tokens in front of rows", self.method.peft_type())
                }
                AdapterMethod::PrefixTuning { .. } => {
                    "PREFIX_TUNING puts keys and values in front of those of rows".into()
                }
                _ if self.has_magnitudes() => "DoRA multiplies what the model has".into(),
                _ => format!("{} multiplies what the model has", self.method.peft_type()),
            };
            Err(format!("{does}, so that it has no part of {weight}; give it the weight 1"))
        };
        if self.method.has_prompt() {
            return refused();
        }
        let (mut part, is_sum) = (self.clone(), self.is_sum());
        for own in part.modules.values_mut() {
            match own {
                ModuleAdapter::LowRank { b, magnitude: None, bias, .. } if is_sum => {
                    *b = b.times(weight);
                    *bias = bias.as_ref().map(|bias| bias.times(weight));
                }
                ModuleAdapter::Vectors { of_outputs, .. } => *of_outputs = of_outputs.times(weight),
                _ => return refused(),
            }
        }
        match self.whole.keys().next() {
            None => Ok(part),
            Some(first) => Err(format!(
                "it holds `{}` whole, of which no part can be taken; give it the weight 1, or leave that out by `--skip`",
                shown(first)
            )),
        }
    }

    /// Leaves out the modules, and what is held whole of modules, that match.
    pub fn without(&mut self, is_left_out: &dyn Fn(&str) -> bool) {
        self.modules.retain(|module, _| !is_left_out(module));
        self.whole.retain(|name, _| {
            !is_left_out(name) && name.rsplit_once('.').is_none_or(|(module, _)| !is_left_out(module))
        });
    }

    /// The method, the modules and their ranks in words.
    pub fn in_words(&self) -> String {
        let mut ranks: BTreeMap<usize, usize> = BTreeMap::new();
        self.modules.values().filter_map(ModuleAdapter::rank).for_each(|rank| *ranks.entry(rank).or_default() += 1);
        let of = match ranks.keys().collect::<Vec<_>>()[..] {
            [] => String::new(),
            [rank] => format!(" of rank {rank}"),
            [first, .., last] => format!(" of ranks {first} to {last}"),
        };
        let name = match self.method {
            AdapterMethod::Lora { .. } if self.has_magnitudes() => "DoRA",
            AdapterMethod::Lora { is_principal: true, .. } => "PiSSA",
            AdapterMethod::Lora { is_rank_stabilized: true, .. } => "rsLoRA",
            AdapterMethod::Lora { .. } => "LoRA",
            AdapterMethod::Ia3 => "IA³",
            AdapterMethod::Vera { .. } => "VeRA",
            AdapterMethod::Oft { .. } => "OFT",
            AdapterMethod::Boft => "BOFT",
            AdapterMethod::LnTuning => "LN tuning",
            AdapterMethod::PromptTuning => "prompt tuning",
            AdapterMethod::PTuning => "P-tuning",
            AdapterMethod::PrefixTuning { .. } => "prefix tuning",
        };
        let of_prompt = self.prompt.as_ref().map_or(0, |prompt| prompt.values().len());
        let numbers = of_prompt + self.modules.values().map(ModuleAdapter::numbers).sum::<usize>();
        let whole: usize = self.whole.values().map(|tensor| tensor.values().len()).sum();
        let beside = if whole > 0 { format!("; {} whole", count(whole as u64, "number")) } else { String::new() };
        if let Some([tokens, _]) = self.prompt.as_ref().map(Tensor::shape) {
            let tokens = match self.method {
                AdapterMethod::PrefixTuning { layers, .. } => {
                    let keys = count(*tokens as u64, "key");
                    format!("{keys} and as many values in {}", count(layers as u64, "layer"))
                }
                _ => count(*tokens as u64, "virtual token"),
            };
            return format!("{name} of {tokens}, {}{beside}", count(numbers as u64, "number"));
        }
        if self.method == AdapterMethod::LnTuning {
            return format!("{name} of {}{beside}", count(self.norms().len() as u64, "normalization"));
        }
        let modules = count(self.modules.len() as u64, "module");
        format!("{name}{of} at {modules}, {}{beside}", count(numbers as u64, "number"))
    }
}
