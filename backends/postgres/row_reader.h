// RowReader: a server's RowDescription and DataRows as columns and value views. Pure.
//
// Results come as text. int2, int4, int8 and oid become int64; float8 becomes float64, exactly, and
// float4 the float64 nearest to its shortest text; bool and bytea are what they are; everything
// else stays text with its type named. Text of a server
// whose encoding is SQL_ASCII may be anything: what is not UTF-8 is given as bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/sink.h"
#include "protocol/postgres/backend.h"
#include "protocol/value.h"

namespace based::postgres {

class RowReader {
 public:
  // The name of a type that is not built in; "" where it is not known.
  using TypeNames = std::function<std::string_view(std::uint32_t oid)>;

  // false: not a RowDescription. The columns stay valid until the next call.
  bool describe(std::string_view body, const TypeNames& type_names);
  void describe_nothing();
  std::span<const Column> columns() const { return columns_; }
  bool has_columns() const { return described_; }
  // A type of the last description had no name.
  bool met_unknown_type() const { return met_unknown_type_; }

  // false: not a row of these columns. The values point into `body` and into the reader; they stay
  // valid until the next call.
  bool read(std::string_view body, bool check_utf8);
  std::span<const ValueView> row() const { return row_; }

 private:
  enum class Kind : std::uint8_t { text, boolean, integer, floating, bytes };
  static Kind kind_of(std::uint32_t type_oid);
  bool read_bytes(std::string_view text, ValueView& value);

  std::vector<Field> fields_;
  std::vector<Kind> kinds_;
  std::vector<Column> columns_;
  std::string texts_;  // names of columns and types
  std::vector<Cell> cells_;
  std::vector<ValueView> row_;
  std::string decoded_;  // bytea of the current row
  bool described_ = false;
  bool met_unknown_type_ = false;
};

}  // namespace based::postgres
