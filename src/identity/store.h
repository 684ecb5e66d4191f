/*
 * Store: everything identity knows, in memory, and how it changes.  For this folder only.
 *
 * An entity is an account, user, group, role, policy or access key: a name, and a JSON object in
 * the shapes of the service's answers.  An object that is in the store never changes; a change
 * makes a new one, writes it to the state, and then puts it in the place of the old one.  So
 * whoever holds a reference to an object may read it without a lock.
 */
#pragma once

#include "aws/sigv4.h"
#include "base/cleanup.h"
#include "base/map64.h"
#include "identity/policy.h"
#include "identity/secret.h"
#include "state/state.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

enum entity_kind {
	ENTITY_ACCOUNT,
	ENTITY_USER,
	ENTITY_GROUP,
	ENTITY_ROLE,
	ENTITY_POLICY,
	ENTITY_KEY
};
#define ENTITY_KINDS 6

/* Signing keys of one access key that were used lately. */
#define SIGNING_KEYS 4

struct signing_key {
	char date[9];
	char region[AWS_REGION_SIZE];
	char service[64];
	uint8_t bytes[SIGV4_KEY_SIZE];
};

/* Guarded by identity.cache, as the next. */
struct signing_keys {
	struct signing_key keys[SIGNING_KEYS];
	unsigned next; /* the one to be replaced */
};

struct last_use {
	int64_t used_us; /* 0: never */
	char region[AWS_REGION_SIZE];
	char service[64];
	bool noted; /* used since it was last written */
};

struct entity {
	enum entity_kind kind;
	char account[AWS_ACCOUNT_SIZE];
	char *name;   /* an access key's is its id, an account's its number */
	char *id;     /* "AIDA..."; NULL for keys and accounts */
	json_t *data; /* never changed in place */
	/* What `data` says, compiled. */
	struct policy **policies; /* inline ones; a policy's default version */
	unsigned policy_count;
	struct policy *trust; /* a role's */
	char secret[SECRET_TEXT_SIZE];
	/* What is known besides. */
	struct signing_keys *signing; /* a key's */
	struct last_use *use;         /* a key's; a role's, by its sessions */
};

/* A session: somebody's temporary credentials.  All of it is in its token, so that none is stored.
 */
struct session {
	char access_key_id[32];
	uint8_t token_hash[SECRET_HASH_SIZE];
	char secret[SECRET_TEXT_SIZE];
	char account[AWS_ACCOUNT_SIZE];
	json_t *claims; /* session.h */
	struct policy **policies;
	unsigned policy_count;
	int64_t expires_us;
	struct signing_keys signing;
};

struct identity {
	struct state *state;
	struct secret_key key;
	bool test;
	char account[AWS_ACCOUNT_SIZE]; /* the machine's own */

	/*
	 * Locks, in this order: `change` is held while something changes, from the look to the
	 * last word; `lock` guards the entities and sessions, for writing only for as long as one
	 * object takes another's place; `cache` guards what authentication remembers.
	 */
	pthread_mutex_t change;
	pthread_rwlock_t lock;
	pthread_mutex_t cache;

	struct map64 names; /* hash of kind, account, name -> struct entity_link */
	struct map64 ids;
	struct entity **entities; /* in the order in which they were made */
	unsigned entity_count, entity_room;
	struct map64 sessions;

	pthread_t writer; /* of what was used when */
	bool writing;
	pthread_cond_t wake; /* with `cache`: `stopping` is set */
	bool stopping;

	/* The root key that this start made: shown once. */
	char first_key_id[32], first_secret[SECRET_TEXT_SIZE];
};

extern const char IDENTITY_AWS_ACCOUNT[]; /* "aws": whose policies come with us */

/* With `lock` or `change` held.  NULL without one.  Names count in exactly these letters. */
struct entity *store_find(const struct identity *identity, enum entity_kind kind,
			  const char *account, const char *name);
struct entity *store_find_id(const struct identity *identity, const char *id);
/* Whether there is one of that name in any case of letters. */
bool store_is_taken(const struct identity *identity, enum entity_kind kind, const char *account,
		    const char *name);
/* Each of a kind and account, in the order in which they were made; begin with *at = 0. */
struct entity *store_next(const struct identity *identity, enum entity_kind kind,
			  const char *account, unsigned *at);

/* With `change` held; `data` is stolen.  0 and durable, or -errno and nothing has changed. */
int store_add(struct identity *identity, enum entity_kind kind, const char *account,
	      const char *name, json_t *data);
/* `name`: its new one; NULL: as it was. */
int store_replace(struct identity *identity, struct entity *entity, const char *name, json_t *data);
int store_remove(struct identity *identity, struct entity *entity);
/* What is not stored: the policies that come with us. */
void store_add_fixed(struct identity *identity, enum entity_kind kind, const char *account,
		     const char *name, json_t *data);

/* Read everything from the state. */
int store_load(struct identity *identity, struct problem *why);
void store_done(struct identity *identity);
/* Forget all but the machine's own account and its root's keys. */
int store_forget(struct identity *identity);
/* Write what was used since, if anything. */
void store_write_uses(struct identity *identity);

/* Times are answered in whole seconds, as IAM does. */
static inline double whole_seconds(int64_t us)
{
	int64_t seconds = us / 1000000;

	return (double)seconds;
}

const char *entity_text(const struct entity *entity, const char *member);
void policies_free(struct policy **policies, unsigned count);
