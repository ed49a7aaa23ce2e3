"""The drivers of other languages in a PostgreSQL sandbox, as test_sandbox_drivers has Python's: the programs of test_driver_*."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import test_driver_go
import test_driver_java
import test_driver_node
import test_driver_php
import test_driver_prisma
import test_driver_python
import test_sandbox_drivers

setUpModule = test_sandbox_drivers.setUpModule


class Sandboxed(test_sandbox_drivers.Well):
    def addresses(self):
        return (test_driver_python.servers.through_based,)


class Node(Sandboxed, test_driver_node.Node):
    pass


class Java(Sandboxed, test_driver_java.Java):
    def converse(self, address):
        for self.more in ("", "&autosave=always", "&autosave=conservative&defaultRowFetchSize=20", "&preferQueryMode=simple",
                          "&preferQueryMode=extendedCacheEverything"):
            with self.subTest(self.more):
                super().converse(address)


class Php(Sandboxed, test_driver_php.Php):
    pass


class Go(Sandboxed, test_driver_go.Go):
    pass


class Prisma(Sandboxed, test_driver_prisma.Prisma):
    pass


if __name__ == "__main__":
    unittest.main()
