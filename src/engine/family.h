/*
 * Family: a server with all the processes that it has started.
 *
 * They may have sessions of their own, and outlive the one that started them.  What they cannot
 * help is having inherited the writing end of a pipe: by that they are known, and when it hangs up
 * the last of them is gone.  Nothing is ever written into it.
 */
#pragma once

#include <stdint.h>

#define FAMILY_SHARED_MAX 64

/* Files in /dev/shm that a family had mapped: names, which nobody removes when it is killed. */
struct family_shared {
	char *names[FAMILY_SHARED_MAX];
	int count;
};

/* The reading end, `family`, is at the same time how a family is spoken of here.  0: none; then
 * nothing happens. */

/* Note what they share now. */
void family_look(int family, struct family_shared *shared);
/* Remove it; `shared` is empty afterwards. */
void family_remove_shared(struct family_shared *shared);
/* SIGKILL all that are left, wait until they are gone, remove what they shared, close `family`. */
void family_end(int family);

/* What names a family to those who come after us. */
uint64_t family_id(int family);
/* End those that have outlived whoever knew them: who began no earlier than `since`
 * (process_start_time()).  How many there were. */
int family_end_by_id(uint64_t id, uint64_t since);
