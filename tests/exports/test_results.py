"""Which results are kept, whose they are said to be, and which exporters have a turn: `python -m unittest discover tests/exports`."""

import argparse
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import architectures
import run


def makers(**changed):
    return argparse.Namespace(**{**dict(program="a" * 64, judge="b" * 64, writer="c" * 64), **changed})


def options(**changed):
    return argparse.Namespace(**{**dict(again=[], keep=False, only_check=False, train=[]), **changed})


class Results(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.place = run.Place(folder.name)
        self.architecture = architectures.Architecture("one", "family", "image", 32, lambda: None)
        pathlib.Path(self.place.model("one", "script-17")).write_bytes(b"file")
        self.whole = dict(architecture="one", family="family", exporter="script-17", verdict="ok", program="a" * 64, judge="b" * 64, writer="c" * 64,
                          file=run.hash_of(self.place.model("one", "script-17")), asked=run.judging_names(), only_check=False)

    def kept(self, result, makers=makers(), **asked):
        self.place.keep(result)
        return run.Subject(self.place, options(**asked), self.architecture, makers).earlier("script-17") is not None

    def test_a_run_that_was_ended_goes_on_behind_what_its_program_has_judged(self):
        self.assertTrue(self.kept(self.whole))
        self.assertFalse(self.kept(self.whole, makers(program="d" * 64)))
        self.assertFalse(self.kept(self.whole, makers(judge="d" * 64)))
        self.assertTrue(self.kept(self.whole, makers(program="d" * 64), keep=True))
        self.assertFalse(self.kept(dict(self.whole, file="another")))

    def test_a_result_of_less_than_is_asked_for_is_not_taken_for_all_of_it(self):
        self.assertFalse(self.kept(dict(self.whole, asked=["head"])))
        self.assertTrue(self.kept(dict(self.whole, asked=["head"]), train=["head"]))
        self.assertFalse(self.kept(dict(self.whole, only_check=True)))
        self.assertTrue(self.kept(dict(self.whole, only_check=True), only_check=True))

    def test_results_of_older_scripts_are_kept_where_that_is_asked_for(self):
        older = {key: value for key, value in self.whole.items() if key not in ("asked", "program", "judge", "writer", "file")}
        self.assertFalse(self.kept(older))
        self.assertTrue(self.kept(older, keep=True))
        self.assertTrue(self.kept(dict(older, head=dict(verdict="ok")), keep=True, train=["head"]))
        self.assertFalse(self.kept(older, keep=True, train=["match"]))
        self.assertTrue(self.kept(dict(older, verdict="not exported"), keep=True))
        self.assertFalse(self.kept(dict(older, verdict="not for this"), keep=True))

    def test_what_could_not_be_exported_is_not_tried_again_by_the_same_scripts(self):
        failed = dict(architecture="one", family="family", exporter="script-17", verdict="not exported", writer="c" * 64)
        self.assertTrue(self.kept(failed, makers(program="d" * 64)))
        self.assertFalse(self.kept(failed, makers(writer="d" * 64)))
        self.assertFalse(self.kept(failed, again=["not exported"]))

    def test_a_table_of_several_programs_says_so(self):
        of_one, of_two = [self.whole, self.whole], [self.whole, dict(self.whole, program="d" * 64)]
        self.assertNotIn("several programs", run.table(of_one))
        self.assertIn("program aaaaaaaaaaaa: 2 files", run.table(of_one))
        self.assertIn("several programs", run.table(of_two))
        self.assertIn("several programs", run.table([self.whole, {key: value for key, value in self.whole.items() if key != "program"}]))
        self.assertIn("1 of 2 files were checked and not trained", run.table([self.whole, dict(self.whole, only_check=True)]))


class Turns(unittest.TestCase):
    def test_each_exporter_writes_some_architectures(self):
        import exporters
        entries = architectures.everything()
        taken = {name for entry in entries for name in exporters.in_turn(entry.name, entry.kind_of_export)}
        self.assertEqual(set(exporters.ALL) - taken, set())


if __name__ == "__main__":
    unittest.main()
