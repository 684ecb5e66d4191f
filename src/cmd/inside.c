#include "cmd/inside.h"

#include "base/alloc.h"
#include "base/log.h"
#include "vfs/single.h"
#include "vfs/vfs.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CLIENT "sqlite3"
#define ARGUMENTS_MAX 128
#define COPY_TIMEOUT_MS 3600000

bool inside_is(const struct typed *typed)
{
	struct cluster *cluster = NULL;
	bool is =
		cluster_find(typed->operands[0], &cluster, NULL) == 0 && cluster_is_inside(cluster);

	cluster_free(cluster);
	return is;
}

int inside_has_no_server(const struct typed *typed)
{
	return fail(typed, END_USAGE,
		    "'%s' is SQLite's and has no server: the volume is inside of whatever program "
		    "opens the database; 'unspill shell %s' is one",
		    typed->operands[0], typed->operands[0]);
}

/* --- The volume in this process --------------------------------------------------------------- */

int inside_open(struct talk *talk)
{
	struct problem why = {""};
	int r;

	/* What goes wrong is said by the command. */
	log_set_level(LOG_ERROR);
	r = owner_get(talk->cluster->directory, &talk->owner, &why);
	if (r < 0)
		return fail_why(talk->typed, r, &why);
	return talk_connect(talk);
}

void inside_close(struct talk *talk)
{
	owner_put(take(talk->owner));
}

/* --- Filling a new one ------------------------------------------------------------------------ */

static void database_name(const struct cluster *cluster, char name[CLUSTER_NAME_MAX + 4])
{
	snprintf(name, CLUSTER_NAME_MAX + 4, "%s.db", cluster->name);
}

int inside_check_source(const char *source, struct problem *why)
{
	return single_check(source, why);
}

static bool tell_copied(uint64_t done, uint64_t total, void *arg)
{
	json_t *json = json_pack("{s:s, s:I, s:I, s:s}", "step", "copy", "done", (json_int_t)done,
				 "total", (json_int_t)total, "unit", "bytes");

	progress_update(json, arg);
	json_decref(json);
	return !talk_interrupted();
}

static int copy_in(struct owner *owner, const char *source, struct progress *progress,
		   struct problem *why)
{
	const struct single_options options = {tell_copied, progress};
	char name[CLUSTER_NAME_MAX + 4];
	uint64_t bytes;

	database_name(owner->cluster, name);
	return single_in(owner, source, name, &options, &bytes, why);
}

/* An empty file is an empty database: there is one from the first moment on. */
static int make_empty(struct owner *owner, struct problem *why)
{
	char name[CLUSTER_NAME_MAX + 4];
	uint64_t id;
	int r;

	database_name(owner->cluster, name);
	r = store_open(owner->head, name, true, &id);
	if (r == 0) {
		store_unref(owner->head, id);
		r = store_sync(owner->head);
	}
	if (r < 0)
		problem_errno(why, r, "cannot make '%s' in the volume", name);
	return store_explain(owner->head, r, why);
}

int inside_fill(struct cluster *cluster, const char *source, struct progress *progress,
		struct problem *why)
{
	CLEANUP(owner) struct owner *owner = NULL;
	int r;

	log_set_level(LOG_ERROR);
	r = owner_get(cluster->directory, &owner, why);
	if (r == 0)
		r = source ? copy_in(owner, source, progress, why) : make_empty(owner, why);
	if (r < 0)
		return r;
	volume_now(owner->volume, &cluster->first);
	return cluster_save(cluster, why);
}

/* --- The client ------------------------------------------------------------------------------- */

/* Beside the program where it was built, or where it was installed. */
static bool find_extension(char path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	if (n > 0) {
		self[n] = 0;
		slash = strrchr(self, '/');
		if (slash)
			*slash = 0;
		if (snprintf(path, PATH_MAX, "%s/../vfs/unspill.so", self) < PATH_MAX &&
		    access(path, R_OK) == 0)
			return true;
	}
	snprintf(path, PATH_MAX, "%s/unspill.so", UNSPILL_LIBDIR);
	return access(path, R_OK) == 0;
}

/* For the client to ask; of the past, unless it is a shell. */
struct question {
	const char *sql; /* NULL: it asks, or reads, itself */
	bool noted;      /* whether it changed something is said at the end */
};

struct client {
	const char *argv[ARGUMENTS_MAX];
	size_t count;
	char extension[PATH_MAX + 16];
	char open[PATH_MAX + 512];
	char was[256], note[512];
};

static void add(struct client *client, const char *argument)
{
	if (client->count + 1 < ARGUMENTS_MAX)
		client->argv[client->count++] = argument;
}

/* As sqlite3's dot commands want it, in double quotes; as part of a URI, where '%' is an escape. */
static void escape(const char *path, char *ret, size_t size)
{
	static const char special[] = "%?#\"\\ '";
	size_t used = 0;

	for (; *path && used + 4 < size; path++)
		used += snprintf(ret + used, size - used,
				 strchr(special, *path) || (unsigned char)*path < ' ' ? "%%%02x"
										      : "%c",
				 (unsigned char)*path);
	ret[used] = 0;
}

static const char *format_option(const char *format)
{
	return !strcmp(format, "csv") ? "-csv" : !strcmp(format, "json") ? "-json" : "-table";
}

static int set_format(const struct typed *typed, struct client *client)
{
	const char *format = typed_has(typed, "format") ? typed_value(typed, "format") : NULL;

	if (!format)
		return END_OK;
	if (strcmp(format, "csv") != 0 && strcmp(format, "json") != 0 &&
	    strcmp(format, "table") != 0)
		return fail(typed, END_USAGE,
			    "--format: there is no '%.20s'; there are csv, json and table", format);
	add(client, format_option(format));
	if (!strcmp(format, "csv"))
		add(client, "-header");
	return END_OK;
}

static void run_client(const struct client *client)
{
	/* Ignored by us; the client is to end when nobody reads any more. */
	signal(SIGPIPE, SIG_DFL);
	execvp(client->argv[0], (char *const *)client->argv);
}

/* What tells a database that was changed by this connection from one that was not. */
#define CHANGES "(SELECT schema_version FROM pragma_schema_version)||'/'||(total_changes()%s)"

/* After `sql`, or what standard input has, the client itself says that it changed a throw-away. */
static void add_noted(const struct typed *typed, struct client *client, const char *sql)
{
	snprintf(client->note, sizeof client->note,
		 "SELECT 'This changed the throw-away copy; it changed nothing in %s.' WHERE "
		 "@unspill_was<>" CHANGES,
		 typed->operands[0], "-1"); /* one change was to note it */
	add(client, sql ? sql : ".read |cat");
	add(client, ".mode list");
	add(client, ".headers off");
	add(client, ".once '|cat >&2'");
	add(client, client->note);
}

static void add_rest(const struct typed *typed, struct client *client, const char *database,
		     const struct question *question)
{
	if (question->noted) {
		snprintf(client->was, sizeof client->was,
			 ".parameter set @unspill_was \"" CHANGES "\"", "");
		add(client, "-cmd");
		add(client, client->was);
	}
	for (char *const *rest = typed->rest; rest && *rest; rest++)
		add(client, *rest);
	add(client, database);
	if (question->noted)
		add_noted(typed, client, question->sql);
	else if (question->sql)
		add(client, question->sql);
}

/* The client has the volume inside: as of now, or (lsn not 0) of a moment. */
static int shell_inside(const struct typed *typed, const char *directory, const char *name,
			uint64_t lsn, const struct question *question)
{
	struct client client = {.argv = {CLIENT, "-bail"}, .count = 2};
	char path[PATH_MAX], place[PATH_MAX], at[32] = "", extension[PATH_MAX];
	int ending = set_format(typed, &client);

	if (ending != END_OK)
		return ending;
	if (!find_extension(extension))
		return fail(typed, END_MACHINE, "SQLite's extension is not there: no file '%s'",
			    extension);
	snprintf(place, sizeof place, "%s/%s", directory, name);
	escape(place, path, sizeof path);
	if (lsn)
		snprintf(at, sizeof at, "@lsn:%llu", (unsigned long long)lsn);
	snprintf(client.extension, sizeof client.extension, ".load '%s'", extension);
	snprintf(client.open, sizeof client.open, ".open \"file:%s%s?vfs=" VFS_NAME "\"", path, at);
	add(&client, "-cmd");
	add(&client, client.extension);
	add(&client, "-cmd");
	add(&client, client.open);
	add_rest(typed, &client, ":memory:", question);
	run_client(&client);
	return fail(typed, END_MACHINE, "cannot run '%s': %s; install sqlite3", CLIENT,
		    strerror(errno));
}

/* --- Somebody else has the volume ------------------------------------------------------------- */

static void remove_copy(const char *path)
{
	static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
	char name[PATH_MAX + 16];

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
		unlink(name);
	}
}

/* On a copy that its holder makes; gone at the end. */
static int shell_on_copy(struct talk *talk, json_t *at, const struct question *question)
{
	struct client client = {.argv = {CLIENT, "-bail"}, .count = 2};
	char below[64], path[PATH_MAX];
	int ending = set_format(talk->typed, &client), status = 0, r;
	struct problem why = {""};
	json_t *result;
	pid_t pid;

	if (ending != END_OK)
		return ending;
	snprintf(below, sizeof below, "run/past-%d.db", (int)getpid());
	cluster_path(talk->cluster, below, path);
	r = talk_ask_quietly(talk,
			     json_pack("{s:s, s:s, s:O}", "do", "export", "to", path, "at", at),
			     COPY_TIMEOUT_MS, &result, &why);
	if (r < 0)
		return fail_why(talk->typed, r, &why);
	json_decref(result);
	add_rest(talk->typed, &client, path, question);
	pid = fork();
	if (pid == 0) {
		run_client(&client);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	remove_copy(path);
	if (pid < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 127))
		return fail(talk->typed, END_MACHINE, "cannot run '%s'; install sqlite3", CLIENT);
	return WIFEXITED(status) ? WEXITSTATUS(status) : END_FAILED;
}

/* --- shell, query ----------------------------------------------------------------------------- */

/* The volume is ours for a moment: which file, and which place on the tape. */
static int resolve(struct talk *talk, json_t *at, char name[VOLUME_NAME_MAX + 1], uint64_t *ret_lsn)
{
	struct problem why = {""};
	json_t *plan;
	int ending, r;

	*ret_lsn = 0;
	r = single_choose(volume_head(talk->owner->volume), "", name, &why);
	if (r == -ENOENT)
		database_name(talk->cluster, name);
	else if (r < 0)
		return fail_why(talk->typed, r, &why);
	if (!at)
		return END_OK;
	ending = talk_ask(talk, json_pack("{s:s, s:O}", "do", "plan", "to", at), &plan);
	if (ending != END_OK)
		return ending;
	*ret_lsn = (uint64_t)json_number(plan, "to.lsn");
	json_decref(plan);
	return END_OK;
}

static int say_held(struct talk *talk)
{
	json_t *status;
	int ending = talk_ask(talk, json_pack("{s:s}", "do", "status"), &status);

	if (ending != END_OK)
		return ending;
	fail(talk->typed, END_BUSY,
	     "process %lld (%s) has '%s' inside, and one process at a time can; use --at for a "
	     "look "
	     "beside it",
	     (long long)json_number(status, "pid"), json_text(status, "program"),
	     talk->cluster->name);
	json_decref(status);
	return END_BUSY;
}

static int visit(const struct typed *typed, json_t *at, const struct question *question)
{
	char name[VOLUME_NAME_MAX + 1], directory[PATH_MAX] = "";
	uint64_t lsn = 0;
	struct talk talk;
	int ending;

	ending = talk_open(&talk, typed, TALK_ANY);
	if (ending == END_OK && !talk.owner)
		ending = at ? shell_on_copy(&talk, at, question) : say_held(&talk);
	else if (ending == END_OK) {
		ending = resolve(&talk, at, name, &lsn);
		snprintf(directory, sizeof directory, "%s", talk.cluster->directory);
	}
	talk_close(&talk);
	return ending == END_OK && *directory ? shell_inside(typed, directory, name, lsn, question)
					      : ending;
}

static int visit_at(const struct typed *typed, const char *text, const struct question *question)
{
	int64_t asked_us;
	json_t *at = NULL;
	int ending = text ? moment_parse(typed, "--at", text, &at, &asked_us) : END_OK;

	if (ending == END_OK)
		ending = visit(typed, at, question);
	json_decref(at);
	return ending;
}

int inside_shell(const struct typed *typed)
{
	const char *at = typed_has(typed, "at") ? typed_value(typed, "at") : NULL;
	const struct question question = {.sql = typed_value(typed, "execute")};

	return visit_at(typed, at, &question);
}

int inside_query(const struct typed *typed)
{
	const char *sql = typed->operands[1], *at = typed_value(typed, "at");
	const struct question question = {
		.sql = sql && strcmp(sql, "-") != 0 ? sql : NULL,
		.noted = true,
	};

	return visit_at(typed, at ? at : "now", &question);
}
