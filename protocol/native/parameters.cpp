#include "protocol/native/parameters.h"

#include <algorithm>
#include <vector>

namespace based::native {
namespace {

// Up to here comparing each with each is cheaper than sorting, and needs no memory.
constexpr std::uint32_t pairwise_max = 16;

bool take_name(MessagePackReader& reader, std::string_view& name) {
  if (!reader.read_text(name)) return false;
  if (name.starts_with(':')) name.remove_prefix(1);
  if (name.empty()) return reader.fail(sqlstate::invalid_parameter_value, "a name is empty");
  return true;
}

bool take_value(MessagePackReader& reader) {
  Item item;
  if (!reader.next(item)) return false;
  if (item.kind == ItemKind::array || item.kind == ItemKind::map) {
    return reader.fail(sqlstate::invalid_parameter_value,
                       "a parameter is null, bool, int, float, text or bytes");
  }
  return true;
}

bool seen_before(std::string_view pairs, std::uint32_t count, std::string_view name) {
  MessagePackReader reader(pairs);
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string_view other;
    INVARIANT(take_name(reader, other) && reader.skip());
    if (other == name) return true;
  }
  return false;
}

bool check_pairs(MessagePackReader& reader, std::uint32_t count) {
  const std::string_view pairs = reader.rest();
  std::vector<std::string_view> names;
  if (count > pairwise_max) names.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string_view name;
    if (!take_name(reader, name)) return false;
    if (count > pairwise_max) {
      names.push_back(name);
    } else if (seen_before(pairs, i, name)) {
      return reader.fail(sqlstate::invalid_parameter_value, "a name is given twice");
    }
    if (!take_value(reader)) return false;
  }
  std::sort(names.begin(), names.end());
  if (std::adjacent_find(names.begin(), names.end()) != names.end()) {
    return reader.fail(sqlstate::invalid_parameter_value, "a name is given twice");
  }
  return true;
}

}  // namespace

ValueView value_of(const Item& item) {
  switch (item.kind) {
    case ItemKind::null:
      return ValueView::null();
    case ItemKind::boolean:
      return ValueView::of(item.boolean);
    case ItemKind::integer:
      return ValueView::of(item.integer);
    case ItemKind::float64:
      return ValueView::of(item.float64);
    case ItemKind::text:
      return ValueView::text(item.data);
    case ItemKind::bytes:
      return ValueView::bytes(item.data);
    case ItemKind::array:
    case ItemKind::map:
      break;
  }
  INVARIANT(!"a value is a scalar");
  return {};
}

bool ParametersView::read(MessagePackReader& reader, ParametersView& parameters) {
  parameters = ParametersView();
  if (reader.take_null()) return true;
  const std::string_view before = reader.rest();
  Item head;
  if (!reader.next(head)) return false;
  if (head.kind != ItemKind::array && head.kind != ItemKind::map) {
    return reader.fail(sqlstate::invalid_parameter_value,
                       "parameters are an array or a map of values");
  }
  if (head.count > parameters_max) {
    return reader.fail(sqlstate::program_limit_exceeded, "there are more than 65535 parameters");
  }
  if (head.kind == ItemKind::map) {
    if (!check_pairs(reader, head.count)) return false;
  } else {
    for (std::uint32_t i = 0; i < head.count; ++i) {
      if (!take_value(reader)) return false;
    }
  }
  parameters.encoded_ = before.substr(0, before.size() - reader.rest().size());
  parameters.count_ = head.count;
  parameters.named_ = head.kind == ItemKind::map;
  return true;
}

ParameterCursor::ParameterCursor(const ParametersView& parameters)
    : reader_(parameters.encoded()), left_(parameters.count()), named_(parameters.named()) {
  Item head;
  if (!parameters.encoded().empty()) INVARIANT(reader_.next(head));
}

bool ParameterCursor::next(std::string_view& name, ValueView& value) {
  if (left_ == 0) return false;
  --left_;
  name = {};
  if (named_) INVARIANT(take_name(reader_, name));
  Item item;
  INVARIANT(reader_.next(item));
  value = value_of(item);
  return true;
}

bool ParameterSetsView::read(MessagePackReader& reader, ParameterSetsView& sets) {
  sets = ParameterSetsView();
  const std::string_view before = reader.rest();
  std::uint32_t count = 0;
  if (!reader.read_array(count)) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    ParametersView parameters;
    if (!ParametersView::read(reader, parameters)) return false;
  }
  sets.encoded_ = before.substr(0, before.size() - reader.rest().size());
  sets.count_ = count;
  return true;
}

ParameterSetCursor::ParameterSetCursor(const ParameterSetsView& sets)
    : reader_(sets.encoded()), left_(sets.count()) {
  std::uint32_t count = 0;
  if (!sets.encoded().empty()) INVARIANT(reader_.read_array(count));
}

bool ParameterSetCursor::next(ParametersView& parameters) {
  if (left_ == 0) return false;
  --left_;
  INVARIANT(ParametersView::read(reader_, parameters));
  return true;
}

}  // namespace based::native
