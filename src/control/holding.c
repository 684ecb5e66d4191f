/* What a volume's holder answers about it. */
#include "control/holding.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "control/scratch.h"

#include <errno.h>
#include <string.h>

/* One line has to hold them all: the newest count. */
#define BACKTRACKS_MAX 1500
#define MARKS_MAX 2000
#define DAMAGE_LINES_MAX 1000

const char *answer_code(int r)
{
	switch (r) {
	case -EINVAL:
	case -E2BIG:
		return "bad-request";
	case -ERANGE:
		return "out-of-window";
	case -ENOENT:
		return "not-found";
	case -EEXIST:
	case -ENOTEMPTY:
		return "exists";
	case -EBUSY:
		return "busy";
	case -ECANCELED:
		return "cancelled";
	case -EBADMSG:
		return "damaged";
	case -ENOSPC:
		return "no-space";
	case -ECHILD:
		return "server-failed";
	default:
		return "failed";
	}
}

int answer_errno(const char *code)
{
	static const struct {
		const char *code;
		int r;
	} all[] = {{"bad-request", -EINVAL},  {"not-found", -ENOENT}, {"out-of-window", -ERANGE},
		   {"busy", -EBUSY},          {"damaged", -EBADMSG},  {"no-space", -ENOSPC},
		   {"forbidden", -EPERM},     {"exists", -EEXIST},    {"cancelled", -ECANCELED},
		   {"server-failed", -ECHILD}};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (strcmp(all[i].code, code) == 0)
			return all[i].r;
	return -EREMOTEIO;
}

json_t *answer_moment(const struct moment *moment)
{
	return json_pack("{s:I, s:I}", "lsn", (json_int_t)moment->lsn, "time_us",
			 (json_int_t)moment->time_us);
}

json_t *answer_backtrack(const struct volume_backtrack *b)
{
	return json_pack("{s:I, s:o, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:b}", "number",
			 (json_int_t)b->number, "at", answer_moment(&b->at), "asked_time_us",
			 (json_int_t)b->asked_time_us, "from", answer_moment(&b->from), "reached",
			 answer_moment(&b->reached), "records", (json_int_t)b->records, "kill_us",
			 (json_int_t)b->kill_us, "rewind_us", (json_int_t)b->rewind_us, "start_us",
			 (json_int_t)b->start_us, "finished", b->finished);
}

/* --- Moments ---------------------------------------------------------------------------------- */

void holding_earliest(const struct holding *holding, struct moment *ret)
{
	volume_horizon(holding->volume, ret);
	if (holding->first.lsn > ret->lsn)
		*ret = holding->first;
}

static int too_early(const struct moment *earliest, struct problem *why)
{
	char text[CLOCK_TEXT_MAX];

	clock_format(earliest->time_us, text);
	return problem(
		why, -ERANGE,
		"that is before the database was there: the earliest moment is %s (lsn:%llu)", text,
		(unsigned long long)earliest->lsn);
}

static int look_up(struct volume *volume, const struct request_moment *asked, struct moment *ret,
		   struct problem *why)
{
	switch (asked->kind) {
	case AT_TIME:
		return volume_moment_at_time(volume, asked->time_us, ret, why);
	case AT_LSN:
		return volume_moment_at_lsn(volume, asked->lsn, ret, why);
	case AT_MARK:
		return volume_find_mark(volume, asked->mark, ret, why);
	default:
		volume_now(volume, ret);
		return 0;
	}
}

int holding_resolve(const struct holding *holding, const struct request_moment *asked,
		    struct moment *ret, struct problem *why)
{
	const struct moment *first = &holding->first;
	struct moment earliest;
	int r;

	holding_earliest(holding, &earliest);
	/* The volume would name its own horizon, when there was no database yet. */
	if (earliest.lsn == first->lsn && asked->kind == AT_TIME && asked->time_us < first->time_us)
		return too_early(&earliest, why);
	if (earliest.lsn == first->lsn && asked->kind == AT_LSN && asked->lsn < first->lsn)
		return too_early(&earliest, why);
	r = look_up(holding->volume, asked, ret, why);
	if (r == 0 && ret->lsn < first->lsn)
		return too_early(&earliest, why);
	return r;
}

int holding_plan(const struct holding *holding, const struct request *request, json_t **ret,
		 struct problem *why)
{
	struct volume_plan plan;
	struct moment to;
	int r;

	r = holding_resolve(holding, &request->moment, &to, why);
	if (r == 0)
		r = volume_plan_backtrack(holding->volume, &to, &plan, why);
	if (r < 0)
		return r;
	*ret = json_pack("{s:o, s:o, s:I, s:I, s:I}", "from", answer_moment(&plan.from), "to",
			 answer_moment(&plan.to), "records", (json_int_t)plan.records, "bytes",
			 (json_int_t)plan.bytes, "replay_records", (json_int_t)plan.replay_records);
	return 0;
}

/* --- Status ----------------------------------------------------------------------------------- */

static json_t *status_bytes(const struct holding *holding, const struct volume_stats *stats)
{
	struct disk_space space = {0};

	disk_space(holding->disk, &space);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I}", "tape",
			 (json_int_t)stats->tape_bytes, "packed", (json_int_t)stats->packed_bytes,
			 "packed_from", (json_int_t)stats->packed_from_bytes, "base",
			 (json_int_t)stats->base_bytes, "checkpoints",
			 (json_int_t)stats->checkpoint_bytes, "tape_per_hour",
			 stats->tape_bytes_per_hour, "base_per_hour", stats->base_bytes_per_hour,
			 "disk_free", (json_int_t)space.bytes_free, "disk_total",
			 (json_int_t)space.bytes_total, "memory", (json_int_t)stats->memory_bytes,
			 "shared", (json_int_t)stats->shared_bytes);
}

static json_t *status_history(const struct volume_stats *stats)
{
	return json_pack("{s:I, s:I, s:f, s:f}", "bytes", (json_int_t)stats->history_bytes,
			 "max_bytes", (json_int_t)stats->history_max_bytes, "bytes_per_hour",
			 stats->history_bytes_per_hour, "bytes_needed",
			 stats->history_bytes_needed);
}

/* What was before the database's beginning does not count as a window. */
static int64_t actual_window(const struct volume_stats *stats, const struct moment *earliest)
{
	int64_t lost_us = earliest->time_us - stats->horizon.time_us;

	return lost_us > 0 ? MAX(stats->window_actual_us - lost_us, 0) : stats->window_actual_us;
}

void holding_status(const struct holding *holding, json_t *status, struct volume_stats *ret)
{
	json_t *clones = clones_list(holding->directory);
	struct moment earliest;

	if (json_array_size(clones))
		volume_measure_shared(holding->volume);
	volume_get_stats(holding->volume, ret);
	holding_earliest(holding, &earliest);
	json_object_set_new(status, "window",
			    json_pack("{s:I, s:I}", "target_us", (json_int_t)ret->window_target_us,
				      "actual_us", (json_int_t)actual_window(ret, &earliest)));
	json_object_set_new(status, "horizon", answer_moment(&earliest));
	json_object_set_new(status, "now", answer_moment(&ret->now));
	json_object_set_new(status, "records",
			    json_pack("{s:I, s:f}", "stored", (json_int_t)ret->records_stored,
				      "per_second", ret->records_per_second));
	json_object_set_new(status, "bytes", status_bytes(holding, ret));
	json_object_set_new(status, "history", status_history(ret));
	json_object_set_new(status, "folding", json_boolean(ret->folding));
	json_object_set_new(status, "space_short", json_boolean(ret->space_short));
	json_object_set_new(status, "pins", json_integer(ret->pins));
	json_object_set_new(status, "attached", json_boolean(ret->attached));
	json_object_set_new(status, "clones", clones);
}

/* --- History ---------------------------------------------------------------------------------- */

static int add_step(const struct volume_step *step, void *arg)
{
	json_array_append_new(arg, json_pack("[I, I, I]", (json_int_t)step->time_us,
					     (json_int_t)step->records, (json_int_t)step->bytes));
	return 0;
}

static void drop_oldest(json_t *array, size_t most)
{
	while (json_array_size(array) > most)
		json_array_remove(array, 0);
}

static int add_mark(const struct volume_mark *mark, void *arg)
{
	json_array_append_new(arg, json_pack("{s:s, s:o, s:b}", "name", mark->name, "moment",
					     answer_moment(&mark->moment), "reachable",
					     mark->reachable));
	drop_oldest(arg, MARKS_MAX);
	return 0;
}

static int add_backtrack(const struct volume_backtrack *backtrack, void *arg)
{
	json_array_append_new(arg, answer_backtrack(backtrack));
	drop_oldest(arg, BACKTRACKS_MAX);
	return 0;
}

static json_t *all_marks(const struct holding *holding)
{
	json_t *array = json_array();

	volume_for_each_mark(holding->volume, add_mark, array);
	return array;
}

static json_int_t lsn_of(const json_t *object, const char *moment)
{
	return json_integer_value(json_object_get(json_object_get(object, moment), "lsn"));
}

/* The name of the newest mark there; borrowed. */
static json_t *mark_at(const json_t *marks, json_int_t lsn)
{
	for (size_t i = json_array_size(marks); i-- > 0;)
		if (lsn_of(json_array_get(marks, i), "moment") == lsn)
			return json_object_get(json_array_get(marks, i), "name");
	return NULL;
}

/* Which mark was asked for is nowhere written: the one that stands where the backtrack led to. */
static json_t *all_backtracks(const struct holding *holding)
{
	json_t *array = json_array(), *marks = all_marks(holding), *one, *mark;
	size_t i;

	volume_for_each_backtrack(holding->volume, add_backtrack, array);
	json_array_foreach (array, i, one) {
		mark = json_integer_value(json_object_get(one, "asked_time_us"))
			       ? NULL
			       : mark_at(marks, lsn_of(one, "reached"));
		json_object_set_new(one, "mark", mark ? json_incref(mark) : json_null());
	}
	json_decref(marks);
	return array;
}

/* The stretch of time that is asked about, and its steps; what is not said is all, in sixty. */
static int choose_steps(const struct request *request, const struct moment *earliest,
			int64_t *ret_since_us, int64_t *ret_until_us, int64_t *ret_step_us,
			struct problem *why)
{
	int64_t since_us = request->since_us < 0 ? earliest->time_us : request->since_us,
		until_us = request->until_us < 0 ? clock_realtime_us() : request->until_us,
		step_us = request->step_us;

	if (until_us < since_us)
		return problem(why, -EINVAL,
			       "the end of the time asked for lies before its beginning");
	if (step_us == 0)
		step_us = MAX((until_us - since_us) / 60, INT64_C(1000000));
	if ((until_us - since_us) / step_us >= REQUEST_STEPS_MAX)
		return problem(
			why, -EINVAL,
			"that makes more than %d steps: ask for longer ones, or for less time",
			REQUEST_STEPS_MAX);
	*ret_since_us = since_us;
	*ret_until_us = until_us;
	*ret_step_us = step_us;
	return 0;
}

static int do_moments(const struct holding *holding, struct connection *connection,
		      const struct request *request, json_t **ret, struct problem *why)
{
	int64_t since_us = 0, until_us = 0, step_us = 0;
	struct moment earliest, now;
	json_t *steps;
	int r;

	holding_earliest(holding, &earliest);
	volume_now(holding->volume, &now);
	r = choose_steps(request, &earliest, &since_us, &until_us, &step_us, why);
	if (r < 0)
		return r;
	steps = json_array();
	r = volume_history(holding->volume, since_us, until_us, step_us, add_step, steps);
	if (r < 0) {
		json_decref(steps);
		return problem_errno(why, r, "cannot read the history");
	}
	*ret = json_pack("{s:o, s:o, s:o, s:o, s:o}", "steps", steps, "marks", all_marks(holding),
			 "backtracks", all_backtracks(holding), "horizon", answer_moment(&earliest),
			 "now", answer_moment(&now));
	return 0;
}

static int do_backtracks(const struct holding *holding, struct connection *connection,
			 const struct request *request, json_t **ret, struct problem *why)
{
	*ret = json_pack("{s:o}", "backtracks", all_backtracks(holding));
	return 0;
}

/* --- Changing what is kept -------------------------------------------------------------------- */

static int set_history_max(struct volume *volume, int64_t bytes, struct problem *why)
{
	char least[UNITS_TEXT_MAX];
	int r = bytes < 0 ? 0 : volume_set_history_max(volume, bytes);

	if (r == -ERANGE) {
		bytes_format((double)volume_history_min(volume), least);
		return problem(why, -EINVAL, "the history of this cluster cannot be kept below %s",
			       least);
	}
	return r < 0 ? problem_errno(why, r, "cannot limit the history") : 0;
}

static int do_modify(const struct holding *holding, struct connection *connection,
		     const struct request *request, json_t **ret, struct problem *why)
{
	struct volume_stats stats;
	int r;

	if ((request->detach || request->detach_rate >= 0) && !holding->clones)
		return problem(why, -EINVAL, "this volume is no clone: there is nothing to detach");
	r = set_history_max(holding->volume, request->history_max, why);
	if (r < 0)
		return r;
	if (request->window_us >= 0) {
		r = volume_set_window(holding->volume, request->window_us);
		if (r < 0)
			return problem_errno(why, r, "cannot change the backtrack window");
	}
	volume_get_stats(holding->volume, &stats);
	log_info("the backtrack window is %.0f s now, the history at most %llu bytes (0: any)",
		 stats.window_target_us / 1e6, (unsigned long long)stats.history_max_bytes);
	*ret = json_pack("{s:I, s:I}", "window_us", (json_int_t)stats.window_target_us,
			 "history_max", (json_int_t)stats.history_max_bytes);
	return 0;
}

static int do_mark(const struct holding *holding, struct connection *connection,
		   const struct request *request, json_t **ret, struct problem *why)
{
	struct moment moment;
	int r = volume_mark(holding->volume, request->name, &moment, why);

	if (r == 0)
		*ret = json_pack("{s:o}", "moment", answer_moment(&moment));
	return r;
}

struct verifying {
	struct connection *connection;
	json_t *damage;
	uint64_t lines, bytes;
};

static void verify_report(const char *line, void *arg)
{
	struct verifying *verifying = arg;

	if (verifying->lines++ < DAMAGE_LINES_MAX)
		json_array_append_new(verifying->damage, json_string(line));
	log_error("verify: %s", line);
}

static bool verify_progress(uint64_t done, uint64_t total, void *arg)
{
	struct verifying *verifying = arg;

	verifying->bytes = done;
	connection_progress(verifying->connection, "verify", done, total, "bytes");
	return connection_alive(verifying->connection);
}

static int do_verify(const struct holding *holding, struct connection *connection,
		     const struct request *request, json_t **ret, struct problem *why)
{
	struct verifying verifying = {.connection = connection, .damage = json_array()};
	struct volume_verify_options options = {verify_report, verify_progress, &verifying};
	int r;

	r = volume_verify(holding->disk, holding->volume, &options);
	if (r < 0) {
		json_decref(verifying.damage);
		return problem_errno(why, r, "cannot verify '%s/volume'", holding->directory);
	}
	if (verifying.lines > DAMAGE_LINES_MAX)
		json_array_append_new(
			verifying.damage,
			json_sprintf("and %llu more: see run/keeper.log",
				     (unsigned long long)verifying.lines - DAMAGE_LINES_MAX));
	*ret = json_pack("{s:o, s:I}", "damage", verifying.damage, "bytes",
			 (json_int_t)verifying.bytes);
	return 0;
}

static bool repack_progress(uint64_t done, uint64_t total, void *arg)
{
	connection_progress(arg, "repack", done, total, "bytes");
	return connection_alive(arg);
}

static int do_repack(const struct holding *holding, struct connection *connection,
		     const struct request *request, json_t **ret, struct problem *why)
{
	struct volume_repack_options options = {repack_progress, connection};
	struct volume_repacked repacked;
	int r = volume_repack(holding->volume, &options, &repacked, why);

	if (r == 0)
		*ret = json_pack("{s:I, s:I, s:I, s:I}", "segments", (json_int_t)repacked.segments,
				 "before", (json_int_t)repacked.bytes_before, "after",
				 (json_int_t)repacked.bytes_after, "left",
				 (json_int_t)repacked.left);
	return r;
}

/* --- All -------------------------------------------------------------------------------------- */

static int (*const all[REQUEST_COUNT])(const struct holding *holding, struct connection *connection,
				       const struct request *request, json_t **ret,
				       struct problem *why) = {
	[REQUEST_MODIFY] = do_modify,     [REQUEST_MOMENTS] = do_moments,
	[REQUEST_MARK] = do_mark,         [REQUEST_BACKTRACKS] = do_backtracks,
	[REQUEST_VERIFY] = do_verify,     [REQUEST_REPACK] = do_repack,
	[REQUEST_SCRATCH] = scratch_open, [REQUEST_CLONE] = clones_make,
};

bool holding_does(enum request_do what)
{
	return all[what] != NULL;
}

int holding_do(const struct holding *holding, struct connection *connection,
	       const struct request *request, json_t **ret, struct problem *why)
{
	return all[request->what](holding, connection, request, ret, why);
}
