#include "mount/handles.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* How the kernel's FUSE packs one: the node's number, upper half first, and its generation. */
#define HANDLE_TYPE 0x81
#define HANDLE_WORDS 3

int handle_refresh(int mount_fd, uint64_t ino)
{
	uint32_t words[HANDLE_WORDS] = {ino >> 32, ino, 0};
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + sizeof words];
	} u = {.handle = {.handle_bytes = sizeof words, .handle_type = HANDLE_TYPE}};
	CLEANUP(fd) int fd = -1;
	struct stat st;

	memcpy(u.handle.f_handle, words, sizeof words);
	fd = open_by_handle_at(mount_fd, &u.handle, O_PATH | O_CLOEXEC);
	return fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
}
