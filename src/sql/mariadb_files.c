/*
 * MariaDB's files: where a table of InnoDB is, and how it is made to lie still there.
 *
 * FLUSH TABLES ... FOR EXPORT writes what the server has of the table in its buffers, its log's
 * part included, and stops purge.  What recovery has not undone yet would still change it, so that
 * is waited for first.
 */
#include "sql/mariadb.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define UNDONE_TIMEOUT_US INT64_C(60000000)
#define LOOK_MS 100    /* the server looks no more often itself */
#define OTHER_BYTES 64 /* no value without a length in octets has more */

/* --- Lying still ------------------------------------------------------------------------------ */

static int await_undone(struct sql *sql, struct problem *why)
{
	int64_t until_us = clock_monotonic_us() + UNDONE_TIMEOUT_US, count;
	int r;

	for (;;) {
		r = sql_number(sql,
			       "SELECT COUNT(*) FROM information_schema.innodb_trx"
			       " WHERE trx_mysql_thread_id <> CONNECTION_ID()",
			       &count, why);
		if (r < 0 || !count)
			return r;
		if (clock_monotonic_us() > until_us)
			return problem(why, -EBUSY, "a transaction does not end");
		poll(NULL, 0, LOOK_MS);
	}
}

/* As the server names its files; false for what it writes in ways that are not known here. */
static bool put_file_name(struct buffer *out, const char *name)
{
	for (; *name; name++) {
		if ((unsigned char)*name >= 0x80)
			return false;
		if (isalnum((unsigned char)*name) || *name == '_')
			buffer_put8(out, *name);
		else
			sql_putf(out, "@%04x", *name);
	}
	return true;
}

static char *path_of(const struct sql_table *table, const char *ending)
{
	CLEANUP(buffer) struct buffer path = {0};

	if (!put_file_name(&path, table->schema))
		return NULL;
	buffer_put8(&path, '/');
	if (!put_file_name(&path, table->name))
		return NULL;
	sql_put(&path, ending);
	buffer_put8(&path, 0);
	return xstrdup((const char *)path.data);
}

/* --- Legible ---------------------------------------------------------------------------------- */

uint32_t mariadb_file_bytes(const struct sql_column *column)
{
	static const struct {
		const char *type;
		uint32_t bytes;
	} all[] = {{"tinyint", 1}, {"smallint", 2}, {"mediumint", 3}, {"int", 4}, {"bigint", 8}};

	for (size_t i = 0; column->kind == SQL_INTEGER && i < ARRAY_SIZE(all); i++) {
		size_t size = strlen(all[i].type);

		if (!strncmp(column->type, all[i].type, size) && strchr("( ", column->type[size]))
			return all[i].bytes;
	}
	return 0;
}

/* The highest byte first, and the sign turned round, so that bytes compare as numbers do. */
void mariadb_put_from_file(struct buffer *out, const struct sql_column *column,
			   const uint8_t *bytes, uint32_t size)
{
	uint64_t number = 0;

	for (uint32_t i = 0; i < size; i++)
		number = number << 8 | bytes[i];
	if (column->is_unsigned)
		sql_putf(out, "%llu", (unsigned long long)number);
	else
		sql_putf(out, "%lld", (long long)(number - (UINT64_C(1) << (size * 8 - 1))));
}

static void measure_key(const struct sql_table *table, struct sql_files *files)
{
	files->legible = table->primary;
	for (size_t i = 0; i < table->key_count; i++) {
		uint32_t bytes = mariadb_file_bytes(&table->columns[table->key[i]]);

		files->legible &= bytes != 0;
		files->key_bytes += bytes;
	}
}

static uint64_t number_at(const struct sql_row *row, size_t i)
{
	CLEANUP(free) char *text = dialect_text(&row->values[i]);

	return strtoull(text, NULL, 10);
}

/* Can all of a row be within half a page?  And at the most two bytes for a length. */
static int measure_rows(struct sql *sql, const struct sql_table *table, struct sql_files *files,
			struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	struct sql_row row;
	int r;

	sql_putf(&text,
		 "SELECT COUNT(*), SUM(COALESCE(character_octet_length, %d)), @@innodb_page_size"
		 " FROM information_schema.columns WHERE table_schema = ",
		 OTHER_BYTES);
	mariadb_put_text(&text, table->schema);
	sql_put(&text, " AND table_name = ");
	mariadb_put_text(&text, table->name);
	r = sql_send(sql, &text, why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		uint64_t columns = number_at(&row, 0), bytes = number_at(&row, 1);

		files->page_bytes = number_at(&row, 2);
		files->head_bytes = columns / 8 + 1 + 2 * columns + 2;
		files->off_page = bytes + files->head_bytes + 200 > files->page_bytes / 2;
	}
	return r;
}

/* Its clustered index, when that is the primary key and its pages are plain ones. */
static int find_root(struct sql *sql, const char *path, const struct sql_table *table,
		     struct sql_files *files, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	struct sql_row row;
	int r;

	sql_put(&text,
		"SELECT i.index_id, i.page_no, i.n_fields FROM information_schema"
		".innodb_sys_tables AS t JOIN information_schema.innodb_sys_indexes AS i"
		" USING (table_id) WHERE i.type = 3 AND i.name = 'PRIMARY' AND t.zip_page_size"
		" = 0 AND t.row_format IN ('Compact', 'Dynamic') AND t.name = ");
	mariadb_put_text(&text, path);
	r = sql_send(sql, &text, why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		files->index = number_at(&row, 0);
		files->root = number_at(&row, 1);
		files->legible &= number_at(&row, 2) == table->key_count;
	}
	files->legible &= files->root != 0;
	return r;
}

/* --- All -------------------------------------------------------------------------------------- */

int mariadb_settle(struct sql *sql, const struct sql_table *table, struct sql_files *files,
		   struct problem *why)
{
	CLEANUP(free) char *path = path_of(table, "");
	CLEANUP(buffer) struct buffer text = {0};
	int r;

	if (!path)
		return problem(why, -EOPNOTSUPP, "the name of the table's file is not known");
	files->data = path_of(table, ".ibd");
	files->definition = path_of(table, ".frm");
	measure_key(table, files);
	r = await_undone(sql, why);
	if (r == 0)
		r = measure_rows(sql, table, files, why);
	if (r == 0)
		r = find_root(sql, path, table, files, why);
	if (r < 0)
		return r;
	sql_put(&text, "FLUSH TABLES ");
	sql_put_table(sql, &text, table->schema, table->name);
	sql_put(&text, " FOR EXPORT");
	return sql_run_buffer(sql, &text, NULL, why);
}

void mariadb_unsettle(struct sql *sql)
{
	sql_run(sql, "UNLOCK TABLES", NULL, NULL);
}
