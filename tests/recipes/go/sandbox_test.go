package accounts

import (
	"database/sql"
	"os"
	"testing"

	_ "github.com/lib/pq" // or pgx: _ "github.com/jackc/pgx/v5/stdlib", and "pgx" below
)

var control *sql.DB

func address() string {
	port := os.Getenv("BASED_PORT")
	if port == "" {
		port = "6432"
	}
	// go test runs packages side by side: each has a sandbox of its name
	return "host=127.0.0.1 port=" + port + " user=postgres sslmode=disable dbname=app#accounts"
}

func TestMain(m *testing.M) {
	control, _ = sql.Open("postgres", address())
	for _, text := range []string{
		"sandbox reset",
		"insert into accounts (owner, amount) values ('ann', 100), ('bob', 20)",
		"sandbox mark fixtures",
	} {
		if _, err := control.Exec(text); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func fresh(t *testing.T) *sql.DB {
	if _, err := control.Exec("sandbox reset to fixtures"); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("postgres", address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
