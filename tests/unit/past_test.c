/*
 * Goal: a server of a moment of the past answers with what was then, leaves the cluster alone, and
 * is gone with its files, however it ends.
 *
 * Method: the real clone, mount and server, of Redis, which is up at once; the cluster's holder is
 * this process, and its files are a few bytes that the server does not mind.
 */
#include "holding_bed.h"

#include "control/scratch.h"
#include "engine/place.h"
#include "engine/process.h"
#include "mount/mount.h"
#include "past/past.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

static struct holder shop;
static struct cluster cluster;
static uint64_t data_ino, file_ino;

static bool make(uint64_t parent, const char *name, mode_t mode, uint64_t *ret_ino)
{
	const struct volume_new new = {
		.mode = mode, .uid = cluster.server_uid, .gid = cluster.server_gid};
	struct volume_attr attr;

	if (!check(volume_create(shop.holding.volume, parent, name, &new, &attr) == 0, "%s", name))
		return false;
	*ret_ino = attr.ino;
	return true;
}

/* What is written is the newest moment. */
static bool put(uint64_t offset, const char *text, struct moment *ret)
{
	struct iovec iov = {(void *)text, strlen(text)};

	if (!check(volume_write(shop.holding.volume, file_ino, offset, &iov, 1, false) == 0))
		return false;
	volume_now(shop.holding.volume, ret);
	return true;
}

static bool begin(void)
{
	const char *names;

	if (!holder_init(&shop))
		return false;
	shop.holding.clear_mount = mount_clear_stale;
	memset(&cluster, 0, sizeof cluster);
	snprintf(cluster.name, sizeof cluster.name, "shop");
	snprintf(cluster.engine, sizeof cluster.engine, "redis");
	snprintf(cluster.bind, sizeof cluster.bind, "127.0.0.1");
	snprintf(cluster.directory, sizeof cluster.directory, "%s", shop.directory);
	cluster.owner = geteuid();
	return check(engine_user(engine_find("redis", &names), &cluster.server_uid,
				 &cluster.server_gid, &shop.why) == 0,
		     "%s", shop.why.text) &&
	       make(VOLUME_ROOT_INO, "data", S_IFDIR | 0755, &data_ino) &&
	       make(data_ino, "file", S_IFREG | 0644, &file_ino);
}

/* Nobody has anything of the cluster any more. */
static void check_nothing_left(void)
{
	holder_comes_to_pins(&shop, 0);
	check(!holder_has(&shop, "scratch/1") && !holder_has(&shop, "scratch/2"));
}

static json_t *at_lsn(const struct moment *moment)
{
	return json_pack("{s:I}", "lsn", (json_int_t)moment->lsn);
}

/* NULL, and that was said. */
static struct past *open_at(const struct moment *moment)
{
	json_t *at = moment ? at_lsn(moment) : NULL;
	struct past *past = NULL;
	int r = past_open(&cluster, at, &past, &shop.why);

	json_decref(at);
	check(r == 0, "%d %s", r, shop.why.text);
	return r == 0 ? past : NULL;
}

static void check_file(struct past *past, const char *wanted)
{
	char text[64] = "";
	struct past_file file;

	require(past_find(past, "file", &file) == 0 && file.ino == file_ino);
	require(file.size == strlen(wanted), "%d bytes", (int)file.size);
	check(past_read(past, &file, 0, text, file.size) == 0 && strcmp(text, wanted) == 0, "%s",
	      text);
	check(past_read(past, &file, 1, text, file.size) == -EUCLEAN);
	check(past_find(past, "none", &file) == -ENOENT);
	check(past_find(past, "file/below", &file) == -ENOTDIR);
}

static void check_answers(struct past *past)
{
	check(past_engine(past)->ping(past_place(past), &shop.why) == 0, "%s", shop.why.text);
	check(strncmp(past_place(past)->data_dir, shop.directory, strlen(shop.directory)) == 0 &&
	      past_place(past)->port == 0 && past_place(past)->fleeting);
}

static void a_moment_has_a_server_of_its_own_and_the_cluster_does_not_notice(void)
{
	struct moment first, second, now, shown;
	struct past *past;
	pid_t server;

	require(begin());
	require(put(0, "one", &first) && put(0, "three", &second));
	past = open_at(&first);
	require(past);
	past_moment(past, &shown);
	check(shown.lsn == first.lsn && shown.time_us == first.time_us);
	check_answers(past);
	check_file(past, "one");
	check(holder_pins(&shop) == 1);
	server = place_find_user(past_place(past)->data_dir);
	check(server > 0);
	past_close(past);
	check(kill(server, 0) < 0, "the server lives");
	check(!holder_has(&shop, "scratch/1"), "its files are still there");
	check_nothing_left();
	volume_now(shop.holding.volume, &now);
	check(now.lsn == second.lsn, "something was written into the cluster's volume");
	past = open_at(NULL);
	require(past);
	check_file(past, "three");
	past_close(past);
	check_nothing_left();
	holder_done(&shop);
}

static void another_moment_is_another_content_and_another_server(void)
{
	struct moment first, second, shown;
	struct past *past;
	json_t *at;

	require(begin());
	require(put(0, "one", &first) && put(0, "three", &second));
	past = open_at(&second);
	require(past);
	check_file(past, "three");
	at = at_lsn(&first);
	check(past_go(past, at, &shop.why) == 0, "%s", shop.why.text);
	json_decref(at);
	check_answers(past);
	check_file(past, "one");
	past_moment(past, &shown);
	check(shown.lsn == first.lsn);
	past_close(past);
	check_nothing_left();
	holder_done(&shop);
}

struct stretches {
	uint64_t from, to;
	int count;
};

static int note_stretch(uint64_t offset, uint64_t size, void *arg)
{
	struct stretches *stretches = arg;

	if (!stretches->count++)
		stretches->from = offset;
	stretches->to = offset + size;
	return 0;
}

static void two_pasts_differ_where_something_was_written_in_between(void)
{
	struct stretches stretches = {0}, none = {0};
	struct moment first, second;
	struct past *a, *b;

	require(begin());
	require(put(100000, "end", &first) && put(50000, "middle", &second));
	a = open_at(&first);
	b = open_at(&second);
	require(a && b);
	check(past_differ(a, b, file_ino, note_stretch, &stretches) == 0);
	check(stretches.count && stretches.from <= 50000 && stretches.to >= 50006 &&
		      stretches.from > 40000 && stretches.to < 60000,
	      "%d, %d to %d", stretches.count, (int)stretches.from, (int)stretches.to);
	past_close(b);
	b = open_at(&first);
	require(b);
	check(past_differ(a, b, file_ino, note_stretch, &none) == 0 && none.count == 0);
	past_close(a);
	past_close(b);
	check_nothing_left();
	holder_done(&shop);
}

static void is_refused(int wanted, const json_t *at, const char *says)
{
	struct past *past = NULL;
	int r = past_open(&cluster, at, &past, &shop.why);

	check(r == wanted && !past && strstr(shop.why.text, says), "%d: %s", r, shop.why.text);
}

static void what_cannot_be_is_said_and_leaves_nothing(void)
{
	json_t *never = json_pack("{s:s}", "mark", "never"),
	       *beyond = json_pack("{s:I}", "lsn", (json_int_t)1 << 50);
	uint64_t ino;

	require(begin());
	is_refused(-ENOENT, never, "never");
	is_refused(-ERANGE, beyond, "");
	check_nothing_left();
	snprintf(cluster.engine, sizeof cluster.engine, "abacus");
	is_refused(-EINVAL, NULL, "abacus");
	snprintf(cluster.engine, sizeof cluster.engine, "redis");
	/* The server wants a folder there. */
	require(make(data_ino, "appendonlydir", S_IFREG | 0600, &ino));
	is_refused(-ECHILD, NULL, "at that moment");
	check_nothing_left();
	server_close(take(shop.server));
	is_refused(-ENOENT, NULL, "");
	json_decref(never);
	json_decref(beyond);
	holder_done(&shop);
}

/* --- One that is killed ----------------------------------------------------------------------- */

static struct {
	int go, tell; /* pipes */
	pid_t pid;
} helper;

/* Begun before there is a thread: it opens a past of the cluster whose directory it is told, says
 * so, and waits. */
static void help(int go, int tell)
{
	struct past *past = NULL;
	char ready = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(go, &cluster, sizeof cluster) != sizeof cluster ||
	    past_open(&cluster, NULL, &past, &shop.why) < 0 || write(tell, &ready, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static bool start_helper(void)
{
	int go[2], tell[2];

	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(tell, O_CLOEXEC) < 0)
		return false;
	helper.pid = fork();
	if (helper.pid == 0) {
		close(go[1]);
		help(go[0], tell[1]);
	}
	close(go[0]);
	close(tell[1]);
	helper.go = go[1];
	helper.tell = tell[0];
	return helper.pid > 0;
}

static void one_that_is_killed_takes_its_server_and_its_files_with_it(void)
{
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;
	struct moment moment;
	char ready;
	pid_t server;

	require(begin());
	require(put(0, "one", &moment));
	require(write(helper.go, &cluster, sizeof cluster) == sizeof cluster);
	require(read(helper.tell, &ready, 1) == 1);
	server = place_find_user(holder_path(&shop, "scratch/1/mnt/data"));
	check(server > 0 && holder_pins(&shop) == 1);
	kill(helper.pid, SIGKILL);
	waitpid(helper.pid, NULL, 0);
	while (kill(server, 0) == 0 && clock_monotonic_us() < until_us)
		poll(NULL, 0, 1); /* it is nobody's child of ours */
	check(kill(server, 0) < 0, "the server lives");
	check(holder_sees_gone(holder_path(&shop, "scratch/1")));
	check_nothing_left();
	holder_done(&shop);
}

int main(void)
{
	char program[PATH_MAX];

	if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) < 0 ||
	    !process_find("redis-server", program, sizeof program)) {
		SKIP("a moment has a server of its own", "this takes root, /dev/fuse and Redis");
		return tap_done();
	}
	if (!start_helper())
		return 1;
	RUN(a_moment_has_a_server_of_its_own_and_the_cluster_does_not_notice);
	RUN(another_moment_is_another_content_and_another_server);
	RUN(two_pasts_differ_where_something_was_written_in_between);
	RUN(what_cannot_be_is_said_and_leaves_nothing);
	RUN(one_that_is_killed_takes_its_server_and_its_files_with_it);
	return tap_done();
}
