/*
 * Goal: the clusters of the machine are shown as they are, whoever made them, and what cannot be
 * done is refused with the service's own words before anything is done.
 *
 * Method: a directory of clusters made by hand, most without a keeper, one with a keeper that is
 * none; calls as they come from the front door, which has let them in.  What real clusters do is
 * tests/e2e/jobs_test.py's.
 */
#include "tap.h"

#include "aws/check.h"
#include "aws/handle.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/cluster.h"
#include "control/server.h"
#include "engine/engine.h"
#include "jobs/jobs.h"
#include "rds/engines.h"
#include "rds/master.h"
#include "rds/rds.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ACCOUNT "123456789012"
#define ARN "arn:aws:rds:us-east-1:" ACCOUNT ":cluster:"

static char home[64];
static struct state *state;
static struct rds *rds;
static struct problem why;
static char code[128], message[2048]; /* of the last fault */

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(name);
}

/* --- The bed ---------------------------------------------------------------------------------- */

static bool start(void)
{
	static const struct state_part *const parts[] = {&jobs_state_part, &rds_state_part, NULL};
	struct rds_options options = {.account = ACCOUNT, .region = "us-east-1"};
	char path[96];

	why.text[0] = 0;
	snprintf(path, sizeof path, "%s/.state.db", home);
	if (!check(state_open(path, parts, &state, &why) == 0, "%s", why.text))
		return false;
	options.state = state;
	rds_new(&options, &rds);
	return check(rds_start(rds, &why) == 0, "%s", why.text);
}

static void stop(void)
{
	rds_stop(take(rds));
	state_close(take(state));
}

static bool begin(void)
{
	strcpy(home, "/tmp/unspill-rds-XXXXXX");
	if (!check(mkdtemp(home)))
		return false;
	return check(setenv("UNSPILL_HOME", home, 1) == 0);
}

static void end(void)
{
	stop();
	nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A cluster as if the command line had made it; nobody looks after it. */
static bool make(const char *name, const char *engine, int64_t created_us)
{
	struct cluster cluster = {.port = 3306, .created_us = created_us, .bind = "127.0.0.1"};
	char below[128];

	snprintf(cluster.name, sizeof cluster.name, "%s", name);
	snprintf(cluster.engine, sizeof cluster.engine, "%s", engine);
	snprintf(cluster.directory, sizeof cluster.directory, "%s/%s", home, name);
	snprintf(below, sizeof below, "%s/%s/run", home, name);
	return check(mkdir(cluster.directory, 0711) == 0) && check(mkdir(below, 0711) == 0) &&
	       check(cluster_save(&cluster, &why) == 0, "%s", why.text);
}

static void unmake(const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", home, name);
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* As that account in that region; NULL after a fault. */
static json_t *ask_as(const char *account, const char *region, const char *operation, json_t *input)
{
	const struct aws_answers *answers = rds_answers(rds);
	struct aws_call call = {.now_us = clock_realtime_us(), .input = input};
	const struct aws_handler *handler = answers->handlers;
	json_t *answer = NULL;
	int r;

	snprintf(call.caller.account, sizeof call.caller.account, "%s", account);
	snprintf(call.region, sizeof call.region, "%s", region);
	while (strcmp(handler->operation, operation) != 0)
		handler++;
	call.service = aws_service_find("rds");
	call.operation = aws_operation_find(call.service, operation, strlen(operation));
	r = aws_check(&call);
	if (r == 0)
		r = aws_handle(handler, answers->userdata, &call, &answer);
	strcpy(code, r == AWS_FAULT ? call.fault.code : "");
	strcpy(message, r == AWS_FAULT ? call.fault.message : "");
	check(r == 0 || r == AWS_FAULT, "%d", r);
	json_decref(input);
	return r == 0 && !answer ? json_object() : answer;
}

static json_t *ask(const char *operation, json_t *input)
{
	return ask_as(ACCOUNT, "us-east-1", operation, input);
}

static bool faults(const char *operation, json_t *input, const char *expected, const char *words)
{
	json_t *answer = ask(operation, input);
	bool ok = check(!answer) && check(!strcmp(code, expected), "%s: %s", code, message) &&
		  check(strstr(message, words), "%s", message);

	json_decref(answer);
	return ok;
}

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value ? value : "";
}

/* Of the list of them: "a b c"; borrowed until the next. */
static const char *names_in(json_t *answer)
{
	static char names[4096];
	json_t *one;
	size_t i;

	names[0] = 0;
	json_array_foreach (json_object_get(answer, "DBClusters"), i, one) {
		strcat(names, *names ? " " : "");
		strcat(names, text(one, "DBClusterIdentifier"));
	}
	json_decref(answer);
	return names;
}

static json_t *one_cluster(const char *name)
{
	json_t *answer = ask("DescribeDBClusters", json_pack("{s:s}", "DBClusterIdentifier", name));
	json_t *cluster = json_incref(json_array_get(json_object_get(answer, "DBClusters"), 0));

	json_decref(answer);
	return cluster;
}

/* Until the cluster's member has that value. */
static bool comes_to_be(const char *name, const char *member, const char *value)
{
	int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
	bool is = false;

	while (!is && clock_monotonic_us() < deadline_us) {
		json_t *cluster = one_cluster(name);

		is = !strcmp(text(cluster, member), value);
		json_decref(cluster);
		if (!is)
			poll(NULL, 0, 10);
	}
	return is;
}

/* --- What there is ---------------------------------------------------------------------------- */

static void clusters_are_listed_by_name_whoever_made_them(void)
{
	require(begin());
	make("shop", "mariadb", 1700000000000000);
	make("blog", "postgresql", 1700000001000000);
	make("notes", "sqlite", 1);
	require(start());
	check(!strcmp(names_in(ask("DescribeDBClusters", json_object())), "blog shop"));
	json_t *shop = one_cluster("SHOP");
	check(!strcmp(text(shop, "DBClusterArn"), ARN "shop"));
	check(!strcmp(text(shop, "Engine"), "mariadb"));
	check(json_integer_value(json_object_get(shop, "Port")) == 3306);
	check(json_number_value(json_object_get(shop, "ClusterCreateTime")) == 1700000000.0);
	check(!json_object_get(shop, "EarliestBacktrackTime"), "nobody knows");
	json_decref(shop);
	check(comes_to_be("shop", "Status", "stopped"));
	check(comes_to_be("blog", "Engine", "postgres"));
	end();
}

static void another_account_or_region_sees_none_of_them(void)
{
	require(begin());
	make("shop", "mariadb", 1);
	require(start());
	check(!*names_in(ask_as("999999999999", "us-east-1", "DescribeDBClusters", json_object())));
	check(!*names_in(ask_as(ACCOUNT, "eu-west-1", "DescribeDBClusters", json_object())));
	json_decref(ask_as(ACCOUNT, "eu-west-1", "StopDBCluster",
			   json_pack("{s:s}", "DBClusterIdentifier", "shop")));
	check(!strcmp(code, "DBClusterNotFoundFault"), "%s", code);
	faults("DescribeDBClusters", json_pack("{s:s}", "DBClusterIdentifier", "nope"),
	       "DBClusterNotFoundFault", "nope");
	end();
}

static void who_a_cluster_is_survives_a_restart_but_not_its_being_made_anew(void)
{
	char before[64];
	json_t *shop;

	require(begin());
	make("shop", "mariadb", 1);
	require(start());
	shop = one_cluster("shop");
	snprintf(before, sizeof before, "%s", text(shop, "DbClusterResourceId"));
	json_decref(shop);
	check(!strncmp(before, "cluster-", 8) && strlen(before) == 34, "%s", before);
	stop();
	require(start());
	shop = one_cluster("shop");
	check(!strcmp(before, text(shop, "DbClusterResourceId")));
	json_decref(shop);
	stop();
	unmake("shop");
	make("shop", "mariadb", 2);
	require(start());
	shop = one_cluster("shop");
	check(strcmp(before, text(shop, "DbClusterResourceId")) != 0);
	json_decref(shop);
	stop();
	unmake("shop");
	require(start());
	check(!*names_in(ask("DescribeDBClusters", json_object())));
	json_t *events = ask("DescribeEvents", json_object());
	check(json_array_size(json_object_get(events, "Events")) == 1);
	check(!strcmp(text(json_array_get(json_object_get(events, "Events"), 0), "Message"),
		      "DB cluster deleted."));
	json_decref(events);
	end();
}

/* --- Pages and filters ------------------------------------------------------------------------ */

static void pages_follow_each_other_also_when_their_last_one_is_gone(void)
{
	char name[16], last[64];
	json_t *page;

	require(begin());
	for (int i = 0; i < 45; i++) {
		snprintf(name, sizeof name, "c%02d", i);
		require(make(name, "mariadb", 1 + i));
	}
	require(start());
	page = ask("DescribeDBClusters", json_pack("{s:i}", "MaxRecords", 20));
	check(json_array_size(json_object_get(page, "DBClusters")) == 20);
	snprintf(last, sizeof last, "%s", text(page, "Marker"));
	json_decref(page);
	stop();
	unmake("c19");
	require(start());
	page = ask("DescribeDBClusters", json_pack("{s:i, s:s}", "MaxRecords", 20, "Marker", last));
	snprintf(last, sizeof last, "%s", text(page, "Marker"));
	check(!strncmp(names_in(page), "c20 c21 ", 8));
	page = ask("DescribeDBClusters", json_pack("{s:i, s:s}", "MaxRecords", 20, "Marker", last));
	check(!json_object_get(page, "Marker"), "it is the last one");
	check(!strcmp(names_in(page), "c40 c41 c42 c43 c44"));
	faults("DescribeDBClusters", json_pack("{s:i}", "MaxRecords", 19), "InvalidParameterValue",
	       "Must be between 20 and 100");
	faults("DescribeDBClusters", json_pack("{s:i}", "MaxRecords", 101), "InvalidParameterValue",
	       "101");
	end();
}

static json_t *filter(const char *name, const char *value)
{
	return json_pack("{s:[{s:s, s:[s]}]}", "Filters", "Name", name, "Values", value);
}

static void filters_choose_and_unknown_ones_are_refused(void)
{
	require(begin());
	make("shop", "mariadb", 1);
	make("blog", "postgresql", 2);
	require(start());
	check(!strcmp(names_in(ask("DescribeDBClusters", filter("engine", "postgres"))), "blog"));
	check(!strcmp(names_in(ask("DescribeDBClusters", filter("db-cluster-id", "shop"))),
		      "shop"));
	check(!strcmp(names_in(ask("DescribeDBClusters", filter("db-cluster-id", ARN "shop"))),
		      "shop"));
	check(!*names_in(ask("DescribeDBClusters", filter("domain", "d"))));
	faults("DescribeDBClusters", filter("colour", "red"), "InvalidParameterValue", "colour");
	end();
}

static void filters_count_also_beside_an_identifier(void)
{
	json_t *input = filter("engine", "postgres");

	require(begin());
	make("shop", "mariadb", 1);
	require(start());
	json_object_set_new(input, "DBClusterIdentifier", json_string("shop"));
	check(!*names_in(ask("DescribeDBClusters", input)));
	end();
}

/* One event for each cluster that is gone. */
static void events_have_pages_but_no_filters(void)
{
	json_t *first, *second, *page;
	char name[16];

	require(begin());
	for (int i = 0; i < 25; i++) {
		snprintf(name, sizeof name, "c%02d", i);
		require(make(name, "mariadb", 1 + i));
	}
	require(start());
	stop();
	for (int i = 0; i < 25; i++) {
		snprintf(name, sizeof name, "c%02d", i);
		unmake(name);
	}
	require(start());
	first = ask("DescribeEvents", json_pack("{s:i}", "MaxRecords", 20));
	second = ask("DescribeEvents",
		     json_pack("{s:i, s:s}", "MaxRecords", 20, "Marker", text(first, "Marker")));
	page = json_object_get(first, "Events");
	check(json_array_size(page) == 20 && *text(first, "Marker"));
	check(!json_object_get(json_array_get(page, 0), ".mark"), "it is none of the model's");
	check(!strcmp(text(json_array_get(page, 0), "SourceIdentifier"), "c00"));
	check(!strcmp(text(json_array_get(page, 19), "SourceIdentifier"), "c19"));
	page = json_object_get(second, "Events");
	check(json_array_size(page) == 5 && !json_object_get(second, "Marker"));
	json_decref(first);
	json_decref(second);
	faults("DescribeEvents", filter("engine", "mariadb"), "InvalidParameterValue", "engine");
	end();
}

/* --- Keepers ---------------------------------------------------------------------------------- */

static void tell_status(struct connection *connection, const struct request *request, void *arg)
{
	connection_result(connection,
			  json_pack("{s:s, s:s, s:{s:I}, s:{s:I}, s:{s:I}, s:{s:i}}", "state", arg,
				    "engine_version", "mariadbd  Ver 10.6.7-MariaDB for debian",
				    "window", "target_us", (json_int_t)7200000000, "horizon",
				    "time_us", (json_int_t)1700000000250000, "now", "time_us",
				    (json_int_t)1700000100500000, "records", "stored", 4711));
}

static struct server *serve_status(const char *name, const char *word)
{
	struct server_options options = {
		.owner = geteuid(), .handle = tell_status, .arg = (void *)word};
	struct server *server = NULL;
	char path[128];

	snprintf(path, sizeof path, "%s/%s/run/control.sock", home, name);
	options.path = path;
	check(server_open(&options, &server, &why) == 0, "%s", why.text);
	return server;
}

static void what_its_keeper_says_is_shown(void)
{
	struct server *server;
	json_t *shop;

	require(begin());
	make("shop", "mariadb", 1);
	server = serve_status("shop", "running");
	require(server && start());
	check(comes_to_be("shop", "Status", "available"));
	shop = one_cluster("shop");
	check(json_number_value(json_object_get(shop, "EarliestBacktrackTime")) == 1700000000.25);
	check(json_number_value(json_object_get(shop, "LatestRestorableTime")) == 1700000100.5);
	check(json_integer_value(json_object_get(shop, "BacktrackWindow")) == 7200);
	check(json_integer_value(json_object_get(shop, "BacktrackConsumedChangeRecords")) == 4711);
	check(!strcmp(text(shop, "EngineVersion"), "10.6.7"), "%s", text(shop, "EngineVersion"));
	json_decref(shop);
	server_close(server);
	check(comes_to_be("shop", "Status", "stopped"), "it is noticed");
	end();
}

/* A socket that takes connections and never says a word. */
static int listen_silently(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s/%s/run/control.sock", home, name);
	check(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 8) == 0);
	return fd;
}

static void a_keeper_that_says_nothing_keeps_no_list_waiting(void)
{
	int64_t begun_us;
	int fd;

	require(begin());
	make("shop", "mariadb", 1);
	make("blog", "mariadb", 2);
	fd = listen_silently("blog");
	begun_us = clock_monotonic_us();
	require(start());
	for (int i = 0; i < 100; i++)
		check(!strcmp(names_in(ask("DescribeDBClusters", json_object())), "blog shop"));
	/* The keeper is given up after five seconds. */
	check(clock_monotonic_us() - begun_us < 4000000, "%lld us",
	      (long long)(clock_monotonic_us() - begun_us));
	close(fd);
	end();
}

/* --- Tags ------------------------------------------------------------------------------------- */

static json_t *tag(const char *arn, const char *key, const char *value)
{
	return json_pack("{s:s, s:[{s:s, s:s}]}", "ResourceName", arn, "Tags", "Key", key, "Value",
			 value);
}

static json_t *many_tags(int count)
{
	json_t *tags = json_array();

	for (int i = 0; i < count; i++) {
		char key[16];

		snprintf(key, sizeof key, "k%d", i);
		json_array_append_new(tags, json_pack("{s:s}", "Key", key));
	}
	return json_pack("{s:s, s:o}", "ResourceName", ARN "shop", "Tags", tags);
}

static void tags_are_added_changed_removed_and_kept(void)
{
	json_t *answer;

	require(begin());
	make("shop", "mariadb", 1);
	require(start());
	json_decref(ask("AddTagsToResource", tag(ARN "shop", "team", "blue")));
	json_decref(ask("AddTagsToResource", tag(ARN "shop", "stage", "test")));
	json_decref(ask("AddTagsToResource", tag(ARN "shop", "team", "red")));
	json_decref(ask("RemoveTagsFromResource",
			json_pack("{s:s, s:[s]}", "ResourceName", ARN "shop", "TagKeys", "stage")));
	stop();
	require(start());
	answer = ask("ListTagsForResource", json_pack("{s:s}", "ResourceName", ARN "shop"));
	json_t *tags = json_object_get(answer, "TagList");
	check(json_array_size(tags) == 1);
	check(!strcmp(text(json_array_get(tags, 0), "Key"), "team"));
	check(!strcmp(text(json_array_get(tags, 0), "Value"), "red"));
	json_decref(answer);
	faults("AddTagsToResource", tag(ARN "shop", "aws:team", "x"), "InvalidParameterValue",
	       "reserved");
	faults("AddTagsToResource", many_tags(50), "InvalidParameterValue", "at most 50");
	faults("AddTagsToResource", many_tags(51), "InvalidParameterValue", "at most 50");
	faults("AddTagsToResource", tag(ARN "nope", "team", "x"), "DBClusterNotFoundFault", "nope");
	faults("AddTagsToResource", tag("shop", "team", "x"), "InvalidParameterValue", "shop");
	end();
}

/* --- What is refused -------------------------------------------------------------------------- */

static json_t *creation(void)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "DBClusterIdentifier", "new", "Engine", "mariadb",
			 "MasterUsername", "admin", "MasterUserPassword", "long-enough");
}

static const struct refusal {
	const char *member, *value; /* JSON; NULL: left out */
	const char *code, *words;
} refusals[] = {
	{"DBClusterIdentifier", "\"9lives\"", "InvalidParameterValue", "DBClusterIdentifier"},
	{"DBClusterIdentifier", "\"a--b\"", "InvalidParameterValue", "hyphens"},
	{"DBClusterIdentifier", "\"a-\"", "InvalidParameterValue", "hyphen"},
	{"DBClusterIdentifier", "\"../../etc\"", "InvalidParameterValue", "DBClusterIdentifier"},
	{"DBClusterIdentifier", "\"SHOP\"", "DBClusterAlreadyExistsFault", "shop"},
	{"Engine", "\"oracle\"", "InvalidParameterValue", "oracle"},
	{"EngineVersion", "\"5.7.mysql_aurora.2.03.2\"", "InvalidParameterCombination",
	 "Cannot find version"},
	{"MasterUsername", NULL, "InvalidParameterCombination", "MasterUsername"},
	{"MasterUserPassword", NULL, "InvalidParameterCombination", "MasterUserPassword"},
	{"MasterUsername", "\"root\"", "InvalidParameterValue", "reserved"},
	{"MasterUsername", "\"a'b\"", "InvalidParameterValue", "MasterUsername"},
	{"MasterUserPassword", "\"short\"", "InvalidParameterValue", "shorter than 8"},
	{"MasterUserPassword", "\"has a blank\"", "InvalidParameterValue", "printable"},
	{"DatabaseName", "\"a`b\"", "InvalidParameterValue", "DatabaseName"},
	{"BacktrackWindow", "-1", "InvalidParameterValue", "BacktrackWindow"},
	{"Port", "70000", "InvalidParameterValue", "Port"},
	{"BackupRetentionPeriod", "0", "InvalidParameterValue", "BackupRetentionPeriod"},
	{"EngineMode", "\"serverless\"", "InvalidParameterValue", "EngineMode"},
	{"StorageEncrypted", "true", "InvalidParameterCombination", "StorageEncrypted"},
	{"DatabaseInsightsMode", "\"advanced\"", "InvalidParameterValue", "standard"},
	{"ManageMasterUserPassword", "true", "InvalidParameterCombination", "ManageMasterUser"},
	{"KmsKeyId", "\"k\"", "InvalidParameterCombination", "KmsKeyId"},
	{"EnableIAMDatabaseAuthentication", "true", "InvalidParameterCombination",
	 "EnableIAMDatabaseAuthentication"},
	{"VpcSecurityGroupIds", "[\"sg-1\"]", "InvalidParameterCombination", "VpcSecurityGroupIds"},
	{"Tags", "[{\"Key\": \"rds:x\"}]", "InvalidParameterValue", "reserved"},
};

static void a_create_that_cannot_be_as_asked_is_refused_and_makes_nothing(void)
{
	char version[64];

	engines_version("mariadb", version);
	if (!*version) {
		printf("# skipped: MariaDB is not installed\n");
		return;
	}
	require(begin());
	make("shop", "mariadb", 1);
	require(start());
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *refusal = &refusals[i];
		json_t *input = creation();

		json_object_del(input, refusal->member);
		if (refusal->value)
			json_object_set_new(input, refusal->member,
					    json_loads(refusal->value, JSON_DECODE_ANY, NULL));
		if (!faults("CreateDBCluster", input, refusal->code, refusal->words))
			printf("# with %s: %s\n", refusal->member,
			       refusal->value ? refusal->value : "none");
	}
	check(!strcmp(names_in(ask("DescribeDBClusters", json_object())), "shop"));
	json_t *list = NULL;
	check(jobs_list(rds_jobs(rds), NULL, 10, &list) == 0 && json_array_size(list) == 0);
	json_decref(list);
	end();
}

static json_t *named(const char *member, json_t *value)
{
	json_t *input = json_pack("{s:s}", "DBClusterIdentifier", "shop");

	if (member)
		json_object_set_new(input, member, value);
	return input;
}

static void what_the_cluster_is_not_ready_for_is_refused(void)
{
	require(begin());
	make("shop", "mariadb", 1);
	require(start());
	faults("StopDBCluster", named(NULL, NULL), "InvalidDBClusterStateFault", "stopped");
	faults("BacktrackDBCluster", named("BacktrackTo", json_real(1700000000)),
	       "InvalidDBClusterStateFault", "stopped");
	/* Its volume is not there. */
	faults("DescribeDBClusterBacktracks", named(NULL, NULL), "InvalidDBClusterStateFault",
	       "cannot be told");
	faults("ModifyDBCluster", named("BacktrackWindow", json_integer(60)),
	       "InvalidDBClusterStateFault", "stopped");
	faults("ModifyDBCluster", named("NewDBClusterIdentifier", json_string("new")),
	       "InvalidParameterCombination", "NewDBClusterIdentifier");
	faults("DeleteDBCluster", named(NULL, NULL), "InvalidParameterCombination",
	       "FinalDBSnapshotIdentifier is required");
	faults("DeleteDBCluster", named("FinalDBSnapshotIdentifier", json_string("s")),
	       "InvalidParameterCombination", "not there yet");
	json_decref(ask("ModifyDBCluster", named("DeletionProtection", json_true())));
	check(!*code, "%s: %s", code, message);
	faults("DeleteDBCluster", named("SkipFinalSnapshot", json_true()),
	       "InvalidParameterCombination", "protect");
	end();
}

static void a_backtrack_beyond_the_window_is_refused(void)
{
	struct server *server;

	require(begin());
	make("shop", "mariadb", 1);
	server = serve_status("shop", "running");
	require(server && start());
	faults("BacktrackDBCluster", named("BacktrackTo", json_real(1700000000)),
	       "InvalidParameterValue", "earlier than the earliest");
	faults("BacktrackDBCluster", named("BacktrackTo", json_real(4000000000)),
	       "InvalidParameterValue", "future");
	check(jobs_cancel(rds_jobs(rds), 1, &why) == -ENOENT, "no job was begun");
	server_close(server);
	end();
}

/* --- The master user -------------------------------------------------------------------------- */

static void passwords_become_what_the_servers_keep_of_them(void)
{
	static const struct engine mariadb = {.name = "mariadb"}, postgres = {.name = "postgresql"};
	char first[MASTER_VERIFIER_SIZE], second[MASTER_VERIFIER_SIZE];

	check(master_verifier(&mariadb, "password", first, &why) == 0);
	/* SELECT PASSWORD('password') */
	check(!strcmp(first, "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"), "%s", first);
	check(master_verifier(&postgres, "password", first, &why) == 0);
	check(master_verifier(&postgres, "password", second, &why) == 0);
	check(!strncmp(first, "SCRAM-SHA-256$4096:", 19) && strlen(first) == 133, "%s", first);
	check(strcmp(first, second) != 0, "each has a salt of its own");
}

static void versions_are_found_in_the_servers_own_words(void)
{
	char version[64];

	engines_version_of("mariadbd  Ver 10.11.14-MariaDB-0+deb12u2", version);
	check(!strcmp(version, "10.11.14"), "%s", version);
	engines_version_of("PostgreSQL 15.14 (Debian 15.14-0+deb12u1)", version);
	check(!strcmp(version, "15.14"), "%s", version);
	engines_version_of("none", version);
	check(!strcmp(version, ""), "%s", version);
}

int main(int argc, char **argv)
{
	/* Who starts a keeper executes himself; ours keeps nothing, and says nothing. */
	if (argc > 1)
		return 1;
	log_set_level(LOG_ERROR);
	RUN(clusters_are_listed_by_name_whoever_made_them);
	RUN(another_account_or_region_sees_none_of_them);
	RUN(who_a_cluster_is_survives_a_restart_but_not_its_being_made_anew);
	RUN(pages_follow_each_other_also_when_their_last_one_is_gone);
	RUN(filters_choose_and_unknown_ones_are_refused);
	RUN(filters_count_also_beside_an_identifier);
	RUN(events_have_pages_but_no_filters);
	RUN(what_its_keeper_says_is_shown);
	RUN(a_keeper_that_says_nothing_keeps_no_list_waiting);
	RUN(tags_are_added_changed_removed_and_kept);
	RUN(a_create_that_cannot_be_as_asked_is_refused_and_makes_nothing);
	RUN(what_the_cluster_is_not_ready_for_is_refused);
	RUN(a_backtrack_beyond_the_window_is_refused);
	RUN(passwords_become_what_the_servers_keep_of_them);
	RUN(versions_are_found_in_the_servers_own_words);
	return tap_done();
}
