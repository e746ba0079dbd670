"""One file: checked, trained by one step, exported, and its gradients held against float64 autograd of the same graph."""

import json
import os
import pathlib
import shutil
import subprocess
import time
import traceback

import numpy
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidGraph
from safetensors.numpy import load_file

import evaluation
import exporters
import parameters
import rows

# So large that what is left of the weights in the trained ones does not cost the gradient its digits.
RATE, RATE_OF_HALVES = 2.0**20, 2.0**4
# Of a gradient as a whole. Above the first, what rounding does is measured, and allowed for ten times: one gate of a ReLU that float32 sees on
# the other side makes 1e-4.
LOOKED_INTO, ALLOWED, SURELY_WRONG, OF_A_PARAMETER = 1e-4, 1e-3, 5e-2, 2e-2


class Refused(Exception):
    """The command's own words."""


class Partly(Exception):
    """What everything leaves out."""


class Wrong(Exception):
    """Two numbers that should be one."""


def millstream(program, *arguments, timeout=300):
    # a library of its own choice, not the one that Python has loaded
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=timeout)
    if done.returncode not in (0, 1):
        raise Wrong(f"`{arguments[0]}` ended with {done.returncode}: {done.stderr[-300:]}")
    return done


def message_of(done):
    """What the command says, as one line."""
    for line in reversed(done.stdout.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and value.get("event") == "error":
            return "; because ".join([value["message"], *value.get("because", [])])
    return (done.stderr or done.stdout).strip()[-2000:]


def recipe_of(architecture, file, data, folder, train, exporter, block=None):
    parts, loss = rows.data(architecture, data)
    model = dict(path=str(file), head="new" if train == "new" else "keep", train="head" if train == "new" else train)
    if train == "match":
        model["train"] = dict(match=[f"{block}*"])
    if exporter == exporters.TRADITIONAL:
        model["output"] = "probabilities"
    if exporter == exporters.TRAINING and train == "all":
        model["batch_normalization"] = "training"
    rate = RATE_OF_HALVES if exporter == exporters.HALF else RATE
    training = dict(epochs=1, max_steps=1, loss=loss, threads=1, device="cpu", optimizer={"sgd": {"learning_rate": rate, "momentum": 0}})
    recipe = dict(version=1, seed=1, model=model, data=parts, training=training, output=dict(folder=str(folder / "run")))
    path = folder / f"{train}.json"
    path.write_text(json.dumps(recipe, indent=1))
    return path, rate


def check(program, recipe):
    """The report of `check`. Refusals are an exception."""
    done = millstream(program, "check", recipe, "--json")
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise Refused(message_of(done)) from None
    if "problems" not in report:
        raise Refused(message_of(done))
    if report["problems"]:
        raise Refused("; ".join(report["problems"]))
    return report


# The worst of a file's verdicts is the file's.
BY_WEIGHT = ["ok", "partly", "no reference", "refused", "wrong"]


def judge(program, architecture, exporter, file, folder, data, known, trains=("head", "new", "all"), only_check=False):
    """What there is to say of a file, as a dictionary for the results."""
    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    result = dict(verdict="ok", bytes=os.path.getsize(file))
    for train in trains:
        found = result[train] = {}
        verdict, message = "ok", None
        try:
            trained(program, architecture, exporter, file, folder, data, known, train, found, only_check)
        except Partly as partly:
            verdict, message = "partly", str(partly)
        except Refused as refused:
            verdict, message = "refused", str(refused)
        except Wrong as wrong:
            verdict, message = "wrong", str(wrong)
        except subprocess.TimeoutExpired:
            verdict, message = "refused", "not done after five minutes"
        except evaluation.Unknown as unknown:
            verdict, message = "no reference", f"no reference for {unknown}"
        except Exception as error:  # of the reference, which is no verdict about Millstream
            place = traceback.extract_tb(error.__traceback__)[-1]
            verdict, message = "no reference", f"{type(error).__name__}: {error} ({place.name}:{place.lineno})"[:600]
        found["verdict"] = verdict
        if BY_WEIGHT.index(verdict) > BY_WEIGHT.index(result["verdict"]):
            result.update(verdict=verdict, at=f"{found.get('at', 'parameters')}, {train}", message=message)
    if result["verdict"] == "ok":
        shutil.rmtree(folder, ignore_errors=True)
    return result


def trained(program, architecture, exporter, file, folder, data, known, train, found, only_check):
    """Checks, trains and compares; `found` takes figures as they come."""
    found["at"], started = "check", time.time()
    block = parameters.first_block(architecture, known) if train == "match" else None
    recipe, rate = recipe_of(architecture, file, data, folder, train, exporter, block)
    report = check(program, recipe)
    found.update(trained=report["model"]["trained"], check_seconds=round(time.time() - started, 2), memory=report["memory"]["total"])
    if known and train == "all":
        model = onnx.load(file)
        tensors = parameters.trained_tensors(report["model"], model)
        found["of_module"] = parameters.held(known, tensors, model, exporter == exporters.HALF)
    if known and train == "match":
        model = onnx.load(file)
        tensors = parameters.trained_tensors(report["model"], model)
        # the head is trained anyway
        of_head, _ = recipe_of(architecture, file, data, folder, "head", exporter)
        for name in parameters.trained_tensors(check(program, of_head)["model"], model):
            tensors.pop(name, None)
        found["of_module"] = parameters.held(parameters.of_block(known, block), tensors, model, exporter == exporters.HALF)
        found["of_others"] = parameters.of_others(known, block, tensors)
    if only_check:
        del found["at"]
        require_everything(found)
        return
    found["at"], started = "train", time.time()
    done = millstream(program, "train", recipe, "--json", "--keep-graph", "--overwrite")
    if done.returncode:
        raise Refused(message_of(done))
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    loss = next(event["loss"] for event in events if event["event"] == "step")
    summary = next(event for event in events if event["event"] == "finished")
    found.update(train_seconds=round(time.time() - started, 2), peak=summary.get("peak_memory"))
    found["at"] = "compare"
    by_batch = exporter == exporters.TRAINING and train == "all"
    compare(architecture, exporter, file, folder / "run", (rate, loss, by_batch, train == "new"), known, found)
    del found["at"]
    require_everything(found)


def require_everything(found):
    """Where everything is trained, or a block, the parameters of the module or of the block are, and nothing else is."""
    of_module = found.get("of_module")
    kept = {name: entry["buffer"] for name, entry in of_module["extra"].items() if entry["buffer"]} if of_module else {}
    if kept:
        raise Wrong(f"{len(kept)} tensors are trained that are no parameters of the module but buffers: "
                    + ", ".join(f"{name} ({buffer})" for name, buffer in kept.items()))
    others = found.get("of_others")
    if others:
        raise Wrong(f"{len(others)} tensors are trained that are parameters of other modules: "
                    + ", ".join(f"{name} ({of})" for name, of in others.items()))
    if of_module and of_module["share"] < parameters.ENOUGH:
        told = (f"{name} {entry['shape']}{'' if entry['in_file'] else ' (not in the file)'}" for name, entry in of_module["missing"].items())
        raise Partly(f"{of_module['share']:.4f} of what the loss reaches in the module and the file has are trained; without {', '.join(told)}")


def initializers(model):
    return {tensor.name: tensor for tensor in model.graph.initializer}


def compare(architecture, exporter, file, run, step, known, result):
    rate, loss, by_batch, is_new = step
    manifest = json.loads((graph_folder(run) / "manifest.json").read_text())
    before = load_file(graph_folder(run) / "parameters.safetensors")
    tuned = onnx.load(run / "model.onnx")
    after = {name: numpy_helper.to_array(tensor) for name, tensor in initializers(tuned).items()}
    exact = newest_checkpoint(run) if exporter == exporters.HALF else {}
    names = [entry["name"] for entry in manifest["parameters"]]
    lost = [name for name in names if name not in after]
    if lost:
        raise Wrong(f"{len(lost)} of {len(names)} parameters are no initializers of the exported model, `{lost[0]}` among them")
    for name in names:
        exact.setdefault(name, after[name].astype(numpy.float64))
    gradients = {name: (before[name].astype(numpy.float64) - exact[name].reshape(before[name].shape)) / rate for name in names}

    reference = differentiated(architecture, tuned, before, by_batch, torch.float64, exporter)
    if not by_batch and not is_new:
        own = by_statistics(file) if exporter == exporters.TRAINING else str(file)
        try:
            output = onnxruntime.InferenceSession(own, quiet(), providers=["CPUExecutionProvider"])
        except InvalidGraph as invalid:
            # an exporter's mistake, mended when the file is read: there is no answer of its own
            result.update(not_opened=str(invalid)[:300])
        else:
            same_output(architecture, output, reference["scores"], result)
    if abs(reference["loss"] - loss) > 1e-4 * max(1.0, abs(loss)) * (20 if exporter == exporters.HALF else 1):
        raise Wrong(f"the loss is {loss}, and in float64 {reference['loss']}")
    error, worst, name = far_apart(gradients, reference["gradients"])
    allowed = ALLOWED if exporter != exporters.HALF else 5e-3
    result.update(error=error, worst=worst, worst_name=name, parameters=len(names))
    if not error <= LOOKED_INTO or not worst <= OF_A_PARAMETER:
        unsteady, of_one = unsteadiness(architecture, tuned, before, by_batch, exporter, reference["gradients"])
        result.update(unsteady=unsteady, unsteady_worst=of_one)
        if not error <= min(max(allowed, 10 * unsteady), SURELY_WRONG) or not worst <= max(OF_A_PARAMETER, 10 * of_one):
            raise Wrong(f"gradients are {error:.1e} off as a whole, {worst:.1e} in `{name}`; what float32 does to weights makes {unsteady:.1e}")
    of_torch(known, before, gradients, result, exporter)


def unsteadiness(architecture, tuned, before, by_batch, exporter, wanted):
    """How far gradients go when all is computed in float32, or weights move by as much as float32 rounds, or as that comes to behind some layers:
    gates of ReLU flip, and the largest of a window is another."""
    apart = []
    for draw in range(10):
        random, size = numpy.random.default_rng(draw), 2e-7 if draw < 5 else 1e-6
        moved = {name: value.astype(numpy.float64) * (1 + size * random.standard_normal(value.shape)) for name, value in before.items()}
        dtype, weights = (torch.float32, before) if draw == 0 else (torch.float64, moved)
        found = differentiated(architecture, tuned, weights, by_batch, dtype, exporter)["gradients"]
        apart.append(far_apart({name: value.astype(numpy.float64) for name, value in found.items()}, wanted)[:2])
    return tuple(max(column) for column in zip(*apart))


def of_torch(known, before, gradients, result, exporter):
    """Parameters that have the module's own names and values, held against the module's own gradients, which are those of the statistics that it holds."""
    if not known or exporter in (exporters.HALF, exporters.TRAINING) or exporter in exporters.QUANTIZED:
        return
    # what was folded into a layer has changed its weights, and kept its name
    wanted = {name: known["gradients"][name] for name in gradients if name in known["gradients"] and numpy.array_equal(before[name], known["values"][name])}
    if not wanted:
        return
    error, worst, name = far_apart({name: gradients[name] for name in wanted}, wanted)
    result.update(torch_parameters=len(wanted), torch_error=error)
    if not error <= max(1e-3, 10 * result.get("unsteady", 0.0)):
        raise Wrong(f"gradients of {len(wanted)} parameters are {error:.1e} off those of the module itself, {worst:.1e} in `{name}`")


def far_apart(found, wanted):
    """Relative to the whole gradient, and the worst parameter that is no small part of it."""
    squares = {name: float(numpy.square(wanted[name]).sum()) for name in found}
    whole = sum(squares.values()) ** 0.5
    apart = {name: float(numpy.square(found[name].reshape(wanted[name].shape) - wanted[name]).sum()) for name in found}
    error = sum(apart.values()) ** 0.5 / whole if whole else 0.0
    least = (1e-3 * whole) ** 2
    shares = [((apart[name] / squares[name]) ** 0.5, name) for name in found if squares[name] > least] or [(0.0, "")]
    return error, *max(shares)


def quiet(level=onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    options.graph_optimization_level = level
    return options


def differentiated(architecture, tuned, before, by_batch, dtype, exporter):
    """Loss, scores and gradients of the exported graph with the weights of before."""
    graph = evaluation.Graph(tuned, dtype)
    for name, value in before.items():
        graph.values[name] = torch.from_numpy(value).to(dtype).reshape(graph.values[name].shape).requires_grad_()
    for node in graph.graph.node:
        if by_batch and node.op_type == "BatchNormalization":
            node.attribute.append(onnx.helper.make_attribute("training_mode", 1))
    values = dict(zip(rows.input_names(architecture), rows.tensors(architecture)))
    if exporter in exporters.QUANTIZED:
        values = behind_integers(graph, tuned, before, values)
    values = {name: value.to(dtype) if value.is_floating_point() else value for name, value in values.items()}
    given = set(values) if exporter in exporters.QUANTIZED else {entry.name for entry in graph.graph.input}
    outputs = graph.run({name: value for name, value in values.items() if name in given})
    scores = outputs["probabilities" if exporter == exporters.TRADITIONAL else "y"]
    ends_in_softmax = any(node.op_type == "Softmax" and "y" in node.output for node in graph.graph.node)
    probabilities = exporter == exporters.TRADITIONAL or exporter == exporters.KERAS and ends_in_softmax
    loss = rows.loss_of(architecture, scores, probabilities)
    loss.backward()
    gradients = {name: (graph.values[name].grad if graph.values[name].grad is not None else torch.zeros(value.shape)).detach().numpy().reshape(
        value.shape) for name, value in before.items()}
    return dict(loss=float(loss.detach()), scores=scores.detach().numpy(), gradients=gradients)


def behind_integers(graph, tuned, before, values):
    """Leaves of a graph what follows from its trained tensors, and gives what that reads, by ONNX Runtime: what rounds to integers rounds otherwise in
    float64."""
    whole, known = onnx.ModelProto(), initializers(tuned)
    # the graph is that of the file itself
    whole.CopyFrom(tuned)
    follows, kept, constants = set(before), [], []
    for node in graph.graph.node:
        if node.op_type == "Constant":
            constants.append(node)
        elif any(name in follows for name in node.input):
            kept.append(node)
            follows.update(node.output)
    there = {*known, *follows, *values, *(node.output[0] for node in constants)}
    borders = list(dict.fromkeys(name for node in kept for name in node.input if name and name not in there))
    del graph.graph.node[:]
    graph.graph.node.extend(constants + kept)
    del whole.graph.output[:]
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in borders)
    # optimized as in training: kernels of integers round otherwise than the nodes that they stand for
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(whole.SerializeToString(), quiet(level), providers=["CPUExecutionProvider"])
    taken = {entry.name for entry in session.get_inputs()}
    made = session.run(borders, {name: value.numpy() for name, value in values.items() if name in taken})
    return {**values, **{name: torch.from_numpy(numpy.asarray(value)) for name, value in zip(borders, made)}}


def by_statistics(file):
    """The file with every BatchNormalization by the statistics that it holds, which is what Millstream makes of one that it does not train."""
    model = onnx.load(file)
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            kept = [attribute for attribute in node.attribute if attribute.name != "training_mode"]
            del node.attribute[:], node.output[1:]
            node.attribute.extend(kept)
    return model.SerializeToString()


def same_output(architecture, session, scores, result):
    """The model as it came, in ONNX Runtime, against the exported one before training, in float64."""
    wanted = {entry.name: entry for entry in session.get_inputs()}
    values = {name: value.numpy() for name, value in zip(rows.input_names(architecture), rows.tensors(architecture)) if name in wanted}
    output = "probabilities" if "probabilities" in {entry.name for entry in session.get_outputs()} else "y"
    def by_rows():
        parts = [session.run([output], {name: value[row:row + 1] for name, value in values.items()})[0] for row in range(rows.BATCH)]
        return numpy.concatenate(parts)
    try:
        found = by_rows() if next(iter(wanted.values())).shape[0] == 1 else session.run([output], values)[0]
    except (onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException):
        # what the exporter says to take any number of rows takes one
        found = by_rows()
    apart = float(numpy.linalg.norm(found.astype(numpy.float64) - scores) / numpy.linalg.norm(scores))
    result["output"] = apart
    if not apart < 2e-2:
        raise Wrong(f"the exported model's output is {apart:.1e} off that of the file, before training")


def graph_folder(run):
    """Where `--keep-graph` writes."""
    return next(path.parent for path in run.rglob("parameters.safetensors") if (path.parent / "training_step.onnx").exists())


def newest_checkpoint(run):
    """Parameters in float32, as a checkpoint has them."""
    found = {}
    for path in sorted((run / "checkpoints").glob("step-*/*.safetensors")):
        found.update({name.split("parameters/")[-1]: value.astype(numpy.float64) for name, value in load_file(path).items()})
    return found
