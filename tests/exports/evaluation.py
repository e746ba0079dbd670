"""An ONNX graph evaluated by PyTorch in the precision that is asked for, so that autograd gives gradients of its initializers.

Slow and plain. It shares nothing with the compiler: each operator is written from the ONNX specification.
"""

import numpy
import onnx
import torch
from onnx import helper, numpy_helper

import operators


class Unknown(Exception):
    """An operator that is not written here."""


class Graph:
    """A model whose floats are `dtype`. Initializers are `values`, by name."""

    def __init__(self, model, dtype=torch.float64):
        self.dtype = dtype
        self.model = onnx.inliner.inline_local_functions(model) if model.functions else model
        self.graph = self.model.graph
        self.opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 17)
        self.values = {tensor.name: self.tensor(numpy_helper.to_array(tensor)) for tensor in self.graph.initializer}

    def tensor(self, array):
        array = numpy.asarray(array)
        if array.dtype.kind == "f" or str(array.dtype) == "bfloat16":
            return torch.from_numpy(array.astype(numpy.float64)).to(self.dtype)
        if array.dtype.kind in "OSU":
            return array
        if array.dtype == numpy.uint64:
            array = array.astype(numpy.int64)
        return torch.from_numpy(numpy.array(array))

    def run(self, inputs):
        """All outputs by name. `inputs` are arrays or tensors by name."""
        known = dict(self.values)
        known.update((name, self.tensor(value) if isinstance(value, numpy.ndarray) else value) for name, value in inputs.items())
        self.nodes(self.graph, known)
        return {output.name: known[output.name] for output in self.graph.output}

    def nodes(self, graph, known):
        last = {}
        for place, node in enumerate(graph.node):
            last.update((name, place) for name in self.reads(node))
        kept = {output.name for output in graph.output} | set(self.values)
        for place, node in enumerate(graph.node):
            if node.op_type == "If":
                results = self.branch(node, known)
            else:
                rule = operators.RULES.get((node.domain if node.domain != "ai.onnx" else "", node.op_type))
                if rule is None:
                    raise Unknown(f"{node.domain or 'ai.onnx'}.{node.op_type}")
                attributes = {entry.name: self.attribute(entry) for entry in node.attribute}
                arguments = [known[name] if name else None for name in node.input]
                call = operators.Call(attributes, self.dtype, self.opset, len(node.output), node)
                results = rule(call, *arguments)
            if not isinstance(results, (list, tuple)):
                results = [results]
            known.update((name, value) for name, value in zip(node.output, results) if name)
            for name in node.input:
                if last.get(name) == place and name not in kept:
                    known.pop(name, None)

    def reads(self, node):
        yield from node.input
        for entry in node.attribute:
            for inner in entry.g.node if entry.HasField("g") else ():
                yield from self.reads(inner)
            yield from (output.name for output in entry.g.output)

    def branch(self, node, known):
        branches = {entry.name: entry.g for entry in node.attribute}
        graph = branches["then_branch" if bool(known[node.input[0]].reshape(-1)[0]) else "else_branch"]
        inner = dict(known)
        inner.update((tensor.name, self.tensor(numpy_helper.to_array(tensor))) for tensor in graph.initializer)
        self.nodes(graph, inner)
        return [inner[output.name] for output in graph.output]

    def attribute(self, entry):
        value = helper.get_attribute_value(entry)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, onnx.TensorProto):
            return self.tensor(numpy_helper.to_array(value))
        return value
