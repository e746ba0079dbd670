"""Models of scikit-learn, fitted on the rows themselves, with a row for each class."""

import warnings

from architectures import Architecture

import rows

COLUMNS = 8


class Fitted:
    def __init__(self, model):
        self.model = model

    def write(self, path):
        import onnx
        from skl2onnx import to_onnx
        values, labels = rows.made("numbers", COLUMNS)
        warnings.filterwarnings("ignore")
        self.model.fit(values, labels)
        written = to_onnx(self.model, values[:1], options={"zipmap": False}, target_opset=17)
        for node in written.graph.node:
            node.input[:] = ["numbers" if name == "X" else name for name in node.input]
        written.graph.input[0].name = "numbers"
        onnx.save(written, path)


def models():
    def row(name, make):
        return Architecture(f"sklearn.{name}", "sklearn", "numbers", COLUMNS, make, kind_of_export="skl2onnx")

    def fitted(*steps):
        from sklearn.pipeline import make_pipeline
        return Fitted(make_pipeline(*steps) if len(steps) > 1 else steps[0])

    def logistic():
        from sklearn.linear_model import LogisticRegression
        return fitted(LogisticRegression())

    def scaled_logistic():
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler
        return fitted(StandardScaler(), LogisticRegression())

    def perceptron(activation):
        from sklearn.neural_network import MLPClassifier
        return fitted(MLPClassifier((16, 8), activation=activation, max_iter=30, random_state=0))
    return [
        row("logistic_regression", logistic),
        row("scaled_logistic_regression", scaled_logistic),
        row("mlp", lambda: perceptron("relu")),
        row("mlp_tanh", lambda: perceptron("tanh")),
    ]
