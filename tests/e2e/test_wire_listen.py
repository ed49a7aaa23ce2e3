"""LISTEN and NOTIFY: who listens hears at once while it rests, whatever its link is doing for others."""

import pathlib
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import bind, execute, extended, flush, parse, query, sync, texts
from wire_servers import Conversation, Servers, both


def setUpModule():
    Conversation.servers = Servers()


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
        process = int(self.other.rows("begin; notify news, 'hello'; select pg_backend_pid()")[0][0])
        self.assertEqual(self.other.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(self.heard(), [(process, "news", "hello")])
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
    """A session that listens hears itself: before the ReadyForQuery or behind it."""

    def own(self, parts, answers):
        self.client.notifications.clear()
        self.client.send(*parts)
        found = self.client.answers(len([word for word in answers.split() if word.startswith("Z")]))
        if not self.client.notifications:
            self.heard()
        self.assertEqual(found.replace(" A:news|own", ""), answers)
        self.assertEqual(self.client.notifications, [("news", "own")])

    def test_by_a_query(self):
        self.own([query("notify news, 'own'")], "C:NOTIFY Z:I")

    def test_by_the_extended_protocol(self):
        self.own([extended("notify news, 'own'"), sync()], "1 2 C:NOTIFY Z:I")

    def test_twice_in_a_transaction_is_once(self):
        self.own([query("begin"), query("notify news, 'own'"), query("notify news, 'own'"), query("commit")],
                 "C:BEGIN Z:T C:NOTIFY Z:T C:NOTIFY Z:T C:COMMIT Z:I")
        self.fence()

    def test_with_its_process(self):
        process = int(self.client.rows("begin; notify news, 'own'; select pg_backend_pid()")[0][0])
        self.client.send(query("commit"))
        found = []
        while not self.client.notifications or "Z" not in [kind for kind, _ in found]:
            found.append(self.client.message())
        self.assertEqual([struct.unpack_from("!I", body)[0] for kind, body in found if kind == "A"], [process])

    def fence(self):
        """Whatever was notified before has come when this has."""
        self.client.notifications.clear()
        self.other.query("notify news, 'fence'")
        self.assertEqual(self.payloads(), ["fence"])


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
