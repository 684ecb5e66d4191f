/* unspill serve */
#include "cmd/commands.h"
#include "cmd/say.h"
#include "control/cluster.h"
#include "serve/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct serving {
	const struct typed *typed;
	bool background;
	int ready_fd; /* in the background: the parent waits for a byte from it */
};

/* --- What is told once ------------------------------------------------------------------------ */

static void tell_first(FILE *out, const char *url, const char *region,
		       const struct identity_first *first)
{
	fprintf(out,
		"This is the first start. Account %s has been made, and an access key for its "
		"root.\nThe secret is shown this once:\n\n"
		"    aws configure set aws_access_key_id %s --profile unspill\n"
		"    aws configure set aws_secret_access_key %s --profile unspill\n"
		"    aws configure set region %s --profile unspill\n\n"
		"    aws --profile unspill --endpoint-url %s sts get-caller-identity\n\n",
		first->account, first->access_key_id, first->secret, region, url);
}

/* Standard output goes to the journal, which is a log: no place for a secret. */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;

	return stream && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 &&
	       fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static void tell_first_in_file(const char *url, const char *region,
			       const struct identity_first *first)
{
	char path[PATH_MAX];
	struct problem why;
	FILE *out;
	int fd;

	if (cluster_serve_path("root-access-key", path, &why) < 0)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!out) {
		note("the first access key could not be written to '%s': %s", path,
		     strerror(errno));
		return;
	}
	tell_first(out, url, region, first);
	fclose(out);
	note("the first access key is in '%s'; take it, and remove the file", path);
}

/* --- In the background ------------------------------------------------------------------------ */

static void open_log(void *arg)
{
	const struct serving *serving = arg;
	char path[PATH_MAX];
	int fd;

	if (!serving->background || cluster_serve_path("serve.log", path, NULL) < 0)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static void on_ready(const char *url, const char *region, const struct identity_first *first,
		     void *arg)
{
	struct serving *serving = arg;

	if (first && is_journal(STDOUT_FILENO))
		tell_first_in_file(url, region, first);
	else if (first)
		tell_first(stdout, url, region, first);
	printf("serving on %s\n", url);
	fflush(stdout);
	if (!serving->background)
		return;
	open_log(serving);
	if (write(serving->ready_fd, "", 1) == 1)
		close(serving->ready_fd);
}

static int run_here(struct serving *serving)
{
	const struct typed *typed = serving->typed;
	const struct serve_options options = {
		.listen = typed_value(typed, "listen"),
		.tls_certificate = typed_value(typed, "tls-certificate"),
		.tls_key = typed_value(typed, "tls-key"),
		.region = typed_value(typed, "region"),
		.test_reset = typed_switch(typed, "test-reset"),
		.ready = on_ready,
		.reopen_log = open_log,
		.arg = serving,
	};
	struct problem why;
	int r = serve_run(&options, &why);

	if (r == -EINVAL)
		return fail(typed, END_USAGE, "%s", why.text);
	return r < 0 ? fail_why(typed, r, &why) : END_OK;
}

/* A session of its own; what it has to say until it is ready, it says here. */
static int run_in_background(struct serving *serving)
{
	int fds[2], null, status;
	char byte;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return fail(serving->typed, END_FAILED, "cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return fail(serving->typed, END_FAILED, "cannot fork: %s", strerror(errno));
	if (pid > 0) {
		close(fds[1]);
		if (read(fds[0], &byte, 1) == 1)
			return END_OK;
		/* It has ended, and has said why. */
		return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status)
									    : END_FAILED;
	}
	setsid();
	close(fds[0]);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	dup2(null, STDIN_FILENO);
	close(null);
	serving->ready_fd = fds[1];
	return run_here(serving);
}

static void print_operation(const char *service, const char *operation, void *arg)
{
	printf("%s:%s\n", service, operation);
}

static int run(const struct typed *typed)
{
	struct serving serving = {.typed = typed, .background = typed_switch(typed, "background")};

	if (typed_switch(typed, "operations")) {
		serve_operations(print_operation, NULL);
		return END_OK;
	}
	return serving.background ? run_in_background(&serving) : run_here(&serving);
}

const struct command command_serve = {
	.name = "serve",
	.summary = "Answer AWS clients: RDS, IAM, STS for this machine's clusters",
	.options =
		{
			{"listen", .argument = "ADDRESS:PORT",
			 .text = "Where to listen; 127.0.0.1:4580 if not said. Another address "
				 "than "
				 "this machine's own loopback takes TLS."},
			{"tls-certificate", .argument = "FILE",
			 .text = "The certificate and what leads to its issuer, PEM."},
			{"tls-key", .argument = "FILE", .text = "Its private key, PEM."},
			{"region", .argument = "NAME",
			 .text = "The region of clusters that were not made through serve; "
				 "us-east-1 if not said."},
			{"background",
			 .text = "Return once requests are answered; the log goes to serve.log."},
			{"operations", .text = "Only list the operations that are answered, one "
					       "per line, such as "
					       "rds:BacktrackDBCluster."},
			{"test-reset",
			 .text = "For test suites, on loopback only: an unsigned POST to "
				 "/moto-api/reset forgets everything that was made since the "
				 "start, "
				 "any signature of access key FOOBARKEY is that of account "
				 "123456789012, and of a key of 12 digits that of this account."},
		},
	.text = "The stock 'aws' command line, the SDKs and Terraform drive the clusters of this "
		"machine with nothing but --endpoint-url. The first start makes an account and "
		"shows an access key for its root, once.\n\n"
		"Keepers and database servers are processes of their own: they go on when serve "
		"ends, and a restart touches none of them. What was under way is taken up "
		"again.\n\n"
		"Settings are in $UNSPILL_HOME/.serve/serve.json, a JSON object; what is said on "
		"the "
		"command line goes before them:\n\n"
		"  listen, tls_certificate, tls_key, region   as the options\n"
		"  connections_max                            4096\n"
		"  per_address_max                            256; not on loopback\n"
		"  requests_per_second                        50000; of one access key\n"
		"  log_requests                               true\n\n"
		"SIGTERM answers the requests that have begun, and ends. SIGHUP reads the "
		"settings, "
		"the certificate and its key again, and opens serve.log anew. GET /health is "
		"answered "
		"without a signature. On $UNSPILL_HOME/.serve/http.sock, which only root and the "
		"owner "
		"can open, requests are root's and need none either.",
	.examples =
		{
			{"serve", "In the foreground, for this machine."},
			{"serve --listen 0.0.0.0:443 --tls-certificate c.pem --tls-key k.pem",
			 "For others, too."},
		},
	.endings = 1 << END_BUSY | 1 << END_TAKEN | 1 << END_DAMAGED,
	.run = run,
};
