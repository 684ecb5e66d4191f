#include "cmd/visit.h"

#include "base/alloc.h"
#include "engine/place.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Negative when it cannot be told. */
static int64_t count_changes(const struct visit *visit)
{
	const struct engine *engine = past_engine(visit->past);

	return engine->changes ? engine->changes(past_place(visit->past)) : -EOPNOTSUPP;
}

int visit_open(struct visit *ret, const struct typed *typed)
{
	const char *text = typed_value(typed, "at");
	struct problem why = {""};
	int64_t asked_us;
	json_t *at;
	int ending, r;

	*ret = (struct visit){0};
	ending = moment_parse(typed, "--at", text ? text : "now", &at, &asked_us);
	if (ending != END_OK)
		return ending;
	ending = talk_open(&ret->talk, typed, TALK_ANY);
	if (ending == END_OK) {
		r = past_open(ret->talk.cluster, at, &ret->past, &why);
		if (r < 0)
			ending = fail_why(typed, r, &why);
		else
			ret->changes = count_changes(ret);
	}
	json_decref(at);
	return ending;
}

void visit_close(struct visit *visit)
{
	past_close(take(visit->past));
	talk_close(&visit->talk);
}

void visit_note_changes(struct visit *visit)
{
	int64_t changes = count_changes(visit);

	if (visit->changes >= 0 && changes > visit->changes)
		note("This changed the throw-away copy; it changed nothing in %s.",
		     visit->talk.cluster->name);
}

/* --- The engine's client ---------------------------------------------------------------------- */

static size_t count_words(char *const *words)
{
	size_t count = 0;

	while (words && words[count])
		count++;
	return count;
}

char **client_arguments(const struct engine *engine, const struct engine_place *place,
			const char *sql, char *const *rest)
{
	CLEANUP(free) char **program = engine->shell(place);
	size_t count = count_words(program), more = count_words(rest), used = 0;
	CLEANUP(free) char **words = xcalloc(count + more + 3, sizeof *words);

	for (size_t i = 0; i < count; i++)
		words[used++] = program[i];
	if (sql && engine->execute)
		words[used++] = (char *)engine->execute;
	if (sql)
		words[used++] = (char *)sql;
	for (size_t i = 0; i < more; i++)
		words[used++] = rest[i];
	return place_argv((const char *const *)words);
}

/* Where the client has no option for it, it is what the client reads; -1: it reads what we would.
 */
static int open_input(const struct engine *engine, const char **sql)
{
	int fd;

	if (!*sql || engine->execute)
		return -1;
	fd = memfd_create("unspill-query", MFD_CLOEXEC);
	if (fd < 0 || dprintf(fd, "%s\n", *sql) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	*sql = NULL;
	return fd;
}

/* It does not outlive us: what it is connected to does not, either. */
static void become_client(char **argv, int input, pid_t parent)
{
	if (input >= 0 && dup2(input, 0) < 0)
		_exit(127);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(127);
	execvp(argv[0], argv);
	_exit(127);
}

static int exit_code(const struct typed *typed, int status, const char *program)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return fail(typed, END_MACHINE, "cannot run '%s'", program);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int visit_run_client(struct visit *visit, const char *sql, char *const *rest)
{
	CLEANUP(fd) int input = open_input(past_engine(visit->past), &sql);
	CLEANUP(free)
	char **argv =
		client_arguments(past_engine(visit->past), past_place(visit->past), sql, rest);
	pid_t parent = getpid(), pid;
	int status = 0;

	fflush(stdout);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	pid = fork();
	if (pid == 0)
		become_client(argv, input, parent);
	if (pid < 0)
		return fail(visit->talk.typed, END_MACHINE, "cannot start '%s': %s", argv[0],
			    strerror(errno));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return exit_code(visit->talk.typed, status, argv[0]);
}
