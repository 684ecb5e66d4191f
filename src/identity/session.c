#include "identity/session.h"
#include "aws/text.h"
#include "base/alloc.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#define SESSIONS_MAX 4096

/* Tokens begin like those of AWS, and most are of one length, whatever is in them. */
static const uint8_t magic[] = {0x15, 0x0a, 0x06, 'e', 'r', '/', 'a', 'w', 's', 0x10};
#define TOKEN_BYTES_MIN 267

static uint64_t hash_id(const char *access_key_id)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *access_key_id; access_key_id++)
		hash = (hash ^ (uint8_t)*access_key_id) * UINT64_C(0x100000001b3);
	return hash ? hash : 1;
}

const char *session_text(const struct session *session, const char *member)
{
	return json_string_value(json_object_get(session->claims, member));
}

int session_make(struct identity *identity, const json_t *claims, struct session_credentials *ret)
{
	CLEANUP(buffer) struct buffer token = {0}, text = {0};
	CLEANUP(free) char *json = xcheck(json_dumps(claims, JSON_COMPACT));
	size_t size = strlen(json);
	size_t padded = MAX(size, TOKEN_BYTES_MIN - sizeof magic - SECRET_OVERHEAD);

	if (padded > SESSION_TOKEN_MAX / 4 * 3 - sizeof magic - SECRET_OVERHEAD)
		return -E2BIG;
	json = xcheck(realloc(json, padded));
	memset(json + size, ' ', padded - size);
	secret_random_id("ASIA", ret->access_key_id, sizeof ret->access_key_id);
	secret_derive(&identity->key, ret->access_key_id, ret->secret);
	buffer_put(&token, magic, sizeof magic);
	secret_seal(&identity->key, ret->access_key_id, json, padded, &token);
	aws_base64_put(&text, token.data, token.size);
	buffer_put8(&text, 0);
	ret->token = (char *)text.data;
	text = (struct buffer){0};
	return 0;
}

static void session_free(struct session *session)
{
	policies_free(session->policies, session->policy_count);
	json_decref(session->claims);
	OPENSSL_cleanse(session, sizeof *session);
	free(session);
}

void sessions_done(struct identity *identity)
{
	map64_for_each (&identity->sessions, slot)
		session_free(slot->value);
	map64_done(&identity->sessions);
	identity->sessions = (struct map64){0};
}

static json_t *read_claims(const struct identity *identity, const char *access_key_id,
			   const char *token)
{
	CLEANUP(buffer) struct buffer bytes = {0}, plain = {0};

	if (!aws_base64_get(token, strlen(token), &bytes) || bytes.size < sizeof magic ||
	    memcmp(bytes.data, magic, sizeof magic) ||
	    secret_open(&identity->key, access_key_id, bytes.data + sizeof magic,
			bytes.size - sizeof magic, &plain) < 0)
		return NULL;
	return json_loadb((const char *)plain.data, plain.size, 0, NULL);
}

static struct session *session_read(const struct identity *identity, const char *access_key_id,
				    const char *token)
{
	json_t *claims = read_claims(identity, access_key_id, token), *text;
	struct session *session;
	size_t i;

	if (!claims)
		return NULL;
	session = xcalloc(1, sizeof *session);
	session->claims = claims;
	snprintf(session->access_key_id, sizeof session->access_key_id, "%s", access_key_id);
	secret_hash(token, strlen(token), session->token_hash);
	secret_derive(&identity->key, access_key_id, session->secret);
	snprintf(session->account, sizeof session->account, "%s", session_text(session, "Account"));
	session->expires_us = json_integer_value(json_object_get(claims, "Expires"));
	session->policies = xcalloc(json_array_size(json_object_get(claims, "Policies")),
				    sizeof *session->policies);
	json_array_foreach (json_object_get(claims, "Policies"), i, text) {
		struct policy *policy = NULL;

		if (policy_parse(json_string_value(text), POLICY_SESSION, &policy, NULL) == 0)
			session->policies[session->policy_count++] = policy;
	}
	return session;
}

const struct session *session_known(const struct identity *identity, const char *access_key_id)
{
	const struct session *session = map64_get(&identity->sessions, hash_id(access_key_id));

	return session && !strcmp(session->access_key_id, access_key_id) ? session : NULL;
}

static bool is_its_token(const struct session *session, const char *token)
{
	uint8_t hash[SECRET_HASH_SIZE];

	secret_hash(token, strlen(token), hash);
	return !CRYPTO_memcmp(hash, session->token_hash, sizeof hash);
}

/* What is known of sessions can be read again from their tokens: so when it is too much, all of it
 * goes. */
static void keep(struct identity *identity, struct session *session)
{
	struct session *old;

	if (identity->sessions.count >= SESSIONS_MAX)
		sessions_done(identity);
	old = map64_remove(&identity->sessions, hash_id(session->access_key_id));
	if (old)
		session_free(old);
	map64_put(&identity->sessions, hash_id(session->access_key_id), session);
}

int session_find_locked(struct identity *identity, const char *access_key_id, const char *token,
			const struct session **ret)
{
	struct session *session;

	for (;;) {
		pthread_rwlock_rdlock(&identity->lock);
		*ret = session_known(identity, access_key_id);
		if (*ret && is_its_token(*ret, token))
			return 0;
		pthread_rwlock_unlock(&identity->lock);
		session = session_read(identity, access_key_id, token);
		if (!session)
			return -EBADMSG;
		pthread_rwlock_wrlock(&identity->lock);
		keep(identity, session);
		pthread_rwlock_unlock(&identity->lock);
	}
}
