//! Functions that a model's file defines: operators of its own, written out where they are called.

use std::collections::HashMap;
use std::rc::Rc;

use super::onnx::{FunctionProto, ModelProto, NodeProto};
use super::scope::{Given, Scope};
use crate::graph::standard_domain;

/// Domain, name and overload.
type Key<'a> = (&'a str, &'a str, &'a str);

/// The functions of a file.
pub(super) struct Functions<'a>(HashMap<Key<'a>, &'a FunctionProto>);

impl<'a> Functions<'a> {
    pub(super) fn of(model: &'a ModelProto) -> Self {
        let key =
            |function: &'a FunctionProto| (standard_domain(function.domain()), function.name(), function.overload());
        Self(model.functions.iter().map(|function| (key(function), function)).collect())
    }

    /// The function that a node calls; it takes the place of an operator of its name.
    pub(super) fn find(&self, node: &NodeProto) -> Option<&'a FunctionProto> {
        self.0.get(&(standard_domain(node.domain()), node.op_type(), node.overload())).copied()
    }

    /// Whether all operators of a domain are functions of the file.
    pub(super) fn has_domain(&self, domain: &str) -> bool {
        self.0.keys().any(|(known, ..)| *known == domain)
    }
}

/// The attributes that a function works with: those of its caller, or its own defaults.
pub(super) fn given<'a>(function: &'a FunctionProto, node: &'a NodeProto, scope: &Scope<'a, '_>) -> Given<'a> {
    let defaults = function.attribute_proto.iter().map(|attribute| (attribute.name(), attribute));
    let own = node.attribute.iter().filter_map(|proto| Some((proto.name(), scope.attribute(proto)?)));
    Rc::new(defaults.chain(own).collect())
}

/// Version of the standard operators that a function's nodes follow, where it states one.
pub(super) fn opset(function: &FunctionProto) -> Option<i64> {
    let stated = function.opset_import.iter().find(|import| standard_domain(import.domain()).is_empty());
    stated.map(|import| import.version())
}
