#include "engine/engine.h"

#include "engine/mariadb.h"
#include "engine/mysql8.h"
#include "engine/postgres.h"
#include "engine/process.h"
#include "engine/redis.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>

static const struct engine *const engines[] = {&engine_mariadb, &engine_postgres, &engine_mysql,
					       &engine_redis};
#define NAMES "mariadb, postgresql, mysql, redis"

const struct engine *engine_find(const char *name, const char **ret_names)
{
	if (ret_names)
		*ret_names = NAMES;
	if (strcmp(name, "postgres") == 0)
		name = "postgresql";
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++)
		if (strcmp(engines[i]->name, name) == 0)
			return engines[i];
	return NULL;
}

const struct engine *engine_at(size_t i)
{
	return i < ARRAY_SIZE(engines) ? engines[i] : NULL;
}

int engine_wait(struct engine_server *server, int timeout_ms, int *ret_status)
{
	struct process process = {server->pid, server->pidfd, server->family, server->quit};
	int r;

	r = process_wait(&process, timeout_ms, ret_status);
	if (r == 0)
		*server = (struct engine_server){.pidfd = -1};
	return r;
}

void engine_kill(struct engine_server *server)
{
	struct process process = {server->pid, server->pidfd, server->family, server->quit};

	process_kill(&process);
	*server = (struct engine_server){.pidfd = -1};
}

int engine_user(const struct engine *engine, uid_t *ret_uid, gid_t *ret_gid, struct problem *why)
{
	struct passwd *user;

	*ret_uid = geteuid();
	*ret_gid = getegid();
	if (geteuid() != 0)
		return 0;
	user = getpwnam(engine->user);
	if (!user)
		return problem(why, -ENOENT,
			       "there is no user '%s' for %s to run as: install its package, or "
			       "add the user",
			       engine->user, engine->title);
	*ret_uid = user->pw_uid;
	*ret_gid = user->pw_gid;
	return 0;
}
