"""How a client of PostgreSQL's protocol begins, byte by byte: every legal shape is taken, every other one is refused."""

import pathlib
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from pg_client import (CANCEL_REQUEST, GSSENC_REQUEST, PROTOCOL_3_0, PROTOCOL_3_2, SSL_REQUEST, PgClient, Refused,
                       extended, message, query, startup, sync, terminate, text, untyped)
from servers import Daemon, PostgresCluster, temporary_folder, wait_until

PARAMETERS = {"user": "postgres", "database": "app"}
SSL = untyped(struct.pack("!I", SSL_REQUEST))
GSS = untyped(struct.pack("!I", GSSENC_REQUEST))


class Startup(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = PostgresCluster()
        cls.addClassCleanup(cls.postgres.close)
        cls.daemon = cls.make_daemon()
        cls.addClassCleanup(cls.daemon.close)
        cls.address = f"127.0.0.1:{cls.daemon.port}"

    @classmethod
    def make_daemon(cls, *server):
        # The port is the server's own, the database's name is not.
        url = f"postgresql://postgres@127.0.0.1:{cls.postgres.port}/postgres"
        return Daemon(config="\n".join(("[server]", *server, "[databases.app]", f'url = "{url}"', "")))

    def raw(self, address=None):
        client = PgClient(address or self.address, start=False)
        self.addCleanup(client.close)
        return client

    def refused(self, data):
        """The error's fields of what ends the connection, and nothing else."""
        client = self.raw()
        client.send(data)
        return self.last_words(client)

    def last_words(self, client):
        kind, body = client.message()
        self.assertEqual(kind, "E")
        fields = {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}
        self.assertEqual((fields["S"], fields["V"]), ("FATAL", "FATAL"))
        self.assertEqual(client.answers(), "closed")
        return fields

    def works(self, client):
        client.log_in("postgres", None)
        self.assertEqual(client.value("select 40 + 2"), "42")

    # --- encryption

    def test_encryption_is_declined_once_each_and_the_start_up_goes_on(self):
        for requests in ((SSL,), (GSS,), (SSL, GSS), (GSS, SSL)):
            client = self.raw()
            for request in requests:
                client.send(request)
                self.assertEqual(client.bytes(1), b"N")
            client.send(startup(PARAMETERS))
            self.works(client)

    def test_a_second_request_for_the_same_encryption_is_refused(self):
        for request in (SSL, GSS):
            client = self.raw()
            client.send(request)
            self.assertEqual(client.bytes(1), b"N")
            client.send(request)
            self.assertEqual(self.last_words(client)["C"], "08P01")

    def test_bytes_sent_along_with_a_request_for_encryption_are_refused(self):
        for request in (SSL, GSS):
            self.assertEqual(self.refused(request + startup(PARAMETERS))["C"], "08P01")
            self.assertEqual(self.refused(request + b"\x16")["C"], "08P01")

    # --- the packet

    def test_a_start_up_may_arrive_byte_by_byte(self):
        client = self.raw()
        for byte in startup(PARAMETERS):
            client.send(bytes([byte]))
        self.works(client)

    def test_what_follows_the_start_up_in_the_same_packet_is_heard(self):
        client = self.raw()
        client.send(startup(PARAMETERS) + query("select 7"))
        client.log_in("postgres", None)
        self.assertEqual(client.answers(), "T:?column? D:7 C:SELECT 1 Z:I")

    def test_the_parameters_may_come_in_any_order(self):
        client = self.raw()
        client.send(startup({"application_name": "a", "database": "app", "DateStyle": "German", "user": "postgres"}))
        client.log_in("postgres", None)
        self.assertEqual(client.parameters["DateStyle"], "German, DMY")
        self.assertEqual(client.value("show application_name"), "a")

    def test_malformed_packets_are_refused(self):
        body = struct.pack("!I", PROTOCOL_3_0) + text("user") + text("postgres")
        cases = {
            "no terminator": untyped(body),
            "bytes behind the terminator": untyped(body + b"\0x"),
            "a second terminator": untyped(body + b"\0\0"),
            "a name without a value": untyped(body + text("database")),
            "an unterminated value": untyped(body + text("database") + b"app"),
            "nothing at all": untyped(struct.pack("!I", PROTOCOL_3_0)),
            "an empty body": untyped(b"", length=8) + struct.pack("!I", PROTOCOL_3_0)[:4],
        }
        for what, data in cases.items():
            with self.subTest(what):
                self.assertEqual(self.refused(data)["C"], "08P01")

    def test_lengths_that_no_packet_has_are_refused(self):
        # A first byte that is not zero is another protocol's.
        for length in (0, 1, 3, 4, 7, 10001, 1 << 20):
            with self.subTest(length):
                self.assertEqual(self.refused(untyped(struct.pack("!I", PROTOCOL_3_0), length=length))["C"], "08P01")
        for length in (1 << 31, -1):
            client = self.raw()
            client.send(untyped(struct.pack("!I", PROTOCOL_3_0), length=length))
            self.assertEqual(client.rest(), b"")

    def test_a_packet_of_postgresqls_largest_size_is_taken(self):
        def of_size(size):
            value = "x" * (size - len(startup({**PARAMETERS, "application_name": ""})))
            return startup({**PARAMETERS, "application_name": value})
        self.assertEqual(len(of_size(10000)), 10000)
        client = self.raw()
        client.send(of_size(10000))
        self.works(client)
        self.assertEqual(self.refused(of_size(10001))["C"], "08P01")

    def test_who_is_missing_or_unknown_is_told_why(self):
        self.assertEqual(self.refused(startup({"database": "app"}))["C"], "28000")
        self.assertEqual(self.refused(startup({"user": "", "database": "app"}))["C"], "28000")
        fields = self.refused(startup({"user": "postgres", "database": "nowhere"}))
        self.assertEqual((fields["C"], fields["M"]), ("3D000", 'database "nowhere" does not exist'))

    def test_a_start_up_without_a_database_means_the_one_of_the_users_name(self):
        client = self.raw()
        client.send(startup({"user": "app"}))
        kind, body = client.message()
        self.assertNotIn(b"3D000", body)
        self.assertEqual(self.refused(startup({"user": "postgres"}))["M"], 'database "postgres" does not exist')

    def test_replication_is_refused_with_a_hint_and_its_absence_is_not(self):
        for value in ("true", "1", "on", "yes", "database", "nonsense"):
            fields = self.refused(startup({**PARAMETERS, "replication": value}))
            self.assertEqual(fields["C"], "0A000")
            self.assertIn("directly", fields["H"])
        for value in ("false", "0", "off", "no"):
            client = self.raw()
            client.send(startup({**PARAMETERS, "replication": value}))
            self.works(client)

    def test_other_protocols_versions_are_refused(self):
        for version in (2 << 16, 1 << 16, 4 << 16, 80877105):
            with self.subTest(version):
                self.assertEqual(self.refused(startup(PARAMETERS, version))["C"], "0A000")

    def test_a_start_up_message_after_the_start_is_refused(self):
        with PgClient(self.address, database="app") as client:
            client.send(startup(PARAMETERS))
            self.assertEqual(client.answers(), "E:08P01 closed")

    # --- versions

    def test_what_is_not_known_here_is_told_exactly_once(self):
        cases = (
            (PROTOCOL_3_0, {}, []),
            (PROTOCOL_3_2, {}, []),
            (3 << 16 | 9999, {}, [(PROTOCOL_3_2, [])]),
            (PROTOCOL_3_0, {"_pq_.one": "1", "_pq_.two": "2"}, [(PROTOCOL_3_0, ["_pq_.one", "_pq_.two"])]),
            (3 << 16 | 3, {"_pq_.one": "1"}, [(PROTOCOL_3_2, ["_pq_.one"])]),
        )
        for version, options, expected in cases:
            with self.subTest(version=version, options=options):
                client = self.raw()
                client.send(startup({**PARAMETERS, **options}, version))
                self.works(client)
                self.assertEqual(client.negotiated, expected)

    def test_keys_are_of_four_bytes_and_since_3_2_of_thirty_two(self):
        with PgClient(self.address, database="app") as old, \
                PgClient(self.address, database="app", version=PROTOCOL_3_2) as new:
            self.assertEqual((len(old.key), len(new.key)), (4, 32))
            self.assertNotEqual(old.pid, new.pid)
            self.assertTrue(0 < old.pid < 1 << 31 and 0 < new.pid < 1 << 31)

    # --- options

    def test_options_are_read_as_postgresql_reads_them(self):
        cases = {
            "-c work_mem=5MB": ("work_mem", "5MB"),
            "-cwork_mem=6MB": ("work_mem", "6MB"),
            "--work_mem=7MB": ("work_mem", "7MB"),
            "--statement-timeout=8s": ("statement_timeout", "8s"),
            "-c application_name=two\\ words": ("application_name", "two words"),
            "-c application_name=back\\\\slash": ("application_name", "back\\slash"),
            "  -c   work_mem=9MB\t-c application_name=x=y ": ("application_name", "x=y"),
            "-S 5000": ("work_mem", "5000kB"),
            "-S6000": ("work_mem", "6000kB"),
            "-e": ("datestyle", "ISO, DMY"),
            "-se -fs": ("enable_seqscan", "off"),
            "-fh -f n": ("enable_nestloop", "off"),
            "-tpl": ("log_planner_stats", "on"),
            "-t executor": ("log_executor_stats", "on"),
            "-d 3": ("debug_print_parse", "on"),
            "-d2": ("log_min_messages", "debug2"),
            "-d1": ("log_statement", "none"),
            "-nT -O": ("allow_system_table_mods", "on"),
            "": ("work_mem", "4MB"),
        }
        for options, (name, value) in cases.items():
            with self.subTest(options), PgClient(self.address, database="app", options=options) as client:
                self.assertEqual(client.value(f"show {name}"), value)

    def test_options_that_cannot_be_read_are_refused_and_none_loops(self):
        for options in ("-c=", "-c =", "--=", "-c", "--", "-cx", "--x", "work_mem=1MB", "-z", "\\", "-S", "-fx", "-t",
                        "-tx", "-d9", "-dd", "-sz", "-"):
            with self.subTest(options):
                self.assertEqual(self.refused(startup({**PARAMETERS, "options": options}))["C"], "42601")

    def test_settings_that_postgresql_refuses_are_refused_with_its_own_code(self):
        for parameters, code in (({"work_mem": "much"}, "22023"), ({"no_such_setting": "1"}, "42704"),
                                 ({"options": "-S much"}, "22023"), ({"options": "-F"}, "55P02"),
                                 ({"options": "-N 3"}, "55P02"), ({"options": "-p 1"}, "55P02")):
            with self.assertRaises(Refused) as refused:
                PgClient(self.address, database="app", **parameters)
            self.assertEqual((refused.exception.fields["S"], refused.exception.code), ("FATAL", code))

    # --- cancel requests

    def test_a_cancel_request_ends_the_statement_of_its_key_and_is_answered_by_a_close(self):
        for version in (PROTOCOL_3_0, PROTOCOL_3_2):
            with PgClient(self.address, database="app", version=version) as client:
                client.send(query("select pg_sleep(60)"))
                self.assertTrue(client.quiet())
                self.assertEqual(client.cancel(), b"")
                self.assertEqual(client.answers(), "T:pg_sleep E:57014 Z:I")
                self.assertEqual(client.value("select 1"), "1")

    def test_a_cancel_request_with_another_key_does_nothing(self):
        with PgClient(self.address, database="app", version=PROTOCOL_3_2) as client:
            client.send(query("select pg_sleep(1)"))
            wrong = bytes([client.key[0] ^ 1]) + client.key[1:]
            for key in (wrong, client.key[:4], client.key[:31], client.key + b"x", client.key * 8, b"", b"abc",
                        client.key * 9):
                self.assertEqual(client.cancel(key=key), b"")
            self.assertEqual(client.cancel(pid=client.pid + 1), b"")
            self.assertEqual(client.cancel(pid=0xFFFFFFFF), b"")
            self.assertEqual(client.answers(), "T:pg_sleep D: C:SELECT 1 Z:I")

    def test_a_cancel_request_may_come_behind_a_declined_encryption(self):
        with PgClient(self.address, database="app") as client:
            client.send(query("select pg_sleep(60)"))
            self.assertTrue(client.quiet())
            other = self.raw()
            other.send(SSL)
            self.assertEqual(other.bytes(1), b"N")
            other.send(untyped(struct.pack("!II", CANCEL_REQUEST, client.pid) + client.key))
            self.assertEqual(other.rest(), b"")
            self.assertEqual(client.answers(), "T:pg_sleep E:57014 Z:I")

    # --- limits and ends

    def test_psql_shows_that_there_are_too_many_clients_and_a_cancel_request_needs_no_place(self):
        with self.make_daemon("max_clients = 1") as daemon:
            with PgClient(f"127.0.0.1:{daemon.port}", database="app") as client:
                done = subprocess.run(["psql", "-XAtqw", "-h", "127.0.0.1", "-p", str(daemon.port), "-U", "postgres",
                                       "-d", "app", "-c", "select 1"], capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, 2)
                self.assertRegex(done.stderr, "FATAL:  sorry, too many clients already\nHINT:  max_clients is 1.\n")
                client.send(query("select pg_sleep(60)"))
                self.assertTrue(client.quiet())
                self.assertEqual(client.cancel(), b"")
                self.assertEqual(client.answers(), "T:pg_sleep E:57014 Z:I")

    def test_who_does_not_finish_the_greeting_in_time_is_closed(self):
        with self.make_daemon('handshake_timeout = "500ms"') as daemon:
            address = f"127.0.0.1:{daemon.port}"
            for so_far in (b"\0", startup(PARAMETERS)[:-1], SSL):
                client = self.raw(address)
                begun = time.monotonic()
                client.send(so_far)
                client.rest()
                self.assertLess(time.monotonic() - begun, 5)
            with PgClient(address, database="app") as client:
                time.sleep(1.2)
                self.assertEqual(client.value("select 1"), "1")

    def test_messages_of_no_length_that_there_is_end_the_connection(self):
        for length in (0, 3, 1 << 30, 1 << 31, -1):
            with self.subTest(length), PgClient(self.address, database="app") as client:
                client.send(message("Q", b"", length=length))
                self.assertEqual(client.answers(), "E:08P01 closed")

    def test_max_query_bounds_what_has_to_be_whole_and_not_what_comes_in_parts(self):
        limit = 64 * 1024

        def of_size(size):  # of the body, with the NUL at its end
            return "select 7".ljust(size - 1)
        with self.make_daemon('max_query = "64KiB"') as daemon:
            address = f"127.0.0.1:{daemon.port}"
            with PgClient(address, database="app") as client:
                self.assertEqual(client.query(of_size(limit)), "T:?column? D:7 C:SELECT 1 Z:I")
                values = extended("select length($1)", ["x" * (3 * limit)])
                self.assertEqual(client.ask(values, sync()), f"1 2 D:{3 * limit} C:SELECT 1 Z:I")
                client.send(query(of_size(limit + 1)))
                self.assertEqual(client.answers(), "E:54000 closed")
            with PgClient(address, database="app") as client:
                # Its length is enough: the rest is not waited for.
                client.send(message("P", b"", length=4 + limit + 1))
                self.assertEqual(client.answers(), "E:54000 closed")
        with PgClient(self.address, database="app") as client:
            self.assertEqual(client.query(of_size(8 * limit)), "T:?column? D:7 C:SELECT 1 Z:I")

    def test_a_goodbye_is_answered_by_a_close(self):
        with PgClient(self.address, database="app") as client:
            client.send(terminate())
            self.assertEqual(client.rest(), b"")

    def test_an_idle_client_is_closed_after_its_time(self):
        with self.make_daemon('idle_timeout = "1s"') as daemon:
            with PgClient(f"127.0.0.1:{daemon.port}", database="app") as idle, \
                    PgClient(f"127.0.0.1:{daemon.port}", database="app") as busy:
                busy.query("begin")
                self.assertEqual(idle.answers(), "E:57P05 closed")
                self.assertEqual(busy.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:T")

    def test_at_the_daemons_end_who_rests_is_told_and_who_works_may_finish(self):
        with self.make_daemon('shutdown_timeout = "3s"') as daemon:
            address = f"127.0.0.1:{daemon.port}"
            with PgClient(address, database="app") as idle, PgClient(address, database="app") as busy, \
                    PgClient(address, database="app") as endless:
                busy.query("begin")
                endless.query("begin")
                daemon.signal(signal.SIGTERM)
                self.assertEqual(idle.answers(), "E:57P01 closed")
                self.assertEqual(busy.query("commit"), "C:COMMIT Z:I")
                self.assertEqual(busy.answers(), "E:57P01 closed")
                self.assertEqual(endless.answers(), "E:57P01 closed")
                self.assertEqual(daemon.wait(), 0)

    # --- unix sockets

    def test_a_unix_socket_may_have_the_name_that_psql_looks_for(self):
        folder = self.daemon.folder / "run"
        folder.mkdir()
        url = f"postgresql://postgres@127.0.0.1:{self.postgres.port}/app_of_psql"
        self.postgres.query("create database app_of_psql")
        with Daemon(url, "--listen", f"unix:{folder}/.s.PGSQL.6432", listen=False) as daemon:
            wait_until(lambda: daemon.addresses, "a listener")
            done = subprocess.run(["psql", "-XAtqw", "-h", folder, "-p", "6432", "-U", "postgres", "-d", "app_of_psql",
                                   "-c", "select current_database()"], capture_output=True, text=True, timeout=60)
            self.assertEqual((done.stdout, done.stderr), ("app_of_psql\n", ""))

    def psql(self, folder, port, database="app"):
        done = subprocess.run(["psql", "-XAtqw", "-h", folder, "-p", str(port), "-U", "postgres", "-d", database,
                               "-c", "select 40 + 2"], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.stdout, done.stderr), ("42\n", ""))

    def in_dir(self, folder, *lines):
        return self.make_daemon(f'unix_socket_dir = "{folder}"', *lines)

    def folder(self):
        path = temporary_folder()
        return path

    def test_each_tcp_port_has_a_socket_in_unix_socket_dir_that_psql_finds(self):
        folder = self.folder()
        with self.in_dir(folder, 'unix_socket_mode = "0770"') as daemon:
            path = folder / f".s.PGSQL.{daemon.port}"
            self.psql(folder, daemon.port)
            # The daemon's own socket is listened on beside it, and has no port of its own.
            self.assertEqual(sorted(entry.name for entry in folder.iterdir()), [path.name, f"{path.name}.lock"])
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o770)
            self.assertIn(f"unix:{path}", daemon.addresses)
            self.assertEqual(daemon.terminate(), 0)
        self.assertEqual(list(folder.iterdir()), [])

    def test_ports_of_several_addresses_have_one_socket_each(self):
        folder = self.folder()
        url = f"postgresql://postgres@127.0.0.1:{self.postgres.port}/postgres"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        listen = f'listen = ["127.0.0.1:{port}", "127.0.0.2:{port}", "127.0.0.1:0"]'
        config = f'[server]\nunix_socket_dir = "{folder}"\n{listen}\n[databases.app]\nurl = "{url}"\n'
        with Daemon(config=config, listen=False) as daemon:
            wait_until(lambda: len(daemon.addresses) == 5, "five listeners")
            ports = sorted({int(address.rsplit(":", 1)[1]) for address in daemon.addresses[:3]})
            self.assertEqual(len(ports), 2)
            self.assertEqual(sorted(daemon.addresses[3:]), sorted(f"unix:{folder}/.s.PGSQL.{n}" for n in ports))
            for each in ports:
                self.psql(folder, each)

    def test_a_dead_daemons_socket_in_unix_socket_dir_is_replaced_and_a_living_servers_is_not(self):
        folder = self.folder()
        with self.in_dir(folder) as dead:
            port, path = dead.port, folder / f".s.PGSQL.{dead.port}"
            dead.kill()
        self.assertTrue(path.exists())
        url = f"postgresql://postgres@127.0.0.1:{self.postgres.port}/postgres"
        config = f'[server]\nunix_socket_dir = "{folder}"\nlisten = ["127.0.0.%d:{port}"]\n[databases.app]\nurl = "{url}"\n'
        with Daemon(config=config % 1, listen=False) as daemon:
            wait_until(lambda: len(daemon.addresses) == 2, "the socket")
            self.psql(folder, port)
            # The same port of another address is free, its socket is not.
            with self.assertRaisesRegex(RuntimeError, "ended at once with 69(?s:.*)another daemon is listening there"):
                Daemon(config=config % 2, listen=False)
            self.psql(folder, port)
        # A server whose lock is of another kind: a PostgreSQL.
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            with self.assertRaisesRegex(RuntimeError, "ended at once with 69(?s:.*)another program listens there"):
                Daemon(config=config % 1, listen=False)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))


if __name__ == "__main__":
    unittest.main()
