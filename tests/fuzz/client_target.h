// fuzz_client: what reads a PostgreSQL client's bytes, on one input.
#pragma once

#include <string_view>

namespace based::postgres {

// The first byte says how the rest is cut. The rest is a start-up packet's body, a SASL message and
// a stream of messages, each in turn. An INVARIANT fails where a promise is broken.
void fuzz_client(std::string_view input);

}  // namespace based::postgres
