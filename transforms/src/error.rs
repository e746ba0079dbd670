use millstream_schemas::ChoiceError;

use crate::image_facts::ImageFacts;
use crate::kind::Kind;
use crate::target::Target;

/// What can be wrong with a chain of transforms, a drawing, or the data a drawing is rendered from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransformError {
    /// An unknown name or option, or a value that an option cannot have.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// A transform that must stand last at the top of the list does not.
    #[error("{place}: `{name}` must be the last transform of the list")]
    NotLast {
        /// Where.
        place: String,
        /// Its name.
        name: String,
    },
    /// A transform of rows that stands after one of batches.
    #[error("{place}: `{name}` works on batches; put it after all transforms of rows")]
    BatchBeforeRows {
        /// Where the transform of batches stands.
        place: String,
        /// Its name.
        name: String,
    },
    /// A transform of one kind of data met another.
    #[error("{place}: this transforms {kind}, and the input is {input}")]
    WrongKind {
        /// Where.
        place: String,
        /// What it transforms.
        kind: Kind,
        /// What it was given.
        input: Kind,
    },
    /// Transforms of different kinds in one list or combination.
    #[error("{place}: transforms of {first} and of {second} cannot be combined")]
    MixedKinds {
        /// The combination, or the transform that does not fit the list.
        place: String,
        /// Kind of the first.
        first: Kind,
        /// The other kind.
        second: Kind,
    },
    /// Combinations inside combinations beyond any use.
    #[error("{place}: more than {limit} combinations inside each other")]
    TooDeep {
        /// Where.
        place: String,
        /// How many are allowed.
        limit: usize,
    },
    /// An image without pixels, or larger than can be rendered.
    #[error("an image of {width}×{height} pixels cannot be transformed; 1 to {limit} a side is possible")]
    ImageSize {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// The largest side.
        limit: u32,
    },
    /// An image without channels, or of more than can be rendered.
    #[error("an image of {channels} channels cannot be transformed; 1 to {limit} are possible")]
    ChannelCount {
        /// Values of a pixel.
        channels: u32,
        /// The most.
        limit: u32,
    },
    /// A transform that has no meaning for images of so many channels.
    #[error("{place}: {message}")]
    Channels {
        /// Where.
        place: String,
        /// Wanted and got.
        message: String,
    },
    /// A transform that moves what targets mark, and cannot move the targets.
    #[error("{place}: `{name}` cannot move {target}; leave it out, or them")]
    CannotMove {
        /// Where.
        place: String,
        /// Its name.
        name: String,
        /// What it cannot move.
        target: Target,
    },
    /// Four numbers that are no box.
    #[error("the box {numbers:?} has no area; it is {form}")]
    BoundingBox {
        /// As written.
        numbers: [f64; 4],
        /// What they should be.
        form: &'static str,
    },
    /// A class of a mask that is too large.
    #[error("a mask has classes of at most {most} either way, got {class}")]
    Class {
        /// The class.
        class: i32,
        /// The largest.
        most: u32,
    },
    /// An image of another size, or with other channels, than the one the drawing was made for.
    #[error("the drawing was made for an image of {wanted} pixels, and this one has {got}")]
    OtherImage {
        /// Of the image it was made for.
        wanted: ImageFacts,
        /// Of the image at hand.
        got: ImageFacts,
    },
    /// Fewer or more values than width × height × channels.
    #[error("an image of {width}×{height} pixels with {channels} channels has {wanted} values, got {got}")]
    PixelCount {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Values of a pixel.
        channels: u32,
        /// Width × height × channels.
        wanted: usize,
        /// Values given.
        got: usize,
    },
    /// The buffer to render into has another length than the drawing says.
    #[error("the drawing renders {wanted} values ({width}×{height}×{channels}), and the buffer holds {got}")]
    OutputLength {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Values of a pixel.
        channels: u32,
        /// Channels × height × width.
        wanted: usize,
        /// Values the buffer holds.
        got: usize,
    },
    /// The decoded part of an image lacks pixels that the drawing uses.
    #[error("the drawing uses {wanted} of the image, and {got} was decoded")]
    MissingRegion {
        /// `WIDTH×HEIGHT at (LEFT, TOP)`.
        wanted: String,
        /// The same for the part at hand.
        got: String,
    },
    /// A drawn step with impossible parameters (a damaged or hand-written drawing).
    #[error("drawn step {} ({transform}): {message}", .index + 1)]
    Step {
        /// Position in the drawing, from 0.
        index: usize,
        /// The transform that drew it.
        transform: String,
        /// Wanted and got.
        message: String,
    },
    /// A batch drawing that does not fit the batch.
    #[error("{transform}: {message}")]
    Batch {
        /// The transform that drew it.
        transform: String,
        /// Wanted and got.
        message: String,
    },
    /// A text edit that does not fit the text.
    #[error("edit {index} ({transform}) replaces characters {start}..{end}, and the text has {length}")]
    Edit {
        /// Position in the drawing, from 0.
        index: usize,
        /// The transform that drew it.
        transform: String,
        /// First character replaced.
        start: usize,
        /// One past the last.
        end: usize,
        /// Characters in the text at that point.
        length: usize,
    },
}

impl TransformError {
    /// Where in the list, for what is wrong with a list: `transforms.train[2].rotate.degrees`.
    pub fn place(&self) -> Option<String> {
        match self {
            Self::Choice(error) => Some(error.place()),
            Self::NotLast { place, .. }
            | Self::BatchBeforeRows { place, .. }
            | Self::WrongKind { place, .. }
            | Self::MixedKinds { place, .. }
            | Self::CannotMove { place, .. }
            | Self::Channels { place, .. }
            | Self::TooDeep { place, .. } => Some(place.clone()),
            _ => None,
        }
    }

    /// Whether a name or an option is wrong, and not its value.
    pub fn is_of_key(&self) -> bool {
        matches!(self, Self::Choice(error) if error.is_of_key())
    }

    /// What to write instead, where that is known.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Choice(error) => error.help(),
            _ => None,
        }
    }
}
