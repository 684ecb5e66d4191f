/*
 * Accounts, keys, users, roles and sessions, asked as the front door asks: a signed request is
 * authenticated, authorized for what it touches, and handled.
 *
 * Method: the real state file in a directory below /tmp; requests signed by sigv4_sign().
 */
#include "aws/sigv4.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "identity/identity.h"
#include "state/state.h"

#include "http_double.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define S INT64_C(1000000)
#define HOST "127.0.0.1:4580"
#define MAY_ALL \
	"{'Version':'2012-10-17','Statement':{'Effect':'Allow','Action':'*','Resource':'*'}}"

/* Who signs. */
struct signer {
	char access_key_id[64];
	char secret[64];
	char token[8192];
};

static char dir[64], db_path[128], key_path[128];
static struct state *state;
static struct identity *identity;
static struct problem why;
static struct signer root;
static struct aws_call call; /* the last one */
static int64_t skew_us;      /* how late the server's clock is */

/* ---- the bed ------------------------------------------------------------------------------ */

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(name);
}

static int open_again(bool test)
{
	static const struct state_part *const parts[] = {&identity_state_part, NULL};
	struct identity_options options = {.key_path = key_path, .test = test};
	int r = state_open(db_path, parts, &state, &why);

	if (!check(r == 0, "%s", why.text))
		return r;
	return identity_open(state, &options, &identity, &why);
}

static void close_all(void)
{
	identity_close(identity);
	state_close(state);
	identity = NULL;
	state = NULL;
}

static void set_signer(struct signer *signer, const char *id, const char *secret, const char *token)
{
	snprintf(signer->access_key_id, sizeof signer->access_key_id, "%s", id);
	snprintf(signer->secret, sizeof signer->secret, "%s", secret);
	snprintf(signer->token, sizeof signer->token, "%s", token);
}

static void begin(void)
{
	struct identity_first first;

	strcpy(dir, "/tmp/unspill-identity-XXXXXX");
	check(mkdtemp(dir));
	snprintf(db_path, sizeof db_path, "%s/state.db", dir);
	snprintf(key_path, sizeof key_path, "%s/secret.key", dir);
	skew_us = 0;
	check(open_again(false) == 0, "%s", why.text);
	check(identity_first_start(identity, &first));
	set_signer(&root, first.access_key_id, first.secret, "");
}

static void end(void)
{
	aws_call_done(&call);
	call = (struct aws_call){0};
	close_all();
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void restart(void)
{
	close_all();
	check(open_again(false) == 0, "%s", why.text);
}

static char *quoted(const char *text)
{
	char *copy = xstrdup(text);

	for (char *at = copy; *at; at++)
		*at = *at == '\'' ? '"' : *at;
	return copy;
}

static void sign(struct http_double *http, const struct signer *signer, const char *region,
		 const char *service, struct buffer *authorization, char time[17])
{
	struct sigv4_signer with = {.access_key_id = signer->access_key_id,
				    .secret = signer->secret,
				    .region = region,
				    .service = service,
				    .time_us = clock_realtime_us()};

	sigv4_time(with.time_us, time);
	double_header(http, "Host", HOST);
	double_header(http, "X-Amz-Date", time);
	if (signer->token[0])
		double_header(http, "X-Amz-Security-Token", signer->token);
	sigv4_sign(&with, &http->request, authorization);
	buffer_put8(authorization, 0);
	double_header(http, "Authorization", (const char *)authorization->data);
}

/* `call` is of who signs a request to that service; 0 or AWS_FAULT. */
static int authenticate(const struct signer *signer, const char *service)
{
	CLEANUP(buffer) struct buffer authorization = {0};
	struct http_double http;
	char time[17];

	aws_call_done(&call);
	call = (struct aws_call){.now_us = clock_realtime_us() + skew_us,
				 .source_ip = "127.0.0.1",
				 .user_agent = "aws-cli/2.9.19"};
	double_init(&http, "POST", "/", "Action=Whatever");
	sign(&http, signer, "eu-west-1", service, &authorization, time);
	return identity_authenticate(identity, &http.request, &call);
}

static const struct aws_handler *find_handler(const char *service, const char *operation,
					      const struct aws_answers **ret)
{
	static struct aws_answers answers[2];

	identity_answers(identity, &answers[0], &answers[1]);
	for (unsigned i = 0; i < 2; i++) {
		if (strcmp(answers[i].service, service))
			continue;
		*ret = &answers[i];
		for (const struct aws_handler *at = answers[i].handlers; at->operation; at++)
			if (!strcmp(at->operation, operation))
				return at;
	}
	check(false, "no handler for %s", operation);
	abort();
}

/* As the front door: the answer, or NULL and call.fault; `operation` is "iam:CreateUser". */
static json_t *ask(const struct signer *signer, const char *action, const char *input)
{
	CLEANUP(free) char *json = quoted(input), *service = xstrdup(action);
	const char *operation = strchr(action, ':') + 1;
	struct aws_touched touched = {0};
	const struct aws_answers *answers;
	const struct aws_handler *handler;
	json_t *answer = NULL;
	int r;

	*strchr(service, ':') = 0;
	handler = find_handler(service, operation, &answers);
	r = authenticate(signer, service);
	call.service = aws_service_find(service);
	call.operation = aws_operation_find(call.service, operation, strlen(operation));
	call.input = json_loads(json, 0, NULL);
	check(call.operation && call.input, "%s %s", action, input);
	if (r == 0 && handler->touch)
		r = handler->touch(answers->userdata, &call, &touched);
	if (r == 0 && !handler->for_all)
		r = identity_authorize(identity, &call, action, &touched);
	if (r == 0)
		r = handler->handle(answers->userdata, &call, &answer);
	aws_touched_done(&touched);
	if (r == AWS_FAULT)
		return NULL;
	check(r == 0, "%s: %d", action, r);
	return answer ? answer : json_object();
}

/* It is answered with that fault; "" for none. */
static bool ends(const struct signer *signer, const char *action, const char *input,
		 const char *code)
{
	json_t *answer = ask(signer, action, input);
	bool good = !strcmp(answer ? "" : call.fault.code, code);

	json_decref(answer);
	return check(good, "%s %s: '%s' '%s', not '%s'", action, input,
		     answer ? "" : call.fault.code, answer ? "" : call.fault.message, code);
}

#define works(signer, action, input) ends(signer, action, input, "")

/* Member `path` ("User.Arn", "Users.0.Path") of an answer; good until the next call. */
static const char *say(const struct signer *signer, const char *action, const char *input,
		       const char *path)
{
	static char text[16384];
	json_t *answer = ask(signer, action, input), *at = answer;
	CLEANUP(free) char *copy = xstrdup(path);

	check(answer, "%s: %s %s", action, call.fault.code, call.fault.message);
	for (char *save, *part = strtok_r(copy, ".", &save); part;
	     part = strtok_r(NULL, ".", &save))
		at = json_is_array(at) ? json_array_get(at, strtoul(part, NULL, 10))
				       : json_object_get(at, part);
	snprintf(text, sizeof text, "%s", json_is_string(at) ? json_string_value(at) : "");
	if (json_is_integer(at))
		snprintf(text, sizeof text, "%lld", (long long)json_integer_value(at));
	if (json_is_array(at))
		snprintf(text, sizeof text, "%zu", json_array_size(at));
	if (json_is_boolean(at))
		snprintf(text, sizeof text, "%s", json_is_true(at) ? "true" : "false");
	json_decref(answer);
	return text;
}

/* A new user with a key. */
static struct signer make_user(const char *name)
{
	char input[256];
	struct signer user = {0};
	json_t *answer, *key;

	snprintf(input, sizeof input, "{'UserName':'%s'}", name);
	works(&root, "iam:CreateUser", input);
	answer = ask(&root, "iam:CreateAccessKey", input);
	key = json_object_get(answer, "AccessKey");
	if (check(key, "%s", call.fault.message))
		set_signer(&user, json_string_value(json_object_get(key, "AccessKeyId")),
			   json_string_value(json_object_get(key, "SecretAccessKey")), "");
	json_decref(answer);
	return user;
}

/* {..., MEMBER: DOCUMENT}, where the document is text within JSON. */
static char *with_document(const char *rest, const char *member, const char *document)
{
	CLEANUP(free) char *text = quoted(document);
	json_t *value = json_string(text);
	CLEANUP(free) char *dumped = json_dumps(value, JSON_ENCODE_ANY);
	char *input;

	json_decref(value);
	check(asprintf(&input, "{%s%s'%s':%s}", rest, *rest ? "," : "", member, dumped) > 0);
	return input;
}

static bool put_policy(const char *kind, const char *name, const char *document)
{
	CLEANUP(free) char *rest = NULL, *input = NULL, *action = NULL;

	check(asprintf(&rest, "'%sName':'%s','PolicyName':'p'", kind, name) > 0);
	check(asprintf(&action, "iam:Put%sPolicy", kind) > 0);
	input = with_document(rest, "PolicyDocument", document);
	return works(&root, action, input);
}

static bool make_role(const char *name, const char *trust)
{
	CLEANUP(free) char *rest = NULL, *input = NULL;

	check(asprintf(&rest, "'RoleName':'%s'", name) > 0);
	input = with_document(rest, "AssumeRolePolicyDocument", trust);
	return works(&root, "iam:CreateRole", input);
}

/* Whether the signer may do that to a resource with those tags. */
static bool may(const struct signer *signer, const char *action, const char *resource,
		const char *tags)
{
	struct aws_touched touched = {0};
	CLEANUP(free) char *json = tags ? quoted(tags) : NULL;
	int r;

	if (!check(authenticate(signer, "rds") == 0, "%s", call.fault.message))
		return false;
	aws_touch(&touched, json ? json_loads(json, 0, NULL) : NULL, "%s", resource);
	r = identity_authorize(identity, &call, action, &touched);
	aws_touched_done(&touched);
	check(r == 0 || !strcmp(call.fault.code, "AccessDenied"), "%s", call.fault.code);
	return r == 0;
}

/* The credentials of an answer that has some. */
static struct signer session_of(const struct signer *signer, const char *action, const char *input)
{
	json_t *answer = ask(signer, action, input);
	json_t *c = json_object_get(answer, "Credentials");
	struct signer session = {0};

	if (check(c, "%s: %s", call.fault.code, call.fault.message))
		set_signer(&session, json_string_value(json_object_get(c, "AccessKeyId")),
			   json_string_value(json_object_get(c, "SecretAccessKey")),
			   json_string_value(json_object_get(c, "SessionToken")));
	json_decref(answer);
	return session;
}

static struct signer assume(const struct signer *signer, const char *input)
{
	return session_of(signer, "sts:AssumeRole", input);
}

static struct signer federate(const struct signer *signer, const char *input)
{
	return session_of(signer, "sts:GetFederationToken", input);
}

#define SHOP "arn:aws:rds:eu-west-1:123456789012:cluster:shop"

/* ---- accounts, keys, signatures ----------------------------------------------------------- */

static void the_first_start_makes_an_account_whose_key_is_told_once(void)
{
	struct identity_first first;

	begin();
	check(strlen(identity_account(identity)) == 12);
	check(strspn(identity_account(identity), "0123456789") == 12);
	check(strlen(root.access_key_id) == 20 && strlen(root.secret) == 40);
	check(!identity_first_start(identity, &first));
	check(!strcmp(say(&root, "sts:GetCallerIdentity", "{}", "Account"),
		      identity_account(identity)));
	check(strstr(say(&root, "sts:GetCallerIdentity", "{}", "Arn"), ":root"));
	check(!strcmp(call.region, "eu-west-1"));
	restart();
	check(!identity_first_start(identity, &first));
	check(!strcmp(say(&root, "sts:GetCallerIdentity", "{}", "Account"),
		      identity_account(identity)));
	end();
}

static void what_is_not_signed_by_a_known_key_is_refused(void)
{
	struct signer other;
	struct http_double http;

	begin();
	other = root;
	other.secret[3] ^= 1;
	check(authenticate(&other, "sts") == AWS_FAULT);
	check(!strcmp(call.fault.code, "SignatureDoesNotMatch"), "%s", call.fault.code);
	check(!call.caller.account[0]);
	set_signer(&other, "AKIAAAAAAAAAAAAAAAAA", root.secret, "");
	check(authenticate(&other, "sts") == AWS_FAULT);
	check(!strcmp(call.fault.code, "InvalidClientTokenId"), "%s", call.fault.code);
	set_signer(&other, "FOOBARKEY", "x", "");
	check(authenticate(&other, "sts") == AWS_FAULT, "only in test mode");
	set_signer(&other, "123456789012", "x", "");
	check(authenticate(&other, "sts") == AWS_FAULT, "only in test mode");
	set_signer(&other, root.access_key_id, root.secret, "a token that is none");
	check(authenticate(&other, "sts") == AWS_FAULT);
	double_init(&http, "POST", "/", "");
	double_header(&http, "Host", HOST);
	call.fault.code[0] = 0;
	check(identity_authenticate(identity, &http.request, &call) == AWS_FAULT);
	check(!strcmp(call.fault.code, "MissingAuthenticationToken"), "%s", call.fault.code);
	skew_us = 16 * 60 * S;
	check(authenticate(&root, "sts") == AWS_FAULT);
	skew_us = 5 * 60 * S;
	check(authenticate(&root, "sts") == 0);
	/* More signing keys than are remembered. */
	for (unsigned i = 0; i < 10; i++) {
		char service[16];

		snprintf(service, sizeof service, "s%u", i % 7);
		check(authenticate(&root, service) == 0);
	}
	end();
}

static bool file_holds(const char *path, const char *text)
{
	CLEANUP(fd) int fd = open(path, O_RDONLY);
	struct stat st;
	CLEANUP(free) char *bytes = NULL;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	bytes = xmalloc(st.st_size);
	return read(fd, bytes, st.st_size) == st.st_size &&
	       memmem(bytes, st.st_size, text, strlen(text));
}

static void secrets_are_sealed_with_a_key_that_only_its_owner_reads(void)
{
	struct signer ana;
	char wal[160];
	struct stat st;

	begin();
	ana = make_user("ana");
	snprintf(wal, sizeof wal, "%s-wal", db_path);
	check(file_holds(db_path, ana.access_key_id) || file_holds(wal, ana.access_key_id));
	check(!file_holds(db_path, ana.secret) && !file_holds(wal, ana.secret));
	check(!file_holds(db_path, root.secret) && !file_holds(wal, root.secret));
	check(stat(key_path, &st) == 0 && (st.st_mode & 0777) == 0600);
	restart();
	check(authenticate(&ana, "sts") == 0);
	close_all();
	check(chmod(key_path, 0640) == 0);
	check(open_again(false) == -EPERM && strstr(why.text, "chmod 600"), "%s", why.text);
	close_all();
	check(chmod(key_path, 0600) == 0 && truncate(key_path, 31) == 0);
	check(open_again(false) == -EBADMSG, "%s", why.text);
	close_all();
	check(truncate(key_path, 32) == 0);
	check(open_again(false) == -EBADMSG && strstr(why.text, "sealed"), "%s", why.text);
	close_all();
	check(unlink(key_path) == 0);
	check(open_again(false) == -ENOENT && strstr(why.text, "put it back"), "%s", why.text);
	check(access(key_path, F_OK) < 0,
	      "a new key would make the old secrets unreadable for ever");
	end();
}

static void a_user_has_two_keys_to_rotate(void)
{
	struct signer ana, second;
	json_t *answer, *key;
	char input[256];

	begin();
	ana = make_user("ana");
	ends(&root, "iam:GetAccessKeyLastUsed", "{'AccessKeyId':'x'}", "NoSuchEntity");
	snprintf(input, sizeof input, "{'AccessKeyId':'%s'}", ana.access_key_id);
	check(!strcmp(say(&root, "iam:GetAccessKeyLastUsed", input, "AccessKeyLastUsed.Region"),
		      "N/A"));
	check(authenticate(&ana, "rds") == 0);
	check(!strcmp(say(&root, "iam:GetAccessKeyLastUsed", input, "AccessKeyLastUsed.Region"),
		      "eu-west-1"));
	answer = ask(&root, "iam:CreateAccessKey", "{'UserName':'ana'}");
	key = json_object_get(answer, "AccessKey");
	require(key);
	set_signer(&second, json_string_value(json_object_get(key, "AccessKeyId")),
		   json_string_value(json_object_get(key, "SecretAccessKey")), "");
	json_decref(answer);
	ends(&root, "iam:CreateAccessKey", "{'UserName':'ana'}", "LimitExceeded");
	check(authenticate(&second, "sts") == 0);
	snprintf(input, sizeof input, "{'UserName':'ana','AccessKeyId':'%s','Status':'Inactive'}",
		 ana.access_key_id);
	works(&root, "iam:UpdateAccessKey", input);
	check(authenticate(&ana, "sts") == AWS_FAULT);
	restart();
	check(authenticate(&ana, "sts") == AWS_FAULT);
	snprintf(input, sizeof input, "{'AccessKeyId':'%s'}", ana.access_key_id);
	check(!strcmp(say(&root, "iam:GetAccessKeyLastUsed", input,
			  "AccessKeyLastUsed.ServiceName"),
		      "rds"),
	      "written when it closes");
	snprintf(input, sizeof input, "{'UserName':'ana','AccessKeyId':'%s'}", ana.access_key_id);
	works(&root, "iam:DeleteAccessKey", input);
	ends(&root, "iam:DeleteAccessKey", input, "NoSuchEntity");
	ends(&root, "iam:DeleteUser", "{'UserName':'ana'}", "DeleteConflict");
	check(authenticate(&second, "sts") == 0);
	end();
}

/* ---- what one may ------------------------------------------------------------------------- */

static void a_user_may_what_its_policies_and_groups_say(void)
{
	struct signer ana;

	begin();
	ana = make_user("ana");
	check(!may(&ana, "rds:StopDBCluster", SHOP, NULL));
	check(strstr(call.fault.message, "is not authorized to perform: rds:StopDBCluster on "
					 "resource: " SHOP " because no identity-based policy "
					 "allows the rds:StopDBCluster action"),
	      "%s", call.fault.message);
	check(!strncmp(call.fault.message, "User: arn:aws:iam::", 19));
	check(may(&root, "rds:StopDBCluster", SHOP, NULL));
	put_policy("User", "ana",
		   "{'Version':'2012-10-17','Statement':{'Effect':'Allow','Action':'rds:Stop*',"
		   "'Resource':'*','Condition':{'IpAddress':{'aws:SourceIp':'127.0.0.0/8'},"
		   "'StringEquals':{'aws:username':'ana','aws:RequestedRegion':'eu-west-1'},"
		   "'StringLike':{'aws:UserAgent':'aws-cli/*'}}}}");
	check(may(&ana, "rds:StopDBCluster", SHOP, NULL));
	check(!may(&ana, "rds:StartDBCluster", SHOP, NULL));
	works(&root, "iam:CreateGroup", "{'GroupName':'ops'}");
	put_policy("Group", "ops",
		   "{'Version':'2012-10-17','Statement':[{'Effect':'Allow','Action':'rds:Start*',"
		   "'Resource':'*'},{'Effect':'Deny','Action':'*','Resource':'*','Condition':"
		   "{'StringEquals':{'aws:ResourceTag/env':'prod'}}}]}");
	works(&root, "iam:AddUserToGroup", "{'GroupName':'ops','UserName':'ana'}");
	check(may(&ana, "rds:StartDBCluster", SHOP, NULL));
	check(!may(&ana, "rds:StopDBCluster", SHOP, "{'env':'prod'}"));
	check(strstr(call.fault.message, "with an explicit deny in an identity-based policy"), "%s",
	      call.fault.message);
	restart();
	check(may(&ana, "rds:StartDBCluster", SHOP, "{'env':'test'}"));
	check(!may(&ana, "rds:StopDBCluster", SHOP, "{'env':'prod'}"));
	/* Renamed, everybody is still who he was. */
	works(&root, "iam:UpdateGroup", "{'GroupName':'ops','NewGroupName':'ops2'}");
	works(&root, "iam:UpdateUser", "{'UserName':'ana','NewUserName':'anna','NewPath':'/x/'}");
	check(may(&ana, "rds:StartDBCluster", SHOP, NULL));
	check(!may(&ana, "rds:StopDBCluster", SHOP, NULL), "aws:username is another");
	check(!strcmp(say(&root, "iam:GetGroup", "{'GroupName':'ops2'}", "Users.0.UserName"),
		      "anna"));
	ends(&root, "iam:GetUser", "{'UserName':'ana'}", "NoSuchEntity");
	check(strstr(say(&ana, "sts:GetCallerIdentity", "{}", "Arn"), ":user/x/anna"));
	works(&root, "iam:RemoveUserFromGroup", "{'GroupName':'ops2','UserName':'anna'}");
	check(!may(&ana, "rds:StartDBCluster", SHOP, NULL));
	end();
}

static void a_boundary_takes_away_and_gives_nothing(void)
{
	struct signer ana;
	CLEANUP(free)
	char *policy = with_document("'PolicyName':'b'", "PolicyDocument",
				     "{'Version':'2012-10-17','Statement':{'Effect':'Allow','"
				     "Action':'rds:*','Resource':'*'}}");
	char input[256], arn[128];

	begin();
	ana = make_user("ana");
	snprintf(arn, sizeof arn, "%s", say(&root, "iam:CreatePolicy", policy, "Policy.Arn"));
	snprintf(input, sizeof input, "{'UserName':'ana','PermissionsBoundary':'%s'}", arn);
	works(&root, "iam:PutUserPermissionsBoundary", input);
	check(!may(&ana, "rds:StopDBCluster", SHOP, NULL));
	put_policy("User", "ana", MAY_ALL);
	check(may(&ana, "rds:StopDBCluster", SHOP, NULL));
	check(!may(&ana, "iam:ListUsers", "*", NULL));
	check(strstr(call.fault.message, "no permissions boundary allows"), "%s",
	      call.fault.message);
	snprintf(input, sizeof input, "{'PolicyArn':'%s'}", arn);
	ends(&root, "iam:DeletePolicy", input, "DeleteConflict");
	works(&root, "iam:DeleteUserPermissionsBoundary", "{'UserName':'ana'}");
	check(may(&ana, "iam:ListUsers", "*", NULL));
	works(&root, "iam:DeletePolicy", input);
	end();
}

static void the_policies_that_come_with_us_do_what_they_promise(void)
{
	struct signer runner, architect, auditor;

	begin();
	runner = make_user("operator");
	architect = make_user("architect");
	auditor = make_user("auditor");
	works(&root, "iam:AttachUserPolicy",
	      "{'UserName':'operator','PolicyArn':'arn:aws:iam::aws:policy/UnspillOperator'}");
	works(&root, "iam:AttachUserPolicy",
	      "{'UserName':'architect','PolicyArn':'arn:aws:iam::aws:policy/UnspillArchitect'}");
	works(&root, "iam:AttachUserPolicy",
	      "{'UserName':'auditor','PolicyArn':'arn:aws:iam::aws:policy/UnspillAuditor'}");
	check(may(&runner, "rds:DescribeDBClusters", "*", NULL));
	check(may(&runner, "rds:StopDBCluster", SHOP, NULL));
	check(!may(&runner, "rds:BacktrackDBCluster", SHOP, NULL));
	check(may(&runner, "rds:BacktrackDBCluster", SHOP,
		  "{'unspill:operators-backtrack':'true'}"));
	check(!may(&runner, "rds:BacktrackDBCluster", SHOP,
		   "{'unspill:operators-backtrack':'false'}"));
	check(!may(&runner, "rds:AddTagsToResource", SHOP, NULL), "or he would tag it himself");
	check(!may(&runner, "rds:DeleteDBCluster", SHOP, NULL));
	check(!may(&runner, "rds:CreateDBCluster", SHOP, NULL));
	works(&runner, "iam:CreateAccessKey", "{}");
	check(strstr(say(&runner, "iam:GetUser", "{}", "User.Arn"), ":user/operator"));
	ends(&runner, "iam:ListUsers", "{}", "AccessDenied");
	check(strstr(call.fault.message, "on resource: * because"), "%s", call.fault.message);
	ends(&runner, "iam:CreateAccessKey", "{'UserName':'architect'}", "AccessDenied");
	check(may(&architect, "rds:CreateDBCluster", SHOP, NULL));
	check(may(&architect, "rds:BacktrackDBCluster", SHOP, NULL));
	check(may(&architect, "rds:AddTagsToResource", SHOP, NULL));
	works(&architect, "iam:ListUsers", "{}");
	ends(&architect, "iam:CreateUser", "{'UserName':'x'}", "AccessDenied");
	ends(&architect, "iam:AttachUserPolicy",
	     "{'UserName':'architect','PolicyArn':'arn:aws:iam::aws:policy/UnspillOperator'}",
	     "AccessDenied");
	check(may(&auditor, "rds:DescribeDBClusters", "*", NULL));
	check(may(&auditor, "rds:ListTagsForResource", SHOP, NULL));
	works(&auditor, "iam:GetAccountAuthorizationDetails", "{}");
	check(!may(&auditor, "rds:StopDBCluster", SHOP, NULL));
	check(!may(&auditor, "rds:BacktrackDBCluster", SHOP,
		   "{'unspill:operators-backtrack':'true'}"));
	ends(&auditor, "iam:CreateAccessKey", "{}", "AccessDenied");
	ends(&root, "iam:DeletePolicy", "{'PolicyArn':'arn:aws:iam::aws:policy/UnspillAuditor'}",
	     "AccessDenied");
	check(!strcmp(say(&root, "iam:ListPolicies", "{'Scope':'AWS'}", "Policies"), "3"));
	check(!strcmp(say(&root, "iam:ListPolicies", "{'Scope':'Local'}", "Policies"), "0"));
	check(!strcmp(say(&root, "iam:ListPolicies", "{'OnlyAttached':true}", "Policies"), "3"));
	end();
}

static void who_hands_out_permissions_can_be_bound_to_some_of_them(void)
{
	struct signer ana;

	begin();
	ana = make_user("ana");
	put_policy(
		"User", "ana",
		"{'Version':'2012-10-17','Statement':[{'Effect':'Allow','Action':"
		"'iam:AttachUserPolicy','Resource':'*','Condition':{'ArnEquals':{'iam:PolicyARN':"
		"'arn:aws:iam::aws:policy/UnspillAuditor'}}},{'Effect':'Allow','Action':"
		"['iam:CreateUser','iam:TagUser'],'Resource':'*','Condition':{'StringEquals':"
		"{'aws:RequestTag/team':'red'},'ForAllValues:StringEquals':{'aws:TagKeys':"
		"['team']}}}]}");
	works(&ana, "iam:AttachUserPolicy",
	      "{'UserName':'ana','PolicyArn':'arn:aws:iam::aws:policy/UnspillAuditor'}");
	ends(&ana, "iam:AttachUserPolicy",
	     "{'UserName':'ana','PolicyArn':'arn:aws:iam::aws:policy/UnspillArchitect'}",
	     "AccessDenied");
	ends(&ana, "iam:CreateUser", "{'UserName':'ben'}", "AccessDenied");
	ends(&ana, "iam:CreateUser", "{'UserName':'ben','Tags':[{'Key':'team','Value':'blue'}]}",
	     "AccessDenied");
	ends(&ana, "iam:CreateUser",
	     "{'UserName':'ben','Tags':[{'Key':'team','Value':'red'},{'Key':'x','Value':''}]}",
	     "AccessDenied");
	works(&ana, "iam:CreateUser", "{'UserName':'ben','Tags':[{'Key':'team','Value':'red'}]}");
	end();
}

/* ---- sessions ----------------------------------------------------------------------------- */

static char *trust_of(const char *principal, const char *condition)
{
	char *text;

	check(asprintf(&text,
		       "{'Version':'2012-10-17','Statement':{'Effect':'Allow','Action':"
		       "['sts:AssumeRole','sts:TagSession'],'Principal':{'AWS':'%s'}%s}}",
		       principal, condition) > 0);
	return text;
}

static void a_role_is_assumed_by_whom_it_trusts(void)
{
	CLEANUP(free) char *account_trust = NULL, *named_trust = NULL;
	struct signer ana, ben, session;
	char input[512], arn[128];

	begin();
	ana = make_user("ana");
	ben = make_user("ben");
	account_trust = trust_of(identity_account(identity), "");
	snprintf(arn, sizeof arn, "arn:aws:iam::%s:user/ana", identity_account(identity));
	named_trust = trust_of(arn, ",'Condition':{'StringEquals':{'sts:ExternalId':'x-17'}}");
	make_role("open", account_trust);
	make_role("hers", named_trust);
	put_policy("Role", "hers", MAY_ALL);

	/* Named: needs nothing more, but the condition. */
	snprintf(input, sizeof input,
		 "{'RoleArn':'arn:aws:iam::%s:role/hers','RoleSessionName':"
		 "'s1'}",
		 identity_account(identity));
	ends(&ana, "sts:AssumeRole", input, "AccessDenied");
	snprintf(input, sizeof input,
		 "{'RoleArn':'arn:aws:iam::%s:role/hers','RoleSessionName':"
		 "'s1','ExternalId':'x-17'}",
		 identity_account(identity));
	ends(&ben, "sts:AssumeRole", input, "AccessDenied");
	session = assume(&ana, input);
	check(strstr(say(&session, "sts:GetCallerIdentity", "{}", "Arn"), ":assumed-role/hers/s1"));
	check(may(&session, "rds:StopDBCluster", SHOP, NULL));
	works(&session, "iam:ListUsers", "{}");

	/* Its account: his own policies decide. */
	snprintf(input, sizeof input,
		 "{'RoleArn':'arn:aws:iam::%s:role/open','RoleSessionName':"
		 "'s2'}",
		 identity_account(identity));
	ends(&ben, "sts:AssumeRole", input, "AccessDenied");
	put_policy("User", "ben", MAY_ALL);
	session = assume(&ben, input);
	check(!may(&session, "rds:StopDBCluster", SHOP, NULL), "a role may what a role may");
	ends(&root, "sts:AssumeRole",
	     "{'RoleArn':'arn:aws:iam::123456789012:role/none',"
	     "'RoleSessionName':'s'}",
	     "AccessDenied");

	/* Whom a role names is bound by his boundary all the same. */
	works(&root, "iam:PutUserPermissionsBoundary",
	      "{'UserName':'ana','PermissionsBoundary':'arn:aws:iam::aws:policy/UnspillOperator'}");
	snprintf(input, sizeof input,
		 "{'RoleArn':'arn:aws:iam::%s:role/hers','RoleSessionName':"
		 "'s1','ExternalId':'x-17'}",
		 identity_account(identity));
	ends(&ana, "sts:AssumeRole", input, "AccessDenied");

	/* Without role no session. */
	works(&root, "iam:DeleteRole", "{'RoleName':'open'}");
	check(authenticate(&session, "sts") == AWS_FAULT);
	make_role("open", account_trust);
	check(authenticate(&session, "sts") == AWS_FAULT, "another one of the same name");
	end();
}

/* The region and the time of a role's last use: "" and 0 when it never was. */
static double last_use_of(const char *action, const char *input, char *ret_region, size_t size)
{
	json_t *answer = ask(&root, action, input), *role = json_object_get(answer, "Role"), *used;
	const char *region;
	double when;

	if (!role)
		role = json_array_get(json_object_get(answer, "RoleDetailList"), 0);
	used = json_object_get(role, "RoleLastUsed");
	check(json_is_object(used), "%s: it is always there", action);
	region = json_string_value(json_object_get(used, "Region"));
	snprintf(ret_region, size, "%s", region ? region : "");
	when = json_number_value(json_object_get(used, "LastUsedDate"));
	json_decref(answer);
	return when;
}

static void a_role_knows_when_and_where_a_session_of_it_was_used(void)
{
	CLEANUP(free) char *trust = NULL;
	struct signer ana, session, stolen;
	char input[256], region[64];
	double when;

	begin();
	ana = make_user("ana");
	put_policy("User", "ana", MAY_ALL);
	trust = trust_of(identity_account(identity), "");
	make_role("r", trust);
	snprintf(input, sizeof input, "{'RoleArn':'arn:aws:iam::%s:role/r','RoleSessionName':'s'}",
		 identity_account(identity));
	session = assume(&ana, input);
	when = last_use_of("iam:GetRole", "{'RoleName':'r'}", region, sizeof region);
	check(when == 0 && !*region, "to assume it is not to use it: %s", region);
	stolen = session;
	*stolen.secret ^= 1;
	check(authenticate(&stolen, "rds") == AWS_FAULT);
	when = last_use_of("iam:GetRole", "{'RoleName':'r'}", region, sizeof region);
	check(when == 0, "what is not signed by it is no use of it");
	check(authenticate(&session, "rds") == 0);
	when = last_use_of("iam:GetRole", "{'RoleName':'r'}", region, sizeof region);
	check(when >= (double)(call.now_us / 1000000 - 60) && !strcmp(region, "eu-west-1"),
	      "%.0f %s", when, region);
	restart();
	check(last_use_of("iam:GetRole", "{'RoleName':'r'}", region, sizeof region) == when &&
		      !strcmp(region, "eu-west-1"),
	      "written when it closes");
	check(last_use_of("iam:GetAccountAuthorizationDetails", "{'Filter':['Role']}", region,
			  sizeof region) == when);
	/* Another one of its name has not been used, now or after a restart. */
	works(&root, "iam:DeleteRole", "{'RoleName':'r'}");
	make_role("r", trust);
	check(last_use_of("iam:GetRole", "{'RoleName':'r'}", region, sizeof region) == 0);
	restart();
	check(last_use_of("iam:GetRole", "{'RoleName':'r'}", region, sizeof region) == 0);
	end();
}

static void a_session_is_bound_by_its_policies_its_time_and_its_token(void)
{
	CLEANUP(free) char *trust = NULL, *input = NULL, *rest = NULL;
	struct signer ana, session, other;

	begin();
	ana = make_user("ana");
	put_policy("User", "ana", MAY_ALL);
	trust = trust_of(identity_account(identity), "");
	make_role("r", trust);
	put_policy("Role", "r", MAY_ALL);
	check(asprintf(&rest,
		       "'RoleArn':'arn:aws:iam::%s:role/r','RoleSessionName':'s',"
		       "'DurationSeconds':900,'Tags':[{'Key':'team','Value':'red'}]",
		       identity_account(identity)) > 0);
	input = with_document(rest, "Policy",
			      "{'Version':'2012-10-17','Statement':{'Effect':'Allow','Action':"
			      "'rds:Stop*','Resource':'*','Condition':{'StringEquals':"
			      "{'aws:PrincipalTag/team':'red'}}}}");
	session = assume(&ana, input);
	check(strlen(session.token) > 300 && strlen(session.token) < 2048);
	check(may(&session, "rds:StopDBCluster", SHOP, NULL));
	check(!may(&session, "rds:StartDBCluster", SHOP, NULL));
	check(strstr(call.fault.message, "no session policy allows"), "%s", call.fault.message);
	restart();
	check(may(&session, "rds:StopDBCluster", SHOP, NULL), "nothing of it is stored");
	check(!may(&session, "rds:StartDBCluster", SHOP, NULL));

	other = session;
	other.token[100] ^= 1;
	check(authenticate(&other, "sts") == AWS_FAULT);
	check(!strcmp(call.fault.code, "InvalidClientTokenId"), "%s", call.fault.code);
	other = session;
	other.token[0] = 0;
	check(authenticate(&other, "sts") == AWS_FAULT);
	other = session;
	other.access_key_id[10] ^= 1;
	check(authenticate(&other, "sts") == AWS_FAULT, "somebody else's token");
	other = session;
	other.secret[5] ^= 1;
	check(authenticate(&other, "sts") == AWS_FAULT);
	check(!strcmp(call.fault.code, "SignatureDoesNotMatch"), "%s", call.fault.code);

	ends(&root, "sts:AssumeRole", "{'RoleArn':'x','RoleSessionName':'s'}", "AccessDenied");
	skew_us = 5 * 60 * S;
	check(authenticate(&session, "sts") == 0);
	end();
}

static void a_session_ends(void)
{
	struct signer session;

	begin();
	skew_us = -13 * 60 * S; /* made in the server's past, */
	session = session_of(&root, "sts:GetSessionToken", "{'DurationSeconds':600}");
	check(authenticate(&session, "sts") == 0);
	check(strstr(call.caller.arn, ":root"));
	skew_us = 0;
	check(authenticate(&session, "sts") == AWS_FAULT);
	check(!strcmp(call.fault.code, "ExpiredToken"), "%s", call.fault.code);
	end();
}

static void a_federated_user_may_what_both_allow(void)
{
	CLEANUP(free)
	char *input = with_document("'Name':'fred'", "Policy",
				    "{'Version':'2012-10-17','Statement':{'Effect':'Allow','Action'"
				    ":'rds:*','Resource':'*'}}");
	struct signer ana, fred;

	begin();
	ana = make_user("ana");
	put_policy("User", "ana",
		   "{'Version':'2012-10-17','Statement':{'Effect':'Allow','Action':"
		   "['rds:Stop*','iam:*','sts:*'],'Resource':'*'}}");
	fred = federate(&ana, input);
	check(strstr(say(&fred, "sts:GetCallerIdentity", "{}", "Arn"), ":federated-user/fred"));
	check(may(&fred, "rds:StopDBCluster", SHOP, NULL));
	check(!may(&fred, "rds:StartDBCluster", SHOP, NULL));
	check(!may(&fred, "iam:ListUsers", "*", NULL));
	ends(&fred, "sts:GetSessionToken", "{}", "AccessDenied");
	fred = federate(&ana, "{'Name':'fred'}");
	check(!may(&fred, "rds:StopDBCluster", SHOP, NULL), "nothing was handed to him");
	end();
}

/* ---- IAM ---------------------------------------------------------------------------------- */

static void an_account_has_no_more_than_its_quota(void)
{
	char input[64];

	begin();
	for (unsigned i = 0; i < 300; i++) {
		snprintf(input, sizeof input, "{'GroupName':'g%u'}", i);
		if (!works(&root, "iam:CreateGroup", input))
			break;
	}
	ends(&root, "iam:CreateGroup", "{'GroupName':'one-more'}", "LimitExceeded");
	works(&root, "iam:DeleteGroup", "{'GroupName':'g7'}");
	works(&root, "iam:CreateGroup", "{'GroupName':'one-more'}");
	check(!strcmp(say(&root, "iam:ListGroups", "{}", "Groups"), "300"));
	end();
}

static void names_are_taken_in_any_case_of_letters(void)
{
	begin();
	works(&root, "iam:CreateUser", "{'UserName':'Ana'}");
	ends(&root, "iam:CreateUser", "{'UserName':'ana'}", "EntityAlreadyExists");
	check(!strcmp(call.fault.message, "User with name ana already exists."));
	ends(&root, "iam:GetUser", "{'UserName':'ana'}", "NoSuchEntity");
	check(!strcmp(call.fault.message, "The user with name ana cannot be found."));
	works(&root, "iam:CreateUser", "{'UserName':'ben','Path':'/a/b/'}");
	check(strstr(say(&root, "iam:GetUser", "{'UserName':'ben'}", "User.Arn"), ":user/a/b/ben"));
	check(!strcmp(say(&root, "iam:ListUsers", "{'PathPrefix':'/a/'}", "Users"), "1"));
	check(!strcmp(say(&root, "iam:ListUsers", "{}", "Users"), "2"));
	check(!strcmp(say(&root, "iam:ListUsers", "{}", "Users.0.UserName"), "Ana"));
	works(&root, "iam:DeleteUser", "{'UserName':'Ana'}");
	works(&root, "iam:CreateUser", "{'UserName':'ana'}");
	check(!strncmp(say(&root, "iam:GetUser", "{}", "User.Arn"), "arn:aws:iam::", 13));
	end();
}

static void a_policy_has_five_versions_of_which_one_counts(void)
{
	CLEANUP(free)
	char *policy = with_document("'PolicyName':'p','Path':'/x/'", "PolicyDocument", MAY_ALL);
	CLEANUP(free) char *version = NULL, *rest = NULL;
	struct signer ana;
	char arn[128], input[256];

	begin();
	ana = make_user("ana");
	snprintf(arn, sizeof arn, "%s", say(&root, "iam:CreatePolicy", policy, "Policy.Arn"));
	check(strstr(arn, ":policy/x/p"));
	ends(&root, "iam:CreatePolicy", policy, "EntityAlreadyExists");
	snprintf(input, sizeof input, "{'UserName':'ana','PolicyArn':'%s'}", arn);
	works(&root, "iam:AttachUserPolicy", input);
	snprintf(input, sizeof input, "{'UserName':'ana','PolicyArn':'arn:aws:iam::%s:policy/p'}",
		 identity_account(identity));
	ends(&root, "iam:AttachUserPolicy", input, "NoSuchEntity");
	check(may(&ana, "rds:StopDBCluster", SHOP, NULL));
	check(asprintf(&rest, "'PolicyArn':'%s','SetAsDefault':false", arn) > 0);
	version = with_document(rest, "PolicyDocument",
				"{'Version':'2012-10-17','Statement':{'Effect':'Deny',"
				"'Action':'*','Resource':'*'}}");
	for (unsigned i = 2; i <= 5; i++)
		works(&root, "iam:CreatePolicyVersion", version);
	ends(&root, "iam:CreatePolicyVersion", version, "LimitExceeded");
	check(may(&ana, "rds:StopDBCluster", SHOP, NULL));
	snprintf(input, sizeof input, "{'PolicyArn':'%s','VersionId':'v3'}", arn);
	works(&root, "iam:SetDefaultPolicyVersion", input);
	check(!may(&ana, "rds:StopDBCluster", SHOP, NULL));
	ends(&root, "iam:DeletePolicyVersion", input, "DeleteConflict");
	check(!strcmp(say(&root, "iam:GetPolicyVersion", input, "PolicyVersion.IsDefaultVersion"),
		      "true"));
	check(!strncmp(say(&root, "iam:GetPolicyVersion", input, "PolicyVersion.Document"),
		       "%7B%22Version%22%3A%222012-10-17%22", 30));
	snprintf(input, sizeof input, "{'PolicyArn':'%s','VersionId':'v2'}", arn);
	works(&root, "iam:DeletePolicyVersion", input);
	check(!strcmp(say(&root, "iam:CreatePolicyVersion", version, "PolicyVersion.VersionId"),
		      "v6"),
	      "no number comes again");
	restart();
	check(!may(&ana, "rds:StopDBCluster", SHOP, NULL));
	snprintf(input, sizeof input, "{'PolicyArn':'%s'}", arn);
	check(!strcmp(say(&root, "iam:ListPolicyVersions", input, "Versions"), "5"));
	check(!strcmp(say(&root, "iam:ListEntitiesForPolicy", input, "PolicyUsers.0.UserName"),
		      "ana"));
	ends(&root, "iam:DeletePolicy", input, "DeleteConflict");
	snprintf(input, sizeof input, "{'UserName':'ana','PolicyArn':'%s'}", arn);
	works(&root, "iam:DetachUserPolicy", input);
	ends(&root, "iam:DetachUserPolicy", input, "NoSuchEntity");
	snprintf(input, sizeof input, "{'PolicyArn':'%s'}", arn);
	ends(&root, "iam:DeletePolicy", input, "DeleteConflict");
	end();
}

static void documents_are_checked_and_limited(void)
{
	CLEANUP(free)
	char *bad = with_document("'UserName':'ana','PolicyName':'p'", "PolicyDocument",
				  "{'Version':'2012-10-17'}");
	CLEANUP(free) char *document = NULL, *large = NULL;

	begin();
	works(&root, "iam:CreateUser", "{'UserName':'ana'}");
	ends(&root, "iam:PutUserPolicy", bad, "MalformedPolicyDocument");
	check(!strcmp(call.fault.message, "Syntax errors in policy."));
	check(asprintf(&document,
		       "{'Version':'2012-10-17','Statement':{'Sid':'%02000d','Effect':'Allow',"
		       "'Action':'*','Resource':'*'}}",
		       0) > 0);
	large = with_document("'UserName':'ana','PolicyName':'p'", "PolicyDocument", document);
	ends(&root, "iam:PutUserPolicy", large, "LimitExceeded");
	check(!strcmp(say(&root, "iam:ListUserPolicies", "{'UserName':'ana'}", "PolicyNames"),
		      "0"));
	put_policy("User", "ana", MAY_ALL);
	check(!strcmp(say(&root, "iam:ListUserPolicies", "{'UserName':'ana'}", "PolicyNames.0"),
		      "p"));
	ends(&root, "iam:DeleteUser", "{'UserName':'ana'}", "DeleteConflict");
	works(&root, "iam:DeleteUserPolicy", "{'UserName':'ana','PolicyName':'p'}");
	ends(&root, "iam:GetUserPolicy", "{'UserName':'ana','PolicyName':'p'}", "NoSuchEntity");
	works(&root, "iam:DeleteUser", "{'UserName':'ana'}");
	end();
}

/* The input that gives ana so many tags; borrowed until the next. */
static const char *tagging(int count)
{
	static char input[4096];
	size_t size = (size_t)sprintf(input, "{'UserName':'ana','Tags':[");

	for (int i = 0; i < count; i++)
		size += (size_t)sprintf(input + size, "%s{'Key':'k%d','Value':''}", i ? "," : "",
					i);
	strcpy(input + size, "]}");
	return input;
}

static void tags_are_kept_in_any_case_of_their_keys(void)
{
	begin();
	works(&root, "iam:CreateUser", "{'UserName':'ana','Tags':[{'Key':'Team','Value':'red'}]}");
	works(&root, "iam:TagUser",
	      "{'UserName':'ana','Tags':[{'Key':'team','Value':'blue'},"
	      "{'Key':'x','Value':''}]}");
	check(!strcmp(say(&root, "iam:ListUserTags", "{'UserName':'ana'}", "Tags.0.Value"),
		      "blue"));
	check(!strcmp(say(&root, "iam:ListUserTags", "{'UserName':'ana'}", "Tags"), "2"));
	ends(&root, "iam:TagUser",
	     "{'UserName':'ana','Tags':[{'Key':'a','Value':''},{'Key':'A','Value':''}]}",
	     "InvalidInput");
	ends(&root, "iam:TagUser", tagging(49), "LimitExceeded");
	works(&root, "iam:UntagUser", "{'UserName':'ana','TagKeys':['X','team']}");
	check(!strcmp(say(&root, "iam:ListUserTags", "{'UserName':'ana'}", "Tags"), "0"));
	end();
}

static void a_simulation_says_what_would_be(void)
{
	CLEANUP(free) char *input = NULL;
	char text[512];

	begin();
	make_user("ana");
	put_policy("User", "ana",
		   "{'Version':'2012-10-17','Statement':[{'Sid':'own','Effect':'Allow','Action':"
		   "'rds:Stop*','Resource':'*','Condition':{'StringEquals':{'aws:username':'ana',"
		   "'aws:ResourceTag/env':'test'}}},{'Effect':'Deny','Action':'rds:Delete*',"
		   "'Resource':'*'}]}");
	snprintf(text, sizeof text,
		 "{'PolicySourceArn':'arn:aws:iam::%s:user/ana','ActionNames':['rds:StopDBCluster',"
		 "'rds:DeleteDBCluster'],'ContextEntries':[{'ContextKeyName':'aws:ResourceTag/env',"
		 "'ContextKeyType':'string','ContextKeyValues':['test']}]}",
		 identity_account(identity));
	check(!strcmp(
		say(&root, "iam:SimulatePrincipalPolicy", text, "EvaluationResults.0.EvalDecision"),
		"allowed"));
	check(!strcmp(say(&root, "iam:SimulatePrincipalPolicy", text,
			  "EvaluationResults.0.MatchedStatements.0.SourcePolicyId"),
		      "own"));
	check(!strcmp(
		say(&root, "iam:SimulatePrincipalPolicy", text, "EvaluationResults.1.EvalDecision"),
		"explicitDeny"));
	snprintf(text, sizeof text,
		 "{'PolicySourceArn':'arn:aws:iam::%s:user/ana','ActionNames':"
		 "['rds:StopDBCluster']}",
		 identity_account(identity));
	check(!strcmp(
		say(&root, "iam:SimulatePrincipalPolicy", text, "EvaluationResults.0.EvalDecision"),
		"implicitDeny"));
	check(!strcmp(say(&root, "iam:SimulatePrincipalPolicy", text,
			  "EvaluationResults.0.MissingContextValues.0"),
		      "aws:ResourceTag/env"));
	input = xstrdup("{'ActionNames':['a:b'],'PolicyInputList':[\"{\\\"Version\\\":"
			"\\\"2012-10-17\\\",\\\"Statement\\\":{\\\"Effect\\\":\\\"Allow\\\","
			"\\\"Action\\\":\\\"a:*\\\",\\\"Resource\\\":"
			"\\\"arn:aws:a:::${aws:username}\\\"}}\"]}");
	check(!strcmp(
		say(&root, "iam:SimulateCustomPolicy", input, "EvaluationResults.0.EvalDecision"),
		"implicitDeny"));
	check(!strcmp(say(&root, "iam:GetContextKeysForCustomPolicy", input, "ContextKeyNames.0"),
		      "aws:username"));
	end();
}

static void an_account_has_an_alias_and_a_summary(void)
{
	begin();
	works(&root, "iam:CreateAccountAlias", "{'AccountAlias':'shop'}");
	restart();
	check(!strcmp(say(&root, "iam:ListAccountAliases", "{}", "AccountAliases.0"), "shop"));
	ends(&root, "iam:DeleteAccountAlias", "{'AccountAlias':'other'}", "NoSuchEntity");
	works(&root, "iam:DeleteAccountAlias", "{'AccountAlias':'shop'}");
	check(!strcmp(say(&root, "iam:ListAccountAliases", "{}", "AccountAliases"), "0"));
	works(&root, "iam:CreateUser", "{'UserName':'ana'}");
	check(!strcmp(say(&root, "iam:GetAccountSummary", "{}", "SummaryMap.Users"), "1"));
	check(!strcmp(
		say(&root, "iam:GetAccountSummary", "{}", "SummaryMap.AccountAccessKeysPresent"),
		"1"));
	ends(&root, "iam:GetAccountPasswordPolicy", "{}", "NoSuchEntity");
	works(&root, "iam:UpdateAccountPasswordPolicy", "{'MinimumPasswordLength':12}");
	check(!strcmp(say(&root, "iam:GetAccountPasswordPolicy", "{}",
			  "PasswordPolicy.MinimumPasswordLength"),
		      "12"));
	check(!strcmp(say(&root, "iam:GetAccountAuthorizationDetails", "{'Filter':['User']}",
			  "UserDetailList.0.UserName"),
		      "ana"));
	end();
}

/* ---- test mode ---------------------------------------------------------------------------- */

static void test_suites_need_no_secret_and_can_forget(void)
{
	struct signer test = {.access_key_id = "FOOBARKEY", .secret = "whatever"};
	struct signer other = {.access_key_id = "999999999999", .secret = "x"}, ana;
	char account[AWS_ACCOUNT_SIZE];

	begin();
	ana = make_user("ana");
	close_all();
	check(open_again(true) == 0, "%s", why.text);
	check(!strcmp(say(&test, "sts:GetCallerIdentity", "{}", "Arn"),
		      "arn:aws:iam::123456789012:root"));
	skew_us = INT64_C(400) * 86400 * S; /* of any time */
	check(!strcmp(say(&other, "sts:GetCallerIdentity", "{}", "Account"), "999999999999"));
	skew_us = 0;
	works(&test, "iam:CreateUser", "{'UserName':'ana'}");
	works(&other, "iam:CreateUser", "{'UserName':'ben'}");
	check(!strcmp(say(&other, "iam:ListUsers", "{}", "Users"), "1"), "nobody else's");
	check(make_role("r", "{'Version':'2012-10-17','Statement':{'Effect':'Allow','Action':"
			     "'sts:AssumeRole','Principal':{'Service':'ec2.amazonaws.com'}}}"));
	works(&test, "iam:CreateRole", "{'RoleName':'r','AssumeRolePolicyDocument':'some policy'}");
	works(&test, "sts:AssumeRole",
	      "{'RoleArn':'arn:aws:iam::123456789012:role/r','RoleSessionName':'s'}");
	check(identity_forget(identity) == 0);
	check(!strcmp(say(&other, "iam:ListUsers", "{}", "Users"), "0"));
	check(!strcmp(say(&test, "iam:ListRoles", "{}", "Roles"), "0"));
	check(authenticate(&ana, "sts") == AWS_FAULT);
	check(authenticate(&root, "sts") == 0, "the machine's own root stays");
	snprintf(account, sizeof account, "%s", identity_account(identity));
	restart();
	check(!strcmp(account, identity_account(identity)), "and so does its account");
	check(authenticate(&root, "sts") == 0);
	end();
}

/* ---- threads ------------------------------------------------------------------------------ */

static atomic_bool stop;
static struct signer busy_ana;

static void *authenticate_on_and_on(void *arg)
{
	CLEANUP(buffer) struct buffer authorization = {0};
	struct http_double http;
	unsigned *bad = arg;
	char time[17];

	double_init(&http, "POST", "/", "");
	sign(&http, &busy_ana, "eu-west-1", "sts", &authorization, time);
	while (!stop) {
		struct aws_call own = {.now_us = clock_realtime_us(), .source_ip = "127.0.0.1"};
		struct aws_touched touched = {0};

		if (identity_authenticate(identity, &http.request, &own) < 0) {
			(*bad)++;
			continue;
		}
		aws_touch(&touched, NULL, "%s", SHOP);
		identity_authorize(identity, &own, "rds:StopDBCluster", &touched);
		aws_touched_done(&touched);
	}
	return NULL;
}

static void changes_disturb_nobody_who_is_being_asked_about(void)
{
	pthread_t threads[3];
	unsigned bad[3] = {0};

	begin();
	busy_ana = make_user("ana");
	stop = false;
	for (unsigned i = 0; i < 3; i++)
		check(!pthread_create(&threads[i], NULL, authenticate_on_and_on, &bad[i]));
	for (unsigned i = 0; i < 15; i++) {
		char input[64];

		snprintf(input, sizeof input, "{'UserName':'u%u'}", i);
		works(&root, "iam:CreateUser", input);
		put_policy("User", "ana", MAY_ALL);
		works(&root, "iam:DeleteUserPolicy", "{'UserName':'ana','PolicyName':'p'}");
		works(&root, "iam:DeleteUser", input);
	}
	stop = true;
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		check(!bad[i], "%u times not who she is", bad[i]);
	}
	end();
}

int main(void)
{
	RUN(the_first_start_makes_an_account_whose_key_is_told_once);
	RUN(what_is_not_signed_by_a_known_key_is_refused);
	RUN(secrets_are_sealed_with_a_key_that_only_its_owner_reads);
	RUN(a_user_has_two_keys_to_rotate);
	RUN(a_user_may_what_its_policies_and_groups_say);
	RUN(a_boundary_takes_away_and_gives_nothing);
	RUN(the_policies_that_come_with_us_do_what_they_promise);
	RUN(who_hands_out_permissions_can_be_bound_to_some_of_them);
	RUN(a_role_is_assumed_by_whom_it_trusts);
	RUN(a_role_knows_when_and_where_a_session_of_it_was_used);
	RUN(a_session_is_bound_by_its_policies_its_time_and_its_token);
	RUN(a_session_ends);
	RUN(a_federated_user_may_what_both_allow);
	RUN(an_account_has_no_more_than_its_quota);
	RUN(names_are_taken_in_any_case_of_letters);
	RUN(a_policy_has_five_versions_of_which_one_counts);
	RUN(documents_are_checked_and_limited);
	RUN(tags_are_kept_in_any_case_of_their_keys);
	RUN(a_simulation_says_what_would_be);
	RUN(an_account_has_an_alias_and_a_summary);
	RUN(test_suites_need_no_secret_and_can_forget);
	RUN(changes_disturb_nobody_who_is_being_asked_about);
	return tap_done();
}
