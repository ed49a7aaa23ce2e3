#include "config/toml_file.h"

#include <algorithm>

// Header-only and without exceptions: nothing of it crosses this file.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace based {
namespace {

std::string place_of(const std::string& name, const toml::source_position& position) {
  return name + ":" + std::to_string(position.line) + ":" + std::to_string(position.column);
}

bool is_before(const toml::source_position& a, const toml::source_position& b) {
  return a.line != b.line ? a.line < b.line : a.column < b.column;
}

TomlNode convert(const toml::node& node, const std::string& name);

void convert_table(const toml::table& table, const std::string& name, TomlNode& into) {
  struct Entry {
    const toml::key* key;
    const toml::node* value;
  };
  std::vector<Entry> entries;
  for (const auto& [key, value] : table) entries.push_back({&key, &value});
  // The library sorts by name; the order of the file is part of its meaning.
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return is_before(a.key->source().begin, b.key->source().begin);
  });
  for (const Entry& entry : entries) {
    TomlNode child = convert(*entry.value, name);
    child.key = std::string(entry.key->str());
    child.key_place = place_of(name, entry.key->source().begin);
    into.children.push_back(std::move(child));
  }
}

TomlNode convert(const toml::node& node, const std::string& name) {
  TomlNode result;
  result.place = place_of(name, node.source().begin);
  switch (node.type()) {
    case toml::node_type::table:
      result.kind = TomlNode::Kind::table;
      convert_table(*node.as_table(), name, result);
      break;
    case toml::node_type::array:
      result.kind = TomlNode::Kind::list;
      for (const toml::node& element : *node.as_array())
        result.children.push_back(convert(element, name));
      break;
    case toml::node_type::string:
      result.kind = TomlNode::Kind::text;
      result.text = node.as_string()->get();
      break;
    case toml::node_type::integer:
      result.kind = TomlNode::Kind::integer;
      result.integer = node.as_integer()->get();
      break;
    case toml::node_type::floating_point:
      result.kind = TomlNode::Kind::floating;
      break;
    case toml::node_type::boolean:
      result.kind = TomlNode::Kind::boolean;
      result.boolean = node.as_boolean()->get();
      break;
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
    case toml::node_type::none:
      result.kind = TomlNode::Kind::time;
      break;
  }
  return result;
}

}  // namespace

std::string_view kind_name(TomlNode::Kind kind) {
  switch (kind) {
    case TomlNode::Kind::table:
      return "a table";
    case TomlNode::Kind::list:
      return "a list";
    case TomlNode::Kind::text:
      return "a text";
    case TomlNode::Kind::integer:
      return "a whole number";
    case TomlNode::Kind::floating:
      return "a fraction";
    case TomlNode::Kind::boolean:
      return "true or false";
    case TomlNode::Kind::time:
      return "a date or time";
  }
  return "";
}

TomlFile parse_toml(std::string_view text, const std::string& name) {
  TomlFile file;
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    file.problems.push_back(
        {place_of(name, error.source().begin), std::string(error.description())});
    return file;
  }
  file.root = convert(parsed.table(), name);
  return file;
}

}  // namespace based
