//! From a list of choices to the nodes of a chain.

use millstream_schemas::choice::{Catalog, Choice};
use serde_json::Value;

use crate::chain_node::{Action, Node};
use crate::error::TransformError;
use crate::foreign_words;
use crate::kind::Kind;
use crate::transform::{Does, Made, Transform};

const DEEPEST: usize = 16;

/// The nodes of the list at a place of a recipe, in an order that makes sense.
pub(crate) fn nodes(catalog: &Catalog<Transform>, place: &str, specs: &[Choice]) -> Result<Vec<Node>, TransformError> {
    let mut parser = Parser { catalog, seen: Vec::new(), depth: 0 };
    let nodes = specs.iter().enumerate().map(|(index, spec)| parser.node(spec, &format!("{place}[{index}]")));
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    check_order(&nodes)?;
    Ok(nodes)
}

/// What is wrong with one transform: an option that is told is left out, and the rest looked at again.
pub(crate) fn faults_of(catalog: &Catalog<Transform>, place: &str, spec: &Choice) -> Vec<TransformError> {
    let (mut spec, mut faults) = (spec.clone(), Vec::<TransformError>::new());
    let written = spec.options.clone();
    while let Err(fault) = (Parser { catalog, seen: Vec::new(), depth: 0 }).node(&spec, place) {
        let option = match &fault {
            TransformError::Choice(error) => error.option().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        // An option that was left out because it is wrong is not missing.
        let left_out = faults.iter().any(|told| told.place() == fault.place() || covers_missing(told, &fault));
        let removed = spec.options.as_object_mut().and_then(|options| options.shift_remove(&option)).is_some();
        if !left_out {
            // Advice is for all that was written, not for what is left of it.
            faults.push(foreign_words::with_help(fault, &format!("{place}.{}", spec.name), &spec.name, &written));
        }
        if !removed || left_out {
            break;
        }
    }
    faults
}

fn covers_missing(told: &TransformError, fault: &TransformError) -> bool {
    matches!((told, fault), (TransformError::Choice(told), TransformError::Choice(fault)) if told.covers_missing(fault))
}

/// Refuses lists that no rows can pass: of images and of text, or with rows after batches or after normalized values.
fn check_order(nodes: &[Node]) -> Result<(), TransformError> {
    let (mut rows, mut batch) = (None, None::<&Node>);
    for node in nodes {
        match (node.kind(), rows, batch) {
            (Kind::Combine, ..) => {}
            (Kind::Batch, ..) => batch = batch.or(Some(node)),
            (_, _, Some(batch)) => {
                return Err(TransformError::BatchBeforeRows {
                    place: batch.place.clone(),
                    name: batch.row.name.into(),
                });
            }
            (second, Some(first), _) if first != second => {
                return Err(TransformError::MixedKinds { place: node.place.clone(), first, second });
            }
            (kind, ..) => rows = Some(kind),
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        node.check_last(nodes[index + 1..].iter().all(|later| later.kind() == Kind::Batch))?;
    }
    Ok(())
}

/// Reads a list of transforms.
struct Parser<'a> {
    catalog: &'a Catalog<Transform>,
    seen: Vec<&'static str>,
    depth: usize,
}

impl Parser<'_> {
    fn node(&mut self, spec: &Choice, place: &str) -> Result<Node, TransformError> {
        let row =
            *self.catalog.find(spec, place).map_err(|error| match foreign_words::name(&spec.name, &spec.options) {
                Some(help) => error.with_help(help),
                None => error,
            })?;
        let place = format!("{place}.{}", row.name);
        let occurrence = self.seen.iter().filter(|name| **name == row.name).count() as u32;
        self.seen.push(row.name);
        let made = row.make(&spec.options, &place);
        let Made { does, probability, options } =
            made.map_err(|error| foreign_words::with_help(error.into(), &place, row.name, &spec.options))?;
        let does = match does {
            Does::Batch(transform) => Action::Batch(transform),
            Does::Image(transform) => Action::Image(transform),
            Does::Text(transform) => Action::Text(transform),
            Does::Combine((rule, specs)) => Action::Combine(rule, self.children(&specs, spec, &place)?),
        };
        Ok(Node { row, place, occurrence, probability, options, does })
    }

    /// What a combination chooses among.
    fn children(&mut self, specs: &[Choice], written: &Choice, place: &str) -> Result<Vec<Node>, TransformError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(TransformError::TooDeep { place: place.into(), limit: DEEPEST });
        }
        let listed = |index: usize| match written.options.get("apply") {
            Some(Value::Array(_)) => format!("{place}.apply[{index}]"),
            Some(_) => format!("{place}.apply"),
            None => format!("{place}[{index}]"),
        };
        let children = specs.iter().enumerate().map(|(index, spec)| self.node(spec, &listed(index)));
        let children = children.collect::<Result<Vec<_>, _>>()?;
        self.depth -= 1;
        let mut kinds = children.iter().map(Node::kind).filter(|kind| *kind != Kind::Combine);
        if let Some(first) = kinds.next()
            && let Some(second) = kinds.find(|kind| *kind != first)
        {
            return Err(TransformError::MixedKinds { place: place.into(), first, second });
        }
        Ok(children)
    }
}
