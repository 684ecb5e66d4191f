/*
 * Goal: a throw-away clone is there as long as whoever asked for it is connected or has it open,
 * and not a moment longer; and what a killed process left is removed, and nothing else.
 *
 * Method: the real server, client and volume on a directory; "whoever asked" is this process, or
 * one that is killed.
 */
#include "holding_bed.h"

#include "control/scratch.h"

#include <signal.h>
#include <sys/wait.h>

/* What scratch.c gives a process that was killed. */
#define DYING_US INT64_C(10000000)

static struct holder shop;

static json_t *scratch_request(const char *mark)
{
	return mark ? json_pack("{s:s, s:{s:s}}", "do", "scratch", "at", "mark", mark)
		    : json_pack("{s:s, s:{s:b}}", "do", "scratch", "at", "now", 1);
}

/* A connection with a clone in `directory`; NULL, and that was said. */
static struct control *ask_for_one(char directory[PATH_MAX])
{
	CLEANUP(control) struct control *control = NULL;
	json_t *result = NULL;
	const char *code;

	directory[0] = 0;
	if (!check(control_connect(shop.socket, &control, &shop.why) == 0, "%s", shop.why.text))
		return NULL;
	code = holder_ask(&shop, control, scratch_request(NULL), &result);
	if (check(!*code, "%s: %s", code, shop.why.text))
		snprintf(directory, PATH_MAX, "%s",
			 json_string_value(json_object_get(result, "directory")));
	json_decref(result);
	return directory[0] ? take(control) : NULL;
}

/* As who mounts it: its volume is open, and locked. */
static struct disk *use(const char *directory)
{
	CLEANUP(disk) struct disk *disk = NULL;
	char path[PATH_MAX + 8];
	int owner;

	snprintf(path, sizeof path, "%s/volume", directory);
	if (!check(disk_local_open(path, &disk) == 0, "%s", path) ||
	    !check(disk_lock(disk, &owner) == 0))
		return NULL;
	return take(disk);
}

static void a_clone_is_a_volume_that_goes_with_its_connection(void)
{
	const struct volume_options options = {.fleeting = true};
	char directory[PATH_MAX], path[PATH_MAX + 8];
	CLEANUP(volume) struct volume *volume = NULL;
	CLEANUP(disk) struct disk *disk = NULL;
	struct control *control;
	struct moment theirs, ours;

	require(holder_init(&shop));
	control = ask_for_one(directory);
	require(control);
	check(strcmp(directory, holder_path(&shop, "scratch/1")) == 0, "%s", directory);
	check(holder_has(&shop, "scratch/1/mnt") && holder_has(&shop, "scratch/1/run"));
	check(holder_pins(&shop) == 1);
	snprintf(path, sizeof path, "%s/volume", directory);
	require(disk_local_open(path, &disk) == 0);
	require(volume_open(disk, &options, &volume, &shop.why) == 0, "%s", shop.why.text);
	volume_now(volume, &theirs);
	volume_now(shop.holding.volume, &ours);
	check(theirs.lsn == ours.lsn);
	volume_close(take(volume));
	disk_close(take(disk));
	control_close(control);
	check(holder_sees_gone(directory));
	holder_comes_to_pins(&shop, 0);
	holder_done(&shop);
}

static void several_at_once_do_not_meet_and_go_one_by_one(void)
{
	char directories[3][PATH_MAX];
	struct control *controls[3];

	require(holder_init(&shop));
	/* What somebody else has there is nobody's clone. */
	require(mkdir(holder_path(&shop, "scratch"), 0711) == 0 &&
		mkdir(holder_path(&shop, "scratch/2"), 0700) == 0);
	for (int i = 0; i < 3; i++)
		require((controls[i] = ask_for_one(directories[i])) != NULL);
	check(strcmp(directories[0], holder_path(&shop, "scratch/1")) == 0, "%s", directories[0]);
	check(strcmp(directories[1], holder_path(&shop, "scratch/3")) == 0, "%s", directories[1]);
	check(strcmp(directories[2], holder_path(&shop, "scratch/4")) == 0, "%s", directories[2]);
	check(holder_pins(&shop) == 3);
	control_close(controls[1]);
	check(holder_sees_gone(directories[1]));
	holder_comes_to_pins(&shop, 2);
	check(access(directories[0], F_OK) == 0 && access(directories[2], F_OK) == 0);
	control_close(controls[0]);
	control_close(controls[2]);
	holder_comes_to_pins(&shop, 0);
	check(holder_has(&shop, "scratch/2") && !holder_has(&shop, "scratch/1"));
	holder_done(&shop);
}

static void two_of_one_connection_go_together(void)
{
	char directory[PATH_MAX];
	struct control *control;

	require(holder_init(&shop));
	require((control = ask_for_one(directory)) != NULL);
	check(!*holder_ask(&shop, control, scratch_request(NULL), NULL), "%s", shop.why.text);
	check(holder_pins(&shop) == 2 && holder_has(&shop, "scratch/2"));
	control_close(control);
	holder_comes_to_pins(&shop, 0);
	check(!holder_has(&shop, "scratch/1") && !holder_has(&shop, "scratch/2"));
	holder_done(&shop);
}

/* It has the volume open, holds the connection, and waits. */
static pid_t start_user(struct control **control, struct disk **disk)
{
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	control_close(take(*control));
	disk_close(take(*disk));
	return pid;
}

static void a_clone_in_use_stays_until_its_user_has_died(void)
{
	char directory[PATH_MAX];
	struct control *control;
	struct disk *disk;
	pid_t pid;

	require(holder_init(&shop));
	require((control = ask_for_one(directory)) != NULL);
	require((disk = use(directory)) != NULL);
	pid = start_user(&control, &disk);
	require(pid > 0);
	check(holder_pins(&shop) == 1 && access(directory, F_OK) == 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(holder_sees_gone(directory));
	holder_comes_to_pins(&shop, 0);
	holder_done(&shop);
}

static void a_connection_that_ends_first_leaves_the_clone_to_its_user(void)
{
	char directory[PATH_MAX];
	struct control *control;
	struct disk *disk;
	int64_t began_us = clock_monotonic_us();

	require(holder_init(&shop));
	require((control = ask_for_one(directory)) != NULL);
	require((disk = use(directory)) != NULL);
	control_close(control);
	/* It has been looked at, and left alone, when the next one is there and gone. */
	require((control = ask_for_one((char[PATH_MAX]){""})) != NULL);
	control_close(control);
	check(holder_sees_gone(holder_path(&shop, "scratch/2")));
	check(access(directory, F_OK) == 0 && holder_pins(&shop) >= 1);
	disk_close(disk);
	/* On a machine where all that takes so long it may have given up. */
	if (clock_monotonic_us() - began_us > DYING_US / 3)
		scratch_sweep(&shop.holding);
	check(holder_sees_gone(directory));
	holder_comes_to_pins(&shop, 0);
	holder_done(&shop);
}

static void a_holder_that_ends_waits_for_no_user_and_the_next_one_sweeps_up(void)
{
	char directory[PATH_MAX];
	struct control *control;
	struct disk *disk;
	int64_t began_us;

	require(holder_init(&shop));
	require((control = ask_for_one(directory)) != NULL);
	require((disk = use(directory)) != NULL);
	began_us = clock_monotonic_us();
	server_close(take(shop.server));
	check(clock_monotonic_us() - began_us < DYING_US, "it waited");
	holder_close(&shop);
	check(access(directory, F_OK) == 0);
	control_close(control);

	require(holder_open(&shop));
	scratch_sweep(&shop.holding);
	check(access(directory, F_OK) == 0, "what is in use was removed");
	disk_close(disk);
	scratch_sweep(&shop.holding);
	check(!holder_has(&shop, "scratch"));
	holder_done(&shop);
}

static bool make_file(const char *path)
{
	CLEANUP(fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return check(fd >= 0, "%s", path);
}

/* Killed after each step of making one; and what nobody of us made. */
static void what_was_left_half_made_goes_and_what_it_leads_to_does_not(void)
{
	require(holder_init(&shop));
	require(mkdir(holder_path(&shop, "scratch"), 0711) == 0);
	for (int i = 1; i <= 4; i++)
		require(mkdir(holder_path(&shop, (const char *[]){"scratch/1", "scratch/2",
								  "scratch/3", "scratch/4"}[i - 1]),
			      0711) == 0);
	require(mkdir(holder_path(&shop, "scratch/2/volume"), 0700) == 0);
	require(mkdir(holder_path(&shop, "scratch/3/volume"), 0700) == 0 &&
		make_file(holder_path(&shop, "scratch/3/volume/lock")));
	require(mkdir(holder_path(&shop, "precious"), 0700) == 0 &&
		make_file(holder_path(&shop, "precious/file")));
	require(symlink(holder_path(&shop, "precious"), holder_path(&shop, "scratch/4/run")) == 0);
	scratch_sweep(&shop.holding);
	check(!holder_has(&shop, "scratch"));
	check(holder_has(&shop, "precious/file"));
	holder_done(&shop);
}

static int refuse_to_clear(const char *path, struct problem *why)
{
	return -EIO;
}

static void what_a_dead_process_left_mounted_is_not_removed_through_the_mount(void)
{
	char directory[PATH_MAX];
	struct control *control;

	require(holder_init(&shop));
	shop.holding.clear_mount = refuse_to_clear;
	require((control = ask_for_one(directory)) != NULL);
	control_close(control);
	holder_comes_to_pins(&shop, 0);
	check(holder_has(&shop, "scratch/1/mnt") && holder_has(&shop, "scratch/1/volume"));
	shop.holding.clear_mount = NULL;
	scratch_sweep(&shop.holding);
	check(!holder_has(&shop, "scratch"));
	holder_done(&shop);
}

static int clear_nothing(const char *path, struct problem *why)
{
	return 0;
}

static int count_one(const char *path, void *arg)
{
	int *count = arg;

	++*count;
	return 0;
}

/* Somebody who may not mount would forget where it is mounted. */
static void what_is_shown_to_people_goes_only_by_who_can_clear_it_away(void)
{
	char directory[PATH_MAX];
	struct control *control;
	struct disk *disk;
	int count = 0;

	require(holder_init(&shop));
	require((control = ask_for_one(directory)) != NULL);
	require(make_file(holder_path(&shop, "scratch/1/" SCRATCH_SHOWN)));
	control_close(control);
	holder_comes_to_pins(&shop, 0);
	scratch_sweep(&shop.holding);
	check(scratch_for_each(shop.holding.directory, count_one, &count) == 0 && count == 1);
	check(scratch_remove(directory, NULL) == 0 && holder_has(&shop, "scratch/1/volume"));
	require((disk = use(directory)) != NULL);
	check(scratch_remove(directory, clear_nothing) == -EBUSY);
	disk_close(disk);
	check(scratch_remove(directory, clear_nothing) == 0 && !holder_has(&shop, "scratch/1"));
	holder_done(&shop);
}

static void a_moment_is_asked_for_and_a_refusal_has_its_number(void)
{
	CLEANUP(control) struct control *control = NULL;
	json_t *never = json_pack("{s:s}", "mark", "never"), *now = json_pack("{s:b}", "now", 1);
	char directory[PATH_MAX] = "";
	struct moment moment, ours;

	require(holder_init(&shop));
	require(control_connect(shop.socket, &control, &shop.why) == 0, "%s", shop.why.text);
	check(scratch_ask(control, never, directory, &moment, &shop.why) == -ENOENT &&
		      strstr(shop.why.text, "never"),
	      "%s", shop.why.text);
	check(scratch_ask(control, now, directory, &moment, &shop.why) == 0, "%s", shop.why.text);
	volume_now(shop.holding.volume, &ours);
	check(strcmp(directory, holder_path(&shop, "scratch/1")) == 0 && moment.lsn == ours.lsn &&
	      moment.time_us == ours.time_us);
	control_close(take(control));
	holder_comes_to_pins(&shop, 0);
	json_decref(never);
	json_decref(now);
	holder_done(&shop);
}

static void what_cannot_be_made_is_said_and_leaves_nothing(void)
{
	CLEANUP(control) struct control *control = NULL;
	const char *code;

	require(holder_init(&shop));
	require(control_connect(shop.socket, &control, &shop.why) == 0, "%s", shop.why.text);
	code = holder_ask(&shop, control, scratch_request("never"), NULL);
	check(strcmp(code, "not-found") == 0 && strstr(shop.why.text, "never"), "%s: %s", code,
	      shop.why.text);
	check(!holder_has(&shop, "scratch"));
	require(make_file(holder_path(&shop, "scratch")));
	code = holder_ask(&shop, control, scratch_request(NULL), NULL);
	check(strcmp(code, "failed") == 0 && strstr(shop.why.text, "cannot make"), "%s: %s", code,
	      shop.why.text);
	check(holder_pins(&shop) == 0);
	unlink(holder_path(&shop, "scratch"));
	check(!*holder_ask(&shop, control, scratch_request(NULL), NULL), "%s", shop.why.text);
	control_close(take(control));
	holder_comes_to_pins(&shop, 0);
	holder_done(&shop);
}

#define NOBODY 65534

static int ask_as_nobody(void)
{
	CLEANUP(control) struct control *control = NULL;
	const char *code;

	if (setresuid(NOBODY, NOBODY, NOBODY) < 0 ||
	    control_connect(shop.socket, &control, &shop.why) < 0)
		return 1;
	code = holder_ask(&shop, control, scratch_request(NULL), NULL);
	return strcmp(code, "failed") == 0 && strstr(shop.why.text, "kept by user 0") ? 0 : 2;
}

static void the_cluster_s_owner_does_not_get_files_of_the_root_that_keeps_it(void)
{
	int status = -1;
	pid_t pid;

	require(holder_init(&shop));
	server_close(take(shop.server));
	shop.owner = NOBODY;
	require(holder_serve(&shop));
	require(chmod(shop.socket, 0666) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(ask_as_nobody());
	waitpid(pid, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", (unsigned)status);
	check(holder_pins(&shop) == 0 && !holder_has(&shop, "scratch"));
	holder_done(&shop);
}

int main(void)
{
	RUN(a_clone_is_a_volume_that_goes_with_its_connection);
	RUN(several_at_once_do_not_meet_and_go_one_by_one);
	RUN(two_of_one_connection_go_together);
	RUN(a_clone_in_use_stays_until_its_user_has_died);
	RUN(a_connection_that_ends_first_leaves_the_clone_to_its_user);
	RUN(a_holder_that_ends_waits_for_no_user_and_the_next_one_sweeps_up);
	RUN(what_was_left_half_made_goes_and_what_it_leads_to_does_not);
	RUN(what_a_dead_process_left_mounted_is_not_removed_through_the_mount);
	RUN(what_is_shown_to_people_goes_only_by_who_can_clear_it_away);
	RUN(a_moment_is_asked_for_and_a_refusal_has_its_number);
	RUN(what_cannot_be_made_is_said_and_leaves_nothing);
	if (geteuid() == 0)
		RUN(the_cluster_s_owner_does_not_get_files_of_the_root_that_keeps_it);
	else
		SKIP("the cluster's owner does not get files of the root that keeps it",
		     "this is not root");
	return tap_done();
}
