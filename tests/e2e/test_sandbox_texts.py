"""What a careless client sends, by PostgreSQL's protocol: nothing of it remains, in the database or beside it.

Each text as a Query, in the extended protocol, prepared, inside of a transaction, and behind a write in the same text or
batch. Everything is compared with what was before: rows, catalogue, prepared transactions, locks; the bytes of the files.
test_force_rollback says the same texts natively.
"""

import contextlib
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import PgClient, bind, execute, extended, fields, parse, query, ready_count, sync
from sandbox_kills import BASES, COMMANDS
from servers import Daemon

WRITE = "insert into notes values (1000, 'before', 1000)"


def ways(text):
    yield [query(text)]
    yield [extended(text) + sync()]
    yield [parse("p", text) + sync(), bind("", "p") + execute() + sync(), query("execute p")]
    yield [query("begin"), query(WRITE), query(text), query("commit")]
    yield [query("begin"), extended(WRITE) + extended(text) + extended("commit") + sync()]
    yield [query(f"{WRITE}; {text}; commit")]
    yield [extended(WRITE) + extended(text) + sync()]


class Texts:
    def test_nothing_remains(self):
        base = self.enterContext(contextlib.closing(BASES[self.backend]()))
        with Daemon(config=base.config, log_level="warning", env=base.environment) as daemon:
            database = base.clients[0][1]
            answered = failed = 0
            for text in [*base.texts, *COMMANDS]:
                for parts in ways(text):
                    with self.subTest(text), PgClient(f"127.0.0.1:{daemon.port}", database=database) as client:
                        for part in parts:
                            client.send(part)
                            for kind, body in client.messages(ready_count(part)):
                                answered += kind == "C"
                                failed += kind == "E"
                                self.assertFalse(kind == "E" and fields(body)["C"].startswith("XX"), body)
                        client.query("rollback")
                        self.assertEqual(client.query("select 1 as well"), "T:well D:1 C:SELECT 1 Z:I")
            self.assertGreater(min(answered, failed), 100)
            self.assertNotIn("LOST", daemon.log())
            self.assertEqual(daemon.terminate(), 0)
        base.compare()
        base.finish()


class OnPostgres(Texts, unittest.TestCase):
    backend = "postgres"


class OnSqlite(Texts, unittest.TestCase):
    backend = "sqlite"


if __name__ == "__main__":
    unittest.main()
