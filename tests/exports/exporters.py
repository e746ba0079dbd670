"""Writes an architecture as an ONNX file, in the ways in which people do."""

import hashlib
import logging
import os
import warnings

import numpy
import onnx
import onnxruntime
import torch

import rows

# Opsets, and which axis of rows is open: many files are exported with a batch of one.
SCRIPT = {"script-17": (17, True, True), "script-13-unfolded": (13, False, True), "script-11-one-row": (11, True, False)}
OTHER_OPSETS = {f"script-{opset}": (opset, True, True) for opset in (12, 14, 15, 16, 18, 19, 20)}
SCRIPT.update(OTHER_OPSETS)
TRAINING = "script-17-training"
EXPORT = {f"export-{opset}": opset for opset in range(18, 24)}
OPTIMIZED = {"optimized-basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
             "optimized-extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
             # the level of a session that asks for none: laid out for one kind of processor
             "optimized-all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL}
HALF = "half"
EXTERNAL = "external-data"
# Weights of integers, below a head that stays as it was.
QUANTIZED = ["quantized-dynamic", "quantized-qdq", "quantized-4-bits", "quantized-qoperator"]
TRADITIONAL = "skl2onnx"
KERAS = "tf2onnx"
ALL = [*SCRIPT, TRAINING, *EXPORT, *OPTIMIZED, HALF, EXTERNAL, *QUANTIZED]


def number_of(name):
    """The same each time, to take turns by."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def in_turn(name, kind):
    """What of `ALL` an architecture is exported by, unless more is asked for: each architecture by five to seven, all of them by all."""
    if kind is not None:
        return [kind]
    turn = number_of(name)
    chosen = ["script-17", ("script-13-unfolded", "script-11-one-row")[turn % 2], list(EXPORT)[turn // 2 % 6],
              list(OTHER_OPSETS)[turn // 3840 % 7]]
    if turn // 192 % 4 == 0:
        chosen.append((EXTERNAL, *QUANTIZED)[turn // 768 % 5])
    return chosen + [("optimized-basic", "optimized-extended", HALF, TRAINING)[turn // 12 % 4],
                     ("optimized-extended", TRAINING, "optimized-all", HALF)[turn // 48 % 4]]


def prepared(architecture):
    """The module with random weights that neither vanish nor blow up, so that every parameter matters."""
    torch.manual_seed(number_of(architecture.name))
    model = architecture.make()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2 or float(parameter.std()) == 0 or parameter.numel() < 2:
                # scales of layers that begin at 1e-6, biases and heads at 0
                base = parameter if float(parameter.abs().mean()) > 0.1 else parameter * 0 + (0.5 if parameter.dim() == 1 and float(
                    parameter.abs().max()) > 0 else 0.0)
                parameter.copy_(base + 0.1 * torch.randn(parameter.shape))
        norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]
        if norms:
            model.eval()
            for layer in norms:
                layer.train()
                layer.momentum = 0.5
            for _ in range(4):
                model(*rows.tensors(architecture))
            for layer in norms:
                layer.momentum = 0.1
                layer.running_mean += 0.1 * torch.randn(layer.running_mean.shape) * layer.running_var.sqrt()
                layer.running_var *= 1 + 0.3 * torch.rand(layer.running_var.shape)
    return model.eval(), bool(norms)


class NotForThis(Exception):
    """The exporter has nothing to say about this architecture."""


def write(architecture, module, has_norms, exporter, path, files):
    """Writes the file `path`. `files` says where the file of another exporter is, for those that start from one."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    part = path + ".part"
    if exporter in SCRIPT or exporter == TRAINING:
        script(architecture, module, has_norms, exporter, part)
    elif exporter in EXPORT:
        exported(architecture, module, EXPORT[exporter], part)
    elif exporter in OPTIMIZED:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = OPTIMIZED[exporter]
        options.optimized_model_filepath = part
        options.log_severity_level = 3
        onnxruntime.InferenceSession(files("script-17"), options, providers=["CPUExecutionProvider"])
    elif exporter == HALF:
        from onnxruntime.transformers.float16 import convert_float_to_float16
        onnx.save(convert_float_to_float16(onnx.load(files("script-17")), keep_io_types=True), part)
    elif exporter == EXTERNAL:
        beside = os.path.basename(path) + ".data"
        if os.path.exists(path + ".data"):
            os.remove(path + ".data")
        onnx.save(onnx.load(files("script-17")), part, save_as_external_data=True, location=beside, size_threshold=64)
    elif exporter in QUANTIZED:
        quantized(architecture, exporter, files("script-17"), part)
        require_that_it_runs(architecture, part)
    else:
        module.write(part)
    os.replace(part, path)


def require_that_it_runs(architecture, path):
    """Some files that quantizers write end in every run: an index of a table that was computed by way of a logarithm of 0 is one of none of its rows."""
    calibration = Calibration(architecture, path)
    calibration.session.run(None, calibration.get_next())


class Calibration:
    """The rows, for the ranges of activations."""

    def __init__(self, architecture, source):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self.session = session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        taken = {entry.name for entry in session.get_inputs()}
        named = zip(rows.input_names(architecture), rows.tensors(architecture))
        self.rest = [{name: value.numpy() for name, value in named if name in taken}]

    def get_next(self):
        return self.rest.pop() if self.rest else None


def quantized(architecture, exporter, source, path):
    from onnxruntime import quantization
    model = onnx.load(source)
    dense = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    weights = {tensor.name for tensor in model.graph.initializer}
    last = next(node.name for node in reversed(dense) if node.input[1] in weights)
    # a Gemm becomes a MatMul of this name first
    head = [last, f"{last}_MatMul"]
    if exporter == "quantized-dynamic":
        # ONNX Runtime has no kernel for convolutions of signed weights
        unsigned = any(node.op_type == "Conv" for node in dense)
        kind = quantization.QuantType.QUInt8 if unsigned else quantization.QuantType.QInt8
        quantization.quantize_dynamic(source, path, weight_type=kind, nodes_to_exclude=head)
    elif exporter in ("quantized-qdq", "quantized-qoperator"):
        form = quantization.QuantFormat.QDQ if exporter == "quantized-qdq" else quantization.QuantFormat.QOperator
        quantization.quantize_static(source, path, Calibration(architecture, source), quant_format=form, nodes_to_exclude=head)
        if form == quantization.QuantFormat.QOperator and not any(is_quantized(node) for node in onnx.load(path).graph.node):
            raise NotForThis("it has no operator that is quantized in this form")
    else:
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
        quantizer = MatMulNBitsQuantizer(model, block_size=32, is_symmetric=True, nodes_to_exclude=head)
        quantizer.process()
        if all(node.op_type != "MatMulNBits" for node in quantizer.model.model.graph.node):
            raise NotForThis("it has no MatMul to be quantized")
        quantizer.model.save_model_to_file(path, False)


def is_quantized(node):
    """Whether it is an operator that reads and makes quantized numbers: Linear layers become QGemm."""
    return node.op_type.startswith("QLinear") or node.op_type == "QGemm"


def script(architecture, module, has_norms, exporter, path):
    values = rows.tensors(architecture)
    names = rows.input_names(architecture)
    opset, fold, open_rows = SCRIPT.get(exporter, (17, False, True))
    training = torch.onnx.TrainingMode.EVAL
    if exporter == TRAINING:
        if not has_norms:
            raise NotForThis("it has no BatchNormalization")
        module.eval()
        for layer in module.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                layer.train()
        training = torch.onnx.TrainingMode.PRESERVE
    axes = {name: {0: "batch", **({1: "sequence"} if architecture.kind == "tokens" else {})} for name in names}
    if not open_rows:
        values = tuple(value[:1] for value in values)
        axes = {name: {axis: title for axis, title in entry.items() if axis > 0} for name, entry in axes.items()}
    def export(attention):
        fused = torch.nn.functional.scaled_dot_product_attention
        torch.nn.functional.scaled_dot_product_attention = attention or fused
        try:
            torch.onnx.export(module, values, path, input_names=names, output_names=["y"], dynamic_axes=axes, opset_version=opset,
                              do_constant_folding=fold, training=training, dynamo=False)
        finally:
            torch.nn.functional.scaled_dot_product_attention = fused
    try:
        # as those who need such an opset do
        export(plain_attention if opset < 14 else None)
    except TypeError as error:
        # while it is traced, a condition is a tensor, which the fused one does not take
        if "scaled_dot_product_attention" not in str(error):
            raise
        export(plain_attention)
    finally:
        module.eval()


def plain_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """Attention of simple operators."""
    if enable_gqa:
        times = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(times, -3), value.repeat_interleave(times, -3)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2]).tril() > 0
    if attn_mask is not None:
        scores = scores + (attn_mask if attn_mask.dtype != torch.bool else torch.where(attn_mask, 0.0, torch.finfo(scores.dtype).min))
    return torch.softmax(scores, -1) @ value


def exported(architecture, module, opset, path):
    from torch.export import Dim
    values, names = rows.tensors(architecture), rows.input_names(architecture)
    axes = [0, 1] if architecture.kind == "tokens" else [0]
    shapes = tuple({axis: Dim.DYNAMIC for axis in axes} for _ in names)
    program = torch.onnx.export(module, values, input_names=names, output_names=["y"], dynamic_shapes=shapes, opset_version=opset,
                                dynamo=True, verbose=False)
    program.save(path)


def torch_gradients(architecture, module):
    """Loss and gradients in float64 of the module itself, by the names of its parameters; their values, and how many numbers they are; its buffers,
    and which parameters are scales and shifts of BatchNormalization."""
    import copy
    double = copy.deepcopy(module).double().eval()
    for layer in double.modules():
        if isinstance(layer, torch.nn.Embedding):
            # a file does not say that the vector of padding is not trained
            layer.padding_idx = None
    values = tuple(value.double() if value.is_floating_point() else value for value in rows.tensors(architecture))
    loss = rows.loss_of(architecture, double(*values))
    loss.backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in double.named_parameters() if parameter.grad is not None}
    values = {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}
    buffers = {name: buffer.numpy() for name, buffer in module.named_buffers() if buffer.is_floating_point()}
    of_norms = torch.nn.modules.batchnorm._BatchNorm
    norms = {f"{path}.{name}" for path, layer in module.named_modules() if isinstance(layer, of_norms) for name in ("weight", "bias")}
    return dict(loss=float(loss), gradients=gradients, values=values, buffers=buffers, norms=norms,
                parameters=sum(int(numpy.prod(parameter.shape, dtype=int)) for parameter in module.parameters()))
