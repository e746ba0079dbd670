use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// In which order the axes of a tensor of images stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageLayout {
    /// `[batch, channels, height, width]`, as PyTorch has it.
    #[default]
    ChannelsFirst,
    /// `[batch, height, width, channels]`, as TensorFlow has it.
    ChannelsLast,
}

impl ImageLayout {
    /// The axes of one image in this order.
    pub fn shape<T>(self, channels: T, height: T, width: T) -> [T; 3] {
        match self {
            Self::ChannelsFirst => [channels, height, width],
            Self::ChannelsLast => [height, width, channels],
        }
    }

    /// Channels, height and width of axes in this order.
    pub fn read<T: Copy>(self, [first, second, third]: [T; 3]) -> [T; 3] {
        match self {
            Self::ChannelsFirst => [first, second, third],
            Self::ChannelsLast => [third, first, second],
        }
    }

    /// The order in which the axes of a row of a tensor stand that is an image of 1 or 3 channels by its shape, with channels, height
    /// and width. `None` of another shape.
    pub fn of_row(shape: &[Option<usize>]) -> Option<(Self, [usize; 3])> {
        let [Some(first), Some(second), Some(third)] = *shape else { return None };
        let is_image = |layout: &Self| matches!(layout.read([first, second, third])[0], 1 | 3);
        let layout = [Self::ChannelsFirst, Self::ChannelsLast].into_iter().find(is_image)?;
        Some((layout, layout.read([first, second, third])))
    }

    /// The axes of a batch, in words.
    pub fn axes(self) -> &'static str {
        match self {
            Self::ChannelsFirst => "[batch, channels, height, width]",
            Self::ChannelsLast => "[batch, height, width, channels]",
        }
    }

    /// As a recipe names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChannelsFirst => "channels_first",
            Self::ChannelsLast => "channels_last",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_in_either_order_are_read_as_they_were_put() {
        for layout in [ImageLayout::ChannelsFirst, ImageLayout::ChannelsLast] {
            assert_eq!(layout.read(layout.shape(3, 20, 30)), [3, 20, 30]);
            assert_eq!(serde_json::to_value(layout).unwrap(), layout.name());
            let row = layout.shape(3, 20, 30).map(Some);
            assert_eq!(ImageLayout::of_row(&row), Some((layout, [3, 20, 30])));
        }
        assert_eq!(ImageLayout::of_row(&[Some(8), Some(20), Some(30)]), None);
        assert_eq!(ImageLayout::of_row(&[Some(3), None, Some(30)]), None);
    }
}
