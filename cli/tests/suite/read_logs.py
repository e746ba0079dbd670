"""Reads the logs of a run with the readers of TensorBoard and MLflow, and holds them against its tables where it has written them (`csv`).

    python read_logs.py RUN/logs

Needs the packages `tensorboard` and `mlflow-skinny`. What a run must have beside is said by options; `--write` writes into the run of MLflow.
"""

import argparse
import csv
import json
import os
import sys
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams

OF_STEPS = ("loss", "learning_rate", "samples_per_second", "gradient_norm")
NO_FIGURES = ("step", "epoch", "time", "best", "better_than_start")


def table(path):
    """The rows of a table, and its columns; None where the run has not written it."""
    if not path.is_file():
        return None
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        return list(reader), list(reader.fieldnames or [])


def tables(folder):
    """What the tables hold by the names of series, each value by its step; and how many rows they have."""
    steps, evaluations = table(folder / "steps.csv"), table(folder / "evaluations.csv")
    wanted = {}

    def add(group, names, rows):
        for name in names:
            values = {int(row["step"]): float(row[name]) for row in rows if row[name] != ""}
            if values:
                wanted[f"{group}/{name}"] = values

    if steps is not None:
        add("train", OF_STEPS, steps[0])
    if evaluations is not None:
        rows, columns = evaluations
        figures = [name for name in columns if name not in NO_FIGURES]
        add("evaluation", figures, rows)
        add("best", figures, [row for row in rows if row["best"] == "true"])
    return wanted, [None if found is None else len(found[0]) for found in (steps, evaluations)]


def compare(reader, found, wanted, tolerance, all_steps):
    """`found` and `wanted` have values by step, by the name of the series. Each log may have its own `every_steps`."""
    for name, values in wanted.items():
        assert name in found, f"{reader}: {name} is not among {sorted(found)}"
        if all_steps:
            assert list(found[name]) == list(values), f"{reader}: {name} has other steps"
        shared = found[name].keys() & values.keys()
        assert shared or name.startswith("train/"), f"{reader}: {name} has no step of the table"
        within = 1e-3 if name == "train/samples_per_second" else tolerance
        for step in shared:
            one, other = found[name][step], values[step]
            close = one == other or abs(one - other) <= within * max(1.0, abs(other)) or (one != one and other != other)
            assert close, f"{reader}: {name} at step {step} is {one}, in the table {other}"


def require_epochs(reader, found, options):
    numbers = [round(value) for value in found.get("epoch/number", {}).values()]
    assert numbers == sorted(set(numbers)), f"{reader}: epochs {numbers}"
    if options.epochs is not None:
        assert numbers == list(range(1, options.epochs + 1)), f"{reader}: epochs {numbers}"


def read_tensorboard(folder, wanted, options):
    board = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    found = {tag: {event.step: event.value for event in board.Scalars(tag)} for tag in board.Tags()["scalars"]}
    for tag, values in found.items():
        assert len(board.Scalars(tag)) == len(values), f"TensorBoard: {tag} has a step twice"
    # numbers of 32 bits
    compare("TensorBoard", found, wanted, 1e-6, options.all_steps)
    require_epochs("TensorBoard", found, options)
    [text] = board.Tensors("recipe")
    assert text.tensor_proto.string_val[0], "TensorBoard: the text `recipe` is empty"
    start = board.SummaryMetadata(hparams.SESSION_START_INFO_TAG).plugin_data.content
    start = hparams.parse_session_start_info_plugin_data(start)
    for key, value in options.settings:
        assert start.hparams[key].number_value == float(value), f"TensorBoard: {key} is {start.hparams[key]}"
    if options.ended is not None:
        assert options.ended in board.Tensors("ended")[0].tensor_proto.string_val[0].decode()
        end = board.SummaryMetadata(hparams.SESSION_END_INFO_TAG).plugin_data.content
        assert hparams.parse_session_end_info_plugin_data(end).status == 1
    return len(found)


def read_mlflow(folder, wanted, options):
    # which of the runs of a store that others may share
    note = json.loads((folder / "mlflow.json").read_text(encoding="utf-8"))
    store = Path(note["folder"]) if note["folder"] else folder / "mlruns"
    client = MlflowClient(store.resolve().as_uri())
    run = client.get_run(note["run_id"])
    history = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    found = {key: {point.step: point.value for point in points} for key, points in history.items()}
    for key, points in history.items():
        assert len(points) == len(found[key]), f"MLflow: {key} has a step twice"

    def called(name):
        group, own = name.split("/", 1)
        return f"{group}/{''.join(sign if sign.isalnum() or sign in '_-. ' else '_' for sign in own)}"

    compare("MLflow", found, {called(name): values for name, values in wanted.items()}, 1e-12, options.all_steps)
    require_epochs("MLflow", found, options)
    assert run.data.tags["mlflow.runName"] == run.info.run_name, run.data.tags
    for key, value in options.settings:
        assert run.data.params.get(key) == value, run.data.params
    if run.info.status == "FINISHED":
        assert run.info.end_time >= run.info.start_time, run.info
        artifacts = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
        assert {"recipe.yaml", "metrics.json", "report.html"} <= artifacts, artifacts
    if options.ended is not None:
        assert run.info.status == "FINISHED", run.info
        assert options.ended in run.data.tags["mlflow.note.content"], run.data.tags
    if options.write:
        # The client can write on where we have written.
        client.set_tag(run.info.run_id, "read", "true")
        client.log_metric(run.info.run_id, "other", 1.0, step=3)
    return len(found)


def setting(text):
    key, is_pair, value = text.partition("=")
    if not is_pair:
        raise argparse.ArgumentTypeError("wanted KEY=VALUE")
    return key, value


def main():
    parser = argparse.ArgumentParser(description="Reads the logs of a run with the readers of TensorBoard and MLflow.")
    parser.add_argument("folder", type=Path, metavar="RUN/logs")
    parser.add_argument("--setting", dest="settings", type=setting, action="append", default=[], metavar="KEY=NUMBER",
                        help="a number that must be among the settings of the recipe; may be given several times")
    parser.add_argument("--epochs", type=int, help="so many epochs must have ended")
    parser.add_argument("--ended", metavar="TEXT", help="the run must have finished, and this be said of its end")
    parser.add_argument("--all-steps", action="store_true", help="each log must have the steps of the tables")
    parser.add_argument("--write", action="store_true", help="write a tag and a number into the run of MLflow")
    options = parser.parse_args()
    folder = options.folder
    wanted, [steps, evaluations] = tables(folder)
    said = []
    if steps is not None:
        said.append(f"{steps} steps, {evaluations} evaluations in tables")
    if (folder / "tensorboard").is_dir():
        said.append(f"{read_tensorboard(folder / 'tensorboard', wanted, options)} series in TensorBoard")
    if (folder / "mlflow.json").is_file():
        said.append(f"{read_mlflow(folder, wanted, options)} series in MLflow")
    if not said:
        sys.exit(f"{folder}: no log of a run; name the folder `logs` of a run with `output.logs`")
    print("; ".join(said))


if __name__ == "__main__":
    main()
