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


class Node(test_sandbox_drivers.Well, test_driver_node.Node):
    def test_its_ordinary_work_directly_and_through_based(self):
        test_driver_node.install()
        self.converse(test_driver_python.servers.through_based)


class Java(test_sandbox_drivers.Well, test_driver_java.Java):
    def test_its_ordinary_work_directly_and_through_based(self):
        test_driver_java.build()
        address = test_driver_python.servers.through_based
        for more in ("", "&autosave=always", "&autosave=conservative&defaultRowFetchSize=20", "&preferQueryMode=simple",
                     "&preferQueryMode=extendedCacheEverything"):
            with self.subTest(more):
                self.converse(address, more)


class Php(test_sandbox_drivers.Well, test_driver_php.Php):
    def test_its_ordinary_work_directly_and_through_based(self):
        self.converse(test_driver_python.servers.through_based)


class Go(test_sandbox_drivers.Well, test_driver_go.Go):
    def test_its_ordinary_work_directly_and_through_based(self):
        test_driver_go.build()
        self.converse(test_driver_python.servers.through_based)


class Prisma(test_sandbox_drivers.Well, test_driver_prisma.Prisma):
    def test_its_ordinary_work_directly_and_through_based(self):
        test_driver_prisma.install()
        self.converse(test_driver_python.servers.through_based)


if __name__ == "__main__":
    unittest.main()
