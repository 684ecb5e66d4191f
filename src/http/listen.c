#include "http/listen.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Half-open connections are dear to nobody; the kernel cuts this down to its own limit. */
#define BACKLOG 1024

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static int no_address(const char *text, struct problem *why)
{
	return problem(why, -EINVAL,
		       "'%.60s' is no address to listen on; write it as in 127.0.0.1:4580 or "
		       "[::1]:4580",
		       text);
}

/* The digits behind the last ':'. */
static int parse_port(const char *text, in_port_t *ret)
{
	unsigned port = 0;

	if (!*text || strlen(text) > 5)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = port * 10 + (*text - '0');
	}
	if (port > UINT16_MAX)
		return -EINVAL;
	*ret = htons(port);
	return 0;
}

static int parse(const char *text, union address *ret, struct problem *why)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];
	in_port_t port;

	*ret = (union address){0};
	if (!colon || colon - text >= (ptrdiff_t)sizeof host || parse_port(colon + 1, &port) < 0)
		return no_address(text, why);
	memcpy(host, text, colon - text);
	host[colon - text] = 0;
	if (host[0] == '[' && colon[-1] == ']') {
		host[colon - text - 1] = 0;
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = port;
		if (inet_pton(AF_INET6, host + 1, &ret->v6.sin6_addr) == 1)
			return 0;
	}
	ret->v4.sin_family = AF_INET;
	ret->v4.sin_port = port;
	return inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1 ? 0 : no_address(text, why);
}

int http_address_check(const char *address, bool *ret_is_loopback, struct problem *why)
{
	union address parsed;
	int r = parse(address, &parsed, why);

	if (r < 0)
		return r;
	if (parsed.any.sa_family == AF_INET6)
		*ret_is_loopback = IN6_IS_ADDR_LOOPBACK(&parsed.v6.sin6_addr);
	else
		*ret_is_loopback = ntohl(parsed.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return 0;
}

int http_listen(const char *address, int *ret, struct problem *why)
{
	CLEANUP(fd) int fd = -1;
	union address parsed;
	int r = parse(address, &parsed, why), on = 1;

	if (r < 0)
		return r;
	fd = socket(parsed.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* After a restart the address is free at once, though old connections linger. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    (parsed.any.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
	    bind(fd, &parsed.any,
		 parsed.any.sa_family == AF_INET6 ? sizeof parsed.v6 : sizeof parsed.v4) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return problem_errno(why, -errno, "cannot listen on %s", address);
	*ret = fd;
	fd = -1;
	return 0;
}

int http_listen_local(const char *path, uid_t owner, int *ret, struct problem *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP(fd) int fd = -1;

	if (strlen(path) >= sizeof address.sun_path)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long for a socket", path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return problem_errno(why, -errno, "cannot make a socket");
	unlink(path);
	/* Nobody else's from its first instant: bind() gives the file the socket's own mode. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return problem_errno(why, -errno, "cannot listen on '%s'", path);
	if (geteuid() != owner && chown(path, owner, -1) < 0)
		return problem_errno(why, -errno, "cannot give '%s' to its owner", path);
	*ret = fd;
	fd = -1;
	return 0;
}

void http_address_of(int fd, char ret[HTTP_ADDRESS_SIZE])
{
	union address address = {0};
	socklen_t size = sizeof address;
	char host[INET6_ADDRSTRLEN] = "";

	*ret = 0;
	if (getsockname(fd, &address.any, &size) < 0)
		return;
	if (address.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof host);
		snprintf(ret, HTTP_ADDRESS_SIZE, "[%s]:%u", host, ntohs(address.v6.sin6_port));
	} else if (address.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof host);
		snprintf(ret, HTTP_ADDRESS_SIZE, "%s:%u", host, ntohs(address.v4.sin_port));
	}
}
