"""Random legal conversations, held with PostgreSQL itself and through Based with nested transactions.

As in test_wire_model.py. What has no BEGIN inside of a transaction is the server's own, whatever else is in it; where
one is, the two part ways, and so a run ends there. WIRE_MODEL_SEED=n begins with another seed, WIRE_MODEL_SECONDS=n
goes on for longer.
"""

import pathlib
import sys
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "support"), str(pathlib.Path(__file__).resolve().parent)]
import test_wire_model

ALREADY = "there is already a transaction in progress"


class Nested(Exception):
    """A transaction was begun inside of another one."""


class Speaker(test_wire_model.Speaker):
    def sql(self, one=True):
        text = super().sql(one)
        while self.status != "I" and ("begin" in text or "start" in text) and self.rnd.random() < 0.95:
            text = super().sql(one)
        return text


class NestedModel(test_wire_model.Model):
    speaker = Speaker
    pools = {"direct": "max_size = 1", "one": "max_size = 1\nnested_transactions = true"}
    steps = runs = 0

    @classmethod
    def tearDownClass(cls):
        print(f"{cls.runs} runs, {cls.steps} steps")

    @staticmethod
    def go_apart(wanted, found):
        """Also where a failed transaction is told before a text is found not to be one."""
        told = [(right[0], said[0]) for (kind, right), (_, said) in zip(wanted, found) if right != said and kind == "Q"]
        return (bool(told) and "'C': '42601'" in told[0][0] and "'C': '25P02'" in told[0][1]
                or test_wire_model.Model.go_apart(wanted, found))

    def one_run(self, seed):
        type(self).runs += 1
        try:
            super().one_run(seed)
        except Nested:
            pass

    def compare(self, pair, parts, where):
        type(self).steps += 1
        try:
            super().compare(pair, parts, where)
        finally:
            if any(ALREADY in reply for _, replies in self.said[0] for reply in replies):
                raise Nested from None


if __name__ == "__main__":
    unittest.main()
