<?php
// The ordinary work of PHP's PDO, as one program: php conversation.php HOST PORT DATABASE. Prints "ok" at its end, and what was wrong
// otherwise. Run by tests/e2e/test_driver_php.py.
declare(strict_types=1);

[, $host, $port, $database] = $argv;
$dsn = "pgsql:host=$host;port=$port;dbname=$database;connect_timeout=20";

function connect(array $options = []): PDO
{
    global $dsn;
    return new PDO($dsn, 'postgres', '', $options + [PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_NUM]);
}

function check(mixed $expected, mixed $found, string $what): void
{
    if ($expected !== $found) {
        throw new Exception("$what: " . json_encode($found) . ' instead of ' . json_encode($expected));
    }
}

function fails(string $sqlstate, callable $work): void
{
    try {
        $work();
    } catch (PDOException $error) {
        check($sqlstate, $error->getCode(), $error->getMessage());
        check($sqlstate, $error->errorInfo[0], 'errorInfo');
        return;
    }
    throw new Exception("no $sqlstate");
}

function one(PDO $db, string $sql): mixed
{
    return $db->query($sql)->fetchColumn();
}

function transactions(PDO $db): void
{
    $db->exec('create table if not exists php_t (a int primary key, b text not null, c bytea)');
    $db->exec('truncate php_t');
    $db->beginTransaction();
    $insert = $db->prepare('insert into php_t values (?, ?)');
    $insert->execute([1, 'gone']);
    check(true, $db->inTransaction(), 'inTransaction');
    $db->rollBack();
    check(false, $db->inTransaction(), 'inTransaction');
    $db->beginTransaction();
    $insert->execute([1, 'one']);
    $db->exec('savepoint s');
    fails('23505', fn () => $insert->execute([1, 'twice']));
    fails('25P02', fn () => $db->query('select 1'));
    $db->exec('rollback to s');
    fails('23502', fn () => $insert->execute([2, null]));
    $db->exec('rollback to s; release s');
    $db->commit();
    fails('23505', fn () => $insert->execute([1, 'twice']));
    fails('42601', fn () => $db->query('selec'));
    $db->beginTransaction();
    fails('22012', fn () => $db->query('select 1/0'));
    $db->rollBack();
    check([[1, 'one', null]], $db->query('select * from php_t')->fetchAll(), 'committed');
}

// Which the driver prepares with the first execution, and deallocates when the variable is gone.
function prepared(PDO $db): void
{
    for ($n = 0; $n < 30; $n++) {
        $sum = $db->prepare('select :a::int + ' . $n % 5 . ', :b::text, :c::bool');
        $sum->bindValue('a', $n, PDO::PARAM_INT);
        $sum->bindValue('b', "it's $n");
        $sum->bindValue('c', $n % 2 === 1, PDO::PARAM_BOOL);
        for ($again = 0; $again < 2; $again++) {
            $sum->execute();
            check([$n + $n % 5, "it's $n", $n % 2 === 1], $sum->fetch(), 'prepared');
        }
    }
    $bytes = random_bytes(1000);
    $insert = $db->prepare('insert into php_t values (2, ?, ?) returning a');
    $insert->bindValue(1, 'bytes');
    $insert->bindValue(2, $bytes, PDO::PARAM_LOB);
    $insert->execute();
    check([[2]], $insert->fetchAll(), 'returning');
    check($bytes, stream_get_contents(one($db, 'select c from php_t where a = 2')), 'bytea');
    check(1, $db->exec('delete from php_t where a = 2'), 'rows');
}

// One thread with two connections, each in the other's way: a statement may be gone at any moment.
function inEachOthersWay(PDO $db): void
{
    $other = connect();
    $kept = $db->prepare('select count(*) from php_t');
    $kept->execute();
    $gone = $other->prepare('select 1');
    $gone->execute();
    $db->beginTransaction();
    $db->exec("insert into php_t values (3, 'three')");
    $gone = null;
    $db->commit();
    $other->beginTransaction();
    check(2, one($other, 'select count(*) from php_t'), 'what the other has committed');
    $kept = null;
    $other->exec('delete from php_t where a = 3');
    $other->commit();
    check(1, one($db, 'select count(*) from php_t'), 'what the other has committed');
}

function copies(PDO $db): void
{
    check(true, $db->pgsqlCopyFromArray('php_t', ["101\tx\t\\N", "102\ty\t\\N"]), 'copy in');
    check(["101\tx\n", "102\ty\n"], $db->pgsqlCopyToArray('(select a, b from php_t where a > 100 order by a)'), 'copy out');
    fails('23505', fn () => $db->pgsqlCopyFromArray('php_t', ["101\tx\t\\N"]));
    fails('22P02', fn () => $db->pgsqlCopyFromArray('php_t', ["not a number\tx\t\\N"]));
    check(2, $db->exec('delete from php_t where a > 100'), 'rows');
}

function listens(PDO $db): void
{
    $other = connect();
    $db->exec('listen php_news');
    $other->exec("notify php_news, 'hello'");
    $heard = $db->pgsqlGetNotify(PDO::FETCH_ASSOC, 10000);
    check(['php_news', 'hello'], [$heard['message'] ?? null, $heard['payload'] ?? null], 'listen');
    $db->exec('unlisten *');
}

function settings(): void
{
    $clients = array_map(fn () => connect(), range(0, 5));
    foreach ($clients as $number => $client) {
        $client->exec("set work_mem = '" . ($number + 1) . "MB'");
    }
    for ($n = 0; $n < 5; $n++) {
        foreach ($clients as $number => $client) {
            check($number + 1 . 'MB', one($client, 'show work_mem'), 'its own setting');
        }
    }
    $clients[0]->exec("set statement_timeout = '100ms'");
    fails('57014', fn () => $clients[0]->query('select pg_sleep(30)'));
    check(1, one($clients[0], 'select 1'), 'after a timeout');
}

function cursorsAndSequences(PDO $db): void
{
    $scrolled = $db->prepare('select n from generate_series(1, 100) n', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
    $scrolled->execute();
    check([100], $scrolled->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST), 'a cursor that scrolls');
    check([99], $scrolled->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_PRIOR), 'a cursor that scrolls');
    $scrolled = null;
    $db->exec('drop table if exists php_s; create table php_s (id serial primary key, a int)');
    $db->beginTransaction();
    $db->exec('insert into php_s (a) values (7)');
    check(['1', '1'], [$db->lastInsertId(), $db->lastInsertId('php_s_id_seq')], 'lastInsertId');
    $db->commit();
}

function largeObjects(PDO $db): void
{
    $db->beginTransaction();
    $number = $db->pgsqlLOBCreate();
    $stream = $db->pgsqlLOBOpen($number, 'w');
    fwrite($stream, 'much');
    fclose($stream);
    $db->commit();
    $db->beginTransaction();
    check('much', stream_get_contents($db->pgsqlLOBOpen($number, 'r')), 'a large object');
    check(true, $db->pgsqlLOBUnlink($number), 'unlink');
    $db->commit();
}

function persistent(): void
{
    $first = connect([PDO::ATTR_PERSISTENT => true]);
    $first->exec("set work_mem = '11MB'");
    $first->beginTransaction();
    $first->exec("insert into php_t values (4, 'left behind')");
    $first = null;  // with its transaction open: PDO rolls it back
    $again = connect([PDO::ATTR_PERSISTENT => true]);
    check(false, $again->inTransaction(), 'a persistent connection\'s transaction');
    check(0, one($again, 'select count(*) from php_t where a = 4'), 'what was left behind');
    check('11MB', one($again, 'show work_mem'), 'the same connection');
}

foreach ([[], [PDO::ATTR_EMULATE_PREPARES => true], [PDO::PGSQL_ATTR_DISABLE_PREPARES => true]] as $options) {
    $db = connect($options);
    transactions($db);
    prepared($db);
    inEachOthersWay($db);
    copies($db);
    listens($db);
    cursorsAndSequences($db);
    largeObjects($db);
    $db = null;
}
settings();
persistent();
echo "ok\n";
