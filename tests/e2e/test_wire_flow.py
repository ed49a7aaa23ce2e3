"""Who does not read, or sends more than is taken, is waited for: the daemon's memory stays small, and no byte is lost."""

import hashlib
import pathlib
import re
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import PgClient, bind, cells, copy_data, copy_done, execute, extended, parse, query, sync
from servers import wait_until
from wire_servers import Conversation, Servers, both

MIB = 1024 * 1024
# Behind Based a result waits for its client in 1 MiB, and a client's messages for their link in 256 KiB; beside them
# there are one reading buffer, and what the allocator keeps of them.
MOST_KIB = 8 * 1024


def setUpModule():
    Conversation.servers = Servers(pools={"two": "max_size = 2", "many": "max_size = 6"})
    for name in Conversation.servers.pools:
        Conversation.servers.cluster.query("create table t(n int primary key, filler text)", name)


class Flow:
    pool = "two"

    def setUp(self):
        self.server("truncate t")
        self.client = self.connect(receive_buffer=64 * 1024)
        self.other = self.connect()
        self.before = self.peak_kib(reset=True)

    def peak_kib(self, reset=False):
        """The most memory that the daemon had since the last reset."""
        if self.directly:
            return 0
        process = pathlib.Path(f"/proc/{self.servers.daemon.pid}")
        if reset:
            (process / "clear_refs").write_text("5")
        return int(re.search(r"VmHWM:\s+(\d+)", (process / "status").read_text())[1])

    def memory_stayed_small(self, clients=1):
        self.assertLess(self.peak_kib() - self.before, MOST_KIB * clients)

    def others_are_served(self):
        for number in range(20):
            self.assertEqual(self.other.query(f"select {number}"), f"T:?column? D:{number} C:SELECT 1 Z:I")

    def stalled(self, value):
        """Waits until this has stopped to change."""
        seen = []

        def steady():
            seen.append(value())
            return len(seen) > 30 and len(set(seen[-30:])) == 1
        wait_until(steady, "it to stop")

    def send_in_background(self, client, parts):
        """A thread that sends these and counts the bytes."""
        sent = [0]

        def run():
            for part in parts:
                client.socket.sendall(part)
                sent[0] += len(part)
        thread = threading.Thread(target=run)
        client.socket.settimeout(60)
        thread.start()
        self.addCleanup(thread.join)
        return thread, sent


@both
class Results(Flow):
    def digest(self, client, kinds="D"):
        """Of all values up to the ReadyForQuery: their number, and a hash."""
        found, count = hashlib.md5(), 0
        while True:
            kind, body = client.message()
            if kind == "Z":
                return count, found.hexdigest()
            self.assertNotEqual(kind, "E", body)
            if kind in kinds:
                found.update(cells(body)[0] if kind == "D" else body)
                count += 1

    def expected(self, rows, size, tail=b""):
        found = hashlib.md5()
        for number in range(1, rows + 1):
            text = str(number).encode()
            found.update(text + b"x" * (size - len(text)) + tail)
        return rows, found.hexdigest()

    def read_late(self, sql, rows, size, **kinds):
        self.client.send(query(sql))
        self.wait_processes("wait_event = 'ClientWrite'")
        self.others_are_served()
        self.memory_stayed_small()
        self.assertEqual(self.digest(self.client, **kinds), self.expected(rows, size, b"\n" if kinds else b""))
        self.memory_stayed_small()
        self.assertEqual(self.client.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")

    def test_200_mb_of_small_rows_read_late(self):
        self.read_late("select rpad(n::text, 2000, 'x') from generate_series(1, 100000) n", 100_000, 2000)

    def test_200_mb_of_large_rows_read_late(self):
        self.read_late("select rpad(n::text, 5000000, 'x') from generate_series(1, 40) n", 40, 5_000_000)

    def test_copy_out_read_late(self):
        self.read_late("copy (select rpad(n::text, 20000, 'x') from generate_series(1, 5000) n) to stdout",
                       5000, 20_000, kinds="d")

    def test_many_clients_that_do_not_read(self):
        deaf = [self.connect("many", receive_buffer=64 * 1024) for _ in range(5)]
        for client in deaf:
            client.send(query("select rpad(n::text, 2000, 'x') from generate_series(1, 100000) n"))
        self.wait_processes("wait_event = 'ClientWrite'", len(deaf), "many")
        other = self.connect("many")
        self.assertEqual(other.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")
        self.memory_stayed_small(2)
        for client in deaf:
            client.vanish()
        self.wait_processes("state = 'active'", 0, "many")
        self.memory_stayed_small(2)

    def test_answers_of_a_pipeline_that_are_not_read(self):
        """The client sends on until nobody takes more; then it reads, and finds everything."""
        one = extended("select repeat('x', 10000)") + sync()
        thread, sent = self.send_in_background(self.client, [one * 100] * 100)
        self.stalled(lambda: sent[0])
        self.others_are_served()
        self.memory_stayed_small()
        for _ in range(10_000):
            self.assertEqual(self.client.answers(), "1 2 D:<10000> C:SELECT 1 Z:I")
        thread.join()
        self.memory_stayed_small()


@both
class Requests(Flow):
    def blocked(self, sql):
        holder = PgClient(self.servers.direct, database=self.pool)
        self.addCleanup(holder.close)
        holder.query(f"begin; {sql}")
        return holder

    def send_into_a_lock(self, holder, parts, said):
        thread, sent = self.send_in_background(self.client, parts)
        self.wait_processes("wait_event_type = 'Lock'")
        self.stalled(lambda: sent[0])
        self.assertLess(sent[0], 60 * MIB)
        self.others_are_served()
        self.memory_stayed_small()
        holder.query("rollback")
        self.assertEqual(self.client.answers(seconds=60), said)
        thread.join()
        self.memory_stayed_small()

    def rows(self, first, last):
        filler = "x" * 1000
        return copy_data("".join(f"{n}\t{filler}\n" for n in range(first, last)))

    def test_copy_in_of_200_mb_into_a_lock_on_a_row(self):
        holder = self.blocked("insert into t values (0)")
        parts = [query("copy t from stdin"), copy_data("0\t\n"),
                 *(self.rows(n, n + 100) for n in range(1, 200_001, 100)), copy_done()]
        self.send_into_a_lock(holder, parts, "G:2 C:COPY 200001 Z:I")
        self.assertEqual(self.server("select count(*), sum(n), sum(length(filler)) from t"),
                         [["200001", "20000100000", "200000000"]])

    def test_copy_in_of_200_mb_sent_ahead_into_a_lock_on_the_table(self):
        holder = self.blocked("lock table t")
        parts = [query("copy t from stdin"), *(self.rows(n, n + 100) for n in range(1, 200_001, 100)), copy_done()]
        self.send_into_a_lock(holder, parts, "G:2 C:COPY 200000 Z:I")
        self.assertEqual(self.server("select count(*), sum(n) from t"), [["200000", "20000100000"]])

    def test_100_mb_of_binds_into_a_lock(self):
        holder = self.blocked("lock table t")
        statement = parse("s", "insert into t values ($1, left($2, 10))")
        parts = [statement, *(bind("", "s", [str(n), "x" * 100_000]) + execute() for n in range(1000)), sync()]
        self.send_into_a_lock(holder, parts, "1 " + "2 C:INSERT 0 1 " * 1000 + "Z:I")
        self.assertEqual(self.server("select count(*), sum(length(filler)) from t"), [["1000", "10000"]])

    def test_a_value_of_5_mb_there_and_back(self):
        value = bytes(range(97, 123)) * 200_000
        self.client.send(parse("", "select $1::text"), bind("", "", [value]), execute(), sync())
        found = self.client.messages()
        self.assertEqual([kind for kind, _ in found], ["1", "2", "D", "C", "Z"])
        self.assertTrue(cells(found[2][1]) == [value])

    def test_a_text_of_5_mb(self):
        literal = "y" * 5_000_000
        for parts, kinds in ((query(f"select '{literal}' as c"), "TDCZ"),
                             (extended(f"select '{literal}' as c") + sync(), "12DCZ")):
            self.client.send(parts)
            found = self.client.messages()
            self.assertEqual("".join(kind for kind, _ in found), kinds)
            row = next(body for kind, body in found if kind == "D")
            self.assertTrue(cells(row) == [literal.encode()])
        self.others_are_served()


if __name__ == "__main__":
    unittest.main()
