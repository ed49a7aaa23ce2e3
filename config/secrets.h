// Masking: the form of a URL or a conninfo string that a log, a client or a person may see.
//
// Where a text is malformed, rather too much is masked than too little. Any thread, pure.
#pragma once

#include <string>
#include <string_view>

namespace based {

inline constexpr std::string_view secret_mask = "***";

// A URL ("postgresql://app:hush@db/app?sslpassword=hush") or libpq's other form ("host=db
// password='hush'"), with every password replaced by ***. Its result holds no byte of them.
std::string mask_secrets(std::string_view text);

// Does the URL or conninfo string say a password for the server (not one for a key file)?
bool has_password(std::string_view text);

// Undoes %41. Malformed escapes stay as they are.
std::string decode_percent(std::string_view text);

}  // namespace based
