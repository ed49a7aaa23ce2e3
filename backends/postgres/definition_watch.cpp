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

bool is_harmless(std::string_view tag) {
  const std::string_view object = tag.substr(std::min(tag.find(' ') + 1, tag.size()));
  return sql::is_one_of(object.substr(0, object.find(' ')), harmless);
}

// Words and names without quotes, one after another; a mark of one character stands for itself.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::string_view next() {
    while (!text_.empty() && is_gap(text_.front())) text_.remove_prefix(1);
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

  static bool is_in_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }

 private:
  static bool is_gap(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

  std::string_view text_;
};

bool is_name(std::string_view word) { return !word.empty() && Reader::is_in_name(word.front()); }

}  // namespace

DefinitionWatch::DefinitionWatch(StatementCache& statements, std::uint64_t* committed)
    : statements_(statements),
      committed_(committed != nullptr ? committed : &alone_),
      heard_(*committed_) {}

void DefinitionWatch::hear() {
  heard_ = *committed_;
  statements_.outdate_since(0);
}

// What was prepared here since then is as it is now.
void DefinitionWatch::tell() {
  if (!std::exchange(to_tell_, false)) return;
  const bool knew_all = heard_ == *committed_;
  ++*committed_;
  if (knew_all) heard_ = *committed_;
}

// In a batch what comes behind it is sent before its tag has come.
void DefinitionWatch::read(std::string_view text) {
  Reader reader(text);
  if (reader.accept("CREATE")) {
    ++changes_;  // also where the tag is a SELECT's
    if (!reader.accept("LOCAL")) reader.accept("GLOBAL");
    const bool temporary = reader.accept("TEMP") || reader.accept("TEMPORARY");
    if (temporary && reader.accept("TABLE")) read_temporary(reader.rest());
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
