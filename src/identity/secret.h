/*
 * Secret: what must not be read off the disk: secret access keys, and what a session's token holds.
 *
 * One key, in a file that only its owner may read, seals everything (AES-256-GCM).  Whatever is
 * sealed is bound to a name, so that it cannot be taken for what another is.
 */
#pragma once

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRET_KEY_SIZE 32
#define SECRET_OVERHEAD 28 /* what sealing adds: a nonce and a tag */

struct secret_key {
	uint8_t bytes[SECRET_KEY_SIZE];
};

/*
 * Read the key file.  Without one: -ENOENT, or with `make` a new one is made, mode 0600, and is
 * durable on return.  -EPERM when others may read it, -EBADMSG when it is no key.
 */
int secret_key_load(const char *path, bool make, struct secret_key *ret, struct problem *why);

/* Appends SECRET_OVERHEAD + `size` bytes. */
void secret_seal(const struct secret_key *key, const char *name, const void *plain, size_t size,
		 struct buffer *ret);
/* Appends the plain bytes.  -EBADMSG: not sealed by this key for that name, or changed since. */
int secret_open(const struct secret_key *key, const char *name, const void *sealed, size_t size,
		struct buffer *ret);

/* A secret access key of 40 characters that is always the same for a name. */
#define SECRET_TEXT_SIZE 41
void secret_derive(const struct secret_key *key, const char *name, char ret[SECRET_TEXT_SIZE]);
/* A new one. */
void secret_random(char ret[SECRET_TEXT_SIZE]);
/* `prefix` and as many of A-Z and 2-7 as there is room for: "AIDA..."; digits only for an account.
 */
void secret_random_id(const char *prefix, char *ret, size_t size);
void secret_random_digits(char *ret, size_t size);

#define SECRET_HASH_SIZE 32
void secret_hash(const void *data, size_t size, uint8_t ret[SECRET_HASH_SIZE]);
