// Run: what one request of a session is doing: its steps, how far they are, and what there is to
// answer.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/sink.h"
#include "backends/statement.h"
#include "backends/transaction_stack.h"
#include "daemon/native/binding.h"
#include "protocol/native/messages.h"
#include "protocol/native/rows_writer.h"

namespace based::native {

// One statement to be run once. With execute-many several runs make one item, or, without a set of
// parameters, none: then it is only described.
struct PlannedStep {
  StatementRef statement;
  ParametersView parameters;  // into the request's payload
  std::uint32_t item = 0;     // the step's number in COLS, ROWS and results
  bool describe = false;
};

// What one item has come to. `reached` once anything is known of it.
struct ItemResult {
  bool reached = false;
  bool columns_sent = false;
  std::string tag;
  std::optional<std::int64_t> affected;
  std::optional<std::int64_t> last_insert_id;
  std::uint64_t rows = 0;
  bool truncated = false;
  std::unique_ptr<Error> error;
};

// A frame or row that has come although the client's credit is used up.
struct Held {
  std::uint32_t item = 0;
  std::string columns;  // COLS's payload; else a row
  ValueList row;
};

enum class UnitPurpose : std::uint8_t {
  none,     // no unit is in flight
  steps,    // the request's statements
  ending,   // the end of levels: commit, rollback
  sandbox,  // a SANDBOX command
};

struct Run {
  Run(const FrameHeader& header_, std::string payload_, std::uint32_t session,
      std::uint32_t frame_bytes_max)
      : header(header_),
        payload(std::move(payload_)),
        rows(session, header_.request, frame_bytes_max) {}

  FrameHeader header;
  std::string payload;  // what the views of the steps point into

  // EXEC and BATCH
  RunOptions options;
  bool stop = true;
  bool is_batch = false;
  bool begun = false;              // something of it may have been done
  std::optional<Binding> binding;  // EXEC: one for all of its statements
  std::vector<PlannedStep> steps;
  std::vector<ItemResult> items;
  std::size_t next = 0;         // the first step that has not been submitted
  std::size_t group_begin = 0;  // of the unit in flight
  std::size_t group_end = 0;
  bool guarded = false;       // the unit in flight undoes itself on an error
  ProfileRef profile_before;  // it: the settings are undone, too

  // Results
  RowsWriter rows;
  std::optional<std::uint64_t> credit;
  bool discard = false;
  bool dropped = false;  // rows that were not wanted any more
  bool paused = false;
  bool flush_planned = false;
  std::deque<Held> held;
  std::optional<UnitOutcome> deferred;  // came while rows were held
  std::optional<Error> own_error;       // ours, although the database had none
  std::uint32_t own_error_item = 0;

  // Ends of levels, as a request of its own or as a step
  UnitPurpose purpose = UnitPurpose::none;
  LevelsEnd ending;
  std::optional<BeginOptions> chain;  // AND CHAIN: what begins after the end
  std::optional<Error> close_error;   // CLOSE: to be told after the rollback
  End end;
  bool cancelled = false;
};

// A request that has not begun.
struct WaitingRequest {
  FrameHeader header;
  std::string payload;
  std::uint64_t more_credit = 0;
  bool discard = false;
  bool answered = false;  // cancelled: only its place in a chain is left
};

}  // namespace based::native
