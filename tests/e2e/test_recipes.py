"""The recipes that README.md shows for test suites run, side by side and twice, and the database is what it was."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import test_driver_node
from servers import BASED, ROOT, Daemon, PostgresCluster, temporary_folder

RECIPES = ROOT / "tests" / "recipes"
INSTALLED = BASED.parent / "jest"
SHOWN = ("pytest/conftest.py", "go/sandbox_test.go", "jest/sandbox.js", "node/sandbox.js", "rspec/sandbox_helper.rb",
         "junit/Sandbox.java", "based.toml", "github-actions.yml")
JARS = [f"/usr/share/java/{name}.jar" for name in (
    "postgresql", "junit-jupiter-api", "junit-jupiter-engine", "junit-platform-commons", "junit-platform-console",
    "junit-platform-engine", "junit-platform-launcher", "junit-platform-reporting", "opentest4j", "apiguardian-api",
    "picocli", "opentest4j-reporting-events", "opentest4j-reporting-schema", "opentest4j-reporting-tooling-spi")]
BASE = [["zoe", "7"]]


def setUpModule():
    global cluster, daemon
    cluster = PostgresCluster()
    unittest.addModuleCleanup(cluster.close)
    cluster.query("create table accounts (id serial primary key, owner text not null, amount int not null);"
                  "create index on accounts (owner)")
    daemon = Daemon(config=f'[databases.app]\nurl = "{cluster.url()}"\nforce_rollback = true\n')
    unittest.addModuleCleanup(daemon.close)


class Recipes(unittest.TestCase):
    def setUp(self):
        self.folder = temporary_folder()
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "BASED_PORT": str(daemon.port)}

    def run_twice(self, command, cwd, passed, **environment):
        """The second time in the sandbox that the first has left behind."""
        for _ in range(2):
            done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=200,
                                  env={**self.environment, **environment})
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertRegex(done.stdout + done.stderr, passed)
        self.assertEqual(cluster.query("select count(*) from accounts"), [["0"]])

    def test_pytest(self):
        self.run_twice([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", RECIPES / "pytest"], self.folder,
                       "4 passed", PYTHONDONTWRITEBYTECODE="1")

    def test_go(self):
        self.run_twice(["go", "test", "-count=1", "-v", "."], RECIPES / "go", r"(?s)(--- PASS.*){4}", GO111MODULE="off",
                       GOPATH="/usr/share/gocode", GOFLAGS="-buildvcs=false")

    def test_node(self):
        test_driver_node.install()
        self.run_twice(["node", "--test", RECIPES / "node" / "accounts.test.js"], self.folder, "# pass 4",
                       NODE_PATH=str(test_driver_node.INSTALLED / "node_modules"))

    def test_jest_and_vitest(self):
        """Beside what npm has installed for them: they look for it from where the tests are."""
        INSTALLED.mkdir(parents=True, exist_ok=True)
        for source in (RECIPES / "jest").iterdir():
            shutil.copy(source, INSTALLED)
        subprocess.run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"], cwd=INSTALLED, check=True,
                       capture_output=True, timeout=300)
        programs = INSTALLED / "node_modules" / ".bin"
        self.run_twice([programs / "jest", "--ci"], INSTALLED, "4 passed", CI="true")
        self.run_twice([programs / "vitest", "run", "--globals"], INSTALLED, r"4 passed", CI="true", NO_COLOR="1")

    def test_rspec(self):
        self.run_twice(["rspec", "--order", "random", RECIPES / "rspec" / "accounts_spec.rb"], self.folder,
                       "4 examples, 0 failures")

    def test_junit(self):
        classes = ":".join(JARS)
        subprocess.run(["javac", "-d", self.folder, "-cp", classes, *(RECIPES / "junit").glob("*.java")], check=True,
                       timeout=200)
        self.run_twice(["java", f"-Dbased.port={daemon.port}", "-cp", f"{classes}:{self.folder}",
                        "org.junit.platform.console.ConsoleLauncher", "--select-class", "AccountsTest",
                        "--disable-banner"], self.folder, r"4 tests successful")

    def test_each_fails_where_nothing_is_reset(self):
        """A daemon without force_rollback: the recipes notice that they are in no sandbox."""
        with Daemon(cluster.url("postgres")) as real:
            self.environment["BASED_PORT"] = str(real.port)
            done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", RECIPES / "pytest"],
                                  cwd=self.folder, capture_output=True, text=True, timeout=200,
                                  env={**self.environment, "PYTHONDONTWRITEBYTECODE": "1"})
        self.assertNotEqual(done.returncode, 0)

    def test_the_steps_of_the_ci_job(self):
        """Each `run:` as it stands, in a shell as GitHub's. What differs is around it: the server's host and Based's port are
        others here, and instead of building for minutes the job finds what is built."""
        job = (RECIPES / "github-actions.yml").read_text()
        steps = [block or line for block, line in re.findall(r"^ +- run: (?:\|\n((?: {10}.*\n)+)|(.*)\n)", job, re.MULTILINE)]
        self.assertEqual(len(steps), 3)
        self.assertIn("meson setup build -Dbuildtype=release && ninja -C build based", steps[0])
        installs = "\n".join(line for line in steps[0].splitlines() if "install-packages" in line)
        self.work_place()
        with PostgresCluster() as server, socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
            config = (RECIPES / "based.toml").read_text().replace("@postgres/", f"@127.0.0.1:{server.port}/")
            (self.folder / "tests" / "based.toml").write_text(
                config.replace("[server]", f'[server]\nlisten = ["127.0.0.1:{port}"]', 1))
            self.environment.update(PGHOSTADDR="127.0.0.1", PGPORT=str(server.port), BASED_PORT=port,
                                    PATH=f"{self.folder / 'bin'}:{os.environ['PATH']}", PYTHONDONTWRITEBYTECODE="1")
            free.close()
            for step in (installs, steps[1], "trap 'kill $(jobs -p); wait' EXIT\n" + steps[2].replace("6432", port)):
                done = subprocess.run(["bash", "-e", "-c", step], cwd=self.folder, capture_output=True, text=True, timeout=200,
                                      env=self.environment)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("4 passed", done.stdout)
            self.assertEqual(server.query("select count(*) from accounts"), [["0"]])

    def work_place(self):
        """What the job has checked out, and has installed."""
        shutil.copytree(RECIPES / "pytest", self.folder / "tests")
        for name, target in (("packaging", ROOT / "packaging"), ("build/based", BASED)):
            (self.folder / "based" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "based" / name).symlink_to(target)
        (self.folder / "schema.sql").write_text(
            "create table accounts (id serial primary key, owner text not null, amount int not null)")
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "pytest").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pytest -p no:cacheprovider "$@"\n')
        (self.folder / "bin" / "pytest").chmod(0o755)

    def test_readme_shows_their_text(self):
        readme = (ROOT / "README.md").read_text()
        fenced = [text for text in re.findall(r"^```\w*\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)]
        for name in SHOWN:
            self.assertIn((RECIPES / name).read_text(), fenced, name)

    def test_the_configuration_is_understood(self):
        done = subprocess.run([BASED, "--config", RECIPES / "based.toml", "--check-config"], capture_output=True,
                              text=True, timeout=20)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
