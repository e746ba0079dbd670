"""Reads the logs of a run with the readers of TensorBoard and MLflow, and holds them against its tables.

    python read_logs.py RUN/logs

Needs the packages `tensorboard` and `mlflow-skinny`.
"""

import csv
import os
import sys
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams


def column(rows, name, kind=float):
    return [kind(row[name]) for row in rows if row[name] != ""]


def close(found, wanted, tolerance):
    assert len(found) == len(wanted), (len(found), len(wanted))
    for one, other in zip(found, wanted):
        assert abs(one - other) <= tolerance * max(1.0, abs(other)), (one, other)


def main(folder):
    steps = list(csv.DictReader(open(folder / "steps.csv", newline="")))
    evaluations = list(csv.DictReader(open(folder / "evaluations.csv", newline="")))
    figures = [name for name in evaluations[0] if name not in ("step", "epoch", "time", "best", "better_than_start")]
    wanted = {f"train/{name}": (steps, name) for name in ("loss", "learning_rate", "samples_per_second", "gradient_norm")}
    wanted |= {f"evaluation/{name}": (evaluations, name) for name in figures}
    best = [row for row in evaluations if row["best"] == "true"]
    wanted |= {f"best/{name}": (best, name) for name in figures}
    wanted = {name: rows for name, rows in wanted.items() if any(row[rows[1]] != "" for row in rows[0])}

    board = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    scalars = board.Tags()["scalars"]
    assert set(wanted) <= set(scalars), (sorted(wanted), scalars)
    for tag, (rows, name) in wanted.items():
        rows = [row for row in rows if row[name] != ""]
        found = board.Scalars(tag)
        assert [event.step for event in found] == column(rows, "step", int), tag
        close([event.value for event in found], column(rows, name), 1e-6 if name != "samples_per_second" else 1e-3)
    assert [event.value for event in board.Scalars("epoch/number")] == [float(row["epoch"]) for row in evaluations[1:]]
    [text] = board.Tensors("recipe")
    assert b"learning_rate" in text.tensor_proto.string_val[0]
    assert b"finished after" in board.Tensors("ended")[0].tensor_proto.string_val[0]
    start = board.SummaryMetadata(hparams.SESSION_START_INFO_TAG).plugin_data.content
    start = hparams.parse_session_start_info_plugin_data(start)
    assert start.hparams["training.optimizer.adamw.learning_rate"].number_value == 0.01
    end = board.SummaryMetadata(hparams.SESSION_END_INFO_TAG).plugin_data.content
    assert hparams.parse_session_end_info_plugin_data(end).status == 1

    client = MlflowClient((folder / "mlruns").resolve().as_uri())
    [experiment] = [found for found in client.search_experiments() if found.name != "Default"]
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.info.end_time > run.info.start_time, run.info
    assert run.data.params["training.optimizer.adamw.learning_rate"] == "0.01", run.data.params
    assert run.data.tags["mlflow.runName"] == run.info.run_name, run.data.tags
    assert "finished after" in run.data.tags["mlflow.note.content"], run.data.tags
    for key, (rows, name) in wanted.items():
        rows = [row for row in rows if row[name] != ""]
        history = client.get_metric_history(run.info.run_id, key)
        assert [point.step for point in history] == column(rows, "step", int), key
        close([point.value for point in history], column(rows, name), 1e-12 if name != "samples_per_second" else 1e-3)
    artifacts = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"recipe.yaml", "metrics.json", "report.html"} <= artifacts, artifacts
    # The client can write on where we have written.
    client.set_tag(run.info.run_id, "read", "true")
    client.log_metric(run.info.run_id, "other", 1.0, step=3)
    print(f"{len(steps)} steps, {len(evaluations)} evaluations, {len(wanted)} series in TensorBoard and in MLflow")


main(Path(sys.argv[1]))
