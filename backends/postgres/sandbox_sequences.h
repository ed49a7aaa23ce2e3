// The texts that put sequences back behind a sandbox: PostgreSQL rolls no nextval() back. Pure.
//
// Where the sequences are is remembered as a text, and each that has moved is put there by
// setval(). That is done in a transaction that is rolled back, as setval() is not undone either, so
// that a sandbox's link never commits. A sequence stays where it is if that would be known to hurt
// others: while another transaction of the database has written something, and where the column
// that owns it has a greater value. One without an index on that column is taken not to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace based::postgres {

// Of more sequences than these, the rest stays where it is.
inline constexpr int sequences_max = 10'000;

// In rooted ones a savepoint stands for the transaction.
enum class SequencePlace { outside, rooted };

// The row of two values among their results: "remembered", and where the sequences are.
std::vector<std::string> remember_sequences(SequencePlace place);
// The same: "restored", and what was done, as a log shows it. `remembered`: such a second value.
std::vector<std::string> restore_sequences(std::string_view remembered, SequencePlace place);

}  // namespace based::postgres
