import static org.junit.jupiter.api.Assertions.assertEquals;

import java.sql.Connection;
import java.sql.SQLException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(Sandbox.class)
class AccountsTest {
    private Connection db;

    @BeforeEach void open() throws SQLException {
        db = Sandbox.connect();
        db.setAutoCommit(false);
    }

    @AfterEach void close() throws SQLException {
        db.close();
    }

    private void run(String... texts) throws SQLException {
        try (var statement = db.createStatement()) {
            for (String text : texts) statement.execute(text);
        }
        db.commit();
    }

    private String accounts() throws SQLException {
        try (var statement = db.createStatement(); var rows = statement.executeQuery(
                "select coalesce(string_agg(owner || ' ' || amount, ', ' order by owner), '') from accounts")) {
            rows.next();
            return rows.getString(1);
        }
    }

    @Test void anAccountIsOpened() throws SQLException {
        run("insert into accounts (owner, amount) values ('cem', 0)");
        assertEquals("ann 100, bob 20, cem 0", accounts());
    }

    @Test void moneyIsPaid() throws SQLException {
        run("update accounts set amount = amount - 30 where owner = 'ann'",
            "update accounts set amount = amount + 30 where owner = 'bob'");
        assertEquals("ann 70, bob 50", accounts());
    }

    @Test void allAccountsAreClosed() throws SQLException {
        run("delete from accounts");
        assertEquals("", accounts());
    }

    @Test void nothingOfTheOthersRemains() throws SQLException {
        assertEquals("ann 100, bob 20", accounts());
    }
}
