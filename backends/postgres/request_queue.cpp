#include "backends/postgres/request_queue.h"

#include <utility>

#include "protocol/postgres/backend.h"

namespace based::postgres {
namespace {

constexpr std::size_t expectations_kept_max = 64;
constexpr std::size_t answered_kept_max = 4096;

}  // namespace

// Rows, COPY data and the end of one result: of an Execute, and of each statement of a Query.
bool RequestQueue::answers_result(Waiting& waiting, char type) {
  switch (type) {
    case reply::command_complete:
    case reply::empty_query:
    case reply::portal_suspended:
      waiting.copying = false;
      return true;
    case reply::copy_in:
    case reply::copy_out:
      return !std::exchange(waiting.copying, true);
    case reply::copy_data:
    case reply::copy_done:
      return waiting.copying;
    case reply::data_row:
      return !waiting.copying;
    default:
      return false;
  }
}

// A rule may add a description and rows to those of its statement.
bool RequestQueue::answers_query(Waiting& waiting, char type) {
  waiting.complete = type == reply::command_complete || type == reply::empty_query;
  if (type == reply::row_description) return waiting.described = !waiting.copying;
  if (type == reply::data_row && !waiting.described) return false;
  if (waiting.complete) waiting.described = false;
  return type != reply::portal_suspended && answers_result(waiting, type);
}

// Does a reply of this type answer the request's next expectation, and is that over with it?
bool RequestQueue::answers(Waiting& waiting, char type, bool& ends) {
  ends = true;
  switch (waiting.request.expected[waiting.answered].what) {
    case Expect::parse:
      return type == reply::parse_complete;
    case Expect::bind:
      return type == reply::bind_complete;
    case Expect::close:
      return type == reply::close_complete;
    case Expect::describe_statement:
      ends = type != reply::parameter_description;
      return !ends || type == reply::row_description || type == reply::no_data;
    case Expect::describe_portal:
      return type == reply::row_description || type == reply::no_data;
    case Expect::function_call:
      return type == reply::function_call_response;
    case Expect::query:
      ends = false;
      return answers_query(waiting, type);
    case Expect::execute:
      break;
  }
  ends = type == reply::command_complete || type == reply::empty_query ||
         type == reply::portal_suspended;
  // A Sync that was sent right behind it is read as part of the COPY, and ignored.
  const bool last = waiting.answered + 1 == waiting.request.expected.size();
  if (type == reply::copy_in && !waiting.copying && last) waiting.request.open = true;
  return answers_result(waiting, type);
}

bool RequestQueue::ends_with_query(const Waiting& waiting) {
  const std::vector<Expectation>& expected = waiting.request.expected;
  if (waiting.request.open || expected.empty()) return false;
  const Expect last = expected.back().what;
  return last == Expect::query || last == Expect::function_call;
}

void RequestQueue::close(bool by_sync) {
  Waiting& newest = requests_.back();
  newest.request.open = !by_sync && newest.failed;
}

bool RequestQueue::take_synthesised(Match& match) {
  if (requests_.empty()) return false;
  Waiting& head = requests_.front();
  const std::vector<Expectation>& expected = head.request.expected;
  if (head.failed || head.answered == expected.size() ||
      expected[head.answered].fate != Fate::synthesise) {
    return false;
  }
  matched_ = expected[head.answered++];
  match = {.requester = head.request.requester, .expectation = &matched_};
  return true;
}

void RequestQueue::push(Request request) {
  if (request.expected.empty()) std::swap(request.expected, spare_);
  requests_.push_back({std::move(request), 0, false, false});
}

void RequestQueue::pop_head() {
  std::vector<Expectation>& expected = requests_.front().request.expected;
  if (expected.capacity() <= expectations_kept_max) {
    spare_ = std::move(expected);
    spare_.clear();
  }
  requests_.pop_front();
}

// A request that is not closed may grow for ever. How it ends is known by its last one, which
// stays.
void RequestQueue::forget_answered(Waiting& waiting) {
  std::vector<Expectation>& expected = waiting.request.expected;
  if (waiting.answered < answered_kept_max || waiting.answered < expected.size() / 2) return;
  const auto over = static_cast<std::ptrdiff_t>(waiting.answered - 1);
  expected.erase(expected.begin(), expected.begin() + over);
  waiting.answered = 1;
}

RequestQueue::Verdict RequestQueue::accept_ready(Match& match) {
  const Waiting& head = requests_.front();
  const std::size_t left = head.request.expected.size() - head.answered;
  const bool answered = left == 0 || (left == 1 && head.complete);
  if (head.request.open || (!answered && !head.failed)) return Verdict::mismatch;
  match.requester = head.request.requester;
  pop_head();
  return Verdict::finished;
}

// The server has sent an error for the head, and skips what it skips.
void RequestQueue::fail_head() {
  for (;;) {
    Waiting& head = requests_.front();
    // Also behind the function's result: its commit has failed.
    const bool in_query = head.answered + 1 >= head.request.expected.size();
    if (!ends_with_query(head) || (in_query && !head.failed)) {
      head.failed = true;
      return;
    }
    if (requests_.size() == 1) {
      head.failed = true;
      head.request.open = true;
      return;
    }
    if (head.request.requester != nullptr) head.request.requester->on_skipped();
    pop_head();
    requests_.front().failed = true;
  }
}

RequestQueue::Verdict RequestQueue::accept(char type, Match& match) {
  match = {};
  if (requests_.empty()) return Verdict::mismatch;
  if (take_synthesised(match)) return Verdict::synthesised;
  if (type == reply::ready) return accept_ready(match);
  Waiting& head = requests_.front();
  const std::vector<Expectation>& expected = head.request.expected;
  const bool all_answered = head.answered == expected.size();
  if (head.failed) return Verdict::mismatch;
  if (!all_answered) {
    matched_ = expected[head.answered];
    match.expectation = &matched_;
  }
  if (type == reply::error) {
    match.requester = head.request.requester;
    fail_head();
    return Verdict::deliver;
  }
  bool ends = false;
  if (all_answered || !answers(head, type, ends)) return Verdict::mismatch;
  if (ends) {
    ++head.answered;
    forget_answered(head);
  }
  if (matched_.fate == Fate::forward) match.requester = head.request.requester;
  return Verdict::deliver;
}

void RequestQueue::forget(const Requester* requester) {
  for (Waiting& waiting : requests_) {
    if (waiting.request.requester == requester) waiting.request.requester = nullptr;
  }
}

const Expectation* RequestQueue::next() const {
  if (requests_.empty()) return nullptr;
  const Waiting& front = requests_.front();
  const bool over = front.failed || front.answered >= front.request.expected.size();
  return over ? nullptr : &front.request.expected[front.answered];
}

Requester* RequestQueue::head() const {
  return requests_.empty() ? nullptr : requests_.front().request.requester;
}

}  // namespace based::postgres
