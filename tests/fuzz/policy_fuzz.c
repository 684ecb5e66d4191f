/*
 * Any text, as a policy of each kind.  One that is taken is evaluated, with a context that has
 * something of everything; one that is not is refused with words.
 *
 * Before a NUL in the input there may be the value of aws:username, which no policy can make more
 * of than a text.
 */
#include "base/alloc.h"
#include "identity/context.h"
#include "identity/evaluate.h"
#include "identity/policy.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void see_key(const char *key, void *arg)
{
	assert(strlen(key) < POLICY_TEXT_MAX);
}

static void add_keys(struct context *context, const char *username)
{
	context_add(context, "aws:username", username);
	context_add(context, "aws:SourceIp", "203.0.113.77");
	context_add(context, "aws:CurrentTime", "2026-11-27T14:00:00Z");
	context_add(context, "aws:EpochTime", "1795788000");
	context_add(context, "aws:SecureTransport", "true");
	context_add(context, "aws:TagKeys", "team");
	context_add(context, "aws:TagKeys", "cost");
	context_add(context, "aws:PrincipalArn", "arn:aws:iam::123456789012:user/ana");
	context_add(context, "x:b", "QUJD");
}

static void evaluate(const struct policy *policy, const char *username)
{
	CLEANUP(context) struct context context;
	struct policy_request request = {
		.action = "s3:GetObject",
		.resource = "arn:aws:s3:::bucket/home/ana",
		.principal_arn = "arn:aws:iam::123456789012:user/ana",
		.principal_account = "123456789012",
		.context = &context.policy,
	};
	const struct policy_statement *statement;
	enum policy_verdict verdict;

	context_init(&context, NULL);
	add_keys(&context, username);
	verdict = policy_evaluate(policy, &request, &statement);
	assert(!statement == (verdict == POLICY_NOTHING));
	assert(!statement || statement->allow == (verdict == POLICY_ALLOW));
	policy_trust(policy, &request);
	policy_keys(policy, see_key, NULL);
}

static void try_kind(const char *text, enum policy_kind kind, const char *username)
{
	CLEANUP(policy) struct policy *policy = NULL;
	struct problem why = {""};
	int r = policy_parse(text, kind, &policy, &why);

	if (r < 0) {
		assert(r == -EINVAL && why.text[0] && !policy);
		return;
	}
	assert(policy->count > 0);
	evaluate(policy, username);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size + 1);
	const char *username = "ana", *document = text;

	memcpy(text, data, size);
	text[size] = '\0';
	if (memchr(text, '\0', size)) {
		username = text;
		document = text + strlen(text) + 1;
	}
	try_kind(document, POLICY_IDENTITY, username);
	try_kind(document, POLICY_SESSION, username);
	try_kind(document, POLICY_TRUST, username);
	free(text);
	return 0;
}
