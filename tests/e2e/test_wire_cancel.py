"""Cancel requests strike the statement that they were meant for, or nothing."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import (CANCEL_REQUEST, PROTOCOL_3_2, PgClient, bind, copy_data, copy_done, execute, extended, flush,
                       parse, query, sync, untyped)
from wire_servers import Conversation, Servers, TwoClients, both

def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1", "two": "max_size = 2"})
    for name in Conversation.servers.pools:
        Conversation.servers.cluster.query("create table t(n int primary key)", name)


@both
class Asked:
    """When the canceller's connection is closed, the server has been asked."""

    pool = "two"

    def test_what_it_waited_for_comes_too_late(self):
        holder, waits = self.connect(), self.connect()
        for _ in range(10):
            holder.query("begin; lock table t")
            waits.send(query("select 'late' from t"))
            self.wait_processes("wait_event_type = 'Lock'")
            self.assertEqual(waits.cancel(), b"")
            self.assertEqual(holder.query("commit"), "C:COMMIT Z:I")
            self.assertEqual(waits.answers(), "E:57014 Z:I")
        self.assertEqual(waits.cancel(), b"")  # nothing runs, and nobody is asked


@both
class Running(TwoClients):
    def test_a_simple_query_ends_with_57014(self):
        process = self.start(query(self.SLEEP))
        self.assertEqual(self.client.cancel(), b"")
        self.assertEqual(self.client.answers(), "T:pg_sleep E:57014 Z:I")
        self.nobody_was_hurt()
        self.on_one_link(process)

    def test_its_words_are_the_servers(self):
        self.start(query(self.SLEEP))
        self.client.cancel()
        wrong = next(self.fields_of_errors())
        self.assertEqual([wrong[name] for name in "SVCM"],
                         ["ERROR", "ERROR", "57014", "canceling statement due to user request"])

    def fields_of_errors(self):
        return (dict(zip("SVCM", [part[1:].decode() for part in body.split(b"\0")])) for kind, body
                in self.client.messages() if kind == "E")

    def test_only_the_unit_that_runs_of_those_that_were_sent(self):
        """The server's signal comes twice in short order, so the next unit may be struck too, but none behind it."""
        process = self.start(extended("select 0"), sync(), extended(self.SLEEP), extended("select 1"), sync(),
                             extended("select pg_sleep(0.05)"), sync(), extended("select 2"), sync(),
                             query("select 'pg_sleep(60)', pg_sleep(0.6)"))
        self.client.cancel()
        self.assertEqual(self.client.answers(2), "1 2 D:0 C:SELECT 1 Z:I 1 2 E:57014 Z:I")
        self.assertRegex(self.client.answers(), "^(1 2 D: C:SELECT 1 Z:I|(1 )?(2 )?E:57014 Z:I)$")
        self.assertEqual(self.client.answers(2), "1 2 D:2 C:SELECT 1 Z:I T:?column?,pg_sleep D:pg_sleep(60)| "
                         "C:SELECT 1 Z:I")
        self.nobody_was_hurt()
        self.on_one_link(process)

    def test_one_after_another_of_those_that_were_sent(self):
        self.start(query(self.SLEEP) * 4)
        for _ in range(4):
            if self.client.quiet(0.1):
                self.client.cancel()
            self.assertRegex(self.client.answers(), "^(T:pg_sleep )?E:57014 Z:I$")
        self.nobody_was_hurt()

    def test_up_to_a_sync_that_has_not_come(self):
        process = self.start(extended("insert into t values (1)"), extended(self.SLEEP), flush())
        self.client.cancel()
        self.assertEqual(self.client.take(5), "1 2 C:INSERT 0 1 1 2")
        self.assertEqual(self.client.take(1), "E:57014")
        self.assertEqual(self.client.ask(extended("insert into t values (2)"), sync()), "Z:I")
        self.assertEqual(self.server("select * from t"), [])
        self.nobody_was_hurt()
        self.on_one_link(process)

    def test_in_a_transaction_which_fails_up_to_its_savepoint(self):
        client = self.client
        client.query("begin; insert into t values (1); savepoint a; insert into t values (2)")
        process = self.start(query(self.SLEEP))
        client.cancel()
        self.assertEqual(client.answers(), "T:pg_sleep E:57014 Z:E")
        self.assertEqual(client.query("select 1"), "E:25P02 Z:E")
        self.assertEqual(client.query("rollback to a"), "C:ROLLBACK Z:T")
        self.assertEqual(client.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(self.server("select * from t"), [["1"]])
        self.nobody_was_hurt()
        self.on_one_link(process)

    def test_while_it_waits_for_a_lock(self):
        with PgClient(self.servers.direct, database=self.pool) as holder:
            holder.query("begin; lock table t")
            self.client.send(query("insert into t values (1)"))
            self.wait_processes("wait_event_type = 'Lock'")
            self.client.cancel()
            self.assertEqual(self.client.answers(), "E:57014 Z:I")
        self.nobody_was_hurt()

    def test_a_prepared_statement_is_still_there(self):
        client = self.client
        client.ask(parse("s", "select pg_sleep($1::float8)"), sync())
        process = self.start(bind("", "s", ["60"]), execute(), sync(), active="state = 'active' and query like '%$1%'")
        client.cancel()
        self.assertEqual(client.answers(), "2 E:57014 Z:I")
        self.assertEqual(self.other.query("select 'well'"), self.WELL)
        self.assertEqual(client.ask(bind("", "s", ["0"]), execute(), sync()), "2 D: C:SELECT 1 Z:I")
        self.on_one_link(process)

    def test_twice_and_more_is_once(self):
        process = self.start(query(self.SLEEP))
        for _ in range(5):
            self.client.cancel()
        self.assertEqual(self.client.answers(), "T:pg_sleep E:57014 Z:I")
        self.assertEqual(self.client.query("select pg_sleep(0.3)"), "T:pg_sleep D: C:SELECT 1 Z:I")
        self.nobody_was_hurt()
        self.on_one_link(process)


@both
class Nothing(TwoClients):
    def test_of_a_session_at_rest(self):
        for _ in range(10):
            self.client.cancel()
            self.assertEqual(self.client.query("select pg_sleep(0.01)"), "T:pg_sleep D: C:SELECT 1 Z:I")
        self.nobody_was_hurt()

    def test_of_a_session_that_rests_in_a_transaction(self):
        for begun, status in (("begin; insert into t values (1)", "T"), ("begin; select nothing", "E")):
            self.client.query(begun)
            for _ in range(3):
                self.client.cancel()
            self.assertTrue(self.client.quiet(0.1))
            self.assertRegex(self.client.query("savepoint a"), f"Z:{status}$")
            self.client.query("commit")
        self.assertEqual(self.server("select * from t"), [["1"]])
        self.nobody_was_hurt()

    def test_behind_the_end_of_its_statement(self):
        for _ in range(20):
            self.client.query("select 1")
            self.client.cancel()
            self.assertEqual(self.client.query("select pg_sleep(0.02)"), "T:pg_sleep D: C:SELECT 1 Z:I")
            self.assertEqual(self.other.query("select pg_sleep(0.02)"), "T:pg_sleep D: C:SELECT 1 Z:I")

    def test_while_another_session_runs(self):
        """Through Based it has the link that was this one's."""
        self.client.query("select 1")
        self.start(query("select 'pg_sleep(60)', pg_advisory_xact_lock(1), pg_sleep(0.3)"), client=self.other)
        for _ in range(5):
            self.client.cancel()
        self.assertEqual(self.other.answers(), "T:?column?,pg_advisory_xact_lock,pg_sleep D:pg_sleep(60)|| "
                         "C:SELECT 1 Z:I")
        self.nobody_was_hurt()

    def test_of_a_session_that_is_gone(self):
        pid, key = self.client.pid, self.client.key
        self.client.close()
        self.start(query("select 'pg_sleep(60)', pg_sleep(0.3)"), client=self.other)
        self.assertEqual(self.other.cancel(pid, key), b"")
        self.assertEqual(self.other.answers(), "T:?column?,pg_sleep D:pg_sleep(60)| C:SELECT 1 Z:I")

    def wrong_keys(self, client):
        pid, key, other = client.pid, client.key, self.other
        flipped = bytes([key[0] ^ 1]) + key[1:]
        yield pid, flipped
        yield pid, key[:-1] + bytes([key[-1] ^ 0x80])
        yield pid, other.key
        yield other.pid, key
        yield 0, key
        yield 0xFFFFFFFF, key
        yield pid ^ 0x4000, key
        yield pid, key[::-1] if key[::-1] != key else flipped
        for size in range(len(key)):
            yield pid, key[:size]
        yield pid, key + b"\0"
        yield pid, bytes(4) + key
        yield pid, key * 8

    def test_with_a_wrong_key(self):
        """And nobody is told whether it was right."""
        self.start(query(self.SLEEP))
        for pid, key in self.wrong_keys(self.client):
            with self.subTest(pid=pid, key=key.hex()):
                self.assertEqual(self.client.cancel(pid, key), b"")
        self.assertTrue(self.client.quiet(0.3))
        self.assertEqual(self.client.cancel(), b"")
        self.assertEqual(self.client.answers(), "T:pg_sleep E:57014 Z:I")
        self.nobody_was_hurt()

    def test_with_half_a_request(self):
        self.start(query(self.SLEEP))
        right = untyped(CANCEL_REQUEST.to_bytes(4, "big") + self.client.pid.to_bytes(4, "big") + self.client.key)
        for size in range(1, len(right)):
            with PgClient(self.address, start=False) as half:
                half.send(right[:size])
        self.assertTrue(self.client.quiet(0.3))
        self.client.cancel()
        self.assertEqual(self.client.answers(), "T:pg_sleep E:57014 Z:I")
        self.nobody_was_hurt()


@both
class Copies(TwoClients):
    def test_in_at_the_next_row_at_the_latest(self):
        """The server does not look up while it waits for data."""
        client = self.client
        for number, more in enumerate(([copy_data("2\n")], [copy_data("2\n") * 1000, copy_done()])):
            client.send(query("copy t from stdin"), copy_data("1\n"))
            self.assertEqual(client.take(1), "G:1")
            process = self.wait_processes("state = 'active' and query like 'copy%'")[0]
            client.cancel()
            client.send(*more)
            self.assertEqual(client.answers(), "E:57014 Z:I", number)
            self.assertEqual(self.server("select * from t"), [])
            self.nobody_was_hurt()
            self.on_one_link(process)

    def test_in_extended(self):
        client = self.client
        client.send(extended("copy t from stdin"), flush(), copy_data("1\n"))
        self.assertEqual(client.take(3), "1 2 G:1")
        process = self.wait_processes("state = 'active' and query like 'copy%'")[0]
        client.cancel()
        client.send(copy_data("2\n") * 1000, copy_done(), extended("select 1"), sync())
        self.assertEqual(client.answers(), "E:57014 Z:I")
        self.assertEqual(self.server("select * from t"), [])
        self.nobody_was_hurt()
        self.on_one_link(process)

    def test_out(self):
        client = self.client
        client.send(query("copy (select repeat('x', 1000) from generate_series(1, 1000000)) to stdout"))
        self.assertEqual(client.take(2), "H:1 d:<1001>")
        process = self.wait_processes("query like 'copy%' and wait_event = 'ClientWrite'")[0]
        client.cancel()
        found = client.messages()
        self.assertEqual([kind for kind, _ in found[-2:]], ["E", "Z"])
        self.assertEqual({len(body) for _, body in found[:-2]}, {1001})
        self.assertLess(len(found), 1_000_000)
        self.nobody_was_hurt()
        self.on_one_link(process)

    def test_rows(self):
        client = self.client
        client.send(query("select repeat('x', 1000) from generate_series(1, 1000000)"))
        self.assertEqual(client.take(2), "T:repeat D:<1000>")
        process = self.wait_processes("query like '%repeat%' and wait_event = 'ClientWrite'")[0]
        client.cancel()
        found = client.messages()
        self.assertEqual([kind for kind, _ in found[-2:]], ["E", "Z"])
        self.assertLess(len(found), 1_000_000)
        self.nobody_was_hurt()
        self.on_one_link(process)


class IdleCopies(TwoClients, Conversation):
    """Based looks up from a COPY for the server."""

    def test_in_whose_client_sends_nothing_more(self):
        for start, begun in ((query("copy t from stdin"), "G:1"),
                             (query("begin; copy t from stdin"), "C:BEGIN G:1"),
                             (extended("copy t from stdin") + flush(), "1 2 G:1")):
            with self.subTest(begun=begun):
                client = self.client
                client.send(start)
                self.assertEqual(client.take(begun.count(" ") + 1), begun)
                process = self.wait_processes("state = 'active' and query like '%copy%'")[0]
                client.cancel()
                _, body = client.message()
                self.assertIn(b"\0C57014\0Mcanceling statement due to user request\0", body)
                client.send(copy_data("1\n"), copy_done(), *([sync()] if begun[0] == "1" else []))
                self.assertRegex(client.answers(), "^Z:[IE]$")
                self.assertRegex(client.query("rollback"), "C:ROLLBACK Z:I$")
                self.assertEqual(self.server("select * from t"), [])
                self.nobody_was_hurt()
                self.on_one_link(process)

    def test_in_the_middle_of_a_large_message(self):
        client = self.client
        client.send(query("copy t from stdin"))
        self.assertEqual(client.take(1), "G:1")
        process = self.wait_processes("state = 'active' and query like '%copy%'")[0]
        message = copy_data("".join(f"{n}\n" for n in range(200_000)))
        client.send(message[:1_000_000])
        client.cancel()
        self.assertTrue(client.quiet())
        client.send(message[1_000_000:])
        self.assertEqual(client.answers(), "E:57014 Z:I")
        self.assertEqual(self.server("select * from t"), [])
        self.nobody_was_hurt()
        self.on_one_link(process)


class Keys(Nothing, Conversation):
    """Protocol 3.2's, which are longer."""

    def connect(self, database=None, **options):
        return super().connect(database, version=PROTOCOL_3_2, **options)

    def test_they_are_of_32_bytes(self):
        self.assertEqual((len(self.client.key), self.client.negotiated), (32, []))
        self.assertNotEqual(self.client.key, self.other.key)


if __name__ == "__main__":
    unittest.main()
