// The ordinary work of Go's pgx, as one program: conversation HOST PORT DATABASE. Prints "ok" at its end, and what was wrong otherwise.
// Run by tests/e2e/test_driver_go.py.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

var ctx, stop = context.WithTimeout(context.Background(), 100*time.Second)

type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...interface{}) pgx.Row
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(expected, found interface{}, what string) {
	if !reflect.DeepEqual(expected, found) {
		panic(fmt.Sprintf("%s: %v instead of %v", what, found, expected))
	}
}

func fails(sqlstate string, err error) {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != sqlstate {
		panic(fmt.Sprintf("%v instead of %s", err, sqlstate))
	}
}

func count(db queryer, where string) (rows int) {
	must(db.QueryRow(ctx, "select count(*) from go_t where "+where).Scan(&rows))
	return
}

func connect(address string) *pgx.Conn {
	conn, err := pgx.Connect(ctx, address)
	must(err)
	return conn
}

func exec(conn interface {
	Exec(context.Context, string, ...interface{}) (pgconn.CommandTag, error)
}, sql string, args ...interface{}) {
	_, err := conn.Exec(ctx, sql, args...)
	must(err)
}

func transactions(conn *pgx.Conn) {
	exec(conn, "create table if not exists go_t (a int primary key, b text, c jsonb)")
	exec(conn, "truncate go_t")
	tx, err := conn.Begin(ctx)
	must(err)
	exec(tx, "insert into go_t values ($1, $2)", 1, "one")
	inner, err := tx.Begin(ctx) // a savepoint
	must(err)
	_, err = inner.Exec(ctx, "insert into go_t values ($1, $2)", 1, "twice")
	fails("23505", err)
	_, err = inner.Exec(ctx, "select 1")
	fails("25P02", err)
	must(inner.Rollback(ctx))
	must(tx.BeginFunc(ctx, func(inner pgx.Tx) error {
		exec(inner, "insert into go_t values (2, 'two', $1)", `{"deep": true}`)
		return nil
	}))
	must(tx.Commit(ctx))
	check(2, count(conn, "true"), "committed")
	_, err = conn.Exec(ctx, "selec")
	fails("42601", err)

	tx, err = conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "select 1/0")
	fails("22012", err)
	check(pgx.ErrTxCommitRollback, tx.Commit(ctx), "COMMIT of a failed transaction")

	tx, err = conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly})
	must(err)
	var level string
	must(tx.QueryRow(ctx, "show transaction_isolation").Scan(&level))
	check("serializable", level, "isolation level")
	_, err = tx.Exec(ctx, "delete from go_t")
	fails("25006", err)
	must(tx.Rollback(ctx))
}

func values(conn *pgx.Conn) {
	data := bytes.Repeat([]byte{0, 1, 254}, 1000)
	at := time.Date(2024, 2, 29, 12, 0, 0, 123000, time.UTC)
	for n := 0; n < 30; n++ {
		var sum int
		var back []byte
		var list []int32
		var when time.Time
		must(conn.QueryRow(ctx, fmt.Sprintf("select $1::int + %d, $2::bytea, $3::int[], $4::timestamptz", n%5), n, data,
			[]int32{1, 2}, at).Scan(&sum, &back, &list, &when))
		check(n+n%5, sum, "prepared")
		check(data, back, "bytea")
		check([]int32{1, 2}, list, "array")
		check(at, when.UTC(), "timestamptz")
	}
}

// In one round trip each.
func batches(conn *pgx.Conn) {
	batch := &pgx.Batch{}
	for n := 10; n < 40; n++ {
		batch.Queue("insert into go_t values ($1, $2)", n, fmt.Sprint("row ", n))
	}
	batch.Queue("select count(*) from go_t where a >= $1", 10)
	results := conn.SendBatch(ctx, batch)
	for n := 10; n < 40; n++ {
		_, err := results.Exec()
		must(err)
	}
	var rows int
	must(results.QueryRow().Scan(&rows))
	check(30, rows, "batch")
	must(results.Close())

	batch = &pgx.Batch{}
	batch.Queue("delete from go_t where a >= $1", 10)
	batch.Queue("insert into go_t values ($1)", 1)
	batch.Queue("select 1")
	results = conn.SendBatch(ctx, batch)
	_, err := results.Exec()
	must(err)
	_, err = results.Exec()
	fails("23505", err)
	results.Close()
	check(30, count(conn, "a >= 10"), "one transaction")
}

func copies(conn *pgx.Conn) {
	rows := [][]interface{}{}
	for n := 100; n < 1100; n++ {
		rows = append(rows, []interface{}{n, fmt.Sprint("row ", n)})
	}
	copied, err := conn.CopyFrom(ctx, pgx.Identifier{"go_t"}, []string{"a", "b"}, pgx.CopyFromRows(rows))
	must(err)
	check(int64(1000), copied, "copy in")
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"go_t"}, []string{"a", "b"}, pgx.CopyFromRows(rows))
	fails("23505", err)
	var out bytes.Buffer
	_, err = conn.PgConn().CopyTo(ctx, &out, "copy (select a, b from go_t where a > 1097 order by a) to stdout csv")
	must(err)
	check("1098,row 1098\n1099,row 1099\n", out.String(), "copy out")
	exec(conn, "delete from go_t where a >= 10")
}

// One goroutine with two connections, each in the other's way.
func inEachOthersWay(conn *pgx.Conn, address string) {
	other := connect(address)
	defer other.Close(ctx)
	_, err := other.Prepare(ctx, "mine", "select 'other'")
	must(err)
	_, err = conn.Prepare(ctx, "mine", "select $1::int * 2")
	must(err)
	must(other.BeginFunc(ctx, func(tx pgx.Tx) error {
		exec(tx, "insert into go_t values (3, 'three')")
		return conn.Deallocate(ctx, "mine")
	}))
	check(1, count(conn, "a = 3"), "what the other has committed")
	said := other.PgConn().ExecPrepared(ctx, "mine", nil, nil, nil).Read()
	must(said.Err)
	check("other", string(said.Rows[0][0]), "the other's statement")
	exec(conn, "delete from go_t where a = 3")
}

func cancels(conn *pgx.Conn, address string) {
	go func() {
		time.Sleep(200 * time.Millisecond)
		must(conn.PgConn().CancelRequest(ctx))
	}()
	_, err := conn.Exec(ctx, "select pg_sleep(30)")
	fails("57014", err)
	check(2, count(conn, "true"), "after a cancel")

	ends := func(sql string) {
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		ended := connect(address)
		_, err := ended.Exec(short, sql)
		check(true, pgconn.Timeout(err), "a context's end")
		<-ended.PgConn().CleanupDone() // it has asked for a cancel, and closed the connection
	}
	ends("insert into go_t select 4 from pg_sleep(30)")
	check(2, count(conn, "true"), "after a context's end")
	must(conn.BeginFunc(ctx, func(tx pgx.Tx) error {
		exec(tx, "update go_t set b = 'mine' where a = 1")
		ends("update go_t set b = 'late' where a = 1") // while it waits for the row, or its turn
		return nil
	}))
	check(1, count(conn, "b = 'mine'"), "after one that has waited")
}

func listens(conn *pgx.Conn, address string) {
	other := connect(address)
	defer other.Close(ctx)
	exec(conn, "listen go_news")
	exec(other, "select pg_notify('go_news', $1)", "hello")
	heard, err := conn.WaitForNotification(ctx)
	must(err)
	check([]string{"go_news", "hello"}, []string{heard.Channel, heard.Payload}, "listen")
	exec(conn, "unlisten *")
}

func largeObjects(conn *pgx.Conn) {
	must(conn.BeginFunc(ctx, func(tx pgx.Tx) error {
		objects := tx.LargeObjects()
		number, err := objects.Create(ctx, 0)
		must(err)
		object, err := objects.Open(ctx, number, pgx.LargeObjectModeWrite|pgx.LargeObjectModeRead)
		must(err)
		_, err = object.Write([]byte("much"))
		must(err)
		_, err = object.Seek(0, io.SeekStart)
		must(err)
		back, err := io.ReadAll(object)
		must(err)
		check("much", string(back), "a large object")
		return objects.Unlink(ctx, number)
	}))
}

// More clients than Based has links, or turns.
func pool(address string) {
	config, err := pgxpool.ParseConfig(address)
	must(err)
	config.MaxConns = 6
	clients, err := pgxpool.ConnectConfig(ctx, config)
	must(err)
	defer clients.Close()
	exec(clients, "truncate go_t")
	var workers sync.WaitGroup
	for worker := 0; worker < 12; worker++ {
		workers.Add(1)
		go func(worker int) {
			defer workers.Done()
			for n := 0; n < 5; n++ {
				must(clients.BeginFunc(ctx, func(tx pgx.Tx) error {
					exec(tx, "insert into go_t values ($1, $2)", 100*worker+n, "pool")
					check(1, count(tx, fmt.Sprint("a = ", 100*worker+n)), "its own row")
					return nil
				}))
				exec(clients, "update go_t set b = $2 where a = $1", 100*worker+n, "done")
			}
		}(worker)
	}
	workers.Wait()
	check(60, count(clients, "b = 'done'"), "the pool's rows")
}

func main() {
	defer stop()
	for _, more := range []string{"", "&statement_cache_mode=describe", "simple"} {
		address := fmt.Sprintf("postgres://postgres@%s:%s/%s?sslmode=disable", os.Args[1], os.Args[2], os.Args[3])
		simple := more == "simple"
		if !simple {
			address += more
		}
		config, err := pgx.ParseConfig(address)
		must(err)
		config.PreferSimpleProtocol = simple
		conn, err := pgx.ConnectConfig(ctx, config)
		must(err)
		transactions(conn)
		batches(conn)
		copies(conn)
		inEachOthersWay(conn, address)
		cancels(conn, address)
		listens(conn, address)
		largeObjects(conn)
		if !simple { // it cannot write all of them into a text
			values(conn)
			pool(address)
		}
		must(conn.Close(ctx))
	}
	fmt.Println("ok")
}
