/* The port of a new cluster. */
#include "keeper/cluster_internal.h"
#include "keeper/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Ports looked at from the engine's own on, when the user names none. */
#define PORTS_TRIED 1000

static int parse_address(const char *bind_address, int port, struct sockaddr_storage *ret,
			 socklen_t *ret_size)
{
	struct sockaddr_in *four = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof *ret);
	if (inet_pton(AF_INET, bind_address, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		*ret_size = sizeof *four;
		return 0;
	}
	if (inet_pton(AF_INET6, bind_address, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(port);
		*ret_size = sizeof *six;
		return 0;
	}
	return -EINVAL;
}

/* Try it: nothing else tells whether the port can be had. */
static int try_port(const char *bind_address, int port)
{
	struct sockaddr_storage address;
	socklen_t size;
	int one = 1;
	int r = parse_address(bind_address, port, &address, &size);

	if (r < 0)
		return r;
	CLEANUP(fd) int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	return bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 1) < 0 ? -errno : 0;
}

struct port_search {
	int port;
	char owner[CLUSTER_NAME_MAX + 1];
};

static int has_port(const char *name, const struct cluster *cluster, const struct problem *why,
		    void *arg)
{
	struct port_search *search = arg;

	if (!cluster || cluster->port != search->port)
		return 0;
	snprintf(search->owner, sizeof search->owner, "%s", name);
	return 1;
}

/* A stopped cluster keeps its port. */
static int check_port(const char *bind_address, int port, struct problem *why)
{
	struct port_search search = {.port = port};
	int r;

	if (cluster_for_each(has_port, &search, NULL) == 1)
		return problem(why, -EADDRINUSE,
			       "port %d belongs to cluster '%s': choose another with --port", port,
			       search.owner);
	r = try_port(bind_address, port);
	if (r == -EADDRINUSE)
		return problem(
			why, r,
			"port %d on %s is taken by another program: choose another with --port",
			port, bind_address);
	return r < 0 ? problem_errno(why, r, "cannot listen on %s port %d", bind_address, port) : 0;
}

/* As check_port(), of the one that was asked for: who has it is said, too. */
static int check_asked(const char *bind_address, int port, struct problem *why)
{
	struct problem taken = {""};
	char listener[128];
	int r = check_port(bind_address, port, &taken);

	if (r == -EADDRINUSE && listener_find(port, listener))
		return problem(why, r, "%s; it is %s", taken.text, listener);
	return r < 0 ? problem(why, r, "%s", taken.text) : 0;
}

int cluster_choose_port(const struct cluster_options *options, const struct engine *engine,
			struct cluster *cluster, struct problem *why)
{
	struct sockaddr_storage address;
	socklen_t size;
	int r = -EADDRINUSE;

	if (strlen(cluster->bind) == 0 || parse_address(cluster->bind, 0, &address, &size) < 0)
		return problem(why, -EINVAL,
			       "'%.80s' is not an address to bind to (such as 127.0.0.1)",
			       options->bind);
	if (options->port < 0 || options->port > 65535)
		return problem(why, -EINVAL, "%d is not a port: 1 to 65535", options->port);
	cluster->port = options->port;
	if (options->port)
		return check_asked(cluster->bind, options->port, why);
	for (int port = engine->default_port;
	     port < engine->default_port + PORTS_TRIED && r == -EADDRINUSE; port++) {
		cluster->port = port;
		r = check_port(cluster->bind, port, why);
	}
	return r;
}
