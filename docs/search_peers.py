"""What Optuna's samplers reach on the functions of `search/examples/reference_functions.rs`, beside what that example reaches.

    pip install optuna cmaes
    python docs/search_peers.py 20 [tpe …]

prints one table: the median of the best value after 25 and 50 trials and the quartiles after 50, and the milliseconds of a proposal with 50
trials behind it, by Optuna and by the example, on the same seeds. Of 40 seeds or more it prints the medians of each twenty below. The example is built and run by
cargo; REFERENCE_FUNCTIONS names one that is built already. `GPSampler` needs torch and scipy too, and is left out without them.
"""

import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)

HEIGHTS = [1.0, 1.2, 3.0, 3.2]
WIDTHS = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
PLACES = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
]


def branin(trial):
    x, y = trial.suggest_float("x", -5, 10), trial.suggest_float("y", 0, 15)
    bowl = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return bowl * bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann6(trial):
    x = [trial.suggest_float(f"x{at}", 0, 1) for at in range(6)]
    hills = zip(HEIGHTS, WIDTHS, PLACES)
    return -sum(h * math.exp(-sum(w * (x - p) ** 2 for w, x, p in zip(widths, x, places))) for h, widths, places in hills)


def mixed(trial):
    lr, wd = trial.suggest_float("lr", 1e-5, 1, log=True), trial.suggest_float("wd", 1e-6, 0.1, log=True)
    dropout, layers = trial.suggest_float("dropout", 0, 0.5), trial.suggest_int("layers", 1, 8)
    best, penalty = {"sgd": (-1, 0.15), "adam": (-3, 0), "lion": (-4, 0.05)}[trial.suggest_categorical("opt", ["sgd", "adam", "lion"])]
    a, b, d, e = (math.log10(lr) - best) / 1.5, (math.log10(wd) + 3) / 2, (dropout - 0.1) / 0.3, (layers - 5) / 4
    return penalty + 1 - math.exp(-a * a / 2) + 0.2 * b * b + 0.2 * d * d + 0.3 * e * e + 0.2 * abs(a * b)


def samplers():
    yield "random", lambda seed: optuna.samplers.RandomSampler(seed=seed)
    yield "sobol", lambda seed: optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
    yield "tpe", lambda seed: optuna.samplers.TPESampler(seed=seed)
    yield "cma_es", lambda seed: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    yield "nsga_ii", lambda seed: optuna.samplers.NSGAIISampler(seed=seed)
    try:
        import torch  # noqa: F401
    except ImportError:
        return
    yield "gaussian_process", lambda seed: optuna.samplers.GPSampler(seed=seed)
    yield "gaussian_process without noise", lambda seed: optuna.samplers.GPSampler(seed=seed, deterministic_objective=True)


def of_optuna(seeds, wanted):
    """By sampler and function: the figures, the milliseconds of a proposal and the medians of each twenty."""
    found = {}
    for name, sampler in samplers():
        if wanted and name not in wanted:
            continue
        for function in (branin, hartmann6, mixed):
            best, times = [], []
            for seed in range(seeds):
                study = optuna.create_study(sampler=sampler(seed))
                study.optimize(function, n_trials=50)
                best.append(np.minimum.accumulate([trial.value for trial in study.trials]))
                began = time.perf_counter()
                function(study.ask())
                times.append(1000 * (time.perf_counter() - began))
            best = np.array(best)
            early, late = np.median(best[:, 24]), np.median(best[:, 49])
            low, high = np.quantile(best[:, 49], [0.25, 0.75])
            twenties = [f"{np.median(best[at : at + 20, 49]):.3f}" for at in range(0, seeds - seeds % 20, 20)]
            figures = f"{early:.5f} / {late:.5f} ({low:.5f} … {high:.5f})"
            found[name, function.__name__] = figures, f"{np.median(times):.3f}", twenties
            print(f"Optuna: {name} on {function.__name__} is done", file=sys.stderr, flush=True)
    return found


LINE = re.compile(r"(?P<name>.+?) +(?P<function>\w+) +(?P<early>\S+) / +(?P<late>\S+) \((?P<quartiles>.+)\) +(?P<time>\S+) ms")


def of_example(seeds, names):
    """The same of `reference_functions`, read from its lines."""
    build = ["cargo", "run", "--quiet", "-p", "millstream-search", "--release", "--example", "reference_functions", "--"]
    built = os.environ.get("REFERENCE_FUNCTIONS")
    command = [*([built] if built else build), str(seeds), *names]
    ran = subprocess.run(command, cwd=Path(__file__).resolve().parent.parent, stdout=subprocess.PIPE, text=True, check=True)
    found, last = {}, None
    for line in ran.stdout.splitlines():
        if line.startswith("  medians of twenties: ") and last:
            found[last][2].extend(line.split(": ")[1].split())
        elif one := LINE.fullmatch(line):
            last = one["name"], one["function"]
            found[last] = f"{one['early']} / {one['late']} ({one['quartiles']})", one["time"], []
    return found


def main():
    seeds, wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 20, sys.argv[2:]
    optuna_has = of_optuna(seeds, wanted)
    names = list(dict.fromkeys(name for name, _ in optuna_has))
    if not names:
        sys.exit(f"no sampler of Optuna is called {' or '.join(wanted)}, or it needs a package that is missing")
    ours = of_example(seeds, names)
    print(f"{seeds} seeds; best after 25 / 50 trials, median (quartiles at 50); milliseconds of a proposal at 50 trials\n")
    print(f"| | | Optuna {optuna.__version__} | ms | Millstream | ms |\n|---|---|---|---:|---|---:|")
    nothing = "–", "–", []
    for name, function in optuna_has:
        (theirs, their_time, _), (own, own_time, _) = optuna_has[name, function], ours.get((name, function), nothing)
        print(f"| {name} | {function} | {theirs} | {their_time} | {own} | {own_time} |")
    for who, found in (("Optuna", optuna_has), ("Millstream", ours)):
        for (name, function), (*_, twenties) in found.items():
            if len(twenties) > 1:
                print(f"\n{who}, {name} on {function}, medians of twenties: {' '.join(twenties)}", end="")
    print()


if __name__ == "__main__":
    main()
