// What the database answers, as messages.
#include <utility>

#include "daemon/postgres/sqlite_types.h"
#include "daemon/postgres/sqlite_wire.h"
#include "protocol/check.h"
#include "protocol/postgres/type_names.h"

namespace based {
namespace {

constexpr std::size_t flush_bytes = 64u << 10;
constexpr std::size_t unsent_high = 1u << 20;
constexpr std::size_t unsent_low = 256u << 10;
// Rows behind a row limit are kept until they are asked for.
constexpr std::size_t portal_bytes_max = 64u << 20;

std::int16_t format_of(const std::vector<std::int16_t>& formats, std::size_t column) {
  if (formats.empty()) return 0;
  return formats.size() == 1 ? formats[0] : formats[column];
}

}  // namespace

void SqliteWire::tell_columns(const WireStatement& prepared,
                              const std::vector<std::int16_t>& formats) {
  std::vector<postgres::Field> fields;
  for (const WireStatement::Column& column : *prepared.columns) {
    const bool known = formats.size() <= 1 || fields.size() < formats.size();
    fields.push_back({.name = column.name,
                      .type_oid = column.oid,
                      .type_size = size_of_type(column.oid),
                      .type_modifier = -1,
                      .format = known ? format_of(formats, fields.size()) : std::int16_t{0}});
  }
  writer_.row_description(fields);
}

void SqliteWire::release_tag() {
  if (!held_tag_.empty()) writer_.command_complete(std::exchange(held_tag_, {}));
}

void SqliteWire::give_up(Error error, std::size_t step) {
  if (own_error_) return;
  own_error_ = std::move(error);
  own_error_step_ = step;
  backend_->cancel("the result cannot be told to the client");
}

void SqliteWire::on_columns(std::size_t step, std::span<const Column> columns) {
  if (purpose_ == Purpose::describe) {
    if (step > 0 || describing_ == Describing::parse) return;
    for (const Column& column : columns) {
      found_columns_.push_back({std::string(column.name), oid_of_declared(column.type)});
    }
    return;
  }
  if (own_error_) return;
  release_tag();
  Running& running = running_[step];
  running.has_columns = true;
  const WireStatement& prepared = *running.prepared;
  if (running.formats.size() > 1 && running.formats.size() != columns.size()) {
    return give_up(Error::make(sqlstate::protocol_violation,
                               "bind message has " + std::to_string(running.formats.size()) +
                                   " result formats but query has " +
                                   std::to_string(columns.size()) + " columns"),
                   step);
  }
  if (prepared.columns && prepared.columns->size() != columns.size()) {
    return give_up(
        Error::make(sqlstate::feature_not_supported, "cached plan must not change result type"),
        step);
  }
  WireStatement told;
  told.columns.emplace();
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const auto& items = prepared.notes.item_types;
    std::uint32_t oid = i < items.size() ? items[i] : 0;
    if (oid == 0) oid = oid_of_declared(columns[i].type);
    if (prepared.columns) oid = (*prepared.columns)[i].oid;
    if (oid == 0) oid = postgres::type_oid::text;
    running.oids.push_back(oid);
    told.columns->push_back({std::string(columns[i].name), oid});
  }
  if (running.tells_columns) tell_columns(told, running.formats);
  // A portal's rows keep these types, in all its parts.
}

Flow SqliteWire::on_row(std::size_t step, std::span<const ValueView> row) {
  if (purpose_ == Purpose::describe) {
    const std::size_t tables = describing_ == Describing::parse ? 0 : 1;
    if (step == tables && row.size() == 4 && row[3].kind == ValueKind::int64) {
      table_columns_.push_back({std::string(row[0].data), std::string(row[1].data),
                                std::string(row[2].data), row[3].int64});
    }
    return Flow::more;
  }
  if (own_error_) return Flow::more;
  Running& running = running_[step];
  const bool kept = running.rows_max != 0 && running.rows >= running.rows_max;
  const std::size_t before = out_.size();
  writer_.begin_row(row.size());
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (write_cell(writer_, running.oids[i], format_of(running.formats, i), row[i])) continue;
    out_.resize(before);
    const auto type = postgres::builtin_type_name(running.oids[i]);
    give_up(Error::make(sqlstate::invalid_text_representation,
                        "row " + std::to_string(running.rows + 1) + ", column " +
                            std::to_string(i + 1) + ": " + describe_value(row[i]) +
                            " is not of the type " + std::string(type) +
                            " that the column was announced with")
                .with_hint("SQLite stores what it is given. CAST(... AS TEXT) shows any value."),
            step);
    return Flow::more;
  }
  writer_.end_row();
  ++running.rows;
  if (kept) {
    WirePortal& portal = *running.portal;
    portal.rest.push_back(out_.substr(before));
    portal.rest_bytes += portal.rest.back().size();
    out_.resize(before);
    if (portal.rest_bytes > portal_bytes_max) {
      give_up(Error::make(sqlstate::program_limit_exceeded,
                          "more than " + std::to_string(portal_bytes_max >> 20) +
                              " MiB of rows behind a row limit")
                  .with_hint("Use LIMIT, or no row limit: rows are streamed then."),
              step);
    }
    return Flow::more;
  }
  if (out_.size() < flush_bytes) return Flow::more;
  flush();
  if (client_.unsent() < unsent_high) return Flow::more;
  paused_ = true;
  client_.notify_when_drained(unsent_low);
  return Flow::pause;
}

void SqliteWire::on_step_done(std::size_t step, const StepResult& result) {
  if (purpose_ != Purpose::steps || own_error_) return;
  release_tag();
  Running& running = running_[step];
  if (running.tells_columns && !running.has_columns && !querying_) writer_.no_data();
  std::string tag(result.tag);
  const bool reads = running.has_columns && !result.affected && tag != "EXPLAIN";
  if (reads) tag = "SELECT";
  if (tag == "INSERT" && result.affected) tag += " 0";
  if (result.affected) tag += " " + std::to_string(*result.affected);
  if (running.portal != nullptr) {
    running.portal->tag = tag;
    const bool suspended = !running.portal->rest.empty();
    running.portal->state = suspended ? WirePortal::State::suspended : WirePortal::State::done;
    if (suspended) return writer_.portal_suspended();
  }
  held_tag_ = reads ? tag + " " + std::to_string(running.rows) : tag;
}

void SqliteWire::on_notice(std::string_view severity, const Error& notice) {
  writer_.notice(severity, notice);
}

void SqliteWire::on_done(UnitOutcome outcome) {
  const Purpose purpose = std::exchange(purpose_, Purpose::none);
  paused_ = false;
  switch (purpose) {
    case Purpose::none:
    case Purpose::sandbox:
      INVARIANT(false);
    case Purpose::steps:
      steps_done(outcome);
      running_.clear();
      break;
    case Purpose::entering:
      entering_done(outcome);
      break;
    case Purpose::ending:
      ending_done(outcome);
      break;
    case Purpose::describe:
      describe_done(outcome);
      break;
  }
  tell_said();
  if (!busy()) advance();
  resume_messages();
}

void SqliteWire::on_lease_lost(const Error& reason) {
  if (stack_.entered_depth() == 0) return;
  stack_.abort(reason);
  loss_ = reason;
}

}  // namespace based
