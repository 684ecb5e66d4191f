/*
 * Goal: a cluster's directory, settings and entry in the list are there whole or not at all.
 * Method: in a home of our own; the server's program is asked for its version, nothing is started.
 */
#include "keeper/cluster.h"

#include "disk/disk.h"
#include "engine/engine.h"
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char top[64] = "/tmp/unspill-cluster-XXXXXX", home[128];
static struct problem why;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static struct cluster *make(const char *name)
{
	struct cluster_options options = {.name = name, .window_us = 1000000};
	struct cluster *cluster = NULL;

	check(cluster_make(&options, &cluster, &why) == 0, "%s", why.text);
	return cluster;
}

static void drop(struct cluster *cluster)
{
	if (cluster)
		check(cluster_delete(cluster, &why) == 0, "%s", why.text);
	cluster_free(cluster);
}

static bool exists(const char *dir, const char *name)
{
	char path[PATH_MAX + 64];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return lstat(path, &st) == 0;
}

/* Fails with `r` and leaves nothing in the home but what was there. */
static bool is_refused(const struct cluster_options *options, int r, const char *words)
{
	struct cluster *cluster = NULL;
	int got = cluster_make(options, &cluster, &why);

	cluster_free(cluster);
	return check(got == r && strstr(why.text, words), "%d %s", got, why.text);
}

static void what_was_made_is_found_and_loaded_as_it_was(void)
{
	const char *const server[] = {"max_connections = 7", "innodb_buffer_pool_size=1G", NULL};
	struct cluster_options options = {.name = "shop",
					  .window_us = 5,
					  .transport = TRANSPORT_CLASSIC,
					  .server_options = server};
	struct cluster *made = NULL, *found = NULL;

	require(cluster_make(&options, &made, &why) == 0, "%s", why.text);
	require(cluster_find("shop", &found, &why) == 0, "%s", why.text);
	check(strcmp(found->name, "shop") == 0 && strcmp(found->engine, "mariadb") == 0);
	check(strcmp(found->bind, "127.0.0.1") == 0 && found->port == made->port &&
	      found->port >= 3306);
	check(found->transport == TRANSPORT_CLASSIC);
	check(found->created_us == made->created_us && found->created_us > 0 &&
	      !found->desired_running);
	check(found->server_uid == made->server_uid && found->owner == geteuid());
	check(strcmp(found->directory, made->directory) == 0 && found->first.lsn == 0);
	check(strcmp(found->server_options[0], server[0]) == 0 &&
	      strcmp(found->server_options[1], server[1]) == 0);
	check(found->server_options[2] == NULL);
	check(exists(made->directory, "volume") && exists(made->directory, "mnt") &&
	      exists(made->directory, "run"));
	cluster_free(found);
	drop(made);
	check(!exists(home, "shop"));
}

static void what_is_saved_is_loaded(void)
{
	struct cluster *cluster = make("saved"), *again = NULL;

	require(cluster);
	cluster->desired_running = true;
	cluster->first = (struct moment){UINT64_C(123456789012345), 99};
	check(cluster_save(cluster, &why) == 0, "%s", why.text);
	require(cluster_load(cluster->directory, &again, &why) == 0, "%s", why.text);
	check(again->desired_running && again->first.lsn == cluster->first.lsn &&
	      again->first.time_us == 99);
	check(!exists(cluster->directory, "cluster.json.new"));
	cluster_free(again);
	drop(cluster);
}

static void a_directory_of_the_users_choice_is_linked_from_the_list(void)
{
	struct cluster_options options = {.name = "elsewhere"};
	struct cluster *made = NULL, *found = NULL;
	char dir[128], entry[256];
	struct stat st;

	snprintf(dir, sizeof dir, "%s/place", top);
	options.directory = dir;
	check(mkdir(dir, 0755) == 0);
	require(cluster_make(&options, &made, &why) == 0, "%s", why.text);
	snprintf(entry, sizeof entry, "%s/elsewhere", home);
	check(lstat(entry, &st) == 0 && S_ISLNK(st.st_mode));
	check(cluster_find("elsewhere", &found, &why) == 0 && strcmp(found->directory, dir) == 0);
	cluster_free(found);
	/* What somebody else put there stays. */
	snprintf(entry, sizeof entry, "%s/precious", dir);
	fclose(fopen(entry, "w"));
	drop(made);
	check(exists(dir, "precious") && !exists(dir, "volume") && !exists(dir, "cluster.json"));
	check(!exists(home, "elsewhere"));
	check(unlink(entry) == 0 && rmdir(dir) == 0);
}

static void a_name_that_exists_is_refused_and_the_first_one_unharmed(void)
{
	struct cluster *first = make("twice"), *found = NULL;
	struct cluster_options same = {.name = "twice", .port = 45678};
	char dir[128];

	require(first);
	is_refused(&same, -EEXIST, "exists");
	snprintf(dir, sizeof dir, "%s/other", top);
	same.directory = dir;
	is_refused(&same, -EEXIST, "exists");
	check(access(dir, F_OK) < 0);
	check(cluster_find("twice", &found, &why) == 0, "%s", why.text);
	cluster_free(found);
	drop(first);
}

static void what_cannot_be_is_refused_and_leaves_nothing(void)
{
	char dir[256], file[300];

	is_refused(&(struct cluster_options){.name = "../x"}, -EINVAL, "name");
	is_refused(&(struct cluster_options){.name = ""}, -EINVAL, "name");
	is_refused(&(struct cluster_options){.name = "7up"}, -EINVAL, "name");
	is_refused(&(struct cluster_options){.name = "x", .engine = "oracle"}, -ENOENT, "mariadb");
	is_refused(&(struct cluster_options){.name = "x", .bind = "nowhere"}, -EINVAL, "nowhere");
	is_refused(&(struct cluster_options){.name = "x", .port = 70000}, -EINVAL, "70000");
	is_refused(&(struct cluster_options){.name = "x", .window_us = -1}, -EINVAL, "window");
	snprintf(dir, sizeof dir, "%s/full", top);
	check(mkdir(dir, 0755) == 0);
	snprintf(file, sizeof file, "%s/file", dir);
	fclose(fopen(file, "w"));
	is_refused(&(struct cluster_options){.name = "x", .directory = dir}, -ENOTEMPTY, "empty");
	check(access(file, F_OK) == 0 && unlink(file) == 0 && rmdir(dir) == 0);
	snprintf(dir, sizeof dir, "%s/%0*d", top, 90, 7);
	is_refused(&(struct cluster_options){.name = "x", .directory = dir}, -ENAMETOOLONG,
		   "too long for sockets");
	check(access(dir, F_OK) < 0);
	check(!exists(home, "x"));
}

static void a_directory_that_the_servers_user_cannot_reach_is_refused(void)
{
	char closed[128], dir[256];

	snprintf(closed, sizeof closed, "%s/closed", top);
	snprintf(dir, sizeof dir, "%s/inside", closed);
	check(mkdir(closed, 0700) == 0);
	is_refused(&(struct cluster_options){.name = "x", .directory = dir}, -EACCES,
		   "may not pass");
	check(access(dir, F_OK) < 0 && rmdir(closed) == 0 && !exists(home, "x"));
}

static void a_taken_port_is_refused_and_a_free_one_found(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	struct cluster *first, *second;
	CLEANUP(fd) int fd = socket(AF_INET, SOCK_STREAM, 0);

	check(bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 1) == 0);
	check(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
	is_refused(&(struct cluster_options){.name = "x", .port = ntohs(address.sin_port)},
		   -EADDRINUSE, "taken by another program");
	first = make("first");
	second = make("second");
	require(first && second);
	check(first->port != second->port);
	/* Nobody listens there yet, but it is given away. */
	is_refused(&(struct cluster_options){.name = "x", .port = first->port}, -EADDRINUSE,
		   "cluster 'first'");
	drop(first);
	drop(second);
}

static void clusters_made_at_the_same_time_get_ports_of_their_own(void)
{
	enum { COUNT = 6 };
	struct cluster *all[COUNT] = {NULL};
	pid_t pids[COUNT];
	char name[16];
	int status;

	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof name, "c%d", i);
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(make(name) ? 0 : 1);
	}
	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof name, "c%d", i);
		check(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
		require(cluster_find(name, &all[i], &why) == 0, "%s", why.text);
		for (int j = 0; j < i; j++)
			check(all[j]->port != all[i]->port, "%d", all[i]->port);
	}
	for (int i = 0; i < COUNT; i++)
		drop(all[i]);
}

static void a_volume_with_a_keeper_is_not_deleted(void)
{
	struct cluster *cluster = make("kept");
	struct disk *disk = NULL;
	char path[PATH_MAX];
	int owner;

	require(cluster && cluster_path(cluster, "volume", path));
	require(disk_local_open(path, &disk) == 0 && disk_lock(disk, &owner) == 0);
	check(cluster_delete(cluster, &why) == -EBUSY && strstr(why.text, "keeper"), "%s",
	      why.text);
	check(exists(cluster->directory, "cluster.json"));
	disk_close(disk);
	drop(cluster);
}

static int count_one(const char *name, const struct cluster *cluster, const struct problem *broken,
		     void *arg)
{
	char *seen = arg;

	strcat(seen, name);
	strcat(seen, cluster ? " " : "! ");
	check(cluster || broken->text[0]);
	return 0;
}

static void the_list_is_sorted_and_shows_what_is_broken(void)
{
	struct cluster *b = make("b"), *a = make("a"), *none = NULL;
	char seen[256] = "", link[256];

	require(a && b);
	snprintf(link, sizeof link, "%s/dangling", home);
	check(symlink("/nonexistent/place", link) == 0);
	check(cluster_for_each(count_one, seen, &why) == 0);
	check(strcmp(seen, "a b dangling! ") == 0, "%s", seen);
	check(cluster_find("nowhere", &none, &why) == -ENOENT && strstr(why.text, "a, b"), "%s",
	      why.text);
	check(cluster_forget("a", &why) == -EBUSY && cluster_forget("nowhere", &why) == -ENOENT);
	check(cluster_forget("dangling", &why) == 0 && !exists(home, "dangling"));
	drop(a);
	drop(b);
}

static void put(const char *dir, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof path, "%s/cluster.json", dir);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

static void damaged_settings_are_named_and_newer_ones_refused(void)
{
	static const char *const damaged[] = {
		"",
		"{",
		"[]",
		"{\"format\": \"1\"}",
		"{\"format\": 1}",
		"{\"format\":1,\"name\":\"../"
		"x\",\"engine\":\"e\",\"bind\":\"b\",\"port\":1,\"server_user\":{\"uid\":0,\"gid\":"
		"0},"
		"\"created_us\":1,\"desired\":\"running\",\"first\":{\"lsn\":0,\"time_us\":0}}",
	};
	struct cluster *cluster = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
		put(top, damaged[i]);
		check(cluster_load(top, &cluster, &why) == -EBADMSG &&
			      strstr(why.text, "cluster.json"),
		      "%zu: %s", i, why.text);
	}
	put(top, "{\"format\": 2}");
	check(cluster_load(top, &cluster, &why) == -EPROTONOSUPPORT && strstr(why.text, "2"), "%s",
	      why.text);
	put(top, "{\"format\":1,\"name\":\"x\",\"engine\":\"e\",\"bind\":\"b\",\"port\":1,\"server_"
		 "user\":{\"uid\":0,\"gid\":0},"
		 "\"created_us\":1,\"desired\":\"running\",\"first\":{\"lsn\":0,\"time_us\":0},"
		 "\"transport\":\"pigeon\"}");
	check(cluster_load(top, &cluster, &why) == -EBADMSG && strstr(why.text, "'pigeon'"), "%s",
	      why.text);
	put(top, "{\"format\":1,\"name\":\"x\",\"engine\":\"e\",\"bind\":\"b\",\"port\":1,\"server_"
		 "user\":{\"uid\":0,\"gid\":0},"
		 "\"created_us\":1,\"desired\":\"running\",\"first\":{\"lsn\":0,\"time_us\":0},"
		 "\"server_options\":[7]}");
	check(cluster_load(top, &cluster, &why) == -EBADMSG && strstr(why.text, "server_options"),
	      "%s", why.text);
}

int main(void)
{
	char version[128];

	if ((engine_find("mariadb", NULL)->check)(version, &why) < 0) {
		SKIP("making clusters", why.text);
		return tap_done();
	}
	if (!mkdtemp(top) || chmod(top, 0755) < 0)
		return 1;
	snprintf(home, sizeof home, "%s/home", top);
	setenv("UNSPILL_HOME", home, 1);
	RUN(what_was_made_is_found_and_loaded_as_it_was);
	RUN(what_is_saved_is_loaded);
	RUN(a_directory_of_the_users_choice_is_linked_from_the_list);
	RUN(a_name_that_exists_is_refused_and_the_first_one_unharmed);
	RUN(what_cannot_be_is_refused_and_leaves_nothing);
	if (geteuid() == 0)
		RUN(a_directory_that_the_servers_user_cannot_reach_is_refused);
	else
		SKIP("a directory that the servers user cannot reach is refused",
		     "the server runs as ourselves");
	RUN(a_taken_port_is_refused_and_a_free_one_found);
	RUN(clusters_made_at_the_same_time_get_ports_of_their_own);
	RUN(a_volume_with_a_keeper_is_not_deleted);
	RUN(the_list_is_sorted_and_shows_what_is_broken);
	RUN(damaged_settings_are_named_and_newer_ones_refused);
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return tap_done();
}
