use millstream_schemas::count;

use super::super::method_function::MethodModel;
use super::super::prompts::{Place, VirtualTokens, WordEmbeddings};
use super::parts::{for_queries, numbers_of, part_of};
use crate::CompilerError;
use crate::finetuning::attention::Attention;
use crate::graph::{Constant, Graph, Node, ValueId};

/// Keys and values of a prefix where those of virtual tokens in front of each row would be, as a cache of keys and values gives
/// them to a model (PEFT): the tokens of the row are moved on by as many places, and keys are scaled as those of tokens.
#[derive(Debug)]
pub(in super::super) struct CachedPrefix<'a> {
    /// The attentions, each with a layer of it.
    pub(in super::super) attentions: &'a [(Attention, String)],
    /// Keys and values in front of those of rows.
    pub(in super::super) length: usize,
}

impl CachedPrefix<'_> {
    /// Puts them in: `all` holds `[length, …]`, for each attention a key and a value of all heads. Returns what is worth knowing,
    /// in words.
    ///
    /// # Errors
    /// Rows cannot be made longer, or an attention has keys or values in a form that is not known.
    pub(in super::super) fn put(
        &self,
        model: &mut MethodModel<'_>,
        all: ValueId,
    ) -> Result<Vec<String>, CompilerError> {
        let words = WordEmbeddings::find(model, None)?;
        let heads: Vec<ValueId> = self.attentions.iter().map(|(attention, _)| attention.mixed).collect();
        let tokens = VirtualTokens { words: &words, count: self.length, place: Place::First, seen_by: Some(&heads) };
        // nothing reads what becomes of them
        let fillers = Constant::f32([self.length, words.width], &vec![0.0; self.length * words.width]);
        let mut notes = tokens.put(model, |graph| Ok(graph.named_constant("prefix.fillers", fillers)))?;
        let (base, graph) = (model.base, &mut *model.graph);
        let mut start = 0;
        for (attention, layer) in self.attentions {
            let operands = Operands::find(base, attention).map_err(|problem| {
                let node = base.label(&base.nodes()[attention.node]);
                CompilerError::setting("", format!("no prefix can go into the attention of `{node}`: {problem}"))
            })?;
            let [keys, values] = part_of(graph, (all, start), attention, layer)?;
            start += numbers_of(attention).iter().sum::<usize>();
            let (of_keys, size, of_values) = (attention.key_heads(), attention.head_size, attention.value_size());
            let keys = Own { value: keys, shape: [of_keys, size, self.length], scale: operands.scale, axis: 3 };
            let values = Own { value: values, shape: [of_keys, self.length, of_values], scale: 1.0, axis: 2 };
            self.join(graph, (operands.keys, attention), &keys, &format!("{layer}.prefix_keys"))?;
            self.join(graph, (operands.values, attention), &values, &format!("{layer}.prefix_values"))?;
        }
        notes.push(format!(
            "the keys and values of virtual tokens are those of the prefix in {}",
            count(self.attentions.len(), "attention")
        ));
        Ok(notes)
    }

    /// Puts keys or values in the place of those of virtual tokens, in front of the product that reads them.
    fn join(
        &self,
        graph: &mut Graph,
        (operand, attention): (Operand, &Attention),
        own: &Own,
        name: &str,
    ) -> Result<(), CompilerError> {
        let reads = |node: &Node| {
            node.is("MatMul") && node.input(0) == Some(operand.left) && node.input(1) == Some(operand.value)
        };
        let Some(at) = graph.nodes().iter().position(reads) else {
            return Err(CompilerError::setting("", "prefix_tuning goes into a model once; take a longer one"));
        };
        let part = |part: &str| format!("{name}.{part}");
        let before = graph.nodes().len();
        let joined = graph.in_front_of(at, |graph| {
            let scaled = match own.scale == 1.0 {
                true => own.value,
                false => {
                    let scale = graph.named_constant(&part("scale"), Constant::f32([], &[own.scale as f32]));
                    graph.append("Mul", &[own.value, scale], &[], &part("scaled"))?
                }
            };
            let of_queries = for_queries(graph, scaled, own.shape, attention.heads, name)?;
            let numbers = |graph: &mut Graph, values: &[i64]| {
                graph.named_constant(&part("place"), Constant::i64([values.len()], values))
            };
            let [zero, one, from, end, axis] =
                [0, 1, self.length as i64, i64::MAX, own.axis as i64].map(|number| numbers(graph, &[number]));
            let lengths = numbers(graph, &[attention.heads as i64, own.shape[1] as i64, own.shape[2] as i64]);
            let shape = graph.append("Shape", &[operand.value], &[], &part("shape"))?;
            let rows = graph.append("Slice", &[shape, zero, one], &[], &part("rows"))?;
            let whole = graph.append("Concat", &[rows, lengths], &[("axis", 0.into())], &part("whole"))?;
            let of_rows = graph.append("Expand", &[of_queries, whole], &[], &part("of_rows"))?;
            let rest = graph.append("Slice", &[operand.value, from, end, axis], &[], &part("rest"))?;
            graph.append("Concat", &[of_rows, rest], &[("axis", (own.axis as i64).into())], &part("joined"))
        })?;
        let at = at + graph.nodes().len() - before;
        graph.set_input(at, 1, joined);
        Ok(())
    }
}

/// Keys or values of a prefix.
struct Own {
    value: ValueId,
    /// Lengths of its axes: the keys' heads first.
    shape: [usize; 3],
    /// What the model multiplies those of tokens by.
    scale: f64,
    /// The axis of tokens behind that of rows.
    axis: usize,
}

/// What a product reads on its right.
#[derive(Clone, Copy)]
struct Operand {
    left: ValueId,
    value: ValueId,
}

/// Keys and values as products read them.
struct Operands {
    keys: Operand,
    values: Operand,
    /// What keys have been multiplied by since they were made.
    scale: f64,
}

impl Operands {
    fn find(base: &Graph, attention: &Attention) -> Result<Self, String> {
        let product = |of: &dyn Fn(&Node) -> bool| {
            let node = base.nodes().iter().find(|node| node.is("MatMul") && of(node))?;
            Some(Operand { left: node.input(0)?, value: node.input(1)? })
        };
        let keys = product(&|node| node.input(0) == Some(attention.queries)).ok_or("no MatMul reads the queries")?;
        let of_mixed = |node: &Node| node.outputs.first().copied().flatten() == Some(attention.mixed);
        let values = product(&of_mixed).ok_or("no MatMul makes what its heads give")?;
        let tokens = |operand: Operand, axes: [Option<usize>; 2], axis: usize| {
            let known = base.tensor_type(operand.value)?;
            let [_, heads, second, third] = known.shape.as_slice() else { return None };
            let lengths = [second.fixed(), third.fixed()];
            let fits = axes.iter().zip(&lengths).all(|(wanted, own)| wanted.is_none() || wanted == own);
            (fits && heads.fixed() == Some(attention.heads)).then(|| known.shape[axis].clone())
        };
        let of_keys = tokens(keys, [Some(attention.head_size), None], 3).ok_or("its keys are in another form")?;
        let of_values = tokens(values, [None, Some(attention.value_size())], 2);
        let of_values = of_values.ok_or("its values are in another form")?;
        let of_queries = base.tensor_type(attention.queries).and_then(|known| known.shape.get(2).cloned());
        if !of_keys.agrees_with(&of_values) || of_queries.is_none_or(|of_queries| !of_queries.agrees_with(&of_keys)) {
            return Err("its keys are not of the tokens that its queries are of".into());
        }
        Ok(Self { keys, values, scale: scale_of(base, keys.value)? })
    }
}

/// What keys have been multiplied by behind the place where a cache has them.
fn scale_of(base: &Graph, keys: ValueId) -> Result<f64, String> {
    const VIEWS: [&str; 8] = ["Cast", "Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];
    let number = |value: ValueId| {
        let constant = base.float_constant(value)?;
        let values = constant.to_f32()?;
        if let [only] = values.as_slice() { Some(f64::from(*only)) } else { None }
    };
    let is_number = |value: ValueId| {
        // one of an unknown shape may be
        base.tensor_type(value).is_none_or(|known| known.shape.iter().all(|length| length.fixed() == Some(1)))
    };
    let (mut value, mut scale) = (keys, 1.0);
    while let Some(node) = base.producer(value) {
        let Some(first) = node.input(0) else { break };
        if VIEWS.iter().any(|view| node.is(view)) {
            value = first;
            continue;
        }
        let (Some(second), true) = (node.input(1), node.is("Mul") || node.is("Div")) else { break };
        match (number(first).filter(|_| node.is("Mul")), number(second)) {
            (_, Some(by)) => (value, scale) = (first, if node.is("Mul") { scale * by } else { scale / by }),
            (Some(by), None) => (value, scale) = (second, scale * by),
            // by one number for each place or for each number of a key: those come before the cache
            _ if !is_number(first) && !is_number(second) => break,
            _ => return Err("what its keys are scaled by is computed and no constant of the file".into()),
        }
    }
    Ok(scale)
}
