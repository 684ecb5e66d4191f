/*
 * IAM: what would be allowed.  The same evaluation as of real requests, with the keys of the
 * context that the caller gives.
 */
#include "base/alloc.h"
#include "identity/iam.h"
#include "identity/principal.h"

#include <string.h>

/* Policies that came with the call, to be freed, in the lists that evaluation looks at. */
struct simulation {
	struct principal_policies policies;
	struct policy **given;
	unsigned given_count, given_room;
	struct context known;   /* of the user, group or role */
	struct context context; /* what is given, before that */
};

static void simulation_begin(struct simulation *simulation)
{
	*simulation = (struct simulation){0};
	context_init(&simulation->known, NULL);
	context_init(&simulation->context, &simulation->known);
}

static void simulation_done(struct simulation *simulation)
{
	principal_policies_done(&simulation->policies);
	policies_free(simulation->given, simulation->given_count);
	context_done(&simulation->context);
	context_done(&simulation->known);
}

static int add_given(struct simulation *simulation, struct aws_call *call, const char *member,
		     struct gathered *list)
{
	json_t *text;
	size_t i;

	json_array_foreach (json_object_get(call->input, member), i, text) {
		struct policy *policy;
		struct problem why;

		if (policy_parse(json_string_value(text), POLICY_SESSION, &policy, &why) < 0)
			return aws_fault(call, "InvalidInput", "%s: %s", member, why.text);
		xgrow(simulation->given, simulation->given_count, simulation->given_room);
		simulation->given[simulation->given_count++] = policy;
		xgrow(list->items, list->count, list->room);
		list->items[list->count++] = policy;
	}
	return 0;
}

static int add_all_given(struct simulation *simulation, struct aws_call *call)
{
	struct principal_policies *policies = &simulation->policies;
	int r = add_given(simulation, call, "PolicyInputList", &policies->identity);

	if (r < 0 ||
	    !json_array_size(json_object_get(call->input, "PermissionsBoundaryPolicyInputList")))
		return r;
	/* The given one takes the place of what there is. */
	policies->bounded = true;
	policies->boundary.count = 0;
	return add_given(simulation, call, "PermissionsBoundaryPolicyInputList",
			 &policies->boundary);
}

/* [{"ContextKeyName", "ContextKeyValues": [...]}, ...] */
static void add_entries(struct context *context, const json_t *entries)
{
	size_t i, k;
	json_t *entry, *value;

	json_array_foreach (entries, i, entry) {
		const char *key = json_string_value(json_object_get(entry, "ContextKeyName"));

		json_array_foreach (json_object_get(entry, "ContextKeyValues"), k, value) {
			if (key)
				context_add(context, key, json_string_value(value));
		}
	}
}

struct missing {
	const struct context *context;
	json_t *names;
};

static void add_missing(const char *key, void *arg)
{
	struct missing *missing = arg;
	struct context_values values;

	if (!context_find(&missing->context->policy, key, &values) &&
	    !iam_has_text(missing->names, key))
		json_array_append_new(missing->names, json_string(key));
}

static json_t *missing_keys(const struct simulation *simulation)
{
	const struct gathered *list = &simulation->policies.identity;
	struct missing missing = {&simulation->context, json_array()};

	for (unsigned i = 0; i < list->count; i++)
		policy_keys(list->items[i], add_missing, &missing);
	return missing.names;
}

static json_t *simulate_one(const struct simulation *simulation, const char *action,
			    const char *resource)
{
	static const char *const verdicts[] = {
		[POLICY_NOTHING] = "implicitDeny",
		[POLICY_ALLOW] = "allowed",
		[POLICY_DENY] = "explicitDeny",
	};
	struct policy_sources sources = principal_sources(&simulation->policies);
	struct policy_request request = {
		.action = action, .resource = resource, .context = &simulation->context.policy};
	struct policy_decision decision = policy_decide(&sources, &request);
	json_t *matched = json_array();

	if (decision.statement)
		json_array_append_new(matched, json_pack("{s:s, s:s}", "SourcePolicyId",
							 decision.statement->sid,
							 "SourcePolicyType", "IAM Policy"));
	return json_pack("{s:s, s:s, s:s, s:o, s:o}", "EvalActionName", action, "EvalResourceName",
			 resource, "EvalDecision", verdicts[decision.verdict], "MatchedStatements",
			 matched, "MissingContextValues", missing_keys(simulation));
}

static json_t *simulate(const struct simulation *simulation, const struct aws_call *call)
{
	const json_t *resources = json_object_get(call->input, "ResourceArns");
	json_t *results = json_array(), *action, *resource;
	size_t i, k;

	json_array_foreach (json_object_get(call->input, "ActionNames"), i, action) {
		const char *name = json_string_value(action);

		if (!json_array_size(resources))
			json_array_append_new(results, simulate_one(simulation, name, "*"));
		json_array_foreach (resources, k, resource)
			json_array_append_new(results, simulate_one(simulation, name,
								    json_string_value(resource)));
	}
	return iam_list("EvaluationResults", results);
}

static int check_actions(struct aws_call *call)
{
	json_t *action;
	size_t i;

	json_array_foreach (json_object_get(call->input, "ActionNames"), i, action) {
		if (!strchr(json_string_value(action), ':'))
			return aws_fault(call, "InvalidInput",
					 "Invalid input: the action %s must be prefaced by a "
					 "service, as in rds:DescribeDBClusters",
					 json_string_value(action));
	}
	return 0;
}

/* The user, group or role of an ARN of the caller's account. */
static struct entity *find_by_arn(struct identity *identity, struct aws_call *call, const char *arn)
{
	static const enum entity_kind kinds[] = {ENTITY_USER, ENTITY_GROUP, ENTITY_ROLE};
	const char *name = strrchr(arn, '/');

	for (unsigned i = 0; name && i < ARRAY_SIZE(kinds); i++) {
		struct entity *entity =
			store_find(identity, kinds[i], call->caller.account, name + 1);

		if (entity && !strcmp(entity_text(entity, "Arn"), arn))
			return entity;
	}
	aws_fault(call, "NoSuchEntity", "The principal with ARN %s cannot be found.", arn);
	return NULL;
}

int iam_simulate_custom(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct simulation simulation;
	int r = check_actions(call);

	if (r < 0)
		return r;
	simulation_begin(&simulation);
	add_entries(&simulation.context, json_object_get(call->input, "ContextEntries"));
	r = add_all_given(&simulation, call);
	if (r == 0)
		*ret = simulate(&simulation, call);
	simulation_done(&simulation);
	return r;
}

int iam_simulate_principal(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *party = find_by_arn(identity, call, iam_text(call, "PolicySourceArn"));
	struct simulation simulation;
	struct who who = {.party = party};
	int r = party ? check_actions(call) : AWS_FAULT;

	if (r < 0)
		return r;
	simulation_begin(&simulation);
	add_entries(&simulation.context, json_object_get(call->input, "ContextEntries"));
	principal_context_of(party, &simulation.known);
	principal_policies(identity, &who, &simulation.policies);
	r = add_all_given(&simulation, call);
	if (r == 0)
		*ret = simulate(&simulation, call);
	simulation_done(&simulation);
	return r;
}

static int show_keys(struct simulation *simulation, struct aws_call *call, json_t **ret)
{
	int r = add_given(simulation, call, "PolicyInputList", &simulation->policies.identity);

	if (r == 0)
		*ret = json_pack("{s:o}", "ContextKeyNames", missing_keys(simulation));
	simulation_done(simulation);
	return r;
}

int iam_context_keys_custom(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct simulation simulation;

	simulation_begin(&simulation);
	return show_keys(&simulation, call, ret);
}

int iam_context_keys_principal(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *party = find_by_arn(identity, call, iam_text(call, "PolicySourceArn"));
	struct simulation simulation;
	struct who who = {.party = party};

	if (!party)
		return AWS_FAULT;
	simulation_begin(&simulation);
	principal_policies(identity, &who, &simulation.policies);
	return show_keys(&simulation, call, ret);
}
