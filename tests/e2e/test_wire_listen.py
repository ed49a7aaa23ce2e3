"""LISTEN and NOTIFY: who listens hears at once while it rests, whatever its link is doing for others."""

import contextlib
import os
import pathlib
import signal
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import bind, execute, extended, flush, parse, query, sync, texts
from wire_servers import POOLS, Conversation, Servers, both


def setUpModule():
    Conversation.servers = Servers(pools=POOLS | {"impatient": "max_size = 2\nconnect_timeout = '1s'",
                                                  "session": "pool_mode = 'session'"})


class Listeners:
    """Through Based all of these share one link."""

    def setUp(self):
        self.client, self.other = self.connect(), self.connect()
        self.assertEqual(self.client.query("listen news"), "C:LISTEN Z:I")

    def heard(self, client=None, count=1):
        """The next messages, which are notifications: (process, channel, payload)."""
        found = []
        for _ in range(count):
            kind, body = (client or self.client).message()
            self.assertEqual(kind, "A")
            self.assertTrue(body.endswith(b"\0"))
            found.append((struct.unpack_from("!I", body)[0], *texts(body[4:])[:2]))
        return found

    def payloads(self, client=None, count=1):
        return [payload for _, _, payload in self.heard(client, count)]


@both
class Idle(Listeners):
    def test_it_comes_at_once_from_anothers_transaction_with_its_process(self):
        self.assertEqual(self.other.query("begin; notify news, 'hello'; commit"), "C:BEGIN C:NOTIFY C:COMMIT Z:I")
        self.assertEqual(self.heard(), [(self.other.pid, "news", "hello")])
        self.assertEqual(self.client.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")

    def test_it_comes_while_the_only_link_is_in_anothers_transaction(self):
        self.assertEqual(self.other.query("begin; select 1"), "C:BEGIN T:?column? D:1 C:SELECT 1 Z:T")
        self.server("notify news, 'meanwhile'")
        self.assertEqual(self.payloads(), ["meanwhile"])
        self.assertEqual(self.other.query("commit"), "C:COMMIT Z:I")

    def test_each_of_many_hears_each_once_and_in_order(self):
        clients = [self.client, *(self.connect() for _ in range(9))]
        for client in clients[1:]:
            self.assertEqual(client.ask(extended("listen news"), sync()), "1 2 C:LISTEN Z:I")
        self.assertEqual(self.client.query("listen news"), "C:LISTEN Z:I")  # twice is once
        for start in range(0, 500, 100):
            self.other.query("begin; " + "".join(f"notify news, '{n}';" for n in range(start, start + 100)) + "commit")
        for client in clients:
            self.assertEqual(self.payloads(client, 500), [str(n) for n in range(500)])
            self.assertEqual(client.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")

    def test_a_name_and_a_payload_as_they_were_given(self):
        self.assertEqual(self.client.query('listen "The ""News"" ü"'), "C:LISTEN Z:I")
        self.other.query("notify \"The \"\"News\"\" ü\", 'it''s ü'")
        self.assertEqual([said[1:] for said in self.heard()], [('The "News" ü', "it's ü")])
        self.other.query("notify news")
        self.assertEqual([said[1:] for said in self.heard()], [("news", "")])
        self.other.query(f"notify news, '{'x' * 7999}'")
        self.assertEqual(self.payloads(), ["x" * 7999])
        self.assertEqual(self.other.query(f"notify news, '{'x' * 8000}'"), "E:22023 Z:I")
        self.assertEqual(self.other.query("select pg_notify('news', 'by a function')"),
                         "T:pg_notify D: C:SELECT 1 Z:I")
        self.assertEqual(self.payloads(), ["by a function"])


@both
class Own(Listeners):
    """A session that listens hears itself before the ReadyForQuery."""

    def own(self, parts, answers):
        self.client.notifications.clear()
        self.client.send(*parts)
        found = self.client.answers(len([word for word in answers.split() if word.startswith("Z")]))
        self.assertEqual(found, answers.removesuffix("Z:I") + "A:news|own Z:I")
        self.assertEqual(self.client.notifications, [("news", "own")])

    def test_by_a_query(self):
        self.own([query("notify news, 'own'")], "C:NOTIFY Z:I")

    def test_by_the_extended_protocol(self):
        self.own([extended("notify news, 'own'"), sync()], "1 2 C:NOTIFY Z:I")

    def test_twice_in_a_transaction_is_once(self):
        self.own([query("begin"), query("notify news, 'own'"), query("notify news, 'own'"), query("commit")],
                 "C:BEGIN Z:T C:NOTIFY Z:T C:NOTIFY Z:T C:COMMIT Z:I")
        self.fence()

    def test_in_the_transaction_that_listens(self):
        self.client.query("unlisten news")
        self.own([query("listen news; notify news, 'own'")], "C:LISTEN C:NOTIFY Z:I")
        self.client.query("unlisten news")
        self.own([extended("listen news"), extended("notify news, 'own'"), sync()], "1 2 C:LISTEN 1 2 C:NOTIFY Z:I")
        self.own([query("listen news; notify news, 'own'")], "C:LISTEN C:NOTIFY Z:I")
        self.fence()

    def test_by_a_trigger(self):
        self.client.query("create table if not exists told (n int); create or replace function tell() returns trigger "
                          "language plpgsql as $$ begin execute 'notify news, ''own'''; return null; end $$; "
                          "create or replace trigger tells after insert on told execute function tell()")
        self.own([query("insert into told values (1)")], "C:INSERT 0 1 Z:I")
        self.own([extended("insert into told values (1)"), sync()], "1 2 C:INSERT 0 1 Z:I")

    def test_with_its_process(self):
        self.client.send(query("begin; notify news, 'own'; commit"))
        found = [self.client.message() for _ in range(5)]
        self.assertEqual([kind for kind, _ in found], ["C", "C", "C", "A", "Z"])
        self.assertEqual(struct.unpack_from("!I", found[3][1])[0], self.client.pid)

    def fence(self):
        """Whatever was notified before has come when this has."""
        self.client.notifications.clear()
        self.other.query("notify news, 'fence'")
        self.assertEqual(self.payloads(), ["fence"])


@both
class InOrder(Listeners):
    """Who asks for something once another's NOTIFY is answered has heard of it when that is."""

    def heard_by(self, *said):
        self.assertEqual(self.client.notifications, [("news", each) for each in said])
        self.client.notifications.clear()

    def test_behind_anothers(self):
        for n in range(100):
            self.assertEqual(self.other.query(f"notify news, '{n}'"), "C:NOTIFY Z:I")
            found = self.client.query("select 1")
            self.assertEqual(found.replace(f"A:news|{n} ", "", 1), "T:?column? D:1 C:SELECT 1 Z:I")
            self.heard_by(str(n))

    def test_behind_one_that_a_prepared_statement_or_the_server_says(self):
        self.other.ask(parse("tell", "select pg_notify($1, $2)"), sync())
        for n in range(20):
            self.other.ask(bind("", "tell", ("news", str(n))), execute(), sync())
            self.server("notify news, 'server'")
            found = self.client.ask(extended("select 1"), sync())
            self.assertEqual(found.replace(f"A:news|{n} ", "", 1).replace("A:news|server ", "", 1),
                             "1 2 D:1 C:SELECT 1 Z:I")
            self.heard_by(str(n), "server")

    def test_each_of_many_by_its_own_process(self):
        """They take turns on the one link as fast as they can."""
        tellers = [self.connect() for _ in range(8)]
        for teller in tellers:
            teller.ask(parse("tell", "select pg_notify('news', $1)"), sync())
        for _ in range(20):
            for teller in tellers:
                teller.send(query(f"notify news, '{teller.pid}'"), bind("", "tell", (f"again {teller.pid}",)),
                            execute(), sync())
            for teller in tellers:
                teller.answers(2)
            heard = self.heard(count=2 * len(tellers))
            self.assertEqual([process for process, _, said in heard], [int(said.split()[-1]) for _, _, said in heard])
            self.assertEqual({said for _, _, said in heard},
                             {f"{again}{teller.pid}" for teller in tellers for again in ("", "again ")})


class SessionMode(Conversation):
    pool = "session"

    def test_its_process_is_the_clients(self):
        client, other = self.connect(), self.connect()
        self.assertEqual(client.query("listen news"), "C:LISTEN Z:I")
        for teller in (client, other):
            teller.send(query("notify news"))
            found = [client.message() for _ in range(3 if teller is client else 1)]
            self.assertEqual([struct.unpack_from("!I", body)[0] for kind, body in found if kind == "A"], [teller.pid])


class Impatient(Conversation):
    """Nobody waits for the listening connection for longer than for any other."""

    pool = "impatient"

    def setUp(self):
        self.client = self.connect()
        self.assertEqual(self.client.query("listen news"), "C:LISTEN Z:I")
        self.listening = int(self.server("select pid from pg_stat_activity where datname = 'impatient' "
                                         "and query like 'LISTEN \"%' order by backend_start desc")[0][0])

    def stopped(self):
        os.kill(self.listening, signal.SIGSTOP)
        self.addCleanup(self.goes_on)

    def goes_on(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.listening, signal.SIGCONT)

    def test_one_that_does_not_answer(self):
        self.stopped()
        self.assertEqual(self.connect().query("notify news"), "C:NOTIFY Z:I")
        self.assertRegex(self.client.query("select 1"), "T:.* D:1 C:SELECT 1 .*Z:I")

    def test_one_that_is_lost_meanwhile(self):
        self.stopped()
        other = self.connect()
        other.send(query("notify news"))
        self.assertEqual(other.take(1), "C:NOTIFY")
        self.server(f"select pg_terminate_backend({self.listening})")
        self.goes_on()
        self.assertEqual(other.take(1), "Z:I")


@both
class NeverHappened(Listeners):
    def nothing(self):
        """What comes next is this."""
        self.assertEqual(self.other.query("notify news, 'fence'"), "C:NOTIFY Z:I")
        self.assertEqual(self.payloads(), ["fence"])

    def test_in_a_transaction_that_is_rolled_back(self):
        self.assertEqual(self.other.query("begin; notify news, 'no'; rollback"), "C:BEGIN C:NOTIFY C:ROLLBACK Z:I")
        self.nothing()

    def test_in_one_that_fails(self):
        self.assertEqual(self.other.query("notify news, 'no'; select 1/0"), "C:NOTIFY E:22012 Z:I")
        self.nothing()
        self.assertEqual(self.other.ask(extended("notify news, 'no'"), extended("select 1/0"), sync()),
                         "1 2 C:NOTIFY 1 E:22012 Z:I")
        self.nothing()

    def test_behind_a_savepoint_that_is_rolled_back(self):
        self.other.query("begin; notify news, 'yes'; savepoint s; notify news, 'no'; rollback to s; commit")
        self.assertEqual(self.payloads(), ["yes"])
        self.nothing()

    def test_of_a_client_that_goes(self):
        other = self.connect()
        other.query("begin; notify news, 'no'")
        other.vanish()
        self.nothing()

    def test_before_its_end(self):
        self.other.query("begin; notify news, 'later'")
        self.assertTrue(self.client.quiet(0.1))
        self.other.query("commit")
        self.assertEqual(self.payloads(), ["later"])

    def test_a_channel_that_is_listened_to_no_more(self):
        for leave in ("unlisten news", "unlisten *", "discard all"):
            self.assertEqual(self.client.query("listen news; listen fence"), "C:LISTEN C:LISTEN Z:I")
            self.client.query(leave)
            self.client.query("listen fence")
            self.server("notify news, 'no'")
            self.server("notify fence, 'fence'")
            self.assertEqual(self.payloads(), ["fence"])


@both
class Busy(Listeners):
    """A session that is not idle hears behind its transaction, and never in the middle of an answer."""

    def notified(self):
        """Another listener has heard it by now, and this one has not."""
        self.assertEqual(self.payloads(self.other), ["hello"])
        self.assertTrue(self.client.quiet(0.1))

    def test_in_a_transaction(self):
        self.assertEqual(self.other.query("listen news"), "C:LISTEN Z:I")
        self.assertEqual(self.client.query("begin; select 1"), "C:BEGIN T:?column? D:1 C:SELECT 1 Z:T")
        self.server("notify news, 'hello'")
        self.notified()
        self.assertEqual(self.client.query("select 2"), "T:?column? D:2 C:SELECT 1 Z:T")
        self.client.send(query("commit"))
        self.assertEqual([kind for kind, _ in (self.client.message() for _ in range(3))], ["C", "A", "Z"])

    def test_between_two_messages_of_a_unit(self):
        self.assertEqual(self.other.query("listen news"), "C:LISTEN Z:I")
        self.client.send(parse("", "select 1"), bind(), flush())
        self.assertEqual(self.client.take(2), "1 2")
        self.server("notify news, 'hello'")
        self.notified()
        self.client.send(execute(), sync())
        self.assertEqual(self.client.take(4), "D:1 C:SELECT 1 A:news|hello Z:I")


if __name__ == "__main__":
    unittest.main()
