use std::collections::BTreeSet;

use millstream_schemas::{count, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::feed_forward::FeedForward;
use super::linear::Linear;
use crate::graph::ValueId;

/// What a linear layer does in a block of a transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Makes the queries; where one layer makes queries, keys and values, it is that.
    Query,
    /// Makes the keys.
    Key,
    /// Makes the values.
    Value,
    /// Reads what the heads give.
    Output,
    /// Widens, in front of the activation; two layers where one gates the other.
    FeedForwardIn,
    /// Narrows, behind the activation.
    FeedForwardOut,
}

impl Role {
    /// All, in the order of a block.
    pub const ALL: [Self; 6] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::FeedForwardIn, Self::FeedForwardOut];

    /// As a recipe writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Key => "key",
            Self::Value => "value",
            Self::Output => "output",
            Self::FeedForwardIn => "feed_forward_in",
            Self::FeedForwardOut => "feed_forward_out",
        }
    }
}

/// Queries, keys or values: what a linear layer makes, or a part of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The layer.
    pub linear: Linear,
    /// Which of the numbers that the layer makes for a token, ascending: all of them, unless it makes others as well.
    pub columns: Vec<usize>,
}

/// An attention, and the feed-forward layers behind or beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Index of its softmax, or of the node that does all of it.
    pub node: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Numbers in a query, and in a key, of one head.
    pub head_size: usize,
    /// The queries as they are multiplied with the keys, or as the node reads them.
    pub queries: ValueId,
    /// What the heads give.
    pub mixed: ValueId,
    /// What makes the queries.
    pub query: Projection,
    /// What makes the keys.
    pub key: Projection,
    /// What makes the values.
    pub value: Projection,
    /// What reads the heads; nothing where no linear layer does.
    pub output: Option<Linear>,
    /// The feed-forward parts, from the input to the output.
    pub feed_forward: Vec<FeedForward>,
}

impl Attention {
    /// Heads of the keys and values: as many as of the queries, or one for several of those.
    pub fn key_heads(&self) -> usize {
        self.key.columns.len() / self.head_size.max(1)
    }

    /// Numbers in a value of one head.
    pub fn value_size(&self) -> usize {
        self.value.columns.len() / self.key_heads().max(1)
    }

    /// Its layers of a role.
    pub fn linears(&self, role: Role) -> Vec<&Linear> {
        match role {
            Role::Query => vec![&self.query.linear],
            Role::Key => vec![&self.key.linear],
            Role::Value => vec![&self.value.linear],
            Role::Output => self.output.iter().collect(),
            Role::FeedForwardIn => self.feed_forward.iter().flat_map(|part| &part.wide).collect(),
            Role::FeedForwardOut => self.feed_forward.iter().map(|part| &part.narrow).collect(),
        }
    }
}

/// What looks like an attention and is not told apart for certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The node.
    pub node: String,
    /// What does not fit.
    pub reason: String,
}

/// The attentions of a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attentions {
    /// Those that were found, from the input to the output.
    pub found: Vec<Attention>,
    /// What was left out.
    pub left_out: Vec<LeftOut>,
}

impl Attentions {
    /// The weights of a role's layers, each once.
    pub fn weights(&self, role: Role) -> BTreeSet<ValueId> {
        self.found.iter().flat_map(|block| block.linears(role)).map(|linear| linear.weight).collect()
    }

    /// The roles that a weight has.
    pub fn roles(&self, weight: ValueId) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.weights(*role).contains(&weight)).collect()
    }

    /// ``query (6 layers in 6 blocks)`` for those of a role's layers whose weights are among these; nothing where there is none.
    pub fn told(&self, role: Role, among: &BTreeSet<ValueId>) -> Option<String> {
        let of = |block: &&Attention| block.linears(role).iter().any(|linear| among.contains(&linear.weight));
        let blocks = self.found.iter().filter(of).count();
        let weights: BTreeSet<ValueId> = self.weights(role).intersection(among).copied().collect();
        let all = match self.found.len() {
            all if all == blocks => count(blocks as u64, "block"),
            all => format!("{blocks} of {}", count(all as u64, "block")),
        };
        (blocks > 0).then(|| format!("{} ({} in {all})", role.name(), count(weights.len() as u64, "layer")))
    }

    /// What was found, in words: every role with the number of its layers, or that there is none.
    pub fn summary(&self) -> String {
        let told = |role: Role| self.told(role, &self.weights(role));
        let roles: Vec<String> = Role::ALL.into_iter().filter_map(told).collect();
        let found = if roles.is_empty() { "no attention was found".to_owned() } else { roles.join(", ") };
        format!("{found}{}", self.left_out_in_words().map_or_else(String::new, |words| format!("; {words}")))
    }

    /// What was left out, in words.
    pub fn left_out_in_words(&self) -> Option<String> {
        let first = self.left_out.first()?;
        let (count, node) = (count(self.left_out.len() as u64, "softmax"), shown(&first.node));
        Some(format!("{count} left out, `{node}` first: {}", first.reason))
    }
}
