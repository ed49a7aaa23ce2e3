// RequestQueue: what was asked on one link and has not been answered, in order. Pure.
//
// Each request is what one ReadyForQuery answers: one Sync group, or one simple Query; each of its
// expectations is one message that was sent, with the reply it must bring. A request may be pushed
// open and grow while it is answered already. A reply that is not the expected one means that we
// have lost the stream: the link must be closed, because the next bytes could reach the wrong
// client.
//
// After an error in the extended protocol the server skips everything up to a Sync, simple queries
// too: requests that end with such a query are then skipped, and answered by the ReadyForQuery of a
// later one. A Sync that the server reads while it copies in is ignored, so CopyInResponse opens
// its request again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "backends/sink.h"

namespace based::postgres {

enum class Expect : std::uint8_t {
  parse,               // ParseComplete
  bind,                // BindComplete
  describe_statement,  // ParameterDescription, then RowDescription or NoData
  describe_portal,     // RowDescription or NoData
  execute,        // rows or COPY data, then CommandComplete, EmptyQueryResponse, PortalSuspended
  close,          // CloseComplete
  query,          // some results, each like execute's, rows behind a RowDescription; then ready
  function_call,  // FunctionCallResponse; then ready
};

enum class Fate : std::uint8_t {
  forward,     // the reply goes to the requester
  swallow,     // nobody hears of it, unless it is an error
  synthesise,  // nothing was sent; the requester hears of it when its turn has come
};

struct Expectation {
  Expect what = Expect::parse;
  Fate fate = Fate::forward;
  UnitPhase phase = UnitPhase::step;  // what the requester asked it for
  std::uint32_t index = 0;            // which one of that phase
  std::uint32_t statement = 0;        // bind: what the link's StatementCache numbers so, or 0
};

// One reply, or part of one (`last` is false), for the expectation that it answers.
struct Reply {
  char type = 0;  // protocol/postgres/backend.h; 0 for a synthesised one
  std::string_view body;
  // With type and length, as it came; of a message in parts only the part's bytes.
  std::string_view raw;
  std::uint32_t body_bytes = 0;  // of the whole message
  bool whole = true;             // false: a part of a message that is too large to be kept
  bool first = true;
  bool last = true;
  // Where the request stands. An error that came when everything was answered (the implicit
  // transaction's commit failed) has none.
  const Expectation* expectation = nullptr;
};

// Whoever a request's replies are for. Called on the loop, never inside RequestQueue or submit().
class Requester {
 public:
  virtual ~Requester() = default;
  // Also errors and notices. pause: the link reads no further until it is told to.
  virtual Flow on_reply(const Reply& reply) = 0;
  // ReadyForQuery: the request is over. `status` is 'I', 'T' or 'E'. The last call for it.
  virtual void on_ready(char status) = 0;
  // A request was skipped behind an error: the next ReadyForQuery answers it too.
  virtual void on_skipped() {}
};

struct Request {
  Requester* requester = nullptr;  // null: everything is swallowed
  std::vector<Expectation> expected;
  bool open = false;  // its Sync has not been sent: more may be appended
};

class RequestQueue {
 public:
  enum class Verdict : std::uint8_t {
    deliver,      // to match.requester, or to nobody
    synthesised,  // deliver match first, then ask again with the same reply
    finished,     // ReadyForQuery of the head, which is gone from the queue
    mismatch,     // close the link
  };
  struct Match {
    Requester* requester = nullptr;  // null: swallowed
    const Expectation* expectation = nullptr;
  };

  void push(Request request);
  // Is the newest request still open? The following two REQUIRE it.
  bool is_open() const { return !requests_.empty() && requests_.back().request.open; }
  // Behind an error nothing is expected any more.
  void append(Expectation expectation) {
    if (!requests_.back().failed) requests_.back().request.expected.push_back(expectation);
  }
  // The Sync, Query or FunctionCall that ends it was sent. A request that has failed already is not
  // ended by a Query.
  void close(bool by_sync);
  bool empty() const { return requests_.empty(); }
  // Has the server anything to answer?
  bool awaits_reply() const {
    return !requests_.empty() &&
           (!requests_.front().request.open ||
            (!requests_.front().failed &&
             requests_.front().answered < requests_.front().request.expected.size()));
  }
  std::size_t size() const { return requests_.size(); }

  // What a whole reply, or the first part of a large one, means. Notices, notifications and
  // parameter changes are not replies: do not ask.
  Verdict accept(char type, Match& match);
  // The head's next expectation is synthesised and everything before it was answered: match tells
  // it, and it is over. To be asked until it says false.
  bool take_synthesised(Match& match);

  // The requester is gone: its requests are answered to nobody.
  void forget(const Requester* requester);
  // Whose request is being answered; null when nobody's.
  Requester* head() const;
  // What is awaited next; null: a ready status, or nothing.
  const Expectation* next() const;
  void clear() { requests_.clear(); }

 private:
  struct Waiting {
    Request request;
    std::size_t answered = 0;  // expectations
    bool failed = false;       // an error came: only ReadyForQuery can follow
    bool copying = false;      // in COPY, until its CommandComplete
    bool described = false;    // a query's result: rows may come
    bool complete = false;     // a query's newest result has come to its end
  };
  static bool answers(Waiting& waiting, char type, bool& ends);
  static bool ends_with_query(const Waiting& waiting);
  static bool answers_result(Waiting& waiting, char type);
  static bool answers_query(Waiting& waiting, char type);
  static void forget_answered(Waiting& waiting);
  Verdict accept_ready(Match& match);
  void fail_head();
  void pop_head();

  std::deque<Waiting> requests_;
  std::vector<Expectation> spare_;  // of a request that is answered: room for the next one's
  Expectation matched_;
};

}  // namespace based::postgres
