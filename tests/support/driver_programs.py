"""The programs of other languages (tests/e2e/go, java, node, php, prisma), which say "ok" where their driver does its ordinary
work."""

import os
import subprocess

from wire_servers import Servers


def run(case, *command, **environment):
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env={**os.environ, **environment})
    case.assertEqual((done.stdout, done.returncode), ("ok\n", 0), done.stderr)


class Program:
    """A case of such a program, on a pool smaller than its clients. It says how that is built and run."""

    def build(self):
        """Quick when it is there already."""

    def command(self, host, port):
        raise NotImplementedError

    def environment(self):
        return {}

    def addresses(self):
        servers = Servers(pools={"two": "max_size = 2\n"})
        return servers.direct, servers.through_based

    def converse(self, address):
        run(self, *self.command(*address.split(":")), **self.environment())

    def test_its_ordinary_work_directly_and_through_based(self):
        self.build()
        for address in self.addresses():
            self.converse(address)
