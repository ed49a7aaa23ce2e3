// FakeTransaction: a transaction with savepoints over a list of rows, as a real database has it.
// What a real one would refuse is noted in `violations`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/sink.h"
#include "backends/statement.h"
#include "protocol/result.h"

namespace based {

class FakeTransaction {
 public:
  FakeTransaction(bool rooted, std::vector<std::string>& committed,
                  std::vector<std::string>& violations)
      : rooted_(rooted), committed_(committed), violations_(violations) {}

  bool failed = false;  // takes only its rollback

  bool is_open() const { return begun_ || !savepoints_.empty(); }
  void begin() { begun_ = true; }
  void write(std::string row) { (is_open() ? written_ : committed_).push_back(std::move(row)); }
  void commit() {
    for (std::string& row : written_) committed_.push_back(std::move(row));
    forget();
  }
  void forget() {
    begun_ = failed = false;
    savepoints_.clear();
    written_.clear();
  }

  // Control SQL of an envelope.
  std::optional<Error> run(const Statement& statement) {
    const std::string& text = statement.text;
    if (starts(text, "BEGIN")) {
      if (is_open() || rooted_) violation("BEGIN where there is a transaction");
      begun_ = true;
    } else if (text == "COMMIT" || text == "ROLLBACK") {
      if (!begun_) violation(text + " without a transaction");
      if (failed && text == "COMMIT") violation("COMMIT of a failed transaction");
      if (text == "COMMIT") commit();
      forget();
    } else if (starts(text, "SAVEPOINT")) {
      if (!is_open() && !rooted_) violation("SAVEPOINT outside a transaction");
      if (failed) violation("SAVEPOINT in a failed transaction");
      savepoints_.push_back({statement.name, written_.size()});
    } else if (starts(text, "ROLLBACK TO") || starts(text, "RELEASE")) {
      const std::size_t place = find(statement.name);
      if (place == 0) return no_savepoint(statement.name);
      starts(text, "RELEASE") ? release(place) : roll_back_to(place);
    }
    return std::nullopt;
  }

 private:
  static bool starts(std::string_view text, std::string_view word) {
    return text.substr(0, word.size()) == word;
  }
  void violation(std::string text) { violations_.push_back(std::move(text)); }

  std::size_t find(const std::string& name) const {
    for (std::size_t i = savepoints_.size(); i > 0; --i) {
      if (savepoints_[i - 1].first == name) return i;
    }
    return 0;
  }
  std::optional<Error> no_savepoint(const std::string& name) {
    violation("there is no savepoint " + name);
    return Error::make(sqlstate::invalid_savepoint, "there is no savepoint " + name);
  }
  void roll_back_to(std::size_t place) {
    savepoints_.resize(place);
    written_.resize(savepoints_.back().second);
    failed = false;
  }
  void release(std::size_t place) {
    if (failed) violation("RELEASE in a failed transaction");
    savepoints_.resize(place - 1);
    if (!is_open()) commit();
  }

  const bool rooted_;
  std::vector<std::string>& committed_;
  std::vector<std::string>& violations_;
  bool begun_ = false;
  std::vector<std::pair<std::string, std::size_t>> savepoints_;
  std::vector<std::string> written_;
};

}  // namespace based
