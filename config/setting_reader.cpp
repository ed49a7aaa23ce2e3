#include "config/setting_reader.h"

#include <algorithm>
#include <charconv>

#include "config/closest.h"

namespace based {
namespace {

using Kind = TomlNode::Kind;

class Reader {
 public:
  Reader(const SettingRow& row, const TomlNode& node, const Expand& expand,
         ConfigProblems& problems)
      : row_(row), node_(node), expand_(expand), problems_(problems) {}

  std::optional<SettingValue> read() {
    switch (row_.type) {
      case SettingType::text:
        return read_text();
      case SettingType::texts:
      case SettingType::addresses:
        return read_list();
      case SettingType::boolean:
        if (node_.kind != Kind::boolean) return wrong("true or false");
        return node_.boolean;
      case SettingType::count:
        if (node_.kind != Kind::integer) return wrong("a whole number");
        return in_range(node_.integer);
      case SettingType::duration:
        return read_duration();
      case SettingType::size:
        return read_size();
      case SettingType::mode:
        return read_mode();
      case SettingType::choice:
        return read_choice();
    }
    return {};
  }

 private:
  std::nullopt_t problem(const TomlNode& node, std::string message) {
    problems_.push_back({node.place, std::string(row_.key) + ": " + std::move(message)});
    return std::nullopt;
  }
  std::nullopt_t wrong(std::string_view expected) {
    return problem(node_, std::string(expected) + " is expected, this is " +
                              std::string(kind_name(node_.kind)));
  }

  std::optional<std::string> text_of(const TomlNode& node) {
    auto text = expand_(node.text);
    if (!text) return problem(node, text.error().message);
    if (text->find('\0') != std::string::npos) return problem(node, "the text holds a NUL");
    return std::move(*text);
  }

  std::optional<SettingValue> read_text() {
    if (node_.kind != Kind::text) return wrong("a text");
    auto text = text_of(node_);
    if (!text) return {};
    return SettingValue{std::move(*text)};
  }

  std::optional<SettingValue> read_list() {
    if (node_.kind != Kind::list) return wrong("a list of texts");
    std::vector<std::string> texts;
    const std::size_t problems_before = problems_.size();
    for (const TomlNode& element : node_.children) {
      if (element.kind != Kind::text) {
        problem(element, "a list of texts is expected, this element is " +
                             std::string(kind_name(element.kind)));
        continue;
      }
      auto text = text_of(element);
      if (!text) continue;
      if (row_.type == SettingType::addresses) {
        auto address = parse_address(*text);
        if (!address) {
          problem(element, address.error().message);
          continue;
        }
        *text = format_address(*address);
      }
      texts.push_back(std::move(*text));
    }
    if (problems_.size() != problems_before) return {};
    return SettingValue{std::move(texts)};
  }

  std::optional<SettingValue> read_duration() {
    if (node_.kind == Kind::integer && node_.integer == 0) return in_range(0);
    if (node_.kind != Kind::text) return wrong("a duration with a unit, such as \"30s\",");
    auto text = text_of(node_);
    if (!text) return {};
    auto value = parse_duration(*text);
    if (!value) return problem(node_, value.error().message);
    return in_range(value->count());
  }

  std::optional<SettingValue> read_size() {
    if (node_.kind == Kind::integer && node_.integer == 0) return in_range(0);
    if (node_.kind != Kind::text) return wrong("a size with a unit, such as \"16MiB\",");
    auto text = text_of(node_);
    if (!text) return {};
    auto value = parse_size(*text);
    if (!value) return problem(node_, value.error().message);
    return in_range(static_cast<std::int64_t>(value->count));  // parse_size keeps it below 2^63
  }

  std::optional<SettingValue> read_mode() {
    if (node_.kind != Kind::text) return wrong("octal digits in a text, such as \"0700\",");
    auto text = text_of(node_);
    if (!text) return {};
    std::uint32_t bits = 0;
    const auto read = std::from_chars(text->data(), text->data() + text->size(), bits, 8);
    const bool whole = read.ec == std::errc{} && read.ptr == text->data() + text->size();
    if (!whole || text->size() < 3 || bits > 0777)
      return problem(node_, "three octal digits are expected, such as \"0700\" or \"0660\"");
    return SettingValue{std::int64_t{bits}};
  }

  std::optional<SettingValue> read_choice() {
    const std::string expected = "one of " + std::string(row_.choices);
    if (node_.kind != Kind::text) return wrong(expected);
    auto text = text_of(node_);
    if (!text) return {};
    const auto choices = choice_list(row_);
    const auto found = std::find(choices.begin(), choices.end(), *text);
    if (found == choices.end())
      return problem(node_, "'" + *text + "' is not " + expected + did_you_mean(*text, choices));
    return SettingValue{std::int64_t{found - choices.begin()}};
  }

  std::optional<SettingValue> in_range(std::int64_t value) {
    if (value >= row_.min && value <= row_.max) return SettingValue{value};
    return problem(node_, "must be from " + bound(row_.min) + " to " + bound(row_.max));
  }
  std::string bound(std::int64_t value) const {
    if (row_.type == SettingType::duration) return format_duration(Milliseconds{value});
    if (row_.type == SettingType::size) return format_size({static_cast<std::uint64_t>(value)});
    return std::to_string(value);
  }

  const SettingRow& row_;
  const TomlNode& node_;
  const Expand& expand_;
  ConfigProblems& problems_;
};

}  // namespace

std::optional<SettingValue> read_setting(const SettingRow& row, const TomlNode& node,
                                         const Expand& expand, ConfigProblems& problems) {
  return Reader(row, node, expand, problems).read();
}

}  // namespace based
