#include "daemon/native/status_encoding.h"

#include <type_traits>

#include "protocol/native/messagepack.h"

namespace based::native {
namespace {

void write(const StatusTree& tree, MessagePackWriter& writer) {
  std::visit(
      [&writer](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::int64_t>) {
          writer.integer(value);
        } else if constexpr (std::is_same_v<T, bool>) {
          writer.boolean(value);
        } else if constexpr (std::is_same_v<T, std::string>) {
          writer.display_text(value);
        } else if constexpr (std::is_same_v<T, StatusTree::List>) {
          writer.array(value.size());
          for (const StatusTree& item : value) write(item, writer);
        } else {
          writer.map(value.size());
          for (const auto& [key, item] : value) {
            writer.display_text(key);
            write(item, writer);
          }
        }
      },
      tree.node());
}

}  // namespace

std::string encode_status(const StatusTree& tree) {
  std::string out;
  MessagePackWriter writer(out);
  write(tree, writer);
  return out;
}

}  // namespace based::native
