"""Operators of `operators.py` with windows, normalizations, recurrence and attention."""

import math

import torch
import torch.nn.functional as f

MICROSOFT = "com.microsoft"
RULES = {}


def rule(*names, domain=""):
    def register(function):
        RULES.update({(domain, name): function for name in names})
        return function
    return register


def activated(call, y):
    """With what ONNX Runtime's optimizer has fused behind it."""
    name = call.get("activation") or ""
    options = [call.get(f"activation_{key}", otherwise) for key, otherwise in (("alpha", None), ("beta", None), ("gamma", None))]
    alpha, beta = [*(call.get("activation_params") or options), None, None][:2]
    functions = {
        "": lambda: y, "Relu": lambda: torch.relu(y), "Tanh": lambda: torch.tanh(y), "Sigmoid": lambda: torch.sigmoid(y),
        "LeakyRelu": lambda: f.leaky_relu(y, 0.01 if alpha is None else alpha), "Clip": lambda: torch.clamp(y, alpha, beta),
        "HardSigmoid": lambda: torch.clamp((0.2 if alpha is None else alpha) * y + (0.5 if beta is None else beta), 0, 1),
    }
    return functions[name]()


def padding(call, lengths, kernel, strides, dilations):
    """Begins and ends of each axis."""
    auto = call.get("auto_pad", "NOTSET") or "NOTSET"
    count = len(lengths)
    if auto == "NOTSET":
        pads = call.get("pads") or [0] * 2 * count
        return list(zip(pads[:count], pads[count:]))
    if auto == "VALID":
        return [(0, 0)] * count
    pads = []
    for length, size, stride, dilation in zip(lengths, kernel, strides, dilations):
        total = max(0, (-(-length // stride) - 1) * stride + dilation * (size - 1) + 1 - length)
        small = total // 2
        pads.append((small, total - small) if auto == "SAME_UPPER" else (total - small, small))
    return pads


def padded(x, pads, value=0.0):
    flat = [number for pair in reversed(pads) for number in pair]
    return f.pad(x, flat, value=value) if any(flat) else x


def lists(call, rank, kernel):
    return kernel, call.get("strides") or [1] * rank, call.get("dilations") or [1] * rank


@rule("Conv")
@rule("FusedConv", domain=MICROSOFT)
def conv(call, x, weight, bias=None, added=None):
    rank = x.dim() - 2
    kernel, strides, dilations = lists(call, rank, list(weight.shape[2:]))
    x = padded(x, padding(call, x.shape[2:], kernel, strides, dilations))
    y = (f.conv1d, f.conv2d, f.conv3d)[rank - 1](x, weight, bias, strides, 0, dilations, call.get("group", 1))
    return activated(call, y if added is None else y + added)


@rule("ConvTranspose")
def conv_transpose(call, x, weight, bias=None):
    rank = x.dim() - 2
    kernel, strides, dilations = lists(call, rank, list(weight.shape[2:]))
    extra = call.get("output_padding") or [0] * rank
    assert call.get("output_shape") is None and (call.get("auto_pad") or "NOTSET") == "NOTSET"
    pads = call.get("pads") or [0] * 2 * rank
    function = (f.conv_transpose1d, f.conv_transpose2d, f.conv_transpose3d)[rank - 1]
    y = function(x, weight, bias, strides, 0, 0, call.get("group", 1), dilations)
    y = padded(y, [(0, more) for more in extra]) if bias is None else _more(y, extra, bias)
    for axis in range(rank):
        y = y.narrow(2 + axis, pads[axis], y.shape[2 + axis] - pads[axis] - pads[rank + axis])
    return y


def _more(y, extra, bias):
    shaped = bias.reshape(1, -1, *[1] * (y.dim() - 2))
    return padded(y - shaped, [(0, more) for more in extra]) + shaped


def pool(call, x, value):
    """Padded, so that windows begin at all places and end within; and the padding that is no part of the picture."""
    rank = x.dim() - 2
    kernel, strides, dilations = lists(call, rank, call.get("kernel_shape"))
    pads, more = padding(call, x.shape[2:], kernel, strides, dilations), []
    for length, (before, after), size, stride, dilation in zip(x.shape[2:], pads, kernel, strides, dilations):
        room = length + before + after - dilation * (size - 1) - 1
        count = room // stride + 1
        if call.get("ceil_mode", 0):
            count = -(-room // stride) + 1
            count -= (count - 1) * stride >= length + before
        more.append(max(0, (count - 1) * stride + dilation * (size - 1) + 1 - (length + before + after)))
    return kernel, strides, dilations, pads, [(0, end) for end in more]


@rule("MaxPool")
@rule("NhwcMaxPool", domain=MICROSOFT)
def max_pool(call, x):
    assert call.outputs == 1
    kernel, strides, dilations, pads, more = pool(call, x, 0)
    low = torch.finfo(x.dtype).min
    x = padded(padded(x, pads, low), more, low)
    return (f.max_pool1d, f.max_pool2d, f.max_pool3d)[x.dim() - 3](x, kernel, strides, 0, dilations)


@rule("AveragePool")
def average_pool(call, x):
    kernel, strides, dilations, pads, more = pool(call, x, 0)
    assert all(dilation == 1 for dilation in dilations)
    function = (f.avg_pool1d, f.avg_pool2d, f.avg_pool3d)[x.dim() - 3]
    ones = torch.ones_like(x[:1, :1])
    ones = padded(padded(ones, pads, float(call.get("count_include_pad", 0))), more)
    return function(padded(padded(x, pads), more), kernel, strides) / function(ones, kernel, strides)


@rule("LpPool")
def lp_pool(call, x):
    power = call.get("p", 2)
    kernel, strides, _, pads, more = pool(call, x, 0)
    sums = (f.avg_pool1d, f.avg_pool2d, f.avg_pool3d)[x.dim() - 3](padded(padded(x, pads), more).abs() ** power, kernel, strides)
    return (sums * math.prod(kernel)) ** (1 / power)


@rule("LRN")
def lrn(call, x):
    size = call.get("size")
    squares = padded(x.square().unsqueeze(1), [((size - 1) // 2, size // 2)] + [(0, 0)] * (x.dim() - 2))
    sums = sum(squares[:, :, place:place + x.shape[1]] for place in range(size)).squeeze(1)
    return x / (call.get("bias", 1.0) + call.get("alpha", 1e-4) / size * sums) ** call.get("beta", 0.75)


@rule("BatchNormalization")
def batch_normalization(call, x, scale, bias, mean, variance):
    by_batch = call.get("training_mode", 0)
    axes = [axis for axis in range(x.dim()) if axis != 1]
    if by_batch:
        old_mean, old_variance, kept = mean, variance, call.get("momentum", 0.9)
        mean, variance = x.mean(axes), x.var(axes, unbiased=False)
    shape = [1, -1] + [1] * (x.dim() - 2)
    y = (x - mean.reshape(shape)) / (variance + call.get("epsilon", 1e-5)).reshape(shape).sqrt()
    y = y * scale.reshape(shape) + bias.reshape(shape)
    if not by_batch:
        return y
    return y, *(kept * old + (1 - kept) * new for old, new in ((old_mean, mean), (old_variance, variance)))


def normalized(x, axes, epsilon):
    return (x - x.mean(axes, keepdim=True)) / (x.var(axes, unbiased=False, keepdim=True) + epsilon).sqrt()


@rule("LayerNormalization")
def layer_normalization(call, x, scale, bias=None):
    axes = list(range(call.get("axis", -1) % x.dim(), x.dim()))
    y = normalized(x, axes, call.get("epsilon", 1e-5)) * scale
    return y if bias is None else y + bias


@rule("InstanceNormalization")
def instance_normalization(call, x, scale, bias):
    shape = [1, -1] + [1] * (x.dim() - 2)
    return normalized(x, list(range(2, x.dim())), call.get("epsilon", 1e-5)) * scale.reshape(shape) + bias.reshape(shape)


@rule("GroupNormalization")
def group_normalization(call, x, scale, bias):
    groups = call.get("num_groups")
    if scale.numel() == groups and groups != x.shape[1]:
        scale, bias = (value.repeat_interleave(x.shape[1] // groups) for value in (scale, bias))
    return f.group_norm(x, groups, scale, bias, call.get("epsilon", 1e-5))


def root_mean_square(call, x, scale, axes):
    return x / (x.square().mean(axes, keepdim=True) + call.get("epsilon", 1e-5)).sqrt() * scale


@rule("RMSNormalization", "SimplifiedLayerNormalization")
@rule("SimplifiedLayerNormalization", domain=MICROSOFT)
def rms_normalization(call, x, scale):
    return root_mean_square(call, x, scale, list(range(call.get("axis", -1) % x.dim(), x.dim())))


def skip(x, added, bias):
    total = x + added
    return total if bias is None else total + bias


@rule("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_normalization(call, x, added, scale, beta=None, bias=None):
    total = skip(x, added, bias)
    y = normalized(total, [-1], call.get("epsilon", 1e-12)) * scale
    return y if beta is None else y + beta, None, None, total


@rule("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_simplified_layer_normalization(call, x, added, scale, bias=None):
    total = skip(x, added, bias)
    return root_mean_square(call, total, scale, [-1]), None, None, total


@rule("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_normalization(call, ids, types, words, positions, segments, scale, beta, mask=None, places=None):
    places = torch.arange(ids.shape[1]).expand(ids.shape) if places is None else places
    total = words[ids.long()] + positions[places.long()]
    if types is not None and segments is not None:
        total = total + segments[types.long()]
    counts = torch.zeros(ids.shape[0], dtype=torch.int32) if mask is None else mask.sum(1).to(torch.int32)
    return normalized(total, [-1], call.get("epsilon", 1e-12)) * scale + beta, counts, total


@rule("LpNormalization")
def lp_normalization(call, x):
    axis, p = call.get("axis", -1), call.get("p", 2)
    return x / (x.abs().sum(axis, keepdim=True) if p == 1 else x.square().sum(axis, keepdim=True).sqrt())


def weights_along(length, wanted, scale, call, low, high, dtype):
    """A matrix `[wanted, length]` that resizes one axis."""
    matrix = torch.zeros(wanted, length, dtype=dtype)
    mode, form = call.get("mode", "nearest"), call.get("coordinate_transformation_mode", "half_pixel")
    for out in range(wanted):
        if form == "half_pixel":
            place = (out + 0.5) / scale - 0.5
        elif form == "pytorch_half_pixel":
            place = (out + 0.5) / scale - 0.5 if wanted > 1 else 0.0
        elif form == "align_corners":
            place = out * (length - 1) / (wanted - 1) if wanted > 1 else 0.0
        elif form == "asymmetric":
            place = out / scale
        else:
            raise NotImplementedError(form)
        if mode == "nearest":
            how = call.get("nearest_mode", "round_prefer_floor")
            rounded = {"floor": math.floor, "ceil": math.ceil, "round_prefer_floor": lambda at: math.ceil(at - 0.5),
                       "round_prefer_ceil": lambda at: math.floor(at + 0.5)}[how](place)
            matrix[out, min(max(rounded, 0), length - 1)] += 1
            continue
        first, a = math.floor(place), call.get("cubic_coeff_a", -0.75)
        for at in range(first - 1, first + 3) if mode == "cubic" else (first, first + 1):
            far = abs(place - at)
            if mode == "linear":
                share = 1 - far
            elif far <= 1:
                share = ((a + 2) * far - (a + 3)) * far * far + 1
            else:
                share = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
            matrix[out, min(max(at, 0), length - 1)] += share
    return matrix


@rule("Resize", "Upsample")
def resize(call, x, *rest):
    assert not call.get("antialias", 0) and not call.get("exclude_outside", 0) and call.get("axes") is None
    if call.node.op_type == "Upsample" or len(rest) == 1:
        scales, sizes = rest[0], None
        call.attributes.update(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    else:
        scales, sizes = (rest[1] if len(rest) > 1 else None), (rest[2] if len(rest) > 2 else None)
    if sizes is not None and sizes.numel():
        wanted = [int(number) for number in sizes]
        scales = [want / length for want, length in zip(wanted, x.shape)]
    else:
        scales = [float(number) for number in scales]
        wanted = [math.floor(length * scale) for length, scale in zip(x.shape, scales)]
    for axis, (want, length, scale) in enumerate(zip(wanted, x.shape, scales)):
        if want != length:
            matrix = weights_along(length, want, scale, call, 0, 0, x.dtype)
            x = torch.tensordot(matrix, x, ([1], [axis])).movedim(0, axis)
    return x


@rule("GridSample")
def grid_sample(call, x, grid):
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(call.get("mode", "bilinear"), call.get("mode", "bilinear"))
    return f.grid_sample(x, grid, mode, call.get("padding_mode", "zeros"), bool(call.get("align_corners", 0)))
