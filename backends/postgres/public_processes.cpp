#include "backends/postgres/public_processes.h"

#include <algorithm>

#include "protocol/postgres/backend.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/scanner.h"

namespace based::postgres {

PublicProcesses::Client PublicProcesses::add(std::int32_t process) {
  return clients_[process] = std::make_shared<std::int32_t>(0);
}

// The server may have given the number to another link's process meanwhile.
void PublicProcesses::remove(std::int32_t process, const Client& client) {
  const auto found = clients_.find(process);
  if (found != clients_.end() && found->second == client) clients_.erase(found);
}

std::int32_t PublicProcesses::of(std::int32_t process) const {
  const auto found = clients_.find(process);
  return found == clients_.end() || *found->second == 0 ? process : *found->second;
}

std::string PublicProcesses::renumbered(std::string_view message) const {
  Notification told;
  const std::size_t head = std::min(message.size(), message_header_bytes);
  if (!decode_notification(message.substr(head), told)) return std::string(message);
  std::string renumbered;
  const auto process = static_cast<std::uint32_t>(of(static_cast<std::int32_t>(told.process_id)));
  BackendWriter(renumbered).notification(process, told.channel, told.payload);
  return renumbered;
}

}  // namespace based::postgres
