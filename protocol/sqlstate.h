// SQLSTATE codes: five characters of the SQL standard and of PostgreSQL's Appendix A.
//
// Every error that a client sees carries one, whichever backend or layer it came from.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <string_view>

namespace based {

class Sqlstate {
 public:
  constexpr Sqlstate() = default;
  // From a literal of exactly five characters.
  consteval Sqlstate(const char (&code)[6]) {
    for (std::size_t i = 0; i < 5; ++i) characters_[i] = code[i];
  }
  // From a peer: anything but five characters of [0-9A-Z] becomes XX000 (a server may send none).
  static Sqlstate from_peer(std::string_view code) noexcept;

  constexpr std::string_view text() const { return {characters_.data(), 5}; }
  constexpr std::string_view klass() const { return {characters_.data(), 2}; }
  friend constexpr bool operator==(const Sqlstate&, const Sqlstate&) = default;

 private:
  std::array<char, 5> characters_{'X', 'X', '0', '0', '0'};
};

// PostgreSQL's condition name ("unique_violation"), or "" for a code that Appendix A does not list.
std::string_view condition_name(Sqlstate code) noexcept;

namespace sqlstate {
// The codes that Based itself gives. What each means to a client: protocol/native/PROTOCOL.md.
inline constexpr Sqlstate protocol_violation{"08P01"};
inline constexpr Sqlstate no_such_session{"08003"};
inline constexpr Sqlstate connection_failure{"08006"};
inline constexpr Sqlstate cannot_connect{"08001"};
inline constexpr Sqlstate transaction_resolution_unknown{"08007"};
inline constexpr Sqlstate feature_not_supported{"0A000"};
inline constexpr Sqlstate cardinality_violation{"21000"};
inline constexpr Sqlstate numeric_value_out_of_range{"22003"};
inline constexpr Sqlstate character_not_in_repertoire{"22021"};
inline constexpr Sqlstate invalid_parameter_value{"22023"};
inline constexpr Sqlstate invalid_text_representation{"22P02"};
inline constexpr Sqlstate integrity_constraint_violation{"23000"};
inline constexpr Sqlstate not_null_violation{"23502"};
inline constexpr Sqlstate foreign_key_violation{"23503"};
inline constexpr Sqlstate unique_violation{"23505"};
inline constexpr Sqlstate check_violation{"23514"};
inline constexpr Sqlstate invalid_transaction_state{"25000"};
inline constexpr Sqlstate active_sql_transaction{"25001"};
inline constexpr Sqlstate read_only_sql_transaction{"25006"};
inline constexpr Sqlstate no_active_sql_transaction{"25P01"};
inline constexpr Sqlstate in_failed_sql_transaction{"25P02"};
inline constexpr Sqlstate idle_in_transaction_session_timeout{"25P03"};
// Ours (subclasses from I to Z are free): a chained request whose predecessor failed.
inline constexpr Sqlstate request_skipped{"25S01"};
inline constexpr Sqlstate invalid_sql_statement_name{"26000"};
inline constexpr Sqlstate invalid_transaction_initiation{"0B000"};
inline constexpr Sqlstate invalid_authorization{"28000"};
inline constexpr Sqlstate invalid_password{"28P01"};
inline constexpr Sqlstate invalid_transaction_termination{"2D000"};
inline constexpr Sqlstate invalid_savepoint{"3B001"};
inline constexpr Sqlstate invalid_catalog_name{"3D000"};
inline constexpr Sqlstate transaction_rollback{"40000"};
inline constexpr Sqlstate serialization_failure{"40001"};
inline constexpr Sqlstate deadlock_detected{"40P01"};
inline constexpr Sqlstate statement_completion_unknown{"40003"};
inline constexpr Sqlstate syntax_or_access_error{"42000"};
inline constexpr Sqlstate insufficient_privilege{"42501"};
inline constexpr Sqlstate syntax_error{"42601"};
inline constexpr Sqlstate undefined_column{"42703"};
inline constexpr Sqlstate datatype_mismatch{"42804"};
inline constexpr Sqlstate undefined_table{"42P01"};
inline constexpr Sqlstate undefined_parameter{"42P02"};
inline constexpr Sqlstate duplicate_table{"42P07"};
inline constexpr Sqlstate insufficient_resources{"53000"};
inline constexpr Sqlstate disk_full{"53100"};
inline constexpr Sqlstate out_of_memory{"53200"};
inline constexpr Sqlstate too_many_connections{"53300"};
inline constexpr Sqlstate configuration_limit_exceeded{"53400"};
inline constexpr Sqlstate program_limit_exceeded{"54000"};
inline constexpr Sqlstate object_not_in_prerequisite_state{"55000"};
inline constexpr Sqlstate object_in_use{"55006"};
inline constexpr Sqlstate lock_not_available{"55P03"};
inline constexpr Sqlstate query_canceled{"57014"};
inline constexpr Sqlstate admin_shutdown{"57P01"};
inline constexpr Sqlstate cannot_connect_now{"57P03"};
inline constexpr Sqlstate io_error{"58030"};
inline constexpr Sqlstate undefined_file{"58P01"};
inline constexpr Sqlstate raise_exception{"P0001"};
inline constexpr Sqlstate internal_error{"XX000"};
inline constexpr Sqlstate data_corrupted{"XX001"};
}  // namespace sqlstate

}  // namespace based
