/*
 * The loadable extension: `.load unspill`, or sqlite3_load_extension().
 *
 * It stays loaded when the connection that loaded it is closed: the VFS is for those to come.
 */
#include "vfs/sqlite.h"
#include "vfs/tell.h"
#include "vfs/vfs.h"

#include <stddef.h>

SQLITE_EXTENSION_INIT1

int sqlite3_unspill_init(sqlite3 *db, char **ret_error, const sqlite3_api_routines *api);

/* unspill_error(): why this thread's last use of the VFS failed, in a line. */
static void last_error(sqlite3_context *context, int count, sqlite3_value **values)
{
	sqlite3_result_text(context, tell_last(), -1, SQLITE_TRANSIENT);
}

static int add_functions(sqlite3 *db, char **ret_error, const sqlite3_api_routines *api)
{
	return sqlite3_create_function_v2(db, "unspill_error", 0, SQLITE_UTF8, NULL, last_error,
					  NULL, NULL, NULL);
}

__attribute__((visibility("default"))) int sqlite3_unspill_init(sqlite3 *db, char **ret_error,
								const sqlite3_api_routines *api)
{
	int r;

	SQLITE_EXTENSION_INIT2(api);
	/* Who answers on the control socket is a thread of its own. */
	if (!sqlite3_threadsafe()) {
		*ret_error = sqlite3_mprintf("unspill needs an SQLite built for threads");
		return SQLITE_ERROR;
	}
	tell_take_log();
	r = vfs_register();
	if (r == SQLITE_OK)
		r = add_functions(db, NULL, NULL);
	/* Who could not open a database asks on another connection. */
	if (r == SQLITE_OK)
		r = sqlite3_auto_extension((void (*)(void))add_functions);
	return r == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : r;
}
