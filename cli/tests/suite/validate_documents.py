"""validate_documents.py FOLDER: reads what `millstream document` wrote by the public packages for it."""

import json
import sys
from pathlib import Path

folder = Path(sys.argv[1])

from huggingface_hub import ModelCard

card = ModelCard.load(folder / "README.md")
assert card.data.library_name == "onnx" and card.data.license == "mit", card.data
assert "accuracy" in card.data.metrics, card.data
assert card.data.pipeline_tag == "image-classification" and len(card.data.datasets) == 1, card.data
assert card.data.base_model == "google/mobilenet_v2_1.0_224", card.data

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

error = JsonStrictValidator(SchemaVersion.V1_6).validate_str((folder / "model.cdx.json").read_text())
assert error is None, error

import logging

import mlcroissant


class Kept(logging.Handler):
    """What is warned of beside the list of issues, such as keys that the usual context has."""

    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger().addHandler(Kept(logging.WARNING))
try:
    import absl.logging

    absl.logging.get_absl_logger().addHandler(Kept(logging.WARNING))
except ImportError:
    pass

dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
assert dataset.metadata.name and len(dataset.metadata.record_sets) == 2, dataset.metadata
assert "http://mlcommons.org/croissant/1.1" in dataset.metadata.conforms_to, dataset.metadata.conforms_to
issues = dataset.metadata.issues
assert not issues.errors and not issues.warnings, (issues.errors, issues.warnings)
assert not Kept.said, Kept.said
assert dataset.metadata.version in ("1.2.0", "0.0.0+not.stated"), dataset.metadata.version
print("model card, CycloneDX and Croissant are valid:", json.dumps(card.data.to_dict()))
