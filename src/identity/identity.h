/*
 * Identity: who sends a request, and whether he may.
 *
 * Everything is in memory, loaded at the start; a change is written to the state before it is
 * visible.  Any thread may call any of it at any time.
 */
#pragma once

#include "aws/call.h"
#include "base/cleanup.h"
#include "base/problem.h"
#include "http/http.h"
#include "state/state.h"

struct identity;

struct identity_options {
	const char *key_path; /* of the file that seals secrets; made at the first start */
	/* For test suites: any signature of access key FOOBARKEY is that of account 123456789012's
	 * root, of a key that is 12 digits that of this account's.  A role's trust policy that is
	 * none is taken, and trusts nobody. */
	bool test;
};

extern const struct state_part identity_state_part;

/*
 * Load accounts, users, policies and keys; the first time, make an account of 12 random digits, and
 * an access key for its root.  `state` is borrowed.  The caller owns *ret.  -EPERM when others may
 * read the key file, -ENOENT when it is gone but secrets are there, -EBADMSG when it is another
 * one, or the state is damaged.
 */
int identity_open(struct state *state, const struct identity_options *options,
		  struct identity **ret, struct problem *why);
/* Nobody else uses it any more. */
void identity_close(struct identity *identity);
DEFINE_CLEANUP(struct identity *, identity, identity_close)

/* The machine's own account: 12 digits. */
const char *identity_account(const struct identity *identity);

struct identity_first {
	char account[AWS_ACCOUNT_SIZE];
	char access_key_id[32];
	char secret[41];
};
/* Whether identity_open() made the account; the root's key is told once, the first time that this
 * is called. */
bool identity_first_start(struct identity *identity, struct identity_first *ret);

/*
 * Who signed the request: fills in call->caller and call->region.  AWS_FAULT and call->fault:
 * MissingAuthenticationToken, IncompleteSignature, InvalidClientTokenId, SignatureDoesNotMatch,
 * ExpiredToken.  Needs call->now_us.
 */
int identity_authenticate(struct identity *identity, const struct http_request *request,
			  struct aws_call *call);
/* The request came from the machine's own administrator, who needs no signature: the root. */
void identity_be_root(struct identity *identity, struct aws_call *call);

/*
 * Whether call->caller may do `action` ("rds:BacktrackDBCluster") with all that is touched (NULL or
 * empty: "*").  AWS_FAULT with AccessDenied, which says who may not do what with what, and why.
 */
int identity_authorize(struct identity *identity, struct aws_call *call, const char *action,
		       const struct aws_touched *touched);

/* What answers "iam" and "sts"; good as long as the identity is. */
void identity_answers(struct identity *identity, struct aws_answers *ret_iam,
		      struct aws_answers *ret_sts);

/* --test-reset: forget all but the machine's own account and its root's keys. */
int identity_forget(struct identity *identity);
