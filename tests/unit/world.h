/*
 * World: a volume on a disk, mounted on a directory, for tests; and taking it all down whatever
 * happens.
 *
 * A test program forks: the child does the work, the parent waits and then unmounts and removes
 * what is left.
 */
#pragma once

#include "disk/disk.h"
#include "mount/mount.h"
#include "tap.h"
#include "volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct world {
	struct disk *disk;
	struct volume *volume;
	struct mount *mount;
	struct problem why;
};

/* The directory of this program's run, and the mount point in it. */
static char world_dir[64];
static char world_mnt[80];

/* NULL when volumes can be mounted here, else why not. */
static inline const char *world_missing(void)
{
	if (geteuid() != 0)
		return "needs root";
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return "needs /dev/fuse";
	return NULL;
}

static inline int world_mount(struct world *world)
{
	struct mount_options options = {.source = "unspill:test", .allow_other = true};

	return mount_open(world->volume, world_mnt, &options, &world->mount, &world->why);
}

static inline int world_open_volume(struct world *world)
{
	struct volume_options options = {.background = true};

	return volume_open(world->disk, &options, &world->volume, &world->why);
}

/* A new volume on world->disk, mounted. */
static inline bool world_open_on(struct world *world, uint64_t segment_bytes)
{
	struct volume_format_options format = {.segment_bytes = segment_bytes,
					       .window_us = INT64_C(3600) * 1000000,
					       .root_mode = 0755};
	int r = volume_format(world->disk, &format, &world->why);

	if (r == 0)
		r = world_open_volume(world);
	if (r == 0)
		r = world_mount(world);
	return check(r == 0, "%s", world->why.text);
}

/* The same on a new disk in memory. */
static inline bool world_open(struct world *world)
{
	*world = (struct world){.disk = disk_memory_new(1)};
	return world_open_on(world, 8 << 20);
}

static inline void world_close(struct world *world)
{
	mount_close(world->mount);
	volume_close(world->volume);
	disk_close(world->disk);
	*world = (struct world){0};
}

static inline int world_remove_one(const char *path, const struct stat *st, int type,
				   struct FTW *ftw)
{
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static inline void world_remove(const char *path)
{
	nftw(path, world_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void world_path(char *path, size_t size, const char *name)
{
	if (snprintf(path, size, "%s/%s", world_mnt, name) >= (int)size)
		abort();
}

/* Everything mounted below world_dir; by force, so that nobody waits for a server that is gone. */
static inline void world_unmount_all(void)
{
	static const char *const names[] = {"mnt", "stale", "past", "helped"};
	char path[80];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", world_dir, names[i]);
		umount2(path, MNT_FORCE);
		while (umount2(path, MNT_DETACH) == 0)
			;
	}
}

static pid_t world_child;

/* We are to end: so is the child, whatever it waits for. */
static inline void world_end(int signal)
{
	world_unmount_all();
	kill(world_child, SIGKILL);
}

/* Run `body` in a child, with world_dir and world_mnt made before and cleared away afterwards. */
static inline int world_run(int (*body)(void))
{
	int status = 0;

	snprintf(world_dir, sizeof world_dir, "/tmp/unspill-test-XXXXXX");
	if (!mkdtemp(world_dir))
		return 1;
	snprintf(world_mnt, sizeof world_mnt, "%s/mnt", world_dir);
	mkdir(world_mnt, 0755);
	chmod(world_dir, 0755);
	fflush(stdout);
	world_child = fork();
	if (world_child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		exit(body());
	}
	signal(SIGTERM, world_end);
	signal(SIGINT, world_end);
	signal(SIGHUP, world_end);
	while (waitpid(world_child, &status, 0) < 0 && errno == EINTR)
		;
	world_unmount_all();
	world_remove(world_dir);
	if (WIFSIGNALED(status))
		printf("Bail out! killed by signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
