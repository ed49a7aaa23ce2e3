"""What is installed beside the program: the unit file, the default configuration, the manual, the two commands."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

from servers import BASED, ROOT, temporary_folder

PACKAGING = ROOT / "packaging"
REFERENCE = BASED.parent / "packaging" / "based.toml.5"
EXPOSURE_MAX = 15  # tenths: systemd calls 1.5 "OK"


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, **options)


class Unit(unittest.TestCase):
    def setUp(self):
        self.folder = temporary_folder()
        # The unit names the installed program; here it is the one that was built.
        self.text = (PACKAGING / "based.service").read_text()
        self.unit = self.folder / "based.service"
        self.unit.write_text(self.text.replace("/usr/bin/based", str(BASED)))

    def test_systemd_understands_every_line_of_it(self):
        done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", self.unit)
        complaints = [line for line in (done.stdout + done.stderr).splitlines() if "based.service" in line]
        self.assertEqual((done.returncode, complaints), (0, []))

    def test_a_wrong_line_would_be_noticed(self):
        self.unit.write_text(self.unit.read_text().replace("NoNewPrivileges=", "NoNewPrivilege="))
        done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", self.unit)
        self.assertIn("Unknown key", done.stdout + done.stderr)

    def test_it_leaves_little_of_the_machine_exposed(self):
        done = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", self.unit)
        self.assertEqual(done.returncode, 0, done.stdout[-300:] + done.stderr)

    def test_it_notifies_and_does_not_loop_on_a_wrong_configuration(self):
        for line in ("Type=notify", "DynamicUser=yes", "StateDirectory=based", "RuntimeDirectory=based",
                     "RestartPreventExitStatus=64 78"):
            self.assertIn(f"\n{line}\n", self.text)

    def test_its_filter_lets_the_descriptor_limit_be_raised(self):
        self.assertNotIn("@resources", re.sub(r"#.*", "", self.text))

    def test_it_gives_longer_to_stop_than_open_transactions_get(self):
        settings = run(BASED, "--config", PACKAGING / "based.toml", "--print-config").stdout
        self.assertIn('shutdown_timeout = "30s"', settings)
        self.assertGreater(int(re.search(r"TimeoutStopSec=(\d+)", self.text)[1]), 30 + 30)


class DefaultConfiguration(unittest.TestCase):
    def setUp(self):
        self.folder = temporary_folder()

    def check(self, text, *arguments):
        path = self.folder / "based.toml"
        path.write_text(text)
        return run(BASED, "--config", path, *arguments, cwd=self.folder,
                   env={"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": str(self.folder)})

    def test_it_is_sound(self):
        done = self.check((PACKAGING / "based.toml").read_text(), "--check-config")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_it_is_sound_with_everything_it_only_suggests(self):
        (self.folder / "app-password").write_text("hush\n")
        text = re.sub(r"^#(\[|\w+ = )", r"\1", (PACKAGING / "based.toml").read_text(), flags=re.MULTILINE)
        done = self.check(text, "--print-config")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("[databases.app_test]", done.stdout)
        self.assertNotIn("hush", done.stdout)

    def test_what_it_suggests_as_a_default_is_the_default(self):
        text = (PACKAGING / "based.toml").read_text()
        server = text[text.index("[server]"):text.index("[databases.main]")]
        printed = run(BASED, "--print-config", "sqlite::memory:").stdout
        suggested = re.findall(r"^#(\w+ = .*)$", server, re.MULTILINE)
        self.assertGreater(len(suggested), 2)
        for line in suggested:
            self.assertIn(f"\n{line}\n", printed)


class Manual(unittest.TestCase):
    def test_the_pages_are_sound_roff(self):
        for page in (PACKAGING / "based.8", REFERENCE):
            done = run("groff", "-man", "-Tutf8", "-ww", "-z", page)
            self.assertEqual((done.returncode, done.stderr), (0, ""), page)

    def test_the_page_of_the_program_names_every_option_and_no_other(self):
        shown = set(re.findall(r"--[a-z-]+", run(BASED, "--help").stdout))
        page = (PACKAGING / "based.8").read_text().replace("\\-", "-")
        self.assertGreater(len(shown), 8)
        self.assertEqual(set(re.findall(r"--[a-z-]+", page)), shown)

    def test_the_page_of_the_program_names_every_exit_code(self):
        page = (PACKAGING / "based.8").read_text()
        section = page[page.index(".SH EXIT STATUS"):page.index(".SH ENVIRONMENT")]
        self.assertEqual(re.findall(r"^\.B (\d+)$", section, re.MULTILINE), ["0", "1", "64", "69", "70", "78"])

    def test_the_page_of_the_file_has_every_key_that_is_printed(self):
        verifier = f"SCRAM-SHA-256$4096:{'A' * 22}==${'A' * 43}=:{'A' * 43}="
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write(f'[users.ann]\npassword = "{verifier}"\n')
            config.flush()
            done = run(BASED, "sqlite::memory:", "postgresql://h/d", "--config", config.name, "--print-config")
        self.assertEqual(done.stderr, "")
        printed = done.stdout
        keys = set(re.findall(r"^(?:# )?(\w+) = ", printed, re.MULTILINE))
        self.assertGreater(len(keys), 40)
        documented = set(re.findall(r"^\.TP\n\.B (\w+)$", REFERENCE.read_text(), re.MULTILINE))
        self.assertEqual(keys, documented)


class Commands(unittest.TestCase):
    def setUp(self):
        self.folder = temporary_folder()

    def install(self, installed, *sections, apt_ends_with=0):
        """install-packages with a dpkg that knows only `installed`, and an apt-get that writes down what it is told."""
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        for name, text in {
            "dpkg-query": f'case " {" ".join(installed)} " in *" ${{@: -1}} "*) printf installed;; *) exit 1;; esac',
            "apt-get": f'echo "$*" >> {self.folder}/told; exit {apt_ends_with}',
            "id": "echo 0",
        }.items():
            (programs / name).write_text(f"#!/bin/bash\n{text}\n")
            (programs / name).chmod(0o755)
        done = run(PACKAGING / "install-packages", *sections, env={"PATH": f"{programs}:/usr/bin:/bin"})
        told = self.folder / "told"
        return done.returncode, told.read_text() if told.exists() else ""

    def packages(self, section):
        """The list as somebody else would read it."""
        text = (PACKAGING / "debian-packages").read_text()
        body = text.split(f"[{section}]\n")[1].split("\n[")[0]
        return [line for line in body.splitlines() if line and not line.startswith("#")]

    def test_only_what_is_missing_is_installed(self):
        build = self.packages("build")
        self.assertIn("libuv1-dev", build)
        code, told = self.install([name for name in build if name not in ("meson", "libuv1-dev")], "build")
        self.assertEqual(code, 0)
        self.assertRegex(told.splitlines()[-1], r" install --no-install-recommends libuv1-dev meson$")

    def test_nothing_is_asked_of_apt_when_nothing_is_missing(self):
        everything = self.packages("build") + self.packages("profile") + self.packages("test")
        self.assertEqual(self.install(everything, "build", "profile", "test"), (0, ""))

    def test_a_failed_installation_is_a_failure(self):
        self.assertNotEqual(self.install([], "build", apt_ends_with=100)[0], 0)

    def test_an_unknown_section_is_a_failure(self):
        self.assertEqual(self.install([], "nonsense")[0], 64)

    def test_quickstart_builds_and_runs_the_daemon(self):
        self.assertEqual(BASED.resolve(), ROOT / "build" / "based")
        for _ in range(2):
            done = run(PACKAGING / "quickstart", "--version", cwd="/")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"^based \d+\.\d+\.\d+\n$")

    def test_what_a_release_is_profiled_with_works(self):
        at_work = [sys.executable, ROOT / "tests" / "support" / "at_work.py", "--briefly"]
        done = run(*at_work)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotEqual(run(*at_work, env={**os.environ, "BASED_BINARY": "/bin/false"}).returncode, 0)

    def test_the_install_puts_everything_in_its_place(self):
        done = run("meson", "install", "-C", BASED.parent, "--destdir", self.folder, "--no-rebuild")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        installed = {path.name: path for path in self.folder.rglob("*") if path.is_file()}
        for name, folder in (("based", "bin"), ("based.service", "lib/systemd/system"), ("based.8", "man8"),
                             ("based.toml.5", "man5"), ("based.toml", "etc/based"), ("based.conf", "sysusers.d")):
            self.assertIn(name, installed)
            self.assertTrue(str(installed[name].parent).endswith(folder), installed[name])
        self.assertEqual(run(installed["based"], "--version").returncode, 0)


if __name__ == "__main__":
    unittest.main()
