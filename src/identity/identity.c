#include "identity/identity.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "identity/managed.h"
#include "identity/session.h"
#include "identity/store.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <time.h>

/* How long a last use of a key may wait to be written. */
#define WRITE_USES_S 60

static int count_secrets(sqlite3 *db, void *arg)
{
	int64_t *ret = arg;
	sqlite3_stmt *statement;
	int r = state_prepare(db, "SELECT count(*) FROM identity_secret", &statement, "");

	if (r < 0)
		return r;
	r = state_step(statement);
	if (r == 1)
		*ret = sqlite3_column_int64(statement, 0);
	state_done(statement);
	return r < 0 ? r : 0;
}

/* A key is made only while there is nothing that another one has sealed. */
static int load_key(struct identity *identity, const char *path, struct problem *why)
{
	int64_t secrets = 0;
	int r = state_read(identity->state, count_secrets, &secrets);

	if (r < 0)
		return problem_errno(why, r, "cannot read the state");
	r = secret_key_load(path, secrets == 0, &identity->key, why);
	if (r == -ENOENT)
		return problem(why, r,
			       "the key file '%s' is gone, and without it nobody's secret can be "
			       "read: put it back",
			       path);
	return r;
}

static const json_t *own_account(const struct identity *identity)
{
	for (unsigned i = 0; i < identity->entity_count; i++) {
		const struct entity *entity = identity->entities[i];

		if (entity->kind == ENTITY_ACCOUNT &&
		    json_is_true(json_object_get(entity->data, "Own")))
			return entity->data;
	}
	return NULL;
}

static int make_account(struct identity *identity)
{
	double now = whole_seconds(clock_realtime_us());
	json_t *data;
	int r;

	secret_random_digits(identity->account, sizeof identity->account);
	data = json_pack("{s:s, s:b, s:f}", "Id", identity->account, "Own", 1, "CreateDate", now);
	r = store_add(identity, ENTITY_ACCOUNT, identity->account, identity->account, xcheck(data));
	if (r < 0)
		return r;
	secret_random_id("AKIA", identity->first_key_id, 21);
	secret_random(identity->first_secret);
	data = json_pack("{s:s, s:s, s:s, s:f}", "AccessKeyId", identity->first_key_id, "Status",
			 "Active", "SecretAccessKey", identity->first_secret, "CreateDate", now);
	return store_add(identity, ENTITY_KEY, identity->account, identity->first_key_id,
			 xcheck(data));
}

static int load(struct identity *identity, struct problem *why)
{
	const json_t *account;
	int r = store_load(identity, why);

	if (r < 0)
		return r;
	account = own_account(identity);
	if (account) {
		snprintf(identity->account, sizeof identity->account, "%s",
			 json_string_value(json_object_get(account, "Id")));
		return 0;
	}
	r = make_account(identity);
	return r < 0 ? problem_errno(why, r, "cannot make an account") : 0;
}

static void *write_uses_now_and_then(void *arg)
{
	struct identity *identity = arg;
	struct timespec until;

	pthread_mutex_lock(&identity->cache);
	while (!identity->stopping) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += WRITE_USES_S;
		while (!identity->stopping &&
		       !pthread_cond_timedwait(&identity->wake, &identity->cache, &until))
			;
		pthread_mutex_unlock(&identity->cache);
		store_write_uses(identity);
		pthread_mutex_lock(&identity->cache);
	}
	pthread_mutex_unlock(&identity->cache);
	return NULL;
}

static int start_writer(struct identity *identity, struct problem *why)
{
	int r = pthread_create(&identity->writer, NULL, write_uses_now_and_then, identity);

	if (r)
		return problem_errno(why, -r, "cannot start a thread");
	identity->writing = true;
	return 0;
}

static struct identity *identity_new(struct state *state, bool test)
{
	struct identity *identity = xcalloc(1, sizeof *identity);
	pthread_rwlockattr_t writers_first;
	pthread_condattr_t monotonic;

	identity->state = state;
	identity->test = test;
	pthread_mutex_init(&identity->change, NULL);
	/* A change must not wait until nobody asks any more. */
	pthread_rwlockattr_init(&writers_first);
	pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&identity->lock, &writers_first);
	pthread_rwlockattr_destroy(&writers_first);
	pthread_mutex_init(&identity->cache, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&identity->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return identity;
}

int identity_open(struct state *state, const struct identity_options *options,
		  struct identity **ret, struct problem *why)
{
	CLEANUP(identity) struct identity *identity = identity_new(state, options->test);
	int r;

	r = load_key(identity, options->key_path, why);
	if (r < 0)
		return r;
	managed_add(identity);
	r = load(identity, why);
	if (r < 0)
		return r;
	r = start_writer(identity, why);
	if (r < 0)
		return r;
	*ret = take(identity);
	return 0;
}

void identity_close(struct identity *identity)
{
	if (!identity)
		return;
	if (identity->writing) {
		pthread_mutex_lock(&identity->cache);
		identity->stopping = true;
		pthread_cond_signal(&identity->wake);
		pthread_mutex_unlock(&identity->cache);
		pthread_join(identity->writer, NULL);
	}
	sessions_done(identity);
	store_done(identity);
	pthread_cond_destroy(&identity->wake);
	pthread_mutex_destroy(&identity->cache);
	pthread_rwlock_destroy(&identity->lock);
	pthread_mutex_destroy(&identity->change);
	OPENSSL_cleanse(identity, sizeof *identity);
	free(identity);
}

const char *identity_account(const struct identity *identity)
{
	return identity->account;
}

bool identity_first_start(struct identity *identity, struct identity_first *ret)
{
	if (!identity->first_key_id[0])
		return false;
	snprintf(ret->account, sizeof ret->account, "%s", identity->account);
	snprintf(ret->access_key_id, sizeof ret->access_key_id, "%s", identity->first_key_id);
	snprintf(ret->secret, sizeof ret->secret, "%s", identity->first_secret);
	OPENSSL_cleanse(identity->first_secret, sizeof identity->first_secret);
	identity->first_key_id[0] = 0;
	return true;
}

int identity_forget(struct identity *identity)
{
	int r;

	pthread_mutex_lock(&identity->change);
	r = store_forget(identity);
	pthread_mutex_unlock(&identity->change);
	return r;
}
