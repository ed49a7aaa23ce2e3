// Results: columns and rows into frames, credit, and the pauses of a reader that is slower than the
// database.
#include <utility>

#include "daemon/native/native_session.h"

namespace based::native {

ItemResult& Session::item_of(std::size_t step) {
  ItemResult& item = run_->items[run_->steps[run_->group_begin + step].item];
  item.reached = true;
  return item;
}

bool Session::out_of_credit() const { return run_->credit && *run_->credit == 0; }

void Session::flush_rows() {
  if (!run_->rows.empty()) host_.send_frames(run_->rows.finish());
}

void Session::on_columns(std::size_t step, std::span<const Column> columns) {
  ItemResult& item = item_of(step);
  if (item.columns_sent) return;  // a further set of execute-many
  item.columns_sent = true;
  Cols cols;
  cols.step = run_->steps[run_->group_begin + step].item;
  for (const Column& column : columns) {
    cols.columns.push_back({.name = column.name, .type = column.type, .type_oid = column.type_oid});
  }
  std::string payload;
  encode(cols, payload);
  if (payload.size() > host_.client_frame_bytes_max()) {
    return give_up(cols.step, "a row's description is larger than the payload the client takes");
  }
  if (!run_->held.empty()) {
    run_->held.push_back({.item = cols.step, .columns = std::move(payload)});
    return;
  }
  flush_rows();
  host_.send(MessageType::cols, number_, run_->header.request, payload);
}

Flow Session::on_row(std::size_t step, std::span<const ValueView> row) {
  ItemResult& item = item_of(step);
  if (run_->discard || run_->own_error) {
    item.truncated = true;
    run_->dropped = true;
    return Flow::more;
  }
  const std::uint32_t number = run_->steps[run_->group_begin + step].item;
  if (out_of_credit() || !run_->held.empty()) {
    // Already under way when the pause was asked for.
    run_->held.push_back({.item = number, .columns = {}, .row = ValueList::copy_of(row)});
    run_->paused = true;
    return Flow::pause;
  }
  if (!send_row(number, row)) return Flow::more;
  if (out_of_credit()) {
    flush_rows();
    run_->paused = true;
    return Flow::pause;
  }
  if (run_->rows.full()) {
    flush_rows();
    if (host_.output_full()) {
      run_->paused = true;
      return Flow::pause;
    }
  }
  return Flow::more;
}

// False: the row alone is more than the client takes, which ends the request.
bool Session::send_row(std::uint32_t item, std::span<const ValueView> row) {
  RowsWriter::Added added = run_->rows.add(item, row);
  if (added == RowsWriter::Added::finish_first) {
    flush_rows();
    added = run_->rows.add(item, row);
  }
  if (added == RowsWriter::Added::too_large) {
    give_up(item, "a row is larger than the payload that the client takes");
    return false;
  }
  ++run_->items[item].rows;
  if (run_->credit) --*run_->credit;
  flush_at_end_of_turn();
  return true;
}

// What the client cannot be given ends its request.
void Session::give_up(std::uint32_t item, const char* why) {
  run_->own_error = Error::make(sqlstate::program_limit_exceeded, why);
  run_->own_error_item = item;
  if (run_->purpose == UnitPurpose::steps && !run_->deferred) backend_->cancel(why);
}

// Rows that come slowly are not kept until a frame is full.
void Session::flush_at_end_of_turn() {
  if (run_->flush_planned) return;
  run_->flush_planned = true;
  host_.reactor().at_end_of_turn([weak = std::weak_ptr<Session*>(anchor_)] {
    const auto there = weak.lock();
    if (!there || (*there)->run_ == nullptr) return;
    (*there)->run_->flush_planned = false;
    (*there)->flush_rows();
  });
}

void Session::on_step_done(std::size_t step, const StepResult& result) {
  ItemResult& item = item_of(step);
  item.tag = result.tag;
  if (result.affected) item.affected = item.affected.value_or(0) + *result.affected;
  if (result.last_insert_id) item.last_insert_id = result.last_insert_id;
  item.truncated = item.truncated || result.truncated;
  const PlannedStep& planned = run_->steps[run_->group_begin + step];
  if (!planned.describe) apply_effects(*planned.statement);
  for (const StatementRef& setting : result.set) apply_effects(*setting);
  if (run_->held.empty()) flush_rows();
}

void Session::on_notice(std::string_view severity, const Error& notice) {
  // A notice cannot pause its statement: for a client that does not read it is lost.
  if (run_ == nullptr || host_.output_full()) return;
  std::string payload;
  encode(Notice{.kind = NoticeKind::database, .severity = severity, .error = &notice}, payload);
  host_.send(MessageType::notice, number_, run_->header.request, payload);
}

void Session::on_done(UnitOutcome outcome) {
  if (entering_) {
    entering_done(outcome);
    return pump();
  }
  // An error does not wait until the client asks for rows.
  if (outcome.error) run_->held.clear();
  if (!run_->held.empty()) {
    const bool unit = run_->purpose != UnitPurpose::sandbox;
    if (unit && !stack_.empty())
      stack_.entered();  // its lease may be lost before the rows are taken
    run_->deferred = std::move(outcome);
    return;
  }
  process(std::move(outcome));
  pump();
}

void Session::deliver_held() {
  while (!run_->held.empty() && !out_of_credit() && !run_->own_error) {
    const Held held = std::move(run_->held.front());
    run_->held.pop_front();
    if (held.columns.empty()) {
      send_row(held.item, held.row.views());
    } else {
      flush_rows();
      host_.send(MessageType::cols, number_, run_->header.request, held.columns);
    }
  }
  if (run_->own_error) run_->held.clear();
  flush_rows();
}

// After more credit, a discard or room in the output: what was held goes first, then the source.
void Session::go_on() {
  if (run_ == nullptr) return;
  deliver_held();
  if (!run_->held.empty()) return;
  if (run_->deferred) {
    UnitOutcome outcome = std::move(*run_->deferred);
    run_->deferred.reset();
    run_->paused = false;
    process(std::move(outcome));
    return pump();
  }
  if (!run_->paused || out_of_credit() || (!run_->discard && host_.output_full())) return;
  run_->paused = false;
  if (run_->purpose != UnitPurpose::none) backend_->resume();
}

void Session::on_drained() { go_on(); }

}  // namespace based::native
