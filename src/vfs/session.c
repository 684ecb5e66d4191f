#include "vfs/session.h"

#include "base/alloc.h"
#include "base/cursor.h"
#include "control/control.h"
#include "control/server.h"
#include "vfs/exact.h"
#include "vfs/vfs.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Statements that are kept for the next time. */
#define KEPT 8

struct kept {
	char *text;
	size_t size;
	sqlite3_stmt *statement;
};

struct session {
	/* here */
	sqlite3 *db;
	struct kept kept[KEPT];
	size_t turn;
	sqlite3_stmt *running; /* of `kept` */
	/* there */
	struct control *control;
	struct buffer message;
	/* both */
	struct session_value *values; /* of the row at hand */
	size_t room;
	uint64_t changes;
};

static struct session_value *room_for(struct session *session, size_t count)
{
	if (count > session->room) {
		session->room = count;
		session->values =
			xreallocarray(session->values, session->room, sizeof *session->values);
	}
	return session->values;
}

/* --- Here ------------------------------------------------------------------------------------- */

static bool is_missing(const char *words)
{
	return !strncmp(words, "no such ", 8) || strstr(words, " has no column named ");
}

static int errno_of(int code, const char *words)
{
	switch (code) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return -EEXIST;
	}
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EDEADLK;
	case SQLITE_ERROR:
		return is_missing(words) ? -ENOENT : -EINVAL;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
		return -EACCES;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_TOOBIG:
		return -E2BIG;
	default:
		return -EIO;
	}
}

static int failed(struct session *session, struct problem *why)
{
	const char *words = sqlite3_errmsg(session->db);

	return problem(why, errno_of(sqlite3_extended_errcode(session->db), words), "%s", words);
}

int session_open(const char *path, struct session **ret, struct problem *why)
{
	CLEANUP(session) struct session *session = xcalloc(1, sizeof *session);
	int r;

	r = sqlite3_open_v2(path, &session->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX,
			    VFS_NAME);
	if (r == SQLITE_OK)
		r = sqlite3_extended_result_codes(session->db, 1);
	if (r == SQLITE_OK)
		r = sqlite3_busy_timeout(session->db, SESSION_BUSY_MS);
	if (r == SQLITE_OK)
		r = sqlite3_db_config(session->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	if (r == SQLITE_OK)
		r = exact_add_functions(session->db);
	if (r != SQLITE_OK)
		return problem(why, errno_of(r, ""), "cannot open '%.300s': %s", path,
			       session->db ? sqlite3_errmsg(session->db) : "no memory");
	*ret = take(session);
	return 0;
}

static bool is_blank(const char *text, const char *end)
{
	while (text < end && (isspace((unsigned char)*text) || *text == ';'))
		text++;
	return text == end;
}

static int find_statement(struct session *session, const char *text, size_t size,
			  struct problem *why)
{
	struct kept *kept;
	const char *rest = "";

	for (size_t i = 0; i < KEPT; i++) {
		kept = &session->kept[i];
		if (kept->statement && kept->size == size && !memcmp(kept->text, text, size)) {
			session->running = kept->statement;
			return 0;
		}
	}
	kept = &session->kept[session->turn++ % KEPT];
	sqlite3_finalize(take(kept->statement));
	free(take(kept->text));
	if (size > INT32_MAX)
		return problem(why, -E2BIG, "a statement of %zu bytes is too long", size);
	if (sqlite3_prepare_v2(session->db, text, (int)size, &kept->statement, &rest) != SQLITE_OK)
		return failed(session, why);
	if (!kept->statement || !is_blank(rest, text + size)) {
		sqlite3_finalize(take(kept->statement));
		return problem(why, -EINVAL, "this is not one statement: '%.80s'", text);
	}
	kept->text = xmalloc(size);
	kept->size = size;
	memcpy(kept->text, text, size);
	session->running = kept->statement;
	return 0;
}

static int bind_values(struct session *session, const struct session_value *values, size_t count,
		       struct problem *why)
{
	int r = SQLITE_OK, wanted = sqlite3_bind_parameter_count(session->running);

	if (count != (size_t)wanted)
		return problem(why, -EUCLEAN, "%zu values for %d placeholders", count, wanted);
	for (int i = 0; i < wanted && r == SQLITE_OK; i++)
		r = values[i].data ? sqlite3_bind_blob64(session->running, i + 1, values[i].data,
							 values[i].size, SQLITE_STATIC)
				   : sqlite3_bind_null(session->running, i + 1);
	return r == SQLITE_OK ? 0 : failed(session, why);
}

/* The error of the step comes once more, with its words. */
static int end_statement(struct session *session, bool bad, struct problem *why)
{
	int r = bad ? failed(session, why) : 0;

	session->changes = (uint64_t)sqlite3_changes(session->db);
	sqlite3_reset(session->running);
	sqlite3_clear_bindings(session->running);
	session->running = NULL;
	return r;
}

static int send_here(struct session *session, const void *text, size_t size,
		     const struct session_value *values, size_t count, struct problem *why)
{
	int r = find_statement(session, text, size, why);

	if (r == 0)
		r = bind_values(session, values, count, why);
	if (r < 0 && session->running)
		end_statement(session, false, NULL);
	return r;
}

static void column(struct session *session, int i, struct session_value *ret)
{
	sqlite3_stmt *statement = session->running;
	int type = sqlite3_column_type(statement, i);

	*ret = (struct session_value){NULL, 0};
	if (type == SQLITE_NULL)
		return;
	ret->data = type == SQLITE_BLOB ? sqlite3_column_blob(statement, i)
					: (const void *)sqlite3_column_text(statement, i);
	ret->size = sqlite3_column_bytes(statement, i);
	if (!ret->data)
		ret->data = "";
}

static int next_here(struct session *session, size_t *ret_count, struct problem *why)
{
	int count, r;

	if (!session->running)
		return 0;
	r = sqlite3_step(session->running);
	if (r != SQLITE_ROW)
		return end_statement(session, r != SQLITE_DONE, why);
	count = sqlite3_column_count(session->running);
	room_for(session, count);
	for (int i = 0; i < count; i++)
		column(session, i, &session->values[i]);
	*ret_count = count;
	return 1;
}

/* --- Messages --------------------------------------------------------------------------------- */

static void put_values(struct buffer *out, const struct session_value *values, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buffer_put32(out, values[i].data ? (uint32_t)values[i].size : SESSION_NULL);
		if (values[i].size)
			buffer_put(out, values[i].data, values[i].size);
	}
}

static bool get_values(struct cursor *in, struct session_value *values, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t size = cursor_get32(in);

		values[i] = (struct session_value){NULL, 0};
		if (size == SESSION_NULL)
			continue;
		values[i] = (struct session_value){cursor_bytes(in, size), size};
		if (!values[i].data && !cursor_ok(in))
			return false;
		if (!values[i].data)
			values[i].data = "";
	}
	return cursor_done(in);
}

static void begin_message(struct buffer *out)
{
	out->size = 0;
	buffer_put32(out, 0);
}

/* -E2BIG when it is too long to be sent. */
static int end_message(struct buffer *out)
{
	le32 size = to_le32((uint32_t)(out->size - sizeof size));

	if (out->size - sizeof size > SESSION_MESSAGE_MAX)
		return -E2BIG;
	memcpy(out->data, &size, sizeof size);
	return 0;
}

/* `receive` gives so many bytes, or fails; the message's size comes first. */
static int get_message(int (*receive)(void *arg, void *data, size_t size), void *arg,
		       struct buffer *in)
{
	le32 size;
	int r = receive(arg, &size, sizeof size);

	in->size = 0;
	if (r < 0)
		return r;
	if (from_le32(size) > SESSION_MESSAGE_MAX)
		return -EPROTO;
	return receive(arg, buffer_extend(in, from_le32(size)), from_le32(size));
}

/* --- There ------------------------------------------------------------------------------------ */

static int gone(struct problem *why)
{
	return problem(why, -ECONNRESET,
		       "the process that has the volume went away, or closed its database");
}

static int receive_there(void *arg, void *data, size_t size)
{
	struct session *session = arg;
	int fd = control_descriptor(session->control);
	ssize_t n;

	for (; size > 0; size -= n, data = (char *)data + n) {
		n = recv(fd, data, size, 0);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return -ECONNRESET;
	}
	return 0;
}

int session_connect(const char *socket_path, struct session **ret, struct problem *why)
{
	CLEANUP(session) struct session *session = xcalloc(1, sizeof *session);
	struct control_error code = {""};
	json_t *request, *result = NULL;
	int r;

	r = control_connect(socket_path, &session->control, why);
	if (r < 0)
		return r;
	request = json_pack("{s:s}", "do", "sql");
	r = control_call(session->control, request, NULL, NULL, &result, &code, why);
	json_decref(request);
	json_decref(result);
	if (r < 0)
		return r;
	*ret = take(session);
	return 0;
}

static int send_there(struct session *session, const void *text, size_t size,
		      const struct session_value *values, size_t count, struct problem *why)
{
	int fd = control_descriptor(session->control);
	struct buffer *out = &session->message;
	size_t sent = 0;

	begin_message(out);
	buffer_put32(out, (uint32_t)count);
	buffer_put32(out, (uint32_t)size);
	buffer_put(out, text, size);
	put_values(out, values, count);
	if (end_message(out) < 0)
		return problem(why, -E2BIG, "a statement of %zu bytes is too long", out->size);
	while (sent < out->size) {
		ssize_t n = send(fd, out->data + sent, out->size - sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return gone(why);
		sent += MAX(n, (ssize_t)0);
	}
	return 0;
}

static int take_error(struct cursor *in, struct problem *why)
{
	int r = (int)cursor_get32(in);
	size_t size = cursor_left(in);

	return problem(why, r ? -r : -EIO, "%.*s", (int)MIN(size, (size_t)1000),
		       (const char *)cursor_bytes(in, size));
}

static int next_there(struct session *session, size_t *ret_count, struct problem *why)
{
	struct cursor in;
	uint8_t kind;

	if (get_message(receive_there, session, &session->message) < 0)
		return gone(why);
	cursor_init(&in, session->message.data, session->message.size);
	kind = cursor_get8(&in);
	if (kind == 'e')
		return take_error(&in, why);
	if (kind == 'd') {
		session->changes = cursor_get64(&in);
		return 0;
	}
	*ret_count = cursor_get32(&in);
	if (kind != 'r' || *ret_count > cursor_left(&in) / sizeof(le32) ||
	    !get_values(&in, room_for(session, *ret_count), *ret_count))
		return problem(why, -EPROTO,
			       "the process that has the volume gives no answer that makes sense");
	return 1;
}

/* --- Either ----------------------------------------------------------------------------------- */

int session_send(struct session *session, const void *text, size_t size,
		 const struct session_value *values, size_t count, struct problem *why)
{
	return session->db ? send_here(session, text, size, values, count, why)
			   : send_there(session, text, size, values, count, why);
}

int session_next(struct session *session, const struct session_value **ret, size_t *ret_count,
		 struct problem *why)
{
	int r = session->db ? next_here(session, ret_count, why)
			    : next_there(session, ret_count, why);

	*ret = session->values;
	return r;
}

uint64_t session_changes(const struct session *session)
{
	return session->changes;
}

void session_close(struct session *session)
{
	if (!session)
		return;
	for (size_t i = 0; i < KEPT; i++) {
		sqlite3_finalize(session->kept[i].statement);
		free(session->kept[i].text);
	}
	sqlite3_close(session->db);
	control_close(session->control);
	buffer_done(&session->message);
	free(session->values);
	free(session);
}

/* --- For others ------------------------------------------------------------------------------- */

struct served {
	struct session *session;
	struct connection *connection;
	struct buffer in, out;
	struct session_value *values;
	size_t room;
};

static int receive_served(void *arg, void *data, size_t size)
{
	struct served *served = arg;
	ssize_t n;

	for (; size > 0; size -= n, data = (char *)data + n) {
		n = connection_receive(served->connection, data, size);
		if (n <= 0)
			return -ECONNRESET;
	}
	return 0;
}

static int answer(struct served *served)
{
	int r = end_message(&served->out);

	return r < 0 ? r : connection_send(served->connection, served->out.data, served->out.size);
}

static int answer_end(struct served *served, int r, const struct problem *why)
{
	begin_message(&served->out);
	buffer_put8(&served->out, r < 0 ? 'e' : 'd');
	if (r < 0) {
		buffer_put32(&served->out, (uint32_t)-r);
		buffer_put(&served->out, why->text, strlen(why->text));
	} else {
		buffer_put64(&served->out, session_changes(served->session));
	}
	return answer(served);
}

static int answer_row(struct served *served, const struct session_value *values, size_t count)
{
	begin_message(&served->out);
	buffer_put8(&served->out, 'r');
	buffer_put32(&served->out, (uint32_t)count);
	put_values(&served->out, values, count);
	return answer(served);
}

/* The answer's rows, then how it ended.  Negative when the client is gone. */
static int answer_rows(struct served *served, int r, struct problem *why)
{
	const struct session_value *row;
	size_t count;

	while (r >= 0 && (r = session_next(served->session, &row, &count, why)) > 0)
		if (answer_row(served, row, count) < 0)
			return -ECONNRESET;
	return answer_end(served, r, why);
}

/* One statement; negative when there will be no other. */
static int serve_one(struct served *served)
{
	struct problem why = {""};
	const void *text;
	struct cursor in;
	size_t count, size;
	int r = get_message(receive_served, served, &served->in);

	if (r < 0)
		return r;
	cursor_init(&in, served->in.data, served->in.size);
	count = cursor_get32(&in);
	size = cursor_get32(&in);
	text = cursor_bytes(&in, size);
	if (!text || count > cursor_left(&in) / sizeof(le32))
		return -EPROTO;
	if (count > served->room) {
		served->room = count;
		served->values = xreallocarray(served->values, count, sizeof *served->values);
	}
	if (!get_values(&in, served->values, count))
		return -EPROTO;
	r = session_send(served->session, text, size, served->values, count, &why);
	return answer_rows(served, r, &why);
}

void session_serve(struct session *session, struct connection *connection)
{
	struct served served = {.session = session, .connection = connection};

	while (serve_one(&served) >= 0)
		;
	buffer_done(&served.in);
	buffer_done(&served.out);
	free(served.values);
}
