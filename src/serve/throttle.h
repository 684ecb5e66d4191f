/*
 * Throttle: so many requests a second, and no more, of one access key.
 *
 * Each key has a bucket that holds one second's requests and fills evenly.  Of as many keys as
 * matter at one time the buckets are known exactly; memory does not grow with them: where there are
 * too many, the one that was the fullest is taken to be full.  Any thread may ask at any time.
 */
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

struct throttle;

/* What the published clients cannot send, and what one of them is kept to beside others. */
#define THROTTLE_MAX 1000000

/* `rate` is requests a second, 1 to THROTTLE_MAX. */
struct throttle *throttle_new(unsigned rate);
void throttle_free(struct throttle *throttle);
DEFINE_CLEANUP(struct throttle *, throttle, throttle_free)

/* From now on. */
void throttle_set(struct throttle *throttle, unsigned rate);
/* Take one request out of the key's bucket; false when there is none in it.  `now_us` is of the
 * monotonic clock. */
bool throttle_take(struct throttle *throttle, const char *key, int64_t now_us);
