#include "identity/evaluate.h"

#include <stdio.h>
#include <string.h>

static bool patterns_hold(const struct policy_patterns *patterns, const char *text,
			  const struct policy_context *context, bool fold)
{
	/* A trust policy has no resources: it is about the role that it belongs to. */
	if (!patterns->there)
		return true;
	for (unsigned i = 0; i < patterns->count; i++) {
		if (pattern_match(patterns->codes[i], text, context, fold))
			return !patterns->negated;
	}
	return patterns->negated;
}

static bool statement_holds(const struct policy_statement *statement,
			    const struct policy_request *request)
{
	if (!patterns_hold(&statement->actions, request->action, request->context, true) ||
	    !patterns_hold(&statement->resources, request->resource, request->context, false))
		return false;
	for (unsigned i = 0; i < statement->condition_count; i++) {
		if (!condition_holds(&statement->conditions[i], request->context))
			return false;
	}
	return true;
}

enum policy_verdict policy_evaluate(const struct policy *policy,
				    const struct policy_request *request,
				    const struct policy_statement **ret_statement)
{
	const struct policy_statement *allows = NULL;

	*ret_statement = NULL;
	for (unsigned i = 0; i < policy->count; i++) {
		const struct policy_statement *statement = &policy->statements[i];

		if ((statement->allow && allows) || !statement_holds(statement, request))
			continue;
		if (!statement->allow) {
			*ret_statement = statement;
			return POLICY_DENY;
		}
		allows = statement;
	}
	*ret_statement = allows;
	return allows ? POLICY_ALLOW : POLICY_NOTHING;
}

/* All of a list: one Deny denies, one Allow allows. */
static struct policy_decision decide_list(const struct policy_list *list, enum policy_source source,
					  const struct policy_request *request)
{
	struct policy_decision decision = {.source = source};

	for (unsigned i = 0; i < list->count; i++) {
		const struct policy_statement *statement;
		enum policy_verdict verdict = policy_evaluate(list->items[i], request, &statement);

		if (verdict <= decision.verdict)
			continue;
		decision.verdict = verdict;
		decision.statement = statement;
		decision.policy = list->items[i];
		if (verdict == POLICY_DENY)
			break;
	}
	return decision;
}

struct policy_decision policy_decide(const struct policy_sources *sources,
				     const struct policy_request *request)
{
	struct policy_decision decisions[3];
	unsigned count = 0;

	decisions[count++] = decide_list(&sources->identity, POLICY_BY_IDENTITY, request);
	if (sources->bounded)
		decisions[count++] = decide_list(&sources->boundary, POLICY_BY_BOUNDARY, request);
	if (sources->in_session)
		decisions[count++] = decide_list(&sources->session, POLICY_BY_SESSION, request);
	for (unsigned i = 0; i < count; i++) {
		if (decisions[i].verdict == POLICY_DENY)
			return decisions[i];
	}
	for (unsigned i = 0; i < count; i++) {
		if (decisions[i].verdict == POLICY_NOTHING)
			return decisions[i];
	}
	return decisions[0];
}

static bool is_account(const char *name, const char *account)
{
	char root[64];

	snprintf(root, sizeof root, "arn:aws:iam::%s:root", account);
	return !strcmp(name, account) || !strcmp(name, root);
}

/* How closely a principal of a policy means who asks. */
static enum trust_verdict principal_match(const struct policy_principal *principal,
					  const struct policy_request *request)
{
	const char *role = request->principal_role_arn;

	if (strcmp(principal->kind, "AWS") && strcmp(principal->kind, "*"))
		return TRUST_NOTHING;
	if (!strcmp(principal->name, "*") || !strcmp(principal->name, request->principal_arn) ||
	    (role && !strcmp(principal->name, role)))
		return TRUST_NAMED;
	return is_account(principal->name, request->principal_account) ? TRUST_ACCOUNT
								       : TRUST_NOTHING;
}

static enum trust_verdict principals_match(const struct policy_statement *statement,
					   const struct policy_request *request)
{
	enum trust_verdict best = TRUST_NOTHING;

	for (unsigned i = 0; i < statement->principal_count; i++) {
		enum trust_verdict verdict = principal_match(&statement->principals[i], request);

		if (verdict > best)
			best = verdict;
	}
	if (statement->principals_negated)
		return best == TRUST_NOTHING ? TRUST_NAMED : TRUST_NOTHING;
	return best;
}

enum trust_verdict policy_trust(const struct policy *policy, const struct policy_request *request)
{
	enum trust_verdict best = TRUST_NOTHING;

	for (unsigned i = 0; i < policy->count; i++) {
		const struct policy_statement *statement = &policy->statements[i];
		enum trust_verdict verdict = principals_match(statement, request);

		if (verdict == TRUST_NOTHING || !statement_holds(statement, request))
			continue;
		if (!statement->allow)
			return TRUST_DENY;
		if (verdict > best)
			best = verdict;
	}
	return best;
}
