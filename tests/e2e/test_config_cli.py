"""The command line and the configuration as a user meets them: texts, exit codes, one line a problem."""

import os
import subprocess
import unittest

from servers import BASED, temporary_folder

OK, USAGE, UNAVAILABLE, CONFIG = 0, 64, 69, 78


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.folder = temporary_folder()

    def based(self, *arguments, config=None, env=None):
        """(exit code, standard output, lines of standard error); only for what ends by itself."""
        arguments = [str(part) for part in arguments]
        if config is not None:
            (self.folder / "based.toml").write_text(config)
            arguments += ["--config", "based.toml"]
        done = subprocess.run([BASED, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=20,
                              env={"PATH": os.environ["PATH"], **(env or {})})
        return done.returncode, done.stdout, done.stderr.splitlines()

    def refused(self, code, *arguments, **options):
        """The lines of an answer that ends with this code and says nothing on standard output."""
        ended, output, lines = self.based(*arguments, **options)
        self.assertEqual((ended, output), (code, ""), lines)
        self.assertTrue(all(line.startswith("based: ") for line in lines), lines)
        return [line.removeprefix("based: ") for line in lines]

    def test_version_and_help_are_answered(self):
        code, output, errors = self.based("--version")
        self.assertEqual((code, errors), (OK, []))
        self.assertRegex(output, r"^based \d+\.\d+\.\d+\n$")
        code, output, errors = self.based("--help")
        self.assertEqual((code, errors), (OK, []))
        for option in ("--config", "--listen", "--force-rollback", "--pool-size", "--check-config", "--print-config",
                       "--log-level", "--version", "--help"):
            self.assertIn(option, output)

    def test_a_wrong_command_line_ends_with_64_and_names_everything_that_is_wrong(self):
        lines = self.refused(USAGE, "--nonsense", "--pool-size", "0", "--listen", "x", "--log-level", "loud", "mysql://h")
        self.assertEqual(len(lines), 6)
        for line, beginning in zip(lines, ("--nonsense", "--pool-size", "--listen", "--log-level", "'mysql://h'", "--help")):
            self.assertTrue(line.startswith(beginning), line)

    def test_a_password_is_never_shown(self):
        for url in ("mysql://u:hush@h/d", "postgresql://u:hush@h/my%20db", "sqlite://u:hush@h/d"):
            self.assertNotIn("hush", "\n".join(self.based(url, "--check-config")[2]))
        code, output, errors = self.based("postgresql://u:hush@h/d?password=hush", "postgresql://h/e", "--print-config",
                                          env={"BASED_PASSWORD": "hush"})
        self.assertEqual((code, errors), (OK, []))
        self.assertNotIn("hush", output)
        self.assertIn("postgresql://u:***@h/d?password=***", output)

    def test_all_that_is_wrong_with_a_file_is_said_with_line_and_column(self):
        lines = self.refused(CONFIG, config='[server]\nauth = "trust"\nmax_cleints = 5\nlog_level = 3\n[databases.app]\n'
                                            'url = "sqlite:///app.db"\nmin_size = 4\ntimeout = "5 parsecs"\n')
        self.assertEqual([line.split(" ")[0] for line in lines],
                         ["based.toml:3:1:", "based.toml:4:13:", "based.toml:7:1:", "based.toml:8:11:"])
        self.assertIn("did you mean max_clients?", lines[0])

    def test_a_file_that_is_no_toml_or_not_there_ends_with_78(self):
        self.assertRegex(self.refused(CONFIG, config="[server\n")[0], r"^based\.toml:1:8: ")
        self.assertIn("No such file", self.refused(CONFIG, "--config", "nowhere.toml")[0])

    def test_check_config_opens_nothing(self):
        code, output, errors = self.based("sqlite:///app.db", "--check-config")
        self.assertEqual((code, errors), (OK, []))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_printed_settings_can_be_read_again(self):
        code, printed, errors = self.based("sqlite:///app.db", "postgresql://db/other", "--pool-size", "3",
                                           "--force-rollback", "--print-config")
        self.assertEqual((code, errors), (OK, []))
        self.assertEqual(self.based("--print-config", config=printed), (OK, printed, []))
        self.assertIn("max_size = 3", printed)

    def test_an_address_that_others_can_reach_is_refused_without_trust_network(self):
        for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0", "db.example.org:0"):
            self.assertIn("trust_network", self.refused(CONFIG, "--listen", address, "sqlite::memory:")[0])
        self.assertEqual(
            self.based("--check-config", "--listen", "0.0.0.0:0",
                       config='[server]\ntrust_network = true\n[databases.m]\nurl = "sqlite::memory:"\n')[0], OK)

    def test_two_databases_of_one_name_are_refused(self):
        self.assertIn("the name 'app' is taken",
                      self.refused(CONFIG, "sqlite:///a/app.db", "postgresql://h/app")[0])

    def test_a_variable_is_expanded_only_if_the_file_lists_it(self):
        database = '[databases.app]\nurl = "sqlite:///${FOLDER}/app.db"\n'
        self.assertIn("environment = [\"FOLDER\"]", self.refused(CONFIG, config=database, env={"FOLDER": "data"})[0])
        listed = '[server]\nauth = "trust"\nenvironment = ["FOLDER"]\n' + database
        self.assertIn("sqlite:///data/app.db", self.based("--print-config", config=listed, env={"FOLDER": "data"})[1])
        self.assertIn("FOLDER is not set", self.refused(CONFIG, config=listed)[0])

    def test_the_embedded_default_follows_systemd_then_xdg_then_the_working_folder(self):
        for env, url in (({"STATE_DIRECTORY": "/s", "XDG_STATE_HOME": "/x"}, "sqlite:////s/based.db"),
                         ({"XDG_STATE_HOME": "/x"}, "sqlite:////x/based/based.db"),
                         ({}, "sqlite:///./based.db")):
            self.assertIn(f'[databases.main]\nurl = "{url}"', self.based("--print-config", env=env)[1])

    def test_what_a_closed_output_cannot_take_is_an_error(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([BASED, "--help"], stdout=full, timeout=20)
        self.assertEqual(done.returncode, 70)


if __name__ == "__main__":
    unittest.main()
