#include "rds/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdarg.h>
#include <string.h>

#define DEFAULT_US (INT64_C(3600) * 1000000)

/* --- Telling ---------------------------------------------------------------------------------- */

int event_put(sqlite3 *db, const struct event *event)
{
	const struct record *record = event->record;
	int64_t now_us = clock_realtime_us();
	int r;

	r = state_run(db, "DELETE FROM rds_event WHERE time_us < ?", "i", now_us - EVENTS_KEPT_US);
	if (r < 0)
		return r;
	return state_run(db,
			 "INSERT INTO rds_event"
			 " (time_us, account, region, source, categories, message)"
			 " VALUES (?, ?, ?, ?, ?, ?)",
			 "isssss", now_us, record->account, record->region, record->name,
			 event->category, event->message);
}

static int put(sqlite3 *db, void *arg)
{
	return event_put(db, arg);
}

void event_tell(struct state *state, const struct record *record, const char *category,
		const char *format, ...)
{
	char message[512];
	struct event event = {record, category, message};
	va_list args;
	int r;

	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	r = state_write(state, put, &event);
	if (r < 0)
		log_errno(r, "rds: an event of '%s' is lost (%s)", record->name, message);
}

/* --- DescribeEvents --------------------------------------------------------------------------- */

struct asking {
	const struct aws_call *call;
	int64_t since_us, until_us;
	const char *source;
	json_t *categories, *list;
};

static bool is_wanted(const struct asking *asking, const char *category)
{
	json_t *value;
	size_t i;

	if (!json_array_size(asking->categories))
		return true;
	json_array_foreach (asking->categories, i, value)
		if (!strcmp(json_string_value(value), category))
			return true;
	return false;
}

static json_t *show_event(const struct asking *asking, sqlite3_stmt *row)
{
	struct record record = {{0}};
	char arn[AWS_ARN_SIZE];

	snprintf(record.name, sizeof record.name, "%s", (const char *)sqlite3_column_text(row, 1));
	snprintf(record.account, sizeof record.account, "%s", asking->call->caller.account);
	snprintf(record.region, sizeof record.region, "%s", asking->call->region);
	show_arn(&record, arn);
	return json_pack("{s:s, s:s, s:s, s:[s], s:f, s:s, s:s}", "SourceIdentifier", record.name,
			 "SourceType", "db-cluster", "Message",
			 (const char *)sqlite3_column_text(row, 3), "EventCategories",
			 (const char *)sqlite3_column_text(row, 2), "Date",
			 (double)sqlite3_column_int64(row, 0) / 1e6, "SourceArn", arn, ".mark",
			 (const char *)sqlite3_column_text(row, 4));
}

static int read_events(sqlite3 *db, void *arg)
{
	struct asking *asking = arg;
	sqlite3_stmt *row = NULL;
	int r;

	r = state_prepare(db,
			  "SELECT time_us, source, categories, message, printf('%020d', id)"
			  " FROM rds_event WHERE time_us >= ? AND time_us < ? AND account = ?"
			  " AND region = ? AND (?5 IS NULL OR source = ?5) ORDER BY id",
			  &row, "iisss", asking->since_us, asking->until_us,
			  asking->call->caller.account, asking->call->region, asking->source);
	while (r >= 0 && (r = state_step(row)) > 0)
		if (is_wanted(asking, (const char *)sqlite3_column_text(row, 2)))
			json_array_append_new(asking->list, show_event(asking, row));
	state_done(row);
	return r;
}

static int64_t time_at(const struct aws_call *call, const char *name, int64_t otherwise)
{
	const json_t *value = json_object_get(call->input, name);

	return value ? (int64_t)(json_number_value(value) * 1e6) : otherwise;
}

/* As at Amazon: without a beginning, the last hour, or `Duration` minutes. */
static int choose_time(struct aws_call *call, struct asking *asking)
{
	const json_t *duration = json_object_get(call->input, "Duration");
	int64_t length_us = duration ? json_integer_value(duration) * 60 * 1000000 : DEFAULT_US;

	if (duration && (length_us < 0 || length_us > EVENTS_KEPT_US))
		return aws_fault(call, "InvalidParameterValue",
				 "Duration must be between 0 and 20160 minutes.");
	asking->until_us = time_at(call, "EndTime", call->now_us + 1000000);
	asking->since_us = time_at(call, "StartTime", asking->until_us - length_us);
	if (!json_object_get(call->input, "EndTime") && duration &&
	    json_object_get(call->input, "StartTime"))
		asking->until_us = asking->since_us + length_us;
	if (asking->since_us > asking->until_us)
		return aws_fault(call, "InvalidParameterCombination",
				 "The end time must be after the start time.");
	return 0;
}

int events_describe(void *userdata, struct aws_call *call, json_t **ret)
{
	struct rds *rds = userdata;
	struct asking asking = {.call = call,
				.source = rds_text(call, "SourceIdentifier"),
				.categories = json_object_get(call->input, "EventCategories")};
	const char *type = rds_text(call, "SourceType");
	int r;

	if (asking.source && !type)
		return aws_fault(call, "InvalidParameterCombination",
				 "SourceType must be specified when SourceIdentifier is.");
	r = choose_time(call, &asking);
	if (r < 0)
		return r;
	asking.list = json_array();
	/* What there is nothing of, nothing happens to. */
	if (!type || !strcmp(type, "db-cluster"))
		r = state_read(rds->state, read_events, &asking);
	if (r < 0) {
		json_decref(asking.list);
		return r;
	}
	*ret = json_pack("{s:o}", "Events", asking.list);
	return 0;
}
