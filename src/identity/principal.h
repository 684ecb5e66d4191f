/*
 * Principal: who a caller is, and what is said of him.  For this folder only; all of it with
 * `lock` or `change` held, but for what needs no identity.
 */
#pragma once

#include "aws/call.h"
#include "identity/context.h"
#include "identity/evaluate.h"
#include "identity/store.h"

enum principal_kind { PRINCIPAL_ROOT, PRINCIPAL_USER, PRINCIPAL_ROLE, PRINCIPAL_FEDERATED };

struct who {
	enum principal_kind kind;
	const struct entity *party;    /* the user or role; NULL for root */
	const struct session *session; /* NULL without one */
};

/* Fill in account, arn and user_id of who has that key, or that session.  False: the user or role
 * is no more. */
bool principal_describe(const struct identity *identity, const struct entity *key,
			const struct session *session, struct aws_caller *ret);
void principal_describe_root(const char *account, struct aws_caller *ret);
/* The account of an access key that needs no proof; NULL when it is none. */
const char *principal_test_account(const char *access_key_id);

/* Who that is now.  False: his key, user or role is no more. */
bool principal_find(const struct identity *identity, const struct aws_caller *caller,
		    struct who *ret);

/* What is known of the caller and of the request: aws:username, aws:SourceIp, ... */
void principal_context(const struct who *who, const struct aws_call *call, struct context *context);
/* The same of a user or role by itself, as simulations want it. */
void principal_context_of(const struct entity *party, struct context *context);

/* The policies that decide for him; gathered into one array each. */
struct gathered {
	const struct policy **items;
	unsigned count, room;
};
struct principal_policies {
	struct gathered identity, boundary, session;
	bool bounded, in_session;
};
void principal_policies(const struct identity *identity, const struct who *who,
			struct principal_policies *ret);
void principal_policies_done(struct principal_policies *policies);
struct policy_sources principal_sources(const struct principal_policies *policies);
static inline void principal_policies_cleanup(struct principal_policies *policies)
{
	principal_policies_done(policies);
}

/* "arn:aws:iam::ACCOUNT:policy/path/NAME": the policy; NULL without one. */
struct entity *principal_policy(const struct identity *identity, const char *arn);
