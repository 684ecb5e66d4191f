#include "keeper/attend.h"

#include "base/clock.h"
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_TIMEOUT_US 15000000
#define END_TIMEOUT_MS 20000 /* of a keeper without a server */

int attend_lock(struct attendance *ret, const struct cluster *cluster, bool (*given_up)(void),
		struct problem *why)
{
	int64_t deadline = clock_monotonic_us() + LOCK_TIMEOUT_US;
	char path[PATH_MAX];
	int r;

	*ret = (struct attendance){.cluster = cluster};
	cluster_path(cluster, "run", path);
	ret->lock_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->lock_fd < 0)
		return 0;
	ret->locked = true;
	while ((r = flock(ret->lock_fd, LOCK_EX | LOCK_NB)) < 0 && errno == EWOULDBLOCK &&
	       !(given_up && given_up()) && clock_monotonic_us() < deadline)
		poll(NULL, 0, 20);
	if (r >= 0)
		return 0;
	return problem(why, -EBUSY,
		       "another command is at work on the stopped cluster; try again when it has "
		       "ended");
}

int attend_start(struct attendance *attendance, struct problem *why)
{
	const struct keeper_options options = {.no_server = true};
	int r = keeper_spawn(attendance->cluster, &options, why);

	attendance->temporary = r == 0;
	return r == -EALREADY ? 0 : r;
}

void attend_unlock(struct attendance *attendance)
{
	if (attendance->locked)
		close(attendance->lock_fd);
	attendance->locked = false;
}

void attend_end(struct attendance *attendance)
{
	/* Should it fail, the keeper goes by itself after a minute alone. */
	if (attendance->temporary)
		(void)keeper_dismiss(attendance->cluster, END_TIMEOUT_MS, NULL);
	attendance->temporary = false;
	attend_unlock(attendance);
}

int attend(struct attendance *ret, const struct cluster *cluster, struct problem *why)
{
	int r = attend_lock(ret, cluster, NULL, why);

	if (r == 0)
		r = attend_start(ret, why);
	if (r == 0 && !ret->temporary)
		attend_unlock(ret);
	return r;
}
