/*
 * BacktrackDBCluster and DescribeDBClusterBacktracks.
 *
 * The keeper's own list is the truth of what happened, whoever asked; our table gives those that
 * were asked for by a call their identifiers, and remembers those that came to nothing.  A
 * backtrack that was under way when we were killed is looked for in that list: it happened, or it
 * is given up; it is never begun a second time, as what was written since would be undone with it.
 */
#include "rds/internal.h"

#include "base/alloc.h"
#include "keeper/attend.h"
#include "rds/life.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>

static int64_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static int64_t time_us(const json_t *object, const char *name)
{
	return number(json_object_get(object, name), "time_us");
}

static int ask_backtracks(const struct cluster *cluster, json_t **ret, struct problem *why)
{
	json_t *answer = NULL;
	int r = keepers_ask(cluster, json_pack("{s:s}", "do", "backtracks"), 10000, NULL, &answer,
			    why);

	if (r == 0)
		*ret = json_incref(json_object_get(answer, "backtracks"));
	json_decref(answer);
	return r;
}

/* --- The job ---------------------------------------------------------------------------------- */

/* The newest that the volume knows of; 0: none. */
static int newest(const struct cluster *cluster, int64_t *ret, struct problem *why)
{
	json_t *list = NULL;
	int r = ask_backtracks(cluster, &list, why);

	*ret = 0;
	if (r == 0 && json_array_size(list))
		*ret = number(json_array_get(list, json_array_size(list) - 1), "number");
	json_decref(list);
	return r;
}

static int mark_applying(sqlite3 *db, void *arg)
{
	return backtrack_set(db, arg, "APPLYING", 0);
}

static const char *id_of(const struct job *job)
{
	return json_string_value(json_object_get(job->input, "id"));
}

/* From here on it may happen, once. */
static int note_begin(struct rds *rds, struct job *job, const struct cluster *cluster,
		      struct problem *why)
{
	int64_t before;
	int r = newest(cluster, &before, why);

	if (r < 0)
		return r;
	json_object_set_new(job->notes, "before", json_integer(before));
	r = job_note(job);
	if (r == 0)
		r = state_write(rds->state, mark_applying, (void *)id_of(job));
	return r < 0 ? problem_errno(why, r, "it cannot be recorded") : 0;
}

static void note_number(struct job *job, int64_t value)
{
	json_object_set_new(job->notes, "number", json_integer(value));
}

static int move(struct job *job, const struct cluster *cluster, struct problem *why)
{
	json_t *done = NULL;
	json_int_t to_us = number(job->input, "to_us");
	int64_t now;
	int r;

	r = keepers_ask(cluster,
			json_pack("{s:s, s:{s:I}, s:I}", "do", "backtrack", "to", "time_us", to_us,
				  "asked_time_us", to_us),
			0, job, &done, why);
	if (r == 0)
		note_number(job, number(done, "number"));
	json_decref(done);
	/* The head may have moved, and the server not come up there. */
	if (r < 0 && newest(cluster, &now, NULL) == 0 && now > number(job->notes, "before"))
		note_number(job, now);
	return r;
}

/* We were killed meanwhile, and the keeper has gone on, or back. */
static int find_out(struct job *job, const struct cluster *cluster, struct problem *why)
{
	char state[32] = "";
	int64_t now;
	int r;

	/* Where it has ended, too: one that stays can tell. */
	r = life_spawn(job, why);
	while (r == 0 && (r = keepers_state(cluster, state, NULL, why)) == 0 &&
	       !strcmp(state, "backtracking"))
		if ((r = life_wait(job, why)) < 0)
			return r;
	if (r == 0)
		r = newest(cluster, &now, why);
	if (r < 0)
		return r;
	if (now <= number(job->notes, "before"))
		return problem(why, -ECANCELED,
			       "unspill serve ended before the cluster had gone back");
	note_number(job, now);
	return 0;
}

static int run_backtrack(void *userdata, struct job *job, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	int r = cluster_find(job->subject, &cluster, why);

	if (r < 0)
		return r;
	if (json_object_get(job->notes, "before"))
		return find_out(job, cluster, why);
	r = note_begin(userdata, job, cluster, why);
	return r < 0 ? r : move(job, cluster, why);
}

static int end(void *userdata, struct job *job, enum job_state state, const struct problem *why,
	       sqlite3 *db)
{
	CLEANUP(record) struct record record = {0};
	char message[512] = "Backtracking of the DB cluster has ended.";
	const struct event event = {&record, state == JOB_DONE ? "backtrack" : "failure", message};
	int r = record_get(db, job->subject, &record);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (state != JOB_DONE)
		snprintf(message, sizeof message, "Backtracking of the DB cluster failed: %.400s",
			 why->text);
	r = backtrack_set(db, id_of(job), state == JOB_DONE ? "COMPLETED" : "FAILED",
			  number(job->notes, "number"));
	return r < 0 ? r : event_put(db, &event);
}

static const struct job_step steps[] = {{"backtrack", run_backtrack}, {NULL}};

/* It is begun anew only to find out. */
const struct job_kind backtrack_kind = {.name = "backtrack",
					.steps = steps,
					.resume = true,
					.cancellable = false,
					.end = end,
					.ended = rds_job_ended};

/* --- BacktrackDBCluster ----------------------------------------------------------------------- */

static bool has_binary_log(const char *name)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;

	if (cluster_find(name, &cluster, NULL) < 0)
		return false;
	for (char **option = cluster->server_options; option && *option; option++)
		if (!strncmp(*option, "log-bin", 7) || !strncmp(*option, "log_bin", 7))
			return true;
	return false;
}

/* The moment to go to. */
static int choose_moment(struct aws_call *call, const struct seen *seen, int64_t *ret)
{
	int64_t to_us =
		llround(json_number_value(json_object_get(call->input, "BacktrackTo")) * 1e6);
	int64_t earliest_us = seen_earliest_us(seen);

	if (!seen_window_us(seen))
		return aws_fault(call, "InvalidDBClusterStateFault",
				 "Backtrack is not enabled for DB cluster %s: its BacktrackWindow "
				 "is 0.",
				 seen->record.name);
	if (to_us > call->now_us)
		return aws_fault(call, "InvalidParameterValue",
				 "BacktrackTo must not be in the future.");
	if (to_us < earliest_us &&
	    json_is_true(json_object_get(call->input, "UseEarliestTimeOnPointInTimeUnavailable")))
		to_us = earliest_us;
	if (to_us < earliest_us)
		return aws_fault(call, "InvalidParameterValue",
				 "BacktrackTo is earlier than the earliest backtrack time of DB "
				 "cluster %s.",
				 seen->record.name);
	if (!json_is_true(json_object_get(call->input, "Force")) &&
	    has_binary_log(seen->record.name))
		return aws_fault(call, "InvalidParameterCombination",
				 "Binary logging is enabled for DB cluster %s: specify Force to "
				 "backtrack it nevertheless.",
				 seen->record.name);
	*ret = to_us;
	return 0;
}

/* How the two are told, whoever asked. */
static json_t *show(const struct record *record, const struct backtrack_record *backtrack)
{
	return json_pack("{s:s, s:s, s:f, s:f, s:f, s:s}", "DBClusterIdentifier", record->name,
			 "BacktrackIdentifier", backtrack->id, "BacktrackTo",
			 (double)backtrack->to_us / 1e6, "BacktrackedFrom",
			 (double)backtrack->from_us / 1e6, "BacktrackRequestCreationTime",
			 (double)backtrack->asked_us / 1e6, "Status", backtrack->status);
}

struct putting {
	const struct backtrack_record *backtrack;
	const struct record *record;
};

static int put(sqlite3 *db, int64_t id, void *arg)
{
	const struct putting *putting = arg;
	const struct event event = {putting->record, "backtrack",
				    "Backtracking of the DB cluster has begun."};
	int r = backtrack_put(db, putting->backtrack);

	return r < 0 ? r : event_put(db, &event);
}

static int begin(struct rds *rds, struct aws_call *call, const struct seen *seen,
		 const struct backtrack_record *backtrack)
{
	json_t *input =
		json_pack("{s:s, s:I}", "id", backtrack->id, "to_us", (json_int_t)backtrack->to_us);
	struct putting putting = {backtrack, &seen->record};
	const struct rds_work work = {.kind = "backtrack",
				      .doing = "backtracking",
				      .must_be = "available",
				      .input = input,
				      .also = put,
				      .arg = &putting};
	int r = rds_begin(rds, call, seen, &work);

	json_decref(input);
	return r;
}

int backtrack_cluster(void *userdata, struct aws_call *call, json_t **ret)
{
	struct backtrack_record backtrack = {
		.asked_us = call->now_us, .from_us = call->now_us, .status = "PENDING"};
	CLEANUP(seen) struct seen seen = {0};
	struct rds *rds = userdata;
	int r;

	r = rds_find_now(rds, call, &seen);
	if (r == 0 && !strcmp(seen_status(&seen), "available"))
		r = choose_moment(call, &seen, &backtrack.to_us);
	if (r < 0)
		return r;
	record_new_backtrack_id(backtrack.id);
	memcpy(backtrack.resource_id, seen.record.resource_id, sizeof backtrack.resource_id);
	r = begin(rds, call, &seen, &backtrack);
	if (r == 0)
		*ret = show(&seen.record, &backtrack);
	return r;
}

/* --- DescribeDBClusterBacktracks -------------------------------------------------------------- */

struct listing {
	const struct record *record;
	json_t *list;    /* what is told */
	json_t *numbers; /* {"7": true}: of the volume's, those that the table has */
};

/* The newest come first: their marks are the least. */
static void add(struct listing *listing, const struct backtrack_record *backtrack)
{
	json_t *one = show(listing->record, backtrack);
	char mark[24 + BACKTRACK_ID_SIZE];

	snprintf(mark, sizeof mark, "%019lld %s", (long long)(INT64_MAX - backtrack->asked_us),
		 backtrack->id);
	json_object_set_new(one, ".mark", json_string(mark));
	json_array_append_new(listing->list, one);
}

static int add_ours(const struct backtrack_record *backtrack, void *arg)
{
	struct listing *listing = arg;
	char name[24];

	snprintf(name, sizeof name, "%lld", (long long)backtrack->number);
	json_object_set_new(listing->numbers, name, json_true());
	add(listing, backtrack);
	return 0;
}

/* An identifier for one that nobody asked us for: always the same. */
static void derive_id(const char *resource_id, int64_t of_number, char ret[BACKTRACK_ID_SIZE])
{
	uint64_t hash = 1469598103934665603u; /* FNV-1a */

	for (const char *c = resource_id; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 1099511628211u;
	snprintf(ret, BACKTRACK_ID_SIZE, "%08x-%04x-8%03x-8000-%012llx", (unsigned)(hash >> 32),
		 (unsigned)(hash >> 16 & 0xffff), (unsigned)(hash & 0xfff),
		 (unsigned long long)of_number & 0xffffffffffff);
}

static void add_others(struct listing *listing, const json_t *keepers, bool applying)
{
	const json_t *one;
	size_t i;

	json_array_foreach (keepers, i, one) {
		struct backtrack_record backtrack = {
			.asked_us = time_us(one, "at"),
			.to_us = number(one, "asked_time_us"),
			.from_us = time_us(one, "from"),
			.status = "COMPLETED",
		};
		char name[24];

		snprintf(name, sizeof name, "%lld", (long long)number(one, "number"));
		if (json_object_get(listing->numbers, name))
			continue;
		if (!backtrack.to_us)
			backtrack.to_us = time_us(one, "reached");
		if (applying && i + 1 == json_array_size(keepers))
			backtrack.status = "APPLYING";
		derive_id(listing->record->resource_id, number(one, "number"), backtrack.id);
		add(listing, &backtrack);
	}
}

/* A stopped cluster's are in its volume, which is opened for the question. */
static int ask_stopped(const struct cluster *cluster, json_t **ret, struct problem *why)
{
	struct attendance attendance = {0};
	int r = attend(&attendance, cluster, why);

	if (r == 0)
		r = ask_backtracks(cluster, ret, why);
	attend_end(&attendance);
	return r;
}

static int list_all(struct rds *rds, const struct seen *seen, json_t **ret, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	struct listing listing = {&seen->record, json_array(), json_object()};
	json_t *keepers = NULL;
	int r;

	r = cluster_find(seen->record.name, &cluster, why);
	if (r == 0)
		r = ask_backtracks(cluster, &keepers, why);
	/* While something is done about it, whoever does that starts its keeper. */
	if (keepers_is_none(r) && !seen->doing[0])
		r = ask_stopped(cluster, &keepers, why);
	if (r == 0)
		r = backtrack_for_each(rds->state, seen->record.resource_id, add_ours, &listing);
	if (r == 0)
		add_others(&listing, keepers, !strcmp(seen_status(seen), "backtracking"));
	json_decref(keepers);
	json_decref(listing.numbers);
	if (r == 0)
		*ret = listing.list;
	else
		json_decref(listing.list);
	return r;
}

/* The one of that identifier. */
static json_t *only(const json_t *all, const char *id)
{
	json_t *list = json_array(), *one;
	size_t i;

	json_array_foreach (all, i, one)
		if (!strcasecmp(id, json_string_value(json_object_get(one, "BacktrackIdentifier"))))
			json_array_append(list, one);
	return list;
}

static int choose(struct aws_call *call, json_t **all)
{
	const char *id = rds_text(call, "BacktrackIdentifier");
	json_t *list;

	if (!id)
		return 0;
	list = only(*all, id);
	json_decref(*all);
	*all = list;
	if (json_array_size(list))
		return 0;
	return aws_fault(call, "DBClusterBacktrackNotFoundFault",
			 "Backtrack identifier %.100s does not refer to an existing backtrack.",
			 id);
}

int describe_backtracks(void *userdata, struct aws_call *call, json_t **ret)
{
	CLEANUP(seen) struct seen seen = {0};
	struct problem why = {""};
	json_t *all = NULL;
	int r;

	r = rds_find(userdata, call, rds_text(call, "DBClusterIdentifier"), &seen);
	if (r < 0)
		return r;
	r = list_all(userdata, &seen, &all, &why);
	if (keepers_is_none(r))
		return aws_fault(call, "InvalidDBClusterStateFault",
				 "DB cluster %s is %s: its backtracks can be told when that is "
				 "done.",
				 seen.record.name, seen_status(&seen));
	if (r < 0)
		return aws_fault(call, "InvalidDBClusterStateFault",
				 "The backtracks of DB cluster %s cannot be told: %s",
				 seen.record.name, why.text);
	r = choose(call, &all);
	if (r == 0)
		*ret = json_pack("{s:O}", "DBClusterBacktracks", all);
	json_decref(all);
	return r;
}
