"""The operators of `evaluation.py`, by domain and name."""

import math

import torch
import torch.nn.functional as f
from onnx import TensorProto

import sequences
import windows

MICROSOFT = "com.microsoft"
FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
INTEGERS = {
    TensorProto.INT64: torch.int64, TensorProto.INT32: torch.int32, TensorProto.INT16: torch.int16, TensorProto.INT8: torch.int8,
    TensorProto.UINT8: torch.uint8, TensorProto.BOOL: torch.bool, TensorProto.UINT32: torch.int64, TensorProto.UINT64: torch.int64,
}
RULES = {}


class Call:
    """What a rule is told of its node, beside the inputs."""

    def __init__(self, attributes, dtype, opset, outputs, node):
        self.attributes, self.dtype, self.opset, self.outputs, self.node = attributes, dtype, opset, outputs, node

    def get(self, name, otherwise=None):
        return self.attributes.get(name, otherwise)


def rule(*names, domain=""):
    def register(function):
        RULES.update({(domain, name): function for name in names})
        return function
    return register


def plain(domain="", **functions):
    RULES.update({(domain, name): lambda call, *x, _function=function: _function(*x) for name, function in functions.items()})


def numbers(value):
    return [int(number) for number in value.reshape(-1).tolist()]


def axes_of(call, given, rank):
    axes = call.get("axes") if given is None else numbers(given)
    return None if axes is None else [axis % rank for axis in axes]


def divide(a, b):
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def power(a, b):
    return torch.pow(a, b.to(a.dtype)) if a.is_floating_point() else torch.pow(a, b).to(a.dtype)


plain(
    Abs=torch.abs, Acos=torch.acos, Add=torch.add, And=torch.logical_and, Asin=torch.asin, Atan=torch.atan, Ceil=torch.ceil, Cos=torch.cos,
    Cosh=torch.cosh, Div=divide, Equal=torch.eq, Erf=torch.erf, Exp=torch.exp, Floor=torch.floor, Greater=torch.gt,
    GreaterOrEqual=torch.ge, HardSwish=f.hardswish, Identity=lambda x: x, IsInf=torch.isinf, IsNaN=torch.isnan, Less=torch.lt, LessOrEqual=torch.le,
    Log=torch.log, MatMul=torch.matmul, Mish=f.mish, Mul=torch.mul, Neg=torch.neg, Not=torch.logical_not, Or=torch.logical_or,
    Pow=power, Reciprocal=torch.reciprocal, Relu=torch.relu, Round=torch.round, Sigmoid=torch.sigmoid, Sign=torch.sign,
    Sin=torch.sin, Sinh=torch.sinh, Softplus=f.softplus, Softsign=f.softsign, Sqrt=torch.sqrt, Sub=torch.sub, Tan=torch.tan,
    Tanh=torch.tanh, Where=torch.where, Xor=torch.logical_xor,
    Dropout=lambda x, *_: (x, torch.ones_like(x, dtype=torch.bool)),
    Size=lambda x: torch.tensor(x.numel()),
    NonZero=lambda x: torch.nonzero(x).T,
    Expand=lambda x, shape: x.expand(torch.broadcast_shapes(x.shape, numbers(shape))),
    Tile=lambda x, times: x.repeat(numbers(times)),
    Range=lambda a, b, step: torch.arange(a.item(), b.item(), step.item(), dtype=a.dtype),
    PRelu=lambda x, slope: torch.where(x < 0, x * slope, x),
    GlobalAveragePool=lambda x: x.mean(tuple(range(2, x.dim())), keepdim=True),
    GlobalMaxPool=lambda x: x.amax(tuple(range(2, x.dim())), keepdim=True),
)


def folded(function):
    def fold(*values):
        result = values[0]
        for value in values[1:]:
            result = function(result, value)
        return result
    return fold


plain(Sum=folded(torch.add), Max=folded(torch.maximum), Min=folded(torch.minimum),
      Mean=lambda *values: folded(torch.add)(*values) / len(values))


@rule("Constant")
def constant(call):
    (name, value), = call.attributes.items()
    if isinstance(value, torch.Tensor):
        return value
    return torch.tensor(value, dtype=call.dtype if "float" in name else torch.int64)


@rule("ConstantOfShape")
def constant_of_shape(call, shape):
    value = call.get("value", torch.zeros(1, dtype=call.dtype))
    return torch.full(numbers(shape), value.reshape(-1)[0].item(), dtype=value.dtype)


@rule("Cast")
def cast(call, x):
    to = call.get("to")
    return x.to(call.dtype) if to in FLOATS else x.to(INTEGERS[to])


@rule("CastLike")
def cast_like(call, x, like):
    return x.to(like.dtype)


@rule("Shape")
def shape_of(call, x):
    return torch.tensor(list(x.shape)[slice(call.get("start", 0), call.get("end"))], dtype=torch.int64)


@rule("Reshape")
def reshape(call, x, shape):
    wanted = numbers(shape)
    if not call.get("allowzero", 0):
        wanted = [x.shape[place] if length == 0 else length for place, length in enumerate(wanted)]
    return x.reshape(wanted)


@rule("Flatten")
def flatten(call, x):
    axis = call.get("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]) if axis != 0 else 1, -1)


@rule("Transpose")
def transpose(call, x):
    return x.permute(call.get("perm", list(range(x.dim()))[::-1]))


@rule("Squeeze")
def squeeze(call, x, axes=None):
    chosen = axes_of(call, axes, x.dim())
    chosen = [axis for axis in range(x.dim()) if x.shape[axis] == 1] if chosen is None else chosen
    return x.reshape([length for axis, length in enumerate(x.shape) if axis not in chosen])


@rule("Unsqueeze")
def unsqueeze(call, x, axes=None):
    given = call.get("axes") if axes is None else numbers(axes)
    for axis in sorted(axis % (x.dim() + len(given)) for axis in given):
        x = x.unsqueeze(axis)
    return x


@rule("Concat")
def concat(call, *values):
    return torch.cat(values, call.get("axis"))


@rule("Split")
def split(call, x, sizes=None):
    axis = call.get("axis", 0)
    given = call.get("split") if sizes is None else numbers(sizes)
    if given is None:
        given = -(-x.shape[axis] // (call.get("num_outputs") or call.outputs))
    return torch.split(x, given, axis)


@rule("Slice")
def slice_of(call, x, starts=None, ends=None, axes=None, steps=None):
    starts, ends = (call.get(name) if given is None else numbers(given) for name, given in (("starts", starts), ("ends", ends)))
    axes = (call.get("axes") if axes is None else numbers(axes)) or range(len(starts))
    for start, end, axis, step in zip(starts, ends, axes, [1] * len(starts) if steps is None else numbers(steps)):
        length = x.shape[axis]
        if step > 0:
            x = x[(slice(None),) * (axis % x.dim()) + (slice(start, end, step),)]
        else:
            start, end = (place + length if place < 0 else place for place in (start, end))
            places = list(range(min(start, length - 1), max(end, -1), step))
            x = x.index_select(axis, torch.tensor(places, dtype=torch.int64))
    return x


@rule("Gather")
def gather(call, x, places):
    axis = call.get("axis", 0) % x.dim()
    flat = places.reshape(-1).long()
    flat = torch.where(flat < 0, flat + x.shape[axis], flat)
    return x.index_select(axis, flat).reshape([*x.shape[:axis], *places.shape, *x.shape[axis + 1:]])


@rule("GatherElements")
def gather_elements(call, x, places):
    axis = call.get("axis", 0)
    return torch.gather(x, axis, torch.where(places < 0, places + x.shape[axis], places).long())


@rule("GatherND")
def gather_nd(call, x, places):
    kept = call.get("batch_dims", 0)
    first = x.shape[:kept]
    x = x.reshape(-1, *x.shape[kept:])
    places = places.reshape(-1, *places.shape[kept:])
    rows = [x[row][tuple(places[row].unbind(-1))] for row in range(x.shape[0])]
    return torch.stack(rows).reshape(*first, *rows[0].shape)


@rule("ScatterND")
def scatter_nd(call, x, places, updates):
    adds = call.get("reduction", "none") == "add"
    return x.index_put(tuple(places.long().unbind(-1)), updates, accumulate=adds)


@rule("ScatterElements")
def scatter_elements(call, x, places, updates):
    axis = call.get("axis", 0)
    if call.get("reduction", "none") == "add":
        return x.scatter_add(axis, places, updates)
    return x.scatter(axis, places, updates)


@rule("OneHot")
def one_hot(call, places, depth, values):
    depth = int(depth.reshape(-1)[0])
    hot = f.one_hot(torch.where(places < 0, places + depth, places).long(), depth).to(values.dtype)
    hot = hot * (values[1] - values[0]) + values[0]
    axis = call.get("axis", -1)
    return hot.movedim(-1, axis)


@rule("Trilu")
def trilu(call, x, k=None):
    return (torch.triu if call.get("upper", 1) else torch.tril)(x, 0 if k is None else int(k))


@rule("EyeLike")
def eye_like(call, x):
    wanted, k = call.get("dtype"), call.get("k", 0)
    eye = torch.ones(x.shape, dtype=call.dtype).triu(k).tril(k)
    return eye if wanted in FLOATS or wanted is None and x.is_floating_point() else eye.to(x.dtype if wanted is None else INTEGERS[wanted])


@rule("DFT")
def dft(call, x, length=None, axis=None):
    axis = int(axis) if axis is not None else call.get("axis", 1 if call.opset < 20 else -2)
    axis %= x.dim()
    values = torch.view_as_complex(x.contiguous()) if x.shape[-1] == 2 else x[..., 0].to(torch.promote_types(x.dtype, torch.complex64))
    transform = torch.fft.ifft if call.get("inverse", 0) else torch.fft.fft
    made = transform(values, n=None if length is None else int(length), dim=axis)
    if call.get("onesided", 0):
        made = made.narrow(axis, 0, made.shape[axis] // 2 + 1)
    return torch.view_as_real(made)


@rule("Col2Im")
def col2im(call, x, image, block):
    pads = call.get("pads", [0, 0, 0, 0])
    assert pads[:2] == pads[2:]
    return f.fold(x, numbers(image), numbers(block), dilation=call.get("dilations", [1, 1]), padding=pads[:2], stride=call.get("strides", [1, 1]))


@rule("CumSum")
def cum_sum(call, x, axis):
    axis = int(axis)
    assert not call.get("exclusive", 0)
    return x.flip(axis).cumsum(axis).flip(axis) if call.get("reverse", 0) else x.cumsum(axis)


@rule("Mod")
def mod(call, a, b):
    return torch.fmod(a, b) if call.get("fmod", 0) else torch.remainder(a, b)


@rule("Clip")
def clip(call, x, low=None, high=None):
    low = call.get("min") if low is None else low
    high = call.get("max") if high is None else high
    return torch.clamp(x, None if low is None else float(low), None if high is None else float(high))


@rule("TopK")
def top_k(call, x, k):
    return tuple(torch.topk(x, int(k), call.get("axis", -1), bool(call.get("largest", 1))))


@rule("ArgMax", "ArgMin")
def arg_max(call, x):
    found = torch.argmax if call.node.op_type == "ArgMax" else torch.argmin
    return found(x, call.get("axis", 0), keepdim=bool(call.get("keepdims", 1)))


@rule("Pad")
def pad(call, x, pads=None, value=None, axes=None):
    pads = call.get("pads") if pads is None else numbers(pads)
    axes = range(x.dim()) if axes is None else numbers(axes)
    mode = call.get("mode", "constant")
    count = len(pads) // 2
    by_axis = {axis % x.dim(): (pads[place], pads[place + count]) for place, axis in enumerate(axes)}
    filled = call.get("value", 0.0) if value is None else float(value)
    for axis, (before, after) in by_axis.items():
        if mode == "constant":
            x = f.pad(x, [0, 0] * (x.dim() - 1 - axis) + [before, after], value=filled)
            continue
        places = torch.arange(-before, x.shape[axis] + after)
        last = x.shape[axis] - 1
        if mode == "edge":
            places = places.clamp(0, last)
        elif mode == "reflect":
            places = (last - (places.abs() - last).abs()) if last > 0 else places * 0
        else:
            places = places % (last + 1)
        x = x.index_select(axis, places)
    return x


def reduction(function, whole=False):
    def reduce(call, x, axes=None):
        chosen = axes_of(call, axes, x.dim())
        if not chosen:
            if call.get("noop_with_empty_axes", 0):
                return x
            chosen = list(range(x.dim()))
        return function(x, tuple(chosen), bool(call.get("keepdims", 1)))
    return reduce


def product(x, axes, keep):
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


for _name, _function in {
    "ReduceMean": lambda x, a, k: x.mean(a, keepdim=k), "ReduceSum": lambda x, a, k: x.sum(a, keepdim=k),
    "ReduceMax": lambda x, a, k: x.amax(a, keepdim=k), "ReduceMin": lambda x, a, k: x.amin(a, keepdim=k),
    "ReduceL2": lambda x, a, k: x.square().sum(a, keepdim=k).sqrt(), "ReduceL1": lambda x, a, k: x.abs().sum(a, keepdim=k),
    "ReduceSumSquare": lambda x, a, k: x.square().sum(a, keepdim=k), "ReduceProd": product,
    "ReduceLogSumExp": lambda x, a, k: x.logsumexp(a, keepdim=k), "ReduceLogSum": lambda x, a, k: x.sum(a, keepdim=k).log(),
}.items():
    RULES["", _name] = reduction(_function)


@rule("Softmax", "LogSoftmax")
def softmax(call, x):
    function = torch.softmax if call.node.op_type == "Softmax" else torch.log_softmax
    if call.opset >= 13:
        return function(x, call.get("axis", -1))
    axis = call.get("axis", 1) % x.dim()
    return function(x.reshape(math.prod(x.shape[:axis]), -1), -1).reshape(x.shape)


@rule("LeakyRelu")
def leaky_relu(call, x):
    return f.leaky_relu(x, call.get("alpha", 0.01))


@rule("Elu")
def elu(call, x):
    return torch.where(x < 0, call.get("alpha", 1.0) * torch.expm1(x), x)


@rule("Celu")
def celu(call, x):
    return f.celu(x, call.get("alpha", 1.0))


@rule("Selu")
def selu(call, x):
    alpha, gamma = call.get("alpha", 1.6732631921768188), call.get("gamma", 1.0507010221481323)
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(x))


@rule("HardSigmoid")
def hard_sigmoid(call, x):
    return torch.clamp(call.get("alpha", 0.2) * x + call.get("beta", 0.5), 0, 1)


@rule("ThresholdedRelu")
def thresholded_relu(call, x):
    return torch.where(x > call.get("alpha", 1.0), x, torch.zeros_like(x))


@rule("Swish")
def swish(call, x):
    return x * torch.sigmoid(call.get("alpha", 1.0) * x)


@rule("Gelu")
@rule("Gelu", domain=MICROSOFT)
def gelu(call, x):
    return f.gelu(x, approximate=call.get("approximate", "none"))


@rule("QuickGelu", domain=MICROSOFT)
def quick_gelu(call, x):
    return x * torch.sigmoid(call.get("alpha", 1.702) * x)


@rule("FastGelu", domain=MICROSOFT)
def fast_gelu(call, x, bias=None):
    return f.gelu(x if bias is None else x + bias, approximate="tanh")


@rule("BiasGelu", domain=MICROSOFT)
def bias_gelu(call, x, bias):
    return f.gelu(x + bias)


@rule("Gemm")
@rule("FusedGemm", domain=MICROSOFT)
def gemm(call, a, b, c=None):
    a = a.T if call.get("transA", 0) else a
    b = b.T if call.get("transB", 0) else b
    y = call.get("alpha", 1.0) * (a @ b)
    y = y if c is None else y + call.get("beta", 1.0) * c
    return windows.activated(call, y)


@rule("FusedMatMul", domain=MICROSOFT)
def fused_mat_mul(call, a, b):
    assert not call.get("transBatchA", 0) and not call.get("transBatchB", 0)
    a = a.transpose(-1, -2) if call.get("transA", 0) and a.dim() > 1 else a
    b = b.transpose(-1, -2) if call.get("transB", 0) and b.dim() > 1 else b
    return call.get("alpha", 1.0) * torch.matmul(a, b)


@rule("Einsum")
def einsum(call, *values):
    return torch.einsum(call.get("equation").replace(" ", ""), *values)


@rule("DepthToSpace")
def depth_to_space(call, x):
    side, (rows, channels, height, width) = call.get("blocksize"), x.shape
    if call.get("mode", "DCR") == "CRD":
        return f.pixel_shuffle(x, side)
    x = x.reshape(rows, side, side, channels // side**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(rows, channels // side**2, height * side, width * side)


@rule("SpaceToDepth")
def space_to_depth(call, x):
    side, (rows, channels, height, width) = call.get("blocksize"), x.shape
    x = x.reshape(rows, channels, height // side, side, width // side, side).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(rows, channels * side**2, height // side, width // side)


RULES.update(windows.RULES | sequences.RULES)
