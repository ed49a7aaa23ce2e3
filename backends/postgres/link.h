// Link: one open connection to PostgreSQL: its socket, its request queue, what it remembers.
//
//   starting -> idle <-> leased        leased -> cleaning -> idle
//               idle <-> checking      any -> closed
//
// starting: a first Sync, the database's init SQL, the names of its types, one after another.
// leased: a holder submits requests; the link itself only moves bytes. cleaning: the holder is
// gone; what runs is cancelled, what is open is rolled back, within cleanup_timeout, or the link is
// closed. checking: an empty query after a long rest. A link becomes idle only when its queue is
// empty, no cancel is in flight and the server has said the ready status that the host expects.
//
// Owned by its host (a pool or a sandbox), which destroys it at the end of the turn after
// on_link_closed. Loop thread only. The host and the holder are called from the loop, never inside
// a call into the link; except that release() may call on_link_idle, where the link is clean.
//
// A cancel request is not over when it was sent: it may strike a moment later. So the link waits
// until its queue is empty, then asks for one more ready status; only then it is quiet again. It is
// sent again, as the server forgets one that comes too early, until its request is answered.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/log.h"
#include "backends/postgres/channel.h"
#include "backends/postgres/definition_watch.h"
#include "backends/postgres/link_settings.h"
#include "backends/postgres/login_watch.h"
#include "backends/postgres/public_processes.h"
#include "backends/postgres/reported.h"
#include "backends/postgres/request_queue.h"
#include "backends/postgres/statement_cache.h"
#include "backends/reactor.h"
#include "protocol/postgres/backend.h"
#include "protocol/postgres/scanner.h"

namespace based::postgres {

class Link;

// More unsent bytes than these: the holder should wait for on_delivered before it adds more.
inline constexpr std::size_t out_bytes_high = 256 * 1024;
inline constexpr std::size_t streamed_over = 64 * 1024;

// Why a link was closed, as its holder must tell it: 08006 and the reason, or the server's own last
// words.
class LinkHolder {
 public:
  virtual ~LinkHolder() = default;
  virtual void on_link_lost(const Error& reason) = 0;
  // The cancel that the holder asked for can strike nothing any more; the queue is empty.
  virtual void on_cancel_over() = 0;
  // The server reported a setting; link.reported() has it already.
  virtual void on_reported() {}
  // A notification on a channel that this link listens to, by its public process number.
  virtual void on_notification(std::string_view /*raw*/) {}
  // What was read is delivered: a moment to pass on what was gathered.
  virtual void on_delivered() {}
};

// A few statements of Based's own, in one Sync group. Their rows of at least one value are given to
// `on_row`.
struct Chore {
  std::vector<std::string> texts;
  std::function<void(const std::vector<Cell>& row)> on_row;     // may be empty
  std::function<void(const std::optional<Error>& error)> then;  // may be empty
  bool of_holder = false;  // the callbacks end when the holder releases the link
  bool may_fail = false;   // its error is no reason to close a link that was let go meanwhile
  bool as_query = false;   // all of it is one simple Query: no rows
};

// On for a sandbox's link, for what might run behind a lost root, and off in the root.
inline constexpr std::string_view sandbox_guard = "default_transaction_read_only";

class LinkHost {
 public:
  virtual ~LinkHost() = default;
  // It is idle now: started, clean again, or checked.
  virtual void on_link_idle(Link& link) = 0;
  // It is closed and will not call any more. `was_started`: it had been idle before.
  virtual void on_link_closed(Link& link, const Error& reason, bool was_started) = 0;
  // What brings the link back from whatever its last holder left. An error in it closes the link.
  virtual std::vector<Chore> cleaning_chores(Link& link) = 0;
  // The ready status between two holders: 'I', or 'T' inside a root transaction.
  virtual char rest_status() const = 0;
  // Is it a sandbox's? What guards it is hidden from its clients.
  virtual bool rooted() const { return false; }
  // A statement was done, whoever had it run.
  virtual void note_tag(std::string_view /*tag*/) {}
  // A statement is sent that runs only when nobody is connected to this database of the server.
  virtual void on_database_to_leave(const std::string& /*database*/) {}
};

struct LinkLimits {
  Duration start_timeout{};    // for everything in `starting`
  Duration cleanup_timeout{};  // for cleaning, checking, and for a cancel to be over
  std::size_t statements_cached_max = 0;
  std::size_t message_bytes_max = 0;
  DefinitionNews* definitions_committed = nullptr;  // DefinitionWatch's; null: it is alone
  PublicProcesses* processes = nullptr;             // null: clients do not know one another by any
  std::uint64_t* logins_changed = nullptr;          // LoginWatch's
};

enum class LinkState : std::uint8_t { starting, idle, leased, cleaning, checking, closed };

// finished: what the holder did stays. abandoned: what it has not committed goes.
enum class Leaving : std::uint8_t { finished, abandoned };

// in_flight: a helper thread is at it. striking: it was sent, and may strike what still runs.
// proving: the queue was empty, and the server is asked once more.
enum class CancelState : std::uint8_t { none, in_flight, striking, proving };

class Link final {
 public:
  Link(std::uint64_t id, std::unique_ptr<Channel> channel, LinkLimits limits, LinkHost& host,
       Reactor& reactor, Log& log);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // --- the host's side
  void start(std::vector<Chore> chores);
  // REQUIRES idle. False: it is broken and closes soon; take another.
  bool lease(LinkHolder& holder);
  void check();  // REQUIRES idle
  // One more chore of the cleaning under way; inside of the callbacks of one.
  void clean_further(Chore chore) { pending_.push_back(std::move(chore)); }
  // The last statements of a link; `then` runs when they are answered. REQUIRES idle.
  void run_last(Chore chore);
  // Closes at once; on_link_closed follows from the loop. `reason` is what a holder hears.
  void close(Error reason);

  // --- the holder's side. REQUIRES leased to this holder.
  // Messages are appended to out(), then submitted with what they must bring.
  std::string& out() { return out_; }
  void submit(Request request);
  // The same in pieces: each message is appended to out() and told to the queue; flush() sends what
  // has gathered, and tells of expectations that nothing has to be awaited for.
  RequestQueue& queue() { return queue_; }
  void flush();
  // Large rows come in parts of a few KiB instead of whole; until the release.
  void stream_rows() { scanner_.stream_over(streamed_over); }
  // Behind what is in out(): so many bytes that mean nothing, in the place of the rest of a
  // message.
  void fill(std::size_t bytes);
  bool is_congested() const { return out_.size() - out_sent_ > out_bytes_high; }
  void run_chore(Chore chore);
  // The same for the host, ahead of what the new holder will send: the status that the chore leads
  // to counts from now on. Refused, the link closes.
  void begin_ahead(Chore chore, char status);
  // Goes in front of whatever is sent next, in the same write. Refused, the link closes. Who sends
  // by out() and queue() calls send_owed() before.
  void owe(Chore chore) { owed_ = std::move(chore); }
  void send_owed();
  // Nothing was sent since owe(): it is owed no more, and returned.
  std::optional<Chore> take_owed() { return std::exchange(owed_, std::nullopt); }
  // Asks for the running request to be cancelled, and for none that was sent behind it.
  // `until_sent` is let go when the server has been asked, if this asks it.
  void cancel(std::shared_ptr<const void> until_sent = nullptr);
  void set_paused(bool paused);
  // Sends CopyFail and a Sync for it: the answer to CopyInResponse, which had swallowed ours.
  void refuse_copy();
  // Gives the link back. It is idle in a moment where it is clean, else it is cleaned first.
  void release(Leaving leaving);
  // The requester is going: its replies are swallowed from now on.
  void forget(const Requester* requester);

  // --- what everybody may ask
  std::uint64_t id() const { return id_; }
  LinkState state() const { return state_; }
  char status() const { return status_; }  // the last ReadyForQuery's
  bool quiet() const { return queue_.empty() && cancel_ == CancelState::none; }
  CancelState cancel_state() const { return cancel_; }
  bool unsent() const { return out_sent_ < out_.size() || fill_left_ > 0; }
  StatementCache& statements() { return statements_; }
  DefinitionWatch& definitions() { return definitions_; }
  // A text of a client's is sent, of one statement or several.
  void note_sent(std::string_view text);
  // The same of a statement. True: what comes behind it may mean something else.
  bool note_sent(const Statement& statement);
  // A new group of statements is being written.
  void begin_group() {
    definitions_.begin_group();
    statements_.begin_group();
  }
  // What sessions have prepared under names of their own, and without a name, as far as it may be
  // there still. Whose it is, the holder knows by the pointer; null: not known. What is not named
  // here is not there.
  struct OwnStatements {
    struct Named {
      std::shared_ptr<const void> text;
      bool closed = false;   // if the server has come that far
      bool settled = false;  // it has
    };
    std::shared_ptr<const void> unnamed;
    std::shared_ptr<const void> doubted;  // was the unnamed one, and may be
    std::map<std::string, Named, std::less<>> named;

    // What was sent may be skipped behind an error.
    void doubt_sent() {
      if (unnamed) doubted = std::move(unnamed);
      unnamed.reset();
      for (auto& [name, there] : named) {
        if (!there.settled) there = {};
      }
    }
    // Something may have dropped any of them.
    void doubt() {
      doubt_sent();
      for (auto& [name, there] : named) there = {};
    }
    // What was sent was done.
    void settle() {
      std::erase_if(named, [](const auto& entry) { return entry.second.closed; });
      for (auto& [name, there] : named) there.settled = true;
    }
  };
  OwnStatements& own_statements() { return own_statements_; }
  // The server has dropped every prepared statement.
  void forget_statements();
  LinkSettings& settings() { return settings_; }
  const LinkSettings& settings() const { return settings_; }
  // Must texts be checked: is the server's or the client's encoding not UTF-8?
  bool check_utf8() const { return check_utf8_; }
  // What the server has said of its settings.
  const ReportedRef& reported() const { return reported_; }
  // An equal value, to be shared.
  void adopt_reported(ReportedRef reported) { reported_ = std::move(reported); }
  std::int32_t process_id() const { return process_id_; }
  // The number by which its holder knows itself; 0: none.
  void set_client(std::int32_t process) {
    if (client_process_) *client_process_ = process;
  }
  // The holder left something behind, or broke off. For cleaning_chores.
  bool abandoned() const { return abandoned_; }
  // Since when its holder has wanted nothing more of what the server says, as its client does not
  // read; none: it wants it.
  std::optional<TimePoint> paused_since() const {
    return paused_ ? std::optional(paused_at_) : std::nullopt;
  }
  TimePoint ready_at() const { return ready_at_; }  // of the last ReadyForQuery
  TimePoint heard_at() const { return heard_at_; }  // of the last bytes
  TimePoint opened_at() const { return opened_at_; }
  TimePoint idle_since() const { return idle_since_; }  // proven alive then
  TimePoint used_at() const { return used_at_; }        // last given back by a holder
  std::string describe() const;                         // "link 7 (server process 4711)"

 private:
  class ChoreRun;

  void transition(LinkState to, std::string_view why);
  void finish_chore(ChoreRun* run, const std::optional<Error>& error);
  void continue_pending();
  bool cancel_answered() const { return requests_done_ != cancel_for_; }
  bool cancel_due() const;
  bool runs_own() const;
  void advance_cancel();
  void send_cancel(std::shared_ptr<const void> until_sent);

  void on_descriptor(Reactor::Ready ready);
  void write_out();
  void forget_sent();
  void settle_synthesised();
  bool read_once();
  void read();
  void read_last(std::string_view why);
  void deliver();
  void take(const Piece& piece);
  void take_reply(const Piece& piece);
  void take_unasked(const Piece& piece);
  void refuse_data();
  void end_skipping();
  void note_last_words(const Piece& piece);
  void update_interest();
  void soon();
  void on_soon();
  void on_deadline();
  void on_cancelled(bool sent);
  void break_off(std::string_view why);
  void finish_closing();

  std::uint64_t id_;
  std::int32_t process_id_ = 0;
  PublicProcesses::Client client_process_;
  LinkLimits limits_;
  LinkHost& host_;
  Reactor& reactor_;
  Log& log_;
  std::unique_ptr<Channel> channel_;
  std::unique_ptr<Reactor::Watch> watch_;
  std::unique_ptr<Reactor::Timer> deadline_;
  std::unique_ptr<Reactor::Timer> cancel_deadline_;
  std::unique_ptr<Reactor::Timer> cancel_again_;
  Duration cancel_pause_{};
  std::uint64_t requests_done_ = 0;
  std::uint64_t cancel_for_ = 0;  // so many were done when the cancel was asked for
  bool cancel_waits_ = false;     // for Based's own statements, which come first
  std::unique_ptr<Reactor::Timer> soon_;

  LinkState state_ = LinkState::starting;
  LinkHolder* holder_ = nullptr;
  MessageScanner scanner_;
  RequestQueue queue_;
  std::string out_;
  std::size_t out_sent_ = 0;
  std::size_t fill_at_ = 0, fill_left_ = 0;  // bytes that mean nothing, where in out_ they belong
  std::deque<Chore> pending_;                // of starting, cleaning, checking: one after another
  std::vector<std::unique_ptr<ChoreRun>> chores_;  // submitted
  std::optional<Chore> owed_;

  StatementCache statements_;
  DefinitionWatch definitions_;
  LoginWatch logins_;
  OwnStatements own_statements_;
  LinkSettings settings_;
  char status_ = 'I';
  bool started_ = false;
  bool check_utf8_ = false;
  ReportedRef reported_;
  bool cleaning_asked_ = false;  // the host's chores of this cleaning are in pending_
  bool ended_ = false;           // the server has closed its side
  CancelState cancel_ = CancelState::none;
  bool abandoned_ = false;
  bool paused_ = false;
  bool write_wants_read_ = false;
  std::string write_error_;  // nothing more can be sent, but something may be there
  bool read_wants_write_ = false;
  Requester* large_requester_ = nullptr;  // of a message that comes in parts
  Expectation large_expectation_;
  std::optional<Error> close_reason_;  // to be closed, from the loop
  std::optional<Error> last_words_;    // the server's FATAL
  TimePoint opened_at_;
  TimePoint idle_since_;
  TimePoint used_at_;
  TimePoint ready_at_;
  TimePoint heard_at_;
  TimePoint paused_at_;
};

}  // namespace based::postgres
