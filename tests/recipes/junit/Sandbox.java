import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/** With @ExtendWith(Sandbox.class), each test begins with the fixtures alone. */
public class Sandbox implements BeforeAllCallback, BeforeEachCallback {
    public static Connection connect() throws SQLException {
        // Surefire's forkCount: -Dfork=${surefire.forkNumber}. '#' is %23 in a URL.
        String url = "jdbc:postgresql://127.0.0.1:" + System.getProperty("based.port", "6432")
            + "/app%23junit" + System.getProperty("fork", "1");
        return DriverManager.getConnection(url, "postgres", "");
    }

    @Override public void beforeAll(ExtensionContext context) throws SQLException {
        run("sandbox reset", "insert into accounts (owner, amount) values ('ann', 100), ('bob', 20)",
            "sandbox mark fixtures");
    }

    @Override public void beforeEach(ExtensionContext context) throws SQLException {
        run("sandbox reset to fixtures");
    }

    private static void run(String... texts) throws SQLException {
        try (var connection = connect(); var statement = connection.createStatement()) {
            for (String text : texts) statement.execute(text);
        }
    }
}
