#include "backends/sqlite/parcel.h"

#include <algorithm>
#include <cstring>

namespace based::sqlite {

std::string_view Arena::copy(std::string_view bytes) {
  constexpr std::size_t chunk_bytes = 4096;
  if (bytes.empty()) return {};
  if (bytes.size() > left_) {
    // A large value has a chunk of its own, so that the rest of the current one is not lost.
    const bool large = bytes.size() > chunk_bytes / 2;
    const auto size = large ? bytes.size() : chunk_bytes;
    chunks_.push_back(std::unique_ptr<char[]>(new char[size]));
    char* start = chunks_.back().get();
    if (large) {
      std::memcpy(start, bytes.data(), bytes.size());
      return {start, bytes.size()};
    }
    free_ = start;
    left_ = size;
  }
  std::memcpy(free_, bytes.data(), bytes.size());
  const std::string_view copied{free_, bytes.size()};
  free_ += bytes.size();
  left_ -= bytes.size();
  return copied;
}

Parcel::Section& Parcel::section_of(std::size_t step) {
  if (sections_.empty() || sections_.back().step != step || sections_.back().result) {
    sections_.emplace_back();
    sections_.back().step = step;
    bytes_ += sizeof(Section);
  }
  return sections_.back();
}

void Parcel::add_columns(std::size_t step, std::span<const std::string> names,
                         std::span<const std::string> types) {
  auto& section = section_of(step);
  section.has_columns = true;
  section.width = names.size();
  for (std::size_t i = 0; i < names.size(); ++i) {
    section.columns.push_back(Column{.name = arena_.copy(names[i]), .type = arena_.copy(types[i])});
    bytes_ += sizeof(Column) + names[i].size() + types[i].size();
  }
}

void Parcel::add_row(std::size_t step, std::span<const ValueView> row) {
  auto& section = section_of(step);
  section.width = row.size();
  for (const auto& value : row) {
    section.values.push_back(value);
    section.values.back().data = arena_.copy(value.data);
    bytes_ += sizeof(ValueView) + value.data.size();
  }
  ++section.rows;
  ++rows_;
}

void Parcel::add_result(std::size_t step, StepResult result) {
  auto& section = section_of(step);
  result.tag = arena_.copy(result.tag);
  bytes_ += result.tag.size();
  section.result = result;
}

}  // namespace based::sqlite
