// Compiles the contract headers by themselves, so that each includes what it needs.
#include "daemon/database_directory.h"
#include "daemon/transport.h"
