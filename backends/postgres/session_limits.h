// What a session may keep with us for its settings, savepoints and portals. Pure.
//
// No honest client meets these limits. Who does gets an error in the place of what would be too
// much, and goes on. Of what was sent ahead of that everything is kept.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "backends/postgres/link_settings.h"
#include "backends/statement.h"
#include "protocol/result.h"

namespace based::postgres {

inline constexpr std::size_t settings_max = 1'000;
inline constexpr std::size_t settings_bytes_max = 1024 * 1024;  // of names and values
inline constexpr std::size_t savepoints_max = 10'000;  // of a transaction; as Savepoints counts
// Of the settings as they were at each savepoint.
inline constexpr std::size_t savepoint_bytes_max = 16 * 1024 * 1024;
inline constexpr std::size_t portals_max = 4096;  // that a transaction has left open
// Of what set_config and pg_notify are called with by portals.
inline constexpr std::size_t portal_bytes_max = 8 * 1024 * 1024;

// What a unit may be asked before its Sync; executing what was prepared by name before asks
// nothing.
inline constexpr std::size_t unit_items_max = 1'000'000;

std::size_t bytes_of(const Settings& settings);

// 54000: with what these statements set, they would be more than that.
std::optional<Error> refuse_settings(const Settings& now, std::span<const StatementRef> statements);
Error too_many_savepoints();  // 54000
Error too_many_portals();     // 54000
Error too_many_items();       // 54000: who sends so much without a Sync is sent away

}  // namespace based::postgres
