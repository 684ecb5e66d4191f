#include "jobs/record.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

static const char *const steps[] = {
	"CREATE TABLE job ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, subject TEXT NOT NULL,"
	" state TEXT NOT NULL, step TEXT, cancel INTEGER NOT NULL DEFAULT 0, error TEXT,"
	" input TEXT NOT NULL, notes TEXT NOT NULL,"
	" created_us INTEGER NOT NULL, started_us INTEGER, ended_us INTEGER) STRICT;"
	"CREATE UNIQUE INDEX job_at_work ON job (subject) WHERE ended_us IS NULL;"
	"CREATE INDEX job_subject ON job (subject, id);"
	"CREATE INDEX job_ended ON job (ended_us)",
	NULL,
};

const struct state_part jobs_state_part = {"jobs", steps};

static const char *const state_names[] = {
	[JOB_WAITING] = "waiting", [JOB_RUNNING] = "running", [JOB_UNDOING] = "undoing",
	[JOB_DONE] = "done",       [JOB_FAILED] = "failed",   [JOB_CANCELLED] = "cancelled",
};

const char *job_state_name(enum job_state state)
{
	return state_names[state];
}

static enum job_state state_of(const char *name)
{
	enum job_state state = JOB_WAITING;

	while (state < JOB_CANCELLED && strcmp(state_names[state], name) != 0)
		state++;
	return state;
}

static char *text_of(const json_t *value)
{
	return xcheck(json_dumps(value, JSON_COMPACT));
}

/* --- Writing ---------------------------------------------------------------------------------- */

struct adding {
	struct record *record;
	const struct job_new *new;
};

static int add(sqlite3 *db, void *arg)
{
	struct adding *adding = arg;
	struct record *record = adding->record;
	CLEANUP(free) char *input = text_of(record->job->input);
	int r;

	r = state_run(db,
		      "INSERT INTO job (kind, subject, state, input, notes, created_us)"
		      " VALUES (?, ?, 'waiting', ?, '{}', ?)",
		      "sssi", adding->new->kind, record->job->subject, input, record->created_us);
	if (r < 0)
		return r == -EEXIST ? -EBUSY : r;
	record->job->id = sqlite3_last_insert_rowid(db);
	return adding->new->also ? adding->new->also(db, record->job->id, adding->new->arg) : 0;
}

int record_add(struct state *state, struct record *record, const struct job_new *new)
{
	struct adding adding = {record, new};

	return state_write(state, add, &adding);
}

static int update(sqlite3 *db, void *arg)
{
	const struct record *record = arg;
	CLEANUP(free) char *notes = text_of(record->job->notes);

	return state_run(db,
			 "UPDATE job SET state = ?, step = ?, error = ?, notes = ?, started_us = ?"
			 " WHERE id = ?",
			 "ssssii", state_names[record->state], record->step, record->error, notes,
			 record->started_us, record->job->id);
}

int record_update(struct state *state, const struct record *record)
{
	return state_write(state, update, (void *)record);
}

struct ending {
	const struct record *record;
	void *userdata;
	const struct problem *why;
};

static int end(sqlite3 *db, void *arg)
{
	const struct ending *ending = arg;
	const struct record *record = ending->record;
	const struct job_kind *kind = record->job->kind;
	char secret[64];
	int r;

	snprintf(secret, sizeof secret, "$.\"%s\"", kind->secret ? kind->secret : "-");
	r = update(db, (void *)record);
	if (r == 0)
		r = state_run(db,
			      "UPDATE job SET ended_us = ?, input = json_remove(input, ?)"
			      " WHERE id = ?",
			      "isi", record->ended_us, secret, record->job->id);
	if (r == 0)
		r = state_run(db, "DELETE FROM job WHERE ended_us < ?", "i",
			      record->ended_us - JOBS_KEPT_US);
	if (r == 0 && kind->end)
		r = kind->end(ending->userdata, record->job, record->state, ending->why, db);
	return r;
}

int record_end(struct state *state, const struct record *record, void *userdata,
	       const struct problem *why)
{
	struct ending ending = {record, userdata, why};

	return state_write(state, end, &ending);
}

static int cancel(sqlite3 *db, void *arg)
{
	return state_run(db, "UPDATE job SET cancel = 1 WHERE id = ?", "i", *(int64_t *)arg);
}

int record_cancel(struct state *state, int64_t id)
{
	return state_write(state, cancel, &id);
}

/* --- Reading ---------------------------------------------------------------------------------- */

static const char *text_at(sqlite3_stmt *row, int column)
{
	return (const char *)sqlite3_column_text(row, column);
}

static json_t *json_at(sqlite3_stmt *row, int column)
{
	const char *text = text_at(row, column);

	return json_loads(text ? text : "", 0, NULL);
}

struct taking {
	int (*fn)(const struct record *record, const char *kind, void *arg);
	void *arg;
};

static int take_row(sqlite3_stmt *row, const struct taking *taking)
{
	struct job job = {.id = sqlite3_column_int64(row, 0)};
	struct record record = {
		.job = &job,
		.state = state_of(text_at(row, 3)),
		.step = text_at(row, 4),
		.cancel = sqlite3_column_int(row, 5),
		.error = text_at(row, 6),
		.created_us = sqlite3_column_int64(row, 9),
		.started_us = sqlite3_column_int64(row, 10),
	};

	snprintf(job.subject, sizeof job.subject, "%s", text_at(row, 2));
	job.input = json_at(row, 7);
	job.notes = json_at(row, 8);
	if (!json_is_object(job.input) || !json_is_object(job.notes)) {
		json_decref(job.input);
		json_decref(job.notes);
		return -EBADMSG;
	}
	return taking->fn(&record, text_at(row, 1), taking->arg);
}

static int take_unfinished(sqlite3 *db, void *arg)
{
	sqlite3_stmt *row = NULL;
	int r;

	r = state_prepare(db,
			  "SELECT id, kind, subject, state, step, cancel, error, input, notes,"
			  " created_us, started_us FROM job WHERE ended_us IS NULL ORDER BY id",
			  &row, "");
	while (r >= 0 && (r = state_step(row)) > 0)
		r = take_row(row, arg);
	state_done(row);
	return r;
}

int record_for_unfinished(struct state *state,
			  int (*fn)(const struct record *record, const char *kind, void *arg),
			  void *arg)
{
	struct taking taking = {fn, arg};

	return state_read(state, take_unfinished, &taking);
}

struct listing {
	const char *subject;
	unsigned limit;
	json_t *list;
};

static void set_text(json_t *object, const char *name, sqlite3_stmt *row, int column)
{
	if (text_at(row, column))
		json_object_set_new(object, name, json_string(text_at(row, column)));
}

static void set_time(json_t *object, const char *name, sqlite3_stmt *row, int column)
{
	if (sqlite3_column_int64(row, column))
		json_object_set_new(object, name, json_integer(sqlite3_column_int64(row, column)));
}

static json_t *show_row(sqlite3_stmt *row)
{
	json_t *job = json_object();

	json_object_set_new(job, "id", json_integer(sqlite3_column_int64(row, 0)));
	set_text(job, "kind", row, 1);
	set_text(job, "subject", row, 2);
	set_text(job, "state", row, 3);
	set_text(job, "step", row, 4);
	set_text(job, "error", row, 5);
	json_object_set_new(job, "input", json_at(row, 6));
	set_time(job, "created_us", row, 7);
	set_time(job, "started_us", row, 8);
	set_time(job, "ended_us", row, 9);
	return job;
}

static int list(sqlite3 *db, void *arg)
{
	struct listing *listing = arg;
	sqlite3_stmt *row = NULL;
	int r;

	r = state_prepare(db,
			  "SELECT id, kind, subject, state, step, error, input, created_us,"
			  " started_us, ended_us FROM job WHERE ?1 IS NULL OR subject = ?1"
			  " ORDER BY id DESC LIMIT ?2",
			  &row, "si", listing->subject, (int64_t)listing->limit);
	while (r >= 0 && (r = state_step(row)) > 0)
		json_array_append_new(listing->list, show_row(row));
	state_done(row);
	return r;
}

int record_list(struct state *state, const char *subject, unsigned limit, json_t **ret)
{
	struct listing listing = {subject, limit, json_array()};
	int r = state_read(state, list, &listing);

	if (r < 0) {
		json_decref(listing.list);
		return r;
	}
	*ret = listing.list;
	return 0;
}
