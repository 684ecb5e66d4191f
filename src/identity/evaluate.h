/*
 * Evaluate: what policies say of a request.
 *
 *	1. a Deny that matches, anywhere: denied
 *	2. the identity's policies: one must allow
 *	3. its permissions boundary, where it has one: must allow as well
 *	4. the session's policies, where it has any: one must allow as well
 *
 * No policy at all is no permission at all.
 */
#pragma once

#include "identity/policy.h"

struct policy_request {
	const char *action;   /* "rds:BacktrackDBCluster" */
	const char *resource; /* an ARN, or "*" */
	/* Of who asks, for policies with principals. */
	const char *principal_arn;      /* arn:aws:iam::A:user/ana, arn:aws:iam::A:root,
					   arn:aws:sts::A:assumed-role/R/S */
	const char *principal_role_arn; /* of the role that it is a session of; else NULL */
	const char *principal_account;
	const struct policy_context *context;
};

struct policy_list {
	const struct policy *const *items;
	unsigned count;
};

struct policy_sources {
	struct policy_list identity;
	struct policy_list boundary; /* with `bounded` */
	struct policy_list session;  /* with `in_session` */
	bool bounded;
	bool in_session;
};

enum policy_verdict { POLICY_NOTHING, POLICY_ALLOW, POLICY_DENY };
enum policy_source { POLICY_BY_IDENTITY, POLICY_BY_BOUNDARY, POLICY_BY_SESSION };

struct policy_decision {
	enum policy_verdict verdict; /* POLICY_NOTHING: nobody allowed it */
	enum policy_source source;   /* which of them denies, or does not allow */
	/* The statement that decided, and its policy; NULL where it was that there is none. */
	const struct policy_statement *statement;
	const struct policy *policy;
};

/* One policy, one request. */
enum policy_verdict policy_evaluate(const struct policy *policy,
				    const struct policy_request *request,
				    const struct policy_statement **ret_statement);
struct policy_decision policy_decide(const struct policy_sources *sources,
				     const struct policy_request *request);

/*
 * What a trust policy says to the one who asks.  It may name him, or his account: then it leaves
 * the decision to that account, whose policies must allow it besides.
 */
enum trust_verdict { TRUST_NOTHING, TRUST_DENY, TRUST_ACCOUNT, TRUST_NAMED };
enum trust_verdict policy_trust(const struct policy *policy, const struct policy_request *request);
