// The pass over a text's tokens behind translate_to_sqlite() (sqlite_text.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/postgres/sqlite_text.h"
#include "daemon/postgres/sqlite_tokens.h"

namespace based {

class SqliteTranslator {
 public:
  SqliteTranslator(std::string_view text, const SessionFacts& facts)
      : text_(text), facts_(facts), tokens_(tokens_of(text)) {}

  Result<TranslatedText> run();

 private:
  // One operand that is complete: where it stands in the output, and what is known of its type.
  struct Primary {
    bool there = false;
    std::size_t begin = 0;
    std::uint32_t oid = 0;
    std::string column;  // it is a column's name
    std::uint32_t parameter = 0;
    std::optional<std::string> literal;  // it is a string
  };
  struct Paren {
    std::size_t begin = 0;  // of the operand that it ends
    std::string function;
    std::string column;  // IN's left side
    bool values = false;
    std::uint32_t position = 0;  // VALUES: of the value, from 0
    std::string cast;            // CAST: the words behind AS
    bool in_cast = false;
  };

  const ClientToken& at(std::size_t ahead = 0) const;
  const ClientToken& before(std::size_t back = 1) const;
  void copy();
  void begin_statement();
  void end_statement();
  void take_token();
  void take_word();
  bool take_function(const std::string& word);
  bool take_setting_function(const std::string& word, std::size_t begin);
  // Instead of the tokens from next_ to `end`.
  void put_literal(std::size_t end, std::string_view name, const std::string& literal,
                   std::uint32_t oid);
  void take_as();
  void take_insert_columns();
  void take_table();
  void open_paren();
  void close_paren();
  void take_operand(std::uint32_t oid);
  void take_parameter();
  void take_cast();
  std::optional<std::string> cast(const std::string& operand, std::uint32_t oid);
  void note_parameter(std::uint32_t number);
  void hint(ParameterHint hint);
  void take_comma();
  void end_item();
  void set_primary(Primary primary);
  bool at_item_level() const { return items_open_ && parens_.empty(); }

  std::string_view text_;
  const SessionFacts& facts_;
  std::vector<ClientToken> tokens_;
  ClientToken none_;
  std::size_t next_ = 0;
  std::size_t copied_ = 0;  // of text_
  TranslatedText result_;
  std::optional<Error> error_;

  StatementNotes notes_;
  bool begun_ = false;
  bool raw_ = false;  // a command that is answered here: not looked at
  std::vector<Paren> parens_;
  Primary primary_;
  Primary left_;         // of the operator just seen
  std::string between_;  // the column left of BETWEEN
  bool items_open_ = false;
  bool items_known_ = true;
  bool item_complex_ = false;
  Primary item_;
  bool values_ = false;
  std::vector<std::string> insert_columns_;
};

}  // namespace based
