#include "vfs/tell.h"

#include "base/log.h"
#include "vfs/sqlite.h"

#include <errno.h>
#include <stdio.h>

static _Thread_local struct problem last;

int tell(int code, const struct problem *why)
{
	last = *why;
	sqlite3_log(code, "unspill: %s", why->text);
	return code;
}

const char *tell_last(void)
{
	return last.text;
}

int tell_code(int r, int otherwise)
{
	switch (r) {
	case -ENOMEM:
		return SQLITE_IOERR_NOMEM;
	case -EBUSY:
		return SQLITE_BUSY;
	case -ENOSPC:
	case -EFBIG:
		return SQLITE_FULL;
	case -EROFS:
		return SQLITE_READONLY;
	case -EBADMSG:
		return SQLITE_IOERR_DATA;
	default:
		return otherwise;
	}
}

static void to_sqlite(enum log_level level, const char *text)
{
	int code = level == LOG_ERROR     ? SQLITE_ERROR
		   : level == LOG_WARNING ? SQLITE_WARNING
					  : SQLITE_NOTICE;

	sqlite3_log(code, "unspill: %s", text);
}

void tell_take_log(void)
{
	log_set_sink(to_sqlite);
}
