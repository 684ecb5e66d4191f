#include "base/transport.h"

#include "base/cleanup.h"

#include <string.h>

static const char *const names[] = {
	[TRANSPORT_AUTO] = "auto",
	[TRANSPORT_CLASSIC] = "classic",
	[TRANSPORT_IO_URING] = "io_uring",
};

const char *transport_name(enum transport transport)
{
	return names[transport];
}

bool transport_parse(const char *name, enum transport *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		*ret = i;
		return true;
	}
	return false;
}
