/*
 * RDS driver: the RDS layer without a front door, for the tests that kill it.
 *
 *	rds_driver STATE.DB
 *
 * Reads one {"operation": ..., "input": {...}} per line, and answers each with {"answer": ...} or
 * {"fault": CODE, "message": ...}.  "Jobs" lists the jobs.  As unspill, it starts itself anew as a
 * keeper.
 */
#include "aws/handle.h"
#include "base/clock.h"
#include "jobs/jobs.h"
#include "keeper/keeper.h"
#include "rds/rds.h"

#include <stdio.h>
#include <string.h>

static struct rds *rds;

static int keep(int argc, char **argv)
{
	struct keeper_options options = {0};

	for (int i = 2; i < argc - 1; i++) {
		options.guardian |= !strcmp(argv[i], "--guardian");
		options.no_server |= !strcmp(argv[i], "--no-server");
	}
	return keeper_run(argv[argc - 1], &options);
}

static int handle(struct aws_call *call, const char *operation, json_t **ret)
{
	const struct aws_answers *answers = rds_answers(rds);

	call->service = aws_service_find("rds");
	call->operation = aws_operation_find(call->service, operation, strlen(operation));
	for (const struct aws_handler *handler = answers->handlers; handler->operation; handler++)
		if (!strcmp(handler->operation, operation))
			return aws_handle(handler, answers->userdata, call, ret);
	return aws_fault(call, "InvalidAction", "no %s here", operation);
}

static json_t *ask(const char *operation, json_t *input)
{
	struct aws_call call = {.region = "us-east-1",
				.now_us = clock_realtime_us(),
				.caller = {.account = "123456789012"},
				.input = input};
	json_t *answer = NULL;
	int r;

	if (!strcmp(operation, "Jobs"))
		r = jobs_list(rds_jobs(rds), NULL, 100, &answer);
	else
		r = handle(&call, operation, &answer);
	if (r == 0)
		return json_pack("{s:o}", "answer", answer ? answer : json_object());
	return json_pack("{s:s, s:s, s:i}", "fault",
			 r == AWS_FAULT ? call.fault.code : "InternalFailure", "message",
			 call.fault.message, "r", r);
}

static void answer_line(const char *line)
{
	json_t *request = json_loads(line, 0, NULL);
	const char *operation = json_string_value(json_object_get(request, "operation"));
	json_t *answer = ask(operation ? operation : "", json_object_get(request, "input"));

	json_dumpf(answer, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(answer);
	json_decref(request);
}

int main(int argc, char **argv)
{
	static const struct state_part *const parts[] = {&jobs_state_part, &rds_state_part, NULL};
	struct rds_options options = {.account = "123456789012", .region = "us-east-1"};
	struct problem why = {""};
	static char line[1 << 16];

	if (argc > 2 && !strcmp(argv[1], "keep"))
		return keep(argc, argv);
	if (argc != 2 || state_open(argv[1], parts, &options.state, &why) < 0) {
		fprintf(stderr, "rds_driver: %s\n", why.text);
		return 1;
	}
	rds_new(&options, &rds);
	if (rds_start(rds, &why) < 0) {
		fprintf(stderr, "rds_driver: %s\n", why.text);
		return 1;
	}
	while (fgets(line, sizeof line, stdin))
		answer_line(line);
	rds_stop(rds);
	state_close(options.state);
	return 0;
}
