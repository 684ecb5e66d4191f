/*
 * Session: temporary credentials.  Nothing about them is stored: the token holds all there is to
 * know, sealed; the secret follows from the access key's id.  What was read from a token is kept as
 * long as there is room.  For this folder only.
 *
 * Claims, an object: "Kind" ("role", "user", "root", "federated"), "Account", "PartyId" (of the
 * role or user), "Name" (of the session), "Issued", "Expires" (microseconds), "Policies" (texts),
 * "PolicyArns", "Tags" ({"Key": "Value"}); what does not apply is not there.
 */
#pragma once

#include "identity/store.h"

#define SESSION_TOKEN_MAX 4096

struct session_credentials {
	char access_key_id[21];
	char secret[SECRET_TEXT_SIZE];
	char *token; /* owned by the caller */
};

/* `claims` is borrowed.  -E2BIG: the token would be longer than SESSION_TOKEN_MAX. */
int session_make(struct identity *identity, const json_t *claims, struct session_credentials *ret);

/*
 * The session of a token, without `lock` held by the caller; with it held for reading on success,
 * for as long as *ret is used.  -EBADMSG: no token of ours for that access key.
 */
int session_find_locked(struct identity *identity, const char *access_key_id, const char *token,
			const struct session **ret);
/* With `lock` held: the session that was found for that access key; NULL when it had to make room.
 */
const struct session *session_known(const struct identity *identity, const char *access_key_id);

void sessions_done(struct identity *identity);
const char *session_text(const struct session *session, const char *member);
