"""A first conversation with a daemon on its default address: what the README shows."""

import sys

from based_client import connect

with connect(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:6432") as db, db.session() as session:
    session.exec("create table if not exists notes (text text not null)")
    with session.transaction():
        session.exec("insert into notes (text) values (:text)", {"text": "kept"})
        try:
            with session.transaction():
                session.exec("insert into notes (text) values ($1)", ["forgotten"])
                raise ValueError("the inner level rolls back, the outer one goes on")
        except ValueError as reason:
            print("rolled back:", reason)
    for (text,) in session.exec("select text from notes"):
        print(text)
