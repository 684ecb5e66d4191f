#include "cmd/states.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

#define SHOWN_BYTES 60

/* --- Opening and closing ---------------------------------------------------------------------- */

int fail_sql(const struct typed *typed, int r, const struct problem *why)
{
	enum ending ending = ending_of_errno(r);

	if (r == -ENOTUNIQ)
		ending = END_USAGE;
	else if (r == -ENOTEMPTY || r == -EEXIST || r == -EUCLEAN)
		ending = END_FAILED;
	return fail(typed, ending, "%s", why->text[0] ? why->text : strerror(-r));
}

int state_begin_past(struct state *ret, struct talk *talk, const json_t *at)
{
	struct problem why = {""};
	int r;

	*ret = (struct state){0};
	r = cluster_is_inside(talk->cluster) ? inside_past_open(talk, at, &ret->inside, &why)
					     : past_begin(talk->cluster, at, &ret->past, &why);
	return r < 0 ? fail_why(talk->typed, r, &why) : END_OK;
}

bool state_is_begun(const struct state *state)
{
	return state->past || state->inside.path[0];
}

static int connect_to(struct state *state, struct problem *why)
{
	const struct engine_place inside = {.data_dir = state->inside.path};

	if (!state->past)
		return sql_open(CLUSTER_INSIDE, &inside, &state->sql, why);
	return sql_open(past_engine(state->past)->name, past_place(state->past), &state->sql, why);
}

int state_await_past(struct state *state, struct talk *talk, struct progress *progress)
{
	struct problem why = {""};
	int r;

	progress_step(progress, state->past ? "starting a server of the past" : "opening the past");
	r = state->past ? past_await(state->past, &why) : 0;
	if (r == 0)
		r = connect_to(state, &why);
	progress_done(progress, r == 0);
	return r < 0 ? fail_why(talk->typed, r, &why) : END_OK;
}

int state_open_past(struct state *ret, struct talk *talk, const json_t *at,
		    struct progress *progress)
{
	int ending = state_begin_past(ret, talk, at);

	return ending == END_OK ? state_await_past(ret, talk, progress) : ending;
}

int state_go(struct state *state, struct talk *talk, const json_t *at)
{
	struct problem why = {""};
	int r;

	sql_close(take(state->sql));
	r = state->past ? past_go(state->past, at, &why)
			: inside_past_go(talk, at, &state->inside, &why);
	if (r == 0)
		r = connect_to(state, &why);
	return r < 0 ? fail_why(talk->typed, r, &why) : END_OK;
}

static int check_running(struct talk *talk)
{
	char state[32] = "stopped";
	json_t *status;
	int ending;

	ending = talk_ask(talk, json_pack("{s:s}", "do", "status"), &status);
	if (ending != END_OK)
		return ending;
	snprintf(state, sizeof state, "%s", json_text(status, "state"));
	json_decref(status);
	if (!strcmp(state, "running"))
		return END_OK;
	return fail(talk->typed, END_BUSY, "the server is %s; 'unspill start %s' brings it up",
		    state, talk->cluster->name);
}

static int open_live_inside(struct state *state, struct talk *talk)
{
	char path[PATH_MAX + VOLUME_NAME_MAX + 2] = "", run_dir[PATH_MAX];
	const struct engine_place place = {.data_dir = talk->owner ? path : NULL,
					   .run_dir = run_dir};
	struct problem why = {""};
	int r = talk->owner ? inside_live_path(talk, path, &why) : 0;

	cluster_path(talk->cluster, "run", run_dir);
	if (r == 0)
		r = sql_open(CLUSTER_INSIDE, &place, &state->sql, &why);
	return r < 0 ? fail_why(talk->typed, r, &why) : END_OK;
}

int state_open_live(struct state *ret, struct talk *talk)
{
	const struct cluster *cluster = talk->cluster;
	char data[PATH_MAX], run_dir[PATH_MAX];
	const struct engine_place place = {
		.data_dir = data,
		.run_dir = run_dir,
		.bind = cluster->bind,
		.port = cluster->port,
		.uid = cluster->server_uid,
		.gid = cluster->server_gid,
	};
	struct problem why = {""};
	int ending, r;

	*ret = (struct state){.live = true};
	if (cluster_is_inside(cluster))
		return open_live_inside(ret, talk);
	ending = check_running(talk);
	if (ending != END_OK)
		return ending;
	cluster_path(cluster, "mnt/data", data);
	cluster_path(cluster, "run", run_dir);
	r = sql_open(cluster->engine, &place, &ret->sql, &why);
	return r < 0 ? fail_why(talk->typed, r, &why) : END_OK;
}

void state_leave(struct state *state)
{
	shape_done(&state->shape);
	sql_table_free(state->table);
	sql_close(state->sql);
	past_close(state->past);
	inside_past_close(&state->inside);
	*state = (struct state){0};
}

/* --- Tables ----------------------------------------------------------------------------------- */

void state_moment(const struct state *state, bool utc, char text[MOMENT_TEXT_MAX])
{
	struct moment moment;
	json_t *json;

	if (state->live) {
		snprintf(text, MOMENT_TEXT_MAX, "now");
		return;
	}
	moment = state->inside.moment;
	if (state->past)
		past_moment(state->past, &moment);
	json = json_pack("{s:I, s:I}", "lsn", (json_int_t)moment.lsn, "time_us",
			 (json_int_t)moment.time_us);
	moment_format(json, utc, text);
	json_decref(json);
}

int state_find_table(struct state *state, const struct typed *typed, const char *name, bool utc)
{
	char moment[MOMENT_TEXT_MAX], *schema = NULL, *table = NULL;
	struct problem why = {""};
	int r;

	r = sql_find_table(state->sql, name, &schema, &table, &why);
	if (r == 0)
		r = sql_describe(state->sql, schema, table, &state->table, &why);
	free(schema);
	free(table);
	if (r == -ENOENT && !state->live) {
		state_moment(state, utc, moment);
		return fail(typed, END_NOT_FOUND, "at %s %s", moment, why.text);
	}
	return r < 0 ? fail_sql(typed, r, &why) : END_OK;
}

int state_same_table(struct state *state, const struct typed *typed, const struct sql_table *as)
{
	struct problem why = {""};
	int r;

	r = sql_describe(state->sql, as->schema, as->name, &state->table, &why);
	return r < 0 && r != -ENOENT ? fail_sql(typed, r, &why) : END_OK;
}

/* --- Rows for a person ------------------------------------------------------------------------ */

/* jansson knows what is UTF-8. */
static bool is_text(const struct buffer *bytes)
{
	json_t *text = json_stringn((const char *)bytes->data, bytes->size);

	json_decref(text);
	return text != NULL;
}

static void put_hex(struct buffer *out, const struct buffer *bytes, size_t most)
{
	sql_put(out, "0x");
	for (size_t i = 0; i < bytes->size && i < most; i++)
		sql_putf(out, "%02x", bytes->data[i]);
	sql_put(out, bytes->size > most ? "..." : "");
}

static bool is_quoted(enum sql_kind kind)
{
	return kind != SQL_INTEGER && kind != SQL_DECIMAL && kind != SQL_FLOAT && kind != SQL_BITS;
}

/* Cut at a character's beginning. */
static void put_text(struct buffer *out, const struct buffer *bytes)
{
	size_t n = MIN(bytes->size, (size_t)SHOWN_BYTES);

	while (n && n < bytes->size && (bytes->data[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		buffer_put8(out,
			    bytes->data[i] < ' ' || bytes->data[i] == 0x7f ? '?' : bytes->data[i]);
	sql_put(out, n < bytes->size ? "..." : "");
}

void state_put_value(const struct state *state, struct buffer *out, size_t column,
		     const struct sql_value *value)
{
	const struct sql_column *shown = state->shape.columns[column];
	CLEANUP(buffer) struct buffer bytes = {0};
	const char *quote = is_quoted(shown->kind) ? "'" : "";

	if (!value->data) {
		sql_put(out, "NULL");
		return;
	}
	sql_put_shown(state->sql, &bytes, shown, value);
	if (bytes.size && (shown->kind == SQL_BYTES || !is_text(&bytes))) {
		put_hex(out, &bytes, SHOWN_BYTES / 2);
		return;
	}
	sql_put(out, quote);
	put_text(out, &bytes);
	sql_put(out, quote);
}

void state_put_row(const struct state *state, struct buffer *out, const struct row *row,
		   size_t first, size_t count)
{
	CLEANUP(free) struct sql_value *values = xcalloc(count, sizeof *values);

	row_values(row, values, count);
	for (size_t i = first; i < count; i++) {
		sql_putf(out, "%s%s=", i > first ? ", " : "", state->shape.columns[i]->name);
		state_put_value(state, out, i, &values[i]);
	}
	if (row->copies > 1)
		sql_putf(out, " (%llu times)", (unsigned long long)row->copies);
}

void state_put_key(const struct state *state, struct buffer *out, const struct row *row)
{
	state_put_row(state, out, row, 0, state->shape.key_count);
}

json_t *state_json_row(const struct state *state, const struct row *row, size_t count)
{
	CLEANUP(free) struct sql_value *values = xcalloc(count, sizeof *values);
	json_t *object = json_object();

	row_values(row, values, count);
	for (size_t i = 0; i < count; i++) {
		CLEANUP(buffer) struct buffer bytes = {0}, hex = {0};
		json_t *value = NULL;

		if (values[i].data)
			sql_put_shown(state->sql, &bytes, state->shape.columns[i], &values[i]);
		else
			value = json_null();
		if (!value && state->shape.columns[i]->kind != SQL_BYTES)
			value = json_stringn(bytes.size ? (char *)bytes.data : "", bytes.size);
		if (!value) {
			put_hex(&hex, &bytes, bytes.size);
			value = json_stringn((char *)hex.data, hex.size);
		}
		json_object_set_new(object, state->shape.columns[i]->name, value);
	}
	if (row->copies > 1)
		json_object_set_new(object, "copies", json_integer((json_int_t)row->copies));
	return object;
}
