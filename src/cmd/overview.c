#define _XOPEN_SOURCE 700 /* nftw() */
#include "cmd/overview.h"
#include "cmd/machine.h"
#include "cmd/talk.h"
#include "control/clones.h"
#include "keeper/keeper.h"

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#define ANSWER_TIMEOUT_MS 5000

static uint64_t walked_bytes, shared_bytes;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *where)
{
	if (type == FTW_F)
		walked_bytes += (uint64_t)st->st_blocks * 512;
	if (type == FTW_F && st->st_nlink > 1)
		shared_bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

/* Space taken by the files below; `shared_bytes` of it by files with a second name. */
static json_t *size_of(const struct cluster *cluster, const char *below)
{
	char path[PATH_MAX];

	walked_bytes = shared_bytes = 0;
	if (cluster_path(cluster, below, path))
		nftw(path, add_size, 16, FTW_PHYS);
	return json_integer((json_int_t)walked_bytes);
}

static json_t *bytes_of(const struct cluster *cluster)
{
	json_t *bytes = json_object();
	int64_t bytes_free, bytes_total;

	json_object_set_new(bytes, "tape", size_of(cluster, "volume/tape"));
	json_object_set_new(bytes, "base", size_of(cluster, "volume/base"));
	json_object_set_new(bytes, "shared", json_integer((json_int_t)shared_bytes));
	if (machine_space(cluster->directory, &bytes_free, &bytes_total, NULL) >= 0) {
		json_object_set_new(bytes, "disk_free", json_integer(bytes_free));
		json_object_set_new(bytes, "disk_total", json_integer(bytes_total));
	}
	return bytes;
}

/* Nobody has it open. */
static json_t *closed(const struct cluster *cluster)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", cluster->name, "engine",
			 cluster->engine, "state", "closed", "directory", cluster->directory,
			 "bytes", bytes_of(cluster));
}

/* How it stands to other clusters. */
static void add_clones(json_t *result, const struct cluster *cluster)
{
	CLEANUP(disk) struct disk *disk = NULL;
	char path[PATH_MAX];
	bool attached = cluster_path(cluster, "volume", path) &&
			disk_local_open(path, &disk) == 0 && volume_is_attached(disk) == 1;

	json_object_set_new(result, "parent",
			    cluster->parent[0] ? json_string(cluster->parent) : json_null());
	json_object_set_new(result, "thin", json_boolean(cluster->thin));
	json_object_set_new(result, "attached", json_boolean(attached));
	json_object_set_new(result, "clones", clones_list(cluster->directory));
}

static json_t *without_keeper(const struct cluster *cluster)
{
	json_t *result;

	if (cluster_is_inside(cluster))
		return closed(cluster);
	result = json_pack("{s:s, s:s, s:s, s:b, s:{s:s, s:i}, s:s, s:o}", "name", cluster->name,
			   "engine", cluster->engine, "state", "stopped", "down",
			   cluster->desired_running, "endpoint", "address", cluster->bind, "port",
			   cluster->port, "directory", cluster->directory, "bytes",
			   bytes_of(cluster));
	add_clones(result, cluster);
	return result;
}

static json_t *unknown(const char *name, const struct cluster *cluster, const struct problem *why)
{
	json_t *result = json_pack("{s:s, s:s, s:s}", "name", name, "state", "unknown", "problem",
				   why->text);

	if (cluster) {
		json_object_set_new(result, "engine", json_string(cluster->engine));
		json_object_set_new(result, "directory", json_string(cluster->directory));
	}
	return result;
}

/* Takes the cluster. */
static json_t *ask_keeper(const struct typed *typed, struct cluster *cluster)
{
	struct talk talk = {.typed = typed, .cluster = cluster, .looks = true};
	struct problem why = {""};
	json_t *result = NULL;
	int r;

	r = talk_reach(&talk, &why);
	if (r == -ENOENT || r == -ECONNREFUSED)
		result = without_keeper(cluster);
	else if (r >= 0)
		r = talk_ask_quietly(&talk, json_pack("{s:s}", "do", "status"), ANSWER_TIMEOUT_MS,
				     &result, &why);
	if (!result)
		result = unknown(cluster->name, cluster, &why);
	if (!typed_has(typed, "json"))
		json_clean(result);
	json_object_set_new(result, "created_us", json_integer(cluster->created_us));
	talk_close(&talk);
	return result;
}

json_t *overview_of(const struct typed *typed, const char *name)
{
	struct problem why = {""};
	struct cluster *cluster;

	if (cluster_find(name, &cluster, &why) < 0)
		return unknown(name, NULL, &why);
	return ask_keeper(typed, cluster);
}

static int add_name(const char *name, const struct cluster *cluster, const struct problem *why,
		    void *arg)
{
	json_array_append_new(arg, json_string(name));
	return 0;
}

json_t *overview_of_all(const struct typed *typed)
{
	json_t *names = json_array(), *all = json_array(), *name;
	struct problem why = {""};
	size_t i;
	int r;

	r = cluster_for_each(add_name, names, &why);
	if (r < 0) {
		fail_why(typed, r, &why);
		json_decref(all);
		all = NULL;
	}
	if (all) {
		json_array_foreach (names, i, name)
			json_array_append_new(all, overview_of(typed, json_string_value(name)));
	}
	json_decref(names);
	return all;
}
