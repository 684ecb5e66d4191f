/*
 * Authentication: whose key signed this.  The expensive part, making the signing key of a day, is
 * remembered for each access key, so that what is left is one hash of the request and one HMAC.
 */
#include "aws/sigv4.h"
#include "base/alloc.h"
#include "identity/identity.h"
#include "identity/principal.h"
#include "identity/session.h"

#include <openssl/crypto.h>
#include <string.h>

static int unknown_key(struct aws_call *call)
{
	return aws_fault(call, "InvalidClientTokenId",
			 "The security token included in the request is invalid");
}

static const struct signing_key *find_signing_key(const struct signing_keys *keys,
						  const struct sigv4 *signature)
{
	for (unsigned i = 0; i < SIGNING_KEYS; i++) {
		const struct signing_key *key = &keys->keys[i];

		if (!strcmp(key->date, signature->date) &&
		    !strcmp(key->region, signature->region) &&
		    !strcmp(key->service, signature->service))
			return key;
	}
	return NULL;
}

static const struct signing_key *make_signing_key(struct signing_keys *keys,
						  const struct sigv4 *signature, const char *secret)
{
	struct signing_key *key = &keys->keys[keys->next];

	keys->next = (keys->next + 1) % SIGNING_KEYS;
	snprintf(key->date, sizeof key->date, "%s", signature->date);
	snprintf(key->region, sizeof key->region, "%s", signature->region);
	snprintf(key->service, sizeof key->service, "%s", signature->service);
	sigv4_signing_key(signature, secret, key->bytes);
	return key;
}

/* With `lock` held, which keeps the key's owner where it is. */
static void get_signing_key(struct identity *identity, struct signing_keys *keys,
			    const char *secret, const struct sigv4 *signature,
			    uint8_t ret[SIGV4_KEY_SIZE])
{
	const struct signing_key *key;

	pthread_mutex_lock(&identity->cache);
	key = find_signing_key(keys, signature);
	if (!key)
		key = make_signing_key(keys, signature, secret);
	memcpy(ret, key->bytes, SIGV4_KEY_SIZE);
	pthread_mutex_unlock(&identity->cache);
}

static int find_session(struct identity *identity, const struct sigv4 *signature,
			struct aws_call *call, uint8_t ret_key[SIGV4_KEY_SIZE])
{
	const struct session *session;
	bool there;

	if (!signature->token ||
	    session_find_locked(identity, signature->access_key_id, signature->token, &session) < 0)
		return unknown_key(call);
	there = principal_describe(identity, NULL, session, &call->caller);
	/* The session is not const in what `cache` guards. */
	get_signing_key(identity, (struct signing_keys *)&session->signing, session->secret,
			signature, ret_key);
	if (session->expires_us <= call->now_us) {
		pthread_rwlock_unlock(&identity->lock);
		return aws_fault(call, "ExpiredToken",
				 "The security token included in the request is expired");
	}
	pthread_rwlock_unlock(&identity->lock);
	return there ? 0 : unknown_key(call);
}

static int find_key(struct identity *identity, const struct sigv4 *signature, struct aws_call *call,
		    uint8_t ret_key[SIGV4_KEY_SIZE])
{
	const struct entity *key;
	bool there;

	pthread_rwlock_rdlock(&identity->lock);
	key = store_find(identity, ENTITY_KEY, "", signature->access_key_id);
	there = key && !strcmp(entity_text(key, "Status"), "Active") &&
		principal_describe(identity, key, NULL, &call->caller);
	if (there)
		get_signing_key(identity, key->signing, key->secret, signature, ret_key);
	pthread_rwlock_unlock(&identity->lock);
	return there ? 0 : unknown_key(call);
}

/* The access key, or the role whose session this is; NULL where no use is noted. */
static struct last_use *find_use(const struct identity *identity, const char *access_key_id)
{
	const struct session *session = session_known(identity, access_key_id);
	const char *party = session ? session_text(session, "PartyId") : NULL;
	const struct entity *entity;

	if (session)
		entity = party ? store_find_id(identity, party) : NULL;
	else
		entity = store_find(identity, ENTITY_KEY, "", access_key_id);
	return entity ? entity->use : NULL;
}

static void note_use(struct identity *identity, const struct sigv4 *signature, int64_t now_us)
{
	struct last_use *use;

	pthread_rwlock_rdlock(&identity->lock);
	use = find_use(identity, signature->access_key_id);
	if (use) {
		pthread_mutex_lock(&identity->cache);
		use->used_us = now_us;
		memcpy(use->region, signature->region, sizeof use->region);
		memcpy(use->service, signature->service, sizeof use->service);
		use->noted = true;
		pthread_mutex_unlock(&identity->cache);
	}
	pthread_rwlock_unlock(&identity->lock);
}

static void forget_caller(struct aws_call *call)
{
	memset(&call->caller, 0, sizeof call->caller);
}

/* --test-reset: FOOBARKEY, and keys that are an account's number, need no proof. */
static bool is_test_key(const struct identity *identity, const char *access_key_id)
{
	return identity->test && principal_test_account(access_key_id);
}

static int authenticate_test(struct identity *identity, const struct sigv4 *signature,
			     struct aws_call *call)
{
	const char *account = principal_test_account(signature->access_key_id);

	call->fault = (struct aws_fault){0};
	principal_describe_root(account, &call->caller);
	snprintf(call->caller.access_key_id, sizeof call->caller.access_key_id, "%s",
		 signature->access_key_id);
	snprintf(call->region, sizeof call->region, "%s", signature->region);
	return 0;
}

int identity_authenticate(struct identity *identity, const struct http_request *request,
			  struct aws_call *call)
{
	struct sigv4 signature;
	uint8_t key[SIGV4_KEY_SIZE];
	int r;

	signature.access_key_id[0] = signature.region[0] = 0;
	r = sigv4_read(request, call->now_us, &signature, &call->fault);
	if (is_test_key(identity, signature.access_key_id))
		return authenticate_test(identity, &signature, call);
	if (r < 0)
		return r;
	if (signature.token || !strncmp(signature.access_key_id, "ASIA", 4))
		r = find_session(identity, &signature, call, key);
	else
		r = find_key(identity, &signature, call, key);
	if (r == 0)
		r = sigv4_verify_key(&signature, request, key, &call->fault);
	OPENSSL_cleanse(key, sizeof key);
	if (r < 0) {
		forget_caller(call);
		return r;
	}
	snprintf(call->caller.access_key_id, sizeof call->caller.access_key_id, "%s",
		 signature.access_key_id);
	snprintf(call->region, sizeof call->region, "%s", signature.region);
	note_use(identity, &signature, call->now_us);
	return 0;
}

void identity_be_root(struct identity *identity, struct aws_call *call)
{
	principal_describe_root(identity->account, &call->caller);
}
