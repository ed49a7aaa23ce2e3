#include "backends/sqlite/authorizer.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace based::sqlite {
namespace {

enum class PragmaUse : std::uint8_t {
  read,         // without a value only
  inspect,      // takes a value and changes nothing
  write,        // changes the database, transactionally
  maintain,     // changes the file, not its content
  transaction,  // a setting that ends with the transaction
  format,       // the file's format: only in a sandbox
};

struct PragmaRow {
  std::string_view name;
  PragmaUse use;
};

// Whatever is not here is refused. Sorted by use, then name.
constexpr std::array pragma_rows = {
    PragmaRow{"busy_timeout", PragmaUse::read},
    PragmaRow{"cache_size", PragmaUse::read},
    PragmaRow{"cache_spill", PragmaUse::read},
    PragmaRow{"cell_size_check", PragmaUse::read},
    PragmaRow{"checkpoint_fullfsync", PragmaUse::read},
    PragmaRow{"collation_list", PragmaUse::read},
    PragmaRow{"compile_options", PragmaUse::read},
    PragmaRow{"data_version", PragmaUse::read},
    PragmaRow{"database_list", PragmaUse::read},
    PragmaRow{"foreign_keys", PragmaUse::read},
    PragmaRow{"freelist_count", PragmaUse::read},
    PragmaRow{"fullfsync", PragmaUse::read},
    PragmaRow{"function_list", PragmaUse::read},
    PragmaRow{"locking_mode", PragmaUse::read},
    PragmaRow{"max_page_count", PragmaUse::read},
    PragmaRow{"mmap_size", PragmaUse::read},
    PragmaRow{"module_list", PragmaUse::read},
    PragmaRow{"page_count", PragmaUse::read},
    PragmaRow{"pragma_list", PragmaUse::read},
    PragmaRow{"query_only", PragmaUse::read},
    PragmaRow{"recursive_triggers", PragmaUse::read},
    PragmaRow{"reverse_unordered_selects", PragmaUse::read},
    PragmaRow{"schema_version", PragmaUse::read},
    PragmaRow{"synchronous", PragmaUse::read},
    PragmaRow{"temp_store", PragmaUse::read},
    PragmaRow{"threads", PragmaUse::read},
    PragmaRow{"trusted_schema", PragmaUse::read},
    PragmaRow{"wal_autocheckpoint", PragmaUse::read},
    PragmaRow{"foreign_key_check", PragmaUse::inspect},
    PragmaRow{"foreign_key_list", PragmaUse::inspect},
    PragmaRow{"index_info", PragmaUse::inspect},
    PragmaRow{"index_list", PragmaUse::inspect},
    PragmaRow{"index_xinfo", PragmaUse::inspect},
    PragmaRow{"integrity_check", PragmaUse::inspect},
    PragmaRow{"quick_check", PragmaUse::inspect},
    PragmaRow{"table_info", PragmaUse::inspect},
    PragmaRow{"table_list", PragmaUse::inspect},
    PragmaRow{"table_xinfo", PragmaUse::inspect},
    PragmaRow{"application_id", PragmaUse::write},
    PragmaRow{"user_version", PragmaUse::write},
    PragmaRow{"incremental_vacuum", PragmaUse::maintain},
    PragmaRow{"optimize", PragmaUse::maintain},
    PragmaRow{"wal_checkpoint", PragmaUse::maintain},
    PragmaRow{"defer_foreign_keys", PragmaUse::transaction},
    PragmaRow{"auto_vacuum", PragmaUse::format},
    PragmaRow{"encoding", PragmaUse::format},
    PragmaRow{"journal_mode", PragmaUse::format},
    PragmaRow{"journal_size_limit", PragmaUse::format},
    PragmaRow{"page_size", PragmaUse::format},
    PragmaRow{"secure_delete", PragmaUse::format},
};

// These act while they are compiled.
constexpr std::array<std::string_view, 4> hasty_pragmas = {"auto_vacuum", "defer_foreign_keys",
                                                           "encoding", "page_size"};

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

const PragmaRow* pragma_named(std::string_view name) {
  for (const auto& row : pragma_rows) {
    if (same_word(row.name, name)) return &row;
  }
  return nullptr;
}

std::string_view view(const char* text) { return text == nullptr ? std::string_view{} : text; }

constexpr std::string_view shared_handle =
    "all sessions of this database share one handle, which it would change for all of them";
constexpr std::string_view the_stack_does_it =
    "transaction control inside a unit's statements would end or split transactions that the "
    "session's stack keeps";

}  // namespace

void Authorizer::install(sqlite3* db) { sqlite3_set_authorizer(db, &Authorizer::callback, this); }

std::optional<Error> Authorizer::take_denial() {
  auto denial = std::move(denial_);
  denial_.reset();
  return denial;
}

int Authorizer::callback(void* self, int action, const char* a, const char* b, const char* database,
                         const char* trigger) {
  auto& authorizer = *static_cast<Authorizer*>(self);
  if (action == SQLITE_PRAGMA) {
    if (authorizer.author_ == Author::based) return SQLITE_OK;
    return authorizer.decide_pragma(view(a), b != nullptr, view(b));
  }
  return authorizer.decide(action, view(a), view(b), view(database), trigger != nullptr);
}

int Authorizer::decide(int action, std::string_view a, std::string_view b,
                       std::string_view database, bool in_trigger) {
  if (author_ == Author::based) return SQLITE_OK;
  const bool internal = author_ == Author::internal;
  switch (action) {
    case SQLITE_ATTACH:
      // VACUUM attaches a nameless temporary database; VACUUM INTO one that has a name.
      if (internal && a.empty()) return SQLITE_OK;
      return deny(internal ? "VACUUM INTO is not allowed" : "ATTACH is not allowed",
                  "a client may reach no file but the database's own");
    case SQLITE_DETACH:
      if (internal) return SQLITE_OK;
      return deny("DETACH is not allowed", std::string{shared_handle});
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
      if (internal) return SQLITE_OK;  // the full text search has a savepoint of its own
      return deny(
          (action == SQLITE_SAVEPOINT && a == "BEGIN" ? std::string{"SAVEPOINT"} : std::string{a}) +
              " is not allowed here",
          std::string{the_stack_does_it});
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
    case SQLITE_DROP_TEMP_INDEX:
    case SQLITE_DROP_TEMP_TABLE:
    case SQLITE_DROP_TEMP_TRIGGER:
    case SQLITE_DROP_TEMP_VIEW:
      return deny_temp(a);
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_VTABLE:
    case SQLITE_DROP_INDEX:
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_TRIGGER:
    case SQLITE_DROP_VIEW:
    case SQLITE_DROP_VTABLE:
      facts_.defines = true;
      // CREATE TABLE temp.t comes as an ordinary table of the database "temp".
      return same_word(database, "temp") ? deny_temp(a) : SQLITE_OK;
    case SQLITE_ALTER_TABLE:
      facts_.defines = true;
      return SQLITE_OK;
    case SQLITE_FUNCTION:
      if (same_word(b, "load_extension")) {
        return deny("load_extension() is not allowed", "it would load code into the daemon");
      }
      return SQLITE_OK;
    case SQLITE_INSERT:
      if (!in_trigger && !internal && !a.starts_with("sqlite_")) {
        facts_.inserts = true;
        facts_.insert_table = a;
        facts_.insert_database = database;
      }
      return SQLITE_OK;
    case SQLITE_UPDATE:
      if (!in_trigger && !internal && !a.starts_with("sqlite_")) facts_.updates = true;
      return SQLITE_OK;
    case SQLITE_DELETE:
      if (!in_trigger && !internal && !a.starts_with("sqlite_")) facts_.deletes = true;
      return SQLITE_OK;
    default:
      return SQLITE_OK;
  }
}

int Authorizer::decide_pragma(std::string_view name, bool with_value, std::string_view value) {
  facts_.is_pragma = true;
  const auto* row = pragma_named(name);
  const auto refused = [&] {
    std::string what = "PRAGMA " + std::string{name};
    if (with_value) what += " = " + std::string{value.substr(0, 64)};
    return deny(what + " is not allowed", std::string{shared_handle});
  };
  if (row == nullptr) return refused();
  if (author_ == Author::internal && row->use != PragmaUse::read &&
      row->use != PragmaUse::inspect && (with_value || row->use == PragmaUse::maintain)) {
    // A pragma as a table of a SELECT: it would write behind the back of a read-only session.
    return refused();
  }
  const bool acts =
      author_ == Author::client_asks && with_value &&
      std::ranges::any_of(hasty_pragmas, [row](auto hasty) { return hasty == row->name; });
  switch (row->use) {
    case PragmaUse::read:
      return with_value ? refused() : SQLITE_OK;
    case PragmaUse::inspect:
      return SQLITE_OK;
    case PragmaUse::write:
      facts_.writes_pragma |= with_value;
      return SQLITE_OK;
    case PragmaUse::maintain:
      facts_.writes_pragma = true;
      return SQLITE_OK;
    case PragmaUse::transaction:
      facts_.needs_transaction |= with_value;
      // It would act on whatever transaction there is, before it can be refused.
      return acts || (with_value && author_ == Author::client_out) ? SQLITE_IGNORE : SQLITE_OK;
    case PragmaUse::format:
      if (with_value && !sandboxed_) return refused();
      facts_.writes_pragma |= with_value;
      return acts ? SQLITE_IGNORE : SQLITE_OK;
  }
  return refused();
}

int Authorizer::deny_temp(std::string_view object) {
  return deny("TEMP objects are not allowed: \"" + std::string{object} + "\"",
              "all sessions of this database share one handle, and would share them");
}

int Authorizer::deny(std::string message, std::string reason) {
  denial_ = Error::make(sqlstate::insufficient_privilege, std::move(message))
                .with_detail(std::move(reason));
  denial_->native_code = SQLITE_AUTH;
  denial_->native_name = "SQLITE_AUTH";
  return SQLITE_DENY;
}

}  // namespace based::sqlite
