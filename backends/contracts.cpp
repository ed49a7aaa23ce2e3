// Compiles the contract headers by themselves, so that each includes what it needs.
#include "backends/database.h"
#include "backends/log.h"
#include "backends/profile.h"
#include "backends/reactor.h"
#include "backends/sink.h"
#include "backends/statement.h"
#include "backends/status.h"
#include "backends/unit.h"
