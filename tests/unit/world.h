/*
 * World: a volume on a disk, mounted on a directory, for tests; and taking it all down whatever
 * happens.
 *
 * A test program forks: the child does the work, the parent waits and then unmounts and removes
 * what is left.
 *
 * `--transport io_uring`, as the first arguments, mounts over that; it is switched on in the kernel
 * for as long as a test needs it.
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

static enum transport world_transport = TRANSPORT_CLASSIC;

/* Take "--transport NAME" off the arguments. */
static inline void world_take_transport(int *argc, char ***argv)
{
	if (*argc < 3 || strcmp((*argv)[1], "--transport") != 0)
		return;
	if (!transport_parse((*argv)[2], &world_transport)) {
		fprintf(stderr, "no transport '%s'\n", (*argv)[2]);
		exit(2);
	}
	(*argv)[2] = (*argv)[0];
	*argc -= 2;
	*argv += 2;
}

/* --- The kernel's switch for io_uring --------------------------------------------------------- */

#define WORLD_SWITCH "/sys/module/fuse/parameters/enable_uring"
/* Locked by the tests that need it; it holds an N when it was off before them. */
#define WORLD_SWITCH_LOCK "/run/unspill-test-enable-uring"

static int world_switch_lock = -1;

/*
 * Lock a byte of the file: WORLD_CHANGING for a moment, WORLD_USING, shared, for as long as the
 * switch is to stay as it is.  False when `command` does not wait and somebody else has it.
 */
enum { WORLD_CHANGING, WORLD_USING };

static inline bool world_lock(int command, short type, off_t byte)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return fcntl(world_switch_lock, command, &lock) == 0;
}

static inline bool world_write_switch(const char *letter)
{
	CLEANUP(fd) int fd = open(WORLD_SWITCH, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, letter, 1) == 1;
}

static inline char world_read_letter(int fd)
{
	char letter = 0;

	return pread(fd, &letter, 1, 0) == 1 ? letter : 0;
}

static inline bool world_open_lock(void)
{
	world_switch_lock = open(WORLD_SWITCH_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return world_switch_lock >= 0 && world_lock(F_OFD_SETLKW, F_WRLCK, WORLD_CHANGING);
}

/* NULL when it is on now, else why not. */
static inline const char *world_switch_on(void)
{
	CLEANUP(fd) int fd = open(WORLD_SWITCH, O_RDONLY | O_CLOEXEC);
	bool on = true;

	if (fd < 0)
		return "needs Linux 6.14, with FUSE over io_uring";
	if (!world_open_lock() || !world_lock(F_OFD_SETLK, F_RDLCK, WORLD_USING))
		return "cannot lock " WORLD_SWITCH_LOCK;
	if (world_read_letter(fd) == 'N')
		on = pwrite(world_switch_lock, "N", 1, 0) == 1 && world_write_switch("Y");
	world_lock(F_OFD_SETLK, F_UNLCK, WORLD_CHANGING);
	return on ? NULL : "needs " WORLD_SWITCH " to be Y, and cannot write it";
}

/* The last one of those who needed it puts back what was. */
static inline void world_switch_back(void)
{
	if (world_switch_lock < 0)
		return;
	world_lock(F_OFD_SETLKW, F_WRLCK, WORLD_CHANGING);
	if (world_lock(F_OFD_SETLK, F_WRLCK, WORLD_USING) &&
	    world_read_letter(world_switch_lock) == 'N' && world_write_switch("N") &&
	    ftruncate(world_switch_lock, 0) < 0)
		perror(WORLD_SWITCH_LOCK);
	close(world_switch_lock);
	world_switch_lock = -1;
}

/* Is it off, and stays off until world_switch_back()?  Not after world_switch_on(). */
static inline bool world_switched_off(void)
{
	CLEANUP(fd) int fd = open(WORLD_SWITCH, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && world_open_lock() && world_lock(F_OFD_SETLK, F_WRLCK, WORLD_USING) &&
	       world_read_letter(fd) == 'N';
}

/* NULL when volumes can be mounted here, else why not. */
static inline const char *world_missing(void)
{
	struct problem why;
	const char *missing = NULL;

	if (geteuid() != 0)
		return "needs root";
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return "needs /dev/fuse";
	if (world_transport == TRANSPORT_IO_URING)
		missing = world_switch_on();
	if (!missing && world_transport == TRANSPORT_IO_URING && transport_check_io_uring(&why) < 0)
		missing = "needs io_uring, which is forbidden here";
	if (missing)
		world_switch_back();
	return missing;
}

static inline int world_mount(struct world *world)
{
	struct mount_options options = {
		.source = "unspill:test", .allow_other = true, .transport = world_transport};
	const char *why;
	int r = mount_open(world->volume, world_mnt, &options, &world->mount, &world->why);

	if (r == 0)
		check(mount_transport(world->mount, &why) == world_transport, "%s", why);
	return r;
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
	world_switch_back();
	if (WIFSIGNALED(status))
		printf("Bail out! killed by signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
