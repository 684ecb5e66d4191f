/*
 * Settings: $UNSPILL_HOME/.serve/serve.json, what the command line says over it, and what is so
 * without either.  Read at the start, and again on SIGHUP.
 */
#pragma once

#include "aws/call.h"
#include "base/problem.h"
#include "http/listen.h"

#include <limits.h>
#include <stdbool.h>

struct settings {
	char listen[HTTP_ADDRESS_SIZE]; /* "127.0.0.1:4580" */
	char tls_certificate[PATH_MAX]; /* "": no TLS; the chain, PEM */
	char tls_key[PATH_MAX];
	char region[AWS_REGION_SIZE]; /* of clusters that were not made through serve */
	int64_t connections_max;
	int64_t per_address_max;     /* not on loopback */
	int64_t requests_per_second; /* of one access key */
	bool log_requests;
	bool test_reset; /* only from the command line */
};

/* What is so without a file. */
void settings_init(struct settings *settings);
/*
 * Over what `settings` has: the file's.  That there is none is fine.  -EBADMSG when it is no JSON,
 * has a key that there is not, or a value that cannot be; `why` says where.
 */
int settings_read(const char *path, struct settings *settings, struct problem *why);
/* What has to fit together: TLS has both files; without it, and for --test-reset, the address is
 * loopback.  -EINVAL. */
int settings_check(const struct settings *settings, struct problem *why);

static inline bool settings_tls(const struct settings *settings)
{
	return *settings->tls_certificate;
}
