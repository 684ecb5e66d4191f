#include "vfs/owner.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pressure.h"
#include "base/timetext.h"
#include "control/scratch.h"
#include "vfs/answers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static struct owner *owners; /* registry */

/* --- fork(2) ---------------------------------------------------------------------------------- */

static void before_fork(void)
{
	pthread_mutex_lock(&opening);
	pthread_mutex_lock(&registry);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&registry);
	pthread_mutex_unlock(&opening);
}

/* The threads that looked after the volumes are not here, and the volumes are the parent's. */
static void in_child(void)
{
	for (struct owner *owner = owners; owner; owner = owner->next)
		__atomic_store_n(&owner->foreign, true, __ATOMIC_SEQ_CST);
	owners = NULL;
	after_fork();
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork, in_child);
}

bool owner_is_foreign(struct owner *owner)
{
	return __atomic_load_n(&owner->foreign, __ATOMIC_RELAXED);
}

/* --- Where a volume is ------------------------------------------------------------------------ */

static bool has(const char *directory, const char *name)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof path, "%s/%s", directory, name) < PATH_MAX &&
	       access(path, F_OK) == 0;
}

static bool is_open(const char *directory)
{
	bool found = false;

	pthread_mutex_lock(&registry);
	for (struct owner *owner = owners; owner; owner = owner->next)
		found |= strcmp(owner->directory, directory) == 0;
	pthread_mutex_unlock(&registry);
	return found;
}

static bool is_volume(const char *directory)
{
	return has(directory, "cluster.json") ||
	       (has(directory, "volume") && has(directory, "tape"));
}

static int named_directory(const char *volume, char directory[PATH_MAX], struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	int r;

	if (!strchr(volume, '/')) {
		r = cluster_find(volume, &cluster, why);
		if (r == 0)
			strcpy(directory, cluster->directory);
		return r;
	}
	if (is_open(volume)) {
		snprintf(directory, PATH_MAX, "%s", volume);
		return 0;
	}
	if (!realpath(volume, directory))
		return problem_errno(why, -errno, "cannot look at '%s'", volume);
	if (!is_volume(directory))
		return problem(why, -ENOENT, "'%s' is neither a cluster's directory nor a volume",
			       volume);
	return 0;
}

int owner_find_directory(const char *path, const char *volume, char directory[PATH_MAX],
			 struct problem *why)
{
	const char *slash = strrchr(path, '/'), *environment = getenv("UNSPILL_VOLUME");
	char folder[PATH_MAX];

	if (volume)
		return named_directory(volume, directory, why);
	snprintf(folder, sizeof folder, "%.*s", slash ? (int)MAX(slash - path, 1) : 1,
		 slash ? path : ".");
	if (is_open(folder)) {
		strcpy(directory, folder);
		return 0;
	}
	if (realpath(folder, directory) && is_volume(directory))
		return 0;
	if (environment && *environment)
		return named_directory(environment, directory, why);
	return problem(
		why, -ENOENT,
		"which volume is '%.200s' in?  '%.200s' is none; say volume=NAME in the URI, "
		"set $UNSPILL_VOLUME, or make one: unspill create NAME --engine sqlite",
		path, folder);
}

/* --- Opening ---------------------------------------------------------------------------------- */

/* Who has the volume: the process's id is in its lock. */
static int say_who(const char *place, int r, struct problem *why)
{
	char path[PATH_MAX + 16], program[64] = "?";
	int pid = 0;
	FILE *file;

	snprintf(path, sizeof path, "%s/lock", place);
	file = fopen(path, "re");
	if (file && fscanf(file, "%d", &pid) != 1)
		pid = 0;
	if (file)
		fclose(file);
	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (file && !fgets(program, sizeof program, file))
		strcpy(program, "?");
	if (file)
		fclose(file);
	program[strcspn(program, "\n")] = 0;
	return problem(why, r,
		       "the volume '%.500s' is held by process %d (%s), and one process at a time "
		       "has a volume inside",
		       place, pid, program);
}

static int open_volume(struct owner *owner, struct problem *why)
{
	/* SQLite's own cache is small: what a checkpoint writes is soon asked for again. */
	struct volume_options options = {.background = true, .bulk_cached = true};
	char place[PATH_MAX + 8];
	int r;

	snprintf(place, sizeof place, "%s%s", owner->directory, owner->cluster ? "/volume" : "");
	if (owner->cluster) {
		options.repack = owner->cluster->repack;
		options.busy = pressure_is_high;
		options.thin = owner->cluster->thin;
		options.detach_bytes_per_second = owner->cluster->detach_rate;
		options.hold = clones_begin(&owner->clones, owner->directory);
	}
	r = disk_local_open(place, &owner->disk);
	if (r < 0)
		return problem_errno(why, r, "cannot open '%s'", place);
	r = volume_open(owner->disk, &options, &owner->volume, why);
	return r == -EBUSY ? say_who(place, r, why) : r;
}

static int load_cluster(struct owner *owner, struct problem *why)
{
	int r;

	if (!has(owner->directory, "cluster.json"))
		return 0;
	r = cluster_load(owner->directory, &owner->cluster, why);
	if (r < 0)
		return r;
	if (!cluster_is_inside(owner->cluster))
		return problem(why, -EINVAL, "cluster '%s' is not SQLite's but of engine '%s'",
			       owner->cluster->name, owner->cluster->engine);
	return 0;
}

static int open_server(struct owner *owner, struct problem *why)
{
	char path[PATH_MAX];
	struct server_options options = {.path = path, .handle = answers_handle, .arg = owner};

	if (!owner->cluster)
		return 0;
	options.owner = owner->cluster->owner;
	cluster_socket(owner->cluster, path);
	return server_open(&options, &owner->server, why);
}

static struct owner *new_owner(const char *directory)
{
	struct owner *owner = xcalloc(1, sizeof *owner);

	snprintf(owner->directory, sizeof owner->directory, "%s", directory);
	gate_init(&owner->gate);
	pthread_mutex_init(&owner->work, NULL);
	pthread_mutex_init(&owner->clones.lock, NULL);
	owner->opened_us = clock_realtime_us();
	owner->users = 1;
	return owner;
}

static void free_owner(struct owner *owner)
{
	server_close(owner->server);
	store_free(owner->head);
	volume_close(owner->volume);
	disk_close(owner->disk);
	cluster_free(owner->cluster);
	pthread_mutex_destroy(&owner->clones.lock);
	pthread_mutex_destroy(&owner->work);
	gate_done(&owner->gate);
	free(owner);
}

/* What an earlier holder had no time to remove. */
static void sweep(struct owner *owner)
{
	const struct holding holding = {.directory = owner->directory};

	if (owner->cluster)
		scratch_sweep(&holding);
}

/* Our threads are not to get the signals that are meant for the program's own. */
static int open_all(struct owner *owner, struct problem *why)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = load_cluster(owner, why);
	if (r == 0)
		r = open_volume(owner, why);
	if (r == 0) {
		sweep(owner);
		owner->head = store_new_head(owner->volume);
		r = open_server(owner, why);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static void enlist(struct owner *owner)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch_forks);
	pthread_mutex_lock(&registry);
	owner->next = owners;
	owners = owner;
	pthread_mutex_unlock(&registry);
}

static struct owner *find_owner(const char *directory)
{
	struct owner *owner;

	pthread_mutex_lock(&registry);
	for (owner = owners; owner; owner = owner->next)
		if (strcmp(owner->directory, directory) == 0)
			break;
	pthread_mutex_unlock(&registry);
	return owner;
}

int owner_get(const char *directory, struct owner **ret, struct problem *why)
{
	struct owner *owner;
	int r = 0;

	pthread_mutex_lock(&opening);
	owner = find_owner(directory);
	if (owner) {
		owner->users++;
	} else {
		owner = new_owner(directory);
		r = open_all(owner, why);
		if (r == 0)
			enlist(owner);
		else
			free_owner(take(owner));
	}
	pthread_mutex_unlock(&opening);
	*ret = owner;
	return r;
}

struct owner *owner_adopt(const char *directory, struct disk *disk, struct volume *volume)
{
	struct owner *owner = new_owner(directory);

	owner->disk = disk;
	owner->volume = volume;
	owner->head = store_new_head(volume);
	pthread_mutex_lock(&opening);
	enlist(owner);
	pthread_mutex_unlock(&opening);
	return owner;
}

static void delist(struct owner *owner)
{
	pthread_mutex_lock(&registry);
	for (struct owner **at = &owners; *at; at = &(*at)->next) {
		if (*at == owner) {
			*at = owner->next;
			break;
		}
	}
	pthread_mutex_unlock(&registry);
}

/*
 * The server's handlers may open databases, so `opening` is not held while it closes.  Who comes
 * meanwhile finds the volume open, and gets a new server.
 */
static bool close_server(struct owner *owner)
{
	struct server *server = take(owner->server);
	struct problem why = {""};

	if (!server)
		return true;
	owner->closing = true;
	pthread_mutex_unlock(&opening);
	server_close(server);
	pthread_mutex_lock(&opening);
	owner->closing = false;
	if (owner->users == 0)
		return true;
	if (open_server(owner, &why) < 0)
		log_error("%s", why.text);
	return false;
}

void owner_put(struct owner *owner)
{
	if (!owner || owner_is_foreign(owner))
		return;
	pthread_mutex_lock(&opening);
	if (--owner->users == 0 && !owner->closing && close_server(owner)) {
		delist(owner);
		free_owner(owner);
	}
	pthread_mutex_unlock(&opening);
}

/* --- Databases -------------------------------------------------------------------------------- */

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int find_moment(struct owner *owner, const char *text, struct moment *ret,
		       struct problem *why)
{
	int64_t time_us;
	char *end;
	int r;

	if (strncmp(text, "mark:", 5) == 0)
		return volume_find_mark(owner->volume, text + 5, ret, why);
	if (strncmp(text, "lsn:", 4) == 0) {
		errno = 0;
		unsigned long long lsn = strtoull(text + 4, &end, 10);

		if (end == text + 4 || *end || errno)
			return problem(why, -EINVAL, "'%.60s' is not a place on the tape", text);
		return volume_moment_at_lsn(owner->volume, lsn, ret, why);
	}
	r = time_parse(text, clock_realtime_us(), &time_us, why);
	return r < 0 ? r : volume_moment_at_time(owner->volume, time_us, ret, why);
}

static int open_past(struct owner *owner, struct database *database, char *at, struct problem *why)
{
	struct moment moment;
	struct view *view;
	int r;

	*at = 0;
	r = find_moment(owner, at + 1, &moment, why);
	if (r == 0)
		r = volume_view(owner->volume, &moment, &view, why);
	if (r == 0)
		database->store = store_new_past(view);
	return r;
}

static bool has_path(const struct database *database, const char *path)
{
	for (size_t i = 0; i < database->path_count; i++)
		if (strcmp(database->paths[i], path) == 0)
			return true;
	return false;
}

static void add_path(struct database *database, const char *path)
{
	xgrow(database->paths, database->path_count, database->path_room);
	database->paths[database->path_count++] = xstrdup(path);
}

static int new_database(struct owner *owner, const char *path, struct database **ret,
			struct problem *why)
{
	CLEANUP(free) struct database *database = xcalloc(1, sizeof *database);
	const char *name = last_part(path);
	char *at;
	int r = 0;

	if (strlen(name) > VOLUME_NAME_MAX)
		return problem(why, -ENAMETOOLONG, "the name '%.200s' is too long", name);
	strcpy(database->name, name);
	database->owner = owner;
	database->users = 1;
	database->store = owner->head;
	at = strrchr(database->name, '@');
	if (at && store_look(owner->head, name, NULL) == -ENOENT)
		r = open_past(owner, database, at, why);
	if (r < 0)
		return r;
	add_path(database, path);
	locks_init(&database->locks, &owner->gate);
	*ret = take(database);
	return 0;
}

/* registry is held. */
static struct database *find_path(const char *path)
{
	for (struct owner *owner = owners; owner; owner = owner->next)
		for (struct database *d = owner->databases; d; d = d->next)
			if (has_path(d, path))
				return d;
	return NULL;
}

/* Two paths may lead to one database: the directory's name and a link.  registry is held. */
static struct database *find_name(struct owner *owner, const char *path)
{
	const char *name = last_part(path);

	for (struct database *d = owner->databases; d; d = d->next)
		if (d->store == owner->head && strcmp(d->name, name) == 0)
			return d;
	return NULL;
}

int database_get(struct owner *owner, const char *path, struct database **ret, struct problem *why)
{
	struct database *database;
	int r = 0;

	/* Held throughout, so that nobody makes the same one meanwhile. */
	pthread_mutex_lock(&opening);
	pthread_mutex_lock(&registry);
	database = find_path(path);
	if (database && database->owner != owner)
		r = problem(why, -EEXIST,
			    "'%.200s' stands for a database in '%.200s' already in this process; "
			    "use a path in the volume's directory",
			    path, database->owner->directory);
	if (!database)
		database = find_name(owner, path);
	if (database && r == 0) {
		database->users++;
		if (!has_path(database, path))
			add_path(database, path);
	}
	pthread_mutex_unlock(&registry);
	if (!database) {
		r = new_database(owner, path, &database, why);
		if (r == 0) {
			owner->users++;
			pthread_mutex_lock(&registry);
			database->next = owner->databases;
			owner->databases = database;
			pthread_mutex_unlock(&registry);
		}
	}
	pthread_mutex_unlock(&opening);
	if (r == 0)
		*ret = database;
	return r;
}

void database_ref(struct database *database)
{
	pthread_mutex_lock(&registry);
	database->users++;
	pthread_mutex_unlock(&registry);
}

static bool drop_database(struct database *database)
{
	bool last;

	pthread_mutex_lock(&registry);
	last = --database->users == 0;
	for (struct database **at = &database->owner->databases; last && *at; at = &(*at)->next) {
		if (*at == database) {
			*at = database->next;
			break;
		}
	}
	pthread_mutex_unlock(&registry);
	return last;
}

void database_put(struct database *database)
{
	struct owner *owner;

	if (!database || owner_is_foreign(database->owner))
		return;
	owner = database->owner;
	if (!drop_database(database))
		return;
	locks_done(&database->locks);
	if (database->store != owner->head)
		store_free(database->store);
	for (size_t i = 0; i < database->path_count; i++)
		free(database->paths[i]);
	free(database->paths);
	free(database);
	owner_put(owner);
}

/* How much of `path`, or of its last part, is the database's own: the length, or 0. */
static size_t matches(const struct database *database, const char *path, bool whole)
{
	size_t most = 0;

	for (size_t i = 0; i < database->path_count; i++) {
		const char *own = whole ? database->paths[i] : last_part(database->paths[i]);
		size_t length = strlen(own);

		if (length > most && strncmp(path, own, length) == 0 &&
		    (path[length] == 0 || path[length] == '-'))
			most = length;
	}
	return most;
}

/* registry is held. */
static struct database *best_match(const char *path, bool whole, const char **ret_suffix)
{
	const char *start = whole ? path : last_part(path);
	struct database *best = NULL;
	size_t most = 0;

	for (struct owner *owner = owners; owner; owner = owner->next) {
		for (struct database *d = owner->databases; d; d = d->next) {
			size_t length = matches(d, start, whole);

			if (length > most) {
				best = d;
				most = length;
			}
		}
	}
	*ret_suffix = start + most;
	return best;
}

/* Where the name of what lies beside a database goes on behind the database's; NULL: nowhere. */
static const char *find_suffix(const char *path)
{
	static const char *const suffixes[] = {"-journal", "-wal", "-mj"};
	const char *name = last_part(path), *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		for (const char *at = name; (at = strstr(at, suffixes[i])) != NULL; at++)
			found = MAX(found, at);
	return found;
}

/* Of a volume that is open: by its directory, or by having a file of that name.  A super-journal's
 * path was written when the volume may have had another one.  registry is held. */
static struct owner *owner_beside(const char *path)
{
	const char *name = last_part(path);

	for (struct owner *owner = owners; owner; owner = owner->next) {
		size_t length = strlen(owner->directory);

		if (strncmp(path, owner->directory, length) == 0 && path + length + 1 == name)
			return owner;
	}
	for (struct owner *owner = owners; owner; owner = owner->next)
		if (store_look(owner->head, name, NULL) == 0)
			return owner;
	return NULL;
}

/* Of a database that nobody has open, in a volume that somebody has. */
static struct database *database_beside(const char *path, const char **ret_suffix)
{
	const char *suffix = find_suffix(path);
	struct database *database = NULL;
	char own[OWNER_PATH_MAX];
	struct owner *owner;

	if (!suffix || suffix - path >= (ptrdiff_t)sizeof own)
		return NULL;
	snprintf(own, sizeof own, "%.*s", (int)(suffix - path), path);
	pthread_mutex_lock(&registry);
	owner = owner_beside(path);
	pthread_mutex_unlock(&registry);
	/* It stays: who asks has a connection to it. */
	if (owner && database_get(owner, own, &database, NULL) < 0)
		return NULL;
	*ret_suffix = suffix;
	return database;
}

struct database *database_of(const char *path, const char **ret_suffix)
{
	struct database *database;

	pthread_mutex_lock(&registry);
	database = best_match(path, true, ret_suffix);
	if (!database)
		database = best_match(path, false, ret_suffix);
	if (database)
		database->users++;
	pthread_mutex_unlock(&registry);
	return database ? database : database_beside(path, ret_suffix);
}

bool owner_is_elsewhere(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');

	snprintf(folder, sizeof folder, "%.*s", slash ? (int)MAX(slash - path, 1) : 1,
		 slash ? path : ".");
	return is_volume(folder) && !is_open(folder);
}

void database_file_name(const struct database *database, const char *suffix,
			char name[STORE_NAME_MAX])
{
	snprintf(name, STORE_NAME_MAX, "%s%.60s", database->name, suffix);
}

int owner_for_each_database(struct owner *owner, int (*fn)(struct database *database, void *arg),
			    void *arg)
{
	struct database **list = NULL;
	size_t count = 0, room = 0;
	int r = 0;

	pthread_mutex_lock(&registry);
	for (struct database *d = owner->databases; d; d = d->next) {
		xgrow(list, count, room);
		list[count++] = d;
		d->users++;
	}
	pthread_mutex_unlock(&registry);
	for (size_t i = 0; i < count; i++) {
		if (r == 0)
			r = fn(list[i], arg);
		database_put(list[i]);
	}
	free(list);
	return r;
}
