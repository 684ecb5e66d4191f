/* unspill query */
#include "cmd/answer.h"
#include "cmd/commands.h"
#include "cmd/inside.h"
#include "cmd/visit.h"
#include "base/alloc.h"
#include "base/buffer.h"

#include <errno.h>
#include <string.h>

/* More than this is no question. */
#define SQL_BYTES_MAX (64 * 1024 * 1024)

static int parse_format(const struct typed *typed, int *ret)
{
	static const char *const names[] = {
		[ANSWER_CSV] = "csv", [ANSWER_JSON] = "json", [ANSWER_TABLE] = "table"};
	const char *text = typed_value(typed, "format");

	*ret = -1;
	if (!text)
		return END_OK;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i]))
			*ret = (int)i;
	return *ret >= 0
		       ? END_OK
		       : fail(typed, END_USAGE,
			      "--format: there is no '%.20s'; there are csv, json and table", text);
}

static int read_input(const struct typed *typed, struct buffer *ret)
{
	size_t n;

	do {
		n = fread(buffer_extend(ret, 65536), 1, 65536, stdin);
		ret->size -= 65536 - n;
		if (ret->size > SQL_BYTES_MAX)
			return fail(typed, END_USAGE, "standard input has more than %d MiB",
				    SQL_BYTES_MAX >> 20);
	} while (n > 0);
	if (ferror(stdin))
		return fail(typed, END_FAILED, "cannot read standard input");
	if (memchr(ret->data, 0, ret->size))
		return fail(typed, END_USAGE, "standard input is no text: it has a NUL in it");
	buffer_put8(ret, 0);
	return END_OK;
}

static int ask_server(struct visit *visit, const char *sql, enum answer_format format)
{
	CLEANUP(answer) struct answer *answer = answer_new(format, stdout);
	struct engine_answer callbacks = answer_callbacks(answer);
	struct problem why = {""};
	int r, end;

	callbacks.database = typed_value(visit->talk.typed, "database");
	if (!past_engine(visit->past)->query)
		return fail(visit->talk.typed, END_USAGE,
			    "--format: %s answers by its own client only: leave it out",
			    past_engine(visit->past)->title);
	r = past_engine(visit->past)->query(past_place(visit->past), sql, &callbacks, &why);
	/* What came before a statement that was refused is still an answer. */
	end = answer_end(answer);
	if (r == -EINVAL)
		return fail(visit->talk.typed, END_FAILED, "%s", why.text);
	if (r < 0 && r != -EIO)
		return fail_why(visit->talk.typed, r, &why);
	return end < 0 ? fail(visit->talk.typed, END_FAILED, "cannot write to standard output")
		       : END_OK;
}

static int ask_client(struct visit *visit, const char *sql)
{
	const struct typed *typed = visit->talk.typed;
	const char *database = typed_value(typed, "database");
	CLEANUP(free) char *word = NULL;
	char *rest[2] = {NULL};

	if (database) {
		if (asprintf(&word, "%s%s", past_engine(visit->past)->choose, database) < 0)
			return fail(typed, END_MACHINE, "no memory");
		rest[0] = word;
	}
	return visit_run_client(visit, sql, rest);
}

static int ask_it(struct visit *visit, const char *sql, int format)
{
	const struct typed *typed = visit->talk.typed;

	if (typed_has(typed, "database") && !past_engine(visit->past)->choose)
		return fail(typed, END_USAGE, "--database: %s has only one",
			    past_engine(visit->past)->title);
	return format < 0 ? ask_client(visit, sql) : ask_server(visit, sql, format);
}

static int run(const struct typed *typed)
{
	CLEANUP(buffer) struct buffer input = {0};
	const char *sql = typed->operands[1];
	struct visit visit;
	int format, ending;

	if (sql && !strcmp(sql, "-"))
		sql = NULL;
	ending = parse_format(typed, &format);
	if (ending == END_OK && inside_is(typed))
		return typed_has(typed, "database")
			       ? fail(typed, END_USAGE, "--database: SQLite has only one")
			       : inside_query(typed);
	/* The client reads it itself. */
	if (ending == END_OK && !sql && format >= 0) {
		ending = read_input(typed, &input);
		sql = (const char *)input.data;
	}
	if (ending != END_OK)
		return ending;
	ending = visit_open(&visit, typed);
	if (ending == END_OK) {
		ending = ask_it(&visit, sql, format);
		visit_note_changes(&visit);
	}
	visit_close(&visit);
	return ending;
}

const struct command command_query = {
	.name = "query",
	.summary = "Ask what was in the database at a moment of its past",
	.operands = {OPERAND_CLUSTER,
		     {"SQL", "what to ask; standard input if left out, or -", .optional = true}},
	.options =
		{
			{"at", .argument = "MOMENT", .text = "The moment to ask; now if left out."},
			{"database", .argument = "NAME",
			 .text = "Ask in this database of the server; on PostgreSQL, where a "
				 "question cannot name another, postgres if left out."},
			{"format", .argument = "FORMAT",
			 .text = "How to print what is answered: csv, json or table. As the "
				 "engine's "
				 "own client does if left out."},
		},
	.text = "A server of its own, on a copy of that moment that begins by sharing all files "
		"with "
		"the cluster, answers on a private socket. It is gone, with its files, when the "
		"command ends, however it ends. The cluster goes on undisturbed; it may be "
		"stopped.\n\n"
		"What the SQL changes is changed in the copy only, and goes with it; that is said "
		"on "
		"standard error.\n\n"
		"As csv, a NULL is nothing and an empty text is \"\". As json, each statement with "
		"rows "
		"is one array of objects, and bytes that are no UTF-8 are \"0x...\".",
	.examples =
		{
			{"query shop --at '10 minutes ago' 'SELECT COUNT(*) FROM shop.orders'",
			 "How many there were."},
			{"query shop --at 09:41 --format csv 'SELECT id FROM shop.users'",
			 "A table of then, for another program."},
			{"query shop --at 09:41 --database app 'SELECT COUNT(*) FROM orders'",
			 "Of PostgreSQL's database app."},
			{"query shop --at 09:41 --format json < report.sql",
			 "A file of statements."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_UNREACHABLE | 1 << END_BUSY | 1 << END_DAMAGED |
		   1 << END_MACHINE,
	.takes_moment = true,
	.run = run,
};
