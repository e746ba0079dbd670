"""What frozen matrices cost as constants of a session and as its inputs, for "Memory of frozen weights" in performance.md.

python3 frozen_matrices.py step FOLDER ROWS:TOKENS …    the graphs that `millstream compile` wrote into FOLDER
python3 frozen_matrices.py chain SIDE:ROWS …            eight products with matrices of SIDE × SIDE, one behind the other

Of each, on one thread: how much more memory the process holds once the session is open and has run once, and the processor's time of a
run, the least of all, both ways by turns. Needs onnx, onnxruntime and numpy; Linux.
"""

import gc
import sys
import tempfile
import time
from pathlib import Path

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

LEAST, RUNS, RUNS_OF_ONE_ROW, PRODUCTS = 64 << 10, 12, 60, 8
TYPES = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64, "tensor(bool)": numpy.bool_}


def as_inputs(model):
    """The model with its large matrices, where products or their transposition read them, as inputs; and these."""
    factors = {name for node in model.graph.node if node.op_type in ("MatMul", "Gemm", "Transpose") for name in node.input}
    taken = {}
    for one in list(model.graph.initializer):
        values = numpy_helper.to_array(one)
        if one.name in factors and values.ndim == 2 and values.nbytes >= LEAST:
            taken[one.name] = values
            model.graph.initializer.remove(one)
            model.graph.input.append(helper.make_tensor_value_info(one.name, one.data_type, list(one.dims)))
    return taken


def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def compare(name, path, feeds, runs):
    """`feeds(input)` gives the values of an input that is no matrix."""
    model = onnx.load(str(path))
    other = path.parent / f"{path.stem}.inputs.onnx"
    matrices = as_inputs(model)
    onnx.save(model, str(other))
    del model
    opened = {}
    for kind, file in (("constants", path), ("inputs", other)):
        gc.collect()
        before = held()
        one = session(file)
        values = {entry.name: matrices[entry.name] if entry.name in matrices else feeds(entry) for entry in one.get_inputs()}
        one.run(None, values)
        opened[kind] = (one, values, held() - before)
    least = dict.fromkeys(opened, float("inf"))
    for _ in range(runs):
        for kind, (one, values, _) in opened.items():
            began = time.process_time()
            one.run(None, values)
            least[kind] = min(least[kind], time.process_time() - began)
    for kind, (_, _, bytes_held) in opened.items():
        cost = f"{1e3 * least[kind]:.2f} ms of the processor, {bytes_held / 1e6:.0f} MB held"
        print(f"{name}, {len(matrices)} matrices as {kind}: {cost}", flush=True)


def of_step(folder, rows, tokens):
    parameters = {}
    for graph in ("training_step", "evaluation"):
        path = folder / f"{graph}.onnx"
        draws = numpy.random.default_rng(1)

        def feeds(entry):
            sizes = [rows if at == 0 else tokens for at in range(len(entry.shape))]
            shape = [given if isinstance(given, int) else size for given, size in zip(entry.shape, sizes)]
            kind = TYPES[entry.type]
            if kind == numpy.float32:
                values = parameters.setdefault(entry.name, 0.02 * draws.standard_normal(shape))
                return numpy.broadcast_to(values, shape).astype(kind)
            return numpy.ones(shape, kind)

        compare(f"{graph}, {rows} × {tokens}", path, feeds, RUNS_OF_ONE_ROW if rows == 1 else RUNS)


def chain(folder, side, rows):
    draws = numpy.random.default_rng(1)
    matrices = [(draws.standard_normal((side, side)) / side**0.5).astype(numpy.float32) for _ in range(PRODUCTS)]
    nodes = [helper.make_node("MatMul", [f"x{at}", f"w{at}"], [f"x{at + 1}"]) for at in range(PRODUCTS)]
    of_rows = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", side])
    stored = [numpy_helper.from_array(values, f"w{at}") for at, values in enumerate(matrices)]
    graph = helper.make_graph(nodes, "chain", [of_rows("x0")], [of_rows(f"x{PRODUCTS}")], stored)
    path = folder / "chain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    values = draws.standard_normal((rows, side)).astype(numpy.float32)
    compare(f"{side} × {side}, {rows} rows", path, lambda _: values, RUNS_OF_ONE_ROW)


def main(kind, *wanted):
    if kind == "step":
        folder, *wanted = wanted
    for one in wanted:
        first, second = map(int, one.split(":"))
        if kind == "step":
            of_step(Path(folder), first, second)
        else:
            with tempfile.TemporaryDirectory() as temporary:
                chain(Path(temporary), first, second)


if __name__ == "__main__":
    main(*sys.argv[1:])
