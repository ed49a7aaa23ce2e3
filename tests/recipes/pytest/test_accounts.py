def accounts(db):
    return db.execute("select owner, amount from accounts order by owner").fetchall()


def test_an_account_is_opened(db):
    db.execute("insert into accounts (owner, amount) values ('cem', 0)")
    db.commit()
    assert accounts(db) == [("ann", 100), ("bob", 20), ("cem", 0)]


def test_money_is_paid(db):
    db.execute("update accounts set amount = amount - 30 where owner = 'ann'")
    db.execute("update accounts set amount = amount + 30 where owner = 'bob'")
    db.commit()
    assert accounts(db) == [("ann", 70), ("bob", 50)]


def test_all_accounts_are_closed(db):
    db.execute("delete from accounts")
    db.commit()
    assert accounts(db) == []


def test_nothing_of_the_others_remains(db):
    assert accounts(db) == [("ann", 100), ("bob", 20)]
