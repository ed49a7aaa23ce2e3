// DefinitionWatch: may what one link has prepared still mean what its texts mean now? Pure.
//
// The server fixes the types of a statement's parameters and columns when it parses it. Behind a
// DROP or ALTER, and behind a rollback of what has made something, the same text may mean others,
// or types that are gone: what was prepared before is outdated, so that who prepares the text again
// gets what the server would make of it now. Other links of the database hear of it
// when it is committed. The tags of the statements tell; a text is read only for what they do not:
// that it comes in a batch, before its tag, and that a DROP TABLE is of temporary tables that the
// link has seen made, on which nothing older and no other link depends.
//
// What is made may stand in front of another of its name in the search_path, and the server does
// not look there again for what is prepared. So the texts that have its name in them are outdated.
//
// Not seen is what a function or another program has made or dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/statement_cache.h"

namespace based::postgres {

// Of a database: what its links have committed. Each compares the count with what it has heard.
struct DefinitionNews {
  static constexpr std::size_t names_max = 64;
  struct Named {
    std::uint64_t number = 0;  // the count with it
    std::string name;
  };
  std::uint64_t count = 0;
  std::uint64_t of_all = 0;  // the newest that may be of any text
  std::deque<Named> names;   // what was made, newest last

  void add() { of_all = ++count; }
  void add(std::string name);
};

class DefinitionWatch {
 public:
  // So many changes were seen, and so many statements prepared.
  struct Point {
    std::uint64_t changes = 0;
    std::uint64_t prepared = 0;
  };

  // `news` are shared by the links of a database. Null: there are no others. Both outlive the
  // watch.
  DefinitionWatch(StatementCache& statements, DefinitionNews* news);
  DefinitionWatch(const DefinitionWatch&) = delete;
  DefinitionWatch& operator=(const DefinitionWatch&) = delete;

  // Another session has the link.
  void begin_lease() { temporary_.clear(); }
  // A new group is being written.
  void begin_group() {
    if (heard_ != news_->count) hear();
  }
  // It has this text in it, of one statement or several.
  void note_sent(std::string_view text) {
    if (may_define(text)) read(text);
    if (text.find(';') < text.size()) read_behind(text);
  }
  // The same of one that was prepared before, perhaps more than once.
  void note_executed(std::string_view text) {
    if (!text.empty() && (text.front() | 0x20) == 'c') read(text);
  }
  // A SELECT INTO is sent; its tag will not tell of the table.
  void note_selected_into(std::string_view table, bool temporary);
  void note_tag(std::string_view tag);
  void note_error() { failed_ = true; }
  void note_ready(char status);
  // The link is lost, perhaps behind a commit.
  void note_lost();

  Point here() const { return {changes_, statements_.prepared()}; }
  // A reset to there: what was prepared since is nobody's. It is as if it was here.
  void go_back(Point& point);
  // No rollback whose tag comes will undo what was done so far, or it is `undone` already.
  void settle(bool undone = false) {
    if (undone && changes_ != begun_.changes) statements_.outdate_since(begun_.prepared);
    begun_ = here();
  }

 private:
  static constexpr std::size_t temporary_max = 64;
  static constexpr std::size_t creations_read_max = 32;  // of one text: each looks at all texts
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

  // By its first letter: CREATE, ALTER, DROP, DO, a comment, and few others.
  static bool may_define(std::string_view text) {
    const char first = text.empty() ? '\0' : static_cast<char>(text.front() | 0x20);
    return first < 'b' || first == 'c' || first == 'd';
  }
  void read(std::string_view text);
  void read_behind(std::string_view text);
  void read_creation(std::string_view definition);
  void note_made(std::string_view name, bool temporary);
  void read_block(std::string_view block);
  void read_temporary(std::string_view definition);
  bool drops_temporary(std::string_view names);
  void change(bool temporary_only);
  void hear();
  void tell();

  StatementCache& statements_;
  DefinitionNews alone_;
  DefinitionNews* news_;
  std::uint64_t heard_;  // of their count
  std::uint64_t changes_ = 0;
  Point begun_;                    // the transaction, or a sandbox's turn
  bool failed_ = false;            // the request that is being answered
  bool to_tell_ = false;           // the others, when it is committed
  std::vector<std::string> made_;  // the same, of these names
  // Temporary tables that the session has made, with how many statements were prepared then.
  std::map<std::string, std::uint64_t, std::less<>> temporary_;
  unsigned temporary_drops_ = 0;  // their tags are to come in this request
  std::uint64_t dropped_since_ = 0;
  std::uint64_t passing_since_ = never;  // one that ends with its transaction
};

}  // namespace based::postgres
