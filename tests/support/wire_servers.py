"""What the tests of PostgreSQL's protocol talk to: a PostgreSQL, and Based before it with fewer links than clients.

Cases decorated with @both are run twice: against PostgreSQL itself, which says what is right, and through Based.
"""

import functools
import sys
import unittest

from pg_client import PgClient
from servers import Daemon, PostgresCluster, wait_until

# Databases on both, by what they are behind Based.
POOLS = {
    "one": "max_size = 1",  # every client that follows another is on its link
    "two": "max_size = 2",
}


class Servers:
    """One cluster, one daemon. `config` goes to the end of the daemon's configuration."""

    def __init__(self, common="timeout = '10s'\n", pools=None, config="", gate_port=None, **settings):
        self.pools = POOLS if pools is None else pools
        self.cluster = PostgresCluster(**settings)
        unittest.addModuleCleanup(self.cluster.close)
        for name in self.pools:
            self.cluster.query(f'create database "{name}"')
        tables = [f'[databases.{name}]\nurl = "{self.cluster.url(name)}"\n{common}{rows}\n'
                  for name, rows in self.pools.items()]
        self.daemon = Daemon(config="\n".join(tables) + config)
        unittest.addModuleCleanup(self.daemon.close)

    @functools.cached_property
    def observer(self):
        """A client of the server itself, for what is asked often."""
        client = PgClient(self.direct)
        unittest.addModuleCleanup(client.close)
        return client

    @property
    def direct(self):
        return f"127.0.0.1:{self.cluster.port}"

    @property
    def through_based(self):
        return f"127.0.0.1:{self.daemon.port}"


class Conversation(unittest.TestCase):
    """Cases whose clients connect to `address`, which is through Based unless @both says otherwise."""

    servers = None  # the module's
    directly = False
    pool = "one"

    @property
    def address(self):
        return self.servers.direct if self.directly else self.servers.through_based

    def connect(self, database=None, **options):
        client = PgClient(self.address, database=database or self.pool, **options)
        self.addCleanup(client.close)
        return client

    def raw(self, **options):
        """A connection that has not said anything yet."""
        return self.connect(start=False, **options)

    def server(self, sql, database=None):
        """Rows straight from the server: what is really there."""
        return self.servers.cluster.query(sql, database or self.pool)

    def processes(self, condition="true", database=None):
        """The server's that serve this database and are not server()'s, where this is true in pg_stat_activity."""
        return [int(row[0]) for row in self.servers.observer.rows(
            f"select pid from pg_stat_activity where datname = '{database or self.pool}' "
            f"and backend_type = 'client backend' and application_name <> 'psql' and ({condition}) order by 1")]

    def wait_processes(self, condition, count=1, database=None):
        return wait_until(lambda: len(found := self.processes(condition, database)) == count and (found or True),
                          f"{count} processes with {condition}")

    def log(self):
        return self.servers.daemon.log()


class TwoClients:
    """Cases of a client and another, which through Based are on one link in turn."""

    WELL = "T:?column? D:well C:SELECT 1 Z:I"
    SLEEP = "select pg_sleep(60)"
    ASLEEP = "state = 'active' and query like '%pg_sleep(60)%'"

    def setUp(self):
        self.server("truncate t")
        self.client = self.connect()
        self.other = self.connect()

    def start(self, *parts, client=None, active=ASLEEP):
        """Sends, and waits until the server is at it: the number of its process."""
        (client or self.client).send(*parts)
        return self.wait_processes(active)[0]

    def nobody_was_hurt(self):
        """This client's next statement and another's on the same link get their own answers."""
        for client in (self.client, self.other, self.client):
            self.assertEqual(client.query("select 'well'"), self.WELL)

    def on_one_link(self, process):
        """Through Based there is still only the link that there was."""
        if not self.directly:
            self.assertEqual(self.processes(), [process])


def both(cases):
    """Replaces the cases by two classes: `NameDirectly` and `NameThroughBased`."""
    module = sys.modules[cases.__module__]
    for suffix, directly in (("Directly", True), ("ThroughBased", False)):
        name = cases.__name__ + suffix
        made = type(name, (cases, Conversation), {"directly": directly, "__module__": cases.__module__})
        setattr(module, name, made)
    return cases
