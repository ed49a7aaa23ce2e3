#include "backends/postgres/request_queue.h"

#include <utility>

#include "protocol/postgres/backend.h"

namespace based::postgres {

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
    case Expect::execute:
      break;
  }
  if (type == reply::command_complete || type == reply::empty_query ||
      type == reply::portal_suspended) {
    waiting.copying = false;
    return true;
  }
  ends = false;
  if (type == reply::copy_in || type == reply::copy_out) {
    return !std::exchange(waiting.copying, true);
  }
  if (type == reply::copy_data || type == reply::copy_done) return waiting.copying;
  return type == reply::data_row && !waiting.copying;
}

RequestQueue::Verdict RequestQueue::accept(char type, Match& match) {
  match = {};
  if (requests_.empty()) return Verdict::mismatch;
  Waiting& head = requests_.front();
  const std::vector<Expectation>& expected = head.request.expected;
  if (!head.failed && head.answered < expected.size() &&
      expected[head.answered].fate == Fate::synthesise) {
    matched_ = expected[head.answered++];
    match = {.requester = head.request.requester, .expectation = &matched_};
    return Verdict::synthesised;
  }
  const bool all_answered = head.answered == expected.size();
  if (type == reply::ready) {
    if (!all_answered && !head.failed) return Verdict::mismatch;
    match.requester = head.request.requester;
    requests_.pop_front();
    return Verdict::finished;
  }
  if (head.failed) return Verdict::mismatch;
  if (!all_answered) {
    matched_ = expected[head.answered];
    match.expectation = &matched_;
  }
  if (type == reply::error) {
    head.failed = true;
    match.requester = head.request.requester;
    return Verdict::deliver;
  }
  bool ends = false;
  if (all_answered || !answers(head, type, ends)) return Verdict::mismatch;
  if (ends) ++head.answered;
  if (matched_.fate == Fate::forward) match.requester = head.request.requester;
  return Verdict::deliver;
}

void RequestQueue::forget(const Requester* requester) {
  for (Waiting& waiting : requests_) {
    if (waiting.request.requester == requester) waiting.request.requester = nullptr;
  }
}

Requester* RequestQueue::head() const {
  return requests_.empty() ? nullptr : requests_.front().request.requester;
}

}  // namespace based::postgres
