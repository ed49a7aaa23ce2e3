"""50,000 writes and as many errors in one sandbox, pipelined, by either protocol: its root keeps few locks."""

import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import bind, execute, fields, flush, parse, sync
from wire_servers import Conversation, Servers

MANY = 50000
LOCKS = "select (select count(*) from pg_locks where pid = pg_backend_pid()), (select count(*) from keyed)"


def setUpModule():
    Conversation.servers = Servers(pools={"one": "force_rollback = true\n"})
    Conversation.servers.cluster.query("create table keyed (id int primary key, note text)", "one")


class Many(Conversation):
    def tearDown(self):
        self.assertNotIn("LOST", self.log())
        client = self.connect()
        client.query("sandbox reset")
        self.assertEqual(client.value("select count(*) from keyed"), "0")

    def test_by_postgresqls_protocol(self):
        client, each = self.connect(), 500
        client.ask(parse("i", "insert into keyed values ($1, 'x')", [23]), sync())
        for first in range(0, MANY, each):
            client.send(b"".join((bind("", "i", [str(n)]) + execute() + sync()) * 2 for n in range(first, first + each)))
            found = [kind if kind == "C" else fields(body)["C"] for kind, body in client.messages(2 * each) if kind in "CE"]
            self.assertEqual(found, ["C", "23505"] * each)
        [[locks, rows]] = client.rows(LOCKS)
        self.assertEqual((int(locks) < 30, rows), (True, str(MANY)), locks)

    def test_in_one_unit_each_costs_as_much_as_the_one_before(self):
        client, each, spent = self.connect(), 500, []
        client.ask(parse("i", "insert into keyed values ($1, 'x')", [23]), sync())
        for count in (MANY // 5, MANY):
            before = self.work()
            for first in range(0, count, each):
                client.send(b"".join(bind("", "i", [str(n)]) + execute() for n in range(first, first + each)), flush())
                self.assertEqual(client.take(2 * each), " ".join(["2 C:INSERT 0 1"] * each))
            self.assertEqual(client.ask(sync()), "Z:I")
            spent.append(self.work() - before)
            client.query("truncate keyed")
        self.assertLess(spent[1], 12 * max(spent[0], 0.05), spent)

    def work(self):
        """Seconds that the daemon has worked."""
        of_process = pathlib.Path(f"/proc/{self.servers.daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(of_process[11]) + int(of_process[12])) / os.sysconf("SC_CLK_TCK")

    def test_natively(self):
        connection, each = self.enterContext(based_client.connect(self.servers.through_based)), 100
        session = connection.session(database="one")
        for first in range(0, MANY, each):
            started = [session.start(based_client.EXEC, "insert into keyed values ($1, 'x')", [n], {})
                       for n in range(first, first + each) for _ in range(2)]
            for first_time, again in zip(started[::2], started[1::2]):
                first_time.wait()
                with self.assertRaises(based_client.Error) as caught:
                    again.wait()
                self.assertEqual(caught.exception.code, "23505")
        [(locks, rows)] = session.exec(LOCKS).rows
        self.assertEqual((locks < 30, rows), (True, MANY), locks)


if __name__ == "__main__":
    unittest.main()
