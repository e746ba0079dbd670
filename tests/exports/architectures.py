"""Public architectures, small, with random weights: name, family, what goes in, and how it is made.

Each gives scores `[batch, 10]` of classes, or `[batch, 4, height, width]` of pixels.
"""

import dataclasses
import typing

CLASSES, PIXEL_CLASSES = 10, 4


@dataclasses.dataclass(frozen=True)
class Architecture:
    name: str
    family: str
    kind: str  # image, bytes (an image of them), pixels, tokens, numbers
    size: int  # side of the image, longest text, or numbers in a row
    make: typing.Callable
    mask: bool = True  # whether a text model takes an attention mask
    kind_of_export: typing.Optional[str] = None  # another exporter than PyTorch's
    channels_last: bool = False  # how the model takes images


def everything():
    import image_models
    import keras_models
    import other_models
    import text_models
    import traditional_models
    found = [*image_models.torchvision_models(), *image_models.timm_models(), *other_models.pixel_models(), *text_models.models(),
             *other_models.sound_models(), *other_models.table_models(), *traditional_models.models(), *keras_models.models()]
    names = [entry.name for entry in found]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    return found
