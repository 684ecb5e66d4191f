/*
 * Repair between three servers that run already: the library behind `unspill repair`, without
 *volumes, so that a test can try many mistakes quickly.
 *
 *	repair_driver BEFORE AFTER LIVE SCHEMA TABLE [key=value]...
 *
 * The first three are run directories: client.cnf and server/sock; with SQLite, a database in a
 * volume, and moments of it (vfs.h).  Prints counts and conflicts, one a line.
 */
#include "base/alloc.h"
#include "engine/engine.h"
#include "repair/compare.h"
#include "repair/repair.h"
#include "repair/whole.h"
#include "vfs/vfs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct driver {
	const char *engine, *schema, *table, *where;
	char *columns[64];
	uint64_t range_rows;
	bool dry, whole;
	struct repair_options options;
	struct sql *servers[3];
	struct sql_table *tables[3];
	struct shape shapes[3];
	struct spool spool;
};

static int die(int r, const struct problem *why)
{
	fprintf(stderr, "repair_driver: %d: %s\n", r, why->text);
	exit(1);
}

static void emit(void *arg, const struct buffer *statement)
{
	(void)arg;
	printf("%.*s;\n", (int)statement->size, (const char *)statement->data);
}

static void conflict(void *arg, const struct pair *pair, const struct row *now, const char *reason)
{
	(void)arg;
	(void)pair;
	(void)now;
	printf("# conflict %s\n", reason);
}

static int found(void *arg, const struct pair *pair)
{
	return spool_put(arg, pair);
}

static void parse(struct driver *driver, char *word)
{
	char *value = strchr(word, '=') + 1, *save = NULL;
	size_t count = 0;

	if (!strncmp(word, "where=", 6))
		driver->where = value;
	else if (!strncmp(word, "engine=", 7))
		driver->engine = value;
	else if (!strncmp(word, "force=", 6))
		driver->options.on_conflict = CONFLICT_FORCE;
	else if (!strncmp(word, "abort=", 6))
		driver->options.on_conflict = CONFLICT_ABORT;
	else if (!strncmp(word, "chunked=", 8))
		driver->options.chunked = true;
	else if (!strncmp(word, "dry=", 4))
		driver->options.emit = emit;
	else if (!strncmp(word, "batch=", 6))
		driver->options.batch_rows = strtoull(value, NULL, 10);
	else if (!strncmp(word, "range=", 6))
		driver->range_rows = strtoull(value, NULL, 10);
	else if (!strncmp(word, "whole=", 6))
		driver->whole = true;
	else if (!strncmp(word, "columns=", 8))
		for (char *name = strtok_r(value, ",", &save); name && count < 63;
		     name = strtok_r(NULL, ",", &save))
			driver->columns[count++] = name;
}

static void open_all(struct driver *driver, char **run_dirs)
{
	struct problem why = {""};
	int r = vfs_register();

	for (int i = 0; i < 3 && r == 0; i++) {
		const bool inside = strcmp(driver->engine, "sqlite") == 0;
		const struct engine_place place = {.run_dir = inside ? NULL : run_dirs[i],
						   .data_dir = inside ? run_dirs[i] : NULL};

		r = sql_open(driver->engine, &place, &driver->servers[i], &why);
	}
	if (r < 0)
		die(r, &why);
}

static void shape_all(struct driver *driver)
{
	struct problem why = {""};
	int r = 0;

	for (int i = 0; i < (driver->whole ? 1 : 3) && r == 0; i++) {
		r = sql_describe(driver->servers[i], driver->schema, driver->table,
				 &driver->tables[i], &why);
		if (r == 0)
			r = shape_init(&driver->shapes[i], driver->tables[i],
				       driver->columns[0] ? (const char *const *)driver->columns
							  : NULL,
				       driver->where, &why);
	}
	if (r == 0)
		r = spool_open(&driver->spool, "/tmp", &why);
	if (r < 0)
		die(r, &why);
}

static void work(struct driver *driver)
{
	const struct compare compare = {
		.before = {driver->servers[0], &driver->shapes[0]},
		.after = {driver->servers[1], &driver->shapes[1]},
		.found = found,
		.arg = &driver->spool,
		.range_rows = driver->range_rows,
	};
	struct repair_report report;
	struct problem why = {""};
	int r;

	r = compare_tables(&compare, &why);
	if (r == 0)
		r = repair_rows(driver->servers[2], &driver->shapes[2], &driver->spool,
				&driver->options, &report, &why);
	if (r < 0)
		die(r, &why);
	printf("# differ %llu inserted %llu updated %llu deleted %llu done %llu conflicts %llu "
	       "left %llu "
	       "orphans %llu\n",
	       (unsigned long long)driver->spool.count, (unsigned long long)report.inserted,
	       (unsigned long long)report.updated, (unsigned long long)report.deleted,
	       (unsigned long long)report.done, (unsigned long long)report.conflicts,
	       (unsigned long long)report.left, (unsigned long long)report.orphans);
}

static void bring_back(struct driver *driver)
{
	struct problem why = {""};
	uint64_t rows;
	int r;

	r = driver->options.emit ? whole_emit(driver->servers[0], driver->servers[2],
					      driver->tables[0], emit, NULL, &rows, &why)
				 : whole_table(driver->servers[0], driver->servers[2],
					       driver->tables[0], NULL, &rows, &why);
	if (r < 0)
		die(r, &why);
	printf("# rows %llu\n", (unsigned long long)rows);
}

int main(int argc, char **argv)
{
	struct driver driver = {.engine = "mariadb", .options = {.conflict = conflict}};

	if (argc < 6)
		return 2;
	driver.schema = argv[4];
	driver.table = argv[5];
	for (int i = 6; i < argc; i++)
		parse(&driver, argv[i]);
	open_all(&driver, argv + 1);
	shape_all(&driver);
	if (driver.whole)
		bring_back(&driver);
	else
		work(&driver);
	for (int i = 0; i < 3; i++) {
		shape_done(&driver.shapes[i]);
		sql_table_free(driver.tables[i]);
		sql_close(driver.servers[i]);
	}
	spool_close(&driver.spool);
	return 0;
}
