"""What an ensemble costs and gives, for "Several heads on one frozen network" in performance.md.

python3 fused_models.py ENSEMBLE.onnx MEMBER.onnx …     times the ensemble, its first member, and all members one after the other

All three take turns, so that what else the machine does meets each alike; medians of the rounds, and of the ratios within a round. Then
what the ensemble gives is held against what its members give apart, combined in doubles here as `ensemble.json` beside it says.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy
import onnxruntime

ROUNDS, WARM_UP, ROWS, THREADS = 40, 5, 16, 1


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def rows(entry):
    shape = [ROWS] + [size if isinstance(size, int) else 1 for size in entry.shape[1:]]
    return numpy.random.default_rng(0).standard_normal(shape).astype(numpy.float32)


def log_softmax(scores):
    scores = scores - scores.max(axis=-1, keepdims=True)
    return scores - numpy.log(numpy.exp(scores).sum(axis=-1, keepdims=True))


def combined(described, scores):
    """What members' scores before a softmax become together; `None` of a combination that is not written out here."""
    rule = described["model"].get("combination", {})
    weights, by = rule.get("weights"), rule.get("by")
    if weights and by == "scores":
        return sum(weight * one for weight, one in zip(weights, scores))
    if weights and by == "probabilities" and described["scores_of"] == "classes":
        return numpy.log(sum(weight * numpy.exp(log_softmax(one)) for weight, one in zip(weights, scores)))
    return None


def compare(path, fused, members, batch):
    """Says how far the ensemble is from its members, run apart."""
    described = json.loads((Path(path).parent / "ensemble.json").read_text())
    if len(described["members"]) != len(members):
        sys.exit(f"ensemble.json has {len(described['members'])} members, and {len(members)} are named")
    of_one = lambda one: one.run(None, {one.get_inputs()[0].name: batch})[0].astype(numpy.float64)
    wanted = combined(described, [of_one(member) for member in members])
    if wanted is None:
        print(f"not compared: {described['method']} of {described['scores_of']} is not written out in this script")
        return
    apart = numpy.abs(of_one(fused) - wanted).max()
    print(f"max |ensemble - combined members|: {apart:.2e}, of numbers up to {numpy.abs(wanted).max():.2f}")


def main(ensemble, *members):
    fused, members = session(ensemble), [session(member) for member in members]
    name = fused.get_inputs()[0].name
    batch = rows(fused.get_inputs()[0])

    def seconds(sessions):
        began, used = time.perf_counter(), time.process_time()
        for one in sessions:
            one.run(None, {one.get_inputs()[0].name: batch})
        return time.perf_counter() - began, time.process_time() - used

    kinds = {"ensemble": [fused], "one member": members[:1], f"{len(members)} members": members}
    taken = {kind: [] for kind in kinds}
    for round in range(WARM_UP + ROUNDS):
        for kind, sessions in kinds.items():
            found = seconds(sessions)
            if round >= WARM_UP:
                taken[kind].append(found)
    print(f"input {name} {batch.shape}, {THREADS} thread, ONNX Runtime {onnxruntime.__version__}, {ROUNDS} rounds")
    for kind, found in taken.items():
        wall, cpu = (statistics.median(column) * 1e3 for column in zip(*found))
        print(f"{kind}: {wall:.1f} ms on the clock, {cpu:.1f} ms of the processor")
    for kind in list(kinds)[1:]:
        ratios = [own[1] / other[1] for own, other in zip(taken["ensemble"], taken[kind])]
        print(f"ensemble / {kind}, of the processor: {statistics.median(ratios):.3f}")
    compare(ensemble, fused, members, batch)


if __name__ == "__main__":
    main(*sys.argv[1:])
