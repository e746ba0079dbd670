"""Keras models as tf2onnx writes them: images with channels last, bytes, texts, tables. A Python of their own makes them: see README.md."""

import os
import pathlib
import subprocess

from architectures import Architecture

# The Python that has tensorflow and tf2onnx.
PYTHON = "MILLSTREAM_TENSORFLOW"


class Keras:
    def __init__(self, name):
        self.name = name

    def write(self, path):
        script = pathlib.Path(__file__).parent / "keras_export.py"
        done = subprocess.run([os.environ[PYTHON], script, self.name, path], capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])


def models():
    """None, where no such Python is named."""
    if PYTHON not in os.environ:
        return []
    import keras_export

    def row(name, kind, size):
        return Architecture(f"keras.{name}", "keras", kind, size, lambda: Keras(name), mask=False, kind_of_export="tf2onnx", channels_last=True)
    return [row(name, kind, size) for name, (kind, size, _) in keras_export.MODELS.items()]
