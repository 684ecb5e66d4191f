#include "identity/context.h"
#include "base/alloc.h"

#include <strings.h>

static struct context_entry *entry_of(const struct context *context, const char *key)
{
	for (unsigned i = 0; i < context->count; i++) {
		if (!strcasecmp(context->entries[i].key, key))
			return &context->entries[i];
	}
	return NULL;
}

static bool find(const struct policy_context *policy, const char *key, struct context_values *ret)
{
	/* `policy` is the first member. */
	const struct context *context = (const struct context *)policy;

	for (; context; context = context->behind) {
		const struct context_entry *entry = entry_of(context, key);

		if (!entry)
			continue;
		ret->items = (const char *const *)entry->values;
		ret->count = entry->count;
		return true;
	}
	return false;
}

void context_init(struct context *context, const struct context *behind)
{
	*context = (struct context){.policy.find = find, .behind = behind};
}

void context_done(struct context *context)
{
	for (unsigned i = 0; i < context->count; i++) {
		struct context_entry *entry = &context->entries[i];

		for (unsigned k = 0; k < entry->count; k++)
			free(entry->values[k]);
		free(entry->values);
		free(entry->key);
	}
	free(context->entries);
	*context = (struct context){0};
}

void context_add(struct context *context, const char *key, const char *value)
{
	struct context_entry *entry = entry_of(context, key);

	if (!value)
		return;
	if (!entry) {
		xgrow(context->entries, context->count, context->room);
		entry = &context->entries[context->count++];
		*entry = (struct context_entry){.key = xstrdup(key)};
	}
	entry->values = xreallocarray(entry->values, entry->count + 1, sizeof *entry->values);
	entry->values[entry->count++] = xstrdup(value);
}
