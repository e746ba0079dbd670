use millstream_schemas::shown;
use serde_json::{Map, Value};

use super::assignment::Assignment;
use super::distribution::Distribution;
use crate::SearchError;

/// A value with holes, where parameters of a space go.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub(super) root: Node,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Nothing is open in it.
    Fixed(Value),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// A parameter's value goes here; what it chooses among may have holes of its own.
    Open {
        parameter: String,
        distribution: Distribution,
        alternatives: Vec<Node>,
    },
}

impl Template {
    /// The value with every hole filled.
    ///
    /// # Errors
    /// The assignment lacks a parameter that is there, or has a setting that is none.
    pub fn filled(&self, assignment: &Assignment) -> Result<Value, SearchError> {
        filled(&self.root, assignment)
    }
}

fn filled(node: &Node, assignment: &Assignment) -> Result<Value, SearchError> {
    Ok(match node {
        Node::Fixed(value) => value.clone(),
        Node::List(items) => Value::Array(items.iter().map(|item| filled(item, assignment)).collect::<Result<_, _>>()?),
        Node::Map(entries) => {
            let entry = |(key, node): &(String, Node)| Ok((key.clone(), filled(node, assignment)?));
            Value::Object(entries.iter().map(entry).collect::<Result<Map<_, _>, SearchError>>()?)
        }
        Node::Open { parameter, distribution, alternatives } => {
            let setting = assignment.get(parameter);
            let setting = setting.ok_or_else(|| SearchError::assignment(parameter, "it has no setting"))?;
            if !distribution.holds(setting) {
                let message = format!("wanted {}, got {setting}", shown(distribution.written().to_string()));
                return Err(SearchError::assignment(parameter, message));
            }
            match alternatives.get(setting as usize) {
                Some(alternative) if distribution.alternatives().is_some() => filled(alternative, assignment)?,
                _ => distribution.value(setting),
            }
        }
    })
}
