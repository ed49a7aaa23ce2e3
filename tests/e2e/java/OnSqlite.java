// The JDBC driver's ordinary work on a SQLite file: java OnSqlite.java URL. Prints "ok" at its end, and what was wrong
// otherwise. Run by tests/e2e/test_sqlite_programs.py.

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.sql.Types;

public final class OnSqlite {
  private static void check(Object expected, Object found, String what) {
    if (!String.valueOf(expected).equals(String.valueOf(found))) {
      throw new AssertionError(what + ": " + found + " instead of " + expected);
    }
  }

  private static void run(Connection connection, String... texts) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      for (String text : texts) statement.execute(text);
    }
  }

  private static String one(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
      rows.next();
      return rows.getString(1);
    }
  }

  private static void preparedAgainAndAgain(Connection connection) throws SQLException {
    run(connection, "drop table if exists jdbc_t",
        "create table jdbc_t (a integer primary key, s text, f double, ok boolean, n numeric, at timestamp, b blob)");
    Timestamp at = Timestamp.valueOf("2024-05-06 07:08:09.123456");
    // Beyond prepareThreshold the driver names its statements, and asks for binary results.
    try (PreparedStatement insert = connection.prepareStatement("insert into jdbc_t values (?, ?, ?, ?, ?, ?, ?)");
         PreparedStatement select = connection.prepareStatement("select s, f, ok, n, at, b, count(*) from jdbc_t where a = ?")) {
      for (int n = 0; n < 12; n++) {
        insert.setLong(1, n);
        insert.setString(2, "n" + n);
        insert.setDouble(3, n + 0.5);
        insert.setBoolean(4, n % 2 == 0);
        insert.setBigDecimal(5, new BigDecimal("12.25"));
        insert.setTimestamp(6, at);
        if (n == 3) insert.setNull(7, Types.BINARY); else insert.setBytes(7, new byte[] {0, -1});
        check(1, insert.executeUpdate(), "inserted");
        select.setInt(1, n);
        try (ResultSet rows = select.executeQuery()) {
          rows.next();
          check("n" + n, rows.getString(1), "text");
          check(n + 0.5, rows.getDouble(2), "double");
          check(n % 2 == 0, rows.getBoolean(3), "boolean");
          check(new BigDecimal("12.25"), rows.getBigDecimal(4), "numeric");
          check(at, rows.getTimestamp(5), "timestamp");
          check(n == 3 ? null : 2, n == 3 ? rows.getBytes(6) : rows.getBytes(6).length, "bytes");
          check(1, rows.getLong(7), "count");
        }
      }
    }
  }

  // The driver sends the zone of its program along.
  private static void momentsInAnyZone(Connection connection) throws SQLException {
    run(connection, "drop table if exists jdbc_m", "create table jdbc_m (d date, t time, at timestamp, z timestamptz)");
    Timestamp at = Timestamp.valueOf("2024-07-06 07:08:09.5");
    try (PreparedStatement insert = connection.prepareStatement("insert into jdbc_m values (?, ?, ?, ?)")) {
      insert.setDate(1, Date.valueOf("2024-07-06"));
      insert.setTime(2, Time.valueOf("07:08:09"));
      insert.setTimestamp(3, at);
      insert.setTimestamp(4, at);
      insert.executeUpdate();
    }
    try (PreparedStatement select = connection.prepareStatement("select * from jdbc_m where d = ? and at = ?")) {
      select.setDate(1, Date.valueOf("2024-07-06"));
      select.setTimestamp(2, at);
      try (ResultSet rows = select.executeQuery()) {
        check(true, rows.next(), "found again");
        check(Date.valueOf("2024-07-06"), rows.getDate(1), "date");
        check(Time.valueOf("07:08:09"), rows.getTime(2), "time");
        check(at, rows.getTimestamp(3), "timestamp");
        check(at, rows.getTimestamp(4), "timestamp with time zone");
      }
    }
  }

  private static void transactionsAndBatches(Connection connection) throws SQLException {
    connection.setAutoCommit(false);
    run(connection, "delete from jdbc_t", "insert into jdbc_t (a) values (1)");
    Savepoint savepoint = connection.setSavepoint("s");
    try {
      run(connection, "insert into jdbc_t (a) values (1)");
      throw new AssertionError("a duplicate went in");
    } catch (SQLException error) {
      check("23505", error.getSQLState(), "duplicate");
    }
    connection.rollback(savepoint);
    connection.commit();
    try (PreparedStatement insert = connection.prepareStatement("insert into jdbc_t (a) values (?)")) {
      for (int n = 100; n < 1100; n++) {
        insert.setInt(1, n);
        insert.addBatch();
      }
      check(1000, insert.executeBatch().length, "batch");
    }
    connection.rollback();
    check("1", one(connection, "select count(*) from jdbc_t"), "after the rollback");
    run(connection, "with recursive r(i) as (select 1 union all select i + 1 from r where i < 500) "
        + "insert into jdbc_t (a) select i + 1000 from r");
    connection.commit();
    try (Statement statement = connection.createStatement()) {
      statement.setFetchSize(50);
      int count = 0;
      try (ResultSet rows = statement.executeQuery("select a from jdbc_t")) {
        while (rows.next()) ++count;
      }
      check(501, count, "in parts");
    }
    connection.commit();
    connection.setAutoCommit(true);
  }

  private static void readOnlyAndTimeouts(Connection connection) throws SQLException {
    connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    connection.setReadOnly(true);
    try {
      connection.setAutoCommit(false);
      run(connection, "delete from jdbc_t");
      throw new AssertionError("a read-only connection wrote");
    } catch (SQLException error) {
      check("25006", error.getSQLState(), "read only");
    }
    connection.rollback();
    connection.setAutoCommit(true);
    connection.setReadOnly(false);
    try (Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(1);
      statement.executeQuery("with recursive r(i) as (select 1 union all select i + 1 from r) select count(*) from r");
      throw new AssertionError("an endless query ended");
    } catch (SQLException error) {
      check("57014", error.getSQLState(), "timeout");
    }
    check("1", one(connection, "select 1"), "after a cancel");
  }

  public static void main(String[] arguments) throws SQLException {
    try (Connection connection = DriverManager.getConnection(arguments[0])) {
      preparedAgainAndAgain(connection);
      momentsInAnyZone(connection);
      transactionsAndBatches(connection);
      readOnlyAndTimeouts(connection);
    }
    System.out.println("ok");
  }
}
