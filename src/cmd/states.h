/*
 * States: a cluster's database at moments of its past and now, for diff, find and repair.
 *
 * A state is a server with a connection to it: a throw-away one at a moment, or the live one.
 * Errors are printed here; callers get an enum ending.
 */
#pragma once

#include "cmd/inside_past.h"
#include "cmd/talk.h"
#include "past/past.h"
#include "repair/shape.h"
#include "sql/sql.h"

struct state {
	bool live;
	struct past *past;         /* a server of the past; NULL: SQLite's, or live */
	struct inside_past inside; /* SQLite's past */
	struct sql *sql;
	struct sql_table *table;
	struct shape shape;
};

/* A throw-away server at `at` (borrowed); the progress is told. */
int state_open_past(struct state *ret, struct talk *talk, const json_t *at,
		    struct progress *progress);
/* The two halves of it, so that several start at once; the state is to be closed in any case. */
int state_begin_past(struct state *ret, struct talk *talk, const json_t *at);
int state_await_past(struct state *state, struct talk *talk, struct progress *progress);
bool state_is_begun(const struct state *state);
/* The same at another moment, not later than that of state_open_past(). */
int state_go(struct state *state, struct talk *talk, const json_t *at);
/* The live server, which has to run; SQLite's live database, in this process or another one. */
int state_open_live(struct state *ret, struct talk *talk);
void state_leave(struct state *state);

/* `name` (see sql_find_table()) there, and its description. */
int state_find_table(struct state *state, const struct typed *typed, const char *name, bool utc);
/* The same table as in another state.  END_OK and no table when there is none. */
int state_same_table(struct state *state, const struct typed *typed, const struct sql_table *as);

/* The moment that the state of the past shows, as text. */
void state_moment(const struct state *state, bool utc, char text[MOMENT_TEXT_MAX]);

/* "id=7, name='x'" of the row's columns from `first` on, as a person reads it: no control
 * characters, and no text longer than a line. */
void state_put_row(const struct state *state, struct buffer *out, const struct row *row,
		   size_t first, size_t count);
/* One value likewise. */
void state_put_value(const struct state *state, struct buffer *out, size_t column,
		     const struct sql_value *value);
/* The key of a row; of one without a key all of it. */
void state_put_key(const struct state *state, struct buffer *out, const struct row *row);
/* The same as a JSON object: texts, numbers as texts, null; bytes that are no UTF-8 as "0x...". */
json_t *state_json_row(const struct state *state, const struct row *row, size_t count);

/* What an error of a database means for a command. */
int fail_sql(const struct typed *typed, int r, const struct problem *why);
