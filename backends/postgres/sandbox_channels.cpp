#include "backends/postgres/sandbox_channels.h"

#include <algorithm>

#include "protocol/postgres/backend_writer.h"

namespace based::postgres {

std::optional<Error> SandboxChannels::subscribe(Subscriber& subscriber,
                                                const std::string& channel) {
  std::vector<Subscriber*>& subscribers = channels_[channel];
  if (std::ranges::find(subscribers, &subscriber) != subscribers.end()) return std::nullopt;
  if (subscriptions_ >= subscriptions_max) {
    if (subscribers.empty()) channels_.erase(channel);
    return Error::make(sqlstate::configuration_limit_exceeded,
                       "the sandbox is listened to by too many");
  }
  subscribers.push_back(&subscriber);
  ++subscriptions_;
  return std::nullopt;
}

void SandboxChannels::unsubscribe(Subscriber& subscriber, std::string_view channel) {
  const auto found = channels_.find(channel);
  if (found == channels_.end()) return;
  subscriptions_ -= std::erase(found->second, &subscriber);
  if (found->second.empty()) channels_.erase(found);
}

void SandboxChannels::unsubscribe_all(Subscriber& subscriber) {
  for (auto& [channel, subscribers] : channels_)
    subscriptions_ -= std::erase(subscribers, &subscriber);
  std::erase_if(channels_, [](const auto& entry) { return entry.second.empty(); });
}

void SandboxChannels::publish(std::uint32_t process, std::string_view channel,
                              std::string_view payload) const {
  const auto found = channels_.find(channel);
  if (found == channels_.end()) return;
  std::string message;
  BackendWriter(message).notification(process, channel, payload);
  const std::vector<Subscriber*> subscribers = found->second;
  for (Subscriber* subscriber : subscribers) subscriber->on_notification_heard(message);
}

}  // namespace based::postgres
