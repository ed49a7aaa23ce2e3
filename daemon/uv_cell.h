// UvCell: a libuv handle in its own heap cell, so that its owner may die at any moment.
//
// libuv owns a handle's memory until its close callback. The cell's deleter cuts the way back to
// the owner and asks for the close; the close callback frees the cell. A late callback finds a null
// owner and returns. Loop thread only.
#pragma once

#include <uv.h>

#include <memory>

#include "protocol/check.h"

namespace based {

template <typename Handle>
struct UvCell {
  Handle handle{};
  void* owner = nullptr;

  uv_handle_t* base() { return reinterpret_cast<uv_handle_t*>(&handle); }
};

template <typename Handle>
struct CloseUvCell {
  void operator()(UvCell<Handle>* cell) const noexcept {
    cell->owner = nullptr;
    uv_close(cell->base(), [](uv_handle_t* handle) noexcept {
      delete static_cast<UvCell<Handle>*>(handle->data);
    });
  }
};

template <typename Handle>
using UvOwned = std::unique_ptr<UvCell<Handle>, CloseUvCell<Handle>>;

// `init` is the libuv call that makes the handle (uv_timer_init, ...) and cannot fail for lack of
// descriptors.
template <typename Handle, typename Init>
UvOwned<Handle> make_uv(void* owner, Init init) {
  auto cell = std::make_unique<UvCell<Handle>>();
  INVARIANT(init(&cell->handle) == 0);
  cell->base()->data = cell.get();
  cell->owner = owner;
  return UvOwned<Handle>(cell.release());
}

// The owner of a handle in a callback; null when it is gone.
template <typename Owner, typename Handle, typename Any>
Owner* uv_owner(Any* handle) noexcept {
  auto* cell = static_cast<UvCell<Handle>*>(reinterpret_cast<uv_handle_t*>(handle)->data);
  return static_cast<Owner*>(cell->owner);
}

}  // namespace based
