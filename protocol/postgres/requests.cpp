#include "protocol/postgres/requests.h"

#include "protocol/postgres/body_reader.h"

namespace based::postgres {
namespace {

// A count of two bytes, and never more of them than `bytes_each` lets fit in what remains.
bool take_count(BodyReader& reader, std::size_t bytes_each, std::size_t& count) {
  count = reader.take_unsigned(2);
  return reader.ok() && count * bytes_each <= reader.remaining();
}

bool take_formats(BodyReader& reader, std::vector<std::int16_t>& formats) {
  std::size_t count = 0;
  if (!take_count(reader, 2, count)) return false;
  formats.clear();
  formats.reserve(count);
  for (std::size_t i = 0; i < count; ++i) formats.push_back(reader.take16());
  return true;
}

bool take_value(BodyReader& reader, std::optional<std::string_view>& value) {
  const auto length = static_cast<std::int32_t>(reader.take32());
  value.reset();
  if (length == -1) return reader.ok();
  if (length < 0) return false;
  value = reader.take(static_cast<std::size_t>(length));
  return reader.ok();
}

}  // namespace

bool decode_parse(std::string_view body, ParseRequest& parse) {
  BodyReader reader(body);
  parse.statement = reader.take_text();
  parse.text = reader.take_text();
  std::size_t count = 0;
  if (!take_count(reader, 4, count)) return false;
  parse.types.clear();
  parse.types.reserve(count);
  for (std::size_t i = 0; i < count; ++i) parse.types.push_back(reader.take32());
  return reader.at_end();
}

bool decode_bind_names(std::string_view body, BindNames& names) {
  BodyReader reader(body);
  names.portal = reader.take_text();
  names.statement = reader.take_text();
  if (!reader.ok()) return false;
  names.rest = reader.take_rest();
  return true;
}

bool decode_bind(std::string_view body, BindRequest& bind) {
  BodyReader reader(body);
  bind.portal = reader.take_text();
  bind.statement = reader.take_text();
  if (!take_formats(reader, bind.parameter_formats)) return false;
  std::size_t count = 0;
  if (!take_count(reader, 4, count)) return false;
  bind.values.clear();
  bind.values.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (!take_value(reader, bind.values.emplace_back())) return false;
  }
  const std::size_t formats = bind.parameter_formats.size();
  if (formats > 1 && formats != count) return false;
  return take_formats(reader, bind.result_formats) && reader.at_end();
}

bool decode_named(std::string_view body, NamedRequest& named) {
  BodyReader reader(body);
  named.what = reader.take_byte();
  named.name = reader.take_text();
  return reader.at_end() && (named.what == 'S' || named.what == 'P');
}

bool decode_execute(std::string_view body, ExecuteRequest& execute) {
  BodyReader reader(body);
  execute.portal = reader.take_text();
  execute.rows_max = static_cast<std::int32_t>(reader.take32());
  return reader.at_end();
}

bool decode_text(std::string_view body, std::string_view& text) {
  BodyReader reader(body);
  text = reader.take_text();
  return reader.at_end();
}

}  // namespace based::postgres
