/*
 * How a table was made, in the words of PostgreSQL's own pg_dump: it knows all that belongs to one,
 * of each version of the server.  It is run against the server of the past.
 */
#include "sql/postgres.h"

#include "base/alloc.h"
#include "engine/postgres.h"
#include "engine/process.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define DUMP_TIMEOUT_MS 120000
#define DUMP_BYTES_MAX (64 << 20)

/* --- Its words -------------------------------------------------------------------------------- */

/* Behind a string, a name or a dollar-quoted body that begins at `at`; else `at`. */
static const char *behind_quoted(const char *at)
{
	const char *end;
	size_t tag;

	if (*at == '\'' || *at == '"') {
		end = strchr(at + 1, *at);
		return end ? end + 1 : at + strlen(at);
	}
	if (*at != '$')
		return at;
	tag = 1 + strspn(at + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
	if (at[tag] != '$' || isdigit((unsigned char)at[1]))
		return at;
	end = memmem(at + tag + 1, strlen(at + tag + 1), at, tag + 1);
	return end ? end + tag + 1 : at + strlen(at);
}

/* Behind blanks, comments, and lines that are for psql ("\restrict"). */
static const char *behind_blanks(const char *at)
{
	for (;;) {
		at += strspn(at, " \n");
		if (strncmp(at, "--", 2) != 0 && *at != '\\')
			return at;
		at += strcspn(at, "\n");
	}
}

/* They would undo those that we have made; those of the table are not among them. */
static bool is_setting(const char *statement)
{
	return (!strncmp(statement, "SET ", 4) && strncmp(statement, "SET default_", 12) != 0) ||
	       !strncmp(statement, "SELECT pg_catalog.set_config(", 29);
}

void postgres_split(const char *text, struct sql_statements *ret)
{
	const char *begin = behind_blanks(text), *at = begin;

	while (*at) {
		const char *next = behind_quoted(at);

		if (next != at) {
			at = next;
			continue;
		}
		if (*at == ';') {
			if (!is_setting(begin))
				sql_statements_add(ret, xcheck(strndup(begin, at - begin)));
			begin = at = behind_blanks(at + 1);
			continue;
		}
		at++;
	}
}

/* --- Running it ------------------------------------------------------------------------------- */

/* "dbname='it\'s'": a database's name may look like a connection's description. */
static void put_database(struct buffer *out, const char *name)
{
	sql_put(out, "--dbname=dbname='");
	for (; *name; name++) {
		if (*name == '\'' || *name == '\\')
			buffer_put8(out, '\\');
		buffer_put8(out, *name);
	}
	sql_put(out, "'");
	buffer_put8(out, 0);
}

/* Within double quotes nothing of a pattern is special. */
static void put_pattern(struct buffer *out, const char *schema, const char *name)
{
	sql_put(out, "--table=");
	postgres_put_table(out, schema, name);
	buffer_put8(out, 0);
}

static int read_file(int fd, char **ret)
{
	struct stat st;
	CLEANUP(free) char *text = NULL;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > DUMP_BYTES_MAX)
		return -E2BIG;
	text = xcalloc(st.st_size + 1, 1);
	if (pread(fd, text, st.st_size, 0) != st.st_size)
		return -EIO;
	*ret = take(text);
	return 0;
}

static int run_program(const char *program, const char *const *argv, int fd, struct problem *why)
{
	const struct process_options options = {
		.program = program, .argv = argv, .in = -1, .keep_fd = fd};
	char words[1024];
	int r;

	r = process_run(&options, DUMP_TIMEOUT_MS, words, sizeof words, why);
	if (r > 0) {
		words[strcspn(words, "\n")] = 0;
		r = problem(why, -EIO, "%s", words);
	}
	return r;
}

/* One section of the table's dump, without its rows.  It and its partitions: each has a pattern. */
static int dump(struct postgres *postgres, const char *section, const struct sql_names *tables,
		struct sql_statements *ret, struct problem *why)
{
	CLEANUP(buffer) struct buffer host = {0}, database = {0};
	CLEANUP(free) struct buffer *patterns = xcalloc(tables->count, sizeof *patterns);
	CLEANUP(free) const char **argv = xcalloc(tables->count + 16, sizeof *argv);
	CLEANUP(fd) int fd = memfd_create("unspill-dump", 0);
	CLEANUP(free) char *text = NULL;
	char program[PATH_MAX], file[64];
	size_t n = 0;
	int r;

	if (fd < 0)
		return problem_errno(why, -errno, "no memory for a dump");
	if (!postgres_program("pg_dump", PQserverVersion(postgres->connection) / 10000, program,
			      sizeof program))
		return problem(why, -ENOENT,
			       "there is no 'pg_dump' here, which knows how a table was made: "
			       "install PostgreSQL's client (Debian: postgresql-client-15)");
	snprintf(file, sizeof file, "--file=/proc/self/fd/%d", fd);
	sql_putf(&host, "--host=%s", postgres->host);
	buffer_put8(&host, 0);
	put_database(&database, postgres->database);
	for (const char *const *word =
		     (const char *const[]){
			     program, (char *)host.data, "--port=5432", "--username=postgres",
			     "--no-password", section, "--schema-only", "--encoding",
			     PQparameterStatus(postgres->connection, "server_encoding"), file,
			     NULL};
	     *word; word++)
		argv[n++] = *word;
	for (size_t i = 0; i < tables->count; i++) {
		put_pattern(&patterns[i], tables->schemas[i], tables->names[i]);
		argv[n++] = (char *)patterns[i].data;
	}
	argv[n] = (char *)database.data;
	r = run_program(program, argv, fd, why);
	for (size_t i = 0; i < tables->count; i++)
		buffer_done(&patterns[i]);
	if (r == 0)
		r = read_file(fd, &text);
	if (r == 0)
		postgres_split(text, ret);
	return r;
}

int postgres_define(struct sql *sql, const char *schema, const char *name,
		    struct sql_definition *definition, struct problem *why)
{
	struct postgres *postgres = (struct postgres *)sql;
	CLEANUP(sql_names) struct sql_names tables = {0};
	int r;

	r = postgres_partitions(sql, schema, name, &tables, why);
	if (r == 0)
		r = dump(postgres, "--section=pre-data", &tables, &definition->before, why);
	if (r == 0)
		r = dump(postgres, "--section=post-data", &tables, &definition->after, why);
	if (r == 0)
		r = postgres_beside(sql, schema, name, &definition->after, why);
	definition->at_once = true;
	return r;
}
