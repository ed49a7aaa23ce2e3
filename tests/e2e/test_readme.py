"""README.md says what is: its conversation runs, its commands and its configuration are read without complaint."""

import os
import re
import shlex
import subprocess
import sys
import unittest

from servers import BASED, ROOT, Daemon, PostgresCluster, temporary_folder

README = (ROOT / "README.md").read_text()
CONVERSATION = ROOT / "tests" / "support" / "first_conversation.py"


def blocks(language):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [text for name, text in fenced if name == language]


class Readme(unittest.TestCase):
    def setUp(self):
        self.folder = temporary_folder()

    def test_its_conversation_is_the_one_that_can_be_run(self):
        shown = blocks("python")[0].split("session:\n")
        runs = CONVERSATION.read_text().split("session:\n")
        self.assertEqual((len(shown), shown[1]), (2, runs[1]))

    def converse(self, daemon):
        done = subprocess.run([sys.executable, CONVERSATION, daemon.addresses[0]], capture_output=True, text=True,
                              timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 2, lines)
        self.assertTrue(lines[0].startswith("rolled back: "), lines)
        self.assertEqual(lines[1], "kept")

    def test_its_conversation_keeps_the_outer_level_and_forgets_the_inner_one(self):
        with Daemon() as daemon:
            self.converse(daemon)

    def test_the_same_program_runs_on_postgresql(self):
        with PostgresCluster() as postgres:
            with Daemon(postgres.url()) as daemon:
                self.converse(daemon)
            self.assertEqual(postgres.query("select text from notes"), [["kept"]])

    def test_its_command_lines_are_understood(self):
        (self.folder / "app-password").write_text("hush\n")
        (self.folder / "based.toml").write_text(blocks("toml")[0])
        lines = [line for block in blocks("") for line in block.splitlines() if re.match(r"based\b", line)]
        self.assertGreater(len(lines), 4)
        for line in lines:
            arguments = shlex.split(line.replace("/etc/based/", f"{self.folder}/"), comments=True)[1:]
            done = subprocess.run([BASED, *arguments, "--check-config"], cwd=self.folder, capture_output=True, text=True,
                                  timeout=20, env={"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": str(self.folder)})
            self.assertEqual((done.returncode, done.stderr), (0, ""), line)

    def test_its_links_lead_somewhere(self):
        links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
        self.assertGreater(len(links), 4)
        for link in links:
            self.assertTrue((ROOT / link).exists(), link)

    def test_its_default_port_is_the_default_port(self):
        shown = subprocess.run([BASED, "--print-config"], capture_output=True, text=True, timeout=20).stdout
        self.assertIn('listen = ["127.0.0.1:6432"]', shown)


if __name__ == "__main__":
    unittest.main()
