/* Listen: the sockets that a server accepts from. */
#pragma once

#include "base/problem.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* "127.0.0.1:4580", "[::1]:4580", "0.0.0.0:443": numbers only, so that nothing is asked of a name
 * server.  Port 0: any. */
#define HTTP_ADDRESS_SIZE 64

/* Listen on `address`; the caller owns *ret.  -EINVAL, -EADDRINUSE and what else bind(2) says. */
int http_listen(const char *address, int *ret, struct problem *why);
/* Listen on a Unix socket of that path, which is replaced; only `owner` and root can connect. */
int http_listen_local(const char *path, uid_t owner, int *ret, struct problem *why);

/* -EINVAL when `address` is none. */
int http_address_check(const char *address, bool *ret_is_loopback, struct problem *why);
/* Where it really listens: the port that was chosen for port 0. */
void http_address_of(int fd, char ret[HTTP_ADDRESS_SIZE]);
