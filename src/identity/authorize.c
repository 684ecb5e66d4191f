#include "base/alloc.h"
#include "identity/identity.h"
#include "identity/principal.h"

#include <string.h>

static const char *const source_names[] = {
	[POLICY_BY_IDENTITY] = "identity-based policy",
	[POLICY_BY_BOUNDARY] = "permissions boundary",
	[POLICY_BY_SESSION] = "session policy",
};

static int deny(struct aws_call *call, const char *action, const char *resource,
		const struct policy_decision *decision)
{
	const char *source = source_names[decision->source];

	if (decision->verdict == POLICY_DENY)
		return aws_fault(
			call, "AccessDenied",
			"User: %s is not authorized to perform: %s on resource: %s with an "
			"explicit deny in %s %s",
			call->caller.arn, action, resource, strchr("aeiou", *source) ? "an" : "a",
			source);
	return aws_fault(call, "AccessDenied",
			 "User: %s is not authorized to perform: %s on resource: %s because no %s "
			 "allows the %s action",
			 call->caller.arn, action, resource, source, action);
}

/* aws:ResourceTag/KEY, and as the services call it: rds:cluster-tag/KEY, iam:ResourceTag/KEY. */
static void add_resource_tags(struct context *context, const char *action, const json_t *tags)
{
	int service = (int)strcspn(action, ":");
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)tags, key, value) {
		const char *text = json_string_value(value);
		CLEANUP(free) char *common = NULL, *own = NULL;

		xcheck(asprintf(&common, "aws:ResourceTag/%s", key) < 0 ? NULL : common);
		xcheck(asprintf(&own, "%.*s:%s/%s", service, action,
				strncmp(action, "rds:", 4) ? "ResourceTag" : "cluster-tag", key) < 0
			       ? NULL
			       : own);
		context_add(context, common, text);
		context_add(context, own, text);
	}
}

static int authorize_one(struct aws_call *call, const struct policy_sources *sources,
			 const struct context *known, const char *action, const char *arn,
			 const json_t *tags)
{
	CLEANUP(context) struct context context;
	struct policy_request request = {
		.action = action, .resource = arn, .context = &context.policy};
	struct policy_decision decision;

	context_init(&context, known);
	add_resource_tags(&context, action, tags);
	decision = policy_decide(sources, &request);
	return decision.verdict == POLICY_ALLOW ? 0 : deny(call, action, arn, &decision);
}

/* With `lock` held. */
static int authorize(struct identity *identity, struct aws_call *call, const char *action,
		     const struct aws_touched *touched)
{
	CLEANUP(principal_policies) struct principal_policies policies = {0};
	CLEANUP(context) struct context context;
	struct policy_sources sources;
	struct who who;
	int r = 0;

	context_init(&context, NULL);
	if (!principal_find(identity, &call->caller, &who))
		return aws_fault(call, "InvalidClientTokenId",
				 "The security token included in the request is invalid");
	if (who.kind == PRINCIPAL_ROOT)
		return 0;
	principal_context(&who, call, &context);
	principal_policies(identity, &who, &policies);
	sources = principal_sources(&policies);
	if (!touched || !touched->count)
		return authorize_one(call, &sources, &context, action, "*", NULL);
	for (unsigned i = 0; i < touched->count && r == 0; i++)
		r = authorize_one(call, &sources, &context, action, touched->items[i].arn,
				  touched->items[i].tags);
	return r;
}

int identity_authorize(struct identity *identity, struct aws_call *call, const char *action,
		       const struct aws_touched *touched)
{
	int r;

	pthread_rwlock_rdlock(&identity->lock);
	r = authorize(identity, call, action, touched);
	pthread_rwlock_unlock(&identity->lock);
	return r;
}
