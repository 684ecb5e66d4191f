#include "serve/notify.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static char where[sizeof((struct sockaddr_un *)NULL)->sun_path]; /* "": nobody listens */

void notify_take(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	if (path && strlen(path) >= 2 && strlen(path) < sizeof where)
		strcpy(where, path);
	unsetenv("NOTIFY_SOCKET");
}

/* Whether it was heard does not matter: it is their loss. */
static void tell(const char *text)
{
	CLEANUP(fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = strlen(where);

	if (fd < 0 || !size)
		return;
	memcpy(address.sun_path, where, size);
	if (*where == '@') /* without a file */
		address.sun_path[0] = '\0';
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
		   offsetof(struct sockaddr_un, sun_path) + size) < 0)
		return;
}

void notify_ready(const char *status)
{
	char text[256];

	snprintf(text, sizeof text, "READY=1\nSTATUS=%s", status);
	tell(text);
}

void notify_reloading(void)
{
	char text[64];

	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)clock_monotonic_us());
	tell(text);
}

void notify_stopping(void)
{
	tell("STOPPING=1\nSTATUS=Answering what has begun");
}
