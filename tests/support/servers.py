"""The servers of the tests: a throw-away PostgreSQL cluster, the daemon, and a gate between them that breaks.

Each is started on a free port of 127.0.0.1 or a unix socket in a temporary folder, stopped by its own pid, and leaves
nothing behind. All are context managers; every wait has a deadline.
"""

import atexit
import glob
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASED = pathlib.Path(os.environ.get("BASED_BINARY", ROOT / "build" / "based"))
WAIT_S = 30
CRASHES = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE}


def wait_until(condition, what, seconds=WAIT_S):
    """Returns the condition's first true value; fails after a deadline. The only way tests wait."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.01)


def temporary_folder():
    """A new folder, which goes with what is in it when the process that made it ends, if not before."""
    folder, maker = pathlib.Path(tempfile.mkdtemp(prefix="based-test-")), os.getpid()
    atexit.register(lambda: os.getpid() == maker and shutil.rmtree(folder, ignore_errors=True))
    return folder


def postgres_programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4]))
    if not found:
        raise RuntimeError("PostgreSQL's server programs are not installed")
    return pathlib.Path(found[-1]).parent


class PostgresCluster:
    """A PostgreSQL of its own: trust on its unix socket and 127.0.0.1, SCRAM for users named *_scram."""

    def __init__(self, **settings):
        self.folder = temporary_folder()
        self.data = self.folder / "data"
        self.programs = postgres_programs()
        self.as_postgres = []
        if os.geteuid() == 0:  # the server refuses to run as root
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self.as_postgres = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        (self.data / "pg_hba.conf").write_text(
            "local all all trust\n"
            'host all "/_scram$" 127.0.0.1/32 scram-sha-256\n'
            "host all all 127.0.0.1/32 trust\n"
            if self.version() >= 16
            else "local all all trust\n"
            "host all app_scram 127.0.0.1/32 scram-sha-256\n"
            "host all all 127.0.0.1/32 trust\n"
        )
        defaults = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "max_connections": 60,
            "shared_buffers": "16MB",
            "max_prepared_transactions": 4,
        }
        with open(self.data / "postgresql.conf", "a") as file:
            for name, value in {**defaults, **settings}.items():
                file.write(f"{name} = '{value}'\n")
        self.start()

    def version(self):
        return int(self.programs.parts[-2])

    def run(self, program, *arguments, **options):
        command = [*self.as_postgres, self.programs / program, *arguments]
        return subprocess.run(
            [str(part) for part in command],
            check=True, capture_output=True, text=True, timeout=120, cwd="/", env={"PATH": "/usr/bin:/bin"}, **options,
        )

    def start(self):
        # pg_ctl's server inherits its output: a pipe would never end.
        command = [*self.as_postgres, self.programs / "pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "start"]
        subprocess.run([str(part) for part in command], check=True, timeout=120, cwd="/",
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def url(self, database="postgres", user="postgres", port=None):
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def socket_url(self, database="postgres", user="postgres"):
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}"

    def query(self, sql, database="postgres", user="postgres"):
        """Rows as lists of text, NULL as '', straight from the server: what is really there."""
        done = subprocess.run(
            ["psql", "-XAtq", "-F", "\x1f", "-R", "\x1e", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder),
             "-p", str(self.port), "-U", user, "-d", database, "-c", sql],
            capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        text = done.stdout.rstrip("\n")
        return [row.split("\x1f") for row in text.split("\x1e")] if text else []

    def close(self):
        if self.data.exists() and (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def trusting(config):
    """The configuration, with clients believed where it does not say who they are."""
    if "[users]" in config or "\nauth" in config:
        return config
    if "[server]\n" in config:
        return config.replace("[server]\n", '[server]\nauth = "trust"\n', 1)
    return config + '\n[server]\nauth = "trust"\n'


class Daemon:
    """build/based with these arguments, listening on a free port of 127.0.0.1 and on a unix socket."""

    def __init__(self, *arguments, config=None, env=None, listen=True, log_level="debug", preexec_fn=None):
        self.folder = temporary_folder()
        self.socket_path = self.folder / "based.sock"
        command = [BASED, *arguments, "--log-level", log_level]
        if config is not None:
            config = trusting(config)
            (self.folder / "based.toml").write_text(config)
            command += ["--config", self.folder / "based.toml"]
        if listen:
            command += ["--listen", "127.0.0.1:0", "--listen", f"unix:{self.socket_path}"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "STATE_DIRECTORY": str(self.folder)}
        environment.update(env or {})
        self.lines = []
        self.addresses = []
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, cwd=self.folder, env=environment,
                                        text=True, errors="replace", preexec_fn=preexec_fn)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        expected = 2 if listen else 1
        try:
            wait_until(lambda: len(self.addresses) >= expected or self.process.poll() is not None, "listening on")
        except AssertionError:
            self.close()
            raise
        if self.process.poll() is not None:
            self.reader.join(WAIT_S)
            code = self.process.returncode
            log = "\n".join(self.lines)
            self.close()
            raise RuntimeError(f"the daemon ended at once with {code}:\n{log}")

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            listening = re.match(r"listening on (.*)", self.lines[-1])
            if listening:
                self.addresses.append(listening[1])

    @property
    def port(self):
        return int(next(a for a in self.addresses if not a.startswith("unix:")).rsplit(":", 1)[1])

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return "\n".join(self.lines)

    def wait_log(self, pattern, seconds=WAIT_S):
        """The first match of the pattern in the log so far or to come."""
        return wait_until(lambda: next((m for m in (re.search(pattern, line) for line in list(self.lines)) if m), None),
                          f"{pattern!r} in the log:\n{self.log()}", seconds)

    def rss_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.pid}/status").read_text())[1])

    def signal(self, number):
        self.process.send_signal(number)

    def terminate(self, seconds=WAIT_S):
        """SIGTERM, then the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def wait(self, seconds=WAIT_S):
        code = self.process.wait(seconds)
        self.reader.join(seconds)
        return code

    def close(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.reader.join(10)
        self.process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.process.returncode in CRASHES:
            raise AssertionError(f"the daemon crashed, signal {-self.process.returncode}:\n{self.log()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Gate:
    """A relay on 127.0.0.1 to a server's port. Tests stall it, cut it, or let only so many bytes through."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.lock = threading.Lock()
        self.pairs = []
        self.open = threading.Event()
        self.open.set()
        self.refusing = False
        self.bytes_left = None  # towards the client, of all connections; then they are cut
        self.accepted = 0
        self.closing = False
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            if self.refusing or self.closing:
                client.close()
                continue
            self.accepted += 1
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), WAIT_S)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self.lock:
                self.pairs.append((client, server))
            threading.Thread(target=self._relay, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._relay, args=(server, client, True), daemon=True).start()

    def _relay(self, source, target, to_client):
        try:
            while data := source.recv(65536):
                self.open.wait()
                if to_client and self.bytes_left is not None:
                    data = data[: self.bytes_left]
                    self.bytes_left -= len(data)
                    target.sendall(data)
                    if self.bytes_left == 0:
                        return self.cut()
                else:
                    target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stall(self):
        """Nothing passes any more, in either direction, until resume(); nobody is told."""
        self.open.clear()

    def resume(self):
        self.open.set()

    def cut(self):
        """Every connection breaks now; new ones are accepted."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def refuse(self, refusing=True):
        self.refusing = refusing

    def close(self):
        self.closing = True
        self.resume()
        self.server.close()
        self.cut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
