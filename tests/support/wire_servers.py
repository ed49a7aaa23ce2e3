"""What the tests of PostgreSQL's protocol talk to: a PostgreSQL, and Based before it with fewer links than clients.

Cases decorated with @both are run twice: against PostgreSQL itself, which says what is right, and through Based.
"""

import sys
import unittest

from pg_client import PgClient
from servers import Daemon, PostgresCluster

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

    def log(self):
        return self.servers.daemon.log()


def both(cases):
    """Replaces the cases by two classes: `NameDirectly` and `NameThroughBased`."""
    module = sys.modules[cases.__module__]
    for suffix, directly in (("Directly", True), ("ThroughBased", False)):
        name = cases.__name__ + suffix
        made = type(name, (cases, Conversation), {"directly": directly, "__module__": cases.__module__})
        setattr(module, name, made)
    return cases
