#include "backends/sqlite/sandbox.h"

#include <algorithm>
#include <utility>

#include "protocol/check.h"

namespace based::sqlite {
namespace {

Error shutting_down() {
  return Error::make(sqlstate::admin_shutdown, "the database is shutting down");
}

}  // namespace

// A mark that waits for its turn, as a session's unit would.
class SqliteSandbox::MarkRequest final : public LaneClient {
 public:
  MarkRequest(SqliteSandbox& sandbox, std::string name, Done done)
      : sandbox_(sandbox),
        name_(std::move(name)),
        text_("SANDBOX MARK " + name_),
        done_(std::move(done)),
        anchor_(std::make_shared<LaneClient*>(this)) {
    options_.label = "SANDBOX MARK";
    const Duration patience = sandbox.options_.turn_timeout;
    if (patience > Duration{}) deadline_ = sandbox.reactor_.now() + patience;
  }
  ~MarkRequest() override { *anchor_ = nullptr; }

  const std::string& name() const { return name_; }
  Done take_done() { return std::move(done_); }

  const SessionOptions& options() const override { return options_; }
  std::shared_ptr<Job> start(Job::Deliver deliver) override {
    return std::make_shared<Job>(Job::Setup{
        .mark = name_, .memory = std::make_shared<SessionMemory>(), .deliver = std::move(deliver)});
  }
  void take(std::shared_ptr<Parcel> parcel) override {
    if (parcel->outcome()) sandbox_.finished(*this, parcel->outcome()->error);
  }
  std::weak_ptr<LaneClient*> anchor() const override { return anchor_; }
  void refuse(Error error) override {
    sandbox_.reactor_.post([weak = std::weak_ptr<LaneClient*>{anchor_}, error = std::move(error)] {
      const auto there = weak.lock();
      if (!there || *there == nullptr) return;
      auto& self = static_cast<MarkRequest&>(**there);
      self.sandbox_.finished(self, error);
    });
  }
  void lose_lease(Error) override { INVARIANT(false); }  // it never has one
  std::optional<TimePoint> paused_since() const override { return std::nullopt; }
  TimePoint queue_deadline() const override { return deadline_; }
  bool is_one_shot() const override { return true; }
  bool joins() const override { return false; }
  std::string_view first_statement() const override { return text_; }

 private:
  SqliteSandbox& sandbox_;
  const std::string name_;
  const std::string text_;
  Done done_;
  SessionOptions options_;
  TimePoint deadline_{};
  std::shared_ptr<LaneClient*> anchor_;
};

SqliteSandbox::SqliteSandbox(const SqliteOptions& options, Reactor& reactor)
    : options_(options),
      reactor_(reactor),
      began_(reactor.now()),
      anchor_(std::make_shared<SqliteSandbox*>(this)) {}

SqliteSandbox::~SqliteSandbox() { *anchor_ = nullptr; }

void SqliteSandbox::post(Done done, Error error) {
  reactor_.post([done = std::move(done), error = std::move(error)] { done(error); });
}

bool SqliteSandbox::has_mark(const std::string& name) const {
  return std::ranges::find(marks_, name) != marks_.end();
}

void SqliteSandbox::mark(const std::string& name, Done done) {
  requests_.push_back(std::make_unique<MarkRequest>(*this, name, std::move(done)));
  lane_->submit(*requests_.back());
}

void SqliteSandbox::finished(MarkRequest& request, const std::optional<Error>& error) {
  const auto found =
      std::ranges::find_if(requests_, [&](const auto& one) { return one.get() == &request; });
  INVARIANT(found != requests_.end());
  const auto ended = std::move(*found);
  requests_.erase(found);
  if (!error) {
    std::erase(marks_, ended->name());
    marks_.push_back(ended->name());
  }
  ended->take_done()(error);
}

void SqliteSandbox::reset(const std::optional<std::string>& mark, Done done) {
  if (mark && !has_mark(*mark)) {
    return post(std::move(done), no_mark_error(*mark));
  }
  start({.mark = mark}, std::move(done));
}

void SqliteSandbox::drop(Done done) { start({.drop = true}, std::move(done)); }

void SqliteSandbox::start(Lane::Reset reset, Done done) {
  reset.done = [weak = std::weak_ptr<SqliteSandbox*>{anchor_}, mark = reset.mark, drop = reset.drop,
                done = std::move(done)](const std::optional<Error>& error) {
    const auto there = weak.lock();
    if (there && *there != nullptr) (*there)->was_reset(mark, drop, error);
    done(error);
  };
  lane_->reset(std::move(reset));
}

void SqliteSandbox::was_reset(const std::optional<std::string>& mark, bool drop,
                              const std::optional<Error>& error) {
  if (drop) log_.clear();
  if (error) return;
  ++resets_;
  if (mark) {
    const auto found = std::ranges::find(marks_, *mark);
    if (found != marks_.end()) marks_.erase(found + 1, marks_.end());
    return;
  }
  marks_.clear();
  ++epoch_;
  units_before_ = lane_->units();
  began_ = reactor_.now();
}

void SqliteSandbox::shut_down() {
  for (const auto& request : std::exchange(requests_, {})) {
    if (!lane_->withdraw(*request)) lane_->abandon(*request);
    post(request->take_done(), shutting_down());
  }
}

std::vector<SandboxStatus> SqliteSandbox::list() const {
  return options_.siblings ? options_.siblings() : std::vector{status()};
}

SandboxStatus SqliteSandbox::status() const {
  const LaneStatus lane = lane_->status();
  const auto age = reactor_.now() - began_;
  SandboxStatus status;
  status.name = options_.name;
  status.state = lane.state == "closed" ? "closed" : "ready";
  status.holder = lane.holder;
  status.waiting = lane.waiting;
  status.transactions = lane_->executor().commits();
  status.units = lane.units - units_before_;
  status.epoch = epoch_;
  status.resets = resets_;
  status.kind = "overlay";
  status.age_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(age).count());
  status.joins_lost = lane_->joins_lost();
  status.marks = marks_;
  return status;
}

}  // namespace based::sqlite
