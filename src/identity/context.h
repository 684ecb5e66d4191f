/* Context: the keys of one request and their values, put together for policies to ask for. */
#pragma once

#include "base/cleanup.h"
#include "identity/match.h"

struct context {
	struct policy_context policy; /* what evaluation asks */
	const struct context *behind; /* asked for what is not here; borrowed; may be NULL */
	struct context_entry {
		char *key;
		char **values;
		unsigned count;
	} * entries;
	unsigned count, room;
};

void context_init(struct context *context, const struct context *behind);
void context_done(struct context *context);
/* One more value of the key; NULL makes nothing of it. */
void context_add(struct context *context, const char *key, const char *value);
static inline void context_cleanup(struct context *context)
{
	context_done(context);
}
