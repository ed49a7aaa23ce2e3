"""The unit file and the default configuration, as they are, under a systemd that really runs them."""

import os
import pathlib
import re
import resource
import stat
import unittest

import based_client as client
from servers import wait_until
from systemd_box import Impossible, SystemdBox

CONFIG = "/etc/based/based.toml"
SOCKET = "/run/based/based.sock"
STATE = "/var/lib/private/based"


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.box = SystemdBox()
        except Impossible as reason:
            raise unittest.SkipTest(f"systemd cannot be run here: {reason}") from reason
        cls.addClassCleanup(cls.box.close)
        cls.config = pathlib.Path(cls.box.path(CONFIG)).read_text(encoding="utf-8")

    def setUp(self):
        self.configure(self.config)
        self.assertEqual(self.box.ctl("start", "based"), 0, self.box.log())

    def tearDown(self):
        self.box.ctl("stop", "based")
        self.box.ctl("reset-failed", "based")

    def configure(self, text):
        pathlib.Path(self.box.path(CONFIG)).write_text(text, encoding="utf-8")

    def connect(self):
        connection = client.connect(f"unix:{self.box.path(SOCKET)}")
        self.addCleanup(connection.__exit__)
        return connection

    def session(self):
        """An open session that is not closed at the end: the daemon may be gone by then."""
        return self.connect().session().__enter__()

    def process_status(self):
        """What the kernel says of the daemon's process, by name."""
        text = self.box.run("cat", f"/proc/{self.box.show('MainPID')}/status").stdout
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def state_is(self, *wanted):
        wait_until(lambda: self.box.show("ActiveState", "SubState") == wanted, f"{wanted}, with {self.box.log()}")

    def test_it_is_started_when_it_listens_and_has_told_its_state(self):
        self.assertEqual(self.box.show("Type", "ActiveState", "SubState", "NRestarts"),
                         ("notify", "active", "running", "0"))
        self.assertEqual(self.box.show("StatusText"), "0 clients, 1 databases, serving")
        self.assertEqual(self.connect().ping(7), 7)

    def test_it_runs_as_nobody_in_particular_and_without_rights(self):
        status = self.process_status()
        self.assertGreater(int(status["Uid"].split()[0]), 60000)  # systemd's range for users that come and go
        self.assertEqual((int(status["CapEff"], 16), int(status["CapBnd"], 16)), (0, 0))
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def test_the_descriptor_limit_is_the_units(self):
        text = self.box.run("cat", f"/proc/{self.box.show('MainPID')}/limits").stdout
        soft, hard = re.search(r"Max open files\s+(\d+)\s+(\d+)", text).groups()
        self.assertEqual(soft, hard)
        # Where systemd itself may not raise its own limit, no unit gets more.
        self.assertIn(int(hard), (65536, min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))

    def test_its_database_is_in_the_state_directory_and_its_sockets_in_the_runtime_directory(self):
        with self.connect().session() as session:
            session.exec("create table if not exists here (a)")
        for path, mode in ((STATE, 0o700), ("/run/based", 0o755)):
            found = os.stat(self.box.path(path))
            self.assertEqual((stat.S_IMODE(found.st_mode), stat.S_ISDIR(found.st_mode)), (mode, True), path)
        owner = int(self.process_status()["Uid"].split()[0])
        for name in (STATE, f"{STATE}/main.db", SOCKET):
            self.assertEqual(os.stat(self.box.path(name)).st_uid, owner, name)
        self.assertEqual(stat.S_IMODE(os.stat(self.box.path(f"{STATE}/main.db")).st_mode), 0o600)

    def test_a_stop_lets_an_open_transaction_finish_and_what_it_did_is_there_after_the_next_start(self):
        session = self.session()
        session.exec("create table kept (a)")
        session.tx("begin")
        session.exec("insert into kept values ('in a drain')")
        self.assertEqual(self.box.ctl("stop", "--no-block", "based"), 0)
        self.state_is("deactivating", "stop-sigterm")
        session.exec("insert into kept values ('and more')")
        session.tx("commit")
        self.state_is("inactive", "dead")
        self.assertEqual(self.box.show("Result", "ExecMainStatus"), ("success", "0"))
        self.assertFalse(os.path.exists(self.box.path(SOCKET)))
        self.assertEqual(self.box.ctl("start", "based"), 0)
        with self.connect().session() as session:
            self.assertEqual(list(session.exec("select a from kept")), [["in a drain"], ["and more"]])
            session.exec("drop table kept")

    def test_a_stop_ends_at_shutdown_timeout_and_rolls_back(self):
        self.configure(self.config.replace("[server]\n", '[server]\nshutdown_timeout = "300ms"\n', 1))
        self.assertEqual(self.box.ctl("restart", "based"), 0)
        session = self.session()
        session.exec("create table lost (a)")
        session.tx("begin")
        session.exec("insert into lost values (1)")
        self.assertEqual(self.box.ctl("stop", "based"), 0)
        self.assertRaises(OSError, session.tx, "commit")
        self.assertEqual(self.box.show("Result", "ExecMainStatus"), ("success", "0"))
        self.assertEqual(self.box.ctl("start", "based"), 0)
        with self.connect().session() as session:
            self.assertEqual(list(session.exec("select count(*) from lost")), [[0]])
            session.exec("drop table lost")

    def test_systemd_hears_that_the_daemon_stops_by_itself(self):
        session = self.session()
        session.tx("begin")
        session.exec("select 1")
        # Of a signal outside of a stop it knows by STOPPING=1 only.
        self.assertEqual(self.box.ctl("kill", "--kill-whom=main", "--signal=TERM", "based"), 0)
        self.state_is("deactivating", "stop-sigterm")
        session.tx("rollback")
        self.state_is("inactive", "dead")
        self.assertEqual(self.box.show("Result"), "success")

    def test_a_daemon_that_is_killed_is_started_again_and_only_what_was_open_is_lost(self):
        session = self.session()
        session.exec("create table survivors (a)")
        session.exec("insert into survivors values (1)")
        session.tx("begin")
        session.exec("insert into survivors values (2)")
        self.assertEqual(self.box.ctl("kill", "--kill-whom=main", "--signal=KILL", "based"), 0)
        self.assertRaises(OSError, session.exec, "select 1")
        wait_until(lambda: self.box.show("NRestarts", "ActiveState") == ("1", "active"), "the next daemon")
        with self.connect().session() as session:
            self.assertEqual(list(session.exec("select a from survivors")), [[1]])
            session.exec("drop table survivors")

    def test_a_wrong_configuration_is_told_once_and_not_tried_again(self):
        self.box.ctl("stop", "based")
        self.configure(self.config.replace("[server]\n", "[server]\nmax_client = 1\n", 1))
        self.assertNotEqual(self.box.ctl("start", "based"), 0)
        self.assertEqual(self.box.show("ActiveState", "Result", "ExecMainStatus", "NRestarts"),
                         ("failed", "exit-code", "78", "0"))
        self.assertIn("did you mean max_clients?", self.box.log())

    def test_a_password_may_be_a_credential_of_systemd(self):
        self.box.ctl("stop", "based")
        self.configure(self.config + '[databases.app]\nurl = "postgresql://app@127.0.0.1:1/app"\n'
                       'password_credential = "app-password"\n')
        self.assertNotEqual(self.box.ctl("start", "based"), 0)
        self.assertEqual(self.box.show("ExecMainStatus"), "78")
        # As the unit suggests it.
        unit = pathlib.Path(self.box.path("/run/units/based.service"))
        text = unit.read_text(encoding="utf-8")
        self.addCleanup(self.box.ctl, "daemon-reload")
        self.addCleanup(unit.write_text, text, encoding="utf-8")
        unit.write_text(re.sub("^#(LoadCredential=)", r"\1", text, flags=re.MULTILINE), encoding="utf-8")
        folder = pathlib.Path(self.box.path("/etc/based/credentials"))
        folder.mkdir(mode=0o700)
        (folder / "app-password").write_text("hush\n", encoding="utf-8")
        self.assertEqual(self.box.ctl("daemon-reload"), 0)
        self.assertEqual(self.box.ctl("start", "based"), 0, self.box.log())
        self.assertEqual(self.box.show("StatusText"), "0 clients, 2 databases, serving")


if __name__ == "__main__":
    unittest.main()
