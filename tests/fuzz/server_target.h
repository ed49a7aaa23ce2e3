// fuzz_server: a server's bytes through a pool's link to two clients' relays, on one input.
#pragma once

#include <string_view>

namespace based::postgres {

// The first byte says in which pieces the rest arrives, the second what each of the two clients
// says, the third how: all at once or unit by unit. The rest is what the server says, whatever it
// is asked, or only when it is; a link that is closed is followed by another one, which hears the
// next bytes. What is behind a "|||" is what the link hears that listens for all. An INVARIANT
// fails where a promise is broken: clients get whole messages of a server, an answer and one
// ReadyForQuery for each of their units or a FATAL end, no more than they asked for, and
// notifications only where they listen.
void fuzz_server(std::string_view input);

}  // namespace based::postgres
