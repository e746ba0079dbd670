"""Writes Keras models as ONNX files by tf2onnx. It is run by a Python that has tensorflow and tf2onnx: see README.md.

keras_export.py NAME FILE writes one; without arguments it prints the names.
"""

import os
import subprocess
import sys
import tempfile

CLASSES, WORDS = 10, 100


def gelu(value):
    """By tanh: tf2onnx 1.17 writes the exact one as `Erfc`, which is no operator of ONNX."""
    import keras
    return keras.activations.gelu(value, approximate=True)


def convolved(layers, keras):
    return keras.Sequential([
        keras.Input((32, 32, 3)), layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"), layers.BatchNormalization(),
        layers.DepthwiseConv2D(3, padding="same"), layers.ReLU(6.0), layers.SeparableConv2D(16, 3, strides=2, padding="same", activation="swish"),
        layers.MaxPooling2D(padding="same"), layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(CLASSES)])


def of_bytes(layers, keras):
    return keras.Sequential([
        keras.Input((32, 32, 3), dtype="uint8"), layers.Rescaling(1 / 127.5, offset=-1), layers.Conv2D(8, 3, padding="same", activation="elu"),
        layers.AveragePooling2D(2), layers.Conv2D(8, 3, strides=2, activation=gelu), layers.Flatten(), layers.Dense(CLASSES, activation="softmax")])


def normalized(layers, keras):
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, padding="same")(image)
    x = layers.LayerNormalization()(x)
    x = layers.Activation(gelu)(x)
    shortcut = layers.Conv2D(16, 1, strides=2)(x)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(16, 3, strides=2)(x)
    x = layers.GroupNormalization(4)(x)
    x = layers.Add()([x, shortcut])
    weight = layers.Dense(16, activation="sigmoid")(layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x)))
    x = layers.Multiply()([x, weight])
    return keras.Model(image, layers.Dense(CLASSES)(layers.GlobalMaxPooling2D()(layers.PReLU(shared_axes=[1, 2])(x))))


def lstm(layers, keras):
    return keras.Sequential([keras.Input((12,), dtype="int64"), layers.Embedding(WORDS, 16), layers.LSTM(16), layers.Dense(CLASSES)])


def two_ways(layers, keras):
    return keras.Sequential([
        keras.Input((12,), dtype="int64"), layers.Embedding(WORDS, 16), layers.Bidirectional(layers.LSTM(8, return_sequences=True)),
        layers.Bidirectional(layers.GRU(8)), layers.Dense(CLASSES)])


def convolved_text(layers, keras):
    return keras.Sequential([
        keras.Input((12,), dtype="int64"), layers.Embedding(WORDS, 16), layers.Conv1D(16, 3, padding="causal", activation="relu"),
        layers.GlobalMaxPooling1D(), layers.Dense(CLASSES)])


def transformer(layers, keras):
    ids = keras.Input((12,), dtype="int64")
    x = layers.Embedding(WORDS, 32)(ids)
    places = layers.Embedding(12, 32)(layers.Lambda(lambda given: keras.ops.cumsum(keras.ops.ones_like(given), axis=1) - 1)(ids))
    x = layers.Add()([x, places])
    for _ in range(2):
        seen = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 8)(seen, seen)])
        seen = layers.LayerNormalization(epsilon=1e-6)(x)
        seen = layers.Dense(64, activation=gelu)(seen)
        x = layers.Add()([x, layers.Dense(32)(seen)])
    return keras.Model(ids, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x)))


def perceptron(layers, keras):
    return keras.Sequential([
        keras.Input((8,)), layers.Dense(16, activation="relu"), layers.BatchNormalization(), layers.Dense(8, activation="tanh"),
        layers.Dense(CLASSES, activation="softmax")])


def application(name, side, **options):
    def make(layers, keras):
        model = getattr(keras.applications, name)
        return model(weights=None, input_shape=(side, side, 3), classes=CLASSES, classifier_activation=None, **options)
    return make


# Kind of rows, what a row has, and how the model is made.
MODELS = {
    "convolved": ("image", 32, convolved),
    "of_bytes": ("bytes", 32, of_bytes),
    "normalized": ("image", 32, normalized),
    "lstm": ("tokens", 12, lstm),
    "lstm_two_ways": ("tokens", 12, two_ways),
    "convolved_text": ("tokens", 12, convolved_text),
    "transformer": ("tokens", 12, transformer),
    "mlp": ("numbers", 8, perceptron),
    "mobilenet_v2": ("image", 64, application("MobileNetV2", 64, alpha=0.35)),
    "mobilenet_v3": ("image", 64, application("MobileNetV3Small", 64, minimalistic=False)),
    "efficientnet_b0": ("image", 64, application("EfficientNetB0", 64)),
    "resnet50": ("image", 64, application("ResNet50", 64)),
    "densenet121": ("image", 64, application("DenseNet121", 64)),
}


def main():
    if len(sys.argv) < 3:
        print("\n".join(f"{name} {kind} {size}" for name, (kind, size, _) in MODELS.items()))
        return
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    import numpy
    import onnx
    import tensorflow
    kind, _, make = MODELS[sys.argv[1]]
    keras = tensorflow.keras
    keras.utils.set_random_seed(7)
    model = make(keras.layers, keras)
    random = numpy.random.default_rng(7)
    for weight in model.weights:
        # biases and shifts begin at 0, and matter
        moved = weight.numpy() + 0.05 * random.standard_normal(weight.shape)
        weight.assign(numpy.maximum(moved, 0.5) if "variance" in weight.path else moved)
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", folder, "--opset", "17", "--output", sys.argv[2]]
        subprocess.run(command, check=True, capture_output=True)
    written = onnx.load(sys.argv[2])
    [given], [made] = written.graph.input, written.graph.output
    names = {given.name: {"tokens": "input_ids", "numbers": "numbers"}.get(kind, "image"), made.name: "y"}
    for node in written.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    given.name, made.name = names[given.name], names[made.name]
    onnx.save(written, sys.argv[2])


if __name__ == "__main__":
    main()
