"""A session whose settings the server takes no more: it is told so, and what changes them heals it."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import bind, describe, execute, extended, flush, parse, query, sync
from wire_servers import Conversation, Servers

ONE = "T:?column? D:1 C:SELECT 1 Z:I"


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1", "nested": "max_size = 1\nnested_transactions = true",
                                          "own": "max_size = 2\npool_mode = 'session'",
                                          "sandbox": "force_rollback = true"})


class Healing(Conversation):
    """The role of the first client is dropped; the second one uses the same link."""

    asks_first = False  # is the server asked when a transaction begins?

    def setUp(self):
        self.role = f"passing_{self.pool}"  # roles are of the whole cluster, and the sandbox's transaction stays
        self.first, self.second = self.connect(), self.connect()
        self.second.query(f"create role {self.role}")
        self.addCleanup(self.second.query, f"reset role; drop role if exists {self.role}")
        self.assertEqual(self.first.query("set work_mem = '5MB'"), "C:SET Z:I")
        self.first.ask(parse("kept", "reset role"), parse("one", "select 1"), sync())
        self.assertEqual(self.first.query(f"set role {self.role}"), "C:SET Z:I")
        self.assertEqual(self.second.query(f"drop role {self.role}"), "C:DROP ROLE Z:I")
        self.assertEqual(self.first.query("select 1"), "E:22023 Z:I")

    def is_healed(self, work_mem="5MB"):
        for _ in range(2):
            self.assertEqual(self.first.rows("select current_user, current_setting('work_mem')"),
                             [["postgres", work_mem]])
            self.assertEqual(self.second.rows("select current_user, current_setting('work_mem')"),
                             [["postgres", "4MB"]])

    def is_not_healed(self):
        error = self.first.error(query("select 1"))
        self.assertEqual((error["C"], error["S"]), ("22023", "ERROR"))
        self.assertIn(f'"{self.role}" does not exist', error["M"])
        self.assertEqual(self.second.query("select 1"), ONE)

    def test_what_is_refused_behind_an_error_is_skipped(self):
        self.assertEqual(self.first.ask(parse("", "select 1"), query("select 1"), sync(), ready=1), "E:22023 Z:I")
        self.is_not_healed()

    def test_by_another_value(self):
        self.assertEqual(self.first.query("set role to postgres"), "C:SET Z:I")
        self.is_healed()

    def test_by_its_reset(self):
        self.assertEqual(self.first.query("reset role"), "C:RESET Z:I")
        self.is_healed()

    def test_by_a_new_user_which_takes_the_role_with_it(self):
        self.assertEqual(self.first.query("set session authorization default"), "C:SET Z:I")
        self.is_healed()

    def test_by_discard_all(self):
        self.assertEqual(self.first.query("discard all"), "C:DISCARD ALL Z:I")
        self.is_healed("4MB")

    def test_by_several_in_one_text(self):
        self.assertEqual(self.first.query("set work_mem = '6MB'; reset role"), "C:SET C:RESET Z:I")
        self.is_healed("6MB")

    def test_by_the_extended_protocol(self):
        self.assertEqual(self.first.ask(extended("reset role"), sync()), "1 2 C:RESET Z:I")
        self.is_healed()

    def test_in_two_units_as_drivers_prepare(self):
        self.assertEqual(self.first.ask(parse("heal", "reset role"), describe("S", "heal"), sync()), "1 t: n Z:I")
        self.is_not_healed()
        self.assertEqual(self.first.ask(bind("", "heal"), execute(), sync()), "2 C:RESET Z:I")
        self.is_healed()

    def test_by_what_was_prepared_before(self):
        self.assertEqual(self.first.ask(bind("", "kept"), execute(), sync()), "2 C:RESET Z:I")
        self.is_healed()

    def test_in_pieces(self):
        self.first.send(parse("", "reset role"), flush())
        self.assertEqual(self.first.take(1), "1")
        self.assertEqual(self.first.ask(bind(), execute(), sync()), "2 C:RESET Z:I")
        self.is_healed()

    def test_with_more_sent_ahead(self):
        self.first.send(query("select 1"), query("reset role"), query("select current_user"), extended("select 1"),
                        sync())
        self.assertEqual(self.first.answers(4), "E:22023 Z:I C:RESET Z:I T:current_user D:postgres C:SELECT 1 Z:I "
                                                "1 2 D:1 C:SELECT 1 Z:I")
        self.is_healed()

    def test_a_transaction_that_needs_it_is_a_failed_one(self):
        if self.asks_first:
            self.assertEqual(self.first.query("begin"), "E:22023 Z:I")
        else:
            self.assertEqual(self.first.query("begin"), "C:BEGIN Z:T")
            self.assertEqual(self.first.query("select 1"), "E:22023 Z:E")
            self.assertEqual(self.first.query("select 1"), "E:25P02 Z:E")
            self.assertEqual(self.first.query("rollback"), "C:ROLLBACK Z:I")
        self.is_not_healed()

    def test_what_heals_nothing_leaves_it_as_it_is(self):
        for sql in ("set work_mem = '6MB'", "reset work_mem", "reset all", "set role to nobody_at_all",
                    "reset role; select 1", "select 1; reset role", "discard plans"):
            with self.subTest(sql):
                self.assertEqual(self.first.query(sql), "E:22023 Z:I")
                self.is_not_healed()
        self.assertEqual(self.first.query("reset role"), "C:RESET Z:I")
        self.is_healed()

    def test_nothing_else_runs_without_the_setting(self):
        seen = "select current_user"
        for unit in ((parse("", "reset role"), extended(seen)), (parse("", "reset role"), query(seen)),
                     (parse("", "reset role"), bind("", "one"), execute()),
                     (bind("", "kept"), bind("", "one"), execute())):
            with self.subTest(unit):
                said = self.first.ask(*unit, sync())
                self.assertIn("E:22023", said)
                self.assertNotIn("D:", said)
                self.is_not_healed()
        self.first.send(query("set role to nobody_at_all"), query(seen))
        self.assertEqual(self.first.answers(2), "E:22023 Z:I E:22023 Z:I")
        self.first.query("reset role")
        self.is_healed()

    def test_healed_in_its_own_unit_it_goes_on(self):
        self.assertEqual(self.first.ask(extended("reset role"), extended("reset work_mem"), sync()),
                         "1 2 C:RESET 1 2 C:RESET Z:I")
        self.is_healed("4MB")

    def test_in_a_unit_that_fails_it_is_not_healed(self):
        self.assertEqual(self.first.query("reset role; set work_mem = 'nonsense'"), "C:RESET E:22023 Z:I")
        self.is_not_healed()


class HealingNested(Healing):
    pool = "nested"
    asks_first = True


class HealingInASandbox(Healing):
    pool = "sandbox"
    asks_first = True


class Texts(Conversation):
    """Of settings that are given ahead of a unit, as this server has taken them before."""

    def test_one_that_is_taken_no_more_is_told_as_what_it_is(self):
        first, second = self.connect(), self.connect()
        name = "default_text_search_config"
        self.server("create text search configuration passing (copy = simple)")
        for _ in range(2):
            self.assertEqual(first.query(f"set {name} = passing"), "C:SET Z:I")
            second.query("select 1")
            self.assertEqual(first.value(f"show {name}"), "public.passing")
        second.query("drop text search configuration passing")
        answers = [first.query("select 1") for _ in range(3)]
        self.assertEqual(answers[-1], "E:22023 Z:I")
        self.assertEqual(first.query(f"reset {name}"), "C:RESET Z:I")
        self.assertEqual(first.query("select 1"), ONE)


class NativeStatements(Conversation):
    """A function of the client's has dropped every prepared statement of its link, Based's own among them."""

    def test_they_are_prepared_again_and_a_commit_loses_nothing(self):
        self.server("create or replace function drop_all() returns int language plpgsql "
                    "as $$ begin execute 'deallocate all'; return 1; end $$; create table if not exists kept (n int)")
        with based_client.connect(self.servers.through_based, user="postgres") as connection:
            session = connection.session(database="one")

            def transaction(end, drops=True):
                session.tx("begin")
                session.exec("insert into kept values (1)")
                session.exec("savepoint s")
                if drops:
                    session.exec("select drop_all()")
                session.exec("release s")
                session.tx(end)

            for number in range(2):  # what was prepared is kept for the next time
                transaction("commit", drops=False)
                self.assertEqual([list(row) for row in session.exec("select count(*) from kept")], [[1 + 3 * number]])
                for end in ("commit", "rollback"):
                    transaction(end)
                session.exec("insert into kept values (2)")
        self.assertEqual(self.server("select count(*) from kept"), [["6"]])


if __name__ == "__main__":
    unittest.main()
