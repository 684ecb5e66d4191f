/*
 * SQLite's functions: through the table that a loadable extension is handed, or, with SQLITE_CORE,
 * from the library that the program is linked with.
 */
#pragma once

#include <sqlite3ext.h>

SQLITE_EXTENSION_INIT3
