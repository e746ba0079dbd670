use crate::recipe::Fault;

/// What can be wrong with a choice.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// A name that no row has.
    #[error("{place}: unknown {kind} `{name}`{}", did_you_mean(.nearest))]
    UnknownName {
        /// Where, for example `transforms.train[2]`.
        place: String,
        /// What is chosen: `transform`, `optimizer`.
        kind: &'static str,
        /// The name as written.
        name: String,
        /// The registered name that looks most like it.
        nearest: Option<String>,
        /// What to write instead.
        help: Option<String>,
    },
    /// An option that the row does not have.
    #[error("{place}: unknown option `{option}`{}; it has {}", did_you_mean(.nearest), listed(.known))]
    UnknownOption {
        /// Where, for example `transforms.train[2].rotate`.
        place: String,
        /// The option as written.
        option: String,
        /// The option that looks most like it.
        nearest: Option<String>,
        /// The options there are.
        known: Vec<String>,
        /// What to write instead.
        help: Option<String>,
    },
    /// A value of the wrong type or out of range, with the value.
    #[error("{place}: {message}")]
    Option {
        /// Where, for example `transforms.train[2].rotate`.
        place: String,
        /// The option, as a path from there, if it is about one.
        option: String,
        /// Wanted and got.
        message: String,
        /// What to write instead.
        help: Option<String>,
    },
}

impl ChoiceError {
    /// Where, with the option: `transforms.train[2].rotate.degrees`.
    pub fn place(&self) -> String {
        match self {
            Self::Option { place, option, .. } if !option.is_empty() => format!("{place}.{option}"),
            Self::UnknownOption { place, option, .. } => format!("{place}.{option}"),
            Self::UnknownName { place, .. } | Self::Option { place, .. } => place.clone(),
        }
    }

    /// The option that it is about, if it is about one: the first part of its path.
    pub fn option(&self) -> Option<&str> {
        let (Self::Option { option, .. } | Self::UnknownOption { option, .. }) = self else { return None };
        option.split(['.', '[']).next().filter(|option| !option.is_empty())
    }

    /// Whether a name or an option is wrong, and not its value.
    pub fn is_of_key(&self) -> bool {
        matches!(self, Self::UnknownOption { .. })
    }

    /// What to write instead, where that is known.
    pub fn help(&self) -> Option<&str> {
        let (Self::UnknownName { help, .. } | Self::UnknownOption { help, .. } | Self::Option { help, .. }) = self;
        help.as_deref()
    }

    /// With what to write instead.
    #[must_use]
    pub fn with_help(mut self, line: String) -> Self {
        let (Self::UnknownName { help, .. } | Self::UnknownOption { help, .. } | Self::Option { help, .. }) = &mut self;
        *help = Some(line);
        self
    }

    /// Whether the other says that an option is missing which this one is about.
    pub fn covers_missing(&self, other: &Self) -> bool {
        let (Self::Option { .. }, Some(option), Self::Option { message, option: none, .. }) =
            (self, self.option(), other)
        else {
            return false;
        };
        none.is_empty() && (message.contains(option) || message.starts_with("give "))
    }
}

impl From<ChoiceError> for Fault {
    fn from(error: ChoiceError) -> Self {
        Self {
            place: error.place(),
            at_key: error.is_of_key(),
            message: error.to_string(),
            help: error.help().map(str::to_owned),
        }
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { "no options".into() } else { known.join(", ") }
}
