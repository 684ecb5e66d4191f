/* Events: what happened to clusters, kept for 14 days. */
#pragma once

#include "rds/record.h"

#define EVENTS_KEPT_US (INT64_C(14) * 24 * 3600 * 1000000)

/* One of the API's categories for clusters: "creation", "deletion", "notification", "failure",
 * "failover", "maintenance", "configuration change", "backtrack". */
struct event {
	const struct record *record;
	const char *category;
	const char *message;
};

/* Within a change of the state. */
int event_put(sqlite3 *db, const struct event *event);
/* By itself; a failure is logged. */
void event_tell(struct state *state, const struct record *record, const char *category,
		const char *format, ...) __attribute__((format(printf, 4, 5)));

struct rds;
/* DescribeEvents */
int events_describe(void *userdata, struct aws_call *call, json_t **ret);
