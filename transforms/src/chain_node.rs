use serde_json::{Value, json};

use crate::batch_transform::BatchTransform;
use crate::combination::Combine;
use crate::error::TransformError;
use crate::image_transform::ImageTransform;
use crate::kind::Kind;
use crate::random::{DrawKey, Random};
use crate::target::Target;
use crate::text_transform::TextTransform;
use crate::transform::Transform;

/// One transform of the list, with what its randomness depends on.
pub(crate) struct Node {
    pub(crate) row: Transform,
    pub(crate) place: String,
    pub(crate) occurrence: u32,
    /// How often it happens, where it can be left out.
    pub(crate) probability: Option<f64>,
    /// With every default filled in.
    pub(crate) options: Value,
    pub(crate) does: Action,
}

pub(crate) enum Action {
    Batch(Box<dyn BatchTransform>),
    Combine(Box<dyn Combine>, Vec<Node>),
    Image(Box<dyn ImageTransform>),
    Text(Box<dyn TextTransform>),
}

impl Node {
    /// A combination is of the kind of what it combines.
    pub(crate) fn kind(&self) -> Kind {
        match &self.does {
            Action::Combine(_, children) => {
                children.iter().map(Self::kind).find(|kind| *kind != Kind::Combine).unwrap_or(Kind::Combine)
            }
            _ => self.row.kind(),
        }
    }

    pub(crate) fn is_random(&self) -> bool {
        let of_its_own = match &self.does {
            Action::Batch(transform) => transform.is_random(),
            Action::Combine(rule, children) => rule.is_random() || children.iter().any(Self::is_random),
            Action::Image(transform) => transform.is_random(),
            Action::Text(transform) => transform.is_random(),
        };
        self.can_happen() && (of_its_own || self.probability.is_some_and(|probability| probability < 1.0))
    }

    fn can_happen(&self) -> bool {
        self.probability.is_none_or(|probability| probability > 0.0)
    }

    /// Its random numbers, if it happens this time. Whether it does is drawn first.
    pub(crate) fn happens(&self, key: &DrawKey) -> Option<Random> {
        let mut random = key.random(self.row.name, self.occurrence);
        self.probability.is_none_or(|probability| random.bernoulli(probability)).then_some(random)
    }

    /// Refuses what must stand last and does not: values after it are no pixels any more.
    pub(crate) fn check_last(&self, last: bool) -> Result<(), TransformError> {
        match &self.does {
            Action::Image(transform) if transform.must_be_last() && !last => {
                Err(TransformError::NotLast { place: self.place.clone(), name: self.row.name.into() })
            }
            Action::Combine(_, children) => children.iter().try_for_each(|child| child.check_last(false)),
            _ => Ok(()),
        }
    }

    /// Refuses a kind of target that it leaves behind.
    pub(crate) fn check_target(&self, target: Target) -> Result<(), TransformError> {
        if !self.can_happen() {
            return Ok(());
        }
        let left_behind = match &self.does {
            Action::Combine(_, children) => return children.iter().try_for_each(|child| child.check_target(target)),
            Action::Batch(_) => target.is_left_behind(self.row.targets, true),
            Action::Image(_) | Action::Text(_) => target.is_left_behind(self.row.targets, false),
        };
        if left_behind {
            return Err(TransformError::CannotMove { place: self.place.clone(), name: self.row.name.into(), target });
        }
        Ok(())
    }

    /// Refuses images of so many channels.
    pub(crate) fn check_channels(&self, channels: u32) -> Result<(), TransformError> {
        match &self.does {
            Action::Combine(_, children) => children.iter().try_for_each(|child| child.check_channels(channels)),
            Action::Image(transform) => transform
                .check_channels(channels)
                .map_err(|message| TransformError::Channels { place: self.place.clone(), message }),
            Action::Batch(_) | Action::Text(_) => Ok(()),
        }
    }

    /// Name, options and what is combined, as JSON.
    pub(crate) fn canonical(&self) -> Value {
        let children = match &self.does {
            Action::Combine(_, children) => children.iter().map(Self::canonical).collect(),
            _ => Vec::new(),
        };
        json!([self.row.name, self.options, children])
    }

    fn changes_label(&self) -> bool {
        match &self.does {
            _ if !self.can_happen() => false,
            Action::Batch(transform) => transform.changes_label(),
            Action::Combine(..) => false,
            Action::Image(transform) => transform.changes_label(),
            Action::Text(transform) => transform.changes_label(),
        }
    }

    pub(crate) fn collect_warnings(&self, warnings: &mut Vec<String>) {
        if let Some(reason) = self.row.changes_label.filter(|_| self.changes_label()) {
            warnings.push(format!("{} can change the label: {reason}", self.place));
        }
        if let Action::Combine(_, children) = &self.does {
            for child in children {
                child.collect_warnings(warnings);
            }
        }
    }
}
