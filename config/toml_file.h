// A TOML file as a tree of plain values with their places. The library that parses it is seen in
// one translation unit only. Loop thread, before the loop runs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/problem.h"

namespace based {

struct TomlNode {
  enum class Kind : std::uint8_t { table, list, text, integer, floating, boolean, time };

  std::string key;        // in a table; empty in a list
  std::string key_place;  // "based.toml:3:1"
  std::string place;      // of the value
  Kind kind = Kind::table;
  std::string text;
  std::int64_t integer = 0;
  bool boolean = false;
  std::vector<TomlNode> children;  // a table's entries in the order of the file, a list's elements

  const TomlNode* find(std::string_view wanted) const {
    for (const TomlNode& child : children) {
      if (child.key == wanted) return &child;
    }
    return nullptr;
  }
};

// "a table", "a text": for messages.
std::string_view kind_name(TomlNode::Kind kind);

struct TomlFile {
  TomlNode root;
  ConfigProblems problems;  // at most one: the syntax error that ended the parsing
};

// `name` is how the file is called in places.
TomlFile parse_toml(std::string_view text, const std::string& name);

}  // namespace based
