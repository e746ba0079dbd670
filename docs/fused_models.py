"""What an ensemble costs, for "Several heads on one frozen network" in performance.md.

python3 fused_models.py ENSEMBLE.onnx MEMBER.onnx …     times the ensemble, its first member, and all members one after the other

All three take turns, so that what else the machine does meets each alike; medians of the rounds, and of the ratios within a round.
"""

import statistics
import sys
import time

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


def main(fused, *members):
    fused, members = session(fused), [session(member) for member in members]
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


if __name__ == "__main__":
    main(*sys.argv[1:])
