/* A data directory of our own: made new, or taken over. */
#include "engine/postgres.h"

#include "base/alloc.h"
#include "engine/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

/* --- New -------------------------------------------------------------------------------------- */

/* initdb's own words, one line. */
static const char *last_error_line(char *text)
{
	char *error = strstr(text, "error: ");
	char *at = error ? error + strlen("error: ") : text;

	at[strcspn(at, "\n")] = 0;
	return at;
}

int postgres_create(const struct engine_place *place, struct problem *why)
{
	char program[PATH_MAX], output[8192];
	const char *const argv[] = {program,
				    "-D",
				    place->data_dir,
				    "--username=postgres",
				    "--auth-local=peer",
				    "--auth-host=scram-sha-256",
				    "--encoding=UTF8",
				    "--locale=C.UTF-8",
				    "--data-checksums",
				    "--no-instructions",
				    NULL};
	struct process_options options = {.program = program,
					  .argv = argv,
					  .in = -1,
					  .become = geteuid() == 0,
					  .uid = place->uid,
					  .gid = place->gid,
					  .die_with_us = true};
	int r;

	if (!postgres_program("initdb", 0, program, sizeof program))
		return problem(why, -ENOENT,
			       "there is no 'initdb' here: install PostgreSQL (Debian: apt-get "
			       "install postgresql-15)");
	r = place_prepare(place, engine_postgres.socket, why);
	if (r == 0)
		r = process_run(&options, PLACE_SETUP_TIMEOUT_MS, output, sizeof output, why);
	if (r <= 0)
		return r;
	return problem(why, -ECHILD, "cannot make a data directory in '%s': initdb says: %s",
		       place->data_dir, last_error_line(output));
}

/* --- Taken over ------------------------------------------------------------------------------- */

int postgres_directory_version(const char *dir)
{
	char path[PATH_MAX];
	int major = 0;
	FILE *file;

	snprintf(path, sizeof path, "%s/PG_VERSION", dir);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &major) != 1)
		major = 0;
	fclose(file);
	return major;
}

/* A server is in its data directory: it writes its pid there, and works there. */
static int check_not_in_use(const char *dir, struct problem *why)
{
	char path[PATH_MAX], link[64], cwd[PATH_MAX];
	int pid = 0;
	FILE *file;
	ssize_t n;

	snprintf(path, sizeof path, "%s/postmaster.pid", dir);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &pid) != 1)
		pid = 0;
	fclose(file);
	if (pid <= 1 || !realpath(dir, path))
		return 0;
	snprintf(link, sizeof link, "/proc/%d/cwd", pid);
	n = readlink(link, cwd, sizeof cwd - 1);
	cwd[n < 0 ? 0 : n] = 0;
	/* Whose place we may not see counts as there. */
	if ((n < 0 && errno == ENOENT) || (n >= 0 && strcmp(cwd, path) != 0))
		return 0;
	return problem(why, -EBUSY,
		       "'%s' is in use by a running server (process %d): shut that down first", dir,
		       pid);
}

static int check_version(const char *dir, struct problem *why)
{
	int major = postgres_directory_version(dir), ours;
	char path[PATH_MAX], version[128];
	int r;

	if (major == 0)
		return problem(why, -ENOENT,
			       "'%s' is not a data directory of PostgreSQL: its PG_VERSION tells "
			       "no version",
			       dir);
	r = engine_postgres.check(version, why);
	if (r < 0 || sscanf(version, "PostgreSQL %d", &ours) != 1)
		return r;
	snprintf(path, sizeof path, "/usr/lib/postgresql/%d/bin/postgres", major);
	if (major != ours && access(path, X_OK) < 0)
		return problem(why, -EPROTONOSUPPORT,
			       "'%s' was written by PostgreSQL %d, and %s is what is here: install "
			       "postgresql-%d, or upgrade the directory first",
			       dir, major, version, major);
	return 0;
}

static int check_no_standby(const char *dir, struct problem *why)
{
	for (const char *const *name =
		     (const char *const[]){"standby.signal", "recovery.signal", NULL};
	     *name; name++)
		if (place_has(dir, *name))
			return problem(why, -ENOTSUP,
				       "'%s' is a standby or under recovery (there is a '%s' in "
				       "it): promote it first",
				       dir, *name);
	return 0;
}

/* What lies elsewhere would be changed there, outside the volume and in the source itself. */
static int check_no_outside_tables(const char *dir, struct problem *why)
{
	char path[PATH_MAX], link[PATH_MAX + 256], target[PATH_MAX];
	struct dirent *entry;
	int r = 0;
	DIR *stream;

	snprintf(path, sizeof path, "%s/pg_tblspc", dir);
	stream = opendir(path);
	while (stream && r == 0 && (entry = readdir(stream)) != NULL) {
		ssize_t n;

		snprintf(link, sizeof link, "%s/%s", path, entry->d_name);
		n = readlink(link, target, sizeof target - 1);
		if (n < 0)
			continue;
		target[n] = 0;
		r = problem(why, -ENOTSUP,
			    "tablespace %s of '%s' lies in '%s', outside the directory: move what "
			    "is in it first (ALTER TABLE ... SET TABLESPACE pg_default), and drop "
			    "it",
			    entry->d_name, dir, target);
	}
	if (stream)
		closedir(stream);
	return r;
}

int postgres_inspect(const char *dir, struct problem *why)
{
	int r;

	if (access(dir, R_OK | X_OK) < 0)
		return problem_errno(why, -errno, "cannot read '%s'", dir);
	for (const char *const *name = (const char *const[]){"PG_VERSION", "global/pg_control",
							     "base", "pg_wal", NULL};
	     *name; name++)
		if (!place_has(dir, *name))
			return problem(
				why, -ENOENT,
				"'%s' is not a data directory of PostgreSQL: there is no '%s' in "
				"it",
				dir, *name);
	r = check_not_in_use(dir, why);
	if (r == 0)
		r = check_version(dir, why);
	if (r == 0)
		r = check_no_standby(dir, why);
	if (r == 0)
		r = check_no_outside_tables(dir, why);
	return r;
}

/* One command a line: the server without clients, as whoever made the directory. */
static const char adoption[] =
	"DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'postgres')"
	" THEN CREATE ROLE postgres; END IF; END$$;\n"
	"ALTER ROLE postgres SUPERUSER CREATEDB CREATEROLE REPLICATION LOGIN;\n";

static int run_adoption(const struct engine_place *place, struct problem *why)
{
	int major = postgres_directory_version(place->data_dir);
	struct postgres_arguments arguments = {0};
	struct process_options options = {.family = true};
	struct engine_server server;
	char program[PATH_MAX];
	int r;

	if (!postgres_program("postgres", major, program, sizeof program))
		return problem(why, -ENOENT, "there is no 'postgres' here");
	CLEANUP(fd) int fd = place_open_text(adoption, why);
	if (fd < 0)
		return fd;
	for (const char *const *word =
		     (const char *const[]){program, "--single", "-D", place->data_dir, NULL};
	     *word; word++)
		postgres_add(&arguments, "%s", *word);
	postgres_add_settings(&arguments, place);
	postgres_add(&arguments, "template1");
	options.program = program;
	options.argv = arguments.words;
	options.in = fd;
	r = place_launch(place, &options, &server, why);
	return r < 0 ? r : place_await_setup(place, &server, postgres_explain, why);
}

/* The role that we come in as is there, and may all; every other one stays as it is. */
int postgres_adopt(const struct engine_place *place, struct problem *why)
{
	char path[PATH_MAX];
	int r;

	r = postgres_inspect(place->data_dir, why);
	if (r == 0)
		r = place_prepare(place, engine_postgres.socket, why);
	if (r == 0)
		r = postgres_write_config(place, why);
	if (r < 0)
		return r;
	/* It is nobody's any more, and its process's number may be somebody's by now. */
	snprintf(path, sizeof path, "%s/postmaster.pid", place->data_dir);
	if (unlink(path) < 0 && errno != ENOENT)
		return problem_errno(why, -errno, "cannot remove '%s'", path);
	return run_adoption(place, why);
}
