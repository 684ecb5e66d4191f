/*
 * A bucket is kept as the moment at which it will be full again.  One that is full already says
 * nothing, so it may be forgotten; that is why a table of fixed size will do.
 *
 *	taken at once:        full_ns = now + as many requests as were taken, each 1 s / rate
 *	is there one in it?   full_ns - now leaves room for one more within the second
 */
#include "serve/throttle.h"

#include "base/alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>

#define SETS 1024 /* each with a lock of its own */
#define WAYS 8
#define SECOND_NS INT64_C(1000000000)

struct bucket {
	uint64_t key; /* hashed: keys are random, and ours */
	int64_t full_ns;
};

struct throttle {
	atomic_uint rate;
	uint64_t seed;
	struct set {
		pthread_mutex_t lock; /* innermost */
		struct bucket buckets[WAYS];
	} sets[SETS];
};

struct throttle *throttle_new(unsigned rate)
{
	struct throttle *throttle = xcalloc(1, sizeof *throttle);

	/* Without it, one key in 2^64 is two callers', as with it. */
	if (getrandom(&throttle->seed, sizeof throttle->seed, GRND_NONBLOCK) < 0)
		throttle->seed = 0;
	for (unsigned i = 0; i < SETS; i++)
		pthread_mutex_init(&throttle->sets[i].lock, NULL);
	throttle_set(throttle, rate);
	return throttle;
}

void throttle_free(struct throttle *throttle)
{
	if (!throttle)
		return;
	for (unsigned i = 0; i < SETS; i++)
		pthread_mutex_destroy(&throttle->sets[i].lock);
	free(throttle);
}

void throttle_set(struct throttle *throttle, unsigned rate)
{
	atomic_store(&throttle->rate, rate);
}

/* FNV-1a, and its upper bits over the lower ones. */
static uint64_t hash_of(const struct throttle *throttle, const char *key)
{
	uint64_t hash = throttle->seed ^ UINT64_C(0xcbf29ce484222325);

	for (; *key; key++)
		hash = (hash ^ (uint8_t)*key) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

/* Its own, or what becomes its own: the one that will be full first. */
static struct bucket *find_bucket(struct set *set, uint64_t key)
{
	struct bucket *fullest = &set->buckets[0];

	for (struct bucket *bucket = set->buckets; bucket < set->buckets + WAYS; bucket++) {
		if (bucket->key == key)
			return bucket;
		if (bucket->full_ns < fullest->full_ns)
			fullest = bucket;
	}
	*fullest = (struct bucket){.key = key};
	return fullest;
}

bool throttle_take(struct throttle *throttle, const char *key, int64_t now_us)
{
	uint64_t hash = hash_of(throttle, key);
	struct set *set = &throttle->sets[hash % SETS];
	int64_t each_ns = SECOND_NS / atomic_load_explicit(&throttle->rate, memory_order_relaxed);
	int64_t now_ns = now_us * 1000, full_ns;
	struct bucket *bucket;
	bool enough;

	pthread_mutex_lock(&set->lock);
	bucket = find_bucket(set, hash);
	full_ns = MAX(bucket->full_ns, now_ns) + each_ns;
	enough = full_ns - now_ns <= SECOND_NS;
	if (enough)
		bucket->full_ns = full_ns;
	pthread_mutex_unlock(&set->lock);
	return enough;
}
