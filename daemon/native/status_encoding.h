// A status tree as one MessagePack map, for END's `status`.
#pragma once

#include <string>

#include "daemon/status.h"

namespace based::native {

std::string encode_status(const StatusTree& tree);

}  // namespace based::native
