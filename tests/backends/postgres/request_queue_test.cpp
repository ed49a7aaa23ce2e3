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
                                                                           {"GE", "dd"},
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

TEST_CASE("a COPY into the server ignores the Sync before it: the request waits for another one") {
  Nobody one;
  RequestQueue queue;
  queue.push(request_of(one, {Expect::execute}));
  CHECK(verdicts(queue, "G") == "d");
  CHECK(queue.is_open());
  CHECK(verdicts(queue, "C") == "d");
  CHECK(verdicts(queue, "Z") == "X");
  queue.close(true);
  CHECK(verdicts(queue, "Z") == "f");
}

TEST_CASE(
    "a COPY into the server with more behind it fails by that, and reads the Sync behind it") {
  Nobody one;
  RequestQueue queue;
  queue.push(request_of(one, {Expect::execute, Expect::parse}));
  CHECK(verdicts(queue, "G") == "d");
  CHECK_FALSE(queue.is_open());
  CHECK(verdicts(queue, "EZ") == "df");
}

TEST_CASE("an open request grows while it is answered, and is over behind its Sync") {
  Nobody one;
  RequestQueue queue;
  queue.push({.requester = &one, .expected = {}, .open = true});
  CHECK_FALSE(queue.awaits_reply());
  queue.append({.what = Expect::parse});
  CHECK(queue.awaits_reply());
  CHECK(verdicts(queue, "1") == "d");
  CHECK_FALSE(queue.awaits_reply());
  CHECK(verdicts(queue, "Z") == "X");
  queue.append({.what = Expect::bind});
  queue.close(true);
  CHECK(verdicts(queue, "2Z") == "df");
}

TEST_CASE("a query has some results, each with an end, rows behind a description; or an error") {
  Nobody one;
  for (const auto& pair : std::vector<std::pair<std::string, std::string>>{
           {"TDDCCIZ", "ddddddf"},
           {"TDTDCZ", "dddddf"},  // a rule: DO ALSO SELECT
           {"HdcCZ", "ddddf"},
           {"GCZ", "ddf"},
           {"CEZ", "ddf"},
           {"TDEZ", "dddf"},
           {"Z", "X"},
           {"TZ", "dX"},
           {"TDZ", "ddX"},
           {"CTZ", "ddX"},
           {"HdZ", "ddX"},
           {"D", "X"},
           {"TDCD", "dddX"},
           {"GT", "dX"},
           {"TCs", "ddX"},
           {"1", "X"}}) {
    RequestQueue queue;
    queue.push(request_of(one, {Expect::query}));
    CAPTURE(pair.first);
    CHECK(verdicts(queue, pair.first) == pair.second);
  }
}

TEST_CASE("an error before a query in the same request skips it, and all up to the next Sync") {
  struct Skips final : Requester {
    Flow on_reply(const Reply&) override { return Flow::more; }
    void on_ready(char) override {}
    void on_skipped() override { ++skipped; }
    int skipped = 0;
  } one;
  RequestQueue queue;
  queue.push(request_of(one, {Expect::parse, Expect::query}));
  queue.push(request_of(one, {Expect::query}));
  queue.push(request_of(one, {Expect::bind}));
  queue.push(request_of(one, {Expect::bind}));
  CHECK(verdicts(queue, "EZ") == "df");
  CHECK(one.skipped == 2);
  CHECK(verdicts(queue, "2Z") == "df");
  CHECK(queue.empty());
}

TEST_CASE("a skipped query with nothing behind it leaves the request open for the client's Sync") {
  Nobody one;
  RequestQueue queue;
  queue.push(request_of(one, {Expect::parse, Expect::query}));
  CHECK(verdicts(queue, "E") == "d");
  CHECK(queue.is_open());
  queue.close(false);
  CHECK(queue.is_open());
  queue.close(true);
  CHECK(verdicts(queue, "Z") == "f");
}

TEST_CASE("a function call whose commit fails behind its result is not skipped") {
  Nobody one;
  RequestQueue queue;
  queue.push(request_of(one, {Expect::parse, Expect::function_call}));
  queue.push(request_of(one, {Expect::function_call}));
  queue.push(request_of(one, {}));
  CHECK(verdicts(queue, "1VEZVEZZ") == "dddfddff");
  CHECK(queue.empty());
}

TEST_CASE("what was never sent is told as soon as everything before it is answered") {
  Nobody one;
  RequestQueue queue;
  RequestQueue::Match match;
  Request request = request_of(one, {Expect::parse, Expect::bind});
  request.expected[1].fate = Fate::synthesise;
  queue.push(std::move(request));
  CHECK_FALSE(queue.take_synthesised(match));
  CHECK(verdicts(queue, "1") == "d");
  CHECK(queue.take_synthesised(match));
  CHECK(match.requester == &one);
  CHECK_FALSE(queue.take_synthesised(match));
  CHECK(verdicts(queue, "Z") == "f");
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

TEST_CASE(
    "an open request that grows for ever keeps its place, and expects nothing behind an error") {
  Nobody one;
  RequestQueue queue;
  queue.push({.requester = &one, .open = true});
  for (int turn = 0; turn < 20'000; ++turn) {
    queue.append({.what = Expect::bind, .index = static_cast<std::uint32_t>(turn)});
    queue.append({.what = Expect::execute});
    REQUIRE(queue.next()->index == static_cast<std::uint32_t>(turn));
    REQUIRE(verdicts(queue, "2DC") == "ddd");
    REQUIRE_FALSE(queue.awaits_reply());
  }
  queue.append({.what = Expect::close});
  CHECK(verdicts(queue, "2") == "X");
  CHECK(verdicts(queue, "E") == "d");
  queue.append({.what = Expect::execute});
  CHECK(queue.next() == nullptr);
  CHECK_FALSE(queue.awaits_reply());
  queue.close(true);
  CHECK(verdicts(queue, "Z") == "f");
  CHECK(queue.empty());
}

}  // namespace based::postgres
