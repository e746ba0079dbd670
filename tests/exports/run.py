"""Exports public architectures, has Millstream check and train each file, and compares the gradients: see README.md."""

import argparse
import collections
import fnmatch
import hashlib
import json
import math
import multiprocessing
import os
import pathlib
import sys
import time
import traceback


def judging_names():
    """What each file is tried with: its own head alone, a new head alone, everything, and of transformers the first block by its path."""
    return ["head", "new", "all", "match"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millstream", required=True, help="the program")
    parser.add_argument("--folder", required=True, help="where files and results go")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="architectures, families or exporters, patterns allowed; may be given several times")
    parser.add_argument("--every-exporter", action="store_true", help="each architecture by each exporter, instead of some in turn")
    parser.add_argument("--files", type=int, metavar="N", help="of each architecture so many files: those that are there first, then others in turn")
    parser.add_argument("--minutes", type=float, metavar="N", help="after so long begin no other file, and tell of those that were judged; the same command goes on from there")
    parser.add_argument("--keep", action="store_true", help="keep results that other programs and other versions of these scripts gave, and judge only what has none")
    parser.add_argument("--again", action="append", default=[], metavar="VERDICT", help="judge those files anew that had this verdict, and keep all other results")
    parser.add_argument("--only-check", action="store_true", help="do not train: whether `check` refuses a file, and which parameters it would train, is soon known")
    parser.add_argument("--train", action="append", default=[], choices=judging_names(), help="only these, instead of all; may be given several times")
    parser.add_argument("--there", action="store_true", help="only files that are there: export nothing")
    parser.add_argument("--jobs", type=int, default=2, help="architectures at a time")
    parser.add_argument("--list", action="store_true", help="say what there is, and do nothing")
    parser.add_argument("--table", action="store_true", help="print the table of the results that are there")
    return parser.parse_args()


class Place:
    """The folder of this test's files."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.models, self.results, self.work = (self.folder / name for name in ("models", "cases", "work"))
        self.data = self.folder / "data"
        for path in (self.models, self.results, self.work):
            path.mkdir(parents=True, exist_ok=True)

    def model(self, architecture, exporter):
        return str(self.models / f"{architecture}.{exporter}.onnx")

    def result(self, architecture, exporter):
        path = self.results / f"{architecture}.{exporter}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def keep(self, result):
        path = self.results / f"{result['architecture']}.{result['exporter']}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(result, indent=1))
        part.replace(path)


JUDGE = ("judging", "parameters", "evaluation", "operators", "windows", "sequences", "rows")
WRITERS = ("exporters", "architectures", "image_models", "text_models", "other_models", "traditional_models", "keras_models", "keras_export", "rows")


class Makers:
    """What makes a result, by hashes: the program, the scripts that judge, and those that write files with what they stand on."""

    def __init__(self, program):
        here = pathlib.Path(__file__).parent
        self.program = hash_of(program)
        self.judge = hash_of(*(here / f"{name}.py" for name in JUDGE))
        self.writer = hash_of(here / "requirements.txt", *(here / f"{name}.py" for name in WRITERS))


def hash_of(*paths):
    digest = hashlib.sha256()
    for path in paths:
        digest.update(pathlib.Path(path).read_bytes())
    return digest.hexdigest()


def wanted_of(options, architecture, exporters):
    """Exporters of an architecture: those that are named as they are, and of those whose turn it is what fits a pattern."""
    turn = exporters.in_turn(architecture.name, architecture.kind_of_export)
    able = exporters.ALL if architecture.kind_of_export is None else turn
    every = [*exporters.ALL, exporters.TRADITIONAL, exporters.KERAS]
    of_exporters = [pattern for pattern in options.only if fnmatch.filter(every, pattern)]
    of_names = [pattern for pattern in options.only if pattern not in of_exporters]
    if of_names and not any(fnmatch.fnmatch(name, pattern) for name in (architecture.name, architecture.family) for pattern in of_names):
        return []
    chosen = able if options.every_exporter else list(dict.fromkeys(turn))
    if not of_exporters:
        return chosen
    return [name for name in able if name in of_exporters or name in chosen and any(fnmatch.fnmatch(name, pattern) for pattern in of_exporters)]


def in_turn(options, place, architecture, chosen, number):
    """What is there already first, where not all files are asked for; whose turn it is differs by architecture."""
    if options.files is None:
        return chosen
    first = number // 4096 % len(chosen)
    return sorted(chosen[first:] + chosen[:first], key=lambda name: not os.path.exists(place.model(architecture.name, name)))


class Subject:
    """One architecture, and its files by several exporters."""

    def __init__(self, place, options, architecture, makers):
        self.place, self.options, self.architecture, self.makers = place, options, architecture, makers
        self.module = self.known = None

    def prepare(self):
        import exporters
        if self.module is None:
            if self.architecture.kind_of_export is None:
                self.module, self.norms = exporters.prepared(self.architecture)
            else:
                self.module, self.norms = self.architecture.make(), False

    def gradients(self):
        import exporters
        if self.known is None:
            self.prepare()
            if self.architecture.kind_of_export is not None:
                return None
            self.known = exporters.torch_gradients(self.architecture, self.module)
        return self.known

    def file(self, exporter):
        import exporters
        path = self.place.model(self.architecture.name, exporter)
        if not os.path.exists(path):
            self.prepare()
            exporters.write(self.architecture, self.module, self.norms, exporter, path, self.file)
        return path

    def earlier(self, exporter):
        """The result that is there, where it says as much as is asked for now."""
        found = self.place.result(self.architecture.name, exporter)
        if found is None or found["verdict"] in self.options.again:
            return None
        if found["verdict"] in UNJUDGED:
            writer = found.get("writer")
            # without the hash it may say something of what was asked for then
            lasts = writer is not None or found["verdict"] == "not exported"
            return found if writer == self.makers.writer or self.options.keep and lasts else None
        if found.get("only_check") and not self.options.only_check:
            return None
        if self.options.again:
            return found
        asked = found.get("asked")
        if asked is None and self.options.keep:
            asked = judging_names() if not self.options.train else [train for train in judging_names() if train in found]
        if not set(self.options.train or judging_names()) <= set(asked or []):
            return None
        if self.options.keep:
            return found
        if (found.get("program"), found.get("judge")) != (self.makers.program, self.makers.judge):
            return None
        path = self.place.model(self.architecture.name, exporter)
        return found if os.path.exists(path) and found.get("file") == hash_of(path) else None

    def judge(self, exporter):
        import exporters
        import judging
        import parameters
        earlier = self.earlier(exporter)
        if earlier:
            return earlier
        name = self.architecture.name
        started = time.time()
        base = dict(architecture=name, family=self.architecture.family, exporter=exporter, writer=self.makers.writer)
        try:
            path = self.file(exporter)
        except exporters.NotForThis as reason:
            return dict(base, verdict="not for this", message=str(reason))
        except Exception as error:
            message = f"{type(error).__name__}: {error}".strip().splitlines()
            return dict(base, verdict="not exported", message=message[0][:300])
        exported, hashed = time.time() - started, hash_of(path)
        known = self.gradients()
        trains = self.options.train or judging_names()
        if parameters.first_block(self.architecture, known) is None:
            trains = [train for train in trains if train != "match"]
        if exporter in exporters.QUANTIZED:
            trains = ["head"]
        elif exporter in (exporters.TRADITIONAL, exporters.KERAS):
            trains = [train for train in trains if train != "new"]
        if not trains:
            # of what was asked for, not of the exporter
            del base["writer"]
            return dict(base, verdict="not for this", message="it is no transformer whose first block is trained by its path")
        only_check = self.options.only_check
        result = judging.judge(self.options.millstream, self.architecture, exporter, path, self.place.work / f"{name}.{exporter}",
                               self.place.data, known, trains, only_check)
        result.update(base, file=hashed, program=self.makers.program, judge=self.makers.judge, asked=self.options.train or judging_names(),
                      judged=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()), export_seconds=round(exported, 1), seconds=round(time.time() - started, 1),
                      module_parameters=known and known["parameters"],
                      only_check=only_check)
        return result


def work(place, options, architecture, chosen, makers, until, queue):
    import torch
    torch.set_num_threads(1)
    # exporters say much
    log = os.open(place.folder / "exporters.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    subject = Subject(place, options, architecture, makers)
    judged, broken_off = 0, False
    for exporter in chosen:
        if judged == options.files:
            break
        if time.monotonic() > until:
            broken_off = True
            break
        try:
            result = subject.judge(exporter)
        except Exception as error:
            path = place.model(architecture.name, exporter)
            result = dict(architecture=architecture.name, family=architecture.family, exporter=exporter, verdict="no reference", writer=makers.writer,
                          program=makers.program, judge=makers.judge, file=hash_of(path) if os.path.exists(path) else None,
                          asked=options.train or judging_names(), only_check=options.only_check,
                          message=f"{type(error).__name__}: {error}: {traceback.format_exc()[-300:]}")
        judged += result["verdict"] not in UNJUDGED
        place.keep(result)
        queue.put(result)
    queue.put((architecture.name, broken_off))


def told(result):
    words = [f"{result['architecture']:<46} {result['exporter']:<20} {result['verdict']:<12}"]
    everything = result.get("all", {})
    if "error" in everything:
        words.append(f"{everything['error']:.1e}")
    if result["verdict"] != "ok":
        words.append(f"{result.get('at', '')}: {result.get('message', '')}"[:160].replace("\n", " "))
    return " ".join(words)


# No program had a part in these.
UNJUDGED = ("not for this", "not exported")
VERDICTS = ["ok", "partly", "refused", "wrong", "no reference", "not exported"]


def table(results):
    """Counts by family and by exporter."""
    lines = []
    for what in ("exporter", "family"):
        counts = collections.defaultdict(collections.Counter)
        worst = collections.defaultdict(float)
        for result in results:
            if result["verdict"] != "not for this":
                counts[result[what]][result["verdict"]] += 1
                worst[result[what]] = max(worst[result[what]], result.get("all", {}).get("error", 0.0) if result["verdict"] == "ok" else 0.0)
        lines += ["", f"{what:<22}{'files':>7}" + "".join(f"{verdict:>14}" for verdict in VERDICTS) + f"{'largest error':>16}"]
        for name in sorted(counts):
            counted = counts[name]
            lines.append(f"{name:<22}{sum(counted.values()):>7}" + "".join(f"{counted[verdict] or '':>14}" for verdict in VERDICTS)
                         + f"{worst[name]:>16.1e}")
        counted = sum(counts.values(), collections.Counter())
        lines.append(f"{'all':<22}{sum(counted.values()):>7}" + "".join(f"{counted[verdict] or '':>14}" for verdict in VERDICTS)
                     + f"{max(worst.values(), default=0.0):>16.1e}")
    return "\n".join([*lines, *by_part(results), *origins(results)])


def origins(results):
    """Whose results these are, and that they are of several, or not of whole steps."""
    judged = [result for result in results if result["verdict"] not in UNJUDGED]
    lines = [""]
    for maker, many in (("program", "several programs: the table says of none of them how it does"), ("judge", "several versions of the scripts that judge")):
        counts = collections.Counter(result.get(maker) for result in judged)
        if len(counts) > 1:
            lines.append(f"These results are of {many}.")
        for known, count in counts.most_common():
            days = [result["judged"] for result in judged if result.get(maker) == known and "judged" in result]
            told = f", {min(days)} to {max(days)} UTC" if days else ""
            lines.append(f"{maker} {known[:12] if known else 'not told'}: {count} files{told}")
    checked = sum(bool(result.get("only_check")) for result in judged)
    if checked:
        lines.append(f"{checked} of {len(judged)} files were checked and not trained.")
    return lines


def by_part(results):
    """How many files are right with each part of them trained."""
    lines = ["", f"{'trained':<22}{'files':>7}" + "".join(f"{verdict:>14}" for verdict in VERDICTS[:-1]) + f"{'right':>16}"]
    for train in judging_names():
        counted = collections.Counter(result[train]["verdict"] for result in results if train in result)
        files = sum(counted.values())
        if files:
            share = f"{100 * counted['ok'] / files:.1f} %"
            lines.append(f"{train:<22}{files:>7}" + "".join(f"{counted[verdict] or '':>14}" for verdict in VERDICTS[:-1]) + f"{share:>16}")
    return lines


def finish(place, results):
    results = sorted(results, key=lambda result: (result["architecture"], result["exporter"]))
    (place.folder / "results.json").write_text(json.dumps(results, indent=1))
    print(table(results))
    others = [result for result in results if result["verdict"] not in ("ok", "not for this")]
    if others:
        print("\n" + "\n".join(told(result) for result in others))
    print(f"\n{place.folder / 'results.json'}")
    return 1 if any(result["verdict"] in ("partly", "refused", "wrong") for result in results) else 0


def main():
    options = arguments()
    place = Place(options.folder)
    import architectures
    import exporters
    # mixed, so that a part of them says something of the whole
    everything = sorted(architectures.everything(), key=lambda entry: exporters.number_of(entry.name))
    plan = [(entry, wanted_of(options, entry, exporters)) for entry in everything]
    plan = [(entry, in_turn(options, place, entry, chosen, exporters.number_of(entry.name))) for entry, chosen in plan if chosen]
    if options.there:
        plan = [(entry, [name for name in chosen if os.path.exists(place.model(entry.name, name))]) for entry, chosen in plan]
        plan = [(entry, chosen) for entry, chosen in plan if chosen]
    if options.again:
        def told_before(entry, exporter):
            earlier = place.result(entry.name, exporter) or {}
            return "new" if earlier.get("only_check") and not options.only_check else earlier.get("verdict", "new")
        plan = [(entry, [exporter for exporter in chosen if told_before(entry, exporter) in [*options.again, "new"]]) for entry, chosen in plan]
        plan = [(entry, chosen) for entry, chosen in plan if chosen]
    if options.list:
        for entry, chosen in plan:
            print(f"{entry.name:<46} {entry.family:<16} {' '.join(chosen)}")
        return 0
    if options.table:
        return finish(place, [json.loads(path.read_text()) for path in sorted(place.results.glob("*.json"))])
    makers, until = Makers(options.millstream), math.inf if options.minutes is None else time.monotonic() + 60 * options.minutes
    context, running, results, broken_off = multiprocessing.get_context("fork"), {}, [], 0
    queue, waiting, total, started = context.Queue(), list(plan), sum(min(len(chosen), options.files or len(chosen)) for _, chosen in plan), time.time()
    while running or waiting and time.monotonic() <= until:
        while waiting and len(running) < options.jobs and time.monotonic() <= until:
            entry, chosen = waiting.pop(0)
            running[entry.name] = context.Process(target=work, args=(place, options, entry, chosen, makers, until, queue))
            running[entry.name].start()
        try:
            said = queue.get(timeout=5)
        except Exception:
            said = None
        if isinstance(said, dict):
            results.append(said)
            print(f"{len(results):>4} of {total} {told(said)}", flush=True)
        elif said is not None and said[0] in running:
            running.pop(said[0]).join()
            broken_off += said[1]
        else:
            for name in [name for name, process in running.items() if not process.is_alive()]:
                print(f"     {name}: its process ended with {running.pop(name).exitcode}", flush=True)
    print(f"\n{len(results)} files in {time.time() - started:.0f} s")
    if waiting or broken_off:
        goes_on = "" if options.again else " The same command goes on from here."
        print(f"The {options.minutes:g} minutes were over: {len(waiting)} architectures were not begun, {broken_off} not ended.{goes_on}")
    everything = results if options.only == [] and not options.again else [json.loads(path.read_text()) for path in sorted(place.results.glob("*.json"))]
    return finish(place, everything)


if __name__ == "__main__":
    sys.exit(main())
