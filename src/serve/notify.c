#include "serve/notify.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Whether it was heard does not matter: it is their loss. */
static void tell(const char *text)
{
	CLEANUP(fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	size_t size = path ? strlen(path) : 0;

	if (fd < 0 || size < 2 || size > sizeof address.sun_path - 1)
		return;
	memcpy(address.sun_path, path, size);
	if (*path == '@') /* without a file */
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
