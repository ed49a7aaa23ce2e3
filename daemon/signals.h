// Signals: the process's signals as loop callbacks. SIGPIPE is ignored for the whole process. Loop
// thread only.
#pragma once

#include <functional>
#include <vector>

#include "daemon/uv_cell.h"
#include "daemon/uv_reactor.h"

namespace based {

class Signals {
 public:
  explicit Signals(UvReactor& reactor);

  // `callback` runs on the loop for each delivery of the signal (SIGTERM, ...), until this object
  // is destroyed.
  void on(int signal, std::function<void()> callback);

 private:
  struct Handler {
    std::function<void()> callback;
    UvOwned<uv_signal_t> cell;
  };

  UvReactor& reactor_;
  std::vector<std::unique_ptr<Handler>> handlers_;
};

}  // namespace based
