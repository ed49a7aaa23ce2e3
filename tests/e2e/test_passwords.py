"""Every way to give the server's password, up to a statement that the server answers; and none of them in the log."""

import unittest

from based_client import Error, connect
from servers import Daemon, PostgresCluster

SECRET = "hush 'n$@%/?"
ESCAPED = "hush%20%27n%24%40%25%2F%3F"


class Passwords(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = PostgresCluster()
        cls.addClassCleanup(cls.postgres.close)
        cls.postgres.query("create role app_scram login password '" + SECRET.replace("'", "''") + "'")

    def url(self, userinfo="app_scram"):
        at = f"{userinfo}@" if userinfo else ""
        return f"postgresql://{at}127.0.0.1:{self.postgres.port}/postgres"

    def database(self, *lines, userinfo="app_scram", server=""):
        return "\n".join((server, "[databases.app]", f'url = "{self.url(userinfo)}"', *lines, ""))

    def who(self, daemon):
        with connect(daemon.addresses[0]) as client, client.session() as session:
            return list(session.exec("select current_user::text"))

    def connects(self, *arguments, **options):
        """The user whom the server sees."""
        with Daemon(*arguments, **options) as daemon:
            self.assertEqual(self.who(daemon), [["app_scram"]])
            self.assertNotIn("hush", daemon.log())

    def test_in_the_url(self):
        self.connects(self.url(f"app_scram:{ESCAPED}"))
        self.connects(self.url("") + f"?user=app_scram&password={ESCAPED}")

    def test_in_the_environment_for_a_url_of_the_command_line(self):
        self.connects(self.url(), env={"BASED_PASSWORD": SECRET})

    def test_in_the_file_with_the_user_beside_it(self):
        self.connects(config=self.database('user = "app_scram"', f'password = "{SECRET}"', userinfo=""))

    def test_in_a_variable_that_the_file_lists(self):
        config = self.database('password = "${APP_PASSWORD}"', server='[server]\nenvironment = ["APP_PASSWORD"]')
        self.connects(config=config, env={"APP_PASSWORD": SECRET})

    def test_in_a_file_of_its_own(self):
        path = self.postgres.folder / "password"
        path.write_text(SECRET + "\n")
        self.connects(config=self.database(f'password_file = "{path}"'))

    def test_in_a_credential_of_the_service(self):
        path = self.postgres.folder / "app-password"
        path.write_text(SECRET)
        self.connects(config=self.database('password_credential = "app-password"'),
                      env={"CREDENTIALS_DIRECTORY": str(self.postgres.folder)})

    def test_a_wrong_one_is_the_servers_own_error_and_not_retried_until_the_timeout(self):
        with Daemon(self.url("app_scram:hush-wrong")) as daemon:
            with self.assertRaises(Error) as raised:
                self.who(daemon)
            self.assertEqual(raised.exception.code, "28P01")
            self.assertNotIn("hush", daemon.log())
            self.assertNotIn("hush", str(raised.exception))

    def test_the_environment_of_libpq_does_not_reach_the_server(self):
        with Daemon(self.url(), env={"PGPASSWORD": SECRET, "PGUSER": "postgres"}) as daemon:
            with self.assertRaises(Error):
                self.who(daemon)
        with Daemon(self.postgres.url(), env={"PGOPTIONS": "-c work_mem=1234kB", "PGAPPNAME": "nobody"}) as daemon:
            with connect(daemon.addresses[0]) as client, client.session() as session:
                shown = list(session.exec("select current_setting('work_mem'), current_setting('application_name')"))
            self.assertNotEqual(shown[0][0], "1234kB")
            self.assertNotEqual(shown[0][1], "nobody")


if __name__ == "__main__":
    unittest.main()
