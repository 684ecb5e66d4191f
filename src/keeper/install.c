/* Create and import: how a database comes into an empty volume.  What touches the mount is done
 * apart. */
#include "keeper/internal.h"

#include "base/log.h"
#include "keeper/apart.h"
#include "keeper/transfer.h"

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

/* --- Apart ------------------------------------------------------------------------------------ */

struct import {
	struct keeper *keeper;
	const char *from;
};

static int make_data_dir(const struct keeper *keeper, struct problem *why)
{
	if (mkdir(keeper->data_dir, 0700) < 0 ||
	    (geteuid() == 0 && chown(keeper->data_dir, keeper->place.uid, keeper->place.gid) < 0))
		return problem_errno(why, -errno, "cannot make '%s'", keeper->data_dir);
	return 0;
}

static int create(struct apart *apart, const void *input, void *result, struct problem *why)
{
	const struct keeper *keeper = input;
	int r;

	apart_tell(apart, "install", 0, 0);
	r = make_data_dir(keeper, why);
	return r < 0 ? r : keeper->engine->create(&keeper->place, why);
}

static bool tell_copied(uint64_t done, uint64_t total, void *arg)
{
	apart_tell(arg, "copy", done, total);
	return true;
}

static int import(struct apart *apart, const void *input, void *result, struct problem *why)
{
	const struct import *import = input;
	const struct keeper *keeper = import->keeper;
	struct transfer_options options = {tell_copied, apart, keeper->engine->transient};
	int r;

	r = transfer_in(import->from, keeper->data_dir, keeper->place.uid, keeper->place.gid,
			&options, result, why);
	if (r < 0)
		return r;
	apart_tell(apart, "adopt", 0, 0);
	return keeper->engine->adopt(&keeper->place, why);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static int remove_data(struct apart *apart, const void *input, void *result, struct problem *why)
{
	const struct keeper *keeper = input;

	if (nftw(keeper->data_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
		return problem_errno(why, -errno, "cannot remove '%s'", keeper->data_dir);
	return 0;
}

/* --- Here ------------------------------------------------------------------------------------- */

/* Copying may be cancelled; a server in the middle of its first start is better waited for. */
static bool progress(const char *step, uint64_t done, uint64_t total, void *arg)
{
	bool copies = strcmp(step, "copy") == 0;

	if (*step)
		connection_progress(arg, step, done, total, copies ? "bytes" : "");
	return !copies || connection_alive(arg);
}

/* After a failure: as empty as before. */
static void empty(struct keeper *keeper)
{
	struct apart_work work = {.run = remove_data, .input = keeper};
	struct problem why = {""};

	supervisor_stop(keeper->supervisor, 0, NULL);
	if (apart_run(&work, &why) < 0 || work_forget_database(keeper, &why) < 0)
		log_error("%s", why.text);
}

/* Now there is a database: from here on there are moments to go back to. */
static int settle(struct keeper *keeper, struct connection *connection, int64_t *ret_start_us,
		  struct problem *why)
{
	int r;

	r = volume_sync(keeper->volume);
	if (r < 0)
		return problem_errno(why, r, "cannot make the new database durable");
	r = work_set_first(keeper, why);
	if (r == 0 && !keeper->options.no_server)
		r = work_start_server(keeper, connection, ret_start_us, why);
	if (r == 0)
		r = work_set_desired(keeper, true, why);
	return r;
}

static bool begin(struct keeper *keeper, struct connection *connection, enum work work)
{
	if (!work_begin(keeper, connection, work, WORK_NONE))
		return false;
	if (!work_has_data(keeper))
		return true;
	work_finish(keeper, work);
	connection_error(connection, "exists", "there is a database in the cluster '%s' already",
			 keeper->cluster->name);
	return false;
}

/* Do the work apart, and all that comes after it. */
static int install(struct keeper *keeper, struct connection *connection,
		   const struct apart_work *work, int64_t *ret_start_us, struct problem *why)
{
	int r;

	r = apart_run(work, why);
	if (r == 0)
		r = settle(keeper, connection, ret_start_us, why);
	if (r < 0)
		empty(keeper);
	return r;
}

void install_create(struct keeper *keeper, struct connection *connection,
		    const struct request *request)
{
	struct apart_work work = {
		.run = create, .input = keeper, .progress = progress, .arg = connection};
	struct problem why = {""};
	int64_t start_us = 0;
	int r;

	if (!begin(keeper, connection, WORK_CREATING))
		return;
	r = install(keeper, connection, &work, &start_us, &why);
	work_finish(keeper, WORK_CREATING);
	if (r < 0) {
		work_fail(keeper, connection, r, &why);
		return;
	}
	log_info("created the database");
	connection_result(connection, json_pack("{s:I}", "start_us", (json_int_t)start_us));
}

void install_import(struct keeper *keeper, struct connection *connection,
		    const struct request *request)
{
	struct import what = {keeper, request->directory};
	struct transfer_result copied = {0};
	struct apart_work work = {.run = import,
				  .input = &what,
				  .result = &copied,
				  .result_size = sizeof copied,
				  .progress = progress,
				  .arg = connection};
	struct problem why = {""};
	int64_t start_us = 0;
	int r;

	if (!begin(keeper, connection, WORK_IMPORTING))
		return;
	r = keeper->engine->inspect(request->directory, &why);
	if (r == 0)
		r = install(keeper, connection, &work, &start_us, &why);
	work_finish(keeper, WORK_IMPORTING);
	if (r < 0) {
		work_fail(keeper, connection, r, &why);
		return;
	}
	log_info("imported %llu files from '%s'", (unsigned long long)copied.files,
		 request->directory);
	connection_result(connection, json_pack("{s:I, s:I}", "files", (json_int_t)copied.files,
						"bytes", (json_int_t)copied.bytes));
}
