"""Writes `of_scikit_learn.json` beside this file: figures of scikit-learn and jiwer on the inputs of `of_scikit_learn.rs`.

    pip install scikit-learn jiwer
    python make.py

Written with scikit-learn 1.9.1, NumPy 2.4.6 and jiwer 4.0.0. A `source` is the expression that made a figure, of scores `s`, their
softmax `p`, answers `a`, truth `y`, all classes `c` and their number `k`; of symbols along time `words` and `letters` are what should
be written and what is.
"""

import json
import pathlib
import warnings

import jiwer
import numpy as np
from sklearn import metrics

warnings.filterwarnings("ignore")
ROWS = 60
FINE, TIED = (1009, 128), (7, 2)
TIMES, WANTED, SYMBOLS = 12, 6, 5


def mix(z):  # SplitMix64's finalizer, in 64 bits
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) % 2**64
    return z ^ z >> 31


def number(stream, i, grid=FINE):
    steps, divisor = grid
    return mix(1_000_000 * stream + i) % steps / divisor - steps / divisor / 2


def of_classes(k, y, s):
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return {"s": s, "p": e / e.sum(axis=1, keepdims=True), "a": s.argmax(axis=1), "y": y, "c": list(range(k)), "k": k}


def scores(k, grid, lean, truth=None, answer=None):
    y = np.array([mix(1_500_000 + row) % k if truth is None else truth for row in range(ROWS)])
    s = [[number(2, row * k + c, grid) + lean * (c == y[row]) + 100.0 * (c == answer) for c in range(k)] for row in range(ROWS)]
    return of_classes(k, y, np.array(s))


def tokens():
    """Only places with a class."""
    y = [-100 if mix(6_500_000 + at) % 7 == 0 else mix(6_700_000 + at) % 5 for at in range(ROWS * 9)]
    s = [[number(6, (at // 9 * 5 + c) * 9 + at % 9) + 3.0 * (y[at] == c) for c in range(5)] for at in range(ROWS * 9)]
    is_one = np.array(y) >= 0
    return of_classes(5, np.array(y)[is_one], np.array(s)[is_one])


def labels(k, grid=FINE, holds=None):
    y = np.array([mix(3_500_000 + at) % 3 == 0 if holds is None else holds for at in range(ROWS * k)], dtype=float)
    s = np.array([number(3, at, grid) for at in range(ROWS * k)]) + y
    return {"s": s.reshape(ROWS, k), "a": (s > 0).reshape(ROWS, k), "y": y.reshape(ROWS, k)}


def numbers(k, grid=FINE, first=None):
    """Where `first` is said, it is the first number of all rows."""
    y = [number(4, at, grid) if first is None or at % k else first for at in range(ROWS * k)]
    s = [number(5, at, grid) + 0.5 * y[at] for at in range(ROWS * k)]
    return {"s": np.array(s).reshape(ROWS, k), "y": np.array(y).reshape(ROWS, k)}


def along_time(always=None):
    """Up to six symbols of 1 to 4 a row, none of which begins with a 4; 0 is the blank."""
    lengths = [1 + mix(8_100_000 + row) % WANTED for row in range(ROWS)]
    wanted = [[1 + mix(8_200_000 + row * WANTED + i) % (4 if i else 3) for i in range(lengths[row])] for row in range(ROWS)]
    written = []
    for row in range(ROWS):
        best = []
        for time in range(TIMES):
            at = time // 2
            leant = wanted[row][at] if time % 2 == 0 and at < lengths[row] else 0
            of_time = [
                number(8, (row * TIMES + time) * SYMBOLS + s) + 5.0 * (s == leant) + 100.0 * (s == always) for s in range(SYMBOLS)
            ]
            best.append(int(np.argmax(of_time)))
        written.append([s for i, s in enumerate(best) if s != 0 and (i == 0 or s != best[i - 1])])
    text = lambda rows, letters: ["".join(letters[s] for s in row) for row in rows]
    return {"words": [text(rows, "_abc ") for rows in (wanted, written)], "letters": [text(rows, "_abcd") for rows in (wanted, written)]}


CLASSES = [
    ("accuracy", {}, "accuracy_score(y, a)"),
    ("log_loss", {}, "log_loss(y, p, labels=c)"),
    ("f1", {}, 'f1_score(y, a, average="macro")'),
    ("precision", {}, 'precision_score(y, a, average="macro")'),
    ("recall", {}, 'recall_score(y, a, average="macro")'),
    ("f1", {"average": "micro"}, 'f1_score(y, a, average="micro")'),
    ("precision", {"average": "micro"}, 'precision_score(y, a, average="micro")'),
    ("recall", {"average": "micro"}, 'recall_score(y, a, average="micro")'),
    ("f1", {"average": "weighted"}, 'f1_score(y, a, average="weighted")'),
    ("precision", {"average": "weighted"}, 'precision_score(y, a, average="weighted")'),
    ("recall", {"average": "weighted"}, 'recall_score(y, a, average="weighted")'),
    ("mean_iou", {}, 'jaccard_score(y, a, average="macro")'),
    ("confusion_matrix", {}, "confusion_matrix(y, a, labels=c)"),
    ("per_class", {}, "precision_recall_fscore_support(y, a, labels=c, zero_division=np.nan)"),
]
OF_TWO = [
    ("f1", {"average": "binary"}, "f1_score(y, a)"),
    ("precision", {"average": "binary"}, "precision_score(y, a)"),
    ("recall", {"average": "binary"}, "recall_score(y, a)"),
]
# of equal scores scikit-learn takes the last class first, and these here the first
OF_MORE = [("top_k", {"k": k}, f"top_k_accuracy_score(k - 1 - y, s[:, ::-1], k={k}, labels=c)") for k in (1, 2)]
# scikit-learn takes no probability for smaller than the precision of its type
OF_HOPELESS = [("log_loss", {}, "np.mean([np.log(np.exp(s[r] - s[r].max()).sum()) + s[r].max() - s[r][y[r]] for r in range(60)])")]
LABELS = [
    ("f1", {}, 'f1_score(y, a, average="macro")'),
    ("precision", {}, 'precision_score(y, a, average="macro")'),
    ("recall", {}, 'recall_score(y, a, average="macro")'),
    ("f1", {"average": "micro"}, 'f1_score(y, a, average="micro")'),
    ("precision", {"average": "micro"}, 'precision_score(y, a, average="micro")'),
    ("exact_match", {}, "accuracy_score(y, a)"),
]
NUMBERS = [
    ("mse", {}, "mean_squared_error(y, s)"),
    ("mae", {}, "mean_absolute_error(y, s)"),
    ("r2", {}, "r2_score(y, s)"),
]
# scikit-learn counts a number that is the same in all rows as 0, and none is made of it here
VARIED = NUMBERS[:2] + [("r2", {}, "r2_score(y[:, 1:], s[:, 1:]) if y.shape[1] > 1 else None")]
SYMBOLS_OF_TIME = [
    ("word_error_rate", {"separator": 4}, "jiwer.wer(*words)"),
    ("character_error_rate", {}, "jiwer.cer(*letters)"),
]
INPUTS = [
    ("classes(2)", scores(2, FINE, 1.0), CLASSES + OF_TWO),
    ("classes(4)", scores(4, FINE, 1.0), CLASSES + OF_MORE),
    ("tied(2)", scores(2, TIED, 0.5), CLASSES + OF_TWO),
    ("tied(4)", scores(4, TIED, 0.5), CLASSES + OF_MORE),
    ("of_one_class(3)", scores(3, FINE, 1.0, truth=1), CLASSES + OF_MORE),
    ("of_one_class(2)", scores(2, FINE, 1.0, truth=1), CLASSES + OF_TWO),
    ("always_one(3)", scores(3, FINE, 1.0, answer=1), [row for row in CLASSES if row[0] != "log_loss"] + OF_MORE + OF_HOPELESS),
    ("always_one(2)", scores(2, FINE, 1.0, answer=1), [row for row in CLASSES if row[0] != "log_loss"] + OF_TWO + OF_HOPELESS),
    ("one_and_always_one(3)", scores(3, FINE, 1.0, truth=1, answer=1), CLASSES + OF_MORE),
    ("one_and_always_another(3)", scores(3, FINE, 1.0, truth=0, answer=1), [row for row in CLASSES if row[0] != "log_loss"] + OF_MORE),
    ("tokens", tokens(), CLASSES),
    ("none_hold(3)", labels(3, holds=0), LABELS),
    ("all_hold(3)", labels(3, holds=1), LABELS),
    ("numbers(1)", numbers(1), NUMBERS),
    ("numbers(3)", numbers(3), NUMBERS),
    ("tied_numbers(2)", numbers(2, TIED), NUMBERS),
    ("first_is_constant(1)", numbers(1, first=2.0), VARIED),
    ("first_is_constant(3)", numbers(3, first=2.0), VARIED),
    ("along_time", along_time(), SYMBOLS_OF_TIME),
    ("along_time_always(0)", along_time(0), SYMBOLS_OF_TIME),
    ("along_time_always(2)", along_time(2), SYMBOLS_OF_TIME),
]


def plain(value):
    """As JSON has it: twelve digits, and nothing where there is no number."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return float(f"{value:.12g}") if isinstance(value, float) else int(value)


def row(name, options, source, of, values):
    found = eval(source, {**vars(metrics), "np": np, "jiwer": jiwer, **values})
    made = {"metric": name, "options": options, "input": of, "source": source}
    if name == "confusion_matrix":
        return {**made, "table": found.tolist()}
    if name == "per_class":
        columns = zip(*(column.tolist() for column in found))
        classes = [{"rows": rows, "precision": plain(p), "recall": plain(r), "f1": plain(f)} for p, r, f, rows in columns]
        return {**made, "table": classes}
    return {**made, "figure": plain(None if found is None else float(found))}


def main():
    rows = [row(*of_metric, of, values) for of, values, of_metrics in INPUTS for of_metric in of_metrics]
    path = pathlib.Path(__file__).parent / "of_scikit_learn.json"
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
