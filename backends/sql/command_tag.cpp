#include "backends/sql/command_tag.h"

#include <array>
#include <cstdint>
#include <span>

#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"

namespace based::sql {
namespace {

struct Renamed {
  std::string_view word;
  std::string_view tag;
};

// Where the tag is not the first word.
constexpr std::array commands{
    Renamed{"VALUES", "SELECT"},           Renamed{"TABLE", "SELECT"},
    Renamed{"ANALYSE", "ANALYZE"},         Renamed{"TRUNCATE", "TRUNCATE TABLE"},
    Renamed{"LOCK", "LOCK TABLE"},         Renamed{"REFRESH", "REFRESH MATERIALIZED VIEW"},
    Renamed{"DECLARE", "DECLARE CURSOR"},  Renamed{"CLOSE", "CLOSE CURSOR"},
    Renamed{"SECURITY", "SECURITY LABEL"}, Renamed{"IMPORT", "IMPORT FOREIGN SCHEMA"},
    Renamed{"REASSIGN", "REASSIGN OWNED"},
};
// What CREATE, ALTER and DROP name otherwise than by one word, the longer beginnings first.
constexpr std::array objects{
    Renamed{"USER MAPPING", "USER MAPPING"},
    Renamed{"USER", "ROLE"},
    Renamed{"GROUP", "ROLE"},
    Renamed{"FOREIGN TABLE", "FOREIGN TABLE"},
    Renamed{"FOREIGN DATA", "FOREIGN DATA WRAPPER"},
    Renamed{"EVENT TRIGGER", "EVENT TRIGGER"},
    Renamed{"ACCESS METHOD", "ACCESS METHOD"},
    Renamed{"LARGE OBJECT", "LARGE OBJECT"},
    Renamed{"MATERIALIZED VIEW", "MATERIALIZED VIEW"},
    Renamed{"DEFAULT PRIVILEGES", "DEFAULT PRIVILEGES"},
    Renamed{"OPERATOR CLASS", "OPERATOR CLASS"},
    Renamed{"OPERATOR FAMILY", "OPERATOR FAMILY"},
    Renamed{"TEXT SEARCH CONFIGURATION", "TEXT SEARCH CONFIGURATION"},
    Renamed{"TEXT SEARCH DICTIONARY", "TEXT SEARCH DICTIONARY"},
    Renamed{"TEXT SEARCH PARSER", "TEXT SEARCH PARSER"},
    Renamed{"TEXT SEARCH TEMPLATE", "TEXT SEARCH TEMPLATE"},
};
// Between CREATE and the object.
constexpr std::array<std::string_view, 11> fillers{"OR",      "REPLACE",    "GLOBAL",   "LOCAL",
                                                   "TEMP",    "TEMPORARY",  "UNLOGGED", "UNIQUE",
                                                   "TRUSTED", "PROCEDURAL", "RECURSIVE"};

class TagReader {
 public:
  explicit TagReader(std::string_view text) : text_(text), tokens_(text, Dialect::postgres) {}

  std::string read() {
    do {
      next();
    } while (token_.kind == TokenKind::open_paren || token_.kind == TokenKind::semicolon);
    if (token_.kind != TokenKind::word) return {};
    if (sees("WITH")) return of_with();
    const std::string word = upper();
    if (word == "CREATE" || word == "ALTER" || word == "DROP") return word + of_object();
    if (word == "DISCARD") return next(), word + " " + upper();
    if (word == "SET") return next(), sees("CONSTRAINTS") ? "SET CONSTRAINTS" : word;
    for (const Renamed& command : commands) {
      if (word == command.word) return std::string(command.tag);
    }
    return word;
  }

 private:
  void next() { token_ = tokens_.next(); }
  std::string_view source() const { return token_.of(text_); }
  bool sees(std::string_view word) const {
    return token_.kind == TokenKind::word && is_word(source(), word);
  }
  std::string upper() const {
    std::string word(source());
    for (char& c : word) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return word;
  }

  // WITH name AS (...), name AS (...) verb: the verb is behind the last of them. A name may be
  // spelled like a verb; it stands behind WITH, RECURSIVE or a comma.
  std::string of_with() {
    static constexpr std::array<std::string_view, 7> verbs{"SELECT", "INSERT", "UPDATE", "DELETE",
                                                           "MERGE",  "VALUES", "TABLE"};
    std::uint32_t depth = 0;
    bool names = true;  // what comes next is a name
    for (next(); token_.kind != TokenKind::end; next()) {
      if (token_.kind == TokenKind::open_paren) ++depth;
      if (token_.kind == TokenKind::close_paren && depth > 0) --depth;
      if (depth > 0) continue;
      if (!names && token_.kind == TokenKind::word && is_one_of(source(), verbs)) {
        const std::string verb = upper();
        return verb == "VALUES" || verb == "TABLE" ? "SELECT" : verb;
      }
      names = token_.kind == TokenKind::comma || (names && sees("RECURSIVE"));
    }
    return "SELECT";
  }

  std::string of_object() {
    next();
    while (token_.kind == TokenKind::word && is_one_of(source(), fillers)) next();
    if (token_.kind != TokenKind::word) return {};
    const std::string first = upper();
    std::string three = first;
    for (int i = 0; i < 2; ++i) {
      next();
      if (token_.kind != TokenKind::word) break;
      three += ' ' + upper();
    }
    three += ' ';
    for (const Renamed& object : objects) {
      if (three.starts_with(std::string(object.word) + ' ')) return ' ' + std::string(object.tag);
    }
    return ' ' + first;
  }

  std::string_view text_;
  Tokenizer tokens_;
  Token token_;
};

}  // namespace

std::string command_tag(std::string_view text) { return TagReader(text).read(); }

}  // namespace based::sql
