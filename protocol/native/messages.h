// Messages: one struct for each payload of the native protocol, and its codec.
//
// Requests are decoded by the daemon, replies encoded; the other halves serve clients in C++ and
// the tests. Decoding checks everything that PROTOCOL.md says of a payload, and an Error of it has
// the scope `statement`: a bad payload costs its request only. Decoded structs hold views into the
// payload. Encoders append a payload, without its header. Any thread.
#pragma once

#include "protocol/native/replies.h"
#include "protocol/native/requests.h"
