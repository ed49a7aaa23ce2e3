#include "backends/postgres/row_reader.h"

#include <charconv>
#include <utility>

#include "protocol/postgres/type_names.h"

namespace based::postgres {
namespace {

template <typename Number>
bool parse(std::string_view text, Number& number) {
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool append_hex(std::string_view digits, std::string& out) {
  if (digits.size() % 2 != 0) return false;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    const int high = hex_digit(digits[i]);
    const int low = hex_digit(digits[i + 1]);
    if (high < 0 || low < 0) return false;
    out.push_back(static_cast<char>(high << 4 | low));
  }
  return true;
}

// bytea_output = escape: \\ is a backslash, \nnn an octet.
bool append_escaped(std::string_view text, std::string& out) {
  while (!text.empty()) {
    if (text[0] != '\\') {
      out.push_back(text[0]);
      text.remove_prefix(1);
    } else if (text.size() >= 2 && text[1] == '\\') {
      out.push_back('\\');
      text.remove_prefix(2);
    } else {
      if (text.size() < 4) return false;
      int octet = 0;
      for (std::size_t i = 1; i < 4; ++i) {
        if (text[i] < '0' || text[i] > '7') return false;
        octet = octet * 8 + (text[i] - '0');
      }
      if (octet > 255) return false;
      out.push_back(static_cast<char>(octet));
      text.remove_prefix(4);
    }
  }
  return true;
}

}  // namespace

RowReader::Kind RowReader::kind_of(std::uint32_t oid) {
  switch (oid) {
    case type_oid::boolean:
      return Kind::boolean;
    case type_oid::int2:
    case type_oid::int4:
    case type_oid::int8:
    case type_oid::oid:
      return Kind::integer;
    case type_oid::float4:  // the double nearest to its shortest text: 0.1 stays 0.1
    case type_oid::float8:
      return Kind::floating;
    case type_oid::bytea:
      return Kind::bytes;
    default:  // an open set: whatever types there are
      return Kind::text;
  }
}

bool RowReader::describe(std::string_view body, const TypeNames& type_names) {
  describe_nothing();
  if (!decode_row_description(body, fields_)) return false;
  described_ = true;
  std::vector<std::pair<std::size_t, std::size_t>> ends;  // of each name and type in texts_
  for (const Field& field : fields_) {
    if (field.format != 0) return false;
    kinds_.push_back(kind_of(field.type_oid));
    texts_ += field.name;
    const std::size_t name_end = texts_.size();
    std::string_view type = builtin_type_name(field.type_oid);
    if (type.empty()) type = type_names(field.type_oid);
    if (type.empty()) {
      met_unknown_type_ = true;
      texts_ += "oid:" + std::to_string(field.type_oid);
    } else {
      texts_ += type;
    }
    ends.emplace_back(name_end, texts_.size());
  }
  std::size_t begin = 0;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    const std::string_view texts = texts_;
    columns_.push_back({.name = texts.substr(begin, ends[i].first - begin),
                        .type = texts.substr(ends[i].first, ends[i].second - ends[i].first),
                        .type_oid = fields_[i].type_oid});
    begin = ends[i].second;
  }
  return true;
}

void RowReader::describe_nothing() {
  fields_.clear();
  kinds_.clear();
  columns_.clear();
  texts_.clear();
  described_ = false;
  met_unknown_type_ = false;
}

bool RowReader::read_bytes(std::string_view text, ValueView& value) {
  const std::size_t begin = decoded_.size();
  const bool hex = text.starts_with("\\x");
  if (!(hex ? append_hex(text.substr(2), decoded_) : append_escaped(text, decoded_))) return false;
  value = ValueView::bytes(std::string_view(decoded_).substr(begin));
  return true;
}

bool RowReader::read(std::string_view body, bool check_utf8) {
  if (!described_ || !decode_data_row(body, kinds_.size(), cells_)) return false;
  row_.clear();
  decoded_.clear();
  decoded_.reserve(body.size());  // decoding never makes longer: the views do not move
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const std::string_view text = cells_[i].bytes;
    ValueView value;
    if (cells_[i].is_null) {
      row_.push_back(value);
      continue;
    }
    switch (kinds_[i]) {
      case Kind::text: {
        const bool is_text = !check_utf8 || is_valid_utf8(text);
        value = is_text ? ValueView::text(text) : ValueView::bytes(text);
        break;
      }
      case Kind::boolean:
        if (text != "t" && text != "f") return false;
        value = ValueView::of(text == "t");
        break;
      case Kind::integer: {
        std::int64_t number = 0;
        if (!parse(text, number)) return false;
        value = ValueView::of(number);
        break;
      }
      case Kind::floating: {
        double number = 0;
        if (!parse(text, number)) return false;
        value = ValueView::of(number);
        break;
      }
      case Kind::bytes:
        if (!read_bytes(text, value)) return false;
        break;
    }
    row_.push_back(value);
  }
  return true;
}

}  // namespace based::postgres
