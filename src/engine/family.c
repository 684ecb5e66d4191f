#include "engine/family.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* One that is killed is waited for so long; then the others come first. */
#define GOING_MS 100
#define LEFTOVERS_US 30000000

#define SHARED_PREFIX "/dev/shm/"

/* --- Who they are ----------------------------------------------------------------------------- */

uint64_t family_id(int family)
{
	struct stat st;

	return family > 0 && fstat(family, &st) == 0 ? st.st_ino : 0;
}

/* Does the process have the pipe open for writing?  (For reading we do, and who forks from us.) */
static bool holds(const char *pid, uint64_t id)
{
	char path[PATH_MAX], target[64], pipe[64];
	struct dirent *entry;
	bool found = false;
	struct stat st;
	ssize_t n;
	DIR *dir;

	snprintf(pipe, sizeof pipe, "pipe:[%llu]", (unsigned long long)id);
	snprintf(path, sizeof path, "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir)) != NULL) {
		n = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
		target[MAX(n, 0)] = 0;
		found = strcmp(target, pipe) == 0 &&
			fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			st.st_mode & S_IWUSR;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Call `fn` for each; the sum of what it returns. */
static int for_each(uint64_t id, int (*fn)(const char *pid, uint64_t id, void *arg), void *arg)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int sum = 0;

	while (dir && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && holds(entry->d_name, id))
			sum += fn(entry->d_name, id, arg);
	if (dir)
		closedir(dir);
	return sum;
}

/* --- What they share -------------------------------------------------------------------------- */

static void add_shared(struct family_shared *shared, const char *path, uid_t owner)
{
	struct stat st;

	for (int i = 0; i < shared->count; i++)
		if (strcmp(shared->names[i], path) == 0)
			return;
	/* Somebody else's is not theirs to leave behind. */
	if (shared->count < FAMILY_SHARED_MAX && lstat(path, &st) == 0 && st.st_uid == owner)
		shared->names[shared->count++] = xstrdup(path);
}

static int look_at(const char *pid, uint64_t id, void *arg)
{
	char path[PATH_MAX], line[PATH_MAX + 128];
	struct stat owner;
	FILE *maps;

	snprintf(path, sizeof path, "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	while (maps && fstat(fileno(maps), &owner) == 0 && fgets(line, sizeof line, maps)) {
		char *name = strstr(line, SHARED_PREFIX);

		if (!name)
			continue;
		name[strcspn(name, "\n")] = 0;
		add_shared(arg, name, owner.st_uid);
	}
	if (maps)
		fclose(maps);
	return 0;
}

void family_look(int family, struct family_shared *shared)
{
	uint64_t id = family_id(family);

	if (id)
		for_each(id, look_at, shared);
}

void family_remove_shared(struct family_shared *shared)
{
	while (shared->count > 0) {
		char *name = shared->names[--shared->count];

		unlink(name);
		free(name);
	}
}

/* --- Their end -------------------------------------------------------------------------------- */

struct end {
	struct family_shared shared;
	uint64_t since;
};

static int end_one(const char *pid, uint64_t id, void *arg)
{
	CLEANUP(fd) int pidfd = syscall(SYS_pidfd_open, atoi(pid), 0);
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	struct end *end = arg;

	/* With the descriptor open, the number cannot pass to another process before the kill. */
	if (pidfd < 0 || !holds(pid, id) || process_start_time(atoi(pid)) < end->since)
		return 0;
	look_at(pid, id, &end->shared);
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	poll(&ended, 1, GOING_MS);
	return 1;
}

void family_end(int family)
{
	struct pollfd p = {.fd = family};
	uint64_t id = family_id(family);
	struct end end = {0};

	if (!id)
		return;
	/* One that was being born while we looked is found at the next look. */
	while (poll(&p, 1, 0) == 0) {
		for_each(id, end_one, &end);
		poll(&p, 1, 20);
	}
	family_remove_shared(&end.shared);
	close(family);
}

int family_end_by_id(uint64_t id, uint64_t since)
{
	int64_t deadline_us = clock_monotonic_us() + LEFTOVERS_US;
	struct end end = {.since = since};
	int count = 0, found;

	/* One that the kernel holds up is killed again and again, but not for ever. */
	while (id && (found = for_each(id, end_one, &end)) > 0 &&
	       clock_monotonic_us() < deadline_us)
		count += found;
	family_remove_shared(&end.shared);
	return count;
}
