package accounts

import (
	"database/sql"
	"testing"
)

func run(t *testing.T, db *sql.DB, texts ...string) {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if _, err := tx.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, db *sql.DB, wanted string) {
	t.Helper()
	var found string
	err := db.QueryRow("select coalesce(string_agg(owner || ' ' || amount, ', ' order by owner), '')" +
		" from accounts").Scan(&found)
	if err != nil {
		t.Fatal(err)
	}
	if found != wanted {
		t.Fatalf("%q is not %q", found, wanted)
	}
}

func TestAnAccountIsOpened(t *testing.T) {
	db := fresh(t)
	run(t, db, "insert into accounts (owner, amount) values ('cem', 0)")
	expect(t, db, "ann 100, bob 20, cem 0")
}

func TestMoneyIsPaid(t *testing.T) {
	db := fresh(t)
	run(t, db, "update accounts set amount = amount - 30 where owner = 'ann'",
		"update accounts set amount = amount + 30 where owner = 'bob'")
	expect(t, db, "ann 70, bob 50")
}

func TestAllAccountsAreClosed(t *testing.T) {
	db := fresh(t)
	run(t, db, "delete from accounts")
	expect(t, db, "")
}

func TestNothingOfTheOthersRemains(t *testing.T) {
	expect(t, fresh(t), "ann 100, bob 20")
}
