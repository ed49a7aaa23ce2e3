// The reference page of the configuration file, made of the schema. Any thread, pure.
#pragma once

#include <string>

namespace based {

// The man page based.toml(5), in roff.
std::string reference_page();

}  // namespace based
