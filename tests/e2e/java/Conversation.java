// The JDBC driver's ordinary work, as one program: java Conversation URL. Prints "ok" at its end, and what was
// wrong otherwise. Run by tests/e2e/test_driver_java.py.

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.postgresql.PGConnection;

public final class Conversation {
  private static String url;

  private static void check(Object expected, Object found, String what) {
    if (!String.valueOf(expected).equals(String.valueOf(found))) {
      throw new AssertionError(what + ": " + found + " instead of " + expected);
    }
  }

  private static String one(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
      rows.next();
      return rows.getString(1);
    }
  }

  private static void preparedAgainAndAgain(Connection connection) throws SQLException {
    // Beyond prepareThreshold the driver names its statement, and asks for binary results.
    try (PreparedStatement statement = connection.prepareStatement("select ? + 1, ?::text, now()")) {
      for (int n = 0; n < 30; n++) {
        statement.setInt(1, n);
        statement.setString(2, "n" + n);
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          check(n + 1, rows.getInt(1), "prepared");
          check("n" + n, rows.getString(2), "prepared");
        }
      }
    }
  }

  private static void transactions(Connection connection) throws SQLException {
    connection.setAutoCommit(false);
    try (Statement statement = connection.createStatement()) {
      statement.execute("create table if not exists jdbc_t (a int primary key, b text)");
      statement.execute("delete from jdbc_t");
      statement.execute("insert into jdbc_t values (1, 'one')");
      Savepoint savepoint = connection.setSavepoint("s");
      try {
        statement.execute("insert into jdbc_t values (1, 'twice')");
        throw new AssertionError("a duplicate went in");
      } catch (SQLException error) {
        check("23505", error.getSQLState(), "duplicate");
      }
      connection.rollback(savepoint);
      connection.commit();
    }
    check("1", one(connection, "select count(*) from jdbc_t"), "committed");
    connection.rollback();
    connection.setAutoCommit(true);
  }

  private static void batchesAndFetchSize(Connection connection) throws SQLException {
    connection.setAutoCommit(false);
    try (PreparedStatement statement = connection.prepareStatement("insert into jdbc_t values (?, ?)")) {
      for (int n = 10; n < 510; n++) {
        statement.setInt(1, n);
        statement.setString(2, "row " + n);
        statement.addBatch();
      }
      check(500, statement.executeBatch().length, "batch");
    }
    int seen = 0;
    try (Statement statement = connection.createStatement()) {
      statement.setFetchSize(50);  // portals, suspended again and again
      try (ResultSet rows = statement.executeQuery("select a from jdbc_t order by a")) {
        while (rows.next()) seen++;
      }
    }
    check(501, seen, "fetch size");
    connection.commit();
    connection.setAutoCommit(true);
  }

  private static void isolationLevels(Connection connection) throws SQLException {
    for (int level : new int[] {Connection.TRANSACTION_SERIALIZABLE, Connection.TRANSACTION_REPEATABLE_READ,
                                Connection.TRANSACTION_READ_COMMITTED}) {
      connection.setTransactionIsolation(level);
      check(level, connection.getTransactionIsolation(), "isolation level");
      connection.setAutoCommit(false);
      one(connection, "select count(*) from jdbc_t");
      check(level, connection.getTransactionIsolation(), "isolation level in a transaction");
      connection.commit();
      connection.setAutoCommit(true);
    }
    connection.setReadOnly(true);
    connection.setAutoCommit(false);
    try (Statement statement = connection.createStatement()) {
      statement.execute("delete from jdbc_t");
      throw new AssertionError("a read-only transaction wrote");
    } catch (SQLException error) {
      check("25006", error.getSQLState(), "read only");
    }
    connection.rollback();
    connection.setAutoCommit(true);
    connection.setReadOnly(false);
  }

  private static void copies(Connection connection) throws Exception {
    var manager = connection.unwrap(PGConnection.class).getCopyAPI();
    check(2, manager.copyIn("copy jdbc_t from stdin", new StringReader("1001\tx\n1002\ty\n")), "copy in");
    StringWriter out = new StringWriter();
    manager.copyOut("copy (select * from jdbc_t where a > 1000 order by a) to stdout csv", out);
    check("1001,x\n1002,y\n", out.toString(), "copy out");
  }

  private static void cancels(Connection connection) throws Exception {
    try (Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(1);
      try {
        statement.execute("select pg_sleep(30)");
        throw new AssertionError("it was not cancelled");
      } catch (SQLException error) {
        check("57014", error.getSQLState(), "cancel");
      }
    }
    check("1", one(connection, "select 1"), "after a cancel");
  }

  private static void listens(Connection connection) throws SQLException {
    try (Connection other = DriverManager.getConnection(url);
         Statement statement = connection.createStatement(); Statement speaker = other.createStatement()) {
      statement.execute("listen jdbc_news");
      speaker.execute("notify jdbc_news, 'hello'");
      var heard = connection.unwrap(PGConnection.class).getNotifications(10000);
      check("hello", heard != null && heard.length == 1 ? heard[0].getParameter() : "nothing", "listen");
      statement.execute("unlisten *");
    }
  }

  private static void manyClients() throws Exception {
    AtomicReference<Throwable> failure = new AtomicReference<>();
    List<Thread> threads = new ArrayList<>();
    for (int client = 0; client < 6; client++) {
      final int number = client;
      Thread thread = new Thread(() -> {
        try (Connection connection = DriverManager.getConnection(url)) {
          for (int n = 0; n < 20; n++) {
            preparedAgainAndAgain(connection);
            one(connection, "select set_config('work_mem', '" + (number + 1) + "MB', true)");
          }
        } catch (Throwable error) {
          failure.set(error);
        }
      });
      threads.add(thread);
      thread.start();
    }
    for (Thread thread : threads) thread.join(60000);
    if (failure.get() != null) throw new Exception(failure.get());
  }

  public static void main(String[] arguments) throws Exception {
    url = arguments[0];
    try (Connection connection = DriverManager.getConnection(url)) {
      preparedAgainAndAgain(connection);
      transactions(connection);
      batchesAndFetchSize(connection);
      isolationLevels(connection);
      copies(connection);
      cancels(connection);
      listens(connection);
      try (ResultSet tables = connection.getMetaData().getTables(null, "public", "jdbc_t", null)) {
        check(true, tables.next(), "meta data");
      }
    }
    manyClients();
    System.out.println("ok");
  }
}
