import os

import psycopg
import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")  # gw0, gw1, ... with pytest -n
DATABASE = f"host=127.0.0.1 port={os.environ.get('BASED_PORT', '6432')} user=postgres dbname=app#{WORKER}"


@pytest.fixture(scope="session")
def sandbox():
    with psycopg.connect(DATABASE, autocommit=True) as control:
        control.execute("sandbox reset")
        control.execute("insert into accounts (owner, amount) values ('ann', 100), ('bob', 20)")
        control.execute("sandbox mark fixtures")
        yield control


@pytest.fixture
def db(sandbox):
    sandbox.execute("sandbox reset to fixtures")
    with psycopg.connect(DATABASE) as connection:  # your application's connections, as many as it likes
        yield connection
