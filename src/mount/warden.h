/*
 * Warden: a child that ends the connection to the kernel when the serving process is dead.
 *
 * Without it a process that is killed while one of its threads waits for its own mount (it copies
 * files into it, say) never ends: see outside.h.  The warden shares our memory, so that it costs
 * none, holds no descriptor, and sleeps until then.
 */
#pragma once

#include "mount/outside.h"

struct warden;

struct warden *warden_new(const struct outside *outside);

/*
 * Post it, if we may (it takes what mounting takes).  Call it once, in a thread that never waits
 * for the mount: it is this thread's end that the warden is told of.
 */
void warden_post(struct warden *warden);

/* Until warden_post() has returned, in the other thread. */
void warden_await(struct warden *warden);

/*
 * Call it off, before an orderly unmount and while requests are still served: what the warden holds
 * is the last of a filesystem that somebody unmounted.  Not while warden_post() is under way.  NULL
 * is fine.
 */
void warden_free(struct warden *warden);
