#include "keeper/listener.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATE_LISTEN 0x0A

/* The inode of a listening socket in /proc/net/tcp or tcp6; 0 when there is none. */
static unsigned long find_listening_inode(const char *table, int port)
{
	FILE *file = fopen(table, "re");
	unsigned long inode, found = 0;
	unsigned local, state;
	char line[512];

	while (file && !found && fgets(line, sizeof line, file)) {
		if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu", &local,
			   &state, &inode) == 3 &&
		    state == STATE_LISTEN && (int)local == port)
			found = inode;
	}
	if (file)
		fclose(file);
	return found;
}

static bool has_descriptor(const char *pid, const char *wanted)
{
	char path[PATH_MAX], target[64];
	struct dirent *entry;
	bool found = false;
	ssize_t size;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		snprintf(path, sizeof path, "/proc/%s/fd/%s", pid, entry->d_name);
		size = readlink(path, target, sizeof target - 1);
		target[MAX(size, 0)] = '\0';
		found = !strcmp(target, wanted);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void describe_process(const char *pid, char text[128])
{
	char path[64], name[64] = "";
	FILE *file;

	snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
	file = fopen(path, "re");
	if (file && fgets(name, sizeof name, file))
		name[strcspn(name, "\n")] = '\0';
	if (file)
		fclose(file);
	snprintf(text, 128, "%s%sprocess %.20s", name, *name ? ", " : "", pid);
}

bool listener_find(int port, char text[128])
{
	unsigned long inode = find_listening_inode("/proc/net/tcp", port);
	struct dirent *entry;
	bool found = false;
	char wanted[64];
	DIR *dir;

	if (!inode)
		inode = find_listening_inode("/proc/net/tcp6", port);
	if (!inode)
		return false;
	snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
	dir = opendir("/proc");
	while (dir && !found && (entry = readdir(dir))) {
		found = isdigit((unsigned char)entry->d_name[0]) &&
			has_descriptor(entry->d_name, wanted);
		if (found)
			describe_process(entry->d_name, text);
	}
	if (dir)
		closedir(dir);
	return found;
}
