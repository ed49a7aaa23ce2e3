#include "backends/postgres/sandbox_sequences.h"

#include <utility>

namespace based::postgres {
namespace {

// Nothing here may wait for long: a session waits for it.
constexpr const char* settings =
    "PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true); "
    "PERFORM set_config('lock_timeout', '50ms', true); ";

constexpr const char* remembering =
    "DECLARE s record; v bigint; c boolean; found text[] := '{}'; BEGIN ";
constexpr const char* remembering_body =
    "FOR s IN SELECT seqrelid FROM pg_sequence q JOIN pg_class r ON r.oid = q.seqrelid "
    "WHERE r.relpersistence <> 't' AND has_sequence_privilege(q.seqrelid, 'SELECT') "
    "AND has_sequence_privilege(q.seqrelid, 'UPDATE') LIMIT ";
constexpr const char* remembering_each =
    " LOOP BEGIN c := true; v := pg_sequence_last_value(s.seqrelid); IF v IS NULL THEN "
    "EXECUTE format('SELECT last_value, is_called FROM %s', s.seqrelid::regclass) INTO v, c; "
    "END IF; found := found || format('%s:%s:%s', s.seqrelid, v, c); "
    "EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; "
    "PERFORM set_config('based.sequences', array_to_string(found, ' '), true); END ";

constexpr const char* restoring_variables =
    "DECLARE e text; p text[]; v bigint; c boolean; up boolean; o record; m bigint; "
    "done int := 0; kept int := 0; BEGIN ";
constexpr const char* others_write =
    "IF EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted "
    "AND l.pid <> pg_backend_pid() AND a.datname = current_database() "
    "AND a.backend_type IS DISTINCT FROM 'autovacuum worker') THEN "
    "PERFORM set_config('based.sequences', "
    "'sequences stay where they are: another transaction writes to the database', true); "
    "RETURN; END IF; ";
constexpr const char* restoring_each =
    " LOOP BEGIN p := string_to_array(e, ':'); "
    "EXECUTE format('SELECT last_value, is_called FROM %s', p[1]::oid::regclass) INTO v, c; "
    "CONTINUE WHEN v = p[2]::bigint AND c = p[3]::boolean; "
    "SELECT seqincrement > 0 INTO up FROM pg_sequence WHERE seqrelid = p[1]::oid; "
    "FOR o IN SELECT a.attrelid::regclass AS t, a.attname AS n FROM pg_depend d "
    "JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
    "WHERE d.classid = 'pg_class'::regclass AND d.objid = p[1]::oid "
    "AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND EXISTS "
    "(SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum "
    "AND i.indpred IS NULL) LOOP "
    "EXECUTE format('SELECT %s(%I) FROM %s', CASE WHEN up THEN 'max' ELSE 'min' END, o.n, o.t) "
    "INTO m; "
    "IF (m = p[2]::bigint AND NOT p[3]::boolean) OR (up AND m > p[2]::bigint) "
    "OR (NOT up AND m < p[2]::bigint) THEN kept := kept + 1; RAISE no_data_found; END IF; END "
    "LOOP; "
    "PERFORM setval(p[1]::oid::regclass, p[2]::bigint, p[3]::boolean); done := done + 1; "
    "EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; "
    "PERFORM set_config('based.sequences', format('sequences put back: %s; "
    "not, as their columns have greater values: %s', done, kept), true); END ";

std::vector<std::string> wrapped(std::string block, const char* word, SequencePlace place) {
  block = "DO $based$ " + std::move(block) + "$based$";
  std::string answer =
      "SELECT '" + std::string(word) + "', pg_catalog.current_setting('based.sequences')";
  if (place == SequencePlace::outside) {
    return {"BEGIN READ WRITE", std::move(block), std::move(answer), "ROLLBACK"};
  }
  return {"SAVEPOINT _based_sequences", std::move(block), std::move(answer),
          "ROLLBACK TO SAVEPOINT _based_sequences", "RELEASE SAVEPOINT _based_sequences"};
}

}  // namespace

std::vector<std::string> remember_sequences(SequencePlace place) {
  return wrapped(std::string(remembering) + settings + remembering_body +
                     std::to_string(sequences_max) + remembering_each,
                 "remembered", place);
}

std::vector<std::string> restore_sequences(std::string_view remembered, SequencePlace place) {
  // It came from the server, and becomes a literal.
  const bool sound = remembered.find_first_not_of("0123456789-:tf ") == remembered.npos;
  if (remembered.empty() || !sound) return {};
  return wrapped(std::string(restoring_variables) + settings + others_write +
                     "FOREACH e IN ARRAY string_to_array('" + std::string(remembered) + "', ' ')" +
                     restoring_each,
                 "restored", place);
}

}  // namespace based::postgres
