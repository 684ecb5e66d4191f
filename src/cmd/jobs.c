/* unspill jobs */
#include "cmd/commands.h"
#include "cmd/say.h"
#include "base/timetext.h"
#include "base/units.h"
#include "control/cluster.h"
#include "control/control.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int connect_serve(const struct typed *typed, struct control **ret)
{
	struct problem why = {""};
	char path[PATH_MAX];
	int r = cluster_serve_path("control.sock", path, &why);

	if (r == 0)
		r = control_connect(path, ret, &why);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return fail(typed, END_FAILED,
			    "no 'unspill serve' runs here, and jobs are what it does; without it "
			    "each command does its own work");
	return r < 0 ? fail_why(typed, r, &why) : END_OK;
}

/* Ending; `request` is stolen. */
static int ask_serve(const struct typed *typed, json_t *request, json_t **ret)
{
	CLEANUP(control) struct control *control = NULL;
	struct control_error code = {""};
	struct problem why = {""};
	int ending = connect_serve(typed, &control), r = 0;

	if (ending == END_OK)
		r = control_call(control, request, NULL, NULL, ret, &code, &why);
	json_decref(request);
	if (ending != END_OK || r == 0)
		return ending;
	return fail(typed,
		    !strcmp(code.code, "not-found") ? END_NOT_FOUND
		    : !strcmp(code.code, "busy")    ? END_BUSY
						    : END_FAILED,
		    "%s", why.text);
}

static void print_job(const json_t *job, bool utc)
{
	int64_t asked = json_number(job, "created_us"), ended = json_number(job, "ended_us");
	char time[TIME_TEXT_MAX], took[UNITS_TEXT_MAX] = "";

	time_format(asked, utc, time);
	if (ended)
		elapsed_format(ended - asked, took);
	printf("%s%lld%s  %s of %s, asked for at %s\n", style(stdout, BOLD),
	       (long long)json_number(job, "id"), style(stdout, PLAIN), json_text(job, "kind"),
	       json_text(job, "subject"), time);
	printf("   %s%s%s%s%s\n", json_text(job, "state"),
	       ended                     ? " after "
	       : *json_text(job, "step") ? ", at the step "
					 : "",
	       ended ? took : json_text(job, "step"), *json_text(job, "error") ? ": " : "",
	       json_text(job, "error"));
}

static int list(const struct typed *typed)
{
	json_t *result = NULL, *jobs, *job;
	size_t i;
	int ending = ask_serve(typed, json_pack("{s:s}", "do", "jobs"), &result);

	if (ending != END_OK)
		return ending;
	if (typed_switch(typed, "json"))
		return print_json(typed, result);
	json_clean(result);
	jobs = json_object_get(result, "jobs");
	json_array_foreach (jobs, i, job)
		print_job(job, typed_switch(typed, "utc"));
	if (!json_array_size(jobs))
		note("There has been no job yet.");
	json_decref(result);
	return END_OK;
}

static int cancel(const struct typed *typed, const char *text)
{
	json_t *result = NULL;
	long long number;
	char *end;
	int ending;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || number < 1)
		return fail(typed, END_USAGE, "--cancel: '%.60s' is not the number of a job", text);
	ending = ask_serve(
		typed, json_pack("{s:s, s:I}", "do", "cancel", "job", (json_int_t)number), &result);
	json_decref(result);
	if (ending == END_OK)
		printf("job %lld is told to end, and to take back what it did\n", number);
	return ending;
}

static int run(const struct typed *typed)
{
	const char *number = typed_value(typed, "cancel");

	return number ? cancel(typed, number) : list(typed);
}

const struct command command_jobs = {
	.name = "jobs",
	.summary = "Show what 'unspill serve' has done, and is at",
	.options =
		{
			{"cancel", .argument = "N",
			 .text = "End the job of that number, and take back what it did. Creating, "
				 "cloning, modifying, starting and stopping can be cancelled; a "
				 "backtrack "
				 "and a deletion cannot."},
			OPTION_JSON("the jobs"),
			OPTION_UTC,
		},
	.text = "What takes longer than an answer, serve does as a job: it is recorded before "
		"anything is done for it, and goes on, or is taken back, when serve was killed "
		"meanwhile. Newest first.",
	.examples = {{"jobs", "What is going on?"},
		     {"jobs --cancel 7", "The cluster being created is not wanted after all."}},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY,
	.run = run,
};
