/*
 * Goal: a request that is repeated with its token happens once, whatever became of the first one.
 *
 * The service is a model of our own (models/toy), whose one operation has a token and a dry run.
 */
#include "serve/once.h"

#include "aws/check.h"
#include "tap.h"

#include <ftw.h>
#include <unistd.h>

#define NOW_US INT64_C(1795000000000000)

static const struct state_part *const parts[] = {&once_state_part, NULL};
static char path[96];

/* What the toys' handler does next, and how often it did. */
static struct {
	struct state *state;
	int made;
	bool fails;
	bool asks; /* the same again, while it is not done yet */
	char inner_code[128];
} toys;

static struct aws_call make_call(json_t *input)
{
	struct aws_call call = {.service = aws_service_find("toy"),
				.region = "us-east-1",
				.now_us = NOW_US,
				.caller = {.account = "123456789012"},
				.input = input};

	call.operation = aws_operation_find(call.service, "CreateToy", strlen("CreateToy"));
	return call;
}

static int create_toy(void *userdata, struct aws_call *call, json_t **ret);

static const struct aws_handler handler = {.operation = "CreateToy", .handle = create_toy};

static int create_toy(void *userdata, struct aws_call *call, json_t **ret)
{
	check(userdata == &toys);
	if (toys.asks) {
		json_auto_t *answer = NULL;
		struct aws_call again = make_call(json_deep_copy(call->input));

		toys.asks = false;
		check(once_handle(toys.state, &handler, &toys, &again, &answer) == AWS_FAULT);
		snprintf(toys.inner_code, sizeof toys.inner_code, "%s", again.fault.code);
		aws_call_done(&again);
	}
	if (toys.fails)
		return aws_fault(call, "ToyInUse", "no");
	*ret = json_pack("{s:i}", "Number", ++toys.made);
	return 0;
}

/* Ask with that input (stolen); the number of the toy, or -1 with the fault's code in `code`. */
static int ask_as(const char *account, const char *region, int64_t now_us, json_t *input,
		  char code[128])
{
	struct aws_call call = make_call(input);
	json_auto_t *answer = NULL;
	int r;

	snprintf(call.caller.account, sizeof call.caller.account, "%s", account);
	snprintf(call.region, sizeof call.region, "%s", region);
	call.now_us = now_us;
	r = aws_check(&call);
	if (r == 0)
		r = once_handle(toys.state, &handler, &toys, &call, &answer);
	snprintf(code, 128, "%s", call.fault.code);
	aws_call_done(&call);
	return r == 0 ? (int)json_integer_value(json_object_get(answer, "Number")) : -1;
}

static int ask(const char *name, const char *token, char code[128])
{
	return ask_as("123456789012", "us-east-1", NOW_US,
		      json_pack("{s:s, s:s*}", "Name", name, "ClientToken", token), code);
}

static void open_toys(void)
{
	struct problem why;

	check(state_open(path, parts, &toys.state, &why) == 0, "%s", why.text);
	check(once_start(toys.state) == 0);
}

static void the_same_again_is_the_first_answer_and_nothing_happens(void)
{
	char code[128];
	int first = ask("bear", "t1", code), made = toys.made;

	check(first > 0 && ask("bear", "t1", code) == first && toys.made == made, "%s", code);
	check(ask_as("123456789012", "us-east-1", NOW_US,
		     json_pack("{s:s, s:s}", "ClientToken", "t1", "Name", "bear"), code) == first,
	      "in another order: %s", code);
	check(ask("bear", "t2", code) == made + 1, "another token is another request");
	check(ask("bear", NULL, code) == made + 2 && ask("bear", NULL, code) == made + 3,
	      "without one, each is");
}

static void the_same_token_with_another_input_is_refused(void)
{
	char code[128];
	int made = toys.made;

	check(ask("bear", "other", code) > 0);
	check(ask("duck", "other", code) == -1 && toys.made == made + 1);
	check(strcmp(code, "IdempotentParameterMismatch") == 0, "%s", code);
}

static void a_token_is_its_account_s_and_its_region_s(void)
{
	char code[128];
	int first = ask("bear", "mine", code);
	json_t *input = json_pack("{s:s, s:s}", "Name", "bear", "ClientToken", "mine");
	int other = ask_as("999999999999", "us-east-1", NOW_US, json_deep_copy(input), code);

	check(other > first, "%s", code);
	check(ask_as("123456789012", "eu-west-1", NOW_US, input, code) > other, "%s", code);
}

/* Does the database's file, or the one beside it, hold that text? */
static bool file_has(const char *text, const char *suffix)
{
	char name[128], *found = NULL, bytes[1 << 16];
	FILE *file;

	snprintf(name, sizeof name, "%s%s", path, suffix);
	file = fopen(name, "rb");
	if (!file)
		return false;
	for (size_t size; !found && (size = fread(bytes, 1, sizeof bytes, file)) > 0;)
		found = memmem(bytes, size, text, strlen(text));
	fclose(file);
	return found;
}

static void a_secret_is_not_compared_and_not_kept(void)
{
	char code[128];
	int first = ask_as("123456789012", "us-east-1", NOW_US,
			   json_pack("{s:s, s:s, s:s}", "Name", "bear", "Password", "s3cretive",
				     "ClientToken", "secret"),
			   code);

	check(ask_as("123456789012", "us-east-1", NOW_US,
		     json_pack("{s:s, s:s, s:s}", "Name", "bear", "Password", "another1",
			       "ClientToken", "secret"),
		     code) == first,
	      "%s", code);
	check(file_has("CreateToy/secret", "") || file_has("CreateToy/secret", "-wal"),
	      "the search finds what is there");
	check(!file_has("s3cretive", "") && !file_has("s3cretive", "-wal"));
}

static void what_ended_in_a_fault_can_be_tried_again(void)
{
	char code[128];

	toys.fails = true;
	check(ask("bear", "unlucky", code) == -1 && strcmp(code, "ToyInUse") == 0, "%s", code);
	toys.fails = false;
	check(ask("bear", "unlucky", code) == toys.made, "%s", code);
}

static void a_second_one_in_the_meantime_is_told_so(void)
{
	char code[128];
	int made = toys.made;

	toys.asks = true;
	check(ask("bear", "twice", code) == made + 1 && toys.made == made + 1, "%s", code);
	check(strcmp(toys.inner_code, "RequestInProgress") == 0, "%s", toys.inner_code);
}

static void a_token_is_forgotten_after_its_hours(void)
{
	const int64_t later = NOW_US + (ONCE_HOURS * INT64_C(3600) + 1) * 1000000;
	char code[128];
	int first = ask("bear", "old", code);
	json_t *input = json_pack("{s:s, s:s}", "Name", "bear", "ClientToken", "old");

	check(ask_as("123456789012", "us-east-1", later - 2000000, json_deep_copy(input), code) ==
	      first);
	check(ask_as("123456789012", "us-east-1", later, input, code) > first, "%s", code);
}

static int begin_only(sqlite3 *db, void *arg)
{
	(void)arg;
	return state_run(db,
			 "INSERT INTO once (key, input, time_us) SELECT '123456789012/us-east-1/"
			 "toy/CreateToy/torn', input, time_us FROM once LIMIT 1",
			 "");
}

static void answers_outlive_the_process_and_what_was_torn_can_be_tried_again(void)
{
	char code[128];
	int first = ask("bear", "kept", code);

	check(state_write(toys.state, begin_only, NULL) == 0);
	state_close(toys.state);
	open_toys();
	check(ask("bear", "kept", code) == first, "%s", code);
	check(ask("bear", "torn", code) > first, "%s", code);
}

static void a_dry_run_says_that_it_would_have_succeeded_and_does_nothing(void)
{
	char code[128];
	int made = toys.made;

	check(ask_as("123456789012", "us-east-1", NOW_US,
		     json_pack("{s:s, s:b, s:s}", "Name", "bear", "DryRun", true, "ClientToken",
			       "dry"),
		     code) == -1);
	check(strcmp(code, "DryRunOperation") == 0 && toys.made == made, "%s", code);
	check(ask_as("123456789012", "us-east-1", NOW_US, json_pack("{s:b}", "DryRun", true),
		     code) == -1);
	check(strcmp(code, "ValidationError") == 0, "what would not have succeeded: %s", code);
	check(ask("bear", "dry", code) == made + 1, "it did not use up the token: %s", code);
}

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(name);
}

int main(void)
{
	char dir[] = "/tmp/unspill-once-XXXXXX";

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof path, "%s/once.db", dir);
	open_toys();
	RUN(the_same_again_is_the_first_answer_and_nothing_happens);
	RUN(the_same_token_with_another_input_is_refused);
	RUN(a_token_is_its_account_s_and_its_region_s);
	RUN(a_secret_is_not_compared_and_not_kept);
	RUN(what_ended_in_a_fault_can_be_tried_again);
	RUN(a_second_one_in_the_meantime_is_told_so);
	RUN(a_token_is_forgotten_after_its_hours);
	RUN(answers_outlive_the_process_and_what_was_torn_can_be_tried_again);
	RUN(a_dry_run_says_that_it_would_have_succeeded_and_does_nothing);
	state_close(toys.state);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return tap_done();
}
