/*
 * CreateDBCluster, and the job that makes one.
 *
 *	make     the directory, the volume, cluster.json
 *	fill     a keeper, which stays whatever becomes of us, makes the database
 *	master   the user, and the first database, that were asked for
 *
 * Killed at any instant, it goes on there; when it cannot be finished, all is taken away again.
 */
#include "rds/internal.h"

#include "aws/tags.h"
#include "base/alloc.h"
#include "keeper/cluster.h"
#include "rds/engines.h"
#include "rds/life.h"
#include "rds/master.h"
#include "rds/wanted.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* --- What is asked for ------------------------------------------------------------------------ */

struct asked {
	char name[CLUSTER_NAME_MAX + 1];
	const struct engine *engine;
	char verifier[MASTER_VERIFIER_SIZE];
	struct record record;
};

/* As Amazon's identifiers are: they are kept in small letters. */
static int take_name(struct aws_call *call, struct asked *asked)
{
	const char *given = rds_text(call, "DBClusterIdentifier");
	size_t size = strlen(given);
	bool good = isalpha((unsigned char)given[0]) && size <= CLUSTER_NAME_MAX &&
		    given[size - 1] != '-' && !strstr(given, "--");

	for (size_t i = 0; good && i < size; i++) {
		good = isalnum((unsigned char)given[i]) || given[i] == '-';
		asked->name[i] = (char)tolower((unsigned char)given[i]);
	}
	if (good)
		return 0;
	return aws_fault(call, "InvalidParameterValue",
			 "The parameter DBClusterIdentifier is not a valid identifier. Identifiers "
			 "must begin with a letter; must contain only ASCII letters, digits, and "
			 "hyphens; and must not end with a hyphen or contain two consecutive "
			 "hyphens.");
}

/* One that we have: the version of the program, or the beginning of it. */
static int check_version(struct aws_call *call, const struct engine *engine)
{
	const char *wanted = rds_text(call, "EngineVersion");
	size_t size = wanted ? strlen(wanted) : 0;
	char version[64];

	engines_version(engine->name, version);
	if (!wanted ||
	    (!strncmp(version, wanted, size) && (!version[size] || version[size] == '.')))
		return 0;
	return aws_fault(call, "InvalidParameterCombination",
			 "Cannot find version %.60s for %.60s; there is %s", wanted,
			 rds_text(call, "Engine"), version[0] ? version : "none installed");
}

static int take_engine(struct aws_call *call, struct asked *asked)
{
	const char *name = rds_text(call, "Engine"), *names;
	struct problem why = {""};
	char version[128];

	asked->engine = engines_find(name, &names);
	if (!asked->engine)
		return aws_fault(call, "InvalidParameterValue",
				 "Invalid DB engine: %.60s. There are: %s", name, names);
	if (asked->engine->check(version, &why) < 0)
		return aws_fault(call, "InvalidParameterValue", "Invalid DB engine: %.60s. %s",
				 name, why.text);
	return check_version(call, asked->engine);
}

static int take_master(struct aws_call *call, struct asked *asked)
{
	const char *user = rds_text(call, "MasterUsername");
	const char *password = rds_text(call, "MasterUserPassword");
	const char *database = rds_text(call, "DatabaseName");
	const char *wrong;
	struct problem why = {""};

	if (!user || !password)
		return aws_fault(call, "InvalidParameterCombination",
				 "The parameter %s must be provided and must not be blank.",
				 user ? "MasterUserPassword" : "MasterUsername");
	wrong = master_check_name(asked->engine, user);
	if (!wrong)
		wrong = master_check_password(password);
	if (!wrong && database)
		wrong = master_check_database(database);
	if (wrong)
		return aws_fault(call, "InvalidParameterValue", "%s", wrong);
	return master_verifier(asked->engine, password, asked->verifier, &why);
}

static int check_call(struct aws_call *call, struct asked *asked)
{
	int r;

	r = take_name(call, asked);
	if (r == 0)
		r = take_engine(call, asked);
	if (r == 0)
		r = wanted_check(call);
	if (r == 0)
		r = take_master(call, asked);
	if (r == 0)
		r = aws_tags_check(call, &rds_tag_rules, json_object_get(call->input, "Tags"));
	return r;
}

bool rds_is_taken(const char *name)
{
	char entry[PATH_MAX];

	return cluster_entry(name, false, entry, NULL) == 0 && access(entry, F_OK) == 0;
}

static int already_exists(struct aws_call *call, const char *name)
{
	return aws_fault(call, "DBClusterAlreadyExistsFault",
			 "DB Cluster already exists: this machine has a cluster '%s'.", name);
}

static int put_record(sqlite3 *db, int64_t id, void *arg)
{
	return record_put(db, arg);
}

static void fill_record(const struct aws_call *call, struct asked *asked)
{
	const json_t *tags = json_object_get(call->input, "Tags");
	struct record *record = &asked->record;

	memcpy(record->name, asked->name, sizeof record->name);
	snprintf(record->account, sizeof record->account, "%s", call->caller.account);
	snprintf(record->region, sizeof record->region, "%s", call->region);
	record_new_resource_id(record->resource_id);
	record->settings = wanted_settings(call);
	/* They are not too many: that has been checked. */
	aws_tags_merge(&rds_tag_rules, NULL, tags, &record->tags);
}

static json_t *job_input(const struct aws_call *call, const struct asked *asked)
{
	const char *database = rds_text(call, "DatabaseName");

	return json_pack("{s:s, s:I, s:I, s:s, s:s, s:s}", "engine", asked->engine->name,
			 "window_s",
			 json_integer_value(json_object_get(call->input, "BacktrackWindow")),
			 "port", json_integer_value(json_object_get(call->input, "Port")), "master",
			 rds_text(call, "MasterUsername"), "verifier", asked->verifier, "database",
			 database ? database : "");
}

static int begin(struct rds *rds, struct aws_call *call, struct asked *asked)
{
	json_t *input = job_input(call, asked);
	const struct job_new new = {"create", asked->name, input, put_record, &asked->record};
	struct problem why = {""};
	char now[DOING_SIZE];
	int r;

	r = rds_is_taken(asked->name) ? -EEXIST
				      : fleet_begin(rds->fleet, asked->name, "creating", true, now);
	if (r == 0) {
		r = jobs_add(rds->jobs, &new, NULL, &why);
		if (r < 0)
			fleet_end(rds->fleet, asked->name);
		else
			r = fleet_reload(rds->fleet, asked->name);
	}
	json_decref(input);
	return r == -EEXIST ? already_exists(call, asked->name) : r;
}

int create_cluster(void *userdata, struct aws_call *call, json_t **ret)
{
	CLEANUP(seen) struct seen seen = {.doing = "creating"};
	struct asked asked = {.name = ""};
	int r = check_call(call, &asked);

	if (r < 0)
		return r;
	fill_record(call, &asked);
	seen.record = asked.record; /* which goes with it */
	seen.port = (int)json_integer_value(json_object_get(call->input, "Port"));
	engines_version(asked.engine->name, seen.version);
	r = begin(userdata, call, &asked);
	if (r == 0)
		*ret = rds_show(&seen, seen.doing);
	return r;
}

/* Unchecked. */
int create_touch(void *userdata, struct aws_call *call, struct aws_touched *ret)
{
	const char *name = rds_text(call, "DBClusterIdentifier");
	const json_t *tags = json_object_get(call->input, "Tags");

	aws_touch(ret, json_is_array(tags) ? aws_tags_object(tags) : NULL,
		  "arn:aws:rds:%s:%s:cluster:%.300s", call->region, call->caller.account,
		  name ? name : "*");
	return 0;
}

/* --- make ------------------------------------------------------------------------------------- */

static const char *text(const struct job *job, const char *name)
{
	return json_string_value(json_object_get(job->input, name));
}

static int64_t number(const struct job *job, const char *name)
{
	return json_integer_value(json_object_get(job->input, name));
}

/* They borrow from the job. */
static const char **server_options_of(const struct job *job)
{
	const json_t *all = json_object_get(job->input, "server_options");
	const char **list = xcalloc(json_array_size(all) + 1, sizeof *list);

	for (size_t i = 0; i < json_array_size(all); i++)
		list[i] = json_string_value(json_array_get(all, i));
	return list;
}

static int make(struct job *job, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	CLEANUP(free) const char **server_options = server_options_of(job);
	struct cluster_options options = {
		.name = job->subject,
		.engine = text(job, "engine"),
		.directory = text(job, "directory"),
		.bind = text(job, "bind"),
		.port = (int)number(job, "port"),
		.window_us = number(job, "window_s") * 1000000 + number(job, "window_us"),
		.server_options = server_options,
	};
	const char *transport = text(job, "transport");
	int r;

	if (transport)
		transport_parse(transport, &options.transport);
	r = cluster_make(&options, &cluster, why);
	if (r == 0)
		json_object_set_new(job->notes, "created_us", json_integer(cluster->created_us));
	return r;
}

static int run_make(void *userdata, struct job *job, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	struct rds *rds = userdata;
	int r;

	follow_tell(&rds->followers, job, "making the volume", 0, 0, "");
	if (json_is_true(json_object_get(job->notes, "begun"))) {
		if (cluster_find(job->subject, &cluster, NULL) == 0) {
			json_object_set_new(job->notes, "created_us",
					    json_integer(cluster->created_us));
			return 0;
		}
		/* It was killed before it had written cluster.json. */
		r = life_remove(job->subject, why);
		return r < 0 ? r : make(job, why);
	}
	if (rds_is_taken(job->subject))
		return problem(why, -EEXIST, "somebody else has made a cluster '%s' meanwhile",
			       job->subject);
	/* From here on, whatever is there of that name is ours to take away. */
	json_object_set_new(job->notes, "begun", json_true());
	r = job_note(job);
	return r < 0 ? problem_errno(why, r, "it cannot be recorded") : make(job, why);
}

int rds_undo_make(void *userdata, struct job *job, struct problem *why)
{
	struct rds *rds = userdata;

	if (!json_is_true(json_object_get(job->notes, "begun")) || !rds_is_taken(job->subject))
		return 0;
	follow_tell(&rds->followers, job, FOLLOW_UNDO, 0, 0, "");
	return life_remove(job->subject, why);
}

/* --- fill, master ----------------------------------------------------------------------------- */

/*
 * The keeper makes the database, or copies one, and goes on with it should we be killed: then it is
 * waited for.  (A copy that had not come to its end is begun anew.)
 */
static int ask_to_fill(struct rds *rds, struct job *job, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	const char *from = text(job, "from");
	int r;

	follow_tell(&rds->followers, job, "starting its keeper", 0, 0, "");
	r = life_spawn(job, why);
	if (r == 0)
		r = cluster_find(job->subject, &cluster, why);
	if (r < 0)
		return r;
	return keepers_ask_for(rds, job, cluster,
			       from ? json_pack("{s:s, s:s}", "do", "import", "from", from)
				    : json_pack("{s:s}", "do", "create"),
			       NULL, why);
}

static int run_fill(void *userdata, struct job *job, struct problem *why)
{
	int r;

	do
		r = ask_to_fill(userdata, job, why);
	while (r == -EBUSY && (r = life_wait(job, why)) == 0);
	/* There is a database already: an earlier attempt came that far. */
	return r == -EEXIST ? life_bring_up(job, why) : r;
}

static int run_master(void *userdata, struct job *job, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	const char *database = text(job, "database");
	int r;

	if (!text(job, "master")) /* the command line's clusters have none */
		return 0;
	r = life_bring_up(job, why);
	if (r == 0)
		r = cluster_find(job->subject, &cluster, why);
	if (r == 0)
		r = master_make(cluster, text(job, "master"), text(job, "verifier"), why);
	if (r == 0 && database[0])
		r = master_make_database(cluster, database, text(job, "master"), why);
	return r;
}

/* --- The end ---------------------------------------------------------------------------------- */

int rds_end_make(void *userdata, struct job *job, enum job_state state, const struct problem *why,
		 sqlite3 *db)
{
	CLEANUP(record) struct record record = {0};
	char message[512];
	struct event event = {&record, "creation", "DB cluster created."};
	int r = record_get(db, job->subject, &record);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (state != JOB_DONE) {
		snprintf(message, sizeof message, "DB cluster could not be created: %.400s",
			 why->text);
		event = (struct event){&record, "failure", message};
		r = record_drop(db, job->subject);
		return r < 0 ? r : event_put(db, &event);
	}
	record.created_us = json_integer_value(json_object_get(job->notes, "created_us"));
	r = record_put(db, &record);
	return r < 0 ? r : event_put(db, &event);
}

static const struct job_step steps[] = {
	{"make", run_make, rds_undo_make},
	{"fill", run_fill},
	{"master", run_master},
	{NULL},
};

const struct job_kind create_kind = {.name = "create",
				     .steps = steps,
				     .resume = true,
				     .cancellable = true,
				     .secret = "verifier",
				     .end = rds_end_make,
				     .ended = rds_job_ended};
