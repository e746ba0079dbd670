use std::collections::{HashMap, HashSet};

use millstream_schemas::shown;

use super::super::method_function::MethodModel;
use super::cut::cut_outputs;
use super::filled_inputs::{Filling, filled_inputs};
use super::place::Place;
use super::pooled::leave_out_of_pools;
use super::word_embeddings::WordEmbeddings;
use crate::CompilerError;
use crate::finetuning::nodes::named;
use crate::graph::{Constant, Graph, Length, Node, OperatorTypes, TensorType, ValueId};
use crate::inference::infer_behind;
use crate::operators::OperatorCatalog;

/// Virtual tokens in the rows of a model.
#[derive(Debug)]
pub(in super::super) struct VirtualTokens<'a> {
    /// Where tokens are looked up.
    pub(in super::super) words: &'a WordEmbeddings,
    /// How many there are in each row.
    pub(in super::super) count: usize,
    /// Where in it.
    pub(in super::super) place: Place,
    /// What the heads of all attentions give, where nothing behind the last of them is to read virtual tokens.
    pub(in super::super) seen_by: Option<&'a [ValueId]>,
}

impl VirtualTokens<'_> {
    /// Puts them in: all inputs that are as long as the tokens are lengthened where they come in, and what is looked up for
    /// the new places becomes what `vectors` makes, `[count, width]`. What follows reads longer rows; what the loss and the
    /// outputs have for each token is cut to the real ones again. Returns what is worth knowing, in words.
    ///
    /// # Errors
    /// There are virtual tokens already, an input is not understood, or a node does not take longer rows.
    pub(in super::super) fn put(
        &self,
        model: &mut MethodModel<'_>,
        vectors: impl FnOnce(&mut Graph) -> Result<ValueId, CompilerError>,
    ) -> Result<Vec<String>, CompilerError> {
        let (base, words) = (model.base, self.words);
        self.require_first(model.graph, base)?;
        let filled = filled_inputs(base, words)?;
        let graph = &mut *model.graph;
        let before = graph.nodes().len();
        let (of_rows, lengthened) = graph.in_front_of(0, |graph| self.in_front(graph, &filled, vectors))?;
        let first = graph.nodes().len() - before;
        for (from, to) in &lengthened {
            graph.replace_reads(first, *from, *to);
        }
        for looked_up in &words.vectors {
            let makes = |node: &Node| node.outputs.first().copied().flatten() == Some(*looked_up);
            let at = graph.nodes().iter().position(makes).expect("what a node makes keeps its name");
            let name = format!("{}.with_fillers", graph.name(*looked_up));
            graph.replace_result(at, &name, |graph, value| self.joined(graph, value, of_rows))?;
        }
        let longer = self.longer(base, &filled);
        let new = graph.nodes().iter().flat_map(|node| node.outputs.iter().flatten()).copied();
        let new: HashSet<ValueId> = new.filter(|value| !base.contains(*value)).collect();
        let changed =
            new.into_iter().chain(filled.iter().map(|(input, _)| *input)).chain(words.vectors.iter().copied());
        let changed: Vec<ValueId> = changed.collect();
        infer_behind(graph, changed, model.operators, &|value| {
            base.contains(value).then(|| longer.of(base.tensor_type(value)?)).flatten()
        });
        let fits = Fits { base, operators: model.operators, longer: &longer };
        fits.require(graph, false)?;
        let mut notes = vec![self.told(base, &filled)];
        notes.extend(self.room(graph, base)?);
        match self.seen_by {
            None => notes.extend(self.first_place_read(graph, base)),
            Some(heads) => notes.extend(leave_out_of_pools(model, heads, (self.place, self.count))?),
        }
        notes.extend(cut_outputs(model, (self.place, self.count))?);
        fits.require(model.graph, true)?;
        Ok(notes)
    }

    /// Refuses a second time.
    fn require_first(&self, graph: &Graph, base: &Graph) -> Result<(), CompilerError> {
        let is_new = |node: &Node| node.outputs.iter().flatten().all(|made| !base.contains(*made));
        let lengthens = |node: &Node| {
            (node.is("Concat") || node.is("Slice")) && node.inputs.contains(&Some(self.words.tokens)) && is_new(node)
        };
        match graph.nodes().iter().any(lengthens) {
            false => Ok(()),
            true => Err(CompilerError::setting("", "virtual tokens go into a model once; take a larger `length`")),
        }
    }

    /// The vectors for each row, `[batch, count, width]`, and each input with what stands for it.
    fn in_front(
        &self,
        graph: &mut Graph,
        filled: &[(ValueId, Filling)],
        vectors: impl FnOnce(&mut Graph) -> Result<ValueId, CompilerError>,
    ) -> Result<(ValueId, Vec<(ValueId, ValueId)>), CompilerError> {
        let vectors = vectors(graph)?;
        let numbers = |graph: &mut Graph, values: &[i64]| {
            graph.named_constant("prompt.lengths", Constant::i64([values.len()], values))
        };
        let (zero, one) = (numbers(graph, &[0]), numbers(graph, &[1]));
        let count = numbers(graph, &[self.count as i64]);
        let places_in = |graph: &mut Graph, input: ValueId, front: &str| {
            let shape = graph.append("Shape", &[input], &[], &format!("{front}.token_shape"))?;
            let rows = graph.append("Slice", &[shape, zero, one], &[], &format!("{front}.rows"))?;
            graph.append("Concat", &[rows, count], &[("axis", 0.into())], &format!("{front}.places"))
        };
        let places = places_in(graph, self.words.tokens, "prompt")?;
        let width = numbers(graph, &[self.words.width as i64]);
        let whole = graph.append("Concat", &[places, width], &[("axis", 0.into())], "prompt.shape")?;
        let of_rows = graph.append("Expand", &[vectors, whole], &[], "prompt.of_rows")?;
        let rows_of =
            |graph: &Graph, input: ValueId| graph.tensor_type(input).and_then(|known| known.shape.first().cloned());
        let of_tokens = rows_of(graph, self.words.tokens);
        let put = |(input, filling): &(ValueId, Filling)| {
            // files give the rows of each input a name of its own, or places one row for all
            let places = match rows_of(graph, *input) == of_tokens {
                true => places,
                false => places_in(graph, *input, &format!("{}.virtual", graph.name(*input)))?,
            };
            Ok((*input, filling.put(graph, *input, (self.place, self.count, places))?))
        };
        Ok((of_rows, filled.iter().map(put).collect::<Result<_, CompilerError>>()?))
    }

    /// What is looked up for longer rows, with the vectors of virtual tokens in their places.
    fn joined(&self, graph: &mut Graph, looked_up: ValueId, of_rows: ValueId) -> Result<ValueId, CompilerError> {
        let known = graph.tensor_type(looked_up).cloned();
        if let Some(known) = &known
            && known.shape.len() != 3
        {
            let label = shown(graph.name(looked_up));
            return Err(CompilerError::setting(
                "",
                format!(
                    "no virtual tokens can be put into `{label}`, which is looked up as {} and not as `[batch, sequence, \
                     width]`; use another method, `lora` for example",
                    shown(known.to_string())
                ),
            ));
        }
        let name = graph.name(looked_up).to_owned();
        // as long as the rows are by now
        let longer = known.map(|mut known| {
            known.shape[1] = &known.shape[1] + self.count;
            known
        });
        graph.set_type(looked_up, longer);
        let (before, rest) = self.place.parts(graph, looked_up, (self.count, 1), &name)?;
        let parts: Vec<ValueId> = before.into_iter().chain([of_rows, rest]).collect();
        graph.append("Concat", &parts, &[("axis", 1.into())], &format!("{name}.joined"))
    }

    fn longer(&self, base: &Graph, filled: &[(ValueId, Filling)]) -> Longer {
        let sequence = |(input, _): &(ValueId, Filling)| {
            let known = base.tensor_type(*input)?;
            known.shape.get(1)?.name().map(|name| (name.to_owned(), Length::named(name) + self.count))
        };
        Longer(filled.iter().filter_map(sequence).collect())
    }

    fn told(&self, base: &Graph, filled: &[(ValueId, Filling)]) -> String {
        let of = |filling: Filling| {
            let named = filled.iter().filter(|(_, own)| *own == filling).map(|(input, _)| shown(base.name(*input)));
            named.map(|name| format!("`{name}`")).collect::<Vec<String>>().join(", ")
        };
        let parts =
            [(Filling::Number(1), "has 1"), (Filling::Number(0), "has 0"), (Filling::Places, "counts them too")];
        let parts = parts.map(|(filling, has)| (of(filling), has));
        let parts = parts.iter().filter(|(names, _)| !names.is_empty()).map(|(names, has)| format!("{names} {has}"));
        let beside = parts.collect::<Vec<String>>().join(", ");
        let beside = if beside.is_empty() { String::new() } else { format!(" ({beside} there)") };
        let place = match self.place {
            Place::First => "in front of each row of",
            Place::AfterFirst => "behind the first token of each row of",
        };
        format!(
            "{} virtual token(s) {place} `{}`{beside} stay in the exported model",
            self.count,
            shown(base.name(self.words.tokens))
        )
    }

    /// How long rows may be where the model has a table of places, in words.
    ///
    /// # Errors
    /// It has no room for a token behind virtual ones.
    fn room(&self, graph: &Graph, base: &Graph) -> Result<Option<String>, CompilerError> {
        let bound = |node: &Node| {
            let made = node.outputs.first().copied().flatten().filter(|made| base.contains(*made))?;
            let (was, is) = (base.tensor_type(made)?, graph.tensor_type(made)?);
            let longer = was.shape.iter().zip(&is.shape).filter(|(was, is)| was != is);
            // where virtual tokens fill it, nothing is left to be cut
            let full = |was: &Length, is: &Length| was.cut_at().filter(|places| is.fixed() == Some(*places));
            longer.filter_map(|(was, is)| is.cut_at().or_else(|| full(was, is))).min()
        };
        let bounds = graph.nodes().iter().filter_map(|node| Some((bound(node)?, node)));
        let Some((places, node)) = bounds.min_by_key(|(places, _)| *places) else { return Ok(None) };
        let (count, table) = (self.count, format!("{} gives {places} places", named(graph, node)));
        match places.checked_sub(count).filter(|room| *room > 0) {
            Some(room) => Ok(Some(format!(
                "{table} at most, {count} of which are those of virtual tokens: rows of the data have room for {room} tokens"
            ))),
            None => Err(CompilerError::setting(
                "",
                format!(
                    "{table} at most, and with {count} virtual tokens there is room for none of the data; take a smaller `length`"
                ),
            )),
        }
    }

    /// That a node reads what is the first virtual token by now, where one does.
    fn first_place_read(&self, graph: &Graph, base: &Graph) -> Option<String> {
        if self.place == Place::AfterFirst {
            return None;
        }
        let axes = |graph: &Graph, value: ValueId| graph.tensor_type(value).map(|known| known.shape.clone());
        let reads = |node: &&Node| {
            let (Some(value), Some(index)) = (node.input(0), node.input(1)) else { return false };
            let is_longer = base.contains(value)
                && axes(base, value).zip(axes(graph, value)).is_some_and(|(was, is)| was.get(1) != is.get(1));
            let picks_first = graph.integers_of(index).is_some_and(|known| known.elements == [Length::from(0)]);
            node.is("Gather") && node.int("axis") == Some(1) && is_longer && picks_first
        };
        let node = graph.nodes().iter().find(reads)?;
        Some(format!(
            "{} reads the first place of each row, which is a virtual token; with `place: after_first` it is that of the data",
            named(graph, node)
        ))
    }
}

/// How the lengths of rows have changed, by their names.
struct Longer(HashMap<String, Length>);

impl Longer {
    /// What a type is by now, where rows have names for lengths.
    fn of(&self, known: &TensorType) -> Option<TensorType> {
        (!self.0.is_empty()).then(|| known.with(&|name| self.0.get(name).cloned()))
    }
}

/// Whether the nodes of a model take longer rows.
struct Fits<'a> {
    base: &'a Graph,
    operators: &'a OperatorCatalog,
    longer: &'a Longer,
}

impl Fits<'_> {
    /// Refuses a node that does not, or makes something else of them; what the model gives `is_cut` in the end.
    fn require(&self, graph: &Graph, is_cut: bool) -> Result<(), CompilerError> {
        let first = |node: &Node| node.outputs.first().copied().flatten();
        let own: HashMap<ValueId, &Node> =
            self.base.nodes().iter().filter_map(|node| Some((first(node)?, node))).collect();
        for node in graph.nodes() {
            let before = first(node).and_then(|made| own.get(&made)).copied();
            // where the file's names leave open whether it fits, the lengths of the data decide
            let is_new = before.is_none_or(|before| self.refused(self.base, before).is_none());
            if let Some(error) = self.refused(graph, node).filter(|_| is_new) {
                return Err(too_long(&error.to_string()));
            }
            let Some(made) = first(node).filter(|_| before.is_some()) else { continue };
            let (Some(was), Some(is)) = (self.base.tensor_type(made), graph.tensor_type(made)) else { continue };
            let Some(wanted) = self.longer.of(was) else { continue };
            let fits = is.agrees_with(&wanted) || is_cut && is.agrees_with(was);
            if !fits {
                let (is, wanted) = (shown(is.to_string()), shown(wanted.to_string()));
                return Err(too_long(&format!("{} makes {is} of longer rows, wanted {wanted}", named(graph, node))));
            }
        }
        Ok(())
    }

    /// What the operator's rule finds wrong with a node.
    fn refused(&self, graph: &Graph, node: &Node) -> Option<CompilerError> {
        match self.operators.output_types(graph, node, node.outputs.len())? {
            Ok(_) | Err(CompilerError::NotKnown { .. }) => None,
            Err(error) => Some(error),
        }
    }
}

fn too_long(what: &str) -> CompilerError {
    CompilerError::setting(
        "",
        format!(
            "rows cannot be made longer by virtual tokens: {what}; export the model so that the length of rows is open, or use \
             `prefix_tuning` or `lora`"
        ),
    )
}
