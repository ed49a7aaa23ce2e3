// Parcel: columns, rows and step results on their way from a lane to the loop.
//
// Filled on the lane, then handed over whole; it owns every byte that its views show.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/reactor.h"
#include "backends/sink.h"
#include "backends/statement.h"
#include "protocol/value.h"

namespace based::sqlite {

// Bytes that stay where they are until the arena dies.
class Arena {
 public:
  std::string_view copy(std::string_view bytes);

 private:
  std::vector<std::unique_ptr<char[]>> chunks_;
  char* free_ = nullptr;
  std::size_t left_ = 0;
};

// A step that began: for the log of a sandbox.
struct Trace {
  std::size_t step = 0;
  Duration duration{};
  std::uint64_t rows = 0;  // given or changed
};

class Parcel {
 public:
  static constexpr std::size_t bytes_max = 64 * 1024;
  static constexpr std::size_t rows_max = 256;

  // What one step contributes. Columns come with the step's first section, the result with its
  // last.
  struct Section {
    std::size_t step = 0;
    std::vector<Column> columns;
    bool has_columns = false;
    std::size_t width = 0;          // values in a row
    std::vector<ValueView> values;  // row after row
    std::size_t rows = 0;
    std::optional<StepResult> result;

    std::span<const ValueView> row(std::size_t index) const {
      return std::span{values}.subspan(index * width, width);
    }
  };

  void add_columns(std::size_t step, std::span<const std::string> names,
                   std::span<const std::string> types);
  void add_row(std::size_t step, std::span<const ValueView> row);
  void add_result(std::size_t step, StepResult result);
  void finish(UnitOutcome outcome, std::vector<Trace> traces) {
    outcome_ = std::move(outcome);
    traces_ = std::move(traces);
  }

  bool full() const { return bytes_ >= bytes_max || rows_ >= rows_max; }
  bool empty() const { return sections_.empty(); }
  std::size_t bytes() const { return bytes_; }
  const std::vector<Section>& sections() const { return sections_; }
  std::optional<UnitOutcome>& outcome() { return outcome_; }
  // Comes with the outcome, where somebody asked for it.
  const std::vector<Trace>& traces() const { return traces_; }

 private:
  Section& section_of(std::size_t step);

  Arena arena_;
  std::vector<Section> sections_;
  std::size_t bytes_ = 0;
  std::size_t rows_ = 0;
  std::optional<UnitOutcome> outcome_;
  std::vector<Trace> traces_;
};

}  // namespace based::sqlite
