#include "daemon/signals.h"

#include <csignal>
#include <utility>

namespace based {

Signals::Signals(UvReactor& reactor) : reactor_(reactor) { std::signal(SIGPIPE, SIG_IGN); }

void Signals::on(int signal, std::function<void()> callback) {
  auto handler = std::make_unique<Handler>();
  handler->callback = std::move(callback);
  handler->cell = make_uv<uv_signal_t>(
      handler.get(), [this](uv_signal_t* s) { return uv_signal_init(reactor_.loop(), s); });
  uv_signal_start(
      &handler->cell->handle,
      [](uv_signal_t* handle, int) noexcept {
        if (auto* self = uv_owner<Handler, uv_signal_t>(handle)) self->callback();
      },
      signal);
  handlers_.push_back(std::move(handler));
}

}  // namespace based
