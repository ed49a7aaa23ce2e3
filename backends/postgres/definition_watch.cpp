#include "backends/postgres/definition_watch.h"

#include <algorithm>
#include <array>
#include <utility>

#include "backends/sql/words.h"

namespace based::postgres {
namespace {

// What follows DROP or ALTER where no statement's types depend on it.
constexpr std::array<std::string_view, 18> harmless{
    "DATABASE",   "DEFAULT",      "EVENT",  "GROUP",      "INDEX",    "LARGE",
    "POLICY",     "PUBLICATION",  "ROLE",   "RULE",       "SEQUENCE", "SERVER",
    "STATISTICS", "SUBSCRIPTION", "SYSTEM", "TABLESPACE", "TRIGGER",  "USER",
};

// What CREATE makes that a statement may have the name of; and what may stand in front of that.
constexpr std::array<std::string_view, 8> named_in_texts{
    "TABLE", "VIEW", "SEQUENCE", "FUNCTION", "PROCEDURE", "AGGREGATE", "TYPE", "DOMAIN",
};
constexpr std::array<std::string_view, 4> before_kind{"UNLOGGED", "RECURSIVE", "MATERIALIZED",
                                                      "FOREIGN"};

bool is_harmless(std::string_view tag) {
  const std::string_view object = tag.substr(std::min(tag.find(' ') + 1, tag.size()));
  return sql::is_one_of(object.substr(0, object.find(' ')), harmless);
}

// Words and names without quotes, one after another; a mark of one character stands for itself.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::string_view next() {
    skip_gaps();
    std::size_t size = 0;
    while (size < text_.size() && is_in_name(text_[size])) ++size;
    if (size == 0 && !text_.empty()) size = 1;
    const std::string_view word = text_.substr(0, size);
    text_.remove_prefix(size);
    return word;
  }
  bool accept(std::string_view upper) {
    const std::string_view before = text_;
    if (sql::is_word(next(), upper)) return true;
    text_ = before;
    return false;
  }
  std::string_view rest() const { return text_; }
  // What a name with or without its schema's names, as it is written. Empty: what is no name.
  std::string_view name() {
    std::string_view last;
    do {
      skip_gaps();
      const bool quoted = text_.starts_with('"');
      if (quoted) text_.remove_prefix(1);
      last = quoted ? text_.substr(0, text_.find('"')) : next();
      if (quoted) text_.remove_prefix(std::min(last.size() + 1, text_.size()));
      if (!quoted && !last.empty() && !is_in_name(last.front())) return {};
    } while (accept("."));
    return last;
  }

  static bool is_in_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }

 private:
  void skip_gaps() {
    for (;;) {
      while (!text_.empty() && is_gap(text_.front())) text_.remove_prefix(1);
      const bool line = text_.starts_with("--");
      if (!line && !text_.starts_with("/*")) return;
      const std::size_t end = text_.find(line ? "\n" : "*/");
      text_.remove_prefix(std::min(end == std::string_view::npos ? end : end + 1, text_.size()));
      if (!line && !text_.empty()) text_.remove_prefix(1);
    }
  }
  static bool is_gap(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

  std::string_view text_;
};

bool is_name(std::string_view word) { return !word.empty() && Reader::is_in_name(word.front()); }

}  // namespace

void DefinitionNews::add(std::string name) {
  names.push_back({.number = ++count, .name = std::move(name)});
  if (names.size() <= names_max) return;
  of_all = std::max(of_all, names.front().number);
  names.pop_front();
}

DefinitionWatch::DefinitionWatch(StatementCache& statements, DefinitionNews* news)
    : statements_(statements), news_(news != nullptr ? news : &alone_), heard_(news_->count) {}

void DefinitionWatch::hear() {
  if (news_->of_all > heard_) statements_.outdate_since(0);
  for (const DefinitionNews::Named& made : news_->names) {
    if (made.number > heard_) statements_.outdate_naming(made.name);
  }
  heard_ = news_->count;
}

// What was prepared here since then is as it is now.
void DefinitionWatch::tell() {
  if (!to_tell_ && made_.empty()) return;
  const bool knew_all = heard_ == news_->count;
  if (to_tell_) made_.clear();
  if (std::exchange(to_tell_, false)) news_->add();
  for (std::string& name : made_) news_->add(std::move(name));
  made_.clear();
  if (knew_all) heard_ = news_->count;
}

// In a batch what comes behind it is sent before its tag has come.
void DefinitionWatch::read(std::string_view text) {
  Reader reader(text);
  if (reader.accept("CREATE")) {
    ++changes_;  // also where the tag is a SELECT's
    read_creation(reader.rest());
  } else if (reader.accept("DO")) {
    read_block(reader.rest());
  } else if (reader.accept("DROP")) {
    if (reader.accept("TABLE")) {
      if (!drops_temporary(reader.rest())) statements_.outdate_since(0);
      return;
    }
    if (!sql::is_one_of(reader.next(), harmless)) statements_.outdate_since(0);
  } else if (reader.accept("ALTER")) {
    if (!sql::is_one_of(reader.next(), harmless)) statements_.outdate_since(0);
  }
}

// The statements behind the first one, or what looks like them.
void DefinitionWatch::read_behind(std::string_view text) {
  std::size_t creations = 0;
  for (std::size_t at = text.find(';'); at < text.size(); at = text.find(';', at + 1)) {
    std::string_view next = text.substr(at + 1);
    next = next.substr(std::min(next.find_first_not_of(" \t\r\n"), next.size()));
    if (!sql::is_word(next.substr(0, 6), "CREATE")) continue;
    if (++creations > creations_read_max) {
      to_tell_ = true;
      return statements_.outdate_since(0);
    }
    read(next.substr(0, next.find(';')));
  }
}

// `definition`: all that follows CREATE.
void DefinitionWatch::read_creation(std::string_view definition) {
  Reader reader(definition);
  if (reader.accept("OR")) reader.next();  // REPLACE
  if (!reader.accept("LOCAL")) reader.accept("GLOBAL");
  const bool temporary = reader.accept("TEMP") || reader.accept("TEMPORARY");
  std::string_view kind = reader.next();
  while (sql::is_one_of(kind, before_kind)) kind = reader.next();
  if (!sql::is_one_of(kind, named_in_texts)) return;
  if (temporary && sql::is_word(kind, "TABLE")) read_temporary(reader.rest());
  if (reader.accept("IF")) {  // NOT EXISTS
    reader.next();
    reader.next();
  }
  note_made(reader.name(), temporary);
}

void DefinitionWatch::note_selected_into(std::string_view table, bool temporary) {
  ++changes_;
  if (temporary && temporary_.size() < temporary_max) {
    temporary_.emplace(sql::lower_ascii(table), statements_.prepared());
  }
  note_made(table, temporary);
}

// Empty: of any name.
void DefinitionWatch::note_made(std::string_view name, bool temporary) {
  name.empty() ? statements_.outdate_since(0) : statements_.outdate_naming(name);
  if (temporary || to_tell_) return;
  to_tell_ = name.empty() || made_.size() == DefinitionNews::names_max;
  if (!to_tell_) made_.emplace_back(name);
}

// `block`: all that follows DO. So are a client's own temporary objects ended in a sandbox.
void DefinitionWatch::read_block(std::string_view block) {
  constexpr std::string_view drop = "DROP ";
  for (std::size_t at = block.find(drop); at < block.size(); at = block.find(drop, at + 1)) {
    Reader reader(block.substr(at + drop.size()));
    if (!sql::is_one_of(reader.next(), named_in_texts)) continue;
    if (const std::string_view name = reader.name(); !name.empty()) {
      statements_.outdate_naming(name);
    }
  }
}

// `definition`: all that follows TABLE.
void DefinitionWatch::read_temporary(std::string_view definition) {
  Reader reader(definition);
  if (reader.accept("IF")) {  // NOT EXISTS
    reader.next();
    reader.next();
  }
  const std::string_view name = reader.next();
  if (is_name(name) && temporary_.size() < temporary_max) {
    temporary_.emplace(sql::lower_ascii(name), statements_.prepared());
  }
  for (std::string_view word = name; !word.empty(); word = reader.next()) {
    const bool passes = sql::is_word(word, "COMMIT") && reader.accept("DROP");
    if (passes) passing_since_ = std::min(passing_since_, statements_.prepared());
  }
}

// `names`: all that follows DROP TABLE.
bool DefinitionWatch::drops_temporary(std::string_view names) {
  Reader reader(names);
  if (reader.accept("IF")) reader.next();
  std::uint64_t since = never;
  std::string_view mark;
  do {
    const auto found = temporary_.find(sql::lower_ascii(reader.next()));
    if (found == temporary_.end()) return false;
    since = std::min(since, found->second);
    temporary_.erase(found);
    mark = reader.next();
  } while (mark == ",");
  if (mark == ";") mark = reader.next();
  if (!mark.empty()) return false;  // CASCADE: what depends on it is not known
  dropped_since_ = temporary_drops_++ == 0 ? since : std::min(dropped_since_, since);
  return true;
}

void DefinitionWatch::note_tag(std::string_view tag) {
  if (tag.empty()) return;
  switch (tag.front()) {
    case 'A':
      if (tag.starts_with("ALTER ") && !is_harmless(tag)) change(false);
      break;
    case 'C':
      if (tag.starts_with("CREATE ") || tag == "CALL") ++changes_;
      if (tag == "COMMIT PREPARED") change(false);
      break;
    case 'D':
      if (tag.starts_with("DROP ")) {
        if (!is_harmless(tag)) change(tag == "DROP TABLE" && temporary_drops_ > 0);
      } else if (tag == "DO") {
        ++changes_;
      } else if (tag.starts_with("DISCARD ")) {
        temporary_.clear();
        if (tag == "DISCARD TEMP") statements_.outdate_since(0);
      }
      break;
    case 'R':
      if (tag == "ROLLBACK" && changes_ != begun_.changes) {
        temporary_.clear();
        statements_.outdate_since(begun_.prepared);  // perhaps to a savepoint: more may follow
      }
      break;
    default:
      break;
  }
}

void DefinitionWatch::change(bool temporary_only) {
  ++changes_;
  if (temporary_only) {
    --temporary_drops_;
    return statements_.outdate_since(dropped_since_);
  }
  to_tell_ = true;
  statements_.outdate_since(0);
}

void DefinitionWatch::go_back(Point& point) {
  if (changes_ == point.changes) return;
  statements_.forget_since(point.prepared);
  point = here();
}

void DefinitionWatch::note_ready(char status) {
  const bool failed = std::exchange(failed_, false);
  temporary_drops_ = 0;
  if (status != 'I') return;
  if (failed) temporary_.clear();
  if (passing_since_ != never) statements_.outdate_since(std::exchange(passing_since_, never));
  tell();
  settle(failed);  // then it was rolled back without a tag
}

void DefinitionWatch::note_lost() {
  to_tell_ = to_tell_ || changes_ != begun_.changes;
  tell();
}

}  // namespace based::postgres
