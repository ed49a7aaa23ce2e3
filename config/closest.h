// "Did you mean": the known word that a misspelt one is closest to. Any thread, pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace based {

// "; did you mean max_size?", or nothing when no known word is near (a third of the letters wrong).
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace based
