"""The daemon as a service: listeners, descriptors, signals, what the service manager is told."""

import os
import pathlib
import resource
import signal
import socket
import stat
import subprocess
import unittest

from servers import BASED, Daemon, temporary_folder, wait_until

UNAVAILABLE = 69
MEMORY = "sqlite::memory:"


def answers(address):
    """Does somebody of ours live at the address? A request of HTTP, which is not spoken here, is answered as such."""
    if address.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        address = address.removeprefix("unix:")
    else:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        address = (host, int(port))
    with client:
        client.settimeout(20)
        client.connect(address)
        client.sendall(b"GET / HTTP/1.1\r\nHost: based\r\n\r\n")
        return client.recv(65536).startswith(b"HTTP/1.1 ")


class ListenersTest(unittest.TestCase):
    def setUp(self):
        self.folder = temporary_folder()

    def ends(self, *arguments):
        done = subprocess.run([str(part) for part in (BASED, *arguments)], cwd=self.folder, capture_output=True,
                              text=True, timeout=20)
        return done.returncode, done.stderr

    def test_port_zero_takes_a_free_port_and_says_which(self):
        with Daemon(MEMORY) as daemon:
            self.assertRegex(daemon.addresses[0], r"^127\.0\.0\.1:[1-9]\d*$")
            for address in daemon.addresses:
                self.assertTrue(answers(address), address)
        self.assertNotIn("INVARIANT", daemon.log())

    def test_a_listener_may_be_ipv6(self):
        with Daemon(MEMORY, "--listen", "[::1]:0", listen=False) as daemon:
            self.assertRegex(daemon.addresses[0], r"^\[::1\]:\d+$")
            self.assertTrue(answers(daemon.addresses[0]))

    def test_a_unix_socket_is_for_its_owner_only_unless_the_file_says_more(self):
        with Daemon(MEMORY) as daemon:
            self.assertEqual(stat.S_IMODE(daemon.socket_path.stat().st_mode), 0o700)
        config = '[server]\nunix_socket_mode = "0660"\n[databases.m]\nurl = "sqlite::memory:"\n'
        with Daemon(config=config) as daemon:
            self.assertEqual(stat.S_IMODE(daemon.socket_path.stat().st_mode), 0o660)

    def test_the_socket_file_goes_with_the_daemon(self):
        with Daemon(MEMORY) as daemon:
            path = daemon.socket_path
            self.assertEqual(daemon.terminate(), 0)
            self.assertFalse(path.exists())

    def test_the_socket_of_a_dead_daemon_is_replaced(self):
        path = self.folder / "based.sock"
        with Daemon(MEMORY, "--listen", f"unix:{path}", listen=False) as daemon:
            daemon.kill()
        self.assertTrue(path.exists())
        with Daemon(MEMORY, "--listen", f"unix:{path}", listen=False) as daemon:
            self.assertTrue(answers(f"unix:{path}"))

    def test_the_socket_of_a_living_daemon_is_refused_and_stays(self):
        with Daemon(MEMORY) as daemon:
            code, errors = self.ends(MEMORY, "--listen", f"unix:{daemon.socket_path}")
            self.assertEqual(code, UNAVAILABLE, errors)
            self.assertIn("another daemon", errors)
            self.assertTrue(answers(f"unix:{daemon.socket_path}"))

    def test_a_file_that_is_no_socket_is_not_removed(self):
        path = self.folder / "precious"
        path.write_text("data")
        code, errors = self.ends(MEMORY, "--listen", f"unix:{path}")
        self.assertEqual(code, UNAVAILABLE, errors)
        self.assertEqual(path.read_text(), "data")

    def test_a_port_that_is_taken_ends_with_69_and_says_so(self):
        with Daemon(MEMORY) as daemon:
            code, errors = self.ends(MEMORY, "--listen", daemon.addresses[0])
        self.assertEqual(code, UNAVAILABLE, errors)
        self.assertIn("address already in use", errors.lower())

    def test_a_folder_that_is_not_there_ends_with_69(self):
        code, errors = self.ends(MEMORY, "--listen", f"unix:{self.folder}/none/based.sock")
        self.assertEqual(code, UNAVAILABLE, errors)
        self.assertIn("No such file", errors)


class DescriptorsTest(unittest.TestCase):
    def test_the_soft_limit_is_raised_to_the_hard_one(self):
        def lower():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 512))

        with Daemon(MEMORY, preexec_fn=lower) as daemon:
            limits = pathlib.Path(f"/proc/{daemon.pid}/limits")
            self.assertRegex(limits.read_text(), r"Max open files\s+512\s+512")

    def test_out_of_descriptors_the_daemon_serves_on_and_accepts_again_later(self):
        def lower():
            resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

        with Daemon(MEMORY, preexec_fn=lower) as daemon:
            clients = [socket.create_connection(("127.0.0.1", daemon.port), 20) for _ in range(100)]
            self.assertIsNone(daemon.process.poll())
            for client in clients:
                client.close()
            wait_until(lambda: self.answers_quietly(daemon.addresses[0]), "an answer after the flood")
            self.assertEqual(daemon.terminate(), 0)

    @staticmethod
    def answers_quietly(address):
        try:
            return answers(address)
        except OSError:
            return False


class SignalsTest(unittest.TestCase):
    def test_sigterm_and_sigint_end_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Daemon(MEMORY) as daemon:
                daemon.signal(number)
                self.assertEqual(daemon.wait(), 0)
                self.assertIn(number.name, daemon.log())

    def test_sighup_changes_nothing_and_is_logged(self):
        with Daemon(MEMORY) as daemon:
            daemon.signal(signal.SIGHUP)
            daemon.wait_log("SIGHUP: reload.* not there yet")
            self.assertTrue(answers(daemon.addresses[0]))

    def test_sigusr1_logs_the_state(self):
        with Daemon(MEMORY) as daemon:
            daemon.signal(signal.SIGUSR1)
            daemon.wait_log(r"state.*serving")
            daemon.wait_log(r"databases")
            self.assertTrue(answers(daemon.addresses[0]))

    def test_a_client_that_says_nothing_does_not_hold_up_the_end(self):
        with Daemon(MEMORY) as daemon:
            with socket.create_connection(("127.0.0.1", daemon.port), 20):
                self.assertEqual(daemon.terminate(10), 0)


class ServiceManagerTest(unittest.TestCase):
    def setUp(self):
        self.folder = temporary_folder()

    def hear(self, manager, wanted):
        """The datagrams up to the one that begins so."""
        heard = []
        while not heard or not heard[-1].startswith(wanted):
            heard.append(manager.recv(65536).decode())
        return heard

    def watch(self, address, name):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(20)
            manager.bind(address)
            with Daemon(MEMORY, env={"NOTIFY_SOCKET": name}) as daemon:
                self.hear(manager, "READY=1")
                self.assertEqual(len(daemon.addresses), 2, "READY before every listener is bound")
                self.assertIn("STATUS=", self.hear(manager, "STATUS=")[-1])
                daemon.signal(signal.SIGTERM)
                self.hear(manager, "STOPPING=1")
                self.assertEqual(daemon.wait(), 0)

    def test_it_is_told_ready_status_and_stopping(self):
        self.watch(f"{self.folder}/notify", f"{self.folder}/notify")

    def test_its_socket_may_be_abstract(self):
        self.watch(f"\0based-test-{os.getpid()}", f"@based-test-{os.getpid()}")

    def test_one_that_is_not_there_does_no_harm(self):
        with Daemon(MEMORY, env={"NOTIFY_SOCKET": f"{self.folder}/nobody"}) as daemon:
            self.assertTrue(answers(daemon.addresses[0]))
            self.assertEqual(daemon.terminate(), 0)


class EmbeddedDefaultTest(unittest.TestCase):
    def test_its_folder_is_made_for_the_owner_alone(self):
        folder = temporary_folder()
        state = folder / "a" / "b"
        with Daemon(env={"STATE_DIRECTORY": str(state)}) as daemon:
            wait_until((state / "based.db").exists, "the database")
            self.assertEqual(stat.S_IMODE(state.stat().st_mode), 0o700)
            self.assertEqual(daemon.terminate(), 0)


if __name__ == "__main__":
    unittest.main()
