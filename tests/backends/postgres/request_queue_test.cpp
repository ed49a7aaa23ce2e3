#include "backends/postgres/request_queue.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "protocol/postgres/backend.h"

namespace based::postgres {
namespace {

class Nobody final : public Requester {
 public:
  Flow on_reply(const Reply&) override { return Flow::more; }
  void on_ready(char) override {}
};

Request request_of(Requester& requester, const std::vector<Expect>& expected) {
  Request request{.requester = &requester};
  for (const Expect what : expected) request.expected.push_back({.what = what});
  return request;
}

// What becomes of these reply types, one letter each: d(eliver), f(inished), s(ynthesised), X.
std::string verdicts(RequestQueue& queue, std::string_view types) {
  std::string seen;
  for (const char type : types) {
    RequestQueue::Match match;
    RequestQueue::Verdict verdict;
    while ((verdict = queue.accept(type, match)) == RequestQueue::Verdict::synthesised) seen += 's';
    seen += verdict == RequestQueue::Verdict::deliver    ? 'd'
            : verdict == RequestQueue::Verdict::finished ? 'f'
                                                         : 'X';
  }
  return seen;
}

const std::vector<Expect> query{Expect::parse, Expect::bind, Expect::describe_portal,
                                Expect::execute};

}  // namespace

TEST_CASE("a request is answered message by message, and is over at its ReadyForQuery") {
  Nobody one;
  RequestQueue queue;
  queue.push(request_of(one, query));
  queue.push(request_of(one, {Expect::close}));
  queue.push(request_of(one, {}));
  CHECK(verdicts(queue, "12TDDCZ3ZZ") ==
        "dddddd"
        "f"
        "df"
        "f");
  CHECK(queue.empty());
}

TEST_CASE("every other reply than the expected one is a mismatch, at every place of a request") {
  const std::string good = "12TDC";
  const std::string all = "123tTnDCIsEGHWdcZRKX";
  for (std::size_t place = 0; place <= good.size(); ++place) {
    for (const char type : all) {
      Nobody one;
      RequestQueue queue;
      queue.push(request_of(one, query));
      CHECK(verdicts(queue, good.substr(0, place)) == std::string(place, 'd'));
      std::string allowed = "E";
      allowed += place == 0   ? "1"
                 : place == 1 ? "2"
                 : place == 2 ? "Tn"
                 : place <= 4 ? "DCIsGH"
                              : "Z";
      const bool expected = allowed.find(type) != std::string::npos;
      CAPTURE(place);
      CAPTURE(std::string(1, type));
      CHECK((verdicts(queue, {&type, 1}) != "X") == expected);
    }
  }
}

TEST_CASE("after an error only ReadyForQuery can follow, and the next request is untouched by it") {
  Nobody one;
  RequestQueue queue;
  queue.push(request_of(one, query));
  queue.push(request_of(one, query));
  CHECK(verdicts(queue, "1E") == "dd");
  CHECK(verdicts(queue, "2") == "X");
  CHECK(verdicts(queue, "Z12TCZ") ==
        "f"
        "dddd"
        "f");
}

TEST_CASE("an error may come when everything was answered: the commit failed") {
  Nobody one;
  RequestQueue queue;
  queue.push(request_of(one, query));
  CHECK(verdicts(queue, "12nC") == "dddd");
  RequestQueue::Match match;
  CHECK(queue.accept('E', match) == RequestQueue::Verdict::deliver);
  CHECK(match.expectation == nullptr);
  CHECK(match.requester == &one);
  CHECK(verdicts(queue, "Z") == "f");
}

TEST_CASE("nothing is expected of an empty queue") {
  RequestQueue queue;
  CHECK(verdicts(queue, "Z1DCE") == "XXXXX");
}

TEST_CASE("COPY data belongs between its beginning and its CommandComplete") {
  Nobody one;
  for (const auto& pair : std::vector<std::pair<std::string, std::string>>{{"HddcCZ", "dddddf"},
                                                                           {"GEZ", "ddf"},
                                                                           {"d", "X"},
                                                                           {"c", "X"},
                                                                           {"HD", "dX"},
                                                                           {"HH", "dX"}}) {
    RequestQueue queue;
    queue.push(request_of(one, {Expect::execute}));
    CAPTURE(pair.first);
    CHECK(verdicts(queue, pair.first) == pair.second);
  }
}

TEST_CASE("a synthesised reply is heard in its turn, and not after an error") {
  Nobody one;
  Request request = request_of(one, {Expect::parse, Expect::bind});
  request.expected.insert(request.expected.begin() + 1, {.fate = Fate::synthesise});
  RequestQueue queue;
  queue.push(request);
  queue.push(request);
  CHECK(verdicts(queue, "12Z") ==
        "d"
        "sd"
        "f");
  CHECK(verdicts(queue, "EZ") == "df");
}

TEST_CASE("a swallowed reply reaches nobody, its error does; a requester that went hears nothing") {
  Nobody one;
  Request request = request_of(one, {Expect::bind});
  request.expected[0].fate = Fate::swallow;
  RequestQueue queue;
  RequestQueue::Match match;
  queue.push(request);
  CHECK(queue.accept('2', match) == RequestQueue::Verdict::deliver);
  CHECK(match.requester == nullptr);
  CHECK(verdicts(queue, "Z") == "f");
  queue.push(request);
  CHECK(queue.accept('E', match) == RequestQueue::Verdict::deliver);
  CHECK(match.requester == &one);
  CHECK(verdicts(queue, "Z") == "f");
  queue.push(request);
  queue.forget(&one);
  CHECK(queue.accept('E', match) == RequestQueue::Verdict::deliver);
  CHECK(match.requester == nullptr);
  CHECK(queue.accept('Z', match) == RequestQueue::Verdict::finished);
  CHECK(match.requester == nullptr);
}

}  // namespace based::postgres
