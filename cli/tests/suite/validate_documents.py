"""validate_documents.py FOLDER…: reads what `millstream document` wrote by the public packages for it.

Prints one JSON object a folder: what the packages have understood. What lies in a folder says what is looked at: a card in each, a bill of
materials and a description of the data where they are. A file `….cdx.json` in place of a folder is a bill alone.
"""

import json
import logging
import sys
from pathlib import Path

from huggingface_hub import ModelCard


class Kept(logging.Handler):
    """What is warned of beside the list of issues, such as keys that the usual context has."""

    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


def card(path):
    found = ModelCard.load(path)
    assert found.data.library_name == "onnx" and "millstream" in found.data.tags, found.data
    results = [
        {
            "task": one.task_type,
            "dataset": [one.dataset_type, one.dataset_name, one.dataset_split],
            "metric": [one.metric_type, one.metric_value],
        }
        for one in found.data.eval_results or []
    ]
    return {"card": found.data.to_dict(), "results": results}


def bill(path):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text())
    assert error is None, (path, error)
    return {"bill": json.loads(path.read_text())["metadata"]["component"]["name"]}


def data(path):
    import mlcroissant

    logging.getLogger().addHandler(Kept(logging.WARNING))
    try:
        import absl.logging

        absl.logging.get_absl_logger().addHandler(Kept(logging.WARNING))
    except ImportError:
        pass
    dataset = mlcroissant.Dataset(jsonld=path)
    assert dataset.metadata.name and dataset.metadata.record_sets, dataset.metadata
    assert "http://mlcommons.org/croissant/1.1" in dataset.metadata.conforms_to, dataset.metadata.conforms_to
    issues = dataset.metadata.issues
    assert not issues.errors and not issues.warnings, (path, issues.errors, issues.warnings)
    assert not Kept.said, (path, Kept.said)
    fields = {one.name: [field.name for field in one.fields] for one in dataset.metadata.record_sets}
    return {"data": {"version": dataset.metadata.version, "fields": fields}}


for folder in map(Path, sys.argv[1:]):
    if folder.is_file():
        print(json.dumps(bill(folder)))
        continue
    found = card(folder / "README.md")
    for name, read in [("model.cdx.json", bill), ("croissant.json", data)]:
        if (folder / name).exists():
            found |= read(folder / name)
    print(json.dumps(found))
