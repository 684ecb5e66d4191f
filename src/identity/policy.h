/*
 * Policy: a document of the policy language, checked as IAM checks it and compiled for evaluation.
 * It never changes once it is parsed.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"
#include "identity/condition.h"

#include <stdbool.h>

enum policy_kind {
	POLICY_IDENTITY, /* of users, groups, roles; managed; a boundary: no Principal, version
			    2012-10-17 */
	POLICY_SESSION,  /* as that, of any version */
	POLICY_TRUST,    /* who may assume a role: has Principals, and no Resource */
};

/* "AWS": "arn:..." */
struct policy_principal {
	char *kind; /* "AWS", "Service", "Federated", "CanonicalUser"; "*" for both */
	char *name;
};

/* Actions, resources: like any of them, or with `negated` like none. */
struct policy_patterns {
	char **codes; /* match.h */
	unsigned count;
	bool there;
	bool negated;
};

struct policy_statement {
	char *sid; /* "" without one */
	bool allow;
	struct policy_principal *principals;
	unsigned principal_count;
	bool principals_negated;
	struct policy_patterns actions;
	struct policy_patterns resources;
	struct condition *conditions;
	unsigned condition_count;
};

struct policy {
	struct policy_statement *statements;
	unsigned count;
};

/* Documents are never longer than that, whatever the quota of what they are for. */
#define POLICY_TEXT_MAX 131072

/*
 * -EINVAL with IAM's words for what is wrong ("Syntax errors in policy."), which are the message of
 * a MalformedPolicyDocument.  The caller owns *ret.
 */
int policy_parse(const char *text, enum policy_kind kind, struct policy **ret, struct problem *why);
void policy_free(struct policy *policy);
DEFINE_CLEANUP(struct policy *, policy, policy_free)

/* Each context key that it looks at, in conditions and in variables; the same may come again. */
void policy_keys(const struct policy *policy, void (*fn)(const char *key, void *arg), void *arg);

/* What counts of a document's length for IAM's quotas: no white space. */
unsigned policy_text_size(const char *text);
