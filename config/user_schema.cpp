// The rows of [users.NAME].
#include <array>

#include "config/schema_binding.h"

namespace based {
namespace {

using namespace schema;
using U = UserSettings;

constexpr std::array rows{
    bind<&U::verifier>(
        {.key = "password",
         .secret = true,
         .help = "Required. The verifier of the password, as a text behind NAME is."}),
    bind<&U::databases>(
        {.key = "databases",
         .help = "The databases that the user may use, by their names here; of others it is told "
                 "28000. Without this key it may use every one."}),
    bind<&U::pool_mode>(
        {.key = "pool_mode",
         .choices = "database, transaction, session",
         .help = "When a client of this user gives its connection to PostgreSQL back, whatever the "
                 "database's own pool_mode says. database: as that says."}),
};
static_assert(is_sound(rows));

}  // namespace

std::span<const SettingRow> user_rows() { return rows; }

}  // namespace based
