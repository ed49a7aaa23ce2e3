// DatabaseUrl: which database a URL means. Any thread, pure.
//
//   sqlite:///relative.db  sqlite:////absolute.db  sqlite::memory:
//   postgresql://... or postgres://... with everything that libpq accepts
//
// "+driver" after the scheme is accepted and ignored. A PostgreSQL URL is libpq's to understand;
// here only its database's name is looked for.
#pragma once

#include <string>
#include <string_view>

#include "config/settings.h"
#include "protocol/result.h"

namespace based {

struct DatabaseUrl {
  DatabaseKind kind = DatabaseKind::sqlite;
  std::string name;        // derived from the path; may not be one that check_database_name takes
  std::string path;        // sqlite: the file, percent escapes undone; empty: in memory
  std::string conninfo;    // postgresql: the URL as libpq takes it
  std::string shown;       // the URL with its passwords masked
  bool read_only = false;  // sqlite:///x.db?mode=ro
  bool has_user = false;   // the URL says who connects
  bool has_password = false;  // the URL says that one's password
};

// 22023 with the reason and the forms, never with a password.
Result<DatabaseUrl> parse_database_url(std::string_view url);

// The PostgreSQL URL with one more option: ...?key=value, escaped.
std::string with_option(const std::string& url, std::string_view key, std::string_view value);

// 1 to 63 letters, digits, '_', '-' or '.', beginning with a letter, a digit or '_': 63 is what a
// PostgreSQL client can name, and '#' and '/' are kept free. 22023 with the reason otherwise.
Result<void> check_database_name(std::string_view name);

}  // namespace based
