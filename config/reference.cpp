#include "config/reference.h"

#include "config/schema.h"

namespace based {
namespace {

// A text for roff: its own characters escaped, hyphens kept as hyphens to copy.
std::string roff(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\')
      escaped += "\\e";
    else if (c == '-')
      escaped += "\\-";
    else
      escaped += c;
  }
  // A line that begins with one of these would be a request.
  if (escaped.starts_with('.') || escaped.starts_with('\'')) escaped.insert(0, "\\&");
  return escaped;
}

std::string type_text(const SettingRow& row) {
  switch (row.type) {
    case SettingType::text:
      return "text";
    case SettingType::texts:
      return "list of texts";
    case SettingType::addresses:
      return "list of addresses";
    case SettingType::boolean:
      return "true or false";
    case SettingType::count:
      return "number from " + std::to_string(row.min) + " to " + std::to_string(row.max);
    case SettingType::duration:
      return "duration from " + format_duration(Milliseconds{row.min}) + " to " +
             format_duration(Milliseconds{row.max});
    case SettingType::size:
      return "size from " + format_size({static_cast<std::uint64_t>(row.min)}) + " to " +
             format_size({static_cast<std::uint64_t>(row.max)});
    case SettingType::mode:
      return "octal digits";
    case SettingType::choice:
      return "one of " + std::string(row.choices);
  }
  return {};
}

void add_row(std::string& page, const SettingRow& row, const SettingValue& by_default) {
  page += ".TP\n.B " + roff(row.key) + "\n";
  page += roff(row.help) + "\n.br\n";
  page += roff(type_text(row));
  const auto* text = std::get_if<std::string>(&by_default);
  if (text == nullptr || !text->empty()) page += "; default " + roff(format_value(row, by_default));
  if (row.applies == AppliesTo::postgresql) page += "; postgresql only";
  if (row.applies == AppliesTo::sqlite) page += "; sqlite only";
  page += "\n";
}

constexpr std::string_view head =
    ".TH BASED.TOML 5 \"\" \"Based\" \"File formats\"\n"
    ".SH NAME\n"
    "based.toml \\- configuration of based(8)\n"
    ".SH DESCRIPTION\n"
    "A TOML file with a table\n.B [server]\nand a table\n.B [databases.NAME]\n"
    "for each database, in the order in which clients see them: the first is what a client gets "
    "that names none.\n"
    "A name has 1 to 63 letters, digits, '_', '\\-' or '.'.\n"
    ".PP\n"
    "Durations are whole numbers with units, and may be sums: \"250ms\", \"1h30min\" (ms, s, min, "
    "h, d). Sizes have a unit: \"64KiB\", \"16MiB\" (B, KiB, MiB, GiB, or kB, MB, GB of a "
    "thousand). Zero needs none.\n"
    ".PP\n"
    "Unknown keys, wrong types, values out of range and combinations that cannot work are all "
    "reported at once, with line and column, and the daemon exits with 78.\n"
    ".PP\n"
    "${NAME} in a text stands for an environment variable only if\n.B environment\n"
    "lists it; otherwise it is an error. $${ is a plain ${.\n";

}  // namespace

std::string reference_page() {
  std::string page(head);
  page += ".SH [server]\n";
  for (const SettingRow& row : server_rows()) add_row(page, row, row.read_server({}));
  page +=
      ".SH [users]\n.TP\n.B NAME = \"SCRAM\\-SHA\\-256$...\"\n"
      "A user's password, as a verifier in PostgreSQL's own format: what pg_authid has, or what\n"
      ".B based hash\\-password\nprints. A verifier does not tell the password.\n"
      ".SH [users.NAME]\nA table instead of the text, where there is more to say of the user.\n";
  for (const SettingRow& row : user_rows()) add_row(page, row, row.read_user({}));
  page +=
      ".SH [databases.NAME]\n.B [databases.\"*\"]\nis every database of a PostgreSQL server that "
      "no "
      "other table names: a client's name for it is the server's, and replaces the one in the url. "
      "Each has a pool of its own, with the limits of this table.\n";
  for (const SettingRow& row : database_rows()) add_row(page, row, row.read_database({}));
  page += ".SH SEE ALSO\n.BR based (8)\n";
  return page;
}

}  // namespace based
