#include "identity/policy.h"
#include "base/alloc.h"
#include "identity/policy_check.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static void patterns_done(struct policy_patterns *patterns)
{
	for (unsigned i = 0; i < patterns->count; i++)
		free(patterns->codes[i]);
	free(patterns->codes);
}

static void statement_done(struct policy_statement *statement)
{
	for (unsigned i = 0; i < statement->principal_count; i++) {
		free(statement->principals[i].kind);
		free(statement->principals[i].name);
	}
	free(statement->principals);
	patterns_done(&statement->actions);
	patterns_done(&statement->resources);
	for (unsigned i = 0; i < statement->condition_count; i++)
		condition_done(&statement->conditions[i]);
	free(statement->conditions);
	free(statement->sid);
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	for (unsigned i = 0; i < policy->count; i++)
		statement_done(&policy->statements[i]);
	free(policy->statements);
	free(policy);
}

static int compile_pattern(struct policy_patterns *patterns, const json_t *text, unsigned flags)
{
	int r;

	if (!json_is_string(text))
		return 0;
	r = pattern_compile(json_string_value(text), flags, &patterns->codes[patterns->count]);
	if (r < 0)
		return r;
	patterns->count++;
	return 0;
}

/* Member `name` of a statement, or `not_name`. */
static int compile_patterns(struct policy_patterns *patterns, const json_t *statement,
			    const char *name, const char *not_name, unsigned flags)
{
	const json_t *texts = json_object_get(statement, name);
	int r = 0;

	if (!texts) {
		texts = json_object_get(statement, not_name);
		patterns->negated = texts;
	}
	patterns->there = texts;
	if (!json_is_array(texts)) {
		patterns->codes = xcalloc(1, sizeof *patterns->codes);
		return compile_pattern(patterns, texts, flags);
	}
	patterns->codes = xcalloc(json_array_size(texts), sizeof *patterns->codes);
	for (size_t i = 0; i < json_array_size(texts) && r == 0; i++)
		r = compile_pattern(patterns, json_array_get(texts, i), flags);
	return r;
}

static void add_principal(struct policy_statement *statement, const char *kind, const char *name)
{
	struct policy_principal *principal;

	statement->principals = xreallocarray(statement->principals, statement->principal_count + 1,
					      sizeof *statement->principals);
	principal = &statement->principals[statement->principal_count++];
	principal->kind = xstrdup(kind);
	principal->name = xstrdup(name);
}

static void compile_principals(struct policy_statement *statement, const json_t *json)
{
	const json_t *principal = json_object_get(json, "Principal");
	const char *kind;
	json_t *names, *name;
	size_t i;

	if (!principal) {
		principal = json_object_get(json, "NotPrincipal");
		statement->principals_negated = principal;
	}
	if (json_is_string(principal))
		add_principal(statement, "*", json_string_value(principal));
	json_object_foreach ((json_t *)principal, kind, names) {
		if (json_is_string(names))
			add_principal(statement, kind, json_string_value(names));
		json_array_foreach (names, i, name) {
			if (json_is_string(name))
				add_principal(statement, kind, json_string_value(name));
		}
	}
}

static int compile_conditions(struct policy_statement *statement, const json_t *json,
			      bool variables)
{
	struct condition_operator how;
	const char *name, *key;
	json_t *block, *values;
	unsigned room = 0;
	int r;

	json_object_foreach (json_object_get(json, "Condition"), name, block) {
		if (!condition_operator_parse(name, &how))
			continue;
		json_object_foreach (block, key, values) {
			xgrow(statement->conditions, statement->condition_count, room);
			r = condition_compile(how, key, values, variables,
					      &statement->conditions[statement->condition_count]);
			if (r < 0)
				return r;
			statement->condition_count++;
		}
	}
	return 0;
}

static int compile_statement(struct policy_statement *statement, const json_t *json, bool variables)
{
	unsigned flags = PATTERN_WILDCARDS | (variables ? PATTERN_VARIABLES : 0);
	const char *sid = json_string_value(json_object_get(json, "Sid"));
	int r;

	statement->sid = xstrdup(sid ? sid : "");
	statement->allow = !strcmp(json_string_value(json_object_get(json, "Effect")), "Allow");
	compile_principals(statement, json);
	r = compile_patterns(&statement->actions, json, "Action", "NotAction", PATTERN_WILDCARDS);
	if (r < 0)
		return r;
	r = compile_patterns(&statement->resources, json, "Resource", "NotResource", flags);
	if (r < 0)
		return r;
	return compile_conditions(statement, json, variables);
}

static int compile(const json_t *document, struct policy **ret, struct problem *why)
{
	CLEANUP(policy) struct policy *policy = xcalloc(1, sizeof *policy);
	const json_t *version = json_object_get(document, "Version"), *json;
	/* A '$' was a '$' in 2008. */
	bool variables = version && !strcmp(json_string_value(version), "2012-10-17");
	unsigned room = 0;

	for (size_t n = 0; (json = policy_statement_json(document, n)); n++) {
		struct policy_statement *statement;

		xgrow(policy->statements, policy->count, room);
		statement = &policy->statements[policy->count++];
		*statement = (struct policy_statement){0};
		if (compile_statement(statement, json, variables) < 0)
			return problem(why, -EINVAL, "Syntax errors in policy.");
	}
	*ret = take(policy);
	return 0;
}

int policy_parse(const char *text, enum policy_kind kind, struct policy **ret, struct problem *why)
{
	json_t *document;
	int r;

	if (strlen(text) > POLICY_TEXT_MAX)
		return problem(why, -EINVAL, "Syntax errors in policy.");
	/* What is there twice would be read by one in this way, by another in that. */
	document = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	r = policy_check(document, kind, why);
	if (r == 0)
		r = compile(document, ret, why);
	json_decref(document);
	return r;
}

void policy_keys(const struct policy *policy, void (*fn)(const char *key, void *arg), void *arg)
{
	for (unsigned i = 0; i < policy->count; i++) {
		const struct policy_statement *statement = &policy->statements[i];

		for (unsigned k = 0; k < statement->resources.count; k++)
			pattern_keys(statement->resources.codes[k], fn, arg);
		for (unsigned k = 0; k < statement->condition_count; k++) {
			fn(statement->conditions[k].key, arg);
			for (unsigned n = 0; n < statement->conditions[k].count; n++)
				pattern_keys(statement->conditions[k].values[n], fn, arg);
		}
	}
}

unsigned policy_text_size(const char *text)
{
	unsigned size = 0;

	for (; *text; text++)
		size += !strchr(" \t\n\r", *text);
	return size;
}
