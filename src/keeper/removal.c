/* The end of a cluster: its keeper is sent away, its files go. */
#include "keeper/keeper.h"

#include "base/clock.h"
#include "control/clones.h"
#include "control/control.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define SERVER_END_TIMEOUT_MS 60000 /* of a keeper with its server */
#define GONE_TIMEOUT_US 20000000    /* of whatever keeps a cluster's files after that */

int keeper_dismiss(const struct cluster *cluster, int timeout_ms, struct problem *why)
{
	const struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
	CLEANUP(control) struct control *control = NULL;
	json_t *request, *result = NULL;
	struct control_error code;
	char path[PATH_MAX];
	int r;

	cluster_socket(cluster, path);
	r = control_connect(path, &control, why);
	if (r < 0)
		return r;
	setsockopt(control_descriptor(control), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	request = json_pack("{s:s}", "do", "shutdown");
	r = control_call(control, request, NULL, NULL, &result, &code, why);
	json_decref(request);
	json_decref(result);
	return r;
}

/* What cluster_make() and the keeper put into a cluster's directory. */
static bool is_ours(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "volume") ||
	       !strcmp(name, "mnt") || !strcmp(name, "run") || !strcmp(name, "scratch") ||
	       !strcmp(name, "clones") || !strncmp(name, "cluster.json", strlen("cluster.json")) ||
	       !strncmp(name, ".cluster.json", strlen(".cluster.json"));
}

static int refuse_strangers(const struct cluster *cluster, struct problem *why)
{
	struct dirent *entry;
	DIR *dir = opendir(cluster->directory);
	int r = 0;

	if (!dir)
		return problem_errno(why, -errno, "cannot read '%s'", cluster->directory);
	while (r == 0 && (entry = readdir(dir))) {
		if (!is_ours(entry->d_name))
			r = problem(why, -EEXIST,
				    "'%s' holds '%.100s', which is not the cluster's; move it "
				    "away; nothing was done",
				    cluster->directory, entry->d_name);
	}
	closedir(dir);
	return r;
}

static int refuse_mounts(const struct cluster *cluster, struct problem *why)
{
	struct problem found = {""};
	int r = cluster_check_mounts(cluster, &found);

	return r < 0 ? problem(why, r, "%s; nothing was done", found.text) : 0;
}

int keeper_check_removable(const struct cluster *cluster, struct problem *why)
{
	char name[NAME_MAX + 1];
	int r = refuse_strangers(cluster, why);

	if (r == 0)
		r = refuse_mounts(cluster, why);
	/* Clones stand on its files. */
	if (r < 0 || !clones_find(cluster->directory, false, name))
		return r;
	return problem(
		why, -EBUSY,
		"its clone '%s' still shares files with it; delete that first, or wait until it "
		"has copied them ('unspill status %s' says how far it is; one made with --thin "
		"begins after 'unspill modify %s --detach')",
		name, name, name);
}

int keeper_remove(const struct cluster *cluster, struct problem *why)
{
	int64_t deadline = clock_monotonic_us() + GONE_TIMEOUT_US;
	int r;

	/* Not empty: a clone is being made there, which had not begun when the caller looked.  A
	 * keeper may come up at any time: where there is none, there is nobody to dismiss. */
	while (((r = cluster_delete(cluster, why)) == -EBUSY || r == -ENOTEMPTY) &&
	       clock_monotonic_us() < deadline) {
		(void)keeper_dismiss(cluster, SERVER_END_TIMEOUT_MS, NULL);
		poll(NULL, 0, 50);
	}
	return r;
}
